# /// script
# requires-python = ">=3.12"
# dependencies = [
#     "livekit-agents>=1.8",
#     "livekit-plugins-google>=1.8",
#     "livekit-plugins-openai>=1.8",
# ]
# ///
"""A conversation held by LiveKit Agents with a realtime model, without a room.

    livekit_program.py openai|gemini ENDPOINT KEY QUESTION.wav

Speaks the file (mono, 16 bit) to the realtime service at ENDPOINT, lets the framework run the tool
that the service calls, and prints as JSON what came of it.
"""

import asyncio
import base64
import json
import sys
import wave
from collections.abc import AsyncIterator
from typing import Any

from google.genai import types
from livekit import rtc
from livekit.agents import Agent, AgentSession, ChatMessage, function_tool
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities
from livekit.plugins import google, openai

MODEL = "gpt-realtime-2.1"


class Guide(Agent):
    """Knows the weather."""

    def __init__(self) -> None:
        super().__init__(instructions="Answer briefly.")
        self.asked: list[str] = []

    @function_tool
    async def weather(self, city: str) -> str:
        """How the weather is in a city."""
        self.asked.append(city)
        return "minus 5"


class Microphone(AudioInput):
    """Gives the file as fast as it is read, and nothing more."""

    def __init__(self, path: str) -> None:
        super().__init__(label="file")
        self._frames = self._read(path)

    async def _read(self, path: str) -> AsyncIterator[rtc.AudioFrame]:
        with wave.open(path) as file:
            rate, count = file.getframerate(), file.getframerate() // 50
            while pcm := file.readframes(count):
                yield rtc.AudioFrame(pcm, rate, 1, len(pcm) // 2)
        await asyncio.get_running_loop().create_future()

    async def __anext__(self) -> rtc.AudioFrame:
        return await anext(self._frames)


class Loudspeaker(AudioOutput):
    """Keeps what it is given; all of it has sounded at once."""

    def __init__(self) -> None:
        capabilities = AudioOutputCapabilities(pause=False)
        super().__init__(label="memory", capabilities=capabilities)
        self.heard = b""
        self._seconds = 0.0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self.heard += bytes(frame.data.cast("B"))
        self._seconds += frame.duration

    def flush(self) -> None:
        super().flush()
        if self._seconds:
            seconds, self._seconds = self._seconds, 0.0
            self.on_playback_finished(playback_position=seconds, interrupted=False)

    def clear_buffer(self) -> None:
        self.flush()


def model_of(service: str, endpoint: str, key: str) -> Any:
    """The framework's model of that service."""
    if service == "openai":
        return openai.realtime.RealtimeModel(
            model="gpt-realtime-2.1", base_url=endpoint, api_key=key
        )
    options = types.HttpOptions(base_url=endpoint)
    return google.realtime.RealtimeModel(api_key=key, http_options=options)


async def talk(model: Any, path: str) -> dict[str, Any]:
    """Speak, and listen until the agent has answered in speech."""
    guide, loudspeaker = Guide(), Loudspeaker()
    session: AgentSession[None] = AgentSession(llm=model)
    session.input.audio = Microphone(path)
    session.output.audio = loudspeaker
    said: dict[str, list[str]] = {"user": [], "assistant": []}
    results: list[str] = []
    done = asyncio.get_running_loop().create_future()

    @session.on("conversation_item_added")
    def _(event: Any) -> None:
        if isinstance(event.item, ChatMessage):
            said[event.item.role].append(event.item.text_content or "")
        if said["assistant"] and said["user"] and not done.done():
            done.set_result(None)

    @session.on("function_tools_executed")
    def _(event: Any) -> None:
        results.extend(one.output for one in event.function_call_outputs)

    @session.on("close")
    def _(event: Any) -> None:
        if not done.done():
            done.set_exception(RuntimeError(f"the session closed: {event.reason} {event.error}"))

    await session.start(guide)
    try:
        await done
    finally:
        await session.aclose()
    return {
        "transcript": " ".join(said["user"]),
        "response": " ".join(said["assistant"]),
        "audio": base64.b64encode(loudspeaker.heard).decode(),
        "tool": {"asked": guide.asked, "results": results},
    }


def main() -> None:
    """Talk, and print."""
    service, endpoint, key, path = sys.argv[1:]

    async def limited() -> dict[str, Any]:
        async with asyncio.timeout(30):
            return await talk(model_of(service, endpoint, key), path)

    print(json.dumps(asyncio.run(limited())))


if __name__ == "__main__":
    main()
