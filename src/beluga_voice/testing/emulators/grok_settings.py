"""The configuration of an emulated Grok session: as it begins, and as it is changed."""

from typing import Any

import msgspec

from beluga_voice.events import ToolSpec
from beluga_voice.testing.emulators import grok_frames as frames


class SessionSettings:
    """The settings; `wire` is the session object as the service sends it."""

    max_output_tokens = "inf"

    def __init__(self, model: str) -> None:
        self.wire: dict[str, Any] = {
            "id": "sess_1",
            "object": "realtime.session",
            "model": model,
            "instructions": "You are a helpful voice assistant.",
            "voice": "eve",
            "turn_detection": msgspec.to_builtins(frames.Detection()),
            "tools": [],
            "resumption": {"enabled": False},
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 24000}},
                "output": {"format": {"type": "audio/pcm", "rate": 24000}},
            },
        }

    @property
    def heard_format(self) -> dict[str, Any]:
        """How the person's sound is written."""
        wire_format: dict[str, Any] = self.wire["audio"]["input"]["format"]
        return wire_format

    @property
    def spoken_format(self) -> dict[str, Any]:
        """How the agent's sound is written."""
        wire_format: dict[str, Any] = self.wire["audio"]["output"]["format"]
        return wire_format

    @property
    def detection(self) -> dict[str, Any] | None:
        """How speech is found: what is found is answered, and stops what is being said."""
        detection: dict[str, Any] | None = self.wire["turn_detection"]
        if detection is None or detection["type"] is None:
            return None
        return {**detection, "create_response": True, "interrupt_response": True}

    @property
    def voice(self) -> Any:
        """Its name."""
        return self.wire["voice"]

    @property
    def has_transcription(self) -> bool:
        """The person's words are written down in any case."""
        return True

    @property
    def writes_along(self) -> bool:
        """Whether the words come as they are understood, before they are final."""
        heard = self.wire["audio"]["input"]
        return bool(heard.get("transcription", {}).get("model"))

    @property
    def instructions(self) -> str:
        """What the model is told."""
        instructions: str = self.wire["instructions"]
        return instructions

    @property
    def is_resumable(self) -> bool:
        """Whether what is said is kept for another connection."""
        return bool(self.wire["resumption"]["enabled"])

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the client has the model call."""
        return tuple(
            ToolSpec(
                name=tool["name"],
                description=tool["description"],
                parameters=msgspec.json.encode(tool["parameters"]).decode(),
            )
            for tool in self.wire["tools"]
            if tool["type"] == "function"
        )

    def update(self, session: frames.Session, *, has_sounded: bool) -> None:
        """Change the keys that are there."""
        wanted = msgspec.to_builtins(session)
        audio: dict[str, Any] = wanted.pop("audio", {})
        self.wire.update(wanted)
        for side, fields in audio.items():
            self.wire["audio"][side].update(fields)
