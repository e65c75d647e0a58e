"""An emulated xAI Grok Voice Agent service, for an unmodified client.

It listens on the loop it runs on: on simulated addresses under simulation, else on real ones.

    async with GrokEmulator(brain).serving("api.example.com", 80) as service:
        ...

Where the documentation leaves open what the service does, this does what is harder for the client:
it names no message in its errors, goes on sounding after it was stopped, and says of an utterance
more than once that it is written down.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.http11 import Request, Response

from beluga_voice.testing.emulators import grok_frames as frames
from beluga_voice.testing.emulators.grok_settings import SessionSettings
from beluga_voice.testing.emulators.grok_shape import Shape
from beluga_voice.testing.emulators.realtime_conversation import Conversation, Item
from beluga_voice.testing.emulators.realtime_frames import AnyFrame, read
from beluga_voice.testing.emulators.realtime_manners import Event, Expiry, SettingsLike, ToSpeak
from beluga_voice.testing.emulators.realtime_server import RealtimeServer
from beluga_voice.testing.emulators.speech import Brain, Faults, Pace, echo
from beluga_voice.testing.emulators.websocket_server import key_of, query_of, refusal
from beluga_voice.testing.speech import WORD_MS

PATH = "/v1/realtime"
MODELS = ("grok-voice-latest", "grok-voice-3.0", "grok-voice-think-fast-2.0")
KEY = "xai-emulated"
LIFETIME_SECONDS = 7200.0
KEPT_SECONDS = 1800.0
"""How long after the last message a conversation can be continued."""
PING_SECONDS = 10.0
EXPIRED = "The session lasted as long as one may."


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the service may do and need not."""

    ping_seconds: float | None = PING_SECONDS
    late_words: int = 2
    """How many words of a cancelled response sound after its end."""
    leaves_unspoken: bool = False
    """A response that was interrupted before it sounded is left without an end."""


class GrokEmulator(RealtimeServer):
    """The service. `brain` decides what is said; `faults` are those of each connection in order.

    A session lasts `lifetime_seconds`; a conversation can be continued for `kept_seconds` after its
    last message.
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
        quirks: Quirks | None = None,
        kept_seconds: float = KEPT_SECONDS,
        lifetime_seconds: float = LIFETIME_SECONDS,
    ) -> None:
        service = _Service(keys, models, quirks or Quirks(), kept_seconds, lifetime_seconds)
        super().__init__(service, brain, pace or Pace(), word_ms, faults)


class _Service:
    """Who is let in, and what is kept of each conversation."""

    path = PATH

    def __init__(
        self,
        keys: Collection[str],
        models: Collection[str],
        quirks: Quirks,
        kept_seconds: float,
        lifetime_seconds: float,
    ) -> None:
        self._kept_seconds = kept_seconds
        self._lifetime_seconds = lifetime_seconds
        self._keys = keys
        self._models = models
        self._quirks = quirks
        self._conversations: dict[str, GrokManners] = {}

    def refuse(self, request: Request) -> Response | None:
        """The answer to a handshake that is not taken."""
        key = key_of(request)
        if not key:
            return refusal(401, _error("unauthenticated", "No credentials were given."))
        if key not in self._keys:
            message = "Incorrect API key provided. You can find yours in the console."
            return refusal(400, _error("Client specified an invalid argument", message))
        path = urlsplit(request.path).path
        if path != PATH:
            return refusal(404, _error("Not found", f"There is nothing at {path}."))
        model = query_of(request).get("model", "")
        if model not in self._models:
            return refusal(404, _error("Not found", f"The model {model} does not exist."))
        return None

    def failure(self, status: int, message: str) -> dict[str, Any]:
        """The body of a refusal."""
        return _error("The service is not available", message)

    def manners(self, query: dict[str, str]) -> "GrokManners":
        """Those of a connection: with the conversation it continues, if that is still known."""
        now = asyncio.get_running_loop().time()
        kept = self._conversations.get(query.get("conversation_id", ""))
        if kept is not None and (not kept.is_resumable or now - kept.last_at > self._kept_seconds):
            kept = None
        name = f"conv_{len(self._conversations) + 1:04}" if kept is None else kept.name
        made = GrokManners(query["model"], self._quirks, name, kept)
        made.lifetime_seconds = self._lifetime_seconds
        self._conversations[name] = made
        return made


class GrokManners:
    """In what Grok differs from the protocol as it was first made."""

    service = "grok"
    lifetime_seconds = LIFETIME_SECONDS
    expiry = Expiry("max_duration", "max_duration", EXPIRED, 1000, "max_duration")
    ending_errors: frozenset[str | None] = frozenset({"max_duration", "timeout"})

    def __init__(
        self, model: str, quirks: Quirks, name: str, resumed: "GrokManners | None"
    ) -> None:
        self._model = model
        self._settings = SessionSettings(model)
        self._shape = Shape()
        self._to_replay = resumed is not None
        self.name = name
        self.conversation: Conversation = (
            Conversation() if resumed is None else resumed.conversation
        )
        self.ping_seconds = quirks.ping_seconds
        self.late_words = quirks.late_words
        self.leaves_unspoken = quirks.leaves_unspoken
        self.last_at = asyncio.get_running_loop().time()

    @property
    def is_resumable(self) -> bool:
        """Whether the client asked for it."""
        return self._settings.is_resumable

    def read(self, message: str | bytes) -> AnyFrame:
        """A frame; raises `Refused`."""
        self.last_at = asyncio.get_running_loop().time()
        return read(message, frames.DECODER)

    def settings(self, expires_at: float) -> SessionSettings:
        """A session nobody has configured; it does not say when it ends."""
        return self._settings

    def greeting(self) -> list[Event]:
        """The conversation, by whose id it can be continued."""
        conversation = {"id": self.name, "object": "realtime.conversation"}
        return [{"type": "conversation.created", "conversation": conversation}]

    def configured(self, settings: SettingsLike) -> list[Event]:
        """What was said before, if this is wanted, and once."""
        if not self._to_replay:
            return []
        self._to_replay = False
        if not self.is_resumable:
            self.conversation.items.clear()
            return []
        return [
            {"type": "conversation.item.created", "previous_item_id": None, "item": kept.wire}
            for kept in self.conversation.items
        ]

    def item_of(self, item: frames.Item) -> Item | ToSpeak:
        """An item of the conversation, or words to be spoken."""
        if isinstance(item, frames.ForceMessage):
            text = " ".join(part.text for part in item.content)
            return ToSpeak(text, is_interruptible=item.interruptible)
        return item

    def shape(self, event: Event) -> list[Event]:
        """What the service sends of it."""
        return self._shape(event, writes_along=self._settings.writes_along)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "error": message}
