"""Memory in a file."""

import asyncio
import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from beluga_voice.errors import BelugaError, ConfigurationError, Overloaded
from beluga_voice.events import Message, Role, ToolCallId, ToolResult, ToolUse
from beluga_voice.memory.form import decode, encode
from beluga_voice.memory.sqlite import APPLICATION_ID, SqliteMemory


def said(*words: str) -> tuple[Message, ...]:
    return tuple(Message(role=Role.USER, text=word) for word in words)


def texts(items) -> list[str]:
    return [item.text for item in items]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def keep(path: Path, *words: str) -> None:
    """Save something for Ann, as a process does that ends in order."""

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said(*words))
        await memory.close()

    asyncio.run(scene())


def bytes_of(path: Path) -> bytes:
    """All that is on the disk of a database."""
    return b"".join(one.read_bytes() for one in sorted(path.parent.iterdir()))


def damage(path: Path, **columns: object) -> None:
    """Change something in the database behind the store's back."""
    with closing(sqlite3.connect(path, autocommit=True)) as database:
        for name, value in columns.items():
            database.execute(f"PRAGMA {name} = {value}")


# ── what it keeps ───────────────────────────────────────────────────────────────────────────────


def test_a_new_store_knows_what_an_old_one_saved(path):
    """What was saved is there after a restart, in a file that only its owner may read."""
    keep(path, "hello", "there")
    assert [one.name for one in path.parent.iterdir()] == ["memory.db"]
    assert texts(asyncio.run(SqliteMemory(path).load("ann"))) == ["hello", "there"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_item_comes_back_as_it_was():
    """The form on the disk keeps all fields of all kinds."""
    call_id = ToolCallId("1")
    items = (
        Message(role=Role.SYSTEM, text="é \n “😀” \x00"),
        Message(role=Role.AGENT, text="one two", is_cut=True),
        ToolUse(call_id=call_id, name="clock", arguments='{"a": [1]}'),
        ToolResult(call_id=call_id, output="", is_error=True),
    )
    assert decode(encode(items)) == items


@pytest.mark.parametrize("form", ["", "{}", '[{"kind": "message"}]', '[{"kind": "word"}]', "[1]"])
def test_what_is_no_history_is_refused_without_quoting_it(form):
    """The error says that it is none, and holds nobody's words."""
    with pytest.raises(ValueError, match=r"this is no history: [A-Za-z]+$"):
        decode(form)


def test_what_is_forgotten_is_wiped_from_the_disk(path):
    """The words are in none of the database's files any more; other keys stay."""
    words = "my secret is a purple elephant"

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said(words))
        await memory.save("bob", said("hello"))
        before = words.encode() in bytes_of(path)
        await memory.forget("ann")
        await memory.forget("eve")
        after = words.encode() in bytes_of(path)
        return before, after, await memory.load("ann"), texts(await memory.load("bob"))

    assert asyncio.run(scene()) == (True, False, (), ["hello"])
    assert b"ann" not in bytes_of(path)


def test_a_shorter_history_leaves_nothing_of_the_longer_one(path):
    """What was replaced is wiped, too."""
    keep(path, "a purple elephant", "b")
    assert b"elephant" in bytes_of(path)
    keep(path, "c")
    assert b"elephant" not in bytes_of(path)


# ── many at once ────────────────────────────────────────────────────────────────────────────────


def test_the_event_loop_does_not_wait_for_the_disk(path):
    """While another program has the database, the loop of the calls goes on."""

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said("before"))
        with closing(sqlite3.connect(path, autocommit=True)) as other:
            other.execute("BEGIN IMMEDIATE")
            saving = asyncio.create_task(memory.save("ann", said("after")))
            turns = 0
            while not saving.done() and turns < 1000:
                await asyncio.sleep(0)
                turns += 1
            other.execute("COMMIT")
        await saving
        return turns, texts(await memory.load("ann"))

    assert asyncio.run(scene()) == (1000, ["after"])


def test_a_database_that_stays_locked_is_an_error_that_passes(path):
    """Saving says so in less time than a session waits; later it works, and reading always did."""

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said("before"))
        with closing(sqlite3.connect(path, autocommit=True)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with asyncio.timeout(10):
                with pytest.raises(Overloaded, match=r"memory\.db is locked by another process"):
                    await memory.save("ann", said("after"))
                meanwhile = texts(await memory.load("ann"))
            other.execute("COMMIT")
        await memory.save("ann", said("after"))
        return meanwhile, texts(await memory.load("ann"))

    assert asyncio.run(scene()) == (["before"], ["after"])


def test_a_cancelled_save_is_whole_or_not_at_all(path):
    """Whenever it is cancelled, the key has what it had before or what was to be saved."""

    async def scene():
        memory = SqliteMemory(path)
        found = set()
        for turns in range(40):
            await memory.save("ann", said("before"))
            saving = asyncio.create_task(memory.save("ann", said("after", "all")))
            for _ in range(turns):
                await asyncio.sleep(0)
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            found.add(tuple(texts(await memory.load("ann"))))
        return found

    assert asyncio.run(scene()) <= {("before",), ("after", "all")}


def write(path: Path, name: str, count: int, barrier) -> None:
    """One of several processes that begin to save at the same moment."""

    async def scene():
        memory = SqliteMemory(path)
        barrier.wait()
        for number in range(count):
            await memory.save(f"{name}-{number % 5}", said(f"{name} {number}"))
            await memory.save("all", said(*[f"{name} {number}"] * 20))

    asyncio.run(scene())


def test_processes_share_a_file(path):
    """Four begin with no file at all; nothing is lost, mixed up or refused."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    writers = [
        spawn.Process(target=write, args=(path, name, 25, barrier)) for name in ("a", "b", "c", "d")
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert [one.exitcode for one in writers] == [0, 0, 0, 0]

    async def scene():
        memory = SqliteMemory(path)
        own = [texts(await memory.load(f"{name}-4")) for name in "abcd"]
        return own, texts(await memory.load("all"))

    own, common = asyncio.run(scene())
    assert own == [["a 24"], ["b 24"], ["c 24"], ["d 24"]]
    assert len(common) == 20
    assert len(set(common)) == 1


def test_a_process_that_is_killed_leaves_what_it_saved(path):
    """Nothing has to be closed for a history to be safe."""
    program = f"""
import asyncio, os, signal
from beluga_voice.events import Message, Role
from beluga_voice.memory.sqlite import SqliteMemory
async def scene():
    memory = SqliteMemory({str(path)!r})
    await memory.save("ann", [Message(role=Role.USER, text="hello")])
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(scene())
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    assert texts(asyncio.run(SqliteMemory(path).load("ann"))) == ["hello"]


def test_a_store_has_one_thread(path):
    """However many sessions use it, all accesses go through the same door."""

    async def scene():
        memory = SqliteMemory(path)
        await asyncio.gather(*(memory.save(f"{n}", said("a")) for n in range(50)))
        return [one.name for one in threading.enumerate() if "memory" in one.name]

    assert len(asyncio.run(scene())) == 1


# ── files that cannot be used ───────────────────────────────────────────────────────────────────


def junk(path: Path) -> None:
    path.write_bytes(b"this was never a database" * 100)


def cut_off(path: Path) -> None:
    keep(path, "hello " * 20_000)
    with path.open("r+b") as file:
        file.truncate(30_000)


def torn(path: Path) -> None:
    keep(path, "hello")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def empty(path: Path) -> None:
    path.touch()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path, autocommit=True)) as database:
        database.execute("CREATE TABLE accounts (name TEXT)")


def owned(path: Path) -> None:
    damage(path, application_id=7)


def later(path: Path) -> None:
    damage(path, application_id=APPLICATION_ID, user_version=2)


def unreadable(path: Path) -> None:
    keep(path, "hello")
    with closing(sqlite3.connect(path, autocommit=True)) as database:
        database.execute("UPDATE histories SET items = 'secret'")


def without_tables(path: Path) -> None:
    damage(path, application_id=APPLICATION_ID, user_version=1)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (junk, "is damaged, or no database: move it away"),
        (cut_off, "is damaged, or no database: move it away"),
        (torn, "is damaged, or no database: move it away"),
        (empty, "is not a memory of beluga-voice: give a file of its own"),
        (foreign, "is not a memory of beluga-voice: give a file of its own"),
        (owned, "is not a memory of beluga-voice: give a file of its own"),
        (later, "was written by a later version of beluga-voice"),
        (unreadable, "cannot be read: forget its key"),
        (without_tables, r"cannot use .* \(SQLITE_ERROR\)"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_file_that_cannot_be_used_is_an_error_and_stays_as_it_is(path, spoil, told):
    """The error says what to do, quotes nobody, and the file is not touched."""
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=told) as caught:
        asyncio.run(SqliteMemory(path).load("ann"))
    assert "secret" not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_was_mended_is_used_again(path):
    """Nothing has to be made anew once the damaged file was moved away."""
    junk(path)

    async def scene():
        memory = SqliteMemory(path)
        with pytest.raises(ConfigurationError):
            await memory.save("ann", said("a"))
        path.unlink()
        await memory.save("ann", said("b"))
        return texts(await memory.load("ann"))

    assert asyncio.run(scene()) == ["b"]


def test_a_file_that_was_replaced_is_found(path):
    """An open database that was moved away is written to no more, once its log was moved, too."""

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said("a"))
        path.rename(path.with_name("old.db"))
        with pytest.raises(ConfigurationError, match=r"memory\.db-wal is there: move that away"):
            await memory.load("ann")
        for end in ("-wal", "-shm"):
            path.with_name(f"memory.db{end}").rename(path.with_name(f"old.db{end}"))
        unknown = await memory.load("ann")
        await memory.save("ann", said("b"))
        return unknown, texts(await memory.load("ann")), path.with_name("old.db")

    unknown, kept, old = asyncio.run(scene())
    assert (unknown, kept) == ((), ["b"])
    assert texts(asyncio.run(SqliteMemory(old).load("ann"))) == ["a"]


def test_a_full_disk_is_told(path):
    """A save for which there is no room is refused, and what was there before is kept."""

    async def scene():
        memory = SqliteMemory(path)
        await memory.save("ann", said("small"))
        import resource

        was = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, was[1]))
        try:
            with pytest.raises(BelugaError, match=r"cannot use .*: is it writable, and is there"):
                await memory.save("ann", said("large " * 50_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, was)
        return texts(await memory.load("ann"))

    assert asyncio.run(scene()) == ["small"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "is a directory: give a file"),
        ("no/where.db", "there is no directory"),
    ],
)
def test_a_place_that_cannot_be_is_refused_at_once(tmp_path, name, told):
    """The error comes when the store is made."""
    with pytest.raises(ConfigurationError, match=told):
        SqliteMemory(tmp_path / name)


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_no_file_is_no_place(path):
    """What SQLite would take for a memory of its own is refused."""
    with pytest.raises(ConfigurationError, match="or use InMemory"):
        SqliteMemory(path)


def test_a_memory_in_a_file_keeps_at_least_one_item(path):
    """A bound below one makes no sense."""
    with pytest.raises(ConfigurationError, match="max_items is at least 1"):
        SqliteMemory(path, max_items=0)
    assert not os.path.exists(path)
