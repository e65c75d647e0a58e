"""What the errors of the xAI Grok Voice Agent service mean.

From the guide "Voice Agent API" of docs.x.ai, and reports of users for the refused handshake, read
on 2026-11-21. The service tells errors apart by `type`; the codes are those that the protocol has
elsewhere, in case it sends them.
"""

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.realtime_dialect import ErrorMap

ALREADY_ACTIVE = "conversation_already_has_active_response"
WRONG_KEY = "incorrect api key"
"""A wrong key is refused with HTTP status 400, and these words in the body."""

HARMLESS_WORDS = ("cancel", "truncat")
"""What an error speaks of that answers an order which came too late."""

ERRORS = ErrorMap(
    codes={
        "response_cancel_not_active": ErrorCategory.BENIGN,
        ALREADY_ACTIVE: ErrorCategory.BENIGN,
        "input_audio_buffer_commit_empty": ErrorCategory.BENIGN,
        "rate_limit_exceeded": ErrorCategory.RATE_LIMIT,
    },
    types={
        "invalid_request_error": ErrorCategory.INVALID_REQUEST,
        "invalid_event": ErrorCategory.INVALID_REQUEST,
        "authentication_error": ErrorCategory.AUTH,
        "rate_limit_error": ErrorCategory.RATE_LIMIT,
        "internal_error": ErrorCategory.RETRYABLE,
        "timeout": ErrorCategory.TIMEOUT,
        "max_duration": ErrorCategory.SESSION_EXPIRED,
    },
    code_endings={},
    already_active=ALREADY_ACTIVE,
    # Nobody spoke for long, or the session lasted as long as one may: either ends it.
    ends=frozenset({ErrorCategory.TIMEOUT, ErrorCategory.SESSION_EXPIRED}),
)
