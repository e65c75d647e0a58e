"""The whole suite for text-to-speech providers."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from beluga_voice.audio.formats import AudioFormat, Encoding, to_milliseconds
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import Capabilities, TextToSpeech, TtsOptions
from beluga_voice.testing.conformance.links import LinkRecord, Party, watched
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
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.speech import WORD_MS, words_in

ODD_FORMAT = AudioFormat(Encoding.FLOAT32, 44100, 2)
A, B = ContextId("a"), ContextId("b")
LONG = "one two three four five six seven eight nine ten"


def check_text_to_speech(
    make_provider: Maker[TextToSpeech],
    *,
    run: Run = in_simulation,
    only: Collection[Rule] | None = None,
) -> Report:
    """Hold a text-to-speech provider against everything that the vocabulary promises.

    As `check_speech_to_speech`; of the peer there are only its pace and its faults.
    """
    found: list[Capabilities] = []

    async def look() -> None:
        async with make_provider(Peer()) as provider:
            found.append(provider.capabilities)

    run(look())
    return run_checks(checks_of(found[0]), make_provider, run=run, only=only)


@dataclass(slots=True)
class Spoken:
    """One context, as far as it came."""

    pcm: bytearray = field(default_factory=bytearray)
    words: list[str] = field(default_factory=list[str])
    is_cancelled: bool = False
    is_done: bool = False

    @property
    def heard(self) -> str:
        """The test words in its sound."""
        return " ".join(words_in(bytes(self.pcm)))


class TtsRecord(LinkRecord[TtsEvent]):
    """The events of one text-to-speech link."""

    def __init__(self, output: AudioFormat | None = None) -> None:
        super().__init__()
        self.output = output or AudioFormat()
        self.contexts: dict[ContextId, Spoken] = {}

    def of_context(self, context_id: ContextId) -> Spoken:
        """What came of that context."""
        return self.contexts.setdefault(context_id, Spoken())

    def sent(self, command: object) -> None:
        if isinstance(command, CancelSpeech):
            self.of_context(command.context_id).is_cancelled = True

    def look(self, event: TtsEvent) -> None:
        if not isinstance(event, SpeechAudio | SpeechWords | SpeechDone):
            return
        name, spoken = type(event).__name__, self.of_context(event.context_id)
        if spoken.is_done:
            self.fail(Rule.SPEECH_DONE_ONCE, f"{name} of {event.context_id!r} after SpeechDone")
        if spoken.is_cancelled and not isinstance(event, SpeechDone):
            self.fail(Rule.SILENT_WHEN_CANCELLED, f"{name} of {event.context_id!r}")
        match event:
            case SpeechAudio():
                if len(event.pcm) % self.output.block_bytes:
                    seen = f"{len(event.pcm)} bytes, at {self.output.block_bytes} to a sample"
                    self.fail(Rule.WHOLE_SAMPLES, seen)
                spoken.pcm += event.pcm
            case SpeechWords():
                self._words(event, spoken)
            case SpeechDone():
                spoken.is_done = True

    def _words(self, event: SpeechWords, spoken: Spoken) -> None:
        samples = len(spoken.pcm) // self.output.block_bytes
        for word in event.words:
            spoken.words.append(word.text)
            if not 0 <= word.start <= word.end <= samples:
                seen = f"{word.text!r} at {word.start} to {word.end}, of {samples} samples so far"
                self.fail(Rule.WORDS_AFTER_AUDIO, seen)


@dataclass(frozen=True, slots=True)
class Reading:
    """Somebody who lets a voice speak."""

    party: Party[TtsCommand, TtsEvent]
    record: TtsRecord

    def speak(self, context_id: ContextId, *pieces: str) -> None:
        """Give a context text, piece by piece, and end it."""
        for text in pieces:
            self.party.send(SpeakText(context_id=context_id, text=text))
        self.party.send(FinishSpeech(context_id=context_id))

    async def is_done(self, context_id: ContextId) -> Spoken:
        """Wait for the end of a context."""
        spoken = self.record.of_context(context_id)
        await self.party.until(lambda: spoken.is_done, f"SpeechDone of {context_id!r}")
        return spoken


@asynccontextmanager
async def _reading(
    make: Maker[TextToSpeech],
    rule: Rule,
    options: TtsOptions | None = None,
    pace: Pace | None = None,
) -> AsyncGenerator[Reading]:
    options = options or TtsOptions()
    async with make(Peer(pace=pace or Pace())) as provider:
        record = TtsRecord(options.output_format or provider.capabilities.output_formats[0])
        async with watched(provider, options, record) as link:
            yield Reading(Party(link, record, rule), record)


# ── the checks ──────────────────────────────────────────────────────────────────────────────


async def done_once(make: Maker[TextToSpeech]) -> None:
    """Text in pieces is spoken whole, and one without text ends too."""
    async with _reading(make, Rule.SPEECH_DONE_ONCE) as on:
        on.speak(A, "Hello there. ", "How are ", "you?")
        spoken = await on.is_done(A)
        expected = "Hello there. How are you?"
        on.party.expect(spoken.heard == expected, f"{spoken.heard!r} for {expected!r}")
        on.speak(B)
        spoken = await on.is_done(B)
        on.party.expect(not spoken.heard, f"{spoken.heard!r} for no text")
        await on.party.quiet()


async def contexts_apart(make: Maker[TextToSpeech]) -> None:
    """Two contexts that are given at once have their own words each."""
    async with _reading(make, Rule.CONTEXTS_APART) as on:
        on.speak(A, "one two three")
        on.speak(B, "four five six")
        for context_id, expected in ((A, "one two three"), (B, "four five six")):
            spoken = await on.is_done(context_id)
            on.party.expect(spoken.heard == expected, f"{spoken.heard!r} for {expected!r}")


async def cancelling(make: Maker[TextToSpeech], *, is_begun: bool) -> None:
    """A context is stopped, before its first sound or after; the next one is spoken."""
    pace = Pace(word_ms=WORD_MS)
    async with _reading(make, Rule.SILENT_WHEN_CANCELLED, pace=pace) as on:
        on.speak(A, LONG)
        spoken = on.record.of_context(A)
        if is_begun:
            await on.party.until(lambda: len(spoken.heard.split()) > 1, "two words")
        on.party.send(CancelSpeech(context_id=A))
        on.speak(B, "four five six")
        other = await on.is_done(B)
        on.party.expect(other.heard == "four five six", f"{other.heard!r} for 'four five six'")
        await on.party.quiet()


async def words(make: Maker[TextToSpeech]) -> None:
    """Each word is told once, in order, and not before its sound."""
    async with _reading(make, Rule.WORDS_AFTER_AUDIO) as on:
        on.speak(A, "Hello there. ", "How are ", "you?")
        spoken = await on.is_done(A)
        told = [word.strip(".?") for word in spoken.words]
        on.party.expect(told == ["Hello", "there", "How", "are", "you"], f"the words {told}")


async def speaks_format(make: Maker[TextToSpeech], *, target: AudioFormat) -> None:
    """Speech comes in that format: so many samples as it must have at that rate."""
    options = TtsOptions(output_format=target)
    async with _reading(make, Rule.OFFERED_FORMATS, options) as on:
        on.speak(A, LONG)
        spoken = await on.is_done(A)
        sounding_ms = to_milliseconds(len(spoken.pcm) // target.block_bytes, target.rate)
        expected_ms = len(LONG.split()) * WORD_MS
        on.party.expect(
            abs(sounding_ms - expected_ms) < expected_ms / 20,
            f"{sounding_ms:g} ms of sound, read as {target}, for words of {expected_ms} ms",
        )


async def _exchange(party: Party[TtsCommand, TtsEvent], record: LinkRecord[TtsEvent]) -> str:
    party.send(SpeakText(context_id=A, text="one two three"))
    party.send(FinishSpeech(context_id=A))
    spoken = cast("TtsRecord", record).of_context(A)  # it is what this kind makes
    await party.until(lambda: spoken.is_done, "SpeechDone")
    return f"{spoken.heard} {spoken.words}"


async def _exhaust(party: Party[TtsCommand, TtsEvent]) -> None:
    party.send(SpeakText(context_id=A, text=LONG))


KIND = Kind[TtsOptions, TtsCommand, TtsEvent](
    options=TtsOptions(),
    commands=(
        CancelSpeech(context_id=ContextId("unknown")),
        FinishSpeech(context_id=ContextId("empty")),
        CancelSpeech(context_id=ContextId("empty")),
        SpeakText(context_id=ContextId("cancelled"), text="too late"),
        CancelSpeech(context_id=ContextId("cancelled")),
    ),
    record=TtsRecord,
    exchange=_exchange,
    exhaust=_exhaust,
)


def checks_of(can: Capabilities) -> list[Check[TextToSpeech]]:
    """Every check, with the reason why it does not apply to a provider that can do this."""
    excluded: dict[str, TtsOptions] = {}
    if ODD_FORMAT not in can.output_formats:
        excluded["output_format"] = TtsOptions(output_format=ODD_FORMAT)
    if can.languages and "tlh" not in can.languages:
        excluded["language"] = TtsOptions(language="tlh")
    return [
        Check(Rule.SPEECH_DONE_ONCE, done_once),
        Check(Rule.CONTEXTS_APART, contexts_apart),
        Check(
            Rule.SILENT_WHEN_CANCELLED, partial(cancelling, is_begun=True), "", "in mid-sentence"
        ),
        Check(
            Rule.SILENT_WHEN_CANCELLED, partial(cancelling, is_begun=False), "", "before its sound"
        ),
        Check(Rule.WORDS_AFTER_AUDIO, words, "" if can.has_word_times else "has_word_times"),
        *(
            Check[TextToSpeech](
                Rule.OFFERED_FORMATS, partial(speaks_format, target=one), "", f"speaks {one}"
            )
            for one in can.output_formats
        ),
        *checks_of_links(KIND, excluded),
    ]
