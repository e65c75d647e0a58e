"""The command line."""

from beluga_voice.cli.main import main

__all__ = ["main"]
