"""The protocol, pure: commands to messages, and messages to events.

What becomes of each command:

    SendAudio           input_audio_buffer.append
    StartUserTurn       response.cancel, for a response that was asked for and has not begun
    EndUserTurn         input_audio_buffer.commit, and response.create if one is wanted
    ClearInput          input_audio_buffer.clear
    SendText            conversation.item.create, and response.create if one is wanted
    CreateResponse      response.create
    Say                 as the service does it: `_read_aloud`
    Interrupt           response.cancel while it is being made; conversation.item.truncate at what
                        was heard, for each item that was not heard whole
    AnswerTool          conversation.item.create with the output; response.create once every call
                        of that response is answered
    Update              session.update
    SeedHistory         conversation.item.create for each item
    AnswerDelegation    nothing: the service delegates nothing

Only one response at a time can be made. A `response.create` meanwhile waits for `response.done`; if
the service had begun one by itself that we did not know of, its error tells so, and ours waits.
What is to be sent because of a message is given by `replies`.

A service is a subclass that says how words are read aloud and how settings change; it may take
messages of its own in `_take`.

`StartUserTurn` does not clear the input: what was said while it was being decided whether the
person interrupts is there already, and belongs to the turn.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Any, assert_never

import msgspec

from beluga_voice.audio.formats import to_samples
from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    CreateResponse,
    Disregard,
    EndUserTurn,
    ErrorCategory,
    HistoryItem,
    InputCommitted,
    Interrupt,
    LinkClosed,
    LinkReady,
    NoResponse,
    PrepareResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    Update,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Capabilities,
    S2sOptions,
    TurnOwner,
    WireMessage,
    input_format_of,
    output_format_of,
)
from beluga_voice.providers.s2s.realtime_dialect import wire
from beluga_voice.providers.s2s.realtime_dialect.dialect import Dialect
from beluga_voice.providers.s2s.realtime_dialect.items import items_of, message_item
from beluga_voice.providers.s2s.realtime_dialect.ledger import Reply, Request
from beluga_voice.providers.s2s.realtime_dialect.reading import reason_of, status_of, usage_of
from beluga_voice.providers.s2s.realtime_dialect.transcripts import Transcripts

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""
MAX_OPEN = 16
"""Responses that may be made at once; the service makes one."""
MAX_CALLS = 128
"""Tool calls of one response, and all that wait for their results."""
CANCELLED_OUTPUT = "cancelled: the person interrupted"
REQUEST = "request"
"""The key of a response's metadata by which it is known as one we asked for."""
SILENCE = {"pcm16": b"\x00", "mulaw": b"\xff", "alaw": b"\xd5"}

_encode = msgspec.json.Encoder().encode


class RealtimeCodec(ABC):
    """One connection's state; `link` is its number, which makes ids unique over all of them.

    `session` is the whole configuration. With `service_interrupts` the service stops its response
    by itself when it hears the person.
    """

    def __init__(
        self,
        dialect: Dialect,
        options: S2sOptions,
        session: dict[str, Any],
        capabilities: Capabilities,
        *,
        link: int,
        service_interrupts: bool,
    ) -> None:
        self._dialect = dialect
        self._errors = dialect.errors
        self._options = options
        self._session = session
        self._prefix = f"{link}-"
        output = output_format_of(capabilities, options.output_format)
        self._input = input_format_of(capabilities, options.input_format)
        self._output_rate, self._output_bytes = output.rate, output.block_bytes
        self._is_ours = options.turn_owner is TurnOwner.FRAMEWORK
        self._service_interrupts = not self._is_ours and service_interrupts
        self._service_responds = not self._is_ours and options.respond_automatically
        self._out: list[msgspec.Struct] = []
        self._numbers = 0
        self._is_ready = False
        self._described = wire.SessionObject()
        self._is_expired = False
        self._replies: dict[str, Reply] = {}
        self._active: Reply | None = None
        self._waiting: deque[Request] = deque()
        self._sent: dict[str, Request] = {}
        self._guessed: dict[str, Request] = {}
        self._calls: dict[ToolCallId, tuple[str, Reply]] = {}
        self._transcripts = Transcripts(self._prefix, self._errors)
        self._buffered = 0
        self._unanswered_commits = 0
        self._is_voice = False
        self._owes_response = False
        self._awaits_response = False
        self._refuses_response = False
        self._has_sounded = False

    # ── what is a service's own ─────────────────────────────────────────────────────────────

    @abstractmethod
    def _read_aloud(self, text: str) -> None:
        """Have the words spoken."""

    @abstractmethod
    def _changes(self, command: Update) -> dict[str, Any]:
        """The settings that an update changes, as a session; empty if it changes none."""

    def _request_of(self, error: wire.ErrorObject) -> Request | None:
        """The request of ours that was refused, which is no longer awaited."""
        name = error.event_id or ""
        return self._sent.pop(name, None) or self._guessed.pop(name, None)

    def _is_ours_to_run(self, name: str) -> bool:
        """Whether a call of the tool of that name is for us."""
        return bool(name)

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration, and what was said before."""
        self._configure()
        self._seed(self._options.history)
        return self.replies()

    def _configure(self) -> None:
        self._say(wire.SessionUpdate(session=self._session, event_id=self._name("hello")))

    def replies(self) -> list[WireMessage]:
        """What is to be sent because of the messages so far."""
        if not self._out:
            return []
        out, self._out = self._out, []
        return [_encode(one).decode() for one in out]

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SendAudio():
                self._buffered += len(command.pcm)
                return [_encode(wire.Append(audio=command.pcm)).decode()]
            case StartUserTurn():
                self._start_turn()
            case EndUserTurn():
                self._end_turn(command.respond)
            case ClearInput():
                self._buffered = 0
                self._is_voice = self._is_voice and not self._is_ours
                self._say(wire.Clear())
            case SendText():
                self._item(message_item(command.role, command.text))
                if command.respond:
                    self._request(ResponseOrigin.REQUESTED)
            case CreateResponse():
                self._request(ResponseOrigin.REQUESTED, instructions=command.instructions)
            case Say():
                self._read_aloud(command.text)
            case Interrupt():
                self._interrupt(command.response_id, command.heard_samples)
            case AnswerTool():
                self._answer_tool(command)
            case AnswerDelegation() | PrepareResponse() | CondenseHistory() | Disregard():
                pass
            case Update():
                self._update(command)
            case SeedHistory():
                self._seed(command.items)
            case _:
                assert_never(command)
        return self.replies()

    def _say(self, frame: msgspec.Struct) -> None:
        self._out.append(frame)

    def _name(self, kind: str) -> str:
        """A name for a message, which comes back with an error about it."""
        self._numbers += 1
        return f"{kind}-{self._prefix}{self._numbers}"

    def _start_turn(self) -> None:
        self._is_voice = self._is_ours
        self._waiting.clear()
        if self._sent:
            for request in self._sent.values():
                request.is_wanted = False
            self._say(wire.CancelResponse(event_id=self._name("cancel")))
        if self._awaits_response:
            # The service is about to answer by itself: there is no id to cancel it by yet.
            self._refuses_response = True

    def _end_turn(self, respond: bool) -> None:
        self._is_voice = False
        missing = (
            to_samples(self._dialect.min_commit_ms, self._input.rate) * self._input.block_bytes
        )
        missing -= self._buffered
        if missing > 0:
            self._say(wire.Append(audio=SILENCE[self._input.encoding] * missing))
        self._buffered = 0
        self._say(wire.Commit())
        if respond or self._owes_response:
            self._owes_response = False
            self._request(ResponseOrigin.TURN)
        else:
            self._unanswered_commits += 1

    def _update(self, command: Update) -> None:
        session = self._changes(command)
        if session:
            self._say(wire.SessionUpdate(session=session, event_id=self._name("update")))

    def _item(self, item: wire.ClientItem) -> None:
        self._say(wire.CreateItem(item=item, event_id=self._name("item")))

    def _seed(self, items: tuple[HistoryItem, ...]) -> None:
        for item in items_of(items):
            self._item(item)

    # ── asking for responses, one at a time ─────────────────────────────────────────────────

    def _request(
        self,
        origin: ResponseOrigin,
        *,
        instructions: str | None = None,
        input: list[wire.ClientItem] | msgspec.UnsetType = msgspec.UNSET,
        tool_choice: str | None = None,
    ) -> None:
        name = self._name("response")
        settings = wire.ResponseSettings(
            metadata={REQUEST: name},
            instructions=instructions,
            input=input,
            tool_choice=tool_choice,
        )
        frame = wire.CreateResponseMessage(response=settings, event_id=name)
        self._ask(Request(name, frame, origin))

    def _ask(self, request: Request) -> None:
        self._waiting.append(request)
        self._send_requests()

    def _send_requests(self) -> None:
        if self._waiting and self._active is None and not self._sent:
            request = self._waiting.popleft()
            self._sent[request.id] = request
            self._say(request.frame)

    # ── interrupting, and tools ─────────────────────────────────────────────────────────────

    def _interrupt(self, response_id: ResponseId, heard: int) -> None:
        reply = self._replies.get(response_id.removeprefix(self._prefix))
        if reply is None or reply.is_unheard:
            return
        reply.is_silent = True
        if not reply.is_done and not self._is_stopped_by_service(reply):
            self._cancel(reply)
        self._truncate(reply, heard)

    def _is_stopped_by_service(self, reply: Reply) -> bool:
        """When the person begins to speak, the service stops what it is saying, if it is set to."""
        return self._is_voice and self._service_interrupts and not reply.began_over_voice

    def _cancel(self, reply: Reply) -> None:
        name = self._name("cancel")
        self._say(wire.CancelResponse(event_id=name, response_id=reply.wire_id))

    def _truncate(self, reply: Reply, heard: int) -> None:
        for cut in reply.truncate(heard, self._output_rate):
            self._say(
                wire.Truncate(
                    item_id=cut.item_id,
                    content_index=cut.content_index,
                    audio_end_ms=cut.audio_end_ms,
                    event_id=self._name("truncate"),
                )
            )

    def _answer_tool(self, command: AnswerTool) -> None:
        known = self._calls.pop(command.call_id, None)
        if known is None:
            return  # a call of another connection: its history says what came of it
        call_id, reply = known
        self._item(wire.FunctionCallOutput(call_id=call_id, output=command.output))
        reply.open_calls.discard(call_id)
        self._continue(reply)

    def _continue(self, reply: Reply) -> None:
        """Once every call of a response is answered, ask for what follows from it."""
        if not reply.is_done or not reply.calls or reply.open_calls or reply.is_continued:
            return
        reply.is_continued = True
        if self._is_voice and (self._is_ours or self._service_responds):
            self._owes_response = True  # the response to what the person is saying has it all
        else:
            self._request(ResponseOrigin.TURN)

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """The events of a message; raises `BrokenProtocol` for what is none of the protocol."""
        kind, heard = self._dialect.reader.read(message)
        return [] if heard is None else self._take(kind, heard)

    def _take(self, kind: str, heard: object) -> list[S2sEvent]:
        match heard:
            case wire.AudioDelta():
                return self._audio(heard)
            case wire.TextDelta():
                return self._text(heard)
            case wire.TranscriptDelta():
                return self._transcripts.delta(heard)
            case wire.InputMessage():
                return self._input_changed(kind, UtteranceId(self._prefix + heard.item_id))
            case wire.ResponseMessage() if kind == "response.created":
                return self._created(heard.response)
            case wire.ResponseMessage():
                return self._done(heard)
            case wire.OutputItem():
                return self._item_done(heard)
            case wire.TranscriptCompleted():
                return self._transcripts.completed(heard)
            case wire.TranscriptFailed():
                return self._transcripts.failed(heard)
            case wire.SessionMessage():
                return self._session_described(kind, heard.session)
            case wire.ErrorMessage():
                return self._error(heard.error)
            case _:
                return []

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """A failed end for every response that is still being made, then the end of the link."""
        owed: list[S2sEvent] = []
        for reply in self._replies.values():
            if not reply.is_done and not reply.is_hidden:
                failed = ResponseStatus.FAILED
                owed.append(ResponseDone(response_id=reply.id, status=failed, reason=reason))
            reply.is_done = True
        if self._errors.is_expiry(code, reason) and not self._is_expired:
            expired = ErrorCategory.SESSION_EXPIRED
            owed.append(ServiceFailed(category=expired, message=reason, is_fatal=True))
        owed.append(LinkClosed(is_clean=is_clean, code=code, reason=reason))
        return owed

    def _session_described(self, kind: str, session: wire.SessionObject) -> list[S2sEvent]:
        if kind == "session.created":
            self._described = session
            return []
        if self._is_ready:
            return []
        self._is_ready = True
        created = self._described
        return [
            LinkReady(
                remote_id=session.id or created.id,
                model=session.model or created.model,
                expires_at=session.expires_at or created.expires_at,
            )
        ]

    def _error(self, error: wire.ErrorObject) -> list[S2sEvent]:
        name = error.event_id or ""
        category, message = self._errors.category_of(error), self._errors.message_of(error)
        request = self._request_of(error)
        if error.code == self._errors.already_active:
            if request is None and self._sent:
                request = self._sent.pop(next(iter(self._sent)))
            if request is not None and request.is_wanted:
                self._waiting.appendleft(request)
            return []
        if category is ErrorCategory.BENIGN or name.startswith(("cancel-", "truncate-")):
            return []
        self._is_expired = self._is_expired or category is ErrorCategory.SESSION_EXPIRED
        failed = ServiceFailed(
            category=category,
            message=message,
            is_fatal=self._is_expired or category in self._errors.ends or not self._is_ready,
            provider_code=error.code or error.type,
        )
        if request is None:
            return [failed]
        self._send_requests()
        return [failed, NoResponse(reason=message)]

    # ── the person ──────────────────────────────────────────────────────────────────────────

    def _input_changed(self, kind: str, utterance_id: UtteranceId) -> list[S2sEvent]:
        if kind == "input_audio_buffer.speech_started":
            self._is_voice = True
            self._awaits_response = self._refuses_response = False
            return [SpeechStarted(utterance_id=utterance_id)]
        if kind == "input_audio_buffer.speech_stopped":
            self._is_voice = False
            return [SpeechStopped(utterance_id=utterance_id)]
        committed = InputCommitted(utterance_id=utterance_id)
        if self._unanswered_commits:
            self._unanswered_commits -= 1
        elif self._is_ours or self._service_responds:
            self._awaits_response = not self._is_ours
            return [committed]
        return [committed, NoResponse(reason="none was wanted")]

    # ── the agent ───────────────────────────────────────────────────────────────────────────

    def _created(self, response: wire.ResponseObject) -> list[S2sEvent]:
        if response.id in self._replies:
            return []
        if sum(not one.is_done for one in self._replies.values()) >= MAX_OPEN:
            raise BrokenProtocol("too many responses are made at once", op="decode")
        reply = Reply(response.id, ResponseId(self._prefix + response.id))
        reply.began_over_voice = self._is_voice
        request = self._requested(response)
        if request is None:
            # Made by the service for what the person said, tool results and all.
            self._awaits_response = False
            reply.is_hidden, self._refuses_response = self._refuses_response, False
            if reply.is_hidden:
                self._cancel(reply)
        else:
            reply.is_hidden = not request.is_wanted
        self._remember(reply)
        self._active = reply
        if reply.is_hidden:
            return []
        origin = ResponseOrigin.TURN if request is None else request.origin
        return [ResponseStarted(response_id=reply.id, origin=origin)]

    def _requested(self, response: wire.ResponseObject) -> Request | None:
        """Our request that it answers; where its metadata do not come back, the one it may be."""
        name = (response.metadata or {}).get(REQUEST)
        if name is None and self._sent and not self._awaits_response:
            name = next(iter(self._sent))
            self._guessed[name] = self._sent[name]
        return self._sent.pop(name or "", None)

    def _remember(self, reply: Reply) -> None:
        self._replies[reply.wire_id] = reply
        over = len(self._replies) - REMEMBERED
        done = [one.wire_id for one in self._replies.values() if one.is_done]
        for wire_id in done[: max(over, 0)]:
            del self._replies[wire_id]

    def _audio(self, heard: wire.AudioDelta) -> list[S2sEvent]:
        reply = self._replies.get(heard.response_id)
        if reply is None or reply.is_done or not heard.delta:
            return []
        self._has_sounded = True
        reply.sounded(heard.item_id, heard.content_index, len(heard.delta) // self._output_bytes)
        if reply.is_unheard:
            return []
        return [ResponseAudio(response_id=reply.id, pcm=heard.delta)]

    def _text(self, heard: wire.TextDelta) -> list[S2sEvent]:
        reply = self._replies.get(heard.response_id)
        if reply is None or reply.is_done or reply.is_unheard or not heard.delta:
            return []
        delta = heard.delta
        if reply.text_item not in ("", heard.item_id) and not delta[0].isspace():
            delta = f" {delta}"
        reply.text_item = heard.item_id
        return [ResponseText(response_id=reply.id, delta=delta)]

    def _item_done(self, heard: wire.OutputItem) -> list[S2sEvent]:
        reply = self._replies.get(heard.response_id)
        return [] if reply is None or reply.is_done else self._tool_called(reply, heard.item)

    def _tool_called(self, reply: Reply, item: wire.Item) -> list[S2sEvent]:
        """A call, if the item is one and complete: of a cancelled response, it may be cut off."""
        if item.type != "function_call" or item.status not in (None, "completed"):
            return []
        if not item.call_id or not item.name or item.call_id in reply.calls:
            return []
        if len(reply.calls) >= MAX_CALLS:
            return []
        if not self._is_ours_to_run(item.name):
            return []
        reply.calls.add(item.call_id)
        if reply.is_unheard:
            output = wire.FunctionCallOutput(call_id=item.call_id, output=CANCELLED_OUTPUT)
            self._item(output)
            reply.is_continued = True
            return []
        call_id = ToolCallId(self._prefix + item.call_id)
        reply.open_calls.add(item.call_id)
        self._calls[call_id] = (item.call_id, reply)
        if len(self._calls) > MAX_CALLS:
            del self._calls[next(iter(self._calls))]
        return [
            ToolCalled(
                call_id=call_id,
                name=item.name,
                arguments=item.arguments or "{}",
                response_id=reply.id,
            )
        ]

    def _done(self, heard: wire.ResponseMessage) -> list[S2sEvent]:
        response = heard.response
        reply = self._replies.get(response.id)
        if reply is None or reply.is_done:
            return []
        events: list[S2sEvent] = []
        for item in response.output or ():
            events += self._tool_called(reply, item)
        done = ResponseDone(
            response_id=reply.id,
            status=status_of(response.status),
            reason=reason_of(response.status_details, self._errors),
            usage=usage_of(response.usage) or usage_of(heard.usage),
        )
        return [*events, *self._end(reply, done)]

    def _end(self, reply: Reply, done: ResponseDone) -> list[S2sEvent]:
        """A response is over, and whoever knows of it is told."""
        reply.is_done = True
        if reply is self._active:
            self._active = None
            self._guessed.clear()
        if reply.is_unheard:
            self._truncate(reply, 0)  # what came after the interruption was not heard
        self._continue(reply)
        self._send_requests()
        return [] if reply.is_hidden else [done]
