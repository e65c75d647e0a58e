"""Memory in a file, for callers who call again after a restart.

How it works. A key and its whole history are one row of a SQLite database. All accesses of a store
go one after the other through one thread of its own, so that no event loop waits for a disk. The
database stays open between them, and is opened anew if another file is in its place. Several stores
and processes may use one file at once: it is in WAL mode, where readers never wait, and a writer
waits for another for at most `LOCK_SECONDS`, less than a session waits for a store.

What is wrong with the file is an error of the access, and never of the call: the session logs it
and goes on without memory. Nothing is repaired or deleted here, because it may be all that is left.
"""

import asyncio
import os
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from beluga_voice.errors import BelugaError, ConfigurationError, Overloaded
from beluga_voice.events import HistoryItem
from beluga_voice.memory.form import decode, encode, newest

LOCK_SECONDS = 0.8
"""How long an access waits for another process that writes."""

VERSION = 1
"""Of the tables, in `user_version`; a later one is refused."""
APPLICATION_ID = 0x42564D31
"""In the file's header, so that no other program's database is taken for a memory."""

_NEW = f"""
PRAGMA journal_mode = WAL;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
CREATE TABLE histories (
    key TEXT PRIMARY KEY,
    items TEXT NOT NULL,
    saved_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
"""
_SAVE = """
INSERT INTO histories (key, items) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET items = excluded.items, saved_at = CURRENT_TIMESTAMP
"""

_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SqliteMemory:
    """Keeps the newest `max_items` items of each key in a database at `path`.

    The file is made at the first access, readable by its owner only: it holds what people said,
    and the keys as they are. It has to be on a disk of this machine. One instance serves any number
    of sessions, and any number of instances and processes one file; of two sessions with the same
    key at once, the one that saves last is remembered.

    `load`, `save` and `forget` raise `ConfigurationError` for a file that cannot be used (damaged,
    not ours, of a later version, not writable, disk full), and `Overloaded` for one that is locked
    for too long; nothing was changed then. Cancelling one of them is safe: it is done whole, or
    not at all. The database is closed soon after the last reference to the store is gone. Raises
    `ConfigurationError` at once where there can be no such file.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_items: int = 200) -> None:
        if max_items < 1:
            raise ConfigurationError("max_items is at least 1", op="memory")
        self._path = Path(path)
        if str(path) in ("", ":memory:"):
            raise ConfigurationError("give the path of a file, or use InMemory", op="memory")
        if self._path.is_dir():
            raise ConfigurationError(f"{self._path} is a directory: give a file", op="memory")
        if not self._path.parent.is_dir():
            message = f"there is no directory {str(self._path.parent)!r} for the memory: make it"
            raise ConfigurationError(message, op="memory")
        self._max_items = max_items
        self._file = _File(self._path)
        weakref.finalize(self, self._file.close)
        self._door = ThreadPoolExecutor(1, thread_name_prefix="beluga-voice memory")

    async def load(self, key: str, /) -> tuple[HistoryItem, ...]:
        """What was saved under the key, oldest first; nothing for an unknown one."""

        def work(database: sqlite3.Connection) -> tuple[HistoryItem, ...]:
            row = database.execute("SELECT items FROM histories WHERE key = ?", (key,)).fetchone()
            try:
                return decode(row[0]) if row else ()
            except ValueError as error:
                message = f"a history in {self._path} cannot be read: forget its key"
                raise ConfigurationError(message, op="memory") from error

        return await self._through_the_door(work)

    async def save(self, key: str, items: Sequence[HistoryItem], /) -> None:
        """Keep these in place of what was saved before."""
        form = encode(newest(items, self._max_items))

        def work(database: sqlite3.Connection) -> None:
            database.execute(_SAVE, (key, form))

        await self._through_the_door(work)

    async def forget(self, key: str, /) -> None:
        """Keep nothing under the key, and wipe what was kept from the file.

        A session that goes on with the key saves again: forget once it is over.
        """

        def work(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM histories WHERE key = ?", (key,))
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        await self._through_the_door(work)

    async def close(self) -> None:
        """Close the database now, once what was begun is done; the next access opens it again."""
        await asyncio.get_running_loop().run_in_executor(self._door, self._file.close)

    async def _through_the_door[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._door, self._access, work)

    def _access[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self._file.opened())
        except (sqlite3.Error, OSError) as error:
            raise _told(self._path, error) from error


class _File:
    """The database, open or not. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._is: tuple[int, int] | None = None
        """Which file is open: its device and number."""

    def opened(self) -> sqlite3.Connection:
        """The database at the path, with its tables."""
        if self._database is not None and self._is == _which(self._path):
            return self._database
        self.close()
        log = self._path.with_name(f"{self._path.name}-wal")
        is_left = log.exists()  # asked first: a new file may have one at once
        if not self._path.exists():
            if is_left:  # it would be taken for the log of the new file
                message = f"{self._path} is gone, and {log.name} is there: move that away, too"
                raise ConfigurationError(message, op="memory")
            _make(self._path)
        # One thread after another: that of the store, and the one in which the store is let go.
        self._database = sqlite3.connect(
            self._path, timeout=LOCK_SECONDS, autocommit=True, check_same_thread=False
        )
        self._is = _which(self._path)
        try:
            _look(self._database, self._path)
        except BaseException:
            self.close()
            raise
        return self._database

    def close(self) -> None:
        """Close it, if it is open."""
        if self._database is not None:
            database, self._database = self._database, None
            database.close()


def _which(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make(path: Path) -> None:
    """Make a new database, unless another process does first.

    It is made under another name and put in its place whole: two that make tables in one file, and
    set its mode, get into each other's way.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    try:
        with closing(sqlite3.connect(name, autocommit=True)) as database:
            database.executescript(_NEW)
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)


def _look(database: sqlite3.Connection, path: Path) -> None:
    """Raise for a database that is not ours, before anything is written to it."""
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != APPLICATION_ID:
        message = f"{path} is not a memory of beluga-voice: give a file of its own"
        raise ConfigurationError(message, op="memory")
    if version != VERSION:
        message = f"{path} was written by a later version of beluga-voice: update it"
        raise ConfigurationError(message, op="memory")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA secure_delete = ON")


def _told(path: Path, error: sqlite3.Error | OSError) -> BelugaError:
    """Ours, with what to do. Its own message may quote what was to be saved."""
    if isinstance(error, OSError):
        return ConfigurationError(f"cannot make {path}: {error.strerror}", op="memory")
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _BUSY:
        return Overloaded(f"{path} is locked by another process", op="memory")
    if code in _DAMAGED:
        message = f"{path} is damaged, or no database: move it away, or restore it"
        return ConfigurationError(message, op="memory")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    message = f"cannot use {path} ({name}): is it writable, and is there room?"
    return ConfigurationError(message, op="memory")
