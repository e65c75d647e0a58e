"""A link, what is done with it, and what comes of that."""

import asyncio

from beluga_voice.events import FinishUtterance, SendAudio, SpeechAudio, Transcript, UtteranceId
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import pcm_of, speech, words_in


def finish(name):
    """Ask for the final transcript of what was said."""
    return FinishUtterance(utterance_id=UtteranceId(name))


def sound(words):
    """Words as one piece of sound."""
    return SendAudio(pcm=pcm_of(speech(words)))


class Talk:
    """A link, its events and what is done with it."""

    def __init__(self, provider, options):
        self.provider = provider
        self.options = options
        self.events = []

    def play(self, *deeds):
        """Do one thing after another, each so many ms after the one before; then wait."""

        async def scene():
            loop = running_simulation()
            async with self.provider.connect(self.options) as link:
                began = loop.time_ms()
                link.attach(lambda event: self.events.append((loop.time_ms() - began, event)))
                for pause, deed in deeds:
                    await asyncio.sleep(pause / 1000)
                    if callable(deed):
                        deed()
                    else:
                        link.send(deed)
                await asyncio.sleep(20)

        simulate(scene)
        return self

    def of(self, kind):
        """Events of one kind, with their times."""
        return [(at, event) for at, event in self.events if isinstance(event, kind)]

    def finals(self):
        """The final transcripts, with their times."""
        return [
            (at, event.utterance_id, event.text)
            for at, event in self.of(Transcript)
            if event.is_final
        ]

    def heard(self):
        """The words in the sound."""
        return " ".join(words_in(b"".join(event.pcm for _, event in self.of(SpeechAudio))))
