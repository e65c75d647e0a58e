"""Connecting for a transcription, over both transports: what may go wrong, and how soon."""

import pytest
from websockets.asyncio.server import serve

from beluga_voice.errors import Denied, Overloaded, Rejected, Silent, Unreachable
from beluga_voice.events import LinkClosed, LinkReady
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.emulators.openai_http import OpenAIHttpEmulator
from beluga_voice.testing.emulators.openai_stt import OpenAISttEmulator
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from providers.openai_stt.openai_stt_stage import (
    HOST,
    PORT,
    live,
    live_desk,
    posting_desk,
)


def failure_of(opening):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(Exception) as caught:  # noqa: PT011, the caller looks
            async with opening():
                pass
        return caught.value, loop.time()

    return simulate(scene)


@pytest.mark.parametrize("desk", [live_desk, posting_desk])
def test_leaving_closes_in_order(desk):
    """The first event says that the service is ready, the last that we closed."""

    async def scene():
        async with desk() as at:
            pass
        return [event for _, event in at.told]

    first, last = simulate(scene)
    assert isinstance(first, LinkReady)
    assert last == LinkClosed(is_clean=True, reason="closed by us")


@pytest.mark.parametrize(
    ("desk", "settings", "words"),
    [
        (live_desk, {"api_key": "sk-wrong"}, "invalid_api_key"),
        (posting_desk, {"api_key": "sk-wrong"}, "invalid_api_key"),
    ],
)
def test_a_wrong_key_is_denied_and_not_quoted(desk, settings, words):
    """The service quotes it; we do not."""
    error, _ = failure_of(lambda: desk(**settings))
    assert type(error) is Denied
    assert words in str(error)
    assert "sk-wrong" not in str(error)


@pytest.mark.parametrize(
    ("desk", "model"), [(live_desk, "gpt-realtime-whisper"), (posting_desk, "gpt-9-transcribe")]
)
def test_an_unknown_model_is_rejected(desk, model):
    """The reason is the service's own."""
    kind = OpenAISttEmulator if desk is live_desk else OpenAIHttpEmulator
    error, _ = failure_of(lambda: desk(kind(models=()), model=model))
    assert type(error) is Rejected
    assert "model_not_found" in str(error)


@pytest.mark.parametrize(
    ("faults", "kind", "words"),
    [
        (Faults(refuse_status=400, refuse_body="odd"), Rejected, "400"),
        (Faults(refuse_status=403), Denied, "403"),
        (Faults(refuse_status=429, retry_after="7"), Overloaded, "429"),
        (Faults(refuse_status=429, refuse_body="insufficient_quota"), Rejected, "quota"),
        (Faults(refuse_status=500), Unreachable, "500"),
        (Faults(refuse_status=503), Overloaded, "503"),
    ],
)
def test_a_refused_handshake_has_its_error(faults, kind, words):
    """Each HTTP status is told as what can be done about it; used up is not overloaded."""
    error, at = failure_of(lambda: live_desk(OpenAISttEmulator(faults=[faults])))
    assert type(error) is kind
    assert words in str(error)
    assert at == 0
    assert getattr(error, "retry_after", None) == (7 if faults.retry_after else None)


def test_a_service_that_connects_and_says_nothing_is_given_up():
    """Connecting takes no longer than it may."""
    service = OpenAISttEmulator(faults=[Faults(is_mute=True)])
    error, at = failure_of(lambda: live_desk(service, connect_seconds=3))
    assert type(error) is Silent
    assert 3 <= at < 5


def test_a_service_that_hangs_up_while_it_is_opened_is_unreachable():
    """A session that ends before it was configured can be tried again."""

    async def hang_up(connection):
        await connection.close(1011, "try another time")

    async def scene():
        async with serve(hang_up, HOST, PORT):
            with pytest.raises(Unreachable, match="try another time"):
                async with live().connect(SttOptions()):
                    pass

    simulate(scene)


def test_a_server_without_models_is_taken_as_it_is():
    """Others have no page for them."""

    async def scene():
        async with posting_desk(OpenAIHttpEmulator(has_models=False)) as at:
            return at.of(LinkReady)

    assert len(simulate(scene)) == 1


def test_a_gateway_is_told_the_model():
    """OpenAI's own service refuses that, and says so."""

    async def scene():
        async with live_desk(OpenAISttEmulator(is_gateway=True), sends_model=True) as at:
            return at.of(LinkReady)

    assert len(simulate(scene)) == 1
    error, _ = failure_of(lambda: live_desk(sends_model=True))
    assert type(error) is Rejected
    assert "does not fit" in str(error)
