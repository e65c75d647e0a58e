"""What a file with a scenario holds.

A scenario says who does what and when, how the services behave, and what comes of it, line by
line. Times are milliseconds since the session began. A sound that begins at 1000 is in the air from
1000 on; the microphone gives it in frames of 20 ms, each when it is full, so the first arrives at
1020.

Speech is test speech: words that take 200 ms each unless told otherwise. It is written as words,
or as a list of words and pauses: `[my number is, 700, four five]`. All of that is one utterance,
and a turn that ends within it was cut off.
"""

from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct

from beluga_voice.audio.formats import FRAME_MILLISECONDS
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.events import Occasion
from beluga_voice.testing.speech import WORD_MS

Stage = Literal["cascade", "service"]
"""What a scenario is played on.

The cascade leaves turns to the session. The service finds them by itself, as a hosted
speech-to-speech service does, and is otherwise the same.
"""

STAGES: tuple[Stage, ...] = get_args(Stage)

TEN_WORDS = "one two three four five six seven eight nine ten"
"""What an agent says that is told nothing: two seconds of speech."""

SOUNDS = ("says", "other_says", "backchannel", "aside", "noise")
"""Steps that are heard. Only the first two are meant for the agent."""

MEANT = frozenset({"says", "other_says"})


class Repeated(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words said again and again."""

    words: str
    times: int


type Speech = str | list[str | int | Repeated]
"""Words, or words and pauses in milliseconds."""


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens at one moment: one thing, and for a sound what it is meant to be."""

    at: int
    says: Speech | None = None
    """The caller says something to the agent."""
    other_says: Speech | None = None
    """Somebody else on the same line says something to the agent.

    Where two speak at once, the recogniser understands the one who spoke first.
    """
    backchannel: Speech | None = None
    """The caller shows that they listen: "uh-huh"."""
    aside: Speech | None = None
    """The caller says something to somebody else in the room."""
    noise: int | None = None
    """A sound of the caller's that is no word: so many milliseconds of it."""
    types: str | None = None
    keys: str | None = None
    """Telephone keys, all at once."""
    talk_key: Literal["down", "up"] | None = None
    presses_stop: bool = False
    hangs_up: bool = False
    microphone_dies: bool = False
    """The line brings no sound from here on."""
    app_says: str | None = None
    """The application lets the agent say words."""
    occasion: Occasion = Occasion.NORMAL
    """On what occasion the application says it."""
    app_unsays: bool = False
    """The application takes back what it wanted said last."""
    app_interrupts: bool = False
    app_leaves: str | None = None
    """The application ends the session with these words, which may be none."""
    loses: Literal["stt", "tts"] | None = None
    """The connection to that service is lost."""
    stt_tells: "Hint | None" = None
    """The recogniser tells something without being asked."""
    word_ms: int | None = None
    """How long each word of this step takes."""
    takes_floor: bool | None = None
    """Whether the agent should fall silent for it; by itself, if it is meant for the agent."""
    is_answered: bool | None = None
    """Whether it should get an answer; by itself, if it is meant for the agent."""

    def __post_init__(self) -> None:
        done = [
            name
            for name in DEEDS
            if getattr(self, name) is not None and getattr(self, name) is not False
        ]
        if len(done) != 1:
            found = " and ".join(done) or "nothing"
            raise ValueError(f"a step does one thing, and this does {found}")
        if self.at < 0:
            raise ValueError("a step happens at 0 or later")
        if self.is_sound and self.at % FRAME_MILLISECONDS:
            raise ValueError(f"a sound begins at a multiple of {FRAME_MILLISECONDS} ms")
        if self.occasion is not Occasion.NORMAL and self.app_says is None:
            raise ValueError("only what the application says has an occasion")
        if not self.is_sound and (self.takes_floor, self.is_answered) != (None, None):
            raise ValueError("only a sound has takes_floor and is_answered")

    @property
    def deed(self) -> str:
        """The name of what happens."""
        return next(
            name
            for name in DEEDS
            if getattr(self, name) is not None and getattr(self, name) is not False
        )

    @property
    def is_sound(self) -> bool:
        """Whether it is heard."""
        return self.deed in SOUNDS

    @property
    def should_take_floor(self) -> bool:
        """Whether an agent that speaks should fall silent for it."""
        return self.deed in MEANT if self.takes_floor is None else self.takes_floor

    @property
    def should_be_answered(self) -> bool:
        """Whether it should get an answer."""
        return self.deed in MEANT if self.is_answered is None else self.is_answered

    @property
    def speech(self) -> "list[str | int | Repeated]":
        """The words and pauses of it."""
        given: Any = getattr(self, self.deed)
        return [given] if isinstance(given, str) else given


class Hint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a recogniser tells by itself: one of these."""

    interim: str | None = None
    """What was understood so far."""
    final: str | None = None
    """A final text for which nobody asked."""
    end_likely: float | None = None
    """How likely it is that the turn is over, 0 to 1."""
    is_eager: bool = False
    """The likely end is an early guess."""
    continued: bool = False
    """The early guess was wrong."""
    speech_started: bool = False
    speech_stopped: bool = False

    def __post_init__(self) -> None:
        one = (self.interim, self.final, self.end_likely)
        others = (self.continued, self.speech_started, self.speech_stopped)
        if sum(value is not None for value in one) + sum(others) != 1:
            raise ValueError(
                "a hint is one of interim, final, end_likely, continued, speech_started, "
                "speech_stopped"
            )


DEEDS = tuple(
    name
    for name in Step.__struct_fields__
    if name not in ("at", "word_ms", "takes_floor", "is_answered", "occasion")
)
"""Everything that can happen."""


class Final(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one utterance is finalised, where it is otherwise than the rest."""

    after_ms: float | None = None
    text: str | None = None
    """What is understood, whatever was said; empty for nothing."""
    is_missing: bool = False
    """No final text ever comes."""
    times: int = 1


class SpeechToText(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the recogniser behaves."""

    final_ms: float = 50
    """From the end of the turn to the final text."""
    interim: bool = False
    """Whether it tells of each word as it is said."""
    interim_ms: float = 0
    utterances: dict[int, Final] = {}
    """Those that are finalised in another way, by their number, from 1."""


class TurnDetector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A turn detector, and what it makes of the words so far."""

    guesses: dict[str, float]
    """How likely the turn is over after words that end so, 0 to 1; 0.5 after all others."""
    takes_ms: float | None = None
    """It listens, and is asked at a pause and answers so much later. Without it, it reads."""


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an agent does besides speaking: one of these."""

    calls: str | None = None
    """The tool of that name is called, and its result waited for."""
    fails: bool = False
    """It breaks."""

    def __post_init__(self) -> None:
        if (self.calls is None) is not self.fails:
            raise ValueError("an agent calls a tool or fails")


type Saying = str | int | Act
"""A step of an answer: words, a wait in milliseconds, or an act.

In words, `{text}` is what the agent was asked, and `{result}` what the last tool gave. The words of
one step are parted from those before by a space, which comes with the later, as models write.
"""


class Tool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that the agent may call."""

    takes_ms: float = 0
    gives: str = "done"
    fails: bool = False
    timeout_ms: float = 30_000
    runs_to_end: bool = False
    """It is not stopped when its answer is not wanted any more."""


class TextToSpeech(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the voice behaves."""

    first_sound_ms: float = 30
    word_ms: int = WORD_MS
    making_ms: float = 0
    """How long it takes to make each word: 0 is all at once, `word_ms` as fast as it sounds."""
    has_word_times: bool = True


class Service(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a service that finds the turns does it."""

    silence_ms: float = 500
    start_ms: int = 60


class Bounds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may not be exceeded: times in milliseconds, and how often something happens."""

    response_ms: float = 700
    """From the end of an utterance to the first sound of its answer."""
    yield_ms: float = 320
    """From the beginning of an interruption to silence."""
    false_interruptions: int = 0
    false_pauses: int = 0
    missed_interruptions: int = 0
    false_cut_offs: int = 0
    unanswered: int = 0
    false_answers: int = 0


class Scenario(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One behaviour."""

    title: str
    shows: str
    group: str
    """What it is about; scenarios of one group are told together."""
    peers: str = ""
    """What is known of how others behave there."""
    stages: tuple[Stage, ...] = STAGES
    settings: dict[str, Any] = {}
    """Those of the session: fields of `EngineSettings`."""
    voice: dict[str, Any] = {}
    """Fields of `VoiceSettings`."""
    greeting: str = ""
    lead_ms: int = 20
    """How far ahead of real time the caller's line takes sound."""
    service: Service = Service()
    stt: SpeechToText = SpeechToText()
    turn_detector: TurnDetector | Literal["words"] | None = None
    """`words` is the one that comes with the package."""
    agent: tuple[tuple[Saying, ...], ...] = ((TEN_WORDS,),)
    """An answer for each time it is asked; the last one from then on."""
    tools: dict[str, Tool] = {}
    tts: TextToSpeech = TextToSpeech()
    script: list[Step]
    until: int
    """When the application leaves the session, if nobody did before."""
    is_typical: bool = True
    """Whether it counts in the library's latencies. Not where services are slow on purpose, or
    settings are what few would have."""
    bounds: Bounds = Bounds()
    expected: dict[Stage, str] = {}

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a scenario is played on cascade, service or both")
        times = [step.at for step in self.script]
        if times != sorted(times):
            raise ValueError("the steps of the script should be in the order of their times")
        if times and times[-1] > self.until:
            raise ValueError("until should not be before the last step")
        if not self.agent or not all(self.agent):
            raise ValueError("agent should be a list of answers, each a list")
        engine_settings(self.settings)
        voice_settings(self.voice)


def engine_settings(given: dict[str, Any]) -> EngineSettings:
    """The settings of a session; raises `ValueError` for what they do not hold."""
    return _settings(given, EngineSettings, "settings")


def voice_settings(given: dict[str, Any]) -> VoiceSettings:
    """The settings of the ears; raises `ValueError` for what they do not hold."""
    return _settings(given, VoiceSettings, "voice")


def _settings[T](given: dict[str, Any], kind: type[T], place: str) -> T:
    _refuse_unknown(given, kind, place)
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("`$", f"`$.{place}")) from error


def _refuse_unknown(given: dict[str, Any], kind: type[Any], place: str) -> None:
    """Settings are dataclasses, of which unknown fields would be passed over."""
    hints = get_type_hints(kind)
    names = {one.name for one in fields(kind)}
    for name, value in given.items():
        if name not in names:
            known = ", ".join(sorted(names))
            raise ValueError(f"no such setting; there are {known} - at `$.{place}.{name}`")
        for inner in (hints[name], *get_args(hints[name])):
            if is_dataclass(inner) and isinstance(inner, type) and isinstance(value, dict):
                _refuse_unknown(value, inner, f"{place}.{name}")  # pyright: ignore[reportUnknownArgumentType]  # YAML holds anything
