"""The floor, as all share it who give or take it.

How it works. The table in `turns` says who has the floor. Every part of the engine that changes it
does so here, so that the state of the session follows; and here the service and the application
are told where a turn of the person begins and ends.
"""

from collections.abc import Callable

from beluga_voice.engine.effects import Forward
from beluga_voice.engine.hearing import Hearing
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.turns import Floor, Turn, turns
from beluga_voice.engine.utterance import Utterance
from beluga_voice.engine.waiting import Waiting
from beluga_voice.events import StartUserTurn, UserSpeechEnded, UserSpeechStarted


class TurnTaking:
    """The floor of one conversation, and what is owed to whoever gave it up."""

    def __init__(
        self,
        outlet: Outlet,
        waiting: Waiting,
        hearing: Hearing,
        utterance: Utterance,
        *,
        on_change: Callable[[], None],
    ) -> None:
        self._outlet = outlet
        self._waiting = waiting
        self._hearing = hearing
        self._utterance = utterance
        self._on_change = on_change
        self._machine = turns()
        self.is_told = False
        """Whether the application knows of the person's turn, and of no end of it."""
        self.is_push_to_talk = False
        """Whether a key says who speaks, and the voice detector no longer does."""
        self.awaits_words = False
        """Whether the person's turn is over, and what they said is not known yet."""
        self.wants_words = False
        """Whether nobody is to answer what the person said, and it is to be known all the same."""
        self.is_owed = False
        """Whether the service had begun an answer that was never heard."""

    @property
    def floor(self) -> Floor:
        """Who has it."""
        return self._machine.state

    @property
    def is_persons(self) -> bool:
        """Whether the person speaks, or pauses."""
        return self._machine.state in (Floor.USER, Floor.PAUSED)

    def takes(self, given: Turn) -> bool:
        """Whether that may happen now."""
        return self._machine.takes(given)

    def take(self, given: Turn) -> None:
        """Let the floor follow what happens."""
        self._machine.take(given)
        self._on_change()

    def ask(self, now: float) -> None:
        """A response was asked for without a spoken turn."""
        self.take(Turn.ASKED)
        if self.floor is Floor.WAITING:
            self._waiting.begin(now)

    def begin_turn(self) -> None:
        """The person has the floor, and the service should know."""
        if self._hearing.is_ours:
            self._utterance.goes_on()
            self._outlet.send(StartUserTurn())
            self._outlet.do(Forward(is_on=True))

    def tell_began(self) -> None:
        """The application hears of the person's turn, once."""
        if not self.is_told:
            self.is_told = True
            self._outlet.emit(UserSpeechStarted())

    def tell_ended(self, *, was_ignored: bool = False) -> None:
        """The application hears of the end of the person's turn, once."""
        if self.is_told:
            self.is_told = False
            self._outlet.emit(UserSpeechEnded(was_ignored=was_ignored))
