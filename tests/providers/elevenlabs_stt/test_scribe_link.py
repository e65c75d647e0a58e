"""What a link to Scribe makes of the service, in simulated time."""

import asyncio

import pytest

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.events import (
    EndOfTurnLikely,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.emulators.elevenlabs_stt import Quirks, ScribeEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import running_simulation
from beluga_voice.testing.speech import pcm_of, silence, speech
from providers.elevenlabs_stt.scribe_stage import Desk, desk, play

WORDS = SttOptions(wants_words=True)


def commits(at: Desk) -> list[int]:
    """Of each message that commits: its bytes of sound."""
    return [size for size, is_commit in at.remote.received if is_commit]


def timed_finals(at: Desk) -> list[tuple[float, str | None, str]]:
    """The final transcripts: when, of what, and the words."""
    return [
        (ms, event.utterance_id, event.text)
        for ms, event in at.told
        if isinstance(event, Transcript) and event.is_final
    ]


def test_utterances_have_their_own_words() -> None:
    """Each is answered once, in order, with what was said in it; an empty one with nothing."""

    async def scene() -> Desk:
        async with desk(ScribeEmulator(pace=Pace(transcript_ms=120))) as at:
            await at.say("hello there")
            at.finish("a")
            at.finish("b")
            await at.say("see you")
            at.finish("c")
            await asyncio.sleep(1)
        return at

    at = play(scene)
    assert at.finals == [("a", "hello there"), ("b", ""), ("c", "see you")]
    assert [ms for ms, *_ in timed_finals(at)] == [520, 520, 920]


def test_interim_words_are_all_of_the_utterance() -> None:
    """They grow with what is said, and nobody gets them who does not want them."""

    async def scene(*, wants: bool) -> Desk:
        async with desk(options=SttOptions(wants_interim=wants)) as at:
            await at.say("one two three")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    assert play(lambda: scene(wants=True)).interim == ["one", "one two", "one two three"]
    assert play(lambda: scene(wants=False)).interim == []


@pytest.mark.parametrize(("said_ms", "padding_ms"), [(100, 200), (280, 20), (300, 0), (500, 0)])
def test_a_short_utterance_is_filled_up(said_ms: int, padding_ms: int) -> None:
    """A commit never has less than 0.3 s of sound, and no more silence than that takes."""

    async def scene() -> Desk:
        async with desk() as at:
            await at.say("before all")
            at.finish("a")
            await at.sound(silence(said_ms))
            at.finish("b")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert commits(at) == [0, padding_ms * 32]
    assert at.finals == [("a", "before all"), ("b", "")]


def test_without_the_filling_the_session_would_end() -> None:
    """The service throws out who commits too early: the guard is needed."""

    async def scene() -> Desk:
        async with desk(is_checked=False) as at:
            codec = at.link._codec  # type: ignore[attr-defined]
            codec._uncommitted = 16000  # as if it had counted wrongly
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.remote.errors == ["commit_throttled"]
    (failed,) = at.of(ServiceFailed)
    assert failed.provider_code == "commit_throttled"
    assert failed.is_fatal
    assert isinstance(at.told[-1][1], LinkClosed)


def test_dropped_words_are_not_told() -> None:
    """What was dropped is neither in an interim transcript nor in a final one, however late."""

    async def scene() -> Desk:
        async with desk(ScribeEmulator(pace=Pace(transcript_ms=700))) as at:
            await at.say("forget me")
            at.drop()
            await at.say("see you")
            at.finish("a")
            await asyncio.sleep(1)
            at.drop()
        return at

    at = play(scene)
    assert at.finals == [("a", "see you")]
    later = [event.text for ms, event in at.told if ms > 420 and isinstance(event, Transcript)]
    assert all("forget" not in text for text in later)
    assert len(commits(at)) == 2  # what holds no sound needs no dropping


def test_words_have_times_from_the_start_of_their_utterance() -> None:
    """Times of the session become samples of the utterance; the second copy is told, once."""

    async def scene() -> Desk:
        async with desk(options=WORDS) as at:
            await at.quiet(200)
            await at.say("one two")
            at.finish("a")
            await at.quiet(100)
            await at.say("three")
            at.finish("b")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    first, second = [one for one in at.of(Transcript) if one.is_final]
    sure = pytest.approx(0.904837, abs=1e-6)
    assert first.words == (
        TimedWord(text="one", start=3200, end=6400, confidence=sure),
        TimedWord(text="two", start=6400, end=9600, confidence=sure),
    )
    assert second.words == (TimedWord(text="three", start=1600, end=4800, confidence=sure),)
    assert (first.language, first.confidence) == ("en", sure)


def test_a_repeated_final_is_told_once() -> None:
    """What the service settles a second time is not part of the next utterance."""

    async def scene() -> Desk:
        async with desk(ScribeEmulator(quirks=Quirks(repeats_finals=True))) as at:
            await at.say("hello there")
            at.finish("a")
            await at.say("see you")
            at.finish("b")
            await asyncio.sleep(0.1)
        return at

    assert play(scene).finals == [("a", "hello there"), ("b", "see you")]


def test_what_the_service_settles_by_itself_stays_in_front() -> None:
    """Words that it settles in mid-utterance are in the interim and the final transcripts."""

    async def scene() -> Desk:
        async with desk() as at:
            await at.say("one two")
            at.remote._commit()  # type: ignore[attr-defined]
            await at.say("three")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.finals == [("a", "one two three")]
    assert at.interim[-2:] == ["one two", "one two three"]


def test_a_long_utterance_is_settled_in_parts() -> None:
    """Each minute is committed, before the service would do so, and the words stay together."""

    async def scene() -> Desk:
        async with desk(options=WORDS) as at:
            await at.say("begin")
            for _ in range(2):
                await at.quiet(61_000)
                await at.say("on")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.finals == [("a", "begin on on")]
    assert len(commits(at)) == 3
    assert [word.start for word in at.of(Transcript)[-1].words] == [0, 979_200, 1_958_400]


def test_a_quiet_line_is_kept_awake() -> None:
    """A message without sound goes out each ten seconds, so that the session lives."""

    async def scene() -> Desk:
        async with desk() as at:
            await asyncio.sleep(65)
            await at.say("still there")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.finals == [("a", "still there")]
    assert at.remote.received[:6] == [(0, False)] * 6


def test_an_utterance_that_is_never_settled_ends_the_link() -> None:
    """Words come and no end of them: after `answer_seconds` that is a failure, and told as one."""

    async def scene() -> Desk:
        service = ScribeEmulator(quirks=Quirks(is_never_final=True))
        async with desk(service, answer_seconds=4) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(10)
        return at

    at = play(scene)
    assert at.interim == ["hello", "hello there"]
    ms, failed = at.told[-2]
    assert isinstance(failed, ServiceFailed)
    assert (ms, failed.category, failed.is_fatal) == (4400, ErrorCategory.TIMEOUT, True)
    assert isinstance(at.told[-1][1], LinkClosed)


def test_a_service_that_tells_nothing_is_asked() -> None:
    """After `quiet_seconds` of voice without a word a part is committed; an answer is enough."""

    async def scene() -> Desk:
        service = ScribeEmulator(quirks=Quirks(is_deaf=True))
        async with desk(service, quiet_seconds=2) as at:
            for _ in range(25):
                await at.say("hello")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert len(commits(at)) == 3
    assert at.of(ServiceFailed) == []
    assert at.finals == [("a", "")]


def test_a_service_that_went_quiet_ends_the_link() -> None:
    """Sound flows and nothing comes, not even an answer: the link ends, and says why."""

    async def scene() -> Desk:
        service = ScribeEmulator(faults=[Faults(stall_after_audio_ms=1000)])
        async with desk(service, quiet_seconds=2, answer_seconds=3) as at:
            for _ in range(50):
                await at.say("hello")
        return at

    at = play(scene)
    ms, failed = at.told[-2]
    assert isinstance(failed, ServiceFailed)
    assert failed.category is ErrorCategory.TIMEOUT
    assert ms == 5780  # the last word came at 780 ms, the part was committed at 2780


def test_silence_is_no_reason_to_ask() -> None:
    """Nothing is told of silence, and nothing is the matter."""

    async def scene() -> Desk:
        async with desk(quiet_seconds=2) as at:
            await at.quiet(20_000)
        return at

    at = play(scene)
    assert commits(at) == []
    assert at.of(ServiceFailed) == []


def test_mulaw_is_sent_as_it_is() -> None:
    """Telephone sound is heard, and filled up with its own silence."""
    telephone = AudioFormat(Encoding.MULAW, 8000)

    async def scene() -> Desk:
        async with desk(options=SttOptions(input_format=telephone)) as at:
            at.link.send(SendAudio(pcm=b"\x10" * 800))
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.remote.received == [(800, False), (1600, True)]
    assert at.finals == [("a", "…")]


def test_much_sound_at_once_is_cut() -> None:
    """No message holds more than a second."""

    async def scene() -> Desk:
        async with desk() as at:
            at.link.send(SendAudio(pcm=pcm_of(speech("one two three four five six seven"))))
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    assert at.remote.received == [(32000, False), (12800, False), (0, True)]
    assert at.finals == [("a", "one two three four five six seven")]


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("quota_exceeded", ErrorCategory.INVALID_REQUEST),
        ("rate_limited", ErrorCategory.RATE_LIMIT),
        ("transcriber_error", ErrorCategory.RETRYABLE),
        ("insufficient_audio_activity", ErrorCategory.TIMEOUT),
    ],
)
def test_an_error_in_mid_session(kind: str, category: ErrorCategory) -> None:
    """It is named by its kind, and ends the link."""

    async def scene() -> Desk:
        service = ScribeEmulator(faults=[Faults(error_code=kind)])
        async with desk(service, is_checked=False) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert (failed.category, failed.provider_code, failed.is_fatal) == (category, kind, True)
    assert isinstance(at.told[-1][1], LinkClosed)
    assert at.finals == []


def test_a_session_that_lasted_too_long() -> None:
    """The end of a session by time is told as one."""

    async def scene() -> Desk:
        service = ScribeEmulator(faults=[Faults(expire_after_ms=3000)])
        async with desk(service, is_checked=False) as at:
            await asyncio.sleep(5)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert failed.category is ErrorCategory.SESSION_EXPIRED


def test_a_close_without_a_word() -> None:
    """A close code that means a failure is told as one."""

    async def scene() -> Desk:
        service = ScribeEmulator(faults=[Faults(drop_after_audio_ms=200, close_code=1011)])
        async with desk(service) as at:
            await at.say("hello there")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert failed.category is ErrorCategory.RETRYABLE
    assert at.told[-1][1] == LinkClosed(
        is_clean=False, code=1011, reason=at.of(LinkClosed)[0].reason
    )


def test_a_message_that_cannot_be_read_is_skipped() -> None:
    """It is reported, and the words still come."""

    async def scene() -> Desk:
        service = ScribeEmulator(faults=[Faults(malformed_after_audio_ms=200)])
        async with desk(service) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert failed.category is ErrorCategory.BENIGN
    assert at.finals == [("a", "hello there")]


# ── where the service finds the turns ───────────────────────────────────────────────────────


def test_the_service_ends_an_utterance_by_itself() -> None:
    """It says so after its silence; the words stay, and are the final ones when we end it too."""

    async def scene() -> Desk:
        async with desk(commit_strategy="vad", vad_silence_seconds=0.5) as at:
            await at.say("hello there")
            await at.quiet(600)
            at.finish("a")
            await asyncio.sleep(2)
        return at

    at = play(scene)
    likely = [(ms, event) for ms, event in at.told if isinstance(event, EndOfTurnLikely)]
    assert likely == [(880, EndOfTurnLikely(probability=1.0))]
    assert at.finals == [("a", "hello there")]
    assert at.told[-2][0] == 2000  # a second after the end, in which nothing more came
    assert commits(at) == []


def test_we_end_an_utterance_before_the_service_does() -> None:
    """The silence that it waits for is sent at once, and so the words come at once."""

    async def scene() -> Desk:
        async with desk(commit_strategy="vad") as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.1)
            await at.say("see you")
            at.finish("b")
            await asyncio.sleep(0.1)
        return at

    at = play(scene)
    finals = [
        (ms, event) for ms, event in at.told if isinstance(event, Transcript) and event.is_final
    ]
    assert [(ms, one.utterance_id, one.text) for ms, one in finals] == [
        (400, "a", "hello there"),
        (900, "b", "see you"),
    ]
    assert at.of(EndOfTurnLikely) == []


def test_dropping_where_the_service_finds_the_turns() -> None:
    """Words that were dropped do not come with the next ones."""

    async def scene() -> Desk:
        async with desk(commit_strategy="vad") as at:
            await at.say("forget me")
            at.drop()
            await at.say("see you")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    assert play(scene).finals == [("a", "see you")]


def test_an_empty_utterance_where_the_service_finds_the_turns() -> None:
    """Nothing was understood: after `settle_seconds` that is the answer."""

    async def scene() -> Desk:
        service = ScribeEmulator(pace=Pace(transcript_ms=600))
        async with desk(service, commit_strategy="vad", settle_seconds=0.3) as at:
            await at.quiet(200)
            at.finish("a")
            await asyncio.sleep(1)
            await at.say("see you")
            at.finish("b")
            await asyncio.sleep(1)
        return at

    at = play(scene)
    finals = [
        (ms, event.text)
        for ms, event in at.told
        if isinstance(event, Transcript) and event.is_final
    ]
    assert finals == [(500, ""), (2200, "see you")]


def test_no_words_of_much_sound_where_the_service_finds_the_turns() -> None:
    """A service that hears and tells nothing cannot be asked there: the link ends."""

    async def scene() -> Desk:
        service = ScribeEmulator(quirks=Quirks(is_deaf=True))
        async with desk(service, commit_strategy="vad", quiet_seconds=2) as at:
            for _ in range(15):
                await at.say("hello")
        return at

    at = play(scene)
    (failed,) = at.of(ServiceFailed)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.RETRYABLE, True)


def test_the_link_says_what_it_is_connected_to() -> None:
    """The service's name for the session, and the model."""

    async def scene() -> Desk:
        async with desk() as at:
            pass
        return at

    assert play(scene).of(LinkReady) == [
        LinkReady(remote_id="scribe-0", model="scribe_v2_realtime")
    ]


def test_what_was_said_before_comes_with_the_first_sound() -> None:
    """The service takes it there and nowhere else."""

    async def scene() -> Desk:
        async with desk(previous_text="So, as I said,") as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.1)
        return at

    assert play(scene).finals == [(UtteranceId("a"), "hello there")]


# ── slow and lost connections ───────────────────────────────────────────────────────────────


def test_a_network_that_stands_still() -> None:
    """Nothing can even be sent: the answer is waited for no longer than otherwise."""

    async def scene() -> Desk:
        async with desk(answer_seconds=3) as at:
            running_simulation().network.stall()
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(5)
        return at

    at = play(scene)
    ms, failed = at.told[-2]
    assert isinstance(failed, ServiceFailed)
    assert (ms, failed.category) == (3400, ErrorCategory.TIMEOUT)


def test_a_lost_connection_is_an_event() -> None:
    """What waits for its words gets none, and the link says that it is over."""

    async def scene() -> Desk:
        async with desk(ScribeEmulator(pace=Pace(transcript_ms=500))) as at:
            await at.say("hello there")
            at.finish("a")
            running_simulation().network.reset()
            await asyncio.sleep(0.1)
            at.finish("b")
        return at

    at = play(scene)
    assert at.finals == []
    (closed,) = at.of(LinkClosed)
    assert not closed.is_clean
