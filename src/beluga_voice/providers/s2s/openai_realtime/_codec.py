"""The OpenAI Realtime protocol (GA), pure: commands to messages, and messages to events.

What is not here it shares with other services: see `realtime_dialect.codec`. Words are read aloud
by a `response.create` without context that is told to read them: best effort.
"""

from typing import Any

from beluga_voice.events import ResponseOrigin, Update
from beluga_voice.interfaces import Capabilities, S2sOptions
from beluga_voice.providers.s2s.openai_realtime._capabilities import MIN_COMMIT_MS
from beluga_voice.providers.s2s.openai_realtime._errors import ERRORS
from beluga_voice.providers.s2s.openai_realtime._options import (
    NAME,
    Settings,
    check,
    session_of,
    voice_on_wire,
)
from beluga_voice.providers.s2s.openai_realtime._reading import READER
from beluga_voice.providers.s2s.realtime_dialect import Dialect, RealtimeCodec
from beluga_voice.providers.s2s.realtime_dialect.settings import tool_on_wire

READ_ALOUD = (
    "Read what stands in the text tags aloud: word for word, in its own language, with nothing "
    "before it and nothing after it.\n<text>{text}</text>"
)

DIALECT = Dialect(
    reader=READER,
    errors=ERRORS,
    min_commit_ms=MIN_COMMIT_MS,
)


class OpenAIRealtimeCodec(RealtimeCodec):
    """One connection's state; `link` is its number, which makes ids unique over all of them."""

    def __init__(
        self, options: S2sOptions, settings: Settings, capabilities: Capabilities, *, link: int = 1
    ) -> None:
        check(options, settings, capabilities)
        super().__init__(
            DIALECT,
            options,
            session_of(options, settings, capabilities),
            capabilities,
            link=link,
            service_interrupts=settings.turn_detection.interrupt_response,
        )

    def _read_aloud(self, text: str) -> None:
        self._request(
            ResponseOrigin.SAID,
            instructions=READ_ALOUD.format(text=text),
            input=[],
            tool_choice="none",
        )

    def _changes(self, command: Update) -> dict[str, Any]:
        session: dict[str, Any] = {}
        if command.instructions is not None:
            session["instructions"] = command.instructions
        if command.tools is not None:
            session["tools"] = [tool_on_wire(tool, op=NAME) for tool in command.tools]
        if command.voice is not None and not self._has_sounded:
            session["audio"] = {"output": {"voice": voice_on_wire(command.voice)}}
        return {"type": "realtime", **session} if session else {}
