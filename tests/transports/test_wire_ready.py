"""A link on a wire while it is being opened, and a codec that answers by itself."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from beluga_voice.errors import (
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
)
from beluga_voice.events import ErrorCategory, LinkReady, SendAudio, ServiceFailed, Transcript
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import WireProvider
from transports.codec import HOST, PORT, URL, TinyCodec, words

READY = '{"type": "ready"}'


class TellingCodec(TinyCodec):
    """The tiny protocol, and a failure that a message names: `refused:rate_limit`."""

    def decode(self, message: WireMessage, /) -> list[Any]:
        """A failure, or what the tiny protocol has."""
        text = str(message)
        if not text.startswith("refused:"):
            return super().decode(message)
        category = ErrorCategory(text.partition(":")[2])
        return [
            ServiceFailed(
                category=category, message="not today", is_fatal=True, retry_after_seconds=7
            )
        ]


class AnsweringCodec(TellingCodec):
    """Answers every message of the peer with how often it was asked."""

    def __init__(self, options: SttOptions) -> None:
        super().__init__(options)
        self.heard = 0

    def decode(self, message: WireMessage, /) -> list[Any]:
        """Count it."""
        self.heard += 1
        return super().decode(message)

    def replies(self) -> list[WireMessage]:
        """Nothing to say to the first message."""
        return [] if self.heard == 1 else [f'"answer {self.heard}"']


def opening(codec: Callable[[SttOptions], Any] = TellingCodec, **settings: Any):
    """A provider whose links are open once the service says that it is ready."""
    return WireProvider(
        "tiny",
        Capabilities(),
        codec,
        lambda _: connect_websocket(URL),
        is_ready=lambda event: isinstance(event, LinkReady),
        **settings,
    )


@asynccontextmanager
async def service(*messages: str, after_ms: float = 0, code: int | None = None):
    """A server that says these things; what it was sent is in the list."""
    got: list[str | bytes] = []

    async def handle(connection: ServerConnection) -> None:
        for message in messages:
            await asyncio.sleep(after_ms / 1000)
            await connection.send(message)
        if code is not None:
            await connection.close(code, "because")
        async for message in connection:
            got.append(message)

    async with serve(handle, HOST, PORT, compression=None):
        yield got


def failure_of(*messages: str, code: int | None = None, **settings: Any):
    """What connecting raises, and when."""

    async def scene():
        async with service(*messages, code=code):
            with pytest.raises(ProviderError) as caught:
                async with opening(**settings).connect(SttOptions()):
                    pass
            return caught.value, running_simulation().time()

    return simulate(scene)


def test_connecting_waits_until_the_service_is_ready():
    """What comes before is kept for the reader, and connecting takes as long as the service."""

    async def scene():
        async with (
            service(words("before"), READY, words("after"), after_ms=100),
            opening().connect(SttOptions()) as link,
        ):
            at = running_simulation().time()
            link.attach((events := []).append)
            await asyncio.sleep(1)
            return at, list(events)

    at, events = simulate(scene)
    assert at == pytest.approx(0.2)
    assert events == [
        Transcript(text="before", is_final=False),
        LinkReady(),
        Transcript(text="after", is_final=False),
    ]


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        (ErrorCategory.AUTH, Denied),
        (ErrorCategory.INVALID_REQUEST, Rejected),
        (ErrorCategory.RATE_LIMIT, Overloaded),
        (ErrorCategory.TIMEOUT, Silent),
        (ErrorCategory.RETRYABLE, Unreachable),
        (ErrorCategory.SESSION_EXPIRED, Unreachable),
    ],
)
def test_what_the_service_says_instead_is_raised(category, kind):
    """A fatal failure before the link is ready is the exception of its category."""
    error, _ = failure_of(f"refused:{category}")
    assert type(error) is kind
    assert (error.message, error.provider, error.op) == ("not today", "tiny", "connect")
    if isinstance(error, Overloaded):
        assert error.retry_after == 7


@pytest.mark.parametrize("code", [1000, 1011])
def test_a_close_before_it_is_ready_is_raised(code):
    """However the service closes, there is no link, and another attempt may have more luck."""
    error, _ = failure_of(words("hm"), code=code)
    assert type(error) is Unreachable
    assert "because" in error.message


def test_a_service_that_never_gets_ready_is_given_up():
    """The time allowed counts from the first attempt to connect."""

    async def scene():
        loop = running_simulation()
        loop.network.set_conditions(Conditions(latency_ms=100))
        async with service(words("hm")):
            with pytest.raises(Silent) as caught:
                async with opening(ready_seconds=2).connect(SttOptions()):
                    pass
            return caught.value.is_retryable

    assert simulate(scene)
    error, at = failure_of(words("hm"), ready_seconds=2)
    assert type(error) is Silent
    assert at == 2


def test_a_failure_after_it_is_ready_is_an_event():
    """Once open, a link tells its end as events, and raises nothing."""

    async def scene():
        async with service(READY, "refused:auth"), opening().connect(SttOptions()) as link:
            return [type(event).__name__ async for event in link]

    assert simulate(scene) == ["LinkReady", "ServiceFailed", "UsageReported", "LinkClosed"]


def test_a_codec_answers_by_itself():
    """What it has to say goes out in order, before what its events make others send."""

    async def scene():
        async with service(READY, words("a"), words("b"), after_ms=100) as got:
            async with opening(AnsweringCodec).connect(SttOptions()) as link:
                link.attach(
                    lambda event: (
                        link.send(SendAudio(pcm=event.text.encode()))
                        if isinstance(event, Transcript)
                        else None
                    )
                )
                await asyncio.sleep(1)
            return got

    assert simulate(scene) == ['{"hello": null}', '"answer 2"', b"a", '"answer 3"', b"b"]
