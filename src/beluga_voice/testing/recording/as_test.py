"""Makes a recorded call a test."""

import re
from pathlib import Path

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.recording.reading import read
from beluga_voice.testing.recording.verdict import SILENCE_MS

_TEST = '''"""A recorded call, which must go well for the person.

Written by `beluga-voice replay --as-test`, and yours to change. The service says what it said in
the recording; the session is the one of today. See "Record and replay calls" for what is asked.
"""

from pathlib import Path

from beluga_voice.testing.recording.call import play
from beluga_voice.testing.recording.verdict import problems

RECORDING = Path(__file__).parent / {recording!r}


def test_{name}() -> None:
    """No silence beyond the bound, no sound repeated, and no sound lost."""
    assert problems(play(RECORDING), silence_ms={silence_ms:g}) == []
'''


def write_test(recording: Path, test: Path, *, silence_ms: float = SILENCE_MS) -> None:
    """Write a test of that recording, which is found by its place relative to the test.

    Raises `ConfigurationError` if the file is there already or cannot be written, or is none that
    pytest finds; and what `read` raises.
    """
    if not re.fullmatch(r"test_\w+\.py", test.name):
        message = f"{test.name!r} is no name of a test: call it test_SOMETHING.py"
        raise ConfigurationError(message, op="replay")
    read(recording)
    name = re.sub(r"\W+", "_", recording.stem).strip("_").lower() or "call"
    place = recording.resolve()
    folder = test.resolve().parent
    path = place.relative_to(folder, walk_up=True).as_posix()
    text = _TEST.format(recording=path, name=f"recorded_{name}", silence_ms=silence_ms)
    try:
        with test.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        message = f"{str(test)!r} is there already: give another name"
        raise ConfigurationError(message, op="replay") from error
    except OSError as error:
        message = f"cannot write {str(test)!r}: {error.strerror}"
        raise ConfigurationError(message, op="replay") from error
