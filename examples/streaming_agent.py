"""An agent that begins to speak before it knows the end of its answer."""

import asyncio
from collections.abc import AsyncIterator

LAUNCHES = ("On Monday, a weather balloon.", "On Tuesday, a paper plane.", "On Friday, a kite.")


async def answer(text: str) -> AsyncIterator[str]:
    """Yield pieces of any size; whole sentences are spoken as soon as they are complete."""
    yield f"You asked: {text}. Here is "
    yield "what is planned. "
    try:
        for launch in LAUNCHES:
            await asyncio.sleep(0.2)  # what a database or a model takes
            yield launch + " "
    finally:
        # Runs at a barge-in too: the generator is cancelled where it waits.
        print("the answer is over")
