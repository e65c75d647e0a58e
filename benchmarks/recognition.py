"""How well the embedded recogniser understands: word error rate by voice, in and out of its domain.

    ./dev bench recognition [--own SPEECH.wav TRANSCRIPT.txt ...]

Synthetic voices are those of eSpeak NG, and of flite where it is installed. "In domain" are
sentences like those the built-in agent expects, none of them one of its phrases; "out of domain" is
anything.
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beluga_voice.agents.builtin import BuiltinAgent
from beluga_voice.audio.wav import read_wav
from beluga_voice.events import (
    ContextId,
    FinishSpeech,
    FinishUtterance,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.pocketsphinx import Pocketsphinx
from beluga_voice.providers.tts.espeak import Espeak

IN_DOMAIN = (
    "what is seven times eight",
    "what is thirty plus eleven",
    "please tell me the time",
    "hello what can you do",
    "what is ninety divided by three",
    "my name is peter",
    "thank you goodbye",
    "tell me a story please",
    "what day is it",
    "what is fifteen minus six",
)
OUT_OF_DOMAIN = (
    "the train to london leaves at nine",
    "my daughter is learning to play the piano",
    "we need more milk and bread from the shop",
    "the doctor will see you tomorrow morning",
    "he walked along the river with his old dog",
    "please close the window before you leave the house",
    "the government announced new rules for schools",
    "i would like a table for two near the garden",
    "the weather in the north was cold and wet",
    "she wrote a long letter to her brother",
)
ESPEAK = ("en-us+f5", "en-us", "en-us+m3")
FLITE = ("kal16", "slt", "rms")


def words(text: str) -> list[str]:
    """The words of a text, without case and marks."""
    return re.findall(r"[a-z']+", text.lower())


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """The smallest number of wrong, missing and added words."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(said, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(heard, 1):
            cost = min(row[column] + 1, row[column - 1] + 1, previous + (word != other))
            previous, row[column] = row[column], cost
    return row[-1]


async def espeak(voice: str, text: str) -> bytes:
    """Speech at 16 kHz."""
    from beluga_voice.audio.formats import pcm16

    options = TtsOptions(voice=voice, output_format=pcm16(16000))
    sound = b""
    async with Espeak().connect(options) as link:
        context = ContextId("c")
        link.send(SpeakText(context_id=context, text=text))
        link.send(FinishSpeech(context_id=context))
        async for event in link:
            match event:
                case SpeechAudio():
                    sound += event.pcm
                case SpeechDone():
                    break
                case _:
                    pass
    return sound


def flite(voice: str, text: str) -> bytes:
    """Speech at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(path)], check=True)
        return read_wav(path).to_pcm16(16000)


async def recognise(sound: bytes, phrases: tuple[str, ...]) -> str:
    """What a fresh link understands."""
    pause = bytes(16000)
    async with Pocketsphinx().connect(SttOptions(phrases=phrases)) as link:
        for at in range(0, len(sound), 640):
            link.send(SendAudio(pcm=sound[at : at + 640]))
            await asyncio.sleep(0)
        link.send(SendAudio(pcm=pause))
        link.send(FinishUtterance(utterance_id=UtteranceId("u")))
        async for event in link:
            if isinstance(event, Transcript) and event.is_final:
                return event.text
    return ""


async def measure(own: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Every voice, in and out of domain; and the caller's own recordings."""
    rows: list[dict[str, Any]] = []
    phrases = BuiltinAgent.phrases
    async with Pocketsphinx().warm(), Espeak().warm():
        makers: list[tuple[str, str]] = [("espeak", voice) for voice in ESPEAK]
        if shutil.which("flite"):
            makers += [("flite", voice) for voice in FLITE]
        for engine, voice in makers:
            row: dict[str, Any] = {"voice": f"{engine} {voice}"}
            for name, sentences in (("in_domain", IN_DOMAIN), ("out_of_domain", OUT_OF_DOMAIN)):
                wrong = total = whole = 0
                for text in sentences:
                    sound = await espeak(voice, text) if engine == "espeak" else flite(voice, text)
                    missed = errors(words(text), words(await recognise(sound, phrases)))
                    wrong, total, whole = (
                        wrong + missed,
                        total + len(words(text)),
                        whole + (not missed),
                    )
                row[f"{name}_word_error_rate"] = round(wrong / total, 3)
                row[f"{name}_sentences_right"] = f"{whole} of {len(sentences)}"
            rows.append(row)
            print(row, flush=True)
        for path, transcript in own:
            sound = read_wav(Path(path)).to_pcm16(16000)
            said = words(transcript)
            heard = await recognise(sound, phrases)
            row = {
                "voice": f"recorded {Path(path).stem}",
                "word_error_rate": round(errors(said, words(heard)) / max(len(said), 1), 3),
                "heard": heard,
            }
            rows.append(row)
            print(row, flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--own", nargs=2, action="append", default=[], metavar="FILE")
    options = parser.parse_args(arguments)
    rows = asyncio.run(measure([(path, Path(text).read_text()) for path, text in options.own]))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "recognition.json").write_text(
        json.dumps({"what": "recognition", "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main()
