"""In what emulated services differ that speak OpenAI's Realtime protocol.

A session is given one object of these for each connection, and asks it for whatever is not the
same everywhere. What the session emits has OpenAI's shape; `shape` turns it into the service's.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from beluga_voice.events import ToolSpec
from beluga_voice.testing.emulators.realtime_conversation import Conversation, Item
from beluga_voice.testing.emulators.realtime_frames import AnyFrame

type Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToSpeak:
    """Words that the client has the service speak, as they are."""

    text: str
    is_interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Expiry:
    """How a session ends that lasted too long: an error, then the close."""

    kind: str
    code: str
    message: str
    close_code: int
    close_reason: str


class SettingsLike(Protocol):
    """A session's configuration; `wire` is the object as the service sends it."""

    @property
    def wire(self) -> dict[str, Any]: ...

    @property
    def detection(self) -> dict[str, Any] | None:
        """How speech is found, with `create_response` and `interrupt_response`."""
        ...

    @property
    def heard_format(self) -> dict[str, Any]: ...

    @property
    def spoken_format(self) -> dict[str, Any]: ...

    @property
    def voice(self) -> Any: ...

    @property
    def has_transcription(self) -> bool: ...

    @property
    def instructions(self) -> str: ...

    @property
    def max_output_tokens(self) -> int | str: ...

    @property
    def tools(self) -> tuple[ToolSpec, ...]: ...

    def update(self, session: Any, *, has_sounded: bool) -> None:
        """Change the keys that are there; raises `Refused`, and nothing has changed then."""
        ...


class Manners(Protocol):
    """One service's, on one connection."""

    @property
    def service(self) -> str:
        """The name of its provider."""
        ...

    @property
    def lifetime_seconds(self) -> float: ...

    @property
    def expiry(self) -> Expiry: ...

    @property
    def ending_errors(self) -> frozenset[str | None]:
        """The errors, by type or code, after which the service closes the connection."""
        ...

    @property
    def ping_seconds(self) -> float | None: ...

    @property
    def late_words(self) -> int:
        """How many words of a cancelled response come after its end."""
        ...

    @property
    def leaves_unspoken(self) -> bool:
        """A response that was interrupted before it sounded is left without an end."""
        ...

    @property
    def conversation(self) -> Conversation: ...

    def read(self, message: str | bytes) -> AnyFrame:
        """A frame; raises `Refused`."""
        ...

    def settings(self, expires_at: float) -> SettingsLike: ...

    def greeting(self) -> list[Event]:
        """What follows `session.created`."""
        ...

    def configured(self, settings: SettingsLike) -> list[Event]:
        """What follows `session.updated`."""
        ...

    def item_of(self, item: Any) -> Item | ToSpeak: ...

    def shape(self, event: Event) -> list[Event]:
        """What the service sends of it."""
        ...
