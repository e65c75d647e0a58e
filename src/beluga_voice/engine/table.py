"""A state machine as a table."""

from collections.abc import Mapping
from enum import Enum

from beluga_voice.errors import IllegalTransition


class Label(Enum):
    """What a table is looked up by: found by identity, where an `Enum` asks for its name."""

    __hash__ = object.__hash__


class Machine[State: Enum, Input: Enum]:
    """A state, and a table of where each input leads from it.

    `take` gives the new state. An input that the table does not hold for the present state raises
    `IllegalTransition`, and nothing changes.
    """

    __slots__ = ("_table", "name", "state")

    def __init__(self, name: str, start: State, table: Mapping[tuple[State, Input], State]) -> None:
        self.name = name
        self.state = start
        self._table = table

    def take(self, given: Input) -> State:
        """Go where `given` leads."""
        following = self._table.get((self.state, given))
        if following is None:
            raise IllegalTransition(self.name, self.state.name, given.name)
        self.state = following
        return following

    def takes(self, given: Input) -> bool:
        """Whether the table holds `given` for the present state."""
        return (self.state, given) in self._table
