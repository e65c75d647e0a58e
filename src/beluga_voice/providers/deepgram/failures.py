"""Why Deepgram closed a connection, as what can be done about it.

Source: https://developers.deepgram.com/docs/tts-troubleshooting-websocket-net-and-data-errors and
https://developers.deepgram.com/docs/keep-alive, read 2026-11-21: the reason of a close frame begins
with a code such as `NET-0001`.
"""

from beluga_voice.events import ErrorCategory, ServiceFailed

CODES = {
    "MESSAGE-0000": ErrorCategory.INVALID_REQUEST,
    "DATA-0000": ErrorCategory.INVALID_REQUEST,
    "DATA-0001": ErrorCategory.INVALID_REQUEST,
    "DATA-0002": ErrorCategory.INVALID_REQUEST,
    "BIG-0000": ErrorCategory.INVALID_REQUEST,
    "BIG-0001": ErrorCategory.INVALID_REQUEST,
    "NET-0000": ErrorCategory.RETRYABLE,
    "NET-0001": ErrorCategory.TIMEOUT,
    "NET-0002": ErrorCategory.TIMEOUT,
    "NET-0003": ErrorCategory.RETRYABLE,
    "INTERNAL_SERVER_ERROR": ErrorCategory.RETRYABLE,
    "UNPARSABLE_CLIENT_MESSAGE": ErrorCategory.INVALID_REQUEST,
}
"""Codes of close frames, and of errors in the stream."""

POLICY = 1008
"""The websocket code for what the service does not take, and would not take again."""


def failure_of_close(code: int | None, reason: str) -> ServiceFailed | None:
    """What the service says with its close frame; `None` if it says nothing of a failure."""
    known = next((one for one in CODES if reason.startswith(one)), None)
    if known is None and code != POLICY:
        return None
    category = ErrorCategory.INVALID_REQUEST if known is None else CODES[known]
    return ServiceFailed(
        category=category,
        message=f"the service closed the connection: {reason or f'code {code}'}",
        is_fatal=True,
        provider_code=known,
    )


def category_of(code: str) -> ErrorCategory:
    """What an error in the stream means; one that is not known may be tried again."""
    return CODES.get(code, ErrorCategory.RETRYABLE)
