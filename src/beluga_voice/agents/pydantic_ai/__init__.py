"""An agent of Pydantic AI, as it is: `VoiceSession(agent=...)` takes one."""

from beluga_voice.agents.pydantic_ai._agent import PydanticAgent

__all__ = ["PydanticAgent"]
