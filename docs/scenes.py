"""The scenes of the documentation, played in simulated time and written down as text.

Each scene is a short conversation over the cascade, with services that take exact times: 50 ms for
a final transcript, 30 ms to the first sound. A line of the result is the time in milliseconds since
the session began and

    an event       what an application is told (`SessionEvent`)
    > a command    what the service is told (`S2sCommand`)
    # a note       what the caller does, and what is on the caller's line
"""

import asyncio
import dataclasses
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from beluga_voice.agents.functions import AgentFunction, agent_of
from beluga_voice.audio.tone import tone
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseText,
    CallCommand,
    ClearPlayback,
    HangUp,
    PlayAudio,
    S2sCommand,
    S2sEvent,
    SendAudio,
    SessionEvent,
)
from beluga_voice.interfaces import S2sLink, S2sOptions, SpeechToSpeech
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

_HIDDEN = {
    "response_id",
    "utterance_id",
    "call_id",
    "session_id",
    "previous",
    "words",
    "code",
    "ledger",
}


class Notes:
    """What happened, as lines; an observer too."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._audio = 0

    def add(self, text: str) -> None:
        """A line with the present time."""
        self._fold()
        at = asyncio.get_running_loop().time() * 1000
        self.lines.append(f"{at:>8.0f}  {text}")

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """A line for an event; sound is counted, and pieces of text are left out."""
        if isinstance(event, AgentResponseAudio):
            self._audio += 1
        elif not isinstance(event, AgentResponseText):
            self.add(_shown(event))

    def _fold(self) -> None:
        if self._audio:
            word = "piece" if self._audio == 1 else "pieces"
            self.lines.append(f"          agent_response_audio  ({self._audio} {word} of 20 ms)")
            self._audio = 0


def _shown(item: Struct) -> str:
    kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(item).__name__).lower()
    hidden = _HIDDEN
    if isinstance(item, AgentResponseEnded) and item.heard_text == item.text:
        hidden = _HIDDEN | {"text"}
    fields = [
        f"{name}={_value(getattr(item, name))}"
        for name in item.__struct_fields__
        if name not in hidden and not _is_plain(getattr(item, name))
    ]
    return " ".join([kind, *fields])


def _is_plain(value: object) -> bool:
    return value is None or value is False or value == ""


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value}" if not isinstance(value, str) or type(value) is not str else repr(value)


class NotedCaller(ScriptedCaller):
    """A caller whose line is written down."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes
        self._quiet_from = 0.0

    def send(self, command: CallCommand, /) -> None:
        """Note where sound begins, and where it is cut."""
        match command:
            case PlayAudio():
                if self.now_ms > self._quiet_from:
                    is_tone = command.pcm == tone(self.options.output_rate)
                    self._notes.add("# a tone" if is_tone else "# the line begins to sound")
                start = max(self.now_ms, self._quiet_from)
                self._quiet_from = start + len(command.pcm) / 2 / self.options.output_rate * 1000
            case ClearPlayback():
                if self.now_ms < self._quiet_from:
                    self._notes.add("# the line is silent")
                self._quiet_from = self.now_ms
            case HangUp():
                pass
        super().send(command)


class NotedProvider:
    """A provider in, a provider out: what it is told is written down."""

    def __init__(self, provider: SpeechToSpeech, notes: Notes) -> None:
        self.name = provider.name
        self.capabilities = provider.capabilities
        self._provider = provider
        self._notes = notes

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator["_NotedLink"]:
        """A link of the provider."""
        async with self._provider.connect(options) as link:
            yield _NotedLink(link, self._notes)


class _NotedLink:
    def __init__(self, link: S2sLink, notes: Notes) -> None:
        self._link = link
        self._notes = notes

    def send(self, command: S2sCommand, /) -> None:
        if not isinstance(command, SendAudio):
            self._notes.add(f"> {_shown(command)}")
        self._link.send(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        self._link.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._link)


@dataclasses.dataclass
class Stage:
    """Who is on it."""

    session: Session
    caller: ScriptedCaller
    stt: ScriptedStt
    tts: ScriptedTts
    notes: Notes

    async def say(self, text: str) -> None:
        """The caller says something."""
        self.notes.add(f"# the caller says: {text}")
        await self.caller.say(text)


async def ten_words(text: str) -> str:
    """Two seconds of speech."""
    return "one two three four five six seven eight nine ten"


async def hangs(text: str) -> str:
    """An agent that never answers."""
    await asyncio.sleep(3600)
    return "too late"


type Scene = Callable[[Stage], Awaitable[None]]


def play(
    scene: Scene, *, agent: AgentFunction = ten_words, stt_ms: float = 50, tts_ms: float = 30
) -> list[str]:
    """The lines of a scene."""
    notes = Notes()

    async def main() -> None:
        stt, tts = ScriptedStt(delay_ms=stt_ms), ScriptedTts(delay_ms=tts_ms)
        caller = NotedCaller(notes)
        session = Session(
            NotedProvider(Cascade(stt, agent_of(agent), tts), notes),
            line=caller,
            detector=ScriptedVad(),
            observers=[notes],
            session_id="scene",
        )
        async with session, caller.on(session):
            await scene(Stage(session, caller, stt, tts, notes))

    simulate(main)
    return notes.lines


def _inner(lines: list[str]) -> list[str]:
    """A scene without its opening, and without its closing by the stage."""
    first = next(at for at, line in enumerate(lines) if "# the caller" in line)
    last = lines[-1][:8]
    return [line for line in lines[first:] if line[:8] != last]


async def _turn(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(4)


async def _before_sound(on: Stage) -> None:
    await on.say("I would like")
    await asyncio.sleep(0.75)
    await on.say("two tickets")
    await asyncio.sleep(1)


async def _mid(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(1.2)
    await on.say("stop it")
    await asyncio.sleep(0.8)


async def _last(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(2.4)
    await on.say("thank you very much")
    await asyncio.sleep(0.8)


async def _cough(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(1)
    on.notes.add("# the caller coughs for 160 ms")
    await on.caller.noise(160)
    await asyncio.sleep(2)


async def _noise(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(1)
    on.notes.add("# a noise of half a second at the caller's")
    await on.caller.noise(500)
    await asyncio.sleep(2.5)


async def _lost_in_utterance(on: Stage) -> None:
    on.notes.add("# the caller says: one two three four five six")
    on.caller.begin("one two three four five six")
    await asyncio.sleep(0.7)
    on.notes.add("# speech-to-text is lost")
    on.stt.links[0].lose()
    await asyncio.sleep(1.5)


async def _lost_before_sound(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(0.8)
    on.notes.add("# text-to-speech is lost")
    on.tts.links[0].lose()
    await asyncio.sleep(1)


async def _hang(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(14)


async def _stt_hang(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(8)


async def _end(on: Stage) -> None:
    await on.say("hello there")
    await asyncio.sleep(1.2)
    on.notes.add("# the caller hangs up")
    on.caller.hang_up()


def scenes() -> dict[str, list[str]]:
    """Every scene, by its name in the pages."""
    inner = {
        "barge-in before the first sound": play(_before_sound, tts_ms=300),
        "barge-in": play(_mid),
        "barge-in in the last moments": play(_last),
        "cough": play(_cough),
        "noise": play(_noise),
        "service lost in mid-utterance": play(_lost_in_utterance),
        "service lost before the first sound": play(_lost_before_sound, tts_ms=400),
        "agent that hangs": play(_hang, agent=hangs),
        "recogniser that hangs": play(_stt_hang, stt_ms=3_600_000),
    }
    return {
        "turn": play(_turn),
        **{name: _inner(lines) for name, lines in inner.items()},
        "end": play(_end)[-10:],
    }


if __name__ == "__main__":
    for name, lines in scenes().items():
        print(f"== {name}", *lines, "", sep="\n")
