"""What of a call may be written down: its shape and its times, not its words, sound or secrets.

Pure. By default a word is told by its length: letters become `x`, digits `0`, and the rest stays,
so that words can still be counted and placed. Sound is told by its length and a hash, which says
whether two pieces are the same. Both can be kept on demand. A secret is never kept: a handle by
which a conversation can be taken up becomes a hash, and text loses what looks like a credential or
a card number.

Text is words unless its field is known to be none: what is added to the vocabulary later is masked.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import cast

import msgspec

IDS = frozenset(
    {"utterance_id", "response_id", "context_id", "call_id", "call_ids", "delegation_id"}
    | {"work_id", "say_id"}
)
NAMES = frozenset({"name", "model", "language", "voice"})
"""Of tools, models, languages and voices: not a person's words."""
CODES = frozenset({"provider_code"})
"""Of a service's errors: short, unless something else was put there."""
SECRETS = frozenset({"handle", "resume", "remote_id"})
"""By which a conversation can be taken up or looked up."""
JSON_TEXT = frozenset({"arguments", "output"})
"""Often JSON: its values are masked, and its keys stay."""
SCHEMA = "parameters"
EMPTY_SCHEMA = '{"type":"object","properties":{}}'

_CREDENTIAL = re.compile(
    r"(?i)\b(?:bearer|token|secret|passw(?:or)?d|authorization|api[-_ ]?key|key)\b\W{1,4}\S+"
    r"|\b(?:sk|pk|rk|xai|ghp|gsk|AKIA|AIza|eyJ)[-_]?[A-Za-z0-9][A-Za-z0-9._~+/=-]{9,}"
    r"|\b[A-Za-z0-9+/_-]{32,}={0,2}"
)
_CARD = re.compile(r"\d(?:[ -]?\d){12,}")


def told(
    item: object, *, keeps_words: bool = False, keeps_audio: bool = False
) -> dict[str, object]:
    """The fields of a command, an event or options, as they may be written down."""
    return _Teller(keeps_words, keeps_audio).fields(item)


def masked(text: str) -> str:
    """Text by the length of its words; masking it again changes nothing."""
    return "".join("x" if one.isalpha() else "0" if one.isdigit() else one for one in text)


def scrubbed(text: str) -> str:
    """Text without what looks like a credential or the number of a card."""
    return _CARD.sub("[number]", _CREDENTIAL.sub("[secret]", text))


def hashed(data: bytes) -> str:
    """Sixteen digits that say whether two things are the same."""
    return hashlib.sha256(data).hexdigest()[:16]


class _Teller:
    def __init__(self, keeps_words: bool, keeps_audio: bool) -> None:
        self._keeps_words = keeps_words
        self._keeps_audio = keeps_audio

    def fields(self, item: object) -> dict[str, object]:
        names: tuple[str, ...] = ()
        if isinstance(item, msgspec.Struct):
            names = item.__struct_fields__
        elif is_dataclass(item):
            names = tuple(one.name for one in fields(item))
        return {name: self._value(name, getattr(item, name)) for name in names}

    def _value(self, name: str, value: object) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case Enum():
                return value.value
            case str():
                return self._text(name, value)
            case bytes():
                return self._sound(value)
            case tuple() | list() | frozenset():
                many = cast("Iterable[object]", value)  # each of it is looked at by itself
                return [self._value(name, one) for one in many]
            case _:
                return self.fields(value)

    def _text(self, name: str, text: str) -> str:
        if name in IDS or name in NAMES:
            return text
        if name in CODES:
            return scrubbed(text)
        if name in SECRETS:
            return f"~{hashed(text.encode())}"
        if name == SCHEMA:
            return EMPTY_SCHEMA
        if self._keeps_words:
            return scrubbed(text)
        return _masked_json(text) if name in JSON_TEXT else masked(text)

    def _sound(self, pcm: bytes) -> dict[str, object]:
        form: dict[str, object] = {"bytes": len(pcm), "sha256": hashed(pcm)}
        if not pcm.strip(b"\0"):
            form["silent"] = True
        if self._keeps_audio:
            form["base64"] = base64.b64encode(pcm).decode()
        return form


def _masked_json(text: str) -> str:
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return masked(text)
    return msgspec.json.encode(_masked_value(value)).decode()


def _masked_value(value: object) -> object:
    if isinstance(value, list):
        return [_masked_value(one) for one in cast("list[object]", value)]  # of JSON
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)  # of JSON
        return {key: _masked_value(one) for key, one in pairs.items()}
    if isinstance(value, str):
        return masked(value)
    return value if isinstance(value, bool | None) else 0
