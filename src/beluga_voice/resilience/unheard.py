"""What a speech-to-text service was given and has not answered, for the one that comes after it.

How it works. The sound of each utterance is kept until its final transcript comes. A service that
takes over is given all of it again, with the orders in between, and so hears every utterance from
its beginning: nothing that a person said is lost, and ids stay as they were. Pure.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from beluga_voice.audio.formats import AudioFormat, pcm16
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    SendAudio,
    SttCommand,
    SttEvent,
    Transcript,
    UtteranceId,
)

LOUD = 0.01
"""40 dB below full scale: speech is louder, and what a line hisses is not."""
DOUBTED_MS = 600.0
"""With so much loud sound in it, an utterance that is said to be empty is doubted."""


@dataclass(slots=True)
class _Utterance:
    """One utterance; it has an id once it is finished."""

    sound: deque[SendAudio] = field(default_factory=deque[SendAudio])
    id: UtteranceId | None = None


class Unheard:
    """Keeps up to `limit` bytes of sound of that format; beyond that the oldest goes."""

    __slots__ = ("_bytes", "_limit", "_sound", "_utterances", "lost_bytes")

    def __init__(self, limit: int, sound: AudioFormat | None = None) -> None:
        self._limit = limit
        self._sound = sound or AudioFormat()
        self._bytes = 0
        self._utterances = deque([_Utterance()])
        """Those that are finished and not answered, and the present one."""
        self.lost_bytes = 0
        """How much sound a next service would not be given."""

    @property
    def kept_bytes(self) -> int:
        """How much sound is kept."""
        return self._bytes

    def sent(self, command: SttCommand) -> None:
        """A command of the user of the link."""
        present = self._utterances[-1]
        match command:
            case SendAudio():
                present.sound.append(command)
                self._bytes += len(command.pcm)
                self._trim()
            case FinishUtterance():
                present.id = command.utterance_id
                self._utterances.append(_Utterance())
            case DropUtterance():
                self._forget(present)

    def received(self, event: SttEvent) -> Sequence[SttEvent]:
        """An event of the service, and what is passed on of it."""
        if isinstance(event, Transcript) and event.is_final and event.utterance_id is not None:
            for one in self._utterances:
                if one.id == event.utterance_id:
                    self._forget(one)
                    self._utterances.remove(one)
                    break
        return (event,)

    def again(self) -> tuple[list[SttCommand], list[SttEvent]]:
        """What the next service is told, and what is owed without it."""
        told: list[SttCommand] = []
        for one in self._utterances:
            told.extend(one.sound)
            if one.id is not None:
                told.append(FinishUtterance(utterance_id=one.id))
        return told, []

    def doubts(self, event: SttEvent) -> bool:
        """Whether that says that a loud utterance was empty."""
        if not isinstance(event, Transcript) or not event.is_final or event.text.strip():
            return False
        return any(
            one.id is not None and one.id == event.utterance_id and self._loud_ms(one) >= DOUBTED_MS
            for one in self._utterances
        )

    def mark(self) -> None:
        """Nothing changes when a service is told again: see `Unspoken.mark`."""

    def back(self, mark: None) -> None:
        """See `mark`."""

    def _loud_ms(self, utterance: _Utterance) -> float:
        # Here, so that nobody loads what calculates before it is needed.
        from beluga_voice.audio.convert import convert
        from beluga_voice.audio.level import rms

        block = self._sound.block_bytes
        target = pcm16(self._sound.rate)
        loud = 0
        for one in utterance.sound:
            whole = one.pcm[: len(one.pcm) // block * block]
            if rms(convert(whole, self._sound, target)) > LOUD:
                loud += len(whole) // block
        return loud * 1000 / self._sound.rate

    def _forget(self, utterance: _Utterance) -> None:
        self._bytes -= sum(len(one.pcm) for one in utterance.sound)
        utterance.sound.clear()

    def _trim(self) -> None:
        while self._bytes > self._limit:
            oldest = next(one for one in self._utterances if one.sound)
            dropped = len(oldest.sound.popleft().pcm)
            self._bytes -= dropped
            self.lost_bytes += dropped
