"""How a connection to Gemini Live comes about, or does not."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme

from beluga_voice import registry
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import (
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
    LinkReady,
    ResponseAudio,
    ResponseDone,
    ResumptionChanged,
    S2sEvent,
    SendText,
    ToolSpec,
)
from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.testing.emulators.gemini_live import API_KEY, GeminiLiveEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from providers.gemini_live.stage import ENDPOINT, provider


def play[T](scene: Callable[[], Awaitable[T]]) -> T:
    """Run a scene in simulated time; nothing may be left over."""
    return simulate(scene)  # type: ignore[arg-type]


def failure(
    faults: Faults | None = None, *, options: S2sOptions | None = None, **settings: Any
) -> tuple[ProviderError, float]:
    """What connecting raises, and when."""

    async def scene() -> tuple[ProviderError, float]:
        async with GeminiLiveEmulator(faults=[faults] if faults else ()).serving():
            with pytest.raises(ProviderError) as caught:
                async with provider(**settings).connect(options or S2sOptions()):
                    pass
        return caught.value, asyncio.get_running_loop().time()

    return play(scene)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Denied),
        (403, Denied),
        (404, Rejected),
        (429, Overloaded),
        (500, Unreachable),
        (503, Overloaded),
    ],
)
def test_a_refused_handshake(status: int, kind: type[ProviderError]) -> None:
    """Each HTTP status is the error that says what to do about it."""
    error, _ = failure(Faults(refuse_status=status))
    assert type(error) is kind
    assert error.provider == "gemini_live"
    assert str(status) in error.message


def test_when_to_come_back() -> None:
    """The time the service names is in the error."""
    error, _ = failure(Faults(refuse_status=429, retry_after="7"))
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


def test_a_wrong_key() -> None:
    """A wrong key is refused after the handshake, with a close code; the key is not told."""
    error, _ = failure(api_key="guessed-secret")
    assert type(error) is Denied
    assert "API key not valid" in error.message
    assert "guessed-secret" not in str(error)


def test_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key nothing is connected."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    error, _ = failure(api_key=None)
    assert type(error) is Denied
    assert "GEMINI_API_KEY" in error.message


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "gemini-9"}, "models/gemini-9 is not found"),
        ({"voice": "Caruso"}, "Caruso"),
    ],
)
def test_a_refused_configuration(settings: dict[str, Any], words: str) -> None:
    """What the service refuses in the configuration is told in its own words."""
    error, _ = failure(**settings)
    assert type(error) is Rejected
    assert words in error.message


def test_a_service_that_says_nothing() -> None:
    """A service that connects and is silent is given up in time."""
    error, at = failure(Faults(is_mute=True), connect_seconds=3)
    assert type(error) is Silent
    assert at == 3


def test_nobody_there() -> None:
    """Where nobody listens, nothing is connected."""

    async def scene() -> ProviderError:
        with pytest.raises(Unreachable) as caught:
            async with provider().connect(S2sOptions()):
                pass
        return caught.value

    assert play(scene).is_retryable


@pytest.mark.parametrize("variable", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_the_key_comes_from_the_environment_in_a_header(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of the environment is found when connecting, and is not in the address."""
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    service = GeminiLiveEmulator()
    made = provider(api_key=None)
    monkeypatch.setenv(variable, API_KEY)

    async def scene() -> list[S2sEvent]:
        async with service.serving(), made.connect(S2sOptions()) as link:
            events = aiter(link)
            return [await anext(events), await anext(events)]

    assert play(scene) == [
        LinkReady(model="gemini-3.8-live"),
        ResumptionChanged(handle="handle-1"),
    ]
    (connection,) = service.connections
    assert connection.headers["x-goog-api-key"] == API_KEY
    assert API_KEY not in connection.path
    assert "/v1beta" not in connection.path.partition(".v1beta.")[0]


@pytest.mark.parametrize(
    "settings",
    [
        {"model": " "},
        {"temperature": 0},
        {"temperature": 2.1},
        {"top_p": 1.5},
        {"max_output_tokens": 0},
        {"prefix_padding_ms": -1},
        {"silence_ms": 20_000},
        {"start_sensitivity": "medium"},
        {"thinking_level": "low"},
        {"model": "gemini-3.8-live-extended-thinking", "thinking_level": "much"},
        {"model": "gemini-3.8-live-extended-thinking", "tools_wait": True},
        {"model": "gemini-3.1-flash-live-preview", "tools_wait": False},
        {"compression_trigger_tokens": 0},
        {"endpoint": "ftp://example.com"},
        {"api_version": "v2"},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """What cannot be honoured is refused when the provider is made."""
    with pytest.raises(ConfigurationError):
        GeminiLive(**settings)


@pytest.mark.parametrize(
    "options",
    [
        S2sOptions(respond_automatically=False),
        S2sOptions(turn_owner=TurnOwner.DUPLEX),
        S2sOptions(output_format=pcm16(16000)),
        S2sOptions(input_format=AudioFormat(Encoding.MULAW, 8000)),
        S2sOptions(input_format=AudioFormat(Encoding.PCM16, 16000, 2)),
        S2sOptions(temperature=3),
        S2sOptions(tools=(ToolSpec(name="x", description="", parameters="not json"),)),
    ],
)
def test_options_that_cannot_be_honoured(options: S2sOptions) -> None:
    """What cannot be honoured is refused before anything is connected."""

    async def scene() -> None:
        async with GeminiLive(endpoint=ENDPOINT, api_key=API_KEY).connect(options):
            pass

    with pytest.raises(ConfigurationError):
        play(scene)


def test_models_differ_in_what_they_can_do() -> None:
    """Capabilities are those of the model and the settings."""
    assert GeminiLive().capabilities.mutable == {"instructions", "tools"}
    assert not GeminiLive("gemini-3.1-flash-live-preview").capabilities.mutable
    assert GeminiLive().capabilities.resumption.value == "handle"
    assert GeminiLive(resumption=False).capabilities.resumption.value == "history"


def test_a_thinking_model_is_told_how_much() -> None:
    """The model that needs a thinking level gets one, also where none was given."""

    async def scene() -> Any:
        service = GeminiLiveEmulator()
        model = "gemini-3.8-live-extended-thinking"
        async with service.serving(), provider(model=model).connect(S2sOptions()):
            return service.connections[0].received[0]["setup"]["generationConfig"]

    assert play(scene)["thinkingConfig"] == {"thinkingLevel": "LOW"}


def test_a_conversation_over_tls_on_this_machine() -> None:
    """On real sockets, with a certificate that has to be trusted, a turn is answered."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scene() -> bytes:
        pcm = b""
        service = GeminiLiveEmulator(holds_turns=False)
        async with asyncio.timeout(10), service.serving("127.0.0.1", 0, ssl=server) as url:
            made = GeminiLive(endpoint=url, api_key=API_KEY, ssl=trusting)
            async with made.connect(S2sOptions()) as link:
                link.send(SendText(text="good evening"))
                async for event in link:
                    if isinstance(event, ResponseAudio):
                        pcm += event.pcm
                    if isinstance(event, ResponseDone):
                        break
        return pcm

    assert words_in(asyncio.run(scene())) == ["good", "evening"]


def test_it_is_found_by_its_name() -> None:
    """The registry makes it, with the model after the colon."""
    made = registry.create("s2s", "gemini_live:gemini-3.1-flash-live-preview", voice="Puck")
    assert isinstance(made, GeminiLive)
    assert not made.capabilities.mutable
    with pytest.raises(Unsupported):
        registry.create("s2s", "gemini_live", thinking_level="low")
