"""How a connection to Nova Sonic comes about, or does not: on the plain wire, and on Bedrock's."""

import asyncio
import ssl
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from h2.connection import H2Connection

from beluga_voice import registry
from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    LinkLost,
    MissingExtra,
    Overloaded,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
)
from beluga_voice.events import (
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ResponseAudio,
    ResponseDone,
    ResponseStatus,
    S2sEvent,
    SendAudio,
    SendText,
    ServiceFailed,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.providers.s2s.nova_sonic._codec import NovaSonicCodec
from beluga_voice.providers.s2s.nova_sonic._settings import Settings
from beluga_voice.testing.emulators.nova_sonic import (
    ACCESS_KEY,
    MODELS,
    SECRET_KEY,
    NovaSonicEmulator,
    certificate,
)
from beluga_voice.testing.emulators.speech import Faults, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from beluga_voice.transports import _bedrock_sdk
from beluga_voice.transports.bedrock import (
    BedrockChannel,
    Credentials,
    connect_bedrock,
    endpoint_of,
)
from providers.nova_sonic.nova_models import check_events
from providers.nova_sonic.nova_stage import HOST, PORT, provider

REFUSALS = [
    (400, Rejected),
    (403, Denied),
    (404, Rejected),
    (408, Silent),
    (429, Overloaded),
    (500, Unreachable),
    (503, Unreachable),
]


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


# ── on the plain wire ───────────────────────────────────────────────────────────────────────


def failure(
    faults: Faults | None = None, model: str = "amazon.nova-2-sonic-v1:0", **settings: Any
) -> tuple[ProviderError, float]:
    """What connecting raises, and when."""

    async def scene() -> tuple[ProviderError, float]:
        service = NovaSonicEmulator(faults=[faults] if faults else ())
        async with service.serving(HOST, PORT):
            with pytest.raises(ProviderError) as caught:
                async with provider(model, **settings).connect(S2sOptions()):
                    pass
        return caught.value, asyncio.get_running_loop().time()

    return play(scene)


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_a_refused_request(status: int, kind: type[ProviderError]) -> None:
    """Each refusal is the error that says what to do about it."""
    error, _ = failure(Faults(refuse_status=status))
    assert type(error) is kind
    assert error.provider == "nova_sonic"


def test_an_unknown_model() -> None:
    """A model that is not there is refused in the service's own words."""
    error, _ = failure(model="amazon.nova-9-sonic")
    assert type(error) is Rejected
    assert "model identifier is invalid" in error.message


def test_a_service_that_says_nothing() -> None:
    """A service that takes a request and is silent is given up in time."""
    error, at = failure(Faults(is_mute=True), connect_seconds=3)
    assert type(error) is Silent
    assert at == 3


def test_nobody_there() -> None:
    """Where nobody listens, nothing is connected."""

    async def scene() -> None:
        with pytest.raises(Unreachable):
            async with provider().connect(S2sOptions()):
                pass

    play(scene)


def test_ids_are_unique_over_all_links() -> None:
    """Links of one provider say different ids for what the service counts from one again."""

    async def scene() -> list[str]:
        found: list[str] = []
        service = NovaSonicEmulator()
        made = provider()
        async with service.serving(HOST, PORT):
            for _ in range(2):
                async with made.connect(S2sOptions()) as link:
                    link.send(SendText(text="hello"))
                    async for event in link:
                        if isinstance(event, ResponseDone):
                            found.append(event.response_id)
                            break
        assert all(one.is_polite for one in service.sessions)
        return found

    assert play(scene) == ["nova-1-r1", "nova-2-r1"]


def test_a_client_without_input_is_sent_away() -> None:
    """The service ends a stream on which nothing comes, and says why."""

    async def scene() -> list[S2sEvent]:
        service = NovaSonicEmulator(idle_ms=5000)
        async with (
            service.serving(HOST, PORT),
            provider().connect(S2sOptions()) as link,
        ):
            link.send(SendAudio(pcm=bytes(640)))
            return [event async for event in link]

    ready, failed, closed = play(scene)
    assert isinstance(ready, LinkReady)
    assert isinstance(failed, ServiceFailed)
    assert failed.category is ErrorCategory.TIMEOUT
    assert isinstance(closed, LinkClosed)


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "http://127.0.0.1:1"},
        {"endpoint": "ws://127.0.0.1:1"},
        {"endpoint": "127.0.0.1"},
        {"endpoint": "https://host/path"},
        {"endpoint": "https://host:port"},
        {"sensitivity": "much"},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """What cannot be honoured is refused when the provider is made."""
    with pytest.raises(ConfigurationError):
        NovaSonic(**settings)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://host", "https://host"),
        ("https://host:443/", "https://host"),
        ("wss://host:8443", "https://host:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_addresses(given: str, address: str) -> None:
    """The usual port is left out: the SDK fails on it."""
    assert endpoint_of(given) == address


def test_it_is_found_by_its_name() -> None:
    """The registry makes it, with the model after the colon, and needs no SDK for that."""
    made = registry.create("s2s", "nova_sonic:amazon.nova-sonic-v1:0")
    assert isinstance(made, NovaSonic)
    assert not made.capabilities.has_text_input
    assert NovaSonic().capabilities.needs_continuous_input


# ── as Bedrock, on real sockets ─────────────────────────────────────────────────────────────

SERVER, ISSUER = certificate()
TRUSTING = ssl.create_default_context(cadata=ISSUER.decode())
OURS = Credentials(access_key=ACCESS_KEY, secret_key=SECRET_KEY)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on real sockets, for at most 20 seconds; no task may be left over."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await scene()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        assert {one.get_name() for one in rest} <= set()

    asyncio.run(limited())


def bedrock(service: NovaSonicEmulator, **settings: Any) -> NovaSonic:
    """A provider for the emulated Bedrock."""
    settings.setdefault("credentials", lambda: OURS)
    settings.setdefault("ssl", TRUSTING)
    return NovaSonic(endpoint=service.url, region="us-east-1", **settings)


@asynccontextmanager
async def serving(*faults: Faults, **more: Any) -> AsyncGenerator[NovaSonicEmulator]:
    """The emulated Bedrock on this machine."""
    service = NovaSonicEmulator(faults=faults, **more)
    async with service.serving("127.0.0.1", 0, ssl=SERVER):
        yield service


def bedrock_failure(faults: Faults | None = None, **settings: Any) -> ProviderError:
    """What connecting to Bedrock raises."""
    errors: list[ProviderError] = []

    async def scene() -> None:
        async with serving(*([faults] if faults else ())) as service:
            with pytest.raises(ProviderError) as caught:
                async with bedrock(service, **settings).connect(S2sOptions()):
                    pass
        errors.append(caught.value)

    run(scene)
    assert errors[0].provider == "nova_sonic"
    return errors[0]


@pytest.mark.parametrize(("status", "kind"), REFUSALS)
def test_a_refused_request_on_bedrock(status: int, kind: type[ProviderError]) -> None:
    """Each exception of the service is the error that says what to do about it."""
    assert type(bedrock_failure(Faults(refuse_status=status))) is kind


def test_an_expired_token() -> None:
    """An exception the SDK has no class for is read from its name."""
    refused = Faults(refuse_status=403, refuse_body="ExpiredTokenException: The token has expired")
    error = bedrock_failure(refused)
    assert type(error) is Denied
    assert "ExpiredTokenException" in error.message


def test_wrong_credentials() -> None:
    """A key that is not known, or a wrong secret, is denied, and no secret is told."""
    guessed = Credentials(access_key="AKIAGUESSED", secret_key="guessed-secret")
    wrong = Credentials(access_key=ACCESS_KEY, secret_key="guessed-secret")
    for credentials in (guessed, wrong):
        error = bedrock_failure(credentials=lambda credentials=credentials: credentials)
        assert type(error) is Denied
        assert "guessed-secret" not in f"{error} {credentials!r}"


@pytest.mark.parametrize("missing", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_no_credentials(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nothing is connected, and the variable that is missing is named."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv(missing)

    async def scene() -> None:
        with pytest.raises(Denied, match=missing) as caught:
            async with NovaSonic().connect(S2sOptions()):
                pass
        assert caught.value.provider == "nova_sonic"

    run(scene)


def test_credentials_and_region_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's usual variables are read when connecting, with the token of a temporary login."""
    errors: list[ProviderError] = []

    async def scene() -> None:
        async with serving(session_token="temporary") as service:
            made = NovaSonic(endpoint=service.url, ssl=TRUSTING)
            monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
            monkeypatch.delenv("AWS_REGION", raising=False)
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            monkeypatch.setenv("AWS_SESSION_TOKEN", "temporary")
            async with made.connect(S2sOptions()):
                assert len(service.sessions) == 1
            monkeypatch.delenv("AWS_SESSION_TOKEN")
            with pytest.raises(Denied) as caught:
                async with made.connect(S2sOptions()):
                    pass
            errors.append(caught.value)

    run(scene)
    assert "UnrecognizedClientException" in errors[0].message


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a region nothing is connected, and its variable is named."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)

    async def scene() -> None:
        with pytest.raises(ConfigurationError, match="AWS_REGION"):
            async with NovaSonic().connect(S2sOptions()):
                pass

    run(scene)


def test_without_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK is not installed, connecting names the extra that installs it."""
    monkeypatch.delitem(sys.modules, "beluga_voice.transports._bedrock_sdk", raising=False)
    monkeypatch.setitem(sys.modules, "awscrt.aio.http", None)
    monkeypatch.delattr("beluga_voice.transports._bedrock_sdk", raising=False)

    async def scene() -> None:
        with pytest.raises(MissingExtra) as caught:
            async with NovaSonic(region="us-east-1", credentials=lambda: OURS).connect(
                S2sOptions()
            ):
                pass
        assert caught.value.extra == "nova"

    run(scene)


def test_bedrock_that_is_not_there() -> None:
    """A port that nobody listens on is told at once."""

    async def scene() -> None:
        async with serving() as service:
            made = bedrock(service)
        with pytest.raises(Unreachable, match="refused"):
            async with made.connect(S2sOptions()):
                pass

    run(scene)


def test_bedrock_that_takes_a_request_and_is_silent() -> None:
    """A request that is never answered is given up in time."""
    assert type(bedrock_failure(Faults(is_mute=True), connect_seconds=0.5)) is Silent


def test_bedrock_that_breaks_before_it_answers() -> None:
    """A connection that breaks before the answer is told as that, and not waited for."""

    async def scene() -> None:
        async with serving(Faults(is_mute=True)) as service:

            async def connect() -> None:
                async with bedrock(service, connect_seconds=15).connect(S2sOptions()):
                    pass

            task = asyncio.create_task(connect())
            while not service.sessions or not service.sessions[0].received:
                await asyncio.sleep(0.01)
            service.hang_up()
            with pytest.raises(Unreachable, match="broke"):
                async with asyncio.timeout(5):
                    await task

    run(scene)


def test_bedrock_behind_a_port_that_never_answers() -> None:
    """A handshake that never completes is given up in time."""

    async def scene() -> None:
        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        made = NovaSonic(
            endpoint=f"https://127.0.0.1:{port}",
            region="us-east-1",
            credentials=lambda: OURS,
            connect_seconds=1.5,
        )
        _bedrock_sdk.tls_context(None)  # what has to be read once takes a part of the time
        with pytest.raises(Unreachable, match=r"within 1\.5 s; check the network"):
            async with made.connect(S2sOptions()):
                pass
        for writer in held:
            writer.transport.abort()
        server.close()
        await asyncio.gather(*_connecting(), return_exceptions=True)

    run(scene)


def test_bedrock_without_http_2() -> None:
    """A server that speaks no HTTP/2 is told as that."""
    context, issuer = certificate()
    context.set_alpn_protocols(["http/1.1"])

    async def scene() -> None:
        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(
            lambda _, writer: held.append(writer), "127.0.0.1", 0, ssl=context
        )
        port = server.sockets[0].getsockname()[1]
        made = NovaSonic(
            endpoint=f"https://127.0.0.1:{port}",
            region="us-east-1",
            credentials=lambda: OURS,
            ssl=ssl.create_default_context(cadata=issuer.decode()),
            connect_seconds=2,
        )
        with pytest.raises(Unreachable):
            async with made.connect(S2sOptions()):
                pass
        for writer in held:
            writer.transport.abort()
        server.close()
        await asyncio.gather(*_connecting(), return_exceptions=True)

    run(scene)


def _connecting() -> list[asyncio.Task[Any]]:
    """What awscrt cannot stop: a connection that is being made."""
    return [one for one in asyncio.all_tasks() if one.get_name() == "bedrock connect"]


def test_a_cancelled_connect_leaves_nothing() -> None:
    """Whoever stops waiting for an answer leaves no task and no stream behind."""

    async def scene() -> None:
        async with serving(Faults(is_mute=True)) as service:
            entered = asyncio.Event()

            async def connect() -> None:
                async with bedrock(service).connect(S2sOptions()):
                    entered.set()

            task = asyncio.create_task(connect())
            while not service.sessions or not service.sessions[0].received:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not entered.is_set()

    run(scene)


def test_a_peer_that_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that waits for a peer ends when the peer goes, and the rest is closed in time."""
    monkeypatch.setattr(H2Connection, "acknowledge_received_data", lambda *_: None)
    sent: list[bytes] = []
    lost: list[LinkLost] = []
    codec = NovaSonicCodec(S2sOptions(), Settings(), link=1)

    async def scene() -> None:
        service = NovaSonicEmulator()

        async def talk(channel: BedrockChannel) -> None:
            for message in codec.hello():
                await channel.send(message)
            try:
                while True:
                    await channel.send(codec.encode(SendAudio(pcm=bytes(6400)))[0])
                    sent.append(b"")
            except LinkLost as error:
                lost.append(error)

        async def read(channel: BedrockChannel) -> None:
            with suppress(LinkLost):
                async for _ in channel:
                    pass

        async with service.serving("127.0.0.1", 0, ssl=SERVER):
            async with (
                connect_bedrock(
                    MODELS[0],
                    region="us-east-1",
                    credentials=OURS,
                    endpoint=service.url,
                    ssl=TRUSTING,
                ) as channel,
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(talk(channel))
                tasks.create_task(read(channel))
                before = -1
                while before != len(sent):  # until it waits
                    before = len(sent)
                    await asyncio.sleep(0.2)
                assert not lost
                service.hang_up()
            assert len(lost) == 1
            assert 0 < len(sent) < 100

    run(scene)


async def until_done(link: Any) -> list[S2sEvent]:
    """All events to the end of the first response."""
    events: list[S2sEvent] = []
    async for event in link:
        events.append(event)
        if isinstance(event, ResponseDone):
            break
    return events


def test_a_conversation_on_bedrock() -> None:
    """A turn is answered, every signature is right, and the stream ends politely."""

    async def scene() -> None:
        async with serving() as service:
            async with bedrock(service).connect(S2sOptions(instructions="be brief")) as link:
                link.send(SendText(text="good evening"))
                events = await until_done(link)
            pcm = b"".join(one.pcm for one in events if isinstance(one, ResponseAudio))
            assert words_in(pcm) == ["good", "evening"]
            assert service.sessions[0].is_polite
            check_events(service)

    run(scene)


def test_much_sound_at_once_on_bedrock() -> None:
    """A response of two megabytes and sound that waits pass through the windows of HTTP/2."""
    many = " ".join(["word"] * 200)

    async def scene() -> None:
        async with serving(brain=lambda _: Speaks(many)) as service:
            async with bedrock(service).connect(S2sOptions()) as link:
                for _ in range(400):
                    link.send(SendAudio(pcm=bytes(640)))
                link.send(SendText(text="go"))
                events = await until_done(link)
            pcm = b"".join(one.pcm for one in events if isinstance(one, ResponseAudio))
            assert len(words_in(pcm)) == 200
            check_events(service)

    run(scene)


@pytest.mark.parametrize(
    ("faults", "category"),
    [
        (Faults(error_code="ThrottlingException"), ErrorCategory.RATE_LIMIT),
        (Faults(error_code="ModelTimeoutException"), ErrorCategory.TIMEOUT),
        (Faults(error_code="ExpiredTokenException"), ErrorCategory.AUTH),
        (Faults(expire_after_ms=300), ErrorCategory.SESSION_EXPIRED),
    ],
)
def test_an_exception_in_the_stream(faults: Faults, category: ErrorCategory) -> None:
    """What fails in mid-call is told as what it is, and ends the link."""

    async def scene() -> None:
        async with serving(faults) as service, bedrock(service).connect(S2sOptions()) as link:
            if faults.error_code:
                link.send(SendText(text="hello"))
            *_, failed, closed = [event async for event in link]
        assert isinstance(failed, ServiceFailed)
        assert (failed.category, failed.is_fatal) == (category, True)
        assert isinstance(closed, LinkClosed)

    run(scene)


def test_a_connection_that_breaks_on_bedrock() -> None:
    """A response that was being made fails, and the link ends, not cleanly."""

    async def scene() -> None:
        broken = Faults(drop_after_audio_ms=400)
        async with serving(broken) as service, bedrock(service).connect(S2sOptions()) as link:
            link.send(SendText(text="one two three four"))
            *_, done, closed = [event async for event in link]
        assert isinstance(done, ResponseDone)
        assert done.status is ResponseStatus.FAILED
        assert isinstance(closed, LinkClosed)
        assert not closed.is_clean

    run(scene)
