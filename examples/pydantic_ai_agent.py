"""An agent of Pydantic AI on the telephone, and company for the person while its tool works."""

import asyncio

from pydantic_ai import Agent

from beluga_voice.agents.company import Accompanied

ORDERS = {7: "on its way", 12: "waiting for your payment"}

agent = Agent(
    "openai:gpt-5.2",
    instructions="You tell where orders are, in one short sentence. Say that you look before you "
    "use a tool.",
    defer_model_check=True,  # the key is needed in a call, not to import this
)


@agent.tool_plain
async def order_status(number: int) -> str:
    """Look up where an order is."""
    await asyncio.sleep(6)  # what a slow database takes
    return ORDERS.get(number, "not known")


patient = Accompanied(agent, words=["One moment, please.", "I am still looking."])
