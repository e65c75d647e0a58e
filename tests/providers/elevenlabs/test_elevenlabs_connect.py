"""How a call of an agent of ElevenLabs comes about, or does not."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from beluga_voice import registry
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import (
    BrokenProtocol,
    ConfigurationError,
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
    ResponseAudio,
    ResponseDone,
    S2sEvent,
    SendText,
)
from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.providers.s2s.elevenlabs import ElevenLabsAgents
from beluga_voice.testing.emulators.elevenlabs_agents import (
    AGENT,
    KEY,
    ElevenLabsAgentsEmulator,
    EmulatedAgent,
)
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from providers.elevenlabs.elevenlabs_stage import ENDPOINT, HOST, PORT, play, provider

WAYS = ("signed_url", "header")


def failure(
    faults: Faults | None = None,
    *,
    agent: EmulatedAgent | None = None,
    agent_id: str = AGENT,
    options: S2sOptions | None = None,
    **settings: Any,
) -> tuple[ProviderError, float]:
    """What connecting raises, and when."""
    service = ElevenLabsAgentsEmulator(
        faults=[faults] if faults else (), agents={AGENT: agent or EmulatedAgent()}
    )

    async def scene() -> tuple[ProviderError, float]:
        async with service.serving(HOST, PORT):
            with pytest.raises(ProviderError) as caught:
                async with provider(agent_id, **settings).connect(options or S2sOptions()):
                    pass
            return caught.value, asyncio.get_running_loop().time()

    error, at = play(scene)
    assert KEY not in str(error)
    return error, at


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Denied),
        (403, Denied),
        (404, Rejected),
        (422, Rejected),
        (429, Overloaded),
        (500, Unreachable),
        (503, Overloaded),
    ],
)
def test_a_refused_request(status: int, kind: type[ProviderError], way: str) -> None:
    """Each HTTP status is the error that says what to do about it, whoever was asked first."""
    error, _ = failure(Faults(refuse_status=status), authentication=way)
    assert type(error) is kind
    assert error.provider == "elevenlabs"
    assert str(status) in error.message


@pytest.mark.parametrize("way", WAYS)
def test_when_to_come_back(way: str) -> None:
    """The time the service names is in the error."""
    error, _ = failure(Faults(refuse_status=429, retry_after="7"), authentication=way)
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_a_wrong_key(way: str) -> None:
    """A wrong key is refused, when the address is asked for or by a close; it is not told."""
    error, _ = failure(api_key="guessed-secret", authentication=way)
    assert type(error) is Denied
    assert "guessed-secret" not in str(error)


@pytest.mark.parametrize("key", ["line\r\nbreak", "schlüssel"])
def test_a_key_that_is_none(key: str) -> None:
    """What cannot be in a header is no key, and goes nowhere."""
    error, at = failure(api_key=key)
    assert type(error) is Denied
    assert key not in error.message
    assert at == 0


@pytest.mark.parametrize("way", WAYS)
def test_no_key(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is connected, and the error names the variable."""
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    error, at = failure(api_key=None, authentication=way)
    assert type(error) is Denied
    assert "ELEVENLABS_API_KEY" in error.message
    assert at == 0


@pytest.mark.parametrize("way", [*WAYS, "none"])
def test_an_agent_that_does_not_exist(way: str) -> None:
    """An unknown agent is refused, whichever way it is called."""
    error, _ = failure(agent_id="nobody", authentication=way)
    assert type(error) is Rejected
    assert "agent" in error.message


def test_an_override_that_is_not_allowed() -> None:
    """What the agent does not let a call change is told, with where to allow it."""
    agent = EmulatedAgent(allows=frozenset())
    error, _ = failure(agent=agent, options=S2sOptions(instructions="be brief"))
    assert type(error) is Rejected
    assert "'agent.prompt.prompt'" in error.message
    assert "security settings" in error.message


def test_a_variable_that_is_missing() -> None:
    """A dynamic variable that the agent's texts need has to be given."""
    error, _ = failure(agent=EmulatedAgent(variables=frozenset({"name"})))
    assert type(error) is Rejected
    assert "name" in error.message
    assert "dynamic_variables" in error.message


def test_a_service_that_says_nothing() -> None:
    """A service that connects and is silent is given up in time."""
    error, at = failure(Faults(is_mute=True), connect_seconds=3)
    assert type(error) is Silent
    assert at == 3


def test_nobody_there() -> None:
    """Where nobody listens, nothing is connected."""

    async def scene(way: str) -> ProviderError:
        with pytest.raises(Unreachable) as caught:
            async with provider(authentication=way).connect(S2sOptions()):
                pass
        return caught.value

    for way in WAYS:
        assert simulate(lambda way=way: scene(way)).is_retryable  # type: ignore[misc]


def answering(answer: bytes, *, then_waits: bool = False, **settings: Any) -> ProviderError:
    """What connecting raises where a server answers everything with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            if then_waits:
                await reader.read()
        finally:
            writer.close()

    async def scene() -> ProviderError:
        server = await asyncio.start_server(serve, HOST, PORT)
        async with server:
            with pytest.raises(ProviderError) as caught:
                async with provider(**settings).connect(S2sOptions()):
                    pass
        return caught.value

    return play(scene)


def http(body: bytes, headers: bytes = b"") -> bytes:
    """An answer with that body."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), headers, body)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 many OK\r\n\r\n",
        http(b"no json"),
        http(b"{}"),
        http(b'{"signed_url": 3}'),
        http(b'{"signed_url": "ftp://example.com"}'),
        http(b"[" * 10_000),
        http(b" " * 100_000 + b'{"signed_url": "ws://elsewhere.example.com/"}'),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_an_answer_that_makes_no_sense(answer: bytes) -> None:
    """What is no signed address is called that, however long it is."""
    assert type(answering(answer)) is BrokenProtocol


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"])
def test_an_answer_that_breaks_off(answer: bytes) -> None:
    """A connection that ends too early may be made again."""
    assert type(answering(answer)) is Unreachable


def test_an_answer_that_never_ends() -> None:
    """Waiting for an address has an end."""
    error = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", then_waits=True)
    assert type(error) is Unreachable
    assert error.code.value == "timeout"


def test_all_of_connecting_has_one_limit() -> None:
    """What the address took is not given to the call again."""

    async def address() -> str:
        await asyncio.sleep(2)
        return ENDPOINT

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scene() -> float:
        async with await asyncio.start_server(hold, HOST, PORT):
            with pytest.raises(Unreachable):
                async with provider(authentication=address, connect_seconds=3).connect(
                    S2sOptions()
                ):
                    pass
            return asyncio.get_running_loop().time()

    assert play(scene) == 3


def test_an_answer_in_chunks() -> None:
    """An address may come in pieces; where it leads, somebody has to be there."""
    body = b'{"signed_url": "ws://elsewhere.example.com:9/x?token=secret"}'
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked
    error = answering(answer)
    assert type(error) is Unreachable
    assert "elsewhere.example.com" in error.message
    assert "secret" not in str(error)


def opened(service: ElevenLabsAgentsEmulator, made: ElevenLabsAgents) -> S2sEvent:
    """The first event of a link."""

    async def scene() -> S2sEvent:
        async with service.serving(HOST, PORT), made.connect(S2sOptions()) as link:
            return await anext(aiter(link))

    return play(scene)


def test_a_signed_address_has_no_key_in_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The key of the environment, found when connecting, buys an address with a token instead."""
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    caplog.set_level(logging.INFO)
    service = ElevenLabsAgentsEmulator()
    made = provider(api_key=None, branch_id="b 1", environment="staging")
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)
    assert opened(service, made) == LinkReady(remote_id="conv_1", model=AGENT)
    (session,) = service.sessions
    assert session.path == f"/v1/convai/conversation?agent_id={AGENT}&token=token_1"
    assert "xi-api-key" not in session.headers
    assert KEY not in repr(made)
    assert KEY not in caplog.text
    assert "token_1" not in caplog.text


def test_a_key_in_a_header() -> None:
    """The key travels in a header of the call, and the address has the rest."""
    service = ElevenLabsAgentsEmulator()
    opened(service, provider(authentication="header", branch_id="b 1", environment="staging"))
    (session,) = service.sessions
    assert session.headers["xi-api-key"] == KEY
    assert session.path == (
        f"/v1/convai/conversation?agent_id={AGENT}&branch_id=b+1&environment=staging"
    )


def test_an_agent_that_anybody_may_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without authentication no key is needed."""
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    service = ElevenLabsAgentsEmulator(agents={AGENT: EmulatedAgent(is_private=False)})
    opened(service, provider(api_key=None, authentication="none"))
    assert len(service.sessions) == 1


def test_an_address_from_a_function() -> None:
    """An application may get the address from wherever it keeps its keys, in time."""

    async def address() -> str:
        return f"{ENDPOINT}/v1/convai/conversation?agent_id={AGENT}"

    async def never() -> str:
        await asyncio.get_running_loop().create_future()
        return ""

    async def nonsense() -> str:
        return "https://example.com"

    service = ElevenLabsAgentsEmulator(agents={AGENT: EmulatedAgent(is_private=False)})
    opened(service, provider(api_key=None, authentication=address))
    error, at = failure(authentication=never, connect_seconds=2)
    assert (type(error), at) == (Unreachable, 2)
    with pytest.raises(ConfigurationError):
        opened(service, provider(authentication=nonsense))


@pytest.mark.parametrize(
    "settings",
    [
        {"model": " "},
        {"stability": 1.1},
        {"input_format": "mp3"},
        {"similarity_boost": -0.1},
        {"speed": 0.5},
        {"language": "tlh"},
        {"response_gap_ms": 10},
        {"authentication": "password"},
        {"endpoint": "ftp://example.com"},
        {"endpoint": "example.com"},
        {"endpoint": "wss://example.com:http"},
        {"endpoint": "wss://[example.com"},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """What cannot be honoured is refused when the provider is made."""
    with pytest.raises(ConfigurationError):
        ElevenLabsAgents(**{"model": AGENT, **settings})


@pytest.mark.parametrize(
    ("options", "capability"),
    [
        (S2sOptions(respond_automatically=False), "can_suppress_response"),
        (S2sOptions(turn_owner=TurnOwner.FRAMEWORK), "turn_owners"),
        (S2sOptions(turn_owner=TurnOwner.DUPLEX), "turn_owners"),
        (S2sOptions(output_format=pcm16(32000)), "output_formats"),
        (S2sOptions(input_format=AudioFormat(Encoding.MULAW, 8000)), "input_formats"),
        (S2sOptions(input_format=pcm16(24000)), "input_formats"),
        (S2sOptions(temperature=0.5), "has_temperature"),
        (S2sOptions(max_output_tokens=100), "has_output_token_limit"),
        (S2sOptions(language="tlh"), "languages"),
        (S2sOptions(resume="x"), "resumption"),
    ],
)
def test_options_that_cannot_be_honoured(options: S2sOptions, capability: str) -> None:
    """What cannot be honoured is refused by its name, before anything is connected."""

    async def scene() -> None:
        async with provider().connect(options):
            pass

    with pytest.raises(Unsupported, match=capability):
        play(scene)


@pytest.mark.parametrize("endpoint", [ENDPOINT, f"http://{HOST}:{PORT}/"])
def test_an_address_is_taken_in_either_way(endpoint: str) -> None:
    """The endpoint may be written as that of a website."""
    service = ElevenLabsAgentsEmulator()
    opened(service, provider(endpoint=endpoint))
    assert len(service.sessions) == 1


def test_leaving_early_leaves_nothing_behind() -> None:
    """A link that is cancelled while it is opened, and one that is left at once, are gone."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(faults=[Faults(is_mute=True)])
        async with service.serving(HOST, PORT):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1), provider().connect(S2sOptions()):
                    pass
            async with provider().connect(S2sOptions()) as link:
                pass
            assert isinstance([one async for one in link][-1], LinkClosed)

    play(scene)


def run[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited() -> T:
        async with asyncio.timeout(10):
            return await scene()

    return asyncio.run(limited())


@pytest.mark.parametrize("way", WAYS)
def test_a_call_over_tls_on_this_machine(way: str) -> None:
    """On real sockets, with a certificate that has to be trusted, a message is answered."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scene() -> bytes:
        pcm = b""
        async with ElevenLabsAgentsEmulator().serving("127.0.0.1", 0, ssl=server) as service:
            with pytest.raises(Unreachable, match="certificate"):
                async with provider(endpoint=service.url, authentication=way).connect(S2sOptions()):
                    pass
            made = provider(endpoint=service.url, authentication=way, ssl=trusting)
            async with made.connect(S2sOptions()) as link:
                link.send(SendText(text="good evening"))
                async for event in link:
                    if isinstance(event, ResponseAudio):
                        pcm += event.pcm
                    if isinstance(event, ResponseDone):
                        break
        return pcm

    assert words_in(run(scene)) == ["good", "evening"]


def test_it_is_found_by_its_name() -> None:
    """The registry makes it, with the agent's id after the colon."""
    made = registry.create("s2s", f"elevenlabs:{AGENT}", voice="x")
    assert isinstance(made, ElevenLabsAgents)
    with pytest.raises(ConfigurationError):
        registry.create("s2s", "elevenlabs")
