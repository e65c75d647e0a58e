"""Text on its way to the process with the voice, sentence by sentence."""

import asyncio
from dataclasses import dataclass, field
from typing import assert_never, override

import msgspec

from beluga_voice.errors import BelugaError, ConfigurationError
from beluga_voice.events import ContextId, LinkReady, TtsEvent
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.providers.tts.piper import _wire as wire
from beluga_voice.providers.tts.worker_link import SpeakingLink
from beluga_voice.providers.worker_link import OfLink

_openings: msgspec.msgpack.Decoder[wire.Opened | wire.Refused] = msgspec.msgpack.Decoder(
    wire.Opened | wire.Refused
)

STALL_SECONDS = 0.5
"""After so long without more text, what there is of a sentence is spoken."""
_ENDS = (".", "!", "?", "…", ":", "。", "！", "？")


@dataclass(slots=True)
class _Context:
    """Text that waits for the rest of its sentence."""

    sentences: Sentences = field(default_factory=Sentences)
    wait: asyncio.TimerHandle | None = None

    def stop_waiting(self) -> None:
        if self.wait is not None:
            self.wait.cancel()
            self.wait = None


class PiperLink(SpeakingLink):
    """A live voice that is given whole sentences."""

    provider = "piper"

    def __init__(
        self, *, room_bytes: int, max_waiting_characters: int, answer_seconds: float
    ) -> None:
        super().__init__(
            room_bytes=room_bytes,
            max_waiting_characters=max_waiting_characters,
            answer_seconds=answer_seconds,
        )
        self._contexts: dict[ContextId, _Context] = {}

    @override
    def _ready(self, body: bytes) -> LinkReady:
        answer = _openings.decode(body)
        if isinstance(answer, wire.Refused):
            raise _error_of(answer)
        return LinkReady(remote_id=str(answer.pid), model=answer.voice)

    @override
    def _accept(self, context_id: ContextId, text: str) -> None:
        text = text.encode("utf-8", "ignore").decode()
        context = self._contexts.setdefault(context_id, _Context())
        context.stop_waiting()
        for sentence in context.sentences.feed(text):
            self._speak(context_id, sentence)
        if len(text.split()) > 1 and text.rstrip().endswith(_ENDS):
            # Who gives several words at once gives them to their end.
            self._flush(context_id)
        else:
            loop = asyncio.get_running_loop()
            context.wait = loop.call_later(STALL_SECONDS, self._flush, context_id)

    def _flush(self, context_id: ContextId) -> None:
        """Speak what there is of a sentence."""
        if (context := self._contexts.get(context_id)) is not None:
            context.stop_waiting()
            for sentence in context.sentences.flush():
                self._speak(context_id, sentence)

    @override
    def _finish(self, context_id: ContextId) -> None:
        self._flush(context_id)
        self._contexts.pop(context_id, None)
        super()._finish(context_id)

    @override
    def _cancel(self, context_id: ContextId) -> None:
        if (context := self._contexts.pop(context_id, None)) is not None:
            context.stop_waiting()
        super()._cancel(context_id)

    @override
    def _end(self, *last: OfLink[TtsEvent]) -> None:
        for context in self._contexts.values():
            context.stop_waiting()
        super()._end(*last)


def _error_of(refused: wire.Refused) -> BelugaError:
    """What is raised by `connect`, with what to do."""
    match refused.reason:
        case wire.Reason.MISSING | wire.Reason.SPEAKER:
            return ConfigurationError(refused.detail, op="tts.connect")
        case wire.Reason.DAMAGED:
            return ConfigurationError(
                f"the voice cannot be read: {refused.detail}; remove its two files and fetch them"
                " again",
                op="tts.connect",
            )
        case wire.Reason.MEMORY:
            return ConfigurationError(
                "the voice does not fit into memory; take one of lower quality",
                op="tts.connect",
            )
        case _:
            assert_never(refused.reason)
