"""What HTTP/2 and event streams have of the faults, on a real socket: to the SDK and to ours."""

import asyncio

import pytest

from beluga_voice import s2s
from beluga_voice.errors import Overloaded
from beluga_voice.events import LinkClosed
from beluga_voice.interfaces import TurnOwner
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.emulators.catalogue import Plan, emulated
from beluga_voice.testing.emulators.speech import Faults, Pace
from emulators.sdks import NOVA_TLS, brain, nova_sonic

SECONDS = 30
"""More than a busy machine needs; nothing here waits for time."""


def seen_by_sdk(faults, tmp_path, monkeypatch):
    """What the SDK makes of it."""
    (tmp_path / "issuer.pem").write_bytes(NOVA_TLS[1])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "issuer.pem"))

    async def scene():
        async with asyncio.timeout(SECONDS):
            return await nova_sonic(faults)

    return asyncio.run(scene())


def test_when_to_come_again_is_told_in_a_header(tmp_path, monkeypatch):
    """Bedrock's own header, in milliseconds: the SDK reads no other."""
    faults = Faults(refuse_status=429, retry_after="7")
    seen = seen_by_sdk(faults, tmp_path, monkeypatch)
    assert (seen["raised"], seen["later"]) == ("ThrottlingException", 7)


def test_we_are_told_when_to_come_again(monkeypatch):
    """Through the SDK and the transport, up to the error that is retried on."""

    async def scene():
        faults = [Faults(refuse_status=429, retry_after="7")]
        async with asyncio.timeout(SECONDS), emulated("nova_sonic", Plan(faults=faults)) as service:
            for name, value in service.environment.items():
                monkeypatch.setenv(name, value)
            with pytest.raises(Overloaded) as caught:
                async with s2s("nova_sonic", endpoint=service.endpoint).connect():
                    pass
            return caught.value.retry_after

    assert asyncio.run(scene()) == 7


@pytest.mark.parametrize("code", [None, 2, 8])
def test_a_stream_is_reset_with_a_code(code, monkeypatch):
    """The sound up to there arrives, and the link is lost: by a broken connection or a reset."""

    async def scene():
        faults = [Faults(drop_after_audio_ms=400, close_code=code)]
        plan = Plan(brain=brain, faults=faults, pace=Pace(word_ms=50))
        async with asyncio.timeout(SECONDS), emulated("nova_sonic", plan) as service:
            for name, value in service.environment.items():
                monkeypatch.setenv(name, value)
            provider = s2s("nova_sonic", endpoint=service.endpoint).provider
            on = Stage(None, Rule.LOSS_IS_AN_EVENT, TurnOwner.PROVIDER)
            async with on.talking(provider) as talk:
                await talk.say("hello")
                await talk.until(lambda: talk.record.of(LinkClosed), "the end")
                return talk.record

    record = asyncio.run(scene())
    (heard,) = record.responses.values()
    assert "one two three four five six".startswith(heard.words)
    (closed,) = record.of(LinkClosed)
    assert not closed.is_clean
