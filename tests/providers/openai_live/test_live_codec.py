"""The OpenAI Live codec: tables of messages and events, and what no message may do."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CreateResponse,
    DelegationId,
    DelegationRequested,
    EndUserTurn,
    ErrorCategory,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Message,
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
    ToolCallWithdrawn,
    ToolResult,
    ToolSpec,
    ToolUse,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import S2sOptions, TurnOwner
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.providers.s2s.openai_live import _codec as codec_module
from beluga_voice.providers.s2s.openai_live._capabilities import capabilities
from beluga_voice.providers.s2s.openai_live._codec import OpenAILiveCodec
from beluga_voice.providers.s2s.openai_live._options import Settings, messages_of, url_of
from beluga_voice.providers.s2s.openai_live._pieces import pieces_of, tokens_of
from beluga_voice.providers.s2s.openai_live._wire import HANDLED, IGNORED
from providers.openai_live.live_stage import SERVER_MODELS, check_client

BACKEND = ResponsesDelegation(model="gpt-5.2")
TOOL = ToolSpec(name="weather", description="", parameters='{"type": "object"}')
MULAW = AudioFormat(Encoding.MULAW, 8000, 1)
ONE, TWO = ResponseId("live-3-r1"), ResponseId("live-3-r2")
FIRST = UtteranceId("live-3-u1")
WORK = DelegationId("live-3-item_1")
CALL = ToolCallId("live-3-call_1")


def tone(milliseconds, rate=24000, level=1000):
    """Sound as loud as that."""
    return level.to_bytes(2, "little") * (rate * milliseconds // 1000)


LOUD, SILENT = tone(100), bytes(4800)
DITHER = b"\x14\x00\xec\xff" * 1200


class Wire:
    """A codec, with messages as dictionaries: those we send are checked by the official models."""

    def __init__(self, options=None, *, ready=True, **settings):
        settings = Settings(model="gpt-live-1", **settings)
        able = capabilities(settings.format, has_tools=settings.backend is not None)
        self.codec = OpenAILiveCodec(options or S2sOptions(), settings, able, link=3)
        self.hello = self._read(self.codec.hello())
        if ready:
            self.hear("session.started", session={"id": "live_1"})

    def _read(self, messages):
        sent = [json.loads(message) for message in messages]
        for one in sent:
            check_client(one)
        return sent

    def send(self, command):
        """What becomes of a command, without the names of messages."""
        return [plain(one) for one in self._read(self.codec.encode(command))]

    def name_of(self, command):
        """The name of the last message that becomes of a command."""
        return self._read(self.codec.encode(command))[-1]["event_id"]

    def hear(self, kind, **fields):
        """The events of a message."""
        return self.codec.decode(json.dumps({"type": kind, "event_id": "e", **fields}))

    def replies(self):
        """What is sent because of the messages so far."""
        return [plain(one) for one in self._read(self.codec.replies())]

    def sound(self, *pieces):
        """The next sound of the track."""
        return [
            event
            for pcm in pieces
            for event in self.hear(
                "session.output_audio.delta", delta=base64.b64encode(pcm).decode()
            )
        ]

    def says(self, delta, start_ms=0, end_ms=200):
        """Words of the model."""
        return self.hear(
            "session.output_transcript.delta", delta=delta, start_ms=start_ms, end_ms=end_ms
        )

    def hears(self, delta, start_ms=0, end_ms=200):
        """Words of the person."""
        return self.hear(
            "session.input_transcript.delta", delta=delta, start_ms=start_ms, end_ms=end_ms
        )

    def pass_time(self, milliseconds):
        """So much sound of the person goes out; the events of what comes back."""
        events = []
        for _ in range(milliseconds // 100):
            self.codec.encode(SendAudio(pcm=SILENT))
            events += self.sound(SILENT)
        return events

    def delegate(self, delegation_id="item_1", target="client"):
        """Work is handed over."""
        delegation = {"id": delegation_id, "type": "delegation", "target": target}
        return self.hear("session.delegation.created", offset_ms=0, delegation=delegation)

    def backend(self, kind, delegation_id="item_1", **fields):
        """An event of the working model."""
        event = {"type": f"response.{kind}", **fields}
        return self.hear("response.event", delegation_id=delegation_id, event=event)

    def call(self, call_id="call_1", delegation_id="item_1", **fields):
        """The working model calls a tool."""
        item = {"type": "function_call", "status": "completed", "call_id": call_id}
        item |= {"name": "weather", "arguments": "{}", **fields}
        return self.backend("output_item.done", delegation_id, item=item)

    def fail(self, message="no", *, code="invalid_value", kind="invalid_request_error", name=None):
        """An error of the service."""
        error = {"type": kind, "code": code, "message": message, "client_event_id": name}
        return self.hear("error", error=error)


def plain(message):
    return {key: value for key, value in message.items() if key != "event_id"}


def interrupt(response_id=ONE, heard_text=""):
    return Interrupt(response_id=response_id, heard_samples=0, heard_text=heard_text)


def note(channel, content, delegation_id=None):
    return {
        "type": f"session.{channel}.append",
        "content": content,
        "delegation_id": delegation_id,
    }


def kinds(events):
    return [type(event).__name__ for event in events]


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


# ── the configuration ───────────────────────────────────────────────────────────────────────


def test_the_first_message_is_the_whole_configuration():
    """Model, sound, voice, delegation, instructions and history go in `session.start`."""
    options = S2sOptions(
        instructions="Be kind.",
        voice="voice_mine",
        history=(
            Message(role=Role.SYSTEM, text="a note"),
            Message(role=Role.USER, text="hello"),
            ToolUse(call_id=CALL, name="weather", arguments="{}"),
            ToolResult(call_id=CALL, output="cold"),
            Message(role=Role.AGENT, text="hi"),
        ),
    )
    wire = Wire(
        options,
        acknowledgement_delay_ms=300,
        store=True,
        safety_identifier="someone",
        format=MULAW,
    )
    (start,) = wire.hello
    assert start["type"] == "session.start"
    assert start["session"] == {
        "model": "gpt-live-1",
        "audio": {
            "format": {"type": "audio/pcmu", "rate": 8000},
            "output": {"voice": {"id": "voice_mine"}},
        },
        "delegation": {"type": "client", "acknowledgement_delay_ms": 300},
        "instructions": "Be kind.",
        "input": [
            {
                "type": "message",
                "role": role,
                "content": [{"type": kind, "text": text}],
            }
            for role, kind, text in (
                ("developer", "input_text", "a note"),
                ("user", "input_text", "hello"),
                ("assistant", "output_text", "hi"),
            )
        ],
        "store": True,
        "safety_identifier": "someone",
    }


def test_a_backend_has_the_tools():
    """With Responses delegation, the working model is told its settings and our tools."""
    backend = ResponsesDelegation(
        model="gpt-5.2",
        instructions="Work.",
        max_output_tokens=500,
        parallel_tool_calls=False,
        reasoning_effort="low",
        verbosity="low",
        tool_choice="auto",
    )
    (start,) = Wire(S2sOptions(tools=(TOOL,)), delegation=backend).hello
    assert start["session"]["delegation"] == {
        "type": "responses",
        "responses": {
            "model": "gpt-5.2",
            "instructions": "Work.",
            "max_output_tokens": 500,
            "parallel_tool_calls": False,
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "tool_choice": "auto",
            "tools": [
                {
                    "type": "function",
                    "name": "weather",
                    "description": "",
                    "parameters": {"type": "object"},
                }
            ],
        },
    }


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0.5}, "has_temperature"),
        ({"max_output_tokens": 10}, "has_output_token_limit"),
        ({"turn_owner": TurnOwner.PROVIDER}, "turn_owners"),
        ({"turn_owner": TurnOwner.FRAMEWORK}, "turn_owners"),
        ({"respond_automatically": False}, "can_suppress_response"),
        ({"language": "de"}, "languages"),
        ({"resume": "handle"}, "resumption"),
        ({"input_format": pcm16(16000)}, "input_formats"),
        ({"output_format": pcm16(16000)}, "output_formats"),
        ({"tools": (TOOL,)}, "has_tools"),
    ],
)
def test_what_the_service_cannot_honour_is_refused(options, named):
    """The error names the capability that is missing."""
    with pytest.raises(Unsupported, match=named):
        Wire(S2sOptions(**options))


@pytest.mark.parametrize(
    "settings",
    [
        {"delegation": "server"},
        {"acknowledgement_delay_ms": -1},
        {"format": pcm16(48000)},
        {"model": ""},
        {"endpoint": "api.openai.com"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """The provider is not made."""
    with pytest.raises(ConfigurationError):
        OpenAILive(**settings)


def test_a_backend_that_makes_no_sense_is_refused():
    """It needs a model, room for an answer, and tools with a schema."""
    for settings in ({"model": ""}, {"model": "m", "max_output_tokens": 0}):
        with pytest.raises(ConfigurationError):
            ResponsesDelegation(**settings)
    tool = ToolSpec(name="t", description="", parameters="[]")
    with pytest.raises(ConfigurationError, match="no JSON object"):
        Wire(S2sOptions(tools=(tool,)), delegation=BACKEND)


def test_who_does_the_work_decides_what_can_be_done():
    """Tools and delegation to us exclude each other."""
    ours, theirs = OpenAILive(), OpenAILive(delegation=BACKEND)
    assert (ours.capabilities.has_tools, ours.capabilities.has_delegation) == (False, True)
    assert (theirs.capabilities.has_tools, theirs.capabilities.has_delegation) == (True, False)
    assert "tools" in theirs.capabilities.mutable


def test_the_newest_of_a_long_history_is_told():
    """No more than 128 messages go out, and no more words than fit."""
    many = [Message(role=Role.USER, text=f"word {number}") for number in range(200)]
    told = messages_of(many)
    assert len(told) == 128
    assert told[-1]["content"][0]["text"] == "word 199"
    long = [Message(role=Role.USER, text="abcd " * 2000) for _ in range(5)]
    assert len(messages_of(long)) == 2
    assert messages_of([Message(role=Role.USER, text="  ")]) == []


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://a.example/v1/live/sessions", "wss://a.example/v1/live/sessions"),
        ("http://a.example:1/live", "ws://a.example:1/live"),
        ("wss://a.example/x?y=1", "wss://a.example/x?y=1"),
    ],
)
def test_an_endpoint_may_be_given_as_a_web_address(endpoint, url):
    """The scheme becomes that of a websocket; nothing is added."""
    assert url_of(endpoint) == url


# ── commands ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (StartUserTurn(), []),
        (EndUserTurn(), []),
        (ClearInput(), []),
        (SendAudio(pcm=b""), []),
        (SendAudio(pcm=b"\x01\x02"), [{"type": "session.input_audio.append", "audio": "AQI="}]),
        (
            SendText(text="hi", respond=False),
            [note("thinking", codec_module.WROTE + "hi")],
        ),
        (
            SendText(text="hi"),
            [note("thinking", codec_module.WROTE + "hi"), note("commentary", codec_module.ANSWER)],
        ),
        (SendText(text="hi", role=Role.SYSTEM, respond=False), [note("instructions", "hi")]),
        (
            SendText(text="hi", role=Role.AGENT, respond=False),
            [note("thinking", codec_module.BEFORE + "you: hi")],
        ),
        (Say(text="Welcome."), [note("commentary", codec_module.SAY.format(text="Welcome."))]),
        (Say(text=" "), []),
        (CreateResponse(), [note("commentary", codec_module.SPEAK)]),
        (
            CreateResponse(instructions="Sing."),
            [note("commentary", codec_module.SPEAK + "\nSing.")],
        ),
        (interrupt(), []),
        (AnswerTool(call_id=CALL, output="x"), []),
        (AnswerDelegation(delegation_id=WORK, text="x"), []),
        (
            Update(instructions="Be brief."),
            [note("instructions", codec_module.UPDATED + "Be brief.")],
        ),
        (Update(tools=(TOOL,)), []),
        (Update(voice="cedar"), []),
        (
            SeedHistory(
                items=(Message(role=Role.USER, text="a"), Message(role=Role.AGENT, text="b"))
            ),
            [note("thinking", codec_module.BEFORE + "person: a\nyou: b")],
        ),
        (SeedHistory(items=()), []),
    ],
)
def test_what_becomes_of_a_command(command, sent):
    """The table of the codec, line by line."""
    assert Wire().send(command) == sent


def test_each_message_has_a_name_of_its_own():
    """Names differ, so that an acknowledgement says what it is for."""
    wire = Wire()
    names = [wire.hello[0]["event_id"]]
    names += [wire.name_of(SendText(text="x", respond=False)) for _ in range(3)]
    assert len(set(names)) == 4


def test_half_a_sample_waits_for_the_rest():
    """Only whole samples go out, and none is lost."""
    wire = Wire()
    sent = [wire.send(SendAudio(pcm=pcm)) for pcm in (b"\x01", b"\x02\x03", b"\x04")]
    assert sent[0] == []
    assert [base64.b64decode(one[0]["audio"]) for one in sent[1:]] == [b"\x01\x02", b"\x03\x04"]


def test_the_tools_of_a_backend_can_change():
    """The working model gets other tools, or none."""
    wire = Wire(delegation=BACKEND)
    (sent,) = wire.send(Update(tools=(TOOL,)))
    assert sent["type"] == "session.update"
    assert sent["session"]["delegation"]["responses"]["tools"][0]["name"] == "weather"
    (sent,) = wire.send(Update(tools=()))
    assert sent["session"]["delegation"]["responses"] == {"tools": []}


def test_long_text_goes_in_pieces():
    """No piece is longer than the service takes, and no word is lost."""
    text = " ".join(f"This is sentence number {number}." for number in range(300))
    sent = Wire().send(SendText(text=text, role=Role.SYSTEM, respond=False))
    assert len(sent) > 1
    assert all(tokens_of(one["content"]) <= 450 for one in sent)
    assert " ".join(one["content"] for one in sent) == text
    assert all(one["content"].endswith(".") for one in sent)


@given(st.text(max_size=400), st.integers(min_value=1, max_value=20))
def test_pieces_are_short_and_whole(text, limit):
    """Each fits, and together they are the text but for blanks."""
    pieces = pieces_of(text, limit)
    assert all(0 < tokens_of(piece) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_piece_the_service_finds_too_long_is_halved():
    """Our count is an estimate: what is refused goes again in two pieces, and is no error."""
    wire = Wire()
    name = wire.name_of(SendText(text="one two three four", role=Role.SYSTEM, respond=False))
    too_long = "Context append text must not exceed 500 tokens."
    assert wire.fail(too_long, name=name) == []
    assert wire.replies() == [note("instructions", "one two"), note("instructions", "three four")]
    (failed,) = wire.fail(too_long, name="unknown")
    assert (failed.is_fatal, wire.replies()) == (False, [])


# ── the person ──────────────────────────────────────────────────────────────────────────────


def test_fragments_become_an_utterance():
    """It is part of the conversation from its first words on, and final after a silence."""
    wire = Wire()
    assert wire.hears("Hel") == [
        SpeechStarted(utterance_id=FIRST),
        InputCommitted(utterance_id=FIRST),
        InputTranscript(utterance_id=FIRST, text="Hel", is_final=False),
    ]
    assert wire.hears("lo there", 200, 600) == [
        InputTranscript(utterance_id=FIRST, text="Hello there", is_final=False)
    ]
    assert wire.pass_time(700) == []
    assert wire.pass_time(100) == [
        SpeechStopped(utterance_id=FIRST),
        InputTranscript(utterance_id=FIRST, text="Hello there", is_final=True),
    ]
    assert wire.pass_time(3000) == []


def test_words_after_a_silence_are_another_utterance():
    """The times of the words tell, also where all of them come at once."""
    wire = Wire()
    wire.hears("one", 0, 200)
    assert kinds(wire.hears(" two", 1000, 1200)) == ["InputTranscript"]
    events = wire.hears("three", 2001, 2200)
    assert [one.text for one in of(events, InputTranscript)] == ["one two", "three"]
    assert [one.is_final for one in of(events, InputTranscript)] == [True, False]
    assert of(events, SpeechStarted) == [SpeechStarted(utterance_id=UtteranceId("live-3-u2"))]


def test_a_late_full_stop_is_no_utterance():
    """Punctuation that comes after the end says nothing."""
    wire = Wire()
    assert wire.hears(". ", 0, 0) == []
    assert wire.hears("", 0, 0) == []


def test_times_that_are_missing_or_wrong_do_no_harm():
    """An utterance ends by the sound that passes, whatever the stamps say."""
    wire = Wire()
    wire.hear("session.input_transcript.delta", delta="a")
    wire.hears("b", 1e300, -5)
    wire.hears("c", 0, 0)
    assert of(wire.pass_time(800), InputTranscript)[0].text == "abc"


def test_an_endless_utterance_is_cut():
    """What is kept of an utterance has a bound."""
    wire = Wire()
    wire.hears("a" * 20_001, 0, 200)
    assert len(of(wire.hears("b", 200, 400), SpeechStopped)) == 1


# ── the model ───────────────────────────────────────────────────────────────────────────────


def test_silence_is_no_response():
    """Neither digital silence nor the dither at the beginning is told."""
    assert Wire().sound(SILENT, DITHER, SILENT) == []


def test_voice_is_a_response_and_silence_its_end():
    """It begins with the first voice, keeps its pauses, and ends after 800 ms of silence."""
    wire = Wire()
    half = bytes(2400) + tone(50)
    events = wire.sound(half, LOUD, *[SILENT] * 7, LOUD, *[SILENT] * 7)
    assert events[0] == ResponseStarted(response_id=ONE)
    assert kinds(events).count("ResponseStarted") == 1
    # Told in steps of 20 ms: the voice begins within the one from 40 to 60 ms.
    assert events[1] == ResponseAudio(response_id=ONE, pcm=half[40 * 48 :])
    assert kinds(events[2:]) == ["ResponseAudio"] * 16
    end = wire.sound(SILENT)
    assert kinds(end) == ["ResponseAudio", "ResponseDone"]
    assert end[-1] == ResponseDone(response_id=ONE, status=ResponseStatus.COMPLETED)
    assert wire.sound(SILENT) == []
    assert wire.sound(LOUD)[0] == ResponseStarted(response_id=TWO)


def test_a_long_piece_is_as_many_short_ones():
    """How the track is cut into messages makes no difference."""
    track = LOUD + SILENT * 9 + LOUD + SILENT
    events = Wire().sound(track)
    assert [one.response_id for one in of(events, ResponseStarted)] == [ONE, TWO]
    assert events == Wire().sound(LOUD, *[SILENT] * 9, LOUD, SILENT)


@pytest.mark.parametrize(
    ("sound", "quiet", "loud"),
    [
        (MULAW, b"\xff" * 800, b"\x00" * 800),
        (AudioFormat(Encoding.ALAW, 8000, 1), b"\xd5" * 800, b"\x00" * 800),
        (pcm16(16000), bytes(3200), tone(100, 16000)),
    ],
)
def test_voice_is_found_in_every_format(sound, quiet, loud):
    """Telephone sound is looked at as what it stands for, and given as it is."""
    wire = Wire(format=sound)
    assert wire.sound(quiet) == []
    assert wire.sound(loud)[1] == ResponseAudio(response_id=ONE, pcm=loud)
    assert kinds(wire.sound(*[quiet] * 8))[-1] == "ResponseDone"
    assert len(wire.codec.silence(100).pcm) == len(quiet)
    assert wire.codec.silence(100).pcm == quiet


def test_words_are_placed_where_they_sound():
    """The first words begin where the first sound does; later ones by their distance from it."""
    wire = Wire()
    wire.sound(SILENT, LOUD)
    assert wire.says("Hello", 5000, 5200) == [
        ResponseText(response_id=ONE, delta="Hello", start=0, end=4800)
    ]
    assert wire.says(" you", 5200, 5500) == [
        ResponseText(response_id=ONE, delta=" you", start=4800, end=12000)
    ]
    assert wire.hear("session.output_transcript.delta", delta="!") == [
        ResponseText(response_id=ONE, delta="!")
    ]


def test_words_may_come_first():
    """They begin a response, which waits for its sound; without any, it ends after two seconds."""
    wire = Wire()
    assert kinds(wire.says("Hello")) == ["ResponseStarted", "ResponseText"]
    assert wire.sound(*[SILENT] * 19) == []
    assert kinds(wire.sound(SILENT)) == ["ResponseDone"]
    wire.says("Again", 5000, 5200)
    wire.sound(SILENT)
    assert wire.sound(LOUD) == [ResponseAudio(response_id=TWO, pcm=LOUD)]


def test_late_words_belong_to_the_response_that_is_over():
    """Words that sounded in it are its words; later ones begin another."""
    wire = Wire()
    wire.sound(LOUD, LOUD, LOUD)
    wire.says("one", 1000, 1100)
    wire.sound(*[SILENT] * 8)
    assert wire.says(" two", 1200, 1300) == [
        ResponseText(response_id=ONE, delta=" two", start=4800, end=7200)
    ]
    assert kinds(wire.says("new", 3000, 3100)) == ["ResponseStarted", "ResponseText"]


def test_words_of_the_person_do_not_end_a_response():
    """Both speak at once, and each has their own."""
    wire = Wire()
    wire.sound(LOUD)
    wire.hears("yes")
    assert kinds(wire.sound(LOUD)) == ["ResponseAudio"]


@pytest.mark.parametrize(
    ("person", "start_ms", "is_other"),
    [
        ((1100, 1400), 1700, True),  # the person spoke into the first one, and it paused
        ((1100, 1400), 1400, False),  # it went on without a pause
        ((500, 900), 1700, False),  # the person had spoken before
        (None, 1700, False),
    ],
)
def test_a_pause_into_which_the_person_spoke_ends_a_response(person, start_ms, is_other):
    """The model fell silent for the person; what it says then is another response."""
    wire = Wire()
    wire.sound(LOUD, LOUD)
    wire.says("one", 1000, 1200)
    if person is not None:
        wire.hears("stop", *person)
    events = wire.says(" two", start_ms, start_ms + 200)
    expected = ["ResponseDone", "ResponseStarted", "ResponseText"] if is_other else ["ResponseText"]
    assert kinds(events) == expected
    assert events[-1].response_id == (TWO if is_other else ONE)


@pytest.mark.parametrize(
    ("before", "delta", "start_ms", "told"),
    [
        ("one", "two", 1600, " two"),  # a pause between them
        ("one", "two", 1200, "two"),  # the end of a word
        ("one.", "Two", 1200, " Two"),
        ("one", ".", 1600, "."),
        ("one ", "two", 1600, "two"),
        ("one", " two", 1600, " two"),
    ],
)
def test_a_space_that_is_missing_is_made_up_for(before, delta, start_ms, told):
    """Words bring their own spaces, except where a sentence may begin."""
    wire = Wire()
    wire.says(before, 1000, 1200)
    (text,) = wire.says(delta, start_ms, start_ms + 200)
    assert text.delta == told


def test_an_interruption_drops_what_still_comes():
    """Until the model has been silent for a while; then a new response begins."""
    wire = Wire()
    wire.sound(LOUD)
    wire.says("one", 0, 100)
    assert wire.send(interrupt(heard_text=" one ")) == [note("thinking", codec_module.CUT + "one")]
    cancelled = ResponseDone(response_id=ONE, status=ResponseStatus.CANCELLED, reason="interrupted")
    assert wire.sound(LOUD) == [cancelled]
    assert wire.says(" two", 100, 200) == []
    assert wire.sound(*[SILENT] * 7, LOUD, *[SILENT] * 8) == []
    assert wire.says(" late", 50, 100) == []
    assert wire.sound(LOUD)[0] == ResponseStarted(response_id=TWO)


def test_only_what_is_being_made_can_be_interrupted():
    """A response that is over, or unknown, has nothing left to drop."""
    wire = Wire()
    wire.sound(LOUD, *[SILENT] * 8)
    assert wire.send(interrupt()) == []
    assert wire.send(interrupt(TWO)) == []
    assert kinds(wire.sound(LOUD)) == ["ResponseStarted", "ResponseAudio"]
    assert wire.send(interrupt(TWO)) == [note("thinking", codec_module.UNHEARD)]


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (Say(text="hi"), ResponseOrigin.SAID),
        (SendText(text="hi"), ResponseOrigin.REQUESTED),
        (CreateResponse(), ResponseOrigin.REQUESTED),
        (SendText(text="hi", respond=False), ResponseOrigin.TURN),
    ],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_response_has_its_origin(command, origin, is_named):
    """What begins after our words were placed is taken to be because of them; only the next."""
    wire = Wire()
    sent = wire._read(wire.codec.encode(command))
    for one in sent:
        name = {"client_event_id": one["event_id"]} if is_named else {}
        wire.hear(f"{one['type']}ed", start_ms=0, end_ms=0, **name)
    (started,) = of(wire.sound(LOUD, *[SILENT] * 8), ResponseStarted)
    assert started.origin is origin
    (started,) = of(wire.sound(LOUD), ResponseStarted)
    assert started.origin is ResponseOrigin.TURN


# ── work that is handed to us ───────────────────────────────────────────────────────────────


def test_work_waits_for_the_words_it_is_about():
    """It is told once the person's words are final, and once only."""
    wire = Wire()
    wire.hears("order a taxi")
    assert wire.delegate() == []
    assert wire.delegate() == []
    events = wire.pass_time(1500)
    assert kinds(events) == ["SpeechStopped", "InputTranscript", "DelegationRequested"]
    assert events[-1] == DelegationRequested(delegation_id=WORK)


def test_work_does_not_wait_for_words_that_are_known():
    """After a final transcript nothing is missing."""
    wire = Wire()
    wire.hears("order a taxi")
    wire.pass_time(800)
    assert wire.delegate() == [DelegationRequested(delegation_id=WORK)]


def test_work_waits_no_longer_than_it_may():
    """Without words it is told after a while; with a person who talks on, so are the words."""
    wire = Wire()
    wire.delegate()
    assert wire.pass_time(1200) == []
    assert wire.pass_time(100) == [DelegationRequested(delegation_id=WORK)]
    wire.delegate("item_2")
    for start in range(0, 1200, 200):
        wire.hears(" on", start, start + 200)
        wire.pass_time(200)
    events = wire.pass_time(100)
    assert kinds(events) == ["SpeechStopped", "InputTranscript", "DelegationRequested"]


def test_what_the_work_gave_is_spoken_or_known():
    """Words to speak are commentary, knowledge is thinking, both for the work they are of."""
    wire = Wire()
    wire.delegate()
    said = AnswerDelegation(delegation_id=WORK, text="I look.", is_spoken=False, is_final=False)
    assert wire.send(said) == [note("thinking", "I look.", "item_1")]
    said = AnswerDelegation(delegation_id=WORK, text="It comes at nine.")
    assert wire.send(said) == [note("commentary", "It comes at nine.", "item_1")]
    assert wire.send(said) == []


@pytest.mark.parametrize("is_spoken", [True, False])
def test_work_that_gave_nothing_is_told_to_be_over(is_spoken):
    """The person would wait for ever: the service has no word for the end of work."""
    wire = Wire()
    wire.delegate()
    said = AnswerDelegation(delegation_id=WORK, text=" ", is_spoken=is_spoken)
    assert wire.send(said) == [note("commentary", codec_module.NO_RESULT, "item_1")]


def test_work_that_ends_in_silence_is_left_there():
    """An agent that only let the model know something decided that nothing is to be said."""
    wire = Wire()
    wire.delegate()
    said = AnswerDelegation(delegation_id=WORK, text="Too late.", is_spoken=False)
    assert wire.send(said) == [note("thinking", "Too late.", "item_1")]


def test_work_of_the_service_is_none_of_ours():
    """Delegations to another model, or before the session, are not told."""
    wire = Wire(delegation=BACKEND)
    wire.delegate(target="responses")
    assert wire.pass_time(2000) == []
    wire = Wire(ready=False)
    wire.delegate()
    wire.hear("session.started", session={})
    assert wire.pass_time(2000) == []


# ── tools of the working model ──────────────────────────────────────────────────────────────


def test_tools_are_answered_together():
    """The model is told to go on once, when it has stopped and every call is answered."""
    wire = Wire(delegation=BACKEND)
    wire.backend("created", response={})
    assert wire.call() == [ToolCalled(call_id=CALL, name="weather", arguments="{}")]
    assert wire.call() == []
    wire.call("call_2")
    usage = {"input_tokens": 3, "output_tokens": 4}
    assert wire.backend("completed", response={"usage": usage}) == [
        UsageReported(usage=Usage(input_tokens=3, output_tokens=4))
    ]
    item = {"type": "function_call_output", "call_id": "call_1", "output": "cold"}
    assert wire.send(AnswerTool(call_id=CALL, output="cold")) == [
        {"type": "response.item.create", "item": item}
    ]
    assert wire.send(AnswerTool(call_id=CALL, output="cold")) == []
    other = AnswerTool(call_id=ToolCallId("live-3-call_2"), output="no", is_error=True)
    item = {"type": "function_call_output", "call_id": "call_2", "output": "error: no"}
    assert wire.send(other) == [
        {"type": "response.item.create", "item": item},
        {"type": "response.create"},
    ]


def test_a_tool_that_is_quicker_than_its_caller_waits():
    """A result may come before the model has stopped; it is told to go on afterwards."""
    wire = Wire(delegation=BACKEND)
    wire.backend("created", response={})
    wire.call()
    assert len(wire.send(AnswerTool(call_id=CALL, output="cold"))) == 1
    wire.backend("completed", response={})
    assert wire.replies() == [{"type": "response.create"}]


def test_a_call_of_other_work_holds_up_all():
    """The service goes on only when no call of the session is open."""
    wire = Wire(delegation=BACKEND)
    for number in "12":
        wire.backend("created", f"item_{number}", response={})
        wire.call(f"call_{number}", f"item_{number}")
        wire.backend("completed", f"item_{number}", response={})
    assert len(wire.send(AnswerTool(call_id=CALL, output=""))) == 1
    assert len(wire.send(AnswerTool(call_id=ToolCallId("live-3-call_2"), output=""))) == 2


@pytest.mark.parametrize("kind", ["failed", "incomplete"])
def test_calls_of_a_run_that_failed_are_withdrawn(kind):
    """Their results would be refused."""
    wire = Wire(delegation=BACKEND)
    wire.backend("created", response={})
    wire.call()
    assert wire.backend(kind, response={}) == [ToolCallWithdrawn(call_ids=(CALL,))]
    assert wire.send(AnswerTool(call_id=CALL, output="")) == []


def test_a_failed_handoff_withdraws_everything():
    """Some failures of the working model are told by an error alone."""
    wire = Wire(delegation=BACKEND)
    wire.call()
    withdrawn, failed = wire.fail("Responses handoff incomplete.", code=None, kind="server_error")
    assert withdrawn == ToolCallWithdrawn(call_ids=(CALL,))
    assert (failed.is_fatal, failed.category) == (False, ErrorCategory.RETRYABLE)


def test_a_working_model_without_calls_needs_nothing():
    """It stops, and is not told to go on."""
    wire = Wire(delegation=BACKEND)
    wire.backend("created", response={})
    wire.backend("output_text.delta", delta="hm")
    wire.call(status="incomplete")
    wire.call(call_id=None)
    assert wire.backend("completed", response=None) == []
    assert wire.replies() == []


# ── the session ─────────────────────────────────────────────────────────────────────────────


def test_a_session_that_started_is_ready():
    """Its id, model and end are told, once."""
    wire = Wire(ready=False)
    session = {"id": "live_7", "model": "gpt-live-1", "expires_at": 1795003600}
    assert wire.hear("session.started", session=session) == [
        LinkReady(remote_id="live_7", model="gpt-live-1", expires_at=1795003600)
    ]
    assert wire.hear("session.started", session=session) == []


def test_usage_is_told_as_differences():
    """The service tells totals, some of them twice, and the last with the end."""
    wire = Wire()
    told = [
        event.usage.audio_seconds
        for seconds in (15.0, 15.0, 30.5, 20.0, None)
        for event in wire.hear("session.usage.updated", usage={"seconds": seconds})
    ]
    assert told == [15.0, 15.5]
    events = wire.hear("session.closed", reason="close_requested", usage={"seconds": 31})
    assert events == [
        UsageReported(usage=Usage(audio_seconds=0.5)),
        LinkClosed(is_clean=True, reason="close_requested"),
    ]


@pytest.mark.parametrize(
    ("code", "kind", "category", "is_fatal"),
    [
        ("invalid_api_key", "invalid_request_error", ErrorCategory.AUTH, True),
        ("account_deactivated", "", ErrorCategory.AUTH, True),
        (None, "insufficient_quota", ErrorCategory.INVALID_REQUEST, True),
        ("rate_limit_exceeded", "", ErrorCategory.RATE_LIMIT, False),
        ("invalid_value", "invalid_request_error", ErrorCategory.INVALID_REQUEST, False),
        (None, "server_error", ErrorCategory.RETRYABLE, False),
        (None, None, ErrorCategory.RETRYABLE, False),
        ("context_injection_incomplete", "x", ErrorCategory.RETRYABLE, False),
        (None, "timeout", ErrorCategory.TIMEOUT, False),
    ],
)
def test_an_error_has_its_kind(code, kind, category, is_fatal):
    """Most leave a session alive; before it started, each is its end."""
    (failed,) = Wire().fail(code=code, kind=kind)
    assert (failed.category, failed.is_fatal) == (category, is_fatal)
    assert failed.provider_code == code
    (failed,) = Wire(ready=False).fail(code=code, kind=kind)
    assert (failed.category, failed.is_fatal) == (category, True)


def test_an_error_about_a_key_does_not_quote_it():
    """The service repeats a part of the key; we do not."""
    (failed,) = Wire().fail("Incorrect API key: sk-secret", code="invalid_api_key")
    assert "sk-secret" not in failed.message


@pytest.mark.parametrize(
    ("reason", "category"),
    [
        ("expired", ErrorCategory.SESSION_EXPIRED),
        ("connection_lost", ErrorCategory.RETRYABLE),
        ("content", ErrorCategory.INVALID_REQUEST),
        ("something new", ErrorCategory.RETRYABLE),
        (None, ErrorCategory.RETRYABLE),
    ],
)
def test_an_end_that_is_a_failure_has_its_kind(reason, category):
    """What was being said has failed; the connection is over."""
    wire = Wire()
    wire.sound(LOUD)
    wire.hears("wait")
    events = wire.hear("session.closed", reason=reason)
    assert kinds(events) == ["ResponseDone", "ServiceFailed"]
    assert events[-2].status is ResponseStatus.FAILED
    assert (events[-1].category, events[-1].is_fatal) == (category, True)
    assert wire.sound(LOUD) == []
    assert kinds(wire.codec.closed(is_clean=False, code=None, reason="")) == ["LinkClosed"]


@pytest.mark.parametrize("reason", ["close_requested", "remote_hangup"])
def test_an_orderly_end_is_clean(reason):
    """The response that was being made is incomplete, and nothing follows."""
    wire = Wire()
    wire.sound(LOUD)
    done, closed = wire.hear("session.closed", reason=reason)
    assert done.status is ResponseStatus.INCOMPLETE
    assert closed == LinkClosed(is_clean=True, reason=reason)


def test_a_service_that_hangs_up_without_a_word_is_at_fault():
    """A socket that closes in order is not an end of the session in order."""
    wire = Wire()
    wire.sound(LOUD)
    done, closed = wire.codec.closed(is_clean=True, code=1000, reason="bye")
    assert done == ResponseDone(
        response_id=ONE, status=ResponseStatus.FAILED, reason="the connection ended"
    )
    assert closed == LinkClosed(is_clean=False, reason="bye", code=1000)
    assert wire.codec.goodbye() == []


def test_what_is_being_said_is_final_only_if_the_end_is_ours():
    """Otherwise the next connection hears the whole utterance, and would write it down twice."""
    wire = Wire()
    wire.hears("wait")
    assert kinds(wire.codec.closed(is_clean=False, code=1006, reason="")) == ["LinkClosed"]
    wire = Wire()
    wire.hears("wait")
    stopped, words, _ = wire.codec.closed(is_clean=True, code=None, reason="closed by us")
    assert isinstance(stopped, SpeechStopped)
    assert (words.text, words.is_final) == ("wait", True)


def test_an_interrupted_response_is_not_said_to_have_failed():
    """Its end was owed when the connection went."""
    wire = Wire()
    wire.sound(LOUD)
    wire.send(interrupt())
    done, _ = wire.codec.closed(is_clean=False, code=1006, reason="")
    assert done.status is ResponseStatus.CANCELLED


def test_leaving_says_goodbye_once_it_began():
    """The end is ours to say only where the session began, and nobody else ended it."""
    wire = Wire()
    wire.codec.closed(is_clean=True, code=None, reason="closed by us")
    assert [plain(one) for one in wire._read(wire.codec.goodbye())] == [{"type": "session.close"}]
    wire = Wire(ready=False)
    wire.codec.closed(is_clean=True, code=None, reason="closed by us")
    assert wire.codec.goodbye() == []


def test_a_service_that_takes_sound_and_gives_none_is_stuck():
    """After ten seconds of sound it is; its own sound begins them anew."""
    wire = Wire()
    for _ in range(50):
        wire.send(SendAudio(pcm=SILENT))
    wire.sound(SILENT)
    for _ in range(99):
        wire.send(SendAudio(pcm=SILENT))
    assert not wire.codec.is_stalled
    wire.send(SendAudio(pcm=SILENT))
    assert wire.codec.is_stalled
    failed, closed = wire.codec.closed(is_clean=False, code=None, reason="x")
    assert failed == ServiceFailed(
        category=ErrorCategory.RETRYABLE, message=codec_module.STALLED, is_fatal=True
    )
    assert closed == LinkClosed(is_clean=False, reason=codec_module.STALLED)


# ── what no message may do ──────────────────────────────────────────────────────────────────


def test_every_kind_of_message_is_known():
    """What the official SDK knows is handled, or ignored on purpose."""
    assert set(SERVER_MODELS) == HANDLED | IGNORED


@pytest.mark.parametrize("kind", [*sorted(IGNORED), "session.brand_new"])
def test_what_means_nothing_to_us_is_ignored(kind):
    """Messages of other features, or of later versions, give no event."""
    assert Wire().hear(kind, session={}, code="x") == []


@pytest.mark.parametrize(
    "message",
    [
        b"\x00",
        "",
        "[]",
        "{}",
        '{"type": 5}',
        '{"type": "error"}',
        '{"type": "session.output_audio.delta", "delta": "?"}',
        '{"type": "session.output_audio.delta"}',
        '{"type": "session.input_transcript.delta", "delta": null}',
        '{"type": "session.delegation.created", "delegation": {}}',
        '{"type": "response.event", "event": []}',
    ],
)
def test_what_cannot_be_read_breaks_the_protocol(message):
    """The error quotes nothing of it."""
    with pytest.raises(BrokenProtocol) as caught:
        Wire().codec.decode(message)
    assert "delta" not in str(caught.value)


names = st.sampled_from(
    [
        *("type", "session", "id", "delta", "start_ms", "end_ms", "error", "code", "message"),
        *("reason", "usage", "seconds", "delegation", "target", "event", "item", "response"),
        *("call_id", "name", "arguments", "status", "client_event_id", "delegation_id"),
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["item_1", "call_1", "client", "completed", "function_call", "AAAA", "a b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
frames = st.builds(
    lambda kind, fields: json.dumps({**fields, "type": kind}),
    st.sampled_from(sorted(HANDLED | IGNORED)),
    st.dictionaries(names, values, max_size=6),
)
likely = st.sampled_from(
    [
        json.dumps({"type": kind, **fields})
        for kind, fields in (
            ("session.output_audio.delta", {"delta": base64.b64encode(LOUD).decode()}),
            ("session.output_audio.delta", {"delta": base64.b64encode(SILENT * 8).decode()}),
            ("session.output_audio.delta", {"delta": base64.b64encode(SILENT).decode()}),
            ("session.output_transcript.delta", {"delta": "a", "start_ms": 100, "end_ms": 200}),
            ("session.output_transcript.delta", {"delta": "b", "start_ms": 9000, "end_ms": 9200}),
            ("session.input_transcript.delta", {"delta": "c", "start_ms": 0, "end_ms": 200}),
            ("session.input_transcript.delta", {"delta": "d", "start_ms": 5000, "end_ms": 5200}),
            ("session.delegation.created", {"delegation": {"id": "item_1", "target": "client"}}),
            ("session.usage.updated", {"usage": {"seconds": 15}}),
            ("error", {"error": {"type": "x", "code": None, "message": "must not exceed"}}),
        )
    ]
)
commands = st.sampled_from(
    [
        interrupt(),
        interrupt(TWO),
        Say(text="hi"),
        SendText(text="hi"),
        AnswerDelegation(delegation_id=WORK, text="x"),
        AnswerTool(call_id=CALL, output="x"),
        SendAudio(pcm=SILENT * 4),
    ]
)


@given(st.lists(st.text(max_size=20) | st.binary(max_size=20) | frames | likely, max_size=30))
def test_no_message_does_more_than_break_the_protocol(messages):
    """Whatever comes, decoding gives events or `BrokenProtocol`, and the end is told once."""
    wire = Wire(delegation=BACKEND)
    for message in messages:
        try:
            wire.codec.decode(message)
        except BrokenProtocol:
            continue
    closed = wire.codec.closed(is_clean=True, code=None, reason="")
    assert [one for one in closed if isinstance(one, LinkClosed)] == [closed[-1]]


@given(st.lists(likely | likely | commands | frames, max_size=40))
def test_the_invariants_hold_whatever_comes(steps):
    """A response starts, then sounds, then ends once; nothing sounds that was interrupted."""
    wire = Wire()
    events = []
    silenced = set()
    for step in steps:
        if not isinstance(step, str):
            wire._read(wire.codec.encode(step))
            if isinstance(step, Interrupt):
                begun = {one.response_id for one in of(events, ResponseStarted)}
                silenced |= begun & {step.response_id}
            continue
        try:
            heard = wire.codec.decode(step)
        except BrokenProtocol:
            continue
        wire._read(wire.codec.replies())
        assert not {one.response_id for one in of(heard, ResponseAudio)} & silenced
        events += heard
    if not of(events, LinkClosed):
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
            case ResponseAudio():
                assert one.response_id in begun - ended
            case ResponseText():
                assert one.response_id in begun
            case InputTranscript():
                assert one.utterance_id not in written
                written |= {one.utterance_id} if one.is_final else set()
            case _:
                pass
    assert begun == ended
    assert isinstance(events[-1], LinkClosed)
