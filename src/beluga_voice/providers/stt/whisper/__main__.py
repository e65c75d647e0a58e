"""Fetches a Whisper model: `python -m beluga_voice.providers.stt.whisper small`."""

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

from beluga_voice.errors import MissingExtra
from beluga_voice.providers.stt.whisper._model import Broken, folder_of


def main() -> None:
    """Fetch it from the Hugging Face Hub, unless it is here, and print where it is."""
    parser = argparse.ArgumentParser(
        prog="python -m beluga_voice.providers.stt.whisper",
        description="Fetch a Whisper model, so that calls find it on this machine.",
    )
    parser.add_argument("model", help="a name such as small, or owner/name on the Hugging Face Hub")
    parser.add_argument("--folder", help="where to keep it, if not in the Hub's own cache")
    asked = parser.parse_args()
    if find_spec("faster_whisper") is None:
        sys.exit(str(MissingExtra("Whisper", extra="whisper")))
    try:
        import_module("faster_whisper").download_model(asked.model, cache_dir=asked.folder)
        print(folder_of(asked.model, asked.folder))
    except Broken as broken:
        sys.exit(broken.detail)
    except (OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    main()
