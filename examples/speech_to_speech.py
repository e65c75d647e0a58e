"""One question to a speech-to-speech service, and its answer.

OPENAI_API_KEY=... python -m examples.speech_to_speech openai_realtime question.wav answer.wav
"""

import asyncio
import sys
from pathlib import Path

from beluga_voice import s2s
from beluga_voice.audio.wav import read_wav, write_wav


async def weather(city: str) -> str:
    """Tell what the weather is like in a city."""
    return f"It is cold in {city}."


async def ask(name: str, question: Path, answer: Path, endpoint: str | None = None) -> None:
    """Let the service answer what is in one file, into another."""
    service = s2s(name, endpoint=endpoint, instructions="Be brief.", tools=[weather])
    result = await service.process(read_wav(question))
    print(f"you    {result.transcript}")
    for run in result.tool_runs:
        print(f"tool   {run.name} {run.arguments}: {run.output}")
    print(f"agent  {result.text}")
    print(f"       first sound {result.timing.first_audio_ms} ms after your last")
    write_wav(answer, result.audio, result.rate)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python -m examples.speech_to_speech NAME QUESTION.wav ANSWER.wav")
    asyncio.run(ask(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:]))
