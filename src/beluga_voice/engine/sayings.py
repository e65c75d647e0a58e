"""What the application wants spoken, until the service speaks it.

How it works. Words are given to the service in the order they were asked for, and come back as
responses in that order: so each response that speaks given words is the oldest that was given. What
was given to a link that is lost before it began is given to the next.
"""

from collections import deque

from beluga_voice.engine.outlet import Outlet
from beluga_voice.events import Say, SayId


class Sayings:
    """The words that nobody has begun to speak."""

    __slots__ = ("_given", "_outlet", "_refused", "_repeated", "_waiting")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._waiting: deque[Say] = deque()
        self._given: deque[Say] = deque()
        self._refused: set[SayId] = set()
        self._repeated: list[Say] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be spoken."""
        return not self._waiting and not self._given

    def wait(self, say: Say) -> None:
        """It is not the moment for it."""
        self._waiting.append(say)

    def give(self, say: Say) -> None:
        """To the service."""
        self._given.append(say)
        self._outlet.send(say)

    def waited(self) -> list[Say]:
        """Take out what waits, in its order."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def begun(self) -> Say | None:
        """A response begins that speaks given words: which?"""
        return self._given.popleft() if self._given else None

    def lost(self) -> None:
        """The link is gone: what it was given and had not begun waits for the next."""
        self._waiting.extendleft(reversed(self._given))
        self._given.clear()

    def may_repeat(self, say: Say) -> bool:
        """Whether words that came to nothing are tried again: once."""
        if any(one is say for one in self._repeated):
            return False
        self._repeated.append(say)
        return True

    def refuse(self, say_id: SayId) -> None:
        """What the service was given is not wanted any more, should it begin."""
        if any(say.say_id == say_id for say in self._given):
            self._refused.add(say_id)

    def is_refused(self, say: Say) -> bool:
        """Whether that was refused; asked once."""
        if say.say_id is None or say.say_id not in self._refused:
            return False
        self._refused.remove(say.say_id)
        return True

    def cancel(self, say_id: SayId) -> bool:
        """It is not to be spoken; whether it was still waiting here."""
        for say in self._waiting:
            if say.say_id == say_id:
                self._waiting.remove(say)
                return True
        return False
