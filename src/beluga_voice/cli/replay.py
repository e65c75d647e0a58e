"""`beluga-voice replay`: a recorded call once more, or as a test."""

import argparse
import asyncio
import sys
from pathlib import Path

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.recording.as_test import write_test
from beluga_voice.testing.recording.call import play, replay
from beluga_voice.testing.recording.reading import Recording, read
from beluga_voice.testing.recording.verdict import problems


def run(options: argparse.Namespace) -> int:
    """Print what happens, and what is otherwise than recorded; 1 if anything is.

    With `as_test`, write a test instead.
    """
    if options.silence_ms <= 0:
        raise ConfigurationError("--silence-ms should be above 0", op="replay")
    path = Path(options.recording)
    if options.as_test is not None:
        write_test(path, Path(options.as_test), silence_ms=options.silence_ms)
        print(f"wrote {options.as_test}: pytest {options.as_test}", file=sys.stderr)
        return 0
    recording = read(path)
    _warn(recording)
    call = asyncio.run(replay(recording)) if options.realtime else play(recording)
    for line in call.trace.lines() if options.verbose else call.trace.story():
        print(line)
    for one in problems(call, silence_ms=options.silence_ms):
        print(f"not well: {one}", file=sys.stderr)
    for one in call.mismatches:
        print(f"otherwise than recorded: {one}", file=sys.stderr)
    return int(bool(call.mismatches))


def _warn(recording: Recording) -> None:
    """Say what is missing in the recording itself."""
    if recording.is_torn:
        print("the recording breaks off: what recorded it was ended", file=sys.stderr)
    if recording.missing:
        print(f"{recording.missing} lines are missing: the disk was slow", file=sys.stderr)
    if recording.is_full:
        print("the recording reached its bound before the call was over", file=sys.stderr)
