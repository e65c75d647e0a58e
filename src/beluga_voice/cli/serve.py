"""`beluga-voice serve`: the page and the websocket."""

import argparse


def serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    raise NotImplementedError
