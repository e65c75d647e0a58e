"""The services of a scenario: the parts of a cascade, and a service that finds turns by itself."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_milliseconds, to_samples
from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted
from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    EndUserTurn,
    S2sCommand,
    S2sEvent,
    SendAudio,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolSpec,
)
from beluga_voice.interfaces import AgentTurn, S2sLink, S2sOptions, SpeechToSpeech, Tool, TurnOwner
from beluga_voice.providers.turns.words import WordTurns
from beluga_voice.session.guessing import AnyTurnDetector
from beluga_voice.testing.scenarios import model
from beluga_voice.testing.scenarios.notes import Notes, quoted
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import is_loud, words_in

_PREROLL_MS = 300
"""Sound from before a voice was noticed that belongs to the utterance."""


class Broken(Exception):
    """What an agent or a tool raises that is told to fail."""


class ScenarioAgent:
    """Answers as written: for each time it is asked."""

    def __init__(self, answers: Sequence[Sequence[model.Saying]], notes: Notes) -> None:
        self._answers = answers
        self._notes = notes
        self._asked = 0

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Speak, wait, and call tools, one after another."""
        self._notes.add(f"# the agent is asked: {quoted(turn.text)}")
        answer = self._answers[min(self._asked, len(self._answers) - 1)]
        self._asked += 1
        result = before = ""
        try:
            for saying in answer:
                if isinstance(saying, str):
                    words = saying.format(text=turn.text, result=result)
                    yield before + words
                    before = "" if words.endswith(" ") else " "
                elif isinstance(saying, int):
                    await asyncio.sleep(saying / 1000)
                elif saying.calls is None:
                    raise Broken("the agent was told to fail")
                else:
                    result = await _call(turn, saying.calls)
        except asyncio.CancelledError:
            self._notes.add("# the agent is stopped")
            raise


async def _call(turn: AgentTurn, name: str) -> str:
    try:
        return await turn.call_tool(name, "{}")
    except ToolFailed as error:
        return error.message


def tools(given: dict[str, model.Tool], notes: Notes) -> list[Tool]:
    """The tools of a scenario."""
    return [_tool(name, one, notes) for name, one in given.items()]


def _tool(name: str, one: model.Tool, notes: Notes) -> Tool:
    async def run() -> str:
        try:
            await asyncio.sleep(one.takes_ms / 1000)
        except asyncio.CancelledError:
            notes.add(f"# the tool {name} is stopped")
            raise
        if one.fails:
            raise Broken("the tool was told to fail")
        return one.gives

    spec = ToolSpec(name=name, description=name, parameters='{"type":"object","properties":{}}')
    return Tool(
        spec=spec,
        function=run,
        timeout_seconds=one.timeout_ms / 1000,
        runs_to_end=one.runs_to_end,
    )


class Reader:
    """A turn detector that reads the words so far."""

    def __init__(self, guesses: Mapping[str, float]) -> None:
        self._guesses = guesses

    def probability(self, transcript: str, /) -> float:
        """What was written for words that end so."""
        return _guess(self._guesses, transcript)


class Listener:
    """A turn detector that hears the words, and takes its time."""

    rate = 16000
    longest_samples = 8 * rate

    def __init__(self, guesses: Mapping[str, float], takes_ms: float) -> None:
        self._guesses = guesses
        self._takes_ms = takes_ms

    async def probability(self, pcm: bytes, /) -> float:
        """What was written for words that end so."""
        await asyncio.sleep(self._takes_ms / 1000)
        return _guess(self._guesses, " ".join(words_in(pcm)))


def turn_detectors(given: model.TurnDetector | str | None) -> list[AnyTurnDetector]:
    """The turn detector of a scenario, if it has one."""
    if given is None:
        return []
    if isinstance(given, str):
        return [WordTurns()]
    if given.takes_ms is None:
        return [Reader(given.guesses)]
    return [Listener(given.guesses, given.takes_ms)]


def _guess(guesses: Mapping[str, float], text: str) -> float:
    ends = [end for end in guesses if text.endswith(end)]
    return guesses[max(ends, key=len)] if ends else 0.5


def recogniser(given: model.SpeechToText) -> ScriptedStt:
    """The speech-to-text service of a scenario."""

    def finals(number: int, words: str) -> list[tuple[float, str]]:
        one = given.utterances.get(number, model.Final())
        if one.is_missing:
            return []
        delay_ms = given.final_ms if one.after_ms is None else one.after_ms
        return [(delay_ms, words if one.text is None else one.text)] * one.times

    return ScriptedStt(interim=given.interim, interim_ms=given.interim_ms, finals=finals)


def voice(given: model.TextToSpeech) -> ScriptedTts:
    """The text-to-speech service of a scenario."""
    return ScriptedTts(
        delay_ms=given.first_sound_ms,
        word_ms=given.word_ms,
        making_ms=given.making_ms,
        has_word_times=given.has_word_times,
    )


class FindsTurns:
    """A provider that leaves turns to the framework, as one that finds them by itself.

    It hears all sound, tells when speech starts and stops, and answers after its own silence. What
    it says and calls is the inner provider's.
    """

    def __init__(self, provider: SpeechToSpeech, settings: model.Service) -> None:
        self.name = "scripted_service"
        self.capabilities = replace(
            provider.capabilities,
            turn_owners=(TurnOwner.PROVIDER,),
            has_speech_events=True,
            turn_silence_ms=settings.silence_ms,
        )
        self._provider = provider
        self._settings = settings

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> "AsyncGenerator[_FindsTurnsLink]":
        """A link that listens for turns."""
        inner = replace(options, turn_owner=TurnOwner.FRAMEWORK)
        async with self._provider.connect(inner) as link:
            rate = self._provider.capabilities.input_formats[0].rate
            yield _FindsTurnsLink(link, self._settings, rate)


class _FindsTurnsLink:
    """Counts its time in the sound it gets, as a service does."""

    def __init__(self, link: S2sLink, settings: model.Service, rate: int) -> None:
        self._link = link
        self._rate = rate
        self._frame = to_samples(FRAME_MILLISECONDS, rate)
        self._end_silence_ms = settings.silence_ms
        stop_ms = FRAME_MILLISECONDS
        self._segmenter = VoiceSegmenter(
            VoiceSettings(start_ms=settings.start_ms, stop_ms=stop_ms), rate
        )
        self._past: list[bytes] = []
        self._keep = (_PREROLL_MS + settings.start_ms) // FRAME_MILLISECONDS
        self._is_turn = False
        self._quiet_ms = 0.0
        self._deliver: Callable[[S2sEvent], None] | None = None
        self._early: list[S2sEvent] = []

    def send(self, command: S2sCommand, /) -> None:
        """Listen, or do as told."""
        match command:
            case SendAudio():
                for start in range(0, len(command.pcm), self._frame * 2):
                    self._hear(command.pcm[start : start + self._frame * 2])
            case StartUserTurn() | EndUserTurn():
                pass
            case _:
                self._link.send(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """Deliver by call."""
        self._deliver = deliver
        early, self._early = self._early, []
        for event in early:
            deliver(event)
        self._link.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._link)

    def _hear(self, pcm: bytes) -> None:
        samples = len(pcm) // 2
        change = self._segmenter.hear(float(is_loud(pcm)), samples)
        if self._is_turn:
            self._link.send(SendAudio(pcm=pcm))
        else:
            self._past = [*self._past, pcm][-self._keep :]
        if isinstance(change, VoiceStarted) and not self._is_turn:
            self._begin()
        self._quiet_ms = (
            0 if is_loud(pcm) else self._quiet_ms + to_milliseconds(samples, self._rate)
        )
        if self._is_turn and self._quiet_ms >= self._end_silence_ms:
            self._is_turn = False
            self._tell(SpeechStopped())
            self._link.send(EndUserTurn())

    def _begin(self) -> None:
        self._is_turn = True
        self._tell(SpeechStarted())
        self._link.send(StartUserTurn())
        for pcm in self._past:
            self._link.send(SendAudio(pcm=pcm))
        self._past = []

    def _tell(self, event: S2sEvent) -> None:
        if self._deliver is None:
            self._early.append(event)  # kept sound is sent before the session attaches
        else:
            self._deliver(event)
