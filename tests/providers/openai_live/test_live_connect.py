"""Connecting to OpenAI Live: what is sent, what may go wrong, and how soon that is known."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from beluga_voice import registry
from beluga_voice.errors import (
    Denied,
    Overloaded,
    ProviderError,
    Rejected,
    Silent,
    Unreachable,
    Unsupported,
)
from beluga_voice.events import (
    ErrorCategory,
    LinkClosed,
    LinkReady,
    ResponseDone,
    Say,
    SendAudio,
    SendText,
    ServiceFailed,
    UsageReported,
)
from beluga_voice.interfaces import S2sOptions, ToolSpec
from beluga_voice.providers.s2s.openai_live import OpenAILive, ResponsesDelegation
from beluga_voice.testing.emulators.openai_live import KEY, OpenAILiveEmulator
from beluga_voice.testing.emulators.openai_live_session import EPOCH, LIFETIME_SECONDS
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import pcm_of, speech
from providers.openai_live.live_stage import (
    HOST,
    PORT,
    check_frames,
    orders,
    provider,
    scripted,
    until_closed,
)

FRAME = bytes(960)


@asynccontextmanager
async def connected(*, faults=(), options=None, **settings):
    """A link to the emulated service, and the service."""
    service = OpenAILiveEmulator(faults=faults)
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or S2sOptions()) as link,
    ):
        yield link, service


def failure_of(**settings):
    """What connecting raises, and after how many seconds."""

    async def scene():
        loop = running_simulation()
        with pytest.raises(ProviderError) as caught:
            async with connected(**settings):
                pass
        return caught.value, loop.time()

    return simulate(scene)


def sounds(session):
    """The lengths of what the service was sent, in milliseconds."""
    return [
        len(one["audio"]) * 3 // 4 // 48
        for one in session.received
        if one["type"] == "session.input_audio.append"
    ]


def test_a_link_is_ready_when_connecting_returns():
    """The session has started by then, and says so in the first event."""

    async def scene():
        async with connected() as (link, service):
            sent = [one["type"] for one in service.sessions[0].sent]
            link.attach((events := []).append)
            return sent, events

    sent, events = simulate(scene)
    assert sent == ["session.started"]
    assert events[0] == LinkReady(
        remote_id="live_1", model="gpt-live-1", expires_at=EPOCH + LIFETIME_SECONDS
    )


def test_leaving_ends_the_session_in_order():
    """What waits goes out, then the goodbye, then nothing; the last event is that we closed."""

    async def scene():
        async with connected() as (link, service):
            link.send(SendText(text="bye", respond=False))
        await asyncio.sleep(5)
        check_frames(service.sessions[0])
        return (await until_closed(link))[-1], service.sessions[0]

    closed, remote = simulate(scene)
    assert closed == LinkClosed(is_clean=True, reason="closed by us")
    assert orders(remote) == ["session.start", "session.thinking.append", "session.close"]
    assert sounds(remote) == []
    assert remote.sent[-1]["reason"] == "close_requested"


def test_a_scene_that_fails_leaves_nothing_behind():
    """An error of the caller is the caller's, and the link is closed all the same."""

    async def scene():
        with pytest.raises(KeyError):
            async with connected() as (_, service):
                raise KeyError("mine")
        await asyncio.sleep(5)
        return service.sessions[0], asyncio.all_tasks()

    remote, tasks = simulate(scene)
    assert sounds(remote) == []
    assert len(tasks) == 1


def test_without_a_key_nothing_is_tried(monkeypatch):
    """The error says which variable to set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    error, at = failure_of(api_key="")
    assert isinstance(error, Denied)
    assert "OPENAI_API_KEY" in str(error)
    assert (error.provider, at) == ("openai_live", 0)


def test_the_key_may_come_from_the_environment(monkeypatch):
    """It is read when connecting, so that it may be set late; it is in no repr."""
    late = OpenAILive(endpoint=f"ws://{HOST}/v1/live/sessions")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    async def scene():
        service = OpenAILiveEmulator()
        async with service.serving(HOST, PORT), late.connect(S2sOptions()) as link:
            return len(service.sessions), repr(late) + repr(link)

    sessions, shown = simulate(scene)
    assert sessions == 1
    assert KEY not in shown


@pytest.mark.parametrize(
    ("settings", "kind", "is_retryable", "words"),
    [
        ({"api_key": "wrong"}, Denied, False, "401"),
        ({"endpoint": f"ws://{HOST}/v1/live"}, Rejected, False, "404"),
        ({"endpoint": f"ws://{HOST}/v1/live/sessions?model=x"}, Rejected, False, "400"),
        ({"faults": [Faults(refuse_status=400)]}, Rejected, False, "400"),
        ({"faults": [Faults(refuse_status=403)]}, Denied, False, "403"),
        ({"faults": [Faults(refuse_status=429)]}, Overloaded, True, "429"),
        ({"faults": [Faults(refuse_status=500)]}, Unreachable, True, "500"),
        ({"faults": [Faults(refuse_status=503)]}, Overloaded, True, "503"),
        ({"model": "gpt-5"}, Rejected, False, "model_not_found"),
        (
            {"options": S2sOptions(instructions="word " * 16_385)},
            Rejected,
            False,
            "must not exceed",
        ),
        (
            {
                "options": S2sOptions(tools=(ToolSpec(name="a b", description="", parameters=""),)),
                "delegation": ResponsesDelegation(model="gpt-5.2"),
            },
            Rejected,
            False,
            "invalid_value",
        ),
    ],
)
def test_a_refusal_has_its_error(settings, kind, is_retryable, words):
    """Each HTTP status, and each error before the start, is told as what can be done about it."""
    error, at = failure_of(**settings)
    assert type(error) is kind
    assert error.is_retryable is is_retryable
    assert words in str(error)
    assert (error.provider, at) == ("openai_live", 0)


def test_a_service_that_is_busy_says_for_how_long():
    """The wait that the service asks for is in the error."""
    error, _ = failure_of(faults=[Faults(refuse_status=429, retry_after="7")])
    assert isinstance(error, Overloaded)
    assert error.retry_after == 7


def test_a_service_that_connects_and_says_nothing_is_given_up():
    """Connecting takes no longer than it may, all in all."""
    error, at = failure_of(faults=[Faults(is_mute=True)], connect_seconds=3)
    assert type(error) is Silent
    assert 3 <= at < 5


@pytest.mark.parametrize("code", [1000, 1011, 1001])
def test_a_service_that_hangs_up_while_it_is_opened_is_unreachable(code):
    """A session that ends before it started can be tried again."""

    async def hang_up(connection):
        await connection.close(code, "try another time")

    async def scene():
        async with serve(hang_up, HOST, PORT):
            with pytest.raises(Unreachable, match="try another time") as caught:
                async with provider().connect(S2sOptions()):
                    pass
            return caught.value.is_retryable

    assert simulate(scene)


def test_a_handshake_that_never_ends_is_given_up():
    """A machine that does not answer is given up in time."""

    async def scene():
        loop = running_simulation()
        loop.network.black_hole(HOST, PORT)
        with pytest.raises(Unreachable):
            async with provider(connect_seconds=2).connect(S2sOptions()):
                pass
        return loop.time()

    assert simulate(scene) == 2


def test_a_port_that_speaks_no_tls_is_unreachable():
    """An encrypted connection to what is none does not come about."""

    async def scene():
        service = OpenAILiveEmulator()
        async with service.serving():
            endpoint = service.url.replace("ws://", "wss://")
            with pytest.raises(Unreachable):
                async with provider(endpoint=endpoint).connect(S2sOptions()):
                    pass

    asyncio.run(scene())


def test_settings_are_checked_before_anything_is_connected():
    """What the service cannot honour is found without a network."""

    async def scene():
        with pytest.raises(Unsupported):
            async with provider().connect(S2sOptions(temperature=1.0)):
                pass

    simulate(scene)


def test_each_connection_has_its_own_ids():
    """The service counts from one each time; a provider's links do not share an id."""

    async def scene():
        service = OpenAILiveEmulator()
        made = provider()
        seen = []
        async with service.serving(HOST, PORT):
            for _ in range(2):
                async with made.connect(S2sOptions()) as link:
                    link.send(Say(text="hello"))
                    await asyncio.sleep(3)
                seen.append(await until_closed(link))
        return [
            {one.response_id for one in events if hasattr(one, "response_id")} for events in seen
        ]

    first, second = simulate(scene)
    assert len(first) == len(second) == 1
    assert first != second


# ── silence for a line that gives none ──────────────────────────────────────────────────────


def test_a_line_that_gives_nothing_is_given_silence():
    """After 300 ms, a tenth of a second each tenth of a second; what was missed stays missed."""

    async def scene():
        async with connected() as (_, service):
            await asyncio.sleep(0.299)
            before = sounds(service.sessions[0])
            await asyncio.sleep(0.002)
            first = sounds(service.sessions[0])
            await asyncio.sleep(0.7)
            return before, first, sounds(service.sessions[0]), service.sessions[0].at_ms

    before, first, later, at_ms = simulate(scene)
    assert (before, first) == ([], [100])
    assert later == [100] * 8  # at 300, 400, ... and 1000 ms
    assert at_ms == 800


def test_a_line_that_gives_sound_is_given_no_silence():
    """Sound that comes less than 300 ms apart is all there is; silence follows its end."""

    async def scene():
        async with connected() as (link, service):
            await asyncio.sleep(0.501)
            lengths = [len(sounds(service.sessions[0]))]
            for _ in range(10):
                link.send(SendAudio(pcm=FRAME))
                await asyncio.sleep(0.29)
            lengths.append(len(sounds(service.sessions[0])))
            await asyncio.sleep(0.111)
            lengths.append(len(sounds(service.sessions[0])))
            return lengths

    # At 300, 400 and 500 ms; then ten of the line; then 300 and 400 ms after the last of them.
    assert simulate(scene) == [3, 13, 15]


def test_a_loop_that_was_busy_does_not_catch_up():
    """Silence that was due while nothing ran is not sent in a burst."""

    async def scene():
        loop = running_simulation()
        async with connected() as (link, service):
            await asyncio.sleep(0.45)
            link._pump(loop.time() - 1.0)  # as a loop does that was held up for a second
            await asyncio.sleep(0.099)
            burst = len(sounds(service.sessions[0]))
            await asyncio.sleep(0.002)
            return burst, len(sounds(service.sessions[0]))

    assert simulate(scene) == (3, 4)


def test_silence_lets_the_session_speak():
    """Words that wait for their place get it without a line."""

    async def scene():
        async with connected() as (link, service):
            link.send(Say(text="good morning"))
            async for event in link:
                if isinstance(event, ResponseDone):
                    return service.sessions[0].errors, event.status.value
        return None

    assert simulate(scene) == ([], "completed")


def test_silence_ends_with_the_connection():
    """A link that is over, and not left yet, sends nothing and plans nothing."""

    async def scene():
        async with connected(faults=[Faults(expire_after_ms=1000)]) as (link, service):
            events = await until_closed(link)
            sent = len(sounds(service.sessions[0]))
            await asyncio.sleep(5)
            link.send(SendAudio(pcm=FRAME))
            assert link._timer is None
            return events, len(sounds(service.sessions[0])) - sent

    events, more = simulate(scene)
    failed = [one for one in events if isinstance(one, ServiceFailed)]
    assert [(one.category, one.is_fatal) for one in failed] == [
        (ErrorCategory.SESSION_EXPIRED, True)
    ]
    assert more == 0


@pytest.mark.parametrize("reads", [True, False])
def test_a_service_that_gives_no_sound_is_given_up(reads):
    """Ten seconds of sound and none in return: the link ends, and another may be tried."""

    async def say_no_more(connection):
        await connection.recv()
        await connection.send(json.dumps({"type": "session.started", "session": {}}))
        with suppress(ConnectionClosed):
            while reads:
                await connection.recv()
        await connection.wait_closed()

    async def scene():
        loop = running_simulation()
        async with serve(say_no_more, HOST, PORT), provider().connect(S2sOptions()) as link:
            link.attach((events := []).append)
            for _ in range(1000):
                if any(isinstance(one, LinkClosed) for one in events):
                    break
                link.send(SendAudio(pcm=FRAME))
                await asyncio.sleep(0.02)
            return events, loop.time()

    events, at = simulate(scene)
    assert [type(one).__name__ for one in events] == ["LinkReady", "ServiceFailed", "LinkClosed"]
    assert (events[1].category, events[1].is_fatal) == (ErrorCategory.RETRYABLE, True)
    if reads:
        # Its last words are waited for, too, for a second.
        assert round(at, 3) == 10 + 1
    else:
        # What it did not read filled the network first; then one message waited for ten seconds.
        assert 10 < at < 20


def test_sound_in_a_burst_is_no_stall():
    """Sound that was kept for the service may go out at once; it is given time to answer."""

    async def scene():
        async with connected() as (link, _):
            link.attach((events := []).append)
            for _ in range(30):
                link.send(SendAudio(pcm=bytes(48_000)))
            await asyncio.sleep(5)
            return list(events)

    assert [type(one).__name__ for one in simulate(scene)] == ["LinkReady"]


def test_usage_is_told_while_it_grows():
    """Every fifteen seconds of session, what came since."""

    async def scene():
        async with connected() as (link, _):
            link.attach((events := []).append)
            await asyncio.sleep(31)
            return [one.usage.audio_seconds for one in events if isinstance(one, UsageReported)]

    assert simulate(scene) == [15.0, 15.0]


# ── as a plugin ─────────────────────────────────────────────────────────────────────────────


def test_it_is_found_by_its_name():
    """The plugin is registered, and takes a model after a colon."""
    made = registry.create("s2s", "openai_live:gpt-live-1")
    assert made.name == "openai_live"


def test_it_works_on_real_sockets():
    """The same provider and the same service talk over loopback."""

    async def scene():
        service = OpenAILiveEmulator(scripted())
        async with service.serving():
            made = OpenAILive(api_key=KEY, endpoint=service.url.replace("ws://", "http://"))
            async with made.connect(S2sOptions()) as link:
                link.send(SendAudio(pcm=pcm_of(speech("good morning", rate=24000))))
                # Faster than real time: the timeline is the sound.
                link.send(SendAudio(pcm=bytes(48000 * 3)))
                async for event in link:
                    if isinstance(event, ResponseDone):
                        return event.status.value
        return None

    assert asyncio.run(scene()) == "completed"
