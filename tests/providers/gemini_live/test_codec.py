"""The protocol of Gemini Live, message by message."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol, Unsupported
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CreateResponse,
    DelegationId,
    EndUserTurn,
    ErrorCategory,
    GoingAway,
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
    ResumptionChanged,
    Role,
    S2sCommand,
    S2sEvent,
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
    ToolSpec,
    ToolUse,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Codec,
    Latency,
    S2sOptions,
    TurnDetection,
    TurnOwner,
    WireMessage,
)
from beluga_voice.providers.s2s.gemini_live._codec import GeminiLiveCodec
from beluga_voice.providers.s2s.gemini_live._setup import Settings

PCM = bytes(range(64))
R1, R2 = ResponseId("gemini-7-r1"), ResponseId("gemini-7-r2")
U1, U2 = UtteranceId("gemini-7-u1"), UtteranceId("gemini-7-u2")
MANUAL = S2sOptions(turn_owner=TurnOwner.FRAMEWORK)
OLD = Settings(model="gemini-3.1-flash-live-preview")


def codec(options: S2sOptions | None = None, settings: Settings | None = None) -> GeminiLiveCodec:
    """A codec for the seventh link."""
    return GeminiLiveCodec(options or S2sOptions(), settings or Settings(), link=7)


def encoded(codec: GeminiLiveCodec, *commands: S2sCommand) -> list[Any]:
    """What the commands become."""
    messages = [one for command in commands for one in codec.encode(command)]
    assert all(isinstance(one, str) for one in messages)  # the service takes text
    return [json.loads(one) for one in messages]


def frame(**fields: Any) -> bytes:
    """A message of the service, as it sends them."""
    return json.dumps(fields).encode()


def content(**fields: Any) -> bytes:
    """A message about the conversation."""
    return frame(serverContent=fields)


def sound(pcm: bytes = PCM, rate: int = 24000) -> dict[str, Any]:
    """A piece of the model's turn."""
    data = base64.b64encode(pcm).decode()
    return {"parts": [{"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": data}}]}


def decoded(codec: GeminiLiveCodec, *messages: WireMessage) -> list[S2sEvent]:
    """What the messages mean."""
    return [one for message in messages for one in codec.decode(message)]


# ── commands ────────────────────────────────────────────────────────────────────────────────

AUDIO = {
    "realtimeInput": {
        "audio": {"data": base64.b64encode(PCM).decode(), "mimeType": "audio/pcm;rate=16000"}
    }
}
START: dict[str, Any] = {"realtimeInput": {"activityStart": {}}}
END: dict[str, Any] = {"realtimeInput": {"activityEnd": {}}}


def user(text: str, *, is_complete: bool) -> dict[str, Any]:
    """Words of the person."""
    turns = [{"role": "user", "parts": [{"text": text}]}]
    return {"clientContent": {"turns": turns, "turnComplete": is_complete}}


SAY = "Say exactly the following, word for word, and nothing else:\nhello"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (SendAudio(pcm=PCM), [AUDIO]),
        (StartUserTurn(), []),
        (EndUserTurn(), [{"realtimeInput": {"audioStreamEnd": True}}]),
        (ClearInput(), []),
        (SendText(text="hi"), [user("hi", is_complete=True)]),
        (SendText(text="hi", respond=False), [user("hi", is_complete=False)]),
        (SendText(text="hi", role=Role.SYSTEM), [user("hi", is_complete=True)]),
        (CreateResponse(), [{"realtimeInput": {"text": " "}}]),
        (CreateResponse(instructions="greet"), [{"realtimeInput": {"text": "greet"}}]),
        (Say(text="hello"), [user(SAY, is_complete=True)]),
        (Interrupt(response_id=R1, heard_samples=0, heard_text=""), []),
        (AnswerTool(call_id=ToolCallId("unknown"), output="x"), []),
        (AnswerDelegation(delegation_id=DelegationId("x"), text="x"), []),
        (
            Update(instructions="new", tools=(), voice="Puck"),
            [
                {
                    "contextUpdate": {
                        "systemInstruction": {"parts": [{"text": "new"}]},
                        "tools": {"tools": []},
                    }
                }
            ],
        ),
        (Update(voice="Puck"), []),
        (
            SeedHistory(
                items=(
                    Message(role=Role.USER, text="a"),
                    ToolUse(call_id=ToolCallId("c"), name="f", arguments="{}"),
                    Message(role=Role.AGENT, text="b"),
                )
            ),
            [
                {
                    "clientContent": {
                        "turns": [
                            {"role": "user", "parts": [{"text": "a"}]},
                            {"role": "model", "parts": [{"text": "b"}]},
                        ],
                        "turnComplete": False,
                    }
                }
            ],
        ),
        (SeedHistory(items=()), []),
    ],
)
def test_commands(command: S2sCommand, expected: list[Any]) -> None:
    """What each command becomes where the service finds the turns."""
    assert encoded(codec(), command) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (SendText(text="hi"), [{"realtimeInput": {"text": "hi"}}]),
        (SendText(text="hi", respond=False), []),
        (Say(text="hello"), [{"realtimeInput": {"text": SAY}}]),
        (Update(instructions="new"), []),
        (SeedHistory(items=(Message(role=Role.USER, text="a"),)), []),
    ],
)
def test_commands_to_a_model_that_takes_no_content(
    command: S2sCommand, expected: list[Any]
) -> None:
    """An older model gets words as real-time text, and what it would not take is left out."""
    assert encoded(codec(settings=OLD), command) == expected


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ((StartUserTurn(), SendAudio(pcm=PCM), EndUserTurn()), [START, AUDIO, END]),
        ((StartUserTurn(), StartUserTurn(), EndUserTurn(), EndUserTurn()), [START, END]),
        ((SendAudio(pcm=PCM),), []),
        ((SendAudio(pcm=PCM), StartUserTurn()), [START, AUDIO]),
        ((SendAudio(pcm=PCM), ClearInput(), StartUserTurn()), [START]),
        ((StartUserTurn(), SendText(text="hi")), [START, END, user("hi", is_complete=True)]),
        (
            (StartUserTurn(), SendAudio(pcm=PCM), Say(text="hello"), EndUserTurn()),
            [START, AUDIO, user(SAY, is_complete=True), END],
        ),
        (
            (StartUserTurn(), SendText(text="hi", respond=False)),
            [START, user("hi", is_complete=False)],
        ),
    ],
)
def test_commands_with_turns_of_our_own(
    commands: tuple[S2sCommand, ...], expected: list[Any]
) -> None:
    """With our own turns, sound goes out within a turn only, and what came before it is kept."""
    assert encoded(codec(MANUAL), *commands) == expected


def test_sound_that_is_kept_is_bounded() -> None:
    """Of the sound from before a turn, no more than two seconds are kept."""
    one = codec(MANUAL)
    for _ in range(500):
        one.encode(SendAudio(pcm=PCM * 10))
    _, audio = encoded(one, StartUserTurn())
    assert len(base64.b64decode(audio["realtimeInput"]["audio"]["data"])) == 64000


def test_an_interruption_with_turns_of_our_own_opens_a_turn() -> None:
    """What is being made is stopped by opening a turn, once."""
    one = codec(MANUAL)
    decoded(one, content(modelTurn=sound()))
    interrupt = Interrupt(response_id=R1, heard_samples=0, heard_text="")
    assert encoded(one, interrupt) == [START]
    assert encoded(one, StartUserTurn()) == []


def test_a_response_that_was_cut_says_no_more() -> None:
    """After an interruption nothing of the response comes, and it is done as cancelled."""
    one = codec()
    decoded(one, content(modelTurn=sound()))
    one.encode(Interrupt(response_id=R1, heard_samples=0, heard_text=""))
    late = content(modelTurn=sound(), outputTranscription={"text": "late"})
    assert decoded(one, late) == []
    assert decoded(one, content(turnComplete=True)) == [
        ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED)
    ]
    assert decoded(one, content(modelTurn=sound()))[1] == ResponseAudio(response_id=R2, pcm=PCM)


def test_history_is_told_when_the_service_is_ready() -> None:
    """What was said before follows the configuration, which announces it."""
    history = (Message(role=Role.USER, text="a"), Message(role=Role.AGENT, text="b"))
    one = codec(S2sOptions(history=history))
    (hello,) = one.hello()
    assert json.loads(hello)["setup"]["historyConfig"] == {"initialHistoryInClientContent": True}
    assert one.replies() == []
    one.decode(frame(setupComplete={}))
    (seed,) = one.replies()
    assert json.loads(seed)["clientContent"]["turnComplete"] is True
    assert one.replies() == []


def test_a_resumed_conversation_is_told_nothing() -> None:
    """With a handle, the service knows what was said."""
    history = (Message(role=Role.USER, text="a"),)
    one = codec(S2sOptions(history=history, resume="h1"))
    (hello,) = one.hello()
    assert json.loads(hello)["setup"]["sessionResumption"] == {"handle": "h1"}
    assert "historyConfig" not in json.loads(hello)["setup"]
    one.decode(frame(setupComplete={}))
    assert one.replies() == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (S2sOptions(), {"prefixPaddingMs": 20, "silenceDurationMs": 700}),
        (
            S2sOptions(turn_detection=TurnDetection(silence_ms=400)),
            {"prefixPaddingMs": 20, "silenceDurationMs": 400},
        ),
        (
            S2sOptions(turn_detection=TurnDetection(prefix_ms=0), latency=Latency.LOW),
            {"prefixPaddingMs": 0, "silenceDurationMs": 300},
        ),
    ],
)
def test_how_turns_are_found(options: S2sOptions, expected: dict[str, int]) -> None:
    """What a session asks for goes before the settings of the provider."""
    one = codec(options, Settings(prefix_padding_ms=20, silence_ms=700))
    (hello,) = one.hello()
    detection = json.loads(hello)["setup"]["realtimeInputConfig"]["automaticActivityDetection"]
    assert detection == expected


def test_a_threshold_is_refused() -> None:
    """Of how sure it has to be of a voice, the service takes no number."""
    with pytest.raises(Unsupported, match="turn_detection: it takes no threshold"):
        codec(S2sOptions(turn_detection=TurnDetection(threshold=0.5)))


def test_tools_are_described() -> None:
    """A tool's parameters are a JSON Schema; a tool without any has none."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools = (
        ToolSpec(name="weather", description="The weather", parameters=json.dumps(schema)),
        ToolSpec(name="time", description="", parameters='{"type": "object", "properties": {}}'),
    )
    (hello,) = codec(S2sOptions(tools=tools)).hello()
    (declared,) = json.loads(hello)["setup"]["tools"]
    assert declared["functionDeclarations"] == [
        {
            "name": "weather",
            "description": "The weather",
            "behavior": "BLOCKING",
            "parametersJsonSchema": schema,
        },
        {"name": "time", "description": "", "behavior": "BLOCKING"},
    ]


# ── events ──────────────────────────────────────────────────────────────────────────────────

CALL = {"functionCalls": [{"id": "c1", "name": "f", "args": {"some_city": "Oslo"}}]}
CALLED = ToolCalled(call_id=ToolCallId("gemini-7-c1"), name="f", arguments='{"some_city":"Oslo"}')


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [frame(setupComplete={"sessionId": "s1"})],
            [LinkReady(remote_id="s1", model="gemini-3.8-live")],
        ),
        ([frame(goAway={"timeLeft": "50s"})], [GoingAway(time_left_seconds=50)]),
        ([frame(goAway={"timeLeft": "1.5s"})], [GoingAway(time_left_seconds=1.5)]),
        ([frame(goAway={"timeLeft": "soon"})], [GoingAway()]),
        (
            [frame(sessionResumptionUpdate={"newHandle": "h", "resumable": True})],
            [ResumptionChanged(handle="h")],
        ),
        (
            [frame(sessionResumptionUpdate={"resumable": False})],
            [ResumptionChanged(handle=None)],
        ),
        (
            [frame(voiceActivity={"voiceActivityType": "ACTIVITY_START"})],
            [SpeechStarted()],
        ),
        ([frame(voiceActivity={"voiceActivityType": "ACTIVITY_END"})], [SpeechStopped()]),
        ([frame(toolCall=CALL)], [CALLED]),
        (
            [frame(tool_call={"function_calls": CALL["functionCalls"]})],
            [CALLED],
        ),
        (
            [frame(toolCallCancellation={"ids": ["c1", "c2"]})],
            [ToolCallWithdrawn(call_ids=(ToolCallId("gemini-7-c1"), ToolCallId("gemini-7-c2")))],
        ),
        ([frame(toolCallCancellation={"ids": []})], []),
        ([frame(somethingNew={"x": 1})], []),
        ([content(waitingForInput=True)], []),
        ([content(modelTurn={"parts": [{"text": "I think", "thought": True}]})], []),
    ],
)
def test_messages(messages: list[bytes], expected: list[S2sEvent]) -> None:
    """What each message means by itself."""
    assert decoded(codec(), *messages) == expected


def test_a_whole_turn() -> None:
    """Deltas are folded, ids are made up, and the end of the person's words is found."""
    usage = {
        "promptTokenCount": 30,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "AUDIO", "tokenCount": 20},
        ],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}],
    }
    assert decoded(
        codec(),
        content(inputTranscription={"text": "hello"}),
        content(inputTranscription={"text": " there"}),
        content(modelTurn=sound()),
        content(outputTranscription={"text": "good"}),
        content(generationComplete=True),
        content(outputTranscription={"text": " evening"}),
        frame(serverContent={"turnComplete": True}, usageMetadata=usage),
    ) == [
        InputTranscript(utterance_id=U1, text="hello", is_final=False),
        InputTranscript(utterance_id=U1, text="hello there", is_final=False),
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hello there", is_final=True),
        ResponseStarted(response_id=R1),
        ResponseAudio(response_id=R1, pcm=PCM),
        ResponseText(response_id=R1, delta="good"),
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED),
        ResponseText(response_id=R1, delta=" evening"),
        UsageReported(
            usage=Usage(input_text_tokens=10, input_audio_tokens=20, output_audio_tokens=5)
        ),
    ]


def test_everything_in_one_message_and_in_snake_case() -> None:
    """One message may hold a whole turn, with its names in the other case."""
    turn = {
        "input_transcription": {"text": "hi", "finished": True},
        "model_turn": {
            "parts": [
                {
                    "inline_data": {
                        "mime_type": "audio/pcm;rate=24000",
                        "data": base64.urlsafe_b64encode(b"\xff\xfe\xfb\xef").decode(),
                    }
                }
            ]
        },
        "output_transcription": {"text": "yes"},
        "generation_complete": True,
        "turn_complete": True,
    }
    counted = {"cached_content_token_count": 3}
    assert decoded(codec(), frame(server_content=turn, usage_metadata=counted)) == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hi", is_final=True),
        ResponseStarted(response_id=R1),
        ResponseAudio(response_id=R1, pcm=b"\xff\xfe\xfb\xef"),
        ResponseText(response_id=R1, delta="yes"),
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED, usage=Usage(cached_tokens=3)),
    ]


def test_words_that_come_late() -> None:
    """What is understood after the model began is an utterance of its own, ended by the turn."""
    one = codec()
    decoded(one, content(inputTranscription={"text": "hello"}), content(modelTurn=sound()))
    assert decoded(
        one, content(inputTranscription={"text": " there"}), content(turnComplete=True)
    ) == [
        InputTranscript(utterance_id=U2, text="there", is_final=False),
        InputCommitted(utterance_id=U2),
        InputTranscript(utterance_id=U2, text="there", is_final=True),
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED),
    ]


def test_an_interruption() -> None:
    """The response is done, what was made before it is dropped, and the words go on."""
    one = codec()
    decoded(one, content(modelTurn=sound()), content(inputTranscription={"text": "no"}))
    assert decoded(
        one,
        content(interrupted=True),
        content(modelTurn=sound()),
        content(turnComplete=True),
        content(inputTranscription={"text": " stop"}),
        content(modelTurn=sound()),
    ) == [
        Interrupted(response_id=R1),
        ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED, reason="interrupted"),
        InputTranscript(utterance_id=U1, text="no stop", is_final=False),
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="no stop", is_final=True),
        ResponseStarted(response_id=R2),
        ResponseAudio(response_id=R2, pcm=PCM),
    ]


def test_an_interruption_of_what_only_sounds() -> None:
    """What was generated whole is interrupted too, while the service holds the turn."""
    one = codec()
    decoded(one, content(modelTurn=sound()), content(generationComplete=True))
    assert decoded(one, content(interrupted=True), content(turnComplete=True)) == [
        Interrupted(response_id=R1)
    ]


def test_a_turn_without_an_answer() -> None:
    """A turn in which the model did nothing ends with the reason."""
    assert decoded(
        codec(),
        content(inputTranscription={"text": "hm"}),
        content(turnComplete=True, turnCompleteReason="RESPONSE_REJECTED"),
    )[1:] == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hm", is_final=True),
        NoResponse(reason="RESPONSE_REJECTED"),
    ]


def test_words_of_a_turn_of_ours_without_an_answer() -> None:
    """The person took the floor again before the model did anything: each turn has its words."""
    one = codec(MANUAL)
    encoded(one, StartUserTurn(), EndUserTurn())
    decoded(one, content(inputTranscription={"text": " count"}))
    encoded(one, StartUserTurn())
    assert decoded(one, content(inputTranscription={"text": " stop"})) == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="count", is_final=True),
        InputTranscript(utterance_id=U2, text="stop", is_final=False),
    ]
    (later,) = decoded(one, content(inputTranscription={"text": " it"}))
    assert later == InputTranscript(utterance_id=U2, text="stop it", is_final=False)


def test_a_turn_that_ended_early() -> None:
    """A response that was not made to its end says why."""
    one = codec()
    decoded(one, content(modelTurn=sound()))
    assert decoded(one, content(turnComplete=True, turnCompleteReason="NEED_MORE_INPUT")) == [
        ResponseDone(response_id=R1, status=ResponseStatus.INCOMPLETE, reason="NEED_MORE_INPUT")
    ]


def test_a_tool_call_and_its_answer() -> None:
    """The answer has the service's own id and name; a second one is not sent."""
    one = codec()
    decoded(one, frame(toolCall=CALL))
    answer = AnswerTool(call_id=CALLED.call_id, output="snow")
    assert encoded(one, answer, answer) == [
        {
            "toolResponse": {
                "functionResponses": [{"id": "c1", "name": "f", "response": {"output": "snow"}}]
            }
        }
    ]
    # Words before their sound belong to what the model says now, not to what it said before.
    assert decoded(one, content(outputTranscription={"text": "it snows"})) == [
        ResponseStarted(response_id=R1),
        ResponseText(response_id=R1, delta="it snows"),
    ]


def test_what_follows_a_tool_is_another_response() -> None:
    """Words that come before their sound are not put to what was said before the tool ran."""
    one = codec()
    decoded(one, content(modelTurn=sound(), generationComplete=True), frame(toolCall=CALL))
    one.encode(AnswerTool(call_id=CALLED.call_id, output="snow"))
    assert decoded(one, content(outputTranscription={"text": "it snows"})) == [
        ResponseStarted(response_id=R2),
        ResponseText(response_id=R2, delta="it snows"),
    ]


def test_a_turn_of_tools_only_is_not_an_empty_one() -> None:
    """A turn in which the model called a tool and said nothing is no turn without a response."""
    assert decoded(codec(), frame(toolCall=CALL), content(turnComplete=True)) == [CALLED]


def test_a_tool_that_failed_while_the_conversation_went_on() -> None:
    """A failure is told as one, and waits for the model to be idle."""
    one = codec(settings=Settings(tools_wait=False))
    decoded(one, frame(toolCall=CALL))
    (answer,) = encoded(one, AnswerTool(call_id=CALLED.call_id, output="no", is_error=True))
    assert answer["toolResponse"]["functionResponses"] == [
        {"id": "c1", "name": "f", "response": {"error": "no"}, "scheduling": "WHEN_IDLE"}
    ]


def test_a_withdrawn_call_is_not_answered() -> None:
    """After the service withdrew a call, its result is not sent."""
    one = codec()
    decoded(one, frame(toolCall=CALL), frame(toolCallCancellation={"ids": ["c1"]}))
    assert encoded(one, AnswerTool(call_id=CALLED.call_id, output="late")) == []


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (Say(text="hello"), ResponseOrigin.SAID),
        (SendText(text="hello"), ResponseOrigin.REQUESTED),
        (CreateResponse(), ResponseOrigin.REQUESTED),
        (SendText(text="hello", respond=False), ResponseOrigin.TURN),
    ],
)
def test_why_a_response_was_made(command: S2sCommand, origin: ResponseOrigin) -> None:
    """The response after a request is the one requested; the next is of the person's turn again."""
    one = codec()
    one.encode(command)
    first = decoded(one, content(modelTurn=sound()))[0]
    assert first == ResponseStarted(response_id=R1, origin=origin)
    second = decoded(one, content(turnComplete=True), content(modelTurn=sound()))[1]
    assert second == ResponseStarted(response_id=R2)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff\xfe",
        "nonsense",
        "[]",
        "3",
        '{"serverContent": 3}',
        '{"serverContent": {"turnComplete": "yes"}}',
        '{"toolCall": {"functionCalls": [{"name": "f"}]}}',
        content(modelTurn=sound(rate=16000)),
        content(modelTurn=sound(b"odd")),
        content(
            modelTurn={
                "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "!!"}}]
            }
        ),
        content(modelTurn={"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}),
    ],
)
def test_a_broken_message_changes_nothing(message: WireMessage) -> None:
    """What cannot be read is refused whole, and what follows is read as if it had not been."""
    one = codec()
    decoded(one, content(modelTurn=sound()))
    with pytest.raises(BrokenProtocol):
        one.decode(message)
    assert decoded(one, content(turnComplete=True)) == [
        ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED)
    ]


# ── the end ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "reason", "category"),
    [
        (1007, "API key not valid. Please pass a valid API key.", ErrorCategory.AUTH),
        (1008, "Permission denied on resource", ErrorCategory.AUTH),
        (1007, "token expired", ErrorCategory.AUTH),
        (1007, "Request contains an invalid argument.", ErrorCategory.INVALID_REQUEST),
        (1008, "models/x is not found for API version v1beta", ErrorCategory.INVALID_REQUEST),
        (1008, "The session has ended", ErrorCategory.SESSION_EXPIRED),
        (1011, "Deadline expired before operation", ErrorCategory.SESSION_EXPIRED),
        (1011, "You exceeded your current quota", ErrorCategory.RATE_LIMIT),
        (1011, "RESOURCE_EXHAUSTED", ErrorCategory.RATE_LIMIT),
        (1011, "Internal error encountered.", ErrorCategory.RETRYABLE),
        (1000, "", None),
        (1001, "", None),
        (1006, "", None),
        (None, "", None),
    ],
)
def test_the_end(code: int | None, reason: str, category: ErrorCategory | None) -> None:
    """What was being made has failed; a close that gives a reason is a failure of its kind."""
    one = codec()
    decoded(one, content(modelTurn=sound()))
    done, *failed, closed = one.closed(is_clean=category is None, code=code, reason=reason)
    assert isinstance(done, ResponseDone)
    assert done.status is ResponseStatus.FAILED
    assert closed == LinkClosed(is_clean=category is None, code=code, reason=reason)
    if category is None:
        assert failed == []
    else:
        assert failed == [
            ServiceFailed(category=category, message=reason, is_fatal=True, provider_code=str(code))
        ]


# ── anything at all ─────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
GARBAGE = (
    st.binary(max_size=40)
    | st.text(max_size=40)
    | JSON.map(json.dumps)
    | JSON.map(lambda inner: json.dumps({"serverContent": inner}))
    | JSON.map(lambda inner: json.dumps({"serverContent": {"modelTurn": inner}}))
    | JSON.map(lambda inner: json.dumps({"tool_call": {"function_calls": [inner]}}))
)


@given(GARBAGE)
def test_garbage_is_refused_or_means_nothing(message: WireMessage) -> None:
    """Whatever comes is read, or refused with the one error there is for it."""
    one: Codec[S2sCommand, S2sEvent] = codec()
    try:
        events = one.decode(message)
    except BrokenProtocol:
        return
    assert all(not isinstance(event, ResponseAudio) for event in events)


PIECES = st.sampled_from(
    [
        content(modelTurn=sound()),
        content(outputTranscription={"text": "w"}),
        content(inputTranscription={"text": "p"}),
        content(generationComplete=True),
        content(interrupted=True),
        content(turnComplete=True),
        content(modelTurn=sound(), generationComplete=True, turnComplete=True),
        content(interrupted=True, turnComplete=True),
        frame(toolCall=CALL),
        "broken",
    ]
)
CUT = st.integers(1, 4).map(
    lambda number: Interrupt(
        response_id=ResponseId(f"gemini-7-r{number}"), heard_samples=0, heard_text=""
    )
)


@given(st.lists(PIECES | CUT, max_size=30), st.booleans())
def test_the_promises_of_a_link_are_kept(steps: list[WireMessage | Interrupt], ours: bool) -> None:
    """Whatever comes in whatever order, responses start first, are done once, and stay silent."""
    one = codec(MANUAL if ours else None)
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
    for event in one.closed(is_clean=False, code=1006, reason=""):
        check(event)
    assert done == started
