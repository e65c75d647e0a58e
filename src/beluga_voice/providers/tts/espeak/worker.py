"""The process that speaks; started by `workers`, never by hand.

eSpeak NG is under GPL-3, and not thread-safe: both are reasons for it to live here and nowhere
else.
"""

import os
from collections.abc import Callable

import msgspec

from beluga_voice.providers.tts.espeak._library import Library
from beluga_voice.providers.tts.espeak._speaker import Speaker
from beluga_voice.providers.tts.espeak._wire import Open, Opened
from beluga_voice.providers.tts.worker_desk import Desk
from beluga_voice.providers.worker_process import Line, run

_openings: msgspec.msgpack.Decoder[Open] = msgspec.msgpack.Decoder(Open)
_answers = msgspec.msgpack.Encoder()


def load() -> Callable[[Line], None]:
    """Load the library, once for all workers."""
    library = Library()
    return lambda line: serve(line, library)


def serve(line: Line, library: Library) -> None:
    """Answer one link's requests until it ends."""
    opening = _openings.decode(line.receive())
    pace = opening.words_per_minute
    voice = next(
        (
            voice
            for voice in opening.voices
            if library.set_voice(voice, words_per_minute=pace, pitch=opening.pitch)
        ),
        None,
    )
    line.complete(_answers.encode(Opened(pid=os.getpid(), voice=voice)))
    Desk(
        line, lambda context_id: Speaker(context_id, library, rate=opening.rate, pace=pace)
    ).serve()


if __name__ == "__main__":
    run(load)
