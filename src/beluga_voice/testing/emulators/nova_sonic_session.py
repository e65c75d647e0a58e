"""One conversation of an emulated Nova Sonic, whatever wire it comes over.

How it works. The ears find the person's turns in the sound, the brain decides what to do, and test
speech goes out faster than it sounds. Like the service it keeps count of what would be sounding,
is interrupted as long as something would be, and tells afterwards what was spoken, as it believes.
It says nothing at all before the first event came.

Source: https://docs.aws.amazon.com/nova/latest/nova2-userguide/sonic-output-events.html, read
2026-11-21, and what published integrations do where it is silent.
"""

import asyncio
import base64
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec

from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult, ToolSpec
from beluga_voice.testing.emulators.mishaps import Mishap, Mishaps
from beluga_voice.testing.emulators.nova_sonic_frames import (
    BadEvent,
    ClientEvent,
    Content,
    PromptStart,
    SessionStart,
    parse,
    sound_of,
)
from beluga_voice.testing.emulators.nova_sonic_order import NovaSonicOrder
from beluga_voice.testing.emulators.nova_sonic_said import Accept, End, Raise, Said, Stall
from beluga_voice.testing.emulators.speech import (
    Asked,
    Brain,
    Calls,
    Deed,
    Fails,
    Faults,
    HearingVad,
    Pace,
    Speaks,
    VoiceBegan,
    answer,
    echo,
    transcript_of,
    voice,
)
from beluga_voice.testing.emulators.witness import Side, show
from beluga_voice.testing.speech import WORD_MS, pcm_of

PAUSE_MS = {"HIGH": 1500, "MEDIUM": 1750, "LOW": 2000}
"""The silence that ends a turn: the first is documented, the others are longer."""
SURE_MS = 100
"""A voice shorter than this interrupts nothing."""
BLOCK_WORDS = 3
"""A transcript comes in blocks of so many words."""
TOKENS_PER_SECOND = 25
"""Of sound, either way."""

MAX_CONNECTION_MS = 480_000
IDLE_MS = 55_000
EXPIRED = "The session has reached its maximum duration of 8 minutes."
SURVIVED = "Tool Response parsing error"
"""The words of an exception after which the stream goes on."""
TIMED_OUT = (
    "Model has timed out in processing the request. Try your request again, or end the session."
)


@dataclass(slots=True, kw_only=True)
class NovaSonicService:
    """What all sessions of one service share; see `NovaSonicEmulator`."""

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    word_ms: int = WORD_MS
    silence_ms: float | None = None
    sure_ms: float = SURE_MS
    idle_ms: float = IDLE_MS
    max_connection_ms: float = MAX_CONNECTION_MS
    ends_completions: bool = False


class NovaSonicSession:
    """One stream."""

    def __init__(
        self,
        service: NovaSonicService,
        faults: Faults,
        put: Callable[[Said], None],
        tasks: asyncio.TaskGroup,
        *,
        model: str,
        number: int,
    ) -> None:
        self._service = service
        self._faults = faults
        self._mishaps = Mishaps(faults)
        self._put = put if not faults.answers_after_ms else self._hold
        self._answer = put
        self._held: list[Said] = []
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._id = f"session-{number}"
        self.model = model
        self.received: list[dict[str, Any]] = []
        """Every event that came, whether it was right or not."""
        self.sent: list[dict[str, Any]] = []
        """Every event that went out."""
        self.errors: list[Raise] = []
        self.history: list[HistoryItem] = []
        """What was said, as the service believes it was heard."""
        self.is_polite = False
        """Whether the client ended the session with `sessionEnd`."""
        self._order = NovaSonicOrder()
        self._is_over = False
        self._is_accepted = False
        self._timers: list[asyncio.TimerHandle] = []
        self._idle: asyncio.TimerHandle | None = None
        # ── the prompt
        self._start: SessionStart | None = None
        self._prompt: PromptStart | None = None
        self._texts: dict[str, str] = {}
        self._instructions = ""
        self._tools: tuple[ToolSpec, ...] = ()
        self._rate = 24000
        # ── the person
        self._vad: HearingVad | None = None
        self._utterance = bytearray()
        self._sure_at: int | None = None
        self._unanswered: list[str] = []
        self._heard_seconds = 0.0
        # ── the model
        self._turn: asyncio.Task[None] | None = None
        self._completions = 0
        self._is_complete = True
        self._contents = 0
        self._sounding: str | None = None
        self._words: list[tuple[float, str]] = []
        self._sounding_until = 0.0
        self._spoken_samples = 0
        self._counted = (0, 0, 0, 0)
        self._call_count = 0
        self._calls: dict[str, str] = {}
        self._results: list[ToolResult] = []

    # ── the stream ──────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """The request came; it lasts so long and no longer."""
        faults, service = self._faults, self._service
        if faults.is_mute:
            self._put(Stall())
        lasts_ms = faults.expire_after_ms or service.max_connection_ms
        self._timers.append(self._loop.call_later(lasts_ms / 1000, self.expire))
        self._wait()

    def end(self) -> None:
        """The stream is gone."""
        self._is_over = True
        for timer in (*self._timers, self._idle):
            if timer is not None:
                timer.cancel()
        if self._turn is not None and self._turn is not asyncio.current_task():
            self._turn.cancel()

    def expire(self) -> None:
        """End a session that has lasted too long."""
        self.fail("ValidationException", EXPIRED)

    def fail(self, kind: str, message: str) -> None:
        """Raise an exception, which ends the stream unless it is one that it survives."""
        if self._is_over:
            return
        self._complain(Raise(kind, message))
        if message != SURVIVED:
            self._put(End())
            self.end()

    def _complain(self, error: Raise) -> None:
        self.errors.append(error)
        self._put(error)

    def _wait(self) -> None:
        """The client has to say something from time to time."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(
            self._service.idle_ms / 1000, self.fail, "ModelTimeoutException", TIMED_OUT
        )

    def take(self, message: str | bytes) -> None:
        """Take one message of the client."""
        if self._is_over:
            return
        self._wait()
        try:
            event, plain = parse(message)
            self.received.append(plain)
            self._order.take(event)
            if not self._is_accepted:
                self._is_accepted = True
                self._put(Accept())
                self._answer_later(self._faults.answers_after_ms)
            self._obey(event)
        except BadEvent as error:
            self.fail("ValidationException", str(error))
        else:
            show("nova_sonic", Side.CLIENT, plain)

    def _obey(self, event: ClientEvent) -> None:
        if event.session_start is not None:
            self._start = event.session_start
        elif event.prompt_start is not None:
            self._begin_prompt(event.prompt_start)
        elif event.content_start is not None:
            if (sound := event.content_start.audio_input_configuration) is not None:
                self._listen(sound.sample_rate_hertz)
            if event.content_start.type == "TEXT":
                self._texts[event.content_start.content_name] = ""
            if (result := event.content_start.tool_result_input_configuration) is not None:
                self._expect(result.tool_use_id)
        elif event.text_input is not None:
            self._texts[event.text_input.content_name] += event.text_input.content
        elif event.audio_input is not None:
            self._hear(sound_of(event.audio_input))
        elif event.tool_result is not None:
            self._answered(event.tool_result)
        elif event.content_end is not None:
            self._text_is_whole(event.content_end.content_name)
        elif event.prompt_end is not None:
            self._stop_turn()
            self._complete("END_TURN")
        elif event.session_end is not None:
            self.is_polite = True
            self._put(End())
            self.end()

    def _hold(self, said: Said) -> None:
        """Keep what is said before the request is answered."""
        self._held.append(said)

    def _answer_later(self, after_ms: float) -> None:
        """Answer the request, so long after its first event."""
        if 0 < after_ms < math.inf:
            self._timers.append(self._loop.call_later(after_ms / 1000, self._answered_now))

    def _answered_now(self) -> None:
        self._put = self._answer
        for said in self._held:
            self._put(said)
        self._held.clear()

    def _say(self, name: str, **fields: Any) -> None:
        if self._is_over:
            return
        names = {
            "sessionId": self._id,
            "promptName": self._prompt.prompt_name if self._prompt else "",
            "completionId": f"completion-{self._completions}",
        }
        event = {name: {**names, **fields}}
        self.sent.append(event)
        show("nova_sonic", Side.SERVICE, event)
        self._put(msgspec.json.encode({"event": event}))

    # ── the prompt ──────────────────────────────────────────────────────────────────────────

    def _begin_prompt(self, start: PromptStart) -> None:
        self._prompt = start
        self._rate = start.audio_output_configuration.sample_rate_hertz
        configuration = start.tool_configuration
        if configuration is None:
            return
        specs = [one.tool_spec for one in configuration.tools]
        for one in specs:
            try:
                msgspec.json.decode(one.input_schema.json, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise BadEvent(f"The inputSchema of {one.name} is no JSON Schema.") from error
        self._tools = tuple(
            ToolSpec(name=one.name, description=one.description, parameters=one.input_schema.json)
            for one in specs
        )

    def _text_is_whole(self, name: str) -> None:
        text = self._texts.pop(name, None)
        if text is None:
            return
        start = next(
            one["contentStart"]
            for one in reversed(self.received)
            if one.get("contentStart", {}).get("contentName") == name
        )
        match start["role"]:
            case "USER" if start["interactive"]:
                self._interrupt()
                self._person_said(text, transcribed=False)
            case "USER":
                self.history.append(Message(role=Role.USER, text=text))
            case "ASSISTANT":
                self.history.append(Message(role=Role.AGENT, text=text))
            case _:
                self._instructions += text

    # ── the person ──────────────────────────────────────────────────────────────────────────

    def _listen(self, rate: int) -> None:
        detection = self._start.turn_detection_configuration if self._start else None
        level = "HIGH" if detection is None else detection.endpointing_sensitivity
        pause_ms = self._service.silence_ms or PAUSE_MS[level]
        self._vad = HearingVad(rate=rate, silence_ms=pause_ms)

    def _hear(self, pcm: bytes) -> None:
        vad = self._vad
        assert vad is not None
        self._heard_seconds += len(pcm) / 2 / vad.rate
        self._utterance += pcm
        for change in vad.hear(pcm):
            if isinstance(change, VoiceBegan):
                self._sure_at = change.at + to_samples(self._service.sure_ms, vad.rate)
            else:
                self._sure_at = None
                text = transcript_of(bytes(self._utterance), vad.rate)
                self._utterance.clear()
                if text:
                    self._person_said(text, transcribed=True)
        if self._sure_at is not None and vad.position >= self._sure_at:
            self._sure_at = None
            self._interrupt()
        if not vad.is_voice:
            del self._utterance[: max(len(self._utterance) - vad.rate, 0)]  # half a second

    def _person_said(self, text: str, *, transcribed: bool) -> None:
        self._unanswered.append(text)
        self.history.append(Message(role=Role.USER, text=text))
        self._respond(text if transcribed else "")

    def _tell_words(self, text: str) -> None:
        """The transcript, in a block or in several."""
        words = text.split()
        for start in range(0, len(words), BLOCK_WORDS):
            part = " ".join(words[start : start + BLOCK_WORDS])
            self._text("USER", "FINAL", part, reason="PARTIAL_TURN")

    # ── the model ───────────────────────────────────────────────────────────────────────────

    def _respond(self, transcript: str = "") -> None:
        """Begin a turn; one that goes on gives way to it."""
        self._stop_turn()
        self._run(self._take_turn(transcript))

    def _run(self, turn: Coroutine[Any, Any, None]) -> None:
        self._turn = self._tasks.create_task(turn, name="emulator turn")

    async def _take_turn(self, transcript: str) -> None:
        pace = self._service.pace
        if self._is_complete:
            self._completions += 1
            self._is_complete = False
            self._say("completionStart")
        if transcript:
            await _pause(pace.transcript_ms)
            self._tell_words(transcript)
        await _pause(pace.thinking_ms)
        if self._mishaps.takes_error():
            kind = self._faults.error_code or "ModelErrorException"
            self.fail(kind, self._faults.error_message or "The model failed.")
            if self._is_over:
                return
        asked = Asked(
            text=" ".join(self._unanswered),
            instructions=self._instructions,
            history=tuple(self.history),
            tools=self._tools,
            results=tuple(self._results),
        )
        self._unanswered.clear()
        self._results.clear()
        deeds = answer(self._service.brain, asked)
        for number, deed in enumerate(deeds):
            await self._do(deed, is_last=number == len(deeds) - 1)
        await _pause((self._sounding_until - self._loop.time()) * 1000)
        self._spoken(heard_until=self._sounding_until)
        self._count()
        if self._service.ends_completions and not self._calls:
            self._complete("END_TURN")
        self._turn = None
        if self._results and not self._calls:
            self._respond()

    async def _do(self, deed: Deed, *, is_last: bool) -> None:
        match deed:
            case Speaks():
                await self._speak(deed.text, is_last=is_last)
            case Calls():
                self._call(deed)
            case Fails():
                self.fail("ModelStreamErrorException", deed.message)
                await self._loop.create_future()

    def _complete(self, reason: str) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._say("completionEnd", stopReason=reason)

    async def _speak(self, text: str, *, is_last: bool) -> None:
        """A sentence: the words that are meant, then their sound."""
        now = self._loop.time()
        self._sounding_until = max(self._sounding_until, now)
        self._text("ASSISTANT", "SPECULATIVE", text, reason="PARTIAL_TURN")
        content = self._content("AUDIO", "ASSISTANT", audioOutputConfiguration=self._lpcm())
        self._sounding = content
        words = voice(text, rate=self._rate, sounding_ms=self._service.word_ms)
        for number, word in enumerate(words):
            if number:
                await _pause(self._service.pace.word_ms)
            pcm = pcm_of([word])
            self._spoken_samples += len(pcm) // 2
            sounding = max(self._sounding_until, self._loop.time())
            self._sounding_until = sounding + len(pcm) / 2 / self._rate
            self._words.append((self._sounding_until, word.text))
            data = base64.b64encode(pcm).decode()
            self._say("audioOutput", contentId=content, content=data)
            await self._go_wrong(to_milliseconds(len(pcm) // 2, self._rate))
        self._end_sound("END_TURN" if is_last else "PARTIAL_TURN")

    def _lpcm(self) -> dict[str, Any]:
        return {
            "mediaType": "audio/lpcm",
            "sampleRateHertz": self._rate,
            "sampleSizeBits": 16,
            "encoding": "base64",
            "channelCount": 1,
        }

    async def _go_wrong(self, ms: float) -> None:
        """What happens now that so much more sound was sent."""
        for mishap in self._mishaps.sounded(ms):
            match mishap:
                case Mishap.MALFORMED:
                    self._put(b'{"event":{"audioOutput":')
                case Mishap.STALL:
                    self._put(Stall())
                case Mishap.DROP:
                    self._put(End(is_broken=True, code=self._faults.close_code))
                    await self._loop.create_future()

    def _spoken(self, *, heard_until: float, is_cut: bool = False) -> None:
        """Tell what was spoken, as far as it was heard, and whether that was all."""
        heard = " ".join(word for until, word in self._words if until < heard_until + 1e-6)
        self._words = []
        self._sounding_until = 0.0
        if heard:
            self.history.append(Message(role=Role.AGENT, text=heard))
        texts = [heard] if heard else []
        if is_cut:
            texts.append('{ "interrupted" : true }')
        if texts:
            self._text("ASSISTANT", "FINAL", *texts, reason="INTERRUPTED" if is_cut else "END_TURN")

    def _stop_turn(self) -> None:
        if self._turn is not None and self._turn is not asyncio.current_task():
            self._turn.cancel()
        self._turn = None

    def _interrupt(self) -> None:
        """Stop the model, if it speaks or would be heard; what it thinks of is thought anew."""
        self._stop_turn()
        self._end_sound("END_TURN")
        if self._words:
            self._spoken(heard_until=self._loop.time(), is_cut=True)
            self._count()

    def _end_sound(self, reason: str) -> None:
        content, self._sounding = self._sounding, None
        if content is not None:
            self._say("contentEnd", contentId=content, type="AUDIO", stopReason=reason)

    def _content(self, kind: str, role: str, **fields: Any) -> str:
        self._contents += 1
        content = f"content-{self._contents}"
        self._say("contentStart", contentId=content, type=kind, role=role, **fields)
        return content

    def _text(self, role: str, stage: str, *texts: str, reason: str) -> None:
        content = self._content(
            "TEXT",
            role,
            additionalModelFields=f'{{"generationStage":"{stage}"}}',
            textOutputConfiguration={"mediaType": "text/plain"},
        )
        for text in texts:
            self._say("textOutput", contentId=content, role=role, content=text)
        self._say("contentEnd", contentId=content, type="TEXT", stopReason=reason)

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    def _call(self, deed: Calls) -> None:
        self._call_count += 1
        call_id = f"tool-use-{self._call_count}"
        self._calls[call_id] = deed.name
        content = self._content(
            "TOOL", "TOOL", toolUseOutputConfiguration={"mediaType": "application/json"}
        )
        # Every other time it is encoded twice, as is seen on the wire.
        arguments = deed.arguments
        if self._call_count % 2 == 0:
            arguments = msgspec.json.encode(arguments).decode()
        self._say(
            "toolUse",
            contentId=content,
            role="TOOL",
            toolName=deed.name,
            toolUseId=call_id,
            content=arguments,
        )
        self._say("contentEnd", contentId=content, type="TOOL", stopReason="TOOL_USE")

    def _expect(self, tool_use_id: str) -> None:
        if tool_use_id not in self._calls:
            raise BadEvent(f"There is no open tool use {tool_use_id}.")

    def _answered(self, content: Content) -> None:
        start = self._order.block(content.content_name).tool_result_input_configuration
        assert start is not None
        self._calls.pop(start.tool_use_id, None)
        try:
            given = msgspec.json.decode(content.content, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise BadEvent(SURVIVED) from error
        is_error = "error" in given
        output = str(given.get("error" if is_error else "result", content.content))
        result = ToolResult(call_id=ToolCallId(start.tool_use_id), output=output, is_error=is_error)
        self.history.append(result)
        self._results.append(result)
        # Once all are there; a turn that goes on looks for them at its end.
        if not self._calls and self._turn is None:
            self._respond()

    # ── counting ────────────────────────────────────────────────────────────────────────────

    def _count(self) -> None:
        heard = int(self._heard_seconds * TOKENS_PER_SECOND)
        spoken = self._spoken_samples * TOKENS_PER_SECOND // self._rate
        text = len(self._instructions.split())
        total = (heard, text, spoken, self._contents)
        before, self._counted = self._counted, total
        delta = tuple(now - then for now, then in zip(total, before, strict=True))
        self._say(
            "usageEvent",
            details={"delta": _tokens(delta), "total": _tokens(total)},
            totalInputTokens=heard + text,
            totalOutputTokens=spoken + self._contents,
            totalTokens=sum(total),
        )


def _tokens(counts: tuple[int, ...]) -> dict[str, Any]:
    heard, read, spoken, written = counts
    return {
        "input": {"speechTokens": heard, "textTokens": read},
        "output": {"speechTokens": spoken, "textTokens": written},
    }


async def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        await asyncio.sleep(milliseconds / 1000)
