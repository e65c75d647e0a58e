"""An emulated Cartesia Ink service, for an unmodified client: with turns, and without.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with CartesiaSttEmulator().serving("stt.example.com", 80) as service:
        ...

Its clock is the sound. A turn may be over 300 ms after the voice, and is after 1200 ms, or after
the timeout it was given. Where the documents leave open what the service does, this does what is
harder for the client: every text but the first of a connection begins with its space.

Sources: the AsyncAPI of both websockets at docs.cartesia.ai, and the Python SDK `cartesia` 4.2.0,
read on 2026-11-21.
"""

from collections.abc import Collection, Sequence

from websockets.http11 import Response

from beluga_voice.testing.emulators.cartesia_server import (
    KEY,
    CartesiaServer,
    failed,
)
from beluga_voice.testing.emulators.cartesia_stt_sessions import (
    ENCODINGS,
    ManualSession,
    SttSession,
    TurnsSession,
)
from beluga_voice.testing.emulators.speech import Faults, Pace

__all__ = ["KEY", "CartesiaSttEmulator", "ManualSession", "SttSession", "TurnsSession"]

TURNS = "/stt/turns/websocket"
MANUAL = "/stt/websocket"
WHISPER = "ink-whisper"
MODELS = ("ink-2", WHISPER, "ink-whisper-2025-06-04")
RANGES = {
    "turn_start_threshold": (0.5, 0.9),
    "turn_eager_end_threshold": (0.3, 0.6),
    "turn_end_threshold": (0.05, 0.5),
    "turn_end_timeout_ms": (640, 11200),
}


class CartesiaSttEmulator(CartesiaServer):
    """The service; of `pace` there is `transcript_ms`, from the end of speech to its transcript.

    `faults` that count sound count what was sent to it. `repeats_finals` tells each end of a turn,
    and each final text, twice. `never_ends` tells no end of a turn, and answers no `finalize`.
    Words come one by one as the documents have it, and with `has_word_lists` as the SDK's types do.
    """

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        repeats_finals: bool = False,
        never_ends: bool = False,
        has_word_lists: bool = False,
    ) -> None:
        super().__init__(faults=faults, keys=keys)
        self._pace = pace or Pace()
        self._models = models
        self._repeats_finals = repeats_finals
        self._never_ends = never_ends
        self._has_word_lists = has_word_lists
        self.sessions: list[SttSession] = []
        """Every connection, in order."""

    def answer(self, path: str, query: dict[str, list[str]]) -> Response | None:
        """Refuse what is not offered."""
        if path not in (TURNS, MANUAL):
            return failed(404, "not_found", f"There is nothing at {path}.")
        model = query.get("model", [""])[0]
        if model not in self._models or (path == TURNS and model.startswith(WHISPER)):
            return failed(400, "model_not_found", f"The model {model} is not offered here.")
        if query.get("encoding", [""])[0] not in ENCODINGS:
            return failed(400, "invalid_encoding", "The encoding is not valid.")
        if not query.get("sample_rate", [""])[0].isdigit():
            return failed(400, "invalid_sample_rate", "The sample_rate is not valid.")
        terms = query.get("keyterm", [])
        if len(terms) > 100 or sum(map(len, terms)) > 1200:
            return failed(400, "too_many_keyterms", "There are too many keyterms.")
        return _out_of_range(query)

    def session(
        self, path: str, query: dict[str, list[str]], version: str, faults: Faults
    ) -> SttSession:
        """A transcription."""
        kind = TurnsSession if path == TURNS else ManualSession
        made = kind(
            query,
            version,
            faults,
            pace=self._pace,
            repeats_finals=self._repeats_finals,
            never_ends=self._never_ends,
            has_word_lists=self._has_word_lists,
        )
        self.sessions.append(made)
        made.request_id = f"stt-{len(self.sessions)}"
        return made


def _out_of_range(query: dict[str, list[str]]) -> Response | None:
    for name, (least, most) in RANGES.items():
        if name in query and not least <= float(query[name][0]) <= most:
            return failed(400, "invalid_parameter", f"{name} is outside {least} to {most}.")
    return None
