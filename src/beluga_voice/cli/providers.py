"""`beluga-voice providers` and `check`: what there is, and whether it can be used."""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from beluga_voice import registry
from beluga_voice.errors import BelugaError, ConfigurationError, MissingExtra, UnknownPlugin
from beluga_voice.interfaces import Capabilities, Faithfulness
from beluga_voice.services.health import Health
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.services.speech_to_text import stt
from beluga_voice.services.text_to_speech import tts

SERVICES: dict[str, Callable[[str], Any]] = {"s2s": s2s, "stt": stt, "tts": tts}
"""What makes a handle of each kind that can be connected to."""
LOCAL, PRESENT, MISSING, NONE, BROKEN = "local", "present", "missing", "-", "broken"
OK_MARK, BAD_MARK = "ok", "FAILED"
LEGEND = {
    "interim": "words while somebody speaks",
    "words": "when each word sounds",
    "turns": "says by itself when a turn is over",
    "tools": "calls functions",
    "text": "takes written words",
    "cancel": "can be stopped",
    "truncate": "can be told what was heard of an answer",
    "delegation": "hands work to your agent",
    "phrases": "likely phrases",
    "alternatives": "other readings",
    "punctuation": "can leave it out",
    "profanity": "can filter it",
    "say:": "how faithfully it speaks given words",
    "turns:": "who can decide that a turn is over",
}
"""What the words of the last column mean; those that are not here mean what they say."""
_SHORT = {"wants_punctuation": "punctuation", "filters_profanity": "profanity", "is_ssml": "ssml"}
"""Settings as the table has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider."""

    kind: str
    name: str
    extra: str
    """The extra that it needs, of the package that it is in; `-` for none."""
    installed: str
    """`yes`, or what installs it, or `broken`."""
    credentials: str
    """`local`, `present`, or the variables that are missing."""
    can: tuple[str, ...]

    @property
    def is_usable(self) -> bool:
        """Whether it is worth a try."""
        return self.installed == "yes" and self.credentials in (LOCAL, PRESENT)


def providers(options: argparse.Namespace) -> int:
    """Print a table of all of them."""
    rows = list(all_rows())
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    cells = [
        ("kind", "name", "extra", "installed", "credentials", "can"),
        *(
            (row.kind, row.name, row.extra, row.installed, row.credentials, " ".join(row.can))
            for row in rows
        ),
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    for line in cells:
        fixed = "  ".join(text.ljust(width) for text, width in zip(line[:5], widths, strict=True))
        print(f"{fixed}  {line[5]}".rstrip())
    print()
    for name, meaning in LEGEND.items():
        print(f"{name:12}  {meaning}")
    print("\nbeluga-voice check [KIND/]NAME tries one of them.")
    return 0


def check(options: argparse.Namespace) -> int:
    """Connect to those that can be used, or to those that are named, and say what is wrong."""
    rows = list(all_rows())
    known = len(rows)
    if options.name:
        names = {row.name for row in rows}
        full_names = {f"{row.kind}/{row.name}" for row in rows}
        for name in options.name:
            if name not in names | full_names:
                raise UnknownPlugin("provider", name, tuple(sorted(names)))
        asked = set(options.name)
        rows = [row for row in rows if asked & {row.name, f"{row.kind}/{row.name}"}]
    else:
        for row in rows:
            if not row.is_usable:
                print(f"{row.kind} {row.name}: not tried; {_what_lacks(row)}", file=sys.stderr)
        rows = [row for row in rows if row.is_usable]
    healths = asyncio.run(_try(rows, options.endpoint))
    status = ready = 0
    for row, health in zip(rows, healths, strict=True):
        if health.is_healthy:
            ready += 1
            print(f"{OK_MARK:6}  {row.kind} {row.name}: ready in {health.connect_ms:.0f} ms")
        elif not options.name and isinstance(health.error, ConfigurationError):
            # Nobody asked for it: a model that was never fetched is no service that fails.
            print(f"{row.kind} {row.name}: not set up; {health.error.message}", file=sys.stderr)
        else:
            print(f"{BAD_MARK:6}  {row.kind} {row.name}: {_told(health.error)}")
            status = 1
    if not options.name:
        print(f"{ready} of {known} can be used as they are", file=sys.stderr)
    return status


async def _try(rows: list[Row], endpoint: str | None) -> list[Health]:
    return await asyncio.gather(*(_health(row, endpoint) for row in rows))


async def _health(row: Row, endpoint: str | None) -> Health:
    if row.kind not in SERVICES:
        return _made(row)
    make: Callable[..., Any] = SERVICES[row.kind]
    try:
        service = make(row.name) if endpoint is None else make(row.name, endpoint=endpoint)
    except ConfigurationError as error:
        message = error.message
        if endpoint is None or "endpoint" not in message.partition(":")[0]:
            message = f"{message}; to try it with its settings, use it in a program"
        failed = ConfigurationError(message, op="check")
        return Health(provider=row.name, is_healthy=False, connect_ms=0.0, error=failed)
    except BelugaError as error:
        return Health(provider=row.name, is_healthy=False, connect_ms=0.0, error=error)
    except Exception as error:  # the code of another package
        return Health(provider=row.name, is_healthy=False, connect_ms=0.0, error=_broken(error))
    health: Health = await service.health()
    return health


def _made(row: Row) -> Health:
    """Whether ears can be made: nothing is connected to them."""
    began = time.perf_counter()
    error: BelugaError | None = None
    try:
        registry.create(row.kind, row.name)
    except BelugaError as failed:
        error = failed
    except Exception as failed:  # the code of another package
        error = _broken(failed)
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    return Health(provider=row.name, is_healthy=error is None, connect_ms=took_ms, error=error)


def _broken(error: Exception, what: str = "it") -> ConfigurationError:
    message = f"{what} cannot be made: {type(error).__name__}: {error}"
    return ConfigurationError(message, op="check")


def _what_lacks(row: Row) -> str:
    """What has to be done before it can be tried."""
    if row.installed == BROKEN:
        return f"it is broken; beluga-voice check {row.kind}/{row.name} tells how"
    if row.installed != "yes":
        return f"install it: {row.installed}"
    return f"set {row.credentials.removeprefix(f'{MISSING}: ')}"


def _told(error: Exception | None) -> str:
    """An error for people: without the operation that it came from."""
    return error.message if isinstance(error, BelugaError) else str(error)


def all_rows() -> Iterator[Row]:
    """Every installed provider, by kind and name."""
    for kind in registry.KINDS:
        for name in registry.installed(kind):
            yield _row(kind, name)


def _row(kind: str, name: str) -> Row:
    try:
        made = registry.load(kind, name)
        able = _capabilities(made, f"the {kind} {name!r}")
    except MissingExtra as error:
        needs = f"pip install 'beluga-voice[{error.extra}]'"
        return Row(
            kind=kind, name=name, extra=error.extra, installed=needs, credentials=NONE, can=()
        )
    except ConfigurationError:
        return Row(kind=kind, name=name, extra=NONE, installed=BROKEN, credentials=NONE, can=())
    extra: str | None = getattr(made, "extra", None)
    needs = "yes" if extra is None else _what_installs(registry.origin(kind, name), extra)
    variables: tuple[str, ...] = getattr(made, "credential_variables", ())
    if not variables:
        credentials = LOCAL
    elif any(os.environ.get(one) for one in variables):
        credentials = PRESENT
    else:
        credentials = f"{MISSING}: {' or '.join(variables)}"
    can = () if able is None else tuple(_can(able))
    return Row(
        kind=kind,
        name=name,
        extra=extra or NONE,
        installed=needs,
        credentials=credentials,
        can=can,
    )


def _what_installs(origin: Distribution | None, extra: str) -> str:
    """`yes` if all is there that the extra of that package has, or what installs it."""
    if origin is None:
        return "yes"  # who registers a plugin without a package has its own way
    for requirement in origin.requires or ():
        name, _, condition = requirement.partition(";")
        needed = re.match(r"[\w.-]+", name)
        if needed is None or not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", condition):
            continue
        try:
            distribution(needed.group())
        except PackageNotFoundError:
            return f"pip install '{origin.name}[{extra}]'"
    return "yes"


def _capabilities(made: Any, what: str) -> Capabilities | None:
    """Those of the class, or of one made without settings; none where there are none.

    Raises `MissingExtra`, and `ConfigurationError` for one that breaks when it is made.
    """
    able: Any = getattr(made, "capabilities", None)
    if isinstance(able, Capabilities):
        return able
    try:
        able = getattr(made(), "capabilities", None)
    except (TypeError, ConfigurationError):
        return None  # it needs settings
    except BelugaError:
        raise
    except Exception as error:  # the code of another package
        raise _broken(error, what) from error
    return able if isinstance(able, Capabilities) else None


def _can(able: Capabilities) -> Iterator[str]:
    """What is worth telling in a line."""
    flags = {
        "interim": able.has_interim_transcripts,
        "words": able.has_word_times,
        "turns": able.finds_turns,
        "tools": able.has_tools,
        "text": able.has_text_input,
        "cancel": able.can_cancel,
        "truncate": able.can_truncate,
        "delegation": able.has_delegation,
    }
    yield from (name for name, is_able in flags.items() if is_able)
    yield from sorted(_SHORT.get(name, name) for name in able.settings - {"wants_words"})
    if able.say is not Faithfulness.NONE:
        yield f"say:{able.say}"
    owners = [str(owner) for owner in able.turn_owners]
    if able.has_tools or len(owners) > 1:
        yield f"turns:{'/'.join(owners)}"
