"""Providers that are left alone while they fail."""

import asyncio

import pytest

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    Overloaded,
    Unreachable,
)
from beluga_voice.events import (
    ContextId,
    EndUserTurn,
    ErrorCategory,
    FinishSpeech,
    FinishUtterance,
    LinkClosed,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    SendAudio,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, SttOptions, TtsOptions
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.breaker import BreakerSettings, BreakerState
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.health import Board
from beluga_voice.resilience.notices import BreakerChanged
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.resilience.refusal import Refused
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import pcm_of, speech
from resilience.parts import Recogniser, Voice

SETTINGS = BreakerSettings(minimum_calls=2, open_seconds=5, probes=1)
SAID = UtteranceId("u")


def down():
    return Unreachable("nobody there", op="connect")


def guarded(provider, **settings):
    settings.setdefault("breaker", SETTINGS)
    return Guarded(provider, **settings)


async def outcome(provider, options=None):
    """What connecting ends with: an error, or nothing."""
    try:
        async with provider.connect(options or SttOptions()):
            return None
    except Exception as error:
        return error


def test_while_the_breaker_is_open_nobody_is_connected():
    """Refused at once, by all who use a service of that name, with the seconds to wait."""
    one, two = Recogniser("ears", down(), down(), down()), Recogniser("ears")
    changes = []

    async def scene():
        for _ in range(2):
            assert isinstance(await outcome(guarded(one, on_change=changes.append)), Unreachable)
        refused = await outcome(guarded(two))
        other = await outcome(guarded(Recogniser("other")))
        return refused, other, running_simulation().time_ms()

    refused, other, now = simulate(scene)
    assert isinstance(refused, Refused)
    assert (refused.retry_after, refused.provider, refused.is_retryable) == (5, "ears", True)
    assert (other, two.connects_ms, now) == (None, [], 30)
    assert changes == [BreakerChanged(provider="ears", state=BreakerState.OPEN)]


def test_one_probe_closes_it_when_it_is_answered_and_not_before():
    """A service that takes connections and says nothing is not back."""
    provider = Recogniser("ears", down(), down())
    told = []

    async def scene():
        wrapped = guarded(provider, progress=ProgressSettings(final_ms=500))
        for _ in range(2):
            await outcome(wrapped)
        await asyncio.sleep(5)
        async with wrapped.connect(SttOptions()) as link:
            link.attach(told.append)
            second = await outcome(wrapped)
            assert isinstance(second, Refused)
            assert second.retry_after is None
            link.send(FinishUtterance(utterance_id=SAID))
            await asyncio.sleep(0.1)
            assert await outcome(wrapped) is None

    simulate(scene)
    assert isinstance(told[0], Transcript)
    assert len(provider.connects_ms) == 4


def test_a_probe_without_a_question_is_given_back():
    """Who hangs up before anything was asked leaves the probe to the next."""
    provider = Recogniser("ears", down(), down())

    async def scene():
        wrapped = guarded(provider)
        for _ in range(2):
            await outcome(wrapped)
        await asyncio.sleep(5)
        assert [await outcome(wrapped) for _ in range(3)] == [None] * 3
        return shared_board().of("ears").breaker.state

    assert simulate(scene) is BreakerState.HALF_OPEN


def test_connecting_has_a_limit_and_what_is_slow_counts():
    """After 3 s it is given up; more than half of that is slow."""
    slow, stuck = Recogniser("slow", connect_ms=1600), Recogniser("stuck", connect_ms=60_000)

    async def scene():
        for _ in range(2):
            assert await outcome(guarded(slow)) is None
        assert isinstance(await outcome(guarded(slow)), Refused)
        began = running_simulation().time_ms()
        error = await outcome(guarded(stuck))
        return error, running_simulation().time_ms() - began

    error, took = simulate(scene)
    assert isinstance(error, Unreachable)
    assert (took, "3000 ms" in str(error)) == (3000, True)


@pytest.mark.parametrize(
    ("error", "is_counted"),
    [
        (Denied("no", op="connect"), True),
        (Overloaded("later", op="connect"), True),
        (RuntimeError("a defect"), True),
        (ConfigurationError("no such voice", op="connect"), False),
        (Refused("full", op="connect"), False),
    ],
)
def test_what_counts_as_a_failure(error, is_counted):
    """Whatever the service did; not what we asked for or did not ask at all."""
    provider = Recogniser("ears", error, error)

    async def scene():
        wrapped = guarded(provider)
        assert [await outcome(wrapped) for _ in range(2)] == [error, error]
        return shared_board().of("ears").breaker.state

    assert simulate(scene) is (BreakerState.OPEN if is_counted else BreakerState.CLOSED)


def test_a_service_that_says_when_to_come_back_is_left_alone_until_then():
    """One answer is enough, and others are refused for as long."""
    provider = Recogniser("ears", Overloaded("later", op="connect", retry_after=30))

    async def scene():
        await outcome(guarded(provider))
        refused = await outcome(guarded(provider))
        await asyncio.sleep(30)
        return refused, await outcome(guarded(provider))

    refused, after = simulate(scene)
    assert (refused.retry_after, after) == (30, None)


def test_a_service_that_says_so_in_mid_call_is_left_alone_too():
    """Its rate limit concerns those who come, and ends nothing."""

    async def script(link):
        category = ErrorCategory.RATE_LIMIT
        link.emit(ServiceFailed(category=category, message="busy", retry_after_seconds=20))

    provider = ScriptedProvider(script, name="talker")
    events, health = collected(guarded(provider), S2sOptions(), [])
    assert [type(event) for _, event in events] == [ServiceFailed, LinkClosed]
    assert (health.state, health.retry_after) == (BreakerState.OPEN, 10)


def test_cancelling_is_nobodys_failure():
    """Whoever hangs up while it connects leaves nothing behind."""
    provider = Recogniser("ears", connect_ms=1000)

    async def scene():
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await outcome(guarded(provider))
        (health,) = shared_board().health(running_simulation().time())
        return health

    health = simulate(scene)
    assert (health.state, health.failures, health.links) == (BreakerState.CLOSED, 0, 0)


def collected(provider, options, deeds):
    """The events of a link and their times in ms, while the deeds are done at theirs."""

    async def scene():
        events = []
        loop = running_simulation()
        async with provider.connect(options) as link:
            began = loop.time_ms()
            link.attach(lambda event: events.append((loop.time_ms() - began, event)))
            for seconds, deed in deeds:
                await asyncio.sleep(seconds)
                deed(link)
            await asyncio.sleep(10)
            link.send(SendAudio(pcm=bytes(20)))
        (health,) = shared_board().health(loop.time())
        return events, health

    return simulate(scene)


def test_a_recogniser_that_gives_no_final_transcript_has_failed():
    """Interim words do not help: after 500 ms the link is over, and it is counted once."""
    provider = Recogniser("ears", interim=True)
    provider.is_stuck = True

    def ask(link):
        link.send(SendAudio(pcm=pcm_of(speech("hello"))))
        link.send(FinishUtterance(utterance_id=SAID))

    wrapped = guarded(provider, progress=ProgressSettings(final_ms=500))
    events, health = collected(wrapped, SttOptions(), [(1, ask)])
    message = "ears: no final transcript within 500 ms"
    failed = ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True)
    assert events[1:] == [(1500, failed), (1500, LinkClosed(is_clean=False, reason=message))]
    assert (health.failures, health.last_failure) == (1, "no final transcript within 500 ms")


def test_a_voice_that_ends_without_a_sound_has_failed():
    """The end is not passed on: a quota that is used up looks like success otherwise."""
    provider = Voice("mouth")

    def ask(link):
        link.send(SpeakText(context_id=ContextId("c"), text="hello"))
        provider.links[0].to_do.clear()
        link.send(FinishSpeech(context_id=ContextId("c")))

    events, health = collected(guarded(provider), TtsOptions(), [(1, ask)])
    assert [type(event) for _, event in events] == [ServiceFailed, LinkClosed]
    assert not any(isinstance(event, SpeechDone) for _, event in events)
    assert health.last_failure == "it ended its speech without a sound"


@pytest.mark.parametrize(
    ("encoding", "silence"),
    [(Encoding.PCM16, b"\0\0"), (Encoding.MULAW, b"\xff"), (Encoding.ALAW, b"\xd5")],
)
@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_voice_that_speaks_nothing_but_silence_has_failed(encoding, silence, is_asked_for):
    """Also on a telephone, where silence is not zero, be that format asked for or the voice's."""
    shape = AudioFormat(encoding, 8000, 1)
    provider = Voice("mouth")
    wide = pcm16(24000)
    formats = (wide, shape) if is_asked_for else (shape,)
    provider.capabilities = Capabilities(output_formats=formats, is_local=True)

    def ask(link):
        link.send(SpeakText(context_id=ContextId("c"), text="hello"))
        provider.links[0].to_do.clear()
        provider.links[0].speak(ContextId("c"), silence * 160, None)
        link.send(FinishSpeech(context_id=ContextId("c")))

    options = TtsOptions(output_format=shape if is_asked_for else None)
    events, health = collected(guarded(provider), options, [(1, ask)])
    assert [type(event) for _, event in events] == [SpeechAudio, ServiceFailed, LinkClosed]
    assert health.last_failure == "it ended its speech without a sound"


def test_a_conversation_that_is_not_answered_ends_with_what_it_owes():
    """A response that was begun is done, and failed, before the link closes."""

    async def script(link):
        await link.expect(EndUserTurn)
        link.emit(ResponseStarted(response_id=ResponseId("r")))

    provider = ScriptedProvider(script, name="talker")
    wrapped = guarded(provider, progress=ProgressSettings(answer_ms=2000))
    deeds = [(1, lambda link: link.send(EndUserTurn()))]
    events, _ = collected(wrapped, S2sOptions(), deeds)
    assert [(at, type(event)) for at, event in events] == [
        (1000, ResponseStarted),
        (3000, ServiceFailed),
        (3000, ResponseDone),
        (3000, LinkClosed),
    ]
    assert events[2][1].status is ResponseStatus.FAILED
    provider.finish()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_lost_connection_counts_and_an_end_in_order_does_not(is_clean):
    """A fatal error and the loss that follows it are one failure."""

    async def script(link):
        if not is_clean:
            category = ErrorCategory.RETRYABLE
            link.emit(ServiceFailed(category=category, message="defect", is_fatal=True))
        link.emit(LinkClosed(is_clean=is_clean))

    provider = ScriptedProvider(script, name="talker")
    events, health = collected(guarded(provider), S2sOptions(), [])
    assert isinstance(events[-1][1], LinkClosed)
    assert health.failures == (0 if is_clean else 1)


def test_a_breaker_has_the_settings_of_the_first():
    """Two that disagree on it are a mistake; another key is another breaker."""

    async def scene():
        provider = Recogniser("ears")
        board = Board()
        assert await outcome(guarded(provider, board=board)) is None
        assert await outcome(Guarded(provider, board=board)) is None
        other = BreakerSettings(probes=3)
        error = await outcome(Guarded(provider, board=board, breaker=other))
        assert isinstance(error, ConfigurationError)
        assert await outcome(Guarded(provider, board=board, breaker=other, key="eu")) is None
        return [one.name for one in board.health(0)]

    assert simulate(scene) == ["ears", "eu"]


def test_whoever_is_told_and_fails_ends_nothing():
    """What a callback raises is logged."""
    provider = Recogniser("ears", down(), down())

    def fail(_):
        raise RuntimeError("a defect")

    async def scene():
        return [await outcome(guarded(provider, on_change=fail)) for _ in range(3)]

    assert [type(one) for one in simulate(scene)] == [Unreachable, Unreachable, Refused]


def test_no_time_to_connect_makes_no_sense():
    """It is above 0."""
    with pytest.raises(ConfigurationError, match="connect_ms"):
        Guarded(Recogniser(), connect_ms=0)
