"""The process that has the voices; started by `workers`, never by hand."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import assert_never

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.providers.shared_worker import Gate, run_shared, say_last
from beluga_voice.providers.tts.piper import _wire as wire
from beluga_voice.providers.tts.piper._speaker import Speaker
from beluga_voice.providers.tts.piper._voice import Broken, PiperVoice, Shelf
from beluga_voice.providers.tts.piper._voices import find
from beluga_voice.providers.worker_process import Line

_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


def load() -> Callable[[Line], None]:
    """Begin to load the voice that is expected; the argument is JSON settings."""
    settings = msgspec.json.decode(sys.argv[1], type=wire.Settings)
    shelf = Shelf(settings.threads)
    if settings.preload is not None:
        threading.Thread(
            target=shelf.preload, args=(settings.preload,), name="voice", daemon=True
        ).start()
    gate = Gate(settings.parallel)
    return lambda line: _serve(line, shelf, gate)


def _serve(line: Line, shelf: Shelf, gate: Gate) -> None:
    opening = _requests.decode(line.receive())
    if not isinstance(opening, wire.Open):
        raise TypeError("a link begins with Open")
    try:
        found = find(
            opening.voice, opening.language, default=opening.default, folder=Path(opening.folder)
        )
        desk = _Desk(line, shelf.voice(os.fspath(found.path)), found.speaker, gate, opening)
    except ConfigurationError as error:
        say_last(line, _answers.encode(wire.Refused(wire.Reason.MISSING, error.message)))
    except Broken as broken:
        say_last(line, _answers.encode(wire.Refused(broken.reason, broken.detail)))
    line.complete(_answers.encode(wire.Opened(pid=os.getpid(), voice=found.path.stem)))
    try:
        desk.serve()
    except Broken as broken:
        say_last(line, _answers.encode(wire.Failed(broken.reason)))


class _Desk:
    """One link's requests, in order, looking ahead for cancellations."""

    def __init__(
        self,
        line: Line,
        voice: PiperVoice,
        speaker: str | None,
        gate: Gate,
        opening: wire.Open,
    ) -> None:
        self._line = line
        self._voice = voice
        self._gate = gate
        self._opening = opening
        self._speaker_id = voice.speaker_of(speaker)
        self._speakers: dict[str, Speaker] = {}
        self._ahead: deque[wire.Request] = deque()

    def serve(self) -> None:
        """Answer until the link ends. Raises `Broken` when the voice breaks off."""
        while True:
            if not self._ahead:
                self._ahead.append(_requests.decode(self._line.receive()))
            self._line.complete(_answers.encode(self._answer(self._ahead.popleft())))

    def _answer(self, request: wire.Request) -> wire.Answer:
        match request:
            case wire.Speak(context_id=context_id, sentence=sentence):
                self._send(context_id, self._speaker(context_id).speak(sentence))
                return wire.Spoken()
            case wire.Finish(context_id=context_id):
                self._send(context_id, self._speaker(context_id).finish())
                del self._speakers[context_id]
                return wire.Done(context_id=context_id)
            case wire.Cancel(context_id=context_id):
                self._speakers.pop(context_id, None)
                return wire.Cancelled(context_id=context_id)
            case wire.Open():
                raise TypeError("a link is opened once")
            case _:
                assert_never(request)

    def _speaker(self, context_id: str) -> Speaker:
        if context_id not in self._speakers:
            self._speakers[context_id] = Speaker(
                self._say,
                voice_rate=self._voice.rate,
                rate=self._opening.rate,
                pause_samples=self._opening.pause_milliseconds * self._voice.rate // 1000,
            )
        return self._speakers[context_id]

    def _say(self, text: str) -> bytes:
        with self._gate.turn():
            return self._voice.speak(
                text,
                speaker=self._speaker_id,
                speed=self._opening.speed,
                volume=self._opening.volume,
            )

    def _send(self, context_id: str, pieces: Iterator[bytes]) -> None:
        while self._is_wanted(context_id) and (pcm := next(pieces, None)) is not None:
            self._line.send(_answers.encode(wire.Audio(context_id=context_id, pcm=pcm)))

    def _is_wanted(self, context_id: str) -> bool:
        waiting = self._line.waiting()
        while waiting:
            self._ahead.append(_requests.decode(waiting.popleft()))
        return not any(
            isinstance(request, wire.Cancel) and request.context_id == context_id
            for request in self._ahead
        )


if __name__ == "__main__":
    run_shared(load)
