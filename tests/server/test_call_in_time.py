"""A call over connections that come and go, with a real session, to the millisecond."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import json

from beluga_voice.app import VoiceSession
from beluga_voice.backends.websocket.call import Call, Session
from beluga_voice.backends.websocket.ending import MOVING, STOPPED, Ending
from beluga_voice.backends.websocket.outbox import Outbox
from beluga_voice.backends.websocket.protocol import Heard, Limits, Resume, Ticket, clear_at
from beluga_voice.backends.websocket.saver import SAVE_SECONDS, Saver
from beluga_voice.checkpoints.checkpoint import Checkpoint, continuation
from beluga_voice.checkpoints.store import InMemoryCheckpoints
from beluga_voice.errors import Unreachable
from beluga_voice.events import CallerText, Message, Role, SessionId
from beluga_voice.interfaces import Line, LineOptions, WireMessage
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import words_in

ANSWER = "one two three four five six seven eight nine ten"
TICKET = Ticket(token="t", seconds=30)
OPTIONS = LineOptions(input_rate=16000, output_rate=24000)


async def agent(text: str) -> str:
    return ANSWER


def make(line: Line, checkpoint: Checkpoint | None = None) -> VoiceSession:
    return VoiceSession(
        stt=ScriptedStt(),
        agent=agent,
        tts=ScriptedTts(word_ms=200),
        vad=ScriptedVad(),
        line=line,
        checkpoint=checkpoint,
    )


class Socket:
    """A caller's side that keeps what it gets, and plays it at once."""

    def __init__(self) -> None:
        self.sound = b""
        self.messages: list[dict[str, object]] = []
        self.ending: Ending | None = None
        self.carried: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self.outbox = Outbox(
            max_messages=1000,
            max_audio_bytes=10_000_000,
            on_overflow=self.outbox_is_full,
            write_now=self.write,
        )

    def outbox_is_full(self) -> None:
        raise AssertionError("what is written at once does not wait")

    def write(self, message: WireMessage) -> bool:
        if isinstance(message, bytes):
            self.sound += message
        else:
            self.messages.append(json.decode(message))
        return True

    def carry(self, session: Session) -> None:
        self.carried.set_result(session)

    def end(self, ending: Ending, /) -> None:
        self.ending = ending


def calling(socket: Socket) -> Call:
    return Call(
        make,
        OPTIONS,
        socket,
        Limits(),
        can_resume=True,
        on_session=lambda _: TICKET,
        on_state=lambda _: None,
    )


async def at(seconds: float) -> None:
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


@pytest.mark.parametrize("lost_ms", [0, 1, 60, 199, 730, 1999])
@pytest.mark.parametrize("away_ms", [1, 500, 5000])
def test_every_word_is_heard_once(lost_ms: int, away_ms: int) -> None:
    """Wherever the connection is lost, and however long, the answer is heard whole, and once."""

    async def scene() -> None:
        first, second = Socket(), Socket()
        call = calling(first)
        session = await first.carried
        began = asyncio.get_running_loop().time()
        session.receive(CallerText(text="go on"))
        await at(began + lost_ms / 1000)
        first.outbox.finish()
        call.park(began + 30, lambda: None)
        # Of what was sent last, 40 ms never arrived.
        arrived = first.sound[: max(0, len(first.sound) - 40 * 48)]
        await at(began + (lost_ms + away_ms) / 1000)
        asked = Resume(token="t", position=len(arrived) // 2, event=0)
        call.resume(second, asked, TICKET)
        while len(words_in(arrived + second.sound)) < 10:
            await asyncio.sleep(0.25)
            call.confirm(Heard(position=(len(arrived) + len(second.sound)) // 2, event=0))
        assert words_in(arrived + second.sound) == ANSWER.split()
        numbers = [
            message["event"]["n"]  # type: ignore[index]  # an event is an object
            for message in second.messages
            if message["type"] == "event"
        ]
        assert numbers == list(range(len(numbers))), "all events, of which none was confirmed"
        await asyncio.sleep(1)  # until the last word has sounded
        call.end(STOPPED)
        await call.close()
        assert session.history[-1] == Message(role=Role.AGENT, text=ANSWER)

    simulate(scene)


def test_a_call_that_is_parked_ends_when_its_time_is_over() -> None:
    """Nobody comes: at the stated moment, and not before, it is over; who came back is safe."""

    async def scene() -> None:
        socket = Socket()
        call = calling(socket)
        await socket.carried
        ended: list[float] = []

        def expire() -> None:
            ended.append(asyncio.get_running_loop().time())
            call.end(STOPPED)

        now = asyncio.get_running_loop().time()
        call.park(now + 30, expire)
        await asyncio.sleep(29.999)
        call.resume(Socket(), Resume(token="t", position=0, event=0), TICKET)
        await asyncio.sleep(60)
        assert not call.over.done()
        now = asyncio.get_running_loop().time()
        call.park(now + 30, expire)
        assert await call.over is STOPPED
        assert ended == [now + 30]
        await call.close()

    simulate(scene)


def test_a_call_that_moves_in_mid_answer_is_whole() -> None:
    """What was heard here, and what the next process says, is the answer, to the word."""

    async def scene() -> None:
        socket = Socket()
        call = calling(socket)
        session = await socket.carried
        session.receive(CallerText(text="go on"))
        await asyncio.sleep(0.9)
        call.end(MOVING)
        await call.close()
        left = Checkpoint(
            session_id=session.id,
            token_hash="t",
            history=tuple(session.history),
            unheard_text=call.unheard_text,
            input_rate=16000,
            output_rate=24000,
            created_at=0,
            expires_at=60,
        )
        heard = "one two three four"
        assert left.history[-1] == Message(role=Role.AGENT, text=heard, is_cut=True)
        assert heard + " " + left.unheard_text == ANSWER
        sent = len(socket.sound) // 2
        assert await socket.outbox.get() == clear_at(sent), "what is on its way is withdrawn"
        socket.outbox.finish()
        assert await socket.outbox.get() is None, "for the caller the call goes on"

        other = Socket()
        following = Call(
            lambda line: make(line, left),
            OPTIONS,
            other,
            Limits(),
            can_resume=True,
            resumes_at=21_600,
            on_session=lambda _: TICKET,
            on_state=lambda _: None,
        )
        resumed = await other.carried
        assert resumed.id == session.id
        assert (other.messages[0]["type"], other.messages[0]["position"]) == ("resumed", 21_600)
        await asyncio.sleep(10)
        assert words_in(other.sound) == left.unheard_text.split()
        following.end(STOPPED)
        await following.close()
        assert resumed.history[-1] == Message(role=Role.AGENT, text=left.unheard_text)

    simulate(scene)


def test_a_question_that_was_not_answered_is_answered_by_the_next_process() -> None:
    """From the checkpoint of a killed process, the answer comes without being asked again."""
    left = Checkpoint(
        session_id=SessionId("s"),
        token_hash="t",
        history=(Message(role=Role.USER, text="go on"),),
        input_rate=16000,
        output_rate=24000,
        created_at=0,
        expires_at=60,
    )
    assert continuation(left).answer == "go on"

    async def scene() -> None:
        socket = Socket()
        call = Call(
            lambda line: make(line, left),
            OPTIONS,
            socket,
            Limits(),
            can_resume=True,
            resumes_at=0,
            on_session=lambda _: TICKET,
            on_state=lambda _: None,
        )
        session = await socket.carried
        await asyncio.sleep(10)
        assert words_in(socket.sound) == ANSWER.split()
        call.end(STOPPED)
        await call.close()
        assert tuple(session.history) == (
            Message(role=Role.USER, text="go on"),
            Message(role=Role.AGENT, text=ANSWER),
        )

    simulate(scene)


class SlowStore(InMemoryCheckpoints):
    """Takes so long, and notes when it was asked."""

    def __init__(self, seconds: float, *, fails: bool = False) -> None:
        super().__init__()
        self.seconds = seconds
        self.fails = fails
        self.asked_at: list[float] = []

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise Unreachable("no connection", op="checkpoints")
        return await super().save(checkpoint)


def snapshot(generation: int = 0) -> Callable[[], Checkpoint]:
    return lambda: Checkpoint(
        session_id=SessionId("s"),
        token_hash="t",
        generation=generation,
        input_rate=16000,
        output_rate=24000,
        created_at=0,
        expires_at=60,
    )


def saver_of(store: SlowStore, on_taken: Callable[[], None] = lambda: None) -> Saver:
    return Saver(store, snapshot=snapshot(), renew_seconds=30, on_taken=on_taken)


@pytest.mark.parametrize("fails", [False, True])
def test_a_checkpoint_is_written_at_news_and_before_it_expires(fails: bool) -> None:
    """News is written at once, what comes meanwhile in one more go, and then every 30 s."""
    store = SlowStore(0.5, fails=fails)

    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        saver = saver_of(store)
        writing = asyncio.create_task(saver.run())
        await asyncio.sleep(1)
        for _ in range(5):
            saver.note()
        await asyncio.sleep(0.1)
        for _ in range(5):
            saver.note()
        await asyncio.sleep(61)
        writing.cancel()
        assert [round(one - began, 3) for one in store.asked_at] == [1.0, 1.5, 32.0]

    simulate(scene)


def test_a_store_that_hangs_is_given_up() -> None:
    """It is waited for as long as the limit says, and no longer."""

    async def scene() -> None:
        began = asyncio.get_running_loop().time()
        assert not await saver_of(SlowStore(1e9)).save()
        assert asyncio.get_running_loop().time() - began == SAVE_SECONDS

    simulate(scene)


def test_who_was_taken_over_is_told_once_and_saves_no_more() -> None:
    """The first refusal ends it."""
    taken: list[str] = []
    store = SlowStore(0)

    async def scene() -> None:
        saver = saver_of(store, lambda: taken.append("taken"))
        assert await saver.save()
        assert await store.claim("t", now=0) is not None
        saver.note()
        await saver.run()
        assert not await saver.save()
        await saver.drop()

    simulate(scene)
    assert taken == ["taken"]
    assert len(store.asked_at) == 2
