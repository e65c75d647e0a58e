"""Checkpoints in a SQLite file, which the processes of one machine share.

All work is done in one thread of the store's own, so that the event loop never waits for a disk.
The file is written ahead (WAL): readers and one writer do not block each other, and a process that
is killed leaves a whole file. SQLite 3.35 or later is needed, for `RETURNING`.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from beluga_voice.checkpoints.checkpoint import Checkpoint, decode, encode
from beluga_voice.errors import AlreadyClosed, Unreachable

BUSY_SECONDS = 5.0
"""How long one waits for another process that writes."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoints (
    session_id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    form BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS checkpoints_by_token ON checkpoints (token_hash);
CREATE INDEX IF NOT EXISTS checkpoints_by_end ON checkpoints (expires_at);
"""
_SAVE = """
INSERT INTO checkpoints (session_id, token_hash, generation, expires_at, form)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (session_id) DO UPDATE SET
    token_hash = excluded.token_hash,
    generation = excluded.generation,
    expires_at = excluded.expires_at,
    form = excluded.form
WHERE checkpoints.generation <= excluded.generation
"""
_CLAIM = """
UPDATE checkpoints SET token_hash = '', generation = generation + 1
WHERE token_hash = ? AND token_hash != '' AND expires_at > ?
RETURNING generation, form
"""


class SqliteCheckpoints:
    """Checkpoints in that file; it is made when it is not there.

    Raises `Unreachable` when the file cannot be read or written. Leave with `aclose`.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = str(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="beluga-voice checkpoints")
        self._connection: sqlite3.Connection | None = None
        self._is_closed = False

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        """Keep it in place of the one before; false, with nothing changed, if another took over."""
        return await self._run(lambda database: _save(database, checkpoint))

    async def claim(self, token_hash: str, /, *, now: float) -> Checkpoint | None:
        """Take a session over: its checkpoint with the next generation, or `None`."""
        return await self._run(lambda database: _claim(database, token_hash, now))

    async def drop(self, session_id: str, /, *, generation: int) -> None:
        """The session is over: forget it, unless another took it over."""
        await self._run(lambda database: _drop(database, session_id, generation))

    async def aclose(self) -> None:
        """Finish what was begun, and close the file."""
        if self._is_closed:
            return
        self._is_closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _run[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._is_closed:
            raise AlreadyClosed("the store of checkpoints is closed", op="checkpoints")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._do, work)

    def _do[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection:
                return work(self._connection)
        except sqlite3.Error as error:
            raise Unreachable(
                f"the checkpoints in {self._path} cannot be used: {error}; check the file, its "
                "folder and the space on the disk",
                op="checkpoints",
                provider="sqlite",
            ) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # A process that is killed loses nothing with this; a machine that is, the last moment.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _save(database: sqlite3.Connection, checkpoint: Checkpoint) -> bool:
    row = (
        checkpoint.session_id,
        checkpoint.token_hash,
        checkpoint.generation,
        checkpoint.expires_at,
        encode(checkpoint),
    )
    return database.execute(_SAVE, row).rowcount == 1


def _claim(database: sqlite3.Connection, token_hash: str, now: float) -> Checkpoint | None:
    database.execute("DELETE FROM checkpoints WHERE expires_at <= ?", (now,))
    found = database.execute(_CLAIM, (token_hash, now)).fetchall()
    if not found:
        return None
    generation, form = found[0]
    return replace(decode(form), generation=generation)


def _drop(database: sqlite3.Connection, session_id: str, generation: int) -> None:
    database.execute(
        "DELETE FROM checkpoints WHERE session_id = ? AND generation <= ?",
        (session_id, generation),
    )
