"""A codec behind an event stream, as Bedrock carries it: what comes is frames, read by AWS's SDK.

The channel of ours and the SDK's own reader are between the bytes and the codec. Text is the
payload of a frame that is whole. Bytes are either the payload of a frame whose headers they choose,
or a piece of the stream as it is, whole or not: see `_stream_of`.
"""

import base64
import json
from collections.abc import AsyncGenerator, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

# None of these packages has types.
from aws_sdk_bedrock_runtime.models import (
    _InvokeModelWithBidirectionalStreamOutputDeserializer as Output,
)
from smithy_aws_event_stream.aio import AWSEventReceiver
from smithy_core.aio.types import AsyncBytesReader
from smithy_json import JSONCodec

from beluga_voice.errors import BrokenProtocol, LinkLost
from beluga_voice.events import S2sCommand, S2sEvent
from beluga_voice.interfaces import Codec, WireMessage
from beluga_voice.testing.emulators.nova_sonic_signing import frame
from beluga_voice.transports import _bedrock_sdk
from beluga_voice.transports.bedrock import ACCEPTED, BedrockChannel

CHUNK = {":message-type": "event", ":event-type": "chunk", ":content-type": "application/json"}
HEADERS: tuple[dict[str, str], ...] = (
    CHUNK,
    {":message-type": "event"},
    {":message-type": "event", ":event-type": "novelty"},
    {":message-type": "exception", ":exception-type": "throttlingException"},
    {":message-type": "exception", ":exception-type": "novelty"},
    {":message-type": "error", ":error-code": "500", ":error-message": "no"},
    {":message-type": "error"},
    {":message-type": "novelty"},
    {},
)
PIECES = (
    *(bytes([number]) + b'{"message":"no"}' for number in range(len(HEADERS))),
    b"\xff" + frame(CHUNK, b'{"bytes":"e30="}'),
)
"""Frames of every kind, and one as a piece of the stream."""


class Framed:
    """A codec whose messages come in frames; after a broken stream nothing more comes."""

    def __init__(self, inner: Codec[S2sCommand, S2sEvent]) -> None:
        self._inner = inner
        self._is_over = False

    def hello(self) -> Sequence[WireMessage]:
        return self._inner.hello()

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        return self._inner.encode(command)

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """The events of what the channel makes of it; the stream goes on with the next message."""
        if self._is_over:
            return []
        messages, self._is_over = _done(_received(_stream_of(message)))
        events: list[S2sEvent] = []
        broken: BrokenProtocol | None = None
        for one in messages:
            try:
                events += self._inner.decode(one)
            except BrokenProtocol as error:
                broken = error
        if broken is not None and not events:
            raise broken
        return events

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        return self._inner.closed(is_clean=is_clean, code=code, reason=reason)


def _stream_of(message: WireMessage) -> bytes:
    if isinstance(message, str):
        inner = base64.b64encode(message.encode(errors="surrogateescape")).decode()
        return frame(CHUNK, json.dumps({"bytes": inner}).encode())
    kind, rest = message[:1], message[1:]
    if not kind or kind[0] >= len(HEADERS):
        return rest
    return frame(HEADERS[kind[0]], rest)


def _done[T](work: Coroutine[Any, Any, T]) -> T:
    """What it gives; all is there already, so it waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("the channel waits for more than there is")


async def _received(stream: bytes) -> tuple[list[WireMessage], bool]:
    """What the channel gives, and whether it broke."""
    found: list[WireMessage] = []
    channel = BedrockChannel(_Stream(stream), None, _bedrock_sdk, host="bedrock")
    try:
        async for message in channel:
            if message != ACCEPTED:
                found.append(message)
    except LinkLost:
        return found, True
    return found, False


class _Stream:
    """What the SDK gives for a request, where the answer is these bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def await_output(self) -> tuple[Any, Any]:
        reader = AWSEventReceiver(
            payload_codec=JSONCodec(),
            source=AsyncBytesReader(_pieces(self._answer)),
            deserializer=Output().deserialize,
        )
        return SimpleNamespace(), reader


async def _pieces(answer: bytes) -> AsyncGenerator[bytes]:
    for at in range(0, len(answer), 1000):
        yield answer[at : at + 1000]
