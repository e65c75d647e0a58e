"""Sound takes the short way past aiohttp, and nothing overtakes or gets lost."""

import asyncio
from collections import deque

from aiohttp import WSCloseCode
from hypothesis import given
from hypothesis import strategies as st
from scripted_session import ScriptedSession, on_each_loop, serving
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol

from beluga_voice.backends.websocket.shortcut import Passed, Shortcut, whole_frame
from beluga_voice.events import CallerAudio, CallerInterrupt, CallerText, CallEvent

SOUND = bytes(range(256)) * 2 + bytes(128)
MAX_BYTES = 2000


def frame(opcode: Opcode, payload: bytes, *, is_final: bool = True) -> bytes:
    return Frame(opcode, payload, is_final).serialize(mask=True)


def sound(payload: bytes = SOUND) -> bytes:
    return frame(Opcode.BINARY, payload)


class Peer(asyncio.Protocol):
    """In aiohttp's place: reads frames by the book, and gives messages to who asks for them."""

    def __init__(self) -> None:
        self.got = b""
        self.unread: deque[bytes] = deque()
        self._protocol = Protocol(SERVER, state=OPEN, max_size=None)
        self._message = b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode is Opcode.PING:
                self.unread.append(bytes(event.data))
                continue
            self._message += event.data
            if event.fin:
                self.unread.append(self._message)
                self._message = b""


class Way:
    """Both ways, and what was taken of them in which order."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.taken: list[bytes] = []
        self.short = 0
        self.shortcut = Shortcut(self.peer, max_bytes=MAX_BYTES, take=self._take)

    def _take(self, pcm: bytes) -> None:
        self.taken.append(pcm)
        self.short += 1

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.shortcut.data_received(piece)

    def read(self) -> None:
        """Take one message of those that went the long way."""
        if self.peer.unread:
            self.taken.append(self.peer.unread.popleft())
            self.shortcut.was_read()

    def read_all(self) -> None:
        while self.peer.unread:
            self.read()


def test_sound_takes_the_short_way() -> None:
    """A whole frame of sound is taken at once, unmasked, and aiohttp sees nothing of it."""
    way = Way()
    way.send(sound(), sound(SOUND[::-1]) + sound(b"\0\1" * 63))
    assert way.taken == [SOUND, SOUND[::-1], b"\0\1" * 63]
    assert way.peer.got == b""


def test_text_takes_the_long_way_and_sound_stays_behind_it() -> None:
    """Sound that comes after text that was not read yet is read after it."""
    way = Way()
    way.send(frame(Opcode.TEXT, b"{}") + sound(), sound(SOUND[::-1]))
    assert way.taken == []
    way.read_all()
    way.send(sound(b"\0\1" * 100))
    assert way.taken == [b"{}", SOUND, SOUND[::-1], b"\0\1" * 100]
    assert way.short == 1


def test_a_frame_in_pieces_takes_the_long_way() -> None:
    """Wherever a frame is cut, it arrives; the next whole one takes the short way again."""
    whole = sound()
    for cut in range(1, len(whole)):
        way = Way()
        way.send(whole[:cut], whole[cut:])
        way.read_all()
        way.send(whole)
        assert way.taken == [SOUND, SOUND]
        assert way.short == 1, f"cut after {cut} bytes"


def test_a_header_in_pieces_is_not_taken_for_sound() -> None:
    """The end of a header may look like the beginning of sound."""
    way = Way()
    way.send(b"\x81", b"\x82" + b"\xfe\0\0\0" + bytes((ord("{") ^ 0xFE, ord("}"))) + sound())
    way.read_all()
    assert way.taken == [b"{}", SOUND]


def test_sound_within_a_message_in_fragments_is_left_to_aiohttp() -> None:
    """Where a rule is broken, aiohttp finds out."""
    way = Way()
    pieces = frame(Opcode.BINARY, SOUND, is_final=False), sound()
    way.send(*pieces)
    assert way.taken == []
    assert way.peer.got == b"".join(pieces)


def test_too_long_a_message_is_left_to_aiohttp() -> None:
    """The short way takes what the limit allows, and not a byte more."""
    way = Way()
    way.send(sound(bytes(MAX_BYTES)))
    assert way.short == 1
    way.send(sound(bytes(MAX_BYTES + 1)))
    assert way.short == 1
    assert len(way.peer.unread) == 1


frames = st.lists(
    st.one_of(
        st.binary(min_size=0, max_size=300).map(lambda data: [(Opcode.BINARY, data, True)]),
        st.binary(min_size=126, max_size=300).map(lambda data: [(Opcode.BINARY, data, True)]),
        st.just([(Opcode.TEXT, b'{"type": "ping"}', True)]),
        st.just([(Opcode.PING, b"there?", True)]),
        st.just([(Opcode.BINARY, bytes(70_000), True)]),
        st.tuples(st.binary(max_size=200), st.binary(max_size=200)).map(
            lambda two: [(Opcode.BINARY, two[0], False), (Opcode.CONT, two[1], True)]
        ),
    ),
    max_size=12,
)


@given(frames, st.data())
def test_nothing_overtakes_and_nothing_is_lost(
    messages: list[list[tuple[Opcode, bytes, bool]]], data: st.DataObject
) -> None:
    """However a stream is cut, and whenever it is read, its messages are taken in order, once."""
    way = Way()
    stream = b"".join(
        frame(opcode, payload, is_final=is_final)
        for message in messages
        for opcode, payload, is_final in message
    )
    while stream:
        size = data.draw(st.sampled_from((1, 2, 3, 7, 130, 308, 500, 100_000)))
        way.send(stream[:size])
        stream = stream[size:]
        if data.draw(st.booleans()):
            way.read()
    way.read_all()
    assert way.taken == [b"".join(part[1] for part in message) for message in messages]


@given(frames, st.data())
def test_messages_are_counted_in_any_pieces(
    messages: list[list[tuple[Opcode, bytes, bool]]], data: st.DataObject
) -> None:
    """What aiohttp was given holds as many messages as were sent, and ends with a whole frame."""
    passed = Passed()
    begun = 0
    for message in messages:
        for opcode, payload, is_final in message:
            rest = frame(opcode, payload, is_final=is_final)
            while rest:
                size = data.draw(st.sampled_from((1, 3, 9, 100, 100_000)))
                begun += passed.feed(rest[:size])
                rest = rest[size:]
                assert passed.is_whole == (not rest)
    assert begun == len(messages)


def test_a_server_frame_is_by_the_book() -> None:
    """Each length is written as RFC 6455 says: without a mask, in the shortest way."""
    for size in (0, 1, 125, 126, 65_535, 65_536, 70_000):
        payload = bytes(size)
        assert whole_frame(payload) == Frame(Opcode.BINARY, payload).serialize(mask=False)


def next_is_sound(event: CallEvent) -> bytes:
    assert isinstance(event, CallerAudio)
    return event.pcm


@on_each_loop
async def test_sound_and_text_arrive_in_order() -> None:
    """On real sockets, text among sound arrives where it was said."""
    async with serving() as server:
        caller, session = await server.start()
        for number in range(50):
            await caller.send_bytes(bytes([number, 0]) * 320)
            await caller.send_json({"type": "interrupt"})
            await caller.send_bytes(bytes([number, 1]) * 320)
        for number in range(50):
            assert next_is_sound(await session.received.get()) == bytes([number, 0]) * 320
            assert isinstance(await session.received.get(), CallerInterrupt)
            assert next_is_sound(await session.received.get()) == bytes([number, 1]) * 320


def note_tasks(session: ScriptedSession) -> None:
    """Let the session say, in place of sound, in which task it came."""
    receive = session.receive

    def noting(event: CallEvent, /) -> None:
        task = asyncio.current_task()
        name = task.get_name() if task else "none"
        receive(CallerText(text=name) if isinstance(event, CallerAudio) else event)

    session.receive = noting  # type: ignore[method-assign]  # this one notes


@on_each_loop
async def test_sound_wakes_no_task() -> None:
    """Sound comes to the session in no task, before text and after it was read."""
    async with serving(prepare=note_tasks) as server:
        caller, session = await server.start()
        for _ in range(3):
            await caller.send_bytes(SOUND)
            assert await session.received.get() == CallerText(text="none")
            await caller.send_json({"type": "interrupt"})
            assert isinstance(await session.received.get(), CallerInterrupt)
            await caller.send_json({"type": "ping"})
            while (await caller.receive_json())["type"] != "pong":
                pass


def break_on_sound(session: ScriptedSession) -> None:
    """Let the session fail with the first sound."""
    receive = session.receive

    def broken(event: CallEvent, /) -> None:
        if isinstance(event, CallerAudio):
            raise ZeroDivisionError("somebody's words")
        receive(event)

    session.receive = broken  # type: ignore[method-assign]  # this one is broken


@on_each_loop
async def test_a_session_that_breaks_with_sound_ends_its_call_only() -> None:
    """What a session raises ends its call with an explanation, whichever way the sound came."""
    async with serving(prepare=break_on_sound) as server:
        for pcm in (SOUND, SOUND[:100]):
            caller, session = await server.start()
            await caller.send_bytes(pcm)
            message = await caller.receive()
            assert message.data == WSCloseCode.INTERNAL_ERROR
            await session.is_closed.wait()
