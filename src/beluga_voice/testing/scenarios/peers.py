"""What is known of how others take turns, beside what comes of our own scenarios.

The figures of others were measured with faked services in October and November 2026 where that is
said, and read in their code and issues otherwise: LiveKit Agents 1.8.9 and Pipecat 1.14.0. Nobody's
were measured by the same script: what is compared is what a person has of it. Ours are taken from
the scenarios as they come now, and a row in which we are no better says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    AgentResponseStarted,
    BargedIn,
    DeadAir,
    TurnMeasured,
)
from beluga_voice.testing.scenarios.measure import measure
from beluga_voice.testing.scenarios.model import Stage
from beluga_voice.testing.scenarios.reading import find, read
from beluga_voice.testing.scenarios.run import Played, play

LIVEKIT, PIPECAT = "LiveKit Agents 1.8.9", "Pipecat 1.14.0"
SAME = "THE SAME"
"""What stands where a fault of others is ours, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Something that takes time: less is better. Milliseconds."""

    what: str
    scenario: str
    ours: Callable[[Played], float]
    stage: Stage = "cascade"
    livekit: float | None = None
    pipecat: float | None = None
    note: str = ""
    """How theirs came about."""
    choice: tuple[str, str] | None = None
    """Where it is a choice: the setting that chooses otherwise, and a scenario that has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """Something that should be so, and of which others are known to do otherwise."""

    what: str
    scenario: str
    holds: Callable[[Played], bool]
    stage: Stage = "cascade"
    others: str
    """Whose fault it is, and where that is told."""


# ── what is read from a play ────────────────────────────────────────────────────────────────


def _yields(played: Played) -> float:
    return max(measure(played).yields_ms)


def _answers(played: Played) -> float:
    return max(measure(played).responses_ms)


def _endpointing(played: Played) -> float:
    (first, *_) = _of(played, TurnMeasured)
    assert first.endpointing_ms is not None
    return first.endpointing_ms


def _paused(played: Played) -> float:
    return max(measure(played).pauses_ms)


def _goes_on(played: Played) -> float:
    """From the end of the sound that was not meant to the agent's voice."""
    (resumed,) = _times(played, AgentResponseResumed)
    return resumed - max(one.end for one in played.utterances if one.end <= resumed)


def _first_sign(played: Played) -> float:
    """From the end of the question to the first that is done for one who waits in vain."""
    return _times(played, DeadAir)[0] - played.utterances[0].end


def _first_tone(played: Played) -> float:
    return played.tones[0] - played.utterances[0].end


def _told_too_little(played: Played) -> float:
    """By how much the latency that is told is shorter than the silence that was heard."""
    (told, *_) = _of(played, TurnMeasured)
    return measure(played).responses_ms[0] - told.total_ms


def _unheard(played: Played) -> float:
    """How much of an answer that paused, and was heard to its end, got lost."""
    return sum(one.generated_ms - one.heard_ms for one in _of(played, AgentResponseEnded))


def _of[E](played: Played, kind: type[E]) -> list[E]:
    return [one.event for one in played.happenings if isinstance(one.event, kind)]


def _times(played: Played, kind: type[object]) -> list[float]:
    return [round(one.at * 1000, 3) for one in played.happenings if isinstance(one.event, kind)]


def _remembered(played: Played, who: str) -> list[str]:
    """Lines of what is remembered of one side, in order."""
    mark = f"remembered: {who} "
    return [line.split(mark, 1)[1] for line in played.lines if mark in line]


def _is_kept(*words: str) -> Callable[[Played], bool]:
    """All of that is remembered of the person."""

    def holds(played: Played) -> bool:
        said = " ".join(_remembered(played, "user"))
        return all(one in said for one in words)

    return holds


def _is_in_order(played: Played) -> bool:
    """The person is remembered before the answer."""
    order = [line.split()[1] for line in played.lines if "remembered: " in line]
    return order == ["user", "agent"]


def _agrees(played: Played) -> bool:
    """What is remembered of the agent is what was heard, and that is something."""
    return played.heard == played.remembered != ""


def _is_partly_heard(played: Played) -> bool:
    """Of an answer that was cut, what is remembered is a beginning of what was heard."""
    return played.remembered != "" and played.heard.startswith(played.remembered.split(" as ")[0])


def _answered(times: int) -> Callable[[Played], bool]:
    return lambda played: len(_of(played, AgentResponseStarted)) == times


def _goes_on_whole(played: Played) -> bool:
    """The agent is neither cut nor does it pause."""
    return not any(one.is_cut for one in played.stretches) and _agrees(played)


def _is_heard_whole(played: Played) -> bool:
    ended = _of(played, AgentResponseEnded)
    return bool(ended) and all(one.heard_text == one.text != "" for one in ended)


def _all_yield(times: int) -> Callable[[Played], bool]:
    """So many interruptions, each as fast as the first, and each is answered."""

    def holds(played: Played) -> bool:
        measured = measure(played)
        is_fast = max(measured.yields_ms) == min(measured.yields_ms)
        return len(measured.yields_ms) == times and is_fast and not measured.unanswered

    return holds


def _has(text: str) -> Callable[[Played], bool]:
    return lambda played: any(text in line for line in played.lines)


def _nothing_stops(played: Played) -> bool:
    """Nothing is stopped before the agent has spoken."""
    first = played.stretches[0].begin
    return not any(at < first for at in _times(played, BargedIn))


def _is_one_turn(played: Played) -> bool:
    """Pauses within did not end it."""
    return len(_remembered(played, "user")) == 1 and not measure(played).cut_off


PAUSES_SOONER = ("InterruptionPolicy(min_ms=100)", "a-short-stop-in-a-policy-of-100-ms")
ANSWERS_SOONER = ("TurnSettings(end_silence_ms=450)", "a-turn-of-450-ms")

# ── the rows ────────────────────────────────────────────────────────────────────────────────

TIMES: tuple[Timed, ...] = (
    Timed(
        what="an interruption, from its first sound to silence",
        scenario="barge-in",
        ours=_yields,
        livekit=603,
        pipecat=200,
        note="LiveKit measured at the receiver, 507 to the decision, warm-up off; Pipecat's is the "
        "voice that its detector asks for, so that a cough of 200 ms ends its answer",
        choice=PAUSES_SOONER,
    ),
    Timed(
        what="an interruption, where we ask for 200 ms of voice, too",
        scenario="a-short-stop-in-a-policy-of-200-ms",
        ours=_yields,
        livekit=603,
        pipecat=200,
        note="the voice decides; what the pipeline adds was 0.2 to 1.6 ms",
        choice=PAUSES_SOONER,
    ),
    Timed(
        what="silence for a noise of a second over the agent",
        scenario="a-laugh",
        ours=_paused,
        livekit=2800,
        note="LiveKit measured, by voice detection alone",
    ),
    Timed(
        what="from the end of such a noise until the agent goes on",
        scenario="a-laugh",
        ours=_goes_on,
        livekit=2000,
        note="`false_interruption_timeout`",
    ),
    Timed(
        what="speech that is lost in such a pause",
        scenario="a-laugh",
        ours=_unheard,
        livekit=200,
        note="up to so much, read in the code",
    ),
    Timed(
        what="end of voice to the end of the turn, without a turn detector",
        scenario="a-turn",
        ours=_endpointing,
        livekit=500,
        pipecat=600,
        note="`min_delay`; the timer of `SpeechTimeout`",
        choice=ANSWERS_SOONER,
    ),
    Timed(
        what="end of voice to the end of the turn, with a turn detector that is sure",
        scenario="a-sure-turn-detector",
        ours=_endpointing,
        livekit=300,
        note="`min_delay` with a streaming detector",
    ),
    Timed(
        what="the same, with one that is wrong, and sure that it is not over yet",
        scenario="a-wrong-turn-detector",
        ours=_endpointing,
        livekit=2500,
        pipecat=3000,
        note="`max_delay`; `stop_secs`",
    ),
    Timed(
        what='the same, after a single "yes"',
        scenario="one-word",
        ours=_endpointing,
        livekit=2500,
        note="for a low score, issue 6415",
    ),
    Timed(
        what="a turn with services of 100 ms each, and a turn detector",
        scenario="services-of-100-ms-each",
        ours=_answers,
        pipecat=580,
        note="measured, 580 to 625, with its pipeline and a connection, which ours has not here",
    ),
    Timed(
        what="the same, with the silence of 600 ms alone",
        scenario="services-of-100-ms-each-after-a-silence",
        ours=_answers,
        pipecat=1031,
        note="measured",
    ),
    Timed(
        what="how much later a recogniser that is late ends the turn",
        scenario="a-late-final",
        ours=lambda played: _endpointing(played) - 600,
        livekit=250,
        note="one setting means two delays: 250 of the voice detector are part of it, or come on "
        "top, issue 4325",
    ),
    Timed(
        what="by how much the latency that is told is too short",
        scenario="a-turn",
        ours=_told_too_little,
        livekit=108,
        note="LiveKit measured at the receiver, where a line of ours has its own delay, too",
    ),
    Timed(
        what="by how much it is too short where a service finds the turns",
        scenario="a-turn",
        stage="service",
        ours=_told_too_little,
        livekit=108,
        note="Pipecat tells none, issues 4927 and 5311",
    ),
    Timed(
        what="an agent that begins and says nothing, until something is done",
        scenario="an-agent-that-hangs",
        ours=_first_sign,
        livekit=60_000,
        pipecat=8000,
        note="LiveKit measured with a timeout of 1 s; Pipecat had done nothing when the test "
        "ended, with a speech-to-speech service",
    ),
    Timed(
        what="an agent that fails, until the person hears of it",
        scenario="an-agent-that-fails",
        ours=_first_tone,
        livekit=4200,
        note="measured: it listens again then, and the person has heard nothing",
    ),
)

FAULTS: tuple[Faulty, ...] = (
    Faulty(
        what="the greeting can be interrupted, and the words are answered",
        scenario="barge-in-on-the-greeting",
        holds=lambda played: _all_yield(1)(played) and len(_remembered(played, "user")) == 1,
        others="LiveKit: no voice in the agent's first 3 s, and its recogniser is fed silence",
    ),
    Faulty(
        what="words that go on after what nobody may interrupt are understood from the first",
        scenario="a-forbidden-barge-in-that-lasts",
        holds=_is_kept("I was speaking all the time"),
        others="LiveKit: `discard_audio_if_uninterruptible`, issues 2368 and 2961",
    ),
    Faulty(
        what="words that end before it does are understood, too",
        scenario="a-notice",
        holds=_is_kept("yes yes"),
        others="LiveKit: `discard_audio_if_uninterruptible`, issue 2368",
    ),
    Faulty(
        what="signs of listening do not make the agent pause, without a cloud",
        scenario="several-backchannels",
        holds=_goes_on_whole,
        others="LiveKit: by a model of its cloud only, six pull requests closed; GPT Realtime "
        "scored 1 to 4 % on them in tau-voice",
    ),
    Faulty(
        what="a transcript that is 2 s late stands before its answer",
        scenario="a-late-final",
        holds=_is_in_order,
        others="Pipecat: behind it, measured",
    ),
    Faulty(
        what="a transcript that comes twice is answered once",
        scenario="a-final-twice",
        holds=_answered(1),
        others="Pipecat: issues 4707 and 1540",
    ),
    Faulty(
        what="a person who speaks first gets one answer",
        scenario="a-turn",
        stage="service",
        holds=_answered(1),
        others="Pipecat: two, with OpenAI Realtime, measured",
    ),
    Faulty(
        what="nothing is interrupted where nothing sounds",
        scenario="a-turn",
        holds=_nothing_stops,
        others="Pipecat: an interruption at the start of every turn, measured",
    ),
    Faulty(
        what="what was heard is remembered, where the voice tells no times of words",
        scenario="barge-in-without-word-times",
        holds=_is_partly_heard,
        others="Pipecat: nothing of it, measured",
    ),
    Faulty(
        what="what is remembered of an answer that was cut is what was heard",
        scenario="barge-in",
        holds=_agrees,
        others="Pipecat: issues 2791 and 5305; OpenAI Agents SDK: 2370",
    ),
    Faulty(
        what="the same, where a service finds the turns",
        scenario="barge-in",
        stage="service",
        holds=_agrees,
        others="LiveKit: issues 6157 and 2201; Pipecat: 3677; OpenAI Agents SDK: 2009",
    ),
    Faulty(
        what="the same, in the second of two responses that came at once",
        scenario="barge-in-on-the-second-of-two",
        stage="service",
        holds=_agrees,
        others="Pipecat: by its clock, it cuts the one that came last, measured",
    ),
    Faulty(
        what="a tool that books runs to its end while the person speaks, and its result is told",
        scenario="a-booking-while-the-caller-speaks",
        holds=_has("function_answered name='book' output='booked'"),
        others="Pipecat before 1.14: issue 5823; LiveKit: issue 3702",
    ),
    Faulty(
        what="a tool of an answer that was cut does not run on",
        scenario="barge-in-during-a-tool",
        holds=_has("# the tool look is stopped"),
        others="Pipecat: issue 4997, a call is hung up; bolna: 819",
    ),
    Faulty(
        what="a least number of words holds with every recogniser",
        scenario="a-barge-in-in-a-policy-of-words",
        holds=lambda played: _yields(played) >= 600,
        others="Pipecat: issue 2988",
    ),
    Faulty(
        what="a noise before the first word of an answer does not lose it",
        scenario="a-cough-before-the-first-word",
        holds=lambda played: played.heard != "" and not measure(played).unanswered,
        others="LiveKit: issues 1229 and 4039",
    ),
    Faulty(
        what="the agent's echo does not interrupt it",
        scenario="echo-guard",
        holds=_goes_on_whole,
        others="LiveKit: issues 315 and 3758, Flutter 633; Pipecat: 1771; Vocode: 16",
    ),
    Faulty(
        what="the fourth interruption works like the first",
        scenario="barge-in-four-times",
        holds=_all_yield(4),
        others="Jambonz: issues 545 and 714; LiveKit: 3418 and, with Gemini, 4484; Vocode: 539",
    ),
    Faulty(
        what="who interrupts the first of several sayings is not told the others",
        scenario="three-sayings-are-interrupted",
        holds=lambda played: "second" not in played.heard and "third" not in played.heard,
        others="Jambonz: issues 676 and 767",
    ),
    Faulty(
        what="a service that finds the turns is interrupted, too",
        scenario="barge-in-four-times",
        stage="service",
        holds=_all_yield(4),
        others="FastRTC: issue 417, with Gemini Live",
    ),
    Faulty(
        what="nothing more is made of an answer that was cut",
        scenario="barge-in-while-generating-for-good",
        holds=lambda played: _of(played, AgentResponseEnded)[0].generated_ms < 2000,
        others="Jambonz: issue 1153; bolna: 784",
    ),
    Faulty(
        what="a laugh while an answer is made does not lose it",
        scenario="a-laugh-while-generating",
        holds=_is_heard_whole,
        others="Pipecat: issue 4308, silent until the person speaks again",
    ),
    Faulty(
        what="who was cut off in a pause goes on, and is answered",
        scenario="a-caller-who-was-cut-off",
        holds=lambda played: not measure(played).unanswered and played.heard != "",
        others="LiveKit: issue 3418, it is `speaking` and silent",
    ),
    Faulty(
        what="what may not be interrupted is not",
        scenario="a-notice",
        holds=_is_heard_whole,
        others="Jambonz: issues 215 and 382; Dograh: 236",
    ),
    Faulty(
        what="a goodbye is heard to its end, also when it is spoken over",
        scenario="a-goodbye-that-is-spoken-over",
        holds=_is_heard_whole,
        others="bolna: 942 and 849",
    ),
    Faulty(
        what="nobody is asked whether they are there while a tool runs",
        scenario="idle-while-a-tool-runs",
        holds=lambda played: (
            not any(
                "user_idle" in line for line in played.lines[: _index(played, "function_answered")]
            )
        ),
        others="bolna: 886",
    ),
    Faulty(
        what="an address that is spelled is one turn",
        scenario="a-spelled-email",
        holds=_is_one_turn,
        others="LiveKit: issue 3701",
    ),
    Faulty(
        what="a number with pauses is one turn",
        scenario="a-number-with-pauses",
        holds=_is_one_turn,
        others="LiveKit: issue 3701",
    ),
    Faulty(
        what="the words of a turn whose answer failed are remembered, and the failure is told",
        scenario="an-agent-that-fails",
        holds=lambda played: _is_kept("hello there")(played) and _has("error_occurred")(played),
        others="LiveKit: a hook that raises erases the turn, measured",
    ),
    Faulty(
        what="what was said last is remembered of one who hangs up",
        scenario="hang-up-while-words-are-awaited",
        holds=_is_kept("hello there"),
        others="LiveKit: issue 6889",
    ),
)


def _index(played: Played, text: str) -> int:
    return next(at for at, line in enumerate(played.lines) if text in line)


@dataclass(slots=True)
class Comparison:
    """What came of all rows."""

    times: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    not_better: list[str] = field(default_factory=list[str])
    """Rows in which we are no better, in words."""

    @property
    def lines(self) -> list[str]:
        """Two tables in Markdown, and what is not better."""
        return [*self.times, "", *self.faults, "", *self.not_better]


type Row = tuple[str, ...]


def _play(name: str, stage: Stage) -> Played:
    return play(read(find(name)), stage)


def compared() -> Comparison:
    """Play what is compared, and tell."""
    found = Comparison()
    played = cache(_play)
    head = ("milliseconds", "here", LIVEKIT, PIPECAT, "better by", "")
    rows: list[Row] = [head, ("---", "---:", "---:", "---:", "---:", "---")]
    for one in TIMES:
        ours = one.ours(played(one.scenario, one.stage))
        theirs = (one.livekit, one.pipecat)
        better = [round(their - ours, 3) for their in theirs if their is not None]
        told = "; ".join(f"{by:g}" if by > 0 else f"**{by:g}**" for by in better)
        shown = [f"{ours:g}", *("" if their is None else f"{their:g}" for their in theirs)]
        rows.append((f"{one.what}{_in(one)}", *shown, told, one.note))
        found.not_better += _not_better(one, ours, played)
    found.times = _markdown(rows)
    rows = [("what should be so", "here", "where it is not"), ("---",) * 3]
    for fault in FAULTS:
        is_so = fault.holds(played(fault.scenario, fault.stage))
        answer = "yes" if is_so else f"**{SAME}**"
        rows.append((f"{fault.what}{_in(fault)}", answer, fault.others))
        if not is_so:
            found.not_better.append(f"* not so here, either: {fault.what}{_in(fault)}")
    found.faults = _markdown(rows)
    return found


def _in(row: Timed | Faulty) -> str:
    stage = ", service" if row.stage == "service" else ""
    return f" (`{row.scenario}`{stage})"


def _not_better(row: Timed, ours: float, played: Callable[[str, Stage], Played]) -> Iterator[str]:
    for name, theirs in ((LIVEKIT, row.livekit), (PIPECAT, row.pipecat)):
        if theirs is not None and theirs <= ours:
            by = f"{ours - theirs:g} ms more than" if theirs < ours else "as much as"
            otherwise = ""
            if row.choice is not None:
                setting, scenario = row.choice
                less = theirs - row.ours(played(scenario, row.stage))
                otherwise = f"; with `{setting}` {less:g} ms less (`{scenario}`)"
            yield f"* {by} {name}: {row.what}{_in(row)}{otherwise}"


def _markdown(rows: list[Row]) -> list[str]:
    return [f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows]
