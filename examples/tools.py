"""An agent with a tool: a typed function that the session runs, times and tells about."""

import json
import re
from collections.abc import AsyncIterator

from beluga_voice import AgentTurn, tool
from beluga_voice.errors import ToolFailed

ORDERS = {7: "on its way", 12: "waiting for your payment"}
NUMBERS = {"seven": 7, "twelve": 12, "twenty": 20}


async def order_status(number: int) -> str:
    """Look up where an order is."""
    return ORDERS[number]


class Clerk:
    """Tells where an order is."""

    tools = (tool(order_status, timeout_seconds=5),)
    phrases = tuple(f"where is order {name}" for name in NUMBERS)
    """Likely sentences; the embedded recogniser understands these best."""

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Find a number in the words, and call the tool with it."""
        found = re.search("|".join(NUMBERS), turn.text)
        if found is None:
            yield "Please say: where is order seven?"
            return
        yield "One moment. "
        arguments = json.dumps({"number": NUMBERS[found[0]]})
        try:
            status = await turn.call_tool("order_status", arguments)
        except ToolFailed:
            yield f"I cannot find order {found[0]}."
        else:
            yield f"Order {found[0]} is {status}."


clerk = Clerk()
