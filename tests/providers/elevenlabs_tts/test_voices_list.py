"""The list of voices, by HTTP on real sockets, and as ElevenLabs' own SDK gets it."""

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from elevenlabs.client import AsyncElevenLabs

from beluga_voice import tts
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
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_tts import VOICES, ElevenLabsTtsEmulator
from beluga_voice.testing.emulators.speech import Faults


def run[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited() -> T:
        async with asyncio.timeout(10):
            return await scene()

    return asyncio.run(limited())


def listed(*faults: Faults, **settings: Any) -> tuple[Voice, ...]:
    """What a provider lists of the emulated service."""

    async def scene() -> tuple[Voice, ...]:
        async with ElevenLabsTtsEmulator(faults=faults).serving() as service:
            settings.setdefault("api_key", KEY)
            return await ElevenLabs(endpoint=service.url, **settings).voices()

    return run(scene)


def test_all_pages_are_read() -> None:
    """Each voice of the account is there, with its language and what it is like."""
    found = listed()
    assert {voice.id: voice.name for voice in found} == VOICES
    assert found[0].languages == ("en-GB",)
    assert found[0].description == "british, narration"


def test_the_handle_lists_them() -> None:
    """They are asked for by the name of the service, too."""

    async def scene() -> tuple[Voice, ...]:
        async with ElevenLabsTtsEmulator().serving() as service:
            return await tts("elevenlabs", api_key=KEY, endpoint=service.url).voices()

    assert len(run(scene)) == len(VOICES)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Denied), (404, Rejected), (429, Overloaded), (500, Unreachable), (503, Overloaded)],
)
def test_a_refused_list(status: int, kind: type[ProviderError]) -> None:
    """Each HTTP status is the error that says what to do, with the service's code."""
    with pytest.raises(kind, match=f"{status}.*system_busy") as caught:
        listed(Faults(refuse_status=status, error_code="system_busy", retry_after="7"))
    assert KEY not in str(caught.value)
    if isinstance(caught.value, Overloaded):
        assert caught.value.retry_after == 7


def test_a_wrong_key() -> None:
    """It is refused, and not quoted, though the service does."""
    with pytest.raises(Denied) as caught:
        listed(api_key="guessed-secret")
    assert "guessed-secret" not in str(caught.value)


def test_nobody_is_there() -> None:
    """A refused connection is told as one."""
    with pytest.raises(Unreachable):
        run(lambda: ElevenLabs(api_key=KEY, endpoint="ws://127.0.0.1:1").voices())


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", b'{"voices": 1}', b'{"voices": [{}]}', b"[" * 20000]
)
def test_an_answer_that_is_no_list(body: bytes) -> None:
    """What makes no sense is named, and not quoted."""

    async def scene() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % len(body) + body)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await ElevenLabs(api_key=KEY, endpoint=f"ws://127.0.0.1:{port}").voices()

    with pytest.raises(BrokenProtocol):
        run(scene)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be installed for the list is said."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "httpx":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"beluga-voice\[elevenlabs\]"):
        run(lambda: ElevenLabs(api_key=KEY).voices())


def test_the_vendors_client_reads_the_list() -> None:
    """The SDK, unmodified, gets the same voices from the emulated service."""

    async def scene() -> dict[str, str | None]:
        async with ElevenLabsTtsEmulator().serving() as service:
            client = AsyncElevenLabs(api_key=KEY, base_url=service.url.replace("ws", "http", 1))
            page = await client.voices.search(page_size=2)
            assert page.has_more
            rest = await client.voices.search(next_page_token=page.next_page_token)
            return {one.voice_id: one.name for one in [*page.voices, *rest.voices]}

    assert run(scene) == VOICES
