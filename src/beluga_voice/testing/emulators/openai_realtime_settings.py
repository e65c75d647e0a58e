"""The configuration of an emulated OpenAI Realtime session: as it begins, and as it is changed."""

from typing import Any

import msgspec

from beluga_voice.events import ToolSpec
from beluga_voice.testing.emulators import openai_realtime_frames as frames
from beluga_voice.testing.emulators.openai_realtime_frames import Refused


class SessionSettings:
    """The settings; `wire` is the session object as the service sends it."""

    def __init__(self, model: str, expires_at: float) -> None:
        self._model = model
        self.wire = _defaults(model, expires_at)

    @property
    def heard(self) -> dict[str, Any]:
        """How the person's sound is taken."""
        heard: dict[str, Any] = self.wire["audio"]["input"]
        return heard

    @property
    def spoken(self) -> dict[str, Any]:
        """How the agent's sound is given."""
        spoken: dict[str, Any] = self.wire["audio"]["output"]
        return spoken

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the model may call."""
        return tuple(_spec(tool) for tool in self.wire["tools"])

    def update(self, session: frames.Session, *, has_sounded: bool) -> None:
        """Change the keys that are there; raises `Refused`, and nothing has changed then."""
        wanted = msgspec.to_builtins(session)
        if wanted.pop("model", None) not in (None, self._model):
            raise Refused("invalid_value", "The model cannot be changed.", param="session.model")
        audio: dict[str, Any] = wanted.pop("audio", {})
        voice = self.spoken["voice"]
        if has_sounded and audio.get("output", {}).get("voice", voice) != voice:
            raise Refused(
                "cannot_update_voice",
                "Cannot update a conversation's voice if assistant audio is present.",
            )
        for name in ("reasoning", "parallel_tool_calls"):
            if name in wanted and not self._model.startswith("gpt-realtime-2"):
                message = f"Unsupported parameter: 'session.{name}'."
                raise Refused("unsupported_parameter", message, param=f"session.{name}")
        self.wire.update(wanted)
        for side, fields in audio.items():
            self.wire["audio"][side].update(fields)


def _defaults(model: str, expires_at: float) -> dict[str, Any]:
    """A session nobody has configured."""
    detection = msgspec.to_builtins(frames.ServerVad())
    pcm = {"type": "audio/pcm", "rate": 24000}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": model,
        "expires_at": int(expires_at),
        "output_modalities": ["audio"],
        "instructions": "You are a helpful voice assistant.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "include": None,
        "audio": {
            "input": {
                "format": pcm,
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": detection,
            },
            "output": {"format": dict(pcm), "voice": "marin", "speed": 1.0},
        },
    }


def _spec(tool: dict[str, Any]) -> ToolSpec:
    return ToolSpec(
        name=tool["name"],
        description=tool.get("description", ""),
        parameters=msgspec.json.encode(tool.get("parameters", {})).decode(),
    )
