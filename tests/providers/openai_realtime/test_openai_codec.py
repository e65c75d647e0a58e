"""The OpenAI Realtime codec: tables of messages and events, and what no message may do."""

import base64
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CreateResponse,
    DelegationId,
    EndUserTurn,
    ErrorCategory,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Message,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolResult,
    ToolSpec,
    ToolUse,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import Latency, S2sOptions, TurnOwner
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime, SemanticVad, ServerVad
from beluga_voice.providers.s2s.openai_realtime._capabilities import capabilities
from beluga_voice.providers.s2s.openai_realtime._codec import OpenAIRealtimeCodec
from beluga_voice.providers.s2s.openai_realtime._options import Settings, url_of
from beluga_voice.providers.s2s.openai_realtime._reading import HANDLED, IGNORED
from providers.openai_realtime.openai_stage import check_client, check_server

OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
RESPONSE = ResponseId("3-resp_1")
SOUND = b"\x01\x02" * 2400
"""100 ms at 24 kHz."""


class Wire:
    """A codec, with messages as dictionaries: those we send are checked by the official models."""

    def __init__(self, options=None, *, ready=True, **settings):
        settings = Settings(model="gpt-realtime-2.1", **settings)
        able = capabilities(has_transcripts=settings.transcription is not None)
        self.codec = OpenAIRealtimeCodec(options or S2sOptions(), settings, able, link=3)
        self.hello = self._read(self.codec.hello())
        if ready:
            self.hear("session.updated", session={})

    def _read(self, messages):
        sent = [json.loads(message) for message in messages]
        for one in sent:
            check_client(one)
        return sent

    def send(self, command):
        """What becomes of a command, without the names of messages."""
        return [plain(one) for one in self._read(self.codec.encode(command))]

    def hear(self, kind, **fields):
        """The events of a message."""
        return self.codec.decode(json.dumps({"type": kind, "event_id": "e", **fields}))

    def replies(self):
        """What is sent because of the messages so far."""
        return [plain(one) for one in self._read(self.codec.replies())]

    def begin(self, response_id="resp_1", metadata=None):
        """A response begins; by default one that the service made by itself."""
        response = {"id": response_id, "status": "in_progress", "metadata": metadata}
        return self.hear("response.created", response=response)

    def sound(self, pcm=SOUND, item_id="item_1", response_id="resp_1"):
        """Sound of a response."""
        return self.hear(
            "response.output_audio.delta",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=base64.b64encode(pcm).decode(),
        )

    def call(self, call_id, status="completed", response_id="resp_1"):
        """A tool call is complete."""
        return self.hear(
            "response.output_item.done",
            response_id=response_id,
            output_index=0,
            item={
                "type": "function_call",
                "id": f"item_{call_id}",
                "status": status,
                "name": "weather",
                "arguments": "{}",
                "call_id": call_id,
            },
        )

    def done(self, status="completed", response_id="resp_1", **fields):
        """A response is over."""
        response = {"id": response_id, "status": status, **fields}
        return self.hear("response.done", response=response)

    def fail(self, code, *, kind="invalid_request_error", event_id=None):
        """An error of the service."""
        error = {"type": kind, "code": code, "message": "no", "event_id": event_id}
        return self.hear("error", error=error)


def plain(message):
    """A message without its name, and a request by where it came from."""
    response = message.get("response", {})
    response.pop("metadata", None)
    return {name: value for name, value in message.items() if name != "event_id"}


def create(**settings):
    return {"type": "response.create", "response": settings}


def item(**fields):
    return {"type": "conversation.item.create", "item": fields}


def words(role, text):
    kind = "output_text" if role == "assistant" else "input_text"
    return item(type="message", role=role, content=[{"type": kind, "text": text}])


def cancel(response_id="resp_1"):
    return {"type": "response.cancel", "response_id": response_id}


def truncate(ms, item_id="item_1"):
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": ms,
    }


def interrupt(samples):
    return Interrupt(response_id=RESPONSE, heard_samples=samples, heard_text="")


# ── commands ────────────────────────────────────────────────────────────────────────────────

USE = ToolUse(call_id=ToolCallId("1-a"), name="weather", arguments="{}")
RESULT = ToolResult(call_id=ToolCallId("1-a"), output="cold")
LOST = ToolUse(call_id=ToolCallId("1-b"), name="weather", arguments="{}")
PAST = (
    Message(role=Role.USER, text="hello"),
    USE,
    RESULT,
    LOST,
    Message(role=Role.AGENT, text="it is cold"),
)
SEEDED = [
    words("user", "hello"),
    item(type="function_call", name="weather", call_id="1-a", arguments="{}"),
    item(type="function_call_output", call_id="1-a", output="cold"),
    words("assistant", "it is cold"),
]


@pytest.mark.parametrize(
    ("command", "messages"),
    [
        (SendAudio(pcm=b"\0\1"), [{"type": "input_audio_buffer.append", "audio": "AAE="}]),
        (StartUserTurn(), []),
        (ClearInput(), [{"type": "input_audio_buffer.clear"}]),
        (SendText(text="hi"), [words("user", "hi"), create()]),
        (SendText(text="note", role=Role.SYSTEM, respond=False), [words("system", "note")]),
        (SendText(text="I said", role=Role.AGENT, respond=False), [words("assistant", "I said")]),
        (CreateResponse(), [create()]),
        (CreateResponse(instructions="Sum up."), [create(instructions="Sum up.")]),
        (AnswerTool(call_id=ToolCallId("2-x"), output="late"), []),
        (AnswerDelegation(delegation_id=DelegationId("d"), text="x"), []),
        (interrupt(0), []),
        (
            Update(instructions="Be rude."),
            [
                {
                    "type": "session.update",
                    "session": {"type": "realtime", "instructions": "Be rude."},
                }
            ],
        ),
        (
            Update(tools=(), voice="ash"),
            [
                {
                    "type": "session.update",
                    "session": {
                        "type": "realtime",
                        "tools": [],
                        "audio": {"output": {"voice": "ash"}},
                    },
                }
            ],
        ),
        (Update(), []),
        (SeedHistory(items=PAST), SEEDED),
    ],
)
def test_what_becomes_of_a_command(command, messages):
    """Each command gives these messages, which the official models take."""
    assert Wire().send(command) == messages


def test_the_first_messages_are_the_settings_and_the_past():
    """A connection is configured, then told what was said; a call without result is left out."""
    wire = Wire(S2sOptions(instructions="Be brief.", history=PAST), ready=False)
    first, *rest = wire.hello
    assert first["type"] == "session.update"
    assert first["session"]["instructions"] == "Be brief."
    assert first["session"]["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "create_response": True,
        "interrupt_response": True,
    }
    assert [plain(one) for one in rest] == SEEDED


def test_saying_words_reads_them_aloud_without_context():
    """The words are in the instructions, the context is empty, and no tool is called."""
    (message,) = Wire().send(Say(text="Good morning."))
    response = message["response"]
    assert response["instructions"].endswith("<text>Good morning.</text>")
    assert (response["input"], response["tool_choice"]) == ([], "none")


@pytest.mark.parametrize(
    ("options", "detection"),
    [
        (OURS, None),
        (
            S2sOptions(respond_automatically=False),
            {"type": "server_vad", "create_response": False, "interrupt_response": True},
        ),
    ],
)
def test_who_ends_turns_is_a_setting(options, detection):
    """Our turns switch the service's detection off; listening alone switches its answers off."""
    (message,) = Wire(options).hello
    assert message["session"]["audio"]["input"]["turn_detection"] == detection


def test_semantic_detection_has_its_own_settings():
    """Eagerness goes with semantic detection."""
    (message,) = Wire(turn_detection=SemanticVad(eagerness="low", interrupt_response=False)).hello
    assert message["session"]["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "low",
        "create_response": True,
        "interrupt_response": False,
    }


@pytest.mark.parametrize(("encoding", "name"), [("mulaw", "audio/pcmu"), ("alaw", "audio/pcma")])
def test_telephone_sound_stays_as_it_is(encoding, name):
    """Either law is taken and given without conversion, and positions count at 8 kHz."""
    law = AudioFormat(Encoding(encoding), 8000, 1)
    wire = Wire(S2sOptions(input_format=law, output_format=law))
    audio = wire.hello[0]["session"]["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == {"type": name}
    wire.begin()
    wire.sound(b"\xff" * 800)
    wire.done()
    assert wire.send(interrupt(400)) == [truncate(50)]


# ── our turns ───────────────────────────────────────────────────────────────────────────────


def test_the_end_of_our_turn_commits_and_asks():
    """The sound is committed and a response asked for, at once."""
    wire = Wire(OURS)
    wire.send(StartUserTurn())
    wire.send(SendAudio(pcm=SOUND))
    assert wire.send(EndUserTurn()) == [{"type": "input_audio_buffer.commit"}, create()]


def test_a_turn_too_short_to_commit_is_filled_with_silence():
    """The service takes no less than 100 ms: the rest is silence."""
    wire = Wire(OURS)
    wire.send(SendAudio(pcm=SOUND[:1000]))
    padding, commit, _ = wire.send(EndUserTurn())
    assert len(base64.b64decode(padding["audio"])) == 4800 - 1000
    assert commit == {"type": "input_audio_buffer.commit"}


def test_a_turn_without_answer_says_that_none_comes():
    """Where no response was wanted, the commitment is followed by that news."""
    wire = Wire(OURS)
    wire.send(SendAudio(pcm=SOUND))
    assert wire.send(EndUserTurn(respond=False)) == [{"type": "input_audio_buffer.commit"}]
    assert wire.hear("input_audio_buffer.committed", item_id="item_1") == [
        InputCommitted(utterance_id=UtteranceId("3-item_1")),
        NoResponse(reason="none was wanted"),
    ]
    assert wire.hear("input_audio_buffer.committed", item_id="item_2") == [
        InputCommitted(utterance_id=UtteranceId("3-item_2"))
    ]


def test_a_new_turn_takes_back_what_was_asked_for():
    """A response that has not begun is cancelled, and nobody hears of it when it begins."""
    wire = Wire(OURS)
    (asked,) = [json.loads(one) for one in wire.codec.encode(CreateResponse())]
    assert wire.send(CreateResponse()) == []
    assert wire.send(StartUserTurn()) == [{"type": "response.cancel"}]
    assert wire.begin(metadata=asked["response"]["metadata"]) == []
    assert wire.sound() == []
    assert wire.done("cancelled") == []
    # Nothing of it was heard; the second one, which had to wait, was forgotten.
    assert wire.replies() == [truncate(0)]


def test_the_services_own_answer_can_be_taken_back_before_it_begins():
    """An answer the service is about to make is cancelled when it comes, and nobody hears of it."""
    wire = Wire()
    wire.hear("input_audio_buffer.speech_stopped", item_id="item_1")
    wire.hear("input_audio_buffer.committed", item_id="item_1")
    assert wire.send(StartUserTurn()) == []
    assert wire.begin() == []
    assert wire.replies() == [cancel()]
    assert wire.done("cancelled") == []
    assert wire.begin("resp_2") == [ResponseStarted(response_id=ResponseId("3-resp_2"))]


# ── one response at a time ──────────────────────────────────────────────────────────────────


def test_a_response_waits_for_the_one_that_is_made():
    """While the service makes a response, another is asked for only after its end."""
    wire = Wire()
    wire.begin()
    assert wire.send(CreateResponse()) == []
    wire.done()
    assert wire.replies() == [create()]


def test_a_response_that_was_refused_for_another_is_asked_for_again():
    """If the service had begun one that we did not know of, ours waits for its end."""
    wire = Wire()
    (asked,) = [json.loads(one) for one in wire.codec.encode(CreateResponse())]
    wire.begin()
    refused = wire.fail("conversation_already_has_active_response", event_id=asked["event_id"])
    assert (refused, wire.replies()) == ([], [])
    wire.done()
    (again,) = [json.loads(one) for one in wire.codec.replies()]
    assert again == asked
    assert wire.begin("resp_2", again["response"]["metadata"]) == [
        ResponseStarted(response_id=ResponseId("3-resp_2"), origin=ResponseOrigin.REQUESTED)
    ]


def test_a_response_that_is_refused_for_good_is_not_awaited():
    """If a request is wrong, its error is told, and that no response comes."""
    wire = Wire()
    (asked,) = [json.loads(one) for one in wire.codec.encode(CreateResponse())]
    failed, nothing = wire.fail("invalid_value", event_id=asked["event_id"])
    assert failed.category is ErrorCategory.INVALID_REQUEST
    assert not failed.is_fatal
    assert nothing == NoResponse(reason="invalid_value: no")
    assert wire.send(CreateResponse()) == [create()]


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (CreateResponse(), ResponseOrigin.REQUESTED),
        (SendText(text="hi"), ResponseOrigin.REQUESTED),
        (Say(text="hi"), ResponseOrigin.SAID),
        (EndUserTurn(), ResponseOrigin.TURN),
    ],
)
def test_a_response_knows_where_it_came_from(command, origin):
    """The origin of a response comes back with the metadata of its request."""
    wire = Wire(OURS)
    asked = json.loads(wire.codec.encode(command)[-1])
    (started,) = wire.begin(metadata=asked["response"]["metadata"])
    assert started.origin is origin


def test_a_request_is_known_without_its_metadata():
    """Where metadata do not come back, a response is the one asked for, unless another is due."""
    wire = Wire()
    wire.send(CreateResponse())
    (started,) = wire.begin()
    assert started.origin is ResponseOrigin.REQUESTED
    wire.done()
    wire.hear("input_audio_buffer.committed", item_id="item_1")
    wire.send(CreateResponse())
    (started,) = wire.begin("resp_2")
    assert started.origin is ResponseOrigin.TURN


# ── interrupting ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("heard", "messages"),
    [
        (0, [truncate(0), truncate(0, "item_2")]),
        (1200, [truncate(50), truncate(0, "item_2")]),
        (2400, [truncate(0, "item_2")]),
        (2400 + 1201, [truncate(50, "item_2")]),
        (4800, []),
        (9999, []),
    ],
)
def test_each_item_is_cut_where_it_was_heard(heard, messages):
    """Positions count over all items; never more is said to be heard than came."""
    wire = Wire()
    wire.begin()
    wire.sound()
    wire.sound(item_id="item_2")
    wire.done()
    assert wire.send(interrupt(heard)) == messages
    assert wire.send(interrupt(heard)) == []


def test_a_response_in_the_making_is_cancelled_and_cut():
    """What was heard to the last sample so far is cut too: more of it may be under way."""
    wire = Wire()
    wire.begin()
    wire.sound()
    assert wire.send(interrupt(9999)) == [cancel(), truncate(100)]
    assert wire.sound() == []
    assert wire.sound(item_id="item_2") == []
    (done,) = wire.done("cancelled", status_details={"reason": "client_cancelled"})
    assert (done.status, done.reason) == (ResponseStatus.CANCELLED, "client_cancelled")
    assert wire.replies() == [truncate(0, "item_2")]


@pytest.mark.parametrize(("interrupts", "messages"), [(True, []), (False, [cancel()])])
def test_the_service_is_not_told_what_it_did_by_itself(interrupts, messages):
    """While the person speaks, a response is cancelled only if the service does not do it."""
    wire = Wire(turn_detection=ServerVad(interrupt_response=interrupts))
    wire.begin()
    wire.hear("input_audio_buffer.speech_started", item_id="item_2", audio_start_ms=0)
    assert wire.send(interrupt(0)) == messages


def test_what_began_while_the_person_spoke_is_cancelled():
    """The service stops only what it was saying when the person began."""
    wire = Wire()
    wire.hear("input_audio_buffer.speech_started", item_id="item_2", audio_start_ms=0)
    wire.begin()
    assert wire.send(interrupt(0)) == [cancel()]


def test_words_after_an_interruption_are_dropped():
    """Neither sound nor words of an interrupted response arrive."""
    wire = Wire()
    wire.begin()
    wire.send(interrupt(0))
    late = {"response_id": "resp_1", "item_id": "item_1", "delta": "late"}
    assert wire.hear("response.output_audio_transcript.delta", **late) == []


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def answer(call_id, output="ok"):
    return AnswerTool(call_id=ToolCallId(f"3-{call_id}"), output=output)


def output(call_id, text="ok"):
    return item(type="function_call_output", call_id=call_id, output=text)


def test_a_response_follows_once_all_calls_are_answered():
    """The last answer, or the end of the response, whichever is later, asks for what follows."""
    wire = Wire()
    wire.begin()
    assert wire.call("a") == [
        ToolCalled(call_id=ToolCallId("3-a"), name="weather", arguments="{}", response_id=RESPONSE)
    ]
    assert wire.call("a") == []
    wire.call("b")
    assert wire.send(answer("b")) == [output("b")]
    wire.done()
    assert wire.replies() == []
    assert wire.send(answer("a")) == [output("a"), create()]
    assert wire.send(answer("a")) == []


def test_a_quick_answer_waits_for_the_end_of_the_response():
    """A call that is answered before its response is over leads to one request after it."""
    wire = Wire()
    wire.begin()
    wire.call("a")
    assert wire.send(answer("a")) == [output("a")]
    wire.done()
    assert wire.replies() == [create()]


def test_a_call_that_was_cut_off_is_none():
    """Of a cancelled response, a call may be incomplete: it is not run."""
    wire = Wire()
    wire.begin()
    assert wire.call("a", status="incomplete") == []


@pytest.mark.parametrize("missing", ["call_id", "name"])
def test_a_call_that_cannot_be_answered_does_not_hold_up_its_response(missing):
    """A call without a name or an id is passed over, and the response ends."""
    wire = Wire()
    wire.begin()
    call = {"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "a"}
    del call[missing]
    (done,) = wire.done(output=[call])
    assert done.status is ResponseStatus.COMPLETED
    assert wire.send(CreateResponse()) == [create()]


def test_a_turn_that_wants_no_answer_gets_the_one_a_tool_owes():
    """A result that came while the person spoke is answered at the end of the turn at least."""
    wire = Wire(OURS)
    wire.begin()
    wire.call("a")
    wire.done()
    wire.send(StartUserTurn())
    wire.send(SendAudio(pcm=SOUND))
    assert wire.send(answer("a")) == [output("a")]
    commit = {"type": "input_audio_buffer.commit"}
    assert wire.send(EndUserTurn(respond=False)) == [commit, create()]


def test_a_tool_that_ends_after_its_turn_was_dropped_asks_for_its_response():
    """Sound that was taken back is no turn to wait for."""
    wire = Wire(OURS)
    wire.begin()
    wire.call("a")
    wire.done()
    wire.send(StartUserTurn())
    wire.send(ClearInput())
    assert wire.send(answer("a")) == [output("a"), create()]


def test_a_call_is_found_at_the_end_of_its_response():
    """A call that only the end of the response tells of is run, once."""
    wire = Wire()
    wire.begin()
    call = {"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "a"}
    called, done = wire.done(output=[{**call, "status": "completed"}])
    assert isinstance(called, ToolCalled)
    assert isinstance(done, ResponseDone)


def test_a_call_after_an_interruption_is_answered_for_the_tool():
    """Nobody runs it; the service is told, so that its history stays whole."""
    wire = Wire()
    wire.begin()
    wire.send(interrupt(0))
    assert wire.call("a") == []
    assert wire.replies() == [output("a", "cancelled: the person interrupted")]
    wire.done("cancelled")
    assert wire.replies() == []


def test_a_tool_that_ends_while_the_person_speaks_asks_for_nothing():
    """The answer to what the person is saying has the result in it."""
    wire = Wire()
    wire.begin()
    wire.call("a")
    wire.done()
    wire.hear("input_audio_buffer.speech_started", item_id="item_2", audio_start_ms=0)
    assert wire.send(answer("a")) == [output("a")]


# ── events ──────────────────────────────────────────────────────────────────────────────────


def test_every_event_of_the_protocol_is_known():
    """The kinds that are handled or ignored are those of the official SDK, and no others."""
    union = get_args(RealtimeServerEvent)[0]
    kinds = {get_args(one.model_fields["type"].annotation)[0] for one in get_args(union)}
    assert len(kinds) == 46
    assert kinds == HANDLED | IGNORED
    assert not HANDLED & IGNORED


def test_the_service_is_ready_when_it_took_the_settings():
    """The first `session.updated` makes the link ready; what it omits, `session.created` said."""
    wire = Wire(ready=False)
    session = {"id": "sess_1", "model": "gpt-realtime-2.1", "expires_at": 1795222800}
    assert wire.hear("session.created", session=session) == []
    assert wire.hear("session.updated", session={"type": "realtime"}) == [
        LinkReady(remote_id="sess_1", model="gpt-realtime-2.1", expires_at=1795222800)
    ]
    assert wire.hear("session.updated", session=session) == []


UTTERANCE = UtteranceId("3-item_1")
TRANSCRIPTION = "conversation.item.input_audio_transcription"


@pytest.mark.parametrize(
    ("kind", "fields", "events"),
    [
        (
            "input_audio_buffer.speech_started",
            {"item_id": "item_1", "audio_start_ms": 5},
            [SpeechStarted(utterance_id=UTTERANCE)],
        ),
        (
            "input_audio_buffer.speech_stopped",
            {"item_id": "item_1", "audio_end_ms": 5},
            [SpeechStopped(utterance_id=UTTERANCE)],
        ),
        (
            "input_audio_buffer.committed",
            {"item_id": "item_1", "previous_item_id": None},
            [InputCommitted(utterance_id=UTTERANCE)],
        ),
        (
            f"{TRANSCRIPTION}.completed",
            {
                "item_id": "item_1",
                "content_index": 0,
                "transcript": " hello ",
                "usage": {"type": "duration", "seconds": 1.5},
            },
            [
                InputTranscript(utterance_id=UTTERANCE, text="hello", is_final=True),
                UsageReported(usage=Usage(audio_seconds=1.5)),
            ],
        ),
        (
            f"{TRANSCRIPTION}.failed",
            {"item_id": "item_1", "content_index": 0, "error": {"code": "audio_unintelligible"}},
            [
                ServiceFailed(
                    category=ErrorCategory.RETRYABLE,
                    message="the transcription failed: audio_unintelligible",
                    provider_code="audio_unintelligible",
                ),
                InputTranscript(utterance_id=UTTERANCE, text="", is_final=True),
            ],
        ),
        ("rate_limits.updated", {"rate_limits": []}, []),
        ("response.done", {"response": {"id": "resp_9", "status": "completed"}}, []),
        ("something.new", {"what": "ever"}, []),
    ],
)
def test_what_a_message_means(kind, fields, events):
    """Each message gives these events."""
    wire = Wire()
    if kind in HANDLED | IGNORED and "error" not in fields:
        check_server({"type": kind, "event_id": "e", **fields})
    assert wire.hear(kind, **fields) == events


def test_a_transcript_grows_and_is_final_once():
    """Deltas become the whole so far; nothing follows the final words."""
    wire = Wire()
    part = {"item_id": "item_1", "content_index": 0}
    texts = [wire.hear(f"{TRANSCRIPTION}.delta", **part, delta=one)[0] for one in ("hel", "lo")]
    assert [one.text for one in texts] == ["hel", "hello"]
    (final,) = wire.hear(f"{TRANSCRIPTION}.completed", **part, transcript="Hello.")
    assert (final.text, final.is_final) == ("Hello.", True)
    assert wire.hear(f"{TRANSCRIPTION}.delta", **part, delta="!") == []
    assert wire.hear(f"{TRANSCRIPTION}.completed", **part, transcript="Hello!") == []
    assert wire.hear(f"{TRANSCRIPTION}.failed", **part, error={}) == []


def test_a_response_from_its_start_to_its_end():
    """Sound and words come under one id; items are kept apart by a space; usage is told."""
    wire = Wire()
    assert wire.begin() == [ResponseStarted(response_id=RESPONSE)]
    assert wire.begin() == []
    assert wire.sound() == [ResponseAudio(response_id=RESPONSE, pcm=SOUND)]
    said = [
        wire.hear(
            "response.output_audio_transcript.delta",
            response_id="resp_1",
            item_id=item_id,
            delta=delta,
        )
        for item_id, delta in (("item_1", "One"), ("item_1", " moment."), ("item_2", "Yes."))
    ]
    assert [one for (one,) in said] == [
        ResponseText(response_id=RESPONSE, delta=delta) for delta in ("One", " moment.", " Yes.")
    ]
    usage = {
        "input_token_details": {"text_tokens": 1, "audio_tokens": 2, "cached_tokens": 3},
        "output_token_details": {"text_tokens": 4, "audio_tokens": 5},
    }
    assert wire.done(usage=usage) == [
        ResponseDone(
            response_id=RESPONSE,
            status=ResponseStatus.COMPLETED,
            usage=Usage(
                input_text_tokens=1,
                input_audio_tokens=2,
                cached_tokens=3,
                output_text_tokens=4,
                output_audio_tokens=5,
            ),
        )
    ]
    assert wire.done() == []
    assert wire.sound() == []


@pytest.mark.parametrize(
    ("status", "details", "expected"),
    [
        ("completed", None, (ResponseStatus.COMPLETED, "")),
        (
            "cancelled",
            {"type": "cancelled", "reason": "turn_detected"},
            (ResponseStatus.CANCELLED, "turn_detected"),
        ),
        (
            "incomplete",
            {"type": "incomplete", "reason": "content_filter"},
            (ResponseStatus.INCOMPLETE, "content_filter"),
        ),
        (
            "failed",
            {"type": "failed", "error": {"code": "server_error", "message": "oh"}},
            (ResponseStatus.FAILED, "server_error: oh"),
        ),
        ("unheard_of", None, (ResponseStatus.FAILED, "")),
    ],
)
def test_how_a_response_ended(status, details, expected):
    """Its status and the reason are told."""
    wire = Wire()
    wire.begin()
    (done,) = wire.done(status, status_details=details)
    assert (done.status, done.reason) == expected


# ── errors ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "kind", "category", "is_fatal"),
    [
        ("invalid_value", "invalid_request_error", ErrorCategory.INVALID_REQUEST, False),
        ("session_expired", "invalid_request_error", ErrorCategory.SESSION_EXPIRED, True),
        ("invalid_api_key", "invalid_request_error", ErrorCategory.AUTH, False),
        ("rate_limit_exceeded", "rate_limit_error", ErrorCategory.RATE_LIMIT, False),
        ("insufficient_quota", "insufficient_quota", ErrorCategory.INVALID_REQUEST, False),
        ("project_spend_limit_exceeded", "x", ErrorCategory.INVALID_REQUEST, False),
        ("server_error", "server_error", ErrorCategory.RETRYABLE, False),
        (None, "server_error", ErrorCategory.RETRYABLE, False),
        ("something_new", "something_new", ErrorCategory.RETRYABLE, False),
    ],
)
def test_what_an_error_means(code, kind, category, is_fatal):
    """Each error has its category; only an expiry ends the session. Before it is ready, all do."""
    (failed,) = Wire().fail(code, kind=kind)
    assert (failed.category, failed.is_fatal) == (category, is_fatal)
    assert failed.provider_code == (code or kind)
    (early,) = Wire(ready=False).fail(code, kind=kind)
    assert (early.category, early.is_fatal) == (category, True)


@pytest.mark.parametrize(
    "code",
    [
        "response_cancel_not_active",
        "conversation_already_has_active_response",
        "input_audio_buffer_commit_empty",
    ],
)
def test_a_harmless_error_is_not_told(code):
    """What a race makes happen in good order is no error."""
    assert Wire().fail(code) == []
    assert Wire(ready=False).fail(code) == []


def test_a_truncation_that_came_too_late_is_not_told():
    """An error about a truncation or a cancellation of ours is harmless, whatever its code."""
    wire = Wire()
    wire.begin()
    wire.sound()
    sent = [json.loads(one) for one in wire.codec.encode(interrupt(0))]
    assert [one["type"] for one in sent] == ["response.cancel", "conversation.item.truncate"]
    for one in sent:
        assert wire.fail("invalid_value", event_id=one["event_id"]) == []


def test_an_error_about_the_key_does_not_quote_it():
    """The service quotes from a wrong key; the message does not."""
    error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "sk-abc"}
    (failed,) = Wire(ready=False).hear("error", error=error)
    assert "sk-abc" not in failed.message


# ── the end ─────────────────────────────────────────────────────────────────────────────────


def test_the_end_closes_what_is_open():
    """An open response fails, a finished one is not told again, and the end is last."""
    wire = Wire()
    wire.begin()
    wire.done()
    wire.begin("resp_2")
    closed = wire.codec.closed(is_clean=False, code=1006, reason="gone")
    assert closed == [
        ResponseDone(
            response_id=ResponseId("3-resp_2"), status=ResponseStatus.FAILED, reason="gone"
        ),
        LinkClosed(is_clean=False, code=1006, reason="gone"),
    ]


@pytest.mark.parametrize("was_told", [True, False])
def test_an_expiry_is_told_once(was_told):
    """By an error, by the close code, or by both: it is one expiry."""
    wire = Wire()
    told = wire.fail("session_expired") if was_told else []
    reason = "Your session hit the maximum duration of 60 minutes."
    told += wire.codec.closed(is_clean=True, code=1001, reason=reason)
    failures = [one for one in told if isinstance(one, ServiceFailed)]
    assert [one.category for one in failures] == [ErrorCategory.SESSION_EXPIRED]
    assert isinstance(told[-1], LinkClosed)


# ── what cannot be ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (S2sOptions(temperature=0.7), "has_temperature"),
        (S2sOptions(language="english"), "languages"),
        (S2sOptions(turn_owner=TurnOwner.DUPLEX), "turn_owners"),
        (S2sOptions(resume="handle"), "resumption"),
        (S2sOptions(input_format=AudioFormat(Encoding.PCM16, 16000, 1)), "input_formats"),
        (S2sOptions(output_format=AudioFormat(Encoding.PCM16, 48000, 1)), "output_formats"),
        (S2sOptions(max_output_tokens=5000), "has_output_token_limit"),
    ],
)
def test_what_the_service_cannot_honour_is_refused(options, named):
    """The error names the capability that is missing."""
    with pytest.raises(Unsupported, match=named):
        Wire(options)


def test_semantic_detection_knows_no_silence():
    """Where the words end a turn, a silence that should end it is refused."""
    assert OpenAIRealtime().capabilities.turn_detection == {"silence_ms", "prefix_ms", "threshold"}
    made = OpenAIRealtime(turn_detection=SemanticVad())
    assert made.capabilities.turn_detection == frozenset()
    with pytest.raises(Unsupported, match="turn_detection"):
        made._codec(S2sOptions(latency=Latency.LOW))


def test_a_language_is_of_no_use_without_transcripts():
    """The language is only a hint for transcription, and refused where that is off."""
    with pytest.raises(Unsupported, match="languages"):
        Wire(S2sOptions(language="de"), transcription=None)


def test_a_tool_whose_parameters_are_no_object_is_refused():
    """Before anything is sent, the schema is read."""
    tool = ToolSpec(name="broken", description="", parameters="[1")
    with pytest.raises(ConfigurationError, match="broken"):
        Wire(S2sOptions(tools=(tool,)))


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"speed": 2.0},
        {"max_output_tokens": 0},
        {"endpoint": "api.openai.com"},
        {"model": "gpt-realtime", "reasoning_effort": "low"},
        {"model": "gpt-realtime-1.5", "parallel_tool_calls": True},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """They are found where the provider is made."""
    with pytest.raises(ConfigurationError):
        OpenAIRealtime(**settings)


@pytest.mark.parametrize(
    "make",
    [lambda: ServerVad(threshold=1.5), lambda: ServerVad(silence_duration_ms=-1)],
)
def test_detection_that_makes_no_sense_is_refused(make):
    """A threshold is 0 to 1, and no time is negative."""
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=m"),
        ("http://127.0.0.1:8/v1/realtime", "ws://127.0.0.1:8/v1/realtime?model=m"),
        ("wss://proxy.example.com/x?tenant=1", "wss://proxy.example.com/x?tenant=1&model=m"),
    ],
)
def test_an_endpoint_is_a_web_address_or_a_websocket_one(endpoint, url):
    """Either is taken; the model is added."""
    assert url_of(endpoint, "m") == url


def test_what_depends_on_transcripts_is_said():
    """Without transcription the provider says that it has no words of the person."""
    assert OpenAIRealtime().capabilities.has_input_transcript
    assert not OpenAIRealtime(transcription=None).capabilities.has_input_transcript


# ── garbage ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": 5}',
        '{"typ": "error"}',
        b'{"type": "error"}',
        '"\udc80"',
        "[" * 100_000,
        '{"type": "error", "error": 5}',
        '{"type": "response.created", "response": {}}',
        '{"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "?"}',
    ],
)
def test_what_is_none_of_the_protocol_is_named_so(message):
    """A message that cannot be read gives `BrokenProtocol`."""
    with pytest.raises(BrokenProtocol):
        Wire().codec.decode(message)


names = st.sampled_from(
    [
        "response",
        "response_id",
        "item",
        "item_id",
        "id",
        "delta",
        "transcript",
        "error",
        "code",
        "session",
        "status",
        "output",
        "call_id",
        "name",
        "type",
        "usage",
        "metadata",
        "arguments",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["resp_1", "resp_2", "item_1", "completed", "function_call", "AAAA"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
frames = st.builds(
    lambda kind, fields: json.dumps({**fields, "type": kind}),
    st.sampled_from(sorted(HANDLED | IGNORED)),
    st.dictionaries(names, values, max_size=6),
)
commands = st.sampled_from(
    [
        CreateResponse(),
        StartUserTurn(),
        EndUserTurn(),
        EndUserTurn(respond=False),
        SendText(text="hi"),
        interrupt(100),
        answer("AAAA"),
        answer("resp_1"),
    ]
)
likely = st.sampled_from(
    [
        json.dumps({"type": kind, **fields})
        for number in ("1", "2")
        for kind, fields in (
            ("response.created", {"response": {"id": f"resp_{number}"}}),
            ("response.done", {"response": {"id": f"resp_{number}", "status": "completed"}}),
            ("input_audio_buffer.speech_started", {"item_id": f"item_{number}"}),
            ("input_audio_buffer.committed", {"item_id": f"item_{number}"}),
            (f"{TRANSCRIPTION}.delta", {"item_id": f"item_{number}", "delta": "a"}),
            (f"{TRANSCRIPTION}.completed", {"item_id": f"item_{number}", "transcript": "a"}),
            (
                "response.output_audio.delta",
                {"response_id": f"resp_{number}", "item_id": "item_9", "delta": "AAAA"},
            ),
        )
    ]
)


@given(st.lists(st.text(max_size=20) | st.binary(max_size=20) | frames | likely, max_size=30))
def test_no_message_does_more_than_break_the_protocol(messages):
    """Whatever comes, decoding gives events or `BrokenProtocol`, and the end is told once."""
    wire = Wire()
    for message in messages:
        try:
            wire.codec.decode(message)
        except BrokenProtocol:
            continue
    closed = wire.codec.closed(is_clean=True, code=None, reason="")
    assert [one for one in closed if isinstance(one, LinkClosed)] == [closed[-1]]


@given(st.lists(frames | likely | likely | commands, max_size=40))
def test_the_invariants_hold_whatever_comes(steps):
    """A response starts, then sounds, then ends once; nothing sounds that was interrupted."""
    wire = Wire(OURS)
    events = []
    silenced = set()
    for step in steps:
        if not isinstance(step, str):
            wire._read(wire.codec.encode(step))
            if isinstance(step, Interrupt):
                begun = {one.response_id for one in events if isinstance(one, ResponseStarted)}
                silenced |= begun & {step.response_id}
            continue
        try:
            heard = wire.codec.decode(step)
        except BrokenProtocol:
            continue
        wire._read(wire.codec.replies())
        sounding = {one.response_id for one in heard if isinstance(one, ResponseAudio)}
        assert not sounding & silenced
        events += heard
    events += wire.codec.closed(is_clean=False, code=None, reason="over")
    begun, ended, written = set(), set(), set()
    for one in events:
        match one:
            case ResponseStarted():
                assert one.response_id not in begun
                begun.add(one.response_id)
            case ResponseDone():
                assert one.response_id in begun - ended
                ended.add(one.response_id)
            case ResponseAudio() | ResponseText():
                assert one.response_id in begun - ended
            case InputTranscript():
                assert one.utterance_id not in written
                written |= {one.utterance_id} if one.is_final else set()
            case _:
                pass
    assert begun == ended
    assert isinstance(events[-1], LinkClosed)
