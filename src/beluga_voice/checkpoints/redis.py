"""Checkpoints in Redis, which the processes of many machines share.

Each session is one key with its checkpoint, and one that leads from the hash of its token to it.
Redis lets both expire by itself. What reads and then writes watches what it read, and does it again
when another process was faster.
"""

from collections.abc import Awaitable, Callable
from time import time
from typing import Any

from msgspec.structs import replace

from beluga_voice.checkpoints.checkpoint import Checkpoint, decode, encode
from beluga_voice.errors import ConfigurationError, MissingExtra, Overloaded, Unreachable

try:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError, WatchError
except ImportError as missing:
    raise MissingExtra("checkpoints in Redis", extra="redis", op="checkpoints") from missing

PREFIX = "beluga-voice:checkpoint:"
ATTEMPTS = 20
"""How often another process may be faster before we give up."""


class RedisCheckpoints:
    """Checkpoints in the Redis at that URL, such as `redis://127.0.0.1:6379/0`.

    A client that was made elsewhere is taken as well, and closed with the store. Raises
    `Unreachable` when there is no connection, or Redis refuses. Leave with `aclose`.
    """

    def __init__(
        self,
        url: str | Redis,
        *,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time,
    ) -> None:
        self._redis = url if isinstance(url, Redis) else _client(url)
        self._prefix = prefix
        self._clock = clock

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        """Keep it in place of the one before; false, with nothing changed, if another took over."""
        key = self._session(checkpoint.session_id)
        milliseconds = max(1, round((checkpoint.expires_at - self._clock()) * 1000))

        async def attempt(pipe: Any) -> bool:
            await pipe.watch(key)
            generation, token = await pipe.hmget(key, "generation", "token_hash")
            if generation is not None and int(generation) > checkpoint.generation:
                return False
            pipe.multi()
            if token:
                pipe.delete(self._token(token.decode()))
            pipe.hset(
                key,
                mapping={
                    "generation": checkpoint.generation,
                    "token_hash": checkpoint.token_hash,
                    "form": encode(checkpoint),
                },
            )
            pipe.pexpire(key, milliseconds)
            leads_to = self._token(checkpoint.token_hash)
            pipe.set(leads_to, checkpoint.session_id, px=milliseconds)
            await pipe.execute()
            return True

        return await self._transact(attempt)

    async def claim(self, token_hash: str, /, *, now: float) -> Checkpoint | None:
        """Take a session over: its checkpoint with the next generation, or `None`."""

        async def attempt(pipe: Any) -> Checkpoint | None:
            token = self._token(token_hash)
            await pipe.watch(token)
            session_id = await pipe.get(token)
            if session_id is None:
                return None
            key = self._session(session_id.decode())
            await pipe.watch(key)
            generation, current, form = await pipe.hmget(key, "generation", "token_hash", "form")
            if form is None or current != token_hash.encode():
                return None
            found = decode(form)
            if found.expires_at <= now:
                return None
            following = int(generation) + 1
            pipe.multi()
            pipe.delete(token)
            pipe.hset(key, mapping={"generation": following, "token_hash": ""})
            await pipe.execute()
            return replace(found, generation=following)

        return await self._transact(attempt)

    async def drop(self, session_id: str, /, *, generation: int) -> None:
        """The session is over: forget it, unless another took it over."""
        key = self._session(session_id)

        async def attempt(pipe: Any) -> None:
            await pipe.watch(key)
            kept, token = await pipe.hmget(key, "generation", "token_hash")
            if kept is None or int(kept) > generation:
                return
            pipe.multi()
            pipe.delete(key)
            if token:
                pipe.delete(self._token(token.decode()))
            await pipe.execute()

        await self._transact(attempt)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _session(self, session_id: str) -> str:
        return f"{self._prefix}session:{session_id}"

    def _token(self, token_hash: str) -> str:
        return f"{self._prefix}token:{token_hash}"

    async def _transact[T](self, attempt: Callable[[Any], Awaitable[T]]) -> T:
        # The pipeline is `Any`: what redis-py says of its types differs from release to release.
        try:
            for _ in range(ATTEMPTS):
                async with self._redis.pipeline(transaction=True) as pipe:
                    try:
                        return await attempt(pipe)
                    except WatchError:
                        continue
        except (RedisError, OSError) as error:
            raise Unreachable(
                f"the checkpoints in Redis cannot be used: {type(error).__name__}; check that it "
                "runs, and the URL",
                op="checkpoints",
                provider="redis",
            ) from error
        raise Overloaded(
            f"{ATTEMPTS} times another process changed the same checkpoint first; try again",
            op="checkpoints",
            provider="redis",
        )


def _client(url: str) -> Redis:
    try:
        # The library does not say what the further settings are, of which none is given.
        return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    except ValueError as error:
        raise ConfigurationError(
            "the URL of Redis is none; write it like redis://127.0.0.1:6379/0", op="checkpoints"
        ) from error
