"""Where checkpoints are kept, and who may take one over.

A checkpoint belongs to the process that carries its session. Another one takes it over by
claiming it with the hash of the caller's token, which only one can do: from then on what the first
one saves is refused, so that a process that was only thought to be dead does no harm.
"""

from typing import Protocol

from msgspec.structs import replace

from beluga_voice.checkpoints.checkpoint import Checkpoint, decode, encode


class CheckpointStore(Protocol):
    """Keeps the newest checkpoint of each session until it expires. Cancelling is safe.

    All methods raise a `BelugaError` when the store cannot be reached.
    """

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        """Keep it in place of the one before; false, with nothing changed, if another took over."""
        ...

    async def claim(self, token_hash: str, /, *, now: float) -> Checkpoint | None:
        """Take a session over: its checkpoint with the next generation, or `None`.

        `now` is in Unix seconds. The token is used up with this.
        """
        ...

    async def drop(self, session_id: str, /, *, generation: int) -> None:
        """The session is over: forget it, unless another took it over."""
        ...

    async def aclose(self) -> None:
        """Release what the store holds open."""
        ...


class InMemoryCheckpoints:
    """Checkpoints for as long as the process lasts: for tests, and for several carriers in one."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, str, float, bytes]] = {}

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        """Keep it in place of the one before; false, with nothing changed, if another took over."""
        before = self._kept.get(checkpoint.session_id)
        if before is not None and before[0] > checkpoint.generation:
            return False
        self._kept[checkpoint.session_id] = (
            checkpoint.generation,
            checkpoint.token_hash,
            checkpoint.expires_at,
            encode(checkpoint),
        )
        return True

    async def claim(self, token_hash: str, /, *, now: float) -> Checkpoint | None:
        """Take a session over: its checkpoint with the next generation, or `None`."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept[2] > now}
        for key, (generation, token, expires_at, form) in self._kept.items():
            if token and token == token_hash:
                found = decode(form)  # before it is taken: another version can be left to others
                self._kept[key] = (generation + 1, "", expires_at, form)
                return replace(found, generation=generation + 1)
        return None

    async def drop(self, session_id: str, /, *, generation: int) -> None:
        """The session is over: forget it, unless another took it over."""
        before = self._kept.get(session_id)
        if before is not None and before[0] <= generation:
            del self._kept[session_id]

    async def aclose(self) -> None:
        """Nothing is held open."""
