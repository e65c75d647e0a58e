"""The parts of a session, from what was asked for on the command line."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beluga_voice.app import DEFAULT_VAD, VoiceSession
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.interfaces import Line, Tool, VoiceActivityDetector
from beluga_voice.services.speech_to_speech import s2s


def load_object(spec: str) -> Any:
    """What `module:name` stands for; modules of the current folder are found too."""
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise ConfigurationError(f"{spec!r} should look like module:function", op="agent")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(f"cannot import {module_name!r}: {error}", op="agent") from error
    except Exception as error:  # whatever the module does while it is imported
        message = f"cannot import {module_name!r}: {type(error).__name__}: {error}"
        raise ConfigurationError(message, op="agent") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise ConfigurationError(f"{module_name!r} has no {name!r}", op="agent") from error


def batched_detector(vad: str | None) -> Callable[[], VoiceActivityDetector] | None:
    """A function that makes detectors of one batch, for many sessions of one event loop.

    None if another detector than the default is named, or if the default is not installed.
    """
    if vad not in (None, DEFAULT_VAD):
        return None
    from beluga_voice.providers.vad.silero import SileroBatch

    try:
        return SileroBatch().detector
    except MissingExtra:
        return None


def session_maker(
    options: argparse.Namespace, *, detector: Callable[[], VoiceActivityDetector] | None = None
) -> Callable[[Line], VoiceSession]:
    """A function that makes a session for a line; what is wrong is raised at once.

    With `detector`, that makes each session's voice detector.
    """
    agent = load_object(options.agent) if options.agent else None
    tools: tuple[Tool, ...] = tuple(getattr(agent, "tools", ()))
    service = s2s(options.s2s, endpoint=options.endpoint) if options.s2s else None
    if options.endpoint and service is None:
        raise ConfigurationError("an endpoint needs a service: give --s2s NAME", op="endpoint")

    def make(line: Line) -> VoiceSession:
        return VoiceSession(
            s2s=service,
            stt=options.stt,
            agent=agent,
            tts=options.tts,
            vad=options.vad if detector is None else detector(),
            voice=options.voice,
            language=options.language,
            instructions=options.instructions,
            greeting=options.greeting,
            phrases=options.phrase,
            tools=tools,
            line=line,
        )

    return make
