"""Transcription in simulated time: utterances, faults, conversations, handles, and the rules."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    LinkClosed,
    Message,
    Role,
    SendAudio,
    ServiceFailed,
    TimedWord,
    Transcript,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_speech_to_text
from beluga_voice.testing.conformance.report import NotEmulated
from beluga_voice.testing.emulators.openai_http import OpenAIHttpEmulator
from beluga_voice.testing.emulators.openai_stt import OpenAISttEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, speech
from providers.openai_stt.openai_stt_stage import (
    HOST,
    PORT,
    live,
    live_desk,
    posting,
    posting_desk,
)

LONG = "one two three four five six seven eight nine ten"
SLOW = Pace(transcript_ms=200)


async def reply(text):
    """Count for long, unless told to stop."""
    return "fine" if "stop" in text else LONG if "count" in text else f"you said {text}"


@pytest.mark.parametrize(
    ("desk", "service"),
    [(live_desk, OpenAISttEmulator(pace=SLOW)), (posting_desk, OpenAIHttpEmulator(pace=SLOW))],
)
def test_each_utterance_is_answered_when_the_service_has_it(desk, service):
    """Two at once, one that was dropped, one without sound: each has its answer in its order."""

    async def scene():
        async with desk(service) as at:
            at.say("hello there")
            at.finish("a")
            at.say("see you")
            at.finish("b")
            at.say("forget me")
            at.link.send(DropUtterance())
            at.finish("c")
            await asyncio.sleep(1)
            return at.finals

    assert simulate(scene) == [
        ("a", "hello there", 200),
        ("b", "see you", 200),
        ("c", "", 200),
    ]


def test_live_words_are_told_while_they_come():
    """Each interim is the whole so far."""

    async def scene():
        async with live_desk() as at:
            for word in ("one", "two"):
                at.say(word)
                await asyncio.sleep(0.2)
            at.finish("a")
            await asyncio.sleep(0.1)
            return [(one.text, one.is_final) for one in at.of(Transcript)]

    assert simulate(scene) == [("one", False), ("one two", False), ("one two", True)]


@pytest.mark.parametrize(
    ("desk", "service"),
    [
        (live_desk, OpenAISttEmulator(pace=Pace(transcript_ms=60_000))),
        (posting_desk, OpenAIHttpEmulator(pace=Pace(transcript_ms=60_000))),
        (live_desk, OpenAISttEmulator(faults=[Faults(stall_after_audio_ms=100)])),
        (posting_desk, OpenAIHttpEmulator(faults=[Faults(is_mute=True)])),
    ],
)
def test_a_service_that_never_answers_ends_the_link(desk, service):
    """The deadline is the provider's, and exact."""

    async def scene():
        async with desk(service, answer_seconds=3) as at:
            at.say("hello")
            await asyncio.sleep(1)
            at.finish("a")
            await asyncio.sleep(10)
            return at.told[-2:]

    (at, failed), (_, closed) = simulate(scene)
    assert at == 4000
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert isinstance(closed, LinkClosed)
    assert not closed.is_clean


@pytest.mark.parametrize(
    ("desk", "service"),
    [
        (live_desk, OpenAISttEmulator(faults=[Faults(drop_after_audio_ms=100)])),
        (posting_desk, OpenAIHttpEmulator(faults=[Faults(drop_after_audio_ms=100)] * 2)),
    ],
)
def test_a_lost_connection_is_an_event(desk, service):
    """Nothing is made up for the utterance."""

    async def scene():
        async with desk(service) as at:
            at.say("hello there")
            at.finish("a")
            await asyncio.sleep(1)
            at.say("too late")
            return at.finals, at.of(LinkClosed)

    finals, (closed,) = simulate(scene)
    assert finals == []
    assert not closed.is_clean


def test_a_posted_utterance_survives_one_broken_connection():
    """It is posted once more, because a connection that was kept may have been closed."""

    async def scene():
        service = OpenAIHttpEmulator(faults=[Faults(drop_after_audio_ms=100)])
        async with posting_desk(service) as at:
            at.say("hello there")
            at.finish("a")
            await asyncio.sleep(1)
            return at.finals, len(service.exchanges)

    assert simulate(scene) == ([("a", "hello there", 0)], 2)


@pytest.mark.parametrize(
    ("faults", "category", "after"),
    [
        (Faults(refuse_status=429, retry_after="30"), ErrorCategory.RATE_LIMIT, 30),
        (
            Faults(refuse_status=429, refuse_body="insufficient_quota"),
            ErrorCategory.INVALID_REQUEST,
            None,
        ),
        (Faults(refuse_status=401), ErrorCategory.AUTH, None),
        (Faults(refuse_status=400), ErrorCategory.INVALID_REQUEST, None),
    ],
)
def test_a_refused_post_says_what_can_be_done(faults, category, after):
    """The failure ends the link, with the wait that was asked for."""

    async def scene():
        async with posting_desk(OpenAIHttpEmulator(faults=[faults])) as at:
            at.say("hello")
            at.finish("a")
            await asyncio.sleep(1)
            return at.of(ServiceFailed)

    (failed,) = simulate(scene)
    assert (failed.category, failed.is_fatal) == (category, True)
    assert failed.retry_after_seconds == after


def test_silence_is_not_posted():
    """Recognisers make up words for it."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with posting_desk(service) as at:
            at.link.send(SendAudio(pcm=bytes(32000)))
            at.finish("a")
            await asyncio.sleep(1)
            return at.finals, service.exchanges

    assert simulate(scene) == ([("a", "", 0)], [])


def test_words_have_their_times_where_the_model_gives_them():
    """In samples from the start of the utterance."""

    async def scene():
        options = SttOptions(wants_words=True, language="en")
        async with posting_desk(model="whisper-1", options=options) as at:
            at.say("hello there")
            at.finish("a")
            await asyncio.sleep(1)
            return at.of(Transcript)[0].words

    assert simulate(scene) == (
        TimedWord(text="hello", start=0, end=3200),
        TimedWord(text="there", start=3200, end=6400),
    )


def test_leaving_breaks_off_what_is_posted():
    """No request goes on, and no task."""

    async def scene():
        service = OpenAIHttpEmulator(pace=Pace(transcript_ms=60_000))
        async with posting_desk(service) as at:
            at.say("hello")
            at.finish("a")
            await asyncio.sleep(0.1)
            assert service.running == 1
        return at.told[-1]

    at, closed = simulate(scene)
    assert (at, closed) == (100, LinkClosed(is_clean=True, reason="closed by us"))


@pytest.mark.parametrize("is_live", [True, False])
def test_three_turns_with_an_interruption(is_live):
    """Each turn is understood; the second answer is cut where the person spoke."""

    async def scene():
        service = OpenAISttEmulator(pace=SLOW) if is_live else OpenAIHttpEmulator(pace=SLOW)
        rate = 24000 if is_live else 16000
        caller = ScriptedCaller(input_rate=rate)
        async with service.serving(HOST, PORT):
            provider = live() if is_live else posting()
            cascade = Cascade(provider, agent_of(reply), ScriptedTts(delay_ms=30))
            session = Session(cascade, line=caller, detector=ScriptedVad(rate=rate))
            async with session, caller.on(session):
                for text in ("hello there", "please count", "stop now"):
                    await caller.say(text)
                    await asyncio.sleep(3 if text != "please count" else 2)
                said = [one for one in session.history if isinstance(one, Message)]
        return said

    said = simulate(scene)
    users = [one.text for one in said if one.role is Role.USER]
    first, cut, last = [one for one in said if one.role is Role.AGENT]
    assert users == ["hello there", "please count", "stop now"]
    assert (first.text, last.text) == ("you said hello there", "fine")
    assert cut.is_cut
    assert LONG.startswith(cut.text)


@pytest.mark.parametrize("is_live", [True, False])
def test_a_recording_is_transcribed_through_the_handle(is_live):
    """And the service is well."""

    async def scene():
        service = OpenAISttEmulator() if is_live else OpenAIHttpEmulator()
        async with service.serving(HOST, PORT):
            handle = beluga_voice.stt(live() if is_live else posting())
            health = await handle.health()
            rate = handle.capabilities.input_formats[0].rate
            found = await handle.transcribe(pcm_of(speech("hello there", rate=rate)))
        return health.is_healthy, found.text

    assert simulate(scene) == (True, "hello there")


@asynccontextmanager
async def live_peer(peer):
    """A live service as the suite wants it."""
    service = OpenAISttEmulator(pace=peer.pace, faults=[peer.faults])
    async with service.serving(HOST, PORT):
        yield live()


@asynccontextmanager
async def posting_peer(peer):
    """A service over REST, which has no connection that could be lost between requests."""
    if peer.faults.drop_after_audio_ms is not None:
        raise NotEmulated("nothing is sent before the end of an utterance")
    async with OpenAIHttpEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
        yield posting()


def test_the_rules_of_recognisers_are_kept_live():
    """All of them."""
    assert check_speech_to_text(live_peer).not_applicable == {}


def test_the_rules_of_recognisers_are_kept_over_rest():
    """All that apply: there are no interim words, and no connection."""
    assert set(check_speech_to_text(posting_peer).not_applicable) == {
        "INTERIM_IS_WHOLE",
        "LOSS_IS_AN_EVENT",
        "NOTHING_AFTER_THE_END (lost)",
    }
