"""A response that an emulated Realtime service is making."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from beluga_voice.testing.emulators.realtime_conversation import Kept
from beluga_voice.testing.emulators.realtime_frames import ResponseSettings
from beluga_voice.testing.emulators.realtime_manners import ToSpeak
from beluga_voice.testing.emulators.speech import Asked, Brain, Deed, Speaks, answer
from beluga_voice.testing.speech import SpokenWord


@dataclass(slots=True)
class Response:
    """A response that is being made."""

    id: str
    settings: ResponseSettings
    asked: Asked
    output: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    open_item: Kept | None = None
    said: list[str] = field(default_factory=list[str])
    told: ToSpeak | None = None
    """What it was told to say; else the brain decides."""
    unsaid: list[SpokenWord] = field(default_factory=list[SpokenWord])
    place: dict[str, Any] = field(default_factory=dict[str, Any])
    has_sounded: bool = False
    task: asyncio.Task[None] | None = None

    def deeds(self, brain: Brain) -> list[Deed]:
        """What it consists of."""
        return answer(brain, self.asked) if self.told is None else [Speaks(self.told.text)]


def usage_of(response: Response) -> dict[str, Any]:
    """A token for each word, and ten for each second of sound."""
    heard = 10 * len(response.asked.text.split())
    parts = (part for item in response.output for part in item.get("content", ()))
    words = sum(len(part["transcript"].split()) for part in parts)
    return {
        "input_tokens": 20 + heard,
        "output_tokens": words + 50,
        "total_tokens": 20 + heard + words + 50,
        "input_token_details": {
            "text_tokens": 20,
            "audio_tokens": heard,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": words, "audio_tokens": 50},
    }
