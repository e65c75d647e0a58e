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
    "stt_endpoint": None,
    "tts_endpoint": None,
    "vad": None,
    "voice": None,
    "language": None,
    "instructions": "",
    "greeting": "",
    "phrase": (),
    "memory": None,
    "caller": None,
    "host": "127.0.0.1",
    "port": 8080,
    "max_sessions": 100,
    "max_sessions_per_tenant": None,
    "max_links": None,
    "resume_seconds": 30.0,
    "drain_seconds": 20.0,
    "checkpoints": None,
    "shared_breakers": None,
    "transfer": None,
    "allow_origin": (),
    "token": None,
}
"""The options where nothing is set: those of `beluga_voice.config`, without loading it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status.

    0 is success, 1 a failure while it ran, 2 something to correct in what was asked, 130 Ctrl-C.
    """
    try:
        parser = _parser()
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help()
            return USAGE
        if options.command in ("talk", "record", "serve"):
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
    if options.command == "record":
        from beluga_voice.cli.record import record

        return record(options)
    if options.command == "replay":
        from beluga_voice.cli import replay

        return replay.run(options)
    if options.command in ("providers", "check"):
        from beluga_voice.cli import providers

        return {"providers": providers.providers, "check": providers.check}[options.command](
            options
        )
    if options.command == "emulate":
        from beluga_voice.cli.emulate import emulate

        return emulate(options)
    if options.command == "simulate":
        from beluga_voice.cli.simulate import simulate

        return simulate(options)
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
        "stt_endpoint": settings.stt_endpoint,
        "tts_endpoint": settings.tts_endpoint,
        "vad": settings.vad,
        "voice": settings.voice,
        "language": settings.language,
        "instructions": settings.instructions,
        "greeting": settings.greeting,
        "phrase": settings.phrases,
        "memory": settings.memory,
        "caller": settings.caller,
        "host": settings.host,
        "port": settings.port,
        "max_sessions": settings.max_sessions,
        "max_sessions_per_tenant": settings.max_sessions_per_tenant,
        "max_links": settings.max_links,
        "resume_seconds": settings.resume_seconds,
        "drain_seconds": settings.drain_seconds,
        "checkpoints": settings.checkpoints,
        "shared_breakers": settings.shared_breakers,
        "transfer": settings.transfer,
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
    _add_talk(talk)
    _add_recording(commands)

    serve = commands.add_parser(
        "serve",
        help="a page to talk to, and a websocket for programs",
        description="Serve a page to talk to, and a websocket for programs.",
    )
    serve.add_argument("--host", help="default: 127.0.0.1")
    serve.add_argument("--port", type=int, help="default: 8080")
    serve.add_argument("--max-sessions", type=int, metavar="N", help="default: 100")
    serve.add_argument(
        "--max-sessions-per-tenant", type=int, metavar="N", help="from one address; default: any"
    )
    serve.add_argument(
        "--max-links", type=int, metavar="N", help="to each service at once; default: any"
    )
    serve.add_argument(
        "--resume-seconds",
        type=float,
        metavar="SECONDS",
        help="how long a call waits for a caller who was lost; 0: not at all; default: 30",
    )
    serve.add_argument(
        "--drain-seconds",
        type=float,
        metavar="SECONDS",
        help="after SIGTERM, how long what is being said may take; default: 20",
    )
    serve.add_argument(
        "--large-pages",
        action="store_true",
        help="take memory in large pages, which hundreds of calls need less of a core for (Linux)",
    )
    serve.add_argument(
        "--checkpoints",
        metavar="PLACE",
        help="a file, or redis://HOST, through which other processes can go on with calls",
    )
    serve.add_argument(
        "--shared-breakers",
        metavar="URL",
        help="a Redis, such as redis://HOST, through which processes tell each other which "
        "services fail",
    )
    serve.add_argument(
        "--transfer",
        metavar="ADDRESS",
        help="where a call goes on when nobody is left to answer it; callers are told",
    )
    serve.add_argument("--allow-origin", action="append", metavar="ORIGIN", help="a page of yours")
    _add_parts(serve)
    _add_emulate(commands)
    _add_providers(commands)
    _add_simulate(commands)
    return parser


def _add_talk(command: argparse.ArgumentParser) -> None:
    """A conversation, from a file or with the microphone."""
    command.add_argument("question", nargs="?", metavar="QUESTION.wav", help="what the person says")
    command.add_argument("--out", metavar="ANSWER.wav", help="write what the agent says")
    command.add_argument(
        "--mix", metavar="CALL.wav", help="write the whole call, the person left, the agent right"
    )
    command.add_argument("--json", action="store_true", help="print typed events, one per line")
    command.add_argument("--realtime", action="store_true", help="take as long as a real call")
    command.add_argument(
        "--barge-in",
        action="store_true",
        help="let the file run on while the agent speaks, instead of waiting for the agent",
    )
    command.add_argument(
        "--interrupt-after",
        type=float,
        metavar="MS",
        help="wait for each answer, and interrupt it when it has sounded for so long",
    )
    _add_parts(command)


def _add_recording(commands: Any) -> None:
    record = commands.add_parser(
        "record",
        help="as talk, and write down what goes to the service and comes from it",
        description="Hold a conversation as talk does, and write to a new file what goes to the "
        "service and comes from it. Words are told by their length and sound by a hash, unless "
        "they are to be kept; secrets never are.",
    )
    record.add_argument("--to", required=True, metavar="CALL.jsonl", help="the recording")
    record.add_argument("--keep-audio", action="store_true", help="keep the sound")
    record.add_argument("--keep-words", action="store_true", help="keep the words")
    _add_talk(record)
    replay = commands.add_parser(
        "replay",
        help="a recorded call once more, or as a test",
        description="Let a recorded service talk to a session in simulated time, and print what "
        "happens. The exit status is 1 if the session tells the service anything else than it did "
        "when it was recorded.",
    )
    replay.add_argument("recording", metavar="CALL.jsonl")
    replay.add_argument("--as-test", metavar="test_call.py", help="write a pytest test instead")
    replay.add_argument(
        "--silence-ms",
        type=float,
        default=3000,
        metavar="MS",
        help="how long the person may wait in silence; default: 3000",
    )
    replay.add_argument("--verbose", action="store_true", help="print events with their fields")
    replay.add_argument("--realtime", action="store_true", help="take as long as the call took")


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
    check.add_argument(
        "name",
        nargs="*",
        metavar="[KIND/]NAME",
        help="such as grok or stt/deepgram; default: all that can be used",
    )
    check.add_argument("--endpoint", metavar="URL", help="another address of that service")


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="conversations in simulated time, against what should come of them",
        description="Play whole conversations in simulated time.",
    )
    kinds = simulate.add_subparsers(dest="simulation", metavar="KIND", required=True)
    turns = kinds.add_parser(
        "turns",
        help="who has the floor: interruptions, pauses, late words, tools",
        description="Play the library of scenarios about turn taking, and hold every line of "
        "what happens, to the millisecond, against what should. The exit status is 1 if anything "
        "is otherwise.",
    )
    turns.add_argument(
        "name", nargs="*", metavar="NAME", help="scenarios, or FILE.yaml; default: all there are"
    )
    turns.add_argument("--json", action="store_true", help="print everything as JSON")
    turns.add_argument("--plot", metavar="FILE.svg", help="draw who spoke when")
    turns.add_argument(
        "--update", action="store_true", help="write what comes as what should, and show the change"
    )
    turns.add_argument(
        "--compare", action="store_true", help="only what is known of others, and our numbers"
    )
    _add_faults(kinds)


def _add_faults(kinds: Any) -> None:
    faults = kinds.add_parser(
        "faults",
        help="every fault, at every moment, on every stage: what the person had of it",
        description="Let every fault of the catalogue strike at every moment at which it can, on a "
        "cascade and on every speech-to-speech service, alone and with something that stands in, "
        "and measure from the person's line how long it took to recover, and what was lost, "
        "repeated or left behind. The exit status is 1 if a bound is broken.",
    )
    faults.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FAULT/PHASE/STAGE",
        help="only these calls, such as hang/awaited/tts+ or 'close_1*/*/grok'; a single one is "
        "told event by event",
    )
    faults.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed")
    faults.add_argument("--seeds", type=int, default=1, metavar="N", help="how many; default: 1")
    faults.add_argument(
        "--calls", type=int, metavar="N", help="so many calls, seed after seed, watching memory"
    )
    faults.add_argument("--jobs", type=int, metavar="N", help="processes; default: one for a core")
    faults.add_argument("--json", metavar="FILE", help="write everything as JSON; - to print it")
    faults.add_argument("--plot", metavar="FILE.svg", help="draw how long it took to recover")
    faults.add_argument(
        "--compare", action="store_true", help="only what was measured of others, and our numbers"
    )


def _add_emulate(commands: Any) -> None:
    emulate = commands.add_parser(
        "emulate",
        help="a service's own protocol on this machine, without the service",
        description="Emulate a service: its own protocol, on this machine, for any client that "
        "speaks it. It hears speech, says what it heard, and fails as it is told to.",
    )
    emulate.add_argument(
        "name",
        nargs="?",
        metavar="[KIND/]NAME",
        help="such as grok or stt/deepgram; without one: what there is",
    )
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
        metavar="NAME[:MODEL][,NAME...]",
        help="a speech-to-speech service, in place of speech-to-text, agent and text-to-speech, "
        "or several that stand in for one another (`cascade` is the three parts); "
        "with --agent, your agent decides its words",
    )
    command.add_argument(
        "--endpoint", metavar="URL", help="another address of that service: a proxy, an emulator"
    )
    command.add_argument(
        "--stt",
        metavar="NAME[,NAME...]",
        help="speech-to-text; default: pocketsphinx. "
        "Several, with commas, stand in for one another",
    )
    command.add_argument("--tts", metavar="NAME[,NAME...]", help="text-to-speech; default: espeak")
    for part, option in (("speech-to-text", "--stt"), ("text-to-speech", "--tts")):
        command.add_argument(
            f"{option}-endpoint", metavar="URL", help=f"another address of the {part} service"
        )
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
    command.add_argument(
        "--memory", metavar="PATH", help="a file in which what was said is kept from call to call"
    )
    command.add_argument(
        "--caller", metavar="KEY", help="whom that memory is of, such as a telephone number"
    )
