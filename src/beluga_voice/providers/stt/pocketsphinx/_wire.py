"""How a link to a recognising worker begins; what follows is in `stt.worker_wire`."""

import msgspec


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened`."""

    phrases: tuple[str, ...]
    bias: float
    longest_samples: int
    interim_samples: int
    """How often to look for new words; 0 is never."""
    other_readings: int = 0
    """How many are wanted of an utterance, beside the best."""


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """The process that listens, and the words whose pronunciation it had to guess."""

    pid: int
    guessed: tuple[str, ...]
