"""A scripted person on the line: speaks, listens, and knows to the word what sounded.

The microphone gives a frame every 20 ms, of speech while there is something to say and of silence
otherwise. The ear plays what it is sent in real time, holds what is ahead, and drops that when it
is told to: what it `heard` is what a person would have.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_milliseconds, to_samples
from beluga_voice.events import (
    CallClosed,
    CallCommand,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    CallEvent,
    ClearPlayback,
    HangUp,
    PlayAudio,
    Transfer,
)
from beluga_voice.interfaces import LineOptions
from beluga_voice.session.session import Session
from beluga_voice.testing.loop import SimulatedLoop
from beluga_voice.testing.speech import WORD_MS, is_loud, silence, speech, words_in


class ScriptedCaller:
    """A line, and the person at its end. Times are milliseconds of the loop's clock."""

    def __init__(
        self,
        *,
        input_rate: int = 16000,
        output_rate: int = 24000,
        lead_ms: int = FRAME_MILLISECONDS,
        word_ms: int = WORD_MS,
        can_transfer: bool = False,
    ) -> None:
        self.options = LineOptions(
            input_rate=input_rate,
            output_rate=output_rate,
            lead_ms=lead_ms,
            can_transfer=can_transfer,
        )
        self._word_ms = word_ms
        self._to_say: deque[bytes] = deque()
        self._said = asyncio.Event()
        self._silence = CallerAudio(pcm=silence(FRAME_MILLISECONDS, rate=input_rate))
        self._session: Session | None = None
        self._played = bytearray()
        self._ahead: deque[tuple[float, float, bytes]] = deque()
        self._busy_until = 0.0
        self.cleared_ms: list[float] = []
        """When the line was told to fall silent."""
        self.hung_up_ms: float | None = None
        self.transferred_to: str | None = None
        """Who else has the call now."""
        self._sounds: list[tuple[float, float]] = []
        self._is_unplugged = False

    # ── the line ────────────────────────────────────────────────────────────────────────────

    def send(self, command: CallCommand, /) -> None:
        """Take what the session sends."""
        now = self.now_ms
        match command:
            case PlayAudio():
                self._settle(now)
                start = max(self._busy_until, now)
                length = to_milliseconds(len(command.pcm) // 2, self.options.output_rate)
                self._busy_until = start + length
                self._ahead.append((start, self._busy_until, command.pcm))
            case ClearPlayback():
                self._settle(now)
                self._ahead.clear()
                self._busy_until = min(self._busy_until, now)
                self.cleared_ms.append(now)
            case HangUp():
                self.hung_up_ms = now
            case Transfer():
                self.transferred_to = command.to

    @property
    def now_ms(self) -> float:
        """The time, in milliseconds to the microsecond."""
        return round(asyncio.get_running_loop().time() * 1000, 3)

    def _settle(self, now: float) -> None:
        """Move what has sounded by now from ahead to heard."""
        ahead = self._ahead
        while ahead and ahead[0][0] < now:
            start, end, pcm = ahead.popleft()
            if end > now:
                cut = to_samples(now - start, self.options.output_rate) * 2
                ahead.appendleft((now, end, pcm[cut:]))
                pcm, end = pcm[:cut], now
            self._played += pcm
            if is_loud(pcm):
                if self._sounds and start <= self._sounds[-1][1]:
                    start, _ = self._sounds.pop()
                self._sounds.append((start, end))

    # ── what the person heard ───────────────────────────────────────────────────────────────

    @property
    def heard(self) -> str:
        """The whole words that sounded so far."""
        self._settle(self.now_ms)
        return " ".join(words_in(bytes(self._played)))

    @property
    def last_sound_ms(self) -> float | None:
        """When the last sound so far ended."""
        self._settle(self.now_ms)
        return self._sounds[-1][1] if self._sounds else None

    @property
    def first_sound_ms(self) -> float | None:
        """When the first sound began."""
        self._settle(self.now_ms)
        return self._sounds[0][0] if self._sounds else None

    @property
    def sounds_ms(self) -> list[tuple[float, float]]:
        """When sound began and ended, for each stretch of it so far."""
        self._settle(self.now_ms)
        return self._sounds.copy()

    # ── what the person does ────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def on(self, session: Session) -> "AsyncGenerator[ScriptedCaller]":
        """Be on the line of that session; the microphone is open in between."""
        self._session = session
        microphone = asyncio.create_task(self._speak(), name="microphone")
        try:
            yield self
        finally:
            microphone.cancel()
            await asyncio.gather(microphone, return_exceptions=True)
            self._session = None

    async def _speak(self) -> None:
        """Give a frame every 20 ms, until cancelled; timers cost less than sleeps would."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        start = loop.time()
        count = 0
        timer: asyncio.TimerHandle | None = None

        def give() -> None:
            nonlocal count, timer
            if over.done():
                return
            try:
                frame = CallerAudio(pcm=to_say.popleft()) if to_say else self._silence
                if not self._is_unplugged:
                    self._give(frame)
            except Exception as error:
                over.set_exception(error)
                return
            if not to_say:
                self._said.set()
            count += 1
            timer = loop.call_at(start + count * FRAME_MILLISECONDS / 1000, give_in_turn)

        def give_in_turn() -> None:
            """As after a sleep: whoever else is woken at this moment comes first."""
            if is_alone():
                give()
            else:
                loop.call_soon(give)

        to_say = self._to_say
        is_alone = loop.is_alone if isinstance(loop, SimulatedLoop) else bool
        give()
        try:
            await over
        finally:
            if timer is not None:
                timer.cancel()

    def begin(self, text: str) -> None:
        """Begin to say something, and do not wait."""
        for word in speech(text, rate=self.options.input_rate, word_ms=self._word_ms):
            self._to_say.extend(word.frames)
        self._said.clear()

    async def say(self, text: str) -> None:
        """Say something, until its last frame is on the line."""
        self.begin(text)
        await self._said.wait()

    async def noise(self, milliseconds: int) -> None:
        """Make a sound without words."""
        rate = self.options.input_rate
        frame = b"\x00\x10" * to_samples(FRAME_MILLISECONDS, rate)
        self._to_say.extend([frame] * (milliseconds // FRAME_MILLISECONDS))
        self._said.clear()
        await self._said.wait()

    def mix(self, frames: Sequence[bytes]) -> None:
        """Sound from the next frame on, over what is being said: the first of two is heard."""
        for index, frame in enumerate(frames):
            if index >= len(self._to_say):
                self._to_say.append(frame)
            elif not is_loud(self._to_say[index]):
                self._to_say[index] = frame
        self._said.clear()

    def type(self, text: str) -> None:
        """Write instead of speaking."""
        self._give(CallerText(text=text))

    def press_stop(self) -> None:
        """Make the agent stop."""
        self._give(CallerInterrupt())

    def unplug(self) -> None:
        """The microphone gives no more sound, not even silence."""
        self._is_unplugged = True

    def hang_up(self) -> None:
        """Leave."""
        self._give(CallClosed(reason="the caller hung up"))

    def _give(self, event: CallEvent) -> None:
        assert self._session is not None, "the caller is not on a line"
        self._session.receive(event)
