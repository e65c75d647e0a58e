"""What cannot hold with some faults, and what is known not to hold today; each with a sentence."""

from dataclasses import dataclass

from beluga_voice.testing.faults import Kind, Phase
from beluga_voice.testing.matrix.stages import STANDS_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A fault that makes it impossible for anybody to do better, and why."""

    what: str
    faults: frozenset[str]
    kinds: frozenset[str]
    """Kinds of providers, or `agent`."""
    phases: frozenset[str] = frozenset(Phase)
    late_phases: frozenset[str] = frozenset()
    """Phases at which it does so only if it strikes later than they begin, in an utterance."""
    why: str

    def covers(self, fault: str, phase: str, kind: str, *, is_late: bool) -> bool:
        """Whether it is about such a call."""
        phases = self.phases | self.late_phases if is_late else self.phases
        return fault in self.faults and phase in phases and kind in self.kinds

    @property
    def told(self) -> str:
        """The faults, in short."""
        where = _at(self.phases)
        if self.late_phases:
            where += f", or after the beginning of {_listed(self.late_phases)}"
        return ", ".join(f"`{name}`" for name in sorted(self.faults)) + where


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
        return f"{_listed(self.faults)}{_at(self.phases)} on {_listed(self.stages)}"


def _at(phases: frozenset[str]) -> str:
    return "" if phases == frozenset(Phase) else f" at {_listed(phases)}"


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
        what="lost",
        faults=frozenset({"hang_up"}),
        kinds=frozenset({Kind.S2S}),
        phases=frozenset({Phase.HEARING, Phase.AWAITED, Phase.ANSWERED}),
        late_phases=frozenset({Phase.OPEN, Phase.INTERRUPTED}),
        why="the service gets the beginning of what was said, and answers that",
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

KNOWN: tuple[Known, ...] = ()
