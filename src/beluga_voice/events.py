"""Everything that can be said across a link.

There are four kinds of link, and each speaks two closed unions: *commands* go out from the
session, *events* come in.

    person ── CallEvent ──►  session  ── S2sCommand ──►  speech-to-speech service, or the cascade
    person ◄─ CallCommand ── session  ◄── S2sEvent ───── ...
                             cascade  ── SttCommand ──►  speech-to-text      ◄── SttEvent
                             cascade  ── TtsCommand ──►  text-to-speech      ◄── TtsEvent

and `SessionEvent` is what an application is told. One event means one thing on every provider;
what a wire omits, its codec synthesises. The invariants that every provider keeps:

* `ResponseStarted` comes before anything else of that response, and `ResponseDone` exactly once
  after it, also when the connection dies.
* After `Interrupt(response_id=...)` was sent, or `Interrupted` came, no more audio of that
  response arrives.
* The last `InputTranscript` of an item is its only final one.
* `LinkClosed` is the last event.
* Ids of utterances, responses and tool calls are unique over all links of a session, also where the
  service counts from one again or has no ids at all.

Words: what a person says is an *utterance*, what the agent says is a *response*, one party's
uninterrupted floor is a *turn*. Sound is mono 16-bit PCM in the link's format. Positions are
samples at the rate of the response's audio. There are no timestamps here: whoever receives an
event knows when.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NewType

SessionId = NewType("SessionId", str)
ResponseId = NewType("ResponseId", str)
UtteranceId = NewType("UtteranceId", str)
ToolCallId = NewType("ToolCallId", str)
DelegationId = NewType("DelegationId", str)
ContextId = NewType("ContextId", str)

# ── shared parts ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a service counted, in its own units; `None` where it does not count that."""

    input_tokens: int | None = None
    """All of the input, for services that do not tell text from sound."""
    output_tokens: int | None = None
    input_text_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_text_tokens: int | None = None
    output_audio_tokens: int | None = None
    cached_tokens: int | None = None
    audio_seconds: float | None = None
    characters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedWord:
    """A word and where it sounds: samples from the start of the utterance or response."""

    text: str
    start: int
    end: int
    confidence: float | None = None


class Role(StrEnum):
    """Who said it."""

    SYSTEM = "system"
    USER = "user"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something said. For the agent: only what was heard, and `is_cut` if there was more."""

    role: Role
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A tool that was called, with its arguments as a JSON object."""

    call_id: ToolCallId
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool gave."""

    call_id: ToolCallId
    output: str
    is_error: bool = False


type HistoryItem = Message | ToolUse | ToolResult


class ErrorCategory(StrEnum):
    """What kind of failure a service reported, and so what may be done about it."""

    RETRYABLE = "retryable"
    AUTH = "auth"
    RATE_LIMIT = "rate_limit"
    INVALID_REQUEST = "invalid_request"
    TIMEOUT = "timeout"
    SESSION_EXPIRED = "session_expired"
    BENIGN = "benign"


# ── any service ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReady:
    """The service accepted the configuration and listens."""

    remote_id: str | None = None
    model: str | None = None
    expires_at: float | None = None
    """Unix seconds at which the service will end this connection, where it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFailed:
    """The service reported an error. Only a fatal one ends the link; `LinkClosed` follows then."""

    category: ErrorCategory
    message: str
    is_fatal: bool = False
    provider_code: str | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReported:
    """Usage that belongs to no response."""

    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingAway:
    """The service will end this connection soon; another one should be made ready."""

    time_left_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkClosed:
    """The link is over; nothing follows."""

    is_clean: bool
    reason: str = ""
    code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendAudio:
    """Sound of the person, in the link's input format; any length."""

    pcm: bytes


# ── speech-to-speech: commands ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUserTurn:
    """The person has the floor from here (framework turns only).

    A response that has not started yet is not wanted any more.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class EndUserTurn:
    """The utterance ends here (framework turns only); a response is wanted if `respond`."""

    respond: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearInput:
    """Forget sound that was sent since the last turn's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendText:
    """Words of the person, or a note to the model, as text."""

    text: str
    role: Role = Role.USER
    respond: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateResponse:
    """Ask for a response now, optionally with instructions for this one only."""

    instructions: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Speak these words; how faithfully is `Capabilities.say`."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupt:
    """Stop a response and forget what was not heard of it.

    Also sent for a response that was generated whole while it still sounded.
    """

    response_id: ResponseId
    heard_samples: int
    """At the rate of the link's output format; never more than was received."""
    heard_text: str
    """The words heard, by the best knowledge of the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTool:
    """The result of a tool call, answered exactly once."""

    call_id: ToolCallId
    output: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDelegation:
    """Words or knowledge from our agent for delegated work; several may follow one another."""

    delegation_id: DelegationId
    text: str
    is_spoken: bool = True
    is_final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Change settings in mid-call; `None` leaves a setting as it is."""

    instructions: str | None = None
    tools: "tuple[ToolSpec, ...] | None" = None
    voice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedHistory:
    """Tell the model what was said before; no response is wanted."""

    items: tuple[HistoryItem, ...]


type S2sCommand = (
    SendAudio
    | StartUserTurn
    | EndUserTurn
    | ClearInput
    | SendText
    | CreateResponse
    | Say
    | Interrupt
    | AnswerTool
    | AnswerDelegation
    | Update
    | SeedHistory
)

# ── speech-to-speech: events ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The service hears the person speak."""

    utterance_id: UtteranceId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The service hears the person no longer."""

    utterance_id: UtteranceId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputCommitted:
    """The utterance is part of the conversation now."""

    utterance_id: UtteranceId


@dataclass(frozen=True, slots=True, kw_only=True)
class InputTranscript:
    """What the person said so far in this utterance: always the whole of it, never a delta."""

    utterance_id: UtteranceId
    text: str
    is_final: bool
    words: tuple[TimedWord, ...] = ()


class ResponseOrigin(StrEnum):
    """Why a response was made."""

    TURN = "turn"
    REQUESTED = "requested"
    SAID = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStarted:
    """A response begins."""

    response_id: ResponseId
    origin: ResponseOrigin = ResponseOrigin.TURN


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseAudio:
    """Sound of a response, in the link's output format; faster than real time as a rule."""

    response_id: ResponseId
    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResponse:
    """The turn that ended gets no response: nothing was said in it, or none was wanted."""

    reason: str = ""


class TextStage(StrEnum):
    """Whether words are meant to be spoken, or were."""

    PLANNED = "planned"
    SPOKEN = "spoken"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseText:
    """More words of a response; concatenating the deltas gives its text.

    `start` is where the delta begins to sound and `end` where its last word has sounded, in
    samples of this response's audio, where the service knows. Without them, the words are placed
    by proportion.
    """

    response_id: ResponseId
    delta: str
    stage: TextStage = TextStage.SPOKEN
    start: int | None = None
    end: int | None = None


class ResponseStatus(StrEnum):
    """How the making of a response ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDone:
    """Nothing more of this response will be generated; it may still be sounding."""

    response_id: ResponseId
    status: ResponseStatus
    reason: str = ""
    usage: Usage | None = None
    asked_text: str | None = None
    """The words that an agent wanted spoken, where a service speaks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """The service stopped its response by itself, because the person speaks: flush it."""

    response_id: ResponseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled:
    """The model wants a tool run; `arguments` is complete JSON as the model wrote it."""

    call_id: ToolCallId
    name: str
    arguments: str
    response_id: ResponseId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallWithdrawn:
    """The model no longer wants these results."""

    call_ids: tuple[ToolCallId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationRequested:
    """A duplex model hands work to our agent; the task is in the transcripts so far."""

    delegation_id: DelegationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumptionChanged:
    """How this conversation can be continued on a new connection, or that it cannot now."""

    handle: str | None


type S2sEvent = (
    LinkReady
    | SpeechStarted
    | SpeechStopped
    | InputCommitted
    | InputTranscript
    | ResponseStarted
    | ResponseAudio
    | ResponseText
    | ResponseDone
    | NoResponse
    | Interrupted
    | ToolCalled
    | ToolCallWithdrawn
    | DelegationRequested
    | ResumptionChanged
    | UsageReported
    | GoingAway
    | ServiceFailed
    | LinkClosed
)

# ── speech-to-text ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishUtterance:
    """The utterance ends here: give its final `Transcript`, also if it is empty."""

    utterance_id: UtteranceId


@dataclass(frozen=True, slots=True, kw_only=True)
class DropUtterance:
    """Forget the sound of the present utterance; no transcript of it is wanted."""


type SttCommand = SendAudio | FinishUtterance | DropUtterance


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said so far in the present utterance: the whole of it, never a delta.

    A final one answers `FinishUtterance` and names its utterance. A service that finalises by
    itself, in the middle of an utterance, keeps what it finalised at the front of what follows.
    """

    text: str
    is_final: bool
    utterance_id: UtteranceId | None = None
    words: tuple[TimedWord, ...] = ()
    confidence: float | None = None
    language: str | None = None
    alternatives: tuple[str, ...] = ()
    """Other readings, likeliest first, without `text`; only of a final one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOfTurnLikely:
    """The service believes, from the sound or the words, that the turn is over."""

    probability: float
    is_eager: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContinued:
    """An eager end of turn was wrong: the person goes on."""


type SttEvent = (
    LinkReady
    | SpeechStarted
    | SpeechStopped
    | Transcript
    | EndOfTurnLikely
    | TurnContinued
    | UsageReported
    | ServiceFailed
    | LinkClosed
)

# ── text-to-speech ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakText:
    """More text to speak in a context: whole sentences or any pieces, in order."""

    context_id: ContextId
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSpeech:
    """No more text in this context: speak what is left, then `SpeechDone`."""

    context_id: ContextId


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSpeech:
    """Stop this context now; nothing more of it is wanted."""

    context_id: ContextId


type TtsCommand = SpeakText | FinishSpeech | CancelSpeech


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechAudio:
    """Sound of a context, in the link's output format."""

    context_id: ContextId
    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechWords:
    """Where words sound, in samples from the start of the context. Never before their audio."""

    context_id: ContextId
    words: tuple[TimedWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechDone:
    """The context is over, and all its audio was sent."""

    context_id: ContextId


type TtsEvent = (
    LinkReady | SpeechAudio | SpeechWords | SpeechDone | UsageReported | ServiceFailed | LinkClosed
)

# ── the person's line ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerAudio:
    """Sound of the person, in the line's input format; any length."""

    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerText:
    """Words the person typed."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerInterrupt:
    """The person pressed stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPressed:
    """One telephone key: 0-9, *, #, A-D."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkKey:
    """Push-to-talk: held down, or let go."""

    is_down: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallClosed:
    """The line is gone; nothing follows."""

    reason: str = ""


type CallEvent = CallerAudio | CallerText | CallerInterrupt | KeyPressed | TalkKey | CallClosed


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayAudio:
    """Sound for the person, in the line's output format, to follow what was sent before."""

    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearPlayback:
    """Fall silent now: drop whatever was sent and has not sounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the call."""

    reason: str = ""


type CallCommand = PlayAudio | ClearPlayback | HangUp

# ── what an application is told ─────────────────────────────────────────────────────────────


class SessionState(StrEnum):
    """What the session is doing, as one word for people and dashboards."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    IDLE = "idle"
    SPEAKING = "speaking"
    """The person speaks."""
    PROCESSING = "processing"
    RESPONDING = "responding"
    RECONNECTING = "reconnecting"
    DISCONNECTED = "disconnected"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted:
    """The session is connected and listens."""

    session_id: SessionId
    provider: str
    input_rate: int
    output_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The session went from one state to another."""

    previous: SessionState
    state: SessionState


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpeechStarted:
    """The person began to speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpeechEnded:
    """The person's turn is over."""

    was_ignored: bool = False
    """It was too short to count while the agent spoke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What the person said so far in this utterance."""

    utterance_id: UtteranceId
    text: str
    is_final: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResponseStarted:
    """The agent begins a response; no sound yet."""

    response_id: ResponseId


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResponseText:
    """More words of a response, as they are made."""

    response_id: ResponseId
    delta: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResponseAudio:
    """Sound of a response, at the moment it is handed to the person's line."""

    response_id: ResponseId
    pcm: bytes


class ResponseOutcome(StrEnum):
    """How a response ended for the person who heard it."""

    HEARD = "heard"
    CUT = "cut"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResponseEnded:
    """The response sounds no more."""

    response_id: ResponseId
    outcome: ResponseOutcome
    text: str
    """All the words that were made."""
    heard_text: str
    """The words the person heard."""
    generated_ms: float
    heard_ms: float
    asked_text: str | None = None
    """The words that the agent wanted spoken, where a service speaks for it."""
    faithfulness: float | None = None
    """How much of `asked_text` and `text` agrees, word for word: 0 to 1, 1 being all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCalled:
    """A tool runs."""

    call_id: ToolCallId
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionAnswered:
    """A tool gave its result, or failed."""

    call_id: ToolCallId
    name: str
    output: str
    is_error: bool
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnMeasured:
    """Where the time of one turn went, in milliseconds. The named parts add up to `total_ms`.

    end of speech ─ endpointing ─► decision ─ transcription ─► words known ─ thinking ─► first
    words of the response ─ synthesis ─► first sound ─ delivery ─► the person's line

    A part is `None` where the provider does not show it; its time is in the next one that is not.
    """

    response_id: ResponseId
    total_ms: float
    endpointing_ms: float | None
    transcription_ms: float | None
    thinking_ms: float | None
    synthesis_ms: float | None
    delivery_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BargedIn:
    """The person took the floor while the agent spoke; the line is silent from here."""

    response_id: ResponseId
    decision_ms: float
    """From the first sound of the person to the decision, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorOccurred:
    """Something failed; the session goes on unless `is_fatal`."""

    code: str
    message: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting:
    """The service is lost; a new connection is being made."""

    attempt: int
    delay_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnected:
    """There is a connection again, and it knows what was said."""

    attempt: int


EndReason = Literal["hung_up", "closed", "failed", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The last event of every session."""

    reason: EndReason
    message: str = ""


type SessionEvent = (
    SessionStarted
    | StateChanged
    | UserSpeechStarted
    | UserSpeechEnded
    | Transcription
    | AgentResponseStarted
    | AgentResponseText
    | AgentResponseAudio
    | AgentResponseEnded
    | FunctionCalled
    | FunctionAnswered
    | TurnMeasured
    | BargedIn
    | ErrorOccurred
    | Reconnecting
    | Reconnected
    | SessionEnded
)

# ── tools ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as a model sees it; `parameters` is a JSON Schema of an object, as JSON text."""

    name: str
    description: str
    parameters: str
