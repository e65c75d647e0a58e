"""What of a call is written down, and what never is."""

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    AnswerTool,
    EndUserTurn,
    InputTranscript,
    Interrupt,
    LinkReady,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseStatus,
    ResumptionChanged,
    Role,
    SeedHistory,
    SendAudio,
    ServiceFailed,
    TimedWord,
    ToolCalled,
    ToolSpec,
    Usage,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.resilience.redaction import EMPTY_SCHEMA, hashed, masked, scrubbed, told


def test_words_are_told_by_their_length():
    """Letters, digits and the rest can be told apart, and nothing can be read."""
    item = InputTranscript(
        utterance_id="u-1",
        text="Call me: +43 660 12, Éva!",
        is_final=True,
        words=(TimedWord(text="Call", start=0, end=10, confidence=0.5),),
    )
    assert told(item) == {
        "utterance_id": "u-1",
        "text": "xxxx xx: +00 000 00, xxx!",
        "is_final": True,
        "words": [{"text": "xxxx", "start": 0, "end": 10, "confidence": 0.5}],
    }
    assert told(item, keeps_words=True)["text"] == "Call me: +43 660 12, Éva!"


def test_sound_is_told_by_its_length_and_a_hash():
    """Silence is told as such; sound that is kept can be had back."""
    pcm = b"\x01\x02" * 40
    assert told(SendAudio(pcm=pcm)) == {"pcm": {"bytes": 80, "sha256": hashed(pcm)}}
    silent = told(ResponseAudio(response_id="r", pcm=bytes(80)))
    assert silent["pcm"]["silent"]
    kept = told(SendAudio(pcm=pcm), keeps_audio=True)
    assert base64.b64decode(kept["pcm"]["base64"]) == pcm


@pytest.mark.parametrize("keeps_words", [False, True])
def test_secrets_are_never_told(keeps_words):
    """Neither the handles of conversations nor what looks like a credential in a message."""
    items = [
        ResumptionChanged(handle="handle-of-a-conversation"),
        LinkReady(remote_id="sess_4711", model="voice-1"),
        S2sOptions(resume="handle-of-a-conversation", instructions="key: sk-abcdefghijklmnop"),
        ServiceFailed(
            category="auth",
            message="Incorrect API key provided: sk-proj-1234567890abcdef. token=abcdefgh",
            provider_code="sk-1234567890abcdef",
        ),
        ServiceFailed(category="rate_limit", message="", provider_code="rate_limit_exceeded"),
        AnswerTool(call_id="c", output="Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc"),
        InputTranscript(utterance_id="u", text="my card is 4111 1111 1111 1111", is_final=True),
    ]
    text = json.dumps([told(one, keeps_words=keeps_words) for one in items])
    for secret in ("handle-of", "4711", "sk-", "abcdefgh", "eyJ", "1111"):
        assert secret not in text
    assert '"voice-1"' in text
    assert '"rate_limit_exceeded"' in text


def test_a_tool_call_keeps_its_form():
    """The names of parameters stay, their values go; what is no JSON is masked as text."""
    called = ToolCalled(call_id="c", name="book", arguments='{"who":"Éva","seats":[2,true,null]}')
    assert told(called) == {
        "call_id": "c",
        "name": "book",
        "arguments": '{"who":"xxx","seats":[0,true,null]}',
        "response_id": None,
    }
    assert told(AnswerTool(call_id="c", output="Row 7"))["output"] == "xxx 0"


def test_options_are_told_without_what_the_application_wrote():
    """Formats and names of tools stay; instructions, descriptions and history are masked."""
    options = S2sOptions(
        instructions="Be kind",
        tools=(ToolSpec(name="book", description="Books", parameters='{"a":1}'),),
        history=(Message(role=Role.USER, text="Hello"),),
        input_format=pcm16(16000),
    )
    form = told(options)
    assert form["instructions"] == "xx xxxx"
    assert form["tools"] == [{"name": "book", "description": "xxxxx", "parameters": EMPTY_SCHEMA}]
    assert form["history"] == [{"role": "user", "text": "xxxxx", "is_cut": False}]
    assert form["input_format"] == {"encoding": "pcm16", "rate": 16000, "channels": 1}
    seeded = told(SeedHistory(items=options.history))
    assert seeded["items"] == form["history"]


def test_what_is_no_word_stays():
    """Positions, statuses and counts are what a replay needs."""
    assert told(EndUserTurn(respond=False)) == {"respond": False}
    interrupt = Interrupt(response_id="r", heard_samples=480, heard_text="so far")
    assert told(interrupt) == {"response_id": "r", "heard_samples": 480, "heard_text": "xx xxx"}
    done = ResponseDone(response_id="r", status=ResponseStatus.FAILED, usage=Usage(input_tokens=3))
    assert told(done)["status"] == "failed"
    assert told(done)["usage"]["input_tokens"] == 3


@given(some.text())
def test_masking_leaves_no_letter_and_is_done_once(text):
    """Of whatever alphabet; masking again changes nothing."""
    once = masked(text)
    assert not any(one.isalpha() and one != "x" for one in once)
    assert not any(one.isdigit() and one != "0" for one in once)
    assert masked(once) == once
    assert len(once) == len(text)


@given(some.text(alphabet="0123456789 -", max_size=80))
def test_no_number_as_long_as_a_cards_is_kept(digits):
    """However it is grouped by single spaces or hyphens."""
    assert re.search(r"\d(?:[ -]?\d){12}", scrubbed(digits)) is None


@pytest.mark.parametrize(
    "text",
    ["it is four in the afternoon", "row 7, seat 12", "call 0660 123456", "a key to my heart"],
)
def test_plain_talk_is_not_scrubbed_away(text):
    """Only what looks like a secret is."""
    assert scrubbed(text).replace("[secret]", "").split()[0] == text.split()[0]
