"""`beluga-voice serve`: the page and the websocket."""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

from beluga_voice import registry
from beluga_voice.app import DEFAULT_STT, DEFAULT_TTS
from beluga_voice.backends.websocket.carrier import Checkpoints
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.checkpoints.store import CheckpointStore
from beluga_voice.cli.parts import SessionMaker, batched_detector, session_maker
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import LineOptions
from beluga_voice.server import app
from beluga_voice.server.access import Access
from beluga_voice.server.memory import take_large_pages
from beluga_voice.session.line import NoLine


def serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if options.large_pages:
        take_large_pages()
    app.run(_serve(options))
    return 0


async def _serve(options: argparse.Namespace) -> None:
    token, origins = getattr(options, "token", None), tuple(options.allow_origin)
    # What cannot be served or put together is told at once, not when the models are loaded.
    Access(host=options.host, token=token, allowed_origins=origins)
    limits = _limits(options)
    make = session_maker(options, detector=batched_detector(options.vad))
    probe = make(NoLine(LineOptions(can_transfer=True)))
    for service, variables in without_credentials(options):
        print(f"no call will reach {service}: set {' or '.join(variables)}", file=sys.stderr)
    if options.s2s:
        labels = app.Labels(s2s=options.s2s, agent=options.agent or "")
    else:
        labels = app.Labels(
            stt=options.stt or DEFAULT_STT,
            agent=options.agent or "the built-in agent",
            tts=options.tts or DEFAULT_TTS,
            has_embedded_recognition=probe.provider.capabilities.is_local,
        )
    async with AsyncExitStack() as stack:
        if options.shared_breakers is not None:
            from beluga_voice.resilience.sharing import shared_breakers

            await stack.enter_async_context(shared_breakers(options.shared_breakers))
        warm = getattr(probe.provider, "warm", None)
        if warm is not None:
            print("loading the speech models", file=sys.stderr)
            await stack.enter_async_context(warm())
        checkpoints = None
        if options.checkpoints:
            store = store_at(options.checkpoints)
            stack.push_async_callback(store.aclose)
            checkpoints = _checkpoints(store, make, options)
        await app.serve(
            make,
            host=options.host,
            port=options.port,
            token=token,
            allowed_origins=origins,
            labels=labels,
            limits=limits,
            checkpoints=checkpoints,
            drain_seconds=options.drain_seconds,
            on_ready=lambda url: print(f"talk at {url}  (Ctrl-C stops)", file=sys.stderr),
        )


def without_credentials(options: argparse.Namespace) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The services that were asked for whose keys are not there, each with its variables."""
    for kind in ("s2s", "stt", "tts"):
        for one in filter(None, (getattr(options, kind) or "").split(",")):
            name = one.partition(":")[0]
            if name not in registry.installed(kind):
                continue
            made = registry.load(kind, name)
            variables: tuple[str, ...] = getattr(made, "credential_variables", ())
            if variables and not any(os.environ.get(variable) for variable in variables):
                yield name, variables


def store_at(place: str) -> CheckpointStore:
    """The store of checkpoints in that file, or in the Redis at that address."""
    if re.match(r"(redis|rediss|unix)://", place):
        from beluga_voice.checkpoints.redis import RedisCheckpoints

        return RedisCheckpoints(place)
    from beluga_voice.checkpoints.sqlite import SqliteCheckpoints

    return SqliteCheckpoints(place)


def _checkpoints(
    store: CheckpointStore, make: SessionMaker, options: argparse.Namespace
) -> Checkpoints:
    names = (options.s2s, options.stt, options.agent, options.tts)
    return Checkpoints(
        store=store, make_session=make, settings=" ".join(str(name) for name in names if name)
    )


def _limits(options: argparse.Namespace) -> Limits:
    """How much callers may ask; raises `ConfigurationError` for what is no bound."""
    # uvloop takes 99999 and listens at another port.
    if not 0 <= options.port <= 65535:
        raise ConfigurationError("--port is a number from 0 to 65535", op="serve")
    for name in ("max_sessions", "max_sessions_per_tenant", "max_links"):
        value = getattr(options, name)
        if value is not None and value < 1:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option} is at least 1", op="serve")
    for name in ("resume_seconds", "drain_seconds"):
        if not getattr(options, name) >= 0:
            option = name.replace("_", "-")
            raise ConfigurationError(f"--{option} is not negative", op="serve")
    if options.checkpoints and not options.resume_seconds:
        message = "checkpoints are for callers who come back: give --resume-seconds above 0"
        raise ConfigurationError(message, op="serve")
    return Limits(
        max_sessions=options.max_sessions,
        max_sessions_per_tenant=options.max_sessions_per_tenant,
        resume_seconds=options.resume_seconds,
    )
