"""One session of an emulated Realtime service: what it hears, says and remembers.

How it works. A message of the client is checked and taken at once; what follows from it is put into
the outbox, which the server empties. Only a response, a transcript, the expiry and pings take time,
each in a task of its own. What is not the same for all services, `manners` say.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import msgspec

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.events import ToolCallId, ToolResult
from beluga_voice.testing.emulators import realtime_frames as frames
from beluga_voice.testing.emulators.mishaps import Mishap, Mishaps
from beluga_voice.testing.emulators.realtime_conversation import Kept
from beluga_voice.testing.emulators.realtime_frames import Refused
from beluga_voice.testing.emulators.realtime_input import (
    InputBuffer,
    Law,
    SpeechStarted,
    SpeechStopped,
    law_of,
)
from beluga_voice.testing.emulators.realtime_manners import Manners, ToSpeak
from beluga_voice.testing.emulators.realtime_response import Response, usage_of
from beluga_voice.testing.emulators.speech import (
    Asked,
    Brain,
    Calls,
    Fails,
    Faults,
    Pace,
    Speaks,
    transcript_of,
    voice,
)
from beluga_voice.testing.emulators.websocket_server import End, Sent, Stall
from beluga_voice.testing.emulators.witness import Side, show

EPOCH = 1_795_000_000.0
"""The Unix time at which the loop's clock is taken to begin: real time plays no part in here."""


class EmulatedSession:
    """The service's side of one connection."""

    def __init__(
        self,
        *,
        manners: Manners,
        brain: Brain,
        pace: Pace,
        word_ms: int,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._manners = manners
        self._brain = brain
        self._pace = pace
        self._word_ms = word_ms
        self._faults = faults
        self._put = put
        self._tasks = tasks
        self._running: set[asyncio.Task[None]] = set()
        self.conversation = manners.conversation
        self.received: list[dict[str, Any]] = []
        """Every message of the client that is JSON, in order."""
        self.sent: list[dict[str, Any]] = []
        """Every event, in order."""
        self.errors: list[str] = []
        """The codes of the errors that were answered."""
        self.heard = b""
        """All the sound that came, as PCM."""
        self._numbers = 0
        now = asyncio.get_running_loop().time()
        self._settings = manners.settings(EPOCH + now + manners.lifetime_seconds)
        self._input = InputBuffer()
        self._speaking: str | None = None
        self._active: Response | None = None
        self._unanswered: list[str] = []
        self._results: list[ToolResult] = []
        self._to_speak: deque[ToSpeak] = deque()
        self._mishaps = Mishaps(faults)
        self._has_sounded = False
        self._listen()

    # ── the session ─────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Say hello."""
        self.emit("session.created", session=self._settings.wire)
        for event in self._manners.greeting():
            self._send(event)
        if self._manners.ping_seconds is not None:
            self._start(self._ping(self._manners.ping_seconds), "ping")
        after_ms = self._faults.expire_after_ms
        lasts_ms = self._manners.lifetime_seconds * 1000 if after_ms is None else after_ms
        self._start(self._expire(lasts_ms), "expiry")

    def end(self) -> None:
        """The connection is over, and with it whatever takes time."""
        for task in self._running:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=f"emulator {name}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def emit(self, kind: str, **fields: Any) -> None:
        """An event for the client, in the service's own shape."""
        for event in self._manners.shape({"type": kind, **fields}):
            self._send(event)

    def _send(self, event: dict[str, Any]) -> None:
        self._numbers += 1
        text = msgspec.json.encode({"event_id": f"event_{self._numbers:05}", **event}).decode()
        self.sent.append(msgspec.json.decode(text))
        show(self._manners.service, Side.SERVICE, self.sent[-1])
        self._put(text)

    async def _ping(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            now = EPOCH + asyncio.get_running_loop().time()
            self._send({"type": "ping", "timestamp": round(now * 1000)})

    def take(self, message: str | bytes) -> None:
        """A message of the client."""
        with suppress(msgspec.MsgspecError, ValueError):
            self.received.append(msgspec.json.decode(message))
        try:
            self._do(self._manners.read(message))
        except Refused as refusal:
            self._error(refusal, frames.name_of(message))
        else:
            show(self._manners.service, Side.CLIENT, self.received[-1])

    def _error(self, refusal: Refused, name: str | None, kind: str = "") -> None:
        self.errors.append(refusal.code)
        error = {
            "type": kind or "invalid_request_error",
            "code": refusal.code or None,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": name,
        }
        self.emit("error", error=error)

    def _do(self, frame: frames.AnyFrame) -> None:
        match frame:
            case frames.Append():
                self._append(frame)
            case frames.SessionUpdate():
                self._update(frame.session)
            case frames.Commit():
                self._commit()
            case frames.Clear():
                self._input.clear()
                self._speaking = None
                self.emit("input_audio_buffer.cleared")
            case frames.ItemCreate():
                self._create_item(frame.item, frame.previous_item_id)
            case frames.ItemDelete():
                self._known(frame.item_id)
                items = self.conversation.items
                items[:] = [one for one in items if one.id != frame.item_id]
                self.emit("conversation.item.deleted", item_id=frame.item_id)
            case frames.ItemRetrieve():
                kept = self._known(frame.item_id)
                self.emit("conversation.item.retrieved", item=kept.wire)
            case frames.ItemTruncate():
                end, index = frame.audio_end_ms, frame.content_index
                self.conversation.truncate(frame.item_id, index, end)
                self.emit(
                    "conversation.item.truncated",
                    item_id=frame.item_id,
                    content_index=index,
                    audio_end_ms=end,
                )
            case frames.ResponseCreate():
                wanted = frame.response
                self._respond(frames.PlainResponse() if wanted is msgspec.UNSET else wanted)
            case frames.ResponseCancel():
                active = self._active
                if active is None or frame.response_id not in (None, active.id):
                    raise Refused(
                        "response_cancel_not_active",
                        "Cancellation failed: no active response found",
                    )
                self._cancel("client_cancelled")
            case frames.OutputClear():
                raise Refused("invalid_value", "There is no output audio buffer on a WebSocket.")

    def _known(self, item_id: str) -> Kept:
        kept = self.conversation.get(item_id)
        if kept is None:
            message = f"Item with id '{item_id}' does not exist."
            raise Refused("invalid_item_id", message, param="item_id")
        return kept

    def _update(self, session: Any) -> None:
        before = self._settings.detection, self._settings.heard_format
        self._settings.update(session, has_sounded=self._has_sounded)
        if before != (self._settings.detection, self._settings.heard_format):
            self._listen()
        self.emit("session.updated", session=self._settings.wire)
        for event in self._manners.configured(self._settings):
            self._send(event)

    async def _expire(self, after_ms: float) -> None:
        await asyncio.sleep(after_ms / 1000)
        expiry = self._manners.expiry
        if self._faults.close_code is None:
            self._error(Refused(expiry.code, expiry.message), None, kind=expiry.kind)
        code = self._faults.close_code or expiry.close_code
        self._put(End(code, self._faults.close_reason or expiry.close_reason))

    # ── what it hears ───────────────────────────────────────────────────────────────────────

    @property
    def _detection(self) -> dict[str, Any]:
        return self._settings.detection or {}

    @property
    def _heard_law(self) -> Law:
        return law_of(self._settings.heard_format)

    def _listen(self) -> None:
        self._input.configure(self._heard_law, self._settings.detection)

    def _append(self, frame: frames.Append) -> None:
        law = self._heard_law
        pcm = law.decode(frames.sound_of(frame.audio, block=law.block))
        self.heard += pcm
        told = None if self._active is None else self._active.told
        if told is not None and not told.is_interruptible:
            return  # nobody listens until these words are out
        for change in self._input.append(pcm):
            match change:
                case SpeechStarted():
                    self._speech_started(change)
                case SpeechStopped():
                    self._speech_stopped(change)

    def _speech_started(self, change: SpeechStarted) -> None:
        self._speaking = self.conversation.new_id()
        self.emit(
            "input_audio_buffer.speech_started",
            item_id=self._speaking,
            audio_start_ms=change.at_ms,
        )
        if self._detection.get("interrupt_response") and self._active is not None:
            self._cancel("turn_detected")

    def _speech_stopped(self, change: SpeechStopped) -> None:
        item_id, self._speaking = self._speaking, None
        assert item_id is not None
        self.emit("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=change.at_ms)
        self._utterance(item_id, change.pcm)
        if self._detection.get("create_response") and self._active is None:
            self._respond(frames.PlainResponse())

    def _commit(self) -> None:
        pcm = self._input.commit()
        item_id, self._speaking = self._speaking, None
        self._utterance(item_id or self.conversation.new_id(), pcm)

    def _utterance(self, item_id: str, pcm: bytes) -> None:
        """The person's words are part of the conversation now; they are written down later."""
        words = transcript_of(pcm, self._heard_law.rate)
        item: dict[str, Any] = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        kept = Kept(item, words=[(words, 0.0)] if words else [], has_audio=True)
        previous = self.conversation.last_id()
        self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        self._add(kept)
        self.emit("conversation.item.done", item=item, previous_item_id=previous)
        if words:
            self._unanswered.append(words)
        if not self._settings.has_transcription:
            return
        seconds = to_milliseconds(len(pcm) // 2, self._heard_law.rate) / 1000
        if self._pace.transcript_ms:
            later = self._transcribe_later(item_id, words, seconds)
            self._start(later, "transcription")
        else:
            self._transcribe(item_id, words, seconds)

    async def _transcribe_later(self, item_id: str, words: str, seconds: float) -> None:
        await asyncio.sleep(self._pace.transcript_ms / 1000)
        self._transcribe(item_id, words, seconds)

    def _transcribe(self, item_id: str, words: str, seconds: float) -> None:
        kind = "conversation.item.input_audio_transcription"
        for index, word in enumerate(words.split()):
            delta = f" {word}" if index else word
            self.emit(f"{kind}.delta", item_id=item_id, content_index=0, delta=delta)
        self.emit(
            f"{kind}.completed",
            item_id=item_id,
            content_index=0,
            transcript=words,
            usage={"type": "duration", "seconds": seconds},
        )

    def _create_item(self, wanted: Any, after: str | None) -> None:
        item = self._manners.item_of(wanted)
        if isinstance(item, ToSpeak):
            self._to_speak.append(item)
            self._speak_next()
            return
        kept = self.conversation.take(item)
        previous = self._add(kept, after)
        self.emit("conversation.item.done", item=kept.wire, previous_item_id=previous)
        if kept.wire["type"] == "function_call_output":
            call_id = ToolCallId(kept.wire["call_id"])
            self._results.append(ToolResult(call_id=call_id, output=kept.wire["output"]))
        elif kept.wire.get("role") == "user":
            self._unanswered.append(kept.text)

    def _add(self, kept: Kept, after: str | None = None) -> str | None:
        previous = self.conversation.add(kept, after)
        self.emit("conversation.item.added", item=kept.wire, previous_item_id=previous)
        return previous

    # ── what it says ────────────────────────────────────────────────────────────────────────

    def _respond(self, settings: frames.ResponseSettings) -> None:
        if self._active is not None:
            raise Refused(
                "conversation_already_has_active_response",
                "Conversation already has an active response in progress: "
                f"{self._active.id}. Wait until it is finished before creating a new one.",
            )
        has_context = settings.has_context
        asked = Asked(
            text=" ".join(self._unanswered) if has_context else "",
            instructions=settings.instructions or self._settings.instructions,
            history=self.conversation.history() if has_context else (),
            tools=self._settings.tools,
            results=tuple(self._results) if has_context else (),
        )
        if has_context:
            self._unanswered, self._results = [], []
        self._begin(Response(self._response_id(), settings, asked))

    def _response_id(self) -> str:
        self._numbers += 1
        return f"resp_{self._numbers:05}"

    def _speak_next(self) -> None:
        """Say what the client put into the agent's mouth, once nothing else is being said."""
        if self._active is None and self._to_speak:
            told = self._to_speak.popleft()
            plain = frames.PlainResponse()
            self._begin(Response(self._response_id(), plain, Asked(), told=told))

    def _begin(self, response: Response) -> None:
        self._active = response
        self.emit("response.created", response=self._described(response, "in_progress"))
        if self._mishaps.takes_error():
            self._fail()
        response.task = self._start(self._make(response), "response")

    async def _make(self, response: Response) -> None:
        await asyncio.sleep(self._pace.thinking_ms / 1000)
        for deed in response.deeds(self._brain):
            match deed:
                case Speaks():
                    await self._speak(response, deed.text)
                case Calls():
                    self._call(response, deed)
                case Fails():
                    error = {"type": "server_error", "code": deed.code, "message": deed.message}
                    self._finish(response, "failed", {"type": "failed", "error": error})
                    return
        self._finish(response, "completed", None)

    async def _speak(self, response: Response, text: str) -> None:
        item = self._open(response, {"type": "message", "role": "assistant", "content": []})
        kept = response.open_item
        assert kept is not None
        place = {**self._place(response, item), "content_index": 0}
        self.emit("response.content_part.added", **place, part={"type": "audio", "transcript": ""})
        kept.has_audio = True
        law = law_of(self._settings.spoken_format)
        response.place = place
        response.unsaid = voice(text, rate=law.rate, sounding_ms=self._word_ms)
        for index in range(len(response.unsaid)):
            if index and self._pace.word_ms:
                await asyncio.sleep(self._pace.word_ms / 1000)
            word = response.unsaid.pop(0)
            delta = f" {word.text}" if index else word.text
            response.said.append(delta)
            self.emit("response.output_audio_transcript.delta", **place, delta=delta)
            sound = law.encode(b"".join(word.frames))
            kept.audio_ms += law.milliseconds(sound)
            kept.words.append((word.text, kept.audio_ms))
            self._has_sounded = response.has_sounded = True
            encoded = base64.b64encode(sound).decode()
            self.emit("response.output_audio.delta", **place, delta=encoded)
            self._sounded(law.milliseconds(sound))
        self._close(response, "completed")

    def _call(self, response: Response, call: Calls) -> None:
        self._numbers += 1
        call_id = f"call_{self._numbers:05}"
        fields = {"type": "function_call", "name": call.name, "call_id": call_id, "arguments": ""}
        item = self._open(response, fields)
        place = {**self._place(response, item), "call_id": call_id}
        middle = len(call.arguments) // 2
        for delta in (call.arguments[:middle], call.arguments[middle:]):
            self.emit("response.function_call_arguments.delta", **place, delta=delta)
        item["arguments"] = call.arguments
        self.emit(
            "response.function_call_arguments.done",
            **place,
            name=call.name,
            arguments=call.arguments,
        )
        self._close(response, "completed")

    def _open(self, response: Response, fields: dict[str, Any]) -> dict[str, Any]:
        item = {
            "id": self.conversation.new_id(),
            "object": "realtime.item",
            "status": "in_progress",
            **fields,
        }
        response.open_item = Kept(item)
        response.said = []
        self.emit(
            "response.output_item.added",
            response_id=response.id,
            output_index=len(response.output),
            item=item,
        )
        if response.settings.conversation == "auto":
            self._add(response.open_item)
        return item

    def _place(self, response: Response, item: dict[str, Any]) -> dict[str, Any]:
        return {
            "response_id": response.id,
            "item_id": item["id"],
            "output_index": len(response.output),
        }

    def _close(self, response: Response, status: str) -> None:
        """The end of the item that is being made."""
        kept = response.open_item
        if kept is None:
            return
        response.open_item = None
        item = kept.wire
        item["status"] = status
        if item["type"] == "message":
            place = {**self._place(response, item), "content_index": 0}
            words = "".join(response.said)
            part = {"type": "audio", "transcript": words}
            self.emit("response.output_audio.done", **place)
            self.emit("response.output_audio_transcript.done", **place, transcript=words)
            self.emit("response.content_part.done", **place, part=part)
            item["content"] = [{"type": "output_audio", "transcript": words}]
        self.emit(
            "response.output_item.done",
            response_id=response.id,
            output_index=len(response.output),
            item=item,
        )
        if response.settings.conversation == "auto":
            self.emit("conversation.item.done", item=item, previous_item_id=None)
        response.output.append(dict(item))

    def _cancel(self, reason: str) -> None:
        response = self._active
        assert response is not None
        if response.task is not None:
            response.task.cancel()
        if self._manners.leaves_unspoken and not response.has_sounded:
            self._active = None
            return
        self._close(response, "incomplete")
        self._finish(response, "cancelled", {"type": "cancelled", "reason": reason})
        law = law_of(self._settings.spoken_format)
        for word in response.unsaid[: self._manners.late_words]:
            delta = base64.b64encode(law.encode(b"".join(word.frames))).decode()
            self.emit("response.output_audio.delta", **response.place, delta=delta)

    def _finish(self, response: Response, status: str, details: dict[str, Any] | None) -> None:
        self._active = None
        described = self._described(response, status)
        described["status_details"] = details
        described["usage"] = usage_of(response)
        self.emit("response.done", response=described)
        limits = [
            {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06},
            {"name": "tokens", "limit": 50000, "remaining": 49950, "reset_seconds": 0.06},
        ]
        self.emit("rate_limits.updated", rate_limits=limits)
        self._speak_next()

    def _described(self, response: Response, status: str) -> dict[str, Any]:
        settings, session = response.settings, self._settings
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": status,
            "status_details": None,
            "output": response.output,
            "conversation_id": "conv_1" if settings.conversation == "auto" else None,
            "output_modalities": ["audio"],
            "max_output_tokens": settings.max_output_tokens or session.max_output_tokens,
            "audio": {"output": {"format": session.spoken_format, "voice": session.voice}},
            "usage": None,
            "metadata": settings.metadata,
        }

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────

    def _fail(self) -> None:
        """The error that the faults want, and the end, if it is one of those that end a session."""
        faults, expiry = self._faults, self._manners.expiry
        kind, code = faults.error_type or "server_error", faults.error_code
        message = faults.error_message or "The service had an error."
        self._error(Refused(code or "", message), None, kind=kind)
        if {kind, code} & self._manners.ending_errors:
            reason = faults.close_reason or expiry.close_reason
            self._put(End(faults.close_code or expiry.close_code, reason))

    def _sounded(self, ms: float) -> None:
        """So much more sound was sent."""
        for mishap in self._mishaps.sounded(ms):
            match mishap:
                case Mishap.MALFORMED:
                    self._put('{"type": "response.output_audio.delta", "delta": ')
                case Mishap.STALL:
                    self._put(Stall())
                case Mishap.DROP:
                    self._put(End(self._faults.close_code, self._faults.close_reason))
