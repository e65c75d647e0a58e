"""How strict the emulated agents of ElevenLabs are, in simulated time."""

import asyncio
import base64
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from beluga_voice.testing.emulators.elevenlabs_agents import (
    AGENT,
    PATH,
    ElevenLabsAgentsEmulator,
    EmulatedAgent,
)
from beluga_voice.testing.emulators.speech import Calls, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech
from providers.elevenlabs.elevenlabs_stage import ENDPOINT, HOST, PORT, play
from providers.elevenlabs.vendor_frames import check_server_frame

BEGIN = {"type": "conversation_initiation_client_data"}
SOUND = {"user_audio_chunk": base64.b64encode(bytes(640)).decode()}


def talk(
    service: ElevenLabsAgentsEmulator, *frames: dict[str, Any] | str, seconds: float = 1
) -> tuple[list[dict[str, Any]], int | None]:
    """What an agent that anybody may call says to these frames, and how it closed."""

    async def scene() -> tuple[list[dict[str, Any]], int | None]:
        heard: list[dict[str, Any]] = []
        async with (
            service.serving(HOST, PORT),
            connect(f"{ENDPOINT}{PATH}?agent_id={AGENT}", proxy=None) as wire,
        ):
            for frame in frames:
                await wire.send(frame if isinstance(frame, str) else json.dumps(frame))
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        heard.append(json.loads(await wire.recv()))
            except (TimeoutError, ConnectionClosed):
                code = wire.close_code
        for frame in heard:
            check_server_frame(frame)
        return heard, code

    return play(scene)


def emulator(brain: Any = None, **agent: Any) -> ElevenLabsAgentsEmulator:
    """A service with one agent that anybody may call."""
    agents = {AGENT: EmulatedAgent(is_private=False, **agent)}
    return ElevenLabsAgentsEmulator(brain or (lambda _: []), agents=agents)


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "[]",
        {"type": "user_shout", "text": "x"},
        {"type": "user_message", "text": "x", "volume": 3},
        {"type": "pong", "event_id": "three"},
        {"type": "client_tool_result", "tool_call_id": "x", "result": {}, "is_error": False},
        {"user_audio_chunk": "%%%"},
        {"user_audio_chunk": "AA=="},
        BEGIN,
    ],
)
def test_what_is_not_of_the_protocol_is_refused(frame: dict[str, Any] | str) -> None:
    """A frame the service would not take ends the conversation."""
    heard, code = talk(emulator(), BEGIN, frame)
    assert code == 1008
    assert heard[-1]["error_event"]["error_type"] == "invalid_message"


@pytest.mark.parametrize("frame", [SOUND, {"type": "user_activity"}])
def test_the_first_message_is_the_first(frame: dict[str, Any]) -> None:
    """Before the conversation has begun, nothing else is taken."""
    heard, code = talk(emulator(), frame)
    assert (len(heard), code) == (1, 1008)


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ({"tts": {"voice_id": "nobody"}}, "value_error"),
        ({"tts": {"speed": 2.0}}, "value_error"),
        ({"conversation": {"client_events": ["smell"]}}, "invalid_message"),
        ({"agent": {"mood": "good"}}, "invalid_message"),
    ],
)
def test_overrides_that_make_no_sense(override: dict[str, Any], kind: str) -> None:
    """An override of what does not exist, or to what does not, ends the conversation."""
    heard, code = talk(emulator(), {**BEGIN, "conversation_config_override": override})
    assert code == 1008
    assert heard[0]["error_event"]["error_type"] == kind


def test_what_is_noted_and_ends_nothing() -> None:
    """A pong to no ping and a result of no call are mistakes of the client."""
    service = emulator()
    pong = {"type": "pong", "event_id": 7}
    result = {"type": "client_tool_result", "tool_call_id": "x", "result": "", "is_error": False}
    _, code = talk(service, BEGIN, pong, result)
    assert code is None
    assert service.sessions[0].errors == ["a pong to no ping: 7", "a result of no call: x"]


def test_a_signed_address_is_good_for_a_quarter_of_an_hour() -> None:
    """Later, or for another agent, it lets nobody in."""

    async def scene() -> list[int | None]:
        service = ElevenLabsAgentsEmulator(agents={AGENT: EmulatedAgent(), "b": EmulatedAgent()})
        codes: list[int | None] = []
        async with service.serving(HOST, PORT):
            reader, writer = await asyncio.open_connection(HOST, PORT)
            path = f"{PATH}/get-signed-url?agent_id={AGENT}"
            lines = (f"GET {path} HTTP/1.1", f"Host: {HOST}", "xi-api-key: sk_emulated", "", "")
            writer.write("\r\n".join(lines).encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            writer.close()
            url = json.loads(body)["signed_url"]
            for address, wait in ((url, 0), (url.replace(AGENT, "b"), 0), (url, 901)):
                await asyncio.sleep(wait)
                async with connect(address, proxy=None) as wire:
                    try:
                        await wire.send(json.dumps(BEGIN))
                        await wire.recv()
                    except ConnectionClosed:
                        pass
                    codes.append(wire.close_code)
        return codes

    assert play(scene) == [None, 3000, 3000]


def test_what_an_agent_says_of_a_voice() -> None:
    """Scores, the words so far, and all of them, in the order in which they become known."""
    sound = base64.b64encode(pcm_of(speech("hello")) + silence(600)).decode()
    chunk = {"user_audio_chunk": sound}
    service = emulator(lambda _: Calls("f", '{"x": 1}'), tool_seconds=0.5)
    heard, _ = talk(service, BEGIN, chunk)
    assert [one["type"] for one in heard] == [
        "conversation_initiation_metadata",
        "user_transcript",
        "client_tool_call",
        "agent_tool_response",
        "client_tool_call",
    ]
    assert heard[3]["agent_tool_response"]["is_error"]


def test_what_is_said_with_a_call_is_whole_once_both_are_made() -> None:
    """The end of a response comes after the calls that belong to it, and once."""
    service = emulator(lambda _: [Speaks("one moment"), Speaks("please"), Calls("f")])
    heard, _ = talk(service, BEGIN, {"type": "user_message", "text": "hello"})
    kinds = [one["type"] for one in heard if one["type"] not in ("ping", "audio")]
    assert kinds == [
        "conversation_initiation_metadata",
        "agent_response",
        "agent_response",
        "client_tool_call",
        "agent_response_complete",
    ]
