"""How a link to Scribe comes about, or does not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from beluga_voice import registry, stt
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
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.elevenlabs import Scribe
from beluga_voice.services.speech_to_text import Transcription
from beluga_voice.testing.conformance import check_speech_to_text
from beluga_voice.testing.conformance.report import Peer
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_stt import Quirks, ScribeEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, speech
from providers.elevenlabs_stt.scribe_stage import ENDPOINT, HOST, PORT, desk, play, provider


def failure(
    faults: Faults | None = None,
    *,
    quirks: Quirks | None = None,
    options: SttOptions | None = None,
    **settings: Any,
) -> tuple[ProviderError, float]:
    """What connecting raises, and when."""
    service = ScribeEmulator(faults=[faults] if faults else (), quirks=quirks)

    async def scene() -> tuple[ProviderError, float]:
        async with service.serving(HOST, PORT):
            with pytest.raises(ProviderError) as caught:
                async with provider(**settings).connect(options or SttOptions()):
                    pass
            return caught.value, asyncio.get_running_loop().time()

    error, at = play(scene)
    assert KEY not in str(error)
    assert error.provider == "elevenlabs"
    return error, at


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Denied),
        (403, Denied),
        (422, Rejected),
        (429, Overloaded),
        (500, Unreachable),
        (503, Overloaded),
    ],
)
def test_a_refused_handshake(status: int, kind: type[ProviderError]) -> None:
    """Each HTTP status is the error that says what to do, with the service's code."""
    error, _ = failure(
        Faults(refuse_status=status, error_code="system_busy", refuse_body="Try later."),
    )
    assert type(error) is kind
    assert str(status) in error.message
    assert "system_busy" in error.message
    assert ("Try later." in error.message) is (kind is not Denied)


def test_when_to_come_back() -> None:
    """The time the service names is in the error."""
    error, _ = failure(Faults(refuse_status=429, retry_after="7"))
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


def test_a_wrong_key() -> None:
    """It is refused after the handshake; the error does not hold it."""
    error, _ = failure(api_key="guessed-secret")
    assert type(error) is Denied
    assert "guessed-secret" not in str(error)


@pytest.mark.parametrize("key", ["line\r\nbreak", "schlüssel"])
def test_a_key_that_is_none(key: str) -> None:
    """What cannot be in a header is no key, and goes nowhere."""
    error, at = failure(api_key=key)
    assert type(error) is Denied
    assert key not in error.message
    assert at == 0


def test_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is read when it is needed."""
    made = provider(api_key=None)
    monkeypatch.setenv("ELEVENLABS_API_KEY", KEY)

    async def scene() -> bool:
        async with ScribeEmulator().serving(HOST, PORT), made.connect(SttOptions()):
            return True

    assert play(scene)


def test_an_unknown_model() -> None:
    """The service refuses it after the handshake."""
    error, _ = failure(model="scribe_v9")
    assert type(error) is Rejected
    assert "invalid_request" in error.message


def test_a_service_that_says_nothing() -> None:
    """A greeting that never comes is waited for, and no longer than `connect_seconds`."""
    error, at = failure(Faults(is_mute=True), connect_seconds=3)
    assert type(error) is Silent
    assert at == 3


def test_a_service_that_hears_otherwise() -> None:
    """Sound at another rate would not be understood: the link does not come about."""
    error, _ = failure(quirks=Quirks(sample_rate=8000))
    assert type(error) is Rejected
    assert "8000 Hz" in error.message


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"endpoint": "elevenlabs"},
        {"endpoint": "ws://host:99999"},
        {"endpoint": "wss://host/?key=1"},
        {"commit_strategy": "whenever"},
        {"vad_threshold": 0.5},
        {"commit_strategy": "vad", "vad_silence_seconds": 0.1},
        {"commit_strategy": "vad", "vad_threshold": 1.0},
        {"commit_strategy": "vad", "min_speech_ms": 10},
        {"previous_text": "x" * 51},
        {"answer_seconds": 0},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigurationError):
        Scribe(**settings)


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (SttOptions(phrases=("x" * 21,)), {}),
        (SttOptions(phrases=("x",) * 51), {}),
        (SttOptions(alternatives=2), {}),
        (SttOptions(filters_profanity=True), {}),
        (SttOptions(wants_punctuation=False), {}),
        (SttOptions(wants_words=True), {"filters_background": True}),
    ],
)
def test_what_it_cannot_honour(options: SttOptions, settings: dict[str, Any]) -> None:
    """It is refused before anything is connected."""

    async def scene() -> None:
        async with provider(**settings).connect(options):
            pass

    with pytest.raises(Unsupported):
        play(scene)


def test_all_settings_are_taken() -> None:
    """The service, which refuses what it does not know, takes everything we can ask for."""
    options = SttOptions(language="pt-BR", phrases=("Beluga", "Ada L."))

    async def scene() -> dict[str, Any]:
        settings: dict[str, Any] = {
            "commit_strategy": "vad",
            "vad_silence_seconds": 0.7,
            "vad_threshold": 0.5,
            "min_speech_ms": 60,
            "min_silence_ms": 70,
            "secondary_languages": ("en-US", "es"),
            "detects_language": True,
            "no_verbatim": True,
            "filters_background": True,
            "keeps_no_log": True,
        }
        async with desk(options=options, **settings) as at:
            config: dict[str, Any] = at.remote.sent[0]["config"]
            return config

    config = play(scene)
    assert config["language_code"] == "pt"
    assert config["keyterms"] == ["Beluga", "Ada L."]
    assert config["vad_silence_threshold_secs"] == 0.7
    assert config["include_language_detection"] is True


def test_it_keeps_what_all_providers_promise() -> None:
    """The whole suite holds, and every check of it applies."""

    @asynccontextmanager
    async def make(peer: Peer) -> AsyncGenerator[Scribe]:
        async with ScribeEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
            yield provider()

    assert check_speech_to_text(make).not_applicable == {}


def test_a_recording_is_transcribed_through_the_handle() -> None:
    """Found by its name, it gives the words of a recording, and their times."""
    assert "elevenlabs" in registry.installed("stt")
    pcm = pcm_of(speech("hello there my friend"))

    async def scene() -> Transcription:
        async with ScribeEmulator().serving(HOST, PORT):
            handle = stt("elevenlabs", api_key=KEY, endpoint=ENDPOINT, wants_words=True)
            assert (await handle.health()).is_healthy
            return await handle.transcribe(pcm)

    told = simulate(scene())
    assert told.text == "hello there my friend"
    assert [word.start for word in told.words] == [0, 3200, 6400, 9600]
    assert told.duration_ms == 800
    assert told.took_ms == 800  # as fast as it was spoken: faster would overflow the service


def test_on_real_sockets() -> None:
    """The same conversation, on this machine's own network."""

    async def scene() -> Transcription:
        async with asyncio.timeout(10), ScribeEmulator().serving() as service:
            handle = stt("elevenlabs", api_key=KEY, endpoint=service.url)
            return await handle.transcribe(pcm_of(speech("hello there")))

    assert asyncio.run(scene()).text == "hello there"
