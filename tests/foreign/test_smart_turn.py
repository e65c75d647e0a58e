"""Our Smart Turn detector and Pipecat's, over the same model and the same sound."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from beluga_voice.audio.wav import write_wav
from beluga_voice.providers.turns.smart_turn import FILE_NAME, LONGEST_SAMPLES, SmartTurn

PROGRAM = """
import asyncio, json, sys, wave
from loguru import logger
logger.remove()
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3

async def judge(path):
    with wave.open(path) as file:
        pcm = file.readframes(file.getnframes())
    analyzer = LocalSmartTurnAnalyzerV3()
    analyzer.set_sample_rate(16000)
    for at in range(0, len(pcm), 640):
        analyzer.append_audio(pcm[at : at + 640], True)
    _, metrics = await analyzer.analyze_end_of_turn()
    await analyzer.cleanup()
    return metrics.probability

print(json.dumps([asyncio.run(judge(path)) for path in sys.argv[1:]]))
"""


def sounds() -> list[bytes]:
    """Noise that comes and goes: shorter than the model's window, as long, and longer."""
    made: list[bytes] = []
    for seed, samples in enumerate((12800, 48000, LONGEST_SAMPLES, 2 * LONGEST_SAMPLES)):
        noise = np.random.default_rng(seed).normal(0, 3000, samples)
        noise *= np.clip(np.sin(np.arange(samples) * (seed + 1) / 4000), 0, 1)
        made.append(noise.clip(-32768, 32767).astype("<i2").tobytes())
    return made


def test_we_hear_what_pipecat_hears(interpreter: Callable[[str], Path], tmp_path: Path) -> None:
    """With the model in Pipecat's package, our probabilities are those of its own analyzer."""
    python = interpreter("pipecat")
    (model,) = python.parents[1].glob(f"lib/*/site-packages/pipecat/audio/turn/**/{FILE_NAME}")
    paths: list[str] = []
    for at, pcm in enumerate(sounds()):
        write_wav(tmp_path / f"{at}.wav", pcm, 16000)
        paths.append(str(tmp_path / f"{at}.wav"))
    command = [str(python), "-c", PROGRAM, *paths]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    detector = SmartTurn(model=model)
    found = [detector.judge(pcm) for pcm in sounds()]
    # Four digits: the processor adds in another order with another number of threads.
    assert [round(each, 4) for each in found] == [
        round(each, 4) for each in json.loads(ran.stdout.splitlines()[-1])
    ]
    assert len({round(each, 2) for each in found}) > 1
