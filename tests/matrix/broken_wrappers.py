"""Wrappers that promise what `Fallback` promises, and each break another promise."""

import asyncio
from contextlib import asynccontextmanager

from beluga_voice.events import SendAudio, SpeakText, SpeechAudio, SpeechDone, SpeechWords


class Broken:
    """Passes on everything to the first provider; a subclass changes what is sent and told."""

    def __init__(self, first, *_):
        self.name = first.name
        self.capabilities = first.capabilities
        self._first = first

    @asynccontextmanager
    async def connect(self, options):
        """A link of the first provider, with what is wrong with it."""
        async with self._first.connect(options) as link:
            yield BrokenLink(link, self)

    def sent(self, command):
        """What becomes of a command."""
        return (command,)

    def told(self, event):
        """What becomes of an event."""
        return (event,)


class BrokenLink:
    """See `Broken`."""

    def __init__(self, link, wrapper):
        self._link = link
        self._wrapper = wrapper

    def send(self, command, /):
        """Pass it on, or what is made of it."""
        for one in self._wrapper.sent(command):
            self._link.send(one)

    def attach(self, deliver, /):
        """Deliver by call."""

        def heard(event):
            for one in self._wrapper.told(event):
                deliver(one)

        self._link.attach(heard)

    def __aiter__(self):
        return aiter(self._link)


class SpeaksTwice(Broken):
    """Has every text said again."""

    def sent(self, command):
        """Twice."""
        return (command, command) if isinstance(command, SpeakText) else (command,)


class ForgetsSound(Broken):
    """Loses the beginning of what the person says, as one that takes over without it."""

    def __init__(self, first, *others):
        super().__init__(first, *others)
        self._left = 15

    def sent(self, command):
        """Without the first pieces."""
        if isinstance(command, SendAudio) and self._left:
            self._left -= 1
            return ()
        return (command,)


class StaysSilent(Broken):
    """Keeps all speech to itself, and its end."""

    def told(self, event):
        """Nothing of that."""
        return () if isinstance(event, SpeechAudio | SpeechWords | SpeechDone) else (event,)


class LeavesTasks(Broken):
    """Does not end what it began."""

    kept = ()

    @asynccontextmanager
    async def connect(self, options):
        """A link, and a task that outlives it."""
        self.kept = (asyncio.create_task(asyncio.sleep(9999), name="forgotten"),)
        async with super().connect(options) as link:
            yield link
