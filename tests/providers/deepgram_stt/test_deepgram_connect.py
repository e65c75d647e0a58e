"""Connecting to Deepgram, to listen and to speak: what is sent, and what may go wrong."""

import asyncio

import pytest
from websockets.asyncio.server import serve

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
from beluga_voice.events import LinkReady
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.deepgram import Deepgram
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.testing.emulators.deepgram import DeepgramEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.deepgram_stt.deepgram_stage import FLUX, HOST, PORT, listener, speaker

SIDES = {
    "nova": (listener, SttOptions()),
    "flux": (lambda **settings: listener(settings.pop("model", FLUX), **settings), SttOptions()),
    "aura": (speaker, TtsOptions()),
}
every_side = pytest.mark.parametrize("side", SIDES)


def failure_of(side, *, faults=(), **settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        make, options = SIDES[side]
        loop = running_simulation()
        async with DeepgramEmulator(faults=faults).serving(HOST, PORT):
            with pytest.raises(ProviderError) as caught:
                async with make(**settings).connect(options):
                    pass
        return caught.value, loop.time()

    return simulate(scene)


def query_of(side, options=None, **settings):
    """The settings that the service is given."""

    async def scene():
        make, default = SIDES[side]
        service = DeepgramEmulator()
        async with service.serving(HOST, PORT), make(**settings).connect(options or default):
            return {
                name: ",".join(given) for name, given in service.sessions[0].query.values.items()
            }

    return simulate(scene)


@every_side
def test_a_link_is_ready_when_connecting_returns(side):
    """The first event says so, and names the model."""

    async def scene():
        make, options = SIDES[side]
        async with DeepgramEmulator().serving(HOST, PORT), make().connect(options) as link:
            return await anext(aiter(link))

    ready = simulate(scene)
    assert isinstance(ready, LinkReady)
    assert ready.model in ("nova-3", FLUX, "aura-2-thalia-en")


@every_side
@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"api_key": "wrong"}, Denied, "Invalid credentials."),
        ({"faults": [Faults(refuse_status=400, refuse_body="no such thing")]}, Rejected, "no such"),
        ({"faults": [Faults(refuse_status=402, refuse_body="no credits")]}, Rejected, "no credits"),
        ({"faults": [Faults(refuse_status=403)]}, Denied, "403"),
        ({"faults": [Faults(refuse_status=429, refuse_body="too many")]}, Overloaded, "too many"),
        ({"faults": [Faults(refuse_status=500)]}, Unreachable, "500"),
        ({"faults": [Faults(refuse_status=503)]}, Overloaded, "503"),
    ],
)
def test_a_refused_handshake_has_its_error(side, settings, kind, words):
    """Each HTTP status is told as what can be done about it, with the service's own reason."""
    error, at = failure_of(side, **settings)
    assert type(error) is kind
    assert words in str(error)
    assert (error.provider, at) == ("deepgram", 0)


@pytest.mark.parametrize(("side", "model"), [("nova", "nova-9"), ("aura", "aura-2-nobody")])
def test_an_unknown_model_is_refused_with_its_name(side, model):
    """The service has the last word on which models there are."""
    error, _ = failure_of(side, model=model)
    assert type(error) is Rejected
    assert model in str(error)


@every_side
def test_a_service_that_is_busy_says_for_how_long(side):
    """The wait that the service asks for is in the error."""
    error, _ = failure_of(side, faults=[Faults(refuse_status=429, retry_after="7")])
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


def test_a_service_that_connects_and_never_greets_is_given_up():
    """Flux has a greeting, and is not ready before it came."""
    error, at = failure_of("flux", faults=[Faults(is_mute=True)], connect_seconds=3)
    assert type(error) is Silent
    assert 3 <= at < 5


@every_side
def test_a_service_that_hangs_up_at_once_says_why(side):
    """A connection that ends before it is used is not a link."""

    async def hang_up(connection):
        await connection.close(1008, "DATA-0000")

    async def scene():
        make, options = SIDES[side]
        async with serve(hang_up, HOST, PORT):
            try:
                async with make().connect(options) as link:
                    return [event async for event in link][-2].provider_code
            except Rejected as error:
                return str(error)

    assert "DATA-0000" in simulate(scene)


def test_nova_is_given_its_settings():
    """What was asked for is in the address, and what was not is left to the service."""
    options = SttOptions(
        language="de",
        phrases=("Beluga", "a whale"),
        wants_punctuation=False,
        filters_profanity=True,
        input_format=AudioFormat(Encoding.MULAW, 8000, 1),
    )
    settings = {"endpointing_ms": 0, "utterance_end_ms": 1200, "smart_format": True}
    query = query_of("nova", options, tag="test", mip_opt_out=True, numerals=True, **settings)
    assert query == {
        "model": "nova-3",
        "encoding": "mulaw",
        "sample_rate": "8000",
        "channels": "1",
        "interim_results": "true",
        "vad_events": "true",
        "punctuate": "false",
        "language": "de",
        "smart_format": "true",
        "endpointing": "false",
        "utterance_end_ms": "1200",
        "keyterm": "Beluga,a whale",
        "numerals": "true",
        "profanity_filter": "true",
        "mip_opt_out": "true",
        "tag": "test",
    }


def test_flux_is_given_its_settings():
    """How sure it has to be of the end of a turn."""
    query = query_of("flux", eot_threshold=0.8, eager_eot_threshold=0.5, eot_timeout_ms=4000)
    assert query == {
        "model": FLUX,
        "encoding": "linear16",
        "sample_rate": "16000",
        "eot_threshold": "0.8",
        "eager_eot_threshold": "0.5",
        "eot_timeout_ms": "4000",
    }


@pytest.mark.parametrize(
    ("options", "voice"),
    [
        (TtsOptions(), "aura-2-thalia-en"),
        (TtsOptions(language="en-GB"), "aura-2-thalia-en"),
        (TtsOptions(language="de_DE"), "aura-2-aurelia-de"),
        (TtsOptions(voice="aura-2-zeus-en", language="de"), "aura-2-zeus-en"),
    ],
)
def test_a_voice_speaks_the_language_that_was_asked_for(options, voice):
    """A voice that was named is taken in any case."""
    assert query_of("aura", options)["model"] == voice


def test_aura_is_given_its_settings():
    """Format and speed."""
    query = query_of("aura", TtsOptions(speed=1.2, output_format=pcm16(16000)), mip_opt_out=True)
    assert query == {
        "model": "aura-2-thalia-en",
        "encoding": "linear16",
        "sample_rate": "16000",
        "speed": "1.2",
        "mip_opt_out": "true",
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"endpoint": "api.deepgram.com"},
        {"endpoint": "wss://api.deepgram.com/v1/listen?model=nova-3"},
        {"endpoint": "wss://[broken"},
        {"eot_threshold": 0.7},
        {"model": FLUX, "endpointing_ms": 300},
        {"model": FLUX, "eot_threshold": 0.2},
        {"model": FLUX, "eager_eot_threshold": 0.8, "eot_threshold": 0.7},
        {"model": FLUX, "eot_timeout_ms": 100},
        {"endpointing_ms": -1},
        {"utterance_end_ms": 500},
        {"finalize_seconds": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings):
    """Before anything is connected, and by the name of the setting."""
    with pytest.raises(ConfigurationError):
        Deepgram(**settings)


@pytest.mark.parametrize("settings", [{"model": ""}, {"pause_seconds": 0}, {"endpoint": "ftp://a"}])
def test_settings_of_a_voice_that_make_no_sense_are_refused_at_once(settings):
    """As those of a recogniser."""
    with pytest.raises(ConfigurationError):
        DeepgramTts(**settings)


@pytest.mark.parametrize(
    ("side", "options"),
    [
        ("nova", SttOptions(alternatives=3)),
        ("flux", SttOptions(language="de")),
        ("flux", SttOptions(wants_punctuation=False)),
        ("aura", TtsOptions(speed=2)),
        ("aura", TtsOptions(wants_words=True)),
        ("aura", TtsOptions(style="sad")),
        ("aura", TtsOptions(language="tlh")),
    ],
)
def test_what_the_service_cannot_honour_is_refused_before_connecting(side, options):
    """There is no network at all, and it is not missed."""

    async def scene():
        with pytest.raises(Unsupported):
            async with SIDES[side][0]().connect(options):
                pass

    simulate(scene)


def test_they_are_found_by_their_name():
    """The plugins are registered, and take a model after a colon."""
    assert registry.create("stt", "deepgram:flux-general-multi").capabilities.finds_turns
    assert registry.create("tts", "deepgram:aura-2-zeus-en").name == "deepgram"


def test_the_whole_address_may_be_given():
    """With its path, it is taken as it is."""

    async def scene():
        service = DeepgramEmulator()
        made = listener(endpoint=f"http://{HOST}/v1/listen")
        async with service.serving(HOST, PORT), made.connect(SttOptions()):
            return len(service.sessions)

    assert simulate(scene) == 1


@every_side
def test_it_works_on_real_sockets(side):
    """The same providers and the same service talk over loopback."""

    async def scene():
        make, options = SIDES[side]
        async with (
            DeepgramEmulator().serving() as service,
            make(endpoint=service.url).connect(options) as link,
        ):
            return type(await anext(aiter(link)))

    assert asyncio.run(scene()) is LinkReady
