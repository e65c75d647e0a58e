"""What the failures of an ElevenLabs conversation mean.

An error comes as a message, which says its type, and a close follows; some of the time only the
close comes, and its reason is all there is. The types are those of the AsyncAPI document
(`@elevenlabs/types` 0.23.0, read 2026-11-21); close codes beyond it are what users report:
https://github.com/elevenlabs/packages/issues/626 (3000).
"""

import re

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.elevenlabs import _wire as wire

MAX_MESSAGE = 200

_BY_TYPE = {
    "override_error": ErrorCategory.INVALID_REQUEST,
    "missing_dynamic_variable": ErrorCategory.INVALID_REQUEST,
    "missing_dynamic_variable_transfer": ErrorCategory.INVALID_REQUEST,
    "missing_fields": ErrorCategory.INVALID_REQUEST,
    "invalid_message": ErrorCategory.INVALID_REQUEST,
    "value_error": ErrorCategory.INVALID_REQUEST,
    "safety_violation": ErrorCategory.INVALID_REQUEST,
    "llm_timeout": ErrorCategory.TIMEOUT,
    "transport_receive_timeout": ErrorCategory.TIMEOUT,
    "asyncio_timeout": ErrorCategory.TIMEOUT,
    "max_duration_exceeded": ErrorCategory.SESSION_EXPIRED,
}
"""All others may pass: the model's, the recogniser's, the voice's, the network's."""

_PASSING = frozenset({"mcp_tool_error", "mcp_https_error"})
"""After these the conversation goes on."""

# The first that fits counts.
_BY_TEXT = (
    (
        r"api.?key|auth|unauthenticated|permission|credential|forbidden|signed|token",
        ErrorCategory.AUTH,
    ),
    # The limit is one of money: to try again does not help.
    (r"quota|credit|billing|payment", ErrorCategory.INVALID_REQUEST),
    (r"concurren|rate.?limit|too many|busy|queue", ErrorCategory.RATE_LIMIT),
    (r"max(imum)?.{0,20}duration|duration.{0,20}exceeded", ErrorCategory.SESSION_EXPIRED),
    (r"override|dynamic.?variable", ErrorCategory.INVALID_REQUEST),
    (r"time.?out|timed out", ErrorCategory.TIMEOUT),
)
_BY_CODE = {
    1002: ErrorCategory.TIMEOUT,
    1003: ErrorCategory.INVALID_REQUEST,
    1007: ErrorCategory.INVALID_REQUEST,
    1008: ErrorCategory.INVALID_REQUEST,
    1009: ErrorCategory.INVALID_REQUEST,
    1011: ErrorCategory.RETRYABLE,
    1012: ErrorCategory.RETRYABLE,
    1013: ErrorCategory.RETRYABLE,
    3000: ErrorCategory.INVALID_REQUEST,
    4300: ErrorCategory.RATE_LIMIT,
}

_ADVICE = {
    ErrorCategory.AUTH: "check the key, and whether the agent asks for one",
    "override_error": "allow that override in the agent's security settings, or leave it out",
    "missing_dynamic_variable": "give the variable in dynamic_variables",
    3000: "check the agent's id, its branch and its environment",
}


def category_of(error: wire.ErrorEvent) -> ErrorCategory:
    """What kind of failure an error is."""
    return _BY_TYPE.get(error.kind, ErrorCategory.RETRYABLE)


def is_passing(error: wire.ErrorEvent) -> bool:
    """Whether the conversation goes on after it."""
    return error.kind in _PASSING


def message_of(error: wire.ErrorEvent) -> str:
    """What may be shown of it."""
    kind = error.kind or "error"
    said = error.message or error.reason
    shown = f"{kind}: {said}"[:MAX_MESSAGE] if said else kind
    return f"{shown}; {_ADVICE[kind]}" if kind in _ADVICE else shown


def category_of_close(code: int | None, reason: str) -> ErrorCategory | None:
    """What kind of failure a close is; `None` for one that says nothing went wrong."""
    by_text = next(
        (what for text, what in _BY_TEXT if re.search(text, reason, re.IGNORECASE)), None
    )
    if code == 1000:
        return by_text if by_text is ErrorCategory.SESSION_EXPIRED else None
    if code is None or code not in _BY_CODE:
        return None
    return by_text or _BY_CODE[code]


def message_of_close(code: int | None, reason: str) -> str:
    """What may be shown of a close; where the key is wrong, the service may quote from it."""
    category = category_of_close(code, reason)
    if category is ErrorCategory.AUTH:
        return f"the service closed with {code}: {_ADVICE[category]}"
    shown = reason[:MAX_MESSAGE] or f"the service closed with {code}"
    return f"{shown}; {_ADVICE[code]}" if code is not None and code in _ADVICE else shown
