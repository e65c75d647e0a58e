"""The process that speaks; started by `workers`, never by hand.

eSpeak NG is under GPL-3, and not thread-safe: both are reasons for it to live here and nowhere
else.
"""

import os
from collections import deque
from collections.abc import Callable
from typing import assert_never

import msgspec

from beluga_voice.providers.tts.espeak import _wire as wire
from beluga_voice.providers.tts.espeak._library import Library
from beluga_voice.providers.tts.espeak._speaker import Speaker
from beluga_voice.providers.worker_process import Line, run

_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


class _Desk:
    """One link's requests, in order, looking ahead for cancellations."""

    def __init__(self, line: Line, library: Library) -> None:
        self._line = line
        self._library = library
        self._rate = library.rate
        self._pace = 1
        self._speakers: dict[str, Speaker] = {}
        self._ahead: deque[wire.Request] = deque()

    def serve(self) -> None:
        """Answer until the link ends."""
        while True:
            if not self._ahead:
                self._ahead.append(_requests.decode(self._line.receive()))
            self._complete(self._answer(self._ahead.popleft()))

    def _answer(self, request: wire.Request) -> wire.Answer:
        match request:
            case wire.Open():
                return self._open(request)
            case wire.Speak(context_id=context_id, text=text):
                speaker = self._speaker(context_id)
                if self._is_wanted(context_id):
                    speaker.speak(text, self._send, lambda: self._is_wanted(context_id))
                return wire.Spoken()
            case wire.Finish(context_id=context_id):
                speaker = self._speaker(context_id)
                if self._is_wanted(context_id):
                    speaker.finish(self._send)
                del self._speakers[context_id]
                return wire.Done(context_id=context_id)
            case wire.Cancel(context_id=context_id):
                self._speakers.pop(context_id, None)
                return wire.Cancelled(context_id=context_id)
            case _:
                assert_never(request)

    def _open(self, request: wire.Open) -> wire.Opened:
        self._rate, self._pace = request.rate, request.words_per_minute
        for voice in request.voices:
            if self._library.set_voice(
                voice, words_per_minute=request.words_per_minute, pitch=request.pitch
            ):
                return wire.Opened(pid=os.getpid(), voice=voice)
        return wire.Opened(pid=os.getpid(), voice=None)

    def _speaker(self, context_id: str) -> Speaker:
        if context_id not in self._speakers:
            self._speakers[context_id] = Speaker(
                context_id, self._library, rate=self._rate, pace=self._pace
            )
        return self._speakers[context_id]

    def _is_wanted(self, context_id: str) -> bool:
        waiting = self._line.waiting()
        while waiting:
            self._ahead.append(_requests.decode(waiting.popleft()))
        return not any(
            isinstance(request, wire.Cancel) and request.context_id == context_id
            for request in self._ahead
        )

    def _send(self, answer: wire.Audio | wire.Words) -> None:
        self._line.send(_answers.encode(answer))

    def _complete(self, answer: wire.Answer) -> None:
        self._line.complete(_answers.encode(answer))


def load() -> Callable[[Line], None]:
    """Load the library, once for all workers."""
    library = Library()
    return lambda line: _Desk(line, library).serve()


if __name__ == "__main__":
    run(load)
