"""A small agent that needs no model: enough to hold a sensible exchange, and to try a line.

How it works. Each kind of question is a rule: words it looks for, and what to answer. The rules are
tried in order, and the last one says what was heard. `phrases` are sentences of this little world,
which help a modest speech recogniser.
"""

import random
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import msgspec

from beluga_voice.agents.numbers import number_words, read_numbers
from beluga_voice.errors import ToolFailed
from beluga_voice.events import Message, Role, ToolSpec
from beluga_voice.interfaces import AgentTurn

_STORY = (
    "Once, a young beluga whale lost her way under the ice. "
    "She sang a low note, and listened for the echo. "
    "The echo told her where the ice was thin, and where it was thick. "
    "So she swam towards the sound of open water, breath by breath. "
    "When she came up, the whole sky was green and dancing. "
    "And that is why, they say, belugas never stop singing."
)

_SUMS: dict[str, tuple[str, ...]] = {
    "plus": ("plus", "add"),
    "minus": ("minus", "less"),
    "times": ("times", "multiplied"),
    "divided by": ("divided", "over"),
}

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _phrases() -> tuple[str, ...]:
    fixed = [
        "hello",
        "hi there",
        "good morning",
        "good evening",
        "what time is it",
        "tell me the time please",
        "what day is it today",
        "what is the date",
        "what can you do",
        "help me please",
        "tell me a story",
        "what did i say",
        "what is my name",
        "my name is john",
        "my name is mary",
        "my name is alice",
        "stop please",
        "thank you",
        "thank you very much",
        "goodbye",
        "bye bye",
        "yes please",
        "no thank you",
        "how are you",
        "who are you",
        "roll the dice",
    ]
    numbers = [*range(21), *range(30, 101, 10)]
    sums = [
        f"what is {number_words(one)} {operation} {number_words(other)}"
        for index, one in enumerate(numbers)
        for step, operation in enumerate(_SUMS)
        for other in (numbers[(index * 7 + 5 * step + 1) % len(numbers)],)
    ]
    return (*fixed, *sums)


class BuiltinAgent:
    """Greets, tells the time and the day, does sums, remembers a name, tells a story, uses tools.

    `now` is the clock it tells the time by, and `choose` varies nothing but its greeting.
    """

    phrases = _phrases()

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = datetime.now,
        choose: Callable[[Sequence[str]], str] = random.choice,
    ) -> None:
        self._now = now
        self._choose = choose

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Answer what was said."""
        text = turn.text.lower()
        if (used := await self._use_tool(turn, text)) is not None:
            yield used
            return
        for rule in (self._sum, self._time, self._name, self._memory, self._talk):
            answer = rule(turn, text)
            if answer is not None:
                for sentence in re.split(r"(?<=[.!?]) ", answer):
                    yield sentence + " "
                return
        yield f"I heard: {turn.text}. "
        yield "I can tell you the time, do a sum, or tell you a story."

    async def _use_tool(self, turn: AgentTurn, text: str) -> str | None:
        """If the words of a tool's name were said, run it."""
        words = set(re.findall(r"[a-z']+", text))
        for tool in turn.tools:
            name = set(re.findall(r"[a-z]+", tool.name.lower()))
            if name and name <= words | {word.removesuffix("s") for word in words}:
                try:
                    output = await turn.call_tool(tool.name, _arguments(tool, turn.text))
                except ToolFailed:
                    return "That did not work, I am sorry."
                return _spoken(output)
        return None

    def _sum(self, turn: AgentTurn, text: str) -> str | None:
        numbers = read_numbers(text)
        if len(numbers) < 2:
            return None
        one, other = numbers[0], numbers[1]
        for name, signs in _SUMS.items():
            if any(re.search(rf"\b{sign}\b", text) for sign in signs) or _SIGNS[name] in text:
                return _result(name, one, other)
        # "and" alone adds, but it is also part of "two hundred and five minus one".
        return _result("plus", one, other) if re.search(r"\band\b", text) else None

    def _time(self, turn: AgentTurn, text: str) -> str | None:
        now = self._now()
        if re.search(r"\btime\b", text) and "story" not in text:
            minutes = f"{now.minute:02d}" if now.minute else "o'clock"
            if 0 < now.minute < 10:
                minutes = f"oh {now.minute}"
            part = "morning" if now.hour < 12 else "afternoon" if now.hour < 18 else "evening"
            return f"It is {(now.hour - 1) % 12 + 1} {minutes} in the {part}."
        if re.search(r"\b(day|date|today)\b", text):
            return f"Today is {_DAYS[now.weekday()]}, {now:%B} {now.day}."
        return None

    def _name(self, turn: AgentTurn, text: str) -> str | None:
        given = re.search(r"\bmy name is ([a-z'-]+)", text)
        if given is not None:
            return f"Nice to meet you, {given[1].title()}."
        if re.search(r"\bmy name\b", text):
            for said in reversed(_said(turn)):
                known = re.search(r"\bmy name is ([a-z'-]+)", said.lower())
                if known is not None:
                    return f"Your name is {known[1].title()}."
            return "You have not told me your name yet."
        return None

    def _memory(self, turn: AgentTurn, text: str) -> str | None:
        if re.search(r"\bwhat did i say\b|\brepeat\b", text):
            said = [one for one in _said(turn) if one.lower() != text]
            return f"You said: {said[-1]}." if said else "You have not said anything before that."
        return None

    def _talk(self, turn: AgentTurn, text: str) -> str | None:
        if re.search(r"\bstory\b", text):
            return _STORY
        if re.search(r"\b(hello|hi|hey|good morning|good evening)\b", text):
            greeting = self._choose(("Hello!", "Hi there!"))
            return f"{greeting} I am Beluga. Ask me for the time, a sum, or a story."
        if re.search(r"\bhow are you\b", text):
            return "I am well, and listening. How can I help?"
        if re.search(r"\bwho are you\b", text):
            return "I am Beluga, a small agent that runs on this machine."
        if re.search(r"\b(help|what can you do)\b", text):
            return "I can tell the time and the day, do sums, remember your name, and tell a story."
        if re.search(r"\bthank", text):
            return "You are welcome."
        if re.search(r"\b(goodbye|bye)\b", text):
            return "Goodbye. It was nice talking to you."
        if re.fullmatch(r"\W*(stop|stop it|stop please|no|no thank you)\W*", text):
            return "All right."
        return None


_SIGNS = {"plus": "+", "minus": " - ", "times": "*", "divided by": "/"}


def _result(name: str, one: float, other: float) -> str:
    match name:
        case "plus":
            value = one + other
        case "minus":
            value = one - other
        case "times":
            value = one * other
        case _:
            if other == 0:
                return "I cannot divide by zero."
            value = one / other
    return f"{_shown(one)} {name} {_shown(other)} is {_shown(value)}."


def _shown(value: float) -> str:
    """A number to two places, as it is said: never in the form 1e+06."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".").replace("-", "minus ")


def _said(turn: AgentTurn) -> list[str]:
    """What the person said so far, oldest first."""
    return [
        item.text for item in turn.history if isinstance(item, Message) and item.role is Role.USER
    ]


_object = msgspec.json.Decoder(dict[str, object])


class _Parameter(msgspec.Struct):
    type: str = "string"


class _Schema(msgspec.Struct):
    properties: dict[str, _Parameter] = {}
    required: list[str] = []


def _arguments(tool: ToolSpec, text: str) -> str:
    """Numbers that were said for numeric parameters in order, and the words for the others."""
    schema = msgspec.json.decode(tool.parameters, type=_Schema)
    numbers = iter(read_numbers(text))
    given: dict[str, object] = {}
    for name, parameter in schema.properties.items():
        if parameter.type in ("integer", "number"):
            number = next(numbers, None)
            if number is not None:
                given[name] = int(number) if parameter.type == "integer" else number
        elif name in schema.required and parameter.type == "string":
            words = set(re.findall(r"[a-z]+", tool.name.lower()))
            given[name] = " ".join(word for word in text.split() if word.lower() not in words)
    return msgspec.json.encode(given).decode()


def _spoken(output: str) -> str:
    """A tool's result as something to say."""
    try:
        return ", ".join(f"{key} {item}" for key, item in _object.decode(output).items()) + "."
    except msgspec.DecodeError:
        text = output.strip().strip('"')
    return text if text.endswith((".", "!", "?")) else f"It says {text}."
