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

All of them are structs of msgspec: frozen, compared by kind and content, and made in a seventh of
the time of a frozen dataclass, which counts where there is one for each piece of sound. Those that
hold sound are not tracked by the garbage collector, since they cannot be part of a cycle.
"""

from enum import StrEnum
from typing import Literal, NewType

from msgspec import Struct

SessionId = NewType("SessionId", str)
ResponseId = NewType("ResponseId", str)
UtteranceId = NewType("UtteranceId", str)
ToolCallId = NewType("ToolCallId", str)
DelegationId = NewType("DelegationId", str)
ContextId = NewType("ContextId", str)
WorkId = NewType("WorkId", str)
SayId = NewType("SayId", str)


class _Sound(Struct, frozen=True, kw_only=True, gc=False):
    """What holds sound: shown by its length, since a log is no place for it."""

    def __repr__(self) -> str:
        shown = [
            f"{name}=<{len(value)} bytes>" if isinstance(value, bytes) else f"{name}={value!r}"
            for name in self.__struct_fields__
            for value in (getattr(self, name),)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


# ── shared parts ────────────────────────────────────────────────────────────────────────────


class Usage(Struct, frozen=True, kw_only=True):
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


class TimedWord(Struct, frozen=True, kw_only=True):
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


class Message(Struct, frozen=True, kw_only=True):
    """Something said. For the agent: only what was heard, and `is_cut` if there was more."""

    role: Role
    text: str
    is_cut: bool = False


class ToolUse(Struct, frozen=True, kw_only=True):
    """A tool that was called, with its arguments as a JSON object."""

    call_id: ToolCallId
    name: str
    arguments: str


class ToolResult(Struct, frozen=True, kw_only=True):
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


class LinkReady(Struct, frozen=True, kw_only=True):
    """The service accepted the configuration and listens."""

    remote_id: str | None = None
    model: str | None = None
    expires_at: float | None = None
    """Unix seconds at which the service will end this connection, where it says so."""


class ServiceFailed(Struct, frozen=True, kw_only=True):
    """The service reported an error. Only a fatal one ends the link; `LinkClosed` follows then."""

    category: ErrorCategory
    message: str
    is_fatal: bool = False
    provider_code: str | None = None
    retry_after_seconds: float | None = None


class UsageReported(Struct, frozen=True, kw_only=True):
    """Usage that belongs to no response."""

    usage: Usage


class GoingAway(Struct, frozen=True, kw_only=True):
    """The service will end this connection soon; another one should be made ready."""

    time_left_seconds: float | None = None


class ConversationEnded(Struct, frozen=True, kw_only=True):
    """The service has ended the conversation on purpose: what it said is heard to its end."""

    reason: str = ""


class LinkClosed(Struct, frozen=True, kw_only=True):
    """The link is over; nothing follows."""

    is_clean: bool
    reason: str = ""
    code: int | None = None


class SendAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound of the person, in the link's input format; any length."""

    pcm: bytes


# ── speech-to-speech: commands ──────────────────────────────────────────────────────────────


class StartUserTurn(Struct, frozen=True, kw_only=True):
    """The person has the floor from here (framework turns only).

    A response that has not started yet is not wanted any more.
    """


class EndUserTurn(Struct, frozen=True, kw_only=True):
    """The utterance ends here (framework turns only); a response is wanted if `respond`."""

    respond: bool = True


class ClearInput(Struct, frozen=True, kw_only=True):
    """Forget sound that was sent since the last turn's end."""


class SendText(Struct, frozen=True, kw_only=True):
    """Words of the person, or a note to the model, as text."""

    text: str
    role: Role = Role.USER
    respond: bool = True


class CreateResponse(Struct, frozen=True, kw_only=True):
    """Ask for a response now, optionally with instructions for this one only."""

    instructions: str | None = None


class Occasion(StrEnum):
    """On what occasion the agent speaks, where that decides what may interrupt it."""

    NORMAL = "normal"
    GREETING = "greeting"
    TOOL_RUNNING = "tool_running"
    """Words that keep the person company while a tool runs."""
    NOTICE = "notice"
    """What has to be heard whole, such as a legal text."""
    GOODBYE = "goodbye"


class Say(Struct, frozen=True, kw_only=True):
    """Speak these words; how faithfully is `Capabilities.say`.

    What was asked for first is spoken first. `occasion` and `say_id` are the session's own, and
    mean nothing to a provider.
    """

    text: str
    occasion: Occasion = Occasion.NORMAL
    say_id: SayId | None = None


class Disregard(Struct, frozen=True, kw_only=True):
    """These words were said over the agent and were no turn: nobody is to answer them.

    Only for providers with `Capabilities.transcribes_first`.
    """

    utterance_id: UtteranceId


class CondenseHistory(Struct, frozen=True, kw_only=True):
    """Forget all that was said but the last `keep` items, and know this of it instead.

    Only for providers with `Capabilities.can_condense_history`.
    """

    summary: str
    keep: int


class PrepareResponse(Struct, frozen=True, kw_only=True):
    """The turn may be over: make ready, unheard, what would be answered to the words so far.

    Only for providers with `Capabilities.can_prepare`. If the turn ends with the same words, the
    response begins with what is ready; otherwise nobody learns of it. No tool runs before that.
    Not `is_wanted`, it is forgotten: the person goes on.
    """

    is_wanted: bool = True


class Interrupt(Struct, frozen=True, kw_only=True):
    """Stop a response and forget what was not heard of it.

    Also sent for a response that was generated whole while it still sounded.
    """

    response_id: ResponseId
    heard_samples: int
    """At the rate of the link's output format; never more than was received."""
    heard_text: str
    """The words heard, by the best knowledge of the session."""


class AnswerTool(Struct, frozen=True, kw_only=True):
    """The result of a tool call, answered exactly once."""

    call_id: ToolCallId
    output: str
    is_error: bool = False


class AnswerDelegation(Struct, frozen=True, kw_only=True):
    """Words or knowledge from our agent for delegated work; several may follow one another."""

    delegation_id: DelegationId
    text: str
    is_spoken: bool = True
    is_final: bool = True


class Update(Struct, frozen=True, kw_only=True):
    """Change settings in mid-call; `None` leaves a setting as it is."""

    instructions: str | None = None
    tools: "tuple[ToolSpec, ...] | None" = None
    voice: str | None = None


class SeedHistory(Struct, frozen=True, kw_only=True):
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
    | PrepareResponse
    | CondenseHistory
    | Disregard
)

# ── speech-to-speech: events ────────────────────────────────────────────────────────────────


class SpeechStarted(Struct, frozen=True, kw_only=True):
    """The service hears the person speak."""

    utterance_id: UtteranceId | None = None


class SpeechStopped(Struct, frozen=True, kw_only=True):
    """The service hears the person no longer."""

    utterance_id: UtteranceId | None = None


class InputCommitted(Struct, frozen=True, kw_only=True):
    """The utterance is part of the conversation now."""

    utterance_id: UtteranceId


class InputTranscript(Struct, frozen=True, kw_only=True):
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


class ResponseStarted(Struct, frozen=True, kw_only=True):
    """A response begins."""

    response_id: ResponseId
    origin: ResponseOrigin = ResponseOrigin.TURN


class ResponseAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound of a response, in the link's output format; faster than real time as a rule."""

    response_id: ResponseId
    pcm: bytes


class NoResponse(Struct, frozen=True, kw_only=True):
    """The turn that ended gets no response: nothing was said in it, or none was wanted."""

    reason: str = ""


class TextStage(StrEnum):
    """Whether words are meant to be spoken, or were."""

    PLANNED = "planned"
    SPOKEN = "spoken"


class ResponseText(Struct, frozen=True, kw_only=True):
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


class ResponseDone(Struct, frozen=True, kw_only=True):
    """Nothing more of this response will be generated; it may still be sounding."""

    response_id: ResponseId
    status: ResponseStatus
    reason: str = ""
    usage: Usage | None = None
    asked_text: str | None = None
    """The words that an agent wanted spoken, where a service speaks for it."""


class Interrupted(Struct, frozen=True, kw_only=True):
    """The service stopped its response by itself, because the person speaks: flush it."""

    response_id: ResponseId | None = None


class ToolCalled(Struct, frozen=True, kw_only=True):
    """The model wants a tool run; `arguments` is complete JSON as the model wrote it."""

    call_id: ToolCallId
    name: str
    arguments: str
    response_id: ResponseId | None = None


class ToolCallWithdrawn(Struct, frozen=True, kw_only=True):
    """The model no longer wants these results."""

    call_ids: tuple[ToolCallId, ...]


class EndOfTurnLikely(Struct, frozen=True, kw_only=True):
    """The service believes, from the sound or the words, that the turn is over.

    An eager one is a guess, good enough to prepare a response; the other is its decision.
    """

    probability: float
    is_eager: bool = False


class TurnContinued(Struct, frozen=True, kw_only=True):
    """An eager end of turn was wrong: the person goes on."""


class WorkStarted(Struct, frozen=True, kw_only=True):
    """The provider works on an answer out of sight: it is neither silent nor to be replaced."""

    work_id: WorkId


class WorkEnded(Struct, frozen=True, kw_only=True):
    """That work is over, with or without an answer."""

    work_id: WorkId


class DelegationRequested(Struct, frozen=True, kw_only=True):
    """A duplex model hands work to our agent; the task is in the transcripts so far."""

    delegation_id: DelegationId


class ResumptionChanged(Struct, frozen=True, kw_only=True):
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
    | EndOfTurnLikely
    | TurnContinued
    | WorkStarted
    | WorkEnded
    | ResumptionChanged
    | UsageReported
    | GoingAway
    | ConversationEnded
    | ServiceFailed
    | LinkClosed
)

# ── speech-to-text ──────────────────────────────────────────────────────────────────────────


class FinishUtterance(Struct, frozen=True, kw_only=True):
    """The utterance ends here: give its final `Transcript`, also if it is empty."""

    utterance_id: UtteranceId


class DropUtterance(Struct, frozen=True, kw_only=True):
    """Forget the sound of the present utterance; no transcript of it is wanted."""


type SttCommand = SendAudio | FinishUtterance | DropUtterance


class Transcript(Struct, frozen=True, kw_only=True):
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


class SpeakText(Struct, frozen=True, kw_only=True):
    """More text to speak in a context: whole sentences or any pieces, in order."""

    context_id: ContextId
    text: str


class FinishSpeech(Struct, frozen=True, kw_only=True):
    """No more text in this context: speak what is left, then `SpeechDone`."""

    context_id: ContextId


class CancelSpeech(Struct, frozen=True, kw_only=True):
    """Stop this context now; nothing more of it is wanted."""

    context_id: ContextId


type TtsCommand = SpeakText | FinishSpeech | CancelSpeech


class SpeechAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound of a context, in the link's output format."""

    context_id: ContextId
    pcm: bytes


class SpeechWords(Struct, frozen=True, kw_only=True):
    """Where words sound, in samples from the start of the context. Never before their audio."""

    context_id: ContextId
    words: tuple[TimedWord, ...]


class SpeechDone(Struct, frozen=True, kw_only=True):
    """The context is over, and all its audio was sent."""

    context_id: ContextId


type TtsEvent = (
    LinkReady | SpeechAudio | SpeechWords | SpeechDone | UsageReported | ServiceFailed | LinkClosed
)

# ── the person's line ───────────────────────────────────────────────────────────────────────


class CallerAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound of the person, in the line's input format; any length."""

    pcm: bytes


class CallerText(Struct, frozen=True, kw_only=True):
    """Words the person typed."""

    text: str


class CallerInterrupt(Struct, frozen=True, kw_only=True):
    """The person pressed stop."""


class KeyPressed(Struct, frozen=True, kw_only=True):
    """One telephone key: 0-9, *, #, A-D."""

    key: str


class TalkKey(Struct, frozen=True, kw_only=True):
    """Push-to-talk: held down, or let go."""

    is_down: bool


class CallClosed(Struct, frozen=True, kw_only=True):
    """The line is gone; nothing follows."""

    reason: str = ""


class PlaybackReported(Struct, frozen=True, kw_only=True):
    """What the person's device tells of the sound that it was sent, a few times a second.

    Only of lines with `LineOptions.reports_playback`.
    """

    unheard_ms: float
    """So much of all that the line has taken had not come out."""
    ago_ms: float = 0.0
    """How long ago that was."""


type CallEvent = (
    CallerAudio
    | CallerText
    | CallerInterrupt
    | KeyPressed
    | TalkKey
    | PlaybackReported
    | CallClosed
)


class PlayAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound for the person, in the line's output format, to follow what was sent before."""

    pcm: bytes


class ClearPlayback(Struct, frozen=True, kw_only=True):
    """Fall silent now: drop whatever was sent and has not sounded."""


class HangUp(Struct, frozen=True, kw_only=True):
    """End the call."""

    reason: str = ""


class Transfer(Struct, frozen=True, kw_only=True):
    """Give the call to somebody else; only for lines with `LineOptions.can_transfer`."""

    to: str
    """Where they can be reached, in the words of whoever carries the call: a number, an address."""
    reason: str = ""


type CallCommand = PlayAudio | ClearPlayback | HangUp | Transfer

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


class SessionStarted(Struct, frozen=True, kw_only=True):
    """The session is connected and listens."""

    session_id: SessionId
    provider: str
    input_rate: int
    output_rate: int


class StateChanged(Struct, frozen=True, kw_only=True):
    """The session went from one state to another."""

    previous: SessionState
    state: SessionState


class UserSpeechStarted(Struct, frozen=True, kw_only=True):
    """The person began to speak."""


class UserSpeechEnded(Struct, frozen=True, kw_only=True):
    """The person's turn is over."""

    was_ignored: bool = False
    """It was too short to count while the agent spoke."""


class Transcription(Struct, frozen=True, kw_only=True):
    """What the person said so far in this utterance."""

    utterance_id: UtteranceId
    text: str
    is_final: bool


class AgentResponseStarted(Struct, frozen=True, kw_only=True):
    """The agent begins a response; no sound yet."""

    response_id: ResponseId
    say_id: SayId | None = None
    """Which `say` it carries out, if any."""


class AgentResponseText(Struct, frozen=True, kw_only=True):
    """More words of a response, as they are made."""

    response_id: ResponseId
    delta: str


class AgentResponseAudio(_Sound, frozen=True, kw_only=True, gc=False):
    """Sound of a response, at the moment it is handed to the person's line."""

    response_id: ResponseId
    pcm: bytes


class ResponseOutcome(StrEnum):
    """How a response ended for the person who heard it."""

    HEARD = "heard"
    CUT = "cut"
    FAILED = "failed"


class Counted(Struct, frozen=True, kw_only=True):
    """So much of a response, in words and as sound."""

    words: int
    """Characters, in scripts that put no spaces between words."""
    ms: float
    words_are_estimated: bool = False
    """Whether they were reckoned from the share of the sound, because nobody told when which word
    sounds."""
    ms_is_estimated: bool = False
    """Whether it was reckoned from the clock, because the line does not report what it played."""


class Ledger(Struct, frozen=True, kw_only=True):
    """How far a response came, from who made it to who heard it. None is more than the one before.

    `generated`, `queued` and `sent` count a word that began, or was written; `audible` one that
    began to sound, and `heard` one that sounded to its end.
    """

    generated: Counted
    """Made by the service. Words may have been written of which there is no sound."""
    queued: Counted
    """Those of which there is sound, whether it waits or has left."""
    sent: Counted
    """Handed to the person's line, but for what a pause took back."""
    audible: Counted
    """Came out where the person is, by the report of the line, or else by the clock."""
    heard: Counted
    """What counts: history, memory and service are told the same."""


class AgentResponseEnded(Struct, frozen=True, kw_only=True):
    """The response sounds no more."""

    response_id: ResponseId
    outcome: ResponseOutcome
    text: str
    """All the words that were made."""
    heard_text: str
    """The words the person heard."""
    generated_ms: float
    heard_ms: float
    is_estimated: bool = False
    """Whether `heard_text` was reckoned from the share of the sound that was heard, because nobody
    told when which word sounds: it may be a word too long or too short."""
    asked_text: str | None = None
    """The words that the agent wanted spoken, where a service speaks for it."""
    faithfulness: float | None = None
    """How much of `asked_text` and `text` agrees, word for word: 0 to 1, 1 being all of it."""
    ledger: Ledger | None = None
    """All five counts; `None` only where it was told by an older version."""


class FunctionCalled(Struct, frozen=True, kw_only=True):
    """A tool runs."""

    call_id: ToolCallId
    name: str
    arguments: str


class FunctionAnswered(Struct, frozen=True, kw_only=True):
    """A tool gave its result, or failed."""

    call_id: ToolCallId
    name: str
    output: str
    is_error: bool
    duration_ms: float


class TurnMeasured(Struct, frozen=True, kw_only=True):
    """Where the time of one turn went, in milliseconds. The named parts add up to `total_ms`.

    end of speech ─ endpointing ─► decision ─ transcription ─► words known ─ thinking ─► first
    words of the response ─ synthesis ─► first sound ─ delivery ─► the person's line ─ playout ─►
    audible

    A part is `None` where the provider does not show it; its time is in the next one that is not.
    Of `playout` the line has to tell (`LineOptions.reports_playback`): the event comes when it has,
    or with the end of the response at the latest. Where it does not, the whole ends at the line.
    """

    response_id: ResponseId
    total_ms: float
    endpointing_ms: float | None
    transcription_ms: float | None
    thinking_ms: float | None
    synthesis_ms: float | None
    delivery_ms: float | None
    playout_ms: float | None = None


class BargedIn(Struct, frozen=True, kw_only=True):
    """The person took the floor while the agent spoke; the line is silent from here.

    If it turns out that nothing was said, `AgentResponseResumed` follows.
    """

    response_id: ResponseId
    decision_ms: float
    """From the first sound of the person to the decision, in milliseconds."""


class AgentResponseResumed(Struct, frozen=True, kw_only=True):
    """What had made the agent pause was no interruption: it goes on with the word that was due."""

    response_id: ResponseId
    paused_ms: float
    """How long the line was silent for it."""


class UserIdle(Struct, frozen=True, kw_only=True):
    """Nobody has said anything for a while."""

    prompts: int
    """How many times the person has been spoken to since."""
    idle_ms: float
    """How long the silence has lasted since the last word of either."""


class Rung(StrEnum):
    """What is done for a person who waits in silence, lowest first."""

    NUDGE = "nudge"
    """The service is asked again."""
    SWAP = "swap"
    """The connection is given up; what was said is given to another service."""
    SOUND = "sound"
    """The person hears that the line lives: a tone, or words that were made ready for it."""
    TRANSFER = "transfer"
    """The call is being given to somebody else, once."""
    END = "end"
    """The session ends: nobody will answer."""


class DeadAir(Struct, frozen=True, kw_only=True):
    """The person has waited in silence for too long; this is being done about it."""

    rung: Rung
    waited_ms: float
    """Since an answer was owed."""


class ErrorOccurred(Struct, frozen=True, kw_only=True):
    """Something failed; the session goes on unless `is_fatal`."""

    code: str
    message: str
    is_fatal: bool = False


class Reconnecting(Struct, frozen=True, kw_only=True):
    """The service is lost; a new connection is being made."""

    attempt: int
    delay_ms: float


class Reconnected(Struct, frozen=True, kw_only=True):
    """There is a connection again, and it knows what was said."""

    attempt: int


class ServiceRenewed(Struct, frozen=True, kw_only=True):
    """The connection to the service was replaced before it ended; nobody heard anything of it."""

    reason: str
    """`age`, `going_away` if the service said so, or `settings` if only a new one can have them."""


class ServiceSwitched(Struct, frozen=True, kw_only=True):
    """The conversation goes on with another service; `following` is `None` if none is left."""

    previous: str
    following: str | None
    reason: str
    is_mid_call: bool
    """Whether a connection was open, and what it had not answered was given to the next."""


EndReason = Literal["hung_up", "closed", "failed", "timeout", "ended", "transferred"]
"""Who ended it: the person, the application, a failure, a deadline, or the service on purpose; or
nobody, where somebody else has the call now."""


class SessionEnded(Struct, frozen=True, kw_only=True):
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
    | AgentResponseResumed
    | UserIdle
    | DeadAir
    | ErrorOccurred
    | Reconnecting
    | Reconnected
    | ServiceRenewed
    | ServiceSwitched
    | SessionEnded
)

# ── tools ───────────────────────────────────────────────────────────────────────────────────


class ToolSpec(Struct, frozen=True, kw_only=True):
    """A tool as a model sees it; `parameters` is a JSON Schema of an object, as JSON text."""

    name: str
    description: str
    parameters: str
