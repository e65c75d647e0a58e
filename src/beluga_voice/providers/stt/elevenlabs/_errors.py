"""What the failures of a Scribe session mean.

An error is a message of its own type, and a close follows: no error leaves the session open. Types
by the AsyncAPI document (22 August 2026), read 2026-11-21.
"""

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.advice import MONEY, advice_on
from beluga_voice.providers.elevenlabs.account import KEY_VARIABLE

MAX_MESSAGE = 200

ERRORS = {
    "auth_error": ErrorCategory.AUTH,
    "unaccepted_terms": ErrorCategory.AUTH,
    # The limit is one of money: to try again does not help.
    "quota_exceeded": ErrorCategory.INVALID_REQUEST,
    "rate_limited": ErrorCategory.RATE_LIMIT,
    "queue_overflow": ErrorCategory.RATE_LIMIT,
    "resource_exhausted": ErrorCategory.RATE_LIMIT,
    "session_time_limit_exceeded": ErrorCategory.SESSION_EXPIRED,
    "input_error": ErrorCategory.INVALID_REQUEST,
    "invalid_request": ErrorCategory.INVALID_REQUEST,
    "chunk_size_exceeded": ErrorCategory.INVALID_REQUEST,
    "commit_throttled": ErrorCategory.RETRYABLE,
    "insufficient_audio_activity": ErrorCategory.TIMEOUT,
    "transcriber_error": ErrorCategory.RETRYABLE,
    "error": ErrorCategory.RETRYABLE,
}

_ADVICE = {
    "unaccepted_terms": "accept the terms in the account's settings",
    "quota_exceeded": MONEY,
    "rate_limited": "open fewer sessions at once",
    "commit_throttled": "connect again",
    "insufficient_audio_activity": "connect again",
    "session_time_limit_exceeded": "connect again",
}
_CLOSES = {
    1002: ErrorCategory.RETRYABLE,
    1003: ErrorCategory.INVALID_REQUEST,
    1007: ErrorCategory.INVALID_REQUEST,
    1008: ErrorCategory.INVALID_REQUEST,
    1009: ErrorCategory.INVALID_REQUEST,
    1011: ErrorCategory.RETRYABLE,
    1012: ErrorCategory.RETRYABLE,
    1013: ErrorCategory.RETRYABLE,
}


def message_of(kind: str, said: str | None) -> str:
    """What may be shown of an error; where the key is wrong, the service may quote from it."""
    category = ERRORS[kind]
    advice = _ADVICE.get(kind) or advice_on(category, variable=KEY_VARIABLE)
    shown = kind if category is ErrorCategory.AUTH else f"{kind}: {said or 'no reason'}"
    return f"{shown[:MAX_MESSAGE].rstrip('.')}; {advice}"


def category_of_close(code: int | None) -> ErrorCategory | None:
    """What kind of failure a close is; `None` for one that says nothing went wrong."""
    return None if code is None else _CLOSES.get(code)
