"""What the failures of a voice mean.

An error is a message with a code in words, and a close with 1008 follows. The codes are those that
the vendor's error pages and users' reports name, read 2026-11-21; of one that is not known, the
words decide.
"""

import re

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.advice import MONEY, advice_on, key_advice
from beluga_voice.providers.elevenlabs.account import KEY_VARIABLE
from beluga_voice.providers.tts.elevenlabs import _wire as wire

MAX_MESSAGE = 200

_ERRORS = {
    "invalid_api_key": ErrorCategory.AUTH,
    "needs_authorization": ErrorCategory.AUTH,
    "missing_permissions": ErrorCategory.AUTH,
    "quota_exceeded": ErrorCategory.INVALID_REQUEST,
    "voice_id_does_not_exist": ErrorCategory.INVALID_REQUEST,
    "voice_not_found": ErrorCategory.INVALID_REQUEST,
    "model_not_found": ErrorCategory.INVALID_REQUEST,
    "invalid_message": ErrorCategory.INVALID_REQUEST,
    "max_active_conversations": ErrorCategory.RATE_LIMIT,
    "too_many_concurrent_requests": ErrorCategory.RATE_LIMIT,
    "rate_limited": ErrorCategory.RATE_LIMIT,
    "system_busy": ErrorCategory.RETRYABLE,
    "input_timeout_exceeded": ErrorCategory.TIMEOUT,
    "internal_server_error": ErrorCategory.RETRYABLE,
}
_ADVICE = {
    "quota_exceeded": MONEY,
    "voice_id_does_not_exist": "check the voice: voices() lists them",
    "voice_not_found": "check the voice: voices() lists them",
    "too_many_concurrent_requests": "open fewer connections at once",
}
# The first that fits counts.
_BY_TEXT = (
    (r"api.?key|authori[sz]|authenticat|permission|forbidden", ErrorCategory.AUTH),
    # The limit is one of money: to try again does not help.
    (r"quota|credit|billing|payment|subscription", ErrorCategory.INVALID_REQUEST),
    (r"concurren|rate.?limit|too many|maximum simultaneous", ErrorCategory.RATE_LIMIT),
    (r"busy|overload|unavailable|internal", ErrorCategory.RETRYABLE),
    (r"time.?out|timed out", ErrorCategory.TIMEOUT),
)
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


def category_of(error: wire.ServerMessage) -> ErrorCategory:
    """What kind of failure an error is."""
    kind = error.error or ""
    if kind in _ERRORS:
        return _ERRORS[kind]
    return _by_text(f"{kind} {error.message or ''}") or ErrorCategory.INVALID_REQUEST


def message_of(error: wire.ServerMessage) -> str:
    """What may be shown of it; where the key is wrong, the service may quote from it."""
    kind = error.error or "error"
    category = category_of(error)
    advice = _ADVICE.get(kind) or advice_on(category, variable=KEY_VARIABLE)
    is_told = error.message and category is not ErrorCategory.AUTH
    shown = f"{kind}: {error.message}" if is_told else kind
    return f"{shown[:MAX_MESSAGE].rstrip('.')}; {advice}"


def category_of_close(code: int | None, reason: str) -> ErrorCategory | None:
    """What kind of failure a close is; `None` for one that says nothing went wrong."""
    if code is None or code not in _CLOSES:
        return None
    return _by_text(reason) or _CLOSES[code]


def message_of_close(code: int | None, reason: str) -> str:
    """What may be shown of a close."""
    if category_of_close(code, reason) is ErrorCategory.AUTH:
        return f"the service closed with {code}; {key_advice(KEY_VARIABLE)}"
    return f"the service closed with {code}: {reason[:MAX_MESSAGE] or 'no reason'}"


def _by_text(text: str) -> ErrorCategory | None:
    return next((what for words, what in _BY_TEXT if re.search(words, text, re.IGNORECASE)), None)
