"""Does a provider of ours keep the rules that a session relies on?

python -m examples.check_my_provider
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.interfaces import SpeechToSpeech
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance import Peer, Report, check_speech_to_speech
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator


@asynccontextmanager
async def make(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """The provider, and a service for it that hears, thinks and fails as `peer` says."""
    service = OpenAIRealtimeEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
    async with service.serving("voice.example.com", 80):
        yield OpenAIRealtime(api_key=KEY, endpoint=service.url)


def check() -> Report:
    """Run every check that applies; raises `ConformanceFailure` at the first broken rule."""
    return check_speech_to_speech(make)


if __name__ == "__main__":
    report = check()
    print(f"{len(report.kept)} rules are kept")
    for name, why in report.not_applicable.items():
        print(f"not applicable: {name} ({why})")
