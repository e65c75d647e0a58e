"""When a silence is the end of a turn.

How it works. How long a silence has to last follows from how likely it is that the person is done.
Nobody's guess leaves it at `end_silence_ms`. A turn detector's guess moves it: towards
`sure_silence_ms` the surer it is, towards `unsure_silence_ms` the more it doubts. A speech-to-text
service that decides about turns itself ends it at once.

And it adapts: who was cut off, because they went on before the agent had said anything, is given
more time from then on, and less again with each turn that went well.
"""

from dataclasses import dataclass

from beluga_voice.engine.turns import TurnSettings

CUT_OFF = 1.25
"""What a cut-off multiplies the silence by."""
WENT_WELL = 0.95
"""What a turn that went well multiplies it by, down to its usual length."""
MOST = 2.0
"""The most it is multiplied by."""


@dataclass(slots=True)
class Endpointing:
    """How long this person's silences are waited for."""

    settings: TurnSettings
    factor: float = 1.0
    probability: float | None = None
    """That the turn is over, as last guessed; `None` while nobody has."""
    is_decided: bool = False
    """Whether a service has decided that it is."""

    def begin(self) -> None:
        """The person speaks again: what was guessed is no longer of use."""
        self.probability = None
        self.is_decided = False

    def delay(self) -> float:
        """From the end of the voice to the end of the turn, in seconds."""
        if self.is_decided:
            return 0.0
        settings = self.settings
        base = settings.end_silence_ms * self.factor
        guess = self.probability
        if guess is None:
            return base / 1000
        towards = settings.sure_silence_ms if guess >= 0.5 else settings.unsure_silence_ms
        weight = abs(guess - 0.5) * 2
        return (base + (towards - base) * weight) / 1000

    def was_cut_off(self) -> None:
        """The person went on after the turn had been taken for over."""
        if self.settings.adapts:
            self.factor = min(self.factor * CUT_OFF, MOST)

    def went_well(self) -> None:
        """The agent's answer was let begin."""
        self.factor = max(self.factor * WENT_WELL, 1.0)
