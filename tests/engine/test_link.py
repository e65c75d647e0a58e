"""State machines as tables: what they take, what they refuse, and how long to wait in between."""

from enum import Enum, auto

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine import link, tools, turns
from beluga_voice.engine.link import Connection, ConnectionInput, ReconnectSettings, connection
from beluga_voice.engine.table import Machine
from beluga_voice.engine.turns import Floor, Turn
from beluga_voice.errors import ErrorCode, IllegalTransition, Misuse


class Door(Enum):
    OPEN = auto()
    SHUT = auto()


class Push(Enum):
    IN = auto()
    OUT = auto()


DOORS = {(Door.SHUT, Push.IN): Door.OPEN, (Door.OPEN, Push.OUT): Door.SHUT}


def test_a_machine_goes_where_its_table_says():
    """An input that the table holds gives the next state."""
    machine = Machine("door", Door.SHUT, DOORS)
    assert machine.takes(Push.IN)
    assert machine.take(Push.IN) is Door.OPEN
    assert machine.state is Door.OPEN
    assert not machine.takes(Push.IN)


def test_a_refused_input_is_named_and_changes_nothing():
    """The error says which machine, state and input, and the machine goes on as it was."""
    machine = Machine("door", Door.SHUT, DOORS)
    with pytest.raises(IllegalTransition) as caught:
        machine.take(Push.OUT)
    error = caught.value
    assert (error.machine, error.state, error.given) == ("door", "SHUT", "OUT")
    assert error.code is ErrorCode.ILLEGAL_TRANSITION
    assert isinstance(error, Misuse)
    assert str(error) == "door: the door machine in state SHUT does not take OUT"
    assert machine.state is Door.SHUT
    assert machine.take(Push.IN) is Door.OPEN


MACHINES = {
    "connection": (connection, link.TABLE, Connection, ConnectionInput),
    "turns": (turns.turns, turns.TABLE, Floor, Turn),
    "tool": (
        lambda: Machine("tool", tools.Call.RUNNING, tools.TABLE),
        tools.TABLE,
        tools.Call,
        tools.CallInput,
    ),
}


@given(st.sampled_from(sorted(MACHINES)), st.data())
def test_every_machine_follows_its_table_and_nothing_else(name, data):
    """Any inputs in any order either lead where the table says, or are refused without effect."""
    make, table, _, inputs = MACHINES[name]
    machine = make()
    assert machine.name == name
    for given_input in data.draw(st.lists(st.sampled_from(inputs), max_size=25)):
        before = machine.state
        if (before, given_input) in table:
            assert machine.takes(given_input)
            assert machine.take(given_input) is table[before, given_input]
        else:
            assert not machine.takes(given_input)
            with pytest.raises(IllegalTransition):
                machine.take(given_input)
            assert machine.state is before


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_every_state_of_every_machine_can_be_reached(name):
    """No state of a table is dead wood."""
    make, table, states, _ = MACHINES[name]
    reached = {make().state}
    while more := {end for (start, _), end in table.items() if start in reached} - reached:
        reached |= more
    assert reached == set(states)


def test_a_closed_connection_stays_closed():
    """From any state a connection can be closed, and from there it goes nowhere."""
    for state in Connection:
        assert link.TABLE[state, ConnectionInput.CLOSE] is Connection.CLOSED
    ends = {end for (start, _), end in link.TABLE.items() if start is Connection.CLOSED}
    assert ends == {Connection.CLOSED}


def test_the_default_delays_double_up_to_their_limit():
    """Attempts wait 100, 200, 400 ms and so on, and never more than five seconds."""
    settings = ReconnectSettings()
    assert [settings.delay_ms(attempt) for attempt in range(1, 9)] == [
        *(100, 200, 400, 800, 1600, 3200),
        *(5000, 5000),
    ]


@given(st.floats(1, 10_000), st.floats(1, 10), st.floats(1, 60_000), st.integers(1, 2000))
def test_a_delay_never_shrinks_nor_passes_its_limit(first, factor, most, attempt):
    """Whatever the settings and however late the attempt, the wait is bounded and grows."""
    settings = ReconnectSettings(first_delay_ms=first, factor=factor, max_delay_ms=most)
    assert 0 < settings.delay_ms(attempt) <= settings.delay_ms(attempt + 1) <= most
