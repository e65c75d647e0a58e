"""Speech into text, by PocketSphinx in its own process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Protocol

import pytest

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError, Unsupported, WrongFormat
from beluga_voice.events import (
    ContextId,
    DropUtterance,
    ErrorCategory,
    FinishSpeech,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.pocketsphinx import Pocketsphinx, PocketsphinxLink
from beluga_voice.providers.tts.espeak import Espeak
from beluga_voice.providers.workers import busy
from providers.worker_stage import halted

PHRASES = (
    "what time is it",
    "book a table for 24 people",
    "cancel my order please",
    "hello my name is Bolinko",
)
TABLE = "Book a table for twenty four people."
ORDER = "Cancel my order, please."
DOG = "We saw a large black dog on the beach."
HOME = "i would rather stay at home tonight"
NAME = "Hello my name is Bolinko."
SAID = (TABLE, ORDER, DOG, HOME, NAME)
QUIET = bytes(2 * 4800)
ONE, TWO = UtteranceId("one"), UtteranceId("two")
EXPECTED = SttOptions(phrases=PHRASES)

type Scenario = Callable[[PocketsphinxLink], Coroutine[None, None, None]]


class Run(Protocol):
    """Runs a scenario on a link of its own."""

    def __call__(
        self, scenario: Scenario, options: SttOptions = ..., provider: Pocketsphinx = ...
    ) -> None: ...


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One loop for all tests here, with the model loaded once."""
    with asyncio.Runner() as runner:
        warm = Pocketsphinx().warm()

        async def enter() -> None:
            await warm.__aenter__()

        async def leave() -> None:
            await warm.__aexit__(None, None, None)

        runner.run(enter())
        yield runner
        runner.run(leave())


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Run:
    """Scenarios on links, with a bound that only broken ones meet."""

    def run(
        scenario: Scenario,
        options: SttOptions = EXPECTED,
        provider: Pocketsphinx = Pocketsphinx(),  # noqa: B008 (holds no state of links)
    ) -> None:
        async def connected() -> None:
            async with asyncio.timeout(30), provider.connect(options) as link:
                await scenario(link)

        runner.run(connected())

    return run


@pytest.fixture(scope="module")
def speech(runner: asyncio.Runner) -> dict[str, bytes]:
    """What is said here, spoken: 16 kHz sound with a little quiet around it."""

    async def speak() -> dict[str, bytes]:
        spoken: dict[str, bytes] = {}
        async with (
            asyncio.timeout(30),
            Espeak().connect(TtsOptions(output_format=pcm16(16000))) as link,
        ):
            events = aiter(link)
            for text in SAID:
                pcm = bytearray(QUIET)
                link.send(SpeakText(context_id=ContextId(text), text=text))
                link.send(FinishSpeech(context_id=ContextId(text)))
                async for event in events:
                    if isinstance(event, SpeechAudio):
                        pcm += event.pcm
                    elif isinstance(event, SpeechDone):
                        break
                spoken[text] = bytes(pcm) + QUIET
        return spoken

    return runner.run(speak())


async def until_final(events: AsyncIterator[SttEvent]) -> list[Transcript]:
    """Transcripts up to and including the next final one."""
    heard: list[Transcript] = []
    async for event in events:
        if isinstance(event, Transcript):
            heard.append(event)
            if event.is_final:
                break
        else:
            assert isinstance(event, LinkReady), event
    return heard


def hear(link: PocketsphinxLink, pcm: bytes, utterance: UtteranceId = ONE) -> None:
    """Send sound in frames of 20 ms, then the utterance's end."""
    for at in range(0, len(pcm), 640):
        link.send(SendAudio(pcm=pcm[at : at + 640]))
    link.send(FinishUtterance(utterance_id=utterance))


def test_expected_phrases_are_understood(run: Run, speech: dict[str, bytes]) -> None:
    """Two expected phrases, one after the other, come back word for word, each once."""

    async def scenario(link: PocketsphinxLink) -> None:
        events = aiter(link)
        hear(link, speech[TABLE], ONE)
        hear(link, speech[ORDER], TWO)
        first, second = (await until_final(events))[-1], (await until_final(events))[-1]
        assert (first.utterance_id, second.utterance_id) == (ONE, TWO)
        assert first.text == "book a table for twenty four people"
        assert second.text == "cancel my order please"
        assert not busy()

    run(scenario)


def test_words_have_places_and_confidence(run: Run, speech: dict[str, bytes]) -> None:
    """Words of a final transcript follow one another inside the sound, after the quiet before."""
    pcm = speech[TABLE]

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, pcm)
        final = (await until_final(aiter(link)))[-1]
        assert " ".join(word.text for word in final.words) == final.text
        positions = [at for word in final.words for at in (word.start, word.end)]
        assert positions == sorted(positions)
        assert positions[0] > 3200
        assert positions[-1] <= len(pcm) // 2
        assert all(word.start < word.end for word in final.words)
        assert final.confidence is not None
        assert 0.5 < final.confidence <= 1
        assert final.language == "en"

    run(scenario)


def test_interim_transcripts_grow(run: Run, speech: dict[str, bytes]) -> None:
    """Interim transcripts come while sound comes, each other than the last, and then the final."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[TABLE])
        *interim, final = await until_final(aiter(link))
        texts = [transcript.text for transcript in interim]
        assert len(texts) >= 3
        assert all(one != other for one, other in pairwise(texts))
        assert "book a table" in texts
        assert not any(transcript.is_final for transcript in interim)
        assert final.is_final

    run(scenario)


def test_interim_transcripts_can_be_left_out(run: Run, speech: dict[str, bytes]) -> None:
    """Who wants no interim transcripts gets the final one only."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[ORDER])
        assert [event.is_final for event in await until_final(aiter(link))] == [True]

    run(scenario, SttOptions(phrases=PHRASES, wants_interim=False))


def test_other_speech_is_not_forced_into_phrases(run: Run, speech: dict[str, bytes]) -> None:
    """Speech beyond the phrases is heard as general English, not as the nearest phrase."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[DOG])
        text = (await until_final(aiter(link)))[-1].text
        assert (
            len(
                {"we", "saw", "a", "large", "black", "dog", "on", "the", "beach"}
                & set(text.split())
            )
            >= 4
        )
        assert not {"book", "cancel", "table", "order"} & set(text.split())

    run(scenario)


def test_without_phrases_general_english_is_heard(run: Run, speech: dict[str, bytes]) -> None:
    """With no phrases most words of a plain sentence are understood."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[HOME])
        text = (await until_final(aiter(link)))[-1].text
        assert len(set(HOME.split()) & set(text.split())) >= 4

    run(scenario, SttOptions())


def test_unknown_words_are_guessed(run: Run, speech: dict[str, bytes]) -> None:
    """A name that is in no dictionary is understood where a phrase holds it."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[NAME])
        assert (await until_final(aiter(link)))[-1].text == "hello my name is bolinko"

    run(scenario)


def test_phrases_without_sound_are_ignored(run: Run, speech: dict[str, bytes]) -> None:
    """Phrases that cannot be spoken in English are left out, the others work."""

    async def scenario(link: PocketsphinxLink) -> None:
        hear(link, speech[ORDER])
        assert (await until_final(aiter(link)))[-1].text == "cancel my order please"

    run(scenario, SttOptions(phrases=("Привет мир", "…", "", *PHRASES)))


def test_other_readings_are_given_where_they_are_wanted(run: Run, speech: dict[str, bytes]) -> None:
    """As many as there are and no more, all different, and none of them the transcript itself."""
    found: dict[int, Transcript] = {}

    def asking(count: int) -> Scenario:
        async def scenario(link: PocketsphinxLink) -> None:
            hear(link, speech[DOG])
            *interim, found[count] = await until_final(aiter(link))
            assert all(one.alternatives == () for one in interim)

        return scenario

    for count in (1, 3, 10):
        run(asking(count), SttOptions(alternatives=count))
    assert found[1].alternatives == ()
    assert len(found[3].alternatives) == 2
    assert found[10].alternatives[:2] == found[3].alternatives
    assert len({found[10].text, *found[10].alternatives}) == 10
    assert {one.text for one in found.values()} == {found[1].text}


def test_other_readings_are_of_the_whole_utterance(run: Run, speech: dict[str, bytes]) -> None:
    """What was settled before is in front of each, and silence has none."""
    settled = "we saw a large black dog on the beach"

    async def scenario(link: PocketsphinxLink) -> None:
        events = aiter(link)
        link.send(SendAudio(pcm=speech[DOG]))
        hear(link, speech[HOME])
        final = (await until_final(events))[-1]
        assert final.alternatives
        assert all(one.startswith(settled + " ") for one in (final.text, *final.alternatives))
        hear(link, bytes(32000), TWO)
        assert (await until_final(events))[-1].alternatives == ()

    seconds = len(speech[DOG]) / 2 / 16000
    run(scenario, SttOptions(alternatives=4), Pocketsphinx(segment_seconds=seconds))


def test_streams_do_not_mix(runner: asyncio.Runner, speech: dict[str, bytes]) -> None:
    """Two links fed in turns each hear their own."""
    sounds = [speech[TABLE], speech[ORDER]]

    async def scenario() -> list[str]:
        provider = Pocketsphinx()
        async with (
            asyncio.timeout(30),
            provider.connect(EXPECTED) as one,
            provider.connect(EXPECTED) as two,
        ):
            for at in range(0, max(map(len, sounds)), 640):
                for link, pcm in zip((one, two), sounds, strict=True):
                    link.send(SendAudio(pcm=pcm[at : at + 640]))
            for link in (one, two):
                link.send(FinishUtterance(utterance_id=ONE))
            finals = [await until_final(aiter(one)), await until_final(aiter(two))]
        return [final[-1].text for final in finals]

    assert runner.run(scenario()) == [
        "book a table for twenty four people",
        "cancel my order please",
    ]


def test_dropped_utterance_is_forgotten(run: Run, speech: dict[str, bytes]) -> None:
    """After `DropUtterance` nothing of the sound before it is heard, only of what follows."""

    async def scenario(link: PocketsphinxLink) -> None:
        link.send(SendAudio(pcm=speech[TABLE]))
        link.send(DropUtterance())
        hear(link, speech[ORDER])
        heard = await until_final(aiter(link))
        assert heard[-1].text == "cancel my order please"
        assert not any("table" in transcript.text for transcript in heard)
        assert heard[-1].words[-1].end <= len(speech[ORDER]) // 2

    run(scenario)


@pytest.mark.parametrize(
    "pcm", [b"", bytes(2), bytes(200), bytes(2 * 16000)], ids=["none", "sample", "6 ms", "second"]
)
def test_no_words_give_an_empty_final(run: Run, pcm: bytes) -> None:
    """No sound, a sample, too little and silence all give one final transcript without words."""

    async def scenario(link: PocketsphinxLink) -> None:
        events = aiter(link)
        for utterance in (ONE, TWO):
            link.send(SendAudio(pcm=pcm))
            link.send(FinishUtterance(utterance_id=utterance))
            (final,) = await until_final(events)
            assert (final.text, final.words, final.utterance_id) == ("", (), utterance)

    run(scenario)


def test_half_a_sample_is_refused(run: Run, speech: dict[str, bytes]) -> None:
    """An odd number of bytes raises `WrongFormat` and changes nothing."""

    async def scenario(link: PocketsphinxLink) -> None:
        with pytest.raises(WrongFormat):
            link.send(SendAudio(pcm=b"abc"))
        hear(link, speech[ORDER])
        assert (await until_final(aiter(link)))[-1].text == "cancel my order please"

    run(scenario)


def test_long_utterance_keeps_what_was_said_first(run: Run, speech: dict[str, bytes]) -> None:
    """Beyond a segment's length, first and last words are kept, with places over the whole."""
    pcm = speech[ORDER] + bytes(2 * 16000) + speech[ORDER]

    async def scenario(link: PocketsphinxLink) -> None:
        link.send(SendAudio(pcm=pcm))
        link.send(FinishUtterance(utterance_id=ONE))
        final = (await until_final(aiter(link)))[-1]
        assert final.text == "cancel my order please cancel my order please"
        assert final.words[3].end < len(speech[ORDER]) // 2
        assert final.words[4].start > len(speech[ORDER]) // 2 + 16000
        assert link.dropped_samples == 0

    until_the_middle = (len(speech[ORDER]) // 2 + 8000) / 16000
    run(scenario, EXPECTED, Pocketsphinx(segment_seconds=until_the_middle))


def test_slow_decoder_loses_the_oldest_sound(run: Run, speech: dict[str, bytes]) -> None:
    """Beyond what may wait the oldest sound is dropped and counted, the newest is heard."""

    async def scenario(link: PocketsphinxLink) -> None:
        kept = 16000 * 4
        link.send(SendAudio(pcm=bytes(2 * 16000 * 20) + speech[ORDER]))
        assert 16000 * 10 < link.dropped_samples <= 16000 * 20 - kept + len(speech[ORDER]) // 2
        link.send(FinishUtterance(utterance_id=ONE))
        assert (await until_final(aiter(link)))[-1].text == "cancel my order please"

    run(scenario, EXPECTED, Pocketsphinx(max_waiting_seconds=4))


def test_killed_worker_ends_the_link_and_the_next_connect_works(
    run: Run, speech: dict[str, bytes]
) -> None:
    """A recogniser killed in mid-utterance ends its link once and uncleanly; a new link works."""

    async def killed(link: PocketsphinxLink) -> None:
        events = aiter(link)
        ready = await anext(events)
        assert isinstance(ready, LinkReady)
        assert ready.remote_id is not None
        link.send(SendAudio(pcm=speech[TABLE]))
        link.send(FinishUtterance(utterance_id=ONE))
        os.kill(int(ready.remote_id), signal.SIGKILL)
        rest = [event async for event in events]
        assert [type(event) for event in rest[-2:]] == [ServiceFailed, LinkClosed]
        assert [event.is_clean for event in rest if isinstance(event, LinkClosed)] == [False]
        link.send(DropUtterance())
        assert [event async for event in link] == []
        assert not busy()

    async def working(link: PocketsphinxLink) -> None:
        hear(link, speech[ORDER])
        assert (await until_final(aiter(link)))[-1].text == "cancel my order please"

    run(killed)
    run(working)


def test_link_closes_cleanly(run: Run, runner: asyncio.Runner) -> None:
    """Leaving the context ends the events with a clean `LinkClosed`; sending then does nothing."""
    links: list[PocketsphinxLink] = []

    async def scenario(link: PocketsphinxLink) -> None:
        links.append(link)

    run(scenario)
    (link,) = links

    async def rest() -> list[SttEvent]:
        return [event async for event in link]

    assert runner.run(rest())[1:] == [LinkClosed(is_clean=True)]
    link.send(FinishUtterance(utterance_id=ONE))
    assert runner.run(rest()) == []


@pytest.mark.parametrize(
    "options",
    [
        SttOptions(language="de"),
        SttOptions(input_format=pcm16(8000)),
        SttOptions(filters_profanity=True),
    ],
    ids=["languages", "input_formats", "settings"],
)
def test_what_it_cannot_do_is_refused(
    run: Run, options: SttOptions, request: pytest.FixtureRequest
) -> None:
    """Another language or rate, or a filter, raises `Unsupported`, which names the capability."""

    async def scenario(_: PocketsphinxLink) -> None:
        raise AssertionError("there should be no link")

    with pytest.raises(Unsupported, match=request.node.callspec.id):
        run(scenario, options)


def test_patience_is_not_nothing() -> None:
    """A recogniser that may take no time at all would never be of use."""
    with pytest.raises(ConfigurationError, match="answer_seconds should be above 0"):
        Pocketsphinx(answer_seconds=0)


def test_process_that_does_not_answer_is_given_up(run: Run, speech: dict[str, bytes]) -> None:
    """A process that stands still ends the link with a timeout, after what it is allowed."""

    async def scenario(link: PocketsphinxLink) -> None:
        events = aiter(link)
        ready = await anext(events)
        assert isinstance(ready, LinkReady)
        with halted(int(ready.remote_id or 0)):
            hear(link, speech[ORDER])
            failed, closed = [event async for event in events]
        assert isinstance(failed, ServiceFailed)
        assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
        assert "gave no answer within 0.2 s" in failed.message
        assert isinstance(closed, LinkClosed)
        assert not closed.is_clean

    run(scenario, EXPECTED, Pocketsphinx(answer_seconds=0.2))
