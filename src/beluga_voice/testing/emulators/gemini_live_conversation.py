"""One conversation of an emulated Gemini Live.

How it works. The ears find the person's turns in the sound, the brain decides what to do, and test
speech goes out faster than it sounds. Like the service it holds a turn open after the last sound
was sent, for as long as that would be sounding (`generationComplete`, then `turnComplete`), and
believes that was heard which would have sounded by then.
"""

import asyncio
import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult, ToolSpec
from beluga_voice.testing.emulators.gemini_live_frames import (
    BadFrame,
    ClientContent,
    Content,
    ContextUpdate,
    RealtimeInput,
    Setup,
    ToolResponse,
    ToolSet,
    parse,
)
from beluga_voice.testing.emulators.gemini_live_input import (
    GeminiLiveInput,
    Heard,
    Interrupts,
    NothingSaid,
    Spoken,
    Understood,
)
from beluga_voice.testing.emulators.gemini_live_setup import (
    INVALID_ARGUMENT,
    check,
    do_tools_wait,
    is_known,
)
from beluga_voice.testing.emulators.mishaps import Mishap, Mishaps
from beluga_voice.testing.emulators.speech import (
    Asked,
    Brain,
    Calls,
    Deed,
    Fails,
    Faults,
    Pace,
    Speaks,
    answer,
    echo,
    voice,
)
from beluga_voice.testing.emulators.websocket_server import End, Sent, Stall, write
from beluga_voice.testing.emulators.witness import Side, show
from beluga_voice.testing.speech import pcm_of

API_KEY = "emulated-key"
OUTPUT_RATE = 24000
SILENCE_MS = 500
SURE_MS = 100
"""A voice shorter than this interrupts nothing (`prefixPaddingMs`)."""
TOKENS_PER_SECOND = 25
"""Of sound, either way."""

_REASONS = {
    1007: INVALID_ARGUMENT,
    1008: "Operation is not implemented, or supported, or enabled.",
    1011: "Internal error encountered.",
}


@dataclass(slots=True, kw_only=True)
class GeminiLiveService:
    """What all conversations of one service share; see `GeminiLiveEmulator`."""

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    api_key: str = API_KEY
    silence_ms: float = SILENCE_MS
    holds_turns: bool = True
    go_away_ms: float = 1000
    handles: dict[str, list[HistoryItem]] = field(default_factory=dict[str, list[HistoryItem]])
    """What each handle resumes."""


class GeminiLiveConversation:
    """One connection."""

    def __init__(
        self,
        service: GeminiLiveService,
        connection: ServerConnection,
        faults: Faults,
        request: Request,
    ) -> None:
        self._service = service
        self._connection = connection
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self.path = request.path
        self.headers = dict(request.headers.raw_items())
        self.received: list[dict[str, Any]] = []
        """Every frame that came, in camelCase."""
        self.sent: list[dict[str, Any]] = []
        """Every frame that went out."""
        self.setup: Setup | None = None
        self.history: list[HistoryItem] = []
        """What was said, as the service believes it was heard."""
        self.close_reason = ""
        """Why the service closed; empty if it did not."""
        self._out: asyncio.Queue[Sent] = asyncio.Queue()
        self._mishaps = Mishaps(faults)
        self._tasks: asyncio.TaskGroup | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._unanswered: list[str] = []
        # ── the model
        self._instructions = ""
        self._tools: tuple[ToolSpec, ...] = ()
        self._do_tools_wait: dict[str, bool] = {}
        self._turn: asyncio.Task[None] | None = None
        self._words: list[tuple[float, str]] = []
        self._sounding_until = 0.0
        self._spoken_samples = 0
        self._has_begun = False
        self._is_wanted_next = False
        self._results: list[ToolResult] = []
        self._calls: dict[str, tuple[str, asyncio.Future[ToolResult]]] = {}
        self._past_calls: set[str] = set()
        self._call_count = 0

    # ── the connection ──────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Talk until either side ends it."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            writer = tasks.create_task(write(self._connection, self._out), name="emulator writer")
            if self._faults.is_mute:
                self._out.put_nowait(Stall())
            if (after_ms := self._faults.expire_after_ms) is not None:
                ahead_ms = self._faults.warns_ms
                ahead_ms = self._service.go_away_ms if ahead_ms is None else ahead_ms
                warn_ms = max(after_ms - ahead_ms, 0)
                left = f"{(after_ms - warn_ms) / 1000:g}s"
                self._timers.append(self._loop.call_later(warn_ms / 1000, self.go_away, left))
                self._timers.append(self._loop.call_later(after_ms / 1000, self.expire))
            try:
                async for message in self._connection:
                    self._take(message)
            except ConnectionClosed:
                pass
            finally:
                for timer in self._timers:
                    timer.cancel()
                writer.cancel()
                if self._turn is not None:
                    self._turn.cancel()

    def say(self, **frame: Any) -> None:
        """Send a frame."""
        if not self.close_reason:
            self.sent.append(frame)
            show("gemini_live", Side.SERVICE, frame)
            self._out.put_nowait(msgspec.json.encode(frame))

    def close(self, code: int, reason: str = "") -> None:
        """End the connection as the service does."""
        if not self.close_reason:
            self.close_reason = reason or _REASONS.get(code, "closed")
            if self._turn is not None and self._turn is not asyncio.current_task():
                self._turn.cancel()
            # No more than fits into a close frame.
            reason = self.close_reason.encode()[:120].decode(errors="ignore")
            self._out.put_nowait(End(code, reason))

    def go_away(self, time_left: str = "50s") -> None:
        """Say that the connection ends soon."""
        self.say(goAway={"timeLeft": time_left})

    def expire(self) -> None:
        """End a session that has lasted too long."""
        reason = self._faults.close_reason or "Deadline expired before operation could complete."
        self.close(self._faults.close_code or 1011, reason)

    def _take(self, message: str | bytes) -> None:
        if self.close_reason:
            return
        try:
            frame, plain = parse(message)
            self.received.append(plain)
            if self.setup is None:
                if frame.setup is None:
                    raise BadFrame("setup must be the first message.")
                self._set_up(frame.setup)
            elif frame.realtime_input is not None:
                self._realtime(self.setup, frame.realtime_input)
            elif frame.client_content is not None:
                self._content(self.setup, frame.client_content)
            elif frame.tool_response is not None:
                self._answered(frame.tool_response)
            elif frame.context_update is not None:
                self._updated(self.setup, frame.context_update)
            else:
                raise BadFrame("setup can be sent only once, at the beginning.")
        except BadFrame as error:
            self.close(1007, str(error))
        else:
            show("gemini_live", Side.CLIENT, plain)

    # ── the configuration ───────────────────────────────────────────────────────────────────

    def _set_up(self, setup: Setup) -> None:
        key = self.headers.get("x-goog-api-key") or parse_qs(urlsplit(self.path).query)["key"][0]
        if key != self._service.api_key:
            self.close(1007, "API key not valid. Please pass a valid API key.")
            return
        if not is_known(setup.model):
            self.close(
                1008, f"{setup.model} is not found, or is not supported for bidiGenerateContent."
            )
            return
        check(setup)
        self._resume(setup)
        self.setup = setup
        if setup.system_instruction is not None:
            self._instructions = setup.system_instruction.text
        self._use_tools(setup.tools, model=setup.model)
        self._listen(setup)
        self.say(setupComplete={})
        self._offer_handle()

    def _listen(self, setup: Setup) -> None:
        listening = setup.realtime_input_config
        detection = listening.automatic_activity_detection
        padding_ms = detection.prefix_padding_ms
        self._may_be_interrupted = listening.activity_handling == "START_OF_ACTIVITY_INTERRUPTS"
        self._input = GeminiLiveInput(
            finds_turns=not detection.disabled,
            silence_ms=detection.silence_duration_ms or self._service.silence_ms,
            sure_ms=SURE_MS if padding_ms is None else padding_ms,
            tells_at_once=not self._service.pace.transcript_ms,
        )

    def _resume(self, setup: Setup) -> None:
        handle = setup.session_resumption.handle if setup.session_resumption else None
        if handle is None:
            return
        if handle not in self._service.handles:
            raise BadFrame("Request contains an invalid argument: session handle not found.")
        self.history = list(self._service.handles[handle])

    def _use_tools(self, sets: list[ToolSet], *, model: str) -> None:
        declared = [one for tools in sets for one in tools.function_declarations]
        self._tools = tuple(
            ToolSpec(
                name=one.name,
                description=one.description,
                parameters=msgspec.json.encode(
                    one.parameters_json_schema or one.parameters or {}
                ).decode(),
            )
            for one in declared
        )
        usual = "BLOCKING" if do_tools_wait(model) else "NON_BLOCKING"
        self._do_tools_wait = {one.name: (one.behavior or usual) == "BLOCKING" for one in declared}

    def _updated(self, setup: Setup, update: ContextUpdate) -> None:
        if not setup.model.startswith("models/gemini-3.8"):
            raise BadFrame(INVALID_ARGUMENT)
        if update.system_instruction is not None:
            self._instructions = update.system_instruction.text
        if update.tools is not None:
            self._use_tools(update.tools.tools, model=setup.model)

    def _offer_handle(self) -> None:
        if self.setup is not None and self.setup.session_resumption is not None:
            handle = f"handle-{len(self._service.handles) + 1}"
            self._service.handles[handle] = list(self.history)
            self.say(sessionResumptionUpdate={"newHandle": handle, "resumable": True})

    # ── the person ──────────────────────────────────────────────────────────────────────────

    def _realtime(self, setup: Setup, given: RealtimeInput) -> None:
        detection = setup.realtime_input_config.automatic_activity_detection
        if given.audio is not None:
            self._sound(given.audio.mime_type, given.audio.decoded)
        if given.text is not None:
            self._person_wrote(given.text)
        if given.audio_stream_end:
            if detection.disabled:
                raise BadFrame("audio_stream_end needs automatic activity detection.")
            self._heard(self._input.over())
        if given.activity_start is not None or given.activity_end is not None:
            if not detection.disabled:
                raise BadFrame(
                    "Explicit activity control is not supported when automatic activity detection "
                    "is enabled."
                )
            if given.activity_start is not None:
                if self._input.is_active:
                    raise BadFrame("The activity has begun already.")
                self._input.begin()
                self._interrupt()
            if given.activity_end is not None:
                if not self._input.is_active:
                    raise BadFrame("No activity has begun.")
                self._heard(self._input.over())

    def _sound(self, mime_type: str, pcm: bytes) -> None:
        found = re.fullmatch(r"audio/pcm(?:;\s*rate=(\d+))?", mime_type)
        if found is None or len(pcm) % 2:
            raise BadFrame(f"Unsupported audio: {mime_type}")
        self._heard(self._input.hear(pcm, int(found[1] or 16000)))

    def _heard(self, heard: list[Heard]) -> None:
        for one in heard:
            match one:
                case Interrupts():
                    if self._may_be_interrupted or not self._has_begun:
                        self._interrupt()
                case Understood():
                    self._tell_words(one.text)
                case Spoken():
                    self._person_said(one.text)
                case NothingSaid():
                    self._ask_for_more()

    def _tell_words(self, text: str) -> None:
        """Send a piece of the transcript, where one is wanted."""
        if self.setup is None or self.setup.input_audio_transcription is None:
            return
        frame = {"inputTranscription": {"text": text}}
        if delay_ms := self._service.pace.transcript_ms:
            later = self._loop.call_later(delay_ms / 1000, lambda: self.say(serverContent=frame))
            self._timers.append(later)
        else:
            self.say(serverContent=frame)

    def _person_said(self, text: str) -> None:
        if text.strip():
            self._unanswered.append(text)
            self.history.append(Message(role=Role.USER, text=text))
        self._respond()

    def _ask_for_more(self) -> None:
        """A turn that gives nothing to answer."""
        if self._turn is None or self._turn.done():
            self.say(
                serverContent={"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"},
                usageMetadata=self._usage(),
            )

    def _person_wrote(self, text: str) -> None:
        self._interrupt()
        self._person_said(text)

    def _content(self, setup: Setup, content: ClientContent) -> None:
        if any(turn.role not in ("user", "model") for turn in content.turns):
            raise BadFrame("Please use a valid role: user, model.")
        is_first = sum("clientContent" in one for one in self.received) == 1
        is_history = is_first and setup.history_config.initial_history_in_client_content
        if "3.1" in setup.model and not is_history:
            raise BadFrame(INVALID_ARGUMENT)
        if content.turn_complete and not is_history:
            self._interrupt()
        for turn in content.turns:
            self._add(turn, is_asking=content.turn_complete and not is_history)
        if content.turn_complete and not is_history:
            self._respond()

    def _add(self, turn: Content, *, is_asking: bool) -> None:
        role = Role.USER if turn.role == "user" else Role.AGENT
        self.history.append(Message(role=role, text=turn.text))
        if is_asking and role is Role.USER:
            self._unanswered.append(turn.text)

    # ── the model ───────────────────────────────────────────────────────────────────────────

    def _respond(self) -> None:
        """Begin the model's turn, now or after the one that goes on."""
        if self._turn is not None and not self._turn.done():
            self._is_wanted_next = True
            return
        assert self._tasks is not None
        self._turn = self._tasks.create_task(self._take_turn(), name="emulator turn")

    async def _take_turn(self) -> None:
        self._has_begun = False
        self._words = []
        await _pause(self._service.pace.thinking_ms)
        if self._mishaps.takes_error():
            self.close(self._faults.close_code or 1011, self._faults.error_code or "")
            return
        while True:
            asked = Asked(
                text=" ".join(self._unanswered),
                instructions=self._instructions,
                history=tuple(self.history),
                tools=self._tools,
                results=tuple(self._results),
            )
            self._unanswered.clear()
            self._results.clear()
            self._is_wanted_next = False
            waited: list[ToolResult] = []
            for is_calling, deeds in groupby(answer(self._service.brain, asked), _is_call):
                if is_calling:
                    waited += await self._call([*deeds])
                    continue
                for deed in deeds:
                    if isinstance(deed, Fails):
                        self.close(1011, deed.message)
                        return
                    if isinstance(deed, Speaks):
                        await self._speak(deed.text)
            if not waited:
                break
            self._results += waited
            await _pause(self._service.pace.thinking_ms)
        if self._has_begun:
            self.say(serverContent={"generationComplete": True})
            if self._service.holds_turns:
                await _pause((self._sounding_until - self._loop.time()) * 1000)
        self._end_turn(heard_until=self._sounding_until)

    def _end_turn(self, *, heard_until: float) -> None:
        """The turn is complete, whether it ran to its end or not."""
        if words := " ".join(word for until, word in self._words if until < heard_until + 1e-6):
            self.history.append(Message(role=Role.AGENT, text=words))
        self._words = []
        self.say(serverContent={"turnComplete": True}, usageMetadata=self._usage())
        self._offer_handle()
        was_wanted, self._is_wanted_next = self._is_wanted_next, False
        self._has_begun = False
        self._turn = None
        if was_wanted:
            self._respond()

    def _begin(self) -> None:
        """The model's first sound or call."""
        if not self._has_begun:
            self._has_begun = True
            self._sounding_until = self._loop.time()
            if self.setup is not None and self.setup.session_resumption is not None:
                self.say(sessionResumptionUpdate={"resumable": False})

    async def _speak(self, text: str) -> None:
        self._begin()
        pace = self._service.pace
        for number, word in enumerate(voice(text, rate=OUTPUT_RATE)):
            if number:
                await _pause(pace.word_ms)
            pcm = pcm_of([word])
            samples = len(pcm) // 2
            self._spoken_samples += samples
            sounding = max(self._sounding_until, self._loop.time())
            self._sounding_until = sounding + samples / OUTPUT_RATE
            self._words.append((self._sounding_until, word.text))
            sound = {
                "modelTurn": {
                    "role": "model",
                    "parts": [
                        {
                            "inlineData": {
                                "mimeType": f"audio/pcm;rate={OUTPUT_RATE}",
                                "data": base64.b64encode(pcm).decode(),
                            }
                        }
                    ],
                }
            }
            space = " " if len(self._words) > 1 else ""
            words: dict[str, Any] = {}
            if self.setup is not None and self.setup.output_audio_transcription is not None:
                words = {"outputTranscription": {"text": f"{space}{word.text}"}}
            # Together or apart: both are seen on the wire.
            if number % 2:
                self.say(serverContent=sound)
                if words:
                    self.say(serverContent=words)
            else:
                self.say(serverContent={**sound, **words})
            await self._go_wrong(to_milliseconds(samples, OUTPUT_RATE))

    async def _go_wrong(self, ms: float) -> None:
        """What happens now that so much more sound was sent."""
        for mishap in self._mishaps.sounded(ms):
            match mishap:
                case Mishap.MALFORMED:
                    self._out.put_nowait(b'{"serverContent":')
                case Mishap.STALL:
                    self._out.put_nowait(Stall())
                case Mishap.DROP:
                    if self._faults.close_code is None:
                        self._out.put_nowait(End())
                    else:
                        self.close(self._faults.close_code, self._faults.close_reason)
                    await self._loop.create_future()

    async def _call(self, deeds: Sequence[Deed]) -> list[ToolResult]:
        """Call tools, all in one message; gives the results of those that the model waits for."""
        self._begin()
        calls: list[dict[str, Any]] = []
        waited: list[asyncio.Future[ToolResult]] = []
        for deed in deeds:
            assert isinstance(deed, Calls)
            self._call_count += 1
            call_id = f"function-call-{self._call_count}"
            future: asyncio.Future[ToolResult] = self._loop.create_future()
            self._calls[call_id] = (deed.name, future)
            arguments = msgspec.json.decode(deed.arguments)
            calls.append({"id": call_id, "name": deed.name, "args": arguments})
            if self._do_tools_wait.get(deed.name, True):
                waited.append(future)
        self.say(toolCall={"functionCalls": calls})
        return [await future for future in waited]

    def _answered(self, response: ToolResponse) -> None:
        for one in response.function_responses:
            if one.id in self._past_calls:
                continue  # withdrawn, which crossed the answer on the wire
            if one.id not in self._calls or self._calls[one.id][0] != one.name:
                raise BadFrame(f"Unknown function call: {one.id}")
            _, future = self._calls.pop(one.id)
            self._past_calls.add(one.id)
            is_error = "error" in one.response
            given = one.response.get("error" if is_error else "output", one.response)
            output = given if isinstance(given, str) else msgspec.json.encode(given).decode()
            result = ToolResult(call_id=ToolCallId(one.id), output=output, is_error=is_error)
            self.history.append(result)
            if self._do_tools_wait.get(one.name, True):
                if not future.done():
                    future.set_result(result)
            elif one.scheduling != "SILENT":
                if one.scheduling == "INTERRUPT":
                    self._interrupt()
                self._results.append(result)
                self._respond()

    def _interrupt(self) -> None:
        """Stop the model's turn, if there is one."""
        self._is_wanted_next = False
        if self._turn is None or self._turn.done():
            return
        self._turn.cancel()
        waiting = [
            call_id for call_id, (name, _) in self._calls.items() if self._do_tools_wait.get(name)
        ]
        if waiting:
            for call_id in waiting:
                del self._calls[call_id]
            self._past_calls.update(waiting)
            self.say(toolCallCancellation={"ids": waiting})
        if self._has_begun:
            self.say(serverContent={"interrupted": True})
            self._end_turn(heard_until=self._loop.time())
        self._turn = None

    def _usage(self) -> dict[str, Any]:
        """All of the prompt is counted again each turn."""
        heard = int(self._input.seconds * TOKENS_PER_SECOND)
        spoken = self._spoken_samples * TOKENS_PER_SECOND // OUTPUT_RATE
        text = len(self._instructions.split())
        return {
            "promptTokenCount": heard + text,
            "responseTokenCount": spoken,
            "totalTokenCount": heard + text + spoken,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": text},
                {"modality": "AUDIO", "tokenCount": heard},
            ],
            "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
        }


def _is_call(deed: Deed) -> bool:
    return isinstance(deed, Calls)


async def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        await asyncio.sleep(milliseconds / 1000)
