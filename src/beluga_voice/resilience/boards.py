"""The board that all sessions of a running event loop share."""

import asyncio
from weakref import WeakKeyDictionary

from beluga_voice.resilience.health import Board

_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, Board] = WeakKeyDictionary()


def shared_board() -> Board:
    """The board of the running loop: a process has one loop as a rule, and a test its own.

    What belongs to one loop needs no lock, and its times are of one clock.
    """
    return _BOARDS.setdefault(asyncio.get_running_loop(), Board())
