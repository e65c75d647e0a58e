"""The voices in the eSpeak NG package: one for each language file, without loading the library."""

import importlib.util
from functools import cache
from pathlib import Path

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Voice

_PACKAGE = "espeakng_loader"


@cache
def voices() -> tuple[Voice, ...]:
    """Every voice, by its identifier."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise ConfigurationError(f"the package {_PACKAGE} is not where it should be", op="voices")
    folder = Path(package.origin).parent / "espeak-ng-data" / "lang"
    found = [_voice(path) for path in folder.rglob("*") if path.is_file()]
    return tuple(sorted(found, key=lambda voice: voice.id))


def _voice(path: Path) -> Voice:
    """What a language file says of itself."""
    name, languages = "", list[str]()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind == "name":
            name = rest.strip()
        elif kind == "language" and rest.split():
            languages.append(rest.split()[0])
    return Voice(id=path.name.lower(), name=name, languages=tuple(languages))
