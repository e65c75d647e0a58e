"""The OpenAI Live protocol, pure: commands to messages, and messages to events.

The model hears and speaks at once. On the wire are no turns and no responses, and nothing can be
cancelled. What becomes of each command:

    SendAudio           session.input_audio.append
    SendText            session.thinking.append, or .instructions.append for notes of the system;
                        if it is to be answered, session.commentary.append to say so
    Say                 session.commentary.append, asking for these words: best effort
    CreateResponse      session.commentary.append, asking to speak: best effort
    Interrupt           what still comes is dropped until the model has been silent for a while;
                        session.thinking.append tells it what was heard
    AnswerDelegation    session.commentary.append if it is to be spoken, else .thinking.append
    AnswerTool          response.item.create; response.create once every call is answered
    Update              session.instructions.append: instructions can only be added to;
                        session.update for the tools of the working model
    SeedHistory         session.thinking.append; what is known at the start goes in session.start
    StartUserTurn, EndUserTurn, ClearInput          nothing: there are no turns

The model answers words that it was told to think of when it speaks the next time, and commentary by
speaking; it chooses its own words. Text goes in pieces of at most `APPEND_TOKENS`; a piece that the
service finds too long is halved and sent again. What is said is placed on the timeline of the
session, which moves with the person's sound alone: without sound nothing is answered.

Work that is handed to us comes without a task: that is in what the person said. So it is held back
until their words are final, for `GRACE_MS` of sound at most.

The clock here is the sound of the person that was sent. If `STALL_MS` of it went out and nothing
came back, `is_stalled` is true. Sound may go out faster than time: whoever holds the wire ends it
if as much time has passed.
"""

from dataclasses import dataclass
from typing import Any, assert_never

from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    CreateResponse,
    DelegationId,
    DelegationRequested,
    Disregard,
    EndUserTurn,
    ErrorCategory,
    HistoryItem,
    Interrupt,
    LinkClosed,
    LinkReady,
    Message,
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
    Update,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, WireMessage
from beluga_voice.providers.s2s.openai_live import _wire as wire
from beluga_voice.providers.s2s.openai_live._backend import Backend
from beluga_voice.providers.s2s.openai_live._capabilities import (
    APPEND_TOKENS,
    GRACE_MS,
    SILENCE,
    STALL_MS,
)
from beluga_voice.providers.s2s.openai_live._errors import (
    ENDS,
    HANDOFF_FAILED,
    ORDERLY,
    TOO_LONG,
    category_of,
    is_fatal,
    message_of,
)
from beluga_voice.providers.s2s.openai_live._listening import Utterances
from beluga_voice.providers.s2s.openai_live._options import (
    Settings,
    check,
    session_of,
    tool_on_wire,
)
from beluga_voice.providers.s2s.openai_live._pieces import halves_of, pieces_of, tokens_of
from beluga_voice.providers.s2s.openai_live._speaking import Replies

SAY = (
    "Say what stands in the text tags to the person now, word for word, and nothing else. Do not "
    "wait for them to speak.\n<text>{text}</text>"
)
SPEAK = "Say something to the person now. Do not wait for them to speak."
ANSWER = "Answer now, aloud, what the person wrote. Do not wait for them to speak."
WROTE = "The person wrote this, instead of saying it:\n"
CUT = "The person did not hear all of what you just said. The last they heard of it was: "
UNHEARD = "The person heard nothing of what you just said."
UPDATED = "From now on this holds, and counts where it differs from what held before:\n"
BEFORE = "This was said before:\n"
NO_RESULT = "The work is done and gave nothing to say. Tell the person so, briefly."
_SPEAKERS = {Role.SYSTEM: "note", Role.USER: "person", Role.AGENT: "you"}

REMEMBERED = 64
"""Delegations that may be open at once."""
MAX_UNPLACED = 256
"""Appended texts that may wait for their acknowledgement, so that they can be sent again."""
HEARD_CHARACTERS = 200
LONGEST_MS = 1e9
STALLED = "the service takes sound and gives none"


@dataclass(frozen=True, slots=True)
class _Text:
    """Something appended that the service has not placed yet."""

    channel: str
    content: str
    delegation: str | None
    origin: ResponseOrigin | None


class OpenAILiveCodec:
    """One connection's state; `link` is its number, which makes ids unique over all of them.

    Raises `ConfigurationError` for options that cannot be honoured.
    """

    def __init__(
        self, options: S2sOptions, settings: Settings, capabilities: Capabilities, *, link: int = 1
    ) -> None:
        check(options, capabilities)
        self._session = session_of(options, settings)
        self._prefix = f"live-{link}-"
        self._has_backend = settings.backend is not None
        self._format = settings.format
        self._numbers = 0
        self._out: list[WireMessage] = []
        self._is_started = False
        self.is_over = False
        """Whether the connection is over, so that there is nothing to be sent."""
        self._is_ours_to_end = False
        self._utterances = Utterances(self._prefix)
        self._replies = Replies(self._prefix, settings.format)
        self._backend = Backend(self._prefix)
        # ── the clock: samples of sound that were sent, and sent when sound last came
        self._heard = self._heard_at_sound = 0
        self.sounds = 0
        """How many pieces of sound the service has given."""
        self._rest = b""
        self._seconds = 0.0
        self._unplaced: dict[str, _Text] = {}
        # ── work that is handed to us: whether the model was told anything of it, by its id
        self._delegations: dict[DelegationId, bool] = {}
        self._held: dict[DelegationId, float] = {}
        self._has_news = False

    @property
    def is_stalled(self) -> bool:
        """Whether the service has taken sound for long without giving any."""
        silent = self._heard - self._heard_at_sound
        return self._is_started and silent >= to_samples(STALL_MS, self._format.rate)

    @property
    def _heard_ms(self) -> float:
        return to_milliseconds(self._heard, self._format.rate)

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration, and what was said before."""
        return [wire.write("session.start", self._name(), session=self._session)]

    def goodbye(self) -> list[WireMessage]:
        """The end, if it is ours to say; nothing may follow."""
        return [wire.write("session.close", self._name())] if self._is_ours_to_end else []

    def silence(self, milliseconds: float) -> SendAudio:
        """Sound without any, for a line that gives none."""
        samples = to_samples(milliseconds, self._format.rate)
        sound = SILENCE[self._format.encoding] * (samples * self._format.block_bytes)
        return SendAudio(pcm=sound)

    def replies(self) -> list[WireMessage]:
        """What is to be sent because of the messages so far."""
        out, self._out = self._out, []
        return out

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SendAudio():
                return self._sound(command.pcm)
            case SendText():
                self._write(command)
            case CreateResponse():
                text = f"{SPEAK}\n{command.instructions}" if command.instructions else SPEAK
                self._append("commentary", text, origin=ResponseOrigin.REQUESTED)
            case Say():
                for text in pieces_of(command.text, APPEND_TOKENS - tokens_of(SAY)):
                    content = SAY.format(text=text)
                    self._append("commentary", content, origin=ResponseOrigin.SAID)
            case Interrupt():
                if self._replies.interrupt(command.response_id):
                    heard = command.heard_text.strip()[-HEARD_CHARACTERS:]
                    self._append("thinking", CUT + heard if heard else UNHEARD)
            case AnswerDelegation():
                self._report(command)
            case AnswerTool():
                self._answer_tool(command)
            case Update():
                self._update(command)
            case SeedHistory():
                self._seed(command.items)
            case (
                StartUserTurn()
                | EndUserTurn()
                | ClearInput()
                | PrepareResponse()
                | CondenseHistory()
                | Disregard()
            ):
                pass
            case _:
                assert_never(command)
        return self.replies()

    def _name(self) -> str:
        """A name for a message, which comes back with what follows from it."""
        self._numbers += 1
        return f"{self._prefix}e{self._numbers}"

    def _sound(self, pcm: bytes) -> list[WireMessage]:
        """Whole samples; half of one waits for the rest."""
        sound = self._rest + pcm
        samples = len(sound) // self._format.block_bytes
        whole = samples * self._format.block_bytes
        self._rest = sound[whole:]
        self._heard += samples
        return [wire.sound(sound[:whole])] if samples else []

    def _append(
        self,
        channel: str,
        text: str,
        *,
        delegation: str | None = None,
        origin: ResponseOrigin | None = None,
    ) -> None:
        """Tell the model something: what to say, what to know, or what to heed."""
        for content in pieces_of(text, APPEND_TOKENS):
            self._put(_Text(channel, content, delegation, origin))

    def _put(self, text: _Text) -> None:
        name = self._name()
        self._unplaced[name] = text
        if len(self._unplaced) > MAX_UNPLACED:
            del self._unplaced[next(iter(self._unplaced))]
        kind = f"session.{text.channel}.append"
        # The id must be there, also where it is null.
        self._out.append(
            wire.write(kind, name, content=text.content, delegation_id=text.delegation)
        )

    def _write(self, command: SendText) -> None:
        """Words that were not spoken."""
        match command.role:
            case Role.USER:
                self._append("thinking", WROTE + command.text)
            case Role.AGENT:
                self._append("thinking", f"{BEFORE}{_SPEAKERS[command.role]}: {command.text}")
            case Role.SYSTEM:
                self._append("instructions", command.text)
        if command.respond:
            text = ANSWER if command.role is Role.USER else SPEAK
            self._append("commentary", text, origin=ResponseOrigin.REQUESTED)

    def _report(self, command: AnswerDelegation) -> None:
        """What became of work that was handed to us; nobody is told of work that is unknown."""
        delegation_id = command.delegation_id
        was_told = self._delegations.get(delegation_id)
        if was_told is None:
            return
        remote = delegation_id.removeprefix(self._prefix)
        channel = "commentary" if command.is_spoken else "thinking"
        self._append(channel, command.text, delegation=remote)
        was_told = was_told or bool(command.text.strip())
        if not command.is_final:
            self._delegations[delegation_id] = was_told
            return
        del self._delegations[delegation_id]
        self._held.pop(delegation_id, None)
        if not was_told:
            # There is no word for "done": the model would keep the person waiting.
            self._append("commentary", NO_RESULT, delegation=remote)

    def _answer_tool(self, command: AnswerTool) -> None:
        name = self._backend.answer(command)
        if name is None:
            return
        output = f"error: {command.output}" if command.is_error else command.output
        item = {"type": "function_call_output", "call_id": name, "output": output}
        self._out.append(wire.write("response.item.create", self._name(), item=item))
        self._go_on()

    def _go_on(self) -> None:
        if self._backend.may_go_on():
            self._out.append(wire.write("response.create", self._name()))

    def _update(self, command: Update) -> None:
        if command.instructions is not None:
            self._append("instructions", UPDATED + command.instructions)
        if command.tools is not None and self._has_backend:
            tools = [tool_on_wire(tool) for tool in command.tools]
            delegation = {"type": "responses", "responses": {"tools": tools}}
            session: dict[str, Any] = {"delegation": delegation}
            self._out.append(wire.write("session.update", self._name(), session=session))

    def _seed(self, items: tuple[HistoryItem, ...]) -> None:
        said = [f"{_SPEAKERS[one.role]}: {one.text}" for one in items if isinstance(one, Message)]
        if said:
            self._append("thinking", BEFORE + "\n".join(said))

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        kind, said = wire.read(message)
        if self.is_over:
            return []
        events = self._replies.owed()
        match said:
            case wire.SessionStarted():
                events += self._started(said)
            case wire.ErrorMessage():
                events += self._failed(said)
            case wire.SessionClosed():
                events += self._ended(said)
            case _ if not self._is_started:
                pass  # nothing is to be believed of a session that did not begin
            case wire.Sound():
                self._heard_at_sound = self._heard
                self.sounds += 1
                events += self._replies.sound(said.delta)
            case wire.Words():
                events += self._words(kind, said)
            case wire.Appended():
                self._placed(kind, said)
            case wire.DelegationCreated():
                self._delegated(said)
            case wire.ResponseEvent():
                events += self._backend.hear(said)
                self._go_on()
            case wire.UsageUpdated():
                events += self._used(said.usage)
            case None:
                pass
            case _:
                assert_never(said)
        return events + self._settle()

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """What is being made has failed. A service that hangs up without a word is at fault.

        Words of an utterance that goes on are final only if the end is ours: otherwise the next
        connection hears the whole of it, and writes it down once.
        """
        is_stalled = self.is_stalled
        # A close code is the service's.
        is_clean = is_clean and code is None
        self._is_ours_to_end = is_clean and self._is_started
        events = self._utterances.finish() if is_clean else []
        events += self._close(ResponseStatus.FAILED, "the connection ended")
        if is_stalled and not is_clean:
            reason = STALLED
            failed = ServiceFailed(category=ErrorCategory.RETRYABLE, message=reason, is_fatal=True)
            events.append(failed)
        events.append(LinkClosed(is_clean=is_clean, reason=reason, code=code))
        return events

    def _close(self, status: ResponseStatus, reason: str) -> list[S2sEvent]:
        """Every response ends."""
        self.is_over = True
        return self._replies.owed() + self._replies.finish(status, reason=reason)

    def _started(self, said: wire.SessionStarted) -> list[S2sEvent]:
        if self._is_started:
            return []
        self._is_started = True
        session = said.session
        return [LinkReady(remote_id=session.id, model=session.model, expires_at=session.expires_at)]

    def _words(self, kind: str, said: wire.Words) -> list[S2sEvent]:
        start, end = _ms(said.start_ms), _ms(said.end_ms)
        if kind == "session.output_transcript.delta":
            person = self._utterances.last_ms
            return self._replies.words(said.delta, start, end, person_ms=person)
        events = self._utterances.words(said.delta, start, end, self._heard_ms)
        self._has_news = self._has_news or bool(events)
        return events

    def _settle(self) -> list[S2sEvent]:
        """What follows from the time that passed."""
        if self.is_over:
            return []
        now = self._heard_ms
        events = self._utterances.settle(now)
        ready = [
            one
            for one, at in self._held.items()
            if (self._has_news and not self._utterances.is_open) or now - at >= GRACE_MS
        ]
        if ready:
            events += self._utterances.finish()
            self._has_news = False
        for one in ready:
            del self._held[one]
            events.append(DelegationRequested(delegation_id=one))
        return events

    def _delegated(self, said: wire.DelegationCreated) -> None:
        delegation_id = DelegationId(self._prefix + said.delegation.id)
        if said.delegation.target != "client" or delegation_id in self._delegations:
            return
        self._delegations[delegation_id] = False
        self._held[delegation_id] = self._heard_ms
        if len(self._delegations) > REMEMBERED:
            oldest = next(iter(self._delegations))
            del self._delegations[oldest]
            self._held.pop(oldest, None)

    def _placed(self, kind: str, said: wire.Appended) -> None:
        """What was appended is in the timeline: the model knows it, and may speak of it."""
        name = said.client_event_id
        if name is None:
            channel = kind.split(".")[1]
            name = next(
                (one for one, text in self._unplaced.items() if text.channel == channel), ""
            )
        text = self._unplaced.pop(name, None)
        if text is not None and text.origin is not None:
            self._replies.expect(text.origin)

    def _used(self, used: wire.Used | None) -> list[S2sEvent]:
        """The service tells totals, and often the same twice."""
        seconds = None if used is None else used.seconds
        if seconds is None or not self._seconds < seconds < LONGEST_MS:
            return []
        usage = Usage(audio_seconds=round(seconds - self._seconds, 6))
        self._seconds = seconds
        return [UsageReported(usage=usage)]

    def _failed(self, said: wire.ErrorMessage) -> list[S2sEvent]:
        error = said.error
        text = self._unplaced.pop(error.client_event_id or said.client_event_id or "", None)
        message = (error.message or "").lower()
        if text is not None and TOO_LONG in message and len(halves_of(text.content)) > 1:
            for half in halves_of(text.content):
                self._put(_Text(text.channel, half, text.delegation, text.origin))
            return []
        is_end = not self._is_started or is_fatal(error)
        events: list[S2sEvent] = []
        if HANDOFF_FAILED in message:
            events += self._backend.give_up()
        events.append(
            ServiceFailed(
                category=category_of(error),
                message=message_of(error),
                is_fatal=is_end,
                provider_code=error.code,
            )
        )
        return events

    def _ended(self, said: wire.SessionClosed) -> list[S2sEvent]:
        events = self._used(said.usage)
        reason = said.reason or "unknown"
        if reason in ORDERLY and self._is_started:
            events += self._close(ResponseStatus.INCOMPLETE, reason)
            return [*events, LinkClosed(is_clean=True, reason=reason)]
        events += self._close(ResponseStatus.FAILED, reason)
        failed = ServiceFailed(
            category=ENDS.get(reason, ErrorCategory.RETRYABLE),
            message=f"the session ended: {reason[:REMEMBERED]}",
            is_fatal=True,
            provider_code=reason[:REMEMBERED],
        )
        return [*events, failed]


def _ms(value: float | None) -> float | None:
    """A time of the service, if it is one."""
    return value if value is not None and 0 <= value < LONGEST_MS else None
