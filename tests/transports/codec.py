"""A tiny JSON protocol on a wire, for tests of what carries it.

It speaks the events of speech-to-text. The service is an unmodified websockets server.
"""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

from beluga_voice.errors import BrokenProtocol, Unsupported
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SttCommand,
    SttEvent,
    Transcript,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket
from beluga_voice.transports.wire import WireProvider

HOST, PORT = "voice.example.com", 8765
URL = f"ws://{HOST}:{PORT}/listen?key=sesame"


class TinyCodec:
    """Text is orders and events, bytes are sound."""

    def __init__(self, options: SttOptions) -> None:
        if options.language == "tlh":
            raise Unsupported("there is no Klingon", op="tiny")
        self.options = options

    def hello(self) -> list[WireMessage]:
        return [json.dumps({"hello": self.options.language})]

    def encode(self, command: SttCommand, /) -> list[WireMessage]:
        match command:
            case SendAudio():
                return [command.pcm]
            case FinishUtterance():
                return [json.dumps({"finish": command.utterance_id})]
            case DropUtterance():
                return []

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        try:
            heard = json.loads(message)
            kind = heard["type"]
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenProtocol("this is not of the tiny protocol", op="tiny") from error
        match kind:
            case "ready":
                return [LinkReady()]
            case "words":
                return [Transcript(text=heard["text"], is_final=False)]
            case "fatal":
                return [
                    ServiceFailed(
                        category=ErrorCategory.SESSION_EXPIRED, message="expired", is_fatal=True
                    )
                ]
            case "defect":
                raise ZeroDivisionError
            case _:
                return []

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """What is owed is a last usage report, so that tests see it."""
        return [
            UsageReported(usage=Usage(characters=1)),
            LinkClosed(is_clean=is_clean, code=code, reason=reason),
        ]


def tiny(**settings: Any) -> WireProvider[SttOptions, SttCommand, SttEvent]:
    """A provider that speaks it."""
    limits = {name: settings.pop(name) for name in ("max_audio_bytes",) if name in settings}

    def channel(_: SttOptions) -> AbstractAsyncContextManager[WebSocketChannel]:
        return connect_websocket(settings.pop("url", URL), **settings)

    return WireProvider("tiny", Capabilities(), TinyCodec, channel, **limits)


def words(text: str) -> str:
    """A message of the service."""
    return json.dumps({"type": "words", "text": text})
