"""Carries what processes know of breakers over Redis, in one key."""

from typing import Any

from beluga_voice.errors import ConfigurationError, MissingExtra

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import WatchError
except ImportError as missing:
    raise MissingExtra("breakers in Redis", extra="redis", op="shared_breakers") from missing

KEY = "beluga-voice:breakers:1"
"""The number is that of the form, so that two releases that write different ones do not meet."""
SOCKET_SECONDS = 1.0


class RedisCarrier:
    """A `Carrier` over the Redis at that URL, such as `redis://127.0.0.1:6379/0`.

    Processes with another `key` hear nothing of each other. A client that was made elsewhere is
    taken as well, and closed with this. Methods raise what the client does: a `RedisError`, or an
    `OSError`. Raises `ConfigurationError` for what is no URL. Nothing is connected before it is
    used.
    """

    def __init__(self, url: str | Redis, *, key: str = KEY) -> None:
        self._redis = url if isinstance(url, Redis) else _client(url)
        self._key = key

    async def read(self) -> tuple[bytes | None, float]:
        """The text, and the server's time, in Unix seconds."""
        # The pipeline is `Any`: what redis-py says of its types differs from release to release.
        pipe: Any
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._key)
            pipe.time()
            form, (seconds, microseconds) = await pipe.execute()
        return form, seconds + microseconds / 1e6

    async def replace(self, before: bytes | None, after: bytes, /, *, seconds: float) -> bool:
        """Keep `after` for so long; false, with nothing changed, if it is not `before` any more."""
        pipe: Any
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(self._key)
            if await pipe.get(self._key) != before:
                return False
            pipe.multi()
            pipe.set(self._key, after, px=max(1, round(seconds * 1000)))
            try:
                await pipe.execute()
            except WatchError:
                return False
        return True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _client(url: str) -> Redis:
    try:
        # The library does not say what the further settings are. It is not to try by itself.
        return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise ConfigurationError(
            "the URL of Redis is none; write it like redis://127.0.0.1:6379/0",
            op="shared_breakers",
        ) from error
