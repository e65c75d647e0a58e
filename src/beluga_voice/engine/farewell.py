"""How a conversation ends: with a goodbye that is heard, or with a person who is gone.

How it works. Who leaves waits until what is being said, the answer to what was said last and the
goodbye were heard; but for what does not come, no longer than `FAREWELL_SECONDS`, and never longer
than `LONGEST_FAREWELL_SECONDS`: then the goodbye is said, whatever is in its way. When the person
hangs up nothing sounds any more, and only their last words are waited for, so that they are
remembered.
"""

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.exchange import Exchange
from beluga_voice.engine.happened import Leave
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.supervision import Supervision
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turns import Floor
from beluga_voice.events import CallClosed, Occasion, Say

FAREWELL_SECONDS = 10.0
"""How long the last words are waited for, while nobody speaks and nothing is done."""
LONGEST_FAREWELL_SECONDS = 60.0
"""How long they are waited for in any case."""
LAST_WORDS_SECONDS = 2.0
"""How long after the person hung up their last words are waited for."""
_PERSON = (Floor.USER, Floor.PAUSED, Floor.OVERLAP)


class Farewell:
    """The end of one conversation."""

    def __init__(
        self,
        outlet: Outlet,
        exchange: Exchange,
        responses: Responses,
        tools: Tools,
        supervision: Supervision,
    ) -> None:
        self._outlet = outlet
        self._exchange = exchange
        self._responses = responses
        self._tools = tools
        self._supervision = supervision
        self._leave: Leave | None = None
        """Why the conversation ends once the last words were heard, if it does."""
        self._goodbye_due = False
        self._leaves_by = 0.0
        self._gone: CallClosed | None = None
        self.is_parting = False
        """Whether the service ended the conversation, so that its link will close."""

    @property
    def has_begun(self) -> bool:
        """Whether somebody leaves."""
        return self._leave is not None

    @property
    def is_gone(self) -> bool:
        """Whether the person has hung up, and their last words are waited for."""
        return self._gone is not None

    @property
    def says_goodbye(self) -> bool:
        """Whether the last words are being said."""
        return self._leave is not None and not self._goodbye_due

    def leave(self, event: Leave, now: float) -> None:
        """End once what is being said, and the goodbye, were heard."""
        if self._leave is not None:
            return
        self._leave = event
        self._leaves_by = now + LONGEST_FAREWELL_SECONDS
        self._outlet.deadlines.set(Due.FAREWELL, now + FAREWELL_SECONDS)
        self._goodbye_due = bool(event.goodbye)
        if not event.goodbye:
            self._exchange.keys.forget()  # nobody would answer them

    def wait(self, now: float) -> None:
        """Nothing that still sounds is cut; what does not come is not waited for.

        The goodbye is said all the same, over a person who speaks on, if it has to be.
        """
        assert self._leave is not None
        rest = self._responses.sounds_until - now
        is_busy = self._exchange.overlap.is_holding or self._tools.is_busy or not self._outlet.is_up
        is_busy = is_busy or self._exchange.floor in (Floor.USER, Floor.PAUSED)
        is_waiting = self._exchange.floor is Floor.WAITING
        is_busy = is_busy or (is_waiting and self._exchange.owes_answer)
        if rest > 0 or (is_busy and not self.is_parting and now < self._leaves_by):
            self._outlet.deadlines.set(Due.FAREWELL, now + max(rest, 0) + FAREWELL_SECONDS)
        elif self._goodbye_due and self._outlet.is_up and not self.is_parting:
            self._outlet.deadlines.set(Due.FAREWELL, now + FAREWELL_SECONDS)
            self._exchange.clear_floor(now)
            self._say_goodbye(self._leave, now)
        else:
            self._supervision.end(self._leave.reason, self._leave.message, now)

    def _say_goodbye(self, leave: Leave, now: float) -> None:
        self._goodbye_due = False
        self._exchange.keys.forget()
        self._exchange.say(Say(text=leave.goodbye, occasion=Occasion.GOODBYE), now)

    def part(self, now: float) -> None:
        """Once the last words were heard, the session is over."""
        if self._leave is None or self._supervision.is_over:
            return
        if self._goodbye_due:
            if self._may_say_goodbye(self._leave):
                self._say_goodbye(self._leave, now)
        elif self._responses.is_idle and self._exchange.sayings.is_empty:
            self._supervision.end(self._leave.reason, self._leave.message, now)

    def _may_say_goodbye(self, leave: Leave) -> bool:
        """Behind the whole answer to what was said last, if one is owed.

        A tool that runs may be the one that leaves: it is not waited for, unless the time is up.
        """
        is_busy = self._tools.is_busy
        is_waiting = is_busy and leave.reason == "timeout"
        is_waiting = is_waiting or (self._exchange.floor is Floor.WAITING and not is_busy)
        is_waiting = is_waiting or (self._responses.is_making and not is_busy)
        is_waiting = is_waiting or self._exchange.keys.are_pressed
        return self._outlet.is_up and not is_waiting and self._exchange.floor not in _PERSON

    def hang_up(self, event: CallClosed, now: float) -> None:
        """The person is gone: nothing sounds any more, and what they said last is remembered."""
        self._gone = event
        if self._exchange.hang_up(now):
            self._outlet.deadlines.clear_all()
            self._outlet.deadlines.set(Due.LAST_WORDS, now + LAST_WORDS_SECONDS)
        else:
            self.forget_the_rest(now)

    def forget_the_rest(self, now: float) -> None:
        """The last words are there, or will not come."""
        assert self._gone is not None
        self._exchange.listening.keep_what_was_understood()
        self._supervision.end("hung_up", self._gone.reason, now)
