"""Connecting to OpenAI Realtime: what is sent, what may go wrong, and how soon that is known."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve

from beluga_voice import registry
from beluga_voice.errors import (
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
    Unsupported,
)
from beluga_voice.events import LinkClosed, LinkReady, SendText
from beluga_voice.interfaces import S2sOptions, ToolSpec
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.emulators.openai_realtime import (
    KEY,
    LIFETIME_SECONDS,
    OpenAIRealtimeEmulator,
)
from beluga_voice.testing.emulators.realtime_session import EPOCH
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.openai_realtime.openai_stage import (
    HOST,
    PORT,
    check_frames,
    provider,
    settled,
    until_closed,
)


@asynccontextmanager
async def connected(*, faults=(), options=None, **settings):
    """A link to the emulated service, and the service."""
    service = OpenAIRealtimeEmulator(faults=faults)
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or S2sOptions()) as link,
    ):
        yield link, service


def failure_of(**settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(ProviderError) as caught:
            async with connected(**settings):
                pass
        return caught.value, loop.time()

    return simulate(scene)


def test_a_link_is_ready_when_connecting_returns():
    """The service has taken the settings by then, and says so in the first event."""

    async def scene():
        async with connected() as (link, service):
            sent = [one["type"] for one in service.sessions[0].sent]
            link.attach((events := []).append)
            return sent, events

    sent, events = simulate(scene)
    assert sent == ["session.created", "session.updated"]
    assert events[0] == LinkReady(
        remote_id="sess_1", model="gpt-realtime-2.1", expires_at=EPOCH + LIFETIME_SECONDS
    )


def test_leaving_closes_in_order():
    """The last event says that we closed; the service sees an orderly end."""

    async def scene():
        async with connected() as (link, service):
            link.send(SendText(text="bye", respond=False))
        check_frames(service.sessions[0])
        last = [one["type"] for one in service.sessions[0].received][-1]
        return (await until_closed(link))[-1], last

    closed, last = simulate(scene)
    assert closed == LinkClosed(is_clean=True, reason="closed by us")
    assert last == "conversation.item.create"


def test_without_a_key_nothing_is_tried(monkeypatch):
    """The error says which variable to set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error, at = failure_of(api_key="")
    assert isinstance(error, Denied)
    assert "OPENAI_API_KEY" in str(error)
    assert (error.provider, at) == ("openai_realtime", 0)


def test_the_key_may_come_from_the_environment(monkeypatch):
    """It is read when connecting, so that it may be set late."""
    late = OpenAIRealtime(endpoint=f"ws://{HOST}/v1/realtime")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def scene():
        service = OpenAIRealtimeEmulator()
        async with service.serving(HOST, PORT), late.connect(S2sOptions()):
            return len(service.sessions)

    assert simulate(scene) == 1


@pytest.mark.parametrize(
    ("settings", "kind", "is_retryable", "words"),
    [
        ({"api_key": "wrong"}, Denied, False, "401"),
        ({"model": "gpt-5"}, Rejected, False, "404"),
        ({"faults": [Faults(refuse_status=400)]}, Rejected, False, "400"),
        ({"faults": [Faults(refuse_status=403)]}, Denied, False, "403"),
        ({"faults": [Faults(refuse_status=429)]}, Overloaded, True, "429"),
        ({"faults": [Faults(refuse_status=500)]}, Unreachable, True, "500"),
        ({"faults": [Faults(refuse_status=503)]}, Overloaded, True, "503"),
    ],
)
def test_a_refused_handshake_has_its_error(settings, kind, is_retryable, words):
    """Each HTTP status is told as what can be done about it."""
    error, at = failure_of(**settings)
    assert type(error) is kind
    assert error.is_retryable is is_retryable
    assert words in str(error)
    assert (error.provider, at) == ("openai_realtime", 0)


def test_a_service_that_is_busy_says_for_how_long():
    """The wait that the service asks for is in the error."""
    error, _ = failure_of(faults=[Faults(refuse_status=429, retry_after="7")])
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


def test_settings_the_service_refuses_are_an_error_of_connecting():
    """An error event in answer to the settings is raised, and would come again."""
    options = S2sOptions(tools=(ToolSpec(name="not a name", description="", parameters="{}"),))
    error, at = failure_of(options=options)
    assert type(error) is Rejected
    assert "invalid_value" in str(error)
    assert (error.provider, at) == ("openai_realtime", 0)


def test_a_service_that_connects_and_says_nothing_is_given_up():
    """Connecting takes no longer than it may, all in all."""
    error, at = failure_of(faults=[Faults(is_mute=True)], connect_seconds=3)
    assert type(error) is Silent
    assert 3 <= at < 5


@pytest.mark.parametrize("code", [1011, 1001])
def test_a_service_that_hangs_up_while_it_is_opened_is_unreachable(code):
    """A session that ends before it was configured can be tried again."""

    async def hang_up(connection):
        await connection.close(code, "try another time")

    async def scene():
        async with serve(hang_up, HOST, PORT):
            with pytest.raises(Unreachable, match="try another time") as caught:
                async with provider().connect(S2sOptions()):
                    pass
            return caught.value.is_retryable

    assert simulate(scene)


def test_a_handshake_that_never_ends_is_given_up():
    """A machine that does not answer is given up in time."""

    async def scene():
        loop = running_simulation()
        loop.network.black_hole(HOST, PORT)
        with pytest.raises(Unreachable):
            async with provider(connect_seconds=2).connect(S2sOptions()):
                pass
        return loop.time()

    assert simulate(scene) == 2


def test_settings_are_checked_before_anything_is_connected():
    """What the service cannot honour is found without a network."""

    async def scene():
        with pytest.raises(Unsupported):
            async with provider().connect(S2sOptions(temperature=1.0)):
                pass

    simulate(scene)


def test_each_connection_has_its_own_ids():
    """The service counts from one each time; a provider's links do not share an id."""

    async def scene():
        service = OpenAIRealtimeEmulator()
        made = provider()
        seen = []
        async with service.serving(HOST, PORT):
            for _ in range(2):
                async with made.connect(S2sOptions()) as link:
                    link.send(SendText(text="hello"))
                    await settled()
                seen.append(list(await until_closed(link)))
        return [
            {one.response_id for one in events if hasattr(one, "response_id")} for events in seen
        ]

    first, second = simulate(scene)
    assert len(first) == len(second) == 1
    assert first != second


def test_it_is_found_by_its_name():
    """The plugin is registered, and takes a model after a colon."""
    made = registry.create("s2s", "openai_realtime:gpt-realtime-2.1-mini")
    assert made.name == "openai_realtime"


def test_it_works_on_real_sockets():
    """The same provider and the same service talk over loopback."""

    async def scene():
        service = OpenAIRealtimeEmulator()
        async with service.serving():
            made = OpenAIRealtime(api_key=KEY, endpoint=service.url.replace("ws://", "http://"))
            async with made.connect(S2sOptions()) as link:
                link.send(SendText(text="good morning"))
                async for event in link:
                    if type(event).__name__ == "ResponseDone":
                        return event.status.value
        return None

    assert asyncio.run(scene()) == "completed"
