"""Who talks in a call of the matrix: a person with questions, and an agent with their answers.

Every word is said by one side only and in one place only. So whatever was heard twice, or never
came to anybody's ears, is told by the words themselves. The agent is a good one: it goes on where
the history says that it was not heard any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.audio.tone import tone
from beluga_voice.events import CallCommand, ClearPlayback, HistoryItem, Message, PlayAudio, Role
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Speaks
from beluga_voice.testing.faults import Phase
from beluga_voice.testing.speech import is_loud

QUESTIONS = ("alpha bravo charlie delta", "echo foxtrot golf hotel", "india juliet kilo lima")
ANSWERS = ("we do as he is so up am be no", "go on to us in my", "by an at if or me")
"""Words as short as they sound: a service that gives no times for them is reckoned with so."""
TOOL = "look_up"

PATIENCE_MS = 13_000
"""Who has heard nothing of an answer for so long goes on to the next question."""
TAKEN_AS_OVER_MS = 3500
"""Who has heard a part of an answer and then nothing for so long takes it as over."""
QUIET_MS = 300
"""How long the person listens on when an answer is whole."""
BARGE_IN_MS = 500
"""An interruption begins so long after the first sound of an answer."""

_STEP = 0.1


@dataclass(slots=True)
class Sound:
    """A stretch of sound on the person's line, in milliseconds."""

    begin: float
    end: float
    is_tone: bool = False


@dataclass(slots=True, kw_only=True)
class Turn:
    """A question, and until when the person waited for its answer; in milliseconds."""

    number: int
    begin: float
    end: float
    until: float = 0.0
    was_interrupted: bool = False
    """The person did not let the answer come to its end."""


class Person(ScriptedCaller):
    """Asks one question after another, each when the answer to the last one is over."""

    def __init__(self, *, input_rate: int, output_rate: int) -> None:
        super().__init__(input_rate=input_rate, output_rate=output_rate)
        self._tone = tone(output_rate)
        self._pieces: list[Sound] = []
        self._sounds_until = 0.0
        self.turns: list[Turn] = []

    def send(self, command: CallCommand, /) -> None:
        """Note what sounds when."""
        now = self.now_ms
        match command:
            case PlayAudio():
                begin = max(self._sounds_until, now)
                length = to_milliseconds(len(command.pcm) // 2, self.options.output_rate)
                self._sounds_until = begin + length
                if is_loud(command.pcm):
                    self._note(Sound(begin, begin + length, command.pcm == self._tone))
            case ClearPlayback():
                self._sounds_until = min(self._sounds_until, now)
                self._pieces = [one for one in self._pieces if one.begin < now]
                if self._pieces:
                    self._pieces[-1].end = min(self._pieces[-1].end, now)
            case _:
                pass
        super().send(command)

    def _note(self, sound: Sound) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.end >= sound.begin and last.is_tone == sound.is_tone:
            last.end = sound.end
        else:
            self._pieces.append(sound)

    @property
    def heard_sounds(self) -> list[Sound]:
        """What sounded so far, tones apart from speech."""
        return [one for one in self._pieces if one.begin < self.now_ms]

    async def converse(
        self, is_over: "Over", *, questions: int = len(QUESTIONS), interrupts: bool = False
    ) -> None:
        """Ask so many questions, until the session is over."""
        for number in range(questions):
            if is_over():
                return
            await self.ask(number, is_over, interrupts=interrupts and number == 0)
        await asyncio.sleep(_STEP)

    async def ask(self, number: int, is_over: "Over", *, interrupts: bool = False) -> None:
        """Ask a question, and wait for its answer."""
        turn = Turn(number=number, begin=self.now_ms, end=self.now_ms)
        self.turns.append(turn)
        await self.say(QUESTIONS[number])
        turn.end = self.now_ms
        while True:
            if is_over() or self._goes_on(turn, interrupts=interrupts):
                break
            await asyncio.sleep(_STEP)
        turn.was_interrupted = interrupts
        turn.until = self.now_ms

    async def wait(self, until_ms: float, *, is_muted: bool) -> None:
        """Say nothing until then, or switch the microphone off."""
        self._is_unplugged = is_muted
        await asyncio.sleep(max(until_ms - self.now_ms, 0) / 1000)
        self._is_unplugged = False

    def _goes_on(self, turn: Turn, *, interrupts: bool) -> bool:
        """Whether the person waits no longer."""
        now = self.now_ms
        voices = [one for one in self._pieces if not one.is_tone and one.end > turn.end]
        if not voices:
            return now - turn.end >= PATIENCE_MS
        if interrupts:
            return now - voices[0].begin >= BARGE_IN_MS
        quiet = now - voices[-1].end
        if quiet >= TAKEN_AS_OVER_MS or now - turn.end >= 2 * PATIENCE_MS:
            return True
        return quiet >= QUIET_MS and set(ANSWERS[turn.number].split()) <= set(self.heard.split())


class Over:
    """Whether a call is over."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        return self.is_set


# ── who answers ─────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Mind:
    """What an agent, or the brain of a service, thinks: one for all services of a call."""

    asked: list[str] = field(default_factory=list[str])
    """The person's words that somebody was asked, or told of."""
    pardons: int = 0
    calls_tool: bool = False
    """The first question is answered after a look at something."""

    def answer(self, text: str, history: Iterable[HistoryItem]) -> str:
        """What is to be said to `text`, without what was heard already."""
        said = list(history)
        self.asked += [text, *(" ".join(_person_words(one)) for one in said)]
        wanted = _questions(text.split()) or _questions(_last_words(said))[-1:]
        known = {word for one in said for word in _agent_words(one)}
        due = [word for number in wanted for word in ANSWERS[number].split()]
        rest = [word for word in due if word not in known]
        if rest:
            return " ".join(rest)
        self.pardons += 1
        return f"sorry{self.pardons} what{self.pardons}"

    def think(self, asked: Asked) -> Deed:
        """As the brain of a service."""
        has_tool = any(one.name == TOOL for one in asked.tools)
        is_first = 0 in _questions(asked.text.split())
        if self.calls_tool and has_tool and is_first and not asked.results:
            self.asked.append(asked.text)
            return Calls(TOOL)
        return Speaks(self.answer(asked.text, asked.history))

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """As the agent of a cascade."""
        text = turn.text
        if self.calls_tool and 0 in _questions(text.split()):
            await turn.call_tool(TOOL, "{}")
        yield self.answer(text, turn.history)


class TroubledAgent:
    """The agent of a cascade, which fails the first time that it is asked.

    `hang` says nothing more, `reset` raises, and `empty_answer` ends without a word; at `awaited`
    before the first word, and at `answering` after three.
    """

    def __init__(self, mind: Mind, fault: str, phase: str, struck: Callable[[], None]) -> None:
        self._mind = mind
        self._fault = fault
        self._words = 3 if phase == Phase.ANSWERING else 0
        self._struck = struck
        self._is_well = False

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Fail, or be as good as the mind."""
        if self._is_well:
            async for words in self._mind.respond(turn):
                yield words
            return
        self._is_well = True
        if self._words:
            answer = self._mind.answer(turn.text, turn.history).split()
            yield " ".join(answer[: self._words]) + " "
        else:
            self._mind.asked.append(turn.text)
        self._struck()
        if self._fault == "hang":
            await asyncio.get_running_loop().create_future()
        elif self._fault == "reset":
            raise ConnectionResetError("the connection of the agent was reset")


def _questions(words: list[str]) -> list[int]:
    """Which questions these words are of, in order."""
    return [
        number for number, question in enumerate(QUESTIONS) if set(question.split()) & set(words)
    ]


def _last_words(history: list[HistoryItem]) -> list[str]:
    """What the person said last."""
    return next((words for one in reversed(history) if (words := _person_words(one))), list[str]())


def _person_words(item: HistoryItem) -> list[str]:
    return item.text.split() if isinstance(item, Message) and item.role is Role.USER else []


def _agent_words(item: HistoryItem) -> list[str]:
    return item.text.split() if isinstance(item, Message) and item.role is Role.AGENT else []
