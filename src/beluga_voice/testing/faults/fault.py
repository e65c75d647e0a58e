"""What every fault is: data that says what goes wrong and when, and the effect it has on a link.

A fault is declared once and may strike many connections. For each connection that it strikes it
begins an `Effect`, which may keep state, and has its own randomness from the seed. Effects do not
know each other; a link passes what comes through all of them, in the order of declaration.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError, ProviderError
from beluga_voice.events import GoingAway, LinkClosed, ServiceFailed
from beluga_voice.testing.faults.pieces import Final
from beluga_voice.testing.faults.when import Phase, When
from beluga_voice.testing.network import DirectionName

UP, DOWN = DirectionName.UP, DirectionName.DOWN


class Kind(StrEnum):
    """A kind of provider."""

    S2S = "s2s"
    STT = "stt"
    TTS = "tts"


EVERY_KIND = frozenset(Kind)
EVERY_PHASE = frozenset(Phase)


class Wire(Protocol):
    """What an effect can do by itself to the link that it is on."""

    def tell(self, event: ServiceFailed | GoingAway | Final) -> None:
        """Let the service say that, after all that is on its way."""
        ...

    def end(self, closed: LinkClosed, *, is_abrupt: bool) -> None:
        """End the link: what is on its way is lost if it is abrupt, and comes first if not."""
        ...

    def hold(self, direction: DirectionName, until: float) -> None:
        """Let nothing arrive before that time of the loop; infinite is never."""
        ...

    def later(self, seconds: float, deed: "Deed") -> None:
        """Do something after a while, unless the link has ended by then."""
        ...


class Deed(Protocol):
    """A plain call."""

    def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an effect is: which link, which way, and its randomness."""

    kind: Kind
    provider: str
    shape: AudioFormat
    """Of the sound that goes this way."""
    chance: random.Random
    wire: Wire


class Effect:
    """What one fault does to one link: nothing, where a method is not its own."""

    def connect_seconds(self) -> float:
        """How much longer connecting takes; infinite is for ever."""
        return 0.0

    def refusal(self) -> ProviderError | None:
        """What connecting raises."""
        return None

    def strike(self, until: float | None) -> None:
        """The moment has come; it lasts until that time of the loop, `None` being the end."""

    def reached(self, phase: Phase) -> None:
        """The link got to a phase, while the fault strikes."""

    def alter(self, item: object) -> Sequence[object]:
        """What becomes of a command or an event that passes while the fault strikes."""
        return (item,)

    def spare(self, item: object) -> Sequence[object]:
        """What becomes of it while the fault does not strike: before, or after."""
        return (item,)

    def late_seconds(self) -> float:
        """How much longer what passes now is under way."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(ABC):
    """Something that goes wrong. Declared as data; see `When` for the moment.

    `direction` is which way the fault is about: `up` to the service, `down` from it. For faults
    that are about the link as a whole, it is the way whose pieces `When.after_events` counts.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]] = EVERY_KIND
    """The providers that it makes sense for; on a link of another kind it does nothing."""
    directions: ClassVar[frozenset[DirectionName]] = frozenset(DirectionName)
    phases: ClassVar[frozenset[Phase]] = EVERY_PHASE
    """Where it can strike."""

    when: When = field(default_factory=When)
    direction: DirectionName = DOWN

    def __post_init__(self) -> None:
        if self.direction not in self.directions:
            ways = " or ".join(sorted(self.directions))
            raise ConfigurationError(f"the fault {self.name} goes {ways} only", op="faults")
        if self.when.phase not in self.phases:
            known = ", ".join(sorted(self.phases))
            message = f"the fault {self.name} strikes at {known}, not at {self.when.phase}"
            raise ConfigurationError(message, op="faults")
        self.check()

    def check(self) -> None:
        """Raise `ConfigurationError` for settings that make no sense."""
        return

    @abstractmethod
    def begin(self, place: Place) -> Effect:
        """The effect on one link."""


def check_share(share: float) -> None:
    """Raise `ConfigurationError` unless it is a part of a whole."""
    if not 0 < share <= 1:
        raise ConfigurationError("share is above 0 and at most 1", op="faults")


def check_positive(**values: float) -> None:
    """Raise `ConfigurationError` naming what is not above 0."""
    for name, value in values.items():
        if value <= 0:
            raise ConfigurationError(f"{name} should be above 0", op="faults")


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault struck."""

    fault: str
    connection: int
    """Counted from 1."""
    at_ms: float
    """On the loop's clock."""
