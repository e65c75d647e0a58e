"""The vendor's own SDK through a whole turn: a question, two tools at once, an answer, a barge-in.

Three of the six are here; `PROOFS` says where each of the six is.
"""

import asyncio
import base64
import importlib

import pytest
from google.genai import types

from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.catalogue import EMULATORS
from beluga_voice.testing.emulators.speech import Asked, Calls, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from emulators.sdks import google, openai

SECONDS = 30
"""More than a busy machine needs; nothing here waits for time."""
LONG = "one two three four five six seven eight nine ten"
PROOFS = {
    "elevenlabs": "providers.elevenlabs.test_elevenlabs_sdk:test_a_turn_an_interruption_and_a_tool",
    "gemini_live": "emulators.test_turns_by_sdk:test_gemini_live",
    "grok": "providers.grok.test_grok_sdk:test_a_turn_with_a_tool_and_a_barge_in",
    "nova_sonic": "providers.nova_sonic.test_nova_sdk:test_a_turn_with_a_tool_and_an_interruption",
    "openai_live": "emulators.test_turns_by_sdk:test_openai_live",
    "openai_realtime": "emulators.test_turns_by_sdk:test_openai_realtime",
}
"""The test in which the SDK of each vendor goes through a whole turn."""


def brain(asked: Asked):
    """Two tools, what they gave at length, and a word for who interrupts."""
    if asked.results:
        return Speaks(" ".join(one.output for one in asked.results) + f" {LONG}")
    if "stop" in asked.text:
        return Speaks("fine")
    return [Calls("weather", '{"city":"Oslo"}'), Calls("weather", '{"city":"Rome"}')]


def run(scene):
    """Run a scene on real sockets."""

    async def limited():
        async with asyncio.timeout(SECONDS):
            return await scene()

    return asyncio.run(limited())


@pytest.mark.parametrize("name", sorted(EMULATORS["s2s"]))
def test_each_of_the_six_has_its_proof(name):
    """Somewhere, under that name."""
    module, _, test = PROOFS[name].partition(":")
    assert callable(getattr(importlib.import_module(module), test))


def test_openai_realtime():
    """By `openai`: calls in one response, one request for both, and a truncated answer."""
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}

    async def scene():
        service = realtime.OpenAIRealtimeEmulator(brain, pace=Pace(word_ms=40))
        async with (
            service.serving(),
            openai(service.port, realtime.KEY) as client,
            client.realtime.connect(model=realtime.MODELS[0]) as connection,
        ):

            async def until(kind):
                events = []
                while not events or events[-1].type != kind:
                    events.append(await connection.recv())
                return events

            async def say(text, pause_ms=600):
                sound = pcm_of(speech(text, rate=24000)) + silence(pause_ms, rate=24000)
                audio = base64.b64encode(sound).decode()
                await connection.input_audio_buffer.append(audio=audio)

            await connection.session.update(session={"type": "realtime", "tools": [tool]})
            await say("how is it there")
            calls = (await until("response.done"))[-1].response.output
            for call, output in zip(reversed(calls), ("hot", "cold"), strict=True):
                item = {"type": "function_call_output", "call_id": call.call_id, "output": output}
                await connection.conversation.item.create(item=item)
            await connection.response.create()
            begun = await until("response.output_audio.delta")
            await say("stop", pause_ms=0)
            cut = await until("response.done")
            await connection.conversation.item.truncate(
                item_id=begun[-1].item_id, content_index=0, audio_end_ms=200
            )
            await until("conversation.item.truncated")
            await say("")
            last = await until("response.done")
            kept = service.sessions[0].conversation.get(begun[-1].item_id).text
        return calls, cut[-1].response, kept, last

    calls, cut, kept, last = run(scene)
    assert [call.arguments for call in calls] == ['{"city":"Oslo"}', '{"city":"Rome"}']
    assert (cut.status, cut.status_details.reason) == ("cancelled", "turn_detected")
    assert kept == "hot"
    deltas = [one.delta for one in last if one.type == "response.output_audio.delta"]
    assert words_in(b"".join(base64.b64decode(one) for one in deltas)) == ["fine"]


@pytest.mark.parametrize("behavior", [types.Behavior.BLOCKING, types.Behavior.NON_BLOCKING])
def test_gemini_live(behavior):
    """By `google-genai`: calls in one message, both answered in one, and an interrupted answer.

    The tools are declared in mid-call, where their list has an object of its own.
    """
    declaration = types.FunctionDeclaration(
        name="weather",
        parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}},
        behavior=behavior,
    )
    config = types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
    )

    async def scene():
        service = gemini.GeminiLiveEmulator(brain, pace=Pace(word_ms=40), holds_turns=False)
        messages: list[types.LiveServerMessage] = []

        def heard():
            return words_in(b"".join(one.data or b"" for one in messages))

        async with (
            google(service) as client,
            client.aio.live.connect(model="gemini-3.8-live", config=config) as session,
        ):

            async def say(text):
                sound = pcm_of(speech(text)) + silence(700)
                for start in range(0, len(sound), 1280):
                    data = sound[start : start + 1280]
                    blob = types.Blob(data=data, mime_type="audio/pcm;rate=16000")
                    await session.send_realtime_input(audio=blob)

            tools = [types.Tool(function_declarations=[declaration])]
            await session.send_context_update(tools=tools)
            await say("how is it there")
            has_stopped = False
            while heard()[-1:] != ["fine"]:
                async for message in session.receive():
                    messages.append(message)
                    if message.tool_call is not None:
                        await session.send_tool_response(
                            function_responses=[
                                types.FunctionResponse(
                                    id=call.id, name=call.name, response={"output": output}
                                )
                                for call, output in zip(
                                    message.tool_call.function_calls, ("cold", "hot"), strict=True
                                )
                            ]
                        )
                    if not has_stopped and "two" in heard():
                        has_stopped = True
                        await say("stop")
        (session,) = service.connections
        return messages, heard(), session.close_reason

    messages, heard, close_reason = run(scene)
    calls = [one.tool_call.function_calls for one in messages if one.tool_call]
    assert [[call.args for call in one] for one in calls] == [[{"city": "Oslo"}, {"city": "Rome"}]]
    contents = [one.server_content for one in messages if one.server_content]
    assert [one.interrupted for one in contents].count(True) == 1
    assert heard[:4] == ["cold", "hot", "one", "two"]
    assert "ten" not in heard
    assert close_reason == ""


def test_openai_live():
    """By `openai`: the working model calls both, is told to go on, and falls silent when spoken to.

    There is nothing to cancel or to truncate.
    """
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    responses = {"model": "gpt-5.2", "tools": [tool]}
    settings = {
        "model": live.MODELS[0],
        "delegation": {"type": "responses", "responses": responses},
    }

    async def scene():
        service = live.OpenAILiveEmulator(brain)
        events = []
        async with (
            service.serving(),
            openai(service.port, live.KEY) as client,
            client.live.connect() as connection,
        ):

            async def until(kind):
                while True:
                    events.append(await connection.recv())
                    if events[-1].type == kind:
                        return

            async def hear(sound):
                """Each tenth of a second of the person's gives one of the model's."""
                for start in range(0, len(sound), 4800):
                    audio = base64.b64encode(sound[start : start + 4800]).decode()
                    await connection.session.input_audio.append(audio=audio)
                    await until("session.output_audio.delta")

            await connection.session.start(session=settings)
            await until("session.started")
            await hear(pcm_of(speech("how is it there", rate=24000)) + silence(1000, rate=24000))
            inner = [one.event for one in events if one.type == "response.event"]
            calls = [one["item"] for one in inner if one["type"] == "response.output_item.done"]
            for call, output in zip(calls, ("cold", "hot"), strict=True):
                item = {"type": "function_call_output", "call_id": call["call_id"]}
                await connection.response.item.create(item={**item, "output": output})
            await connection.response.create()
            await hear(silence(1000, rate=24000))
            await hear(pcm_of(speech("stop it now please", rate=24000)))
            await hear(silence(1500, rate=24000))
        deltas = [one.delta for one in events if one.type == "session.output_audio.delta"]
        return calls, words_in(b"".join(base64.b64decode(one) for one in deltas))

    calls, heard = run(scene)
    assert [call["arguments"] for call in calls] == ['{"city":"Oslo"}', '{"city":"Rome"}']
    assert heard[:3] == ["cold", "hot", "one"]
    assert "ten" not in heard
    assert heard[-1] == "fine"
