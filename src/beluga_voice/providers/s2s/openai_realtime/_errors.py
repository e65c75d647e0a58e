"""What the errors of the OpenAI Realtime service mean.

From the error reference of the API documentation and the types of the official SDK, 3.52.0, read on
2026-11-21. An error leaves the session alive unless its code says that the session is over.
"""

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.openai_realtime._wire import ErrorObject

ALREADY_ACTIVE = "conversation_already_has_active_response"
EXPIRED = "session_expired"

BENIGN = frozenset(
    {"response_cancel_not_active", ALREADY_ACTIVE, "input_audio_buffer_commit_empty"}
)
_DENIED = frozenset({"invalid_api_key", "authentication_error", "permission_denied"})
_USED_UP = frozenset({"insufficient_quota", "credit_balance_exhausted"})

MAX_MESSAGE = 300


def category_of(error: ErrorObject) -> ErrorCategory:
    """What kind of failure it is."""
    code, kind = error.code or "", error.type or ""
    if code in BENIGN:
        return ErrorCategory.BENIGN
    if code == EXPIRED:
        return ErrorCategory.SESSION_EXPIRED
    if code in _DENIED or kind in _DENIED:
        return ErrorCategory.AUTH
    if code in _USED_UP or kind in _USED_UP or code.endswith("_spend_limit_exceeded"):
        # The limit is one of money: to try again does not help.
        return ErrorCategory.INVALID_REQUEST
    if code == "rate_limit_exceeded" or kind == "rate_limit_exceeded":
        return ErrorCategory.RATE_LIMIT
    if kind == "invalid_request_error":
        return ErrorCategory.INVALID_REQUEST
    if kind == "timeout":
        return ErrorCategory.TIMEOUT
    return ErrorCategory.RETRYABLE


def message_of(error: ErrorObject) -> str:
    """What may be shown of it: where the key is wrong, the service quotes from it."""
    name = error.code or error.type or "error"
    if category_of(error) is ErrorCategory.AUTH:
        return f"{name}: check the key and what it may do"
    return f"{name}: {error.message}"[:MAX_MESSAGE] if error.message else name


def is_expiry(code: int | None, reason: str) -> bool:
    """Whether a connection was closed because the session had lasted as long as one may."""
    return code == 1001 and "maximum duration" in reason.lower()
