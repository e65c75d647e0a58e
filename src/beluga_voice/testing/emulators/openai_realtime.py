"""An emulated OpenAI Realtime service (GA), for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with OpenAIRealtimeEmulator(brain).serving("api.example.com", 80) as service:
        ...
"""

from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

from websockets.http11 import Request, Response

from beluga_voice.testing.emulators import openai_realtime_frames as frames
from beluga_voice.testing.emulators.openai_realtime_settings import SessionSettings
from beluga_voice.testing.emulators.realtime_conversation import Conversation, Item
from beluga_voice.testing.emulators.realtime_frames import AnyFrame, read
from beluga_voice.testing.emulators.realtime_manners import Event, Expiry, SettingsLike
from beluga_voice.testing.emulators.realtime_server import RealtimeServer
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo
from beluga_voice.testing.emulators.websocket_server import key_of, query_of, refusal
from beluga_voice.testing.speech import WORD_MS

PATH = "/v1/realtime"
MODELS = (
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-mini",
)
KEY = "sk-emulated"
LIFETIME_SECONDS = 3600.0
EXPIRED = "Your session hit the maximum duration of 60 minutes."


class OpenAIRealtimeEmulator(RealtimeServer):
    """The service. `brain` decides what is said; `faults` are those of each connection in order.

    A session lasts `lifetime_seconds`, and says so.
    """

    def __init__(
        self,
        brain: Brain = echo,
        *,
        pace: Pace | None = None,
        word_ms: int = WORD_MS,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> None:
        service = _Service(keys, models, lifetime_seconds)
        super().__init__(service, brain, pace or Pace(), word_ms, faults)


class _Service:
    """Who is let in."""

    path = PATH

    def __init__(
        self, keys: Collection[str], models: Collection[str], lifetime_seconds: float
    ) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._keys = keys
        self._models = models

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        if key_of(request) not in self._keys:
            return refusal(401, _error("Incorrect API key provided.", "invalid_api_key"))
        path = urlsplit(request.path).path
        if path != PATH:
            return refusal(404, _error(f"Unknown request URL: GET {path}.", "unknown_url"))
        if "OpenAI-Beta" in request.headers:
            return refusal(400, _error("The beta dialect is retired.", "beta_api_shape_disabled"))
        model = query_of(request).get("model", "")
        if model not in self._models:
            return refusal(404, _error(f"The model '{model}' does not exist.", "model_not_found"))
        return None

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal."""
        return _error(message, "refused")

    def manners(self, query: dict[str, str]) -> "OpenAIManners":
        """Those of every connection."""
        return OpenAIManners(query["model"], self._lifetime_seconds)


class OpenAIManners:
    """The protocol as it was first made."""

    service = "openai_realtime"
    expiry = Expiry("invalid_request_error", "session_expired", EXPIRED, 1001, EXPIRED)
    ending_errors: frozenset[str | None] = frozenset({"session_expired"})
    ping_seconds: float | None = None
    late_words = 0
    leaves_unspoken = False

    def __init__(self, model: str, lifetime_seconds: float) -> None:
        self._model = model
        self.lifetime_seconds = lifetime_seconds
        self.conversation = Conversation()

    def read(self, message: str | bytes) -> AnyFrame:
        """A frame; raises `Refused`."""
        return read(message, frames.DECODER)

    def settings(self, expires_at: float) -> SessionSettings:
        """A session nobody has configured."""
        return SessionSettings(self._model, expires_at)

    def greeting(self) -> list[Event]:
        """Nothing more is said."""
        return []

    def configured(self, settings: SettingsLike) -> list[Event]:
        """Nothing more is said."""
        return []

    def item_of(self, item: Item) -> Item:
        """Every item is one of the conversation."""
        return item

    def shape(self, event: Event) -> list[Event]:
        """As it is."""
        return [event]


def _error(message: str, code: str) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
