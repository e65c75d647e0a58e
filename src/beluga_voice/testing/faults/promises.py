"""What is promised of every link, kept for one that faults delay, cut and end.

A fault that holds back what a service says may not make it break a promise that the fault is not
about: sound that was under way when its answer was interrupted does not arrive, and what has begun
is ended before the link is.
"""

from beluga_voice.events import (
    CancelSpeech,
    Interrupt,
    Interrupted,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    SpeechAudio,
    SpeechWords,
)


class Promises:
    """Of one link."""

    def __init__(self) -> None:
        self._open: dict[ResponseId, None] = {}
        """Responses that are not done, in their order."""
        self._silenced: set[str] = set()

    def sent(self, command: object) -> None:
        """Note an order at the moment it is given."""
        match command:
            case Interrupt():
                self._silenced.add(command.response_id)
            case CancelSpeech():
                self._silenced.add(command.context_id)
            case _:
                pass

    def lets(self, event: object) -> bool:
        """Whether an event may arrive; what it tells is noted."""
        match event:
            case ResponseStarted():
                self._open[event.response_id] = None
            case ResponseDone():
                self._open.pop(event.response_id, None)
            case ResponseAudio():
                return event.response_id not in self._silenced
            case SpeechAudio() | SpeechWords():
                return event.context_id not in self._silenced
            case Interrupted(response_id=None):
                self._silenced.update(self._open)
            case Interrupted(response_id=str() as response_id):
                self._silenced.add(response_id)
            case _:
                pass
        return True

    def owed(self, reason: str) -> list[ResponseDone]:
        """What has to come before the end."""
        failed = ResponseStatus.FAILED
        owed = [ResponseDone(response_id=one, status=failed, reason=reason) for one in self._open]
        self._open.clear()
        return owed
