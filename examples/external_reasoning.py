"""An agent of ours thinks, and a speech-to-speech service hears and speaks for it.

OPENAI_API_KEY=... ./dev serve --s2s openai_realtime --agent examples.external_reasoning:answer
OPENAI_API_KEY=... python -m examples.external_reasoning "a coffee please" "and another coffee"
"""

import asyncio
import sys
from collections.abc import Sequence

from beluga_voice import VoiceSession
from beluga_voice.events import AgentResponseEnded, Message, Role
from beluga_voice.interfaces import AgentTurn, SpeechToSpeech


async def answer(turn: AgentTurn) -> str:
    """Decide the words: by rules, by a model of your own, or however you like."""
    said = [one.text for one in turn.history if isinstance(one, Message) and one.role is Role.USER]
    coffees = sum("coffee" in text for text in said)
    return f"That makes {coffees} in all." if coffees else "What can I bring you?"


async def converse(
    service: str | SpeechToSpeech, texts: Sequence[str]
) -> list[tuple[str, float | None]]:
    """Type to the agent; gives what it was heard saying, and how faithful that was, from 0 to 1."""
    heard: list[tuple[str, float | None]] = []
    waiting = list(texts)
    async with VoiceSession(s2s=service, agent=answer) as session:
        session.send_text(waiting.pop(0))
        async for happening in session.events():
            event = happening.event
            if isinstance(event, AgentResponseEnded):
                heard.append((event.heard_text, event.faithfulness))
                if not waiting:
                    break
                session.send_text(waiting.pop(0))
    return heard


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit('usage: python -m examples.external_reasoning "WORDS TO SAY" ...')
    for text, faithfulness in asyncio.run(converse("openai_realtime", sys.argv[1:])):
        print(f"{text}  ({faithfulness:.0%} as it was meant)")
