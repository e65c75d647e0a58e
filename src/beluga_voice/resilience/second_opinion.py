"""What another connection makes of an utterance that was loud, and of which no word was understood.

How it works. A recogniser that gets no sound any more says that it heard nothing, and so does one
that hears a person laugh. Only another one can tell which it is. So the empty transcript is held
back, with all that comes after it, and another connection is told the same sound. If it finds
words, it is the one to use from then on; if it finds none, the first one is believed.
"""

from collections.abc import Callable
from typing import cast

from beluga_voice.events import LinkClosed, LinkReady, ServiceFailed, Transcript, UsageReported
from beluga_voice.resilience.watched import Watched

BELIEVED_SECONDS = 30.0
"""For so long nothing is doubted after another one has heard no word either."""
REASON = "it understood nothing"


class SecondOpinion[S, R]:
    """One question to another connection.

    `decided` is called once, with whether there are words; `passes_on` gets what the other one
    tells that is of use in either case.
    """

    def __init__(
        self,
        empty: Transcript,
        *,
        decided: Callable[[bool], None],
        passes_on: Callable[[R], None],
    ) -> None:
        self._id = empty.utterance_id
        self._decided = decided
        self._passes_on = passes_on
        self.other: Watched[S, R] | None = None
        """The one that is asked, once there is a connection."""
        self.kept = [cast("R", empty)]
        """What the first one told, in order; an empty transcript is an event of such links."""
        self.told: list[R] = []
        """What the other one told."""

    def ask(self, other: Watched[S, R], hear: Callable[[Watched[S, R], R], None]) -> None:
        """Ask that one, which was given what is to be told again."""
        self.other = other
        other.begin(hear)

    def send(self, command: S) -> None:
        """A command of now, which the other one gets as well."""
        if self.other is not None:
            self.other.send(command)

    def hear_first(self, event: R) -> None:
        """Hold it back; words show that the first one hears."""
        self.kept.append(event)
        if isinstance(event, Transcript) and event.is_final and event.text.strip():
            self._decided(False)

    def hear_other(self, event: R) -> None:
        """Words for the utterance decide, and so does anything that shows that none will come."""
        match event:
            case LinkClosed() | ServiceFailed(is_fatal=True):
                self._decided(False)
            case LinkReady():
                pass
            case UsageReported() | ServiceFailed():
                self._passes_on(event)
            case Transcript(is_final=True) if event.utterance_id == self._id:
                self.told.append(event)
                self._decided(bool(event.text.strip()))
            case _:
                self.told.append(event)


class Doubting:
    """When an empty transcript is doubted."""

    __slots__ = ("_from",)

    def __init__(self) -> None:
        self._from = 0.0

    def may(self, now: float) -> bool:
        """Whether anything is doubted now."""
        return now >= self._from

    def believed(self, now: float) -> None:
        """Another one heard no word either."""
        self._from = now + BELIEVED_SECONDS

    def understood(self, event: object) -> None:
        """Words that were understood make the next silence worth a doubt."""
        if isinstance(event, Transcript) and event.is_final and event.text.strip():
            self._from = 0.0
