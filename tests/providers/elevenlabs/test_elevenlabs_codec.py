"""The protocol of ElevenLabs' agents, message by message."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    ConversationEnded,
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
    ToolCallWithdrawn,
    ToolUse,
    Update,
    UtteranceId,
)
from beluga_voice.interfaces import Codec, S2sOptions, WireMessage
from beluga_voice.providers.s2s.elevenlabs._capabilities import capabilities
from beluga_voice.providers.s2s.elevenlabs._codec import SAID_BEFORE, ElevenLabsAgentsCodec
from beluga_voice.providers.s2s.elevenlabs._setup import Settings
from beluga_voice.providers.s2s.elevenlabs._wire import QUIET
from providers.elevenlabs.vendor_frames import check_client_frame

PCM = bytes(range(64))
BASE64 = base64.b64encode(PCM).decode()
R1, R2 = ResponseId("elevenlabs-7-r1"), ResponseId("elevenlabs-7-r2")
U1 = UtteranceId("elevenlabs-7-u1")
CUT_R1 = Interrupt(response_id=R1, heard_samples=0, heard_text="")
CALL = ToolCallId("elevenlabs-7-c1")


def frame(kind: str, key: str, /, **fields: Any) -> str:
    """A message of the service; what it holds is under that key."""
    return json.dumps({"type": kind, key: fields})


def metadata(**formats: str) -> str:
    """The first message of the service."""
    fields = {"agent_output_audio_format": "pcm_16000", "user_input_audio_format": "pcm_16000"}
    kind = "conversation_initiation_metadata"
    return frame(kind, f"{kind}_event", conversation_id="conv_1", **{**fields, **formats})


def audio(event_id: int | str | None = 1, pcm: bytes = PCM, **more: Any) -> str:
    """A piece of sound."""
    data = base64.b64encode(pcm).decode()
    return frame("audio", "audio_event", audio_base_64=data, event_id=event_id, **more)


def words(text: str = "one two", event_id: int | None = 1) -> str:
    """All the words of a response."""
    return frame("agent_response", "agent_response_event", agent_response=text, event_id=event_id)


def person(text: str, event_id: int | None = None) -> str:
    """The words of an utterance."""
    key = "user_transcription_event"
    return frame("user_transcript", key, user_transcript=text, event_id=event_id)


def tentative(text: str) -> str:
    """The words of an utterance so far."""
    kind = "tentative_user_transcript"
    return frame(kind, "tentative_user_transcription_event", user_transcript=text, event_id=1)


def complete(event_id: int | None = 9) -> str:
    """A response is whole."""
    kind = "agent_response_complete"
    return frame(kind, f"{kind}_event", event_id=event_id)


def interruption(event_id: int = 1) -> str:
    """The service stopped."""
    return frame("interruption", "interruption_event", event_id=event_id)


def called(call_id: str = "c1", **parameters: Any) -> str:
    """The agent calls a tool."""
    key = "client_tool_call"
    return frame(key, key, tool_name="f", tool_call_id=call_id, parameters=parameters, event_id=1)


def ran(name: str, call_id: str = "other") -> str:
    """A tool ran."""
    key = "agent_tool_response"
    return frame(key, key, tool_name=name, tool_call_id=call_id, tool_type="x", is_error=False)


def failure(kind: str, message: str = "it went wrong") -> str:
    """An error."""
    return frame("error", "error_event", code=1011, error_type=kind, message=message)


def codec(
    options: S2sOptions | None = None, *, is_begun: bool = True, **settings: Any
) -> ElevenLabsAgentsCodec:
    """A codec for the seventh link."""
    made = ElevenLabsAgentsCodec(
        options or S2sOptions(),
        Settings(agent_id="a", **settings),
        capabilities(settings.get("input_format", "pcm_16000")),
        link=7,
    )
    if is_begun:
        made.decode(metadata())
        made.replies()
    return made


def encoded(codec: ElevenLabsAgentsCodec, *commands: S2sCommand) -> list[Any]:
    """What the commands become; each is a message by the vendor's documents."""
    messages = [one for command in commands for one in codec.encode(command)]
    frames = [json.loads(one) for one in messages]
    for one in frames:
        check_client_frame(one)
    return frames


def decoded(codec: ElevenLabsAgentsCodec, *messages: WireMessage) -> list[S2sEvent]:
    """What the messages mean."""
    return [one for message in messages for one in codec.decode(message)]


STARTED = ResponseStarted(response_id=R1, origin=ResponseOrigin.SAID)
SOUND = ResponseAudio(response_id=R1, pcm=PCM)
WORDS = ResponseText(response_id=R1, delta="one two", stage=TextStage.PLANNED)
DONE = ResponseDone(response_id=R1, status=ResponseStatus.COMPLETED)
INTERRUPTED = [
    Interrupted(response_id=R1),
    ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED, reason="interrupted"),
]

# ── commands ────────────────────────────────────────────────────────────────────────────────

SAY = "Say exactly the following, word for word, and nothing else:\nhello"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (SendAudio(pcm=PCM), [{"user_audio_chunk": BASE64}]),
        (StartUserTurn(), [{"type": "user_activity"}]),
        (EndUserTurn(), []),
        (ClearInput(), []),
        (SendText(text="hi"), [{"type": "user_message", "text": "hi"}]),
        (SendText(text="hi", role=Role.SYSTEM), [{"type": "user_message", "text": "hi"}]),
        (
            SendText(text="hi", role=Role.SYSTEM, respond=False),
            [{"type": "contextual_update", "text": "Note: hi"}],
        ),
        (
            SendText(text="hi", respond=False),
            [{"type": "contextual_update", "text": "User: hi"}],
        ),
        (CreateResponse(), []),
        (CreateResponse(instructions="greet"), [{"type": "user_message", "text": "greet"}]),
        (Say(text="hello"), [{"type": "user_message", "text": SAY}]),
        (CUT_R1, []),
        (AnswerTool(call_id=ToolCallId("unknown"), output="x"), []),
        (AnswerDelegation(delegation_id=DelegationId("x"), text="x"), []),
        (Update(instructions="new", tools=(), voice="x"), []),
        (
            SeedHistory(
                items=(
                    Message(role=Role.USER, text="a"),
                    ToolUse(call_id=ToolCallId("c"), name="f", arguments="{}"),
                    Message(role=Role.AGENT, text="b"),
                )
            ),
            [{"type": "contextual_update", "text": SAID_BEFORE + "User: a\nYou: b"}],
        ),
        (SeedHistory(items=()), []),
    ],
)
def test_commands(command: S2sCommand, expected: list[Any]) -> None:
    """What each command becomes."""
    assert encoded(codec(), command) == expected


def test_sound_before_the_beginning_goes_nowhere() -> None:
    """Before the service said how it hears, nothing is sent."""
    assert encoded(codec(is_begun=False), SendAudio(pcm=PCM)) == []


def test_asking_again_repeats_the_words_that_nobody_answered() -> None:
    """A nudge holds the person's last words, until a response to them began."""
    one = codec()
    decoded(one, person("how are you"))
    assert encoded(one, CreateResponse()) == [{"type": "user_message", "text": "how are you"}]
    decoded(one, audio())
    assert encoded(one, CreateResponse()) == []
    encoded(one, SendText(text="typed"))
    assert encoded(one, CreateResponse()) == [{"type": "user_message", "text": "typed"}]


def test_words_that_waited_before_the_link_are_known() -> None:
    """What the person said last, in several pieces, is asked where nobody answered it."""
    history = (
        Message(role=Role.AGENT, text="yes?"),
        Message(role=Role.USER, text="first"),
        Message(role=Role.USER, text="second"),
    )
    one = codec(S2sOptions(history=history))
    assert encoded(one, CreateResponse()) == [{"type": "user_message", "text": "first\nsecond"}]


def test_history_is_told_when_the_conversation_has_begun() -> None:
    """What was said before is context, sent once, after the service is ready."""
    history = (Message(role=Role.USER, text="a"), Message(role=Role.AGENT, text="b"))
    one = codec(S2sOptions(history=history), is_begun=False)
    assert one.replies() == []
    decoded(one, metadata())
    (seed,) = one.replies()
    assert json.loads(seed) == {
        "type": "contextual_update",
        "text": SAID_BEFORE + "User: a\nYou: b",
    }
    assert one.replies() == []


def test_nothing_is_overridden_that_was_not_asked_for() -> None:
    """An override that an agent does not allow ends the call, so there is none by itself."""
    assert [json.loads(one) for one in codec().hello()] == [
        {"type": "conversation_initiation_client_data"}
    ]


def test_all_that_a_conversation_can_say_of_itself() -> None:
    """Every setting has its place in the first message."""
    one = codec(
        S2sOptions(instructions="be brief", language="pt-BR", voice="v2"),
        voice="v1",
        first_message="hi",
        llm="gpt-4o",
        stability=0.5,
        similarity_boost=0.6,
        speed=1.1,
        keywords=("beluga",),
        client_events=("audio", "ping"),
        dynamic_variables={"name": "Ada"},
        llm_extra_body={"temperature": 0.2},
        user_id="u1",
    )
    (hello,) = one.hello()
    check_client_frame(json.loads(hello))
    assert json.loads(hello) == {
        "type": "conversation_initiation_client_data",
        "conversation_config_override": {
            "agent": {
                "prompt": {"prompt": "be brief", "llm": "gpt-4o"},
                "first_message": "hi",
                "language": "pt-br",
            },
            "tts": {"voice_id": "v2", "stability": 0.5, "similarity_boost": 0.6, "speed": 1.1},
            "asr": {"keywords": ["beluga"]},
            "conversation": {"client_events": ["audio", "ping"]},
        },
        "custom_llm_extra_body": {"temperature": 0.2},
        "dynamic_variables": {"name": "Ada"},
        "user_id": "u1",
    }


@pytest.mark.parametrize(
    ("tag", "name"), [("de-AT", "de"), ("pt_BR", "pt-br"), ("pt-PT", "pt"), ("EN", "en")]
)
def test_languages(tag: str, name: str) -> None:
    """A language goes by the name the service has for it."""
    (hello,) = codec(S2sOptions(language=tag)).hello()
    assert json.loads(hello)["conversation_config_override"]["agent"] == {"language": name}


# ── sound in other formats ──────────────────────────────────────────────────────────────────


def test_sound_is_converted_to_what_the_agent_hears() -> None:
    """An agent of the telephone gets µ-law at 8 kHz, and its sound becomes ours."""
    options = S2sOptions(output_format=pcm16(8000))
    one = codec(options, is_begun=False, input_format="ulaw_8000")
    decoded(
        one,
        metadata(user_input_audio_format="ulaw_8000", agent_output_audio_format="ulaw_8000"),
    )
    (chunk,) = encoded(one, SendAudio(pcm=bytes(8)))
    assert base64.b64decode(chunk["user_audio_chunk"]) == b"\xff" * 4
    _, sound = decoded(one, audio(pcm=b"\xff\xff\xff"))
    assert sound == ResponseAudio(response_id=R1, pcm=bytes(6))


def test_nothing_of_a_resampled_response_is_held_back() -> None:
    """At other rates a response has the length it should have, to its last sample."""
    one = codec(S2sOptions(output_format=pcm16(24000)))
    events = decoded(one, audio(pcm=bytes(3200)), audio(2, pcm=bytes(3200)), complete())
    sound = b"".join(one.pcm for one in events if isinstance(one, ResponseAudio))
    assert len(sound) == 6400 * 3 // 2
    assert isinstance(events[-1], ResponseDone)


def test_an_agent_that_speaks_what_nobody_understands() -> None:
    """A format that is not known ends the call with the advice to change it."""
    one = codec(is_begun=False)
    (failed,) = decoded(one, metadata(agent_output_audio_format="mp3_44100"))
    assert isinstance(failed, ServiceFailed)
    assert failed.is_fatal
    assert failed.category is ErrorCategory.INVALID_REQUEST
    assert "mp3_44100" in failed.message
    assert one.closed(is_clean=False, code=None, reason="x") == [
        LinkClosed(is_clean=False, reason="x")
    ]


# ── events ──────────────────────────────────────────────────────────────────────────────────


def test_the_beginning() -> None:
    """The conversation's id and the agent's are told."""
    assert decoded(codec(is_begun=False), metadata()) == [LinkReady(remote_id="conv_1", model="a")]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([words(), audio(), audio(2), complete()], [STARTED, WORDS, SOUND, SOUND, DONE]),
        ([audio(), words(), complete()], [STARTED, SOUND, WORDS, DONE]),
        ([audio("1"), audio(is_final=True)], [STARTED, SOUND, SOUND, DONE]),
        ([audio(None), complete(None)], [STARTED, SOUND, DONE]),
        ([audio(), QUIET], [STARTED, SOUND, DONE]),
        ([audio(), complete(), words()], [STARTED, SOUND, DONE, WORDS]),
        ([audio(pcm=b""), words("")], []),
        ([complete(), QUIET], []),
        # An older response is meant.
        ([audio(5), complete(3)], [STARTED, SOUND]),
        ([audio(5), interruption(3), audio(6)], [STARTED, SOUND, SOUND]),
    ],
)
def test_a_response(messages: list[WireMessage], expected: list[S2sEvent]) -> None:
    """It starts with its first sound or words, and ends by whichever mark there is."""
    assert decoded(codec(), *messages) == expected


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("it", ResponseStatus.COMPLETED),
        ("it.", ResponseStatus.INCOMPLETE),
        ("it is fine", ResponseStatus.INCOMPLETE),
    ],
)
def test_an_agent_that_falls_silent(text: str, status: ResponseStatus) -> None:
    """Where characters are placed in the sound, a response that misses many is not complete."""
    placed = {"chars": ["i", "t"], "char_start_times_ms": [0, 1], "char_durations_ms": [1, 1]}
    events = decoded(codec(), words(text), audio(alignment=placed), QUIET)
    assert [one.status for one in events if isinstance(one, ResponseDone)] == [status]


def test_one_response_after_another() -> None:
    """New words, or the person's, end a response that has no end of its own."""
    one = codec()
    events = decoded(one, words("first"), audio(), words("second", 2), audio(3), person("hi", 4))
    kinds = [(type(event).__name__, getattr(event, "response_id", None)) for event in events]
    assert kinds == [
        ("ResponseStarted", R1),
        ("ResponseText", R1),
        ("ResponseAudio", R1),
        ("ResponseDone", R1),
        ("ResponseStarted", R2),
        ("ResponseText", R2),
        ("ResponseAudio", R2),
        ("ResponseDone", R2),
        ("InputCommitted", None),
        ("InputTranscript", None),
    ]


def test_where_words_sound() -> None:
    """Characters become words with their times, from the beginning of the response."""
    one = codec()
    pcm = bytes(6400)  # 200 ms
    first = {
        "chars": list("one tw"),
        "char_start_times_ms": [0, 20, 40, 60, 100, 150],
        "char_durations_ms": [20, 20, 20, 40, 50, 50],
    }
    second = {"chars": ["o"], "char_start_times_ms": [0], "char_durations_ms": [50]}
    events = decoded(
        one,
        words(),
        audio(1, pcm, alignment=first),
        audio(2, pcm, alignment=second),
        audio(3, pcm, alignment=None),
        complete(),
    )
    spoken = [one for one in events if isinstance(one, ResponseText)][1:]
    assert [(one.delta, one.start, one.end, one.stage) for one in spoken] == [
        ("one", 0, 60 * 16, TextStage.SPOKEN),
        (" two", 100 * 16, 250 * 16, TextStage.SPOKEN),
    ]


def test_times_that_count_from_the_beginning_of_the_response() -> None:
    """Times beyond their piece of sound are those of the whole response."""
    one = codec()
    late = {"chars": ["b"], "char_start_times_ms": [420], "char_durations_ms": [50]}
    events = decoded(
        one, words("a b"), audio(1, bytes(12800)), audio(2, bytes(3200), alignment=late)
    )
    assert decoded(one, complete())[0] == ResponseText(
        response_id=R1, delta="b", start=420 * 16, end=470 * 16
    )
    assert not [one for one in events if isinstance(one, ResponseText) and one.end]


def test_words_with_times_wait_for_the_text() -> None:
    """Where sound comes first, its words are told after the text that they are a part of."""
    one = codec()
    times = {"chars": ["a", " "], "char_start_times_ms": [0, 1], "char_durations_ms": [1, 0]}
    assert decoded(one, audio(alignment=times)) == [STARTED, SOUND]
    assert decoded(one, words("a")) == [
        ResponseText(response_id=R1, delta="a", stage=TextStage.PLANNED),
        ResponseText(response_id=R1, delta="a", start=0, end=16),
    ]


def test_the_person() -> None:
    """Words so far replace each other; the last ones are final, and their turn is answered."""
    events = decoded(codec(), tentative("hel"), tentative("hello"), person("hello there"), audio())
    assert events == [
        InputTranscript(utterance_id=U1, text="hel", is_final=False),
        InputTranscript(utterance_id=U1, text="hello", is_final=False),
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hello there", is_final=True),
        ResponseStarted(response_id=R1, origin=ResponseOrigin.TURN),
        SOUND,
    ]


def test_nobody_spoke() -> None:
    """Dots instead of words are nobody's, and end an utterance without words where one began."""
    assert decoded(codec(), person("...")) == []
    assert decoded(codec(), tentative("h"), person("..."))[1:] == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="", is_final=True),
    ]


def test_words_of_the_person_that_come_late_end_nothing() -> None:
    """A transcript of an earlier event does not end the response to it."""
    one = codec()
    decoded(one, words("one two", 5), audio(6))
    assert decoded(one, person("hello", 4)) == [
        InputCommitted(utterance_id=U1),
        InputTranscript(utterance_id=U1, text="hello", is_final=True),
    ]


@pytest.mark.parametrize(
    ("command", "origin"),
    [
        (SendText(text="hi"), ResponseOrigin.REQUESTED),
        (CreateResponse(instructions="hi"), ResponseOrigin.REQUESTED),
        (Say(text="hi"), ResponseOrigin.SAID),
    ],
)
def test_why_a_response_was_made(command: S2sCommand, origin: ResponseOrigin) -> None:
    """A response that we asked for says so; the next one answers a turn."""
    one = codec()
    one.encode(command)
    started = decoded(one, audio(), complete(), audio(10))
    assert [event.origin for event in started if isinstance(event, ResponseStarted)] == [
        origin,
        ResponseOrigin.TURN,
    ]


# ── interruptions ───────────────────────────────────────────────────────────────────────────


def test_an_interruption_by_the_service() -> None:
    """What came up to its event is dropped, what comes after it is another response."""
    one = codec()
    decoded(one, words(), audio(2))
    assert decoded(one, interruption(3)) == INTERRUPTED
    assert decoded(one, audio(3), words("late", 2)) == []
    assert decoded(one, interruption(3)) == []
    assert decoded(one, audio(4))[0] == ResponseStarted(response_id=R2)


def test_an_interruption_of_what_only_sounds_still() -> None:
    """A response that was made to its end is interrupted all the same, once."""
    one = codec()
    decoded(one, audio(), complete())
    assert decoded(one, interruption(), interruption()) == INTERRUPTED[:1]


def test_a_correction_alone_is_an_interruption() -> None:
    """Where nothing else told of it, the words that were heard do."""
    key = "agent_response_correction"
    corrected = {"original_agent_response": "one two", "corrected_agent_response": "one"}
    message = frame(key, f"{key}_event", event_id=1, **corrected)
    one = codec()
    decoded(one, words(), audio())
    assert decoded(one, message) == INTERRUPTED
    assert decoded(one, message, audio(1)) == []


def test_a_response_that_was_cut_says_no_more() -> None:
    """After an interruption of ours nothing of it comes but its end."""
    one = codec()
    decoded(one, audio())
    assert encoded(one, CUT_R1) == []
    assert decoded(one, audio(2), words(), audio(3)) == []
    assert one.progress == 4
    assert decoded(one, complete()) == [
        ResponseDone(response_id=R1, status=ResponseStatus.CANCELLED)
    ]
    assert decoded(one, audio(10))[1] == ResponseAudio(response_id=R2, pcm=PCM)


def test_words_that_come_after_a_cut_are_not_told() -> None:
    """A response that was whole, and is cut while it sounds, gets no words any more."""
    one = codec()
    decoded(one, audio(), complete())
    one.encode(CUT_R1)
    assert decoded(one, words()) == []


def test_a_response_begins_with_its_own_sound() -> None:
    """Nothing of an interrupted response is left in the resampler for the next one."""
    options = S2sOptions(output_format=pcm16(24000))
    one, other = codec(options), codec(options)
    decoded(one, audio(1, b"\x00\x40" * 1600), interruption(1))
    _, heard = decoded(one, audio(2, bytes(3200)))
    _, expected = decoded(other, audio(2, bytes(3200)))
    assert isinstance(heard, ResponseAudio)
    assert isinstance(expected, ResponseAudio)
    assert heard.pcm == expected.pcm


def test_an_awaited_response_that_is_not_wanted_any_more() -> None:
    """What the person gave up waiting for is not heard; what they ask next is answered."""
    one = codec()
    decoded(one, person("hello"))
    one.encode(StartUserTurn())
    assert decoded(one, words(), audio(), complete()) == []
    assert one.progress is None
    assert decoded(one, person("again"), audio(20))[-1] == SOUND


def test_words_so_far_may_be_given_up() -> None:
    """The answer to an utterance that was given up before its end is not heard either."""
    one = codec()
    decoded(one, tentative("hel"))
    one.encode(StartUserTurn())
    decoded(one, person("hello"))
    assert decoded(one, audio(5), complete()) == []


def test_a_stop_while_nothing_is_awaited_refuses_nothing() -> None:
    """An agent that speaks up by itself later is heard."""
    one = codec()
    one.encode(StartUserTurn())
    assert decoded(one, audio()) == [STARTED, SOUND]


def test_a_conversation_that_goes_on_is_not_greeted_again() -> None:
    """On a new link the agent's first message is dropped, or overridden where that was given."""
    history = (Message(role=Role.USER, text="a"), Message(role=Role.AGENT, text="b"))
    options = S2sOptions(history=history)
    one = codec(options)
    assert decoded(one, words("welcome"), audio(), complete()) == []
    assert decoded(one, person("hi"), audio(20))[-1] == SOUND
    other = codec(options, first_message="welcome")
    (hello,) = other.hello()
    override = json.loads(hello)["conversation_config_override"]
    assert override == {"agent": {"first_message": ""}}
    assert decoded(other, audio()) == [STARTED, SOUND]


# ── tools, pings, and all else ──────────────────────────────────────────────────────────────


def test_a_tool_call_and_its_result() -> None:
    """A call is told once, and its result goes back under the service's own id, once."""
    one = codec()
    assert decoded(one, called(some_city="Oslo"), called()) == [
        ToolCalled(call_id=CALL, name="f", arguments='{"some_city":"Oslo"}')
    ]
    answer = AnswerTool(call_id=CALL, output="snow", is_error=True)
    assert encoded(one, answer, answer) == [
        {
            "type": "client_tool_result",
            "tool_call_id": "c1",
            "result": "snow",
            "is_error": True,
        }
    ]


def test_a_tool_the_service_waits_for_no_longer() -> None:
    """A result that the service made up itself withdraws the call; ours makes no difference."""
    one = codec()
    decoded(one, called())
    assert decoded(one, ran("f", "c1")) == [ToolCallWithdrawn(call_ids=(CALL,))]
    assert encoded(one, AnswerTool(call_id=CALL, output="late")) == []
    decoded(one, called("c2"))
    encoded(one, AnswerTool(call_id=ToolCallId("elevenlabs-7-c2"), output="in time"))
    assert decoded(one, ran("f", "c2")) == []


def test_tools_of_the_service_itself() -> None:
    """Skipping a turn is no response, and ending the call is a goodbye."""
    assert isinstance(decoded(codec(), ran("skip_turn"))[0], NoResponse)
    assert decoded(codec(), audio(), ran("skip_turn")) == [STARTED, SOUND]
    ended = ConversationEnded(reason="the agent ended the call")
    assert decoded(codec(), ran("end_call")) == [ended]
    assert decoded(codec(), ran("transfer_to_agent")) == []


def test_a_ping_is_answered() -> None:
    """A pong has the ping's id, and a second of silence goes with it if the line brought none."""
    one = codec()
    ping = frame("ping", "ping_event", event_id=3, ping_ms=20)
    assert decoded(one, ping) == []
    pong, silence = [json.loads(reply) for reply in one.replies()]
    assert pong == {"type": "pong", "event_id": 3}
    assert base64.b64decode(silence["user_audio_chunk"]) == bytes(32000)
    one.encode(SendAudio(pcm=PCM))
    decoded(one, ping)
    assert [json.loads(reply) for reply in one.replies()] == [pong]
    decoded(one, ping)
    assert len(one.replies()) == 2


@pytest.mark.parametrize(
    "message",
    [
        frame("vad_score", "vad_score_event", vad_score=0.9),
        frame("agent_chat_response_part", "text_response_part", text="x", type="delta"),
        frame("internal_tentative_agent_response", "x", y=1),
        '{"type":"somethingNew","x":1}',
    ],
)
def test_what_means_nothing_here(message: str) -> None:
    """Messages of no use are taken without a word."""
    assert decoded(codec(), message) == []


@pytest.mark.parametrize(
    "message",
    [
        "",
        "[]",
        "not json",
        b"\xff\xfe",
        '{"type":3}',
        '{"type":"audio"}',
        frame("audio", "audio_event", audio_base_64="%%%", event_id=1),
        frame("audio", "audio_event", audio_base_64="AAA=", event_id=True),
        audio(pcm=b"abc"),
        audio("x"),
        frame("agent_response", "agent_response_event", agent_response=None),
        frame("ping", "ping_event"),
        frame("vad_score", "vad_score_event", vad_score="high"),
        frame("client_tool_call", "client_tool_call", tool_name="f"),
        metadata(),
        '{"type":"error"}',
        "[" * 100_000,
    ],
)
def test_what_cannot_be_read(message: WireMessage) -> None:
    """It is refused whole, and what follows is read as if it had not been."""
    one = codec()
    decoded(one, audio())
    with pytest.raises(BrokenProtocol):
        one.decode(message)
    assert decoded(one, complete()) == [DONE]


def test_sound_before_its_format() -> None:
    """Sound that comes before the service said what it is cannot be read."""
    with pytest.raises(BrokenProtocol):
        codec(is_begun=False).decode(audio())


# ── failures and the end ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("override_error", ErrorCategory.INVALID_REQUEST),
        ("missing_dynamic_variable", ErrorCategory.INVALID_REQUEST),
        ("llm_timeout", ErrorCategory.TIMEOUT),
        ("transport_receive_timeout", ErrorCategory.TIMEOUT),
        ("max_duration_exceeded", ErrorCategory.SESSION_EXPIRED),
        ("llm_error", ErrorCategory.RETRYABLE),
        ("something_new", ErrorCategory.RETRYABLE),
    ],
)
def test_an_error_ends_the_call_with_the_close_after_it(kind: str, category: ErrorCategory) -> None:
    """What the error said is told once, when the call has ended, whatever the close says."""
    one = codec()
    assert decoded(one, failure(kind)) == []
    failed, closed = one.closed(is_clean=True, code=1000, reason="bye")
    assert isinstance(failed, ServiceFailed)
    assert (failed.category, failed.is_fatal, failed.provider_code) == (category, True, kind)
    assert failed.message.startswith(f"{kind}: it went wrong")
    assert closed == LinkClosed(is_clean=True, code=1000, reason="bye")


def test_an_error_before_the_beginning_is_told_at_once() -> None:
    """A call that does not come about fails with the reason, and only once."""
    one = codec(is_begun=False)
    message = failure("override_error", "Override for field 'x' is not allowed by config.")
    (failed,) = decoded(one, message)
    assert isinstance(failed, ServiceFailed)
    assert failed.is_fatal
    assert "security settings" in failed.message
    assert len(one.closed(is_clean=False, code=1008, reason="override")) == 1


def test_an_error_that_ends_nothing() -> None:
    """A failing tool of the service is told, and the call goes on."""
    (failed,) = decoded(codec(), failure("mcp_tool_error"))
    assert isinstance(failed, ServiceFailed)
    assert not failed.is_fatal


def test_an_error_is_not_told_at_length() -> None:
    """However much the service says, little is passed on."""
    one = codec(is_begun=False)
    (failed,) = decoded(one, failure("llm_error", "x" * 10_000))
    assert isinstance(failed, ServiceFailed)
    assert len(failed.message) == 200


@pytest.mark.parametrize(
    ("code", "reason", "category"),
    [
        (1008, "Invalid API key: sk_secret", ErrorCategory.AUTH),
        (3000, "The agent requires authentication.", ErrorCategory.AUTH),
        (3000, "Request error", ErrorCategory.INVALID_REQUEST),
        (1008, "quota_exceeded", ErrorCategory.INVALID_REQUEST),
        (1008, "Override for field 'x' is not allowed", ErrorCategory.INVALID_REQUEST),
        (1008, "too_many_concurrent_requests", ErrorCategory.RATE_LIMIT),
        (4300, "", ErrorCategory.RATE_LIMIT),
        (1002, "LLM timed out", ErrorCategory.TIMEOUT),
        (1011, "", ErrorCategory.RETRYABLE),
        (1000, "max_duration_exceeded", ErrorCategory.SESSION_EXPIRED),
        (1000, "", None),
        (1001, "", None),
        (1006, "", None),
        (None, "", None),
    ],
)
def test_the_end(code: int | None, reason: str, category: ErrorCategory | None) -> None:
    """What was being made has failed; a close that gives a reason is a failure of its kind."""
    one = codec()
    decoded(one, audio())
    done, *failed, closed = one.closed(is_clean=category is None, code=code, reason=reason)
    assert isinstance(done, ResponseDone)
    assert done.status is ResponseStatus.FAILED
    assert closed == LinkClosed(is_clean=category is None, code=code, reason=reason)
    assert [one.category for one in failed if isinstance(one, ServiceFailed)] == (
        [] if category is None else [category]
    )
    assert all("sk_secret" not in one.message for one in failed if isinstance(one, ServiceFailed))


# ── anything at all ─────────────────────────────────────────────────────────────────────────

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PLACES = {
    "audio": ("audio_event", ("audio_base_64", "event_id", "alignment", "is_final")),
    "ping": ("ping_event", ("event_id", "ping_ms")),
    "agent_response": ("agent_response_event", ("agent_response", "event_id")),
    "interruption": ("interruption_event", ("event_id",)),
    "user_transcript": ("user_transcription_event", ("user_transcript", "event_id")),
    "client_tool_call": ("client_tool_call", ("tool_name", "tool_call_id", "parameters")),
    "agent_tool_response": ("agent_tool_response", ("tool_name", "tool_call_id")),
    "conversation_initiation_metadata": (
        "conversation_initiation_metadata_event",
        ("conversation_id", "agent_output_audio_format", "user_input_audio_format"),
    ),
    "error": ("error_event", ("code", "error_type", "message")),
}


@st.composite
def misshapen(draw: st.DrawFn) -> str:
    """A message of a known type, with fields of the right names and any values."""
    kind = draw(st.sampled_from(sorted(PLACES)))
    key, names = PLACES[kind]
    fields = draw(st.dictionaries(st.sampled_from(names), JSON) | JSON)
    return json.dumps({"type": kind, draw(st.sampled_from([key, "other"])): fields})


GARBAGE = st.binary(max_size=40) | st.text(max_size=40) | JSON.map(json.dumps) | misshapen()


@given(st.lists(GARBAGE, max_size=5), st.booleans())
def test_garbage_is_refused_or_means_something(messages: list[WireMessage], begun: bool) -> None:
    """Whatever comes is read, or refused with the one error there is for it; then the link ends."""
    one: Codec[S2sCommand, S2sEvent] = codec(is_begun=begun)
    for message in messages:
        try:
            one.decode(message)
        except BrokenProtocol:
            continue
    assert isinstance(one.closed(is_clean=False, code=1006, reason="")[-1], LinkClosed)


TIMES = {"chars": ["a", " "], "char_start_times_ms": [0, 1], "char_durations_ms": [1, 0]}
IDS = st.integers(1, 12)
PIECES = st.one_of(
    IDS.map(audio),
    IDS.map(lambda event_id: audio(event_id, alignment=TIMES, is_final=True)),
    IDS.map(lambda event_id: words("w", event_id)),
    IDS.map(complete),
    IDS.map(interruption),
    IDS.map(lambda event_id: person("p", event_id)),
    st.sampled_from([QUIET, tentative("p"), called(), ran("skip_turn"), "broken", audio(None)]),
)
COMMANDS: st.SearchStrategy[S2sCommand] = st.integers(1, 4).map(
    lambda number: Interrupt(
        response_id=ResponseId(f"elevenlabs-7-r{number}"), heard_samples=0, heard_text=""
    )
) | st.sampled_from([StartUserTurn(), SendText(text="t"), CreateResponse(), Say(text="s")])


@given(st.lists(PIECES | COMMANDS, max_size=40), st.sampled_from([16000, 24000]))
def test_the_promises_of_a_link_are_kept(steps: list[WireMessage | S2sCommand], rate: int) -> None:
    """Whatever comes in whatever order, responses start first, are done once, and stay silent."""
    one = codec(S2sOptions(output_format=pcm16(rate)))
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
                assert event.pcm
            case ResponseText():
                assert event.response_id in started - silenced
            case ResponseDone():
                assert event.response_id in started - done
                done.add(event.response_id)
            case Interrupted():
                assert event.response_id in started
                assert event.response_id is not None
                silenced.add(event.response_id)
            case InputTranscript():
                assert event.utterance_id not in finals
                if event.is_final:
                    finals.add(event.utterance_id)
            case _:
                pass

    for step in steps:
        if not isinstance(step, str | bytes):
            one.encode(step)
            if isinstance(step, Interrupt):
                silenced |= {step.response_id} & started
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
