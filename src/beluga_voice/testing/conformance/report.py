"""The rules that every provider keeps, and what a check of any kind of plugin says."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from beluga_voice.testing.emulators.speech import NO_FAULTS, Brain, Faults, Pace, echo
from beluga_voice.testing.loop import Leftovers, SimulationError, simulate

CHECK_SECONDS = 300.0
"""How long one check may take; most of them take a few seconds."""


class Promise(StrEnum):
    """A list of what one kind of plugin promises. The value is the promise."""


class Rule(Promise):
    """What a provider promises."""

    # ── any link
    LINK_CLOSED_LAST = "LinkClosed is the last event, and comes exactly once"
    SEND_NEVER_WAITS = "send is a plain call, which neither waits nor raises"
    NOTHING_AFTER_THE_END = "after the end, send does nothing"
    CONNECTS = "connect gives a link, within a bound"
    REFUSES_OPTIONS = "what the capabilities exclude is refused with ConfigurationError at once"
    CLOSES_IN_TIME = "leaving the context closes the link, within a bound"
    LEAVES_NOTHING = "leaving the context leaves no task behind"
    CANCELLING = "a cancellation comes through, while connecting and while connected"
    ERRORS_COME_THROUGH = "what is raised inside the context comes out of it as it is"
    ATTACH_OR_ITERATE = "a link gives the same events by call and by iteration"
    LOSS_IS_AN_EVENT = "a lost connection is LinkClosed(is_clean=False), and no exception"
    WHOLE_SAMPLES = "each piece of sound is a whole number of samples"
    OFFERED_FORMATS = "every offered format is taken, and given"
    IDS_ARE_UNIQUE = "ids are unique over all links of a provider"
    # ── speech to speech
    RESPONSE_STARTED_FIRST = "ResponseStarted comes before anything else of a response"
    RESPONSE_DONE_ONCE = "ResponseDone comes exactly once, also when the connection dies"
    SILENT_WHEN_DONE = "no sound of a response follows its ResponseDone"
    SILENT_WHEN_INTERRUPTED = "no sound of a response follows its interruption"
    FINAL_TRANSCRIPT_LAST = "the last transcript of an utterance is its only final one"
    TURNS = "every turn that ends is answered, once, by a response that is heard whole"
    EMPTY_TURNS = "a turn in which nothing is said gets a response, or NoResponse"
    DUPLEX = "what is said is answered, without turns"
    TRANSCRIPTS = "what the person said is told: has_input_transcript, has_interim_transcripts"
    SPEECH_EVENTS = "the service tells that the person speaks: has_speech_events"
    RESPONSE_TEXT = "the deltas of a response, one after the other, are its words"
    WORD_TIMES = "words say where they sound: has_word_times"
    SUPPRESSION = "no response comes where none is wanted: can_suppress_response"
    REQUESTS = "a response comes when it is asked for: can_request_response"
    TOOLS = "a tool is called, and its result is taken: has_tools"
    TEXT_INPUT = "written words are answered: has_text_input"
    SAY = "given words are spoken: say"
    INTERRUPTION = "after an interruption, the next turn is answered"
    TRUNCATION = "of an interrupted response, the model knows what was heard: can_truncate"
    UPDATES = "what may be changed in mid-call is changed: mutable"
    SEEDED_HISTORY = "the model knows what was said before: can_seed_history"
    RESUMPTION = "a conversation is continued by its handle: resumption"
    # ── speech to text
    FINISH_IS_ANSWERED = "FinishUtterance is answered by one final Transcript that names it"
    DROP_IS_FORGOTTEN = "what was dropped is in no transcript"
    INTERIM_IS_WHOLE = "an interim transcript holds all that was understood so far"
    # ── text to speech
    SPEECH_DONE_ONCE = "every context that is finished ends with exactly one SpeechDone"
    SILENT_WHEN_CANCELLED = "no sound and no word of a context follows its CancelSpeech"
    CONTEXTS_APART = "each context has its own words, all of them, in their order"
    WORDS_AFTER_AUDIO = "no word is told before its sound"


class ConformanceFailure(AssertionError):
    """A rule is broken. `rule` says which, `seen` what was seen instead."""

    def __init__(self, rule: Promise, seen: str) -> None:
        super().__init__(f"{rule.name}: {rule.value}. Seen: {seen}")
        self.rule = rule
        self.seen = seen


class Inapplicable(Exception):
    """Raised by a check that cannot be made; says why."""


class NotEmulated(Inapplicable):
    """Raised by a maker whose service cannot be made to do what `Peer` asks for; say why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What the service behind a provider should be like.

    It hears test speech (`beluga_voice.testing.speech`), gives what it understood to the `brain`,
    with all that it knows, and does in test speech what that decides, `WORD_MS` to a word. Of
    `faults`, the checks use `refuse_status`, which may be ignored where there is no handshake, and
    `drop_after_audio_ms`, which counts the sound of responses, or for a service that only hears,
    the sound it was sent.
    """

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    faults: Faults = NO_FAULTS


type Maker[P] = Callable[[Peer], AbstractAsyncContextManager[P]]
"""Gives a provider, connected to a service like the peer; leaving it ends the service."""

type Run = Callable[[Coroutine[Any, Any, None]], None]
"""What runs a check: `simulate`, or `asyncio.run` for a service on real sockets."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of each check, by its name."""

    kept: tuple[str, ...]
    not_applicable: dict[str, str]
    """Checks that could not be made, and why not."""


@dataclass(frozen=True)  # with slots, Python 3.12 cannot make one of given types
class Check[P]:
    """One thing to be tried. `why_not` says why it does not apply to a provider, or nothing."""

    rule: Rule
    work: Callable[[Maker[P]], Awaitable[None]]
    why_not: str = ""
    variant: str = ""

    @property
    def name(self) -> str:
        """The rule, and in which way it is tried."""
        return f"{self.rule.name} ({self.variant})" if self.variant else self.rule.name


def run_checks[P](
    checks: Sequence[Check[P]], make: Maker[P], *, run: Run, only: Collection[Rule] | None
) -> Report:
    """Make one check after the other; the first that fails raises `ConformanceFailure`."""
    kept: list[str] = []
    not_applicable: dict[str, str] = {}
    for check in checks:
        if only is not None and check.rule not in only:
            continue
        if check.why_not:
            not_applicable[check.name] = check.why_not
            continue
        try:
            _run(check, make, run)
        except NotEmulated as reason:
            not_applicable[check.name] = str(reason) or "the service cannot be made to do this"
        except ConformanceFailure as failure:
            failure.add_note(f"while checking {check.name}")
            raise
        else:
            kept.append(check.name)
    return Report(tuple(kept), not_applicable)


def _run[P](check: Check[P], make: Maker[P], run: Run) -> None:
    try:
        run(_tidy(check, make))
    except Leftovers as left:
        raise ConformanceFailure(Rule.LEAVES_NOTHING, "; ".join(left.what)) from left
    except SimulationError as stuck:
        raise ConformanceFailure(check.rule, f"{type(stuck).__name__}: {stuck}") from stuck
    except BaseExceptionGroup as lost:
        seen = f"exceptions that nobody caught: {lost.exceptions!r}"
        raise ConformanceFailure(Rule.LEAVES_NOTHING, seen) from lost


async def _tidy[P](check: Check[P], make: Maker[P]) -> None:
    """Do the work; whatever runs afterwards, and did not before, was left behind."""
    before = asyncio.all_tasks()
    limit = asyncio.timeout(CHECK_SECONDS)
    try:
        async with limit:
            await check.work(make)
    except TimeoutError as late:
        if not limit.expired():
            raise
        seen = f"no end within {CHECK_SECONDS:g} s"
        raise ConformanceFailure(check.rule, seen) from late
    await nothing_left(before)


async def nothing_left(before: Collection[asyncio.Task[Any]]) -> None:
    """Raise `ConformanceFailure` for tasks that were not there before."""
    await asyncio.sleep(0)  # who was waited for by nobody may still learn of the end
    if left := asyncio.all_tasks() - set(before):
        names = ", ".join(sorted(task.get_name() for task in left))
        raise ConformanceFailure(Rule.LEAVES_NOTHING, f"tasks that still run: {names}")


def in_simulation(work: Coroutine[Any, Any, None]) -> None:
    """Run a check in simulated time."""
    simulate(work)
