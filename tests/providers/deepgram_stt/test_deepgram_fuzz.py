"""Deepgram's codecs are given what no service should send, and orders in any order."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    DropUtterance,
    FinishSpeech,
    FinishUtterance,
    LinkClosed,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.deepgram._capabilities import capabilities
from beluga_voice.providers.stt.deepgram._flux import FluxCodec
from beluga_voice.providers.stt.deepgram._nova import NovaCodec
from beluga_voice.providers.stt.deepgram._options import Settings
from beluga_voice.providers.tick import TICK
from beluga_voice.providers.tts.deepgram._codec import AuraCodec

MODELS = {"nova-3": NovaCodec, "flux-general-en": FluxCodec}
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
) | st.sampled_from([-1, 1e308, 2**63, 1e7, 0.5, "EndOfTurn", "hello"])
KEYS = [
    *("type", "start", "duration", "is_final", "speech_final", "from_finalize", "channel"),
    *("alternatives", "transcript", "words", "word", "end", "confidence", "languages", "event"),
    *("turn_index", "audio_window_start", "audio_window_end", "trigger", "code", "description"),
]
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)
WORD = st.fixed_dictionaries(
    {"word": st.sampled_from(["one", "two"])},
    optional={"start": st.floats(0, 3), "end": st.floats(0, 3), "confidence": st.floats(0, 1)},
)
RESULTS = st.fixed_dictionaries(
    {
        "type": st.just("Results"),
        "start": st.floats(0, 3),
        "duration": st.floats(0, 2),
        "is_final": st.booleans(),
        "speech_final": st.booleans(),
        "from_finalize": st.booleans(),
        "channel": st.fixed_dictionaries(
            {
                "alternatives": st.lists(
                    st.fixed_dictionaries(
                        {
                            "transcript": st.sampled_from(["", "one", "one two"]),
                            "words": st.lists(WORD, max_size=3),
                        }
                    ),
                    max_size=2,
                )
            }
        ),
    }
)
TURN = st.fixed_dictionaries(
    {
        "type": st.just("TurnInfo"),
        "event": st.sampled_from(
            ["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn", "Another"]
        ),
        "turn_index": st.integers(0, 3),
        "audio_window_end": st.floats(0, 5),
        "transcript": st.sampled_from(["", "one", "one two"]),
        "words": st.lists(WORD, max_size=3),
        "end_of_turn_confidence": st.floats(-1, 2),
    }
)
SPOKEN = st.sampled_from(["Flushed", "Cleared", "Warning", "Error", "Metadata"]).map(
    lambda kind: {"type": kind, "sequence_id": 0}
)
KINDS = ["Results", "SpeechStarted", "UtteranceEnd", "Error", "TurnInfo", "Connected", "Warning"]
ODD = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5).flatmap(
    lambda given: st.sampled_from(KINDS).map(lambda kind: {**given, "type": kind})
)
TEXT = (RESULTS | TURN | SPOKEN | ODD | JSON).map(json.dumps) | st.text(max_size=20)
HEARD = st.sampled_from(
    [
        SendAudio(pcm=bytes(3201)),
        SendAudio(pcm=b""),
        DropUtterance(),
        FinishUtterance(utterance_id=UtteranceId("?")),
    ]
)
SAID = st.builds(
    lambda kind, name: (
        SpeakText(context_id=name, text="one two") if kind is SpeakText else kind(context_id=name)
    ),
    st.sampled_from([SpeakText, FinishSpeech, CancelSpeech]),
    st.sampled_from([ContextId("a"), ContextId("b"), ContextId("c")]),
)
PASSES = st.floats(0, 4)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def play(codec, clock, steps):
    """Do all of it as a link does; gives the commands that were sent, and the events."""
    sent, events = [], []

    def go(messages):
        for message in messages:
            codec.passed(message)

    go(codec.hello())
    for step in steps:
        if isinstance(step, float):
            clock.now += step
            step = TICK if codec.alarm.at is not None and codec.alarm.at <= clock.now else None
            if step is TICK:
                codec.alarm.rang()
        if step is None:
            continue
        if isinstance(step, str | bytes):
            with suppress(BrokenProtocol):
                events += codec.decode(step)
            go(codec.replies())
            continue
        if isinstance(step, FinishUtterance):
            step = FinishUtterance(utterance_id=UtteranceId(f"u{len(sent)}"))
        sent.append(step)
        events.append(step)
        go(codec.encode(step))
    events += codec.closed(is_clean=False, code=1011, reason="NET-0000")
    assert isinstance(events[-1], LinkClosed)
    return sent, events


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=120)
@given(steps=st.lists(TEXT | HEARD | PASSES | st.binary(max_size=4), max_size=25))
def test_whatever_comes_each_utterance_is_answered_at_most_once_and_in_order(model, steps):
    """A message gives events or `BrokenProtocol`; no answer is repeated or out of order."""
    clock = Clock()
    made = MODELS[model](SttOptions(), Settings(model=model), capabilities(model), now=clock)
    sent, events = play(made, clock, steps)
    asked = [one.utterance_id for one in sent if isinstance(one, FinishUtterance)]
    answered = [one.utterance_id for one in events if isinstance(one, Transcript) and one.is_final]
    assert answered == [name for name in asked if name in answered]
    assert len(set(answered)) == len(answered)
    assert all(one.text for one in events if isinstance(one, Transcript) and not one.is_final)


@settings(max_examples=120)
@given(steps=st.lists(TEXT | SAID | PASSES | st.binary(max_size=9), max_size=30))
def test_whatever_comes_a_context_that_was_cancelled_is_silent(steps):
    """And each is done once at most, after it was finished."""
    clock = Clock()
    made = AuraCodec(
        TtsOptions(),
        "aura-2-thalia-en",
        mip_opt_out=False,
        pause_seconds=0.3,
        quiet_seconds=10,
        now=clock,
    )
    _, events = play(made, clock, steps)
    finished, cancelled, open_contexts = set(), set(), set()
    for event in events:
        match event:
            case SpeakText():
                open_contexts.add(event.context_id)
            case FinishSpeech():
                open_contexts.add(event.context_id)
                finished.add(event.context_id)
            case CancelSpeech():
                cancelled.add(event.context_id)
            case SpeechAudio():
                assert event.context_id in open_contexts - cancelled
                assert len(event.pcm) % 2 == 0
            case SpeechDone():
                assert event.context_id in finished - cancelled
                finished.remove(event.context_id)
            case _:
                pass
