"""The exception for what a service said in an event."""

from beluga_voice.errors import Denied, Overloaded, ProviderError, Rejected, Silent
from beluga_voice.events import ErrorCategory, ServiceFailed

_KINDS: dict[ErrorCategory, type[ProviderError]] = {
    ErrorCategory.AUTH: Denied,
    ErrorCategory.INVALID_REQUEST: Rejected,
    ErrorCategory.TIMEOUT: Silent,
}


def error_of(
    event: ServiceFailed, *, op: str, provider: str, otherwise: type[ProviderError]
) -> ProviderError:
    """An exception of the kind that the category means, and `otherwise` where it means none."""
    if event.category is ErrorCategory.RATE_LIMIT:
        return Overloaded(
            event.message, op=op, provider=provider, retry_after=event.retry_after_seconds
        )
    return _KINDS.get(event.category, otherwise)(event.message, op=op, provider=provider)
