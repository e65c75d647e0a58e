"""The process that recognises speech; started by `workers`, never by hand."""

import os
import sys
from collections.abc import Callable
from typing import assert_never

import msgspec

from beluga_voice.providers.stt import worker_wire as wire
from beluga_voice.providers.stt.pocketsphinx._recogniser import (
    LANGUAGE,
    Decoder,
    Recogniser,
    decoder_for,
    make_decoder,
)
from beluga_voice.providers.stt.pocketsphinx._wire import Open, Opened
from beluga_voice.providers.worker_process import Line, run

_openings: msgspec.msgpack.Decoder[Open] = msgspec.msgpack.Decoder(Open)
_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


def load() -> Callable[[Line], None]:
    """Load general English, once for all workers; the argument is JSON settings of decoders."""
    settings = msgspec.json.decode(sys.argv[1], type=dict[str, float])
    general = make_decoder(**settings)
    return lambda line: listen(line, general, settings)


def listen(line: Line, general: Decoder, settings: dict[str, float]) -> None:
    """Answer one link's requests until it ends."""
    opening = _openings.decode(line.receive())
    phrases, guessed = decoder_for(opening.phrases, general, settings)
    recogniser = Recogniser(
        general,
        phrases,
        bias=opening.bias,
        longest_samples=opening.longest_samples,
        other_readings=opening.other_readings,
    )
    line.complete(_answers.encode(Opened(pid=os.getpid(), guessed=guessed)))
    unseen = 0
    shown = ""
    while True:
        request = _requests.decode(line.receive())
        answer: wire.Answer
        match request:
            case wire.Hear(pcm=pcm):
                recogniser.hear(pcm)
                unseen += len(pcm) // 2
                changed = None
                if opening.interim_samples and unseen >= opening.interim_samples:
                    unseen = 0
                    text = recogniser.text()
                    if text and text != shown:
                        shown = changed = text
                answer = wire.Heard(text=changed, language=LANGUAGE)
            case wire.Finish(utterance_id=utterance_id):
                answer = recogniser.finish(utterance_id)
                shown, unseen = "", 0
            case wire.Drop():
                recogniser.drop()
                answer = wire.Dropped()
                shown, unseen = "", 0
            case _:
                assert_never(request)
        line.complete(_answers.encode(answer))


if __name__ == "__main__":
    run(load)
