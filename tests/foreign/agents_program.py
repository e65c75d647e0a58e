# /// script
# requires-python = ">=3.12"
# dependencies = ["openai-agents>=0.24"]
# ///
"""A conversation held by the OpenAI Agents SDK, as its users write one.

    agents_program.py openai ENDPOINT KEY QUESTION.wav

Speaks the file (mono, 16 bit, 24 kHz) to the realtime service at ENDPOINT, lets the SDK run the
tool that the service calls, and prints as JSON what came of it.
"""

import asyncio
import base64
import json
import sys
import wave
from typing import Any

from agents.realtime import RealtimeAgent, RealtimeItem, RealtimeRunner, RealtimeSession

from agents import function_tool, set_tracing_disabled

MODEL = "gpt-realtime-2.1"

asked: list[str] = []


@function_tool
def weather(city: str) -> str:
    """How the weather is in a city."""
    asked.append(city)
    return "minus 5"


async def talk(endpoint: str, key: str, path: str) -> dict[str, Any]:
    """Speak, and listen until the model has answered with what the tool gave."""
    agent = RealtimeAgent(name="guide", instructions="Answer briefly.", tools=[weather])
    config: Any = {
        "url": f"{endpoint}?model={MODEL}",
        "api_key": key,
        "initial_model_settings": {"model_name": MODEL},
    }
    heard = b""
    results: list[str] = []
    history: list[RealtimeItem] = []
    async with await RealtimeRunner(agent).run(model_config=config) as session:
        await speak(session, path)
        async for event in session:
            match event.type:
                case "audio":
                    heard += event.audio.data
                case "tool_end":
                    results.append(str(event.output))
                case "history_updated":
                    history = event.history
                case "error":
                    raise RuntimeError(str(event.error))
                case "raw_model_event" if event.data.type == "turn_ended" and heard:
                    break
                case _:
                    pass
        else:
            raise RuntimeError("the service ended the conversation")
    return {
        "transcript": words_of("user", history),
        "response": words_of("assistant", history),
        "audio": base64.b64encode(heard).decode(),
        "tool": {"asked": asked, "results": results},
    }


async def speak(session: RealtimeSession, path: str) -> None:
    """Send the file, 20 ms at a time, as fast as it goes."""
    with wave.open(path) as file:
        while pcm := file.readframes(file.getframerate() // 50):
            await session.send_audio(pcm)


def words_of(role: str, history: list[RealtimeItem]) -> str:
    """What that side said, as the SDK keeps it."""
    messages = (item for item in history if item.type == "message" and item.role == role)
    return " ".join(part.transcript or "" for item in messages for part in item.content)


def main() -> None:
    """Talk, and print."""
    service, endpoint, key, path = sys.argv[1:]
    if service != "openai":
        sys.exit(f"the SDK does not speak to {service}")
    set_tracing_disabled(True)
    print(json.dumps(asyncio.run(asyncio.wait_for(talk(endpoint, key, path), 30))))


if __name__ == "__main__":
    main()
