"""Which part our ears have in hearing the person, and which the service.

How it works. Whose turns they are is settled before a session begins (`TurnOwner`), and what the
service can tell follows from its capabilities. Where it owns the turns and does not say when it
hears speech, our own ears are hints: for the state, the latency and interruptions.
"""

from dataclasses import dataclass

from beluga_voice.interfaces import Capabilities, TurnOwner


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """The parts that our ears and the service have in one conversation."""

    owner: TurnOwner
    has_ears: bool
    """Whether our ears say when there is a voice."""
    is_hinted: bool
    """Whether they only guess at what the service decides and does not tell."""
    is_by_service: bool
    """Whether what the service tells of voices counts. One that finds the turns may find one also
    where it mostly leaves the hearing to us."""
    silence: float | None
    """After how long a silence the service ends a turn, in seconds; `None` if that is not known."""

    @property
    def is_ours(self) -> bool:
        """Whether we end the turns."""
        return self.owner is TurnOwner.FRAMEWORK

    @property
    def is_duplex(self) -> bool:
        """Whether a model hears while it speaks, and decides about everything itself."""
        return self.owner is TurnOwner.DUPLEX


def hearing(
    owner: TurnOwner, capabilities: Capabilities, *, turn_silence_ms: float | None
) -> Hearing:
    """The parts, with turns of that owner."""
    tells = capabilities.has_speech_events
    has_ears = owner is TurnOwner.FRAMEWORK or not tells
    return Hearing(
        owner=owner,
        has_ears=has_ears,
        is_hinted=owner is TurnOwner.PROVIDER and not tells,
        is_by_service=owner is TurnOwner.PROVIDER or not has_ears,
        silence=None if turn_silence_ms is None else turn_silence_ms / 1000,
    )
