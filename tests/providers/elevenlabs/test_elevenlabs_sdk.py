"""ElevenLabs' own SDK, unmodified, against the emulated service on real sockets."""

import asyncio
import queue
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from websockets.exceptions import ConnectionClosed

from beluga_voice.testing.emulators.elevenlabs_agents import (
    AGENT,
    KEY,
    ElevenLabsAgentsEmulator,
    EmulatedAgent,
)
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Faults, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.elevenlabs.vendor_frames import check_server_frame

with warnings.catch_warnings():
    # It names a class of the websocket library that is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from elevenlabs.conversational_ai.conversation import (
        AsyncAudioInterface,
        AsyncConversation,
        AudioInterface,
        ClientTools,
        Conversation,
        ConversationInitiationData,
        DisconnectionDetails,
    )

LONG = "one two three four five six"


def client(service: ElevenLabsAgentsEmulator, key: str = KEY) -> ElevenLabs:
    """The SDK's client, aimed at the emulated service."""
    return ElevenLabs(api_key=key, base_url=service.url.replace("ws", "http", 1))


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited() -> None:
        async with asyncio.timeout(10):
            await scene()

    asyncio.run(limited())


def check(service: ElevenLabsAgentsEmulator) -> None:
    """Every frame of the service is one by the vendor's documents, and the SDK did no wrong."""
    for session in service.sessions:
        assert session.errors == []
        for frame in session.sent:
            check_server_frame(frame)


class Ears(AsyncAudioInterface):
    """A loudspeaker and a microphone; what came is awaited, never for a time."""

    def __init__(self) -> None:
        self.played = b""
        self.interrupted_after: list[str] = []
        self.said: Callable[[bytes], Awaitable[None]] | None = None
        self._changed = asyncio.Condition()

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        self.said = input_callback
        await self.change()

    async def stop(self) -> None:
        self.said = None

    async def output(self, audio: bytes) -> None:
        self.played += audio
        await self.change()

    async def interrupt(self) -> None:
        self.interrupted_after.append(self.words)
        await self.change()

    @property
    def words(self) -> str:
        """What was played."""
        return " ".join(words_in(self.played))

    async def change(self) -> None:
        """Something happened."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def say(self, text: str) -> None:
        """Speak, as fast as it goes, and be silent for long enough."""
        await self.until(lambda: self.said)
        assert self.said is not None
        sound = pcm_of(speech(text)) + silence(700)
        for start in range(0, len(sound), 8000):
            await self.said(sound[start : start + 8000])


def conversation(
    service: ElevenLabsAgentsEmulator, ears: Ears, events: list[Any], **settings: Any
) -> AsyncConversation:
    """A conversation of the SDK, whose callbacks fill `events`."""

    def note(name: str) -> Callable[..., Awaitable[None]]:
        async def callback(*arguments: Any) -> None:
            events.append((name, *arguments))
            await ears.change()

        return callback

    settings.setdefault("requires_auth", True)
    return AsyncConversation(
        client(service),
        AGENT,
        audio_interface=ears,
        callback_agent_response=note("agent"),
        callback_agent_response_correction=note("correction"),
        callback_user_transcript=note("user"),
        callback_latency_measurement=note("latency"),
        callback_audio_alignment=note("alignment"),
        callback_disconnect=note("end"),
        **settings,
    )


def brain(asked: Asked) -> Deed | list[Deed]:
    """Count for long, be stopped, then ask a tool."""
    if asked.results:
        return Speaks(asked.results[0].output)
    if asked.text == "weather":
        return [Speaks("one moment"), Calls("weather", '{"city": "Oslo"}')]
    return Speaks("fine" if asked.text == "stop" else LONG)


def test_a_turn_an_interruption_and_a_tool() -> None:
    """A whole conversation: heard, answered, interrupted, a tool called, and its result spoken."""

    async def scene() -> None:
        # A word each 300 ms: the interruption comes while the response is being made.
        service = ElevenLabsAgentsEmulator(brain, pace=Pace(word_ms=300), ping_seconds=0.2)
        ears, events = Ears(), list[Any]()
        tools = ClientTools(loop=asyncio.get_running_loop())

        async def weather(parameters: dict[str, Any]) -> str:
            assert parameters == {"tool_call_id": "call_1", "city": "Oslo"}
            return "snow"

        tools.register("weather", weather, is_async=True)
        async with service.serving():
            talk = conversation(service, ears, events, client_tools=tools)
            await talk.start_session()
            await ears.say("count")
            await ears.until(lambda: ears.words == "one two")
            await ears.say("stop")
            await ears.until(lambda: ears.words.endswith("fine"))
            await ears.say("weather")
            await ears.until(lambda: ears.words.endswith("snow"))
            await talk.end_session()
            assert await talk.wait_for_session_end() == "conv_1"
        # The piece of sound that was under way was dropped by the SDK, by its event.
        assert ears.words == "one two fine one moment snow"
        assert ears.interrupted_after[0] == "one two"
        assert [one for one in events if one[0] == "user"] == [
            ("user", "count"),
            ("user", "stop"),
            ("user", "weather"),
        ]
        assert [one[1] for one in events if one[0] == "agent"] == [
            LONG,
            "fine",
            "one moment",
            "snow",
        ]
        assert next(one for one in events if one[0] == "correction")[1] == LONG
        alignment = next(one[1] for one in events if one[0] == "alignment")
        assert alignment.chars == ["o", "n", "e", " "]
        assert any(one[0] == "latency" for one in events)
        assert events[-1] == ("end", DisconnectionDetails(reason="user"))
        check(service)

    run(scene)


def test_an_agent_that_anybody_may_call_with_overrides() -> None:
    """The first message is the one that was asked for; typed words and context arrive."""

    async def scene() -> None:
        agent = EmulatedAgent(is_private=False, first_message="welcome")
        service = ElevenLabsAgentsEmulator(
            lambda asked: Speaks(f"{len(asked.history)} {asked.instructions}"),
            agents={AGENT: agent},
        )
        ears, events = Ears(), list[Any]()
        config = ConversationInitiationData(
            conversation_config_override={
                "agent": {"prompt": {"prompt": "brief"}, "first_message": "hi", "language": "en"},
                "tts": {"voice_id": "JBFqnCBsd6RMkjVDRZzb"},
            },
            dynamic_variables={"name": "Ada"},
            user_id="u1",
        )
        async with service.serving():
            talk = conversation(service, ears, events, requires_auth=False, config=config)
            await talk.start_session()
            await ears.until(lambda: ears.words == "hi")
            await talk.send_contextual_update("the weather is fine")
            await talk.register_user_activity()
            await talk.send_user_message("now")
            await ears.until(lambda: ears.words.endswith("brief"))
            await talk.end_session()
            await talk.wait_for_session_end()
        # The context, what was heard of the greeting when the words came, if anything, and those.
        assert ears.words in ("hi 2 brief", "hi 3 brief")
        check(service)

    run(scene)


@pytest.mark.parametrize(
    ("faults", "code", "reason"),
    [
        (Faults(expire_after_ms=50), 1000, "Maximum conversation duration exceeded."),
        (Faults(error_code="llm_timeout"), 1002, "llm_timeout"),
    ],
)
def test_how_the_service_ends_a_call(faults: Faults, code: int, reason: str) -> None:
    """The SDK is told with which code the service hung up, and why."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator(faults=[faults])
        ears, events = Ears(), list[Any]()
        async with service.serving():
            talk = conversation(service, ears, events)
            await talk.start_session()
            await ears.until(lambda: ears.said)
            await talk.send_user_message("hello")
            await talk.wait_for_session_end()
        details = events[-1][1]
        assert (details.close_code, details.close_reason) == (code, reason)
        assert details.reason == ("agent" if code == 1000 else "error")
        check(service)

    run(scene)


def test_a_wrong_key_is_refused() -> None:
    """Without a good key there is no signed address, and no call of a private agent."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator()
        async with service.serving():
            ears = Ears()
            talk = AsyncConversation(
                client(service, "wrong"), AGENT, requires_auth=True, audio_interface=ears
            )
            with pytest.raises(ApiError) as caught:
                await talk.start_session()
            assert caught.value.status_code == 401
            events = list[Any]()
            public = conversation(service, ears, events, requires_auth=False)
            await public.start_session()
            # Whether the close is there before the first message was sent is chance.
            with suppress(ConnectionClosed):
                await public.wait_for_session_end()
            assert events[-1][1].close_code == 3000

    run(scene)


class Phone(AudioInterface):
    """The same for the SDK's client of threads."""

    def __init__(self) -> None:
        self.played: queue.Queue[bytes] = queue.Queue()

    def start(self, input_callback: Callable[[bytes], None]) -> None:
        sound = pcm_of(speech("hello there")) + silence(700)
        for start in range(0, len(sound), 8000):
            input_callback(sound[start : start + 8000])

    def stop(self) -> None:
        pass

    def output(self, audio: bytes) -> None:
        self.played.put(audio)

    def interrupt(self) -> None:
        pass


def test_the_client_of_threads() -> None:
    """The SDK's other client, which blocks, hears an answer to what it said."""

    async def scene() -> None:
        service = ElevenLabsAgentsEmulator()

        def talk() -> list[str]:
            phone = Phone()
            over = threading.Event()
            made = Conversation(
                client(service),
                AGENT,
                requires_auth=True,
                audio_interface=phone,
                callback_disconnect=lambda _: over.set(),
            )
            made.start_session()
            sound = phone.played.get(timeout=5) + phone.played.get(timeout=5)
            made.end_session()
            made.wait_for_session_end()
            assert over.is_set()
            return words_in(sound)

        async with service.serving():
            assert await asyncio.to_thread(talk) == ["hello", "there"]
        check(service)

    run(scene)
