"""The process that recognises speech; started by `workers`, never by hand."""

import os
import sys
from collections.abc import Callable
from typing import assert_never

import msgspec

from beluga_voice.providers.stt.pocketsphinx import _wire as wire
from beluga_voice.providers.stt.pocketsphinx._recogniser import (
    RATE,
    Decoder,
    Recogniser,
    decoder_for,
    make_decoder,
)
from beluga_voice.providers.worker_process import Line, run

_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


def load() -> Callable[[Line], None]:
    """Load general English, once for all workers; the argument is JSON settings of decoders."""
    settings = msgspec.json.decode(sys.argv[1], type=dict[str, float])
    general = make_decoder(**settings)
    return lambda line: listen(line, general, settings)


def listen(line: Line, general: Decoder, settings: dict[str, float]) -> None:
    """Answer one link's requests until it ends."""
    recogniser = Recogniser(general, None, bias=0.0, longest_samples=RATE)
    interim_samples = unseen = 0
    shown = ""
    while True:
        request = _requests.decode(line.receive())
        answer: wire.Answer
        match request:
            case wire.Open():
                phrases, guessed = decoder_for(request.phrases, general, settings)
                recogniser = Recogniser(
                    general, phrases, bias=request.bias, longest_samples=request.longest_samples
                )
                interim_samples = request.interim_samples
                answer = wire.Opened(pid=os.getpid(), guessed=guessed)
            case wire.Hear(pcm=pcm):
                recogniser.hear(pcm)
                unseen += len(pcm) // 2
                changed = None
                if interim_samples and unseen >= interim_samples:
                    unseen = 0
                    text = recogniser.text()
                    if text and text != shown:
                        shown = changed = text
                answer = wire.Heard(text=changed)
            case wire.Finish(utterance_id=utterance_id):
                answer = wire.Finished(utterance_id=utterance_id, words=recogniser.finish())
                shown, unseen = "", 0
            case wire.Drop():
                recogniser.finish()
                answer = wire.Dropped()
                shown, unseen = "", 0
            case _:
                assert_never(request)
        line.complete(_answers.encode(answer))


if __name__ == "__main__":
    run(load)
