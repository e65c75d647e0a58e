"""The codecs that are fuzzed, and what must hold of each, whatever comes.

A codec is added as a row of `WIRES`: how one is made, and messages of its service, in an order in
which they could come. They are where mutations begin, so the more kinds the better.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    Interrupted,
    LinkClosed,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    S2sCommand,
    S2sEvent,
    ToolCalled,
    ToolCallId,
)
from beluga_voice.interfaces import Codec, S2sOptions, TurnOwner, WireMessage
from beluga_voice.providers.s2s.gemini_live._codec import GeminiLiveCodec
from beluga_voice.providers.s2s.gemini_live._setup import Settings as GeminiLiveSettings
from beluga_voice.providers.s2s.openai_realtime._capabilities import capabilities
from beluga_voice.providers.s2s.openai_realtime._codec import OpenAIRealtimeCodec
from beluga_voice.providers.s2s.openai_realtime._options import Settings as OpenAISettings

EVENTS = tuple(get_args(S2sEvent.__value__))
SOUND = base64.b64encode(b"\x01\x02" * 5).decode()

# ── the rule ────────────────────────────────────────────────────────────────────────────────


class Talk:
    """One connection, held to what every codec promises; a broken promise is an `AssertionError`.

    * A message gives events, or `BrokenProtocol`, and never another exception.
    * A response starts before all else of it, and is done once: at the end of the link at last.
    * Nothing sounds of a response that is done, or that the service interrupted.
    * A command gives messages, whatever came before.

    A message that cannot be read is skipped, as a link does, so nothing may be half taken from it.
    """

    def __init__(self, codec: Codec[S2sCommand, S2sEvent]) -> None:
        self._codec = codec
        self.started: set[ResponseId] = set()
        self.done: set[ResponseId] = set()
        self.silent: set[ResponseId] = set()
        self.calls: list[ToolCallId] = []
        self.broken = 0
        """Messages that could not be read."""
        self._send(codec.hello())

    def hear(self, message: WireMessage) -> list[S2sEvent]:
        """A message comes; gives its events."""
        try:
            events = self._codec.decode(message)
        except BrokenProtocol:
            self.broken += 1
            return []
        for event in events:
            assert not isinstance(event, LinkClosed)
            self._look(event)
        replies = getattr(self._codec, "replies", None)  # some codecs answer by themselves
        if replies is not None:
            self._send(replies())
        return events

    def say(self, command: S2sCommand) -> None:
        """A command is sent."""
        self._send(self._codec.encode(command))

    def end(self) -> None:
        """The wire is gone."""
        *owed, last = self._codec.closed(is_clean=False, code=1006, reason="gone")
        for event in owed:
            self._look(event)
        assert isinstance(last, LinkClosed)
        assert self.started == self.done

    def _look(self, event: S2sEvent) -> None:
        assert isinstance(event, EVENTS)
        match event:
            case ResponseStarted(response_id=one):
                assert one not in self.started
                self.started.add(one)
            case ResponseAudio(response_id=one):
                assert one in self.started - self.done - self.silent
            case ResponseText(response_id=one):
                assert one in self.started - self.silent
            case ResponseDone(response_id=one):
                assert one in self.started - self.done
                self.done.add(one)
            case Interrupted(response_id=str() as one):
                assert one in self.started
                self.silent.add(one)
            case ToolCalled(call_id=call_id):
                self.calls.append(call_id)
            case _:
                pass

    def _send(self, messages: Sequence[WireMessage]) -> None:
        assert all(isinstance(one, str | bytes) for one in messages)


# ── the rows ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A codec, and messages that it understands."""

    make: Callable[[], Codec[S2sCommand, S2sEvent]]
    messages: tuple[dict[str, Any], ...]


OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
THEIRS = S2sOptions(turn_owner=TurnOwner.PROVIDER)


def _openai(options: S2sOptions) -> OpenAIRealtimeCodec:
    settings = OpenAISettings(model="gpt-realtime-2.1")
    return OpenAIRealtimeCodec(options, settings, capabilities(has_transcripts=True))


def _gemini(options: S2sOptions) -> GeminiLiveCodec:
    return GeminiLiveCodec(options, GeminiLiveSettings(model="gemini-3.8-live"), link=1)


_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_PLACE = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
_CALL = {
    "type": "function_call",
    "id": "item_3",
    "status": "completed",
    "name": "weather",
    "arguments": '{"city": "Oslo"}',
    "call_id": "call_1",
}
_USAGE = {
    "input_token_details": {"text_tokens": 5, "audio_tokens": 6, "cached_tokens": 1},
    "output_token_details": {"text_tokens": 7, "audio_tokens": 8},
}
OPENAI: tuple[dict[str, Any], ...] = (
    {"type": "session.created", "session": {"id": "s", "model": "m", "expires_at": 1795000000}},
    {"type": "session.updated", "session": {"id": "s", "model": "m"}},
    {"type": "input_audio_buffer.speech_started", "item_id": "item_1", "audio_start_ms": 5},
    {"type": "input_audio_buffer.speech_stopped", "item_id": "item_1", "audio_end_ms": 9},
    {"type": "input_audio_buffer.committed", "item_id": "item_1", "previous_item_id": None},
    {"type": f"{_TRANSCRIPTION}.delta", "item_id": "item_1", "content_index": 0, "delta": "how"},
    {
        "type": f"{_TRANSCRIPTION}.completed",
        "item_id": "item_1",
        "content_index": 0,
        "transcript": "how is it",
        "usage": {"type": "duration", "seconds": 1.5},
    },
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.output_item.added", "response_id": "resp_1", "item": {"type": "message"}},
    {"type": "response.output_audio_transcript.delta", **_PLACE, "delta": "it is"},
    {"type": "response.output_audio.delta", **_PLACE, "delta": SOUND},
    {"type": "response.output_text.delta", **_PLACE, "delta": "fine"},
    {"type": "response.output_item.done", "response_id": "resp_1", "item": _CALL},
    {
        "type": "response.done",
        "response": {
            "id": "resp_1",
            "status": "completed",
            "status_details": {"type": "completed", "reason": "over"},
            "metadata": {"request": "r"},
            "output": [_CALL],
            "usage": _USAGE,
        },
    },
    {"type": f"{_TRANSCRIPTION}.failed", "item_id": "item_1", "error": {"message": "no"}},
    {
        "type": "error",
        "error": {"type": "invalid_request_error", "code": "c", "message": "no", "event_id": "e"},
    },
    {"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "remaining": 5}]},
)
GEMINI: tuple[dict[str, Any], ...] = (
    {"setupComplete": {"sessionId": "s"}},
    {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
    {"serverContent": {"inputTranscription": {"text": "how is it", "finished": False}}},
    {"serverContent": {"modelTurn": {"role": "model", "parts": [{"text": "I think"}]}}},
    {
        "serverContent": {
            "modelTurn": {
                "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": SOUND}}]
            },
            "outputTranscription": {"text": "it is"},
        }
    },
    {"serverContent": {"interrupted": True}},
    {"toolCall": {"functionCalls": [{"id": "f1", "name": "weather", "args": {"city": "Oslo"}}]}},
    {"toolCallCancellation": {"ids": ["f1"]}},
    {"serverContent": {"generationComplete": True}},
    {
        "serverContent": {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"},
        "usageMetadata": {
            "cachedContentTokenCount": 3,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}],
            "responseTokensDetails": [{"modality": "TEXT", "tokenCount": 5}],
        },
    },
    {"goAway": {"timeLeft": "50s"}},
    {"server_content": {"output_transcription": {"text": "in snake case"}}},
)

WIRES = {
    "openai_realtime": Wire(make=lambda: _openai(THEIRS), messages=OPENAI),
    "openai_realtime, our turns": Wire(make=lambda: _openai(OURS), messages=OPENAI),
    "gemini_live": Wire(make=lambda: _gemini(THEIRS), messages=GEMINI),
    "gemini_live, our turns": Wire(make=lambda: _gemini(OURS), messages=GEMINI),
}
