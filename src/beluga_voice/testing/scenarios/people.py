"""Those at the end of a scenario's line: what they say, and what sounds for them."""

from dataclasses import dataclass, field

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_milliseconds, to_samples
from beluga_voice.audio.tone import tone
from beluga_voice.events import CallCommand, ClearPlayback, HangUp, Occasion, PlayAudio
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scenarios.model import Repeated, Step
from beluga_voice.testing.scenarios.notes import Notes, quoted
from beluga_voice.testing.speech import WORD_MS, silence, speech

_RUSTLE = b"\x00\x10"
"""A sample of a sound without words."""


@dataclass(slots=True)
class Stretch:
    """A stretch of the agent's speech on the caller's line, in milliseconds."""

    begin: float
    end: float
    is_cut: bool = False
    """Whether it was stopped; more of it may have been made."""


@dataclass(slots=True)
class Utterance:
    """Something that was heard of people, in milliseconds."""

    step: Step
    begin: float
    end: float
    parts: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When there was sound, without the pauses."""


class ScenarioCaller(ScriptedCaller):
    """A caller whose line is written down."""

    def __init__(self, notes: Notes, *, lead_ms: int) -> None:
        super().__init__(lead_ms=lead_ms)
        self._notes = notes
        self._tone = tone(self.options.output_rate)
        self.stretches: list[Stretch] = []
        """The agent's speech, as it sounded; tones are none."""
        self.tones: list[float] = []

    def send(self, command: CallCommand, /) -> None:
        """Note where sound begins, and where it is stopped."""
        now = self.now_ms
        match command:
            case PlayAudio() if command.pcm == self._tone:
                self.tones.append(now)
                self._notes.add("# a tone")
            case PlayAudio():
                self._plays(command, now)
            case ClearPlayback():
                if self.stretches and self.stretches[-1].end > now:
                    self.stretches[-1].end = now
                    self.stretches[-1].is_cut = True
                    self._notes.add("# the agent is silent")
            case HangUp():
                self._notes.add("# the line is hung up")
            case _:
                pass
        super().send(command)

    def _plays(self, command: PlayAudio, now: float) -> None:
        length = to_milliseconds(len(command.pcm) // 2, self.options.output_rate)
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last.end >= now and not last.is_cut:
            last.end += length
        else:
            self._notes.add("# the agent sounds")
            self.stretches.append(Stretch(now, now + length))

    def utter(self, step: Step) -> Utterance:
        """Begin what a step says; its first frame arrives 20 ms after its time."""
        rate = self.options.input_rate
        if step.noise is not None:
            rustle = _RUSTLE * to_samples(FRAME_MILLISECONDS, rate)
            pieces: list[list[bytes]] = [[rustle] * (step.noise // FRAME_MILLISECONDS)]
        else:
            pieces = _pieces(step, rate)
        at = float(step.at)
        uttered = Utterance(step, at, at)
        frames: list[bytes] = []
        for piece in pieces:
            begin = at + len(frames) * FRAME_MILLISECONDS
            frames += piece
            if any(map(any, piece)):
                uttered.end = at + len(frames) * FRAME_MILLISECONDS
                uttered.parts.append((begin, uttered.end))
        self.mix(frames)
        return uttered


def _pieces(step: Step, rate: int) -> list[list[bytes]]:
    """The frames of each run of words, and of each pause."""
    pause = silence(FRAME_MILLISECONDS, rate=rate)
    pieces: list[list[bytes]] = []
    for part in step.speech:
        if isinstance(part, int):
            pieces.append([pause] * (part // FRAME_MILLISECONDS))
            continue
        text = " ".join([part.words] * part.times) if isinstance(part, Repeated) else part
        words = speech(text, rate=rate, word_ms=step.word_ms or WORD_MS)
        pieces.append([frame for word in words for frame in word.frames])
    return pieces


def told(step: Step) -> str:
    """A step as a note."""
    match step.deed:
        case "says" | "other_says" | "backchannel" | "aside":
            return f"# {_WHO[step.deed]}: {_words(step)}"
        case "noise":
            return f"# the caller makes a noise for {step.noise} ms"
        case "types":
            return f"# the caller types: {step.types}"
        case "keys":
            return f"# the caller presses {step.keys}"
        case "talk_key":
            return f"# the talk key is {step.talk_key}"
        case "app_says":
            occasion = f" ({step.occasion})" if step.occasion is not Occasion.NORMAL else ""
            return f"# the application says{occasion}: {step.app_says}"
        case "app_leaves":
            return f"# the application leaves: {step.app_leaves}"
        case "loses":
            return f"# the {step.loses} is lost"
        case "stt_tells":
            hint = step.stt_tells
            assert hint is not None
            values = {name: getattr(hint, name) for name in hint.__struct_fields__}
            said = [f"{name}={value}" for name, value in values.items() if value not in (None, 0)]
            return f"# the stt tells: {' '.join(said)}"
        case deed:
            return _DONE[deed]


_WHO = {
    "says": "the caller says",
    "other_says": "somebody else says",
    "backchannel": "the caller murmurs",
    "aside": "the caller says to somebody else",
}

_DONE = {
    "presses_stop": "# the caller presses stop",
    "hangs_up": "# the caller hangs up",
    "microphone_dies": "# the microphone dies",
    "app_unsays": "# the application takes it back",
    "app_interrupts": "# the application interrupts",
}


def _words(step: Step) -> str:
    shown: list[str] = []
    for part in step.speech:
        if isinstance(part, int):
            shown.append(f"({part} ms)")
        elif isinstance(part, Repeated):
            shown.append(f"{part.words} (× {part.times})")
        else:
            shown.append(part if len(part) <= 100 else quoted(part))
    return " ".join(shown)
