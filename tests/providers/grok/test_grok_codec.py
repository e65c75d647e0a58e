"""The Grok codec: what it does otherwise than others of its kind, and what no message may do."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    AnswerTool,
    CreateResponse,
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
    ResumptionChanged,
    Role,
    Say,
    SendAudio,
    SendText,
    ServiceFailed,
    SpeechStarted,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolSpec,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import S2sOptions, TurnDetection, TurnOwner
from beluga_voice.providers.s2s.grok import Grok, ServerVad
from beluga_voice.providers.s2s.grok._capabilities import capabilities
from beluga_voice.providers.s2s.grok._codec import GrokCodec
from beluga_voice.providers.s2s.grok._options import Settings
from beluga_voice.providers.s2s.grok._reading import READER
from beluga_voice.providers.s2s.grok._resumption import REMEMBERED_WORDS, Conversations, Known
from providers.grok.grok_models import check_client

OURS = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
RESPONSE = ResponseId("3-resp_1")
UTTERANCE = UtteranceId("3-item_1")
SOUND = b"\x01\x02" * 2400
"""100 ms at 24 kHz."""
TOOL = ToolSpec(name="weather", description="", parameters="{}")
TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Wire:
    """A codec, with messages as dictionaries: those we send are checked by the models."""

    def __init__(self, options=None, *, ready=True, link=3, conversations=None, **settings):
        settings = Settings(model="grok-voice-latest", **settings)
        able = capabilities(resumption=settings.resumption, max_connection_seconds=7200)
        self.seconds = 100.0
        self.codec = GrokCodec(
            options or S2sOptions(tools=(TOOL,)),
            settings,
            able,
            now=lambda: self.seconds,
            conversations=conversations or Conversations(),
            link=link,
        )
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

    def begin(self, response_id="resp_1"):
        """A response begins."""
        return self.hear("response.created", response={"id": response_id, "metadata": None})

    def sound(self, response_id="resp_1", kind="response.output_audio.delta"):
        """Sound of a response."""
        delta = base64.b64encode(SOUND).decode()
        return self.hear(kind, response_id=response_id, item_id="item_9", delta=delta)

    def done(self, response_id="resp_1", **fields):
        """A response is over."""
        response = {"id": response_id, "status": "completed", **fields}
        return self.hear("response.done", response=response)

    def commit(self, item_id="item_1"):
        """An utterance is part of the conversation."""
        return self.hear("input_audio_buffer.committed", item_id=item_id)

    def write(self, transcript, status=None, item_id="item_1"):
        """An utterance is written down."""
        fields = {"item_id": item_id, "transcript": transcript}
        if status is not None:
            fields["status"] = status
        return self.hear(f"{TRANSCRIPTION}.completed", **fields)

    def fail(self, kind, message="no", **fields):
        """An error of the service."""
        return self.hear("error", error={"type": kind, "message": message, **fields})


def plain(message):
    message.get("response", {}).pop("metadata", None)
    return {name: value for name, value in message.items() if name != "event_id"}


def said(text):
    """The message that has words spoken."""
    return {
        "type": "conversation.item.create",
        "item": {
            "type": "force_message",
            "role": "assistant",
            "interruptible": True,
            "content": [{"type": "output_text", "text": text}],
        },
    }


def words(text, role="user"):
    kind = "output_text" if role == "assistant" else "input_text"
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    return {"type": "conversation.item.create", "item": item}


def interrupt(samples, response_id=RESPONSE):
    return Interrupt(response_id=response_id, heard_samples=samples, heard_text="")


def transcript(text, *, is_final):
    return InputTranscript(utterance_id=UTTERANCE, text=text, is_final=is_final)


CREATE = {"type": "response.create", "response": {}}
SUM_UP = {"type": "response.create", "response": {"instructions": "Sum up."}}

# ── commands ────────────────────────────────────────────────────────────────────────────────


def test_the_first_message_is_the_settings_in_the_services_own_shape():
    """Voice and turn detection stand at the top, there is no type, and history follows."""
    past = (Message(role=Role.USER, text="hello"), Message(role=Role.AGENT, text="hi"))
    first, *rest = Wire(S2sOptions(voice="ara", history=past), ready=False).hello
    assert first["session"] == {
        "voice": "ara",
        "turn_detection": {"type": "server_vad"},
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {"model": "grok-transcribe"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}},
        },
        "resumption": {"enabled": True},
    }
    assert [plain(one) for one in rest] == [words("hello"), words("hi", "assistant")]


@pytest.mark.parametrize(
    ("command", "messages"),
    [
        (Say(text="Hello."), [said("Hello.")]),
        (SendText(text="hi"), [words("hi"), CREATE]),
        (
            CreateResponse(instructions="Sum up."),
            [SUM_UP],
        ),
        (Update(), []),
        (
            Update(instructions="Be rude.", voice="leo"),
            [
                {
                    "type": "session.update",
                    "session": {"instructions": "Be rude.", "voice": "leo"},
                }
            ],
        ),
        (Update(tools=()), [{"type": "session.update", "session": {"tools": []}}]),
    ],
)
def test_what_becomes_of_a_command(command, messages):
    """Each command gives these messages, which the models take."""
    assert Wire().send(command) == messages


@pytest.mark.parametrize(
    ("sound", "on_wire"),
    [
        (pcm16(8000), {"type": "audio/pcm", "rate": 8000}),
        (pcm16(48000), {"type": "audio/pcm", "rate": 48000}),
        (AudioFormat(Encoding.MULAW, 8000, 1), {"type": "audio/pcmu", "rate": 8000}),
        (AudioFormat(Encoding.ALAW, 8000, 1), {"type": "audio/pcma", "rate": 8000}),
    ],
)
def test_sound_may_have_many_shapes(sound, on_wire):
    """Each format is named as the service names it."""
    audio = Wire(S2sOptions(input_format=sound, output_format=sound)).hello[0]["session"]["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == on_wire


def test_spoken_words_are_known_by_their_turn():
    """The response to `Say` has no name of ours: it is the first that begins."""
    wire = Wire()
    wire.send(Say(text="one"))
    assert wire.send(Say(text="two")) == []
    assert wire.begin() == [ResponseStarted(response_id=RESPONSE, origin=ResponseOrigin.SAID)]
    wire.done()
    assert wire.replies() == [said("two")]


def test_a_response_is_always_told_to_stop():
    """Whether the service stops by itself is not known: it is told in any case."""
    wire = Wire()
    wire.begin()
    wire.sound()
    wire.hear("input_audio_buffer.speech_started", item_id="item_2")
    cancel, truncate = wire.send(interrupt(1200))
    assert cancel == {"type": "response.cancel", "response_id": "resp_1"}
    assert truncate["audio_end_ms"] == 50
    assert wire.sound() == []
    (done,) = wire.done(status="cancelled", status_details="turn_detected")
    assert (done.status, done.reason) == (ResponseStatus.CANCELLED, "turn_detected")
    assert wire.sound() == []


def test_a_response_without_an_end_ends_when_the_next_begins():
    """What the service left in mid-air is over, once."""
    wire = Wire()
    wire.begin()
    assert wire.begin() == []
    ended, started = wire.begin("resp_2")
    assert (ended.response_id, ended.status) == (RESPONSE, ResponseStatus.CANCELLED)
    assert started == ResponseStarted(response_id=ResponseId("3-resp_2"))
    assert wire.sound() == []
    assert wire.done() == []
    assert wire.begin() == []
    assert len(wire.sound("resp_2")) == 1


def test_nothing_waits_for_the_end_of_a_response_that_was_told_to_stop():
    """What was to be said after it is said at once, and its end is told when it comes."""
    wire = Wire()
    wire.begin()
    assert wire.send(Say(text="sorry")) == []
    cancel, say = wire.send(interrupt(0))
    assert (cancel["type"], say) == ("response.cancel", said("sorry"))
    (done,) = wire.done(status="cancelled")
    assert done.status is ResponseStatus.CANCELLED
    (started,) = wire.begin("resp_2")
    assert started.origin is ResponseOrigin.SAID


def test_nothing_waits_for_the_end_of_a_response_that_nobody_wanted():
    """The service's own answer to a turn that went on is stopped, and what waited is asked for."""
    wire = Wire()
    wire.hear("input_audio_buffer.speech_stopped", item_id="item_1")
    wire.commit()
    wire.send(StartUserTurn())
    assert wire.begin() == []
    assert wire.replies() == [{"type": "response.cancel", "response_id": "resp_1"}]
    assert wire.send(Say(text="yes?")) == [said("yes?")]
    assert wire.begin("resp_2") == [
        ResponseStarted(response_id=ResponseId("3-resp_2"), origin=ResponseOrigin.SAID)
    ]


# ── what the person said ────────────────────────────────────────────────────────────────────


def test_words_grow_and_are_final_when_the_answer_sounds():
    """Each time the whole so far is told, if it is news; the last of it is final."""
    wire = Wire()
    heard = wire.hear(f"{TRANSCRIPTION}.updated", item_id="item_1", transcript="I would")
    assert heard == [transcript("I would", is_final=False)]
    assert wire.commit() == [InputCommitted(utterance_id=UTTERANCE)]
    assert wire.write("I would like", "in_progress") == [transcript("I would like", is_final=False)]
    assert wire.write("I would like", "completed") == []
    assert wire.write("I would like tea.") == [transcript("I would like tea.", is_final=False)]
    wire.begin()
    final, audio = wire.sound()
    assert final == transcript("I would like tea.", is_final=True)
    assert isinstance(audio, ResponseAudio)
    assert wire.write("I would like tea!") == []
    assert len(wire.sound()) == 1


def test_words_that_come_after_the_answer_began_are_final_at_once():
    """Nothing is waited for any more, but what is in progress is not all of it."""
    wire = Wire()
    wire.commit()
    wire.begin()
    wire.sound()
    assert wire.write("tea", "in_progress") == [transcript("tea", is_final=False)]
    assert wire.write("tea please") == [transcript("tea please", is_final=True)]


def test_late_sound_of_an_older_response_makes_no_words_final():
    """Only the answer to an utterance closes it."""
    wire = Wire()
    wire.begin()
    wire.begin("resp_2")
    wire.commit()
    wire.write("stop")
    assert wire.sound() == []
    first, *_ = wire.sound("resp_2")
    assert first == transcript("stop", is_final=True)


def test_words_of_an_utterance_that_goes_on_are_not_final():
    """A response that still sounds while the person speaks is no answer to that."""
    wire = Wire()
    wire.begin()
    assert wire.write("wait") == [transcript("wait", is_final=False)]
    assert len(wire.sound()) == 1
    assert wire.write("wait a minute") == [transcript("wait a minute", is_final=False)]


def test_the_next_utterance_closes_the_one_before():
    """The words that were written down are final when the person speaks again."""
    wire = Wire()
    wire.commit()
    wire.write("one")
    assert wire.hear("input_audio_buffer.speech_started", item_id="item_2") == [
        transcript("one", is_final=True),
        SpeechStarted(utterance_id=UtteranceId("3-item_2")),
    ]


def test_an_utterance_that_gets_no_answer_is_final_when_it_is_written_down():
    """Where no response was asked for, there is none to wait for."""
    wire = Wire(OURS)
    wire.send(SendAudio(pcm=SOUND))
    wire.send(EndUserTurn(respond=False))
    assert wire.commit() == [
        InputCommitted(utterance_id=UTTERANCE),
        NoResponse(reason="none was wanted"),
    ]
    assert wire.write("a note") == [transcript("a note", is_final=True)]


def test_an_utterance_that_is_committed_twice_is_written_down_once():
    """Also if nobody is to answer it either time."""
    wire = Wire(S2sOptions(turn_owner=TurnOwner.FRAMEWORK))
    wire.send(EndUserTurn(respond=False))
    wire.send(EndUserTurn(respond=False))
    wire.write("one")
    finals = [one for _ in "ab" for one in wire.commit() if isinstance(one, InputTranscript)]
    assert finals == [transcript("one", is_final=True)]


def test_words_of_what_was_committed_are_not_lost_at_the_end():
    """They are final, complete or not; an utterance that went on is heard again on the next one."""
    wire = Wire()
    wire.write("one")
    wire.commit()
    wire.write("two", "in_progress", item_id="item_2")
    wire.commit("item_2")
    wire.commit("item_3")
    wire.write("four", item_id="item_4")
    *words, _, last = wire.codec.closed(is_clean=False, code=1006, reason="gone")
    assert [(one.text, one.is_final) for one in words] == [("one", True), ("two", True)]
    assert last == LinkClosed(is_clean=False, code=1006, reason="gone")


# ── tools ───────────────────────────────────────────────────────────────────────────────────


def test_a_call_may_be_told_by_its_arguments_alone():
    """Without a word of which response it is of, it is of the present one; its item adds none."""
    wire = Wire()
    wire.begin()
    call = {"call_id": "a", "name": "weather", "arguments": "{}"}
    assert wire.hear("response.function_call_arguments.done", **call) == [
        ToolCalled(call_id=ToolCallId("3-a"), name="weather", arguments="{}", response_id=RESPONSE)
    ]
    item = {"type": "function_call", "status": "completed", **call}
    assert wire.hear("response.output_item.done", response_id="resp_1", item=item) == []
    (done,) = wire.done(output=[item])
    assert isinstance(done, ResponseDone)
    answered = wire.send(AnswerTool(call_id=ToolCallId("3-a"), output="cold"))
    assert [one["type"] for one in answered] == ["conversation.item.create", "response.create"]


def test_a_call_of_the_services_own_is_not_told():
    """Only tools that we named are ours to run, also after they have changed."""
    wire = Wire(server_tools=("web_search",))
    wire.begin()
    search = {"call_id": "a", "name": "web_search", "arguments": "{}"}
    assert wire.hear("response.function_call_arguments.done", **search) == []
    wire.send(Update(tools=(ToolSpec(name="other", description="", parameters="{}"),)))
    weather = {"call_id": "b", "name": "weather", "arguments": "{}"}
    assert wire.hear("response.function_call_arguments.done", **weather) == []
    (done,) = wire.done()
    assert done.status is ResponseStatus.COMPLETED
    assert wire.replies() == []


# ── events ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("ping", {"timestamp": 1}),
        ("conversation.item.created", {"item": {"type": "message", "role": "user"}}),
        ("conversation.item.deleted", {"item_id": ""}),
        ("conversation.item.truncated", {"item_id": "i", "audio_end_ms": 1}),
        ("something.new", {"what": "ever"}),
    ],
)
def test_what_means_nothing(kind, fields):
    """Pings, replayed items and what is not known yet are passed over."""
    wire = Wire()
    assert wire.hear(kind, **fields) == []
    assert wire.replies() == []


def test_older_names_are_understood():
    """Sound and words may come under the names of an older dialect."""
    wire = Wire()
    wire.begin()
    assert len(wire.sound(kind="response.audio.delta")) == 1
    for kind in ("response.text.delta", "response.audio_transcript.delta"):
        (text,) = wire.hear(kind, response_id="resp_1", item_id="item_9", delta="a")
        assert text == ResponseText(response_id=RESPONSE, delta="a")


@pytest.mark.parametrize(
    ("inside", "beside", "usage"),
    [
        ({}, None, None),
        (None, None, None),
        ({"input_tokens": 1, "output_tokens": 2}, None, Usage(input_tokens=1, output_tokens=2)),
        ({}, {"input_tokens": 1, "output_tokens": 2}, Usage(input_tokens=1, output_tokens=2)),
        (
            {"input_tokens": 3, "input_token_details": {"text_tokens": 1, "audio_tokens": 2}},
            None,
            Usage(input_text_tokens=1, input_audio_tokens=2),
        ),
    ],
)
def test_usage_may_stand_anywhere(inside, beside, usage):
    """In the response, beside it, empty or missing."""
    wire = Wire()
    wire.begin()
    response = {"id": "resp_1", "status": "completed", "usage": inside}
    (done,) = wire.hear("response.done", response=response, usage=beside)
    assert done.usage == usage


def test_a_connection_is_charged_by_its_length():
    """The seconds from the first message to the end, once, before the end."""
    wire = Wire()
    wire.seconds += 90
    closed = wire.codec.closed(is_clean=True, code=None, reason="")
    assert closed[-2:] == [
        UsageReported(usage=Usage(audio_seconds=90.0)),
        LinkClosed(is_clean=True, reason="", code=None),
    ]


def test_turns_of_our_own_are_charged_by_their_sound():
    """What was sent and what came is counted, in seconds."""
    wire = Wire(OURS)
    wire.seconds += 90
    for _ in range(30):
        wire.send(SendAudio(pcm=SOUND))
    wire.begin()
    wire.sound()
    closed = wire.codec.closed(is_clean=True, code=None, reason="")
    assert closed[-2] == UsageReported(usage=Usage(audio_seconds=3.1))


# ── resumption ──────────────────────────────────────────────────────────────────────────────

PAST = (Message(role=Role.USER, text="hello"), Message(role=Role.AGENT, text="hi"))


def began(wire, conversation_id="conv_1"):
    return wire.hear("conversation.created", conversation={"id": conversation_id})


def test_the_conversations_id_is_its_handle():
    """It is told with the news that the service is ready, or when it changes."""
    wire = Wire(ready=False)
    assert began(wire) == []
    ready, handle = wire.hear("session.updated", session={"id": "sess_1"})
    assert isinstance(ready, LinkReady)
    assert handle == ResumptionChanged(handle="conv_1")
    assert began(wire, "conv_2") == [ResumptionChanged(handle="conv_2")]


def test_without_resumption_there_is_no_handle():
    """Nothing is kept, and nothing can be continued."""
    wire = Wire(ready=False, resumption=False)
    began(wire)
    assert len(wire.hear("session.updated", session={})) == 1
    with pytest.raises(Unsupported, match="resumption"):
        Wire(S2sOptions(resume="conv_1"), resumption=False)


@pytest.mark.parametrize(
    ("conversation_id", "told"),
    [("conv_1", []), ("conv_2", [words("hello"), words("hi", "assistant")])],
)
def test_the_history_is_told_only_to_who_forgot_it(conversation_id, told):
    """A conversation that goes on needs no history; another that begins instead does."""
    wire = Wire(S2sOptions(resume="conv_1", history=PAST), ready=False)
    assert [one["type"] for one in wire.hello] == ["session.update"]
    began(wire, conversation_id)
    assert wire.replies() == told
    began(wire, "conv_3")
    assert wire.replies() == []


TYPED = Message(role=Role.USER, text="are you there")


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ((*PAST, TYPED), [words("are you there")]),
        ((PAST[0], TYPED), [words("are you there")]),
        ((PAST[0],), []),
        ((Message(role=Role.USER, text="how is it"), TYPED), [words("are you there")]),
        (PAST, []),
    ],
)
def test_only_what_the_service_does_not_know_is_told_when_it_goes_on(history, told):
    """The person's last words, if they came by no connection; calls that nobody answered."""
    conversations = Conversations()
    first = Wire(conversations=conversations)
    began(first)
    first.commit()
    first.write("hello")
    first.begin()
    for call_id in ("a", "b"):
        call = {"call_id": call_id, "name": "weather", "arguments": "{}"}
        first.hear("response.function_call_arguments.done", **call)
    first.send(AnswerTool(call_id=ToolCallId("3-a"), output="cold"))
    first.commit("item_2")
    first.write("how is it", item_id="item_2")
    first.codec.closed(is_clean=False, code=None, reason="")
    options = S2sOptions(resume="conv_1", history=history)
    second = Wire(options, conversations=conversations, link=4, ready=False)
    began(second)
    lost, *rest = second.replies()
    assert lost["item"] == {
        "type": "function_call_output",
        "call_id": "b",
        "output": "cancelled: the connection was lost",
    }
    assert rest == told


def test_what_is_remembered_has_a_bound():
    """Of words and of conversations, the oldest are forgotten."""
    known = Known()
    known.add(str(number) for number in range(1000))
    assert len(known.said) == REMEMBERED_WORDS
    assert known.missing([Message(role=Role.USER, text="999")]) == []
    assert known.missing([Message(role=Role.USER, text="0")]) == ["0"]
    conversations = Conversations()
    for number in range(1000):
        conversations.put(str(number), known)
    assert (conversations.get("0"), conversations.get("999")) == (None, known)


# ── errors ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "category", "is_fatal"),
    [
        ("invalid_request_error", ErrorCategory.INVALID_REQUEST, False),
        ("invalid_event", ErrorCategory.INVALID_REQUEST, False),
        ("internal_error", ErrorCategory.RETRYABLE, False),
        ("rate_limit_error", ErrorCategory.RATE_LIMIT, False),
        ("timeout", ErrorCategory.TIMEOUT, True),
        ("max_duration", ErrorCategory.SESSION_EXPIRED, True),
        ("something_new", ErrorCategory.RETRYABLE, False),
    ],
)
def test_what_an_error_means(kind, category, is_fatal):
    """Each type has its category; two of them end the session. Before it is ready, all do."""
    (failed,) = Wire().fail(kind)
    assert (failed.category, failed.is_fatal, failed.provider_code) == (category, is_fatal, kind)
    (early,) = Wire(ready=False).fail(kind)
    assert early.is_fatal


@pytest.mark.parametrize("message", ["No response to cancel.", "Item cannot be truncated"])
def test_an_order_that_came_too_late_is_no_error(message):
    """The service does not name the message an error is about; its words tell enough."""
    assert Wire().fail("invalid_request_error", message) == []
    assert len(Wire().fail("internal_error", message)) == 1


def test_an_error_while_a_response_is_awaited_ends_the_waiting():
    """It may be about that response; the next that waits is asked for."""
    wire = Wire()
    wire.send(CreateResponse())
    wire.send(Say(text="later"))
    failed, nothing = wire.fail("internal_error")
    assert isinstance(failed, ServiceFailed)
    assert nothing == NoResponse(reason="internal_error: no")
    assert wire.replies() == [said("later")]


# ── what cannot be ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (S2sOptions(temperature=0.7), "has_temperature"),
        (S2sOptions(max_output_tokens=100), "has_output_token_limit"),
        (S2sOptions(respond_automatically=False), "can_suppress_response"),
        (S2sOptions(turn_owner=TurnOwner.DUPLEX), "turn_owners"),
        (S2sOptions(input_format=pcm16(12000)), "input_formats"),
        (S2sOptions(output_format=pcm16(12000)), "output_formats"),
        (S2sOptions(turn_detection=TurnDetection(threshold=0.95)), "turn_detection"),
        (S2sOptions(turn_detection=TurnDetection(silence_ms=20_000)), "turn_detection"),
    ],
)
def test_what_the_service_cannot_honour_is_refused(options, named):
    """The error names the capability that is missing."""
    with pytest.raises(Unsupported, match=named):
        Wire(options)


@pytest.mark.parametrize("name", ["web_search", "browse_page"])
def test_a_tool_may_not_be_named_like_one_of_the_services_own(name):
    """Such a name would make every response fail."""
    with pytest.raises(ConfigurationError, match=name):
        Wire(S2sOptions(tools=(ToolSpec(name=name, description="", parameters="{}"),)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Grok(model=""),
        lambda: Grok(speed=2.0),
        lambda: Grok(endpoint="api.x.ai"),
        lambda: Grok(keyterms=["a"] * 101),
        lambda: Grok(keyterms=["a" * 51]),
        lambda: ServerVad(threshold=0.95),
        lambda: ServerVad(silence_duration_ms=-1),
        lambda: ServerVad(idle_timeout_ms=-1),
    ],
)
def test_settings_that_make_no_sense_are_refused(make):
    """They are found where the provider is made."""
    with pytest.raises(ConfigurationError):
        make()


# ── garbage ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "null",
        '{"type": 5}',
        b"\0\1",
        '"\udc80"',
        "[" * 100_000,
        '{"type": "conversation.created", "conversation": "conv_1"}',
        '{"type": "conversation.created"}',
        '{"type": "response.created", "response": {}}',
        '{"type": "response.function_call_arguments.done", "call_id": 5}',
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
        "conversation",
        "session",
        "status",
        "status_details",
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
    st.sampled_from(sorted(READER.handled | READER.ignored)),
    st.dictionaries(names, values, max_size=6),
)
commands = st.sampled_from(
    [
        CreateResponse(),
        Say(text="hi"),
        StartUserTurn(),
        EndUserTurn(),
        EndUserTurn(respond=False),
        SendText(text="hi"),
        interrupt(100),
        interrupt(100, ResponseId("3-resp_2")),
        AnswerTool(call_id=ToolCallId("3-a"), output="ok"),
    ]
)
CALL = {"call_id": "a", "name": "weather", "arguments": "{}"}
likely = st.sampled_from(
    [
        json.dumps({"type": kind, **fields})
        for number in ("1", "2")
        for kind, fields in (
            ("response.created", {"response": {"id": f"resp_{number}"}}),
            ("response.done", {"response": {"id": f"resp_{number}", "status": "completed"}}),
            ("response.function_call_arguments.done", CALL),
            ("input_audio_buffer.speech_started", {"item_id": f"item_{number}"}),
            ("input_audio_buffer.committed", {"item_id": f"item_{number}"}),
            ("conversation.created", {"conversation": {"id": f"conv_{number}"}}),
            (f"{TRANSCRIPTION}.updated", {"item_id": f"item_{number}", "transcript": "a"}),
            (f"{TRANSCRIPTION}.completed", {"item_id": f"item_{number}", "transcript": "a b"}),
            ("error", {"error": {"type": "internal_error", "message": "oh"}}),
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


@given(st.booleans(), st.lists(frames | likely | likely | commands, max_size=40))
def test_the_invariants_hold_whatever_comes(is_ours, steps):
    """A response starts, then sounds, then ends once; words are final once; silence is kept."""
    owner = TurnOwner.FRAMEWORK if is_ours else TurnOwner.PROVIDER
    wire = Wire(S2sOptions(turn_owner=owner, tools=(TOOL,), resume="conv_1", history=PAST))
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
    begun, ended, written, called = set(), set(), set(), set()
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
            case ToolCalled():
                called.add(one.call_id)
            case _:
                pass
    assert begun == ended
    assert isinstance(events[-1], LinkClosed)
