"""One session of the emulated OpenAI Live service: what it hears, says and remembers.

How it works. Time is the sound of the client: for each 100 ms of it, `_advance` does what is due by
then and gives 100 ms of the track. Nothing is said, placed or acknowledged without. Only what the
service does by a clock of its own is done by the loop's: the end of a session.
"""

import asyncio
import base64
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16, to_samples
from beluga_voice.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode
from beluga_voice.events import HistoryItem, Message, Role, ToolCallId, ToolResult
from beluga_voice.testing.emulators import openai_live_frames as frames
from beluga_voice.testing.emulators.mishaps import Mishap, Mishaps
from beluga_voice.testing.emulators.openai_live_backend import Backend
from beluga_voice.testing.emulators.openai_live_frames import Refused
from beluga_voice.testing.emulators.openai_live_track import (
    BLOCK_MS,
    Listening,
    Speaking,
    Written,
)
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
)
from beluga_voice.testing.emulators.websocket_server import End, Sent, Stall
from beluga_voice.testing.emulators.witness import Side, show

EPOCH = 1_795_000_000.0
"""The Unix time at which the loop's clock is taken to begin: real time plays no part in here."""
LIFETIME_SECONDS = 7200.0
"""How long a session may last; the service says so only in `expires_at`."""
USAGE_MS = 15_000
_ENDED = "The session is closing."

_FORMATS = {
    "audio/pcmu": AudioFormat(Encoding.MULAW, 8000),
    "audio/pcma": AudioFormat(Encoding.ALAW, 8000),
}
_LAWS: dict[Encoding, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    Encoding.PCM16: (bytes, bytes),
    Encoding.MULAW: (mulaw_decode, mulaw_encode),
    Encoding.ALAW: (alaw_decode, alaw_encode),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the model behaves, in milliseconds of the session."""

    turn_silence_ms: float = 500
    """A silence after which it answers."""
    yields_after_ms: float = 400
    """How long a voice must last for it to stop speaking."""
    placing_ms: int = 600
    """From an append to its place in the timeline."""
    lifetime_seconds: float = LIFETIME_SECONDS
    """How long a session lasts: it says so at its beginning."""
    idle_seconds: float = 31
    """Without any sound of the client, the session expires (observed, by one source)."""
    usage_ratio: float = 0.1
    keeps_acknowledgements: bool = False
    """Nothing that is appended is acknowledged, though it is placed."""


@dataclass(frozen=True, slots=True)
class _Note:
    """An append that waits for its place."""

    note: frames.Note
    due_ms: int


class EmulatedLiveSession:
    """The service's side of one connection."""

    def __init__(
        self,
        *,
        number: int,
        models: Collection[str],
        brain: Brain,
        pace: Pace,
        word_ms: int,
        faults: Faults,
        manners: Manners,
        put: Callable[[Sent], None],
    ) -> None:
        self._number = number
        self._models = models
        self._brain = brain
        self._pace = pace
        self._word_ms = word_ms
        self._faults = faults
        self._manners = manners
        self._put = put
        self.received: list[dict[str, Any]] = []
        """Every message of the client that is JSON, in order."""
        self.sent: list[dict[str, Any]] = []
        """Every event, in order."""
        self.errors: list[str] = []
        """The codes of the errors that were answered."""
        self.history: list[HistoryItem] = []
        """What was said, and what the model was told."""
        self._standing: list[str] = []
        self.delegations: list[str] = []
        """The ids of the work that was handed to the client."""
        self.at_ms = 0
        """How far the timeline is."""
        self._wire: dict[str, Any] | None = None
        self._is_closing = False
        self._numbers = 0
        self._format: AudioFormat = pcm16(24000)
        self._waiting = b""
        self._is_muted = False
        self._listening = Listening(24000, silence_ms=manners.turn_silence_ms)
        self._speaking = Speaking(24000, word_ms)
        self._backend: Backend | None = None
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._notes: list[_Note] = []
        self._spoken: list[str] = []
        self._unanswered: list[str] = []
        self._mishaps = Mishaps(faults)
        self._reported_ms = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._idle: asyncio.TimerHandle | None = None

    # ── the session ─────────────────────────────────────────────────────────────────────────

    def end(self) -> None:
        """The connection is over."""
        self._is_closing = True
        for timer in self._timers:
            timer.cancel()
        if self._idle is not None:
            self._idle.cancel()

    def emit(self, kind: str, *, name: str | None = None, **fields: Any) -> None:
        """An event for the client; `name` is that of the message it answers."""
        event: dict[str, Any] = {"type": kind, **fields}
        if kind != "session.output_audio.delta":
            self._numbers += 1
            event["event_id"] = f"event_{self._numbers:05}"
        if name is not None:
            event["client_event_id"] = name
        text = msgspec.json.encode(event).decode()
        self.sent.append(msgspec.json.decode(text))
        show("openai_live", Side.SERVICE, self.sent[-1])
        self._put(text)

    def emit_raw(self, text: str) -> None:
        """Something that is none of the protocol, or that it should not say now."""
        self._put(text)

    def take(self, message: str | bytes) -> None:
        """A message of the client."""
        with suppress(msgspec.MsgspecError, ValueError):
            self.received.append(msgspec.json.decode(message))
        name = frames.name_of(message)
        try:
            frame = frames.read(message)
            if self._is_closing:
                raise Refused("session_closing", _ENDED)
            if self._wire is None:
                self._start(frame, name)
            else:
                self._do(frame, name)
        except Refused as refusal:
            self._error(refusal, name)
        else:
            show("openai_live", Side.CLIENT, self.received[-1])

    def _error(self, refusal: Refused, name: str | None, kind: str = "") -> None:
        self.errors.append(refusal.code)
        error = {
            "type": kind or "invalid_request_error",
            "code": refusal.code or None,
            "message": refusal.message,
            "param": refusal.param,
            "client_event_id": name,
        }
        self.emit("error", error=error)
        if self._wire is None:
            # A session that could not be started is over.
            self._is_closing = True
            self._put(End(1000))

    def _start(self, frame: frames.Frame, name: str | None) -> None:
        if not isinstance(frame, frames.Start):
            raise Refused("invalid_event", "The first event must be session.start.", param="type")
        session = frame.session
        frames.check_start(session)
        if session.model not in self._models:
            message = f"The model '{session.model}' does not exist."
            raise Refused("model_not_found", message, param="session.model")
        told: dict[str, Any] = msgspec.to_builtins(session)
        audio: dict[str, Any] = told.get("audio") or {}
        told["audio"] = audio
        audio["format"] = audio.get("format") or {"type": "audio/pcm", "rate": 24000}
        audio["output"] = audio.get("output") or {"voice": "marin"}
        told["delegation"] = told.get("delegation") or {"type": "client"}
        told["store"] = told.get("store") or False
        now = asyncio.get_running_loop().time()
        told |= {
            "id": f"live_{self._number}",
            "expires_at": int(EPOCH + now + self._manners.lifetime_seconds),
            "status": "active",
        }
        self._wire = {key: value for key, value in told.items() if value is not None}
        sound: dict[str, Any] = audio["format"]
        self._format = _FORMATS.get(sound["type"], pcm16(sound["rate"]))
        silence_ms = self._manners.turn_silence_ms
        self._listening = Listening(self._format.rate, silence_ms=silence_ms)
        self._speaking = Speaking(self._format.rate, self._word_ms)
        if isinstance(session.delegation, frames.ResponsesDelegation):
            self._backend = Backend(self.emit, self._wire["delegation"]["responses"])
        for one in session.input or ():
            role = {"assistant": Role.AGENT, "user": Role.USER}.get(one.role, Role.SYSTEM)
            self.history.append(Message(role=role, text=one.content[0].text))
        self.emit("session.started", name=name, session=self._wire)
        self._watch(now)

    def _watch(self, now: float) -> None:
        """What ends a session by the clock."""
        loop = asyncio.get_running_loop()
        after_ms = self._faults.expire_after_ms
        lifetime = self._manners.lifetime_seconds if after_ms is None else after_ms / 1000
        reason = self._faults.close_reason or "expired"
        self._timers.append(loop.call_at(now + lifetime, self.close, reason))
        self._idle = loop.call_later(self._manners.idle_seconds, self.close, "expired")

    def close(self, reason: str, name: str | None = None) -> None:
        """End the session for that reason; what was not placed is told to be lost."""
        if self._is_closing:
            return
        self._is_closing = True
        for waiting in self._notes:
            lost = Refused("context_injection_incomplete", "The text was not placed.")
            self._error(lost, waiting.note.event_id)
        self.emit(
            "session.closed",
            name=name,
            reason=reason,
            session=self._wire,
            usage={"seconds": self.at_ms / 1000},
        )
        self._put(End(self._faults.close_code or 1000))

    def _do(self, frame: frames.Frame, name: str | None) -> None:
        match frame:
            case frames.Append():
                self._append(frame)
            case frames.Instructions() | frames.Thinking() | frames.Commentary():
                self._note(frame)
            case frames.Mute() | frames.Unmute():
                self._is_muted = isinstance(frame, frames.Mute)
                state = "muted" if self._is_muted else "unmuted"
                self.emit(f"session.input_audio.{state}", name=name)
            case frames.Update():
                self._update(frame, name)
            case frames.ItemCreate():
                self._their_backend("response.item.create").take(frame.item)
            case frames.ResponseCreate():
                results = self._their_backend("response.create").go_on()
                self._work(results, results[0][0])
            case frames.Close():
                self.close("close_requested", name)
            case frames.Start():
                raise Refused("invalid_event", "The session has started already.", param="type")

    def _their_backend(self, kind: str) -> Backend:
        if self._backend is None:
            raise Refused("invalid_event", f"{kind} requires Responses delegation.")
        return self._backend

    def _update(self, frame: frames.Update, name: str | None) -> None:
        assert self._wire is not None
        change: dict[str, Any] = msgspec.to_builtins(frame.session).get("delegation", {})
        if change and change["type"] != self._wire["delegation"]["type"]:
            message = "The kind of delegation cannot be changed."
            raise Refused("invalid_value", message, param="session.delegation.type")
        if self._backend is not None:
            self._backend.settings.update(change.pop("responses", {}))
        self._wire["delegation"].update(change)
        self.emit("session.updated", name=name, session=self._wire)

    # ── time ────────────────────────────────────────────────────────────────────────────────

    def _append(self, frame: frames.Append) -> None:
        sound = frames.sound_of(frame.audio, block=self._format.block_bytes)
        if self._idle is not None:
            self._idle.cancel()
        decode, _ = _LAWS[self._format.encoding]
        pcm = decode(sound)
        self._waiting += bytes(len(pcm)) if self._is_muted else pcm
        size = to_samples(BLOCK_MS, self._format.rate) * 2
        while len(self._waiting) >= size and not self._is_closing:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            self._advance(block)
        if not self._is_closing:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._manners.idle_seconds, self.close, "expired")

    def _advance(self, block: bytes) -> None:
        """A tenth of a second passes."""
        written, is_over = self._listening.hear(block, self.at_ms)
        for one in written:
            self._later(self._pace.transcript_ms, partial(self._write, one))
        yields = self._manners.yields_after_ms
        if self._listening.voiced_ms >= yields and self._speaking.is_speaking:
            self._speaking.stop()
            self._note_what_was_said()
        if is_over:
            text = self._listening.turn()
            self.history.append(Message(role=Role.USER, text=text))
            self._unanswered.append(text)
            self._later(self._pace.thinking_ms, self._answer)
        for note in [one for one in self._notes if one.due_ms <= self.at_ms]:
            self._notes.remove(note)
            self._place(note.note)
        for due in [one for one in self._due if one[0] <= self.at_ms]:
            self._due.remove(due)
            due[1]()
        self._speak()
        self.at_ms += BLOCK_MS
        if self.at_ms - self._reported_ms >= USAGE_MS:
            self._reported_ms = self.at_ms
            usage = {"seconds": self.at_ms / 1000}
            window = {"usage_ratio": self._manners.usage_ratio}
            self.emit("session.usage.updated", usage=usage, context_window=window)

    def _write(self, one: Written) -> None:
        """Words of the person are written down."""
        self.emit(
            "session.input_transcript.delta",
            delta=one.delta,
            start_ms=one.start_ms,
            end_ms=one.end_ms,
        )

    def _later(self, after_ms: float, work: Callable[[], None]) -> None:
        self._due.append((self.at_ms + after_ms, work))

    def _speak(self) -> None:
        """Give the next tenth of a second of the track."""
        was_speaking = self._speaking.is_speaking
        sound, words = self._speaking.block()
        for word in words:
            self._spoken.append(word)
            end_ms = self.at_ms + self._word_ms
            self.emit(
                "session.output_transcript.delta", delta=word, start_ms=self.at_ms, end_ms=end_ms
            )
        _, encode = _LAWS[self._format.encoding]
        self.emit("session.output_audio.delta", delta=base64.b64encode(encode(sound)).decode())
        if was_speaking:
            self._fail()
            if not self._speaking.is_speaking:
                self._note_what_was_said()

    def _note_what_was_said(self) -> None:
        if self._spoken:
            self.history.append(Message(role=Role.AGENT, text="".join(self._spoken)))
            self._spoken.clear()

    def _fail(self) -> None:
        """What goes wrong now that another tenth of a second of a response was given."""
        faults = self._faults
        if self._mishaps.takes_error():
            wrong = Refused(faults.error_code or "", faults.error_message or "Something is wrong.")
            self._error(wrong, None, faults.error_type or "server_error")
        for mishap in self._mishaps.sounded(BLOCK_MS):
            match mishap:
                case Mishap.MALFORMED:
                    self.emit_raw('{"type":"session.output_audio.delta","delta":7}')
                case Mishap.STALL:
                    self._put(Stall())
                case Mishap.DROP:
                    self._put(End(faults.close_code, faults.close_reason))

    # ── what it does ────────────────────────────────────────────────────────────────────────

    def _note(self, note: frames.Note) -> None:
        """Something is appended: it waits for its place."""
        frames.check_note(note)
        delegation_id = note.delegation_id
        if delegation_id is not None and (
            self._backend is not None or delegation_id not in self.delegations
        ):
            message = f"Delegation '{delegation_id}' does not exist."
            raise Refused("invalid_value", message, param="delegation_id")
        self._notes.append(_Note(note, self.at_ms + self._manners.placing_ms))

    def _place(self, note: frames.Note) -> None:
        kind = msgspec.to_builtins(note)["type"]
        if not self._manners.keeps_acknowledgements:
            self.emit(f"{kind}ed", name=note.event_id, start_ms=self.at_ms, end_ms=self.at_ms)
        if isinstance(note, frames.Commentary):
            self._comment(note)
        else:
            self.history.append(Message(role=Role.SYSTEM, text=note.content))
        if isinstance(note, frames.Instructions):
            self._standing.append(note.content)

    def _comment(self, note: frames.Commentary) -> None:
        """Something that is to be spoken of."""
        results: tuple[ToolResult, ...] = ()
        if note.delegation_id is not None:
            call_id = ToolCallId(note.delegation_id)
            results = (ToolResult(call_id=call_id, output=note.content),)
        text = next(
            (
                one.text
                for one in reversed(self.history)
                if isinstance(one, Message) and one.role is Role.SYSTEM
            ),
            "",
        )
        asked = Asked(
            text="" if results else text.rpartition("\n")[2],
            instructions=note.content,
            history=tuple(self.history),
            results=results,
        )
        self._perform(answer(self._brain, asked))

    def _answer(self) -> None:
        """The person has said something; who goes on speaking is answered later."""
        assert self._wire is not None
        if self._listening.is_voice or not self._unanswered:
            return
        text = " ".join(self._unanswered)
        self._unanswered.clear()
        tools = () if self._backend is None else self._backend.tools
        asked = Asked(
            text=text,
            instructions="\n".join([self._wire.get("instructions", ""), *self._standing]),
            history=tuple(self.history),
            tools=tools,
        )
        self._perform(answer(self._brain, asked))

    def _perform(self, deeds: list[Deed]) -> None:
        for deed in deeds:
            match deed:
                case Speaks():
                    self._speaking.say(deed.text)
                case Fails():
                    self._error(Refused(deed.code or "", deed.message), None, "server_error")
                case Calls():
                    pass
        if any(isinstance(deed, Calls) for deed in deeds):
            self._delegate(deeds)

    def _delegate(self, deeds: list[Deed]) -> None:
        """Hand work over: to the client, or to the working model, which makes the calls."""
        self._numbers += 1
        delegation: dict[str, Any] = {"id": f"item_{self._number}_{self._numbers}"}
        delegation |= {"type": "delegation", "target": "client"}
        if self._backend is None:
            self.delegations.append(delegation["id"])
        else:
            delegation |= {"target": "responses", "response_id": f"resp_{self._numbers}"}
        self.emit("session.delegation.created", offset_ms=self.at_ms, delegation=delegation)
        if self._backend is not None:
            self._backend.run(delegation["id"], deeds)

    def _work(self, results: list[tuple[str, ToolResult]], delegation_id: str) -> None:
        """The working model goes on with what the tools gave; the voice says what it says."""
        assert self._backend is not None
        asked = Asked(
            history=tuple(self.history),
            tools=self._backend.tools,
            results=tuple(result for _, result in results),
        )
        deeds = answer(self._brain, asked)
        self._backend.run(delegation_id, deeds)
        for deed in deeds:
            if isinstance(deed, Speaks):
                self._speaking.say(deed.text)
