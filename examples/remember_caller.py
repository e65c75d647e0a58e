"""Two calls of one person: the second call knows what was said in the first."""

import asyncio

from beluga_voice import VoiceSession
from beluga_voice.events import AgentResponseEnded
from beluga_voice.interfaces import MemoryStore, SpeechToText, TextToSpeech, VoiceActivityDetector
from beluga_voice.memory.in_memory import InMemory


async def call(
    memory: MemoryStore,
    text: str,
    *,
    stt: SpeechToText | None = None,
    tts: TextToSpeech | None = None,
    vad: VoiceActivityDetector | None = None,
) -> str:
    """Call, type one sentence, listen to the answer, and hang up."""
    session = VoiceSession(
        stt=stt, tts=tts, vad=vad, memory=memory, memory_key="caller +44 20 7946 0000"
    )
    async with session:
        session.send_text(text)
        async for happening in session.events():
            if isinstance(happening.event, AgentResponseEnded):
                return happening.event.heard_text
    return ""


async def main() -> None:
    """Call twice."""
    memory = InMemory()
    print(await call(memory, "my name is Mary"))
    print(await call(memory, "what is my name"))


if __name__ == "__main__":
    asyncio.run(main())
