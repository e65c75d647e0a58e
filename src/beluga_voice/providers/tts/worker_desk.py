"""One link's requests in a process that speaks: in order, looking ahead for cancellations."""

from collections import deque
from collections.abc import Callable
from typing import NoReturn, Protocol, assert_never

import msgspec

from beluga_voice.providers.tts import worker_wire as wire
from beluga_voice.providers.worker_process import Line

_requests: msgspec.msgpack.Decoder[wire.Request] = msgspec.msgpack.Decoder(wire.Request)
_answers = msgspec.msgpack.Encoder()


class Speaker(Protocol):
    """Who speaks one context. `goes_on` is asked before each piece of sound is sent."""

    def speak(self, text: str, send: wire.Send, goes_on: Callable[[], bool], /) -> None: ...

    def finish(self, send: wire.Send, /) -> None: ...


class Desk:
    """One open link; `speaker_of` makes who speaks a context."""

    def __init__(self, line: Line, speaker_of: Callable[[str], Speaker]) -> None:
        self._line = line
        self._speaker_of = speaker_of
        self._speakers: dict[str, Speaker] = {}
        self._ahead: deque[wire.Request] = deque()

    def serve(self) -> NoReturn:
        """Answer until the link ends, with `EOFError`; or a speaker, with an error of its own."""
        while True:
            if not self._ahead:
                self._ahead.append(_requests.decode(self._line.receive()))
            self._line.complete(_answers.encode(self._answer(self._ahead.popleft())))

    def _answer(self, request: wire.Request) -> wire.Answer:
        match request:
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

    def _speaker(self, context_id: str) -> Speaker:
        if context_id not in self._speakers:
            self._speakers[context_id] = self._speaker_of(context_id)
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
