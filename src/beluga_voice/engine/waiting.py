"""The person waits for an answer: the dead-air ladder.

How it works. From the moment an answer is owed a deadline runs. When it passes without a sound, the
ladder goes up one rung: the service is asked again, where it can be asked; then it is given up for
another, where there is one, or for a new connection if it has not even understood what was said;
then the person hears a tone, or words that were made ready, again and again until somebody speaks;
then the call is given to somebody else, once, where the session knows one; and in the end, if
nobody answers, the session says so and ends. Each rung is an event. While a tool or other work
runs, nobody is asked again, given up or ended.

Whatever happens meanwhile, a tool's answer or another failure, may begin the ladder anew, but does
not make the silence longer: after `answer_ms` and `rung_ms` of it there is a sound with any rung.
"""

from beluga_voice.engine.deadlines import DeadAirSettings, Due
from beluga_voice.engine.effects import HandOver, Swap, Tone
from beluga_voice.engine.outlet import Outlet
from beluga_voice.errors import ErrorCode
from beluga_voice.events import CreateResponse, DeadAir, Rung

ROUNDING_SECONDS = 1e-6
MOST_PATIENCE = 8
"""So many times as long as the first, at most, the next service is waited for."""


class Waiting:
    """The ladder of one conversation."""

    def __init__(
        self,
        outlet: Outlet,
        settings: DeadAirSettings,
        *,
        can_nudge: bool,
        can_swap: bool,
        can_transfer: bool,
        provider: str,
    ) -> None:
        self._outlet = outlet
        self.settings = settings
        self._can_nudge = can_nudge
        self._can_swap = can_swap and settings.swaps
        self._can_transfer = can_transfer
        """Whether there is somebody else to give the call to, who was not tried yet."""
        self._is_handing_over = False
        self._provider = provider
        self._since: float | None = None
        self._silent_since = 0.0
        """When the person, who waits, heard something last."""
        self._patient_until = 0.0
        """Until when nobody is asked again or given up."""
        self._swaps = 0
        """How many were given up while the person waits: each next one is given twice the time."""
        self._climbed: set[Rung] = set()

    def begin(self, now: float) -> None:
        """From here on the person waits, if they did not already."""
        self._start(now)
        self._climbed.clear()
        self.progress(now)

    def progress(self, now: float) -> None:
        """The service works on what it was given: it is given time anew."""
        patience = min(2**self._swaps, MOST_PATIENCE) * self.settings.answer_ms / 1000
        self._look_again(now + patience, now)

    def hasten(self, now: float) -> None:
        """What should have been the answer came to nothing: the next rung is due sooner."""
        self._start(now)
        self._look_again(now + self.settings.rung_ms / 1000, now)

    def has_waited_since(self, since: float, now: float) -> None:
        """The person has waited for longer than was known."""
        if self._since is not None and since < self._silent_since:
            self._since = self._silent_since = since
            self._look_again(self._patient_until, now)

    def tone(self, now: float) -> None:
        """Let the person hear that they are not forgotten."""
        self._silent_since = now
        self._outlet.do(Tone())

    def hand_over(self, now: float) -> bool:
        """Have the call given to somebody else; whether that is being done."""
        if self._can_transfer:
            self._can_transfer, self._is_handing_over = False, True
            self._outlet.emit(DeadAir(rung=Rung.TRANSFER, waited_ms=self._waited_ms(now)))
            self.tone(now)
            self._outlet.do(HandOver())
        return self._is_handing_over

    def keep(self) -> None:
        """Nobody else took the call."""
        self._is_handing_over = False

    def end(self) -> None:
        """Something is heard, or nothing is owed."""
        self._since = None
        self._swaps = 0
        self._outlet.deadlines.clear(Due.ANSWER)

    def next(self, now: float, *, is_busy: bool, is_deaf: bool) -> Rung:
        """The rung that is due.

        A service that `is_deaf` owes the words that were said: it cannot answer them, and another
        connection can be given what was kept of them.
        """
        limit, waited_ms = self.settings.end_ms, self._waited_ms(now)
        is_last = limit is not None and waited_ms >= limit
        is_transfer = is_last or waited_ms >= self.settings.transfer_ms
        if self._is_handing_over:
            return Rung.SOUND
        if self._can_transfer and is_transfer and not is_busy:
            return Rung.TRANSFER
        if is_last and not is_busy:
            return Rung.END
        if is_busy or not self._outlet.is_up or self._is_patient(now):
            return Rung.SOUND
        if is_deaf and self.settings.swaps:
            return Rung.SOUND if Rung.SWAP in self._climbed else Rung.SWAP
        if self._can_nudge and Rung.NUDGE not in self._climbed and not self._climbed:
            return Rung.NUDGE
        if self._can_swap and Rung.SWAP not in self._climbed:
            return Rung.SWAP
        return Rung.SOUND

    def give_up_deaf(self, now: float, *, is_quiet: bool) -> bool:
        """The service has not heard what was said, and was waited for long enough.

        Whether it is given up, as the settings may have it.

        `is_quiet` spares the person the tone: they may have said nothing.
        """
        self._patient_until = now
        rung = self.next(now, is_busy=False, is_deaf=True)
        if rung is Rung.SWAP:
            self.climb(rung, now, is_busy=False, is_quiet=is_quiet)
        else:
            self.hasten(now)
        return rung is Rung.SWAP

    def climb(self, rung: Rung, now: float, *, is_busy: bool, is_quiet: bool = False) -> None:
        """Do what that rung is for."""
        if rung is Rung.SOUND and self._is_patient(now):
            self._outlet.emit(DeadAir(rung=rung, waited_ms=self._waited_ms(now)))
            self.tone(now)
            due = min(self._patient_until, now + self.settings.rung_ms / 1000)
            self._outlet.deadlines.set(Due.ANSWER, due)
            return
        if rung is Rung.TRANSFER:
            self.hand_over(now)
            self._look_again(now + self.settings.rung_ms / 1000, now)
            return
        is_new = rung not in self._climbed
        self._climbed.add(rung)
        self._outlet.emit(DeadAir(rung=rung, waited_ms=self._waited_ms(now)))
        if rung is Rung.NUDGE:
            self._outlet.send(CreateResponse())
        elif is_new and len(self._climbed - {Rung.NUDGE}) == 1 and not (is_busy or is_quiet):
            self._outlet.fail(ErrorCode.TIMEOUT, f"{self._provider} gave no answer in time")
        if rung is Rung.SWAP:
            self._swaps += 1
            self._outlet.do(Swap(reason=f"{self._provider} gave no answer in time"))
        is_silent_long = now >= self._silent_until - ROUNDING_SECONDS
        if (rung in (Rung.SWAP, Rung.SOUND) and not is_quiet) or is_silent_long:
            self.tone(now)
        self._look_again(now + self.settings.rung_ms / 1000, now)

    def _start(self, now: float) -> None:
        if self._since is None:
            self._since = self._silent_since = now

    @property
    def _silent_until(self) -> float:
        return self._silent_since + (self.settings.answer_ms + self.settings.rung_ms) / 1000

    def _is_patient(self, now: float) -> bool:
        return now < self._patient_until - ROUNDING_SECONDS

    def _look_again(self, due: float, now: float) -> None:
        self._patient_until = due
        self._outlet.deadlines.set(Due.ANSWER, min(due, max(self._silent_until, now)))

    def _waited_ms(self, now: float) -> float:
        return 0.0 if self._since is None else round((now - self._since) * 1000, 3)
