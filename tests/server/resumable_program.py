"""A server whose calls other processes can go on with: `python resumable_program.py STORE`.

Its agent counts the questions it was asked, of which it knows from the history only. It prints its
URL once it can be called.
"""

import sys

from beluga_voice.app import VoiceSession
from beluga_voice.backends.websocket import Checkpoints, Limits
from beluga_voice.checkpoints.checkpoint import Checkpoint
from beluga_voice.cli.serve import store_at
from beluga_voice.events import Message, Role
from beluga_voice.interfaces import AgentTurn, Line
from beluga_voice.server.app import run, serve
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


async def agent(turn: AgentTurn) -> str:
    """Say the name that was given, which question it is, and how many items went before."""
    asked = [item for item in turn.history if isinstance(item, Message) and item.role is Role.USER]
    # Whether the question itself is in the history is for the cascade to say.
    questions = [item.text for item in asked]
    count = len(questions) + (not questions or questions[-1] != turn.text)
    length = 1 if count == 1 else len(WORDS)
    return " ".join([turn.text, f"question-{count}", *WORDS[:length]])


def make(line: Line, checkpoint: Checkpoint | None = None) -> VoiceSession:
    """A session without a network."""
    return VoiceSession(
        stt=ScriptedStt(),
        agent=agent,
        tts=ScriptedTts(word_ms=100),
        vad=ScriptedVad(),
        line=line,
        checkpoint=checkpoint,
    )


async def main(place: str) -> None:
    """Serve until a signal comes."""
    store = store_at(place)
    try:
        await serve(
            make,
            port=0,
            limits=Limits(max_sessions=30),
            checkpoints=Checkpoints(store=store, make_session=make),
            on_ready=lambda url: print(url, flush=True),
        )
    finally:
        await store.aclose()
    print("stopped in order", flush=True)


if __name__ == "__main__":
    run(main(sys.argv[1]))
