"""Whether there is a connection to the service.

How it works. A session connects, and stays up until it is closed. A loss, or a failure to connect
that may pass, leads to `BACKOFF` and another attempt, until the attempts are used up. A connection
that was up resets the count.
"""

from dataclasses import dataclass
from enum import auto

from beluga_voice.engine.table import Label, Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectSettings:
    """How often, and after how long, a lost service is tried again."""

    attempts: int = 5
    first_delay_ms: float = 100
    factor: float = 2.0
    max_delay_ms: float = 5000

    def delay_ms(self, attempt: int) -> float:
        """The wait before attempt number `attempt`, counted from 1."""
        try:
            return min(self.first_delay_ms * self.factor ** (attempt - 1), self.max_delay_ms)
        except OverflowError:
            return self.max_delay_ms


class Connection(Label):
    """The states."""

    DOWN = auto()
    CONNECTING = auto()
    UP = auto()
    BACKOFF = auto()
    CLOSED = auto()


class ConnectionInput(Label):
    """The inputs."""

    CONNECT = auto()
    READY = auto()
    LOST = auto()
    CLOSE = auto()


TABLE: dict[tuple[Connection, ConnectionInput], Connection] = {
    (Connection.DOWN, ConnectionInput.CONNECT): Connection.CONNECTING,
    (Connection.DOWN, ConnectionInput.CLOSE): Connection.CLOSED,
    (Connection.CONNECTING, ConnectionInput.READY): Connection.UP,
    (Connection.CONNECTING, ConnectionInput.LOST): Connection.BACKOFF,
    (Connection.CONNECTING, ConnectionInput.CLOSE): Connection.CLOSED,
    (Connection.UP, ConnectionInput.LOST): Connection.BACKOFF,
    (Connection.UP, ConnectionInput.CLOSE): Connection.CLOSED,
    (Connection.BACKOFF, ConnectionInput.CONNECT): Connection.CONNECTING,
    (Connection.BACKOFF, ConnectionInput.CLOSE): Connection.CLOSED,
    (Connection.CLOSED, ConnectionInput.CLOSE): Connection.CLOSED,
}


def connection() -> Machine[Connection, ConnectionInput]:
    """A new machine; there is no connection."""
    return Machine("connection", Connection.DOWN, TABLE)
