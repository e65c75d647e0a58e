"""One conversation: carries events to the engine, and carries out what it decides.

How it works. Whatever happens, in whichever task, ends in `_step`, which is a plain call that never
waits: it gives the event to the engine and performs the effects. Sound from the line goes through
the ears and straight to the service's link; sound from the service through the speaker to the line.
A session that listens owns one task, which holds the link to the service open; a tool that runs has
one more, and so has a memory. Timers are timers, not tasks.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self, get_args

from beluga_voice.audio.formats import AudioFormat, pcm16, to_milliseconds
from beluga_voice.engine.effects import (
    Adopt,
    Connect,
    Discard,
    Drop,
    Effect,
    End,
    Finish,
    Forget,
    Forward,
    HandOver,
    Pause,
    Replay,
    Resume,
    RunTool,
    SayAgain,
    Send,
    Silence,
    Standby,
    StopTool,
    Summarise,
    Swap,
    Tone,
    Yield,
)
from beluga_voice.engine.engine import Engine, EngineSettings
from beluga_voice.engine.happened import (
    CancelSay,
    Close,
    HandedOver,
    Happened,
    Leave,
    LinkOpened,
    Renew,
    StandbyLost,
    Summarised,
    TurnGuessed,
)
from beluga_voice.engine.turns import Floor
from beluga_voice.engine.voice import VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import (
    AlreadyClosed,
    BelugaError,
    ConfigurationError,
    ErrorCode,
    Misuse,
    Unsupported,
    WrongFormat,
    where,
)
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseStarted,
    CallClosed,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    CallEvent,
    DeadAir,
    EndReason,
    ErrorOccurred,
    HistoryItem,
    InputTranscript,
    KeyPressed,
    Occasion,
    ResponseAudio,
    ResponseId,
    ResumptionChanged,
    S2sEvent,
    Say,
    SendAudio,
    SessionEvent,
    SessionId,
    SessionState,
    ToolCallId,
    ToolSpec,
    Transfer,
    Update,
)
from beluga_voice.interfaces import (
    AudioProcessor,
    Faithfulness,
    Line,
    LineOptions,
    MemoryStore,
    Observer,
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
    Tool,
    ToolFunction,
    TurnOwner,
    VoiceActivityDetector,
)
from beluga_voice.sendable import sendable
from beluga_voice.session.ears import Ears
from beluga_voice.session.guessing import AnyTurnDetector, Guessing
from beluga_voice.session.happening import Callback, Happening
from beluga_voice.session.keeper import Keeper
from beluga_voice.session.line import GuardedLine, NoLine
from beluga_voice.session.metrics import COUNTED, Meter, SessionMetrics
from beluga_voice.session.saying import Handles, Saying
from beluga_voice.session.service import Service
from beluga_voice.session.speaker import MAX_WAITING_SECONDS, Speaker
from beluga_voice.session.toolbox import Toolbox
from beluga_voice.support import owner_of, refuse_unsupported, turn_silence_ms
from beluga_voice.transports.feed import Feed

log = logging.getLogger(__name__)

type Summariser = Callable[[Sequence[HistoryItem]], Awaitable[str]]
"""Says in short what was said; what it gives the agent knows as a note of the system."""

SUMMARY_SECONDS = 30.0
type TransferTo = str | Callable[[], Awaitable[object]]
"""An address that the line understands, or a function that gives the call to somebody else."""

TRANSFER_SECONDS = 10.0
"""How long such a function may take: meanwhile the person hears next to nothing."""
EVENTS = frozenset(get_args(SessionEvent.__value__))
KEPT_INPUT_SECONDS = 30.0
"""Speech of the person that is kept until its words are known, for a service that comes after."""
BEFORE_VOICE_SECONDS = 1.5
"""How much of what was before a voice is kept, where a service finds the voice, and may be late."""
UNREAD_EVENTS = 10_000
"""Events an application may leave unread; beyond that it gets no more sound, only the rest."""
UNREAD_AT_FIRST = 200
"""Events, without sound, that are kept for a first reader who comes late."""


class Session:
    """A conversation between a person's line and a speech-to-speech provider.

    An async context manager: entering connects, and raises what kept it from connecting; leaving
    closes, and leaves no task, timer or link behind. All methods are for the event loop's thread.

    With a `memory`, what was heard is kept under `memory_key`, after each response and at the end.
    What is already kept there when the session is entered takes the place of `options.history`. A
    memory that fails or hangs is logged; it delays the beginning by at most two seconds, and the
    end likewise.

    `ready_words` makes sound (mono 16-bit PCM at the given rate) that is heard, in place of a tone,
    when nobody answers; it is asked for it once somebody waits in silence. `summarise` is given the
    older half of a history that grows too long (`EngineSettings.history_limit`), and what it says
    takes its place.

    `transfer` is to whom the call is given before the session ends because nobody answers, or
    because its service is lost for good: an address, for a line that `can_transfer`, or a function,
    which is awaited for 10 s. The session ends with the reason "transferred" then. If the function
    raises or is late, that is an error event, and the session goes on waiting, or ends as it would
    have. It is tried once, and is cancelled when the person hangs up.
    """

    # Hundreds of sessions do not fit into a processor's cache: without a dictionary, each attribute
    # is one look away, which spares a twentieth of what a call costs.
    __slots__ = (
        "__weakref__",
        "_before_voice",
        "_began",
        "_chores",
        "_crash",
        "_ears",
        "_engine",
        "_from_service",
        "_greeting",
        "_group",
        "_guessing",
        "_handles",
        "_inbox",
        "_is_continuous",
        "_is_forwarding",
        "_is_ours",
        "_is_stepping",
        "_keeper",
        "_kept",
        "_kept_before",
        "_kept_limit",
        "_kept_samples",
        "_line",
        "_link",
        "_listeners",
        "_loop",
        "_make_engine",
        "_meter",
        "_observers",
        "_opened",
        "_options",
        "_output_rate",
        "_over",
        "_provider",
        "_readers",
        "_ready_words",
        "_sequence",
        "_service",
        "_speaker",
        "_summariser",
        "_timer",
        "_timer_at",
        "_to_service",
        "_toolbox",
        "_transfer",
        "_unread",
        "_voice",
        "_way",
        "id",
    )

    def __init__(
        self,
        provider: SpeechToSpeech,
        *,
        line: Line | None = None,
        options: S2sOptions | None = None,
        detector: VoiceActivityDetector | None = None,
        processors: Sequence[AudioProcessor] = (),
        turns: Sequence[AnyTurnDetector] = (),
        voice: VoiceSettings | None = None,
        settings: EngineSettings | None = None,
        tools: Sequence[Tool | ToolFunction] = (),
        observers: Sequence[Observer] = (),
        greeting: str = "",
        memory: MemoryStore | None = None,
        memory_key: str | None = None,
        ready_words: Callable[[int], Awaitable[bytes]] | None = None,
        summarise: Summariser | None = None,
        transfer: TransferTo | None = None,
        session_id: str | None = None,
    ) -> None:
        if (memory is None) != (memory_key is None):
            raise ConfigurationError("give both memory and memory_key, or neither", op="session")
        self.id = SessionId(session_id or uuid.uuid4().hex)
        self._provider = provider
        self._line = line or NoLine(LineOptions())
        self._toolbox = Toolbox(tools, self._step)
        self._observers = list(observers)
        self._greeting = greeting
        self._ready_words = ready_words
        if isinstance(transfer, str) and not self._line.options.can_transfer:
            message = "this line cannot transfer calls: give transfer as a function that does"
            raise Unsupported(message, op="session")
        self._transfer = transfer
        options = options or S2sOptions()
        capabilities = provider.capabilities
        owner = owner_of(options, capabilities)
        if owner is TurnOwner.FRAMEWORK and detector is None:
            raise ConfigurationError(
                f"{provider.name} leaves turns to us: give the session a voice detector",
                op="session",
            )
        settings = settings or EngineSettings()
        self._summariser = summarise
        if summarise is not None:
            settings = replace(settings, summarises=True)
        given = greeting or settings.patience.prompts or settings.patience.goodbye
        if given and capabilities.say is Faithfulness.NONE:
            message = f"{provider.name} cannot speak a greeting, a prompt or a goodbye"
            raise Unsupported(message, op="session")
        rates = self._line.options
        source = _choose(capabilities.input_formats, rates.input_rate, options.input_format)
        target = _choose(capabilities.output_formats, rates.output_rate, options.output_format)
        self._options = replace(
            options,
            turn_owner=owner,
            tools=self._toolbox.specs,
            input_format=source,
            output_format=target,
        )
        self._voice = self._options.voice
        """That of the present connection."""
        refuse_unsupported(self._options, capabilities, provider.name)
        is_ours = owner is TurnOwner.FRAMEWORK
        self._is_continuous = capabilities.needs_continuous_input or not is_ours
        self._output_rate = target.rate
        self._ears = Ears(
            rate=rates.input_rate,
            detector=detector,
            settings=voice or VoiceSettings(),
            processors=processors,
        )
        self._guessing: Guessing | None = None
        if turns and is_ours:
            self._guessing = Guessing(turns, rate=rates.input_rate, tell=self._guessed)
        self._make_converters(source, target)
        # Made again with what is remembered, when the session is entered.
        self._make_engine = partial(
            Engine,
            session_id=self.id,
            provider=provider.name,
            capabilities=capabilities,
            turn_owner=owner,
            input_rate=rates.input_rate,
            output_rate=target.rate,
            line_rate=rates.output_rate,
            settings=settings,
            turn_silence_ms=turn_silence_ms(self._options, capabilities),
            reports_playback=rates.reports_playback,
            can_transfer=transfer is not None,
        )
        self._engine = self._make_engine(history=options.history)
        self._keeper: Keeper | None = None
        if memory is not None and memory_key is not None:
            self._keeper = Keeper(memory, memory_key)
        self._inbox: deque[Happened] = deque()
        self._is_stepping = False
        self._is_forwarding = False
        self._kept: deque[bytes] = deque()
        self._kept_samples = 0
        self._kept_before = 0
        """How many pieces of what is kept are older than the present turn."""
        self._is_ours = is_ours
        self._before_voice = int(BEFORE_VOICE_SECONDS * rates.input_rate)
        self._kept_limit = int(KEPT_INPUT_SECONDS * rates.input_rate)
        self._link: S2sLink | None = None
        self._readers: list[Feed[Happening]] = []
        self._listeners: list[Feed[Happening]] = []
        """Those of the readers who are told of sound, too."""
        self._unread: list[Happening] | None = []
        self._sequence = 0
        self._meter = Meter()
        self._crash: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._handles = Handles()
        self._chores: list[asyncio.Task[None]] = []
        """What is done beside the conversation, and not finished at its end."""
        self._group: asyncio.TaskGroup | None = None

    # ── life ────────────────────────────────────────────────────────────────────────────────

    async def __aenter__(self) -> Self:
        remembered = () if self._keeper is None else await self._keeper.load()
        if self._group is not None:
            raise Misuse("a session is entered once", op="session")
        if remembered:
            self._engine = self._make_engine(history=remembered)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._over = asyncio.Event()
        self._way = GuardedLine(self._line, lambda reason: self._step(CallClosed(reason=reason)))
        """To the person."""
        self._speaker = Speaker(
            loop=self._loop,
            line=self._way,
            rate=self._output_rate,
            on_sent=self._on_sent,
            on_wake=self._speak,
        )
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._service = Service(
            self._provider,
            self._group,
            name=f"beluga-voice service {self.id}",
            step=self._step_of_service,
            hear=self._hear_service,
            on_link=self._use,
        )
        if self._keeper is not None:
            name = f"beluga-voice memory {self.id}"
            self._group.create_task(self._keeper.run(), name=name)
        try:
            self._engine.start(self._began)
            self._settle()
            await self._opened
        except BaseException as error:
            self._shut("closed")
            await self._leave(error)
            raise
        if self._greeting:
            self.say(self._greeting, occasion=Occasion.GREETING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shut("closed" if error is None else "failed")
        await self._leave(error)
        if error is None and self._crash is not None:
            raise self._crash

    async def _leave(self, error: BaseException | None) -> None:
        """Wait for the tasks, which end because the session is over.

        The group is told of a cancellation only: any other exception of the body is to come out as
        it is, not within a group.
        """
        assert self._group is not None
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(type(error), error, error.__traceback__)
        else:
            await self._group.__aexit__(None, None, None)

    async def close(self, reason: EndReason = "closed") -> None:
        """End the session; it is over when this returns, though not yet left."""
        self._entered()
        self._shut(reason)
        await self._over.wait()

    async def wait_closed(self) -> None:
        """Wait until the session is over, whoever ended it."""
        self._entered()
        await self._over.wait()

    # ── what the person does ────────────────────────────────────────────────────────────────

    def receive(self, event: CallEvent) -> None:
        """Take what came from the person's line. After the end, nothing happens."""
        if isinstance(event, CallerAudio):
            self.send_audio(event.pcm)
            return
        self._entered()
        is_text = isinstance(event, CallerText | KeyPressed)
        if is_text and not self._provider.capabilities.has_text_input:
            message = f"{self._provider.name} takes no text"
            self._publish(ErrorOccurred(code=ErrorCode.UNSUPPORTED_SETTING, message=message))
        else:
            self._step(event)

    def send_audio(self, pcm: bytes) -> None:
        """Take sound of the person: mono 16-bit PCM at the line's input rate, of any length.

        Raises `WrongFormat` for half a sample. After the end, nothing happens.
        """
        engine = self._engine
        if self._group is None:
            self._entered()
        if engine.is_over or not pcm:
            return
        if len(pcm) & 1:
            raise WrongFormat(
                f"{len(pcm)} bytes end inside a 16-bit sample; send whole samples", op="session"
            )
        ears = self._ears
        if ears.processes and not (pcm := ears.process(pcm)):
            return
        engine.heard_line(self._loop.time())
        if self._is_continuous:
            self._give(pcm)
        if self._is_forwarding:
            self._keep(pcm)
            if not self._is_continuous:
                self._give(pcm)
        else:
            ears.remember(pcm)
        for change in ears.hear(pcm):
            if self._guessing is not None:
                self._guess_at(change)
            self._step(change)
        if ears.hears_voice and engine.floor is Floor.OVERLAP:
            self._guarded(self._judge)
        elif (
            not self._is_ours
            and engine.floor in (Floor.QUIET, Floor.AGENT)
            and not engine.is_watching
        ):
            self._forget_all_but(self._before_voice)

    def _guess_at(self, change: VoiceStarted | VoiceStopped) -> None:
        assert self._guessing is not None
        if isinstance(change, VoiceStarted):
            self._guessing.begin()
        else:
            self._guessing.paused(self._kept)

    def _guessed(self, probability: float) -> None:
        self._step(TurnGuessed(probability=probability))

    def send_text(self, text: str) -> None:
        """Take words the person typed; the agent answers in speech.

        Raises `Unsupported` where the provider takes no text.
        """
        self._open()
        if not self._provider.capabilities.has_text_input:
            raise Unsupported(f"{self._provider.name} takes no text", op="send_text")
        self._step(CallerText(text=sendable(text)))

    def interrupt(self) -> None:
        """Stop the agent."""
        self._open()
        self._step(CallerInterrupt())

    # ── what the application wants ──────────────────────────────────────────────────────────

    def say(self, text: str, *, occasion: Occasion = Occasion.NORMAL) -> Saying:
        """Let the agent say these words now, or once the person's turn is over.

        The `occasion` says what may interrupt them: `Occasion.NOTICE` nothing, as it comes. The
        handle tells what became of them, and takes them back. Raises `Unsupported` where the
        provider cannot speak given words.
        """
        self._open()
        if self._provider.capabilities.say is Faithfulness.NONE:
            raise Unsupported(f"{self._provider.name} cannot speak given words", op="say")
        if not text.strip():
            raise Misuse("there is nothing to say in that text", op="say")
        text = sendable(text)
        saying = self._handles.make(text, self._unsay)
        self._step(Say(text=text, occasion=occasion, say_id=saying.id))
        return saying

    def _unsay(self, saying: Saying) -> None:
        self._step(CancelSay(say_id=saying.id))
        if saying.response_id is None:
            self._handles.drop(saying)

    def answer_tool(self, call_id: ToolCallId, output: str, *, is_error: bool = False) -> None:
        """Give the result of a tool that has no function, which `FunctionCalled` told of.

        Raises `Misuse` if no such call waits: it was answered, withdrawn or took too long.
        """
        self._open()
        self._toolbox.answer(call_id, output, is_error=is_error)

    async def leave(self, goodbye: str = "", *, reason: EndReason = "closed") -> None:
        """End the session once what is being said, and the goodbye, were heard.

        Nothing that is said over a goodbye clips it. It is over when this returns, though not yet
        left. Raises `Unsupported` for a goodbye that the provider cannot speak.
        """
        self._open()
        if goodbye and self._provider.capabilities.say is Faithfulness.NONE:
            raise Unsupported(f"{self._provider.name} cannot speak a goodbye", op="leave")
        self._step(Leave(goodbye=sendable(goodbye), reason=reason))
        await self._over.wait()

    def reconnect(self) -> None:
        """Give the present connection to the service up, and make another."""
        self._open()
        self._service.drop("a new connection was asked for")

    def update(
        self,
        *,
        instructions: str | None = None,
        tools: Sequence[Tool | ToolFunction] | None = None,
        voice: str | None = None,
    ) -> None:
        """Change settings in mid-call; `None` leaves one as it is.

        New `tools` take the place of all there were; those that run go on. A `voice` that the
        provider keeps for as long as a connection lasts changes with the next one, which is made
        in the next quiet moment. Raises `Unsupported` for what the provider keeps fixed; nothing is
        changed then.
        """
        self._open()
        able = self._provider.capabilities
        wanted = {"instructions": instructions, "tools": tools, "voice": voice}
        fixed = {name for name, value in wanted.items() if value is not None} - able.mutable
        renews = fixed == {"voice"} and able.can_seed_history
        if fixed and not renews:
            what, changes = sorted(fixed)[0], ", ".join(sorted(able.mutable)) or "nothing"
            message = f"{self._provider.name} keeps its {what} in a call; it can change {changes}"
            raise Unsupported(message, op="update")
        specs: tuple[ToolSpec, ...] | None = None
        if instructions is not None:
            instructions = sendable(instructions)
        if tools is not None:
            self._toolbox.replace(tools)
            specs = self._toolbox.specs
        self._options = replace(
            self._options,
            instructions=self._options.instructions if instructions is None else instructions,
            tools=self._options.tools if specs is None else specs,
            voice=self._options.voice if voice is None else voice,
        )
        kept = None if renews else voice
        if kept is not None:
            self._voice = kept
        if instructions is not None or specs is not None or kept is not None:
            self._step(Update(instructions=instructions, tools=specs, voice=kept))
        if renews:
            self._step(Renew())

    def _step_of_service(self, event: Happened) -> None:
        """What becomes of the links."""
        if type(event) is StandbyLost and event.refusal:
            # Another voice was refused: connections to come have the one that works.
            self._options = replace(self._options, voice=self._voice)
        self._step(event)
        if type(event) is LinkOpened and self._voice != self._options.voice:
            self._step(Renew())

    def events(self, *, with_audio: bool = True) -> AsyncIterator[Happening]:
        """What happens from now on, up to and including `SessionEnded`.

        The first reader also gets what happened before it came, unless that was long ago. Who does
        not want the agent's sound, which is most of what happens, spares the work of telling it.
        """
        feed: Feed[Happening] = Feed()
        if self._unread is not None:
            unread, self._unread = self._unread, None
            for happening in unread:
                feed.put(happening)
        if self._engine.is_over:
            feed.close()
        self._readers.append(feed)
        if with_audio:
            self._listeners.append(feed)
        return self._read(feed)

    async def _read(self, feed: Feed[Happening]) -> AsyncIterator[Happening]:
        """One reader's events; who stops reading is forgotten."""
        try:
            async for happening in feed:
                yield happening
        finally:
            for readers in (self._readers, self._listeners):
                if feed in readers:
                    readers.remove(feed)

    def watch(self, observer: Observer) -> None:
        """Tell an observer about everything from now on."""
        self._observers.append(observer)

    def on[E: SessionEvent](
        self, kind: type[E], callback: Callable[[E], object]
    ) -> Callable[[], None]:
        """Call `callback` with each event of that kind; gives what ends it.

            session.on(Reconnecting, lambda event: print("attempt", event.attempt))

        It must not wait, and what it raises is logged and ends nothing.
        """
        observer = Callback(kind, callback)
        self._observers.append(observer)
        return partial(self._observers.remove, observer)

    @property
    def provider(self) -> SpeechToSpeech:
        """The service it talks through."""
        return self._provider

    @property
    def state(self) -> SessionState:
        """What the session is doing."""
        return self._engine.state

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said so far, of the agent only what was heard."""
        return self._engine.history

    def metrics(self) -> SessionMetrics:
        """What was counted so far."""
        return self._meter.metrics()

    # ── the one way in ──────────────────────────────────────────────────────────────────────

    def _step(self, event: Happened) -> None:
        """Give the engine an event, and do what it wants. Never waits, never raises.

        What happens while effects are performed waits its turn.
        """
        self._inbox.append(event)
        if not self._is_stepping:
            self._settle()

    def _settle(self) -> None:
        self._is_stepping = True
        inbox, engine, effects = self._inbox, self._engine, self._engine.effects
        try:
            while True:
                if effects:
                    self._perform()
                if not inbox:
                    break
                event = inbox.popleft()
                if type(event) is ResponseAudio:
                    self._play(event)
                else:
                    engine.receive(event, self._loop.time())
        except Exception as error:
            self._break(error)
        finally:
            self._is_stepping = False
        due = engine.deadline
        # A timer that rings too early does no harm, and most deadlines are put off again and again.
        if due is not None and (self._timer_at is None or due < self._timer_at):
            self._arm(due)

    def _perform(self) -> None:
        effects = self._engine.effects
        while effects:
            effect = effects.popleft()
            if type(effect) in EVENTS:  # most are, and there are many
                self._publish(effect)  # type: ignore[arg-type]  # the check is what EVENTS holds
            else:
                self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Finish():
                self._speaker.finish(effect.response_id)
            case Yield():
                self._speaker.move_back(effect.response_id)
            case Drop():
                self._speaker.drop(effect.response_id)
            case SayAgain():
                self._handles.again(effect.say_id)
            case Send():
                if self._link is not None:
                    self._link.send(effect.command)
            case Silence():
                self._speaker.silence()
            case Forward():
                self._forward(effect.is_on)
            case Forget():
                self._forget(self._kept_before if effect.but_the_open_turn else len(self._kept))
            case Replay():
                self._replay()
            case RunTool():
                assert self._group is not None
                self._toolbox.run(effect, self._group)
            case StopTool():
                self._toolbox.stop(effect.call_id, is_final=effect.is_final)
            case Summarise():
                self._summarise(effect)
            case Swap():
                self._service.drop(effect.reason, is_useless=True)
            case Pause():
                self._speaker.pause(effect.samples)
            case Resume():
                self._speaker.resume()
            case Tone():
                self._speaker.tone()
            case HandOver():
                self._hand_over()
            case Connect():
                # With a voice that works: another is tried beside a connection, see `update`.
                known = replace(self._options_with(effect.history), voice=self._voice)
                self._service.connect(known)
            case Standby():
                self._service.stand_by(self._options_with(effect.history))
            case Adopt():
                self._service.adopt()
                self._voice = self._options.voice
                if not self._is_ours:
                    self._replay()  # a voice may have begun that the service had not noticed yet
            case Discard():
                self._service.discard()
            case End():
                self._finish(effect.message)
            case _:
                self._publish(effect)

    def _arm(self, due: float) -> None:
        """Wake up at that time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._expire, due)

    def _expire(self, due: float) -> None:
        self._timer = self._timer_at = None
        self._guarded(lambda: self._engine.expire(max(due, self._loop.time())))

    def _judge(self) -> None:
        self._engine.voiced(self._loop.time())

    def _speak(self) -> None:
        self._guarded(self._speaker.speak)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do something that may leave effects, then perform them."""
        try:
            work()
        except Exception as error:
            self._break(error)
        self._settle()

    def _break(self, error: Exception) -> None:
        """A defect of ours: end this session, and let all others live."""
        log.error("session %s ended by a defect: %s", self.id, where(error))
        if self._crash is None:
            self._crash = error
            self._inbox.clear()
            code = error.code if isinstance(error, BelugaError) else ErrorCode.INTERNAL_ERROR
            message = f"internal error: {type(error).__name__}"
            self._publish(ErrorOccurred(code=code, message=message, is_fatal=True))
            try:
                self._engine.receive(Close(reason="failed", message=message), self._loop.time())
                self._perform()
            finally:
                self._finish(message)

    def _make_words_ready(self) -> None:
        """Somebody waits in silence: have words made that can be heard in place of a tone."""
        if self._ready_words is not None and self._group is not None:
            make, self._ready_words = self._ready_words, None
            name = f"beluga-voice words for {self.id}"
            self._chores.append(self._group.create_task(self._make_words(make), name=name))

    async def _make_words(self, make: Callable[[int], Awaitable[bytes]]) -> None:
        try:
            self._speaker.ready_words = await make(self._line.options.output_rate)
        except Exception as error:
            log.error("words for a silent line could not be made: %s", where(error))

    def _hand_over(self) -> None:
        """Nobody here can go on: give the call to whom the application named."""
        transfer = self._transfer
        assert transfer is not None
        assert self._group is not None
        if isinstance(transfer, str):
            self._way.send(Transfer(to=transfer, reason="nobody answers"))
            self._step(HandedOver())
        else:
            name = f"beluga-voice transfer {self.id}"
            self._chores.append(self._group.create_task(self._hand_over_by(transfer), name=name))

    async def _hand_over_by(self, transfer: Callable[[], Awaitable[object]]) -> None:
        failure = ""
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                await transfer()
        except Exception as error:
            log.error("a call could not be transferred: %s", where(error))
            failure = type(error).__name__
        self._step(HandedOver(failure=failure))

    def _summarise(self, effect: Summarise) -> None:
        assert self._group is not None
        name = f"beluga-voice summary {self.id}"
        self._chores.append(self._group.create_task(self._make_summary(effect), name=name))

    async def _make_summary(self, effect: Summarise) -> None:
        """Ask the application for a summary; without one, the oldest is forgotten in time."""
        text = ""
        try:
            assert self._summariser is not None
            async with asyncio.timeout(SUMMARY_SECONDS):
                text = await self._summariser(effect.items)
        except Exception as error:
            log.error("the history could not be summarised: %s", where(error))
        self._step(Summarised(count=len(effect.items), text=text))

    # ── sound of the person ─────────────────────────────────────────────────────────────────

    def _forward(self, is_on: bool) -> None:
        if is_on and not self._is_forwarding:
            self._kept_before = len(self._kept)
            for pcm in self._ears.recall():
                self._keep(pcm)
                if not self._is_continuous:
                    self._give(pcm)
        self._is_forwarding = is_on

    def _forget(self, pieces: int) -> None:
        """Drop the oldest of what was kept."""
        if pieces >= len(self._kept):  # at the end of every turn
            self._kept.clear()
            self._kept_samples = 0
        for _ in range(min(pieces, len(self._kept))):
            self._kept_samples -= len(self._kept.popleft()) >> 1
        self._kept_before = 0

    def _forget_all_but(self, samples: int) -> None:
        """Nobody speaks: of the silence, keep what a service may want from before a voice."""
        while self._kept and self._kept_samples - (len(self._kept[0]) >> 1) >= samples:
            self._kept_samples -= len(self._kept.popleft()) >> 1

    def _replay(self) -> None:
        for pcm in self._kept:
            self._give(pcm)

    def _give(self, pcm: bytes) -> None:
        """To the service, if there is one."""
        if self._link is not None:
            if self._to_service is not None:
                pcm = self._to_service.feed(pcm)
            self._link.send(SendAudio(pcm=pcm))

    def _keep(self, pcm: bytes) -> None:
        """For a service that comes after this one, until the words are known."""
        self._kept.append(pcm)
        self._kept_samples += len(pcm) >> 1
        while self._kept_samples > self._kept_limit:
            dropped = len(self._kept.popleft()) >> 1
            self._kept_before = max(self._kept_before - 1, 0)
            self._kept_samples -= dropped
            if self._link is None:
                rate = self._line.options.input_rate
                self._meter.lost_input_ms += to_milliseconds(dropped, rate)

    def _make_converters(self, source: AudioFormat, target: AudioFormat) -> None:
        line = pcm16(self._line.options.input_rate)
        self._to_service = self._from_service = None
        if source != line:
            from beluga_voice.audio.convert import Converter

            self._to_service = Converter(line, source)
        if target != pcm16(target.rate):
            from beluga_voice.audio.convert import Converter

            self._from_service = Converter(target, pcm16(target.rate))

    # ── the service ─────────────────────────────────────────────────────────────────────────

    def _options_with(self, history: tuple[HistoryItem, ...]) -> S2sOptions:
        """What a new link is asked for."""
        can_seed = self._provider.capabilities.can_seed_history
        instructions = sendable(self._options.instructions)
        given = history if can_seed else ()
        return replace(self._options, instructions=instructions, history=given)

    def _use(self, link: S2sLink | None) -> None:
        """That is the present link, or there is none."""
        self._link = link
        if link is not None and not self._opened.done():
            self._opened.set_result(None)

    def _hear_service(self, event: S2sEvent) -> None:
        """An event of the present link."""
        if self._from_service is not None and type(event) is ResponseAudio:
            pcm = self._from_service.feed(event.pcm)
            event = ResponseAudio(response_id=event.response_id, pcm=pcm)
        elif type(event) is ResumptionChanged:
            self._options = replace(self._options, resume=event.handle)
        self._step(event)
        if self._guessing is not None and type(event) is InputTranscript and not event.is_final:
            self._guessing.read(event.text)

    def _play(self, event: ResponseAudio) -> None:
        """Sound of a response: to the speaker, if the response is still wanted."""
        pcm = event.pcm
        if len(pcm) & 1:
            self._engine.broken(f"sent {len(pcm)} bytes of sound, which is not 16-bit PCM")
            return
        if not pcm or not self._engine.generated(
            event.response_id, len(pcm) >> 1, self._loop.time()
        ):
            return
        if not self._speaker.queue(event.response_id, pcm):
            self._engine.broken(f"sent more than {MAX_WAITING_SECONDS} s of sound ahead")
            self._engine.receive(CallerInterrupt(), self._loop.time())

    # ── telling others ──────────────────────────────────────────────────────────────────────

    def _on_sent(
        self, response_id: ResponseId, pcm: bytes, samples: int, until: float, now: float
    ) -> None:
        """The speaker handed sound to the line."""
        is_audible = pcm != bytes(len(pcm))
        self._engine.sent(response_id, samples, until, now, is_audible=is_audible)
        if self._listeners or self._observers:
            self._perform()
            if self._engine.is_playing(response_id):  # and was not cut by that very sound
                self._publish(AgentResponseAudio(response_id=response_id, pcm=pcm))

    def _publish(self, event: SessionEvent) -> None:
        if type(event) in COUNTED:
            self._meter.count(event)
        if type(event) in (AgentResponseStarted, AgentResponseEnded):
            self._handles.note(event)
        elif type(event) is DeadAir:
            self._make_words_ready()
        if self._keeper is not None and isinstance(event, AgentResponseEnded):
            self._keeper.save(self._engine.history)
        sequence = self._sequence
        self._sequence = sequence + 1
        if self._unread is None and not self._readers and not self._observers:
            return
        at = self._loop.time() - self._began
        happening = Happening(event=event, at=at, sequence=sequence)
        if self._unread is not None:
            self._unread.append(happening)
            if len(self._unread) >= UNREAD_AT_FIRST:
                self._unread = None  # nobody reads: spare the memory, and the work
        if type(event) is AgentResponseAudio:
            for reader in self._listeners:
                if reader.waiting < UNREAD_EVENTS:
                    reader.put(happening)
        else:
            for reader in self._readers:
                reader.put(happening)
        for observer in self._observers:
            try:
                observer.observe(event, at=at)
            except Exception as error:
                log.error("an observer failed: %s", where(error))

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _entered(self) -> None:
        if self._group is None:
            raise Misuse("enter the session first: async with session", op="session")

    def _open(self) -> None:
        self._entered()
        if self._engine.is_over:
            raise AlreadyClosed("the session is not open", op="session")

    def _shut(self, reason: EndReason) -> None:
        self._step(Close(reason=reason))

    def _finish(self, message: str) -> None:
        """The engine is done: release everything that waits for something."""
        self._speaker.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._timer_at = None
        self._service.shut()
        self._handles.close()
        self._toolbox.close()
        for chore in self._chores:
            chore.cancel()
        if self._guessing is not None:
            self._guessing.close()
        if self._keeper is not None:
            self._keeper.save(self._engine.history)
            self._keeper.close()
        if not self._opened.done():
            error = self._service.failure or AlreadyClosed(message or "closed", op="session")
            self._opened.set_exception(error)
        for reader in self._readers:
            reader.close()
        self._over.set()


def _choose(offered: Sequence[AudioFormat], rate: int, wanted: AudioFormat | None) -> AudioFormat:
    """The asked format, or the offered one that needs the least conversion."""
    if wanted is not None:
        if wanted not in offered:
            raise Unsupported(f"{wanted} is not offered", op="session")
        return wanted
    return next((one for one in offered if one == pcm16(rate)), offered[0])
