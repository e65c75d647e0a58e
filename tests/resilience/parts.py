"""Services that fail as they are told: they read and speak test speech, a frame at a time."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    CancelSpeech,
    FinishSpeech,
    FinishUtterance,
    LinkClosed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
)
from beluga_voice.interfaces import Capabilities
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.scripted import ScriptedStt
from beluga_voice.testing.speech import speech
from beluga_voice.transports.feed import Feed


class Connecting:
    """What all of them do when they are connected to: take their time, and fail while told to."""

    def __init__(self, name, *errors, connect_ms=10):
        self.name = name
        self.errors = list(errors)
        self.connect_ms = connect_ms
        self.connects_ms = []
        """When it was asked to connect."""
        self.options = []
        """What for."""

    async def begin(self, options):
        """Connect, or not."""
        self.connects_ms.append(running_simulation().time_ms())
        self.options.append(options)
        await asyncio.sleep(self.connect_ms / 1000)
        if self.errors:
            raise self.errors.pop(0)


class Recogniser(Connecting):
    """A recogniser; with `is_stuck`, it gives no final transcript."""

    def __init__(self, name="ears", *errors, connect_ms=10, delay_ms=50, **settings):
        super().__init__(name, *errors, connect_ms=connect_ms)
        self.stt = ScriptedStt(delay_ms=delay_ms, **settings)
        self.capabilities = self.stt.capabilities
        self.is_stuck = False

    @property
    def links(self):
        """The service's side of each link."""
        return self.stt.links

    @asynccontextmanager
    async def connect(self, options):
        """A link, after a while."""
        await self.begin(options)
        async with self.stt.connect(options) as link:
            send = link.send

            def hear(command):
                if not (self.is_stuck and isinstance(command, FinishUtterance)):
                    send(command)

            link.send = hear
            yield link


class Voice(Connecting):
    """A voice: a frame of 20 ms every `frame_ms`, the first after `delay_ms`.

    It is lost after `lost_after_frames` of sound, and silent while `is_mute`.
    """

    def __init__(
        self,
        name="mouth",
        *errors,
        connect_ms=10,
        delay_ms=30,
        frame_ms=10,
        has_word_times=True,
        lost_after_frames=None,
        rate=24000,
        word_ms=200,
    ):
        super().__init__(name, *errors, connect_ms=connect_ms)
        self.delay_ms = delay_ms
        self.frame_ms = frame_ms
        self.word_ms = word_ms
        self.lost_after_frames = lost_after_frames
        self.is_mute = False
        self.links = []
        self.capabilities = Capabilities(
            output_formats=(pcm16(rate),), is_local=True, has_word_times=has_word_times
        )

    @asynccontextmanager
    async def connect(self, options):
        """A link, after a while."""
        await self.begin(options)
        link = VoiceLink(self)
        self.links.append(link)
        try:
            yield link
        finally:
            link.close(is_clean=True)


class VoiceLink:
    """See `Voice`."""

    def __init__(self, voice):
        self.voice = voice
        self.feed = Feed()
        self.texts = []
        """All that it was asked to speak."""
        self.to_do = deque()
        self.positions = {}
        self.frames = 0
        self.timer = None

    def send(self, command, /):
        """Take text, or an order."""
        context_id = command.context_id
        match command:
            case SpeakText():
                self.texts.append(command.text)
                rate = self.voice.capabilities.output_formats[0].rate
                for word in speech(command.text, rate=rate, word_ms=self.voice.word_ms):
                    for number, frame in enumerate(word.frames, start=1):
                        is_last = number == len(word.frames)
                        self.to_do.append((context_id, frame, word.text if is_last else None))
            case FinishSpeech():
                self.to_do.append((context_id, None, None))
            case CancelSpeech():
                self.to_do = deque(one for one in self.to_do if one[0] != context_id)
        if self.timer is None:
            self.later(self.voice.delay_ms)

    def attach(self, deliver, /):
        """Deliver by call."""
        self.feed.attach(deliver)

    def __aiter__(self):
        return aiter(self.feed)

    def lose(self, reason="lost"):
        """The service goes away."""
        self.close(is_clean=False, reason=reason)

    def close(self, *, is_clean, reason=""):
        """Nothing follows, and no timer is left."""
        if self.timer is not None:
            self.timer.cancel()
        self.to_do.clear()
        self.feed.put(LinkClosed(is_clean=is_clean, reason=reason))
        self.feed.close()

    def later(self, after_ms):
        """Go on, after a while."""
        self.timer = asyncio.get_running_loop().call_later(after_ms / 1000, self.go_on)

    def go_on(self):
        """A frame, or the end of a context."""
        self.timer = None
        if not self.to_do or self.feed.is_closed or self.voice.is_mute:
            return
        context_id, frame, word = self.to_do.popleft()
        if frame is None:
            self.feed.put(SpeechDone(context_id=context_id))
        else:
            self.speak(context_id, frame, word)
        if self.to_do and not self.feed.is_closed:
            # The end of a context comes with its last frame.
            self.later(0 if self.to_do[0][1] is None else self.voice.frame_ms)

    def speak(self, context_id, frame, word):
        """A frame, and the word that it ends."""
        end = self.positions.get(context_id, 0) + len(frame) // 2
        self.positions[context_id] = end
        self.feed.put(SpeechAudio(context_id=context_id, pcm=frame))
        if word is not None and self.voice.capabilities.has_word_times:
            start = end - len(frame) // 2 * (self.voice.word_ms // 20)
            timed = TimedWord(text=word, start=start, end=end)
            self.feed.put(SpeechWords(context_id=context_id, words=(timed,)))
        self.frames += 1
        if self.frames == self.voice.lost_after_frames:
            self.lose()
