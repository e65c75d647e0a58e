"""Several providers that stand in for one another.

How it works. Whoever connects is given the first provider that is not resting (see `order`), and
the next one when that does not connect. Each is guarded, so that one which is silent counts as one
that fails, and one whose breaker is open costs no time.

In mid-call, what is lost depends on the kind. For speech to text and text to speech the link stays
open, and what lies beneath it is changed: the next provider is given the speech that is not
answered (see `unheard`), or the text that is not spoken (see `unspoken`). A link of speech to
speech ends with its service, since only the session knows what was heard: it connects again with
the history, and is given another provider, because the one it lost rests.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import (
    Capabilities,
    Link,
    Provider,
    Resumption,
    S2sOptions,
    SttOptions,
    TtsOptions,
    input_format_of,
    output_format_of,
)
from beluga_voice.resilience.choosing import Chooser
from beluga_voice.resilience.common import common
from beluga_voice.resilience.converted import alike
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.nesting import guards, is_guarded, warmed
from beluga_voice.resilience.notices import Switched, tell
from beluga_voice.resilience.passed_on import PassedOn, resume_of
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.resilience.switching import Carry, SwitchingLink
from beluga_voice.resilience.unheard import Unheard
from beluga_voice.resilience.unspoken import Pace, Unspoken
from beluga_voice.support import (
    owner_of,
    refuse_unsupported,
    refuse_unsupported_stt,
    refuse_unsupported_tts,
)

REST_SECONDS = 30.0
KEPT_SECONDS = 60.0


class Fallback[O, S, R]:
    """A provider that is the first of these that works, at every moment.

    Its capabilities and formats are those that all of them have; raises `ConfigurationError` where
    they have no turn owner or language in common. Where they have no format in common, it has those
    of the first, and the sound of the others is converted. Those that are not `Guarded`, inside of
    other wrappers or not, are guarded with `progress`.

    It can be asked for a response if any of them can, and one that cannot does nothing then: so the
    one that takes over answers what was left unanswered. It can be told in mid-call what was said
    if all can be told at the start: so the one that takes over learns what was heard of a response
    that broke off. One that cannot be told ends the link, and is opened again with the history.

    One that failed is asked last for `rest_seconds`, by all who use this object; then by one of
    them, and if that goes well by all. Within one link, none is used again before it has rested: a
    link whose providers all failed ends. Of unanswered speech, `kept_seconds` are kept for the next
    provider, and the oldest goes beyond that.
    """

    def __init__(
        self,
        *providers: Provider[O, S, R],
        rest_seconds: float = REST_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
        progress: ProgressSettings | None = None,
        on_switch: Callable[[Switched], None] | None = None,
    ) -> None:
        if len(providers) < 2:
            raise ConfigurationError("a fallback needs two providers or more", op="fallback")
        if rest_seconds <= 0 or kept_seconds <= 0:
            raise ConfigurationError("seconds are above 0", op="fallback")
        self._guarded = [
            one if is_guarded(one) else Guarded(one, progress=progress, key=_key(one))
            for one in alike(providers)
        ]
        self._chooser = Chooser(self._guarded, rest_seconds=rest_seconds)
        self._kept_seconds = kept_seconds
        self._pace = Pace()
        self._on_switch = on_switch
        able = common([one.capabilities for one in self._guarded], op="fallback")
        every = [one.capabilities for one in self._guarded]
        # Half a document is none: marked-up text cannot be continued by another voice.
        self._capabilities = replace(
            able,
            settings=able.settings - {"is_ssml"},
            has_alternatives=True,
            can_request_response=any(one.can_request_response for one in every),
            can_add_history=able.can_seed_history or able.can_add_history,
        )
        self.name = "|".join(one.name for one in providers)

    @property
    def capabilities(self) -> Capabilities:
        """What all of them can do."""
        return self._capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return tuple(self._guarded)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what they load (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the first that connects; cancelling is safe.

        Raises `Unsupported` for what not all of them can honour, and if none connects the error
        that is the likeliest to pass.
        """
        # The options say which of the three kinds of providers these are.
        match options:
            case SttOptions():
                opened: Any = self._hear(options)
            case TtsOptions():
                opened = self._speak(options)
            case S2sOptions():
                opened = self._converse(options)
            case _:
                raise ConfigurationError(f"{self.name} takes no such options", op="fallback")
        async with opened as link:
            yield link

    def _hear(self, options: SttOptions) -> AbstractAsyncContextManager[Any]:
        refuse_unsupported_stt(options, self._capabilities, self.name)
        source = input_format_of(self._capabilities, options.input_format)
        limit = int(self._kept_seconds * source.rate) * source.block_bytes
        return self._switching(
            replace(options, input_format=source), Unheard(limit, source), source
        )

    def _speak(self, options: TtsOptions) -> AbstractAsyncContextManager[Any]:
        refuse_unsupported_tts(options, self._capabilities, self.name)
        target = output_format_of(self._capabilities, options.output_format)
        has_word_times = self._capabilities.has_word_times
        carry = Unspoken(target, has_word_times=has_word_times, pace=self._pace)
        return self._switching(replace(options, output_format=target), carry, target)

    def _switching(
        self, asked: Any, carry: Carry[Any, Any], sound: AudioFormat
    ) -> AbstractAsyncContextManager[Any]:
        return SwitchingLink(
            self.name,
            self._chooser,
            lambda _: asked,
            carry,
            bytes_per_second=sound.rate * sound.block_bytes,
            on_switch=self._on_switch,
        ).living()

    @asynccontextmanager
    async def _converse(self, options: S2sOptions) -> AsyncGenerator[Link[S, R]]:
        able = self._capabilities
        refuse_unsupported(options, able, self.name)
        asked = replace(
            options,
            input_format=input_format_of(able, options.input_format),
            output_format=output_format_of(able, options.output_format),
            turn_owner=owner_of(options, able),
        )
        chosen = await self._chooser.choose(lambda one: self._ask(asked, one))
        try:
            one = chosen.one
            if chosen.failed:
                failed, error = chosen.failed[0]
                self._tell(failed, one, str(error.code), is_mid_call=False)
            is_void = options.resume is not None and resume_of(options.resume, one) is None
            link = PassedOn(
                chosen.held.link.result(),
                one,
                self._guarded[one].capabilities,
                is_handle_void=is_void,
                keeps_handles=able.resumption in (Resumption.HANDLE, Resumption.CONVERSATION_ID),
                lost=lambda reason: self._lost(one, reason),
            )
            try:
                yield link
            finally:
                link.leave()
        finally:
            await chosen.held.close()

    def _ask(self, asked: S2sOptions, one: int) -> O:
        # These providers take options of this kind, since they were given some.
        return cast("O", replace(asked, resume=resume_of(asked.resume, one)))

    def _lost(self, one: int, reason: str) -> None:
        """A link of speech to speech failed: whoever held it connects again, to another one."""
        self._chooser.lost(one)
        self._tell(one, self._chooser.next(), reason, is_mid_call=True)

    def _tell(self, previous: int, following: int, reason: str, *, is_mid_call: bool) -> None:
        switched = Switched(
            previous=self._chooser.name(previous),
            following=self._chooser.name(following),
            reason=reason,
            is_mid_call=is_mid_call,
        )
        tell(self._on_switch, switched)


def _key(provider: Provider[Any, Any, Any]) -> str:
    """The name of its breaker, which is none of those that are in it."""
    name = provider.name
    return f"{name} and others" if name in guards(provider) else name
