"""What Nova Sonic says, as strict types: the vendor publishes none.

Written from https://docs.aws.amazon.com/nova/latest/nova2-userguide/sonic-output-events.html, read
2026-11-21, and independent of those the provider reads with.
"""

from typing import Any, Literal

import msgspec

from beluga_voice.testing.emulators.nova_sonic import NovaSonicEmulator
from beluga_voice.testing.emulators.nova_sonic_frames import parse


class _Strict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    session_id: str
    prompt_name: str
    completion_id: str


class CompletionStart(_Strict, frozen=True):
    """A completion begins."""


class ContentStart(_Strict, frozen=True):
    """A block begins."""

    content_id: str
    type: Literal["TEXT", "AUDIO", "TOOL"]
    role: Literal["USER", "ASSISTANT", "TOOL"]
    additional_model_fields: str | None = None
    text_output_configuration: dict[Literal["mediaType"], Literal["text/plain"]] | None = None
    audio_output_configuration: dict[str, Any] | None = None
    tool_use_output_configuration: (
        dict[Literal["mediaType"], Literal["application/json"]] | None
    ) = None


class TextOutput(_Strict, frozen=True):
    """Words."""

    content_id: str
    role: Literal["USER", "ASSISTANT"]
    content: str


class AudioOutput(_Strict, frozen=True):
    """Sound."""

    content_id: str
    content: str


class ToolUse(_Strict, frozen=True):
    """A call."""

    content_id: str
    role: Literal["TOOL"]
    tool_name: str
    tool_use_id: str
    content: str


class ContentEnd(_Strict, frozen=True):
    """A block is over."""

    content_id: str
    type: Literal["TEXT", "AUDIO", "TOOL"]
    stop_reason: Literal["PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE"]


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Tokens."""

    speech_tokens: int
    text_tokens: int


class Both(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens in both directions."""

    input: Counts
    output: Counts


class Details(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Since the last time, and in all."""

    delta: Both
    total: Both


class UsageEvent(_Strict, frozen=True):
    """Tokens were counted."""

    details: Details
    total_input_tokens: int
    total_output_tokens: int
    total_tokens: int


class CompletionEnd(_Strict, frozen=True):
    """A completion is over."""

    stop_reason: Literal["PARTIAL_TURN", "END_TURN", "INTERRUPTED"]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One of them."""

    completion_start: CompletionStart | None = None
    content_start: ContentStart | None = None
    text_output: TextOutput | None = None
    audio_output: AudioOutput | None = None
    tool_use: ToolUse | None = None
    content_end: ContentEnd | None = None
    usage_event: UsageEvent | None = None
    completion_end: CompletionEnd | None = None


def check_server(event: dict[str, Any]) -> None:
    """Raise if the service would not say this."""
    assert len(event) == 1
    msgspec.convert(event, Event)


def check_client(event: dict[str, Any]) -> None:
    """Raise if the service would not take this."""
    parse(msgspec.json.encode({"event": event}))


def check_events(service: NovaSonicEmulator) -> None:
    """Every event of both sides is one that the documentation allows, and none was refused."""
    for session in service.sessions:
        assert session.received
        assert not session.errors
        for event in session.received:
            check_client(event)
        begun: set[str] = set()
        open_blocks: set[str] = set()
        for event in session.sent:
            check_server(event)
            ((name, fields),) = event.items()
            if name == "contentStart":
                assert fields["contentId"] not in begun
                begun.add(fields["contentId"])
                open_blocks.add(fields["contentId"])
            elif name == "contentEnd":
                open_blocks.remove(fields["contentId"])
            elif name.endswith(("Output", "Use")):
                assert fields["contentId"] in open_blocks
