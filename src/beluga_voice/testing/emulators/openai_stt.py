"""OpenAI's live transcription, emulated for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with OpenAISttEmulator().serving("api.example.com", 80) as service:
        ...
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import UnsetType
from websockets.http11 import Request, Response

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.testing.emulators import realtime_frames as frames
from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.emulators.listening_server import ListeningServer, ListeningSession
from beluga_voice.testing.emulators.openai_realtime_frames import AudioInput
from beluga_voice.testing.emulators.realtime_frames import Refused, Strict
from beluga_voice.testing.emulators.realtime_input import MIN_COMMIT_MS, Law, law_of
from beluga_voice.testing.emulators.speech import Faults, Pace, transcript_of
from beluga_voice.testing.emulators.websocket_server import Sent, key_of, query_of, refusal

PATH = "/v1/realtime"
KEY = "sk-emulated"
LIVE_MODELS = ("gpt-live-transcribe", "gpt-realtime-whisper")
MODELS = (*LIVE_MODELS, "gpt-transcribe", "whisper-1")
EXPIRED = "Your session hit the maximum duration of 60 minutes."
_KIND = "conversation.item.input_audio_transcription"


class _Audio(Strict):
    input: AudioInput | UnsetType = msgspec.UNSET


class _Session(Strict):
    type: Literal["transcription"]
    audio: _Audio | UnsetType = msgspec.UNSET
    include: list[str] | UnsetType = msgspec.UNSET


type _Frame = frames.SessionUpdate[_Session] | frames.Append | frames.Commit | frames.Clear

_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the service may do and need not."""

    never_final: bool = False
    """It tells words, and never that they are all."""
    repeats_finals: bool = False
    """What is final comes twice."""


class OpenAISttSession(ListeningSession):
    """The service's side of one connection. Words are told as they come whole."""

    def __init__(
        self,
        *,
        models: Collection[str],
        quirks: "Quirks",
        pace: Pace,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        super().__init__(pace=pace, faults=faults, put=put, tasks=tasks)
        self._models = models
        self._quirks = quirks
        self._numbers = 0
        self._items = 0
        self._last_item: str | None = None
        self._buffer = bytearray()
        self._item: str | None = None
        """The item that is being made of the buffer, once a word of it was told."""
        self._heard = HeardWords()
        self.settings: dict[str, Any] = {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": "sess_1",
            "expires_at": 1_795_003_600,
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "transcription": None,
                    "noise_reduction": None,
                    "turn_detection": None,
                }
            },
        }

    @property
    def _law(self) -> Law:
        return law_of(self.settings["audio"]["input"]["format"])

    def emit(self, kind: str, **fields: Any) -> None:
        """An event for the client."""
        self._numbers += 1
        self.say({"event_id": f"event_{self._numbers:05}", "type": kind, **fields})

    def begin(self) -> None:
        """Say hello."""
        self.emit("session.created", session=self.settings)
        if self.faults.expire_after_ms is not None:
            self.later(self.faults.expire_after_ms, lambda: self.hang_up(1001, EXPIRED))

    def take(self, message: str | bytes) -> None:
        """A message of the client."""
        try:
            frame = frames.read(message, _decoder)
            self.received.append(msgspec.json.decode(message))
            self._do(frame)
        except Refused as refused:
            self.errors.append(refused.code)
            error = {
                "type": "invalid_request_error",
                "code": refused.code,
                "message": refused.message,
                "param": refused.param,
                "event_id": frames.name_of(message),
            }
            self.emit("error", error=error)

    def _do(self, frame: _Frame) -> None:
        match frame:
            case frames.SessionUpdate():
                self._update(frame.session)
            case frames.Append():
                self._append(frame)
            case frames.Commit():
                self._commit()
            case frames.Clear():
                self._empty()
                self.emit("input_audio_buffer.cleared")

    def _update(self, session: _Session) -> None:
        wanted = msgspec.to_builtins(session)
        heard: dict[str, Any] = wanted.get("audio", {}).get("input", {})
        merged = {**self.settings["audio"]["input"], **heard}
        transcription: dict[str, Any] = merged["transcription"] or {}
        model = transcription.get("model")
        if model not in self._models:
            raise Refused("model_not_found", f"The model '{model}' does not exist.")
        if model in LIVE_MODELS and merged["turn_detection"] is not None:
            message = f"Turn detection is not supported for {model}."
            raise Refused("invalid_value", message, param="session.audio.input.turn_detection")
        self.settings["audio"]["input"] = merged
        self.emit("session.updated", session=self.settings)

    def _append(self, frame: frames.Append) -> None:
        law = self._law
        pcm = law.decode(frames.sound_of(frame.audio, block=law.block))
        self._buffer += pcm
        before = len(self._heard.words)
        for at, word in enumerate(self._heard.hear(pcm), before):
            delta = f" {word}" if at else word
            item_id = self._name()
            self.emit(f"{_KIND}.delta", item_id=item_id, content_index=0, delta=delta)
        self.hears(to_milliseconds(len(pcm) // 2, law.rate))

    def _name(self) -> str:
        if self._item is None:
            self._items += 1
            self._item = f"item_{self._items:05}"
        return self._item

    def _commit(self) -> None:
        length = to_milliseconds(len(self._buffer) // 2, self._law.rate)
        if length < MIN_COMMIT_MS:
            raise Refused(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {length:.2f}ms of audio.",
            )
        item_id = self._name()
        words = transcript_of(bytes(self._buffer), self._law.rate)
        self._empty()
        previous, self._last_item = self._last_item, item_id
        self.emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        self.later(self.pace.transcript_ms, lambda: self._settle(item_id, words, length / 1000))

    def _settle(self, item_id: str, words: str, seconds: float) -> None:
        place = {"item_id": item_id, "content_index": 0}
        if self.faults.error_code is not None:
            error = {
                "type": "server_error",
                "code": self.faults.error_code,
                "message": "It failed.",
            }
            self.emit(f"{_KIND}.failed", **place, error=error)
            return
        usage = {"type": "duration", "seconds": seconds}
        if self._quirks.never_final:
            return
        for _ in range(1 + self._quirks.repeats_finals):
            self.emit(f"{_KIND}.completed", **place, transcript=words, usage=usage)

    def _empty(self) -> None:
        self._buffer.clear()
        self._item = None
        self._heard.clear()


class OpenAISttEmulator(ListeningServer[OpenAISttSession]):
    """The service. `faults` are those of each connection in order.

    `is_gateway`: it wants the model in the address, as servers of others do, and OpenAI's refuses.
    """

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        is_gateway: bool = False,
        quirks: Quirks | None = None,
    ) -> None:
        service = _Service(keys, models, is_gateway, quirks or Quirks())
        super().__init__(service, pace or Pace(), faults)

    @property
    def base(self) -> str:
        """What a provider takes as its `endpoint`."""
        return self.url.removesuffix("/realtime")


class _Service:
    """Who is let in."""

    path = PATH

    def __init__(
        self, keys: Collection[str], models: Collection[str], is_gateway: bool, quirks: Quirks
    ) -> None:
        self._quirks = quirks
        self._keys = keys
        self._models = models
        self._is_gateway = is_gateway

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        key = key_of(request)
        if key not in self._keys:
            return refusal(401, _error(f"Incorrect API key provided: {key}.", "invalid_api_key"))
        if urlsplit(request.path).path != PATH:
            return refusal(404, _error("Unknown request URL.", "unknown_url"))
        query = query_of(request)
        if query.get("intent") != "transcription":
            return refusal(400, _error("You must provide a model.", "missing_model"))
        if ("model" in query) is not self._is_gateway:
            return refusal(400, _error("A model does not fit this intent.", "invalid_model"))
        return None

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal; the message is the code."""
        return _error("The server refused.", message or "refused")

    def session(
        self,
        request: Request,
        *,
        pace: Pace,
        faults: Faults,
        put: Callable[[Sent], None],
        tasks: asyncio.TaskGroup,
    ) -> OpenAISttSession:
        """A new one."""
        return OpenAISttSession(
            models=self._models,
            quirks=self._quirks,
            pace=pace,
            faults=faults,
            put=put,
            tasks=tasks,
        )


def _error(message: str, code: str) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
