"""Puts a session together: what you name, made and connected."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, cast

from beluga_voice import registry
from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.agents.fallback import FallbackAgent
from beluga_voice.agents.functions import GivenAgent, agent_of
from beluga_voice.checkpoints.checkpoint import Checkpoint, continuation
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.errors import ConfigurationError, MissingExtra
from beluga_voice.events import CallerText, HistoryItem, Reconnected, ServiceSwitched
from beluga_voice.interfaces import (
    AudioProcessor,
    Capabilities,
    Faithfulness,
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
    VoiceActivityDetector,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.reasoned import Reasoned
from beluga_voice.resilience.adapted import Adapted
from beluga_voice.resilience.afresh import afresh
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.notices import Switched
from beluga_voice.resilience.self_turning import agreeing
from beluga_voice.resilience.unbroken import unbroken
from beluga_voice.services.speech_to_speech import SpeechToSpeechService
from beluga_voice.services.text_to_speech import TextToSpeechService
from beluga_voice.session.guessing import AnyTurnDetector
from beluga_voice.session.session import Session, Summariser, TransferTo

DEFAULT_STT = "pocketsphinx"
DEFAULT_TTS = "espeak"
DEFAULT_VAD = "silero"
DEFAULT_TURNS = "words"
FALLBACK_VAD = "energy"
CASCADE = "cascade"
"""The name of the three parts among several speech-to-speech services."""
type GivenVad = str | VoiceActivityDetector | Callable[[], VoiceActivityDetector]
"""A voice detector, its name, or what makes one."""
ONE_MOMENT = {
    "de": "Einen Moment, bitte.",
    "en": "One moment, please.",
    "es": "Un momento, por favor.",
    "fr": "Un instant, s'il vous plaît.",
    "it": "Un momento, per favore.",
    "nl": "Een ogenblik, alstublieft.",
    "pl": "Chwileczkę, proszę.",
    "pt": "Um momento, por favor.",
    "sv": "Ett ögonblick, tack.",
    "tr": "Bir dakika, lütfen.",
}
"""What a person hears who waits in silence, by language."""


class VoiceSession(Session):
    """A spoken conversation, over a speech-to-speech service or over three parts, never both.

    Without anything, it is the embedded defaults and the built-in agent. A part is a name
    (`stt="pocketsphinx"`) or a provider; `s2s` takes what `beluga_voice.s2s` gives, too. Of several
    that are given for one part, the first that works is used. The name "cascade" among several for
    `s2s` is the three parts, which stand in for a service then; `voice` is the first's. An agent
    is an async function or generator that is given the person's words, or an agent of Pydantic AI
    as it is. With `s2s`, it decides the words of a service that hears and speaks; without one, the
    service thinks by itself. `memory` keeps what was said under `memory_key`, say the caller's
    number, and what it has kept there takes the place of `history`. With a `checkpoint`, the
    session goes on where another one was left: its id and history take the place of those given,
    and in place of a greeting the agent says what was not heard, or answers what nobody answered.

        async with VoiceSession(agent=my_agent, line=my_line) as session:
            async for happening in session.events():
                print(happening.event)

    Raises `ConfigurationError` for what cannot be put together, before anything is connected.
    """

    __slots__ = ("_unanswered",)

    def __init__(
        self,
        *,
        s2s: str | SpeechToSpeech | Sequence[str | SpeechToSpeech] | None = None,
        stt: str | SpeechToText | Sequence[str | SpeechToText] | None = None,
        agent: GivenAgent | Sequence[GivenAgent] | None = None,
        tts: str | TextToSpeech | Sequence[str | TextToSpeech] | None = None,
        vad: GivenVad | None = None,
        line: Line | None = None,
        instructions: str = "",
        greeting: str = "",
        voice: str | None = None,
        language: str | None = None,
        phrases: Sequence[str] = (),
        tools: Sequence[Tool | ToolFunction] = (),
        history: Sequence[HistoryItem] = (),
        noise: str | NoiseReducer | None = None,
        processors: Sequence[AudioProcessor] = (),
        turns: Sequence[str | AnyTurnDetector] | None = None,
        observers: Sequence[Observer] = (),
        voice_settings: VoiceSettings | None = None,
        settings: EngineSettings | None = None,
        memory: MemoryStore | None = None,
        memory_key: str | None = None,
        session_id: str | None = None,
        checkpoint: Checkpoint | None = None,
        ready_words: str | None = "",
        summarise: Summariser | None = None,
        transfer: TransferTo | None = None,
    ) -> None:
        services = [] if s2s is None else _given(s2s)
        stands_in = CASCADE in services and len(services) > 1
        if services and not stands_in and (stt is not None or tts is not None):
            raise ConfigurationError(
                'give either s2s, or stt and tts, not both, unless "cascade" stands in for s2s',
                op="session",
            )
        options = S2sOptions(instructions=instructions, language=language, history=tuple(history))
        told: Callable[[Switched], None] = self._switched
        agent = answering(agent, on_switch=told)
        parts = partial(cascade, stt=stt, agent=agent, tts=tts, phrases=phrases, on_switch=told)
        if s2s is None:
            provider: SpeechToSpeech = parts(voice=voice)
        elif len(services) > 1:
            provider = _standing_in(services, parts, agent=agent, vad=vad, on_switch=told)
            options = replace(options, voice=voice)
        else:
            provider, options, own = _service(services, replace(options, voice=voice))
            tools = (*own, *tools)
            if agent is not None:
                provider = Reasoned(provider, agent_of(agent))
        able = provider.capabilities
        self._unanswered = ""
        if checkpoint is not None:
            can_say = able.say is not Faithfulness.NONE
            left = continuation(checkpoint, can_say=can_say, can_answer=able.has_text_input)
            options = replace(options, history=left.history)
            greeting, session_id = left.say, checkpoint.session_id
            self._unanswered = left.answer
        super().__init__(
            provider,
            line=line,
            options=options,
            detector=detector_of(vad),
            processors=[*_reducers(noise, line), *processors],
            turns=turns_of(turns, able),
            voice=voice_settings,
            settings=settings,
            tools=tools,
            observers=observers,
            greeting=greeting,
            memory=memory,
            memory_key=memory_key,
            ready_words=words_in(ready_words, language),
            summarise=summarise,
            transfer=transfer,
            session_id=session_id,
        )

    def _switched(self, switched: Switched) -> None:
        """One of several services took over, or another connection of the same one."""
        if switched.is_renewal:
            self._publish(Reconnected(attempt=1))
            return
        self._publish(
            ServiceSwitched(
                previous=switched.previous,
                following=switched.following,
                reason=switched.reason,
                is_mid_call=switched.is_mid_call,
            )
        )

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._unanswered:
            self.receive(CallerText(text=self._unanswered))
        return self


def _given(given: str | object | Sequence[str | object]) -> list[Any]:
    """What was named or given, one by one; names may stand in one text, with commas."""
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")]
    return list(cast("Sequence[object]", given)) if isinstance(given, Sequence) else [given]


def _service(
    services: Sequence[str | SpeechToSpeech], options: S2sOptions
) -> tuple[SpeechToSpeech, S2sOptions, tuple[Tool, ...]]:
    """The provider, what it is asked for, and the tools that came with it."""
    one = several_of("s2s", services)
    if isinstance(one, SpeechToSpeechService):
        return unbroken(one.provider), one.options_with(options), one.tools
    provider: SpeechToSpeech = unbroken(one)
    return provider, options, ()


def _standing_in(
    services: Sequence[str | SpeechToSpeech],
    parts: Callable[[], SpeechToSpeech],
    *,
    agent: GivenAgent | None,
    vad: GivenVad | None,
    on_switch: Callable[[Switched], None],
) -> SpeechToSpeech:
    """Services that stand in for one another, all with one owner of turns."""
    made: list[SpeechToSpeech] = []
    for one in services:
        if one == CASCADE:
            provider: SpeechToSpeech = parts()
        else:
            provider = unbroken(registry.create("s2s", one) if isinstance(one, str) else one)
            if agent is not None:
                provider = Reasoned(provider, agent_of(agent))
        if made and isinstance(one, str):
            provider = Adapted(provider, _in_its_own_voice)
        made.append(provider)

    def make_detector() -> VoiceActivityDetector:
        if vad is not None and not isinstance(vad, str) and not callable(vad):
            raise ConfigurationError(
                "one detector serves one line, and the service that stands in needs its own: "
                "give vad as a name, or as a function that makes one",
                op="session",
            )
        return detector_of(vad)

    return Fallback(*agreeing(made, make_detector), on_switch=on_switch)


def _in_its_own_voice(options: S2sOptions) -> S2sOptions:
    return replace(options, voice=None)


def _reducers(noise: str | NoiseReducer | None, line: Line | None) -> list[NoiseReducer]:
    """A noise reducer for that line: the named or given one, or none."""
    if noise is None:
        return []
    if not isinstance(noise, str):
        return [noise]
    rate = (LineOptions() if line is None else line.options).input_rate
    made: NoiseReducer = registry.create("noise", noise, rate=rate)
    return [made]


def turns_of(
    turns: Sequence[str | AnyTurnDetector] | None, able: Capabilities
) -> list[AnyTurnDetector]:
    """The named or given turn detectors; the one that reads, where there are words to read."""
    if turns is None:
        turns = [DEFAULT_TURNS] if able.has_interim_transcripts else []
    made: list[AnyTurnDetector] = []
    for one in turns:
        made.append(registry.create("turns", one) if isinstance(one, str) else one)
    return made


def several_of(
    kind: str,
    given: str | object | Sequence[str | object],
    *,
    on_switch: Callable[[Switched], None] | None = None,
) -> Any:
    """What was named or given: one provider, or several that stand in for one another.

    Names may stand in one text, with commas: "deepgram,pocketsphinx".
    """
    parts = _given(given)
    made: list[Any] = [registry.create(kind, one) if isinstance(one, str) else one for one in parts]
    if not made:
        raise ConfigurationError(f"name at least one {kind} provider", op="session")
    return made[0] if len(made) == 1 else Fallback(*made, on_switch=on_switch)


def answering(
    agent: GivenAgent | Sequence[GivenAgent] | None,
    *,
    on_switch: Callable[[Switched], None] | None = None,
) -> GivenAgent | None:
    """The agent that was given, or several as one that is the first of them that works."""
    if not isinstance(agent, Sequence):
        return agent
    several = cast("Sequence[Any]", agent)  # an agent may be a sequence, as far as types can tell
    if len(several) < 2:
        return next(iter(several), None)
    return FallbackAgent(*several, on_switch=on_switch)


def words_in(text: str | None, language: str | None) -> Callable[[int], Awaitable[bytes]] | None:
    """Has those words spoken by the embedded voice; none given are "One moment, please.".

    `None` for no words, or for a language without any: a tone is heard then, as it is where there
    is no embedded voice.
    """
    if text is None:
        return None
    tag = (language or "en").replace("_", "-").split("-")[0].lower()
    words = text or ONE_MOMENT.get(tag, "")
    if not words:
        return None

    async def speak(rate: int) -> bytes:
        from beluga_voice.audio.resample import Resampler

        provider: TextToSpeech = registry.create("tts", DEFAULT_TTS)
        voice = TextToSpeechService(provider, TtsOptions(language=language))
        sound = await voice.synthesize(words)
        resampler = Resampler(sound.rate, rate)
        return resampler.feed(sound.audio) + resampler.flush()

    return speak


def cascade(
    *,
    stt: str | SpeechToText | Sequence[str | SpeechToText] | None = None,
    agent: GivenAgent | None = None,
    tts: str | TextToSpeech | Sequence[str | TextToSpeech] | None = None,
    phrases: Sequence[str] = (),
    voice: str | None = None,
    on_switch: Callable[[Switched], None] | None = None,
) -> Cascade:
    """Three parts as one speech-to-speech provider; a part that is not given is the embedded one.

    Of several that are given for one part, the first that works is used, at every moment; one that
    is given alone stands in for itself, over another connection.

    `phrases` are likely words and sentences; an agent may have its own, in an attribute of that
    name.
    """
    answering = agent_of(agent) if agent is not None else BuiltinAgent()
    own: Sequence[str] = getattr(agent or answering, "phrases", ())
    ears = unbroken(several_of("stt", stt or DEFAULT_STT, on_switch=on_switch))
    is_local = ears.capabilities.is_local
    return Cascade(
        afresh(ears, on_switch=on_switch),
        answering,
        afresh(several_of("tts", tts or DEFAULT_TTS, on_switch=on_switch), on_switch=on_switch),
        # An agent's many phrases are for recognisers that cost nothing by the phrase, and have no
        # limit to them.
        stt_options=SttOptions(phrases=(*own, *phrases) if is_local else tuple(phrases)),
        tts_options=TtsOptions(voice=voice),
    )


def detector_of(vad: GivenVad | None) -> VoiceActivityDetector:
    """A voice detector: the named, made or given one, or the best that is installed."""
    if vad is not None and not isinstance(vad, str):
        return vad() if callable(vad) else vad
    made: VoiceActivityDetector
    try:
        made = registry.create("vad", vad or DEFAULT_VAD)
    except MissingExtra:
        if vad is not None:
            raise
        made = registry.create("vad", FALLBACK_VAD)
    return made
