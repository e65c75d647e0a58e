"""Speech from text, by eSpeak NG in its own process."""

import asyncio
import math
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Protocol

import pytest

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import ConfigurationError, Misuse, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.espeak import Espeak, EspeakLink
from beluga_voice.providers.workers import busy
from providers.worker_stage import halted

ONE, TWO = ContextId("one"), ContextId("two")
LONG = "The quick brown fox jumps over the lazy dog. " * 1200


type Scenario = Callable[[EspeakLink], Coroutine[None, None, None]]


class Run(Protocol):
    """Runs a scenario on a link of its own."""

    def __call__(
        self, scenario: Scenario, options: TtsOptions = ..., provider: Espeak = ...
    ) -> None: ...


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One loop and one warm source for all tests here; a bound that only broken ones meet."""
    with asyncio.Runner() as runner:

        def run(
            scenario: Scenario,
            options: TtsOptions = TtsOptions(),  # noqa: B008 (frozen)
            provider: Espeak = Espeak(),  # noqa: B008 (holds no state of links)
        ) -> None:
            async def connected() -> None:
                async with asyncio.timeout(30), provider.connect(options) as link:
                    await scenario(link)

            runner.run(connected())

        warm = Espeak().warm()
        runner.run(warm.__aenter__())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  (a coroutine)
        yield run
        runner.run(warm.__aexit__(None, None, None))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  (a coroutine)


def say(link: EspeakLink, *pieces: str, context: ContextId = ONE) -> None:
    for piece in pieces:
        link.send(SpeakText(context_id=context, text=piece))
    link.send(FinishSpeech(context_id=context))


async def until_done(
    events: AsyncIterator[TtsEvent], context: ContextId = ONE
) -> tuple[bytes, list[TimedWord]]:
    """Sound and words of a context; no word may come before its sound."""
    pcm, words = bytearray(), list[TimedWord]()
    async for event in events:
        match event:
            case SpeechAudio() if event.context_id == context:
                pcm += event.pcm
            case SpeechWords() if event.context_id == context:
                assert all(word.end <= len(pcm) // 2 for word in event.words)
                words += event.words
            case SpeechDone() if event.context_id == context:
                break
            case _:
                assert isinstance(event, LinkReady), event
    return bytes(pcm), words


async def idle() -> None:
    """Let the loop turn until no worker owes an answer."""
    for _ in range(1_000_000):
        if not busy():
            return
        await asyncio.sleep(0)
    raise AssertionError("a worker stays busy")


def loudness(pcm: bytes) -> float:
    """The root mean square of 16-bit sound."""
    samples = array("h", pcm)
    return math.sqrt(math.sumprod(samples, samples) / len(samples))


@pytest.mark.parametrize("rate", [24000, 16000, 22050, 8000])
def test_speech_has_plausible_length_at_every_rate(run: Run, rate: int) -> None:
    """A sentence of nine words is loud enough and takes two to five seconds at each rate."""

    async def scenario(link: EspeakLink) -> None:
        say(link, "The quick brown fox jumps over the lazy dog.")
        pcm, words = await until_done(aiter(link))
        assert 2.0 < len(pcm) / 2 / rate < 5.0
        assert loudness(pcm) > 500
        assert len(words) == 9
        assert words[-1].end <= len(pcm) // 2

    run(scenario, TtsOptions(output_format=pcm16(rate)))


def test_rate_does_not_change_what_is_said_when(run: Run) -> None:
    """The same text is as long at 8000 Hz as at 24000 Hz, to the sample, words included."""
    taken: dict[int, tuple[int, list[TimedWord]]] = {}
    for rate in (24000, 8000):

        async def scenario(link: EspeakLink, rate: int = rate) -> None:
            say(link, "One two three.", "Four five six.")
            pcm, words = await until_done(aiter(link))
            taken[rate] = len(pcm) // 2, words

        run(scenario, TtsOptions(output_format=pcm16(rate)))
    assert abs(taken[24000][0] - 3 * taken[8000][0]) <= 3
    for fast, slow in zip(taken[24000][1], taken[8000][1], strict=True):
        assert abs(fast.start - 3 * slow.start) <= 3


def test_it_speaks_today_as_yesterday() -> None:
    """Processes that were started apart speak the same text alike, to the sample."""

    async def spoken() -> bytes:
        async with asyncio.timeout(30), Espeak().connect(TtsOptions()) as link:
            say(link, "She sells sea shells.")
            pcm, _ = await until_done(aiter(link))
        return pcm

    assert asyncio.run(spoken()) == asyncio.run(spoken())


def test_words_are_the_text_in_order(run: Run) -> None:
    """Joined by blanks the words of a context are its text, and they follow one another."""
    pieces = ["Well, it costs $24.50 - in 1984!", "Is that OK?"]

    async def scenario(link: EspeakLink) -> None:
        say(link, *pieces)
        pcm, words = await until_done(aiter(link))
        assert " ".join(word.text for word in words) == " ".join(pieces)
        positions = [at for word in words for at in (word.start, word.end)]
        assert positions == sorted(positions)
        assert positions[0] >= 0
        assert positions[-1] <= len(pcm) // 2
        assert all(word.start < word.end for word in words)

    run(scenario)


def test_words_sound_where_they_are_said_to(run: Run) -> None:
    """A word between two long pauses is loud in its own time and not before it."""

    async def scenario(link: EspeakLink) -> None:
        say(link, "Yes.", "Banana.")
        pcm, words = await until_done(aiter(link))
        last = words[-1]
        assert last.text == "Banana."
        before = pcm[2 * (last.start - 2400) : 2 * last.start]
        inside = pcm[2 * last.start : 2 * (last.start + 7200)]
        assert loudness(before) < 100
        assert loudness(inside) > 1000

    run(scenario)


def test_contexts_follow_one_another(run: Run) -> None:
    """Two contexts are spoken in order, each ended once, and places begin anew."""

    async def scenario(link: EspeakLink) -> None:
        say(link, "First.", context=ONE)
        say(link, "Second.", context=TWO)
        events = aiter(link)
        await until_done(events, ONE)
        _, words = await until_done(events, TWO)
        assert [word.text for word in words] == ["Second."]
        assert words[0].start < 2400

    run(scenario)


def test_cancelled_context_is_silent_at_once(run: Run) -> None:
    """After `CancelSpeech` nothing of a text of ten thousand words comes, the next does."""

    async def scenario(link: EspeakLink) -> None:
        link.send(SpeakText(context_id=ONE, text=LONG))
        events = aiter(link)
        async for event in events:
            if isinstance(event, SpeechAudio):
                break
        link.send(SpeakText(context_id=ONE, text=LONG))
        link.send(CancelSpeech(context_id=ONE))
        say(link, "Next.", context=TWO)
        pcm, words = await until_done(events, TWO)
        assert [word.text for word in words] == ["Next."]
        assert loudness(pcm) > 500
        assert not busy()

    run(scenario)


def test_unread_speech_stops_the_speaking(run: Run) -> None:
    """Speech that nobody reads is bounded, is no busy work, and all of it comes when read."""
    text = LONG[:4500]

    async def scenario(link: EspeakLink) -> None:
        say(link, text)
        await idle()
        pcm, words = await until_done(aiter(link))
        assert len(words) == len(text.split())
        assert len(pcm) > 2 * 8000 * 200

    run(scenario, TtsOptions(output_format=pcm16(8000)), Espeak(room_seconds=1))


def test_empty_context_is_done(run: Run) -> None:
    """A context without words gives no sound, only its end."""

    async def scenario(link: EspeakLink) -> None:
        say(link, "", " \n\t")
        assert await until_done(aiter(link)) == (b"", [])

    run(scenario)


def test_odd_text_is_spoken_as_text(run: Run) -> None:
    """Control characters, markup, lone surrogates and emoji break nothing, nor are they obeyed."""

    async def scenario(link: EspeakLink) -> None:
        events = aiter(link)
        say(link, 'a\x01+500S\x00b <voice name="de">c</voice> [[h@l]] 🙂 \ud800 end')
        pcm, words = await until_done(events)
        assert words[-1].text.endswith("end")
        assert loudness(pcm) > 500
        say(link, "The quick brown fox jumps over the lazy dog.", context=TWO)
        after, _ = await until_done(events, TWO)
        assert 2.0 < len(after) / 48000 < 5.0

    run(scenario)


def test_speed_is_a_factor(run: Run) -> None:
    """Speech at twice the speed takes half the time, to a fifth."""
    lengths: list[int] = []
    for speed in (1.0, 2.0):

        async def scenario(link: EspeakLink) -> None:
            say(link, "The quick brown fox jumps over the lazy dog.")
            lengths.append(len((await until_done(aiter(link)))[0]))

        run(scenario, TtsOptions(speed=speed))
    assert 1.6 < lengths[0] / lengths[1] < 2.4


def test_language_chooses_the_voice(run: Run) -> None:
    """A language without a voice takes that language's own, the nearest there is."""

    async def scenario(link: EspeakLink) -> None:
        ready = await anext(aiter(link))
        assert isinstance(ready, LinkReady)
        assert ready.model == "de"

    run(scenario, TtsOptions(language="de-DE"))


@pytest.mark.parametrize(
    "options",
    [
        TtsOptions(voice="nobody"),
        TtsOptions(voice="../../etc/passwd"),
        TtsOptions(speed=9.0),
        TtsOptions(pitch=2.5),
        TtsOptions(output_format=pcm16(48000)),
        TtsOptions(output_format=AudioFormat(Encoding.MULAW, 8000)),
        TtsOptions(is_ssml=True),
        TtsOptions(volume=2.0),
    ],
    ids=["voice", "path", "fast", "shrill", "rate", "encoding", "markup", "loud"],
)
def test_what_it_cannot_do_is_refused(run: Run, options: TtsOptions) -> None:
    """Unknown voices, paces, formats and settings raise `Unsupported` at connecting."""

    async def scenario(_: EspeakLink) -> None:
        raise AssertionError("there should be no link")

    with pytest.raises(Unsupported):
        run(scenario, options)


def test_too_much_text_is_refused(run: Run) -> None:
    """More text than may wait raises `Misuse`, and what waited is spoken."""

    async def scenario(link: EspeakLink) -> None:
        link.send(SpeakText(context_id=ONE, text="Hello."))
        with pytest.raises(Misuse):
            link.send(SpeakText(context_id=ONE, text="Too long."))
        link.send(FinishSpeech(context_id=ONE))
        _, words = await until_done(aiter(link))
        assert [word.text for word in words] == ["Hello."]

    run(scenario, provider=Espeak(max_waiting_characters=10))


def test_link_closes_cleanly(run: Run) -> None:
    """Leaving the context ends the events with a clean `LinkClosed`; sending then does nothing."""
    links: list[EspeakLink] = []

    async def scenario(link: EspeakLink) -> None:
        links.append(link)
        await anext(aiter(link))

    run(scenario)
    (link,) = links

    async def rest() -> list[TtsEvent]:
        return [event async for event in link]

    assert asyncio.run(rest()) == [LinkClosed(is_clean=True)]
    link.send(CancelSpeech(context_id=ONE))
    assert asyncio.run(rest()) == []


def test_patience_is_not_nothing() -> None:
    """A voice that may take no time at all would never be of use."""
    with pytest.raises(ConfigurationError, match="answer_seconds should be above 0"):
        Espeak(answer_seconds=0)


def test_process_that_gives_nothing_is_given_up(run: Run) -> None:
    """A process that stands still ends the link with a timeout, after what it is allowed."""

    async def scenario(link: EspeakLink) -> None:
        events = aiter(link)
        ready = await anext(events)
        assert isinstance(ready, LinkReady)
        with halted(int(ready.remote_id or 0)):
            say(link, "Hello.")
            failed, closed = [event async for event in events]
        assert isinstance(failed, ServiceFailed)
        assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
        assert "gave no answer within 0.2 s" in failed.message
        assert isinstance(closed, LinkClosed)
        assert not closed.is_clean

    run(scenario, provider=Espeak(answer_seconds=0.2))


@pytest.mark.parametrize("pitch", [-1, 101])
def test_pitch_has_a_range(pitch: int) -> None:
    """A pitch out of range raises `Unsupported`."""
    with pytest.raises(Unsupported):
        Espeak(pitch=pitch)
