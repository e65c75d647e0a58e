"""Everything a plugin can implement, and nothing else.

A *provider* is anything that can be connected to. Connecting gives a *link*, a live conversation
in typed commands and events. A wire provider is mostly a *codec*, which is pure: it turns
commands into messages for a *channel* and messages into events. What wraps a provider (retry,
limits, fallback, recording) is a provider again.

Two rules make a link safe to use from a single thread of control:

* `Link.send` never waits. The link owns its bounded outbox and says in its documentation what it
  drops when the peer is slow: old speech may be dropped, an order never.
* The events of a link have one reader.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from beluga_voice.audio.formats import AudioFormat, pcm16
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    CallCommand,
    HistoryItem,
    S2sCommand,
    S2sEvent,
    SessionEvent,
    SttCommand,
    SttEvent,
    ToolSpec,
    TtsCommand,
    TtsEvent,
)

# ── wires ───────────────────────────────────────────────────────────────────────────────────

type WireMessage = str | bytes
"""One message of a message-oriented wire: text or binary."""


class Channel(Protocol):
    """A wire that carries whole messages.

    `send` may wait for the peer and raises `LinkLost` when the wire is gone. Iterating ends when
    the peer closed in order, and raises `LinkLost` when the wire broke.
    """

    async def send(self, message: WireMessage, /) -> None: ...

    def __aiter__(self) -> AsyncIterator[WireMessage]: ...


class Codec[S, R](Protocol):
    """One service's protocol, pure: no clock, no network, no randomness it was not given.

    `decode` raises `BrokenProtocol` for a message it cannot read and nothing else; a message kind
    it does not know gives `[]`. `closed` tells it that the wire is gone, and gives the events that
    are still owed: a `ResponseDone` for every open response, then `LinkClosed`.
    """

    def hello(self) -> list[WireMessage]: ...

    def encode(self, command: S, /) -> list[WireMessage]: ...

    def decode(self, message: WireMessage, /) -> list[R]: ...

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[R]: ...


class Link[S, R](Protocol):
    """A live conversation with a service.

    `send` never waits; after the end it does nothing. The events, up to and including
    `LinkClosed`, are either iterated, or delivered by plain calls on the event loop to the one
    function that was attached, which must not raise; those that waited come first. Delivering by
    call spares a queue and a task switch for every event. A lost connection is an event, not an
    exception. `beluga_voice.transports.feed.Feed` does the receiving half for authors of links.
    """

    def send(self, command: S, /) -> None: ...

    def attach(self, deliver: Callable[[R], None], /) -> None: ...

    def __aiter__(self) -> AsyncIterator[R]: ...


# ── what a provider can do, and what is asked of it ─────────────────────────────────────────


class TurnOwner(StrEnum):
    """Who decides that the person's turn is over."""

    FRAMEWORK = "framework"
    """Our detector decides; the provider is told `EndUserTurn`."""
    PROVIDER = "provider"
    """The service decides; we obey, and keep the ledger of what was heard."""
    DUPLEX = "duplex"
    """The model hears and speaks at once; there is no end of a turn."""


class Faithfulness(StrEnum):
    """How exactly a provider speaks given words."""

    EXACT = "exact"
    BEST_EFFORT = "best_effort"
    NONE = "none"


class Latency(StrEnum):
    """How soon an answer is wanted once the person pauses; sooner means cutting in more often."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDetection:
    """How a service that owns the turns finds their ends; what is `None` is as it has it.

    Raises `ConfigurationError` for what lies outside its range.
    """

    silence_ms: int | None = None
    """Silence after which a turn is over; above 0."""
    prefix_ms: int | None = None
    """Sound before the voice that belongs to the turn; from 0."""
    threshold: float | None = None
    """How sure it has to be of a voice, 0 to 1: higher suits noisy places."""

    def __post_init__(self) -> None:
        if self.silence_ms is not None and self.silence_ms <= 0:
            raise ConfigurationError(f"silence_ms {self.silence_ms} should be above 0", op="turns")
        if self.prefix_ms is not None and self.prefix_ms < 0:
            raise ConfigurationError(f"prefix_ms {self.prefix_ms} is negative", op="turns")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ConfigurationError(f"threshold {self.threshold} is outside 0 to 1", op="turns")


class Resumption(StrEnum):
    """How a conversation is continued on a new connection."""

    NONE = "none"
    HANDLE = "handle"
    CONVERSATION_ID = "conversation_id"
    HISTORY = "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do. Data, checked before connecting; no code asks for a name."""

    input_formats: tuple[AudioFormat, ...] = (pcm16(16000),)
    """The first is preferred."""
    output_formats: tuple[AudioFormat, ...] = (pcm16(24000),)
    turn_owners: tuple[TurnOwner, ...] = (TurnOwner.FRAMEWORK,)
    is_local: bool = False
    """It runs on this machine and needs no network."""
    is_streaming: bool = True
    has_interim_transcripts: bool = False
    has_input_transcript: bool = False
    has_speech_events: bool = False
    has_word_times: bool = False
    has_tools: bool = False
    has_delegation: bool = False
    """It hands work to our agent (`DelegationRequested`), and speaks of what it is told."""
    has_text_input: bool = False
    has_temperature: bool = False
    has_output_token_limit: bool = False
    turn_detection: frozenset[str] = frozenset()
    """Names of the fields of `TurnDetection` that it honours."""
    turn_silence_ms: float | None = None
    """The silence after which it reports that speech has ended, unless another is asked for; `None`
    where it does not say. That much earlier the person was silent."""
    can_cancel: bool = False
    can_truncate: bool = False
    can_suppress_response: bool = False
    """It can listen without answering by itself: what external reasoning needs."""
    can_request_response: bool = False
    can_seed_history: bool = False
    """It can be told at the start what was said before (`S2sOptions.history`)."""
    has_alternatives: bool = False
    """There is another service to connect to when this one is silent."""
    transcribes_first: bool = False
    """The final transcript is there before an answer is made: waiting for it costs nothing."""
    can_prepare: bool = False
    """It can make a response ready before the turn is over (`PrepareResponse`)."""
    takes_late_results: bool = False
    """It takes the result of a tool call that it has withdrawn."""
    can_condense_history: bool = False
    """Its history can be made shorter in mid-call (`CondenseHistory`)."""
    can_add_history: bool = False
    """It can be told in mid-call (`SeedHistory`)."""
    mutable: frozenset[str] = frozenset()
    """Names of the fields of `Update` that may change in mid-call."""
    say: Faithfulness = Faithfulness.NONE
    needs_paced_input: bool = False
    needs_continuous_input: bool = False
    """Its clock is our sound: silence must be sent too."""
    max_connection_seconds: float | None = None
    resumption: Resumption = Resumption.NONE
    languages: frozenset[str] = frozenset()
    """Language tags it takes; empty means it does not say."""
    settings: frozenset[str] = frozenset()
    """Names of the fields of `SttOptions` or `TtsOptions` that it honours, of those that not all
    do: see `STT_SETTINGS` and `TTS_SETTINGS`."""
    finds_turns: bool = False
    """A speech-to-text service that says by itself when an utterance is over."""
    max_contexts: int | None = None
    """How many contexts a text-to-speech link speaks at once; `None` is any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S2sOptions:
    """What a conversation with a speech-to-speech provider should be like."""

    instructions: str = ""
    voice: str | None = None
    language: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    history: tuple[HistoryItem, ...] = ()
    turn_owner: TurnOwner | None = None
    """`None` takes the first of the provider's own list."""
    turn_detection: TurnDetection | None = None
    """For turns that the provider owns."""
    latency: Latency | None = None
    """A word for `turn_detection.silence_ms`, or for the framework's own; see that."""
    respond_automatically: bool = True
    temperature: float | None = None
    max_output_tokens: int | None = None
    input_format: AudioFormat | None = None
    output_format: AudioFormat | None = None
    resume: str | None = None
    """A handle from `ResumptionChanged`, to continue that conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SttOptions:
    """What a transcription should be like."""

    language: str | None = None
    phrases: tuple[str, ...] = ()
    """Words and sentences that are likely, to be recognised better."""
    wants_interim: bool = True
    wants_words: bool = False
    """Words with their times."""
    wants_punctuation: bool = True
    alternatives: int = 1
    """How many other readings are wanted, with the first: 1 to 10."""
    filters_profanity: bool = False
    input_format: AudioFormat | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.alternatives <= 10:
            message = f"alternatives {self.alternatives} is outside 1 to 10"
            raise ConfigurationError(message, op="stt")


@dataclass(frozen=True, slots=True, kw_only=True)
class TtsOptions:
    """What speech should sound like. What is `None` is as the voice has it.

    `speed`, `pitch` and `volume` are factors, 1 being the voice's own.
    """

    voice: str | None = None
    language: str | None = None
    speed: float = 1.0
    pitch: float | None = None
    volume: float | None = None
    stability: float | None = None
    """0 to 1: livelier and less alike, to steadier and flatter."""
    style: str | None = None
    """How to say it: instructions or an emotion, in the service's own words."""
    is_ssml: bool = False
    """The text is SSML."""
    wants_words: bool = False
    """Words with their times."""
    output_format: AudioFormat | None = None

    def __post_init__(self) -> None:
        for name in ("speed", "pitch", "volume"):
            factor = getattr(self, name)
            if factor is not None and factor <= 0:
                raise ConfigurationError(f"{name} {factor} should be above 0", op="tts")
        if self.stability is not None and not 0 <= self.stability <= 1:
            raise ConfigurationError(f"stability {self.stability} is outside 0 to 1", op="tts")


STT_SETTINGS = frozenset(
    {"phrases", "wants_words", "wants_punctuation", "alternatives", "filters_profanity"}
)
"""Fields of `SttOptions` that not every service honours."""

TTS_SETTINGS = frozenset({"speed", "pitch", "volume", "stability", "style", "is_ssml"})
"""Fields of `TtsOptions` that not every service honours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice that a service offers."""

    id: str
    """What `voice` is set to."""
    name: str = ""
    languages: tuple[str, ...] = ()
    description: str = ""


class HasVoices(Protocol):
    """A text-to-speech provider that lists its voices.

    Raises a `ProviderError` when the service does not give the list.
    """

    async def voices(self) -> tuple[Voice, ...]: ...


class Provider[O, S, R](Protocol):
    """Anything that can be connected to.

    `connect` raises `ConfigurationError` for options it cannot honour before it touches the
    network, and a `ProviderError` when no link came about. Leaving the context closes the link
    within a bound and leaves nothing behind.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def connect(self, options: O, /) -> AbstractAsyncContextManager[Link[S, R]]: ...


type S2sLink = Link[S2sCommand, S2sEvent]
type SttLink = Link[SttCommand, SttEvent]
type TtsLink = Link[TtsCommand, TtsEvent]
type SpeechToSpeech = Provider[S2sOptions, S2sCommand, S2sEvent]
type SpeechToText = Provider[SttOptions, SttCommand, SttEvent]
type TextToSpeech = Provider[TtsOptions, TtsCommand, TtsEvent]


def input_format_of(capabilities: Capabilities, wanted: AudioFormat | None) -> AudioFormat:
    """The format a link's input has when `wanted` was asked for; each side computes the same."""
    return wanted or capabilities.input_formats[0]


def output_format_of(capabilities: Capabilities, wanted: AudioFormat | None) -> AudioFormat:
    """The format a link's output has when `wanted` was asked for; each side computes the same."""
    return wanted or capabilities.output_formats[0]


# ── ears ────────────────────────────────────────────────────────────────────────────────────


class VoiceActivityDetector(Protocol):
    """Hears whether somebody speaks. One instance serves one line; shared models stay outside.

    `process` takes exactly `frame_samples` of mono 16-bit PCM at `rate` and gives the probability
    of speech in it, 0 to 1. It is called on the event loop: a millisecond is too long.
    """

    @property
    def rate(self) -> int: ...

    @property
    def frame_samples(self) -> int: ...

    def process(self, frame: bytes, /) -> float: ...

    def reset(self) -> None: ...


class AudioProcessor(Protocol):
    """Changes the person's sound before anybody hears it: frame in, frame of the same length out.

    `process` takes exactly `frame_samples` of mono 16-bit PCM at `rate`, which is the line's. It is
    called on the event loop: a millisecond is too long. One instance serves one line.
    """

    @property
    def rate(self) -> int: ...

    @property
    def frame_samples(self) -> int: ...

    def process(self, frame: bytes, /) -> bytes: ...


type NoiseReducer = AudioProcessor
"""Makes speech clearer."""


class TurnDetector(Protocol):
    """Guesses from the words whether the person is done: the probability, 0 to 1.

    0.5 says that it does not know. It is called on the event loop: a millisecond is too long.
    """

    def probability(self, transcript: str, /) -> float: ...


@runtime_checkable
class ListeningTurnDetector(Protocol):
    """Guesses from the sound whether the person is done: the probability, 0 to 1.

    It is asked at a pause. `probability` takes the turn so far as mono 16-bit PCM at `rate`, with
    the silence after it, and looks at the last `longest_samples` of it at most. It takes longer
    than an event loop may be kept, so it is awaited. Cancelling is safe: the answer is lost, and
    nothing else.
    """

    @property
    def rate(self) -> int: ...

    @property
    def longest_samples(self) -> int: ...

    async def probability(self, pcm: bytes, /) -> float: ...


# ── the person's line ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class LineOptions:
    """How sound travels on the person's line.

    `lead_ms` is how far ahead of real time the line takes sound and holds it. A line that holds
    more than one frame must obey `ClearPlayback` at once.
    """

    input_rate: int = 16000
    output_rate: int = 24000
    lead_ms: int = 20
    reports_playback: bool = False
    """It tells what came out at the person's device (`PlaybackReported`)."""
    can_transfer: bool = False
    """It can give the call to somebody else; a line that does not say so is not sent `Transfer`."""


class Line(Protocol):
    """The way to the person. `send` never waits; it raises `CallEnded` when the person is gone."""

    @property
    def options(self) -> LineOptions: ...

    def send(self, command: CallCommand, /) -> None: ...


# ── those who answer, remember and watch ────────────────────────────────────────────────────


class AgentTurn(Protocol):
    """What an agent is given for one turn.

    `text` is what the person said since the agent last had the floor. `history` holds what was
    said before, of the agent's words only those that were heard. `call_tool` runs a tool of the
    session and gives its output; it raises `ToolFailed` when the tool does.
    """

    @property
    def text(self) -> str: ...

    @property
    def history(self) -> Sequence[HistoryItem]: ...

    @property
    def instructions(self) -> str: ...

    @property
    def tools(self) -> Sequence[ToolSpec]: ...

    async def call_tool(self, name: str, arguments: str, /) -> str: ...


class Agent(Protocol):
    """Who answers. Yields text in pieces of any size; closing the iterator stops the work."""

    def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]: ...


class MemoryStore(Protocol):
    """Keeps what was said, as heard, under a key the application chooses."""

    async def load(self, key: str, /) -> tuple[HistoryItem, ...]: ...

    async def save(self, key: str, items: Sequence[HistoryItem], /) -> None: ...


class Observer(Protocol):
    """Is told what happens. Must not wait, and what it raises ends nothing."""

    def observe(self, event: SessionEvent, /, *, at: float) -> None: ...


type ToolFunction = Callable[..., Awaitable[object]] | Callable[..., object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function that a model may call, with the description the model sees.

    Without a function, the application answers: it hears `FunctionCalled`, and calls
    `session.answer_tool`.
    """

    spec: ToolSpec
    function: ToolFunction | None = field(default=None, compare=False)
    timeout_seconds: float = 30.0
    runs_to_end: bool = False
    """Whether a call that began is run to its end although its answer is not wanted any more: what
    books or pays must not be left half done. Its result comes into the history then. Other calls
    are cancelled, and all are when the session ends or its service is lost."""
