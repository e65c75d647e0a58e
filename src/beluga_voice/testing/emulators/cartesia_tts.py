"""An emulated Cartesia Sonic service, for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones. The
list of voices is HTTP on the same port.

    async with CartesiaTtsEmulator().serving("tts.example.com", 80) as service:
        ...

As strict as the documents are, and where they leave open what the service does, it does what is
harder for the client: words are told before their sound, a cancelled context sounds for one more
word, and a context is let go, with `done`, a second after it fell silent.

Sources: the AsyncAPI of `/tts/websocket` and the page on contexts at docs.cartesia.ai, and the
Python SDK `cartesia` 4.2.0, read on 2026-11-21.
"""

from collections.abc import Collection, Sequence
from typing import Any

from websockets.http11 import Response

from beluga_voice.testing.emulators.cartesia_server import (
    KEY,
    CartesiaServer,
    failed,
)
from beluga_voice.testing.emulators.cartesia_tts_session import TtsSession, Twist
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.emulators.websocket_server import refusal
from beluga_voice.testing.speech import WORD_MS

__all__ = ["KEY", "CartesiaTtsEmulator", "TtsSession", "Twist"]

PATH = "/tts/websocket"
VOICES = "/voices"
MODELS = ("sonic-3.5", "sonic-3", "sonic-latest")
VOICE_IDS = ("f786b574-daa5-4673-aa0c-cbe3e8534c02", "a0e99841-438c-4a64-b679-ae501e7d6091")


class CartesiaTtsEmulator(CartesiaServer):
    """The service; a word sounds for `word_ms`.

    `faults` that count sound count what was sent. `twist` is how its sound is not what it should
    be. `expiry_seconds` is how long a silent context is kept. There are `max_contexts` at once.
    """

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        voices: Sequence[str] = VOICE_IDS,
        twist: Twist | None = None,
        expiry_seconds: float = 1.0,
        max_contexts: int = 15,
        page_size: int = 100,
    ) -> None:
        super().__init__(faults=faults, keys=keys)
        self._pace = pace or Pace()
        self._word_ms = word_ms
        self._models = models
        self._voices = voices
        self._twist: Twist | None = twist
        self._expiry_seconds = expiry_seconds
        self._max_contexts = max_contexts
        self._page_size = page_size
        self.sessions: list[TtsSession] = []
        """Every connection, in order."""

    def answer(self, path: str, query: dict[str, list[str]]) -> Response | None:
        """The list of voices, or a failed."""
        if path == VOICES:
            return self._page(query)
        if path != PATH:
            return failed(404, "not_found", f"There is nothing at {path}.")
        return None

    def _page(self, query: dict[str, list[str]]) -> Response:
        limit = query.get("limit", ["10"])[0]
        if not limit.isdigit() or not 1 <= int(limit) <= 100:
            return failed(400, "invalid_parameter", "limit is outside 1 to 100.")
        after = query.get("starting_after", [""])[0]
        if after and after not in self._voices:
            return failed(404, "voice_not_found", "There is no voice to start after.")
        first = self._voices.index(after) + 1 if after else 0
        last = first + min(int(limit), self._page_size)
        data = [_listed(voice_id) for voice_id in self._voices[first:last]]
        return refusal(200, {"data": data, "has_more": last < len(self._voices)})

    def session(
        self, path: str, query: dict[str, list[str]], version: str, faults: Faults
    ) -> TtsSession:
        """A connection that speaks."""
        made = TtsSession(
            query,
            version,
            faults,
            pace=self._pace,
            word_ms=self._word_ms,
            models=self._models,
            voices=self._voices,
            twist=self._twist,
            expiry_seconds=self._expiry_seconds,
            max_contexts=self._max_contexts,
        )
        self.sessions.append(made)
        made.request_id = f"tts-{len(self.sessions)}"
        return made


def _listed(voice_id: str) -> dict[str, Any]:
    """A voice as the list has it."""
    return {
        "id": voice_id,
        "name": f"Voice {voice_id[:4]}",
        "tagline": "emulated",
        "description": "A voice of test speech.",
        "language": "en",
        "locales": [{"locale": "en-US", "is_native": True}],
        "access": "public",
        "visibility": "all",
        "is_owner": False,
        "created_at": "2026-01-01T00:00:00Z",
    }
