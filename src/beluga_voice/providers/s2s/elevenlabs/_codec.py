"""The protocol of ElevenLabs' agents, as a pure translation.

What a command becomes:

| command | on the wire |
|---|---|
| `SendAudio` | `user_audio_chunk`, in the agent's own format |
| `StartUserTurn` | `user_activity`; a response that is awaited is dropped when it comes |
| `SendText` | `user_message`, which is answered; `contextual_update` where no answer is wanted |
| `CreateResponse` | `user_message` with the instructions, or with the words nobody answered |
| `Say` | `user_message`: a request to say exactly that, which the model mostly honours |
| `Interrupt` | nothing: the rest of that response is dropped here |
| `AnswerTool` | `client_tool_result` |
| `SeedHistory` | `contextual_update`, of words only |
| `EndUserTurn`, `ClearInput`, `Update`, `AnswerDelegation` | nothing: there is no such thing |

What the service leaves out, and how it is made up for. A response has no id and no clear end. It
begins with its first sound or words, and is over when the service says so (`is_final`,
`agent_response_complete`), when the person's next words or the next response come, or when nothing
more came for a while (`QUIET`): it is incomplete then if much of its text did not sound. An
interruption names an event: sound up to that one is dropped. `agent_response_correction` says what
the service believes was heard; the session's own ledger knows better, so it only counts as an
interruption that nothing else told of. A ping is answered with a pong, and with a second of silence
if no sound was sent since the last one.
"""

import base64
from typing import Any, assert_never

import msgspec

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    ConversationEnded,
    CreateResponse,
    Disregard,
    EndUserTurn,
    ErrorCategory,
    HistoryItem,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Message,
    NoResponse,
    PrepareResponse,
    ResponseOrigin,
    ResponseStatus,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    Update,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Capabilities,
    S2sOptions,
    WireMessage,
    input_format_of,
    output_format_of,
)
from beluga_voice.providers.s2s.elevenlabs import _wire as wire
from beluga_voice.providers.s2s.elevenlabs._capabilities import FORMATS, NAME
from beluga_voice.providers.s2s.elevenlabs._errors import (
    category_of,
    category_of_close,
    is_passing,
    message_of,
    message_of_close,
)
from beluga_voice.providers.s2s.elevenlabs._responses import Responses
from beluga_voice.providers.s2s.elevenlabs._setup import Settings, check, initiation_of

SAY = "Say exactly the following, word for word, and nothing else:\n"
SAID_BEFORE = "This conversation goes on from here. What was said so far:\n"
SILENCE_MS = 1000
"""What is sent for a line that brought no sound between two pings."""
MAX_CALLS = 256
"""Tool calls that may wait for their results."""
_SPEAKERS = {Role.USER: "User", Role.AGENT: "You", Role.SYSTEM: "Note"}


class ElevenLabsAgentsCodec:
    """One conversation's worth of the protocol.

    `link` makes the ids of this connection different from those of all others. Raises
    `ConfigurationError` for options that cannot be honoured.
    """

    def __init__(
        self,
        options: S2sOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        link: int,
    ) -> None:
        check(options, settings, capabilities)
        self._options = options
        self._settings = settings
        self._input = input_format_of(capabilities, options.input_format)
        self._output = output_format_of(capabilities, options.output_format)
        self._link = link
        self._replies: list[WireMessage] = []
        self._to_agent: Converter | None = None
        self._has_sound = False
        self._failure: wire.ErrorEvent | None = None
        self._has_failed = False
        # ── what the person does
        self._utterances = 0
        self._utterance: UtteranceId | None = None
        self._unanswered = _unanswered(options.history)
        # ── what the agent does
        is_greeted = settings.first_message is None and bool(options.history)
        self._responses = Responses(link=link, is_unwanted=is_greeted)
        self._calls: dict[ToolCallId, str] = {}

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration."""
        return [wire.write(initiation_of(self._options, self._settings))]

    def replies(self) -> list[WireMessage]:
        """Pongs, and at the beginning what was said before."""
        replies, self._replies = self._replies, []
        return replies

    @property
    def progress(self) -> int | None:
        """How much came of the response that sounds; see `QuietChannel`."""
        return self._responses.progress

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SendAudio():
                self._has_sound = True
                return self._sound(command.pcm)
            case StartUserTurn():
                if self._utterance is not None:
                    self._responses.is_awaited = True
                self._responses.refuse_awaited()
                return [wire.write({"type": "user_activity"})]
            case SendText(respond=True):
                self._unanswered = command.text
                return self._ask(command.text, ResponseOrigin.REQUESTED)
            case SendText():
                return [_context(f"{_SPEAKERS[command.role]}: {command.text}")]
            case CreateResponse():
                text = command.instructions or self._unanswered
                return self._ask(text, ResponseOrigin.REQUESTED) if text else []
            case Say():
                return self._ask(SAY + command.text, ResponseOrigin.SAID)
            case Interrupt():
                self._responses.cut(command.response_id)
                return []
            case AnswerTool():
                return self._answer(command)
            case SeedHistory():
                return _seed(command.items)
            case (
                EndUserTurn()
                | ClearInput()
                | Update()
                | AnswerDelegation()
                | PrepareResponse()
                | CondenseHistory()
                | Disregard()
            ):
                return []
            case _:
                assert_never(command)

    def _sound(self, pcm: bytes) -> list[WireMessage]:
        if self._to_agent is None:
            return []  # nobody listens yet
        chunk = self._to_agent.feed(pcm)
        if not chunk:
            return []
        return [wire.write({"user_audio_chunk": base64.b64encode(chunk).decode()})]

    def _ask(self, text: str, origin: ResponseOrigin) -> list[WireMessage]:
        """Words that are answered."""
        self._responses.want(origin)
        return [wire.write({"type": "user_message", "text": text})]

    def _answer(self, command: AnswerTool) -> list[WireMessage]:
        if (call_id := self._calls.pop(command.call_id, None)) is None:
            return []
        result: dict[str, Any] = {
            "type": "client_tool_result",
            "tool_call_id": call_id,
            "result": command.output,
            "is_error": command.is_error,
        }
        return [wire.write(result)]

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        if message == wire.QUIET:
            return self._responses.quiet()
        said = wire.read(message)
        kind = said.type
        match kind:
            case "audio":
                return self._heard(wire.need(said.audio_event, kind))
            case "ping":
                return self._ping(wire.need(said.ping_event, kind))
            case "agent_response":
                response = wire.need(said.agent_response_event, kind)
                return self._said(response.agent_response.strip(), wire.number(response.event_id))
            case "agent_response_complete":
                marker = said.agent_response_complete_event or wire.Marker()
                return self._responses.complete(wire.number(marker.event_id))
            case "interruption":
                marker = wire.need(said.interruption_event, kind)
                return self._responses.interrupt(wire.number(marker.event_id))
            case "agent_response_correction":
                corrected = wire.need(said.agent_response_correction_event, kind)
                return self._responses.interrupt(wire.number(corrected.event_id))
            case "tentative_user_transcript":
                words = wire.need(said.tentative_user_transcription_event, kind)
                return self._understood(words.user_transcript)
            case "user_transcript":
                words = wire.need(said.user_transcription_event, kind)
                return self._understood_all(words.user_transcript, wire.number(words.event_id))
            case "client_tool_call":
                return self._called(wire.need(said.client_tool_call, kind))
            case "agent_tool_response":
                return self._ran(wire.need(said.agent_tool_response, kind))
            case "conversation_initiation_metadata":
                return self._began(wire.need(said.conversation_initiation_metadata_event, kind))
            case "error" | "client_error":
                return self._failed(wire.need(said.error_event, kind))
            case "vad_score":
                # A voice is heard here as well; where turns end, it does not say.
                wire.need(said.vad_score_event, kind)
                return []
            case _:
                return []

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """A response that was being made has failed, and a service that gave a reason too."""
        events = self._responses.finish(ResponseStatus.FAILED, reason="the connection ended")
        if not self._has_failed and (failed := self._reason(code, reason)) is not None:
            events.append(failed)
        events.append(LinkClosed(is_clean=is_clean, reason=reason, code=code))
        return events

    def _reason(self, code: int | None, reason: str) -> ServiceFailed | None:
        """What the service closed for."""
        if (error := self._failure) is not None:
            return _failed(error, is_fatal=True)
        category = category_of_close(code, reason)
        if category is None:
            return None
        return ServiceFailed(
            category=category,
            message=message_of_close(code, reason),
            is_fatal=True,
            provider_code=str(code),
        )

    def _began(self, metadata: wire.Metadata) -> list[S2sEvent]:
        if self._to_agent is not None:
            raise BrokenProtocol("the conversation began twice", op=NAME)
        names = (metadata.user_input_audio_format, metadata.agent_output_audio_format)
        for name in names:
            if name not in FORMATS:
                self._has_failed = True
                known = ", ".join(FORMATS)
                message = f"the agent is set up for {name[:40]!r}; set its sound to one of {known}"
                category = ErrorCategory.INVALID_REQUEST
                return [ServiceFailed(category=category, message=message, is_fatal=True)]
        heard, spoken = (FORMATS[name] for name in names)
        self._to_agent = Converter(self._input, heard)
        self._responses.speaks(spoken, self._output)
        self._replies += _seed(self._options.history)
        return [LinkReady(remote_id=metadata.conversation_id, model=self._settings.agent_id)]

    def _ping(self, ping: wire.Ping) -> list[S2sEvent]:
        self._replies.append(wire.write({"type": "pong", "event_id": ping.event_id}))
        if not self._has_sound:
            self._replies += self._sound(bytes(2 * to_samples(SILENCE_MS, self._input.rate)))
        self._has_sound = False
        return []

    def _heard(self, audio: wire.AudioEvent) -> list[S2sEvent]:
        sound, event_id = audio.sound, wire.number(audio.event_id)
        spoken = self._responses.spoken_format
        if spoken is None:
            raise BrokenProtocol("sound came before its format", op=NAME)
        if len(sound) % spoken.block_bytes:
            raise BrokenProtocol("sound ended inside a sample", op=NAME)
        length_ms = to_milliseconds(len(sound) // spoken.block_bytes, spoken.rate)
        events = self._responses.sound(sound, event_id, audio.alignment, length_ms=length_ms)
        if events:
            self._unanswered = ""
        if audio.is_final:
            events += self._responses.complete(event_id)
        return events

    def _said(self, text: str, event_id: int | None) -> list[S2sEvent]:
        events = self._responses.words(text, event_id) if text else []
        if events:
            self._unanswered = ""
        return events

    # ── what the person says ────────────────────────────────────────────────────────────────

    def _understood(self, text: str) -> list[S2sEvent]:
        """Words so far, all of them each time."""
        text = text.strip()
        if not _has_words(text):
            return []
        utterance = self._open_utterance()
        return [InputTranscript(utterance_id=utterance, text=text, is_final=False)]

    def _understood_all(self, text: str, event_id: int | None) -> list[S2sEvent]:
        """The words of an utterance, which is over."""
        text = text.strip()
        if not _has_words(text) and self._utterance is None:
            return []  # the service waited, and nobody spoke
        events = self._responses.person_spoke(event_id)
        utterance, self._utterance = self._open_utterance(), None
        if _has_words(text):
            self._unanswered = text
        else:
            text = ""
        events.append(InputCommitted(utterance_id=utterance))
        events.append(InputTranscript(utterance_id=utterance, text=text, is_final=True))
        return events

    def _open_utterance(self) -> UtteranceId:
        if self._utterance is None:
            self._utterances += 1
            self._utterance = UtteranceId(f"elevenlabs-{self._link}-u{self._utterances}")
            self._responses.want_again()
        return self._utterance

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    def _called(self, call: wire.ClientToolCall) -> list[S2sEvent]:
        call_id = ToolCallId(f"elevenlabs-{self._link}-{call.tool_call_id}")
        if call_id in self._calls:
            return []
        self._calls[call_id] = call.tool_call_id
        if len(self._calls) > MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        arguments = msgspec.json.encode(call.parameters or {}).decode()
        return [
            ToolCalled(
                call_id=call_id,
                name=call.tool_name,
                arguments=arguments,
                response_id=self._responses.open_id,
            )
        ]

    def _ran(self, tool: wire.AgentToolResponse) -> list[S2sEvent]:
        """A tool of the service's own ran, or it gave up waiting for one of ours."""
        call_id = ToolCallId(f"elevenlabs-{self._link}-{tool.tool_call_id}")
        if self._calls.pop(call_id, None) is not None:
            return [ToolCallWithdrawn(call_ids=(call_id,))]
        match tool.tool_name:
            case "skip_turn" if self._responses.open_id is None:
                self._unanswered = ""
                self._responses.is_awaited = False
                return [NoResponse(reason="the agent lets the person go on")]
            case "end_call":
                return [ConversationEnded(reason="the agent ended the call")]
            case _:
                return []

    # ── failures ────────────────────────────────────────────────────────────────────────────

    def _failed(self, error: wire.ErrorEvent) -> list[S2sEvent]:
        if is_passing(error):
            return [_failed(error, is_fatal=False)]
        if self._to_agent is None:
            self._has_failed = True
            return [_failed(error, is_fatal=True)]
        # The close that follows tells that this was the end.
        self._failure = error
        return []


def _failed(error: wire.ErrorEvent, *, is_fatal: bool) -> ServiceFailed:
    return ServiceFailed(
        category=category_of(error),
        message=message_of(error),
        is_fatal=is_fatal,
        provider_code=error.kind or None,
    )


def _has_words(text: str) -> bool:
    """Whether it is more than the dots by which the service writes that nobody spoke."""
    return any(char.isalnum() for char in text)


def _unanswered(history: tuple[HistoryItem, ...]) -> str:
    """What the person said last, if nobody answered."""
    texts: list[str] = []
    for one in reversed(history):
        if isinstance(one, Message):
            if one.role is not Role.USER:
                break
            texts.append(one.text)
    return "\n".join(reversed(texts))


def _seed(items: tuple[HistoryItem, ...]) -> list[WireMessage]:
    lines = [f"{_SPEAKERS[one.role]}: {one.text}" for one in items if isinstance(one, Message)]
    return [_context(SAID_BEFORE + "\n".join(lines))] if lines else []


def _context(text: str) -> WireMessage:
    return wire.write({"type": "contextual_update", "text": text})
