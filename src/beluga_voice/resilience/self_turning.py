"""A provider that leaves the turns to us, as one that finds them by itself.

How it works. A session asks one owner of turns for as long as it lasts. A service that decides by
itself when a turn is over can so be followed by the cascade, which is told, only if the cascade
seems to decide, too. This does what the session would: it hears a voice start and stop in the sound
that it is sent, tells of it, and begins and ends the turns of the provider inside.

Time is counted in the sound, so what is told again in one go is heard as it was spoken. What is
playing is reckoned from when its sound came, since nobody tells a service: a voice over a response
counts once it has lasted `min_ms`, and then the response is stopped. Whoever uses the link knows
better what was heard; if they say so when they are told of the voice, the provider is told that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

from beluga_voice.audio.formats import (
    FRAME_MILLISECONDS,
    AudioFormat,
    pcm16,
    to_samples,
)
from beluga_voice.audio.framing import Framer
from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.interruptions import InterruptionPolicy
from beluga_voice.engine.playback import Playback, planned
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    EndOfTurnLikely,
    EndUserTurn,
    Interrupt,
    Interrupted,
    LinkClosed,
    PrepareResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStarted,
    ResponseText,
    S2sCommand,
    S2sEvent,
    SendAudio,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolCalled,
    TurnContinued,
)
from beluga_voice.interfaces import (
    Capabilities,
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
    TurnOwner,
    VoiceActivityDetector,
    input_format_of,
    output_format_of,
)
from beluga_voice.resilience.nesting import warmed
from beluga_voice.resilience.relay import Relay
from beluga_voice.support import refuse_unsupported, turn_detection_of

REMEMBERED = 64
"""Responses that were stopped, of which nothing is passed on that comes late."""


class SelfTurning:
    """Finds the turns of a provider with framework turns in the sound that it is sent.

    `make_detector` is called once for each link, for the first one in advance. Of `turns`, the
    silences, `adapts` and `stalled_input_ms` count; of `interruption`, `is_allowed` and `min_ms`.
    What a conversation asks for in `turn_detection` or `latency` takes the place of what is given
    here.

    It serves where turns are the provider's, and where a duplex model is expected: one that hears
    all sound, answers when it pleases, and stops by itself when it is spoken to. Raises
    `ConfigurationError` for a provider without framework turns.
    """

    def __init__(
        self,
        provider: SpeechToSpeech,
        make_detector: Callable[[], VoiceActivityDetector],
        *,
        voice: VoiceSettings | None = None,
        turns: TurnSettings | None = None,
        interruption: InterruptionPolicy | None = None,
    ) -> None:
        able = provider.capabilities
        if TurnOwner.FRAMEWORK not in able.turn_owners:
            raise ConfigurationError(
                f"{provider.name} has no framework turns that could be found for it: "
                "use it as it is",
                op="self_turning",
            )
        self._provider = provider
        self._make_detector = make_detector
        self._detector: VoiceActivityDetector | None = make_detector()
        """For the next link: when a person waits for one, nothing is to be loaded."""
        self._voice = voice or VoiceSettings()
        self._turns = turns or TurnSettings()
        self._interruption = interruption or InterruptionPolicy()
        self.name = provider.name
        self.capabilities: Capabilities = replace(
            able,
            turn_owners=(TurnOwner.PROVIDER, TurnOwner.DUPLEX),
            has_speech_events=True,
            turn_detection=frozenset({"silence_ms", "prefix_ms", "threshold"}),
            can_prepare=False,
            needs_continuous_input=True,
        )

    @property
    def inside(self) -> tuple[SpeechToSpeech, ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> "AsyncGenerator[SelfTurningLink]":
        """A link of the provider whose turns are found; cancelling is safe."""
        refuse_unsupported(options, self.capabilities, self.name)
        able = self._provider.capabilities
        asked = replace(options, turn_owner=TurnOwner.FRAMEWORK, turn_detection=None, latency=None)
        voice, turns = self._settings(options)
        source = input_format_of(able, options.input_format)
        target = output_format_of(able, options.output_format)
        async with AsyncExitStack() as stack:
            detector, self._detector = self._detector or self._make_detector(), None
            ears = _Ears(detector, voice, source)
            link = SelfTurningLink(
                ears,
                target,
                turns=turns,
                interruption=self._interruption,
                responds=options.respond_automatically,
                is_continuous=able.needs_continuous_input,
            )
            stack.callback(link.close)
            link.over(await stack.enter_async_context(self._provider.connect(asked)))
            yield link

    def _settings(self, options: S2sOptions) -> tuple[VoiceSettings, TurnSettings]:
        asked = turn_detection_of(options)
        voice, turns = self._voice, self._turns
        if asked.threshold is not None:
            voice = replace(voice, threshold=asked.threshold)
        if asked.prefix_ms is not None:
            voice = replace(voice, preroll_ms=asked.prefix_ms)
        if asked.silence_ms is not None:
            turns = replace(turns, end_silence_ms=asked.silence_ms)
        return voice, turns


def agreeing(
    providers: Sequence[SpeechToSpeech], make_detector: Callable[[], VoiceActivityDetector]
) -> list[SpeechToSpeech]:
    """These, so that turns can belong to somebody whom all of them know.

    As the first would have it, if all can; those that leave turns to us find them by themselves
    where others do. Raises `ConfigurationError` where there is no way.
    """
    for owner in (*providers[0].capabilities.turn_owners, TurnOwner.PROVIDER, TurnOwner.DUPLEX):
        able = [one.capabilities.turn_owners for one in providers]
        if all(owner in one or TurnOwner.FRAMEWORK in one for one in able):
            return [
                one if owner in owners else SelfTurning(one, make_detector)
                for one, owners in zip(providers, able, strict=True)
            ]
    told = "; ".join(f"{one.name}: {', '.join(one.capabilities.turn_owners)}" for one in providers)
    raise ConfigurationError(
        f"no owner of turns that all of them know ({told}): take a cascade, or another with "
        "framework turns, to stand in for these",
        op="session",
    )


class _Ears:
    """Hears voice start and stop; counts time in the detector's samples."""

    def __init__(
        self, detector: VoiceActivityDetector, settings: VoiceSettings, source: AudioFormat
    ) -> None:
        self._detector = detector
        self._frames = Framer(detector.frame_samples * 2)
        self._segmenter = VoiceSegmenter(settings, detector.rate)
        self._convert: Callable[[bytes], bytes] | None = None
        if source != pcm16(detector.rate):
            from beluga_voice.audio.convert import Converter

            self._convert = Converter(source, pcm16(detector.rate)).feed
        self.piece_bytes = to_samples(FRAME_MILLISECONDS, source.rate) * source.block_bytes
        kept_ms = settings.preroll_ms + settings.start_ms
        self.kept_pieces = -(-kept_ms // FRAME_MILLISECONDS)
        """How much sound from before a voice was noticed belongs to it."""
        self.position = 0
        """How much was heard, in samples at `rate`."""
        self.rate = detector.rate

    @property
    def is_loud(self) -> bool:
        """Whether a voice is on, and the last frame was voice."""
        return self._segmenter.is_voice and self._segmenter.is_loud

    def hear(self, pcm: bytes) -> list[VoiceStarted | VoiceStopped]:
        """What became known through this sound."""
        if self._convert is not None:
            pcm = self._convert(pcm)
        changes: list[VoiceStarted | VoiceStopped] = []
        for frame in self._frames.feed(pcm):
            samples = self._detector.frame_samples
            self.position += samples
            change = self._segmenter.hear(self._detector.process(frame), samples)
            if change is not None:
                changes.append(change)
        return changes

    def since(self, ago_ms: float) -> int:
        """Where in the sound that was."""
        return self.position - round(ago_ms * self.rate / 1000)


class SelfTurningLink:
    """A link whose turns are found in the sound. Its outbox is that of the provider's link."""

    def __init__(
        self,
        ears: _Ears,
        target: AudioFormat,
        *,
        turns: TurnSettings,
        interruption: InterruptionPolicy,
        responds: bool,
        is_continuous: bool,
    ) -> None:
        self._inner: S2sLink | None = None
        self._ears = ears
        self._playback = Playback(target.rate)
        self._block_bytes = target.block_bytes
        self._turns = turns
        self._end = Endpointing(turns)
        self._interruption = interruption
        self._responds = responds
        self._is_continuous = is_continuous
        self._loop = asyncio.get_running_loop()
        self._relay: Relay[S2sEvent] = Relay()
        self._past: deque[bytes] = deque()
        """Sound that may turn out to belong to an utterance."""
        self._is_turn = False
        self._began: int | None = None
        """Where the present voice began, in the sound."""
        self._ended: int | None = None
        """Where the last voice of the open turn ended."""
        self._awaits_sound = False
        """Whether a turn ended, of whose answer nothing has sounded."""
        self._stopped: deque[ResponseId] = deque(maxlen=REMEMBERED)
        self._unwanted: deque[ResponseId] = deque(maxlen=REMEMBERED)
        """Responses that began while the person spoke: nobody learns of them."""
        self._input_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def send(self, command: S2sCommand, /) -> None:
        """Listen to sound, and pass on all that has nothing to do with whose turn it is."""
        if self._relay.is_closed:
            return
        match command:
            case SendAudio():
                self._listen(command.pcm)
            case EndUserTurn() | PrepareResponse():
                pass
            case StartUserTurn() if self._is_turn:
                pass
            case Interrupt():
                self._interrupt(command)
            case _:
                self._tell(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._relay)

    # ── its life ────────────────────────────────────────────────────────────────────────────

    def over(self, inner: S2sLink) -> None:
        """Begin to pass on what the provider's link gives."""
        self._inner = inner
        inner.attach(self.hear)

    def close(self) -> None:
        """Nothing follows."""
        self._finish(LinkClosed(is_clean=True))

    def _finish(self, closed: LinkClosed) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._relay.is_closed:
            self._relay.close(closed)

    def _tell(self, command: S2sCommand) -> None:
        assert self._inner is not None, "nobody has a link that is not over another"
        self._inner.send(command)

    # ── the provider ────────────────────────────────────────────────────────────────────────

    def hear(self, event: S2sEvent) -> None:
        """An event of the provider."""
        match event:
            case LinkClosed():
                self._finish(event)
                return
            case EndOfTurnLikely():
                if not event.is_eager:
                    self._end.is_decided = True
                    self._look()
                return
            case TurnContinued():
                self._end.is_decided = False
                return
            case ResponseStarted():
                if self._is_turn and event.origin is not ResponseOrigin.SAID:
                    self._unwanted.append(event.response_id)
                    self._stop(event.response_id, 0, "")
                    return
                self._settle(self._loop.time())
                self._playback.start(event.response_id, event.origin)
            case ResponseAudio() | ResponseText() | ResponseDone() | ToolCalled():
                if event.response_id in self._unwanted:
                    return
                self._note(event)
            case _:
                pass
        self._relay.put(event)

    def _note(self, event: ResponseAudio | ResponseText | ResponseDone | ToolCalled) -> None:
        """Keep account of what there is to be heard of a response."""
        response = None if event.response_id is None else self._playback.get(event.response_id)
        if response is None:
            return
        now = self._loop.time()
        match event:
            case ResponseAudio():
                samples = len(event.pcm) // self._block_bytes
                if not response.generated:
                    self._playback.sounds(response)
                response.generated += samples
                begin = max(self._playback.sounding_until, now)
                self._playback.sent(response, samples, begin + samples / self._playback.rate)
                if self._awaits_sound:
                    self._awaits_sound = False
                    self._end.went_well()
            case ResponseText():
                planned(response, event)
            case ResponseDone():
                response.status = event.status
                if not response.generated:
                    self._playback.settle(response, ResponseOutcome.HEARD, now)
            case ToolCalled():
                pass

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def _listen(self, pcm: bytes) -> None:
        """Take sound, piece by piece: a turn may begin and end in it."""
        self._input_at = self._loop.time()
        size = self._ears.piece_bytes
        for start in range(0, len(pcm), size):
            piece = pcm[start : start + size]
            if self._is_turn or self._is_continuous:
                self._tell(SendAudio(pcm=piece))
            if not self._is_turn:
                self._past.append(piece)
                while self._began is None and len(self._past) > self._ears.kept_pieces:
                    self._past.popleft()
            for change in self._ears.hear(piece):
                if isinstance(change, VoiceStarted):
                    self._voice(self._ears.since(change.ago_ms))
                else:
                    self._hush(self._ears.since(change.ago_ms))
            self._look()

    def _voice(self, began: int) -> None:
        self._began, self._ended = began, None
        self._end.begin()

    def _hush(self, ended: int) -> None:
        self._began = None
        if self._is_turn:
            self._ended = ended

    def _look(self) -> None:
        """Whether a voice makes a turn by now, or a silence ends one."""
        position, rate = self._ears.position, self._ears.rate
        if self._is_turn:
            if self._ended is not None and position - self._ended >= self._end.delay() * rate:
                self._end_turn()
        elif self._began is not None and self._ears.is_loud and self._takes_floor(self._began):
            self._begin_turn()

    def _takes_floor(self, began: int) -> bool:
        """Whether a voice that began there is more than a sound over a response."""
        self._settle(self._loop.time())
        if self._playback.sounding is None:
            return True
        lasted_ms = (self._ears.position - began) * 1000 / self._ears.rate
        return self._interruption.is_allowed and lasted_ms >= self._interruption.min_ms

    def _settle(self, now: float) -> None:
        """Close the accounts of what has sounded to its end."""
        for response in self._playback.alive:
            end = self._playback.end_of(response)
            if end is not None and end <= now:
                self._playback.settle(response, ResponseOutcome.HEARD, now)

    # ── turns ───────────────────────────────────────────────────────────────────────────────

    def _begin_turn(self) -> None:
        """The person has the floor: what sounds, or is being made, is stopped."""
        self._is_turn = True
        if self._awaits_sound:
            self._awaits_sound = False
            self._end.was_cut_off()
        alive = self._playback.alive
        self._relay.put(SpeechStarted())
        for response in alive:
            if self._playback.get(response.id) is response:
                self._relay.put(Interrupted(response_id=response.id))
            if self._playback.get(response.id) is response:
                settled = self._playback.settle(response, ResponseOutcome.CUT, self._loop.time())
                self._stop(response.id, settled.heard, settled.heard_text)
        self._playback.cleared(self._loop.time())
        self._tell(StartUserTurn())
        past, self._past = self._past, deque()
        if not self._is_continuous:
            for pcm in past:
                self._tell(SendAudio(pcm=pcm))
        self._arm()

    def _interrupt(self, command: Interrupt) -> None:
        """Whoever uses the link stops a response, and knows what was heard of it."""
        response = self._playback.get(command.response_id)
        if response is not None:
            self._playback.settle(response, ResponseOutcome.CUT, self._loop.time())
        if command.response_id not in self._stopped:
            self._stop(command.response_id, command.heard_samples, command.heard_text)

    def _stop(self, response_id: ResponseId, heard: int, text: str) -> None:
        self._stopped.append(response_id)
        self._tell(Interrupt(response_id=response_id, heard_samples=heard, heard_text=text))

    def _end_turn(self) -> None:
        """The person is done: an answer is wanted."""
        self._is_turn = False
        self._began = self._ended = None
        self._awaits_sound = True
        self._relay.put(SpeechStopped())
        self._tell(EndUserTurn(respond=self._responds))

    def _arm(self) -> None:
        """See to it that a turn ends also when the sound does."""
        if self._timer is None:
            due = self._input_at + self._turns.stalled_input_ms / 1000
            self._timer = self._loop.call_at(due, self._check_input, due)

    def _check_input(self, now: float) -> None:
        self._timer = None
        if not self._is_turn:
            return
        if self._input_at + self._turns.stalled_input_ms / 1000 <= now:
            self._end_turn()
        else:
            self._arm()
