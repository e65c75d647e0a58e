"""`beluga-voice serve`: the page and the websocket."""

import argparse
import sys
from contextlib import AsyncExitStack

from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.app import DEFAULT_STT, DEFAULT_TTS
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.cli.parts import batched_detector, session_maker
from beluga_voice.interfaces import LineOptions
from beluga_voice.server import app
from beluga_voice.server.access import Access
from beluga_voice.session.line import NoLine


def serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    app.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    token, origins = getattr(options, "token", None), tuple(options.allow_origin)
    # What cannot be served or put together is told at once, not when the models are loaded.
    Access(host=options.host, token=token, allowed_origins=origins)
    make = session_maker(options, detector=batched_detector(options.vad))
    probe = make(NoLine(LineOptions()))
    if options.s2s:
        labels = app.Labels(s2s=options.s2s, agent=options.agent or "")
    else:
        labels = app.Labels(
            stt=options.stt or DEFAULT_STT,
            agent=options.agent or BuiltinAgent.__name__,
            tts=options.tts or DEFAULT_TTS,
            has_embedded_recognition=probe.provider.capabilities.is_local,
        )
    async with AsyncExitStack() as stack:
        warm = getattr(probe.provider, "warm", None)
        if warm is not None:
            print("loading the speech models", file=sys.stderr)
            await stack.enter_async_context(warm())
        await app.serve(
            make,
            host=options.host,
            port=options.port,
            token=token,
            allowed_origins=origins,
            labels=labels,
            limits=Limits(max_sessions=options.max_sessions),
            on_ready=lambda url: print(f"talk at {url}  (Ctrl-C stops)", file=sys.stderr),
        )
