"""The errors of the six services: all that our error maps know, each as the fault that brings it.

Where a map has names, the rows are made of it. Where it has patterns or close codes, the rows are
examples, and every alternative of every pattern has one: `unmatched` gives those that have none.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.s2s.elevenlabs import _errors as elevenlabs
from beluga_voice.providers.s2s.gemini_live import _codec as gemini_live
from beluga_voice.providers.s2s.grok import _errors as grok
from beluga_voice.providers.s2s.nova_sonic import _errors as nova_sonic
from beluga_voice.providers.s2s.openai_live import _errors as openai_live
from beluga_voice.providers.s2s.openai_realtime import _errors as openai_realtime
from beluga_voice.providers.s2s.realtime_dialect import ErrorMap
from beluga_voice.testing.emulators.speech import Faults

MID_MS = 400
"""How much of an answer has sounded when a connection is closed."""


@dataclass(frozen=True)
class Row:
    """An error, and what is to be made of it."""

    name: str
    faults: Faults
    category: ErrorCategory | None
    """`None` for what is no failure."""
    is_end: bool
    """Whether the connection is over."""
    needs_backend: bool = False
    """Whether only a working model of the service fails so."""


def _named(name: str, category: ErrorCategory, *, is_end: bool, **faults: str | int) -> Row:
    return Row(name, Faults(**faults), category, is_end)  # type: ignore[arg-type]


def _typed(kind: str, category: ErrorCategory, *, is_end: bool) -> Row:
    """An error told by its type, with a code that tells nothing: the models ask for one."""
    name = f"type {kind}"
    return _named(name, category, is_end=is_end, error_type=kind, error_code="other")


def _realtime(errors: ErrorMap) -> Iterator[Row]:
    """By code, and by type where there is no code."""
    for code, category in errors.codes.items():
        yield _named(code, category, is_end=category in errors.ends, error_code=code)
    for kind, category in errors.types.items():
        yield _named(f"type {kind}", category, is_end=category in errors.ends, error_type=kind)
    for end, category in errors.code_endings.items():
        code = f"organization{end}"
        yield _named(code, category, is_end=category in errors.ends, error_code=code)
    yield _named("unknown", ErrorCategory.RETRYABLE, is_end=False, error_code="never_heard_of")
    if errors.expiry_close_code is not None:
        closing = Faults(
            drop_after_audio_ms=MID_MS,
            close_code=errors.expiry_close_code,
            close_reason=f"Your session hit the {errors.expiry_close_reason} of 60 minutes.",
        )
        yield Row("close of an expired session", closing, ErrorCategory.SESSION_EXPIRED, True)


def _openai_live() -> Iterator[Row]:
    """By code or by type; then by the reasons of an end, and the words that tell errors apart."""
    categories = (
        dict.fromkeys(openai_live._DENIED, ErrorCategory.AUTH)
        | dict.fromkeys(openai_live._USED_UP, ErrorCategory.INVALID_REQUEST)
        | {"rate_limit_exceeded": ErrorCategory.RATE_LIMIT}
    )
    for name, category in sorted(categories.items()):
        is_end = name in openai_live.FATAL
        yield _named(name, category, is_end=is_end, error_code=name)
        yield _typed(name, category, is_end=is_end)
    for code, category in (
        (openai_live.INCOMPLETE, ErrorCategory.RETRYABLE),
        ("model_not_found", ErrorCategory.INVALID_REQUEST),
        ("server_error", ErrorCategory.RETRYABLE),
    ):
        yield _named(code, category, is_end=False, error_code=code)
    for kind, category in (
        ("invalid_request_error", ErrorCategory.INVALID_REQUEST),
        ("timeout", ErrorCategory.TIMEOUT),
    ):
        yield _typed(kind, category, is_end=False)
    failed = Faults(error_code="other", error_message="Responses handoff incomplete.")
    yield Row("handoff", failed, ErrorCategory.RETRYABLE, False, needs_backend=True)
    for reason, category in openai_live.ENDS.items():
        yield Row(reason, Faults(expire_after_ms=3000, close_reason=reason), category, True)
    for reason in sorted(openai_live.ORDERLY):
        yield Row(reason, Faults(expire_after_ms=3000, close_reason=reason), None, True)


GEMINI_WORDS = (
    "API key not valid. Please pass a valid API key.",
    "apikey missing",
    "The request is unauthenticated.",
    "Permission denied on resource project.",
    "invalid authentication credentials",
    "token expired",
    "You exceeded your current quota, please check your plan.",
    "RESOURCE_EXHAUSTED",
    "rate limit reached",
    "Too many requests",
    "Deadline expired before operation could complete.",
    "The session has ended",
    "session expired",
)


def _gemini_live() -> Iterator[Row]:
    """By close code, and by what the reason says."""
    for code, category in gemini_live._BY_CODE.items():
        faults = Faults(error_code="Something is wrong.", close_code=code)
        yield Row(f"close {code}", faults, category, True)
    for words in GEMINI_WORDS:
        category = _category(words, gemini_live._BY_TEXT)
        yield Row(words, Faults(error_code=words, close_code=1011), category, True)
    for code in (1000, 1001):
        faults = Faults(drop_after_audio_ms=MID_MS, close_code=code, close_reason="bye")
        yield Row(f"close {code}", faults, None, True)


NOVA_WORDS = (
    "Tool Response parsing error",
    "InternalErrorCode=531",
    "System instability detected",
    "The maximum session duration was reached",
    "max. stream length exceeded",
    "Your session has expired",
    "the connection has ended",
    "The stream reached its maximum",
)
NOVA_KINDS = (
    *("AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException"),
    *("InvalidSignatureException", "InvalidClientTokenId", "MissingAuthenticationTokenException"),
    *("NotAuthorized", "IncompleteSignature", "ThrottlingException", "TooManyRequestsException"),
    *("ServiceQuotaExceededException", "ModelTimeoutException", "ValidationException"),
    *("ResourceNotFoundException", "ConflictException", "UnknownOperationException"),
    *("InternalServerException", "ServiceUnavailableException", "ModelStreamErrorException"),
    *("ModelErrorException", "ModelNotReadyException"),
)


def _nova_sonic() -> Iterator[Row]:
    """By the name of the exception, and by its words."""
    for kind in NOVA_KINDS:
        category = _category(kind, nova_sonic._BY_TYPE)
        yield Row(kind, Faults(error_code=kind), category, True)
    for words in NOVA_WORDS:
        category = _category(words, nova_sonic._BY_TEXT)
        faults = Faults(error_code="ValidationException", error_message=words)
        yield Row(words, faults, category, category is not ErrorCategory.BENIGN)


ELEVENLABS_TYPES = (
    *("unknown", "telephony_agent_error", "mcp_tool_error", "mcp_https_error"),
    *("websocket_disconnect", "http_exception", "llm_error", "custom_llm_error"),
    *("cascade_brain_error", "asr_transcription_error", "vad_error", "turn_probability_error"),
    *("tts_cascade_error", "redis_timeout_error", "unknown_websocket_crash"),
)
"""Those of the vendor's document that may pass; the map has the others."""
ELEVENLABS_WORDS = (
    "Invalid API key",
    "could not authorize",
    "unauthenticated",
    "missing permission",
    "bad credential",
    "forbidden",
    "the signed url is not valid",
    "token was used before",
    "This request exceeds your quota",
    "no credit left",
    "billing is not set up",
    "payment failed",
    "too many concurrent conversations",
    "rate limit",
    "too many requests",
    "the system is busy",
    "queue overflow",
    "Maximum conversation duration",
    "duration was exceeded",
    "override is not allowed",
    "Missing dynamic variable",
    "timeout",
    "it timed out",
)


def _elevenlabs() -> Iterator[Row]:
    """By the type of an error; by close code, and by what the reason says."""
    passing = dict.fromkeys(ELEVENLABS_TYPES, ErrorCategory.RETRYABLE)
    for kind, category in (passing | elevenlabs._BY_TYPE).items():
        is_end = kind not in elevenlabs._PASSING
        yield _named(kind, category, is_end=is_end, error_code=kind, error_message="Failed.")
    for code, category in elevenlabs._BY_CODE.items():
        yield Row(f"close {code}", _closing(code, "Something is wrong."), category, True)
    for words in ELEVENLABS_WORDS:
        category = _category(words, elevenlabs._BY_TEXT)
        yield Row(words, _closing(1011, words), category, True)
    expired = _closing(1000, "max_duration exceeded")
    yield Row("close 1000, expired", expired, ErrorCategory.SESSION_EXPIRED, True)
    yield Row("close 1000", _closing(1000, "bye"), None, True)


def _closing(code: int, reason: str) -> Faults:
    return Faults(drop_after_audio_ms=MID_MS, close_code=code, close_reason=reason)


def _category(text: str, patterns: Iterable[tuple[str, ErrorCategory]]) -> ErrorCategory:
    """That of the first pattern that fits."""
    return next(what for one, what in patterns if re.search(one, text, re.IGNORECASE))


ROWS: dict[str, tuple[Row, ...]] = {
    "elevenlabs": tuple(_elevenlabs()),
    "gemini_live": tuple(_gemini_live()),
    "grok": tuple(_realtime(grok.ERRORS)),
    "nova_sonic": tuple(_nova_sonic()),
    "openai_live": tuple(_openai_live()),
    "openai_realtime": tuple(_realtime(openai_realtime.ERRORS)),
}
EACH = [(name, row) for name, rows in ROWS.items() for row in rows]


def unmatched() -> list[str]:
    """The alternatives of patterns that no row is an example of."""
    examples = (
        (gemini_live._BY_TEXT, GEMINI_WORDS),
        (nova_sonic._BY_TEXT, NOVA_WORDS),
        (nova_sonic._BY_TYPE, NOVA_KINDS),
        (elevenlabs._BY_TEXT, ELEVENLABS_WORDS),
    )
    return [
        alternative
        for patterns, words in examples
        for pattern, _ in patterns
        for alternative in _alternatives(pattern)
        if not any(re.search(alternative, one, re.IGNORECASE) for one in words)
    ]


def _alternatives(pattern: str) -> list[str]:
    """Those outside of parentheses."""
    found, depth = [""], 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += char
    return found
