"""The parts of a session, from what was asked for on the command line."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from beluga_voice.app import (
    DEFAULT_STT,
    DEFAULT_TTS,
    DEFAULT_VAD,
    VoiceSession,
    several_of,
)
from beluga_voice.checkpoints.checkpoint import Checkpoint
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.interfaces import (
    Line,
    MemoryStore,
    SpeechToText,
    TextToSpeech,
    Tool,
    VoiceActivityDetector,
)
from beluga_voice.resilience.limited import Limited
from beluga_voice.services.speech_to_speech import SpeechToSpeechService, s2s
from beluga_voice.services.speech_to_text import stt
from beluga_voice.services.text_to_speech import tts


class SessionMaker(Protocol):
    """Makes a session for a line: a new one, or one that goes on from a checkpoint."""

    def __call__(self, line: Line, /, checkpoint: Checkpoint | None = None) -> VoiceSession: ...


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
) -> SessionMaker:
    """A function that makes a session for a line; what is wrong is raised at once.

    With `detector`, that makes each session's voice detector.
    """
    agent = load_object(options.agent) if options.agent else None
    tools: tuple[Tool, ...] = tuple(getattr(agent, "tools", ()))
    for kind, endpoint in (("s2s", "endpoint"), ("stt", "stt_endpoint"), ("tts", "tts_endpoint")):
        if getattr(options, endpoint) and "," in (getattr(options, kind) or ""):
            option = endpoint.replace("_", "-")
            message = f"--{option} is of one service, and --{kind} names several"
            raise ConfigurationError(message, op="endpoint")
        if getattr(options, endpoint) and not getattr(options, kind):
            option = endpoint.replace("_", "-")
            message = f"--{option} needs a service: give --{kind} NAME"
            raise ConfigurationError(message, op="endpoint")
    several = options.s2s if options.s2s and "," in options.s2s else None
    service = s2s(options.s2s, endpoint=options.endpoint) if options.s2s and not several else None
    ears: str | SpeechToText | None = options.stt
    if options.stt_endpoint:
        ears = stt(options.stt, endpoint=options.stt_endpoint)
    mouth: str | TextToSpeech | None = options.tts
    if options.tts_endpoint:
        mouth = tts(options.tts, endpoint=options.tts_endpoint)
    memory = _memory(options)
    if (limit := options.max_links) is not None:
        if several is not None:
            message = "--max-links counts the links of one service, and --s2s names several"
            raise ConfigurationError(message, op="max_links")
        if service is not None:
            limited = Limited(service.provider, limit=limit)
            service = SpeechToSpeechService(limited, service.options)
        else:
            ears = Limited(several_of("stt", ears or DEFAULT_STT), limit=limit)
            mouth = Limited(several_of("tts", mouth or DEFAULT_TTS), limit=limit)

    def make(line: Line, /, checkpoint: Checkpoint | None = None) -> VoiceSession:
        return VoiceSession(
            s2s=several or service,
            stt=ears,
            agent=agent,
            tts=mouth,
            vad=options.vad if detector is None else detector,
            voice=options.voice,
            language=options.language,
            instructions=options.instructions,
            greeting=options.greeting,
            phrases=options.phrase,
            tools=tools,
            line=line,
            memory=memory,
            memory_key=options.caller,
            transfer=getattr(options, "transfer", None),
            checkpoint=checkpoint,
        )

    return make


def _memory(options: argparse.Namespace) -> MemoryStore | None:
    if bool(options.memory) != bool(options.caller):
        message = "give both --memory PATH and --caller KEY, or neither"
        raise ConfigurationError(message, op="memory")
    if not options.memory:
        return None
    from beluga_voice.memory.sqlite import SqliteMemory

    return SqliteMemory(options.memory)
