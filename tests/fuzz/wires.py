"""The codecs that are fuzzed, and what must hold of each, whatever comes.

A codec is added as a row of `WIRES`: how one is made, and messages of its service, in an order in
which they could come. They are where mutations begin, so the more kinds the better. Where a wire
takes what is no JSON, the row has `pieces` of that to begin with.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CreateResponse,
    DelegationId,
    EndUserTurn,
    Interrupt,
    Interrupted,
    LinkClosed,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolSpec,
    Update,
)
from beluga_voice.interfaces import Codec, S2sOptions, TurnOwner, WireMessage
from beluga_voice.providers.s2s.elevenlabs._capabilities import capabilities as of_elevenlabs
from beluga_voice.providers.s2s.elevenlabs._codec import ElevenLabsAgentsCodec
from beluga_voice.providers.s2s.elevenlabs._setup import Settings as ElevenLabsSettings
from beluga_voice.providers.s2s.gemini_live._codec import GeminiLiveCodec
from beluga_voice.providers.s2s.gemini_live._setup import Settings as GeminiLiveSettings
from beluga_voice.providers.s2s.grok._capabilities import capabilities as of_grok
from beluga_voice.providers.s2s.grok._codec import GrokCodec
from beluga_voice.providers.s2s.grok._options import Settings as GrokSettings
from beluga_voice.providers.s2s.grok._resumption import Conversations
from beluga_voice.providers.s2s.nova_sonic._codec import NovaSonicCodec
from beluga_voice.providers.s2s.nova_sonic._settings import Settings as NovaSonicSettings
from beluga_voice.providers.s2s.openai_live import ResponsesDelegation
from beluga_voice.providers.s2s.openai_live._capabilities import DEFAULT_FORMAT
from beluga_voice.providers.s2s.openai_live._capabilities import capabilities as of_openai_live
from beluga_voice.providers.s2s.openai_live._codec import OpenAILiveCodec
from beluga_voice.providers.s2s.openai_live._options import Settings as OpenAILiveSettings
from beluga_voice.providers.s2s.openai_realtime._capabilities import capabilities
from beluga_voice.providers.s2s.openai_realtime._codec import OpenAIRealtimeCodec
from beluga_voice.providers.s2s.openai_realtime._options import Settings as OpenAISettings
from fuzz.event_stream import PIECES, Framed

EVENTS = tuple(get_args(S2sEvent.__value__))
TOOL = ToolSpec(name="weather", description="Tells it.", parameters="{}")
SOUND = base64.b64encode(b"\x01\x02" * 5).decode()
COMMANDS: tuple[S2sCommand, ...] = (
    SendAudio(pcm=bytes(640)),
    StartUserTurn(),
    EndUserTurn(),
    EndUserTurn(respond=False),
    ClearInput(),
    CreateResponse(),
    Say(text="hello"),
    SendText(text="hello"),
    SendText(text="hello", respond=False),
    SeedHistory(items=(Message(role=Role.USER, text="hello"),)),
    AnswerDelegation(delegation_id=DelegationId("unknown"), text="hello"),
    Update(instructions="be brief", tools=(TOOL,), voice="another"),
)
LOUD = base64.b64encode(b"\x00\x20" * 480).decode()

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
        self.codec = codec
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
            events = self.codec.decode(message)
        except BrokenProtocol:
            self.broken += 1
            return []
        for event in events:
            assert not isinstance(event, LinkClosed)
            self._look(event)
        replies = getattr(self.codec, "replies", None)  # some codecs answer by themselves
        if replies is not None:
            self._send(replies())
        return events

    def say(self, command: S2sCommand) -> None:
        """A command is sent."""
        self._send(self.codec.encode(command))

    @property
    def commands(self) -> list[S2sCommand]:
        """Some of what a session could say at this moment, of every kind."""
        response = max(self.started, default=ResponseId("unknown"))
        call = self.calls[-1] if self.calls else ToolCallId("unknown")
        return [
            *COMMANDS,
            Interrupt(response_id=response, heard_samples=5, heard_text="it"),
            Interrupt(response_id=response, heard_samples=0, heard_text=""),
            AnswerTool(call_id=call, output="cold"),
            AnswerTool(call_id=call, output="", is_error=True),
        ]

    def end(self) -> None:
        """The wire is gone."""
        *owed, last = self.codec.closed(is_clean=False, code=1006, reason="gone")
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
    pieces: tuple[bytes, ...] = ()


OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
THEIRS = S2sOptions(turn_owner=TurnOwner.PROVIDER)


def _openai(options: S2sOptions) -> OpenAIRealtimeCodec:
    settings = OpenAISettings(model="gpt-realtime-2.1")
    return OpenAIRealtimeCodec(options, settings, capabilities(has_transcripts=True))


def _gemini(options: S2sOptions) -> GeminiLiveCodec:
    return GeminiLiveCodec(options, GeminiLiveSettings(model="gemini-3.8-live"), link=1)


def _grok(owner: TurnOwner) -> GrokCodec:
    return GrokCodec(
        S2sOptions(turn_owner=owner, tools=(TOOL,)),
        GrokSettings(model="grok-voice-latest"),
        of_grok(resumption=True, max_connection_seconds=1800),
        now=lambda: 5.0,
        conversations=Conversations(),
    )


def _nova() -> NovaSonicCodec:
    return NovaSonicCodec(S2sOptions(), NovaSonicSettings(), link=1)


def _live(*, has_tools: bool) -> OpenAILiveCodec:
    delegation = ResponsesDelegation(model="gpt-5.6") if has_tools else "client"
    settings = OpenAILiveSettings(model="gpt-live-1", delegation=delegation)
    able = of_openai_live(DEFAULT_FORMAT, has_tools=has_tools)
    return OpenAILiveCodec(S2sOptions(tools=(TOOL,) if has_tools else ()), settings, able)


def _elevenlabs() -> ElevenLabsAgentsCodec:
    settings = ElevenLabsSettings(agent_id="agent")
    return ElevenLabsAgentsCodec(S2sOptions(), settings, of_elevenlabs(), link=1)


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

GROK: tuple[dict[str, Any], ...] = (
    {"type": "session.created", "session": {"id": "s", "model": "m"}},
    {"type": "conversation.created", "conversation": {"id": "conv_1"}},
    *(one for one in OPENAI[1:12] if not one["type"].endswith("delta")),
    {"type": "ping", "timestamp": 1795000000000},
    {"type": f"{_TRANSCRIPTION}.updated", "item_id": "item_4", "transcript": "how is it"},
    {
        "type": f"{_TRANSCRIPTION}.completed",
        "item_id": "item_4",
        "transcript": "how is",
        "status": "in_progress",
    },
    {"type": "response.created", "response": {"id": "resp_2", "status": "in_progress"}},
    {"type": "response.output_audio.delta", **_PLACE, "response_id": "resp_2", "delta": SOUND},
    {"type": "response.audio.delta", **_PLACE, "response_id": "resp_2", "delta": SOUND},
    {"type": "response.output_audio_transcript.delta", **_PLACE, "delta": "it is"},
    {
        "type": "response.function_call_arguments.done",
        "call_id": "call_2",
        "name": "weather",
        "arguments": '{"city": "Oslo"}',
    },
    {
        "type": "response.done",
        "response": {"id": "resp_2", "status": "cancelled", "status_details": "turn_detected"},
        "usage": {"input_tokens": 5, "output_tokens": 6},
    },
    {"type": "error", "error": {"type": "internal_error", "code": "c", "message": "no"}},
)


def _nova_event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"event": {kind: {"sessionId": "s", "promptName": "p", **fields}}}


def _nova_block(
    name: str, role: str, stage: str, text: str, reason: str = "PARTIAL_TURN"
) -> tuple[dict[str, Any], ...]:
    fields = f'{{"generationStage":"{stage}"}}'
    return (
        _nova_event(
            "contentStart", contentId=name, type="TEXT", role=role, additionalModelFields=fields
        ),
        _nova_event("textOutput", contentId=name, role=role, content=text),
        _nova_event("contentEnd", contentId=name, type="TEXT", stopReason=reason),
    )


NOVA: tuple[dict[str, Any], ...] = (
    {"accepted": {}},
    _nova_event("completionStart", completionId="c"),
    *_nova_block("b1", "USER", "FINAL", "how is it"),
    *_nova_block("b2", "ASSISTANT", "SPECULATIVE", "it is fine"),
    _nova_event("contentStart", contentId="b3", type="AUDIO", role="ASSISTANT"),
    _nova_event("audioOutput", contentId="b3", content=SOUND),
    _nova_event("contentEnd", contentId="b3", type="AUDIO", stopReason="PARTIAL_TURN"),
    _nova_event("contentStart", contentId="b4", type="TOOL", role="TOOL"),
    _nova_event(
        "toolUse", contentId="b4", toolUseId="t1", toolName="weather", content='{"city": "Oslo"}'
    ),
    _nova_event("contentEnd", contentId="b4", type="TOOL", stopReason="TOOL_USE"),
    *_nova_block("b5", "ASSISTANT", "FINAL", '{ "interrupted" : true }', "INTERRUPTED"),
    _nova_event(
        "usageEvent",
        details={"delta": {"input": {"speechTokens": 4}, "output": {"textTokens": 5}}},
    ),
    _nova_event("completionEnd", stopReason="END_TURN"),
    {"exception": {"type": "ValidationException", "message": "Tool Response parsing error"}},
)


def _live_event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"session.{kind}", "event_id": "event_1", **fields}


def _live_work(kind: str, **fields: Any) -> dict[str, Any]:
    event = {"type": f"response.{kind}", **fields}
    return {"type": "response.event", "delegation_id": "item_2", "event": event}


LIVE: tuple[dict[str, Any], ...] = (
    _live_event("started", session={"id": "s", "model": "m", "expires_at": 1795000000}),
    _live_event("input_transcript.delta", delta="how is it", start_ms=100, end_ms=300),
    _live_event("output_transcript.delta", delta="it is", start_ms=1400, end_ms=1600),
    _live_event("output_audio.delta", delta=LOUD),
    _live_event("delegation.created", delegation={"id": "item_1", "target": "client"}),
    _live_event("thinking.appended", client_event_id="live-1-e2", start_ms=5, end_ms=5),
    _live_event("input_transcript.delta", delta="and now", start_ms=2000, end_ms=2200),
    _live_event("output_transcript.delta", delta="fine", start_ms=2600, end_ms=2800),
    _live_event("usage.updated", usage={"seconds": 15.5}, context_window={"usage_ratio": 0.1}),
    _live_work("created"),
    _live_work("output_item.done", item=_CALL),
    _live_work("completed", response={"usage": {"input_tokens": 5, "output_tokens": 6}}),
    {"type": "error", "error": {"type": "server_error", "code": None, "message": "no"}},
)

ELEVENLABS: tuple[dict[str, Any], ...] = (
    {
        "type": "conversation_initiation_metadata",
        "conversation_initiation_metadata_event": {
            "conversation_id": "c",
            "agent_output_audio_format": "pcm_16000",
            "user_input_audio_format": "pcm_16000",
        },
    },
    {"type": "ping", "ping_event": {"event_id": 1, "ping_ms": 50}},
    {
        "type": "tentative_user_transcript",
        "tentative_user_transcription_event": {"user_transcript": "how is", "event_id": 2},
    },
    {
        "type": "user_transcript",
        "user_transcription_event": {"user_transcript": "how is it", "event_id": 3},
    },
    {
        "type": "agent_response",
        "agent_response_event": {"agent_response": "it is fine", "event_id": 4},
    },
    {
        "type": "audio",
        "audio_event": {
            "audio_base_64": SOUND,
            "event_id": 5,
            "alignment": {
                "chars": ["i", "t", " "],
                "char_start_times_ms": [0, 50, 100],
                "char_durations_ms": [50, 50, 0],
            },
        },
    },
    {
        "type": "client_tool_call",
        "client_tool_call": {
            "tool_call_id": "t1",
            "tool_name": "weather",
            "parameters": {"city": "Oslo"},
            "event_id": 6,
        },
    },
    {
        "type": "agent_tool_response",
        "agent_tool_response": {"tool_name": "skip_turn", "tool_call_id": "t2"},
    },
    {"type": "interruption", "interruption_event": {"event_id": "7"}},
    {
        "type": "agent_response_correction",
        "agent_response_correction_event": {
            "original_agent_response": "it is fine",
            "corrected_agent_response": "it",
            "event_id": 8,
        },
    },
    {"type": "audio", "audio_event": {"audio_base_64": SOUND, "event_id": 9, "is_final": True}},
    {"type": "agent_response_complete", "agent_response_complete_event": {"event_id": 10}},
    {"type": "vad_score", "vad_score_event": {"vad_score": 0.9}},
    {"type": "agent_tool_response", "agent_tool_response": {"tool_name": "end_call"}},
    {
        "type": "error",
        "error_event": {"code": 1011, "error_type": "llm_error", "message": "no"},
    },
)

WIRES = {
    "openai_realtime": Wire(make=lambda: _openai(THEIRS), messages=OPENAI),
    "openai_realtime, our turns": Wire(make=lambda: _openai(OURS), messages=OPENAI),
    "gemini_live": Wire(make=lambda: _gemini(THEIRS), messages=GEMINI),
    "gemini_live, our turns": Wire(make=lambda: _gemini(OURS), messages=GEMINI),
    "grok": Wire(make=lambda: _grok(TurnOwner.PROVIDER), messages=GROK),
    "grok, our turns": Wire(make=lambda: _grok(TurnOwner.FRAMEWORK), messages=GROK),
    "nova_sonic": Wire(make=_nova, messages=NOVA),
    "nova_sonic, framed": Wire(make=lambda: Framed(_nova()), messages=NOVA[1:], pieces=PIECES),
    "openai_live": Wire(make=lambda: _live(has_tools=False), messages=LIVE),
    "openai_live, with tools": Wire(make=lambda: _live(has_tools=True), messages=LIVE),
    "elevenlabs": Wire(make=_elevenlabs, messages=ELEVENLABS),
}
