"""A service that stands in for itself, over another connection, where there is no other service.

See `beside` for how it works. A speech-to-text or text-to-speech service whose connection hangs or
dies is as good as gone for those who hold that connection, and may well be there for others.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import (
    Capabilities,
    Link,
    Provider,
    SttOptions,
    TtsOptions,
    input_format_of,
    output_format_of,
)
from beluga_voice.resilience.beside import AfreshSettings, BesideLink, MarkedCarry, Means
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.budget import RetryBudget
from beluga_voice.resilience.nesting import is_guarded, warmed
from beluga_voice.resilience.notices import Switched
from beluga_voice.resilience.unheard import Unheard
from beluga_voice.resilience.unspoken import Pace, Unspoken

KEPT_SECONDS = 30.0


class Afresh[O, S, R]:
    """Another connection of the same provider where one hangs, dies, or does not come about.

    The link stays open meanwhile. Speech to text is told all that it has not answered, and text to
    speech speaks on after the last word whose sound came. One that is open and late is asked beside
    the other connection, and whichever answers first is used: so it costs a slow service that is
    well nothing but the asking, and it gets twice as long from then on.

    As long as nothing fails, there is one connection. Another one takes a token of `budget`, which
    all share who use a provider of that name in this process unless told otherwise; without one, or
    after `settings.attempts`, a lost link ends as if there were no wrapper. `on_switch` is told of
    each connection that took over. Of speech that is not answered, `kept_seconds` are kept.

    A provider that is `Guarded` has its own deadlines, and only losses are seen to here. Marked-up
    text (`is_ssml`) cannot be continued: its links are the provider's own. Connecting raises what
    the provider raises, and `ConfigurationError` for options of speech to speech, of which only a
    session knows what was heard.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        settings: AfreshSettings | None = None,
        budget: RetryBudget | None = None,
        kept_seconds: float = KEPT_SECONDS,
        on_switch: Callable[[Switched], None] | None = None,
    ) -> None:
        if kept_seconds <= 0:
            raise ConfigurationError("kept_seconds is above 0", op="afresh")
        self._provider = provider
        self._settings = settings or AfreshSettings()
        self._budget = budget
        self._kept_seconds = kept_seconds
        self._pace = Pace()
        self._on_switch = on_switch

    @property
    def name(self) -> str:
        """The provider's own."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's own."""
        return self._provider.capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link that outlives its connection; cancelling is safe."""
        able = self.capabilities
        # The options say which of the kinds of providers this is.
        match options:
            case SttOptions():
                sound = input_format_of(able, options.input_format)
                limit = int(self._kept_seconds * sound.rate) * sound.block_bytes
                unheard = Unheard(limit, sound)
                opened: Any = self._opened(options, unheard, sound)
            case TtsOptions(is_ssml=False):
                sound = output_format_of(able, options.output_format)
                has_word_times = able.has_word_times
                unspoken = Unspoken(sound, has_word_times=has_word_times, pace=self._pace)
                opened = self._opened(options, unspoken, sound)
            case TtsOptions():
                opened = self._provider.connect(options)
            case _:
                raise ConfigurationError(
                    f"{self.name} takes no such options: afresh is for speech to text and text to "
                    "speech",
                    op="afresh",
                )
        async with opened as link:
            yield link

    def _opened(
        self, options: Any, carry: MarkedCarry[Any, Any, Any], sound: AudioFormat
    ) -> AbstractAsyncContextManager[Any]:
        means = self._means(sound)
        return BesideLink(self._provider, options, carry, means).living()

    def _means(self, sound: AudioFormat) -> Means:
        able, settings = self.capabilities, self._settings
        is_watched_inside = is_guarded(self._provider)
        progress = settings.progress.times(settings.local_factor if able.is_local else 1)
        # What is loaded here takes as long as it takes, and no shorter for being loaded twice.
        is_hurried = not (able.is_local or is_watched_inside)
        return Means(
            settings=settings,
            budget=self._budget or shared_board().budget(self.name),
            connect_seconds=settings.connect_ms / 1000 if is_hurried else None,
            progress=None if is_watched_inside else progress,
            is_streaming=able.is_streaming,
            sound=sound,
            on_switch=self._on_switch,
        )


def afresh[O, S, R](
    provider: Provider[O, S, R], *, on_switch: Callable[[Switched], None] | None = None
) -> Provider[O, S, R]:
    """The provider, standing in for itself unless there are others that stand in for it."""
    if provider.capabilities.has_alternatives or isinstance(provider, Afresh):
        return provider
    return Afresh(provider, on_switch=on_switch)
