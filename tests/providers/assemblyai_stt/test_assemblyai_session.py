"""AssemblyAI in simulated time: connecting, utterances, faults, conversations, and the rules."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import Denied, Overloaded, Rejected, Silent, Unsupported
from beluga_voice.events import (
    EndOfTurnLikely,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    Message,
    Role,
    ServiceFailed,
    TimedWord,
    Transcript,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_speech_to_text
from beluga_voice.testing.emulators.assemblyai_stt import AssemblyAiEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, speech
from providers.assemblyai_stt.assemblyai_stage import HOST, PLAIN, PORT, desk, provider

LONG = "one two three four five six seven eight nine ten"


def failure_of(**settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(Exception) as caught:  # noqa: PT011, the caller looks
            async with desk(**settings):
                pass
        return caught.value, loop.time()

    return simulate(scene)


# ── connecting ──────────────────────────────────────────────────────────────────────────────


def test_leaving_says_goodbye():
    """A session costs until it is terminated, also when the body raises."""

    async def scene():
        service = AssemblyAiEmulator()
        async with desk(service) as at:
            pass
        with pytest.raises(ZeroDivisionError):
            async with desk(service):
                raise ZeroDivisionError
        return [one for _, one in at.told], [one.is_terminated for one in service.sessions]

    events, goodbyes = simulate(scene)
    assert events == [
        LinkReady(remote_id="session-1", model="u3-rt-pro", expires_at=1_795_010_800),
        LinkClosed(is_clean=True, reason="closed by us"),
    ]
    assert goodbyes == [True, True]


def test_a_link_that_is_cancelled_says_goodbye():
    """As one that is left."""

    async def scene():
        service = AssemblyAiEmulator()

        async def stay():
            async with provider().connect(SttOptions()):
                await asyncio.Event().wait()

        async with service.serving(HOST, PORT):
            staying = asyncio.create_task(stay())
            await asyncio.sleep(1)
            staying.cancel()
            await asyncio.wait({staying})
            return [one.is_terminated for one in service.sessions]

    assert simulate(scene) == [True]


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"api_key": "wrong-key"}, Denied, "1008"),
        ({"model": "universal-9"}, Rejected, "Invalid speech_model"),
        ({"faults": Faults(refuse_status=400, refuse_body="odd rate")}, Rejected, "odd rate"),
        ({"faults": Faults(refuse_status=401)}, Denied, "401"),
        ({"faults": Faults(refuse_status=429, retry_after="7")}, Overloaded, "429"),
        ({"faults": Faults(refuse_status=503)}, Overloaded, "503"),
    ],
)
def test_a_refusal_has_its_error(settings, kind, words):
    """At the handshake, or as the first message; the key is not quoted."""
    settings = dict(settings)
    service = AssemblyAiEmulator(faults=[settings.pop("faults", Faults())])
    error, at = failure_of(service=service, **settings)
    assert type(error) is kind
    assert words in str(error)
    assert "wrong-key" not in str(error)
    assert (error.provider, at) == ("assemblyai", 0)


def test_a_service_that_connects_and_says_nothing_is_given_up():
    """Connecting takes no longer than it may."""
    service = AssemblyAiEmulator(faults=[Faults(is_mute=True)])
    error, at = failure_of(service=service, connect_seconds=3)
    assert type(error) is Silent
    assert 3 <= at < 5


def test_options_it_cannot_honour_are_refused():
    """Before anything is connected."""

    async def scene():
        for options in (SttOptions(language="ja"), SttOptions(alternatives=3)):
            with pytest.raises(Unsupported):
                async with provider().connect(options):
                    pass
        with pytest.raises(Unsupported):
            # It always writes marks.
            async with provider().connect(SttOptions(wants_punctuation=False)):
                pass

    simulate(scene)


# ── hearing ─────────────────────────────────────────────────────────────────────────────────


def test_an_utterance_is_answered_when_the_turn_was_ended_for_us():
    """Interim words come before, and the times of words count from its start."""

    async def scene():
        service = AssemblyAiEmulator(pace=Pace(transcript_ms=100), formatted=str.capitalize)
        options = SttOptions(wants_words=True)
        async with desk(service, options, model=PLAIN) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.5)
            await at.say("see you")
            at.finish("b")
            await asyncio.sleep(0.5)
            return at.finals, [one.text for one in at.of(Transcript)], at.of(Transcript)[-1].words

    finals, texts, words = simulate(scene)
    assert finals == [("a", "Hello there", 500), ("b", "See you", 1400)]
    # The last frame of an utterance leaves with its end, so that its last word is no interim.
    assert texts == ["hello", "Hello there", "see", "See you"]
    assert words == (
        TimedWord(text="see", start=0, end=3200, confidence=0.9),
        TimedWord(text="you", start=3200, end=6400, confidence=0.9),
    )


def test_a_turn_that_the_service_ended_is_answered_at_once():
    """Its end is told when it is noticed, and once."""

    async def scene():
        async with desk(model=PLAIN) as at:
            await at.say("hello there", quiet_ms=800)
            at.finish("a")
            await asyncio.sleep(1)
            ends = [t for t, event in at.told if isinstance(event, EndOfTurnLikely)]
            return at.finals, ends

    finals, ends = simulate(scene)
    assert finals == [("a", "hello there", 1200)]
    assert len(ends) == 1
    assert 800 <= ends[0] <= 880


def test_several_turns_of_an_utterance_are_one_answer():
    """The service may end a turn in the middle of what we call an utterance."""

    async def scene():
        async with desk() as at:
            await at.say("hello there", quiet_ms=600)
            await at.say("my friend")
            at.finish("a")
            await asyncio.sleep(1)
            return at.finals

    assert simulate(scene) == [("a", "hello there my friend", 1400)]


@pytest.mark.parametrize(
    ("faults", "category"),
    [
        (Faults(expire_after_ms=500), ErrorCategory.SESSION_EXPIRED),
        (Faults(stall_after_audio_ms=100), ErrorCategory.RETRYABLE),
    ],
)
def test_a_failing_service_ends_the_link_and_says_why(faults, category):
    """The session may connect again."""

    async def scene():
        async with desk(AssemblyAiEmulator(faults=[faults]), quiet_seconds=1) as at:
            await at.say("one two three four five six seven")
            await asyncio.sleep(1)
            return at.of(ServiceFailed), at.of(LinkClosed)

    (failed,), (closed,) = simulate(scene)
    assert (failed.category, failed.is_fatal) == (category, True)
    assert not closed.is_clean


def test_an_answer_that_never_comes_ends_the_link():
    """Words were told, and never their end."""

    async def scene():
        service = AssemblyAiEmulator(pace=Pace(transcript_ms=60_000))
        async with desk(service, answer_seconds=3) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(5)
            return [(t, e.category) for t, e in at.told if isinstance(e, ServiceFailed)]

    assert simulate(scene) == [(3400, ErrorCategory.TIMEOUT)]


def test_a_broken_message_is_passed_over():
    """It is told as benign, and the words come."""

    async def scene():
        faults = [Faults(malformed_after_audio_ms=100)]
        async with desk(AssemblyAiEmulator(faults=faults)) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(1)
            return [one.category for one in at.of(ServiceFailed)], at.finals

    assert simulate(scene) == ([ErrorCategory.BENIGN], [("a", "hello there", 400)])


# ── as a whole ──────────────────────────────────────────────────────────────────────────────


async def reply(text):
    """Count for long, unless told to stop."""
    return "fine" if "stop" in text else LONG if "count" in text else f"you said {text}"


@pytest.mark.parametrize("model", [PLAIN, "u3-rt-pro"])
def test_three_turns_with_an_interruption(model):
    """Each turn is understood; the second answer is cut where the person spoke."""

    async def scene():
        service = AssemblyAiEmulator(pace=Pace(transcript_ms=100))
        caller = ScriptedCaller()
        async with service.serving(HOST, PORT):
            cascade = Cascade(provider(model=model), agent_of(reply), ScriptedTts(delay_ms=30))
            session = Session(cascade, line=caller, detector=ScriptedVad())
            async with session, caller.on(session):
                for text in ("hello there", "please count", "stop now"):
                    await caller.say(text)
                    await asyncio.sleep(3 if text != "please count" else 2)
                said = [one for one in session.history if isinstance(one, Message)]
        return said, [one.errors for one in service.sessions]

    said, errors = simulate(scene)
    users = [one.text for one in said if one.role is Role.USER]
    first, cut, last = [one for one in said if one.role is Role.AGENT]
    assert users == ["hello there", "please count", "stop now"]
    assert (first.text, last.text) == ("you said hello there", "fine")
    assert cut.is_cut
    assert LONG.startswith(cut.text)
    assert errors == [[]]


def test_a_recording_is_transcribed_through_the_handle():
    """And the service is well."""

    async def scene():
        async with AssemblyAiEmulator().serving(HOST, PORT):
            handle = beluga_voice.stt(provider(), wants_words=True)
            health = await handle.health()
            found = await handle.transcribe(pcm_of(speech("hello there")))
        return health.is_healthy, found.text, len(found.words)

    assert simulate(scene) == (True, "hello there", 2)


@asynccontextmanager
async def peer_of(peer, model):
    """A service as the suite wants it."""
    async with AssemblyAiEmulator(pace=peer.pace, faults=[peer.faults]).serving(HOST, PORT):
        yield provider(model=model)


@pytest.mark.parametrize("model", [PLAIN, "u3-rt-pro"])
def test_the_rules_of_recognisers_are_kept(model):
    """All of them."""
    assert check_speech_to_text(lambda peer: peer_of(peer, model)).not_applicable == {}
