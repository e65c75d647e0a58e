"""Connecting to Cartesia Sonic: what is sent, what may go wrong, and how soon that is known."""

import asyncio

import pytest

import beluga_voice
from beluga_voice import registry
from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
    Unsupported,
)
from beluga_voice.events import ErrorCategory, LinkClosed, LinkReady, ServiceFailed
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.testing.emulators.cartesia_tts import KEY, CartesiaTtsEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.cartesia_tts.cartesia_tts_stage import HOST, PORT, provider, reading


def failure_of(*, service=None, **settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(ProviderError) as caught:
            async with reading(service, **settings):
                pass
        return caught.value, loop.time()

    return simulate(scene)


def test_a_link_is_ready_when_it_is_open_and_closes_in_order():
    """The first event and the last one."""

    async def scene():
        async with reading() as (reader, service):
            await asyncio.sleep(0.1)
        return reader.events, service.sessions[0]

    events, session = simulate(scene)
    assert events == [
        LinkReady(model="sonic-3.5"),
        LinkClosed(is_clean=True, reason="closed by us"),
    ]
    assert (session.version, session.received) == ("2026-08-14", [])


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({"api_key": "sk_secret"}, Denied, "Invalid API key."),
        ({"version": "1999-01-01"}, Rejected, "Name a valid Cartesia-Version."),
        ({"endpoint": f"ws://{HOST}/v9"}, Rejected, "There is nothing at /v9/tts/websocket."),
    ],
)
def test_a_refusal_quotes_the_services_reason(settings, kind, reason):
    """A wrong key, version or address; no key is in the message."""
    error, _ = failure_of(**settings)
    assert type(error) is kind
    assert reason in error.message
    assert "secret" not in f"{error}{error.__cause__}"


@pytest.mark.parametrize(
    ("faults", "kind", "after"),
    [
        (Faults(refuse_status=400, refuse_body="no"), Rejected, None),
        (Faults(refuse_status=429, refuse_body="no", retry_after="30"), Overloaded, 30.0),
        (Faults(refuse_status=503, refuse_body="no"), Overloaded, None),
        (Faults(refuse_status=500, refuse_body="no"), Unreachable, None),
    ],
)
def test_a_status_is_an_error_of_ours(faults, kind, after):
    """With the service's reason, and how long to wait where it says so."""
    error, _ = failure_of(service=CartesiaTtsEmulator(faults=[faults]))
    assert type(error) is kind
    assert "no)" in error.message
    assert getattr(error, "retry_after", None) == after


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (TtsOptions(language="tlh"), "languages"),
        (TtsOptions(pitch=1.1), "pitch"),
        (TtsOptions(stability=0.5), "stability"),
        (TtsOptions(is_ssml=True), "is_ssml"),
        (TtsOptions(speed=3.0), "speed"),
    ],
)
def test_what_it_cannot_honour_is_refused_before_connecting(options, named):
    """Nobody is listening there."""

    async def scene():
        with pytest.raises(Unsupported, match=named):
            async with provider().connect(options):
                pass

    simulate(scene)


@pytest.mark.parametrize("settings", [{"endpoint": "api.cartesia.ai"}, {"version": "latest"}])
def test_settings_that_make_no_sense_are_refused(settings):
    """When the provider is made."""
    with pytest.raises(ConfigurationError):
        Cartesia(**settings)


def test_it_is_found_by_its_name():
    """The registry makes it, with a model behind a colon."""
    assert isinstance(registry.create("tts", "cartesia:sonic-3"), Cartesia)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": "sonic-9"}, "The model is not valid; check the model"),
        ({"voice": "nobody"}, "The voice"),
    ],
)
def test_what_does_not_exist_is_told_with_the_first_text(settings, words):
    """The context ends, and the link goes on."""

    async def scene():
        async with reading(**settings) as (reader, _):
            reader.speak("a", "Hello")
            await asyncio.sleep(1)
            return reader.events

    _, failed, *rest = simulate(scene)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.INVALID_REQUEST, False)
    assert words in failed.message
    assert len(rest) == 1


@pytest.mark.parametrize(
    ("faults", "is_clean"),
    [
        (Faults(drop_after_audio_ms=400), False),
        (Faults(drop_after_audio_ms=400, close_code=1011), False),
        (Faults(expire_after_ms=0), True),
    ],
)
def test_a_lost_connection_is_an_event(faults, is_clean):
    """In mid-sentence; the context is not told to be done."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[faults])
        async with reading(service) as (reader, _):
            reader.speak("a", "one two three four", finish=False)
            await asyncio.sleep(5)
            return reader.events[-1], reader.ends("a")

    closed, ends = simulate(scene)
    assert isinstance(closed, LinkClosed)
    assert (closed.is_clean, ends) == (is_clean, 0)


def test_a_message_that_cannot_be_read_is_skipped():
    """It is reported, and the words around it are whole."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[Faults(malformed_after_audio_ms=200)])
        async with reading(service) as (reader, _):
            reader.speak("a", "one two three")
            await asyncio.sleep(1)
            return reader.events, reader.heard("a")

    events, heard = simulate(scene)
    (failed,) = [one for one in events if isinstance(one, ServiceFailed)]
    assert (failed.category, failed.is_fatal) == (ErrorCategory.BENIGN, False)
    assert heard == "one two three"


def test_a_failure_of_the_service_ends_its_context():
    """It is told with its code; the next context is spoken."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[Faults(error_code="overheated")])
        async with reading(service) as (reader, _):
            reader.speak("a", "one two")
            await asyncio.sleep(1)
            reader.speak("b", "three four")
            await asyncio.sleep(1)
            return reader

    reader = simulate(scene)
    (failed,) = [one for one in reader.events if isinstance(one, ServiceFailed)]
    assert (failed.provider_code, failed.is_fatal) == ("overheated", False)
    assert (reader.ends("a"), reader.heard("b"), reader.ends("b")) == (1, "three four", 1)


def test_too_many_contexts_are_told():
    """The plan's limit is an error of the context that was too many."""

    async def scene():
        async with reading(CartesiaTtsEmulator(max_contexts=1)) as (reader, _):
            reader.speak("a", "one two", finish=False)
            reader.speak("b", "three")
            await asyncio.sleep(0.1)
            return reader

    reader = simulate(scene)
    (failed,) = [one for one in reader.events if isinstance(one, ServiceFailed)]
    assert failed.category is ErrorCategory.RATE_LIMIT
    assert (reader.ends("a"), reader.ends("b")) == (0, 1)


def test_a_handle_knows_if_it_is_well():
    """Health is a connection that comes about."""

    async def scene():
        service = CartesiaTtsEmulator()
        handle = beluga_voice.tts("cartesia", api_key=KEY, endpoint=f"ws://{HOST}:{PORT}")
        async with service.serving(HOST, PORT):
            well = await handle.health()
        return well, await handle.health()

    well, gone = simulate(scene)
    assert well.is_healthy
    assert not gone.is_healthy
