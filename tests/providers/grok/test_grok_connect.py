"""Connecting to Grok: what is sent, what may go wrong, and how soon that is known."""

import asyncio
import ssl as tls
from contextlib import asynccontextmanager

import pytest
import trustme
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
from beluga_voice.events import (
    LinkClosed,
    LinkReady,
    ResumptionChanged,
    SendText,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import S2sOptions, ToolSpec
from beluga_voice.providers.s2s.grok import Grok
from beluga_voice.testing.emulators.grok import KEY, GrokEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.grok.grok_stage import (
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
    service = GrokEmulator(faults=faults)
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
    assert sent == ["session.created", "conversation.created", "session.updated"]
    assert events[:2] == [
        LinkReady(remote_id="sess_1", model="grok-voice-latest"),
        ResumptionChanged(handle="conv_0001"),
    ]


def test_leaving_closes_in_order():
    """The last event says that we closed, and the one before it what is charged."""

    async def scene():
        async with connected() as (link, service):
            await asyncio.sleep(5)
            link.send(SendText(text="bye", respond=False))
        check_frames(service.sessions[0])
        last = [one["type"] for one in service.sessions[0].received][-1]
        return (await until_closed(link))[-2:], last

    (usage, closed), last = simulate(scene)
    assert usage == UsageReported(usage=Usage(audio_seconds=5.0))
    assert closed == LinkClosed(is_clean=True, reason="closed by us")
    assert last == "conversation.item.create"


def test_without_a_key_nothing_is_tried(monkeypatch):
    """The error says which variable to set."""
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    error, at = failure_of(api_key="")
    assert isinstance(error, Denied)
    assert "XAI_API_KEY" in str(error)
    assert (error.provider, at) == ("grok", 0)


def test_the_key_may_come_from_the_environment(monkeypatch):
    """It is read when connecting, so that it may be set late."""
    late = Grok(endpoint=f"ws://{HOST}/v1/realtime")
    monkeypatch.setenv("XAI_API_KEY", KEY)

    async def scene():
        service = GrokEmulator()
        async with service.serving(HOST, PORT), late.connect(S2sOptions()):
            return len(service.sessions)

    assert simulate(scene) == 1


@pytest.mark.parametrize(
    ("settings", "kind", "is_retryable", "words"),
    [
        ({"api_key": "wrong"}, Denied, False, "XAI_API_KEY, or api_key"),
        ({"model": "grok-5"}, Rejected, False, "404"),
        ({"faults": [Faults(refuse_status=401)]}, Denied, False, "401"),
        (
            {"faults": [Faults(refuse_status=400, refuse_body="No such voice")]},
            Rejected,
            False,
            "400",
        ),
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
    assert (error.provider, at) == ("grok", 0)


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
    assert (error.provider, at) == ("grok", 0)


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
        service = GrokEmulator()
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
    made = registry.create("s2s", "grok:grok-voice-3.0")
    assert made.name == "grok"


def test_a_wrong_key_is_not_shown():
    """Neither the error nor what it came from quotes the key, and no address has it."""
    error, _ = failure_of(api_key="xai-secret")
    assert isinstance(error, Denied)
    assert "xai-secret" not in f"{error} {error!r} {error.__cause__!r}"


def test_a_certificate_that_nobody_knows_is_not_trusted():
    """The error says what to look at; with a context that knows the issuer, it connects."""
    authority = trustme.CA()
    theirs = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = tls.create_default_context()
    authority.configure_trust(ours)

    async def hang_up(connection):
        await connection.close(1011, "try another time")

    async def scene(context):
        async with serve(hang_up, "127.0.0.1", 0, ssl=theirs) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            made = provider(endpoint=f"https://127.0.0.1:{port}/v1/realtime", ssl=context)
            with pytest.raises(Unreachable) as caught:
                async with made.connect(S2sOptions()):
                    pass
            return str(caught.value)

    assert "is not trusted" in asyncio.run(scene(None))
    assert "try another time" in asyncio.run(scene(ours))


def test_a_conversation_is_named_in_the_address():
    """What is to be continued is in the query; the settings ask for what was said to be kept."""

    async def scene():
        service = GrokEmulator()
        made = provider()
        async with service.serving(HOST, PORT):
            async with made.connect(S2sOptions()) as link:
                link.send(SendText(text="hello", respond=False))
                await settled()
            async with made.connect(S2sOptions(resume="conv_0001")):
                return [one["type"] for one in service.sessions[1].sent]

    assert simulate(scene) == [
        "session.created",
        "conversation.created",
        "session.updated",
        "conversation.item.created",
    ]


def test_it_works_on_real_sockets():
    """The same provider and the same service talk over loopback."""

    async def scene():
        service = GrokEmulator()
        async with service.serving():
            made = Grok(api_key=KEY, endpoint=service.url.replace("ws://", "http://"))
            async with made.connect(S2sOptions()) as link:
                link.send(SendText(text="good morning"))
                async for event in link:
                    if type(event).__name__ == "ResponseDone":
                        return event.status.value
        return None

    assert asyncio.run(scene()) == "completed"
