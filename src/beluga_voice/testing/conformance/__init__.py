"""Conformance suites: plain functions that hold a provider against what it promises.

    from beluga_voice.testing.conformance import Peer, check_speech_to_speech

    @asynccontextmanager
    async def make(peer: Peer):
        async with MyEmulator(peer.brain, pace=peer.pace, faults=[peer.faults]).serving() as url:
            yield MyProvider(endpoint=url)

    def test_my_provider():
        report = check_speech_to_speech(make)
        assert report.not_applicable == {...}

They need no test framework. Each check runs in simulated time, unless told otherwise, and raises
`ConformanceFailure`, which names the rule and what was seen.
"""

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

__all__ = [
    "ConformanceFailure",
    "Maker",
    "NotEmulated",
    "Peer",
    "Report",
    "Rule",
    "check_speech_to_speech",
    "check_speech_to_text",
    "check_text_to_speech",
]
