"""Snapshots of sessions, from which another process can go on, and where they are kept."""

from beluga_voice.checkpoints.checkpoint import Checkpoint, Continuation, continuation
from beluga_voice.checkpoints.store import CheckpointStore, InMemoryCheckpoints

__all__ = [
    "Checkpoint",
    "CheckpointStore",
    "Continuation",
    "InMemoryCheckpoints",
    "continuation",
]
