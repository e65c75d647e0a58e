"""What goes wrong on one connection of an emulated service, and when: the same for all of them.

How it works. A service says how much sound of its responses it has sent, and is told what happens
by then, each mishap once. How it happens is for the service to say: what is none of its protocol,
and how a connection of it ends.
"""

from enum import StrEnum

from beluga_voice.testing.emulators.speech import Faults


class Mishap(StrEnum):
    """What may happen in mid-response; several that are due together, in this order."""

    MALFORMED = "malformed"
    """One message comes that is none of the protocol."""
    STALL = "stall"
    """Nothing more is sent on this connection, whatever is asked, and it is not closed."""
    DROP = "drop"
    """The connection ends: with the close code of the faults, or by breaking."""


class Mishaps:
    """Those of one connection."""

    def __init__(self, faults: Faults) -> None:
        after_ms = {
            Mishap.MALFORMED: faults.malformed_after_audio_ms,
            Mishap.STALL: faults.stall_after_audio_ms,
            Mishap.DROP: faults.drop_after_audio_ms,
        }
        self._to_come = {kind: ms for kind, ms in after_ms.items() if ms is not None}
        self._has_error = faults.error_code is not None or faults.error_type is not None
        self._sounded_ms = 0.0

    def sounded(self, ms: float) -> list[Mishap]:
        """What happens now that so much more sound was sent."""
        self._sounded_ms += ms
        due = [kind for kind, after_ms in self._to_come.items() if after_ms <= self._sounded_ms]
        for kind in due:
            del self._to_come[kind]
        return due

    def takes_error(self) -> bool:
        """Whether an error comes with this response: with the first one only."""
        has_error, self._has_error = self._has_error, False
        return has_error
