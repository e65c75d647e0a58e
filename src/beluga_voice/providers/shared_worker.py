"""A worker process in which all links share one model; see `workers` for the other side.

Libraries that compute on threads of their own cannot be forked once they have loaded a model, and
a large model should be in memory once. So here the source forks nothing: it serves every link
itself, in a thread each. Those libraries give up the interpreter's lock while they compute, and a
`Gate` says who may. If the process dies, all of its links end, and the next one starts another.
"""

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NoReturn

from beluga_voice.errors import where
from beluga_voice.providers.worker_process import Line


class Gate:
    """Lets so many compute at once; who cannot wait for long goes before who can go without."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for a turn, and have it for as long as the context lasts."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._free)
            self._waiting -= 1
            self._free -= 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def spare_turn(self) -> Generator[bool]:
        """A turn if one is free that nobody waits for; says whether it is."""
        with self._changed:
            has_turn = self._free > self._waiting
            self._free -= has_turn
        try:
            yield has_turn
        finally:
            if has_turn:
                self._leave()

    def _leave(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify()


def say_last(line: Line, body: bytes) -> NoReturn:
    """Answer the oldest request, and no other: raises `EOFError` when the link has ended.

    A socket that is closed with requests unread takes with it what was said last.
    """
    line.complete(body)
    while True:
        line.receive()


def run_shared(load: Callable[[], Callable[[Line], None]]) -> None:
    """Be a source: `load` once, then serve every link in a thread of its own.

    Standard input is the control socket, as for `worker_process.run`. When it ends, the links
    have ended before, and so does the process, whatever still computes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as control:
        serve = load()
        gc.collect()
        gc.freeze()
        while True:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                break
            for descriptor in descriptors:
                wire = socket.socket(fileno=descriptor)
                threading.Thread(
                    target=_serve, args=(serve, wire), name="link", daemon=True
                ).start()
    os._exit(0)


def _serve(serve: Callable[[Line], None], wire: socket.socket) -> None:
    with wire:
        try:
            serve(Line(wire))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except BaseException as error:
            # Without its message, which may hold somebody's words.
            print(where(error), file=sys.stderr)
