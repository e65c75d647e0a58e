"""In what services that speak the same protocol differ, as data."""

from dataclasses import dataclass

from beluga_voice.providers.s2s.realtime_dialect.errors import ErrorMap
from beluga_voice.providers.s2s.realtime_dialect.reading import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One service's manner of speaking."""

    reader: Reader
    """Its messages."""
    errors: ErrorMap
    min_commit_ms: float = 0
    """The shortest utterance that may be committed; a shorter one is filled with silence."""
