"""A connection of an emulated Cartesia Sonic service, and the contexts on it."""

import asyncio
import base64
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16, to_milliseconds
from beluga_voice.testing.emulators.cartesia_server import CartesiaSession, error
from beluga_voice.testing.emulators.speech import Faults, Pace, voice
from beluga_voice.testing.speech import SpokenWord

ENCODINGS = {
    "pcm_f32le": Encoding.FLOAT32,
    "pcm_s16le": Encoding.PCM16,
    "pcm_mulaw": Encoding.MULAW,
    "pcm_alaw": Encoding.ALAW,
}
RATES = (8000, 16000, 22050, 24000, 44100, 48000)
PLAIN_VOICES_SINCE = "2026-08-14"

type Twist = Literal[
    "odd pieces", "odd end", "wav header", "wrong wav", "16 khz", "no sound", "mute"
]
"""How sound is wrong; odd pieces are only cut inside of samples."""

_PER_PIECE = {"transcript", "continue", "flush"}


class Generation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How speech should sound."""

    speed: float = 1.0
    volume: float = 1.0
    emotion: str = "neutral"


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shape the sound has."""

    container: Literal["raw"]
    encoding: Literal["pcm_f32le", "pcm_s16le", "pcm_mulaw", "pcm_alaw"]
    sample_rate: int


class Request(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"goes_on": "continue"}
):
    """A piece of text."""

    context_id: str
    model_id: str
    transcript: str
    voice: str | dict[str, Any]
    output_format: Output
    goes_on: bool | None = False
    flush: bool | None = False
    language: str | None = None
    add_timestamps: bool | None = False
    add_phoneme_timestamps: bool | None = False
    use_normalized_timestamps: bool | None = False
    max_buffer_delay_ms: int | None = None
    generation_config: Generation | None = None
    pronunciation_dict_id: str | None = None


@dataclass(slots=True)
class _Context:
    """One context, and what it has to say."""

    fixed: dict[str, Any]
    """What may not change between its pieces."""
    output: AudioFormat
    has_words: bool
    speed: float
    unsaid: str = ""
    """The beginning of a word that may go on in the next piece."""
    waiting: asyncio.Queue[SpokenWord | int | None] = field(
        default_factory=lambda: asyncio.Queue[SpokenWord | int | None]()
    )
    """Words; a number is a flush, and `None` the end."""
    samples: int = 0
    is_finished: bool = False
    is_cancelled: bool = False
    flushes: int = 0
    rest: bytes = b""


class TtsSession(CartesiaSession):
    """A connection."""

    def __init__(
        self,
        query: dict[str, list[str]],
        version: str,
        faults: Faults,
        *,
        pace: Pace,
        word_ms: int,
        models: Collection[str],
        voices: Collection[str],
        twist: Twist | None,
        expiry_seconds: float,
        max_contexts: int,
    ) -> None:
        super().__init__(query, version, faults)
        self._pace = pace
        self._word_ms = word_ms
        self._models = models
        self._voices = voices
        self._twist = twist
        self._expiry_seconds = expiry_seconds
        self._max_contexts = max_contexts
        self._contexts: dict[str, _Context] = {}
        self._over: set[str] = set()
        self.orders: list[dict[str, Any]] = []
        """What came and could be read."""
        self._speaking: set[asyncio.Task[None]] = set()

    @property
    def texts(self) -> dict[str, str]:
        """The text of each context, as it was joined."""
        joined: dict[str, str] = {}
        for one in self.orders:
            if "transcript" in one:
                name = str(one["context_id"])
                joined[name] = joined.get(name, "") + str(one["transcript"])
        return joined

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """There is no greeting."""
        self._tasks = tasks

    def end(self) -> None:
        """Nobody speaks any more."""
        super().end()
        for task in self._speaking:
            task.cancel()

    # ── orders ──────────────────────────────────────────────────────────────────────────────

    def take(self, message: str | bytes) -> None:
        """Text for a context, or the end of one."""
        try:
            decoded = msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError):
            self.refuse("The message is no JSON object.")
            return
        self.received.append(decoded)
        self.orders.append(decoded)
        name = str(decoded.get("context_id", ""))
        if decoded.get("cancel") is True:
            self._cancel(name)
            return
        try:
            request = msgspec.convert(decoded, Request)
        except msgspec.ValidationError as wrong:
            self._refuse(name, f"The request is not valid: {wrong}")
            return
        fixed = {key: value for key, value in decoded.items() if key not in _PER_PIECE}
        if (problem := self._problem(request, fixed)) is not None:
            self._refuse(name, problem)
            return
        self._speak(request, fixed)

    def _refuse(self, name: str, message: str) -> None:
        self.errors.append(message)
        more = {"context_id": name} if name else {}
        told = error(400, "invalid_request", message, request_id=self.request_id, **more)
        self.send({**told, "done": True})

    def _problem(self, request: Request, fixed: dict[str, Any]) -> str | None:
        """What is wrong with a request."""
        known = self._contexts.get(request.context_id)
        if request.context_id in self._over:
            return "The context is over."
        if known is not None and known.fixed != fixed:
            return "Only the transcript may change within a context."
        if known is not None and known.is_finished:
            return "The context was finished."
        if known is None and not request.transcript.strip():
            return "The transcript is empty."
        if request.model_id not in self._models:
            return "The model is not valid."
        if request.output_format.sample_rate not in RATES:
            return "The sample_rate is not valid."
        if not 0 <= (request.max_buffer_delay_ms or 0) <= 5000:
            return "max_buffer_delay_ms is outside 0 to 5000."
        return self._voice_problem(request.voice)

    def _voice_problem(self, given: str | dict[str, Any]) -> str | None:
        is_plain = self.version >= PLAIN_VOICES_SINCE
        if isinstance(given, str):
            name = given if is_plain else ""
        elif is_plain:
            name = "" if "mode" in given else str(given.get("id", ""))
        else:
            name = str(given.get("id", "")) if given.get("mode") == "id" else ""
        return None if name in self._voices else "The voice is not valid in this version."

    def _cancel(self, name: str) -> None:
        context = self._contexts.get(name)
        if context is not None:
            context.is_cancelled = True
            context.waiting.put_nowait(None)

    # ── speaking ────────────────────────────────────────────────────────────────────────────

    def _speak(self, request: Request, fixed: dict[str, Any]) -> None:
        context = self._contexts.get(request.context_id)
        if context is None:
            if len(self._contexts) >= self._max_contexts:
                told = error(429, "concurrency_limited", "Too many contexts speak at once.")
                self.send({**told, "context_id": request.context_id, "done": True})
                return
            if self.fail_once(context_id=request.context_id, done=True):
                self._over.add(request.context_id)
                return
            context = self._open(request, fixed)
        text = context.unsaid + request.transcript
        is_last = not request.goes_on
        whole = text if is_last or request.flush else text[: _last_space(text)]
        context.unsaid = text[len(whole) :]
        rate = context.output.rate
        for word in voice(whole, rate=rate, sounding_ms=round(self._word_ms / context.speed)):
            context.waiting.put_nowait(word)
        if request.flush:
            context.flushes += 1
            context.waiting.put_nowait(context.flushes)
        if is_last:
            context.is_finished = True
            context.waiting.put_nowait(None)

    def _open(self, request: Request, fixed: dict[str, Any]) -> _Context:
        output = request.output_format
        context = _Context(
            fixed,
            AudioFormat(ENCODINGS[output.encoding], output.sample_rate, 1),
            has_words=bool(request.add_timestamps),
            speed=(request.generation_config or Generation()).speed,
        )
        self._contexts[request.context_id] = context
        name = f"emulated context {request.context_id}"
        task = self._tasks.create_task(self._run(request.context_id, context), name=name)
        self._speaking.add(task)
        task.add_done_callback(self._speaking.discard)
        return context

    async def _run(self, name: str, context: _Context) -> None:
        if self._pace.thinking_ms:
            await asyncio.sleep(self._pace.thinking_ms / 1000)
        while (said := await self._next(context)) is not None:
            if isinstance(said, int):
                frame = {"flush_done": True, "flush_id": said, "done": False}
                self._send("flush_done", name, frame)
                continue
            self._say(name, context, said)
            if self._pace.word_ms:
                await asyncio.sleep(self._pace.word_ms / 1000)
        if context.is_cancelled and (late := _next_word(context.waiting)) is not None:
            self._say(name, context, late)
        if self._twist == "odd end":
            self._sound(name, context, b"\1")
        self._over.add(name)
        del self._contexts[name]
        self._send("done", name, {"done": True})

    async def _next(self, context: _Context) -> SpokenWord | int | None:
        """What is to be said; nothing, once it was silent for too long."""
        if context.is_cancelled:
            return None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._expiry_seconds if context.samples else None):
                said = await context.waiting.get()
                if said is not None or not context.is_cancelled:
                    return said
        return None

    def _say(self, name: str, context: _Context, word: SpokenWord) -> None:
        rate = context.output.rate
        plain = b"".join(word.frames)
        length = len(plain) // 2
        if context.has_words:
            first, last = context.samples / rate, (context.samples + length) / rate
            times = {"words": [word.text], "start": [first], "end": [last]}
            self._send("timestamps", name, {"done": False, "word_timestamps": times})
        context.samples += length
        sound = plain
        if context.output != pcm16(rate):
            sound = convert(plain, pcm16(rate), context.output)
        self._twisted(name, context, sound)
        self.count(to_milliseconds(length, rate))

    def _twisted(self, name: str, context: _Context, sound: bytes) -> None:
        is_first = context.samples * 2 == len(sound)
        match self._twist:
            case "no sound":
                return
            case "mute":
                sound = bytes(len(sound))
            case "16 khz":
                shape = context.output
                sound = convert(sound, shape, AudioFormat(shape.encoding, 16000, 1))
            case "odd pieces":
                self._sound(name, context, sound[:333])
                self._sound(name, context, sound[333:])
                return
            case "wav header" if is_first:
                sound = _wav_header(context.output.rate) + sound
            case "wrong wav" if is_first:
                sound = _wav_header(11025) + sound
            case _:
                pass
        self._sound(name, context, sound)

    def _sound(self, name: str, context: _Context, sound: bytes) -> None:
        data = base64.b64encode(sound).decode()
        self._send("chunk", name, {"data": data, "done": False, "step_time": 1.0})

    def _send(self, kind: str, name: str, fields: dict[str, Any]) -> None:
        self.send({"type": kind, "context_id": name, "status_code": 206, **fields})


def _next_word(waiting: asyncio.Queue[SpokenWord | int | None]) -> SpokenWord | None:
    while not waiting.empty():
        if isinstance(said := waiting.get_nowait(), SpokenWord):
            return said
    return None


def _last_space(text: str) -> int:
    """Where the last word begins that may go on."""
    return max((at + 1 for at, one in enumerate(text) if one.isspace()), default=0)


def _wav_header(rate: int) -> bytes:
    shape = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((16, 4), (1, 2), (1, 2), (rate, 4), (2 * rate, 4), (2, 2), (16, 2))
    )
    endless = b"\xff\xff\xff\xff"
    return b"RIFF" + endless + b"WAVEfmt " + shape + b"data" + endless
