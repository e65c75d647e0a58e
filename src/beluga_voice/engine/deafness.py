"""Misses a service that finds the turns itself, and tells nothing of what the person says.

How it works. Our own ears hear the person too. From the end of a voice that is long enough to be
noticed a deadline runs, and whatever the service tells of what it hears is a sign that ends it.
When the deadline passes without a sign, the service is deaf or dead, and what was said is for
another connection. If that one tells nothing of it either, what we took for a voice was none.
"""

from beluga_voice.engine.deadlines import DeadAirSettings, Due
from beluga_voice.engine.outlet import Outlet

NOTICED_SECONDS = 0.6
"""A voice of this length is noticed by a service that finds the turns itself."""
SHORTEST_SECONDS = 0.1
"""And one of this length by a service that has just stopped in the middle of what it said."""
MOST_SECONDS = 4.8
"""And one of this length where others turned out to be noises."""
SIGN_SECONDS = 3.0
"""By so long after it, one that tells of voices has told something, or it hears nothing."""
PUT_OFF_SECONDS = 2.0
"""So much longer one is waited for that may be at work on something else."""
THOUGHT_SECONDS = 8.0
"""So long one that has noticed a voice may think about whether the person is done."""


class Deafness:
    """What is known of how well a service hears."""

    def __init__(
        self, outlet: Outlet, dead_air: DeadAirSettings, *, has_speech_events: bool
    ) -> None:
        self._deadlines = outlet.deadlines
        # One that does not tell of voices tells of words, which may take as long as an answer.
        self._patience = SIGN_SECONDS if has_speech_events else dead_air.answer_ms / 1000
        self._least_seconds = NOTICED_SECONDS
        self._is_distrusted = False
        self._began: float | None = None
        self._is_voice = False
        self._was_noticed = False
        self._owed_before = self._was_put_off = False
        self.is_deaf = False
        """Whether the person has said something of which the service took no notice."""
        self.is_doubtful = False
        """Whether it may have been no voice: only our ears have heard it."""

    @property
    def may_think(self) -> bool:
        """Whether it may be at work on what was said before, and have let a noise pass."""
        return self._owed_before and not self._was_put_off

    @property
    def is_watching(self) -> bool:
        """Whether the person has said what the service may not have noticed."""
        return self._began is not None or self.is_deaf

    def voice(self, began: float, *, owes_answer: bool) -> None:
        """The person has begun to speak; `owes_answer` to what was said before."""
        if self._began is None:  # or they go on where they were not heard
            self._began, self._was_noticed = began, False
            self._owed_before, self._was_put_off = owes_answer, False
        self._is_voice, self.is_doubtful = True, False
        self._deadlines.clear(Due.SIGN_OF_LIFE)

    def hush(self, ended: float) -> None:
        """They are done."""
        self._is_voice = False
        least = SHORTEST_SECONDS if self._is_distrusted else self._least_seconds
        if self._began is None or ended - self._began < least:
            self._began = None
            return
        patience = THOUGHT_SECONDS if self._was_noticed else self._patience
        self._deadlines.set(Due.SIGN_OF_LIFE, ended + patience)

    def sign(self, *, is_answer: bool) -> None:
        """The service told something of what it hears.

        `is_answer` says that it told it by answering, which may be about what was said before.
        """
        self._is_distrusted = False
        if is_answer and self._owed_before:
            return
        self.is_deaf = self.is_doubtful = False
        self._was_noticed = True
        if not self._is_voice:
            self._began = None
            self._deadlines.clear(Due.SIGN_OF_LIFE)

    def distrust(self) -> None:
        """The service has stopped in the middle of something: until it tells more, it may be dead.

        A short voice that it does not notice is no noise then.
        """
        self._is_distrusted = True

    def later(self, now: float) -> None:
        """There is a reason not to look for a sign now."""
        self._was_put_off = True
        self._deadlines.set(Due.SIGN_OF_LIFE, now + PUT_OFF_SECONDS)

    def missed(self, *, is_owed: bool) -> None:
        """There was no sign; `is_owed` says that an answer is awaited in any case."""
        self._began = None
        self.is_deaf = True
        self.is_doubtful = not is_owed and not self._was_noticed

    @property
    def is_unnoticed(self) -> bool:
        """Whether only our ears have heard something: it may have been nothing."""
        return not self._was_noticed

    def settle(self) -> None:
        """Whatever was heard: from here on an answer is owed to something else."""
        self.is_doubtful = False

    def was_no_voice(self) -> None:
        """Another connection has not heard it, either: the next doubt takes a longer voice."""
        if self.is_doubtful:
            self._least_seconds = min(2 * self._least_seconds, MOST_SECONDS)
        self.is_deaf = self.is_doubtful = False

    def forgive(self) -> None:
        """There is another connection, which is told what was said."""
        self.is_deaf = self._is_distrusted = False
        if not self._is_voice:
            self._began = None
            self._deadlines.clear(Due.SIGN_OF_LIFE)
