"""The process that has the model; started by `workers`, never by hand."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import assert_never

import msgspec

from beluga_voice.providers.shared_worker import Gate, run_shared, say_last
from beluga_voice.providers.stt import worker_wire as wire
from beluga_voice.providers.stt.whisper._model import RATE, Broken, Model, Shelf, voice_in
from beluga_voice.providers.stt.whisper._recogniser import Recogniser, Sound
from beluga_voice.providers.stt.whisper._wire import Open, Opened, Refused, Settings
from beluga_voice.providers.worker_process import Line

_openings: msgspec.msgpack.Decoder[Open] = msgspec.msgpack.Decoder(Open)
_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


def load() -> Callable[[Line], None]:
    """Begin to load the model, for all links; the argument is JSON settings."""
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    shelf = Shelf(settings)
    threading.Thread(target=shelf.preload, name="model", daemon=True).start()
    gate = Gate(settings.parallel)
    return lambda line: _Desk(line, shelf, gate).serve()


def _everywhere(sound: Sound) -> tuple[int, int] | None:
    """Take all sound for a voice."""
    return (0, len(sound)) if len(sound) else None


class _Desk:
    """One link's requests, in order."""

    def __init__(self, line: Line, shelf: Shelf, gate: Gate) -> None:
        self._line = line
        self._shelf = shelf
        self._gate = gate
        self._interim_samples = 0
        self._interim_share = 1.0
        self._next_look = 0
        """Samples of this utterance at which to look for words."""
        self._taken = 0
        self._shown = ""

    def serve(self) -> None:
        """Answer until the link ends; a model that breaks off ends it."""
        opening = _openings.decode(self._line.receive())
        try:
            recogniser = self._open(opening)
        except Broken as broken:
            say_last(self._line, _answers.encode(Refused(broken.reason, broken.detail)))
        try:
            while True:
                request = _requests.decode(self._line.receive())
                self._complete(self._answer(request, recogniser))
        except Broken as broken:
            say_last(self._line, _answers.encode(wire.Failed(broken.reason)))

    def _open(self, request: Open) -> Recogniser:
        model = self._shelf.model()
        model.expect(request.language)
        hint, unused = model.hint_of(request.phrases)
        self._interim_samples = request.interim_samples
        self._interim_share = request.interim_share
        self._begin()
        self._complete(Opened(pid=os.getpid(), unused_phrases=unused))
        return self._recogniser(model, request, hint)

    def _recogniser(self, model: Model, request: Open, hint: str | None) -> Recogniser:
        return Recogniser(
            model.transcribe,
            voice_in if request.hears_only_voice else _everywhere,
            language=request.language,
            hint=hint,
            wants_words=request.wants_words,
            beam_size=request.beam_size,
        )

    def _answer(self, request: wire.Request, recogniser: Recogniser) -> wire.Answer:
        match request:
            case wire.Hear(pcm=pcm):
                return self._hear(pcm, recogniser)
            case wire.Finish(utterance_id=utterance_id):
                self._begin()
                with self._gate.turn():
                    return recogniser.finish(utterance_id)
            case wire.Drop():
                self._begin()
                recogniser.drop()
                return wire.Dropped()
            case _:
                assert_never(request)

    def _begin(self) -> None:
        self._taken, self._shown = 0, ""
        self._next_look = self._interim_samples

    def _hear(self, pcm: bytes, recogniser: Recogniser) -> wire.Heard:
        recogniser.hear(pcm)
        self._taken += len(pcm) // 2
        if recogniser.is_full:
            with self._gate.turn():
                recogniser.settle()
        if not self._interim_samples or self._taken < self._next_look or self._line.waiting():
            return wire.Heard()
        with self._gate.spare_turn() as has_turn:
            if not has_turn:
                return wire.Heard()
            began = time.monotonic()
            text, language = recogniser.text()
            took = time.monotonic() - began
        pause = int(took / self._interim_share * RATE)
        self._next_look = self._taken + max(self._interim_samples, pause)
        if not text or text == self._shown:
            return wire.Heard()
        self._shown = text
        return wire.Heard(text=text, language=language)

    def _complete(self, answer: Opened | wire.Answer) -> None:
        self._line.complete(_answers.encode(answer))


if __name__ == "__main__":
    run_shared(load)
