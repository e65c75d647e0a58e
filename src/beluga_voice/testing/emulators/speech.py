"""What all emulated speech services share: ears, a brain, a voice, and faults.

How it works. `HearingVad` tells from the sound a service received when a voice begins and ends, in
samples of that sound: no clock is involved, so sound that comes faster than real time is heard
just the same. The *brain* is a plain function that is given what was said and decides what to do;
`answer` gives its deeds one by one. Voices are test speech, which carries its own words both ways.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples
from beluga_voice.audio.level import rms
from beluga_voice.events import HistoryItem, ToolResult, ToolSpec
from beluga_voice.testing.emulators.acoustics import UNINTELLIGIBLE as UNINTELLIGIBLE
from beluga_voice.testing.emulators.acoustics import present
from beluga_voice.testing.speech import WORD_MS, SpokenWord

# ── ears ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class VoiceBegan:
    """A voice begins at that sample of all the sound received."""

    at: int


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    """The last voiced sample is just before `at`; the silence after it sufficed at `noticed`."""

    at: int
    noticed: int


class HearingVad:
    """Hears a voice wherever the sound is louder than `threshold`, a fraction of full scale.

    Looks at windows of 20 ms. A voice ends after `silence_ms` without one.
    """

    def __init__(self, *, rate: int, silence_ms: float = 500, threshold: float = 0.01) -> None:
        self.rate = rate
        self.threshold = threshold
        self._silence = to_samples(silence_ms, rate)
        self._window = to_samples(FRAME_MILLISECONDS, rate)
        self._rest = b""
        self._still = bytes(2 * self._window)
        self._last_voice = 0
        self.position = 0
        """Samples looked at so far."""
        self.is_voice = False

    def hear(self, pcm: bytes) -> list[VoiceBegan | VoiceEnded]:
        """What changes with the next sound, of any length."""
        changes: list[VoiceBegan | VoiceEnded] = []
        sound = self._rest + pcm
        size = self._window * 2
        whole = len(sound) - len(sound) % size
        for start in range(0, whole, size):
            change = self._look(sound[start : start + size])
            if change is not None:
                changes.append(change)
        self._rest = sound[whole:]
        return changes

    def _look(self, window: bytes) -> VoiceBegan | VoiceEnded | None:
        begin = self.position
        self.position += self._window
        if window != self._still and rms(window) > self.threshold:
            self._last_voice = self.position
            if not self.is_voice:
                self.is_voice = True
                return VoiceBegan(begin)
        elif self.is_voice and self.position - self._last_voice >= self._silence:
            self.is_voice = False
            return VoiceEnded(self._last_voice, self.position)
        return None

    def reset(self) -> None:
        """Forget the voice that is being heard; positions go on."""
        self.is_voice = False


def transcript_of(pcm: bytes, rate: int) -> str:
    """The words in that sound; `UNINTELLIGIBLE` if there are none in it, "" if it is silence."""
    return present().transcribe(pcm, rate)


# ── a brain ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a brain is given: why an answer is wanted, and all that was said before."""

    text: str = ""
    """What the person said or wrote since the last answer."""
    instructions: str = ""
    history: tuple[HistoryItem, ...] = ()
    """The whole conversation as the service knows it, oldest first, with what is in `text`."""
    tools: tuple[ToolSpec, ...] = ()
    results: tuple[ToolResult, ...] = ()
    """The tool results that came since the last answer."""


@dataclass(frozen=True, slots=True)
class Speaks:
    """Say these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Call a tool; `arguments` is a JSON object as text."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Fails:
    """Fail, as the service fails when its model does."""

    message: str = "The server had an error while processing your request."
    code: str | None = "server_error"


type Deed = Speaks | Calls | Fails
type Brain = Callable[[Asked], Deed | Sequence[Deed]]


_HAND_OVER = "Hand every request over"
_TO_READ = re.compile(r"<text>(.*?)</text>", re.DOTALL)


def echo(asked: Asked) -> Deed:
    """The brain that says what it heard, or what a tool gave.

    Instructions with a `<text>…</text>` in them are obeyed: it says what is in there.
    """
    if (found := _TO_READ.search(asked.instructions)) is not None:
        return Speaks(found[1].strip())
    if asked.results:
        return Speaks(asked.results[-1].output)
    return Speaks(asked.text or "hello")


def obey(asked: Asked) -> Deed:
    """The brain that does as its instructions say, and echoes where they say nothing.

    For everything the person says it calls a tool that takes an `utterance`, if they name one, or
    delegates, if they want every request handed over. It reads out what comes back.
    """
    told = asked.instructions
    if asked.results or _TO_READ.search(told):
        return echo(asked)
    for tool in asked.tools:
        if tool.name in told and '"utterance"' in tool.parameters:
            return Calls(tool.name, json.dumps({"utterance": asked.text}))
    return Calls("delegate") if _HAND_OVER in told else echo(asked)


def answer(brain: Brain, asked: Asked) -> list[Deed]:
    """What the brain does, in order."""
    deeds = brain(asked)
    if isinstance(deeds, Speaks | Calls | Fails):
        return [deeds]
    return list(deeds)


@dataclass(slots=True)
class ScriptedBrain:
    """A brain that does one thing after another, and keeps what it was asked; then it echoes."""

    deeds: list[Deed | Sequence[Deed]]
    asked: list[Asked] = field(default_factory=list[Asked])

    def __call__(self, asked: Asked) -> Deed | Sequence[Deed]:
        self.asked.append(asked)
        return self.deeds.pop(0) if self.deeds else echo(asked)


# ── a voice ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a service takes, in milliseconds; without any of it, it answers at once."""

    thinking_ms: float = 0
    """From the request to the first sound or tool call of a response."""
    word_ms: float = 0
    """From one word to the next. Less than a word sounds: faster than real time."""
    transcript_ms: float = 0
    """From the end of an utterance to its transcript."""


def voice(text: str, *, rate: int, sounding_ms: int = WORD_MS) -> list[SpokenWord]:
    """`text` as sound at `rate`; a word of test speech sounds for so long."""
    return present().speak(text, rate, sounding_ms)


# ── faults ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong with one connection; nothing unless told.

    The `after_audio_ms` count the sound of responses that was sent on this connection.
    """

    refuse_status: int | None = None
    """The handshake is answered with this HTTP status."""
    refuse_body: str = ""
    """What the refusal says."""
    retry_after: str | None = None
    """The `Retry-After` header of a refusal."""
    answers_after_ms: float = 0
    """The handshake is answered so long after it came; never, if this is infinite."""
    is_mute: bool = False
    """Connects, and never says anything."""
    drop_after_audio_ms: float | None = None
    """The connection breaks, without a word, in mid-response."""
    stall_after_audio_ms: float | None = None
    """Nothing more comes on this connection, whatever is said, though it stays."""
    malformed_after_audio_ms: float | None = None
    """One message that is not of the protocol comes in mid-response."""
    expire_after_ms: float | None = None
    """The session ends, in the service's own way, so long after it began."""
    warns_ms: float | None = None
    """Where the protocol has a warning of that: so long before it, instead of the usual time."""
    error_code: str | None = None
    """An error of that code comes with the first response: of whatever tells the errors of a
    service apart, be it the name of an exception or the reason of a close."""
    error_type: str | None = None
    """Where errors have a type beside the code: the type of that error; alone, without a code."""
    error_message: str | None = None
    """The words of that error."""
    close_code: int | None = None
    """Close with this code instead of breaking, or of the usual one. HTTP/2 resets with it."""
    close_reason: str = ""
    """The reason of that close, or of an end, instead of the usual one."""


NO_FAULTS = Faults()


def faults_of(faults: Sequence[Faults], connection: int) -> Faults:
    """Those of the connection with that number, counted from 0; the last ones have none."""
    return faults[connection] if connection < len(faults) else NO_FAULTS
