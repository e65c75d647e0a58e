"""`beluga-voice`: what was asked for, and how it ended."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from beluga_voice import __version__
from beluga_voice.errors import BelugaError, ConfigurationError, Misuse

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

DEFAULTS: dict[str, Any] = {
    "agent": None,
    "stt": None,
    "tts": None,
    "s2s": None,
    "endpoint": None,
    "vad": None,
    "voice": None,
    "language": None,
    "instructions": "",
    "greeting": "",
    "phrase": (),
    "host": "127.0.0.1",
    "port": 8080,
    "max_sessions": 100,
    "allow_origin": (),
    "token": None,
}
"""The options where nothing is set: those of `beluga_voice.config`, without loading it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status.

    0 is success, 1 a failure while it ran, 2 something to correct in what was asked, 130 Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return USAGE
    try:
        if options.command in ("talk", "serve"):
            _fill_in(options)
        return _run(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody to tell.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ConfigurationError, Misuse) as error:
        print(f"beluga-voice: {error}", file=sys.stderr)
        return USAGE
    except BelugaError as error:
        print(f"beluga-voice: {error}", file=sys.stderr)
        return FAILED


def _run(options: argparse.Namespace) -> int:
    if options.command == "talk":
        from beluga_voice.cli.talk import talk

        return talk(options)
    if options.command in ("providers", "check"):
        from beluga_voice.cli import providers

        return {"providers": providers.providers, "check": providers.check}[options.command](
            options
        )
    if options.command == "emulate":
        from beluga_voice.cli.emulate import emulate

        return emulate(options)
    from beluga_voice.cli.serve import serve

    return serve(options)


def _fill_in(options: argparse.Namespace) -> None:
    """Take from the settings what was not asked for."""
    for name, value in (_settings() if _has_settings() else DEFAULTS).items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)


def _has_settings() -> bool:
    """Whether there are any: loading what reads them takes as long as half of all the rest."""
    is_set = any(name.upper().startswith("BELUGA_VOICE_") for name in os.environ)
    return is_set or os.path.lexists("beluga-voice.yaml")


def _settings() -> dict[str, Any]:
    """The settings, by the names of the options."""
    from beluga_voice import config

    settings = config.read()
    return {
        "agent": settings.agent,
        "stt": settings.stt,
        "tts": settings.tts,
        "s2s": settings.s2s,
        "endpoint": settings.endpoint,
        "vad": settings.vad,
        "voice": settings.voice,
        "language": settings.language,
        "instructions": settings.instructions,
        "greeting": settings.greeting,
        "phrase": settings.phrases,
        "host": settings.host,
        "port": settings.port,
        "max_sessions": settings.max_sessions,
        "allow_origin": settings.allow_origins,
        "token": settings.token.get_secret_value() if settings.token else None,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beluga-voice",
        description="Real-time voice agents that never go silent.",
        epilog="What is not given is taken from BELUGA_VOICE_... in the environment, then from "
        "beluga-voice.yaml.",
    )
    parser.add_argument("--version", action="version", version=f"beluga-voice {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    talk = commands.add_parser(
        "talk",
        help="hold a spoken conversation, from a file or with the microphone",
        description="Hold a spoken conversation: with the microphone, or with the speech in a WAV "
        "file, as fast as possible. Several utterances in a file are several turns.",
    )
    talk.add_argument("question", nargs="?", metavar="QUESTION.wav", help="what the person says")
    talk.add_argument("--out", metavar="ANSWER.wav", help="write what the agent says")
    talk.add_argument(
        "--mix", metavar="CALL.wav", help="write the whole call, the person left, the agent right"
    )
    talk.add_argument("--json", action="store_true", help="print typed events, one per line")
    talk.add_argument("--realtime", action="store_true", help="take as long as a real call")
    talk.add_argument(
        "--barge-in",
        action="store_true",
        help="let the file run on while the agent speaks, instead of waiting for the agent",
    )
    _add_parts(talk)

    serve = commands.add_parser(
        "serve",
        help="a page to talk to, and a websocket for programs",
        description="Serve a page to talk to, and a websocket for programs.",
    )
    serve.add_argument("--host", help="default: 127.0.0.1")
    serve.add_argument("--port", type=int, help="default: 8080")
    serve.add_argument("--max-sessions", type=int, metavar="N", help="default: 100")
    serve.add_argument("--allow-origin", action="append", metavar="ORIGIN", help="a page of yours")
    _add_parts(serve)
    _add_emulate(commands)
    _add_providers(commands)
    return parser


def _add_providers(commands: Any) -> None:
    providers = commands.add_parser(
        "providers",
        help="every provider there is, and whether it can be used",
        description="List every provider: its kind, what installs it, whether its credentials are "
        "in the environment, and what it can do.",
    )
    providers.add_argument("--json", action="store_true", help="as JSON")
    check = commands.add_parser(
        "check",
        help="connect to services, and say what is wrong",
        description="Connect to the named services, or to all whose credentials are there, and "
        "say what is wrong with those that fail. Many services charge for that like for a short "
        "call.",
    )
    check.add_argument("name", nargs="*", metavar="NAME", help="default: all that can be used")
    check.add_argument("--endpoint", metavar="URL", help="another address of that service")


def _add_emulate(commands: Any) -> None:
    emulate = commands.add_parser(
        "emulate",
        help="a service's own protocol on this machine, without the service",
        description="Emulate a service: its own protocol, on this machine, for any client that "
        "speaks it. It hears speech, says what it heard, and fails as it is told to.",
    )
    emulate.add_argument("name", nargs="?", metavar="NAME", help="without one: what there is")
    emulate.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    emulate.add_argument("--port", type=int, default=0, help="default: any that is free")
    emulate.add_argument("--thinking-ms", type=float, default=300, metavar="MS")
    emulate.add_argument("--word-ms", type=float, default=0, metavar="MS")
    emulate.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what goes wrong with each connection, such as drop_after_audio_ms=800; repeatable",
    )
    emulate.add_argument(
        "--test-speech",
        action="store_true",
        help="speak sound that carries its own words, for programs, instead of a voice",
    )


def _add_parts(command: argparse.ArgumentParser) -> None:
    """The parts of a session."""
    command.add_argument(
        "--agent", metavar="MODULE:FUNCTION", help="who answers: your async function or generator"
    )
    command.add_argument(
        "--s2s",
        metavar="NAME[:MODEL]",
        help="a speech-to-speech service, in place of speech-to-text, agent and text-to-speech; "
        "with --agent, your agent decides its words",
    )
    command.add_argument(
        "--endpoint", metavar="URL", help="another address of that service: a proxy, an emulator"
    )
    command.add_argument("--stt", metavar="NAME", help="speech-to-text; default: pocketsphinx")
    command.add_argument("--tts", metavar="NAME", help="text-to-speech; default: espeak")
    command.add_argument("--vad", metavar="NAME", help="voice detector; default: silero")
    command.add_argument("--voice", metavar="NAME", help="the voice, by the service's name for it")
    command.add_argument("--language", metavar="TAG", help="what is spoken, such as en or de-AT")
    command.add_argument("--instructions", metavar="TEXT", help="what the model is told to be")
    command.add_argument("--greeting", metavar="TEXT", help="what the agent says first")
    command.add_argument(
        "--phrase",
        action="append",
        metavar="TEXT",
        help="a likely sentence, to be recognised better; may be repeated",
    )
