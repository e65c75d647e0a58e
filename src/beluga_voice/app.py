"""Puts a session together: what you name, made and connected."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beluga_voice import registry
from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.agents.functions import AgentFunction, agent_of
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.events import HistoryItem
from beluga_voice.interfaces import (
    Agent,
    Line,
    LineOptions,
    MemoryStore,
    NoiseReducer,
    Observer,
    S2sOptions,
    SpeechToSpeech,
    SpeechToText,
    SttOptions,
    TextToSpeech,
    Tool,
    ToolFunction,
    TtsOptions,
    TurnOwner,
    VoiceActivityDetector,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.reasoned import Reasoned
from beluga_voice.services.speech_to_speech import SpeechToSpeechService
from beluga_voice.session.session import Session
from beluga_voice.support import owner_of

DEFAULT_STT = "pocketsphinx"
DEFAULT_TTS = "espeak"
DEFAULT_VAD = "silero"
FALLBACK_VAD = "energy"


class VoiceSession(Session):
    """A spoken conversation, over a speech-to-speech service or over three parts, never both.

    Without anything, it is the embedded defaults and the built-in agent. A part is a name
    (`stt="pocketsphinx"`) or a provider; `s2s` takes what `beluga_voice.s2s` gives, too. An agent
    is an async function or generator that is given the person's words. With `s2s`, it decides the
    words of a service that hears and speaks; without one, the service thinks by itself. `memory`
    keeps what was said under `memory_key`, say the caller's number, and what it has kept there
    takes the place of `history`.

        async with VoiceSession(agent=my_agent, line=my_line) as session:
            async for happening in session.events():
                print(happening.event)

    Raises `ConfigurationError` for what cannot be put together, before anything is connected.
    """

    def __init__(
        self,
        *,
        s2s: str | SpeechToSpeech | None = None,
        stt: str | SpeechToText | None = None,
        agent: Agent | AgentFunction | None = None,
        tts: str | TextToSpeech | None = None,
        vad: str | VoiceActivityDetector | None = None,
        line: Line | None = None,
        instructions: str = "",
        greeting: str = "",
        voice: str | None = None,
        language: str | None = None,
        phrases: Sequence[str] = (),
        tools: Sequence[Tool | ToolFunction] = (),
        history: Sequence[HistoryItem] = (),
        noise: str | NoiseReducer | None = None,
        observers: Sequence[Observer] = (),
        voice_settings: VoiceSettings | None = None,
        settings: EngineSettings | None = None,
        memory: MemoryStore | None = None,
        memory_key: str | None = None,
        session_id: str | None = None,
    ) -> None:
        if s2s is not None and (stt is not None or tts is not None):
            raise ConfigurationError("give either s2s, or stt and tts, not both", op="session")
        options = S2sOptions(instructions=instructions, language=language, history=tuple(history))
        if s2s is None:
            provider: SpeechToSpeech = cascade(
                stt=stt, agent=agent, tts=tts, phrases=phrases, voice=voice
            )
        else:
            provider, options, own = _service(s2s, replace(options, voice=voice))
            tools = (*own, *tools)
            if agent is not None:
                provider = Reasoned(provider, agent_of(agent))
        able = provider.capabilities
        owner = owner_of(options, able)
        needs_ears = owner is TurnOwner.FRAMEWORK or not able.has_speech_events
        super().__init__(
            provider,
            line=line,
            options=options,
            detector=detector_of(vad) if needs_ears else None,
            reducer=_reducer(noise, line),
            voice=voice_settings,
            settings=settings,
            tools=tools,
            observers=observers,
            greeting=greeting,
            memory=memory,
            memory_key=memory_key,
            session_id=session_id,
        )


def _service(
    s2s: str | SpeechToSpeech, options: S2sOptions
) -> tuple[SpeechToSpeech, S2sOptions, tuple[Tool, ...]]:
    """The provider, what it is asked for, and the tools that came with it."""
    if isinstance(s2s, SpeechToSpeechService):
        return s2s.provider, s2s.options_with(options), s2s.tools
    provider: SpeechToSpeech = registry.create("s2s", s2s) if isinstance(s2s, str) else s2s
    return provider, options, ()


def _reducer(noise: str | NoiseReducer | None, line: Line | None) -> NoiseReducer | None:
    """A noise reducer for that line: the named or given one, or none."""
    if not isinstance(noise, str):
        return noise
    rate = (LineOptions() if line is None else line.options).input_rate
    made: NoiseReducer = registry.create("noise", noise, rate=rate)
    return made


def cascade(
    *,
    stt: str | SpeechToText | None = None,
    agent: Agent | AgentFunction | None = None,
    tts: str | TextToSpeech | None = None,
    phrases: Sequence[str] = (),
    voice: str | None = None,
) -> Cascade:
    """Three parts as one speech-to-speech provider; a part that is not given is the embedded one.

    `phrases` are likely words and sentences; an agent may have its own, in an attribute of that
    name.
    """
    answering = agent_of(agent) if agent is not None else BuiltinAgent()
    own: Sequence[str] = getattr(agent or answering, "phrases", ())
    recogniser: Any = stt or DEFAULT_STT
    speaker: Any = tts or DEFAULT_TTS
    return Cascade(
        registry.create("stt", recogniser) if isinstance(recogniser, str) else recogniser,
        answering,
        registry.create("tts", speaker) if isinstance(speaker, str) else speaker,
        stt_options=SttOptions(phrases=(*own, *phrases)),
        tts_options=TtsOptions(voice=voice),
    )


def detector_of(vad: str | VoiceActivityDetector | None) -> VoiceActivityDetector:
    """A voice detector: the named or given one, or the best that is installed."""
    if vad is not None and not isinstance(vad, str):
        return vad
    made: VoiceActivityDetector
    try:
        made = registry.create("vad", vad or DEFAULT_VAD)
    except MissingExtra:
        if vad is not None:
            raise
        made = registry.create("vad", FALLBACK_VAD)
    return made
