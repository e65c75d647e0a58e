"""The cascade: hears with one service, lets an agent decide the words, and speaks with another.

How it works. Sound goes straight to the speech-to-text link. When the person's turn ends, the final
transcript is asked for and, once there, an agent's answer is spoken sentence by sentence while it
is still being made: one task per response. The framework owns the turns.

The agent's history holds what was heard. An `Interrupt` says how much of a response that is; until
then a response counts as heard, because no agent is asked again while it sounds.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from beluga_voice.interfaces import (
    Agent,
    Capabilities,
    Faithfulness,
    S2sOptions,
    SpeechToText,
    SttOptions,
    TextToSpeech,
    TtsOptions,
    TurnOwner,
)
from beluga_voice.providers.s2s.cascade.link import CascadeLink
from beluga_voice.support import refuse_unsupported


class Cascade:
    """A speech-to-speech provider made of a speech-to-text service, an agent and a voice."""

    def __init__(
        self,
        stt: SpeechToText,
        agent: Agent,
        tts: TextToSpeech,
        *,
        stt_options: SttOptions | None = None,
        tts_options: TtsOptions | None = None,
    ) -> None:
        self._stt = stt
        self._agent = agent
        self._tts = tts
        self._stt_options = stt_options or SttOptions()
        self._tts_options = tts_options or TtsOptions()
        self._links = 0
        self.name = f"{stt.name}+{tts.name}"
        self.capabilities = Capabilities(
            input_formats=stt.capabilities.input_formats,
            output_formats=tts.capabilities.output_formats,
            turn_owners=(TurnOwner.FRAMEWORK,),
            is_local=stt.capabilities.is_local and tts.capabilities.is_local,
            has_interim_transcripts=stt.capabilities.has_interim_transcripts,
            has_input_transcript=True,
            transcribes_first=True,
            can_prepare=stt.capabilities.has_interim_transcripts,
            has_word_times=tts.capabilities.has_word_times,
            has_tools=True,
            has_text_input=True,
            can_cancel=True,
            can_truncate=True,
            can_suppress_response=True,
            can_request_response=True,
            can_seed_history=True,
            can_add_history=True,
            takes_late_results=True,
            can_condense_history=True,
            mutable=frozenset({"instructions", "tools"}),
            say=Faithfulness.EXACT,
            needs_continuous_input=stt.capabilities.needs_continuous_input,
            languages=stt.capabilities.languages,
        )

    @asynccontextmanager
    async def warm(self) -> AsyncGenerator[None]:
        """Keep what its parts load (models, processes) for as long as the context lasts."""
        async with AsyncExitStack() as stack:
            for part in (self._stt, self._tts):
                warm = getattr(part, "warm", None)
                if warm is not None:
                    await stack.enter_async_context(warm())
            yield

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> "AsyncGenerator[CascadeLink]":
        """Open both services; the link is lost when one of them is.

        Raises `Unsupported` before that for what they cannot honour.
        """
        refuse_unsupported(options, self.capabilities, self.name)
        stt_options = replace(
            self._stt_options,
            language=options.language or self._stt_options.language,
            input_format=options.input_format or self._stt_options.input_format,
        )
        tts_options = replace(
            self._tts_options,
            voice=options.voice or self._tts_options.voice,
            language=options.language or self._tts_options.language,
            output_format=options.output_format or self._tts_options.output_format,
        )
        async with (
            self._stt.connect(stt_options) as stt,
            self._tts.connect(tts_options) as tts,
        ):
            self._links += 1
            link = CascadeLink(
                number=self._links,
                stt=stt,
                agent=self._agent,
                tts=tts,
                options=options,
                has_word_times=self._tts.capabilities.has_word_times,
            )
            stt.attach(link.hear_stt)
            tts.attach(link.hear_tts)
            try:
                yield link
            finally:
                link.close()
                await link.stopped()
