"""A speech-to-speech service as a handle: `beluga_voice.s2s("openai_realtime", voice="marin")`."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from beluga_voice import registry
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import HistoryItem
from beluga_voice.interfaces import (
    Capabilities,
    Latency,
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
    Tool,
    ToolFunction,
    TurnDetection,
    TurnOwner,
)
from beluga_voice.services.given import check_history, check_types, one_of
from beluga_voice.services.health import HEALTH_SECONDS, Health, try_connecting
from beluga_voice.services.one_turn import Answer, one_turn
from beluga_voice.session.tools import tools_of
from beluga_voice.support import refuse_unsupported

if TYPE_CHECKING:
    from beluga_voice.audio.wav import Sound

PROCESS_SECONDS = 60.0


class SpeechToSpeechService:
    """A service with its settings: to connect to, to answer one utterance, to ask if it is well.

    It is a provider too: `VoiceSession` takes it as `s2s=`, and its settings and tools hold there
    unless the session says otherwise. (The plain `Session` has its own options and tools.)
    """

    def __init__(
        self,
        provider: SpeechToSpeech,
        options: S2sOptions,
        tools: Sequence[Tool | ToolFunction] = (),
    ) -> None:
        self.provider = provider
        self.name = provider.name
        self._tools = tools_of(tools)
        self.options = replace(options, tools=tuple(one.spec for one in self._tools.values()))
        refuse_unsupported(self.options, provider.capabilities, provider.name)

    @property
    def capabilities(self) -> Capabilities:
        """What can be asked of it."""
        return self.provider.capabilities

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools it was given."""
        return tuple(self._tools.values())

    def options_with(self, given: S2sOptions) -> S2sOptions:
        """What was given, and where that says nothing, the settings of the handle."""
        silent = S2sOptions()
        return replace(
            self.options,
            **{
                one.name: getattr(given, one.name)
                for one in fields(S2sOptions)
                if getattr(given, one.name) != getattr(silent, one.name)
            },
        )

    @asynccontextmanager
    async def connect(self, options: S2sOptions | None = None, /) -> AsyncGenerator[S2sLink]:
        """A live conversation, both ways; what `options` leave open is as the handle has it.

        Raises `Unsupported` before connecting for what the service cannot honour, and a
        `ProviderError` when no connection came about. Leaving closes it.
        """
        wanted = self.options if options is None else self.options_with(options)
        refuse_unsupported(wanted, self.capabilities, self.name)
        async with self.provider.connect(wanted) as link:
            yield link

    async def process(
        self,
        audio: "bytes | Sound",
        *,
        rate: int | None = None,
        context: Sequence[HistoryItem] = (),
        timeout_seconds: float = PROCESS_SECONDS,
    ) -> Answer:
        """Let it answer one utterance, over a connection of its own.

        `audio` is a `Sound` (see `read_wav`), or mono 16-bit PCM at `rate`, which is by default the
        one the service prefers. `context` is what was said before; where a service takes words
        only, the tool calls in it are left out. Tools of the handle are run, and what is said
        before and after them is the answer.

        All of the recording is answered. A service that finds the ends of turns by itself, and
        takes a pause for one, answers in parts: they are the answer, in order, but for those that
        it broke off because the person went on.

        Raises `WrongFormat` for sound that is none, or lasts longer at the pace of speech than a
        connection, `Unsupported`, a `ProviderError` if the service fails, and `Silent` if there is
        no whole answer in time, not counting that of the utterance where it goes out at the pace
        of speech. Safe to cancel.
        """
        if not timeout_seconds > 0:
            raise ConfigurationError("timeout_seconds should be above 0", op="process")
        check_history(context)
        options = replace(self.options, history=(*self.options.history, *context))
        if TurnOwner.FRAMEWORK in self.capabilities.turn_owners:
            # Nobody has to guess where an utterance ends that is there as a whole.
            options = replace(
                options, turn_owner=TurnOwner.FRAMEWORK, turn_detection=None, latency=None
            )
        refuse_unsupported(options, self.capabilities, self.name)
        return await one_turn(
            self.provider,
            options,
            audio,
            rate=rate,
            tools=self._tools,
            timeout_seconds=timeout_seconds,
        )

    async def health(self, *, timeout_seconds: float = HEALTH_SECONDS) -> Health:
        """Connect and leave again; many services charge for that like for a short call."""
        return await try_connecting(self.name, self.connect, timeout_seconds=timeout_seconds)


def s2s(
    service: str | SpeechToSpeech,
    *,
    model: str | None = None,
    api_key: str | None = None,
    endpoint: str | None = None,
    instructions: str = "",
    voice: str | None = None,
    language: str | None = None,
    tools: Sequence[Tool | ToolFunction] = (),
    turn_owner: TurnOwner | str | None = None,
    turn_detection: TurnDetection | None = None,
    latency: Latency | str | None = None,
    temperature: float | None = None,
    max_output_tokens: int | None = None,
    respond_automatically: bool = True,
    **settings: Any,
) -> SpeechToSpeechService:
    """A handle of the speech-to-speech service of that name (`"name"` or `"name:model"`).

    Without `api_key`, credentials come from the service's own environment variables when it
    connects. `endpoint` is the address of any server that speaks the service's protocol: a proxy,
    an emulator. `settings` are those of this provider only. Raises `UnknownPlugin`,
    `ConfigurationError` for what makes no sense, and `Unsupported` naming the capability for what
    this service cannot honour; nothing is connected.
    """
    check_types(locals())
    if isinstance(service, str):
        given = {"model": model, "api_key": api_key, "endpoint": endpoint, **settings}
        made = {name: value for name, value in given.items() if value is not None}
        provider: SpeechToSpeech = registry.create("s2s", service, **made)
    elif model or api_key or endpoint or settings:
        raise ConfigurationError("a provider that is made already takes no settings", op="s2s")
    elif callable(getattr(service, "connect", None)):
        provider = service
    else:
        raise ConfigurationError("give the name of a service, or a provider", op="s2s")
    options = S2sOptions(
        instructions=instructions or "",
        voice=voice,
        language=language,
        turn_owner=one_of(TurnOwner, "turn_owner", turn_owner),
        turn_detection=turn_detection,
        latency=one_of(Latency, "latency", latency),
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        respond_automatically=respond_automatically,
    )
    return SpeechToSpeechService(provider, options, tools)
