"""The process that has the voices; started by `workers`, never by hand."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.providers.shared_worker import Gate, run_shared, say_last
from beluga_voice.providers.tts.piper import _wire as wire
from beluga_voice.providers.tts.piper._speaker import Speaker
from beluga_voice.providers.tts.piper._voice import Broken, Shelf
from beluga_voice.providers.tts.piper._voices import find
from beluga_voice.providers.tts.worker_desk import Desk
from beluga_voice.providers.tts.worker_wire import Failed
from beluga_voice.providers.worker_process import Line

_openings: msgspec.msgpack.Decoder[wire.Open] = msgspec.msgpack.Decoder(wire.Open)
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
    opening = _openings.decode(line.receive())
    try:
        found = find(
            opening.voice, opening.language, default=opening.default, folder=Path(opening.folder)
        )
        voice = shelf.voice(os.fspath(found.path))
        speaker = voice.speaker_of(found.speaker)
    except ConfigurationError as error:
        say_last(line, _answers.encode(wire.Refused(wire.Reason.MISSING, error.message)))
    except Broken as broken:
        say_last(line, _answers.encode(wire.Refused(broken.reason, broken.detail)))
    line.complete(_answers.encode(wire.Opened(pid=os.getpid(), voice=found.path.stem)))

    def say(text: str) -> bytes:
        with gate.turn():
            return voice.speak(text, speaker=speaker, speed=opening.speed, volume=opening.volume)

    def speaker_of(context_id: str) -> Speaker:
        return Speaker(
            context_id,
            say,
            voice_rate=voice.rate,
            rate=opening.rate,
            pause_samples=opening.pause_milliseconds * voice.rate // 1000,
        )

    try:
        Desk(line, speaker_of).serve()
    except Broken as broken:
        say_last(line, _answers.encode(Failed(broken.reason)))


if __name__ == "__main__":
    run_shared(load)
