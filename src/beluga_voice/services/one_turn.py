"""One utterance and its answer, over a connection of their own.

How it works. The utterance is sent as fast as the link takes it, or at the pace of speech where the
service wants that. A service that finds the ends of turns itself hears silence after it, at the
pace of speech, until it has answered: its clock is our sound. A response that calls tools is not
the answer yet; the one that follows their results is. A response that the service broke off,
because the utterance went on, is none either. The sound of a duplex model goes on in silence after
its words, by which their end is known: that is left out.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from beluga_voice.audio.formats import AudioFormat, pcm16, to_milliseconds
from beluga_voice.errors import LinkLost, ProviderError, Silent, ToolFailed
from beluga_voice.events import (
    AnswerTool,
    EndUserTurn,
    InputTranscript,
    LinkClosed,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sEvent,
    SendAudio,
    ServiceFailed,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Capabilities,
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
    Tool,
    TurnOwner,
    input_format_of,
    output_format_of,
)
from beluga_voice.services.recording import PIECE_MS, Feeder, recording_of, silence_of
from beluga_voice.session.tools import run_tool
from beluga_voice.support import owner_of
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    from beluga_voice.audio.wav import Sound

SILENT_PEAK = 64
"""What is louder in 16 bits than this is sound."""
TRANSCRIPT_SECONDS = 2.0
"""How long the person's words are waited for after the answer is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A tool that the model called, and what it gave."""

    name: str
    arguments: str
    output: str
    is_error: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTiming:
    """Where the time went, in milliseconds; `None` for what did not happen."""

    connect_ms: float
    """Until the service was ready."""
    sending_ms: float
    """From then until the utterance was sent."""
    first_audio_ms: float | None
    """From then to the first sound of the answer; negative if that came before."""
    total_ms: float
    """From the call to the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a service answered to one utterance."""

    audio: bytes
    """Mono 16-bit PCM at `rate`; empty if it had nothing to say."""
    rate: int
    transcript: str
    """What the person said, where the service writes it down."""
    text: str
    """The words of the answer."""
    is_complete: bool
    """Whether that is all the service had to say: it ran into no limit, and did not break off."""
    tool_runs: tuple[ToolRun, ...]
    usage: Usage
    """The sum of what was reported; `None` where nothing was."""
    timing: AnswerTiming

    @property
    def duration_ms(self) -> float:
        """The length of the sound."""
        return to_milliseconds(len(self.audio) // 2, self.rate)


async def one_turn(
    provider: SpeechToSpeech,
    options: S2sOptions,
    audio: "bytes | Sound",
    *,
    rate: int | None,
    tools: Mapping[str, Tool],
    timeout_seconds: float,
) -> Answer:
    """Ask, and wait for the whole answer; see `SpeechToSpeechService.process`."""
    capabilities = provider.capabilities
    source = input_format_of(capabilities, options.input_format)
    target = output_format_of(capabilities, options.output_format)
    speech = recording_of(audio, rate or source.rate, source)
    began = asyncio.get_running_loop().time()
    seconds = len(speech) / source.block_bytes / source.rate
    is_paced = _is_paced(capabilities)
    limit = asyncio.timeout(timeout_seconds + (seconds if is_paced else 0))
    try:
        async with limit, provider.connect(options) as link:
            turn = _Turn(provider, options, link, source=source, tools=tools, began=began)
            await turn.run(speech)
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{provider.name} gave no whole answer within {timeout_seconds:g} s"
        raise Silent(message, op="process", provider=provider.name) from error
    return turn.answer(target)


@dataclass(slots=True)
class _Turn:
    """One question and its answer, while they happen."""

    provider: SpeechToSpeech
    options: S2sOptions
    link: S2sLink
    source: AudioFormat
    tools: Mapping[str, Tool]
    began: float
    connected: float = 0.0
    sent: float | None = None
    first_audio: float | None = None
    ended: float = 0.0
    sounds: dict[ResponseId, list[bytes]] = field(default_factory=dict[ResponseId, list[bytes]])
    texts: dict[ResponseId, list[ResponseText]] = field(
        default_factory=dict[ResponseId, list[ResponseText]]
    )
    words: dict[UtteranceId, str] = field(default_factory=dict[UtteranceId, str])
    runs: list[ToolRun] = field(default_factory=list[ToolRun])
    running: dict[ToolCallId, asyncio.Task[None]] = field(
        default_factory=dict[ToolCallId, asyncio.Task[None]]
    )
    withdrawn: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    usages: list[Usage] = field(default_factory=list[Usage])
    open_responses: set[ResponseId] = field(default_factory=set[ResponseId])
    callers: set[ResponseId] = field(default_factory=set[ResponseId])
    """Responses that called a tool."""
    is_fresh: bool = False
    """Whether there was sound after the last tool was answered."""
    has_answer: bool = False
    is_complete: bool = True
    failure: ProviderError | None = None
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    known: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def run(self, speech: bytes) -> None:
        """Send the utterance, and be there until it is answered."""
        self.connected = self._loop.time()
        self.link.attach(self._hear)
        async with self._helped(speech):
            await self.whole.wait()
            if self.failure is not None:
                raise self.failure
            self.ended = self._loop.time()
            await self._wait_for_words()

    @asynccontextmanager
    async def _helped(self, speech: bytes) -> AsyncGenerator[None]:
        """Send in the background; nothing goes on when this is left."""
        sender = asyncio.create_task(self._send(speech), name="beluga-voice one turn sender")
        sender.add_done_callback(self._sender_ended)
        try:
            yield
        finally:
            tasks = [sender, *self.running.values(), *self.withdrawn]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _sender_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            failed = ProviderError(f"sending failed: {type(error).__name__}", op="process")
            failed.__cause__ = error
            self._fail(failed)

    # ── to the service ──────────────────────────────────────────────────────────────────────

    async def _send(self, speech: bytes) -> None:
        capabilities = self.provider.capabilities
        is_ours = owner_of(self.options, capabilities) is TurnOwner.FRAMEWORK
        is_paced = _is_paced(capabilities)
        if is_ours:
            self.link.send(StartUserTurn())
        await Feeder(self.link, self.source, is_paced=is_paced).feed(speech, SendAudio)
        self.sent = self._loop.time()
        if is_ours:
            self.link.send(EndUserTurn())
        self._look()
        silence = silence_of(self.source, PIECE_MS)
        paced = Feeder(self.link, self.source, is_paced=True)
        while not is_ours:
            await paced.feed(silence, SendAudio)

    async def _run(self, call: ToolCalled) -> None:
        one = self.tools.get(call.name)
        try:
            if one is None:
                raise ToolFailed(f"there is no tool named {call.name!r}", op="tools")
            output, is_error = await run_tool(one, call.arguments), False
        except ToolFailed as error:
            output, is_error = error.message, True
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            # Something inside the tool was cancelled, not the tool by us.
            output, is_error = f"the tool {call.name!r} was cancelled", True
        self.runs.append(
            ToolRun(name=call.name, arguments=call.arguments, output=output, is_error=is_error)
        )
        self.running.pop(call.call_id, None)
        self.link.send(AnswerTool(call_id=call.call_id, output=output, is_error=is_error))

    # ── from the service ────────────────────────────────────────────────────────────────────

    def _hear(self, event: S2sEvent) -> None:
        match event:
            case ResponseStarted():
                self.open_responses.add(event.response_id)
            case ResponseAudio():
                if self.first_audio is None:
                    self.first_audio = self._loop.time()
                self.is_fresh = not self.running
                self.sounds.setdefault(event.response_id, []).append(event.pcm)
            case ResponseText():
                self.texts.setdefault(event.response_id, []).append(event)
            case ResponseDone():
                self._done(event)
            case NoResponse():
                self.has_answer = True
                self._look()
            case InputTranscript():
                self.words[event.utterance_id] = event.text
                if event.is_final:
                    self.known.set()
                else:
                    self.known.clear()
            case ToolCalled() if not self.whole.is_set():
                self.has_answer = self.is_fresh = False
                self.callers |= self.open_responses
                name = f"beluga-voice tool {event.name}"
                self.running[event.call_id] = asyncio.create_task(self._run(event), name=name)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if (task := self.running.pop(call_id, None)) is not None:
                        task.cancel()
                        self.withdrawn.append(task)
            case UsageReported():
                self.usages.append(event.usage)
            case ServiceFailed() if event.is_fatal:
                name = self.provider.name
                self._fail(error_of(event, op="process", provider=name, otherwise=LinkLost))
            case LinkClosed():
                message = f"{self.provider.name} ended before its answer was whole: {event.reason}"
                self._fail(LinkLost(message, op="process", provider=self.provider.name))
            case _:
                pass

    def _done(self, event: ResponseDone) -> None:
        self.open_responses.discard(event.response_id)
        if event.usage is not None:
            self.usages.append(event.usage)
        if event.status is ResponseStatus.CANCELLED:
            self.sounds.pop(event.response_id, None)
            self.texts.pop(event.response_id, None)
            self.first_audio = self.first_audio if self.sounds else None
            return
        if event.status is ResponseStatus.FAILED:
            message = event.reason or "the response failed"
            self._fail(ProviderError(message, op="process", provider=self.provider.name))
            return
        self.is_complete = event.status is ResponseStatus.COMPLETED
        # A response that called tools is followed by another, or went on after their results.
        self.has_answer = self.is_fresh or event.response_id not in self.callers
        self._look()

    def _look(self) -> None:
        """Is the answer whole?"""
        is_sent = self.sent is not None
        if is_sent and self.has_answer and not self.open_responses and not self.running:
            self.whole.set()

    def _fail(self, error: ProviderError) -> None:
        # A lost link fails the response first, and is the better reason.
        if not self.whole.is_set() or (self.failure is not None and isinstance(error, LinkLost)):
            self.failure = error
            self.whole.set()

    async def _wait_for_words(self) -> None:
        """A service may write down what it heard later than it answers."""
        if not self.provider.capabilities.has_input_transcript:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(TRANSCRIPT_SECONDS):
                await self.known.wait()

    # ── what came of it ─────────────────────────────────────────────────────────────────────

    def answer(self, target: AudioFormat) -> Answer:
        """All of it."""
        audio = b"".join(pcm for pieces in self.sounds.values() for pcm in pieces)
        if target != pcm16(target.rate):
            from beluga_voice.audio.convert import Converter

            converter = Converter(target, pcm16(target.rate))
            audio = converter.feed(audio) + converter.flush()
        if owner_of(self.options, self.provider.capabilities) is TurnOwner.DUPLEX:
            audio = _without_silence_after(audio)
        sent = self.connected if self.sent is None else self.sent
        first = self.first_audio
        return Answer(
            audio=audio,
            rate=target.rate,
            transcript=" ".join(text for text in self.words.values() if text),
            text=" ".join(filter(None, map(_text, self.texts.values()))),
            is_complete=self.is_complete,
            tool_runs=tuple(self.runs),
            usage=_sum(self.usages),
            timing=AnswerTiming(
                connect_ms=_ms(self.connected - self.began),
                sending_ms=_ms(sent - self.connected),
                first_audio_ms=None if first is None else _ms(first - sent),
                total_ms=_ms(self.ended - self.began),
            ),
        )


def _is_paced(capabilities: Capabilities) -> bool:
    """Whether sound goes out at the pace of speech."""
    return capabilities.needs_paced_input or capabilities.needs_continuous_input


def _without_silence_after(pcm: bytes) -> bytes:
    """The sound up to its last loud sample."""
    import numpy as np

    samples = np.frombuffer(pcm, "<i2")
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > SILENT_PEAK)
    return pcm[: (int(loud[-1]) + 1) * 2] if len(loud) else b""


def _text(pieces: list[ResponseText]) -> str:
    """The words that were spoken; where only the plan is known, that."""
    spoken = [one.delta for one in pieces if one.stage is TextStage.SPOKEN]
    planned = [one.delta for one in pieces if one.stage is TextStage.PLANNED]
    return "".join(planned or spoken).strip()


def _sum(usages: list[Usage]) -> Usage:
    """What was counted, added up."""
    total = Usage()
    for name in Usage.__struct_fields__:
        counted = [value for usage in usages if (value := getattr(usage, name)) is not None]
        if counted:
            total = replace(total, **{name: sum(counted)})
    return total


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
