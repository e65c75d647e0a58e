"""The protocol of Nova Sonic, message by message."""

import base64
import json
from typing import Any

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
    EndUserTurn,
    ErrorCategory,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
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
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolSpec,
    ToolUse,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import Codec, S2sOptions, TurnDetection, TurnOwner, WireMessage
from beluga_voice.providers.s2s.nova_sonic._codec import NUDGE, SAY, NovaSonicCodec
from beluga_voice.providers.s2s.nova_sonic._settings import Settings
from beluga_voice.testing.emulators.nova_sonic_frames import parse
from beluga_voice.testing.emulators.nova_sonic_order import NovaSonicOrder

PCM = bytes(range(64))
LONG = bytes(32_000)
"""Two thirds of a second of the model's sound."""
R1, R2 = ResponseId("nova-7-r1"), ResponseId("nova-7-r2")
U1, U2 = UtteranceId("nova-7-u1"), UtteranceId("nova-7-u2")
FIRST = Settings(model="amazon.nova-sonic-v1:0")


def codec(options: S2sOptions | None = None, settings: Settings | None = None) -> NovaSonicCodec:
    """A codec for the seventh link."""
    return NovaSonicCodec(options or S2sOptions(), settings or Settings(), link=7)


def plain(messages: list[WireMessage]) -> list[tuple[str, dict[str, Any]]]:
    """Messages of ours: the name of each event, and what is in it."""
    found: list[tuple[str, dict[str, Any]]] = []
    for message in messages:
        ((name, fields),) = json.loads(message)["event"].items()
        found.append((name, fields))
    return found


def frame(name: str, **fields: Any) -> bytes:
    """An event of the service, as it sends them."""
    return json.dumps({"event": {name: {"completionId": "k", **fields}}}).encode()


def start(content: str, kind: str, role: str, stage: str | None = None) -> bytes:
    """A block begins."""
    more = {} if stage is None else {"additionalModelFields": f'{{"generationStage":"{stage}"}}'}
    return frame("contentStart", contentId=content, type=kind, role=role, **more)


def text(content: str, words: str) -> bytes:
    """Words in a block."""
    return frame("textOutput", contentId=content, role="ANY", content=words)


def sound(content: str, pcm: bytes = PCM) -> bytes:
    """Sound in a block."""
    return frame("audioOutput", contentId=content, content=base64.b64encode(pcm).decode())


def end(content: str, kind: str, reason: str) -> bytes:
    """A block is over."""
    return frame("contentEnd", contentId=content, type=kind, stopReason=reason)


def user(content: str, words: str) -> list[bytes]:
    """A block of the person's words."""
    return [
        start(content, "TEXT", "USER", "FINAL"),
        text(content, words),
        end(content, "TEXT", "PARTIAL_TURN"),
    ]


def planned(content: str, words: str) -> list[bytes]:
    """A block of planned words."""
    return [
        start(content, "TEXT", "ASSISTANT", "SPECULATIVE"),
        text(content, words),
        end(content, "TEXT", "PARTIAL_TURN"),
    ]


def spoken(content: str, words: str, reason: str = "END_TURN") -> list[bytes]:
    """A block of words that were spoken."""
    return [
        start(content, "TEXT", "ASSISTANT", "FINAL"),
        text(content, words),
        end(content, "TEXT", reason),
    ]


def sounding(content: str, reason: str = "END_TURN", pcm: bytes = PCM) -> list[bytes]:
    """A block of sound."""
    begun, over = start(content, "AUDIO", "ASSISTANT"), end(content, "AUDIO", reason)
    return [begun, sound(content, pcm), over]


def decoded(codec: NovaSonicCodec, *messages: WireMessage) -> list[S2sEvent]:
    """What the messages mean."""
    return [one for message in messages for one in codec.decode(message)]


def names(events: list[S2sEvent]) -> list[str]:
    """The kinds of events."""
    return [type(one).__name__ for one in events]


# ── commands ────────────────────────────────────────────────────────────────────────────────


def written(*commands: S2sCommand, settings: Settings | None = None) -> list[str]:
    """What is written to the model, as whole texts."""
    one = codec(settings=settings)
    sent = plain([message for command in commands for message in one.encode(command)])
    roles = [fields["role"] for name, fields in sent if name == "contentStart"]
    assert set(roles) <= {"USER"}
    return [fields["content"] for name, fields in sent if name == "textInput"]


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([SendText(text="hello")], ["hello"]),
        ([SendText(text="note", role=Role.SYSTEM)], ["note"]),
        ([SendText(text="hello", respond=False)], ["hello"]),
        ([SendText(text="note", role=Role.SYSTEM, respond=False)], []),
        (
            [
                SendText(text="note", role=Role.SYSTEM, respond=False),
                SendText(text="hello"),
                SendText(text="more"),
            ],
            ["note\n\nhello", "more"],
        ),
        ([CreateResponse()], [NUDGE]),
        ([CreateResponse(instructions="greet")], ["greet"]),
        ([Say(text="hello")], [SAY + "hello"]),
        ([StartUserTurn(), EndUserTurn(), ClearInput()], []),
        ([AnswerDelegation(delegation_id=DelegationId("d"), text="x")], []),
        ([Update(instructions="x")], []),
        ([SeedHistory(items=(Message(role=Role.USER, text="x"),))], []),
        ([Interrupt(response_id=R1, heard_samples=0, heard_text="")], []),
        ([AnswerTool(call_id=ToolCallId("unknown"), output="x")], []),
    ],
)
def test_commands(commands: list[S2sCommand], expected: list[str]) -> None:
    """Each command becomes what the service takes for it."""
    assert written(*commands) == expected


@pytest.mark.parametrize("command", [SendText(text="hello"), CreateResponse(), Say(text="hello")])
def test_a_model_that_takes_no_text_gets_none(command: S2sCommand) -> None:
    """The first model hears only."""
    assert written(command, settings=FIRST) == []


def test_sound() -> None:
    """Sound goes into the block that was opened for it."""
    ((name, fields),) = plain(codec().encode(SendAudio(pcm=PCM)))
    assert name == "audioInput"
    assert fields == {
        "promptName": "prompt-7",
        "contentName": "sound-7",
        "content": base64.b64encode(PCM).decode(),
    }


def test_long_text_goes_in_pieces() -> None:
    """No piece is longer than the service takes, and none ends inside a character."""
    words = "äö" * 1000
    pieces = written(SendText(text=words))
    assert "".join(pieces) == words
    assert [len(piece.encode()) for piece in pieces] == [1024, 1024, 1024, 928]


def test_the_beginning_and_the_end() -> None:
    """The first events and the last are in the order that the service wants, with all in them."""
    history = (
        Message(role=Role.AGENT, text="too early"),
        Message(role=Role.USER, text="one"),
        Message(role=Role.USER, text="two"),
        Message(role=Role.SYSTEM, text="a note"),
        ToolUse(call_id=ToolCallId("c"), name="f", arguments="{}"),
        Message(role=Role.AGENT, text="three"),
    )
    one = codec(S2sOptions(instructions="be brief", history=history))
    messages = [*one.hello(), *one.encode(SendAudio(pcm=PCM)), *one.goodbye()]
    order = NovaSonicOrder()
    for message in messages:
        order.take(parse(message)[0])
    texts = [fields["content"] for name, fields in plain(messages) if name == "textInput"]
    assert texts == ["be brief\n\na note", "one\ntwo", "three"]
    starts = [fields for name, fields in plain(messages) if name == "contentStart"]
    assert [(one["role"], one["interactive"]) for one in starts] == [
        ("SYSTEM", False),
        ("USER", False),
        ("ASSISTANT", False),
        ("USER", True),
    ]


@pytest.mark.parametrize(("length", "kept"), [(13_000, 3), (20_000, 2), (50_000, 1)])
def test_a_long_history_is_cut_at_its_beginning(length: int, kept: int) -> None:
    """The latest turns are told as long as they fit, and of the very last one its end."""
    history = tuple(
        Message(role=role, text=f"{number}{'x' * length}")
        for number, role in enumerate((Role.USER, Role.AGENT, Role.USER))
    )
    one = codec(S2sOptions(history=history))
    order = NovaSonicOrder()
    for message in one.hello():
        order.take(parse(message)[0])
    starts = [fields for name, fields in plain(one.hello()) if name == "contentStart"]
    # The first of two would be the agent's, which the service does not take.
    assert len(starts) - 1 == (1 if kept == 2 else kept)
    assert {one["role"] for one in starts} <= {"USER", "ASSISTANT"}


def test_tools_are_described() -> None:
    """A tool without parameters has a schema all the same, and one can be demanded."""
    tools = (ToolSpec(name="f", description="does", parameters=""),)
    one = codec(S2sOptions(tools=tools), Settings(tool_choice="f"))
    prompt = plain(one.hello())[1][1]
    schema = {"json": '{"type":"object","properties":{}}'}
    assert prompt["toolConfiguration"] == {
        "tools": [{"toolSpec": {"name": "f", "description": "does", "inputSchema": schema}}],
        "toolChoice": {"tool": {"name": "f"}},
    }


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (S2sOptions(respond_automatically=False), "can_suppress_response"),
        (S2sOptions(turn_owner=TurnOwner.FRAMEWORK), "turn_owners"),
        (S2sOptions(turn_owner=TurnOwner.DUPLEX), "turn_owners"),
        (S2sOptions(resume="handle"), "resumption"),
        (S2sOptions(turn_detection=TurnDetection(silence_ms=1500)), "turn_detection"),
        (S2sOptions(output_format=pcm16(48000)), "output_formats"),
        (S2sOptions(input_format=AudioFormat(Encoding.MULAW, 8000)), "input_formats"),
        (S2sOptions(input_format=AudioFormat(Encoding.PCM16, 16000, 2)), "input_formats"),
        (S2sOptions(language="ja-JP"), "languages"),
        (S2sOptions(voice="caruso"), "caruso"),
        (S2sOptions(temperature=1.5), "temperature"),
        (S2sOptions(max_output_tokens=0), "max_output_tokens"),
        (S2sOptions(tools=(ToolSpec(name="x", description="", parameters="no"),)), "'x'"),
    ],
)
def test_options_that_cannot_be_honoured(options: S2sOptions, word: str) -> None:
    """What cannot be honoured is refused, naming what it is."""
    with pytest.raises(ConfigurationError, match=word):
        codec(options)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": " "},
        {"voice": "caruso"},
        {"sensitivity": "much"},
        {"temperature": -0.1},
        {"top_p": 1.1},
        {"max_output_tokens": 0},
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any]) -> None:
    """What makes no sense is refused when the provider is made."""
    with pytest.raises(ConfigurationError):
        Settings(**settings)


def test_what_the_first_model_cannot_do() -> None:
    """Voices and sensitivity are those of the model, and a tool that is demanded must be there."""
    with pytest.raises(Unsupported):
        Settings(model="amazon.nova-sonic-v1:0", sensitivity="high")
    with pytest.raises(Unsupported):
        Settings(model="amazon.nova-sonic-v1:0", voice="kiara")
    with pytest.raises(ConfigurationError, match="no such tool"):
        codec(settings=Settings(tool_choice="f"))


# ── events ──────────────────────────────────────────────────────────────────────────────────


def test_a_whole_turn() -> None:
    """Transcript, planned words, sound, the place of the words, the end, and what is not needed."""
    one = codec()
    messages = [
        b'{"accepted":{}}',
        frame("completionStart", sessionId="s", promptName="p"),
        *user("c1", "hello there"),
        *user("c2", "friend"),
        *planned("c3", "hi you"),
        *sounding("c4", "PARTIAL_TURN", LONG),
        *planned("c5", "bye"),
        *sounding("c6", pcm=LONG),
        *spoken("c7", "hi you bye"),
    ]
    assert decoded(one, *messages) == [
        LinkReady(model="amazon.nova-2-sonic-v1:0"),
        InputTranscript(utterance_id=U1, text="hello there", is_final=False),
        InputTranscript(utterance_id=U1, text="hello there friend", is_final=False),
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hello there friend", is_final=True),
        ResponseStarted(response_id=R1),
        ResponseText(response_id=R1, delta="hi you", stage=TextStage.PLANNED),
        ResponseAudio(response_id=R1, pcm=LONG),
        ResponseText(response_id=R1, delta="hi ", start=0, end=6857),
        ResponseText(response_id=R1, delta="you ", start=6857, end=15999),
        ResponseText(response_id=R1, delta=" bye", stage=TextStage.PLANNED),
        ResponseAudio(response_id=R1, pcm=LONG),
        ResponseText(response_id=R1, delta="bye ", start=16000, end=32000),
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED),
    ]


def test_words_of_a_sentence_that_is_made_slowly() -> None:
    """Words are told by the time they must have sounded, and none of a sentence that is cut."""
    one = codec()
    decoded(one, *planned("c1", "one two three"), start("c2", "AUDIO", "ASSISTANT"))
    told: list[tuple[str, int | None]] = []
    for _ in range(4):
        for event in decoded(one, sound("c2", bytes(9600))):  # 200 ms
            if isinstance(event, ResponseText):
                told.append((event.delta, event.end))
        one.encode(SendAudio(pcm=bytes(6400)))  # 200 ms
    # Fifteen characters a second: "one " is over after 267 ms, "two " after 533.
    assert told == [("one ", 6400), ("two ", 12800)]
    one.encode(Interrupt(response_id=R1, heard_samples=0, heard_text=""))
    assert names(decoded(one, end("c2", "AUDIO", "END_TURN"))) == ["ResponseDone"]


def test_words_of_a_sentence_that_breaks_off() -> None:
    """The end of a sound that is much too short for its sentence places no words."""
    one = codec()
    long = " ".join(["word"] * 20)
    events = decoded(one, *planned("c1", long), *sounding("c2", pcm=LONG))
    assert names(events) == ["ResponseStarted", "ResponseText", "ResponseAudio", "ResponseDone"]


def test_words_of_a_sentence_that_is_made_as_it_sounds() -> None:
    """Words are told with their sound, by the pace of the sentence before."""
    one = codec()
    decoded(one, *planned("c1", "aaa bbb"), *sounding("c2", "PARTIAL_TURN", bytes(19200)))  # 400 ms
    decoded(one, *planned("c3", "one two three"), start("c4", "AUDIO", "ASSISTANT"))
    one.encode(SendAudio(pcm=bytes(12800)))  # as much as has sounded
    (_, word) = decoded(one, sound("c4", bytes(9600)))
    assert word == ResponseText(response_id=R1, delta="one ", start=9600, end=14400)


def test_words_after_a_pause_are_of_another_utterance() -> None:
    """Blocks that follow each other are one utterance; a second of sound later another begins."""
    one = codec()
    decoded(one, *user("c1", "count"))
    one.encode(SendAudio(pcm=bytes(32000)))
    (same,) = decoded(one, *user("c2", "please"))
    assert same == InputTranscript(utterance_id=U1, text="count please", is_final=False)
    one.encode(SendAudio(pcm=bytes(32002)))
    assert decoded(one, *user("c3", "stop it")) == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="count please", is_final=True),
        InputTranscript(utterance_id=UtteranceId("nova-7-u2"), text="stop it", is_final=False),
    ]


def test_spoken_words_alone() -> None:
    """Where no words were planned, those that were spoken are told, also after the end."""
    one = codec()
    decoded(one, *sounding("c1"))
    assert decoded(one, *spoken("c2", "well"), *spoken("c3", "then")) == [
        ResponseText(response_id=R1, delta="well"),
        ResponseText(response_id=R1, delta=" then"),
    ]


def test_late_words_do_not_end_what_is_said() -> None:
    """The spoken words of the last answer come between two blocks of the person's."""
    one = codec()
    decoded(one, *planned("c1", "hi"), *sounding("c2"))
    said = decoded(one, *user("c3", "one"), *spoken("c4", "hi"), *user("c5", "two"))
    assert said == [
        InputTranscript(utterance_id=U1, text="one", is_final=False),
        InputTranscript(utterance_id=U1, text="one two", is_final=False),
    ]


@pytest.mark.parametrize(
    "signals",
    [
        spoken("c9", '{ "interrupted" : true }', "INTERRUPTED"),
        spoken("c9", '{"interrupted":true}', "END_TURN"),
        spoken("c9", "on", "INTERRUPTED"),
        [end("c2", "AUDIO", "INTERRUPTED")],
    ],
)
def test_an_interruption(signals: list[bytes]) -> None:
    """Each way of saying it stops the response once, and its sound does not pass any more."""
    one = codec()
    decoded(one, *planned("c1", "one two"), start("c2", "AUDIO", "ASSISTANT"), sound("c2"))
    assert decoded(one, *signals) == [
        Interrupted(response_id=R1),
        ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED, reason="interrupted"),
    ]
    assert decoded(one, sound("c2"), end("c2", "AUDIO", "END_TURN")) == []
    again = decoded(one, *planned("c5", "three"))
    assert again[0] == ResponseStarted(response_id=R2)


def test_an_interruption_of_what_only_sounds() -> None:
    """A response that was made whole is flushed all the same."""
    one = codec()
    decoded(one, *planned("c1", "one"), *sounding("c2"))
    assert decoded(one, *spoken("c3", "on", "INTERRUPTED")) == [Interrupted(response_id=R1)]


def test_late_words_of_an_older_response() -> None:
    """Words of a response that was cut do not come after another one has begun."""
    one = codec()
    decoded(one, *sounding("c1"), *spoken("c2", '{"interrupted":true}'))
    decoded(one, start("c3", "TEXT", "ASSISTANT", "FINAL"), *sounding("c4"))
    one.encode(Interrupt(response_id=R2, heard_samples=0, heard_text=""))
    assert decoded(one, text("c3", "old")) == []


def test_json_that_is_no_interruption() -> None:
    """Words that look like an object are words, unless they are that one."""
    one = codec()
    decoded(one, *sounding("c1"))
    for words in ('{ "interrupted" : false }', '{"interrupted":true,"x":1}', "{oh}"):
        assert names(decoded(one, *spoken("c2", words))) == ["ResponseText"]


def test_a_response_that_was_cut_by_us() -> None:
    """Nothing more of it passes until the service is through with it; then comes another."""
    one = codec()
    decoded(one, *planned("c1", "one"), start("c2", "AUDIO", "ASSISTANT"), sound("c2"))
    one.encode(Interrupt(response_id=R1, heard_samples=8, heard_text=""))
    rest = [sound("c2"), end("c2", "AUDIO", "PARTIAL_TURN"), *planned("c3", "two")]
    assert decoded(one, *rest, *sounding("c4"), *spoken("c5", "one two")) == [
        ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED)
    ]
    assert names(decoded(one, *sounding("c6")))[:2] == ["ResponseStarted", "ResponseAudio"]


def test_a_tool_call_and_its_answer() -> None:
    """Arguments come as they are or encoded twice; a result goes once, and names the call."""
    one = codec()
    asked = {"contentId": "c2", "toolName": "f"}
    events = decoded(
        one,
        *user("c1", "go"),
        start("c2", "TOOL", "TOOL"),
        frame("toolUse", toolUseId="t1", content='{"a":1}', **asked),
        frame("toolUse", toolUseId="t1", content='{"a":1}', **asked),
        frame("toolUse", toolUseId="t2", content='"{\\"a\\":2}"', **asked),
        frame("toolUse", toolUseId="t3", content="", **asked),
        frame("toolUse", toolUseId="t4", content="broken", **asked),
        end("c2", "TOOL", "TOOL_USE"),
    )
    called = [one for one in events if isinstance(one, ToolCalled)]
    assert names(events)[1:3] == ["InputCommitted", "InputTranscript"]
    assert [one.arguments for one in called] == ['{"a":1}', '{"a":2}', "{}", "broken"]
    answer = AnswerTool(call_id=called[0].call_id, output="ok")
    begun, result, ended = plain(one.encode(answer))
    assert begun[1]["toolResultInputConfiguration"]["toolUseId"] == "t1"
    assert result[1]["content"] == '{"result":"ok"}'
    assert ended[0] == "contentEnd"
    assert one.encode(answer) == []
    failed = AnswerTool(call_id=called[1].call_id, output="no", is_error=True)
    assert plain(one.encode(failed))[1][1]["content"] == '{"error":"no"}'


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (SendText(text="x"), ResponseOrigin.REQUESTED),
        (CreateResponse(), ResponseOrigin.REQUESTED),
        (Say(text="x"), ResponseOrigin.SAID),
        (SendText(text="x", respond=False), ResponseOrigin.TURN),
        (SendAudio(pcm=PCM), ResponseOrigin.TURN),
    ],
)
def test_why_a_response_was_made(command: S2sCommand, origin: ResponseOrigin) -> None:
    """A response tells what asked for it, and the next one is again one of a turn."""
    one = codec()
    one.encode(command)
    events = decoded(one, *sounding("c1"), *sounding("c2"))
    started = [one.origin for one in events if isinstance(one, ResponseStarted)]
    assert started == [origin, ResponseOrigin.TURN]


def test_the_end_of_a_completion() -> None:
    """It ends what is still open, and a turn in which nothing was made."""
    one = codec()
    done = frame("completionEnd", stopReason="END_TURN")
    events = decoded(one, *planned("c1", "one"), start("c2", "AUDIO", "ASSISTANT"), sound("c2"))
    assert decoded(one, done) == [
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED, reason="end_turn")
    ]
    assert names(decoded(one, *user("c3", "well"), done)) == [
        "InputTranscript",
        "InputCommitted",
        "InputTranscript",
        "NoResponse",
    ]
    assert decoded(one, done) == []
    assert not [event for event in events if isinstance(event, NoResponse)]


def test_what_was_counted() -> None:
    """Tokens since the last time are told, and nothing where there are none."""
    tokens = {"speechTokens": 12, "textTokens": 40}
    delta = {"input": tokens, "output": {"speechTokens": 80, "textTokens": 20}}
    usage = Usage(
        input_audio_tokens=12, input_text_tokens=40, output_audio_tokens=80, output_text_tokens=20
    )
    none = {"input": {"speechTokens": 0}, "output": {}}
    one = codec()
    counted = decoded(
        one,
        frame("usageEvent", details={"delta": delta, "total": delta}),
        frame("usageEvent", details={"delta": none}),
        frame("usageEvent", details={}),
    )
    assert counted == [UsageReported(usage=usage)]


@pytest.mark.parametrize(
    ("kind", "message", "status", "category"),
    [
        ("AccessDeniedException", "", 403, ErrorCategory.AUTH),
        ("ExpiredTokenException", "", 403, ErrorCategory.AUTH),
        ("UnrecognizedClientException", "", 403, ErrorCategory.AUTH),
        ("InvalidSignatureException", "", 403, ErrorCategory.AUTH),
        ("ThrottlingException", "", 429, ErrorCategory.RATE_LIMIT),
        ("ServiceQuotaExceededException", "", 400, ErrorCategory.RATE_LIMIT),
        ("ValidationException", "bad", 400, ErrorCategory.INVALID_REQUEST),
        ("ResourceNotFoundException", "", 404, ErrorCategory.INVALID_REQUEST),
        ("ModelTimeoutException", "", None, ErrorCategory.TIMEOUT),
        ("ModelNotReadyException", "", 429, ErrorCategory.RETRYABLE),
        ("ModelStreamErrorException", "", None, ErrorCategory.RETRYABLE),
        ("InternalServerException", "", 500, ErrorCategory.RETRYABLE),
        ("ServiceUnavailableException", "", 503, ErrorCategory.RETRYABLE),
        ("ValidationException", "x InternalErrorCode=531 y", None, ErrorCategory.RETRYABLE),
        ("ValidationException", "System instability detected", None, ErrorCategory.RETRYABLE),
        (
            "ValidationException",
            "The session has reached its maximum duration",
            None,
            ErrorCategory.SESSION_EXPIRED,
        ),
        ("ValidationException", "Tool Response parsing error", None, ErrorCategory.BENIGN),
        ("Unknown", "", 401, ErrorCategory.AUTH),
        ("Unknown", "", 429, ErrorCategory.RATE_LIMIT),
        ("Unknown", "", 418, ErrorCategory.INVALID_REQUEST),
        ("Unknown", "", 502, ErrorCategory.RETRYABLE),
        ("Unknown", "", None, ErrorCategory.RETRYABLE),
    ],
)
def test_failures(kind: str, message: str, status: int | None, category: ErrorCategory) -> None:
    """Each exception says what may be done about it; all but one end the link."""
    named = {"type": kind, "message": message, "status": status}
    (failed,) = codec().decode(json.dumps({"exception": named}))
    assert isinstance(failed, ServiceFailed)
    assert failed.category is category
    assert failed.is_fatal is (category is not ErrorCategory.BENIGN)
    assert failed.provider_code == kind


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        b"\xff",
        "[]",
        '{"event":[]}',
        frame("audioOutput", contentId="c2", content="?"),
        frame("audioOutput", contentId="c2", content=base64.b64encode(b"odd").decode()),
        frame("audioOutput", contentId=5, content=""),
        frame("contentStart", contentId="c3"),
        '{"exception":{}}',
        "\ud800",
    ],
)
def test_a_broken_message_changes_nothing(message: WireMessage) -> None:
    """What cannot be read is refused whole, and what follows is read as if it had not been."""
    one = codec()
    decoded(one, start("c2", "AUDIO", "ASSISTANT"), sound("c2"))
    with pytest.raises(BrokenProtocol):
        one.decode(message)
    assert decoded(one, end("c2", "AUDIO", "END_TURN")) == [
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED)
    ]


def test_what_is_not_known_means_nothing() -> None:
    """Other events, other blocks and other fields are skipped."""
    one = codec()
    assert decoded(one, "{}", '{"event":{"novelty":{}}}', text("x", "y"), sound("x")) == []
    assert decoded(one, start("c1", "IMAGE", "ASSISTANT"), text("c1", "x"), sound("c1")) == []


def test_blocks_without_an_end_are_bounded() -> None:
    """A service that opens blocks without end is not remembered without end."""
    one = codec()
    for number in range(1000):
        one.decode(start(f"c{number}", "AUDIO", "ASSISTANT"))
    assert decoded(one, sound("c0")) == []
    assert names(decoded(one, sound("c999"))) == ["ResponseStarted", "ResponseAudio"]


def test_the_end() -> None:
    """What was being made has failed, what was understood stays, and nothing follows."""
    one = codec()
    decoded(one, *sounding("c1", "PARTIAL_TURN"), *user("c2", "hello"))
    assert one.closed(is_clean=True, code=None, reason="closed by us") == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hello", is_final=True),
        ResponseDone(response_id=R1, status=ResponseStatus.FAILED, reason="the connection ended"),
        LinkClosed(is_clean=True, reason="closed by us"),
    ]


def test_words_of_a_turn_that_the_connection_did_not_survive_are_not_final() -> None:
    """The next connection hears the whole turn, and would write them down once more."""
    one = codec()
    decoded(one, *user("c1", "hello"))
    assert one.closed(is_clean=False, code=None, reason="broke") == [
        LinkClosed(is_clean=False, reason="broke")
    ]


# ── anything at all ─────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["contentId", "type", "role", "content", "stopReason", "details", "toolUseId", "toolName"]
)
EVENTS = st.sampled_from(
    [
        "completionStart",
        "contentStart",
        "textOutput",
        "audioOutput",
        "toolUse",
        "contentEnd",
        "usageEvent",
        "completionEnd",
    ]
)
FIELDS = st.dictionaries(KEYS, JSON | st.sampled_from(["c1", "AUDIO", "TEXT", "ASSISTANT"]))
GARBAGE = (
    st.binary(max_size=40)
    | st.text(max_size=40)
    | JSON.map(json.dumps)
    | JSON.map(lambda inner: json.dumps({"event": inner}))
    | JSON.map(lambda inner: json.dumps({"exception": inner}))
    | st.dictionaries(EVENTS, FIELDS | JSON).map(lambda event: json.dumps({"event": event}))
)


@given(st.lists(GARBAGE, max_size=8))
def test_garbage_is_refused_or_means_something(messages: list[WireMessage]) -> None:
    """Whatever comes is read, or refused with the one error there is for it."""
    one: Codec[S2sCommand, S2sEvent] = codec()
    for message in messages:
        try:
            one.decode(message)
        except BrokenProtocol:
            continue
    assert isinstance(one.closed(is_clean=True, code=None, reason="")[-1], LinkClosed)


def blocks(number: int) -> list[bytes]:
    """Messages about one block, of any kind."""
    content = f"c{number}"
    return [
        start(content, "AUDIO", "ASSISTANT"),
        start(content, "TEXT", "ASSISTANT", "SPECULATIVE"),
        start(content, "TEXT", "ASSISTANT", "FINAL"),
        start(content, "TEXT", "USER", "FINAL"),
        start(content, "TOOL", "TOOL"),
        sound(content),
        text(content, "w"),
        text(content, '{ "interrupted" : true }'),
        end(content, "AUDIO", "END_TURN"),
        end(content, "AUDIO", "PARTIAL_TURN"),
        end(content, "TEXT", "INTERRUPTED"),
    ]


PIECES = st.sampled_from(
    [
        *blocks(1),
        *blocks(2),
        frame("toolUse", contentId="c1", toolName="f", toolUseId="t", content="{}"),
        frame("completionEnd", stopReason="END_TURN"),
        "broken",
    ]
)
CUT = st.integers(1, 4).map(
    lambda number: Interrupt(
        response_id=ResponseId(f"nova-7-r{number}"), heard_samples=0, heard_text=""
    )
)


@given(st.lists(PIECES | CUT, max_size=40))
def test_the_promises_of_a_link_are_kept(steps: list[WireMessage | Interrupt]) -> None:
    """Whatever comes in whatever order, responses start first, are done once, and stay silent."""
    one = codec()
    started: set[ResponseId] = set()
    done: set[ResponseId] = set()
    silenced: set[ResponseId] = set()
    finals: set[UtteranceId] = set()

    def check(event: S2sEvent) -> None:
        match event:
            case ResponseStarted():
                assert event.response_id not in started
                started.add(event.response_id)
            case ResponseAudio():
                assert event.response_id in started - done - silenced
            case ResponseText():
                assert event.response_id in started - silenced
            case ResponseDone():
                assert event.response_id in started - done
                done.add(event.response_id)
            case Interrupted():
                assert event.response_id in started
                silenced.add(ResponseId(event.response_id or ""))
            case InputTranscript():
                assert event.utterance_id not in finals
                if event.is_final:
                    finals.add(event.utterance_id)
            case _:
                pass

    for step in steps:
        if isinstance(step, Interrupt):
            one.encode(step)
            silenced.add(step.response_id)
            silenced &= started
            continue
        try:
            events = one.decode(step)
        except BrokenProtocol:
            assert step == "broken"
            continue
        for event in events:
            check(event)
    for event in one.closed(is_clean=False, code=None, reason=""):
        check(event)
    assert done == started
