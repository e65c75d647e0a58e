"""What was generated, queued, sent, audible and heard of each response, and how that is known."""

import asyncio

import pytest

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.events import (
    AgentResponseEnded,
    CallCommand,
    ClearPlayback,
    Counted,
    Ledger,
    PlayAudio,
    PlaybackReported,
    TurnMeasured,
)
from beluga_voice.interfaces import LineOptions
from beluga_voice.session.happening import Happening
from beluga_voice.session.jsonform import decode, encode
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedTts
from session.stage import LONG, play, stage


async def at(milliseconds: float):
    """Wait until so long after the beginning."""
    await asyncio.sleep(max(0.0, milliseconds / 1000 - asyncio.get_running_loop().time()))


class FarCaller(ScriptedCaller):
    """Somebody whose device plays so much later, and tells ten times a second what came out.

    What it tells takes `back_ms` to arrive.
    """

    def __init__(self, *, far_ms: float, back_ms: float = 0, lead_ms: int = 100) -> None:
        super().__init__(lead_ms=lead_ms)
        self.options = LineOptions(lead_ms=lead_ms, reports_playback=True)
        self._far = far_ms / 1000
        self._back_ms = back_ms
        self._sent = self._cleared = self._dropped = 0

    def send(self, command: CallCommand, /) -> None:
        """Put it on its way."""
        if isinstance(command, PlayAudio):
            self._sent += len(command.pcm) // 2
        elif isinstance(command, ClearPlayback):
            self._cleared = self._sent
        asyncio.get_running_loop().call_later(self._far, self._arrive, command, self._sent)

    def _arrive(self, command: CallCommand, position: int) -> None:
        super().send(command)
        if isinstance(command, ClearPlayback):
            self._dropped = position - len(self._played) // 2

    async def report(self) -> None:
        """Tell what came out, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0.1)
            self._settle(self.now_ms)
            loop.call_later(self._back_ms / 1000, self._tell, len(self._played) // 2)

    def _tell(self, played: int) -> None:
        if self._session is not None:
            unheard = self._sent - max(played + self._dropped, self._cleared)
            unheard_ms = to_milliseconds(unheard, self.options.output_rate)
            told = PlaybackReported(unheard_ms=unheard_ms, ago_ms=self._back_ms)
            self._session.receive(told)


def talk(caller, *, tts=None, stops_at=None, interrupts_at=None):
    """A question, its answer of ten words from 1060 on, and perhaps something over it."""

    async def scene():
        async with stage(caller=caller, tts=tts) as on:
            is_far = isinstance(caller, FarCaller)
            telling = asyncio.create_task(caller.report()) if is_far else None
            await on.caller.say("hello there")
            if stops_at is not None:
                await at(stops_at)
                on.session.interrupt()
            if interrupts_at is not None:
                await at(interrupts_at)
                await on.caller.say("stop it now")
            await at(6000)
            if telling is not None:
                telling.cancel()
            return on.trace, on.caller.heard

    return play(scene)


def ledger_of(trace):
    """That of the first response."""
    ended = trace.of(AgentResponseEnded)[0]
    assert ended.ledger is not None
    return ended.ledger


def words(ledger):
    """The five counts in words."""
    return [
        one.words
        for one in (ledger.generated, ledger.queued, ledger.sent, ledger.audible, ledger.heard)
    ]


def milliseconds(ledger):
    """The five counts in milliseconds."""
    return [
        one.ms
        for one in (ledger.generated, ledger.queued, ledger.sent, ledger.audible, ledger.heard)
    ]


def test_a_response_that_was_heard_has_five_times_all():
    """The words are sure; that the sound came out is known by the clock only."""
    trace, _ = talk(ScriptedCaller())
    whole = Counted(words=10, ms=2000)
    by_clock = Counted(words=10, ms=2000, ms_is_estimated=True)
    assert ledger_of(trace) == Ledger(
        generated=whole, queued=whole, sent=whole, audible=by_clock, heard=by_clock
    )


def test_each_step_of_a_response_that_was_cut_is_told():
    """It is made as fast as it sounds, is 100 ms ahead on the line, and cut in the fifth word."""
    caller = ScriptedCaller(lead_ms=100)
    tts = ScriptedTts(delay_ms=30, making_ms=150)
    trace, heard = talk(caller, tts=tts, stops_at=1950)
    ledger = ledger_of(trace)
    assert words(ledger) == [10, 6, 5, 5, 4]
    assert milliseconds(ledger) == [1200, 1200, 960, 890, 890]
    assert heard == "one two three four"
    assert [one.words_are_estimated for one in (ledger.generated, ledger.sent)] == [False, False]


def test_words_without_times_are_said_to_be_estimated():
    """Of what was made, all is known; where in it a word sounds is a guess."""
    tts = ScriptedTts(delay_ms=30, has_word_times=False)
    trace, _ = talk(ScriptedCaller(), tts=tts, stops_at=1950)
    ledger = ledger_of(trace)
    assert not ledger.generated.words_are_estimated
    steps = (ledger.queued, ledger.sent, ledger.audible, ledger.heard)
    assert [one.words_are_estimated for one in steps] == [True] * 4
    assert words(ledger) == sorted(words(ledger), reverse=True)
    assert ledger.heard.words in (3, 4)


def test_what_was_never_sent_is_no_estimate():
    """An answer that was stopped before its first sound: nothing is nothing."""
    tts = ScriptedTts(delay_ms=500, has_word_times=False)
    trace, _ = talk(ScriptedCaller(), tts=tts, stops_at=1200)
    nothing = Counted(words=0, ms=0)
    assert ledger_of(trace) == Ledger(
        generated=Counted(words=10, ms=0),
        queued=nothing,
        sent=nothing,
        audible=nothing,
        heard=nothing,
    )


@pytest.mark.parametrize(("far_ms", "back_ms"), [(150, 0), (150, 80), (400, 200)])
def test_a_line_that_reports_makes_it_measured(far_ms, back_ms):
    """What came out by the moment of the cut is what the device has played, to the sample."""
    caller = FarCaller(far_ms=far_ms, back_ms=back_ms)
    trace, _ = talk(caller, stops_at=2500)
    ledger = ledger_of(trace)
    # It leaves at 1060, and is heard from then on as much later as the device is away.
    assert ledger.audible.ms == ledger.heard.ms == 2500 - 1060 - far_ms
    assert not ledger.audible.ms_is_estimated
    assert ledger.sent.ms == pytest.approx(2500 - 1060 + 100, abs=50)


def test_a_response_ends_when_it_has_come_out():
    """Where the line tells how far behind it is, the last sound is waited for."""
    near, _ = talk(ScriptedCaller(lead_ms=100))
    far, heard = talk(FarCaller(far_ms=150))
    assert near.at_ms(AgentResponseEnded) == 3060
    assert far.at_ms(AgentResponseEnded) == 3210
    assert heard == LONG


def test_the_way_to_the_person_is_a_part_of_the_latency():
    """The parts add up to what the person waited, and the last is what the line told."""
    trace, _ = talk(FarCaller(far_ms=150, back_ms=40))
    (measured,) = trace.of(TurnMeasured)
    assert measured.playout_ms == 150
    assert measured.total_ms == 680 + 150
    parts = (
        measured.endpointing_ms,
        measured.transcription_ms,
        measured.thinking_ms,
        measured.synthesis_ms,
        measured.delivery_ms,
        measured.playout_ms,
    )
    assert sum(part or 0 for part in parts) == measured.total_ms


def test_a_line_that_is_silent_leaves_that_part_out():
    """It is named, and the whole ends where the sound was handed over."""
    trace, _ = talk(ScriptedCaller())
    (measured,) = trace.of(TurnMeasured)
    assert (measured.playout_ms, measured.total_ms) == (None, 680)


def test_a_line_that_promised_to_report_and_does_not_delays_nothing_else():
    """The latency is told with the end of the response, without the part that is not known."""
    caller = ScriptedCaller()
    caller.options = LineOptions(reports_playback=True)
    trace, _ = talk(caller)
    (measured,) = trace.of(TurnMeasured)
    assert (measured.playout_ms, measured.total_ms) == (None, 680)
    assert trace.at_ms(TurnMeasured) == trace.at_ms(AgentResponseEnded) == 3060
    assert ledger_of(trace).audible.ms_is_estimated


def test_a_device_that_is_seconds_behind_is_not_believed():
    """Its person is not there, or hears something else; the clock counts then."""
    caller = FarCaller(far_ms=5000)
    trace, _ = talk(caller)
    assert trace.at_ms(AgentResponseEnded) == 3060
    assert ledger_of(trace).audible.ms_is_estimated


def test_an_interruption_of_a_far_person_agrees_with_the_history():
    """Whoever is asked says the same of what was heard."""
    trace, heard = talk(FarCaller(far_ms=150), interrupts_at=2000)
    ended = trace.of(AgentResponseEnded)[0]
    assert ended.ledger is not None
    assert heard.startswith(ended.heard_text)
    assert ended.ledger.heard.words == len(ended.heard_text.split())


def test_the_ledger_is_part_of_the_json_form():
    """It comes back as it was, and an event without one is read."""
    trace, _ = talk(ScriptedCaller(), stops_at=1950)
    ended = trace.of(AgentResponseEnded)[0]
    line = encode(Happening(event=ended, at=0.0, sequence=0))
    assert '"heard":{"words":4,"ms":890.0' in line
    assert decode(line).event == ended
    before = line[: line.index(',"ledger"')] + "}"
    older = decode(before).event
    assert isinstance(older, AgentResponseEnded)
    assert older.ledger is None


def test_the_metrics_of_a_session_have_the_sums():
    """An answer that was cut and one that was heard; what is estimated in one is in the sum."""

    async def scene():
        tts = ScriptedTts(delay_ms=30, has_word_times=False)
        async with stage(tts=tts) as on:
            nothing = on.session.metrics().ledger
            await on.caller.say("hello there")
            await at(1950)
            on.session.interrupt()
            await at(2500)
            await on.caller.say("go on")
            await at(9000)
            ended = [one.ledger for one in on.trace.of(AgentResponseEnded)]
            return nothing, ended, on.session.metrics()

    nothing, (cut, whole), metrics = play(scene)
    assert nothing.generated == Counted(words=0, ms=0)
    sums = metrics.ledger
    assert words(sums) == [sum(pair) for pair in zip(words(cut), words(whole), strict=True)]
    assert sums.heard.ms == metrics.heard_ms == cut.heard.ms + whole.heard.ms
    assert sums.generated.ms == metrics.heard_ms + metrics.unheard_ms
    assert sums.heard.words_are_estimated
    assert not whole.heard.words_are_estimated
    assert not sums.generated.words_are_estimated
