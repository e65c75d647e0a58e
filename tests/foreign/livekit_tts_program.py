# /// script
# requires-python = ">=3.12"
# dependencies = ["livekit-agents>=1.8", "livekit-plugins-elevenlabs>=1.8"]
# ///
"""Texts spoken by LiveKit Agents through its plugin for ElevenLabs, without a room.

    livekit_tts_program.py ENDPOINT KEY TEXT...

Speaks each text (two sentences or more) in a stream of its own, over the one connection that the
plugin keeps. A text that begins with "STOP " is given up after its first sound. Prints as JSON what
was heard of each, and the words with their times in seconds.
"""

import asyncio
import base64
import json
import sys
from typing import Any

import aiohttp
from livekit.plugins import elevenlabs

VOICE = "JBFqnCBsd6RMkjVDRZzb"
STOP = "STOP "


async def speak(tts: elevenlabs.TTS, text: str) -> dict[str, Any]:
    """One stream."""
    heard = b""
    words: list[Any] = []
    async with tts.stream() as stream:
        for piece in text.removeprefix(STOP).split(" "):
            stream.push_text(f"{piece} ")
        stream.end_input()
        async for event in stream:
            heard += bytes(event.frame.data.cast("B"))
            for timed in event.frame.userdata.get("lk.timed_transcripts", []):
                words.append([str(timed).strip(), timed.start_time, timed.end_time])
            if heard and text.startswith(STOP):
                break
    return {"audio": base64.b64encode(heard).decode(), "words": words}


async def speak_all(endpoint: str, key: str, texts: list[str]) -> list[dict[str, Any]]:
    """All of them, one after the other."""
    async with aiohttp.ClientSession() as session:
        tts = elevenlabs.TTS(
            voice_id=VOICE,
            model="eleven_flash_v2_5",
            encoding="pcm_24000",
            api_key=key,
            base_url=f"{endpoint.replace('ws', 'http', 1)}/v1",
            http_session=session,
        )
        try:
            return [await speak(tts, text) for text in texts]
        finally:
            await tts.aclose()


def main() -> None:
    """Speak, and print."""
    endpoint, key, *texts = sys.argv[1:]
    print(json.dumps(asyncio.run(asyncio.wait_for(speak_all(endpoint, key, texts), 30))))


if __name__ == "__main__":
    main()
