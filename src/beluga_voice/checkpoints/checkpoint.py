"""What another process needs to go on with a session.

A checkpoint holds what was said, as it was heard; what the agent wanted to say and was not heard;
and the tools that ran. It is a JSON object with a version: fields may be added within a version,
never renamed, removed or given another meaning. It holds no token, only the hash of one, but it
does hold a person's words: a store of checkpoints is as private as a recording.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from beluga_voice.errors import WrongFormat
from beluga_voice.events import HistoryItem, Message, Role, SessionId, ToolResult, ToolUse

VERSION = 1

_KINDS: dict[str, type[Any]] = {
    "message": Message,
    "tool_use": ToolUse,
    "tool_result": ToolResult,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One session at one moment. Times are in Unix seconds."""

    session_id: SessionId
    token_hash: str
    """Of the token that lets the caller back in."""
    generation: int = 0
    """How many processes have carried the session before; a newer one's checkpoint counts."""
    settings: str = ""
    """What the application calls the settings that the session was made with."""
    history: tuple[HistoryItem, ...] = ()
    """What was said, of the agent only what was heard."""
    unheard_text: str = ""
    """What the agent was saying and was not heard."""
    pending_tools: tuple[ToolUse, ...] = ()
    """The tools that ran, and whose results nobody knows."""
    input_rate: int
    output_rate: int
    created_at: float
    expires_at: float

    def __repr__(self) -> str:
        """Without the words."""
        return (
            f"Checkpoint(session_id={self.session_id!r}, generation={self.generation}, "
            f"{len(self.history)} items)"
        )


class _Form(Struct, frozen=True, kw_only=True):
    """How it is written."""

    v: int
    session_id: SessionId
    token_hash: str
    generation: int
    settings: str
    history: list[dict[str, Any]]
    unheard_text: str
    pending_tools: list[ToolUse]
    input_rate: int
    output_rate: int
    created_at: float
    expires_at: float


class _Versioned(Struct, frozen=True):
    v: int


_version = msgspec.json.Decoder(_Versioned)
_form = msgspec.json.Decoder(_Form)


def encode(checkpoint: Checkpoint) -> bytes:
    """As JSON."""
    return msgspec.json.encode(
        _Form(
            v=VERSION,
            session_id=checkpoint.session_id,
            token_hash=checkpoint.token_hash,
            generation=checkpoint.generation,
            settings=checkpoint.settings,
            history=[_tagged(item) for item in checkpoint.history],
            unheard_text=checkpoint.unheard_text,
            pending_tools=list(checkpoint.pending_tools),
            input_rate=checkpoint.input_rate,
            output_rate=checkpoint.output_rate,
            created_at=checkpoint.created_at,
            expires_at=checkpoint.expires_at,
        )
    )


def decode(data: bytes | str) -> Checkpoint:
    """What `encode` wrote; raises `WrongFormat` for anything else, and for another version."""
    try:
        version = _version.decode(data).v
        if version != VERSION:
            raise WrongFormat(
                f"a checkpoint of version {version} is not read here, only version {VERSION}",
                op="checkpoint",
            )
        form = _form.decode(data)
        history = tuple(_untagged(item) for item in form.history)
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
        # Not chained, and not quoted: it may hold words.
        message = f"this is no checkpoint: {type(error).__name__}"
        raise WrongFormat(message, op="checkpoint") from None
    return Checkpoint(
        session_id=form.session_id,
        token_hash=form.token_hash,
        generation=form.generation,
        settings=form.settings,
        history=history,
        unheard_text=form.unheard_text,
        pending_tools=tuple(form.pending_tools),
        input_rate=form.input_rate,
        output_rate=form.output_rate,
        created_at=form.created_at,
        expires_at=form.expires_at,
    )


def _tagged(item: HistoryItem) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(item)
    return {"type": _NAMES[type(item)], **fields}


def _untagged(form: dict[str, Any]) -> HistoryItem:
    fields = dict(form)
    item: HistoryItem = msgspec.convert(fields, _KINDS[fields.pop("type")])
    return item


class Continuation(Struct, frozen=True, kw_only=True):
    """How a session goes on: from that history, with words to be said, or to be answered."""

    history: tuple[HistoryItem, ...]
    say: str = ""
    """What the agent says first."""
    answer: str = ""
    """What the person said last, and nobody answered."""


def continuation(
    checkpoint: Checkpoint, *, can_say: bool = True, can_answer: bool = True
) -> Continuation:
    """How to go on from a checkpoint.

    What was not heard is said, where the service `can_say` given words; otherwise what the person
    said before it is answered anew, where the service `can_answer` words that are given to it as
    text. The same goes for a question that was not answered at all. A tool without a result was
    called in vain, and is left out: who answers anew calls it again.
    """
    history = _settled(checkpoint.history)
    if checkpoint.unheard_text and can_say:
        return Continuation(history=history, say=checkpoint.unheard_text)
    asked = _last_of_user(history)
    if asked is None or not can_answer:
        return Continuation(history=history)
    is_answered = any(
        isinstance(item, Message) and item.role is Role.AGENT for item in history[asked + 1 :]
    )
    if is_answered and not checkpoint.unheard_text:
        return Continuation(history=history)
    question = history[asked]
    assert isinstance(question, Message)
    return Continuation(history=history[:asked], answer=question.text)


def pending(history: Sequence[HistoryItem]) -> tuple[ToolUse, ...]:
    """The tools that were called and have not answered."""
    answered = {item.call_id for item in history if isinstance(item, ToolResult)}
    return tuple(
        item for item in history if isinstance(item, ToolUse) and item.call_id not in answered
    )


def _settled(history: tuple[HistoryItem, ...]) -> tuple[HistoryItem, ...]:
    """Without the tools that have not answered: a service refuses a call without a result."""
    left = set(pending(history))
    return tuple(item for item in history if item not in left)


def _last_of_user(history: tuple[HistoryItem, ...]) -> int | None:
    for index in range(len(history) - 1, -1, -1):
        item = history[index]
        if isinstance(item, Message) and item.role is Role.USER:
            return index
    return None


def unheard_part(text: str, heard: str) -> str:
    """What of a text was not heard; white space may differ between the two."""
    at = 0
    for letter in "".join(heard.split()):
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(letter, at):
            break
        at += len(letter)
    return text[at:].strip()
