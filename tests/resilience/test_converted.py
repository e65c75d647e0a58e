"""Sound in formats that are not a provider's own."""

import asyncio
from dataclasses import replace

import pytest

from beluga_voice import VoiceSession
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import (
    CancelSpeech,
    FinishSpeech,
    InputTranscript,
    Interrupt,
    LinkClosed,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    Transcript,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, SttOptions, TtsOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.converted import Converted, alike, nearest
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts, ScriptedVad
from resilience.failing_services import SERVICES

MULAW = AudioFormat(Encoding.MULAW, 8000)
LOUD = b"\x00\x20"


async def silent(link):
    """Say nothing of one's own accord."""


def provider(inputs, outputs):
    """A scripted one with these formats."""
    able = Capabilities(input_formats=inputs, output_formats=outputs)
    return ScriptedProvider(silent, capabilities=able)


def over(act, options, *, own=16000, outside=24000):
    """What is told by a link at one rate over a provider at another, and its side of the link."""
    inner = provider((pcm16(own),), (pcm16(own),))
    wrapped = Converted(inner, input_formats=[pcm16(outside)], output_formats=[pcm16(outside)])

    async def scene():
        told = []
        async with wrapped.connect(options) as link:
            link.attach(told.append)
            act(link, inner.links[0])
        return [one for one in told if not isinstance(one, LinkClosed)], inner

    return simulate(scene)


def test_what_goes_in_and_out_is_as_long_as_it_was():
    """To the sample, once a response is over: what was held comes before its end."""

    def act(link, service):
        for _ in range(50):
            link.send(SendAudio(pcm=LOUD * 480))
        service.emit(ResponseStarted(response_id="a"))
        for _ in range(50):
            service.emit(ResponseAudio(response_id="a", pcm=LOUD * 320))
        service.emit(ResponseDone(response_id="a", status=ResponseStatus.COMPLETED))

    told, inner = over(act, S2sOptions())
    assert inner.options[0].input_format == inner.options[0].output_format == pcm16(16000)
    heard = len(inner.links[0].sound) // 2
    assert 16000 - 64 <= heard <= 16000  # the rest is in the filter, until more comes
    sound = [one for one in told if isinstance(one, ResponseAudio)]
    assert sum(len(one.pcm) for one in sound) // 2 == 24000
    assert isinstance(told[-1], ResponseDone)


def test_places_are_told_at_the_rate_outside():
    """Of words in what is heard and said, and of an interruption in the other direction."""
    word = TimedWord(text="one", start=1600, end=3200)

    def act(link, service):
        service.emit(
            InputTranscript(utterance_id="u", text="one", is_final=True, words=(word,)),
            ResponseText(response_id="a", delta="one", start=1600, end=3200),
            ResponseText(response_id="a", delta="two"),
        )
        link.send(Interrupt(response_id="a", heard_samples=4800, heard_text="one"))

    (heard, said, unplaced), inner = over(act, S2sOptions())
    assert (heard.words[0].start, heard.words[0].end) == (2400, 4800)
    assert (said.start, said.end) == (2400, 4800)
    assert (unplaced.start, unplaced.end) == (None, None)
    (interrupt,) = inner.links[0].commands
    assert interrupt.heard_samples == 3200


def test_a_recogniser_is_converted_to():
    """Its words are placed as the sound that it was given."""
    word = TimedWord(text="one", start=1600, end=3200)

    def act(link, service):
        link.send(SendAudio(pcm=LOUD * 2400))
        service.emit(Transcript(text="one", is_final=False, words=(word,)))

    (told,), inner = over(act, SttOptions())
    assert told.words[0].end == 4800
    assert inner.options[0].input_format == pcm16(16000)


def test_a_voice_is_converted_from():
    """Context by context; one that is cancelled leaves nothing behind."""
    word = TimedWord(text="one", start=1600, end=3200)

    def act(link, service):
        for context in ("a", "b"):
            link.send(SpeakText(context_id=context, text="one"))
            service.emit(SpeechAudio(context_id=context, pcm=LOUD * 1600))
        service.emit(SpeechWords(context_id="b", words=(word,)))
        link.send(CancelSpeech(context_id="a"))
        link.send(FinishSpeech(context_id="b"))
        service.emit(SpeechDone(context_id="a"), SpeechDone(context_id="b"))

    told, _ = over(act, TtsOptions())
    sounds = {
        context: sum(
            len(one.pcm)
            for one in told
            if isinstance(one, SpeechAudio) and one.context_id == context
        )
        for context in ("a", "b")
    }
    assert sounds["b"] == 2400 * 2
    assert sounds["a"] < 2400 * 2
    (words,) = [one for one in told if isinstance(one, SpeechWords)]
    assert words.words[0].end == 4800
    assert told[-1] == SpeechDone(context_id="b")


def test_a_sample_that_is_not_whole_is_lost_alone():
    """The sound before it comes, and the response ends."""

    def act(link, service):
        service.emit(ResponseStarted(response_id="a"))
        service.emit(ResponseAudio(response_id="a", pcm=LOUD * 1600 + b"\x01"))
        service.emit(ResponseDone(response_id="a", status=ResponseStatus.COMPLETED))

    told, _ = over(act, S2sOptions())
    assert sum(len(one.pcm) for one in told if isinstance(one, ResponseAudio)) == 2400 * 2
    assert isinstance(told[-1], ResponseDone)


def test_the_same_format_is_passed_on_as_it_is():
    """Nothing is calculated where nothing has to be."""

    def act(link, service):
        link.send(SendAudio(pcm=b"\x01\x02\x03"))
        service.emit(ResponseAudio(response_id="a", pcm=b"\x04\x05\x06"))

    told, inner = over(act, S2sOptions(), own=24000)
    assert told == [ResponseAudio(response_id="a", pcm=b"\x04\x05\x06")]
    assert inner.links[0].sound == b"\x01\x02\x03"


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        (pcm16(24000), [pcm16(8000), pcm16(16000)], pcm16(16000)),
        (pcm16(16000), [pcm16(48000), pcm16(24000), pcm16(8000)], pcm16(24000)),
        (pcm16(8000), [pcm16(16000), MULAW], MULAW),
        (pcm16(16000), [MULAW, pcm16(16000)], pcm16(16000)),
    ],
)
def test_the_format_that_loses_least_is_taken(wanted, offered, chosen):
    """The same rate, or else the next higher one."""
    assert nearest(wanted, offered) == chosen


@pytest.mark.parametrize(
    ("formats", "converted"),
    [
        ([[pcm16(16000)], [pcm16(24000), pcm16(16000)]], [False, False]),
        ([[pcm16(24000)], [pcm16(16000)]], [False, True]),
        ([[pcm16(24000), MULAW], [pcm16(16000), MULAW]], [False, True]),
        ([[MULAW], [pcm16(16000), MULAW]], [False, False]),
        ([[pcm16(24000)], [pcm16(24000)], [pcm16(16000)]], [False, False, True]),
    ],
)
def test_only_what_has_no_format_in_common_is_converted(formats, converted):
    """That of a telephone is not taken for two who can do better."""
    made = alike([provider(tuple(one), (pcm16(24000),)) for one in formats])
    assert [isinstance(one, Converted) for one in made] == converted


ALL = [*SERVICES, "cascade"]


@pytest.mark.parametrize(
    ("first", "second"), [(one, other) for one in ALL for other in ALL if one != other]
)
def test_any_two_services_have_a_format_then(first, second):
    """That of the first, which is heard and spoken as it would be alone."""

    async def scene():
        able = {}
        for name in (first, second):
            if name == "cascade":
                able[name] = Cascade(ScriptedStt(), None, ScriptedTts()).capabilities
            else:
                async with SERVICES[name](None, ()) as one:
                    able[name] = one.capabilities
        return able

    able = simulate(scene)
    # Whose turns they are is another matter.
    both = Fallback(
        *(
            ScriptedProvider(capabilities=replace(able[name], turn_owners=BASE.turn_owners))
            for name in (first, second)
        )
    )
    shared = both.capabilities
    assert set(shared.input_formats) <= set(able[first].input_formats)
    assert set(shared.output_formats) <= set(able[first].output_formats)
    assert shared.input_formats[0].encoding is Encoding.PCM16
    assert shared.output_formats[0].encoding is Encoding.PCM16


BASE = Capabilities()


def test_a_call_goes_on_at_another_rate():
    """A service at 24 kHz is lost, and parts at 16 kHz answer: as soon, and as long."""

    async def lost(link):
        await asyncio.sleep(0.5)
        link.emit(LinkClosed(is_clean=False, reason="lost"))

    class Agent:
        async def respond(self, turn):
            yield "one two three four five"

    able = Capabilities(
        input_formats=(pcm16(24000),), output_formats=(pcm16(24000),), can_seed_history=True
    )
    first = ScriptedProvider(lost, name="first", capabilities=able)
    stt = ScriptedStt(finals=lambda number, words: [(50, "what time is it")])
    tts = ScriptedTts(delay_ms=30, rate=16000)
    caller = ScriptedCaller(input_rate=24000)

    async def scene():
        session = VoiceSession(
            s2s=[first, Cascade(stt, Agent(), tts)],
            vad=ScriptedVad(rate=24000),
            line=caller,
        )
        async with session, caller.on(session):
            await caller.say("what time is it")
            await asyncio.sleep(4)
            return caller.sounds_ms, [one.text for one in session.history]

    ((began, ended),), history = simulate(scene)
    assert began == 780 + 600 + 50 + 30
    assert 1000 <= ended - began <= 1020
    assert history == ["what time is it", "one two three four five"]
