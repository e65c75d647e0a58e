"""What a worker process does, whatever its work; see `workers` for the other side."""

import gc
import os
import select
import signal
import socket
import struct
import traceback
from collections import deque
from collections.abc import Callable

HEADER = struct.Struct("!I")
COMPLETES = 1 << 31
MAX_MESSAGE_BYTES = 1 << 24
_PIECE_BYTES = 1 << 16


class Line:
    """A worker's end of its socket: requests in, answers out, both blocking."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._buffer = bytearray()
        self._requests: deque[bytes] = deque()

    def receive(self) -> bytes:
        """The next request; raises `EOFError` when there will be none."""
        while not self._requests:
            self._read()
        return self._requests.popleft()

    def waiting(self) -> deque[bytes]:
        """Requests that came meanwhile, without waiting; the caller may take some out."""
        while select.select([self._wire], [], [], 0)[0]:
            self._read()
        return self._requests

    def send(self, body: bytes) -> None:
        """Say something that is not the last of the present request."""
        self._wire.sendall(HEADER.pack(len(body)) + body)

    def complete(self, body: bytes) -> None:
        """Say the last thing of the oldest request."""
        self._wire.sendall(HEADER.pack(len(body) | COMPLETES) + body)

    def _read(self) -> None:
        data = self._wire.recv(_PIECE_BYTES)
        if not data:
            raise EOFError
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer)
            if length > MAX_MESSAGE_BYTES:
                raise ValueError(f"a request of {length} bytes is too long")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            self._requests.append(bytes(self._buffer[HEADER.size : end]))
            del self._buffer[:end]


def run(load: Callable[[], Callable[[Line], None]]) -> None:
    """Be a source: `load` once, then serve every link in a forked process of its own.

    Standard input is the control socket. Each byte on it carries the descriptor of a link's
    socket; its end says that no more will come.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ignored, children are reaped by the kernel.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=0) as control:
        serve = load()
        gc.collect()
        gc.freeze()
        while True:
            data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                break
            for descriptor in descriptors:
                if os.fork() == 0:
                    control.close()
                    os._exit(_serve(serve, descriptor))
                os.close(descriptor)
    try:
        # With SIGCHLD ignored this waits for the last child, then says that there is none.
        os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _serve(serve: Callable[[Line], None], descriptor: int) -> int:
    try:
        with socket.socket(fileno=descriptor) as wire:
            serve(Line(wire))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
