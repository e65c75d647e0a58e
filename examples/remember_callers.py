"""Callers who call again are known, also after a restart, until they want to be forgotten."""

import asyncio
import sys

from beluga_voice import VoiceSession
from beluga_voice.events import AgentResponseEnded
from beluga_voice.interfaces import SpeechToText, TextToSpeech, VoiceActivityDetector
from beluga_voice.memory.in_memory import InMemory
from beluga_voice.memory.sqlite import SqliteMemory


async def call(
    memory: SqliteMemory | InMemory,
    number: str,
    text: str,
    *,
    stt: SpeechToText | None = None,
    tts: TextToSpeech | None = None,
    vad: VoiceActivityDetector | None = None,
) -> str:
    """Call from that number, type one sentence, listen to the answer, and hang up."""
    heard = ""
    session = VoiceSession(stt=stt, tts=tts, vad=vad, memory=memory, memory_key=number)
    async with session:
        session.send_text(text)
        async for happening in session.events():
            if isinstance(happening.event, AgentResponseEnded):
                heard = happening.event.heard_text
                break
    if "forget me" in text:  # now that nothing more is saved
        await memory.forget(number)
    return heard


async def main(path: str, number: str, text: str) -> None:
    """One call: run this again with the same number."""
    print(await call(SqliteMemory(path), number, text))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("give three things: a file, a number, and what is said")
    asyncio.run(main(*sys.argv[1:]))
