"""What a link owes, and by when."""

import pytest

from beluga_voice.audio.formats import Encoding
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    CreateResponse,
    EndUserTurn,
    FinishSpeech,
    FinishUtterance,
    Interrupt,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    SendAudio,
    SendText,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    StartUserTurn,
    Transcript,
    UtteranceId,
)
from beluga_voice.resilience.breaker import Outcome
from beluga_voice.resilience.progress import Progress, ProgressSettings

A, B = ContextId("a"), ContextId("b")
R = ResponseId("r")
LOUD, QUIET = b"\x00\x20" * 10, bytes(20)
ASKED = EndUserTurn()
TEXT, FINISH = SpeakText(context_id=A, text="one"), FinishSpeech(context_id=A)
SOUND, DONE = SpeechAudio(context_id=A, pcm=LOUD), SpeechDone(context_id=A)


EVENTS = (
    SpeechAudio,
    SpeechDone,
    Transcript,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    NoResponse,
)


def final(name):
    return Transcript(text="", is_final=True, utterance_id=UtteranceId(name))


def finish(name):
    return FinishUtterance(utterance_id=UtteranceId(name))


def after(*steps, **settings):
    """The deadline and the outcomes when one thing happens at each second."""
    progress = Progress(ProgressSettings(final_ms=3000, audio_ms=4000, answer_ms=9000), **settings)
    outcomes = []
    for now, step in enumerate(steps):
        if isinstance(step, EVENTS):
            outcomes.append(progress.received(step, float(now)))
        elif step is not None:
            progress.sent(step, float(now))
    return progress.deadline, [one for one in outcomes if one is not None]


GOOD, SLOW, FAILED = Outcome.GOOD, Outcome.SLOW, Outcome.FAILED


@pytest.mark.parametrize(
    ("steps", "deadline", "outcomes"),
    [
        # ── hearing
        ([SendAudio(pcm=LOUD)], None, []),
        ([None, finish("a")], 4, []),
        ([finish("a"), Transcript(text="on", is_final=False)], 3, []),  # interim words do not count
        ([finish("a"), finish("b"), final("a")], 4, [SLOW]),
        ([finish("a"), final("a"), final("a")], None, [GOOD]),
        ([finish("a"), None, final("a")], None, [SLOW]),
        # ── speaking
        ([TEXT], 4, []),
        ([TEXT, SOUND], None, [GOOD]),
        ([TEXT, None, None, SOUND], None, [SLOW]),
        ([TEXT, SOUND, TEXT], 6, [GOOD]),  # the second sentence is owed, too
        ([TEXT, FINISH, SOUND], 6, [GOOD]),  # and so is the end
        ([TEXT, FINISH, SOUND, SOUND, DONE], None, [GOOD]),
        ([TEXT, SpeechAudio(context_id=A, pcm=b"")], 4, []),
        ([TEXT, SpeechAudio(context_id=A, pcm=QUIET)], 4, []),
        ([TEXT, SOUND, SpeechAudio(context_id=A, pcm=QUIET)], None, [GOOD]),  # a pause
        ([TEXT, FINISH, DONE], None, [FAILED]),  # an end without a sound
        ([SpeakText(context_id=A, text=" … "), FINISH, DONE], None, []),  # nothing to be heard
        ([FINISH, DONE], None, []),
        ([TEXT, CancelSpeech(context_id=A)], None, []),
        ([TEXT, SpeakText(context_id=B, text="two"), SOUND], 6, [GOOD]),  # in turns
        # ── conversing
        ([ASKED], 9, []),
        ([ASKED, CreateResponse()], 9, []),
        ([SendText(text="so", respond=False), EndUserTurn(respond=False)], None, []),
        ([ASKED, ResponseStarted(response_id=R)], 9, []),
        ([ASKED, ResponseAudio(response_id=R, pcm=LOUD)], None, [GOOD]),
        ([ASKED, NoResponse()], None, [GOOD]),
        ([ASKED, *[None] * 5, NoResponse()], None, [SLOW]),
        ([ASKED, StartUserTurn()], None, []),
        ([ASKED, Interrupt(response_id=R, heard_samples=0, heard_text="")], None, []),
        ([ResponseDone(response_id=R, status=ResponseStatus.FAILED)], None, [FAILED]),
    ],
)
def test_what_is_owed_has_a_deadline(steps, deadline, outcomes):
    """Three seconds for a final transcript, four for sound, nine for a response."""
    assert after(*steps) == (deadline, outcomes)


def test_a_voice_that_does_not_stream_owes_nothing_before_its_text_is_whole():
    """It cannot begin."""
    assert after(TEXT, is_streaming=False) == (None, [])
    assert after(TEXT, FINISH, is_streaming=False) == (5, [])


@pytest.mark.parametrize(
    ("encoding", "silence"),
    [
        (Encoding.MULAW, b"\xff\x7f\xff"),
        (Encoding.ALAW, b"\xd5\x55\xd5"),
        (Encoding.FLOAT32, bytes(8)),
        (Encoding.PCM32, bytes(8)),
    ],
)
def test_silence_is_none_of_the_sound_that_is_owed(encoding, silence):
    """In every encoding a voice that gives digital silence is mute, and fails when it ends."""
    quiet, loud = (SpeechAudio(context_id=A, pcm=pcm) for pcm in (silence, silence + b"\x12"))
    assert after(TEXT, quiet, encoding=encoding) == (4, [])
    assert after(TEXT, FINISH, quiet, DONE, encoding=encoding) == (None, [FAILED])
    assert after(TEXT, loud, encoding=encoding) == (None, [GOOD])


@pytest.mark.parametrize("name", ["final_ms", "audio_ms", "answer_ms", "slow_share"])
def test_no_time_at_all_makes_no_sense(name):
    """Each is above 0."""
    with pytest.raises(ConfigurationError, match=name):
        ProgressSettings(**{name: 0})
