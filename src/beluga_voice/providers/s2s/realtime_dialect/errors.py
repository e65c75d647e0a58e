"""What the errors of a service mean, as tables.

An error leaves the session alive unless its category says that the session is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.realtime_dialect.wire import ErrorObject

MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorMap:
    """A service's errors by name; what is in no table may be tried again."""

    codes: Mapping[str, ErrorCategory]
    types: Mapping[str, ErrorCategory]
    """Looked up where the code says nothing."""
    code_endings: Mapping[str, ErrorCategory]
    already_active: str
    """The code that says that another response is being made, so that none was begun."""
    ends: frozenset[ErrorCategory] = frozenset({ErrorCategory.SESSION_EXPIRED})
    """After an error of these the session is over."""
    expiry_close_code: int | None = None
    expiry_close_reason: str = ""
    """The close code, and words of its reason, by which a session ends that lasted too long."""

    def category_of(self, error: ErrorObject) -> ErrorCategory:
        """What kind of failure it is."""
        code, kind = error.code or "", error.type or ""
        found = self.codes.get(code) or self.types.get(kind)
        endings = (self.code_endings[end] for end in self.code_endings if code.endswith(end))
        return next(endings, None) or found or ErrorCategory.RETRYABLE

    def message_of(self, error: ErrorObject) -> str:
        """What may be shown of it: where the key is wrong, services quote from it."""
        name = error.code or error.type or "error"
        if self.category_of(error) is ErrorCategory.AUTH:
            return f"{name}: check the key and what it may do"
        return f"{name}: {error.message}"[:MAX_MESSAGE] if error.message else name

    def is_expiry(self, code: int | None, reason: str) -> bool:
        """Whether a connection was closed because the session had lasted as long as one may."""
        if self.expiry_close_code is None or code != self.expiry_close_code:
            return False
        return self.expiry_close_reason in reason.lower()
