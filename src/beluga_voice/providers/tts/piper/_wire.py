"""What our process and the one with the voices say to each other."""

from enum import StrEnum

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """How a process computes; the same for all of its links."""

    threads: int
    parallel: int
    preload: str | None
    """The file of a voice to load before anybody asks."""


class Open(msgspec.Struct, tag="open", frozen=True):
    """Begin; answered by `Opened` or `Refused`."""

    voice: str | None
    language: str | None
    default: str
    """The voice if none is asked for."""
    folder: str
    rate: int
    speed: float
    volume: float
    pause_milliseconds: int
    """Silence between two sentences."""


class Speak(msgspec.Struct, tag="speak", frozen=True):
    """A sentence of a context; `Audio` follows, completed by `Spoken`."""

    context_id: str
    sentence: str


class Finish(msgspec.Struct, tag="finish", frozen=True):
    """No more text; the last `Audio` follows, completed by `Done`."""

    context_id: str


class Cancel(msgspec.Struct, tag="cancel", frozen=True):
    """Stop the context; completed by `Cancelled`, after which nothing of it follows."""

    context_id: str


type Request = Open | Speak | Finish | Cancel


class Opened(msgspec.Struct, tag="opened", frozen=True):
    """The process speaks with that voice."""

    pid: int
    voice: str


class Reason(StrEnum):
    """Why there is no voice."""

    MISSING = "missing"
    DAMAGED = "damaged"
    MEMORY = "memory"
    SPEAKER = "speaker"


class Refused(msgspec.Struct, tag="refused", frozen=True):
    """There is no such voice, and why; the link ends."""

    reason: Reason
    detail: str


class Audio(msgspec.Struct, tag="audio", frozen=True):
    """Sound of a context at the rate asked for."""

    context_id: str
    pcm: bytes


class Spoken(msgspec.Struct, tag="spoken", frozen=True):
    """A sentence was spoken, or given up."""


class Done(msgspec.Struct, tag="done", frozen=True):
    """All sound of the context was sent."""

    context_id: str


class Cancelled(msgspec.Struct, tag="cancelled", frozen=True):
    """Nothing more of the context follows."""

    context_id: str


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The voice broke off; the link ends."""

    reason: Reason


type Answer = Opened | Refused | Audio | Spoken | Done | Cancelled | Failed
