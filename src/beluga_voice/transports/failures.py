"""The exceptions for what keeps a service from being used, each with what to do about it."""

import ssl as tls
from dataclasses import dataclass
from socket import gaierror

from beluga_voice.errors import Denied, Overloaded, ProviderError, Rejected, Silent
from beluga_voice.events import ErrorCategory, ServiceFailed

_KINDS: dict[ErrorCategory, type[ProviderError]] = {
    ErrorCategory.AUTH: Denied,
    ErrorCategory.INVALID_REQUEST: Rejected,
    ErrorCategory.TIMEOUT: Silent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to look at when a service lets nobody in: variables and settings by their names."""

    denied: str = "check the key and what it may do"
    rejected: str = "check the model and the settings"

    def on(self, kind: type[ProviderError], message: str) -> str:
        """A message of the service's own, with the advice on such a failure."""
        told: dict[type[ProviderError], str] = {Denied: self.denied, Rejected: self.rejected}
        if kind not in told:
            return message
        return f"{message.rstrip('. ')}; {told[kind]}"


ADVICE = Advice()
"""Where nothing more is known."""


def advice_for(*, key: str, model: str) -> Advice:
    """That of a service whose key comes from `key`, and which was asked for a model."""
    return Advice(
        denied=f"check the key and what it may do: {key}",
        rejected=f"check the model ({model!r}) and the settings",
    )


def error_of(
    event: ServiceFailed,
    *,
    op: str,
    provider: str,
    otherwise: type[ProviderError],
    advice: Advice | None = None,
) -> ProviderError:
    """An exception of the kind that the category means, and `otherwise` where it means none."""
    if event.category is ErrorCategory.RATE_LIMIT:
        return Overloaded(
            event.message, op=op, provider=provider, retry_after=event.retry_after_seconds
        )
    kind = _KINDS.get(event.category, otherwise)
    message = event.message if advice is None else advice.on(kind, event.message)
    return kind(message, op=op, provider=provider)


def no_connection(error: Exception, host: str) -> str:
    """What is said of an error of the network, and what to look at; `host` may have a port."""
    match error:
        case tls.SSLCertVerificationError():
            return (
                f"the certificate of {host} is not trusted ({error.verify_message}); check this "
                "machine's clock and certificates, or give an ssl context that knows the issuer "
                "(or its file as SSL_CERT_FILE)"
            )
        case tls.SSLError():
            return (
                f"no secure connection to {host} ({error.reason or 'TLS failed'}); check that the "
                "port speaks TLS, and what stands between"
            )
        case gaierror():
            return f"there is no address for {host}; check the name and the network"
        case ConnectionRefusedError():
            return f"{host} refused the connection; check that the service runs there"
        case OSError() if not isinstance(error, ConnectionError):
            return f"no connection to {host}: {error.strerror or 'no address of it answered'}"
        case _:
            # Also what a port without TLS does when it is spoken to in TLS, and the other way.
            return (
                f"{host} ended the connection while it was opened; check the address, and whether "
                "it is one with TLS"
            )
