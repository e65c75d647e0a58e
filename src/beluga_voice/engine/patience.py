"""How long a conversation goes on when nobody says anything, and how long at all.

How it works. While nobody speaks and nothing is awaited, a deadline runs. When it passes, the
person is spoken to with the next prompt; after the last, the session says goodbye and ends. The
person's voice, words or keys begin it anew; the agent's own prompts do not. `max_duration_ms` runs
from the start and ends with a goodbye too, behind whatever is being said.
"""

from dataclasses import dataclass

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.outlet import Outlet
from beluga_voice.events import UserIdle


@dataclass(frozen=True, slots=True, kw_only=True)
class PatienceSettings:
    """When a person who says nothing is spoken to, and when a session ends. In milliseconds."""

    idle_ms: float | None = None
    """So long nobody has said anything: `UserIdle` is told, and the next prompt said."""
    prompts: tuple[str, ...] = ()
    """What is said then, one after another."""
    ends: bool = True
    """Whether the session ends, with the goodbye, once all prompts were in vain."""
    max_duration_ms: float | None = None
    """The session ends, with the goodbye, so long after it began."""
    goodbye: str = ""
    """What is said before the session ends by itself."""


class Patience:
    """The deadlines of one session's silence and length."""

    def __init__(self, outlet: Outlet, settings: PatienceSettings) -> None:
        self._outlet = outlet
        self.settings = settings
        self._prompts = 0
        self._quiet_since: float | None = None
        """Since when neither has said anything, prompts apart."""
        self._is_running = False

    def start(self, now: float) -> None:
        """The session begins."""
        if self.settings.max_duration_ms is not None:
            self._outlet.deadlines.set(Due.MAX_DURATION, now + self.settings.max_duration_ms / 1000)

    def stirred(self) -> None:
        """The person did something."""
        self._prompts = 0
        self._quiet_since = None

    def look(self, now: float, *, is_quiet: bool) -> None:
        """Called after everything that happens, where there is a limit to idleness."""
        if self.settings.idle_ms is None or is_quiet is self._is_running:
            return
        self._is_running = is_quiet
        if is_quiet:
            if self._quiet_since is None or not self._prompts:
                self._quiet_since = now
            self._outlet.deadlines.set(Due.IDLE, now + self.settings.idle_ms / 1000)
        else:
            self._outlet.deadlines.clear(Due.IDLE)

    def expired(self, now: float) -> str | None:
        """The silence has lasted too long: gives the prompt that is due, `None` after the last."""
        since = now if self._quiet_since is None else self._quiet_since
        self._outlet.emit(UserIdle(prompts=self._prompts, idle_ms=round((now - since) * 1000, 3)))
        self._is_running = False
        prompts = self.settings.prompts
        if self._prompts >= len(prompts):
            return None
        self._prompts += 1
        return prompts[self._prompts - 1]
