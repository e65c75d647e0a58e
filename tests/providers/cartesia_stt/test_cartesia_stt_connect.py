"""Connecting to Cartesia Ink: what is sent, what may go wrong, and how soon that is known."""

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
    Silent,
    Unreachable,
    Unsupported,
)
from beluga_voice.events import ErrorCategory, LinkClosed, LinkReady, ServiceFailed
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.cartesia import CartesiaStt, TurnThresholds
from beluga_voice.testing.emulators.cartesia_stt import KEY, CartesiaSttEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.cartesia_stt.cartesia_stt_stage import HOST, PORT, listening, provider


def failure_of(*, service=None, **settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(ProviderError) as caught:
            async with listening(service, **settings):
                pass
        return caught.value, loop.time()

    return simulate(scene)


def test_a_link_with_turns_is_ready_when_connecting_returns():
    """The service has greeted, and its name for the connection is told."""

    async def scene():
        async with listening() as (person, service):
            return person.events, service.sessions[0]

    events, session = simulate(scene)
    assert events == [LinkReady(remote_id="stt-1", model="ink-2")]
    assert session.version == "2026-08-14"
    assert session.query["turn_end_timeout_ms"] == ["640"]


def test_a_link_without_turns_is_ready_when_it_is_open():
    """There is no greeting, and the first event comes all the same."""

    async def scene():
        async with listening(model="ink-whisper") as (person, _):
            return person.events

    assert simulate(scene) == [LinkReady(model="ink-whisper")]


@pytest.mark.parametrize("manual", [False, True])
def test_leaving_closes_in_order(manual):
    """The last event says that we closed."""

    async def scene():
        async with listening(manual=manual) as (person, _):
            pass
        return person.events[-1]

    assert simulate(scene) == LinkClosed(is_clean=True, reason="closed by us")


@pytest.mark.parametrize(
    ("settings", "kind", "reason"),
    [
        ({"api_key": "sk_secret"}, Denied, "Invalid API key."),
        ({"model": "ink-9"}, Rejected, "The model ink-9 is not offered here."),
        ({"version": "1999-01-01"}, Rejected, "Name a valid Cartesia-Version."),
        ({"endpoint": f"ws://{HOST}/v9"}, Rejected, "There is nothing at /v9/stt/turns/websocket."),
    ],
)
def test_a_refusal_quotes_the_services_reason(settings, kind, reason):
    """A wrong key, an unknown model, version or address; no key is in the message."""
    error, _ = failure_of(**settings)
    assert type(error) is kind
    assert reason in error.message
    assert "secret" not in f"{error}{error.__cause__}"


@pytest.mark.parametrize(
    ("faults", "kind", "after"),
    [
        (Faults(refuse_status=400, refuse_body="no"), Rejected, None),
        (Faults(refuse_status=402, refuse_body="no"), Rejected, None),
        (Faults(refuse_status=403, refuse_body="no"), Denied, None),
        (Faults(refuse_status=429, refuse_body="no", retry_after="30"), Overloaded, 30.0),
        (Faults(refuse_status=429, refuse_body="no"), Overloaded, None),
        (Faults(refuse_status=503, refuse_body="no", retry_after="5"), Overloaded, 5.0),
        (Faults(refuse_status=500, refuse_body="no"), Unreachable, None),
    ],
)
def test_a_status_is_an_error_of_ours(faults, kind, after):
    """With the service's reason, and how long to wait where it says so."""
    error, _ = failure_of(service=CartesiaSttEmulator(faults=[faults]))
    assert type(error) is kind
    assert "no)" in error.message
    assert getattr(error, "retry_after", None) == after


def test_a_service_that_does_not_greet_is_silent():
    """In time, and not after a session was begun on it."""
    error, at = failure_of(
        service=CartesiaSttEmulator(faults=[Faults(is_mute=True)]), connect_seconds=3.0
    )
    assert isinstance(error, Silent)
    assert at == 3.0


@pytest.mark.parametrize(
    ("settings", "options", "named"),
    [
        ({}, SttOptions(language="de"), "languages"),
        ({}, SttOptions(wants_words=True), "wants_words"),
        ({}, SttOptions(alternatives=2), "alternatives"),
        ({"model": "ink-whisper"}, SttOptions(phrases=("a",)), "phrases"),
        ({}, SttOptions(phrases=("a",) * 101), "phrases"),
        ({"manual": True}, SttOptions(filters_profanity=True), "filters_profanity"),
    ],
)
def test_what_it_cannot_honour_is_refused_before_connecting(settings, options, named):
    """Nobody is listening there."""

    async def scene():
        with pytest.raises(Unsupported, match=named):
            async with provider(**settings).connect(options):
                pass

    simulate(scene)


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "api.cartesia.ai"},
        {"version": "latest"},
        {"manual": True, "thresholds": TurnThresholds()},
        {"model": "ink-whisper", "manual": False},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """When the provider is made."""
    with pytest.raises(ConfigurationError):
        CartesiaStt(**settings)


def test_it_is_found_by_its_name():
    """The registry makes it, with a model behind a colon."""
    made = registry.create("stt", "cartesia:ink-whisper")
    assert isinstance(made, CartesiaStt)
    assert made.capabilities.has_word_times
    assert not made.capabilities.finds_turns


@pytest.mark.parametrize("manual", [False, True])
@pytest.mark.parametrize(
    ("faults", "is_clean"),
    [
        (Faults(drop_after_audio_ms=400), False),
        (Faults(drop_after_audio_ms=400, close_code=1011), False),
        (Faults(expire_after_ms=300), True),
    ],
)
def test_a_lost_connection_is_an_event(manual, faults, is_clean):
    """In mid-sentence; what was said is not told to be final."""

    async def scene():
        service = CartesiaSttEmulator(faults=[faults])
        async with listening(service, manual=manual) as (person, _):
            person.finish("empty")
            await person.say("one two three four")
            person.finish("lost")
            await asyncio.sleep(5)
            return person

    person = simulate(scene)
    assert isinstance(person.events[-1], LinkClosed)
    assert person.events[-1].is_clean is is_clean
    assert person.finals == {"empty": ""}


@pytest.mark.parametrize("manual", [False, True])
def test_a_message_that_cannot_be_read_is_skipped(manual):
    """It is reported, and the words around it are whole."""

    async def scene():
        service = CartesiaSttEmulator(faults=[Faults(malformed_after_audio_ms=200)])
        async with listening(service, manual=manual) as (person, _):
            await person.say("one two three")
            person.finish("a")
            await asyncio.sleep(1)
            return person

    person = simulate(scene)
    (failed,) = [one for one in person.events if isinstance(one, ServiceFailed)]
    assert (failed.category, failed.is_fatal) == (ErrorCategory.BENIGN, False)
    assert person.finals == {"a": "one two three"}


@pytest.mark.parametrize("manual", [False, True])
def test_an_error_of_the_service_ends_the_link(manual):
    """It is told with its code, and then the end."""

    async def scene():
        service = CartesiaSttEmulator(faults=[Faults(error_code="overheated")])
        async with listening(service, manual=manual) as (person, _):
            await person.say("one two three")
            person.finish("a")
            await asyncio.sleep(1)
            return person.events[-2:]

    failed, closed = simulate(scene)
    assert (failed.provider_code, failed.is_fatal) == ("overheated", True)
    assert closed == LinkClosed(is_clean=False, reason=failed.message)


@pytest.mark.parametrize(("manual", "given_up_ms"), [(False, 1000), (True, 980 + 1000)])
def test_a_service_that_goes_quiet_is_given_up(manual, given_up_ms):
    """After so much voice: with turns at once, without them when it does not answer to that."""

    async def scene():
        service = CartesiaSttEmulator(faults=[Faults(stall_after_audio_ms=200)])
        loop = running_simulation()
        async with listening(service, manual=manual, quiet_seconds=1.0) as (person, _):
            began = loop.time()
            await person.say("one " * 7)
            person.finish("a")
            await asyncio.sleep(5)
            (at,) = [at for at, one in person.told if isinstance(one, ServiceFailed)]
            return person.events[-2:], at - began * 1000

    (failed, closed), after_ms = simulate(scene)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert closed.is_clean is False
    assert after_ms == given_up_ms


def test_a_handle_knows_if_it_is_well():
    """Health is a connection that comes about."""

    async def scene():
        service = CartesiaSttEmulator()
        handle = beluga_voice.stt("cartesia", api_key=KEY, endpoint=f"ws://{HOST}:{PORT}")
        async with service.serving(HOST, PORT):
            well = await handle.health()
        return well, await handle.health()

    well, gone = simulate(scene)
    assert well.is_healthy
    assert not gone.is_healthy
