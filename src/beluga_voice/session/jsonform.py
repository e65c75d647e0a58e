"""Session events as JSON, and back.

One object per event: `{"v": 1, "n": 12, "at_ms": 1834.2, "type": "transcription", ...}`. `v` is the
version of this form: fields may be added within a version, never renamed, removed or given another
meaning. `type` is the event's name in snake case; the other fields are those of the event. Sound is
base64 under `pcm`, and is left out where it is not wanted.
"""

import re
from typing import Any, get_args

import msgspec

from beluga_voice import events
from beluga_voice.errors import Misuse
from beluga_voice.session.happening import Happening

VERSION = 1

_KINDS: tuple[type[Any], ...] = get_args(events.SessionEvent.__value__)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


TYPES: dict[str, type[Any]] = {_snake(kind.__name__): kind for kind in _KINDS}
"""Every `type` and its event class."""

_NAMES = {kind: name for name, kind in TYPES.items()}


def encode(happening: Happening, *, with_audio: bool = False) -> str:
    """One line of JSON."""
    event = happening.event
    fields: dict[str, Any] = msgspec.to_builtins(event)
    if not with_audio:
        fields.pop("pcm", None)
    form = {
        "v": VERSION,
        "n": happening.sequence,
        "at_ms": round(happening.at * 1000, 3),
        "type": _NAMES[type(event)],
        **fields,
    }
    return msgspec.json.encode(form).decode()


def decode(line: str | bytes) -> Happening:
    """What `encode` wrote, with its audio; raises `Misuse` for anything else."""
    try:
        form = msgspec.json.decode(line, type=dict[str, Any])
        if form.pop("v") != VERSION:
            raise Misuse(f"this is not version {VERSION} of the event form", op="jsonform")
        sequence, at = int(form.pop("n")), float(form.pop("at_ms")) / 1000
        kind = TYPES[form.pop("type")]
        event = msgspec.convert(form, kind)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise Misuse(f"this is not a session event: {error}", op="jsonform") from error
    return Happening(event=event, at=at, sequence=sequence)


def schema() -> dict[str, Any]:
    """A JSON Schema of the form, draft 2020-12: one of the events, by its `type`."""
    _, defined = msgspec.json.schema_components(_KINDS, ref_template="#/$defs/{name}")
    head: dict[str, Any] = {
        "v": {"const": VERSION},
        "n": {"type": "integer", "minimum": 0},
        "at_ms": {"type": "number"},
    }
    for name, kind in TYPES.items():
        form = defined[kind.__name__]
        if "pcm" in form["properties"]:
            form["required"] = [field for field in form["required"] if field != "pcm"]
        form["properties"] = {**head, "type": {"const": name}, **form["properties"]}
        form["required"] = [*head, "type", *form.get("required", ())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A session event of beluga-voice",
        "oneOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in _KINDS],
        "$defs": defined,
    }
