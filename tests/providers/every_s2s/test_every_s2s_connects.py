"""What keeps a service from being used is told with what to do about it, in the time to connect."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from beluga_voice import s2s
from beluga_voice.errors import (
    BelugaError,
    BrokenProtocol,
    Denied,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
)
from beluga_voice.testing.emulators.catalogue import EMULATORS, Emulated, Plan, all_with, emulated
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import simulate

NAMES = sorted(EMULATORS["s2s"])
NEEDS_TLS = "nova_sonic"
"""Its HTTP client has TLS and threads of its own, so it is tried on real sockets."""
VARIABLES = {
    "elevenlabs": ["ELEVENLABS_API_KEY"],
    "gemini_live": ["GOOGLE_API_KEY", "GEMINI_API_KEY"],
    "grok": ["XAI_API_KEY"],
    "nova_sonic": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    "openai_live": ["OPENAI_API_KEY"],
    "openai_realtime": ["OPENAI_API_KEY"],
}
"""Where the credentials of each service are found, by the vendors' documents."""
WRONG = "AKIAGUESSEDSECRET"
HOST, PORT = "voice.example.com", 8765
LONGEST = 3.0
"""The seconds that connecting is given."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A service that cannot be used, and what is told of it."""

    kind: type[BelugaError]
    words: list[str]
    endpoint: str
    environment: dict[str, str] = field(default_factory=dict)
    model: str = ""
    seconds: float | None = None
    """When it is told in simulated time; `None` where it is known at once."""


def plan_of(name: str, **more: object) -> Plan:
    """An address that the network knows on which the service is tried."""
    return Plan(**more) if name == NEEDS_TLS else Plan(host=HOST, port=PORT, **more)


def credentials(name: str, service: Emulated, value: str) -> dict[str, str]:
    """The environment of a service, with another secret."""
    secrets = {one: value for one in VARIABLES[name] if one in service.environment}
    return {**service.environment, **secrets}


@asynccontextmanager
async def without_a_key(name: str) -> AsyncIterator[Case]:
    """No variable is set."""
    async with emulated(name, plan_of(name)) as service:
        words = VARIABLES[name][:1] if name == NEEDS_TLS else VARIABLES[name]
        rest = {"AWS_REGION": "us-east-1"}
        yield Case(
            kind=Denied,
            words=[*words, "set"],
            endpoint=service.endpoint,
            environment=rest,
            model=service.model,
        )


@asynccontextmanager
async def with_a_wrong_key(name: str) -> AsyncIterator[Case]:
    """The variables hold what the service does not know."""
    async with emulated(name, plan_of(name)) as service:
        yield Case(
            kind=Denied,
            words=[*VARIABLES[name], "check"],
            endpoint=service.endpoint,
            environment=credentials(name, service, WRONG),
            model=service.model,
        )


@asynccontextmanager
async def with_an_unknown_model(name: str) -> AsyncIterator[Case]:
    """Or with the id of an agent that nobody made."""
    async with emulated(name, plan_of(name)) as service:
        yield Case(
            kind=Rejected,
            words=["'no-such-model'", "check the"],
            endpoint=service.endpoint,
            environment=dict(service.environment),
            model="no-such-model",
        )


@asynccontextmanager
async def with_nobody_there(name: str) -> AsyncIterator[Case]:
    """The service has been there, and is not any more."""
    async with emulated(name, plan_of(name)) as service:
        pass
    yield Case(
        kind=Unreachable,
        words=[place_of(service.endpoint), "refused", "check that the service runs there"],
        endpoint=service.endpoint,
        environment=dict(service.environment),
        model=service.model,
    )


@asynccontextmanager
async def at_an_unknown_name(name: str) -> AsyncIterator[Case]:
    """There is no such machine."""
    async with emulated(name, plan_of(name)) as service:
        endpoint = service.endpoint.replace(place_of(service.endpoint), "no.such.host.invalid")
        if name != NEEDS_TLS:
            asyncio.get_running_loop().network.hide_name("no.such.host.invalid")
        yield Case(
            kind=Unreachable,
            words=["no.such.host.invalid", "check the name"],
            endpoint=endpoint,
            environment=dict(service.environment),
            model=service.model,
        )


@asynccontextmanager
async def in_a_handshake_without_an_end(name: str) -> AsyncIterator[Case]:
    """A machine takes the connection and says nothing."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with instead_of(name, hold) as (service, endpoint):
        yield Case(
            kind=Unreachable,
            words=[place_of(endpoint), f"within {LONGEST:g} s", "check the network"],
            endpoint=endpoint,
            environment=dict(service.environment),
            model=service.model,
            seconds=LONGEST,
        )


@asynccontextmanager
async def with_a_mute_service(name: str) -> AsyncIterator[Case]:
    """The handshake completes, and the service never says that it is ready."""
    faults = all_with(Faults(is_mute=True))
    async with emulated(name, plan_of(name, faults=faults)) as service:
        yield Case(
            kind=Silent,
            words=["did not get ready in time", "check the address"],
            endpoint=service.endpoint,
            environment=dict(service.environment),
            model=service.model,
            seconds=LONGEST,
        )


@asynccontextmanager
async def at_a_web_page(name: str) -> AsyncIterator[Case]:
    """Somebody else answers, and well."""
    page = b"<html>Welcome</html>"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who speaks no HTTP/1.1 sends no such head.
        await reader.read(65536)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + page)
        writer.close()

    async with instead_of(name, answer, has_tls=name == NEEDS_TLS) as (service, endpoint):
        yield Case(
            kind=Unreachable if name == NEEDS_TLS else BrokenProtocol,
            words=[place_of(endpoint), "check the "],
            endpoint=endpoint,
            environment=dict(service.environment),
            model=service.model,
        )


@asynccontextmanager
async def with_a_certificate_of_nobody(name: str) -> AsyncIterator[Case]:
    """TLS is spoken, and nobody vouches for who speaks it."""
    async with instead_of(name, close, has_tls=True, is_trusted=False) as (service, endpoint):
        yield Case(
            kind=Unreachable,
            words=[place_of(endpoint), "certificate", "SSL_CERT_FILE"],
            endpoint=endpoint,
            environment=without(service.environment, "SSL_CERT_FILE"),
            model=service.model,
        )


@asynccontextmanager
async def at_a_port_without_tls(name: str) -> AsyncIterator[Case]:
    """A secure connection is asked of somebody who has none."""
    async with instead_of(name, close, is_asked_for_tls=True) as (service, endpoint):
        yield Case(
            kind=Unreachable,
            words=[place_of(endpoint), "check", "TLS"],
            endpoint=endpoint,
            environment=dict(service.environment),
            model=service.model,
        )


async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take something, and leave."""
    await reader.read(1)
    writer.close()


@asynccontextmanager
async def instead_of(
    name: str,
    answer: Callable[..., object],
    *,
    has_tls: bool = False,
    is_trusted: bool = True,
    is_asked_for_tls: bool = False,
) -> AsyncIterator[tuple[Emulated, str]]:
    """Another server, and the endpoint of the service as if it were there."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if has_tls else None
    if context is not None:
        authority.issue_cert("127.0.0.1").configure_cert(context)
    on_sockets = has_tls or is_asked_for_tls or name == NEEDS_TLS
    host, port = ("127.0.0.1", 0) if on_sockets else (HOST, PORT)
    async with emulated(name, Plan() if on_sockets else Plan(host=HOST, port=PORT + 1)) as service:
        server = await asyncio.start_server(answer, host, port, ssl=context)
        async with server:
            if port == 0:
                port = server.sockets[0].getsockname()[1]
            endpoint = service.endpoint.replace(place_of(service.endpoint), f"{host}:{port}")
            if has_tls or is_asked_for_tls:
                endpoint = endpoint.replace("ws://", "wss://")
            if "SSL_CERT_FILE" in service.environment and has_tls and is_trusted:
                with authority.cert_pem.tempfile() as file:
                    environment = {**service.environment, "SSL_CERT_FILE": file}
                    yield Emulated(endpoint=endpoint, environment=environment), endpoint
            else:
                yield service, endpoint


def place_of(endpoint: str) -> str:
    """Its host and port."""
    return endpoint.split("/")[2]


def without(environment: "os._Environ[str] | dict[str, str]", name: str) -> dict[str, str]:
    """All but that variable."""
    return {key: value for key, value in environment.items() if key != name}


type Trouble = Callable[[str], AbstractAsyncContextManager[Case]]
ON_THE_NETWORK: tuple[Trouble, ...] = (
    without_a_key,
    with_a_wrong_key,
    with_an_unknown_model,
    with_nobody_there,
    at_an_unknown_name,
    in_a_handshake_without_an_end,
    with_a_mute_service,
    at_a_web_page,
)
"""What the simulated network can carry."""
OF_TLS: tuple[Trouble, ...] = (with_a_certificate_of_nobody, at_a_port_without_tls)
"""What needs real sockets."""


async def tell(name: str, trouble: Trouble, environment: pytest.MonkeyPatch, result: Future):
    """What is raised of that trouble, what should be, and after how many seconds it was."""
    loop = asyncio.get_running_loop()
    async with trouble(name) as case:
        for variable, value in case.environment.items():
            environment.setenv(variable, value)
        service = s2s(
            name, model=case.model or None, endpoint=case.endpoint, connect_seconds=LONGEST
        )
        began = loop.time()
        with pytest.raises(BelugaError) as caught:
            async with service.connect():
                pass
        result.set_result((caught.value, case, round(loop.time() - began, 6)))


@pytest.fixture(scope="session")
def threads():
    """Threads that may go on until all tests are over."""
    with ThreadPoolExecutor() as executor:
        yield executor


async def lasting(scene, result):
    """The scene, and what awscrt cannot stop: a connection that is being made."""
    try:
        await scene()
    except BaseException as error:
        result.set_exception(error)
        raise
    making = [one for one in asyncio.all_tasks() if one.get_name() == "bedrock connect"]
    await asyncio.gather(*making, return_exceptions=True)


@pytest.mark.parametrize("trouble", [*ON_THE_NETWORK, *OF_TLS], ids=lambda one: one.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_what_keeps_a_service_from_being_used_is_told(name, trouble, threads, monkeypatch):
    """The message names the variable, the setting or the address, and comes within the deadline."""
    for variable in os.environ:
        if variable.endswith("_API_KEY") or variable.startswith("AWS_"):
            monkeypatch.delenv(variable)
    is_simulated = name != NEEDS_TLS and trouble not in OF_TLS

    result = Future()

    async def scene():
        await tell(name, trouble, monkeypatch, result)

    if is_simulated:
        simulate(scene)
    else:
        threads.submit(asyncio.run, lasting(scene, result))
    error, case, seconds = result.result()
    assert type(error) is case.kind, error
    assert [one for one in case.words if one not in str(error)] == [], error
    assert isinstance(error, ProviderError)
    assert error.provider == name
    assert WRONG not in f"{error} {error!r} {error.__cause__!r}"
    if is_simulated:
        assert seconds == (case.seconds or 0)
