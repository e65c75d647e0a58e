"""Which responses are what a service says to being told to say nothing.

How it works. A question that is taken back has to be answered all the same: the service waits for
that. The answer tells it to say nothing, and it may say something. What begins soon after that, and
was neither asked for nor is the answer to a newer question, is not to be heard. Once there is such
an answer, it may come first: then the words decide, as far as they are known before the sound.
"""

from beluga_voice.events import ResponseId, ResponseOrigin, ResponseStarted, UtteranceId

REACTION_SECONDS = 3.0
"""How soon a service speaks of what it is told; what begins later has another reason."""
REMEMBERED = 16
"""Utterances that are known to have begun already."""


class Reactions:
    """The reactions that are due, and the responses that may be one."""

    def __init__(self, told: str) -> None:
        self._told = told
        """What the service is told instead of an answer."""
        self._due = 0
        self._until = 0.0
        self._answer: str | None = None
        """The words of a newer answer that was not spoken yet."""
        self._suspects: dict[ResponseId, bool] = {}
        """Responses that may react, and whether they began before there was such an answer."""
        self._askers: set[ResponseId] = set()
        """Responses that asked, and may go on in reaction to what they were told."""
        self._unwanted: set[ResponseId] = set()
        self._answers: set[ResponseId] = set()
        """Responses that are probably that answer."""
        self._heard: dict[UtteranceId, None] = {}

    def expect(self, now: float, begun: set[ResponseId]) -> None:
        """A question was taken back; what has `begun` and said nothing yet may react, too."""
        self._due += 1
        self._until = now + REACTION_SECONDS
        self._answer = None
        self._askers |= begun

    def answered(self, words: str, now: float) -> None:
        """A newer question was answered."""
        self._askers.clear()
        if self._due:
            self._answer = words
            self._until = now + REACTION_SECONDS

    def heard(self, utterance_id: UtteranceId | None) -> None:
        """The person said something: what comes from now on may answer that."""
        if utterance_id is not None and utterance_id not in self._heard:
            self._heard[utterance_id] = None
            while len(self._heard) > REMEMBERED:
                del self._heard[next(iter(self._heard))]
            self.forget()

    def forget(self) -> None:
        """None is due any more."""
        self._due = 0
        self._suspects.clear()
        self._askers.clear()

    def begins(self, event: ResponseStarted, now: float) -> None:
        """A response begins."""
        is_own = event.origin is ResponseOrigin.TURN
        if self._due and is_own and now <= self._until:
            self._suspects[event.response_id] = self._answer is None

    def is_suspect(self, response_id: ResponseId) -> bool:
        """Whether that response may turn out to be a reaction."""
        return response_id in self._suspects

    def is_unwanted(self, response_id: ResponseId) -> bool:
        """Whether that response was found to be a reaction."""
        return response_id in self._unwanted

    def speaks(self, response_id: ResponseId, words: str | None) -> bool:
        """A response makes its first sound or words; whether it turns out to be a reaction."""
        if response_id not in self._suspects and response_id not in self._askers:
            return False
        is_sure = self._suspects.pop(response_id, True)
        self._askers.discard(response_id)
        if not is_sure and (words is None or not is_alike(words, self._told)):
            self._answers.add(response_id)
            return False
        self._due = max(self._due - 1, 0)
        self._unwanted.add(response_id)
        return True

    def ends(self, response_id: ResponseId, words: str, now: float) -> bool:
        """A response is done; whether it was a reaction."""
        self._suspects.pop(response_id, None)
        self._askers.discard(response_id)
        if response_id in self._answers:
            self._answers.discard(response_id)
            is_spoken = self._answer is not None and is_alike(words, self._answer)
            self._answer = None
            if is_spoken:
                self._until = now + REACTION_SECONDS
            else:
                self.forget()  # it cannot be told which was which
        if response_id not in self._unwanted:
            return False
        self._unwanted.discard(response_id)
        return True


def is_alike(one: str, other: str) -> bool:
    """Whether both are the same words, give or take some."""
    ours, theirs = set(one.casefold().split()), set(other.casefold().split())
    return bool(ours & theirs) and len(ours & theirs) * 2 >= len(ours | theirs)
