"""The command line."""

import sys

try:
    from beluga_voice.cli.main import main
except KeyboardInterrupt:
    # Ctrl-C before there is anything that could take it.
    print("stopped", file=sys.stderr)
    raise SystemExit(130) from None

__all__ = ["main"]
