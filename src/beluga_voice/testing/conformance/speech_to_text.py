"""The whole suite for speech-to-text providers."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    SendAudio,
    SttCommand,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SpeechToText, SttOptions
from beluga_voice.testing.conformance.links import LinkRecord, Party, watched
from beluga_voice.testing.conformance.microphone import Microphone
from beluga_voice.testing.conformance.one_way import Kind, checks_of_links
from beluga_voice.testing.conformance.report import (
    Check,
    Maker,
    Peer,
    Report,
    Rule,
    Run,
    in_simulation,
    run_checks,
)
from beluga_voice.testing.speech import pcm_of, silence, speech

ODD_FORMAT = AudioFormat(Encoding.FLOAT32, 44100, 2)


def check_speech_to_text(
    make_provider: Maker[SpeechToText],
    *,
    run: Run = in_simulation,
    only: Collection[Rule] | None = None,
) -> Report:
    """Hold a speech-to-text provider against everything that the vocabulary promises.

    As `check_speech_to_speech`; of the peer there are only its pace and its faults.
    """
    found: list[Capabilities] = []

    async def look() -> None:
        async with make_provider(Peer()) as provider:
            found.append(provider.capabilities)

    run(look())
    return run_checks(checks_of(found[0]), make_provider, run=run, only=only)


class SttRecord(LinkRecord[SttEvent]):
    """The events of one speech-to-text link."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[UtteranceId] = set()
        self.finals: dict[UtteranceId, str] = {}
        self.interim: list[str] = []
        """Texts that are not final, since the last one that is."""

    def sent(self, command: object) -> None:
        if isinstance(command, FinishUtterance):
            self._asked.add(command.utterance_id)

    def look(self, event: SttEvent) -> None:
        if not isinstance(event, Transcript):
            return
        if not event.is_final:
            self.interim.append(event.text)
            return
        name = event.utterance_id
        if name is None or name not in self._asked or name in self.finals:
            why = "a second time" if name in self.finals else "which nobody finished"
            self.fail(Rule.FINISH_IS_ANSWERED, f"a final Transcript of {name!r}, {why}")
            return
        self.finals[name] = event.text


@dataclass(frozen=True, slots=True)
class Dictation:
    """Somebody who speaks to a recogniser."""

    party: Party[SttCommand, SttEvent]
    record: SttRecord
    microphone: Microphone

    async def finish(self, name: str) -> str:
        """End the utterance; gives its words."""
        utterance_id = UtteranceId(name)
        self.party.send(FinishUtterance(utterance_id=utterance_id))
        finals = self.record.finals
        await self.party.until(lambda: utterance_id in finals, f"the final Transcript of {name!r}")
        return finals[utterance_id]


@asynccontextmanager
async def _dictation(
    make: Maker[SpeechToText], rule: Rule, options: SttOptions | None = None
) -> AsyncGenerator[Dictation]:
    options = options or SttOptions()
    async with make(Peer()) as provider:
        capabilities = provider.capabilities
        record = SttRecord()
        microphone = Microphone(
            options.input_format or capabilities.input_formats[0],
            is_continuous=capabilities.needs_continuous_input,
        )
        async with watched(provider, options, record) as link:
            party = Party(link, record, rule)
            async with microphone.on(party.send, record):
                yield Dictation(party, record, microphone)


# ── the checks ──────────────────────────────────────────────────────────────────────────────


async def utterances(make: Maker[SpeechToText]) -> None:
    """Each utterance has its own words, and one final transcript; an empty one has none."""
    async with _dictation(make, Rule.FINISH_IS_ANSWERED) as on:
        for name, words in (("a", "hello there"), ("b", ""), ("c", "see you soon")):
            await on.microphone.say(words)
            text = await on.finish(name)
            on.party.expect(text.strip() == words, f"{text!r} for {words!r}")
        await on.party.quiet()


async def in_order(make: Maker[SpeechToText]) -> None:
    """Two utterances may be finished before the first is answered."""
    async with _dictation(make, Rule.FINISH_IS_ANSWERED) as on:
        await on.microphone.say("hello there")
        on.party.send(FinishUtterance(utterance_id=UtteranceId("a")))
        await on.microphone.say("see you")
        text = await on.finish("b")
        on.party.expect(text.strip() == "see you", f"{text!r} for 'see you'")
        told = list(on.record.finals)
        on.party.expect(told == ["a", "b"], f"the utterances {told}")


async def dropping(make: Maker[SpeechToText]) -> None:
    """What was dropped is forgotten, and has no final transcript."""
    async with _dictation(make, Rule.DROP_IS_FORGOTTEN) as on:
        await on.microphone.say("forget me")
        on.party.send(DropUtterance())
        await on.microphone.say("see you")
        text = await on.finish("a")
        on.party.expect(text.strip() == "see you", f"{text!r} for 'see you'")


async def interim(make: Maker[SpeechToText]) -> None:
    """Words are told while they come: all of them, each time."""
    async with _dictation(make, Rule.INTERIM_IS_WHOLE) as on:
        await on.microphone.say("one two three")
        await on.party.until(lambda: bool(on.record.interim), "an interim Transcript")
        await on.finish("a")
        for text in on.record.interim:
            is_whole = "one two three".startswith(text.strip())
            on.party.expect(is_whole, f"{text!r}, of 'one two three'")


async def hears_format(make: Maker[SpeechToText], *, source: AudioFormat) -> None:
    """Speech in that format is understood; where its words survive it, to the word."""
    options = SttOptions(input_format=source)
    async with _dictation(make, Rule.OFFERED_FORMATS, options) as on:
        await on.microphone.say("hello there")
        text = await on.finish("a")
        is_right = source.encoding is not Encoding.PCM16 or text.strip() == "hello there"
        on.party.expect(is_right, f"{text!r} for 'hello there'")


async def _exchange(party: Party[SttCommand, SttEvent], record: LinkRecord[SttEvent]) -> str:
    name = UtteranceId("exchange")
    party.send(SendAudio(pcm=pcm_of(speech("hello there"))))
    party.send(FinishUtterance(utterance_id=name))
    finals = cast("SttRecord", record).finals  # it is what this kind makes
    await party.until(lambda: name in finals, "the final Transcript")
    return finals[name]


async def _exhaust(party: Party[SttCommand, SttEvent]) -> None:
    party.send(SendAudio(pcm=pcm_of(speech("one two three four five six"))))


KIND = Kind[SttOptions, SttCommand, SttEvent](
    options=SttOptions(),
    # A link of this kind is asked for one utterance at a time, by names of its own.
    commands=(SendAudio(pcm=silence(1000)), DropUtterance()),
    record=SttRecord,
    exchange=_exchange,
    exhaust=_exhaust,
)


def checks_of(can: Capabilities) -> list[Check[SpeechToText]]:
    """Every check, with the reason why it does not apply to a provider that can do this."""
    excluded: dict[str, SttOptions] = {}
    if ODD_FORMAT not in can.input_formats:
        excluded["input_format"] = SttOptions(input_format=ODD_FORMAT)
    if can.languages and "tlh" not in can.languages:
        excluded["language"] = SttOptions(language="tlh")
    has_no_interim = "" if can.has_interim_transcripts else "has_interim_transcripts"
    return [
        Check(Rule.FINISH_IS_ANSWERED, utterances),
        Check(Rule.FINISH_IS_ANSWERED, in_order, variant="two at once"),
        Check(Rule.DROP_IS_FORGOTTEN, dropping),
        Check(Rule.INTERIM_IS_WHOLE, interim, has_no_interim),
        *(
            Check[SpeechToText](
                Rule.OFFERED_FORMATS, partial(hears_format, source=one), "", f"hears {one}"
            )
            for one in can.input_formats
        ),
        *checks_of_links(KIND, excluded),
    ]
