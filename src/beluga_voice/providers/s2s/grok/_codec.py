"""The Grok Voice Agent protocol, pure: commands to messages, and messages to events.

What is not here it shares with other services: see `realtime_dialect.codec`. Its own ways are:

* `Say` is a `force_message`: the service speaks the words as they are, without being asked for a
  response. Which response that is it does not say: the first that begins.
* The service is told to stop whenever a response is interrupted, whatever it may do by itself. It
  may go on for a while: late sound is dropped by the response's id.
* A response that was told to stop may be left in mid-air, without its end. So none is awaited
  before something else is asked for, and it has ended at the latest when the next one begins.
* A conversation can be continued on another connection, by its id. What was said comes again then,
  as items, and is nothing new. The service is told what happened meanwhile; and if it began another
  conversation instead, all that was said.
* Errors do not name the message that they are about: a failure while a response is awaited is
  taken to be of that one.
* A connection is paid by the minute, and its length reported at its end. Where we end the turns,
  the sound is paid, and reported.
"""

from collections.abc import Callable
from typing import Any

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.events import (
    AnswerTool,
    ErrorCategory,
    HistoryItem,
    InputTranscript,
    LinkReady,
    Message,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStatus,
    ResumptionChanged,
    Role,
    S2sCommand,
    S2sEvent,
    SendAudio,
    SendText,
    ToolCalled,
    Update,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, WireMessage
from beluga_voice.providers.s2s.grok import _wire as own
from beluga_voice.providers.s2s.grok._capabilities import MIN_COMMIT_MS
from beluga_voice.providers.s2s.grok._errors import ERRORS, HARMLESS_WORDS
from beluga_voice.providers.s2s.grok._options import (
    Settings,
    check,
    session_of,
    tools_on_wire,
)
from beluga_voice.providers.s2s.grok._reading import READER
from beluga_voice.providers.s2s.grok._resumption import Conversations, Known
from beluga_voice.providers.s2s.grok._transcripts import CumulativeTranscripts
from beluga_voice.providers.s2s.realtime_dialect import Dialect, RealtimeCodec, wire
from beluga_voice.providers.s2s.realtime_dialect.items import message_item
from beluga_voice.providers.s2s.realtime_dialect.ledger import Reply, Request

DIALECT = Dialect(reader=READER, errors=ERRORS, min_commit_ms=MIN_COMMIT_MS)

LOST_OUTPUT = "cancelled: the connection was lost"
_REFUSALS = {ErrorCategory.INVALID_REQUEST, ErrorCategory.RETRYABLE, ErrorCategory.RATE_LIMIT}
"""Errors that may be the answer to a request."""


class GrokCodec(RealtimeCodec):
    """One connection's state; `link` is its number, which makes ids unique over all of them.

    `now` is a clock in seconds, for what the connection is charged; `conversations` are those of
    all connections.
    """

    def __init__(
        self,
        options: S2sOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
        conversations: Conversations,
        link: int = 1,
    ) -> None:
        check(options, settings, capabilities)
        super().__init__(
            DIALECT,
            options,
            session_of(options, settings, capabilities),
            capabilities,
            link=link,
            service_interrupts=False,
        )
        self._settings = settings
        self._now = now
        self._began: float | None = None
        self._tools = frozenset(tool.name for tool in options.tools)
        self._written = CumulativeTranscripts(self._prefix)
        self._latest: Reply | None = None
        self._conversations = conversations
        self._conversation: str | None = None
        self._known = Known()
        self._heard_bytes = self._spoken_bytes = 0

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration, and what was said before unless the service should know it."""
        self._began = self._now()
        self._configure()
        if self._options.resume is None:
            self._seed(self._options.history)
        return self.replies()

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table of `realtime_dialect.codec`."""
        match command:
            case SendAudio():
                self._heard_bytes += len(command.pcm)
            case SendText(role=Role.USER):
                self._known.add([command.text])
            case AnswerTool():
                self._known.open_calls.discard(command.call_id.removeprefix(self._prefix))
            case _:
                pass
        return super().encode(command)

    def _seed(self, items: tuple[HistoryItem, ...]) -> None:
        self._known.add(one.text for one in items if isinstance(one, Message))
        super()._seed(items)

    def _read_aloud(self, text: str) -> None:
        name = self._name("say")
        item = own.ForceMessage(content=[own.SpokenText(text)])
        frame = own.CreateForceMessage(item=item, event_id=name)
        self._ask(Request(name, frame, ResponseOrigin.SAID))

    def _changes(self, command: Update) -> dict[str, Any]:
        session: dict[str, Any] = {}
        if command.instructions is not None:
            session["instructions"] = command.instructions
        if command.tools is not None:
            session["tools"] = tools_on_wire(command.tools, self._settings)
            self._tools = frozenset(tool.name for tool in command.tools)
        if command.voice is not None:
            session["voice"] = command.voice
        return session

    def _is_ours_to_run(self, name: str) -> bool:
        # Calls of the service's own tools come as items too.
        return name in self._tools

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """The events of a message; raises `BrokenProtocol` for what is none of the protocol."""
        events = super().decode(message)
        self._remember_what_is_known(events)
        return events

    def _remember_what_is_known(self, events: list[S2sEvent]) -> None:
        for event in events:
            if isinstance(event, InputTranscript) and event.is_final:
                self._known.add([event.text])
            elif isinstance(event, ToolCalled):
                self._known.open_calls.add(event.call_id.removeprefix(self._prefix))

    def _take(self, kind: str, heard: object) -> list[S2sEvent]:
        match heard:
            case own.ConversationMessage():
                return self._conversation_began(heard.conversation.id)
            case own.TranscriptUpdated():
                return self._written.updated(heard)
            case wire.TranscriptCompleted():
                return self._written.completed(heard)
            case own.CallDone():
                return self._call_done(heard)
            case wire.InputMessage():
                return self._input_message(kind, heard)
            case wire.AudioDelta() | wire.TextDelta() | wire.OutputItem():
                return [*self._answers(heard.response_id), *super()._take(kind, heard)]
            case wire.ResponseMessage() if kind == "response.done":
                return [*self._answers(heard.response.id), *super()._take(kind, heard)]
            case _:
                return super()._take(kind, heard)

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """What is owed, what the connection is charged, and the end of the link."""
        owed = super().closed(is_clean=is_clean, code=code, reason=reason)
        usage = UsageReported(usage=Usage(audio_seconds=self._charged_seconds()))
        final = self._written.ended()
        self._remember_what_is_known(final)
        return [*final, *owed[:-1], usage, owed[-1]]

    def _charged_seconds(self) -> float:
        if not self._is_ours:
            return 0.0 if self._began is None else self._now() - self._began
        heard = to_milliseconds(self._heard_bytes // self._input.block_bytes, self._input.rate)
        spoken = to_milliseconds(self._spoken_bytes // self._output_bytes, self._output_rate)
        return (heard + spoken) / 1000

    def _conversation_began(self, conversation_id: str) -> list[S2sEvent]:
        if self._conversation is None:
            if self._options.resume == conversation_id:
                self._catch_up(conversation_id)
            elif self._options.resume is not None:
                self._seed(self._options.history)  # it forgot the other, and began this one
            self._conversations.put(conversation_id, self._known)
        self._conversation = conversation_id
        return self._handle() if self._is_ready else []

    def _catch_up(self, conversation_id: str) -> None:
        """Tell the service what happened while there was no connection."""
        known = self._conversations.get(conversation_id)
        if known is None:
            return
        for call_id in sorted(known.open_calls):
            self._item(wire.FunctionCallOutput(call_id=call_id, output=LOST_OUTPUT))
        missing = known.missing(self._options.history)
        for text in missing:
            self._item(message_item(Role.USER, text))
        self._known.add([*known.said, *missing])

    def _handle(self) -> list[S2sEvent]:
        if self._conversation is None or not self._settings.resumption:
            return []
        return [ResumptionChanged(handle=self._conversation)]

    def _session_described(self, kind: str, session: wire.SessionObject) -> list[S2sEvent]:
        events = super()._session_described(kind, session)
        is_opened = any(isinstance(event, LinkReady) for event in events)
        return [*events, *self._handle()] if is_opened else events

    def _error(self, error: wire.ErrorObject) -> list[S2sEvent]:
        is_ours = self._errors.category_of(error) is ErrorCategory.INVALID_REQUEST
        about = error.message.lower()
        if is_ours and not error.event_id and any(word in about for word in HARMLESS_WORDS):
            return []  # an order that came too late, which the service does not name
        return super()._error(error)

    def _request_of(self, error: wire.ErrorObject) -> Request | None:
        request = super()._request_of(error)
        may_be = self._errors.category_of(error) in _REFUSALS and not error.event_id
        if request is None and may_be and self._sent:
            request = self._sent.pop(next(iter(self._sent)))
        return request

    # ── the person ──────────────────────────────────────────────────────────────────────────

    def _input_message(self, kind: str, heard: wire.InputMessage) -> list[S2sEvent]:
        is_answered = not self._unanswered_commits
        events = super()._take(kind, heard)
        if kind == "input_audio_buffer.speech_started":
            return [*self._written.began(heard.item_id), *events]
        if kind == "input_audio_buffer.committed":
            events += self._written.committed(heard.item_id, is_answered=is_answered)
        return events

    def _answers(self, response_id: str) -> list[S2sEvent]:
        """The final words of what a response answers, now that it does."""
        is_latest = self._latest is not None and self._latest.wire_id == response_id
        return self._written.answered() if is_latest else []

    # ── the agent ───────────────────────────────────────────────────────────────────────────

    def _created(self, response: wire.ResponseObject) -> list[S2sEvent]:
        if response.id in self._replies:
            return []
        left = self._latest
        events = super()._created(response)
        self._latest = self._active
        if self._latest is not None and self._latest.is_hidden:
            self._active = None  # it was told to stop as it began
            self._send_requests()
        if left is None or left.is_done:
            return events
        done = ResponseDone(
            response_id=left.id,
            status=ResponseStatus.CANCELLED,
            reason="the service went on without it",
        )
        return [*self._end(left, done), *events]

    def _interrupt(self, response_id: ResponseId, heard: int) -> None:
        super()._interrupt(response_id, heard)
        if self._active is not None and self._active.is_silent:
            self._active = None
        self._send_requests()

    def _audio(self, heard: wire.AudioDelta) -> list[S2sEvent]:
        self._spoken_bytes += len(heard.delta)
        return super()._audio(heard)

    def _call_done(self, heard: own.CallDone) -> list[S2sEvent]:
        """A call is complete; its item may tell so again."""
        name, latest = heard.response_id, self._latest
        reply = latest if name is None else self._replies.get(name)
        if reply is None or reply.is_done:
            return []
        item = wire.Item(
            type="function_call",
            name=heard.name,
            arguments=heard.arguments,
            call_id=heard.call_id,
        )
        return [*self._answers(reply.wire_id), *self._tool_called(reply, item)]
