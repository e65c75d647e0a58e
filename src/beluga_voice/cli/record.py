"""`beluga-voice record`: a conversation as `talk` holds it, written down as it goes."""

import argparse
import sys

from beluga_voice.app import VoiceSession, detector_of
from beluga_voice.cli.parts import load_object, session_maker
from beluga_voice.cli.talk import RecordingLine, talk
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Line, S2sOptions, Tool, TurnOwner, VoiceActivityDetector
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.support import owner_of


def record(options: argparse.Namespace) -> int:
    """Hold the conversation; what went to the service and came from it is in the file then."""
    if getattr(options, "memory", None):
        message = "a recorded call begins with nothing remembered: leave out --memory"
        raise ConfigurationError(message, op="record")
    provider = session_maker(options)(RecordingLine()).provider
    recorded = Recorded(
        provider, to=options.to, keep_audio=options.keep_audio, keep_words=options.keep_words
    )
    agent = load_object(options.agent) if options.agent else None
    tools: tuple[Tool, ...] = tuple(getattr(agent, "tools", ()))
    able = provider.capabilities
    detector: VoiceActivityDetector | None = None
    if owner_of(S2sOptions(), able) is TurnOwner.FRAMEWORK or not able.has_speech_events:
        detector = recorded.ears(detector_of(options.vad))

    def make(line: Line) -> VoiceSession:
        return VoiceSession(
            s2s=recorded,
            vad=detector,
            # A cascade's voice was told already.
            voice=options.voice if options.s2s else None,
            language=options.language,
            instructions=options.instructions,
            greeting=options.greeting,
            tools=tools,
            line=line,
        )

    status = talk(options, make=make)
    print(
        f"recorded to {options.to}; see it again: beluga-voice replay {options.to}", file=sys.stderr
    )
    return status
