"""Speech into text, by Whisper in its own process, with a model made by hand."""

import asyncio
import json
import logging
import os
import shutil

import numpy as np
import pytest

import beluga_voice
from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError, Unreachable, Unsupported, WrongFormat
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    TimedWord,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.whisper import Whisper
from beluga_voice.providers.stt.whisper._model import voice_in
from beluga_voice.providers.workers import busy
from providers.whisper.hand_built_whisper import build, tones_of
from providers.whisper.whisper_stage import say, until_final, whisper
from providers.worker_stage import halted, kill, stage

ONE, TWO = UtteranceId("one"), UtteranceId("two")
WORD = 3200
"""Samples of one word."""


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    """A model of English alone."""
    return build(tmp_path_factory.mktemp("whisper") / "english")


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A model of several languages."""
    return build(tmp_path_factory.mktemp("whisper") / "several", languages=("en", "de", "ja"))


@pytest.fixture(scope="module")
def run(english):
    """Runs scenes on one loop, with the model loaded."""
    with stage(whisper(english)) as run:
        yield run


def hear(link, pcm: bytes, utterance: UtteranceId = ONE) -> None:
    """Send sound at once, then the utterance's end."""
    link.send(SendAudio(pcm=pcm))
    link.send(FinishUtterance(utterance_id=utterance))


def test_words_are_understood(run, english):
    """Two utterances, one after the other, each have their own words and one final transcript."""

    async def scene():
        async with whisper(english).connect(SttOptions()) as link:
            events = aiter(link)
            hear(link, tones_of("hello there"), ONE)
            hear(link, tones_of("see you soon"), TWO)
            first, second = (await until_final(events))[-1], (await until_final(events))[-1]
        assert (first.utterance_id, first.text) == (ONE, "hello there")
        assert (second.utterance_id, second.text) == (TWO, "see you soon")
        assert (first.language, first.words) == ("en", ())
        assert first.confidence == pytest.approx(1, abs=0.01)
        assert not busy()

    run(scene())


def test_words_have_their_places(run, english):
    """Words that are asked for begin where their sound does, to 20 ms, and follow one another."""

    async def scene():
        async with whisper(english).connect(SttOptions(wants_words=True)) as link:
            hear(link, tones_of("one two three"))
            return (await until_final(aiter(link)))[-1].words

    assert run(scene()) == (
        TimedWord(text="one", start=0, end=WORD, confidence=pytest.approx(1, abs=0.01)),
        TimedWord(text="two", start=WORD, end=2 * WORD, confidence=pytest.approx(1, abs=0.01)),
        TimedWord(
            text="three", start=2 * WORD, end=3 * WORD - 320, confidence=pytest.approx(1, abs=0.01)
        ),
    )


def test_interim_transcripts_grow(run, english):
    """Words come while they are said, all so far each time, and once more as the final ones."""

    async def scene():
        async with whisper(english).connect(SttOptions()) as link:
            events = aiter(link)
            await say(link, "hello there whale")
            link.send(FinishUtterance(utterance_id=ONE))
            *interim, final = await until_final(events)
            await say(link, "you")
            link.send(FinishUtterance(utterance_id=TWO))
            *after, _ = await until_final(events)
        assert [one.text for one in interim] == ["hello", "hello there", "hello there whale"]
        assert not any(one.is_final or one.utterance_id for one in interim)
        assert final.text == "hello there whale"
        assert [one.text for one in after] == ["you"]

    run(scene())


def test_interim_transcripts_can_be_left_out(run, english):
    """Who wants no interim transcripts gets the final one only."""

    async def scene():
        async with whisper(english).connect(SttOptions(wants_interim=False)) as link:
            await say(link, "hello there whale")
            link.send(FinishUtterance(utterance_id=ONE))
            return [one.text for one in await until_final(aiter(link))]

    assert run(scene()) == ["hello there whale"]


def test_links_share_a_process_and_nothing_else(run, english):
    """Two links that are fed in turns hear their own, in one process."""

    async def scene():
        provider = whisper(english)
        async with provider.connect(SttOptions()) as one, provider.connect(SttOptions()) as two:
            ours, theirs = aiter(one), aiter(two)
            processes = {(await anext(ours)).remote_id, (await anext(theirs)).remote_id}
            await asyncio.gather(say(one, "hello there"), say(two, "see you"))
            for link in (one, two):
                link.send(FinishUtterance(utterance_id=ONE))
            finals = [await until_final(ours), await until_final(theirs)]
        assert len(processes) == 1
        assert [heard[-1].text for heard in finals] == ["hello there", "see you"]

    run(scene())


def test_dropped_utterance_is_forgotten(run, english):
    """Of sound before `DropUtterance` there is no word, neither interim nor final."""

    async def scene():
        async with whisper(english).connect(SttOptions(wants_words=True)) as link:
            await say(link, "forget me")
            link.send(SendAudio(pcm=tones_of("forget me")))
            link.send(DropUtterance())
            events = aiter(link)
            hear(link, tones_of("see you"))
            final = (await until_final(events))[-1]
        assert final.text == "see you"
        assert final.words[0].start == 0

    run(scene())


def test_interim_words_that_come_too_late_are_not_told(run, english):
    """Words that are being looked for when the utterance is dropped are not told."""

    async def scene():
        async with whisper(english).connect(SttOptions()) as link:
            events = aiter(link)
            await anext(events)
            for _ in range(5):
                link.send(SendAudio(pcm=tones_of("forget")))
                await asyncio.sleep(0.003)
                link.send(DropUtterance())
            link.send(FinishUtterance(utterance_id=ONE))
            return [one.text for one in await until_final(events)]

    assert run(scene()) == [""]


@pytest.mark.parametrize(
    "pcm", [b"", bytes(2), bytes(200), bytes(32000)], ids=["none", "sample", "6 ms", "second"]
)
@pytest.mark.parametrize("hears_only_voice", [True, False], ids=["voice", "all"])
def test_no_words_give_an_empty_final(run, english, pcm, hears_only_voice):
    """No sound, a sample, too little, and silence give one final transcript without words."""

    async def scene():
        provider = whisper(english, hears_only_voice=hears_only_voice)
        async with provider.connect(SttOptions(wants_words=True)) as link:
            events = aiter(link)
            for utterance in (ONE, TWO):
                hear(link, pcm, utterance)
                (final,) = await until_final(events)
                assert (final.text, final.words, final.utterance_id) == ("", (), utterance)
                assert (final.confidence, final.language) == (None, None)

    run(scene())


def test_what_is_no_voice_has_no_words(run, english):
    """As it comes, it looks for words in a voice only; a tone is none."""

    async def scene():
        async with whisper(english, hears_only_voice=True).connect(SttOptions()) as link:
            hear(link, tones_of("hello there"))
            return (await until_final(aiter(link)))[-1].text

    assert run(scene()) == ""


def test_voice_is_found_between_silence():
    """The detector in the library says where speech is, to a tenth of a second and its margin."""
    spoken = asyncio.run(beluga_voice.tts("espeak").synthesize("Where is my order?"))
    speech = np.frombuffer(spoken.audio, dtype="<i2")[:: spoken.rate // 8000].repeat(2)
    quiet = np.zeros(2 * 16000, dtype="<i2")
    sound = np.concatenate([quiet, speech, quiet]).astype(np.float32) / np.float32(32768)
    begin, end = voice_in(sound)
    assert 32000 - 4800 <= begin <= 32000
    assert 0 <= end - (len(sound) - 32000) <= 4800


def test_long_utterance_keeps_what_was_said_first(run, english):
    """Beyond the model's window the words before a pause are kept, with places over the whole."""
    first, last = tones_of("hello there"), tones_of("see you soon")
    # The only pause in the last 8 of 28 s is from 27.4 to 27.6 s; it is cut in the middle.
    hum = (b"\x60\x00" + b"\xa0\xff") * 800
    noise = hum * 300
    pause = 2 * 16000 * 274 // 10
    sound = first + noise[len(first) : pause] + bytes(6400) + noise[:3200] + last + noise[:64000]

    async def scene():
        async with whisper(english).connect(SttOptions(wants_words=True)) as link:
            for at in range(0, len(sound), 32000):
                link.send(SendAudio(pcm=sound[at : at + 32000]))
                await asyncio.sleep(1)
            link.send(FinishUtterance(utterance_id=ONE))
            return (await until_final(aiter(link)))[-1], link.dropped_samples

    final, dropped = run(scene())
    assert final.text == "hello there see you soon"
    starts = [word.start for word in final.words]
    begin = 16000 * 277 // 10
    assert starts == [0, WORD, begin, begin + WORD, begin + 2 * WORD]
    assert dropped == 0


def test_language_is_as_asked_or_found(several):
    """A language, also with a region, is taken as given; without one it is found out."""

    async def scene(language):
        async with whisper(several).connect(SttOptions(language=language)) as link:
            hear(link, tones_of("hello there"))
            return (await until_final(aiter(link)))[-1].language

    with stage(whisper(several)) as run:
        assert [run(scene(one)) for one in ("de-AT", "ja", None)] == ["de", "ja", "en"]
        with pytest.raises(Unsupported, match="does not know 'yue'"):
            run(scene("yue"))


def test_language_that_the_model_does_not_know_is_refused(run, english):
    """A model of English alone raises `Unsupported` for another language; English it takes."""

    async def scene(language):
        async with whisper(english).connect(SttOptions(language=language)):
            pass

    run(scene("en-US"))
    with pytest.raises(Unsupported, match=r"English only.*\.en"):
        run(scene("de"))


@pytest.mark.parametrize(
    "options",
    [SttOptions(language="tlh"), SttOptions(input_format=pcm16(8000)), SttOptions(alternatives=3)],
    ids=["language", "rate", "alternatives"],
)
def test_what_it_cannot_do_is_refused(run, english, options):
    """What no model of it does raises `Unsupported` before a process is asked."""

    async def scene():
        async with whisper(english).connect(options):
            pass

    with pytest.raises(Unsupported):
        run(scene())


@pytest.mark.parametrize(
    "settings", [{"threads": -1}, {"parallel": 0}, {"beam_size": 0}, {"interim_share": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    """They raise `ConfigurationError`, which names them."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Whisper(**settings)


def test_phrases_beyond_what_fits_are_told(run, english, caplog):
    """As many phrases as fit are a hint to the model; a warning says how many do not."""

    async def scene(count):
        options = SttOptions(phrases=("ten letter",) * count)
        async with whisper(english).connect(options) as link:
            hear(link, tones_of("hello there"))
            return (await until_final(aiter(link)))[-1].text

    with caplog.at_level(logging.WARNING, logger="beluga_voice.providers.stt.whisper"):
        assert run(scene(18)) == "hello there"
        assert caplog.messages == []
        assert run(scene(40)) == "hello there"
    (said,) = caplog.messages
    assert "last 22 phrases" in said


def test_half_a_sample_is_refused(run, english):
    """An odd number of bytes raises `WrongFormat` and changes nothing."""

    async def scene():
        async with whisper(english).connect(SttOptions()) as link:
            with pytest.raises(WrongFormat):
                link.send(SendAudio(pcm=b"abc"))
            hear(link, tones_of("hello"))
            return (await until_final(aiter(link)))[-1].text

    assert run(scene()) == "hello"


def test_the_handle_transcribes_a_recording(run, english):
    """`stt("whisper", model=...)` gives the words of a recording, and where they are."""
    handle = beluga_voice.stt(
        "whisper", model=str(english), threads=1, hears_only_voice=False, wants_words=True
    )
    found = run(handle.transcribe(tones_of("one two three four five six")))
    assert found.text == "one two three four five six"
    assert [word.start for word in found.words] == [WORD * place for place in range(6)]


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────


async def connecting(provider: Whisper) -> None:
    """Connect and leave again."""
    async with provider.connect(SttOptions()):
        pass


def test_model_that_is_not_here_names_the_command_that_fetches_it(tmp_path):
    """A known model that was not fetched is refused with what to do, and nothing is fetched."""
    with stage() as run:
        with pytest.raises(ConfigurationError) as caught:
            run(connecting(Whisper(model="tiny", folder=tmp_path)))
        expected = f"python -m beluga_voice.providers.stt.whisper tiny --folder {tmp_path}"
        assert expected in str(caught.value)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "said"),
    [("nobody", "there are tiny.en, tiny,"), ("/nowhere/model", "no folder /nowhere/model")],
)
def test_model_that_is_none_is_refused(model, said):
    """A name that is no model's, and a folder that is not there, are named."""
    with stage() as run, pytest.raises(ConfigurationError, match=said):
        run(connecting(Whisper(model=model)))


@pytest.mark.parametrize("file", ["model.bin", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["missing", "cut short"])
def test_damaged_model_is_refused_until_it_is_whole(tmp_path, english, file, harm):
    """A file that is not there or broke off is named; once it is whole, the same process loads."""
    folder = shutil.copytree(english, tmp_path / "model")
    provider = whisper(folder)
    if harm == "missing":
        (folder / file).unlink()
    else:
        os.truncate(folder / file, 100)
    with stage(provider) as run:
        with pytest.raises(ConfigurationError, match=r"cannot be read.*remove it"):
            run(connecting(provider))
        shutil.copy(english / file, folder / file)
        run(connecting(provider))


def test_device_that_is_not_there_is_refused(english):
    """A device or kind of numbers that this machine does not have is told as that."""
    with stage() as run:
        for settings in ({"device": "cuda"}, {"compute_type": "float7"}):
            with pytest.raises(ConfigurationError, match="change device or compute_type"):
                run(connecting(whisper(english, **settings)))


def test_killed_process_ends_its_links_and_the_next_connect_works(english):
    """Both links of a process that is killed end, once and uncleanly; a new one has another."""

    async def scene():
        provider = whisper(english)
        async with provider.connect(SttOptions()) as one, provider.connect(SttOptions()) as two:
            ours, theirs = aiter(one), aiter(two)
            ready = await anext(ours)
            assert isinstance(ready, LinkReady)
            hear(one, tones_of("hello"))
            kill(int(ready.remote_id))
            for events in (ours, theirs):
                rest = [event async for event in events]
                assert [type(event) for event in rest[-2:]] == [ServiceFailed, LinkClosed]
                assert rest[-2].category is ErrorCategory.RETRYABLE
                assert not rest[-1].is_clean
            one.send(DropUtterance())
            assert not busy()
        async with provider.connect(SttOptions()) as link:
            hear(link, tones_of("hello there"))
            assert (await until_final(aiter(link)))[-1].text == "hello there"

    with stage(is_fast=False) as run:
        run(scene())


def test_process_that_dies_while_loading_is_unreachable(english, monkeypatch):
    """A process that ends before it listens raises `Unreachable`."""
    monkeypatch.setattr(
        "beluga_voice.providers.stt.whisper.provider._MODULE", "beluga_voice.errors"
    )
    with stage(is_fast=False) as run, pytest.raises(Unreachable, match="memory"):
        run(connecting(whisper(english)))


def test_model_that_breaks_off_ends_the_link(tmp_path, english):
    """A model that fails in the middle of its work ends the link once, and says so."""
    folder = shutil.copytree(english, tmp_path / "model")
    known = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del known["model"]["vocab"]["<|notimestamps|>"]
    (folder / "tokenizer.json").write_text(json.dumps(known), encoding="utf-8")
    provider = whisper(folder)

    async def scene():
        async with provider.connect(SttOptions()) as link:
            hear(link, tones_of("hello"))
            return [event async for event in link][1:]

    with stage() as run:
        failed, closed = run(scene())
    assert failed.category is ErrorCategory.RETRYABLE
    assert "the model broke off" in failed.message
    assert not closed.is_clean


def test_process_that_does_not_answer_is_given_up(english):
    """A process that stands still ends the link with a timeout, after what it is allowed."""

    async def scene():
        provider = whisper(english, answer_seconds=0.2)
        async with provider.connect(SttOptions()) as link:
            events = aiter(link)
            with halted(int((await anext(events)).remote_id)):
                hear(link, tones_of("hello"))
                failed, closed = [event async for event in events]
        assert failed.category is ErrorCategory.TIMEOUT
        assert failed.is_fatal
        assert "0.2 s" in failed.message
        assert not closed.is_clean

    with stage(is_fast=False) as run:
        run(scene())


def test_slow_process_loses_the_oldest_sound_and_no_order(run, english):
    """Beyond what may wait the oldest sound is dropped and counted; the end is answered."""

    async def scene():
        provider = whisper(english, max_waiting_seconds=1)
        async with provider.connect(SttOptions()) as link:
            link.send(SendAudio(pcm=bytes(2 * 16000 * 20)))
            # 2 s are with the process, 1 s waits.
            assert link.dropped_samples == 16000 * 17
            assert link.waiting_audio_bytes == 32000
            link.send(FinishUtterance(utterance_id=ONE))
            (final,) = await until_final(aiter(link))
            assert (final.text, final.utterance_id) == ("", ONE)
            assert link.waiting_audio_bytes == 0

    run(scene())


def test_link_closes_cleanly(run, english):
    """Leaving the context ends the events with a clean `LinkClosed`; sending then does nothing."""

    async def scene():
        async with whisper(english).connect(SttOptions()) as link:
            link.send(SendAudio(pcm=tones_of("hello")))
        link.send(FinishUtterance(utterance_id=ONE))
        return [event async for event in link]

    ready, closed = run(scene())
    assert isinstance(ready, LinkReady)
    assert closed == LinkClosed(is_clean=True)
    assert not busy()
