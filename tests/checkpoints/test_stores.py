"""Every store keeps the newest checkpoint, and lets one process at a time have a session."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import wraps
from pathlib import Path
from time import time

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec.structs import replace

from beluga_voice.checkpoints.checkpoint import Checkpoint
from beluga_voice.checkpoints.redis import RedisCheckpoints
from beluga_voice.checkpoints.sqlite import SqliteCheckpoints
from beluga_voice.checkpoints.store import CheckpointStore, InMemoryCheckpoints
from beluga_voice.errors import AlreadyClosed, ConfigurationError, Unreachable, WrongFormat
from beluga_voice.events import Message, Role, SessionId

NOW = time()
"""What every clock of these tests says."""


def checkpoint(
    name: str = "s",
    *,
    token: str = "t",
    generation: int = 0,
    words: str = "hello",
    expires_at: float = NOW + 60,
) -> Checkpoint:
    return Checkpoint(
        session_id=SessionId(name),
        token_hash=token,
        generation=generation,
        history=(Message(role=Role.USER, text=words),),
        input_rate=16000,
        output_rate=24000,
        created_at=NOW,
        expires_at=expires_at,
    )


type Opened = Callable[[], CheckpointStore]
type Place = Callable[[Path], AbstractAsyncContextManager[Opened]]


@asynccontextmanager
async def memory(_: Path) -> AsyncGenerator[Opened]:
    store = InMemoryCheckpoints()
    yield lambda: store


@asynccontextmanager
async def file(folder: Path) -> AsyncGenerator[Opened]:
    async with AsyncExitStack() as stack:

        def open_it() -> CheckpointStore:
            store = SqliteCheckpoints(folder / "checkpoints.db")
            stack.push_async_callback(store.aclose)
            return store

        yield open_it


@asynccontextmanager
async def pretended_redis(_: Path) -> AsyncGenerator[Opened]:
    server = FakeServer()
    async with AsyncExitStack() as stack:

        def open_it() -> CheckpointStore:
            store = RedisCheckpoints(FakeAsyncRedis(server=server), clock=lambda: NOW)
            stack.push_async_callback(store.aclose)
            return store

        yield open_it


@asynccontextmanager
async def real_redis(folder: Path) -> AsyncGenerator[Opened]:
    """The server itself, on a socket in a folder of the test."""
    program = shutil.which("redis-server")
    assert program is not None
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)),
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            if b"Ready to accept connections" in line or b"ready to accept" in line:
                break
        async with AsyncExitStack() as stack:

            def open_it() -> CheckpointStore:
                store = RedisCheckpoints(f"unix://{socket}", clock=lambda: NOW)
                stack.push_async_callback(store.aclose)
                return store

            yield open_it
    finally:
        process.terminate()
        await process.communicate()


PLACES: dict[str, Place] = {"memory": memory, "sqlite": file, "redis": pretended_redis}
if shutil.which("redis-server"):
    PLACES["redis-server"] = real_redis

type Scene = Callable[[Opened], Awaitable[None]]


def in_every_store(scene: Scene) -> Callable[[str, Path], None]:
    """Run a scene with each store."""

    async def play(place: str, folder: Path) -> None:
        async with asyncio.timeout(20), PLACES[place](folder) as opened:
            await scene(opened)

    @pytest.mark.parametrize("place", PLACES)
    @wraps(scene)
    def test(place: str, tmp_path: Path) -> None:
        asyncio.run(play(place, tmp_path))

    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would ask for its arguments
    return test


@in_every_store
async def test_a_checkpoint_is_claimed_once(opened: Opened) -> None:
    """Another process gets what was saved last, as its next generation, and nobody else does."""
    first, second = opened(), opened()
    assert await first.save(checkpoint(words="old"))
    assert await first.save(checkpoint(words="new"))
    assert await second.claim("t", now=NOW) == checkpoint(words="new", generation=1)
    assert await second.claim("t", now=NOW) is None
    assert await first.claim("t", now=NOW) is None


@in_every_store
async def test_what_another_version_left_is_left_to_it(opened: Opened) -> None:
    """It is not read, and not used up: a process of that version goes on with it."""
    here, there = opened(), opened()
    with pytest.MonkeyPatch.context() as other:
        other.setattr("beluga_voice.checkpoints.checkpoint.VERSION", 2)
        await there.save(checkpoint())
    with pytest.raises(WrongFormat, match="version 2 is not read here, only version 1"):
        await here.claim("t", now=NOW)
    with pytest.MonkeyPatch.context() as other:
        other.setattr("beluga_voice.checkpoints.checkpoint.VERSION", 2)
        assert await there.claim("t", now=NOW) == checkpoint(generation=1)


@in_every_store
async def test_who_was_taken_over_saves_in_vain(opened: Opened) -> None:
    """A process that was thought to be dead changes nothing after another took over."""
    first, second = opened(), opened()
    await first.save(checkpoint())
    taken = await second.claim("t", now=NOW)
    assert taken is not None
    assert not await first.save(checkpoint(words="stale", token="stale"))
    assert await first.claim("stale", now=NOW) is None
    assert await second.save(replace(taken, token_hash="u"))
    assert not await first.save(checkpoint(words="stale", token="stale"))
    assert await first.claim("u", now=NOW) == checkpoint(token="u", generation=2)


@in_every_store
async def test_only_the_newest_token_opens(opened: Opened) -> None:
    """When a token was replaced, the one before it opens nothing."""
    store = opened()
    await store.save(checkpoint(token="one"))
    await store.save(checkpoint(token="two"))
    assert await store.claim("one", now=NOW) is None
    assert await store.claim("two", now=NOW) is not None


@in_every_store
async def test_an_expired_checkpoint_is_gone(opened: Opened) -> None:
    """At its end nobody gets it any more; just before it, one does."""
    store = opened()
    await store.save(checkpoint("early", token="one"))
    await store.save(checkpoint("late", token="two"))
    assert await store.claim("one", now=NOW + 59.999) is not None
    assert await store.claim("two", now=NOW + 60) is None


@in_every_store
async def test_what_is_dropped_is_gone(opened: Opened) -> None:
    """A session that is over leaves nothing; one that was taken over is not the first one's."""
    first, second = opened(), opened()
    await first.save(checkpoint("over", token="one"))
    await first.drop("over", generation=0)
    assert await second.claim("one", now=NOW) is None
    await first.save(checkpoint(token="two"))
    taken = await second.claim("two", now=NOW)
    assert taken is not None
    assert await second.save(replace(taken, token_hash="three"))
    await first.drop("s", generation=0)
    await first.drop("never there", generation=0)
    assert await second.claim("three", now=NOW) is not None


@in_every_store
async def test_sessions_do_not_mix(opened: Opened) -> None:
    """Each token leads to its own session."""
    store = opened()
    for number in range(20):
        await store.save(checkpoint(f"s{number}", token=f"t{number}", words=str(number)))
    found = [await store.claim(f"t{number}", now=NOW) for number in range(20)]
    assert [one and one.history for one in found] == [
        (Message(role=Role.USER, text=str(number)),) for number in range(20)
    ]
    assert await store.claim("", now=NOW) is None


@in_every_store
async def test_of_many_who_claim_at_once_one_gets_it(opened: Opened) -> None:
    """However many processes come with the same token at the same moment."""
    stores = [opened() for _ in range(8)]
    for number in range(5):
        await stores[0].save(checkpoint(f"s{number}", token=f"t{number}"))
        found = await asyncio.gather(*(one.claim(f"t{number}", now=NOW) for one in stores))
        assert sum(one is not None for one in found) == 1


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """What is no database, or lies in no folder, is an error that says what to look at."""
    (tmp_path / "text.db").write_text("this is no database, though it is long enough to be one")

    async def scene(path: Path) -> None:
        store = SqliteCheckpoints(path)
        with pytest.raises(Unreachable, match="check the file, its folder and the space"):
            await store.save(checkpoint())
        await store.aclose()
        with pytest.raises(AlreadyClosed):
            await store.save(checkpoint())
        await store.aclose()

    asyncio.run(scene(tmp_path / "text.db"))
    asyncio.run(scene(tmp_path / "nowhere" / "checkpoints.db"))


def test_a_file_holds_what_was_saved_when_its_process_is_killed(tmp_path: Path) -> None:
    """What a process saved is there after SIGKILL, without a farewell."""
    path = tmp_path / "checkpoints.db"
    program = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_stores import SqliteCheckpoints, checkpoint
async def main():
    await SqliteCheckpoints({str(path)!r}).save(checkpoint(expires_at=9e9))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    killed = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert killed.returncode == -9

    async def scene() -> None:
        store = SqliteCheckpoints(path)
        assert await store.claim("t", now=NOW) is not None
        await store.aclose()

    asyncio.run(scene())


def test_expired_rows_do_not_stay_in_the_file(tmp_path: Path) -> None:
    """The file does not grow for ever: what expired goes when somebody claims."""
    path = tmp_path / "checkpoints.db"

    async def scene() -> None:
        store = SqliteCheckpoints(path)
        for number in range(10):
            await store.save(checkpoint(f"s{number}", token=f"t{number}"))
        await store.claim("unknown", now=NOW + 61)
        await store.aclose()

    asyncio.run(scene())
    database = sqlite3.connect(path)
    assert database.execute("SELECT COUNT(*) FROM checkpoints").fetchone() == (0,)
    database.close()


def test_a_redis_that_is_not_there_is_named() -> None:
    """No connection is an error that says what to look at."""

    async def scene() -> None:
        store = RedisCheckpoints("unix:///nowhere/redis.sock")
        with pytest.raises(Unreachable, match="check that it runs, and the URL"):
            await store.claim("t", now=NOW)
        await store.aclose()

    asyncio.run(scene())


def test_a_url_that_is_none_is_refused() -> None:
    """A slip in the URL is found before anything is connected."""
    with pytest.raises(ConfigurationError, match="write it like redis://"):
        RedisCheckpoints("127.0.0.1:6379")
