"""Puts telephone keys together to one input."""

from collections.abc import Callable

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.turns import TurnSettings

KEYS = frozenset("0123456789*#ABCD")
"""The keys of a telephone."""


class Keys:
    """The keys that were pressed one after another; `text` is given them once they are complete."""

    def __init__(
        self, outlet: Outlet, settings: TurnSettings, *, text: Callable[[str, float], None]
    ) -> None:
        self._deadlines = outlet.deadlines
        self._settings = settings
        self._text = text
        self._pressed = ""

    @property
    def are_pressed(self) -> bool:
        """Whether more of an input may follow."""
        return bool(self._pressed)

    def forget(self) -> None:
        """Nobody wants them any more."""
        self._pressed = ""
        self._deadlines.clear(Due.KEYS)

    def press(self, key: str, now: float) -> None:
        """One key; what is none is ignored."""
        if key not in KEYS:
            return
        if key in self._settings.keys_end:
            self.done(now)
            return
        self._pressed += key
        self._deadlines.set(Due.KEYS, now + self._settings.keys_pause_ms / 1000)

    def done(self, now: float) -> None:
        """The keys pressed so far are one input."""
        self._deadlines.clear(Due.KEYS)
        pressed, self._pressed = self._pressed, ""
        self._text(pressed, now)
