"""One conversation with an emulated agent of ElevenLabs.

How it works. The ears find the person's turns in the sound, the brain decides what to do, and test
speech goes out faster than it sounds, a word to a message. The agent counts as speaking until its
sound would have been played; a voice before that interrupts it, and what would have sounded by then
is what it believes was heard. After an interruption one more piece of the old sound goes out, as
some was under way.
"""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16, to_milliseconds
from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult
from beluga_voice.testing.emulators.elevenlabs_agents_frames import (
    BadFrame,
    ClientToolResult,
    ContextualUpdate,
    Initiation,
    Override,
    Pong,
    Sound,
    UserMessage,
    parse,
)
from beluga_voice.testing.emulators.elevenlabs_agents_hearing import (
    AgentHearing,
    Heard,
    UtteranceOver,
    VoiceIsSure,
    WordsSoFar,
)
from beluga_voice.testing.emulators.elevenlabs_agents_settings import (
    CLOSE_CODES,
    FORMATS,
    PASSING,
    EmulatedAgent,
    check,
)
from beluga_voice.testing.emulators.mishaps import Mishap, Mishaps
from beluga_voice.testing.emulators.speech import (
    Asked,
    Brain,
    Calls,
    Faults,
    Pace,
    Speaks,
    answer,
    echo,
    voice,
)
from beluga_voice.testing.emulators.websocket_server import End, Sent, Stall, write
from beluga_voice.testing.emulators.witness import Side, show
from beluga_voice.testing.speech import WORD_MS, SpokenWord, pcm_of

SILENCE_MS = 500
SURE_MS = 100
"""A voice shorter than this interrupts nothing."""
RECEIVE_TIMEOUT_SECONDS = 60.0
PING_SECONDS = 2.0

type Ending = Literal["complete", "final", "none"]
_ALWAYS = frozenset({"conversation_initiation_metadata", "error"})


@dataclass(slots=True, kw_only=True)
class AgentService:
    """What all conversations of one service share; see `ElevenLabsAgentsEmulator`."""

    brain: Brain = echo
    pace: Pace = field(default_factory=Pace)
    word_ms: int = WORD_MS
    silence_ms: float = SILENCE_MS
    sure_ms: float = SURE_MS
    receive_seconds: float = RECEIVE_TIMEOUT_SECONDS
    ping_seconds: float = PING_SECONDS
    ending: Ending = "complete"


class AgentConversation:
    """One connection to one agent; without an agent it is refused with `refusal`."""

    def __init__(
        self,
        service: AgentService,
        connection: ServerConnection,
        faults: Faults,
        *,
        number: int,
        agent: EmulatedAgent,
        refusal: str = "",
    ) -> None:
        self._service = service
        self._connection = connection
        self._faults = faults
        self._agent = agent
        self._refusal = refusal
        self._loop = asyncio.get_running_loop()
        self.id = f"conv_{number}"
        self.path = connection.request.path if connection.request else ""
        self.headers = dict(connection.request.headers.raw_items()) if connection.request else {}
        self.received: list[dict[str, Any]] = []
        """Every frame that came."""
        self.sent: list[dict[str, Any]] = []
        """Every frame that went out."""
        self.errors: list[str] = []
        """What the client did that it should not have done."""
        self.history: list[HistoryItem] = []
        """What was said, as the service believes it was heard."""
        self.initiation: Initiation | None = None
        self.closed: tuple[int, str] | None = None
        """How the service closed; `None` if it did not."""
        self._out: asyncio.Queue[Sent] = asyncio.Queue()
        self._mishaps = Mishaps(faults)
        self._tasks: asyncio.TaskGroup | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._hearing: AgentHearing | None = None
        self._output = FORMATS[agent.output_format]
        self._events = 0
        self._pings: dict[int, float] = {}
        self._ping_ms: int | None = None
        self._unanswered: list[str] = []
        # ── the agent's turn
        self._turn: asyncio.Task[None] | None = None
        self._has_begun = False
        self._words: list[tuple[float, str]] = []
        self._text = ""
        self._sounding_until = 0.0
        self._calls: dict[str, tuple[str, asyncio.Future[ToolResult]]] = {}
        self._call_count = 0
        self._left_calls: set[str] = set()
        """Calls of turns that were interrupted; what they give is spoken of later."""
        self._left_results: list[ToolResult] = []

    # ── the connection ──────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Talk until either side ends it."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            writer = tasks.create_task(write(self._connection, self._out), name="emulator writer")
            if self._faults.is_mute:
                self._out.put_nowait(Stall())
            if self._refusal:
                self.close(3000, self._refusal)
            if (after_ms := self._faults.expire_after_ms) is not None:
                self._later("expiry", after_ms / 1000, self.expire)
            try:
                async for message in self._connection:
                    self._take(message)
            except ConnectionClosed:
                pass
            finally:
                for timer in self._timers.values():
                    timer.cancel()
                writer.cancel()
                if self._turn is not None:
                    self._turn.cancel()

    def say(self, type: str, **fields: Any) -> None:
        """Send a frame, if the agent is set up to."""
        if self.closed or type not in self._events_wanted():
            return
        frame = {"type": type, **fields}
        self.sent.append(frame)
        show("elevenlabs", Side.SERVICE, frame)
        self._out.put_nowait(msgspec.json.encode(frame).decode())

    def close(self, code: int, reason: str = "") -> None:
        """End the connection as the service does."""
        if self.closed is None:
            self.closed = (code, reason)
            if self._turn is not None and self._turn is not asyncio.current_task():
                self._turn.cancel()
            # No more than fits into a close frame.
            self._out.put_nowait(End(code, reason.encode()[:120].decode(errors="ignore")))

    def fail(self, kind: str, message: str = "") -> None:
        """Say what is wrong, and end the connection, unless it goes on after such an error."""
        code = self._faults.close_code or CLOSE_CODES.get(kind, 1011)
        error = {"code": CLOSE_CODES.get(kind, 1011), "error_type": kind, "message": message}
        self.say("error", error_event=error)
        if kind not in PASSING:
            self.close(code, self._faults.close_reason or message or kind)

    def expire(self) -> None:
        """End a conversation that has lasted too long."""
        self.fail("max_duration_exceeded", "Maximum conversation duration exceeded.")

    def _events_wanted(self) -> frozenset[str]:
        override = self._override().conversation
        if override is not None and override.client_events is not None:
            return frozenset(override.client_events) | _ALWAYS
        return self._agent.client_events | _ALWAYS

    def _later(self, name: str, seconds: float, do: Any, *arguments: Any) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        self._timers[name] = self._loop.call_later(seconds, do, *arguments)

    def _next_event(self) -> int:
        self._events += 1
        return self._events

    def _take(self, message: str | bytes) -> None:
        if self.closed:
            return
        try:
            frame, plain = parse(message)
            self.received.append(plain)
            if isinstance(frame, Initiation) is (self.initiation is not None):
                raise BadFrame("conversation_initiation_client_data comes first, and once.")
            match frame:
                case Initiation():
                    self._begin(frame)
                case Sound():
                    self._listen(frame.decoded)
                case UserMessage():
                    self._person_wrote(frame.text or "")
                case ContextualUpdate():
                    self.history += [_context(line) for line in frame.text.splitlines()]
                case ClientToolResult():
                    self._answered(frame)
                case Pong():
                    self._ponged(frame.event_id)
                case _:
                    pass  # `user_activity` keeps an agent from speaking up, which this never does
        except BadFrame as error:
            self.errors.append(str(error))
            self.fail(error.kind, str(error))
        else:
            show("elevenlabs", Side.CLIENT, plain)

    # ── the beginning ───────────────────────────────────────────────────────────────────────

    def _begin(self, frame: Initiation) -> None:
        check(self._agent, frame)
        self.initiation = frame
        agent = self._agent
        self._hearing = AgentHearing(
            FORMATS[agent.input_format],
            silence_ms=self._service.silence_ms,
            sure_ms=self._service.sure_ms,
        )
        self.say(
            "conversation_initiation_metadata",
            conversation_initiation_metadata_event={
                "conversation_id": self.id,
                "agent_output_audio_format": agent.output_format,
                "user_input_audio_format": agent.input_format,
            },
        )
        self._wait_for_sound()
        self._later("ping", self._service.ping_seconds, self._ping)
        override = self._override().agent
        first = agent.first_message
        if override is not None and override.first_message is not None:
            first = override.first_message
        if first:
            self._start(self._greet(first))

    def _override(self) -> Override:
        given = self.initiation.conversation_config_override if self.initiation else None
        return given or Override()

    @property
    def _instructions(self) -> str:
        override = self._override().agent
        if override is not None and override.prompt is not None and override.prompt.prompt:
            return override.prompt.prompt
        return self._agent.instructions

    def _ping(self) -> None:
        event_id = self._next_event()
        self._pings[event_id] = self._loop.time()
        self.say("ping", ping_event={"event_id": event_id, "ping_ms": self._ping_ms})
        self._later("ping", self._service.ping_seconds, self._ping)

    def _ponged(self, event_id: int) -> None:
        if (sent := self._pings.pop(event_id, None)) is None:
            self.errors.append(f"a pong to no ping: {event_id}")
        else:
            self._ping_ms = round((self._loop.time() - sent) * 1000)

    def _wait_for_sound(self) -> None:
        message = "No audio was received for too long."
        arguments = ("transport_receive_timeout", message)
        self._later("sound", self._service.receive_seconds, self.fail, *arguments)

    # ── the person ──────────────────────────────────────────────────────────────────────────

    def _listen(self, sound: bytes) -> None:
        assert self._hearing is not None
        if len(sound) % FORMATS[self._agent.input_format].block_bytes:
            raise BadFrame("user_audio_chunk ends inside a sample")
        self._wait_for_sound()
        was_voice = self._hearing.is_voice
        heard = self._hearing.hear(sound)
        if was_voice is not self._hearing.is_voice:
            score = 0.95 if self._hearing.is_voice else 0.05
            self.say("vad_score", vad_score_event={"vad_score": score})
        for one in heard:
            self._heard(one)

    def _heard(self, heard: Heard) -> None:
        match heard:
            case VoiceIsSure():
                self._interrupt()
            case WordsSoFar():
                event = {"user_transcript": heard.text, "event_id": self._next_event()}
                self.say("tentative_user_transcript", tentative_user_transcription_event=event)
            case UtteranceOver(text):
                if text:
                    delay_ms = self._service.pace.transcript_ms
                    self._later(f"words {text}", delay_ms / 1000, self._person_said, text)

    def _person_said(self, text: str) -> None:
        event = {"user_transcript": text, "event_id": self._next_event()}
        self.say("user_transcript", user_transcription_event=event)
        self._person_wants(text)

    def _person_wrote(self, text: str) -> None:
        self._interrupt()
        if text.strip():
            self._person_wants(text)

    def _person_wants(self, text: str) -> None:
        self._unanswered.append(text)
        self.history.append(Message(role=Role.USER, text=text))
        self._interrupt()
        self._start(self._take_turn())

    # ── the agent ───────────────────────────────────────────────────────────────────────────

    def _start(self, turn: Any) -> None:
        assert self._tasks is not None
        self._has_begun, self._words, self._text = False, [], ""
        self._turn = self._tasks.create_task(turn, name="emulator turn")

    async def _greet(self, text: str) -> None:
        await self._speak(text)
        self._is_whole()
        await self._settle()

    async def _take_turn(self) -> None:
        results = tuple(self._left_results)
        self._left_results.clear()
        while True:
            await _pause(self._service.pace.thinking_ms)
            if self._mishaps.takes_error():
                self.fail(self._faults.error_code or "", self._faults.error_message or "")
                if self.closed:
                    return
            asked = Asked(
                text=" ".join(self._unanswered),
                instructions=self._instructions,
                history=tuple(self.history),
                tools=self._agent.tools,
                results=results,
            )
            deeds = answer(self._service.brain, asked)
            self._unanswered.clear()
            futures: list[tuple[str, str, asyncio.Future[ToolResult]]] = []
            for deed in deeds:
                match deed:
                    case Speaks():
                        await self._speak(deed.text)
                    case Calls():
                        futures.append(self._call(deed))
                    case _:
                        self.fail("llm_error", deed.message)
                        return
            self._is_whole()
            if not deeds:
                self._tool_ran("skip_turn", "skip_turn_1", "system", is_error=False)
            if not futures:
                break
            results = tuple([await self._result(*one) for one in futures])
        await self._settle()

    async def _settle(self) -> None:
        """Wait until all has sounded; then it was heard."""
        await _pause((self._sounding_until - self._loop.time()) * 1000)
        if self._has_begun:
            self.history.append(Message(role=Role.AGENT, text=self._text))
        self._has_begun = False
        self._turn = None
        self._speak_of_results()

    def _speak_of_results(self) -> None:
        """Take a turn for what tools gave after their own was interrupted."""
        if self._left_results and self._turn is None:
            self._start(self._take_turn())

    async def _speak(self, text: str) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._sounding_until = self._loop.time()
        self._text = f"{self._text} {text}".strip()
        response = {"agent_response": text, "event_id": self._next_event()}
        self.say("agent_response", agent_response_event=response)
        words = voice(text, rate=self._output.rate, sounding_ms=self._service.word_ms)
        for number, word in enumerate(words):
            if number:
                await _pause(self._service.pace.word_ms)
            await self._go_wrong(self._utter(word, is_last=number == len(words) - 1))

    def _is_whole(self) -> None:
        """What the agent had to say for now is said."""
        if self._has_begun and self._service.ending == "complete":
            marker = {"event_id": self._events}
            self.say("agent_response_complete", agent_response_complete_event=marker)

    def _utter(self, word: SpokenWord, *, is_last: bool) -> float:
        """Send a word; gives how long it sounds, in milliseconds."""
        pcm = pcm_of([word])
        samples = len(pcm) // 2
        sounding = max(self._sounding_until, self._loop.time())
        self._sounding_until = sounding + samples / self._output.rate
        self._words.append((self._sounding_until, word.text))
        length_ms = to_milliseconds(samples, self._output.rate)
        event: dict[str, Any] = {
            "audio_base_64": self._encoded(pcm),
            "event_id": self._next_event(),
            "alignment": _alignment(word.text, length_ms),
        }
        if is_last and self._service.ending == "final":
            event["is_final"] = True
        self.say("audio", audio_event=event)
        return length_ms

    def _encoded(self, pcm: bytes) -> str:
        sound = convert(pcm, pcm16(self._output.rate), self._output)
        return base64.b64encode(sound).decode()

    async def _go_wrong(self, ms: float) -> None:
        """What happens now that so much more sound was sent."""
        for mishap in self._mishaps.sounded(ms):
            match mishap:
                case Mishap.MALFORMED:
                    self._out.put_nowait('{"type":"audio","audio_event":')
                case Mishap.STALL:
                    self._out.put_nowait(Stall())
                case Mishap.DROP:
                    if self._faults.close_code is None:
                        self._out.put_nowait(End())
                    else:
                        self.close(self._faults.close_code, self._faults.close_reason)
                    await self._loop.create_future()

    def _interrupt(self) -> None:
        """Stop the agent's turn, if there is one."""
        if self._turn is None or self._turn.done() or self._turn is asyncio.current_task():
            return
        self._turn.cancel()
        self._turn = None
        self._left_calls |= self._calls.keys()
        if not self._has_begun:
            return
        self._has_begun = False
        now = self._loop.time()
        heard = " ".join(word for until, word in self._words if until < now + 1e-6)
        if heard:
            self.history.append(Message(role=Role.AGENT, text=heard, is_cut=True))
        at = self._events
        self.say("interruption", interruption_event={"event_id": at})
        correction = {
            "original_agent_response": self._text,
            "corrected_agent_response": heard,
            "event_id": at,
        }
        self.say("agent_response_correction", agent_response_correction_event=correction)
        (late, *_) = voice("late", rate=self._output.rate, sounding_ms=self._service.word_ms)
        sound = {"audio_base_64": self._encoded(pcm_of([late])), "event_id": at}
        self.say("audio", audio_event=sound)

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    def _call(self, deed: Calls) -> tuple[str, str, asyncio.Future[ToolResult]]:
        self._call_count += 1
        call_id = f"call_{self._call_count}"
        future: asyncio.Future[ToolResult] = self._loop.create_future()
        self._calls[call_id] = (deed.name, future)
        call = {
            "tool_name": deed.name,
            "tool_call_id": call_id,
            "parameters": msgspec.json.decode(deed.arguments),
            "event_id": self._next_event(),
        }
        self.say("client_tool_call", client_tool_call=call)
        return call_id, deed.name, future

    async def _result(
        self, call_id: str, name: str, future: asyncio.Future[ToolResult]
    ) -> ToolResult:
        """What a tool gave, or that it gave nothing in time."""
        done, _ = await asyncio.wait({future}, timeout=self._agent.tool_seconds)
        if done:
            return future.result()
        del self._calls[call_id]
        self._tool_ran(name, call_id, "client", is_error=True)
        result = ToolResult(call_id=ToolCallId(call_id), output="timed out", is_error=True)
        self.history.append(result)
        return result

    def _answered(self, frame: ClientToolResult) -> None:
        call = self._calls.pop(frame.tool_call_id, None)
        if call is None:
            self.errors.append(f"a result of no call: {frame.tool_call_id}")
            return
        name, future = call
        result = ToolResult(
            call_id=ToolCallId(frame.tool_call_id), output=frame.result, is_error=frame.is_error
        )
        self.history.append(result)
        self._tool_ran(name, frame.tool_call_id, "client", is_error=frame.is_error)
        if frame.tool_call_id in self._left_calls:
            self._left_results.append(result)
            self._speak_of_results()
        else:
            future.set_result(result)

    def _tool_ran(self, name: str, call_id: str, kind: str, *, is_error: bool) -> None:
        response = {
            "tool_name": name,
            "tool_call_id": call_id,
            "tool_type": kind,
            "is_error": is_error,
            "is_called": True,
            "event_id": self._next_event(),
        }
        self.say("agent_tool_response", agent_tool_response=response)


def _context(line: str) -> Message:
    """What the model makes of a line of context: in a transcript, it sees who said it."""
    for name, role in (("User: ", Role.USER), ("You: ", Role.AGENT)):
        if line.startswith(name):
            return Message(role=role, text=line.removeprefix(name))
    return Message(role=Role.SYSTEM, text=line)


def _alignment(word: str, length_ms: float) -> dict[str, Sequence[Any]]:
    """The characters of a word and the space after it, evenly spread; the space takes no time."""
    each = length_ms / len(word)
    starts = [round(each * index) for index in range(len(word) + 1)]
    durations = [after - before for before, after in pairwise(starts)]
    return {
        "chars": [*word, " "],
        "char_start_times_ms": starts,
        "char_durations_ms": [*durations, 0],
    }


async def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        await asyncio.sleep(milliseconds / 1000)
