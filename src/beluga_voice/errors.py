"""Every exception, named by what the caller can do about it.

    BelugaError
    ├── Misuse                  the program asked for something that makes no sense here
    │   ├── IllegalTransition   a state machine was given an input it does not take
    │   ├── WrongFormat         sound or data of another shape than was stated
    │   └── AlreadyClosed       the thing was closed before
    ├── ConfigurationError      change a setting, then try again
    │   ├── MissingExtra        an optional package is not installed
    │   ├── UnknownPlugin       no plugin of that name
    │   └── Unsupported         this provider cannot honour that setting
    ├── ProviderError           a service failed; see `is_retryable`
    │   ├── Unreachable         no connection
    │   ├── Overloaded          it asks us to come back later
    │   ├── Denied              wrong or missing credentials
    │   ├── Rejected            it refuses this request, and would again
    │   ├── BrokenProtocol      it sent what its protocol does not allow
    │   ├── LinkLost            the connection ended in mid-conversation
    │   └── Silent              it is connected, yet nothing useful comes
    ├── ToolFailed              a tool raised, or gave what cannot be sent
    └── CallEnded               the person is gone

Every error says which operation failed (`op`), has a stable `code` for programs, and keeps its
cause in `__cause__`. A message never holds a secret or a person's words.
"""

import traceback
from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable codes, for programs, metrics and logs."""

    ILLEGAL_TRANSITION = "invalid_state"
    INVALID_AUDIO_FORMAT = "invalid_audio_format"
    STREAM_CLOSED = "stream_closed"
    INVALID_INPUT = "invalid_input"
    INVALID_CONFIG = "invalid_config"
    MISSING_EXTRA = "missing_extra"
    UNSUPPORTED_PROVIDER = "unsupported_provider"
    UNSUPPORTED_SETTING = "unsupported_setting"
    NETWORK_ERROR = "network_error"
    RATE_LIMIT = "rate_limit"
    AUTHENTICATION_FAILED = "authentication_failed"
    INVALID_REQUEST = "invalid_request"
    MALFORMED_RESPONSE = "malformed_response"
    STREAM_ERROR = "stream_error"
    TIMEOUT = "timeout"
    PROVIDER_ERROR = "provider_error"
    TOOL_FAILED = "tool_failed"
    CALL_ENDED = "call_ended"
    AGENT_ERROR = "agent_error"
    INTERNAL_ERROR = "internal_error"


class BelugaError(Exception):
    """The root: `except BelugaError` catches whatever this package raises on purpose."""

    code = ErrorCode.INTERNAL_ERROR

    def __init__(self, message: str, *, op: str = "", code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.op = op
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.op}: {self.message}" if self.op else self.message


class Misuse(BelugaError):
    """The program asked for something that makes no sense here; nothing was changed."""

    code = ErrorCode.INVALID_INPUT


class IllegalTransition(Misuse):
    """A state machine was given an input its present state does not take; it stays as it was."""

    code = ErrorCode.ILLEGAL_TRANSITION

    def __init__(self, machine: str, state: str, given: str) -> None:
        super().__init__(
            f"the {machine} machine in state {state} does not take {given}", op=machine
        )
        self.machine = machine
        self.state = state
        self.given = given


class WrongFormat(Misuse):
    """Sound or data of another shape than was stated."""

    code = ErrorCode.INVALID_AUDIO_FORMAT


class AlreadyClosed(Misuse):
    """The session or link was closed before."""

    code = ErrorCode.STREAM_CLOSED


class ConfigurationError(BelugaError):
    """Change a setting, then try again."""

    code = ErrorCode.INVALID_CONFIG


class MissingExtra(ConfigurationError):
    """An optional package is not installed; the message holds the line that installs it."""

    code = ErrorCode.MISSING_EXTRA

    def __init__(self, what: str, *, extra: str, op: str = "") -> None:
        super().__init__(f"{what} needs: pip install 'beluga-voice[{extra}]'", op=op)
        self.extra = extra


class UnknownPlugin(ConfigurationError):
    """No plugin of that name; the message lists those installed."""

    code = ErrorCode.UNSUPPORTED_PROVIDER

    def __init__(self, kind: str, name: str, installed: tuple[str, ...]) -> None:
        known = ", ".join(installed) or "none"
        super().__init__(f"there is no {kind} named {name!r}; installed: {known}", op=kind)
        self.kind = kind
        self.name = name
        self.installed = installed


class Unsupported(ConfigurationError):
    """This provider cannot honour that setting; found before connecting."""

    code = ErrorCode.UNSUPPORTED_SETTING


class ProviderError(BelugaError):
    """A service failed. `is_retryable` says whether the same request may succeed later."""

    code = ErrorCode.PROVIDER_ERROR
    is_retryable = False

    def __init__(
        self, message: str, *, op: str = "", code: ErrorCode | None = None, provider: str = ""
    ) -> None:
        super().__init__(message, op=op, code=code)
        self.provider = provider


class Unreachable(ProviderError):
    """No connection came about: refused, not found, timed out, or not trusted."""

    code = ErrorCode.NETWORK_ERROR
    is_retryable = True


class Overloaded(ProviderError):
    """The service asks us to come back later, after `retry_after` seconds where it said so."""

    code = ErrorCode.RATE_LIMIT
    is_retryable = True

    def __init__(
        self,
        message: str,
        *,
        op: str = "",
        code: ErrorCode | None = None,
        provider: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, op=op, code=code, provider=provider)
        self.retry_after = retry_after


class Denied(ProviderError):
    """Wrong or missing credentials, or no permission."""

    code = ErrorCode.AUTHENTICATION_FAILED


class Rejected(ProviderError):
    """The service refuses this request, and would refuse it again."""

    code = ErrorCode.INVALID_REQUEST


class BrokenProtocol(ProviderError):
    """The peer sent what its protocol does not allow."""

    code = ErrorCode.MALFORMED_RESPONSE


class LinkLost(ProviderError):
    """The connection ended in mid-conversation."""

    code = ErrorCode.STREAM_ERROR
    is_retryable = True


class Silent(ProviderError):
    """The service is connected, yet nothing useful came within the time allowed."""

    code = ErrorCode.TIMEOUT
    is_retryable = True


class ToolFailed(BelugaError):
    """A tool raised, took too long, or gave what cannot be sent."""

    code = ErrorCode.TOOL_FAILED


class CallEnded(BelugaError):
    """The person is gone."""

    code = ErrorCode.CALL_ENDED


def where(error: BaseException) -> str:
    """What kind of error it is and where it came from, line by line, without its message.

    For logs: the message of a foreign exception may hold a person's words or a secret.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{type(error).__name__}\n{frames}".rstrip()
