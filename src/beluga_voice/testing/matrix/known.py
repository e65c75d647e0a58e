"""What cannot hold with some faults, and what is known not to hold today; each with a sentence."""

from dataclasses import dataclass

from beluga_voice.testing.faults import Kind, Phase
from beluga_voice.testing.matrix.stages import SERVICES, STANDS_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A fault that makes it impossible for anybody to do better, and why."""

    what: str
    faults: frozenset[str]
    kinds: frozenset[str]
    """Kinds of providers, or `agent`."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Calls that are wrong today, and why."""

    what: str
    faults: frozenset[str]
    stages: frozenset[str]
    """What the fault strikes, whether something stands in for it or not."""
    phases: frozenset[str] = frozenset(Phase)
    why: str

    def covers(self, fault: str, phase: str, stage: str) -> bool:
        """Whether it is about that call."""
        base = stage.removesuffix(STANDS_IN)
        return fault in self.faults and phase in self.phases and base in self.stages

    @property
    def told(self) -> str:
        """The calls, in short."""
        phases = "" if self.phases == frozenset(Phase) else f" at {_listed(self.phases)}"
        return f"{_listed(self.faults)}{phases} on {_listed(self.stages)}"


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


HEARERS: frozenset[str] = frozenset({Kind.STT, Kind.S2S})

SPOILED: tuple[Spoiled, ...] = (
    Spoiled(
        what="lost",
        faults=frozenset({"garbled_words"}),
        kinds=HEARERS,
        why="the service says with confidence that it heard other words",
    ),
    Spoiled(
        what="lost",
        faults=frozenset({"loss_up", "truncate_up", "deaf"}),
        kinds=HEARERS,
        why="the service gets less sound than was sent, understands what it got, and says so",
    ),
    Spoiled(
        what="repeated",
        faults=frozenset({"duplicate"}),
        kinds=frozenset({Kind.TTS, Kind.S2S}),
        why="the service itself says pieces of its speech twice",
    ),
    Spoiled(
        what="silent",
        faults=frozenset({"empty_answer"}),
        kinds=frozenset({"agent"}),
        why="an agent is asked, and may choose to say nothing",
    ),
)

_SERVICES = frozenset(SERVICES)
_ENDS = frozenset(
    {"close_1000", "close_1011", "close_1013", "close_4000", "fatal_complaint", "reset"}
)

KNOWN: tuple[Known, ...] = (
    Known(
        what="silent",
        faults=frozenset({"hang_up", "flaky_brownout"}),
        stages=_SERVICES,
        why="a service that finds the turns, and stops to tell of them in the middle of one, is "
        "not always missed: nobody knows that an answer is owed",
    ),
    Known(
        what="lost",
        faults=frozenset({"hang_up"}),
        stages=_SERVICES,
        why="what was said into a link that swallows it is not always said to another one",
    ),
    Known(
        what="silent",
        faults=_ENDS | {"empty_answer", "zero_audio", "blackout"},
        stages=frozenset({"openai_live"}),
        why="an answer that fails before its first sound is not made anew by a service that "
        "cannot be asked for one",
    ),
    Known(
        what="lost",
        faults=_ENDS | {"sudden_expiry"},
        phases=frozenset({Phase.AWAITED}),
        stages=frozenset({"grok"}),
        why="words that are not final when the link ends do not always come into the history",
    ),
    Known(
        what="silent",
        faults=frozenset({"deaf", "loss_up", "truncate_up"}),
        stages=_SERVICES | {"stt"},
        why="a transcript without a word counts as a noise, and nobody answers a noise",
    ),
)
