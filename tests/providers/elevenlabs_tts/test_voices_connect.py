"""How a link to ElevenLabs' voices comes about, or does not."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from beluga_voice import registry, tts
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
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.services.text_to_speech import Speech
from beluga_voice.testing.conformance import check_text_to_speech
from beluga_voice.testing.conformance.report import Peer
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_tts import ElevenLabsTtsEmulator, Quirks
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from providers.elevenlabs_tts.voices_stage import ENDPOINT, HOST, PORT, booth, play, provider


def failure(faults: Faults | None = None, **settings: Any) -> tuple[ProviderError, float]:
    """What connecting raises, and when."""
    service = ElevenLabsTtsEmulator(faults=[faults] if faults else ())

    async def scene() -> tuple[ProviderError, float]:
        async with service.serving(HOST, PORT):
            with pytest.raises(ProviderError) as caught:
                async with provider(**settings).connect(TtsOptions()):
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
        (402, Rejected),
        (403, Denied),
        (429, Overloaded),
        (500, Unreachable),
        (503, Overloaded),
    ],
)
def test_a_refused_handshake(status: int, kind: type[ProviderError]) -> None:
    """Each HTTP status is the error that says what to do, with the service's code."""
    error, _ = failure(Faults(refuse_status=status, error_code="quota", retry_after="7"))
    assert type(error) is kind
    assert f"{status}" in error.message
    assert "quota" in error.message
    if isinstance(error, Overloaded):
        assert error.retry_after == 7


@pytest.mark.parametrize("settings", [{"voice": "nobody"}, {"model": "eleven_flash_v9"}])
def test_an_unknown_voice_or_model(settings: dict[str, str]) -> None:
    """The service refuses it after the handshake, before the link is there."""
    error, _ = failure(**settings)
    assert type(error) is Rejected


def test_a_model_for_another_protocol() -> None:
    """It is refused before anything is connected, with what to take instead."""
    with pytest.raises(ConfigurationError, match="eleven_flash_v2_5"):
        ElevenLabs("eleven_v3")


def test_a_model_that_only_the_service_knows_to_be_of_another_protocol() -> None:
    """The handshake is refused, and the service's code is told."""
    service = ElevenLabsTtsEmulator()

    async def scene() -> None:
        made = provider()
        object.__setattr__(made._settings, "model", "eleven_v3")
        async with service.serving(HOST, PORT), made.connect(TtsOptions()):
            pass

    with pytest.raises(Denied, match="model_not_allowed"):
        play(scene)


def test_a_service_that_says_nothing_is_taken_to_be_ready() -> None:
    """There is no greeting, so that silence is no failure, unless there is no time for it."""
    error, at = failure(Faults(is_mute=True), connect_seconds=0.5)
    assert type(error) is Silent
    assert at == 0.5


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"voice": ""},
        {"endpoint": "elevenlabs"},
        {"similarity_boost": 1.1},
        {"style_exaggeration": -0.1},
        {"inactivity_seconds": 181},
        {"inactivity_seconds": 0},
        {"quiet_seconds": 0},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """They are refused at once."""
    with pytest.raises(ConfigurationError):
        ElevenLabs(**settings)


@pytest.mark.parametrize(
    "options",
    [
        TtsOptions(speed=1.3),
        TtsOptions(speed=0.6),
        TtsOptions(pitch=1.1),
        TtsOptions(volume=0.5),
        TtsOptions(style="sad"),
        TtsOptions(language="tlh"),
    ],
)
def test_what_it_cannot_honour(options: TtsOptions) -> None:
    """It is refused before anything is connected."""

    async def scene() -> None:
        async with provider().connect(options):
            pass

    with pytest.raises(Unsupported):
        play(scene)


def test_all_settings_are_taken() -> None:
    """The service, which refuses what it does not know, takes everything we can ask for."""
    options = TtsOptions(
        voice="21m00Tcm4TlvDq8ikWAM",
        language="pt-BR",
        speed=1.1,
        stability=0.4,
        is_ssml=True,
        wants_words=True,
    )

    async def scene() -> dict[str, Any]:
        async with booth(
            options=options,
            similarity_boost=0.7,
            style_exaggeration=0.1,
            use_speaker_boost=True,
            text_normalization="off",
            words="written",
            keeps_no_log=True,
        ) as at:
            at.say("a", "Hello there.")
            await asyncio.sleep(0.1)
            assert at.heard("a") == "Hello there."
            assert at.words("a")[0] == ("Hello", 0, 4800)
        settings = at.remote.received[2].voice_settings
        assert settings is not None
        return {name: getattr(settings, name) for name in settings.__struct_fields__}

    assert play(scene) == {
        "stability": 0.4,
        "similarity_boost": 0.7,
        "style": 0.1,
        "use_speaker_boost": True,
        "speed": 1.1,
    }


def test_it_keeps_what_all_providers_promise() -> None:
    """The whole suite holds, and every check of it applies."""

    @asynccontextmanager
    async def make(peer: Peer) -> AsyncGenerator[ElevenLabs]:
        service = ElevenLabsTtsEmulator(pace=peer.pace, faults=[peer.faults], quirks=Quirks())
        async with service.serving(HOST, PORT):
            yield provider()

    assert check_text_to_speech(make).not_applicable == {}


def test_a_text_is_spoken_through_the_handle() -> None:
    """Found by its name, it gives the sound of a text, and where the words are in it."""
    assert "elevenlabs" in registry.installed("tts")

    async def scene() -> Speech:
        async with ElevenLabsTtsEmulator().serving(HOST, PORT):
            handle = tts("elevenlabs", api_key=KEY, endpoint=ENDPOINT, wants_words=True)
            assert (await handle.health()).is_healthy
            return await handle.synthesize("Hello there. See you.")

    spoken = simulate(scene())
    assert words_in(spoken.audio) == ["Hello", "there.", "See", "you."]
    assert [word.start for word in spoken.words] == [0, 4800, 9600, 14400]
    assert spoken.duration_ms == 800
