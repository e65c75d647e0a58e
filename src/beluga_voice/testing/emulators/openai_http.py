"""OpenAI's routes for speech over HTTP, emulated: transcriptions, speech and models.

They run on simulated connections as on real ones.

    async with OpenAIHttpEmulator().serving("api.example.com", 80) as service:
        ...
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

import msgspec
from aiohttp import BodyPartReader, web
from msgspec import Meta, Struct

from beluga_voice.audio.wav import read_wav
from beluga_voice.errors import WrongFormat
from beluga_voice.testing.emulators.speech import Faults, Pace, faults_of, transcript_of, voice
from beluga_voice.testing.speech import WORD_MS, SpokenWord

PREFIX = "/v1"
KEY = "sk-emulated"
MODELS = ("gpt-transcribe", "whisper-1", "gpt-4o-mini-tts", "tts-1", "tts-1-hd")
SHUTDOWNS = {"whisper-1": "2027-02-26", "gpt-4o-mini-tts": "2027-01-06", "tts-1": "2027-01-06"}
VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx"),
    *("nova", "sage", "shimmer", "verse", "marin", "cedar"),
)
RATE = 24000
MIN_SECONDS = 0.1
MAX_BYTES = 25 * 1024 * 1024
_FILES = (".flac", ".mp3", ".mp4", ".mpeg", ".mpga", ".m4a", ".ogg", ".wav", ".webm")

type Reply = Literal["events", "raw", "wav", "mp3", "empty", "odd", "mute", "wrong wav"]
"""How speech is answered; all but the first two are faults of servers in the wild."""


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, code: str | None, message: str, param: str | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param


class _VoiceId(Struct, forbid_unknown_fields=True):
    id: str


class _Speech(Struct, forbid_unknown_fields=True):
    model: str
    input: Annotated[str, Meta(min_length=1, max_length=4096)]
    voice: str | _VoiceId
    instructions: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Meta(ge=0.25, le=4)] = 1.0
    stream_format: Literal["sse", "audio"] = "audio"


_speech = msgspec.json.Decoder(_Speech)
_FIELDS = {
    "model",
    "language",
    "languages",
    "prompt",
    "keywords",
    "response_format",
    "temperature",
    "timestamp_granularities",
    "include",
    "stream",
    "chunking_strategy",
}


@dataclass(slots=True)
class HttpExchange:
    """A request, and what became of it."""

    path: str
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    file: bytes = b""
    status: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The JSON of the answer: its body, or its events."""
    is_whole: bool = False
    """Whether the client was there to the end of the answer."""


class OpenAIHttpEmulator:
    """The service. `faults` are those of each request for words or speech, in order.

    Of them it knows `refuse_status` with its body as the error's code, `is_mute`, and those that
    count sound. `reply` is how it answers for speech, without `has_models` as other servers do.
    """

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        reply: Reply = "events",
        has_models: bool = True,
    ) -> None:
        self._pace = pace or Pace()
        self._faults = faults
        self._keys = keys
        self._models = models
        self._reply: Reply = reply
        self._has_models = has_models
        self._opened = 0
        self.exchanges: list[HttpExchange] = []
        """Every request for words or speech, in order."""
        self.running = 0
        """How many of them are being answered."""
        self.most_running = 0
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """What a client takes as its base."""
        return f"http://{self.host}:{self.port}{PREFIX}"

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Take connections; port 0 is any that is free."""
        app = web.Application(client_max_size=MAX_BYTES + 64 * 1024)
        app.router.add_get(f"{PREFIX}/models/{{model}}", self._model)
        app.router.add_post(f"{PREFIX}/audio/transcriptions", self._transcriptions)
        app.router.add_post(f"{PREFIX}/audio/speech", self._audio_speech)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        assert runner.server is not None
        server = await asyncio.get_running_loop().create_server(runner.server, host, port)
        try:
            address: Any = next(iter(server.sockets)).getsockname() if not port else (host, port)
            self.host, self.port = host, int(address[1])
            yield self
        finally:
            server.close()
            await runner.cleanup()
            await server.wait_closed()

    # ── routes ──────────────────────────────────────────────────────────────────────────────

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        if not self._has_models:
            return web.json_response({"detail": "Not Found"}, status=404)
        try:
            self._check(request, name)
        except Refused as refused:
            return _refusal(refused)
        found = {"id": name, "object": "model", "created": 1, "owned_by": "system"}
        return web.json_response({**found, "shutdown_date": SHUTDOWNS.get(name)})

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        return await self._exchange(request, self._transcribe)

    async def _audio_speech(self, request: web.Request) -> web.StreamResponse:
        return await self._exchange(request, self._speak)

    async def _exchange(self, request: web.Request, work: Any) -> web.StreamResponse:
        exchange = HttpExchange(request.path)
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        self.exchanges.append(exchange)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if faults.is_mute:
                await request.read()
                await asyncio.Event().wait()
            if faults.refuse_status is not None:
                code = faults.refuse_body or None
                refused = Refused(faults.refuse_status, code, "The server refused.")
                headers = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
                return _refusal(refused, headers)
            response: web.StreamResponse = await work(request, exchange, faults)
            exchange.status = response.status
            exchange.is_whole = True
            return response
        except Refused as refused:
            exchange.status = refused.status
            return _refusal(refused)
        finally:
            self.running -= 1

    def _check(self, request: web.Request, model: str | None = None) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or key not in self._keys:
            message = f"Incorrect API key provided: {key}."
            raise Refused(401, "invalid_api_key", message)
        if model is not None and model not in self._models:
            raise Refused(404, "model_not_found", f"The model '{model}' does not exist.")

    # ── words ───────────────────────────────────────────────────────────────────────────────

    async def _transcribe(
        self, request: web.Request, exchange: HttpExchange, faults: Faults
    ) -> web.StreamResponse:
        self._check(request)
        name = await self._form(request, exchange)
        fields = exchange.fields
        self._check(request, str(fields.get("model", "")))
        if not name.endswith(_FILES):
            raise Refused(400, None, "Unrecognized file format.", "file")
        try:
            sound = read_wav(exchange.file)
        except WrongFormat:
            raise Refused(400, None, "Audio file might be corrupted.", "file") from None
        if sound.duration_ms < MIN_SECONDS * 1000:
            raise Refused(400, "audio_too_short", "Audio file is too short.", "file")
        is_verbose = fields.get("response_format", "json") == "verbose_json"
        if (is_verbose or "timestamp_granularities" in fields) and fields["model"] != "whisper-1":
            raise Refused(400, "unsupported_value", "verbose_json is for whisper-1.")
        await asyncio.sleep(self._pace.transcript_ms / 1000)
        drop = faults.drop_after_audio_ms
        if drop is not None and sound.duration_ms > drop:
            await _abort(request)
        text = transcript_of(sound.data, sound.format.rate)
        seconds = sound.duration_ms / 1000
        answer: dict[str, Any] = {"text": text}
        if is_verbose:
            answer |= {"language": "english", "duration": seconds, "words": _timed(text, seconds)}
        else:
            answer["languages"] = [{"code": "en"}] if text else []
        answer["usage"] = {"type": "duration", "seconds": seconds}
        if fields.get("stream") == "true":
            return await self._stream_words(request, exchange, text)
        exchange.sent.append(answer)
        return web.json_response(answer)

    async def _stream_words(
        self, request: web.Request, exchange: HttpExchange, text: str
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for index, word in enumerate(text.split()):
            delta = f" {word}" if index else word
            event = {"type": "transcript.text.delta", "delta": delta}
            await _event(response, exchange, event)
        await _event(response, exchange, {"type": "transcript.text.done", "text": text})
        await response.write_eof()
        return response

    async def _form(self, request: web.Request, exchange: HttpExchange) -> str:
        """Read the form; gives the name of the file."""
        if not request.content_type.startswith("multipart/"):
            raise Refused(400, None, "Expected a multipart form.")
        name = ""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise Refused(400, None, "A form within a form.")
            field_name = (part.name or "").removesuffix("[]")
            if field_name == "file":
                exchange.file, name = bytes(await part.read()), part.filename or ""
            elif field_name not in _FIELDS:
                raise Refused(400, "unknown_parameter", f"Unknown parameter: '{field_name}'.")
            elif (part.name or "").endswith("[]"):
                exchange.fields.setdefault(field_name, []).append(await part.text())
            else:
                exchange.fields[field_name] = await part.text()
        if not name:
            raise Refused(400, None, "You must provide a file.", "file")
        return name

    # ── speech ──────────────────────────────────────────────────────────────────────────────

    async def _speak(
        self, request: web.Request, exchange: HttpExchange, faults: Faults
    ) -> web.StreamResponse:
        self._check(request)
        body = await request.read()
        with suppress(msgspec.MsgspecError):
            exchange.fields = msgspec.json.decode(body)
        try:
            wanted = _speech.decode(body)
        except msgspec.MsgspecError as error:
            raise Refused(400, "invalid_value", str(error)) from None
        self._check(request, wanted.model)
        if isinstance(wanted.voice, str) and wanted.voice not in VOICES:
            raise Refused(400, "invalid_value", f"Unknown voice '{wanted.voice}'.", "voice")
        is_plain = wanted.model.startswith("tts-1")
        if is_plain and (wanted.stream_format == "sse" or wanted.instructions is not None):
            raise Refused(400, "unsupported_value", "tts-1 takes neither.", "stream_format")
        if wanted.response_format != "pcm":
            raise Refused(400, "unsupported_value", "This emulator speaks PCM alone.")
        await asyncio.sleep(self._pace.thinking_ms / 1000)
        as_events = wanted.stream_format == "sse" and self._reply == "events"
        kind = {"wav": "audio/wav", "wrong wav": "audio/wav", "mp3": "audio/mpeg"}
        content_type = "text/event-stream" if as_events else kind.get(self._reply, "audio/pcm")
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        words = voice(wanted.input, rate=RATE, sounding_ms=round(WORD_MS / wanted.speed))
        for pcm in self._sounds(words):
            await self._sound(request, exchange, response, pcm, as_events=as_events, faults=faults)
            await asyncio.sleep(self._pace.word_ms / 1000)
        if as_events:
            usage = {"input_tokens": len(words), "output_tokens": 10 * len(words)}
            usage["total_tokens"] = 11 * len(words)
            done = {"type": "speech.audio.done", "usage": usage}
            await _event(response, exchange, done)
        await response.write_eof()
        return response

    def _sounds(self, words: list[SpokenWord]) -> list[bytes]:
        sounds = [b"".join(word.frames) for word in words]
        match self._reply:
            case "events" | "raw" | "mp3":
                return sounds
            case "wav":
                from beluga_voice.audio.wav import write_wav

                whole = write_wav(None, b"".join(sounds), RATE)
                return [whole[:20], whole[20:]]
            case "wrong wav":
                from beluga_voice.audio.wav import write_wav

                return [write_wav(None, b"".join(sounds), RATE // 2)]
            case "mute":
                return [bytes(len(one)) for one in sounds]
            case "empty":
                return []
            case "odd":
                return [*(one[:-1] + one[-1:] for one in sounds), b"\x01"]

    async def _sound(
        self,
        request: web.Request,
        exchange: HttpExchange,
        response: web.StreamResponse,
        pcm: bytes,
        *,
        as_events: bool,
        faults: Faults,
    ) -> None:
        """A word, or what goes wrong at it."""
        exchange.file += pcm
        ms = len(exchange.file) / 2 / RATE * 1000
        if faults.drop_after_audio_ms is not None and ms > faults.drop_after_audio_ms:
            await _abort(request)
        if faults.stall_after_audio_ms is not None and ms > faults.stall_after_audio_ms:
            await asyncio.Event().wait()
        malformed = faults.malformed_after_audio_ms
        if malformed is not None and ms > malformed:
            await response.write(b'data: {"type": "speech.audio.delta", \n\n')
        if as_events:
            audio = base64.b64encode(pcm).decode()
            await _event(response, exchange, {"type": "speech.audio.delta", "audio": audio})
        else:
            await response.write(pcm)


async def _event(
    response: web.StreamResponse, exchange: HttpExchange, event: dict[str, Any]
) -> None:
    exchange.sent.append(event)
    await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")


async def _abort(request: web.Request) -> None:
    """Break the connection without a word; whoever answers is cancelled by it."""
    if request.transport is not None:
        request.transport.abort()
    await asyncio.Event().wait()


def _timed(text: str, seconds: float) -> list[dict[str, Any]]:
    """The words, evenly in the sound."""
    words = text.split()
    step = seconds / max(len(words), 1)
    return [
        {"word": word, "start": index * step, "end": (index + 1) * step}
        for index, word in enumerate(words)
    ]


def _refusal(refused: Refused, headers: Mapping[str, str] | None = None) -> web.Response:
    error = {
        "message": refused.message,
        "type": "invalid_request_error",
        "param": refused.param,
        "code": refused.code,
    }
    return web.json_response({"error": error}, status=refused.status, headers=headers)
