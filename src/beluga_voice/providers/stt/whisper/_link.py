"""One person's link to the process with the model."""

import logging
from typing import assert_never, override

import msgspec

from beluga_voice.errors import BelugaError, ConfigurationError, Unsupported
from beluga_voice.events import LinkReady
from beluga_voice.providers.stt.whisper import _wire as wire
from beluga_voice.providers.stt.worker_link import HearingLink

_log = logging.getLogger(__name__)
_openings: msgspec.msgpack.Decoder[wire.Opened | wire.Refused] = msgspec.msgpack.Decoder(
    wire.Opened | wire.Refused
)


class WhisperLink(HearingLink):
    """A live transcription. `fetch` is the command that fetches the model, for people."""

    provider = "whisper"
    _ahead_bytes = 64000

    def __init__(
        self, *, model: str, fetch: str, max_waiting_bytes: int, answer_seconds: float
    ) -> None:
        super().__init__(max_waiting_bytes=max_waiting_bytes, answer_seconds=answer_seconds)
        self._model = model
        self._fetch = fetch

    @override
    def _ready(self, body: bytes) -> LinkReady:
        answer = _openings.decode(body)
        if isinstance(answer, wire.Refused):
            raise _error_of(answer, self._model, self._fetch)
        if answer.unused_phrases:
            _log.warning(
                "the last %d phrases are not used: Whisper can be told some 150 words",
                answer.unused_phrases,
            )
        return LinkReady(remote_id=str(answer.pid), model=self._model)


def _error_of(refused: wire.Refused, model: str, fetch: str) -> BelugaError:
    """What is raised by `connect`, with what to do."""
    match refused.reason:
        case wire.Reason.MISSING:
            return ConfigurationError(
                f"{refused.detail}; fetch it once: {fetch}",
                op="stt.connect",
            )
        case wire.Reason.UNKNOWN:
            return ConfigurationError(refused.detail, op="stt.connect")
        case wire.Reason.DAMAGED:
            return ConfigurationError(
                f"the model cannot be read: {refused.detail}; remove it, then: {fetch}",
                op="stt.connect",
            )
        case wire.Reason.MEMORY:
            return ConfigurationError(
                f"the model {model!r} does not fit into memory; take a smaller one,"
                " or compute_type='int8'",
                op="stt.connect",
            )
        case wire.Reason.DEVICE:
            return ConfigurationError(
                f"the model does not run there: {refused.detail}; change device or compute_type",
                op="stt.connect",
            )
        case wire.Reason.LANGUAGE:
            return Unsupported(
                f"{refused.detail}; take a newer one, without '.en' in its name", op="stt.connect"
            )
        case _:
            assert_never(refused.reason)
