"""Text into speech, by Piper in its own process, with voices made by hand."""

import asyncio
import os
import shutil

import pytest

import beluga_voice
from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError, Misuse, Unreachable, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.piper import Piper
from beluga_voice.providers.workers import busy
from providers.piper.hand_built_piper import RATE, SYMBOL_SAMPLES, build, letters_in
from providers.piper.piper_stage import NATIVE_FORMAT, ONE, TWO, VOICE, piper, say, until_done
from providers.worker_stage import halted, kill, stage

NATIVE = TtsOptions(output_format=NATIVE_FORMAT)
LONG = "one two three four. " * 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Voices: one that spells letters, one of three speakers, one that spells sounds."""
    folder = tmp_path_factory.mktemp("piper")
    build(folder, VOICE)
    build(folder, "en_GB-three", code="en_GB", speakers=3)
    build(folder, "de_DE-sounds", kind="espeak", code="de_DE")
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Runs scenes on one loop, with the voice loaded."""
    with stage(piper(folder)) as run:
        yield run


def samples_of(text: str) -> int:
    """How long a sentence is, with its marks and the silences between letters."""
    return (2 * len(text) + 3) * SYMBOL_SAMPLES


async def sound_of(provider: Piper, *pieces: str, options: TtsOptions = NATIVE) -> bytes:
    """What a link of its own speaks."""
    async with provider.connect(options) as link:
        say(link, *pieces)
        return await until_done(aiter(link))


@pytest.mark.parametrize("rate", [24000, 22050, 16000, 8000])
def test_text_is_spoken_at_every_rate(run, folder, rate):
    """The sound spells the text, and has the same length at each rate, to the sample."""
    text = "where is my order"
    pcm = run(sound_of(piper(folder), text, options=TtsOptions(output_format=pcm16(rate))))
    assert letters_in(pcm, rate) == f"^{text}$"
    assert len(pcm) // 2 == pytest.approx(samples_of(text) * rate / RATE, abs=1)


def test_sentences_are_spoken_one_by_one_with_a_pause(run, folder):
    """Text in any pieces becomes whole sentences, each with its own beginning and end."""
    pieces = ["i am he", "re. you a", "re there! who", " knows"]
    pcm = run(sound_of(piper(folder, pause_milliseconds=100), *pieces))
    pause = RATE // 10
    lengths = [samples_of(text) for text in ("i am here.", "you are there!", "who knows")]
    assert len(pcm) // 2 == sum(lengths) + 2 * pause
    assert not any(pcm[2 * lengths[0] : 2 * (lengths[0] + pause)])
    begin = 0
    for length, text in zip(lengths, ("i am here.", "you are there!", "who knows"), strict=True):
        assert letters_in(pcm[2 * begin : 2 * (begin + length)], RATE) == f"^{text}$"
        begin += length + pause


def test_a_sentence_that_comes_whole_is_spoken_at_once(run, folder):
    """Several words that end like a sentence do not wait for what follows; others half a second."""

    async def scene(text):
        async with piper(folder).connect(NATIVE) as link:
            loop = asyncio.get_running_loop()
            link.send(SpeakText(context_id=ONE, text=text))
            began = loop.time()
            async for event in link:
                if isinstance(event, SpeechAudio):
                    return loop.time() - began
        raise AssertionError("nothing is spoken")

    assert run(scene("i am here.")) < 0.4
    assert run(scene("i am he")) >= 0.5


def test_contexts_follow_one_another(run, folder):
    """Two contexts are spoken in order, each ended once; one without words has no sound."""

    async def scene():
        async with piper(folder).connect(NATIVE) as link:
            events = aiter(link)
            say(link, "first")
            say(link, "second", context=TWO)
            sounds = [await until_done(events, ONE), await until_done(events, TWO)]
            say(link, "", " \n\t", "...")
            return [letters_in(pcm, RATE) for pcm in sounds], await until_done(events, ONE)

    (first, second), silent = run(scene())
    assert (first, second) == ("^first$", "^second$")
    assert letters_in(silent, RATE) in ("", "^...$")


def test_cancelled_context_is_silent_at_once(run, folder):
    """After `CancelSpeech` nothing of a long text comes, nor of what waits; the next does."""

    async def scene():
        async with piper(folder).connect(NATIVE) as link:
            events = aiter(link)
            link.send(SpeakText(context_id=ONE, text=LONG))
            async for event in events:
                if isinstance(event, SpeechAudio):
                    break
            link.send(SpeakText(context_id=ONE, text="begun and not en"))
            link.send(CancelSpeech(context_id=ONE))
            say(link, "next", context=TWO)
            pcm = await until_done(events, TWO)
            await asyncio.sleep(2)
            assert not busy()
        return letters_in(pcm, RATE), [event async for event in events]

    assert run(scene()) == ("^next$", [LinkClosed(is_clean=True)])


def test_unread_speech_stops_the_speaking(run, folder):
    """Speech that nobody reads is bounded, is no busy work, and all of it comes when read."""

    async def scene():
        provider = piper(folder, room_seconds=1, pause_milliseconds=0, answer_seconds=5)
        async with provider.connect(NATIVE) as link:
            say(link, LONG)
            await asyncio.sleep(20)
            assert not busy()
            return await until_done(aiter(link))

    assert len(run(scene())) // 2 == 500 * samples_of("one two three four.")


def test_unread_speech_is_bounded(folder):
    """Of speech that nobody reads, what is held is a second and what the socket holds."""

    async def scene():
        async with piper(folder, room_seconds=1).connect(NATIVE) as link:
            say(link, LONG)
            await asyncio.sleep(20)
            events = aiter(link)
            kill(int((await anext(events)).remote_id))
            sounds = [event.pcm async for event in events if isinstance(event, SpeechAudio)]
        return sum(map(len, sounds))

    with stage() as run:
        held = run(scene())
    assert 2 * RATE < held < 1_000_000
    assert held < 2 * 500 * samples_of("one two three four.") / 10


def test_speed_and_volume_are_factors(run, folder):
    """At twice the speed it takes half the time, and at half the volume it is half as loud."""
    options = TtsOptions(speed=2, volume=0.5, output_format=NATIVE_FORMAT)
    plain = run(sound_of(piper(folder), "hello there"))
    changed = run(sound_of(piper(folder), "hello there", options=options))
    symbols = samples_of("hello there") // SYMBOL_SAMPLES
    assert len(plain) // 2 == symbols * SYMBOL_SAMPLES
    assert len(changed) // 2 == symbols * round(SYMBOL_SAMPLES / 2)
    assert letters_in(changed, RATE, speed=SYMBOL_SAMPLES / round(SYMBOL_SAMPLES / 2)) == (
        "^hello there$"
    )
    loudest = [max(memoryview(pcm).cast("h")) for pcm in (plain, changed)]
    assert loudest[1] == pytest.approx(loudest[0] / 2, rel=0.01)


@pytest.mark.parametrize(("speaker", "number"), [("2", 2), ("speaker 1", 1), ("", 0)])
def test_a_speaker_is_chosen_by_name_or_number(run, folder, speaker, number):
    """A voice of several speakers takes the one that is named after it, or its first."""
    voice = f"en_GB-three#{speaker}" if speaker else "en_GB-three"
    options = TtsOptions(voice=voice, output_format=NATIVE_FORMAT)
    pcm = run(sound_of(piper(folder), "hello", options=options))
    assert letters_in(pcm, RATE, speaker=number) == "^hello$"


def test_language_chooses_a_voice(run, folder):
    """A language that the voice does not speak takes one that does; its words become sounds."""

    async def scene(language):
        options = TtsOptions(language=language, output_format=NATIVE_FORMAT)
        async with piper(folder).connect(options) as link:
            events = aiter(link)
            ready = await anext(events)
            say(link, "in")
            return ready.model, letters_in(await until_done(events), RATE)

    assert run(scene("en-AU")) == (VOICE, "^in$")
    assert run(scene("de-AT")) == ("de_DE-sounds", "^ˈɪn$")


def test_odd_text_is_spoken_as_text(run, folder):
    """Control characters, sounds in brackets and emoji break nothing, and are not obeyed."""
    options = TtsOptions(voice="de_DE-sounds", output_format=NATIVE_FORMAT)
    pcm = run(sound_of(piper(folder), "a\0 \x01b [[zz]] 🙂 \ud800 in", options=options))
    said = letters_in(pcm, RATE)
    assert said.endswith("ˈɪn$")
    assert "tsɛttsˈɛt" in said  # how German spells "zz"


def test_links_share_a_process_and_nothing_else(run, folder):
    """Two links that speak at once have their own words, in one process."""

    async def scene():
        provider = piper(folder)
        async with provider.connect(NATIVE) as one, provider.connect(NATIVE) as two:
            ours, theirs = aiter(one), aiter(two)
            processes = {(await anext(ours)).remote_id, (await anext(theirs)).remote_id}
            say(one, "first")
            say(two, "second")
            sounds = [await until_done(ours), await until_done(theirs)]
        assert len(processes) == 1
        return [letters_in(pcm, RATE) for pcm in sounds]

    assert run(scene()) == ["^first$", "^second$"]


def test_the_handle_synthesizes_and_lists_voices(run, folder):
    """`tts("piper", ...)` gives a text's sound; the voices are those in the folder."""
    handle = beluga_voice.tts("piper", voice=VOICE, folder=folder, threads=1)
    spoken = run(handle.synthesize("where is my order"))
    assert letters_in(spoken.audio, spoken.rate) == "^where is my order$"
    voices = asyncio.run(handle.voices())
    assert [(voice.id, voice.languages, voice.description) for voice in voices] == [
        ("de_DE-sounds", ("de-DE",), ""),
        ("en_GB-three", ("en-GB",), "3 speakers: add #0 to #2"),
        (VOICE, ("en-US",), ""),
    ]


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "options",
    [TtsOptions(pitch=2), TtsOptions(wants_words=True), TtsOptions(output_format=pcm16(48000))],
    ids=["pitch", "words", "rate"],
)
def test_what_it_cannot_do_is_refused(run, folder, options):
    """What no voice of it does raises `Unsupported` before a process is asked."""
    with pytest.raises(Unsupported):
        run(sound_of(piper(folder), options=options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TtsOptions(voice="nobody"), "python -m piper.download_voices nobody --download-dir "),
        (TtsOptions(voice="/nowhere/it.onnx"), "no /nowhere/it.onnx; give the path"),
        (TtsOptions(language="sv"), "speaks 'sv'; `python -m piper.download_voices` lists"),
        (TtsOptions(voice=VOICE, language="fr"), "does not speak 'fr'"),
        (TtsOptions(voice="en_GB-three#7"), "no speaker '7'; they are numbered from 0 to 2"),
        (TtsOptions(speed=9), "outside 0.25 to 4"),
    ],
    ids=["name", "path", "language", "other language", "speaker", "speed"],
)
def test_voice_that_is_not_here_is_refused_with_what_to_do(run, folder, options, said):
    """It raises `ConfigurationError`, which says how to get one or what there is."""
    with pytest.raises(ConfigurationError, match=said.replace("`", ".")):
        run(sound_of(piper(folder), options=options))


@pytest.mark.parametrize("harmed", [".onnx", ".onnx.json"])
def test_damaged_voice_is_refused_until_it_is_whole(tmp_path, folder, harmed):
    """A file that broke off is named; once it is whole, the same process speaks with it."""
    for ending in (".onnx", ".onnx.json"):
        shutil.copy(folder / f"{VOICE}{ending}", tmp_path)
    os.truncate(tmp_path / f"{VOICE}{harmed}", 100)
    provider = piper(tmp_path)
    with stage(provider) as run:
        with pytest.raises(ConfigurationError, match=r"cannot be read.*fetch them again"):
            run(sound_of(provider))
        shutil.copy(folder / f"{VOICE}{harmed}", tmp_path)
        assert letters_in(run(sound_of(provider, "hello")), RATE) == "^hello$"


@pytest.mark.parametrize("settings", [{"threads": -1}, {"parallel": 0}, {"pause_milliseconds": -1}])
def test_settings_that_make_no_sense_are_refused(settings):
    """They raise `ConfigurationError`, which names them."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Piper(**settings)


def test_too_much_text_is_refused(run, folder):
    """More text than may wait raises `Misuse`, and what waited is spoken."""

    async def scene():
        async with piper(folder, max_waiting_characters=12).connect(NATIVE) as link:
            link.send(SpeakText(context_id=ONE, text="i am here."))
            with pytest.raises(Misuse):
                link.send(SpeakText(context_id=ONE, text="too long"))
            link.send(FinishSpeech(context_id=ONE))
            return letters_in(await until_done(aiter(link)), RATE)

    assert run(scene()) == "^i am here.$"


def test_voice_that_breaks_off_ends_the_link(tmp_path, folder):
    """A voice that fails in the middle of its work ends the link once, and says so."""
    shutil.copy(folder / f"{VOICE}.onnx", tmp_path)
    described = (folder / f"{VOICE}.onnx.json").read_text(encoding="utf-8")
    # It says to have speakers, and its network takes none.
    described = described.replace('"num_speakers": 1', '"num_speakers": 2')
    (tmp_path / f"{VOICE}.onnx.json").write_text(described, encoding="utf-8")

    async def scene():
        async with piper(tmp_path).connect(NATIVE) as link:
            say(link, "hello")
            return [event async for event in link][1:]

    with stage() as run:
        failed, closed = run(scene())
    assert failed.category is ErrorCategory.RETRYABLE
    assert "the voice broke off" in failed.message
    assert not closed.is_clean


def test_killed_process_ends_its_links_and_the_next_connect_works(folder):
    """Both links of a process that is killed end, once and uncleanly; a new one has another."""

    async def scene():
        provider = piper(folder)
        async with provider.connect(NATIVE) as one, provider.connect(NATIVE) as two:
            ours, theirs = aiter(one), aiter(two)
            ready = await anext(ours)
            assert isinstance(ready, LinkReady)
            say(one, LONG)
            kill(int(ready.remote_id))
            for events in (ours, theirs):
                rest = [event async for event in events]
                assert [type(event) for event in rest[-2:]] == [ServiceFailed, LinkClosed]
                assert rest[-2].category is ErrorCategory.RETRYABLE
                assert not any(isinstance(event, SpeechDone) for event in rest)
            say(one, "too late")
            assert not busy()
        return letters_in(await sound_of(provider, "hello"), RATE)

    with stage(is_fast=False) as run:
        assert run(scene()) == "^hello$"


def test_process_that_dies_while_loading_is_unreachable(folder, monkeypatch):
    """A process that ends before it speaks raises `Unreachable`."""
    monkeypatch.setattr("beluga_voice.providers.tts.piper.provider._MODULE", "beluga_voice.errors")
    with stage(is_fast=False) as run, pytest.raises(Unreachable, match="memory"):
        run(sound_of(piper(folder)))


def test_process_that_gives_nothing_is_given_up(folder):
    """A process that stands still ends the link with a timeout, after what it is allowed."""

    async def scene():
        async with piper(folder, answer_seconds=0.2).connect(NATIVE) as link:
            events = aiter(link)
            with halted(int((await anext(events)).remote_id)):
                say(link, "hello")
                failed, closed = [event async for event in events]
        return failed.category, failed.is_fatal, closed.is_clean

    with stage(is_fast=False) as run:
        assert run(scene()) == (ErrorCategory.TIMEOUT, True, False)
