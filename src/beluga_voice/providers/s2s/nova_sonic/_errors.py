"""What kind of failure an exception of Bedrock is.

Source: the exceptions of aws-sdk-bedrock-runtime 0.12.0, and what published integrations do with
their texts; read 2026-11-21.
"""

import re

from beluga_voice.events import ErrorCategory

# By what it says, where one exception means many things. The first that fits counts.
_BY_TEXT = (
    (r"tool response parsing error", ErrorCategory.BENIGN),
    (r"InternalErrorCode=531|system instability", ErrorCategory.RETRYABLE),
    (
        r"(maximum|max\.?) (session|connection|stream)\w* (duration|length|time)"
        r"|(session|connection|stream) (has )?(expired|ended|reached its maximum)",
        ErrorCategory.SESSION_EXPIRED,
    ),
)
_BY_TYPE = (
    (
        r"AccessDenied|ExpiredToken|UnrecognizedClient|Signature|InvalidClientTokenId"
        r"|MissingAuthenticationToken|NotAuthorized|IncompleteSignature",
        ErrorCategory.AUTH,
    ),
    (r"Throttling|TooManyRequests|ServiceQuotaExceeded", ErrorCategory.RATE_LIMIT),
    (r"ModelTimeout", ErrorCategory.TIMEOUT),
    (r"Validation|ResourceNotFound|Conflict|UnknownOperation", ErrorCategory.INVALID_REQUEST),
    (r"InternalServer|ServiceUnavailable|ModelStreamError|ModelError|ModelNotReady",
     ErrorCategory.RETRYABLE),
)  # fmt: skip


def category_of(kind: str, message: str, status: int | None) -> ErrorCategory:
    """What may be done about it, from its name, its words and its HTTP status."""
    for pattern, category in _BY_TEXT:
        if re.search(pattern, message, re.IGNORECASE):
            return category
    for pattern, category in _BY_TYPE:
        if re.search(pattern, kind):
            return category
    match status:
        case 401 | 403:
            return ErrorCategory.AUTH
        case 429:
            return ErrorCategory.RATE_LIMIT
        case 408 | None:
            return ErrorCategory.RETRYABLE
        case _:
            return ErrorCategory.RETRYABLE if status >= 500 else ErrorCategory.INVALID_REQUEST
