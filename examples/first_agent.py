"""An agent is an async function: words in, words out."""


async def answer(text: str) -> str:
    return f"You said: {text}. I have nothing to add to that."
