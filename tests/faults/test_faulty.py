"""Each fault does what it says, to the millisecond, and breaks no promise that it is not about."""

import asyncio

import pytest

from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Unreachable,
)
from beluga_voice.events import (
    ErrorCategory,
    GoingAway,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ServiceFailed,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    Transcript,
)
from beluga_voice.interfaces import S2sOptions, TtsOptions
from beluga_voice.testing.faults import (
    UP,
    Brownout,
    Close,
    Complaint,
    Corrupt,
    Corruption,
    Delay,
    Duplicate,
    DuplicateFinals,
    Expiry,
    Faulty,
    Hang,
    Jitter,
    Loss,
    Matter,
    NoFinal,
    OnlySilence,
    Phase,
    Refusal,
    Refused,
    Reorder,
    Reset,
    Slicer,
    StaleFinal,
    Struck,
    Truncate,
    WavHeader,
    When,
    WrongRate,
    ZeroAudio,
)
from beluga_voice.testing.loop import Deadlock, running_simulation, simulate
from beluga_voice.testing.speech import is_loud
from faults.faulty_parts import (
    FRAME,
    closed,
    converse,
    ears,
    frames,
    recognise,
    run,
    service,
    speak,
    voice,
)


def test_without_faults_nothing_changes():
    """The same events come at the same times, for each kind of provider."""
    assert run(speak, Faulty(voice())).all[:-1] == run(speak, voice()).all
    assert (
        run(recognise, Faulty(ears()), "hello you").all[:-1]
        == run(recognise, ears(), "hello you").all
    )
    assert run(converse, Faulty(service())).all == run(converse, service()).all


# ── time ────────────────────────────────────────────────────────────────────────────────────


def test_a_delay_adds_to_everything_and_keeps_the_order():
    """The first sound comes 300 ms later than the 30 ms of the voice."""
    told = run(speak, Faulty(voice(), Delay(ms=300)))
    assert set(told.times(SpeechAudio)) == {330}
    assert told.words == "alpha bravo"
    assert told.kinds[-2:] == ["SpeechDone", "LinkClosed"]


def test_a_delay_on_the_way_up_lets_the_service_hear_later():
    """The transcript comes 50 ms after an end of utterance that took 200 ms."""
    told = run(recognise, Faulty(ears(), Delay(ms=200, direction=UP)), "hello")
    assert told.times(Transcript) == [200 + 200 + 50]


def test_jitter_spreads_what_comes_and_reorders_nothing():
    """The same seed gives the same times, another one others; all words are whole."""
    times = [run(speak, Faulty(voice(), Jitter(ms=100), seed=seed)) for seed in (1, 1, 2)]
    first, again, other = [one.times(SpeechAudio) for one in times]
    assert first == again != other
    assert first == sorted(first)
    assert 30 < first[0] < first[-1] < 130
    assert times[0].words == "alpha bravo"


def test_a_hang_lets_nothing_come_until_it_is_over():
    """It begins with the first sound; 500 ms later all is there, in order."""
    when = When(phase=Phase.ANSWERING, lasting_ms=500)
    told = run(speak, Faulty(voice(), Hang(when=when)))
    assert set(told.times(SpeechAudio)) == {530}
    assert told.words == "alpha bravo"


def test_a_hang_that_never_ends_is_ended_by_leaving():
    """Not even the loss of the link comes, and what has begun is ended with it."""
    faulty = Faulty(service(), Hang(when=When(phase=Phase.ANSWERING, after_events=3)))
    told = run(converse, faulty)
    assert len(told.of(ResponseAudio)) == 3
    assert told.of(ResponseDone) == [
        ResponseDone(response_id="r1", status=ResponseStatus.FAILED, reason="")
    ]
    assert closed(told) == (1100, True, None)
    assert faulty.struck == [Struck(fault="hang", connection=1, at_ms=140)]


def test_a_link_that_hangs_from_the_beginning_opens_and_says_nothing():
    """The handshake is done, and no event ever comes."""
    told = run(converse, Faulty(service(), Hang()))
    assert told.kinds == ["LinkClosed"]


def test_connecting_hangs_for_ever_or_for_a_while():
    """For ever until somebody gives up; for a while adds to the time that it takes."""

    async def scene(lasting_ms):
        hang = Hang(when=When(phase=Phase.CONNECTING, lasting_ms=lasting_ms))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                async with Faulty(voice(), hang).connect(TtsOptions()):
                    return running_simulation().time_ms()
        return None

    async def hangs_alone():
        async with Faulty(voice(), Hang(when=When(phase=Phase.CONNECTING))).connect(TtsOptions()):
            pass

    async def slowly():
        hang = Hang(when=When(phase=Phase.CONNECTING, lasting_ms=700))
        async with Faulty(voice(), hang).connect(TtsOptions()):
            return running_simulation().time_ms()

    assert simulate(lambda: scene(None)) is None
    assert simulate(slowly) == 700
    with pytest.raises(Deadlock):
        simulate(hangs_alone)


def test_a_brownout_slows_connecting_and_every_answer():
    """Each by 2 s, and nothing fails."""
    told = run(speak, Faulty(voice(), Brownout(slow_ms=2000)), wait=3.0)
    assert set(told.times(SpeechAudio)) == {2000 + 30 + 2000}
    assert told.of(ServiceFailed) == []


def test_in_a_brownout_answers_fail_as_the_link_knows_failures():
    """A response fails, speech has no sound, and a transcript no words; each is ended."""
    brown = Brownout(slow_ms=10, failing=1.0, when=When())
    response = run(converse, Faulty(service(), brown))
    assert response.of(ResponseAudio) == []
    assert [one.status for one in response.of(ResponseDone)] == [ResponseStatus.FAILED]
    spoken = run(speak, Faulty(voice(), brown))
    assert spoken.kinds == ["ServiceFailed", "SpeechDone", "LinkClosed"]
    heard = run(recognise, Faulty(ears(), brown), "hello")
    assert heard.kinds == ["ServiceFailed", "Transcript", "LinkClosed"]
    assert heard.of(Transcript) == [Transcript(text="", is_final=True, utterance_id="u1")]


def test_in_a_brownout_so_large_a_part_of_the_connections_is_refused():
    """Of forty, about half, and the same ones with the same seed."""

    async def scene(seed):
        faulty = Faulty(voice(), Brownout(slow_ms=1, failing=0.5), seed=seed)
        refused = []
        for number in range(40):
            try:
                async with faulty.connect(TtsOptions()):
                    pass
            except Overloaded:
                refused.append(number)
        return refused

    one, again, other = (simulate(lambda seed=seed: scene(seed)) for seed in (1, 1, 2))
    assert one == again != other
    assert 10 < len(one) < 30


# ── streams ─────────────────────────────────────────────────────────────────────────────────


def test_lost_pieces_are_missing_and_the_end_comes_all_the_same():
    """Of 20 pieces some are lost, on the way from the service or to it."""
    told = run(speak, Faulty(voice(), Loss(share=0.3), seed=3))
    assert 10 < len(told.of(SpeechAudio)) < 18
    assert len(told.of(SpeechDone)) == 1
    heard = run(recognise, Faulty(ears(), Loss(share=0.3, direction=UP), seed=3), "hello you")
    assert heard.of(Transcript)[0].text != "hello you"
    wordless = run(speak, Faulty(voice(), Loss(share=1.0, of=Matter.WORDS)))
    assert wordless.of(SpeechWords) == []
    assert wordless.words == "alpha bravo"


def test_lost_words_are_never_those_that_are_final():
    """Interim transcripts go missing, the final one does not."""
    told = run(recognise, Faulty(ears(interim=True), Loss(share=1.0, of=Matter.WORDS)), "hello you")
    assert [(one.text, one.is_final) for one in told.of(Transcript)] == [("hello you", True)]


def test_duplicates_follow_what_they_double():
    """Every piece of sound comes twice in a row."""
    told = run(speak, Faulty(voice(), Duplicate(share=1.0)))
    pieces = [one.pcm for one in told.of(SpeechAudio)]
    assert len(pieces) == 40
    assert pieces[::2] == pieces[1::2] == frames("alpha bravo", rate=24000)


def test_reordered_pieces_change_places_within_their_answer():
    """All of them come, in another order, and the end is still the end."""
    told = run(speak, Faulty(voice(has_word_times=False), Reorder(share=0.5), seed=1))
    pieces = [one.pcm for one in told.of(SpeechAudio)]
    wanted = frames("alpha bravo", rate=24000)
    assert pieces != wanted
    assert sorted(pieces) == sorted(wanted)
    assert max(abs(pieces.index(one) - wanted.index(one)) for one in wanted) == 1
    assert told.kinds == ["SpeechAudio", "SpeechDone", "LinkClosed"]


def test_sliced_sound_is_the_same_sound_in_odd_pieces():
    """From 1 to 7 samples each, in both directions; nothing is lost."""
    told = run(speak, Faulty(voice(), Slicer(largest=7)))
    lengths = {len(one.pcm) for one in told.of(SpeechAudio)}
    assert lengths == {2, 4, 6, 8, 10, 12, 14}
    assert told.words == "alpha bravo"
    assert run(recognise, Faulty(ears(), Slicer(direction=UP)), "hello").of(Transcript)[0].text == (
        "hello"
    )


def test_a_truncated_answer_ends_early_as_if_it_were_whole():
    """After 250 ms, with a good end and none after it."""
    told = run(speak, Faulty(voice(), Truncate(keep_ms=250)))
    assert len(told.sound) == FRAME * 25 // 2
    assert told.words == "alpha"
    assert len(told.of(SpeechDone)) == 1
    response = run(converse, Faulty(service(), Truncate(keep_ms=200)))
    assert [one.status for one in response.of(ResponseDone)] == [ResponseStatus.COMPLETED]
    assert response.times(ResponseDone) == [100 + 180]
    assert response.words == "alpha"


def test_a_truncated_utterance_is_heard_in_part_each_time():
    """The recogniser gets 200 ms of each."""
    faulty = Faulty(ears(), Truncate(keep_ms=200, direction=UP))
    told = run(recognise, faulty, "hello you", "good bye")
    assert [one.text for one in told.of(Transcript)] == ["hello", "good"]


# ── sound ───────────────────────────────────────────────────────────────────────────────────


def test_success_without_a_sound_has_words_and_an_end():
    """No sound, no times of it, and a good end; without words it is an empty answer."""
    told = run(converse, Faulty(service(), ZeroAudio()))
    assert told.of(ResponseAudio) == []
    assert told.of(ResponseText) == [ResponseText(response_id="r1", delta="alpha bravo")]
    assert [one.status for one in told.of(ResponseDone)] == [ResponseStatus.COMPLETED]
    empty = run(converse, Faulty(service(), ZeroAudio(keeps_words=False)))
    assert empty.of(ResponseText) == []
    assert run(speak, Faulty(voice(), ZeroAudio())).kinds == ["SpeechDone", "LinkClosed"]


def test_only_silence_is_as_long_as_the_sound_was():
    """Zeros, piece by piece."""
    told = run(speak, Faulty(voice(), OnlySilence()))
    assert told.sound == bytes(FRAME * 20)


def test_sound_of_a_wrong_rate_is_shorter_or_longer_than_it_should_be():
    """24 kHz that is 16 kHz in truth plays in two thirds of the time."""
    told = run(speak, Faulty(voice(), WrongRate(rate=16000)))
    assert len(told.sound) == FRAME * 20 * 2 // 3
    assert len(run(speak, Faulty(voice(), WrongRate())).sound) == FRAME * 10
    assert told.kinds[-2:] == ["SpeechDone", "LinkClosed"]


def test_a_header_comes_once_before_the_sound_of_an_answer():
    """44 bytes of a WAV file, and then the sound as it was."""
    sound = run(speak, Faulty(voice(), WavHeader())).sound
    assert sound[:4] == b"RIFF"
    assert sound[44:] == run(speak, voice()).sound


@pytest.mark.parametrize("how", [Corruption.NOISE, Corruption.HALF_SAMPLES])
def test_corrupt_sound_is_no_sound_of_words(how):
    """Noise of the same length, or pieces that end inside a sample."""
    told = run(speak, Faulty(voice(), Corrupt(how=how)))
    lengths = {len(one.pcm) for one in told.of(SpeechAudio)}
    assert lengths == {FRAME - (how is Corruption.HALF_SAMPLES)}
    assert told.words != "alpha bravo"
    assert is_loud(told.sound)


def test_corrupt_words_are_other_letters():
    """Of the same length, in transcripts and in answers."""
    text = run(recognise, Faulty(ears(), Corrupt(how=Corruption.WORDS)), "hello you")
    (final,) = text.of(Transcript)
    assert final.text != "hello you"
    assert [len(word) for word in final.text.split()] == [5, 3]
    (delta,) = run(converse, Faulty(service(), Corrupt(how=Corruption.WORDS))).of(ResponseText)
    assert delta.delta != "alpha bravo"


# ── transcripts ─────────────────────────────────────────────────────────────────────────────


def test_no_transcript_is_ever_final():
    """What would have been is told as one that is not."""
    told = run(recognise, Faulty(ears(), NoFinal()), "hello")
    assert told.of(Transcript) == [Transcript(text="hello", is_final=False)]
    (turn,) = run(converse, Faulty(service(), NoFinal())).of(InputTranscript)
    assert not turn.is_final


def test_final_transcripts_come_again():
    """Twice more, word for word."""
    told = run(recognise, Faulty(ears(), DuplicateFinals(copies=2)), "hello")
    assert [one.text for one in told.of(Transcript)] == ["hello"] * 3


def test_the_final_of_the_last_turn_comes_in_the_next():
    """When the person speaks again, at 1200 ms."""
    told = run(recognise, Faulty(ears(), StaleFinal()), "hello", "bye")
    assert [(at, told.of(Transcript)[n].text) for n, at in enumerate(told.times(Transcript))] == [
        (250, "hello"),
        (1200, "hello"),
        (1450, "bye"),
    ]


# ── the link ────────────────────────────────────────────────────────────────────────────────


def test_a_reset_loses_what_is_on_its_way():
    """After five pieces of sound the link is gone, and the response has failed before it."""
    when = When(phase=Phase.ANSWERING, after_events=5)
    told = run(converse, Faulty(service(), Delay(ms=30), Reset(when=when)))
    assert len(told.of(ResponseAudio)) == 3
    assert told.kinds[-2:] == ["ResponseDone", "LinkClosed"]
    assert closed(told) == (180, False, None)


@pytest.mark.parametrize(("code", "is_clean"), [(1000, True), (1001, True), (1011, False)])
def test_a_close_with_a_code_comes_after_what_is_on_its_way(code, is_clean):
    """All five pieces come, 30 ms late, then the end with its code."""
    when = When(phase=Phase.ANSWERING, after_events=5)
    told = run(converse, Faulty(service(), Delay(ms=30), Close(code=code, when=when)))
    assert len(told.of(ResponseAudio)) == 5
    assert [one.status for one in told.of(ResponseDone)] == [ResponseStatus.FAILED]
    assert closed(told) == (210, is_clean, code)


@pytest.mark.parametrize("phase", [Phase.HEARING, Phase.AWAITED, Phase.ANSWERING, Phase.ANSWERED])
def test_a_link_is_reset_at_a_phase(phase):
    """What begins the phase does not get through any more."""
    told = run(converse, Faulty(service(), Reset(when=When(phase=phase))))
    at = {Phase.HEARING: 0, Phase.AWAITED: 100, Phase.ANSWERING: 100, Phase.ANSWERED: 500}[phase]
    assert closed(told) == (at, False, None)
    assert len(told.of(ResponseAudio)) == (20 if phase is Phase.ANSWERED else 0)
    assert len(told.of(ResponseStarted)) == len(told.of(ResponseDone))


def test_an_expiry_is_announced_or_not():
    """With a warning, the end comes so much later than it."""
    when = When(after_ms=50)
    told = run(converse, Faulty(service(), Expiry(warning_ms=400, when=when)))
    assert told.times(GoingAway) == [50]
    assert told.of(GoingAway) == [GoingAway(time_left_seconds=0.4)]
    assert closed(told) == (450, True, 1001)
    silent = run(converse, Faulty(service(), Expiry(when=when)))
    assert silent.of(GoingAway) == []
    assert closed(silent) == (50, True, 1001)
    # A voice knows no warning: the end comes when it would with one.
    assert closed(run(speak, Faulty(voice(), Expiry(warning_ms=400, when=when)))) == (
        450,
        True,
        1001,
    )


def test_a_complaint_is_told_and_ends_the_link_only_if_it_is_fatal():
    """After an interruption, as services complain that there is nothing to cancel."""

    async def stop(link):
        await asyncio.sleep(0.1)
        link.send(Interrupt(response_id="r1", heard_samples=0, heard_text=""))

    async def interrupted(link):
        link.emit(LinkReady())
        await link.expect(object)
        await link.expect(object)
        await link.expect(Interrupt)

    complaint = Complaint(when=When(phase=Phase.INTERRUPTED), provider_code="nothing_to_cancel")
    told = run(converse, Faulty(service(interrupted), complaint), during=stop)
    (failed,) = told.of(ServiceFailed)
    assert (failed.category, failed.provider_code) == (
        ErrorCategory.INVALID_REQUEST,
        "nothing_to_cancel",
    )
    assert closed(told) == (1200, True, None)
    fatal = run(converse, Faulty(service(), Complaint(is_fatal=True)))
    assert fatal.kinds == ["ServiceFailed", "LinkClosed"]
    assert closed(fatal) == (0, False, None)


@pytest.mark.parametrize(
    ("why", "error"),
    [
        (Refused.UNREACHABLE, Unreachable),
        (Refused.OVERLOADED, Overloaded),
        (Refused.DENIED, Denied),
        (Refused.REJECTED, Rejected),
    ],
)
def test_connecting_is_refused_as_services_refuse(why, error):
    """With the error for it, naming the provider, and without asking the provider."""
    inner = voice()

    async def scene():
        with pytest.raises(error) as caught:
            async with Faulty(inner, Refusal(why=why)).connect(TtsOptions()):
                pass
        return caught.value

    assert simulate(scene).provider == "scripted_tts"
    assert inner.links == []


def test_a_service_that_is_overloaded_says_when_to_come_back():
    """In seconds, and only the first two connections are refused."""
    refusal = Refusal(
        why=Refused.OVERLOADED,
        retry_after=30,
        when=When(phase=Phase.CONNECTING, connections=2),
    )

    async def scene():
        faulty = Faulty(voice(), refusal)
        waits = []
        for _ in range(3):
            try:
                async with faulty.connect(TtsOptions()):
                    waits.append("open")
            except ProviderError as error:
                waits.append(error.retry_after)
        return waits

    assert simulate(scene) == [30, 30, "open"]


# ── promises ────────────────────────────────────────────────────────────────────────────────


def test_sound_that_was_delayed_does_not_come_after_an_interruption():
    """The order is obeyed at once by the link, however late the service learns of it."""

    async def stop(link):
        await asyncio.sleep(0.2)
        stopped.append(running_simulation().time_ms())
        link.send(Interrupt(response_id="r1", heard_samples=0, heard_text=""))

    async def forgiving(link):
        link.emit(LinkReady(), ResponseStarted(response_id="r1"))
        for frame in frames("alpha bravo charlie", rate=24000):
            link.emit(ResponseAudio(response_id="r1", pcm=frame))
            await asyncio.sleep(0.02)
        link.emit(ResponseDone(response_id="r1", status=ResponseStatus.COMPLETED))

    stopped = []
    told = run(converse, Faulty(service(forgiving), Delay(ms=150)), during=stop)
    assert stopped == [300]
    assert max(told.times(ResponseAudio)) < 300
    assert len(told.of(ResponseDone)) == 1


def test_faults_meet_what_passes_in_their_order():
    """Sound that is doubled and then cut into slices is not what is cut and then doubled."""
    faults = (Duplicate(share=1.0), Truncate(keep_ms=100))
    doubled = run(speak, Faulty(voice(), *faults))
    cut = run(speak, Faulty(voice(), *reversed(faults)))
    assert len(doubled.sound) == FRAME * 5
    assert len(cut.sound) == FRAME * 10


def test_a_fault_shifts_no_other_by_its_randomness():
    """What jitter does is the same with another random fault beside it."""
    alone = run(speak, Faulty(voice(), Jitter(ms=50), seed=5))
    beside = run(speak, Faulty(voice(), Jitter(ms=50), Corrupt(share=0.5), seed=5))
    assert alone.times(SpeechAudio) == beside.times(SpeechAudio)


# ── when ────────────────────────────────────────────────────────────────────────────────────


def test_a_fault_strikes_the_connections_that_it_is_meant_for():
    """The first two; every third; or each with a probability, by the seed."""

    def struck(**when):
        async def scene():
            faulty = Faulty(service(), Reset(when=When(**when)), seed=4)
            for _ in range(9):
                async with faulty.connect(S2sOptions()) as link:
                    link.attach(lambda _: None)
                    await asyncio.sleep(0.01)
            return [one.connection for one in faulty.struck]

        return simulate(scene)

    assert struck(connections=2) == [1, 2]
    assert struck(every=3) == [3, 6, 9]
    assert struck(every=3, connections=2) == [3, 6]
    assert struck() == list(range(1, 10))
    by_chance = struck(chance=0.5)
    assert by_chance == struck(chance=0.5)
    assert 2 <= len(by_chance) <= 7


def test_a_fault_strikes_for_a_while_and_then_no_more():
    """From 200 ms to 300 ms of the response, sound is silent; before and after it is not."""
    when = When(phase=Phase.ANSWERING, after_ms=100, lasting_ms=100)
    told = run(converse, Faulty(service(), OnlySilence(when=when)))
    silent = [
        at for at, event in told.all if isinstance(event, ResponseAudio) and not is_loud(event.pcm)
    ]
    assert silent == [200, 220, 240, 260, 280]


def test_the_second_time_that_a_phase_comes_can_be_meant():
    """The first utterance is transcribed, and with the second the link is reset."""
    when = When(phase=Phase.AWAITED, occurrence=2)
    told = run(recognise, Faulty(ears(), Reset(when=when)), "hello", "bye")
    assert [one.text for one in told.of(Transcript)] == ["hello"]
    assert closed(told)[0] == 1400


@pytest.mark.parametrize(
    "make",
    [
        lambda: When(occurrence=0),
        lambda: When(every=0),
        lambda: When(after_ms=-1),
        lambda: When(after_events=-1),
        lambda: When(lasting_ms=0),
        lambda: When(connections=0),
        lambda: When(chance=0),
        lambda: Loss(share=0),
        lambda: Delay(ms=0),
        lambda: Jitter(ms=-1),
        lambda: Brownout(slow_ms=0),
        lambda: Brownout(failing=2),
        lambda: Slicer(smallest=3, largest=2),
        lambda: Truncate(keep_ms=0),
        lambda: Close(code=999),
        lambda: Expiry(warning_ms=0),
        lambda: DuplicateFinals(copies=0),
        lambda: NoFinal(direction=UP),
        lambda: Refusal(when=When()),
        lambda: Refusal(why=Refused.DENIED, retry_after=3),
        lambda: Reset(when=When(phase=Phase.CONNECTING)),
        lambda: Corrupt(how=Corruption.WORDS, direction=UP),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(make):
    """When it is declared, naming what to change."""
    with pytest.raises(ConfigurationError):
        make()


def test_options_of_no_kind_are_refused():
    """Faults have to know what the events mean."""

    async def scene():
        with pytest.raises(ConfigurationError, match="str are no options"):
            async with Faulty(voice(), Delay()).connect("options"):
                pass

    simulate(scene)


def test_a_faulty_provider_shows_its_seed():
    """So that a test that fails can be repeated."""
    assert repr(Faulty(voice(), seed=77)) == "Faulty(scripted_tts, seed=77)"


def test_the_link_says_that_it_is_closed_only_once():
    """Also when the service ends the link in the same moment as the fault."""
    told = run(converse, Faulty(service(), Reset(when=When(after_ms=1100))))
    assert len(told.of(LinkClosed)) == 1
