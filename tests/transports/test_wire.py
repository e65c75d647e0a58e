"""A link on a wire, whatever the wire does, with an unmodified websockets server at its end."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from beluga_voice.errors import LinkLost, Unreachable, Unsupported
from beluga_voice.events import (
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    Transcript,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions, DirectionName
from beluga_voice.transports.wire import MAX_BROKEN, MAX_ORDERS, MAX_UNREAD, WireLink
from transports.codec import HOST, PORT, TinyCodec, tiny, words

OWED = UsageReported(usage=Usage(characters=1))


class Service:
    """A server that does as a test says, and keeps what it was sent."""

    def __init__(self, script: Callable[[ServerConnection], Awaitable[None]] | None = None) -> None:
        self.script = script
        self.got: list[str | bytes] = []
        self.connections: list[ServerConnection] = []

    @asynccontextmanager
    async def listening(self):
        async def handle(connection: ServerConnection) -> None:
            self.connections.append(connection)
            reading = asyncio.create_task(self.read(connection), name="service reader")
            if self.script is not None:
                await self.script(connection)
            await reading

        async with serve(handle, HOST, PORT, ping_interval=None, close_timeout=1, compression=None):
            yield self

    async def read(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                self.got.append(message)
        except Exception as error:
            self.got.append(type(error).__name__)

    def orders(self) -> list[str]:
        """The utterances that were finished."""
        texts = [json.loads(one) for one in self.got if isinstance(one, str) and one[0] == "{"]
        return [text["finish"] for text in texts if "finish" in text]


def finish(name: object) -> FinishUtterance:
    return FinishUtterance(utterance_id=UtteranceId(str(name)))


async def all_of(link: WireLink) -> list[object]:
    return [event async for event in link]


def saying(*messages: str | bytes, code: int | None = None):
    """A service that sends these, and closes if a code is given."""

    async def script(connection: ServerConnection) -> None:
        for message in messages:
            await connection.send(message)
        if code is not None:
            await connection.close(code, "because")

    return script


def test_commands_go_out_and_events_come_in():
    """The codec's hello is first, then commands in order; events are delivered by call."""

    async def scene():
        async with Service(saying('{"type": "ready"}')).listening() as service:
            events = []
            async with tiny().connect(SttOptions(language="en")) as link:
                link.attach(events.append)
                link.send(SendAudio(pcm=b"\1\2"))
                link.send(finish("u1"))
                await asyncio.sleep(1)
            return service.got, events

    got, events = simulate(scene)
    assert got == ['{"hello": "en"}', b"\1\2", '{"finish": "u1"}']
    assert events == [
        LinkReady(),
        OWED,
        LinkClosed(is_clean=True, code=None, reason="closed by us"),
    ]


def test_ten_thousand_messages_keep_their_order():
    """Messages in both directions arrive all, in order, while both sides send at once."""
    count = 10_000

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=20, jitter_ms=30))
        sent = [words(str(number)) for number in range(count)]

        async def say(connection: ServerConnection) -> None:
            await saying(*sent)(connection)
            await asyncio.sleep(2)
            await connection.close(1000, "because")

        async with Service(say).listening() as service:
            async with tiny().connect(SttOptions()) as link:
                for number in range(count):
                    link.send(finish(number))
                    await asyncio.sleep(0.0001)
                events = await all_of(link)
            heard = [event.text for event in events if isinstance(event, Transcript)]
            return heard, events[count:], service.orders()

    heard, rest, orders = simulate(scene)
    assert heard == orders == [str(number) for number in range(count)]
    assert rest == [OWED, LinkClosed(is_clean=True, code=1000, reason="because")]


def test_every_order_arrives_in_order():
    """Ten thousand orders given at once leave in the order in which they were given."""

    async def scene():
        async with Service().listening() as service:
            async with tiny().connect(SttOptions()) as link:
                for number in range(MAX_ORDERS - 1):
                    link.send(finish(number))
                await asyncio.sleep(5)
            return service.orders()

    assert simulate(scene) == [str(number) for number in range(MAX_ORDERS - 1)]


def test_a_slow_peer_loses_old_sound_and_no_order():
    """While the peer takes nothing the newest sound is kept, and every order."""
    frame = 640

    async def scene():
        network = running_simulation().network
        async with Service().listening() as service:
            async with tiny(max_audio_bytes=frame * 100, ping_seconds=None).connect(
                SttOptions()
            ) as link:
                await asyncio.sleep(0.1)
                network.stall(direction=DirectionName.UP)
                for number in range(1000):
                    link.send(SendAudio(pcm=number.to_bytes(2, "big") * (frame // 2)))
                    if number % 100 == 99:
                        link.send(finish(number))
                    await asyncio.sleep(0.02)
                network.resume(direction=DirectionName.UP)
                await asyncio.sleep(1)
                dropped = link.dropped_audio_bytes
            return service, dropped

    service, dropped = simulate(scene)
    frames = [int.from_bytes(one[:2], "big") for one in service.got if isinstance(one, bytes)]
    assert service.orders() == [str(number) for number in range(99, 1000, 100)]
    assert frames[-100:] == list(range(900, 1000))
    assert frames == sorted(frames)
    assert len(frames) + dropped // frame == 1000
    assert dropped > 600 * frame


def test_sending_never_waits_and_reading_goes_on_while_the_peer_is_deaf():
    """A peer that takes nothing is still heard, at once."""

    async def scene():
        loop = running_simulation()
        events: list[object] = []
        async with Service().listening() as service:
            async with tiny(ping_seconds=None, close_seconds=0.2).connect(SttOptions()) as link:
                link.attach(events.append)
                await asyncio.sleep(0.1)
                loop.network.stall(direction=DirectionName.UP)
                for _ in range(100):
                    link.send(SendAudio(pcm=bytes(10_000)))
                await asyncio.sleep(1)
                await service.connections[0].send(words("still here"))
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
                heard = list(events)
            loop.network.resume(direction=DirectionName.UP)
            return heard

    assert simulate(scene) == [Transcript(text="still here", is_final=False)]


def test_a_peer_that_takes_no_orders_ends_the_link():
    """More orders than can be meant seriously are the end, told once."""

    async def scene():
        loop = running_simulation()
        async with Service().listening():
            async with tiny(ping_seconds=None, close_seconds=0.2).connect(SttOptions()) as link:
                await asyncio.sleep(0.1)
                loop.network.stall(direction=DirectionName.UP)
                for number in range(MAX_ORDERS * 2):
                    link.send(finish(number))
                events = await all_of(link)
            loop.network.resume(direction=DirectionName.UP)
            return events

    reason = "the service takes nothing any more"
    assert simulate(scene) == [OWED, LinkClosed(is_clean=False, reason=reason)]


def test_a_reset_closes_the_link_once():
    """A wire that breaks is an event: what is owed, then `LinkClosed`, and nothing after it."""

    async def scene():
        loop = running_simulation()
        async with Service().listening(), tiny().connect(SttOptions()) as link:
            loop.call_later(2, loop.network.reset)
            events = await all_of(link)
            link.send(finish("late"))
            await asyncio.sleep(5)
            return events, await all_of(link), loop.time_ms()

    (owed, closed), late, at = simulate(scene)
    assert owed == OWED
    assert isinstance(closed, LinkClosed)
    assert (closed.is_clean, closed.code) == (False, 1006)
    assert "broke" in closed.reason
    assert (late, at) == ([], 7000)


@pytest.mark.parametrize(("code", "is_clean"), [(1000, True), (1011, False), (4001, False)])
def test_what_the_peer_said_last_comes_before_the_end(code, is_clean):
    """Messages from before the close are decoded, and the close keeps its code and reason."""

    async def scene():
        async with (
            Service(saying(words("bye"), code=code)).listening(),
            tiny().connect(SttOptions()) as link,
        ):
            return await all_of(link)

    assert simulate(scene) == [
        Transcript(text="bye", is_final=False),
        OWED,
        LinkClosed(is_clean=is_clean, code=code, reason="because"),
    ]


def test_one_broken_message_is_reported_and_skipped():
    """Garbage is reported once as harmless; what comes after it is heard."""

    async def scene():
        script = saying("{", b"\0\xff", words("hello"), "[]", words("there"), code=1000)
        async with Service(script).listening(), tiny().connect(SttOptions()) as link:
            return await all_of(link), link.broken_messages

    events, broken = simulate(scene)
    harmless = ServiceFailed(
        category=ErrorCategory.BENIGN, message="this is not of the tiny protocol"
    )
    assert events == [
        harmless,
        Transcript(text="hello", is_final=False),
        harmless,
        Transcript(text="there", is_final=False),
        OWED,
        LinkClosed(is_clean=True, code=1000, reason="because"),
    ]
    assert broken == 3


@pytest.mark.parametrize("count", [MAX_BROKEN, MAX_BROKEN + 1])
def test_garbage_without_end_ends_the_link(count):
    """Ten broken messages in a row are borne, the eleventh ends the link."""

    async def scene():
        script = saying(*["{"] * count, words("hello"))
        async with Service(script).listening(), tiny().connect(SttOptions()) as link:
            events: list[object] = []
            link.attach(events.append)
            await asyncio.sleep(1)
            return list(events)

    events = simulate(scene)
    if count == MAX_BROKEN:
        assert events[1:] == [Transcript(text="hello", is_final=False)]
    else:
        failed, owed, closed = events[1:]
        assert (failed.is_fatal, failed.category) == (True, ErrorCategory.RETRYABLE)
        assert (owed, closed.is_clean) == (OWED, False)


def test_a_fatal_failure_ends_the_link():
    """What a service calls fatal is followed by `LinkClosed`, whatever else it sends."""

    async def scene():
        script = saying('{"type": "fatal"}', words("more"))
        async with Service(script).listening(), tiny().connect(SttOptions()) as link:
            return await all_of(link)

    failed, owed, closed = simulate(scene)
    assert (failed.is_fatal, owed) == (True, OWED)
    assert closed == LinkClosed(is_clean=False, reason="expired")


def test_a_defect_of_a_codec_ends_its_link_and_nothing_else(caplog):
    """A codec that raises what it may not is logged, and the link closes as if it broke."""

    async def scene():
        script = saying('{"type": "defect"}', words("more"))
        async with Service(script).listening(), tiny().connect(SttOptions()) as link:
            return await all_of(link)

    with caplog.at_level(logging.ERROR):
        events = simulate(scene)
    assert events[0] == OWED
    assert (events[1].is_clean, "ZeroDivisionError" in events[1].reason) == (False, True)
    assert "the link of tiny failed" in caplog.text


def test_wrong_options_are_told_before_the_network_is_touched():
    """Options that the codec cannot honour raise without a connection."""

    async def scene():
        running_simulation().network.black_hole(HOST, PORT)
        with pytest.raises(Unsupported, match="Klingon"):
            async with tiny().connect(SttOptions(language="tlh")):
                pass
        return running_simulation().time_ms()

    assert simulate(scene) == 0


def test_an_error_of_connecting_names_the_provider():
    """Who could not be reached is in the error."""

    async def scene():
        with pytest.raises(Unreachable) as caught:
            async with tiny().connect(SttOptions()):
                pass
        return caught.value.provider

    assert simulate(scene) == "tiny"


def test_an_error_of_the_program_comes_out_as_it_is():
    """What the body raises is not wrapped in a group, and the link is closed in order."""

    async def scene():
        async with Service().listening() as service:
            with pytest.raises(KeyError):
                async with tiny().connect(SttOptions()):
                    raise KeyError("mine")
            await asyncio.sleep(0)
            return service.connections[0].close_code

    assert simulate(scene) == 1000


@pytest.mark.parametrize("milliseconds", [0, 20, 60, 100, 500, 1500])
def test_cancelling_leaves_nothing(milliseconds):
    """A link that is cancelled at any moment, of opening too, leaves no task or connection."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=40))
        events: list[object] = []

        async def talk() -> None:
            async with tiny().connect(SttOptions()) as link:
                link.attach(events.append)
                while True:
                    link.send(SendAudio(pcm=bytes(640)))
                    await asyncio.sleep(0.02)

        async with Service().listening():
            task = asyncio.create_task(talk(), name="talk")
            await asyncio.sleep(milliseconds / 1000)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(1)
        return events

    # `simulate` fails on whatever is left over.
    events = simulate(scene)
    closed = [LinkClosed(is_clean=True, reason="closed by us")]
    assert [one for one in events if isinstance(one, LinkClosed)] == closed[: milliseconds > 150]


def test_leaving_lets_orders_out_and_is_over_within_its_bound():
    """What was ordered last still leaves; a deaf peer is not waited for beyond the limits."""

    async def leave(*, is_deaf: bool) -> tuple[list[str], float]:
        loop = running_simulation()
        async with Service().listening() as service:
            async with tiny(ping_seconds=None, close_seconds=1).connect(SttOptions()) as link:
                await asyncio.sleep(0.1)
                if is_deaf:
                    loop.network.stall()
                    for _ in range(100):
                        link.send(SendAudio(pcm=bytes(3000)))
                    await asyncio.sleep(0.1)
                link.send(finish("last"))
                began = loop.time_ms()
            took = loop.time_ms() - began
            loop.network.resume()
        return service.orders(), took

    assert simulate(lambda: leave(is_deaf=False)) == (["last"], 0)
    orders, took = simulate(lambda: leave(is_deaf=True))
    assert orders == []
    assert took == 1500


def test_a_reader_that_does_not_read_stops_the_wire():
    """Unread events stay below their bound, and none of them is lost."""
    count = MAX_UNREAD * 2

    async def scene():
        sent = [words(str(number)) for number in range(count)]
        service = Service(saying(*sent, code=1000))
        async with service.listening(), tiny(ping_seconds=None).connect(SttOptions()) as link:
            await asyncio.sleep(10)
            is_held = service.connections[0].close_code is None
            heard = [event.text for event in await all_of(link) if isinstance(event, Transcript)]
            return is_held, heard

    is_held, heard = simulate(scene)
    assert is_held
    assert heard == [str(number) for number in range(count)]


def test_a_wire_that_takes_nothing_and_says_nothing_ends_the_link():
    """A channel whose sending fails, and whose reading does not, is given a second, then up."""

    class Mute:
        """A wire that is broken one way: to us, nothing comes and nothing ends."""

        async def send(self, message: str | bytes, /) -> None:
            raise LinkLost("the pipe is broken", op="mute")

        async def __aiter__(self):
            await asyncio.get_running_loop().create_future()
            yield ""

    async def scene():
        link = WireLink(TinyCodec(SttOptions()), Mute(), name="mute")
        async with link.running():
            events = await all_of(link)
        return events, running_simulation().time_ms()

    events, at = simulate(scene)
    assert events == [OWED, LinkClosed(is_clean=False, reason="the pipe is broken")]
    assert at == 1000
