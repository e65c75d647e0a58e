"""What the errors of the OpenAI Realtime service mean.

From the error reference of the API documentation and the types of the official SDK, 3.52.0, read on
2026-11-21.
"""

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.realtime_dialect import ErrorMap

ALREADY_ACTIVE = "conversation_already_has_active_response"

_DENIED = dict.fromkeys(
    ("invalid_api_key", "authentication_error", "permission_denied"), ErrorCategory.AUTH
)
# The limit is one of money: to try again does not help.
_USED_UP = dict.fromkeys(
    ("insufficient_quota", "credit_balance_exhausted"), ErrorCategory.INVALID_REQUEST
)
_EITHER = {**_DENIED, **_USED_UP, "rate_limit_exceeded": ErrorCategory.RATE_LIMIT}

ERRORS = ErrorMap(
    codes={
        **_EITHER,
        "response_cancel_not_active": ErrorCategory.BENIGN,
        ALREADY_ACTIVE: ErrorCategory.BENIGN,
        "input_audio_buffer_commit_empty": ErrorCategory.BENIGN,
        "session_expired": ErrorCategory.SESSION_EXPIRED,
    },
    types={
        **_EITHER,
        "invalid_request_error": ErrorCategory.INVALID_REQUEST,
        "timeout": ErrorCategory.TIMEOUT,
    },
    code_endings={"_spend_limit_exceeded": ErrorCategory.INVALID_REQUEST},
    already_active=ALREADY_ACTIVE,
    expiry_close_code=1001,
    expiry_close_reason="maximum duration",
)
