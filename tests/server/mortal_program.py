"""Services that can be killed, and a server whose calls are held over them.

`python mortal_program.py emulate NAME` emulates a service, and prints where it is, as JSON. `python
mortal_program.py serve KIND PLACES` serves calls over the services of that kind at those places,
the first before the second, and prints its URL. Whoever answers says what is not in the history.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterable
from itertools import product
from typing import Any

from beluga_voice import registry
from beluga_voice.app import VoiceSession
from beluga_voice.backends.websocket import Limits
from beluga_voice.events import HistoryItem, Message, Role
from beluga_voice.interfaces import AgentTurn, Line
from beluga_voice.server.app import run, serve
from beluga_voice.testing.emulators.catalogue import Plan, emulated
from beluga_voice.testing.emulators.speech import Asked, Pace, Speaks
from beluga_voice.testing.scripted import ScriptedStt, ScriptedVad

WORDS = ["".join(pair) for pair in product("bdfgkl", "aeiou")]
"""The only answer there is: each word once, and all of them equally long."""
RATE = 24_000
INPUT_RATES = {"s2s": RATE, "tts": 16_000}
"""At which test speech gets to whoever understands it as it was said."""
PACE = Pace(thinking_ms=100, word_ms=190)
"""Words come a little faster than they sound: whoever is killed leaves most of them unsaid."""


def rest(history: Iterable[HistoryItem]) -> str:
    """What was not heard yet."""
    heard = {
        word
        for one in history
        if isinstance(one, Message) and one.role is Role.AGENT
        for word in one.text.split()
    }
    return " ".join(word for word in WORDS if word not in heard) or "sorry"


def brain(asked: Asked) -> Speaks:
    """The mind of a service that thinks for itself."""
    return Speaks(rest(asked.history))


async def agent(turn: AgentTurn) -> str:
    """The mind of a cascade."""
    return rest(turn.history)


async def emulate(name: str) -> None:
    """Be that service until the process ends."""
    async with emulated(name, Plan(brain=brain, pace=PACE)) as service:
        place = {
            "name": name.rpartition("/")[2],
            "endpoint": service.endpoint,
            "environment": dict(service.environment),
        }
        print(json.dumps(place), flush=True)
        await asyncio.get_running_loop().create_future()


def session_over(kind: str, places: list[dict[str, Any]], line: Line) -> VoiceSession:
    """A session with the services at these places, the second for when the first is lost."""
    made = [registry.create(kind, one["name"], endpoint=one["endpoint"]) for one in places]
    if kind == "s2s":
        return VoiceSession(
            s2s=made, vad=lambda: ScriptedVad(rate=INPUT_RATES[kind]), line=line, ready_words=None
        )
    return VoiceSession(
        stt=ScriptedStt(delay_ms=50),
        agent=agent,
        tts=made,
        vad=ScriptedVad(),
        line=line,
        ready_words=None,
    )


async def main(kind: str, places: list[dict[str, Any]]) -> None:
    """Serve until a signal comes."""
    for one in places:
        os.environ.update(one["environment"])
    await serve(
        lambda line: session_over(kind, places, line),
        port=0,
        limits=Limits(max_sessions=60),
        on_ready=lambda url: print(url, flush=True),
        drain_seconds=0,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.argv[1] == "emulate":
        run(emulate(sys.argv[2]))
    else:
        run(main(sys.argv[2], json.loads(sys.argv[3])))
