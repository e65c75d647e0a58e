"""The list of Cartesia's voices, over HTTP on real sockets."""

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.errors import (
    BrokenProtocol,
    Denied,
    MissingExtra,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
)
from beluga_voice.interfaces import Voice
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.testing.emulators.cartesia_tts import KEY, CartesiaTtsEmulator
from beluga_voice.testing.emulators.speech import Faults


def failure_of(faults=None, **settings):
    """What asking for the voices raises."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[] if faults is None else [faults])
        async with service.serving():
            made = Cartesia(**{"api_key": KEY, "endpoint": service.url, **settings})
            with pytest.raises(ProviderError) as caught:
                await made.voices()
        return caught.value

    return asyncio.run(scene())


@asynccontextmanager
async def answering(answer, asked=None):
    """A service that answers everything so, and keeps what it was asked; gives its address."""
    asked = [] if asked is None else asked

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await reader.read()  # says nothing until it is hung up on
        else:
            body = answer.encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_all_voices_are_listed(page_size):
    """However many pages they come in."""

    async def scene():
        names = [f"v{number}" for number in range(5)]
        service = CartesiaTtsEmulator(voices=names, page_size=page_size)
        async with service.serving():
            handle = beluga_voice.tts("cartesia", api_key=KEY, endpoint=service.url)
            return await handle.voices()

    voices = asyncio.run(scene())
    assert [one.id for one in voices] == ["v0", "v1", "v2", "v3", "v4"]
    assert voices[0] == Voice(
        id="v0", name="Voice v0", languages=("en-US",), description="A voice of test speech."
    )


def test_a_list_that_does_not_end_is_left():
    """A service that gives the same page for ever is asked for it twice."""
    same = '{"data": [{"id": "v1", "language": "en"}], "has_more": true}'

    asked = []

    async def scene():
        async with answering(same, asked) as address:
            return await Cartesia(api_key=KEY, endpoint=address).voices()

    assert asyncio.run(scene()) == (Voice(id="v1", languages=("en",)),)
    assert len(asked) == 2


def test_a_wrong_key_is_denied():
    """With the service's reason, and without the key."""
    error = failure_of(api_key="sk_secret")
    assert isinstance(error, Denied)
    assert "Invalid API key." in str(error)
    assert "secret" not in str(error)


def test_without_a_key_nothing_is_tried(monkeypatch):
    """The error says which variable to set."""
    monkeypatch.delenv("CARTESIA_API_KEY", raising=False)
    error = failure_of(api_key="")
    assert isinstance(error, Denied)
    assert "CARTESIA_API_KEY" in str(error)


@pytest.mark.parametrize(
    ("faults", "kind", "after"),
    [
        (Faults(refuse_status=429, refuse_body="no", retry_after="30"), Overloaded, 30.0),
        (Faults(refuse_status=429, refuse_body="no", retry_after="soon"), Overloaded, None),
        (Faults(refuse_status=503, refuse_body="no"), Overloaded, None),
        (Faults(refuse_status=500, refuse_body="no"), Unreachable, None),
        (Faults(refuse_status=400, refuse_body="no"), Rejected, None),
    ],
)
def test_a_status_is_an_error_of_ours(faults, kind, after):
    """With the service's reason, and how long to wait where it says so."""
    error = failure_of(faults)
    assert type(error) is kind
    assert ": no;" in error.message
    assert getattr(error, "retry_after", None) == after


@pytest.mark.parametrize("answer", ["", "<html>", "[]", '{"data": [{"name": "x"}]}'])
def test_what_is_no_list_is_named(answer):
    """An answer that makes no sense breaks the protocol."""

    async def scene():
        async with answering(answer) as address:
            with pytest.raises(BrokenProtocol, match="no list of voices"):
                await Cartesia(api_key=KEY, endpoint=address).voices()

    asyncio.run(scene())


def test_a_service_that_does_not_answer_is_unreachable():
    """Within the time for connecting."""

    async def scene():
        async with answering(None) as address:
            with pytest.raises(Unreachable, match="in time"):
                await Cartesia(api_key=KEY, endpoint=address, connect_seconds=0.05).voices()

    asyncio.run(scene())


def test_nobody_there_is_unreachable():
    """A port that was free a moment ago."""

    async def scene():
        async with answering("") as address:
            pass
        with pytest.raises(Unreachable, match="no connection"):
            await Cartesia(api_key=KEY, endpoint=address).voices()

    asyncio.run(scene())


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    """The rest of the provider works without it."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(MissingExtra, match=r"beluga-voice\[cartesia\]"):
        asyncio.run(Cartesia(api_key=KEY).voices())
