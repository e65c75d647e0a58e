"""One utterance and its answer, over a connection of their own.

How it works. The utterance is sent as fast as the link takes it, or at the pace of speech where the
service wants that, or finds the ends of turns itself. Such a service hears silence after it, until
it has answered: its clock is our sound. A response that calls tools is not the answer yet; the one
that follows their results is. A response that the service broke off, because the utterance went on,
is none either. The sound of a duplex model goes on in silence after its words, by which their end
is known: that is left out.

A service that finds the ends of turns may find one in the middle of a recording, where the person
pauses, and answer each part. Then all of it is the answer, in order: what began before the last
voice was sent answers a part only, and the rest is waited for. Where the recording has such a
pause, one more moment is waited (`SETTLE_SECONDS`), since an answer to the first part may be late;
and where nothing more comes (`MORE_SECONDS`), for the rest was no words, what there is has to do.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from beluga_voice.audio.formats import AudioFormat, pcm16, to_milliseconds
from beluga_voice.errors import LinkLost, ProviderError, Silent, ToolFailed, WrongFormat
from beluga_voice.events import (
    AnswerTool,
    EndUserTurn,
    InputCommitted,
    InputTranscript,
    Interrupted,
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
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    Usage,
    UsageReported,
    UtteranceId,
    WorkEnded,
    WorkId,
    WorkStarted,
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
from beluga_voice.services.recording import (
    PIECE_MS,
    Feeder,
    Voiced,
    recording_of,
    silence_of,
    voiced_in,
)
from beluga_voice.session.tools import run_tool
from beluga_voice.support import owner_of
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    from beluga_voice.audio.wav import Sound

SILENT_PEAK = 64
"""What is louder in 16 bits than this is sound."""
TRANSCRIPT_SECONDS = 2.0
"""How long the person's words are waited for after the answer is whole."""
SETTLE_SECONDS = 3.0
"""From the last voice of a recording with pauses: by then a service has found the end of a turn."""
MORE_SECONDS = 8.0
"""How long an answer to the rest of a recording is waited for, of which a part was answered."""
USAGE_SECONDS = 1.0
"""How long, from when the answer would have been heard, what it cost is waited for."""
FOLLOW_SECONDS = 5.0
"""From a tool call: by then a service that ends its response there has begun another, or has kept
it open for the result, and had no more to say."""


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
    """What a service answered to one utterance; if it did so in parts, all of them in order."""

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
    """The sum of what was reported; `None` where nothing was. Services that are paid by the minute
    count when the session ends. Some count when the answer would have been heard (Gemini Live, Nova
    Sonic): they are waited for.
    """
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
    speech = recording_of(audio, source.rate if rate is None else rate, source)
    began = asyncio.get_running_loop().time()
    seconds = len(speech) / source.block_bytes / source.rate
    is_paced = _is_paced(options, capabilities)
    longest = capabilities.max_connection_seconds
    if is_paced and longest is not None and seconds >= longest:
        message = (
            f"this is {seconds:.0f} s of sound at the pace of speech, and a connection to "
            f"{provider.name} lasts {longest:.0f} s; give it in parts"
        )
        raise WrongFormat(message, op="process")
    turn: _Turn | None = None
    limit = asyncio.timeout(timeout_seconds + (seconds if is_paced else 0))
    try:
        async with limit, provider.connect(options) as link:
            turn = _Turn(provider, options, link, source=source, tools=tools, began=began)
            await turn.run(speech)
    except TimeoutError as error:
        if not limit.expired():
            raise
        message = f"{provider.name} gave no whole answer within {timeout_seconds:g} s"
        if turn is not None and turn.sent is None:
            message = (
                f"{provider.name} had not taken all of the {seconds:.0f} s of sound within "
                f"{timeout_seconds:g} s; allow more (timeout_seconds), or give less at once"
            )
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
    voiced_until: float = 0.0
    """When the last voice of the recording was sent."""
    has_pauses: bool = False
    """Whether the recording may be taken for several turns."""
    ended: float = 0.0
    first_sounds: dict[ResponseId, float] = field(default_factory=dict[ResponseId, float])
    sounds: dict[ResponseId, list[bytes]] = field(default_factory=dict[ResponseId, list[bytes]])
    texts: dict[ResponseId, list[ResponseText]] = field(
        default_factory=dict[ResponseId, list[ResponseText]]
    )
    words: dict[UtteranceId, str] = field(default_factory=dict[UtteranceId, str])
    heard: set[UtteranceId] = field(default_factory=set[UtteranceId])
    runs: list[ToolRun] = field(default_factory=list[ToolRun])
    running: dict[ToolCallId, asyncio.Task[None]] = field(
        default_factory=dict[ToolCallId, asyncio.Task[None]]
    )
    withdrawn: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    works: set[WorkId] = field(default_factory=set[WorkId])
    usages: list[Usage] = field(default_factory=list[Usage])
    open_responses: dict[ResponseId, float] = field(default_factory=dict[ResponseId, float])
    """When those began that are being made."""
    callers: set[ResponseId] = field(default_factory=set[ResponseId])
    """Responses that called a tool."""
    called: float = 0.0
    """When a tool was called last."""
    told: set[ResponseId] = field(default_factory=set[ResponseId])
    """Those of the callers that were still being made when they had their results."""
    is_fresh: bool = False
    """Whether there was sound after the last tool was answered."""
    answered: dict[ResponseId | None, float] = field(default_factory=dict[ResponseId | None, float])
    """When those responses began that may be the answer; `None` for a turn that got none."""
    has_more: bool = False
    """Whether the service heard the person go on after the last response began."""
    not_before: float = 0.0
    """Until when another response may follow the tool that was called last."""
    happened: float = 0.0
    """When something was heard or said last."""
    timer: asyncio.TimerHandle | None = None
    incomplete: set[ResponseId] = field(default_factory=set[ResponseId])
    failure: ProviderError | None = None
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    known: asyncio.Event = field(default_factory=asyncio.Event)
    counted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    @property
    def _is_ours(self) -> bool:
        """Whether we say where the utterance ends."""
        return owner_of(self.options, self.provider.capabilities) is TurnOwner.FRAMEWORK

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
            await self._wait_for_usage()

    @asynccontextmanager
    async def _helped(self, speech: bytes) -> AsyncGenerator[None]:
        """Send in the background; nothing goes on when this is left."""
        sender = asyncio.create_task(self._send(speech), name="beluga-voice one turn sender")
        sender.add_done_callback(self._sender_ended)
        try:
            yield
        finally:
            self._stop_timer()
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
        is_ours = self._is_ours
        is_paced = _is_paced(self.options, self.provider.capabilities)
        # Where the utterance ends is said below; otherwise the service goes by the voice in it.
        voiced = Voiced(until=len(speech)) if is_ours else voiced_in(speech, self.source)
        self.has_pauses = voiced.has_pauses
        self.voiced_until = float("inf")
        if is_ours:
            self.link.send(StartUserTurn())
        feeder = Feeder(self.link, self.source, is_paced=is_paced)
        await feeder.feed(speech[: voiced.until], SendAudio)
        self.voiced_until = self._loop.time()
        await feeder.feed(speech[voiced.until :], SendAudio)
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
        self.told |= self.callers & self.open_responses.keys()
        self.link.send(AnswerTool(call_id=call.call_id, output=output, is_error=is_error))

    # ── from the service ────────────────────────────────────────────────────────────────────

    def _hear(self, event: S2sEvent) -> None:
        match event:
            case SpeechStarted() | SpeechStopped() | InputCommitted() | InputTranscript():
                self._hear_person(event)
            case ResponseStarted() | ResponseAudio() | ResponseText() | ResponseDone():
                self._hear_response(event)
            case Interrupted() if not self.whole.is_set():
                for response_id in self._stopped(event.response_id):
                    self._forget(response_id)
            case NoResponse():
                self.answered[None] = self.happened = self._loop.time()
                self._look()
            case ToolCalled() | WorkStarted() if not self.whole.is_set():
                self._begin_work(event)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if (task := self.running.pop(call_id, None)) is not None:
                        task.cancel()
                        self.withdrawn.append(task)
                self.told |= self.callers & self.open_responses.keys()
            case WorkEnded():
                self.works.discard(event.work_id)
            case UsageReported():
                self.usages.append(event.usage)
                self.counted.set()
            case ServiceFailed() if event.is_fatal:
                name = self.provider.name
                self._fail(error_of(event, op="process", provider=name, otherwise=LinkLost))
            case LinkClosed():
                message = f"{self.provider.name} ended before its answer was whole: {event.reason}"
                self._fail(LinkLost(message, op="process", provider=self.provider.name))
            case _:
                pass

    def _hear_person(
        self, event: SpeechStarted | SpeechStopped | InputCommitted | InputTranscript
    ) -> None:
        self.happened = self._loop.time()
        if isinstance(event, SpeechStarted):
            self.has_more = True
        elif not isinstance(event, SpeechStopped) and event.utterance_id not in self.heard:
            self.heard.add(event.utterance_id)
            self.has_more = True
        if isinstance(event, InputTranscript):
            self.words[event.utterance_id] = event.text
            if event.is_final:
                self.known.set()
            else:
                self.known.clear()
        self._look()

    def _begin_work(self, event: ToolCalled | WorkStarted) -> None:
        """What was said so far is not the answer yet."""
        self.answered.clear()
        self.is_fresh = False
        self.callers |= self.open_responses.keys()
        self.called = self._loop.time()
        if isinstance(event, WorkStarted):
            self.works.add(event.work_id)
        else:
            name = f"beluga-voice tool {event.name}"
            self.running[event.call_id] = asyncio.create_task(self._run(event), name=name)

    def _hear_response(
        self, event: ResponseStarted | ResponseAudio | ResponseText | ResponseDone
    ) -> None:
        now = self.happened = self._loop.time()
        match event:
            case ResponseStarted():
                self.open_responses[event.response_id] = now
                self.has_more = False
                self.not_before = 0.0
            case ResponseAudio():
                self.first_sounds.setdefault(event.response_id, now)
                self.is_fresh = not (self.running or self.works)
                self.sounds.setdefault(event.response_id, []).append(event.pcm)
            case ResponseText():
                self.texts.setdefault(event.response_id, []).append(event)
            case ResponseDone():
                self._done(event)

    def _done(self, event: ResponseDone) -> None:
        response_id = event.response_id
        began = self.open_responses.pop(response_id, self.happened)
        if event.usage is not None:
            self.usages.append(event.usage)
        if event.status is ResponseStatus.CANCELLED:
            self._forget(response_id)
            return
        if event.status is ResponseStatus.FAILED:
            message = event.reason or "the response failed"
            self._fail(ProviderError(message, op="process", provider=self.provider.name))
            return
        if event.status is not ResponseStatus.COMPLETED:
            self.incomplete.add(response_id)
        # A response that called tools is followed by another, or went on after their results.
        if self.is_fresh or response_id not in self.callers:
            self.answered[response_id] = began
        elif response_id in self.told:
            self.answered[response_id] = began
            self.not_before = self.called + FOLLOW_SECONDS
        else:
            self.answered.clear()
        self._look()

    def _stopped(self, response_id: ResponseId | None) -> list[ResponseId]:
        """What an interruption takes back: all that was not over, if it names nothing."""
        return [*self.open_responses] if response_id is None else [response_id]

    def _forget(self, response_id: ResponseId) -> None:
        """The service takes a response back: the person went on, and was not to hear it."""
        for kept in (self.sounds, self.texts, self.first_sounds, self.answered):
            kept.pop(response_id, None)
        self.incomplete.discard(response_id)

    def _look(self) -> None:
        """Is the answer whole? If not yet, look again when it may be."""
        self._stop_timer()
        is_busy = bool(self.open_responses or self.running or self.works)
        if self.sent is None or not self.answered or is_busy or self.whole.is_set():
            return
        due = max(self._rest_by(), self.not_before)
        if due <= self._loop.time():
            self.whole.set()
        else:
            self.timer = self._loop.call_at(due, self._look)

    def _rest_by(self) -> float:
        """When all of the recording was answered that ever will be."""
        if self._is_ours:
            return 0.0
        if max(self.answered.values()) < self.voiced_until:
            return max(self.happened, self.voiced_until) + MORE_SECONDS
        if not self.has_pauses:
            return 0.0
        if self.has_more:
            return self.happened + MORE_SECONDS
        return self.voiced_until + SETTLE_SECONDS

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

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

    async def _wait_for_usage(self) -> None:
        """A service may count only when the answer would have been heard, and says so."""
        if self.usages or not getattr(self.provider, "usage_follows", False):
            return
        rate = output_format_of(self.provider.capabilities, self.options.output_format).rate
        bytes_in_all = sum(len(pcm) for pieces in self.sounds.values() for pcm in pieces)
        first = min(self.first_sounds.values(), default=self.ended)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(first + bytes_in_all / 2 / rate + USAGE_SECONDS):
                await self.counted.wait()

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
        first = min(self.first_sounds.values(), default=None)
        return Answer(
            audio=audio,
            rate=target.rate,
            transcript=" ".join(text for text in self.words.values() if text),
            text=" ".join(filter(None, map(_text, self.texts.values()))),
            is_complete=not self.incomplete,
            tool_runs=tuple(self.runs),
            usage=_sum(self.usages),
            timing=AnswerTiming(
                connect_ms=_ms(self.connected - self.began),
                sending_ms=_ms(sent - self.connected),
                first_audio_ms=None if first is None else _ms(first - sent),
                total_ms=_ms(self.ended - self.began),
            ),
        )


def _is_paced(options: S2sOptions, capabilities: Capabilities) -> bool:
    """Whether sound goes out at the pace of speech."""
    is_ours = owner_of(options, capabilities) is TurnOwner.FRAMEWORK
    return capabilities.needs_paced_input or capabilities.needs_continuous_input or not is_ours


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
