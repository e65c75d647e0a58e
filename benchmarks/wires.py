"""What a speech-to-speech codec costs: 20 ms of sound in and out, and the import of a provider.

Codecs are pure, so one is called in a loop: the service's message with 20 ms of a response becomes
its event, and a command with 20 ms of the person becomes a message. Services send longer pieces as
a rule, which cost less for each 20 ms. Rounds of all codecs take turns, so that all meet the same
machine. The floor is base64 of the same sound by itself. A provider is imported by a fresh process.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import base64
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import ResponseAudio, S2sCommand, S2sEvent, SendAudio
from beluga_voice.interfaces import Codec, S2sOptions, WireMessage
from beluga_voice.providers.s2s.elevenlabs._capabilities import capabilities as of_elevenlabs
from beluga_voice.providers.s2s.elevenlabs._codec import ElevenLabsAgentsCodec
from beluga_voice.providers.s2s.elevenlabs._setup import Settings as ElevenLabsSettings
from beluga_voice.providers.s2s.gemini_live._codec import GeminiLiveCodec
from beluga_voice.providers.s2s.gemini_live._setup import Settings as GeminiLiveSettings
from beluga_voice.providers.s2s.grok._capabilities import capabilities as of_grok
from beluga_voice.providers.s2s.grok._codec import GrokCodec
from beluga_voice.providers.s2s.grok._options import Settings as GrokSettings
from beluga_voice.providers.s2s.grok._resumption import Conversations
from beluga_voice.providers.s2s.nova_sonic._codec import NovaSonicCodec
from beluga_voice.providers.s2s.nova_sonic._settings import Settings as NovaSonicSettings
from beluga_voice.providers.s2s.openai_live._capabilities import DEFAULT_FORMAT
from beluga_voice.providers.s2s.openai_live._capabilities import capabilities as of_openai_live
from beluga_voice.providers.s2s.openai_live._codec import OpenAILiveCodec
from beluga_voice.providers.s2s.openai_live._options import Settings as OpenAILiveSettings
from beluga_voice.providers.s2s.openai_realtime._capabilities import capabilities
from beluga_voice.providers.s2s.openai_realtime._codec import OpenAIRealtimeCodec
from beluga_voice.providers.s2s.openai_realtime._options import Settings as OpenAISettings
from benchmarks.results import Cell, Number, Result, Table, rounded

WHAT = "cost of each speech-to-speech codec for 20 ms of sound, and time to import its provider"
MILLISECONDS = 20
OUTPUT_RATE = 24000
FLOOR = "floor (base64 alone)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A codec, how its service sends sound, and its provider."""

    make: Callable[[], Codec[S2sCommand, S2sEvent]]
    opening: Sequence[WireMessage]
    """What comes before the first sound of a response."""
    sound: Callable[[str], WireMessage]
    """The message of a piece of a response, given its sound in base64."""
    input_rate: int
    provider: str
    """Where the provider is, as `module:name`."""


def _openai() -> OpenAIRealtimeCodec:
    settings = OpenAISettings(model="gpt-realtime-2.1")
    return OpenAIRealtimeCodec(S2sOptions(), settings, capabilities(has_transcripts=True))


def _gemini() -> GeminiLiveCodec:
    return GeminiLiveCodec(S2sOptions(), GeminiLiveSettings(model="gemini-3.8-live"), link=1)


def _grok() -> GrokCodec:
    return GrokCodec(
        S2sOptions(),
        GrokSettings(model="grok-voice-latest"),
        of_grok(resumption=True, max_connection_seconds=1800),
        now=perf_counter,
        conversations=Conversations(),
    )


def _nova() -> NovaSonicCodec:
    return NovaSonicCodec(S2sOptions(), NovaSonicSettings(), link=1)


def _live() -> OpenAILiveCodec:
    able = of_openai_live(DEFAULT_FORMAT, has_tools=False)
    return OpenAILiveCodec(S2sOptions(), OpenAILiveSettings(model="gpt-live-1"), able)


def _elevenlabs() -> ElevenLabsAgentsCodec:
    options = S2sOptions(output_format=pcm16(OUTPUT_RATE))
    settings = ElevenLabsSettings(agent_id="agent")
    return ElevenLabsAgentsCodec(options, settings, of_elevenlabs(), link=1)


def _openai_sound(encoded: str) -> str:
    return json.dumps(
        {
            "type": "response.output_audio.delta",
            "event_id": "event_C6b8hWqXbD9oT3yq1Zl2A",
            "response_id": "resp_C6b8h0YlU7tS5aQb2Nf4D",
            "item_id": "item_C6b8hd8Kz1RjR6cWq3Xg7",
            "output_index": 0,
            "content_index": 0,
            "delta": encoded,
        }
    )


def _gemini_sound(encoded: str) -> bytes:
    data = {"mimeType": f"audio/pcm;rate={OUTPUT_RATE}", "data": encoded}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": data}]}}}).encode()


def _nova_event(kind: str, **fields: str) -> bytes:
    names = {
        "sessionId": "5d1b2b0e-8b0f-4a3e-9c53-0a6c4f5d2e11",
        "promptName": "prompt-1",
        "completionId": "f3a1a6a8-3a57-4a0e-8f5f-6f0f3c3f9b10",
        "contentId": "0c0e9f0a-7b8c-4e5b-9d40-2f1f5d8f7a52",
    }
    return json.dumps({"event": {kind: {**names, **fields}}}).encode()


def _live_sound(encoded: str) -> str:
    return json.dumps({"type": "session.output_audio.delta", "delta": encoded})


def _elevenlabs_sound(encoded: str) -> str:
    return json.dumps({"type": "audio", "audio_event": {"audio_base_64": encoded, "event_id": 5}})


_ELEVENLABS_BEGINS = {
    "conversation_id": "conv_3601k6q1m5xgeq8sbs0yqhwz2h1e",
    "agent_output_audio_format": f"pcm_{OUTPUT_RATE}",
    "user_input_audio_format": "pcm_16000",
}

WIRES = {
    "openai_realtime": Wire(
        make=_openai,
        opening=(
            '{"type": "session.updated", "session": {}}',
            '{"type": "response.created", "response": {"id": "resp_C6b8h0YlU7tS5aQb2Nf4D"}}',
        ),
        sound=_openai_sound,
        input_rate=24000,
        provider="beluga_voice.providers.s2s.openai_realtime:OpenAIRealtime",
    ),
    "gemini_live": Wire(
        make=_gemini,
        opening=(b'{"setupComplete": {}}',),
        sound=_gemini_sound,
        input_rate=16000,
        provider="beluga_voice.providers.s2s.gemini_live:GeminiLive",
    ),
    "grok": Wire(
        make=_grok,
        opening=(
            '{"type": "session.updated", "session": {}}',
            '{"type": "response.created", "response": {"id": "resp_C6b8h0YlU7tS5aQb2Nf4D"}}',
        ),
        sound=_openai_sound,
        input_rate=24000,
        provider="beluga_voice.providers.s2s.grok:Grok",
    ),
    "nova_sonic": Wire(
        make=_nova,
        opening=(
            b'{"accepted": {}}',
            _nova_event("contentStart", type="AUDIO", role="ASSISTANT"),
        ),
        sound=lambda encoded: _nova_event("audioOutput", content=encoded),
        input_rate=16000,
        provider="beluga_voice.providers.s2s.nova_sonic:NovaSonic",
    ),
    "openai_live": Wire(
        make=_live,
        opening=('{"type": "session.started", "session": {}}',),
        sound=_live_sound,
        input_rate=24000,
        provider="beluga_voice.providers.s2s.openai_live:OpenAILive",
    ),
    "elevenlabs": Wire(
        make=_elevenlabs,
        opening=(
            json.dumps(
                {
                    "type": "conversation_initiation_metadata",
                    "conversation_initiation_metadata_event": _ELEVENLABS_BEGINS,
                }
            ),
        ),
        sound=_elevenlabs_sound,
        input_rate=16000,
        provider="beluga_voice.providers.s2s.elevenlabs:ElevenLabsAgents",
    ),
}
"""What is measured, by the name of its provider."""

_PROGRAM = """
import sys
from importlib import import_module
from time import perf_counter
module, _, name = sys.argv[1].partition(":")
before = len(sys.modules)
began = perf_counter()
getattr(import_module(module), name)
print((perf_counter() - began) * 1000, len(sys.modules) - before)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--messages", type=int, default=2000, help="of a round: %(default)s")
    parser.add_argument("--processes", type=int, default=15, help="default: %(default)s")


def measure(options: argparse.Namespace) -> Result:
    """Call the codecs, then start the processes."""
    calls = {
        (name, way): call
        for name, wire in WIRES.items()
        for way, call in (("decode", decoding(wire)), ("encode", encoding(wire)))
    }
    calls[FLOOR, "decode"] = _floor_decoding()
    calls[FLOOR, "encode"] = _floor_encoding()
    rounds = _rounds(calls, options.rounds, options.messages)
    imports = {
        name: [_imported(wire.provider) for _ in range(options.processes)]
        for name, wire in WIRES.items()
    }
    numbers: dict[str, Number] = {}
    rows: list[list[Cell]] = []
    for name in (*WIRES, FLOOR):
        row: list[Cell] = [name]
        for way in ("decode", "encode"):
            value = rounded(median(rounds[name, way]), 3)
            numbers[f"{name}: {way}"] = Number(value=value, unit=f"µs per {MILLISECONDS} ms")
            row.append(value)
        rows.append(row)
    starts: list[list[Cell]] = []
    for name, found in imports.items():
        value = rounded(median(took for took, _ in found), 1)
        numbers[f"{name}: import"] = Number(value=value, unit="ms")
        numbers[f"{name}: modules"] = Number(value=found[0][1], unit="modules")
        starts.append([name, value, found[0][1]])
    return Result(
        name="wires",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title=f"A codec, for {MILLISECONDS} ms of sound, median of {options.rounds} rounds",
                columns=["", "decode, µs", "encode, µs"],
                rows=rows,
            ),
            Table(
                title=f"A provider in a fresh process, median of {options.processes}",
                columns=["", "import, ms", "modules loaded by it"],
                rows=starts,
            ),
        ],
        series={
            "rounds_us": {f"{name}: {way}": found for (name, way), found in rounds.items()},
            "imports_ms": {name: [took for took, _ in found] for name, found in imports.items()},
        },
        notes=[
            f"Sound comes at {OUTPUT_RATE:,} Hz and goes at "
            + ", ".join(f"{wire.input_rate:,} Hz ({name})" for name, wire in WIRES.items())
            + f"; the floor is at {OUTPUT_RATE:,} Hz both ways."
        ],
    )


# ── what is called ──────────────────────────────────────────────────────────────────────────


def decoding(wire: Wire) -> Callable[[], object]:
    """A call that decodes a piece of a response; raises `RuntimeError` if it comes to nothing."""
    codec = wire.make()
    codec.hello()
    for message in wire.opening:
        codec.decode(message)
    pcm = _noise(OUTPUT_RATE)
    message = wire.sound(base64.b64encode(pcm).decode())
    codec.decode(message)  # the first begins the response, where nothing else does
    events = codec.decode(message)
    if [event.pcm for event in events if isinstance(event, ResponseAudio)] != [pcm]:
        raise RuntimeError(f"the codec made of its sound: {[type(one).__name__ for one in events]}")
    decode = codec.decode
    return lambda: decode(message)


def encoding(wire: Wire) -> Callable[[], object]:
    """A call that encodes a piece of the person; raises `RuntimeError` if it comes to nothing."""
    codec = wire.make()
    codec.hello()
    for message in wire.opening:
        codec.decode(message)
    command = SendAudio(pcm=_noise(wire.input_rate))
    if not codec.encode(command):
        raise RuntimeError("the codec sends no sound")
    encode = codec.encode
    return lambda: encode(command)


def _floor_decoding() -> Callable[[], object]:
    encoded = base64.b64encode(_noise(OUTPUT_RATE))
    return lambda: base64.b64decode(encoded)


def _floor_encoding() -> Callable[[], object]:
    pcm = _noise(OUTPUT_RATE)
    return lambda: base64.b64encode(pcm)


def _noise(rate: int) -> bytes:
    """20 ms in which every byte occurs."""
    return bytes(at * 73 % 256 for at in range(rate * MILLISECONDS // 1000 * 2))


# ── measuring ───────────────────────────────────────────────────────────────────────────────


def _rounds[Key](
    calls: dict[Key, Callable[[], object]], rounds: int, messages: int
) -> dict[Key, list[float]]:
    """Microseconds of one call, for each round."""
    found: dict[Key, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            began = perf_counter()
            for _ in range(messages):
                call()
            found[key].append(round((perf_counter() - began) / messages * 1e6, 3))
    return found


def _imported(provider: str) -> tuple[float, int]:
    """Milliseconds that the import takes in a fresh process, and the modules it loads."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, provider], capture_output=True, text=True, check=True
    )
    took, modules = done.stdout.split()
    return round(float(took), 3), int(modules)


def draw(result: Result, path: Path) -> None:
    """A pair of bars for each codec, and one for each import."""
    from benchmarks.pictures import FLOOR as GREY
    from benchmarks.pictures import OURS, THIRD, canvas, label_bars, save

    names = [*WIRES, FLOOR]
    figure, (left, right) = canvas(2, width=9.0, height=1.6 + 0.45 * len(names))
    for way, colour, shift in (("decode", OURS, -0.2), ("encode", THIRD, 0.2)):
        lengths = [result.numbers[f"{name}: {way}"].value or 0.0 for name in names]
        left.barh([at + shift for at in range(len(names))], lengths, 0.36, color=colour, label=way)
    left.set_yticks(range(len(names)), names)
    left.set(xlabel=f"µs for {MILLISECONDS} ms of sound")
    left.set_title("Codecs")
    left.legend(loc="lower right")
    took: list[Any] = [result.numbers[f"{name}: import"].value or 0.0 for name in WIRES]
    right.barh(list(WIRES), took, 0.5, color=GREY)
    right.set(xlabel="ms, median of fresh processes")
    right.set_title("Import of a provider")
    for axes in (left, right):
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        label_bars(axes, margin=0.25)
    save(figure, path, result)
