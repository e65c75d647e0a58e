"""The configuration of an emulated OpenAI Realtime session: as it begins, and as it is changed."""

from typing import Any

import msgspec

from beluga_voice.events import ToolSpec
from beluga_voice.testing.emulators import openai_realtime_frames as frames
from beluga_voice.testing.emulators.realtime_frames import Refused


class SessionSettings:
    """The settings; `wire` is the session object as the service sends it."""

    def __init__(self, model: str, expires_at: float) -> None:
        self._model = model
        self.wire = _defaults(model, expires_at)

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
        """How speech is found; `None` if the client finds it."""
        detection: dict[str, Any] | None = self.wire["audio"]["input"]["turn_detection"]
        return detection

    @property
    def voice(self) -> Any:
        """The name of it, or an object with its id."""
        return self.wire["audio"]["output"]["voice"]

    @property
    def has_transcription(self) -> bool:
        """Whether the person's words are written down."""
        return self.wire["audio"]["input"]["transcription"] is not None

    @property
    def instructions(self) -> str:
        """What the model is told."""
        instructions: str = self.wire["instructions"]
        return instructions

    @property
    def max_output_tokens(self) -> int | str:
        """How long a response may be."""
        limit: int | str = self.wire["max_output_tokens"]
        return limit

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What the model may call."""
        return tuple(spec_of(tool) for tool in self.wire["tools"])

    def update(self, session: frames.Session, *, has_sounded: bool) -> None:
        """Change the keys that are there; raises `Refused`, and nothing has changed then."""
        wanted = msgspec.to_builtins(session)
        if wanted.pop("model", None) not in (None, self._model):
            raise Refused("invalid_value", "The model cannot be changed.", param="session.model")
        audio: dict[str, Any] = wanted.pop("audio", {})
        voice = audio.get("output", {}).get("voice", self.voice)
        if has_sounded and voice != self.voice:
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


def spec_of(tool: dict[str, Any]) -> ToolSpec:
    """A tool of the wire as ours."""
    return ToolSpec(
        name=tool["name"],
        description=tool.get("description", ""),
        parameters=msgspec.json.encode(tool.get("parameters", {})).decode(),
    )
