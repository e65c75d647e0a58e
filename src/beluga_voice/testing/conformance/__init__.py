"""Conformance suites: plain functions that hold a provider against what it promises.

    from beluga_voice.testing.conformance import Peer, check_speech_to_speech

    @asynccontextmanager
    async def make(peer: Peer):
        async with MyEmulator(peer.brain, pace=peer.pace, faults=[peer.faults]).serving() as url:
            yield MyProvider(endpoint=url)

    def test_my_provider():
        report = check_speech_to_speech(make)
        assert report.not_applicable == {...}

Ears are held against theirs by `check_voice_activity`, `check_noise_reducer` and
`check_turn_detector`, which are given what makes one, as for one more session.

They need no test framework. Each check of a provider runs in simulated time, unless told otherwise.
What breaks a rule raises `ConformanceFailure`, which names the rule and what was seen.
"""

from beluga_voice.testing.conformance.ears import EarRule
from beluga_voice.testing.conformance.memory import MemoryRule, check_memory_store
from beluga_voice.testing.conformance.noise_reduction import check_noise_reducer
from beluga_voice.testing.conformance.report import (
    ConformanceFailure,
    Maker,
    NotEmulated,
    Peer,
    Report,
    Rule,
)
from beluga_voice.testing.conformance.speech_to_speech import check_speech_to_speech
from beluga_voice.testing.conformance.speech_to_text import check_speech_to_text
from beluga_voice.testing.conformance.text_to_speech import check_text_to_speech
from beluga_voice.testing.conformance.turn_detection import (
    check_listening_turn_detector,
    check_turn_detector,
)
from beluga_voice.testing.conformance.voice_activity import check_voice_activity

__all__ = [
    "ConformanceFailure",
    "EarRule",
    "Maker",
    "MemoryRule",
    "NotEmulated",
    "Peer",
    "Report",
    "Rule",
    "check_listening_turn_detector",
    "check_memory_store",
    "check_noise_reducer",
    "check_speech_to_speech",
    "check_speech_to_text",
    "check_text_to_speech",
    "check_turn_detector",
    "check_voice_activity",
]
