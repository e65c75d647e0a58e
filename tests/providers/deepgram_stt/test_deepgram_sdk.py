"""Deepgram's own SDK, unmodified, against the emulated services on real sockets."""

import asyncio
import warnings
from contextlib import asynccontextmanager

import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types.listen_v1close_stream import ListenV1CloseStream
from deepgram.listen.v1.types.listen_v1configure import ListenV1Configure
from deepgram.listen.v1.types.listen_v1configure_success import ListenV1ConfigureSuccess
from deepgram.listen.v1.types.listen_v1error import ListenV1Error
from deepgram.listen.v1.types.listen_v1finalize import ListenV1Finalize
from deepgram.listen.v1.types.listen_v1keep_alive import ListenV1KeepAlive
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v1.types.listen_v1speech_started import ListenV1SpeechStarted
from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd
from deepgram.listen.v2.types.listen_v2close_stream import ListenV2CloseStream
from deepgram.listen.v2.types.listen_v2configure import ListenV2Configure
from deepgram.listen.v2.types.listen_v2configure_failure import ListenV2ConfigureFailure
from deepgram.listen.v2.types.listen_v2configure_success import ListenV2ConfigureSuccess
from deepgram.listen.v2.types.listen_v2connected import ListenV2Connected
from deepgram.listen.v2.types.listen_v2fatal_error import ListenV2FatalError
from deepgram.listen.v2.types.listen_v2force_end_turn import ListenV2ForceEndTurn
from deepgram.listen.v2.types.listen_v2turn_info import ListenV2TurnInfo
from deepgram.speak.v1.types.speak_v1clear import SpeakV1Clear
from deepgram.speak.v1.types.speak_v1cleared import SpeakV1Cleared
from deepgram.speak.v1.types.speak_v1close import SpeakV1Close
from deepgram.speak.v1.types.speak_v1flush import SpeakV1Flush
from deepgram.speak.v1.types.speak_v1flushed import SpeakV1Flushed
from deepgram.speak.v1.types.speak_v1metadata import SpeakV1Metadata
from deepgram.speak.v1.types.speak_v1text import SpeakV1Text
from deepgram.speak.v1.types.speak_v1warning import SpeakV1Warning

from beluga_voice.events import CancelSpeech, ContextId, DropUtterance, FinishSpeech, SpeakText
from beluga_voice.interfaces import TtsOptions
from beluga_voice.testing.emulators.deepgram import KEY, DeepgramEmulator
from beluga_voice.testing.emulators.deepgram_session import Quirks
from beluga_voice.testing.emulators.deepgram_stt import NovaSession
from beluga_voice.testing.emulators.deepgram_stt_flux import FluxSession
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.deepgram_stt.deepgram_stage import FLUX, desk, listener, speaker

with warnings.catch_warnings():
    # They name classes of the websocket library that are deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    import deepgram.listen.v1.client
    import deepgram.listen.v2.client
    import deepgram.speak.v1.client  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NOVA_TYPES = {
    "Results": ListenV1Results,
    "SpeechStarted": ListenV1SpeechStarted,
    "UtteranceEnd": ListenV1UtteranceEnd,
    "Metadata": ListenV1Metadata,
    "Error": ListenV1Error,
    "ConfigureSuccess": ListenV1ConfigureSuccess,
    "CloseStream": ListenV1CloseStream,
    "Configure": ListenV1Configure,
    "Finalize": ListenV1Finalize,
    "KeepAlive": ListenV1KeepAlive,
}
FLUX_TYPES = {
    "Connected": ListenV2Connected,
    "TurnInfo": ListenV2TurnInfo,
    "Error": ListenV2FatalError,
    "ConfigureSuccess": ListenV2ConfigureSuccess,
    "ConfigureFailure": ListenV2ConfigureFailure,
    "CloseStream": ListenV2CloseStream,
    "Configure": ListenV2Configure,
    "ForceEndTurn": ListenV2ForceEndTurn,
}
AURA_TYPES = {
    "Metadata": SpeakV1Metadata,
    "Flushed": SpeakV1Flushed,
    "Cleared": SpeakV1Cleared,
    "Warning": SpeakV1Warning,
    "Speak": SpeakV1Text,
    "Flush": SpeakV1Flush,
    "Clear": SpeakV1Clear,
    "Close": SpeakV1Close,
}


def check(session):
    """Every message of both sides is of the vendor's types, without a field beyond them."""
    types = AURA_TYPES
    if isinstance(session, NovaSession):
        types = NOVA_TYPES
    elif isinstance(session, FluxSession):
        types = FLUX_TYPES
    for frame in [*session.sent, *session.received]:
        if frame["type"] != "audio":
            model = types[frame["type"]]
            model.model_validate(frame, strict=True)
            assert set(frame) <= set(model.model_fields), frame
    return {one["type"] for one in [*session.sent, *session.received]}


def run(scene):
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited():
        async with asyncio.timeout(10):
            return await scene()

    return asyncio.run(limited())


def client(service, key=KEY):
    """The SDK's client, aimed at the emulated service."""
    web = service.url.replace("ws", "http", 1)
    environment = DeepgramClientEnvironment(
        base=web, production=service.url, agent=service.url, agent_rest=web
    )
    return AsyncDeepgramClient(api_key=key, environment=environment)


@asynccontextmanager
async def serving(**settings):
    """The services, whose messages are checked."""
    async with DeepgramEmulator(**settings).serving() as service:
        yield service
    for session in service.sessions:
        check(session)
        assert session.errors == []


async def until(socket, kind, event=None):
    """The next message of that kind, and all of them to there."""
    seen = []
    async for message in socket:
        seen.append(message)
        if isinstance(message, bytes) or message.type != kind:
            continue
        if event is None or message.event == event:
            return message, seen
    raise AssertionError(f"no {kind} among {seen}")


def test_the_sdk_listens_in_segments():
    """Interim and final words, the end of a segment, keeping alive, and the end of the stream."""

    async def scene():
        async with (
            serving() as service,
            client(service).listen.v1.connect(
                model="nova-3",
                encoding="linear16",
                sample_rate=16000,
                interim_results=True,
                vad_events=True,
                punctuate=True,
                utterance_end_ms=1000,
                endpointing=200,
                keyterm=["Beluga", "whale"],
            ) as socket,
        ):
            await socket.send_keep_alive()
            await socket.send_media(pcm_of(speech("hello there")) + silence(1200))
            started, _ = await until(socket, "SpeechStarted")
            ended, seen = await until(socket, "UtteranceEnd")
            await socket.send_configure(ListenV1Configure(keyterms=["orca"]))
            await until(socket, "ConfigureSuccess")
            await socket.send_media(pcm_of(speech("see you")))
            await socket.send_finalize()
            while True:
                final, _ = await until(socket, "Results")
                if final.from_finalize:
                    break
            await socket.send_close_stream()
            last, _ = await until(socket, "Metadata")
            return service.sessions[0].query, started, ended, seen, final, last

    query, started, ended, seen, final, last = run(scene)
    assert query.values["keyterm"] == ["Beluga", "whale"]
    assert (started.timestamp, ended.last_word_end) == (0, 0.4)
    settled = next(one for one in seen if one.type == "Results" and one.speech_final)
    assert settled.channel.alternatives[0].transcript == "hello there"
    assert final.channel.alternatives[0].transcript == "see you"
    assert final.channel.alternatives[0].words[0].start == pytest.approx(1.6)
    assert last.duration == pytest.approx(2.0)


def test_the_sdk_listens_in_turns():
    """From the start of a turn to its end, eagerly, by force, and with other settings."""

    async def scene():
        async with (
            serving() as service,
            client(service).listen.v2.connect(
                model=FLUX,
                encoding="linear16",
                sample_rate=16000,
                eager_eot_threshold=0.4,
                eot_threshold=0.7,
                eot_timeout_ms=3000,
            ) as socket,
        ):
            await until(socket, "Connected")
            await socket.send_media(pcm_of(speech("hello there")) + silence(800))
            _, seen = await until(socket, "TurnInfo", "EndOfTurn")
            await socket.send_configure(ListenV2Configure(thresholds={"eot_threshold": 0.2}))
            await until(socket, "ConfigureFailure")
            await socket.send_configure(ListenV2Configure(thresholds={"eot_threshold": 1.0}))
            await until(socket, "ConfigureSuccess")
            await socket.send_media(pcm_of(speech("see you")))
            await socket.send_force_end_turn()
            forced, _ = await until(socket, "TurnInfo", "EndOfTurn")
            await socket.send_close_stream()
            return seen, forced

    seen, forced = run(scene)
    turns = [one.event for one in seen if one.event != "Update"]
    assert turns == ["StartOfTurn", "EagerEndOfTurn", "EndOfTurn"]
    assert (seen[-1].transcript, seen[-1].trigger) == ("hello there", "model")
    assert (forced.transcript, forced.trigger, forced.turn_index) == ("see you", "manual", 1)


def test_the_sdk_speaks():
    """Text in words, flushed and spoken; then some of it is taken back."""

    async def scene():
        async with (
            serving(pace=Pace(thinking_ms=20)) as service,
            client(service).speak.v1.connect(
                model="aura-2-thalia-en", encoding="linear16", sample_rate=24000
            ) as socket,
        ):
            for word in ("hello ", "there "):
                await socket.send_text(SpeakV1Text(text=word))
            await socket.send_flush()
            _, seen = await until(socket, "Flushed")
            await socket.send_text(SpeakV1Text(text="never said"))
            await socket.send_flush()
            await socket.send_clear()
            await until(socket, "Cleared")
            await socket.send_text(SpeakV1Text(text="goodbye"))
            await socket.send_close()
            return seen, [message async for message in socket]

    seen, rest = run(scene)
    assert seen[0].type == "Metadata"
    assert words_in(b"".join(one for one in seen if isinstance(one, bytes))) == ["hello", "there"]
    assert words_in(b"".join(rest)) == ["goodbye"]


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"key": "wrong", "model": "nova-3"}, 401),
        ({"model": "nova-9"}, 400),
        ({"model": "nova-2", "keyterm": ["Beluga"]}, 400),
        ({"model": "nova-3", "utterance_end_ms": 1000}, 400),
        ({"model": "nova-3", "endpointing": "soon"}, 400),
    ],
)
def test_a_handshake_that_is_refused_has_its_status(settings, status):
    """The SDK raises its own error."""

    async def scene():
        key = settings.get("key", KEY)
        wanted = {name: value for name, value in settings.items() if name != "key"}
        async with (
            serving() as service,
            client(service, key).listen.v1.connect(
                encoding="linear16", sample_rate=16000, **wanted
            ),
        ):
            pass

    with pytest.raises(ApiError) as caught:
        run(scene)
    assert caught.value.status_code == status


def test_what_is_no_order_is_refused_in_each_protocol_s_own_way():
    """The first goes on, the second ends; and sound without sound ends the stream."""

    async def scene():
        async with DeepgramEmulator(quirks=Quirks()).serving() as service:
            given = {"encoding": "linear16", "sample_rate": 16000}
            async with client(service).listen.v1.connect(model="nova-3", **given) as socket:
                await socket._send({"type": "Nonsense"})
                await until(socket, "Error")
                await socket.send_media(b"")
                await until(socket, "Metadata")
            async with client(service).listen.v2.connect(model=FLUX, **given) as socket:
                await socket._send({"type": "KeepAlive"})
                await until(socket, "Error")
        return [len(one.errors) for one in service.sessions]

    assert run(scene) == [2, 1]


@pytest.mark.parametrize("model", ["nova-3", FLUX])
def test_what_our_recogniser_sends_is_of_the_vendor_s_types(model):
    """In a conversation with all that can be ordered."""

    async def scene():
        async with desk(listener(model)) as on:
            await asyncio.sleep(5)
            await on.say("hello there")
            on.send(DropUtterance())
            await on.say("see you")
            on.finish("a")
            await asyncio.sleep(1)
        return check(on.session)

    kinds = simulate(scene)
    if model == FLUX:
        assert {"ForceEndTurn", "CloseStream", "TurnInfo"} <= kinds
    else:
        assert {"KeepAlive", "Finalize", "CloseStream", "Metadata"} <= kinds


def test_what_our_voice_sends_is_of_the_vendor_s_types():
    """With all that can be ordered."""

    async def scene():
        a, b = ContextId("a"), ContextId("b")
        async with desk(speaker(), TtsOptions()) as on:
            on.send(SpeakText(context_id=a, text="hello there"))
            on.send(CancelSpeech(context_id=a))
            on.send(SpeakText(context_id=b, text="see you"), FinishSpeech(context_id=b))
            await asyncio.sleep(1)
        return check(on.session)

    assert simulate(scene) >= {"Speak", "Flush", "Clear", "Close", "Flushed", "Cleared"}
