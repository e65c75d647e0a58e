"""What the errors and ends of the OpenAI Live service mean.

From the types of the official SDK, 3.52.0, the guides of the API documentation, and the codes that
published integrations treat as the end; read on 2026-11-21. Before a session has started, any error
is its end; after that, only those in `FATAL` are.
"""

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.openai_live._wire import ErrorObject

INCOMPLETE = "context_injection_incomplete"
"""What was appended was not placed, for want of input sound; while closing that is no news."""
HANDOFF_FAILED = "responses handoff incomplete"
"""In the message: a Responses backend failed, and nothing else will say so."""
TOO_LONG = "must not exceed"
"""In the message: an append had too many tokens."""

_DENIED = frozenset({"invalid_api_key", "authentication_error", "account_deactivated", "forbidden"})
_USED_UP = frozenset(
    {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"}
)
FATAL = _DENIED | _USED_UP

ENDS = {
    "expired": ErrorCategory.SESSION_EXPIRED,
    "connection_lost": ErrorCategory.RETRYABLE,
    "content": ErrorCategory.INVALID_REQUEST,
}
"""The reasons of `session.closed` that are failures; one that is not known can be tried again."""
ORDERLY = frozenset({"close_requested", "remote_hangup"})

MAX_MESSAGE = 300


def is_fatal(error: ErrorObject) -> bool:
    """Whether a session that runs is over by it."""
    return error.code in FATAL or error.type in FATAL


def category_of(error: ErrorObject) -> ErrorCategory:
    """What kind of failure it is."""
    code, kind = error.code or "", error.type or ""
    if code == INCOMPLETE:
        return ErrorCategory.RETRYABLE
    if code in _DENIED or kind in _DENIED:
        return ErrorCategory.AUTH
    if code in _USED_UP or kind in _USED_UP:
        # The limit is one of money: to try again does not help.
        return ErrorCategory.INVALID_REQUEST
    if "rate_limit_exceeded" in (code, kind):
        return ErrorCategory.RATE_LIMIT
    if kind == "invalid_request_error" or code == "model_not_found":
        return ErrorCategory.INVALID_REQUEST
    if kind == "timeout":
        return ErrorCategory.TIMEOUT
    return ErrorCategory.RETRYABLE


def message_of(error: ErrorObject) -> str:
    """What may be shown of it: where the key is wrong, the service quotes from it."""
    name = error.code or error.type or "error"
    if category_of(error) is ErrorCategory.AUTH:
        return f"{name}: check the key and what it may do"
    return f"{name}: {error.message}"[:MAX_MESSAGE] if error.message else name[:MAX_MESSAGE]
