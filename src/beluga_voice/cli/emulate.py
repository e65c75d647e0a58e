"""`beluga-voice emulate`: a service's own protocol on this machine, without the service."""

import argparse
import asyncio
import dataclasses
import signal
import sys
from contextlib import ExitStack, suppress
from typing import Any

from beluga_voice.errors import ConfigurationError
from beluga_voice.testing.emulators import acoustics
from beluga_voice.testing.emulators.catalogue import (
    Emulated,
    Plan,
    all_names,
    all_with,
    emulated,
    kind_and_name,
)
from beluga_voice.testing.emulators.speech import Asked, Deed, Faults, Pace, Speaks, obey

ENDPOINT_OPTIONS = {"s2s": "--endpoint", "stt": "--stt-endpoint", "tts": "--tts-endpoint"}
"""How `talk` is told where each kind of service is."""
FAULT_NAMES = tuple(sorted(one.name for one in dataclasses.fields(Faults)))


def emulate(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if options.name is None:
        print(*all_names(), sep="\n")
        return 0
    kind_and_name(options.name)
    if not 0 <= options.port <= 65535:
        raise ConfigurationError("a port is a number from 0 to 65535", op="emulate")
    faults = _faults(options.fault)
    with ExitStack() as stack:
        if not options.test_speech:
            stack.enter_context(_for_people())
        plan = Plan(
            brain=_answer,
            pace=Pace(thinking_ms=options.thinking_ms, word_ms=options.word_ms),
            faults=all_with(faults),
            host=options.host,
            port=options.port,
        )
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(options.name, plan))
    return 0


async def _serve(name: str, plan: Plan) -> None:
    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    try:
        async with emulated(name, plan) as service:
            _tell(name, service)
            await stop.wait()
    except OSError as error:
        message = f"cannot listen at {plan.host}:{plan.port}: {error.strerror}"
        raise ConfigurationError(message, op="emulate") from error


def _tell(name: str, service: Emulated) -> None:
    """How to talk to it, ready to be pasted."""
    settings = " ".join(f"{key}={value}" for key, value in service.environment.items())
    kind, provider = kind_and_name(name)
    asked = f"{provider}:{service.model}" if service.model else provider
    place = f"{ENDPOINT_OPTIONS[kind]} {service.endpoint}"
    print(f"{kind}/{provider} is emulated at {service.endpoint}  (Ctrl-C stops)", file=sys.stderr)
    print(f"{settings} beluga-voice talk QUESTION.wav --{kind} {asked} {place}")
    sys.stdout.flush()


def _answer(asked: Asked) -> Deed:
    """Say what was heard, so that a person notices what arrived."""
    deed = obey(asked)
    is_echo = isinstance(deed, Speaks) and deed.text == asked.text
    return Speaks(f"I heard: {asked.text}") if is_echo and asked.text else deed


def _for_people() -> Any:
    """Ears and a mouth for real speech: the embedded ones."""
    from beluga_voice.agents.builtin import BuiltinAgent
    from beluga_voice.providers.stt.pocketsphinx import Pocketsphinx
    from beluga_voice.providers.tts.espeak import Espeak

    stack = ExitStack()
    ears = acoustics.RealSpeech(Pocketsphinx(), Espeak(), phrases=BuiltinAgent.phrases)
    real = stack.enter_context(ears)
    stack.enter_context(acoustics.using(real))
    return stack


def _faults(given: list[str]) -> Faults:
    """Faults from `name=value`; raises `ConfigurationError` naming what there is."""
    wanted: dict[str, Any] = {}
    for one in given:
        name, _, value = one.partition("=")
        if name not in FAULT_NAMES:
            message = f"there is no fault {name!r}; there are {', '.join(FAULT_NAMES)}"
            raise ConfigurationError(message, op="emulate")
        wanted[name] = _value(name, value)
    return Faults(**wanted)


def _value(name: str, value: str) -> Any:
    kind = str(Faults.__annotations__[name])
    try:
        if "bool" in kind:
            return value.lower() not in ("0", "no", "false")
        if "int" in kind:
            return int(value)
        return float(value) if "float" in kind else value
    except ValueError:
        message = f"the fault {name} takes a number, not {value!r}"
        raise ConfigurationError(message, op="emulate") from None
