"""Breakers that processes share, over paper that is passed around and over Redis."""

import asyncio
import logging
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from beluga_voice.errors import (
    BrokenProtocol,
    ConfigurationError,
    Misuse,
    Overloaded,
    Unreachable,
)
from beluga_voice.events import FinishUtterance, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.breaker import Breaker, BreakerSettings, BreakerState, Outcome
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.health import Board
from beluga_voice.resilience.news import KEPT_SECONDS, Notice, decode, encode, with_news
from beluga_voice.resilience.redis import RedisCarrier
from beluga_voice.resilience.refusal import Refused
from beluga_voice.resilience.sharing import shared_breakers
from beluga_voice.testing.loop import simulate
from resilience.parts import Recogniser

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SETTINGS = BreakerSettings(minimum_calls=2, open_seconds=5, probes=1, probe_seconds=8)
EPOCH = 1_700_000_000.0


class Paper:
    """A carrier on which processes write in turn; its clock is its own."""

    def __init__(self):
        self.text = None
        self.ahead = EPOCH
        """How far its clock is ahead of the loop's."""
        self.takes = 0.0
        self.is_lost = False
        self.faster = 0
        """How often somebody else is faster."""
        self.reads = self.writes = self.closed = 0

    async def _reach(self):
        await asyncio.sleep(self.takes)
        if self.is_lost:
            raise ConnectionError("secret-host:6379 is gone")

    async def read(self):
        """The text and the time."""
        self.reads += 1
        await self._reach()
        return self.text, asyncio.get_running_loop().time() + self.ahead

    async def replace(self, before, after, /, *, seconds):
        """Write, if nobody else did."""
        await self._reach()
        if self.faster:
            self.faster -= 1
            return False
        if self.text != before:
            return False
        self.writes += 1
        self.text = after
        return True

    async def aclose(self):
        """Count it."""
        self.closed += 1


class Process:
    """What a process has: its breakers, and a service that fails as often as it is told."""

    def __init__(self, *, fails=0, name="ears", settings=SETTINGS):
        self.board = Board()
        self.name = name
        self.service = Recogniser(name, *[Unreachable("down")] * fails, connect_ms=0)
        self.guarded = Guarded(self.service, board=self.board, breaker=settings)

    @property
    def state(self):
        """Of its breaker."""
        now = asyncio.get_running_loop().time()
        return self.board.of(self.name, SETTINGS).breaker.state_at(now)

    @property
    def opens_in(self):
        """Seconds for which nobody is let through, to the millisecond."""
        now = asyncio.get_running_loop().time()
        wait = self.board.of(self.name, SETTINGS).breaker.retry_after(now)
        return None if wait is None else round(wait, 3)

    async def call(self):
        """The error with which it does not connect, or nothing."""
        try:
            async with self.guarded.connect(SttOptions()):
                return None
        except (Refused, Unreachable) as error:
            return error

    async def fail(self):
        """Call until the breaker is open."""
        for _ in range(SETTINGS.minimum_calls):
            assert isinstance(await self.call(), Unreachable)
        assert self.state is OPEN

    async def do_well(self):
        """Ask something, which is answered after 50 ms; gives the error instead, if any."""
        try:
            async with self.guarded.connect(SttOptions()) as link:
                link.attach(lambda event: None)
                link.send(FinishUtterance(utterance_id=UtteranceId("u")))
                await asyncio.sleep(0.06)
                return None
        except (Refused, Unreachable) as error:
            return error


@asynccontextmanager
async def sharing(paper, *processes):
    async with AsyncExitStack() as stack:
        for one in processes:
            await stack.enter_async_context(shared_breakers(paper, board=one.board))
        await asyncio.sleep(0)
        yield


def test_what_opens_in_one_process_is_open_in_all_within_a_second():
    """Until the same time, in one that used the service before and one that never did."""
    paper, one, two, new = Paper(), Process(fails=2), Process(), Process()

    async def scene():
        assert await two.call() is None
        async with sharing(paper, one, two, new):
            await asyncio.sleep(0.1)
            await one.fail()
            await asyncio.sleep(0.5)
            assert (one.opens_in, two.opens_in, new.opens_in) == (4.5, 4.5, 4.5)
            assert isinstance(await two.call(), Refused)
            assert isinstance(await new.call(), Refused)
        assert new.service.connects_ms == []

    simulate(scene)
    assert paper.closed == 3


def test_one_process_probes_for_all_and_closes_them():
    """Who calls first when the time is up gets leave to; the others wait, and are told."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(5)
            assert (one.state, two.state) == (HALF_OPEN, HALF_OPEN)
            assert isinstance(await two.call(), Refused)  # which asks for leave
            await asyncio.sleep(0.3)
            assert isinstance(await one.call(), Refused)
            await asyncio.sleep(0.3)
            assert isinstance(await one.call(), Refused)  # leave is given to the other
            assert await two.do_well() is None
            assert two.state is CLOSED
            await asyncio.sleep(0.5)
            assert one.state is CLOSED
            assert await one.call() is None

    simulate(scene)


def test_of_many_that_ask_at_once_one_may_probe():
    """Eight processes call a service that is down yet: one of them connects, in all."""
    paper, processes = Paper(), [Process(fails=9) for _ in range(8)]

    async def scene():
        async with sharing(paper, *processes):
            await processes[0].fail()
            await asyncio.sleep(5)
            for _ in range(20):
                await asyncio.gather(*(one.call() for one in processes))
                await asyncio.sleep(0.1)
            assert {one.state for one in processes} == {OPEN}

    simulate(scene)
    assert sum(len(one.service.connects_ms) for one in processes) == 2 + 1


def test_a_probe_that_fails_opens_all_for_twice_as_long():
    """The processes count together how often it opened."""
    paper, one, two = Paper(), Process(fails=2), Process(fails=1)

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(5)
            await two.call()
            await asyncio.sleep(0.3)
            assert isinstance(await two.call(), Unreachable)
            assert two.opens_in == 10
            await asyncio.sleep(0.5)
            assert one.opens_in == 9.5

    simulate(scene)


def test_a_process_that_begins_late_needs_leave_as_all_do():
    """It never used the service, and knows from the first call that it may only be probed."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one):
            await one.fail()
            await asyncio.sleep(60)
            async with sharing(paper, two):
                await asyncio.sleep(0.1)
                assert isinstance(await two.call(), Refused)
                await asyncio.sleep(0.3)
                assert await two.call() is None

    simulate(scene)


def test_leave_to_probe_ends_when_nothing_is_heard_of_it():
    """A process that got leave and died keeps the others for `probe_seconds`, and no longer."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one):
            async with sharing(paper, two):
                await one.fail()
                await asyncio.sleep(5)
                await two.call()
                await asyncio.sleep(0.3)
                assert b'"prober_until"' in paper.text
            await one.call()
            await asyncio.sleep(0.3)
            assert isinstance(await one.call(), Refused)
            await asyncio.sleep(8)
            await one.call()
            await asyncio.sleep(0.3)
            assert await one.call() is None

    simulate(scene)


def test_leave_counts_for_one_opening():
    """After a probe that failed, there is to be leave anew, though the first would last yet."""
    breaker = Breaker(SETTINGS)
    breaker.rest(5, 0)
    breaker.ask_first(1000)
    breaker.leave(1000)
    breaker.record(breaker.admit(5), Outcome.FAILED, 6)
    assert (breaker.admit(16), breaker.state, breaker.is_asking) == (None, HALF_OPEN, True)


def test_leave_that_is_not_used_ends_too():
    """A process that asked and then has no more calls does not keep leave for ever."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(5)
            await two.call()
            await asyncio.sleep(8.6)
            await one.call()
            await asyncio.sleep(0.3)
            assert await one.call() is None

    simulate(scene)
    assert paper.writes == 3


def test_what_the_service_asks_for_is_told():
    """A service that says when to come back is left alone by all until then."""
    paper, one, two = Paper(), Process(), Process()
    one.service.errors.append(Overloaded("later", retry_after=40))

    async def scene():
        async with sharing(paper, one, two):
            with pytest.raises(Overloaded):
                async with one.guarded.connect(SttOptions()):
                    pass
            await asyncio.sleep(0.75)
            assert (one.opens_in, two.opens_in) == (39.25, 39.25)

    simulate(scene)


def test_breakers_of_other_keys_hear_nothing():
    """A voice goes on when a recogniser is left alone."""
    paper, one, two = Paper(), Process(fails=2), Process(name="voice")

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(1)
            assert await two.call() is None

    simulate(scene)


def test_calls_do_not_wait_for_a_carrier_that_hangs_and_go_on_alone():
    """Opening, refusing, probing and closing are those of one process, to the millisecond."""
    paper, one = Paper(), Process(fails=2)
    paper.takes = 1000

    async def scene():
        async with sharing(paper, one):
            await one.fail()
            assert asyncio.get_running_loop().time() == 0
            await asyncio.sleep(4.999)
            assert isinstance(await one.call(), Refused)
            await asyncio.sleep(0.001)
            assert await one.do_well() is None
            assert one.state is CLOSED

    simulate(scene)


def test_a_carrier_that_hung_is_asked_again():
    """What takes longer than a second is given up, and tried anew."""
    paper, one, two = Paper(), Process(fails=2), Process()
    paper.takes = 1000

    async def scene():
        async with sharing(paper, one, two):
            await asyncio.sleep(3)
            paper.takes = 0
            await asyncio.sleep(2)
            await one.fail()
            await asyncio.sleep(0.5)
            assert two.opens_in == 4.5

    simulate(scene)


def test_a_carrier_that_is_lost_in_mid_outage_keeps_nobody_waiting(caplog):
    """Two seconds later each process probes without leave. It is logged once, without a host."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(4.5)
            paper.is_lost = True
            await asyncio.sleep(1)
            assert isinstance(await two.call(), Refused)  # leave cannot be given
            await asyncio.sleep(1)
            assert await two.do_well() is None
            assert (one.state, two.state) == (HALF_OPEN, CLOSED)
            await asyncio.sleep(60)

    with caplog.at_level(logging.INFO):
        simulate(scene)
    assert [record.getMessage() for record in caplog.records] == [
        "breakers are not shared with other processes (ConnectionError): each goes on alone until "
        "that is over"
    ] * 2
    assert paper.reads < 100


def test_a_carrier_that_is_back_carries_what_is_so_by_then(caplog):
    """What opened meanwhile opens elsewhere within seconds; what is over by then does not."""
    paper, one, two = Paper(), Process(fails=2), Process()
    other = Process(fails=2, name="other")
    paper.is_lost = True

    async def scene():
        async with sharing(paper, one, two, other):
            await other.fail()
            two.board.of("other")
            await asyncio.sleep(60)
            await one.fail()
            paper.is_lost, paper.text = False, None
            await asyncio.sleep(4.75)  # the longest wait is 5 s, less what chance takes away
            assert two.opens_in == one.opens_in == 0.25
            assert two.board.of("other").breaker.state is CLOSED

    with caplog.at_level(logging.INFO):
        simulate(scene, seed=1)
    told = [record.getMessage() for record in caplog.records]
    assert told.count("breakers are shared with other processes again") == 3


def test_news_that_is_too_old_to_be_kept_stops_nothing():
    """After a loss of an hour, what opened before it is no news, and what opens then is."""
    paper, one, two = Paper(), Process(fails=2), Process()
    paper.is_lost = True

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(3600)
            paper.is_lost = False
            await asyncio.sleep(6)
            assert await two.call() is None
            now = asyncio.get_running_loop().time()
            two.board.of("ears").breaker.rest(now + 10, now)
            await asyncio.sleep(0.5)
            assert one.opens_in == two.opens_in == 9.5

    simulate(scene)


def test_the_newest_wins():
    """What happened before what is there, or is there already, changes nothing."""
    there = {"ears": Notice(id="x/1", at=5)}
    for at in (4, 5):
        assert with_news(there, {"ears": Notice(id="y/1", at=at)}, now=6) is there
    newer = {"ears": Notice(id="y/1", at=5.5)}
    assert with_news(there, newer, now=6) == newer


def test_of_two_openings_the_longer_one_counts():
    """A service that asked one process for a minute is not asked by all after 5 s."""
    paper, one, two = Paper(), Process(), Process(fails=2)

    async def scene():
        async with sharing(paper, one, two):
            await asyncio.sleep(0.01)
            one.board.of("ears", SETTINGS).breaker.rest(60, 0.01)
            await asyncio.sleep(0.01)
            await two.fail()
            await asyncio.sleep(0.98)
            assert one.opens_in == two.opens_in == 59

    simulate(scene)


def test_a_carrier_that_forgot_everything_gives_leave_all_the_same():
    """Where the text is gone while a breaker is half open, the process that asks may probe."""
    paper, one = Paper(), Process(fails=2)

    async def scene():
        async with sharing(paper, one):
            await one.fail()
            await asyncio.sleep(5)
            paper.text = None
            await one.call()
            await asyncio.sleep(0.3)
            assert await one.do_well() is None
            assert one.state is CLOSED

    simulate(scene)


def test_a_clock_that_goes_back_an_hour_keeps_nobody_out():
    """Nothing is open for longer than it was to be, and what happens then is heard."""
    paper, one, two, late = Paper(), Process(fails=2), Process(), Process()

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(1)
            paper.ahead -= 3600
            async with sharing(paper, late):
                await asyncio.sleep(0.1)
                assert late.opens_in == 4.9
                await asyncio.sleep(5)
                await two.call()
                await asyncio.sleep(0.3)
                assert await two.do_well() is None
                await asyncio.sleep(0.5)
                assert {one.state, two.state, late.state} == {CLOSED}

    simulate(scene)


def test_news_is_written_once_and_what_is_old_goes():
    """While nothing happens nothing is written, and the text does not grow."""
    old = {"old": Notice(id="x/1", at=EPOCH - KEPT_SECONDS, until=EPOCH - KEPT_SECONDS)}
    paper, one, two = Paper(), Process(fails=2), Process()
    paper.text = encode(old)

    async def scene():
        async with sharing(paper, one, two):
            await one.fail()
            await asyncio.sleep(100)

    simulate(scene)
    assert paper.writes == 1
    assert decode(paper.text).keys() == {"ears"}


def test_who_was_slower_writes_again():
    """Another process that writes first costs a second reading, and nothing is lost."""
    paper, one, two = Paper(), Process(fails=2), Process()

    async def scene():
        async with sharing(paper, one, two):
            paper.faster = 9
            await one.fail()
            await asyncio.sleep(0.75)
            assert two.opens_in == 4.25

    simulate(scene)


def test_a_failure_that_comes_while_the_carrier_is_slow_is_not_lost():
    """What happens here between reading and hearing is told the next time."""
    paper, one, two = Paper(), Process(fails=2), Process()
    paper.takes = 0.1

    async def scene():
        async with sharing(paper, one, two):
            await asyncio.sleep(0.05)
            await one.fail()
            await asyncio.sleep(1)
            assert (one.opens_in, two.opens_in) == (4, 4)

    simulate(scene)


def test_what_happens_here_while_news_is_written_is_not_undone_by_it():
    """A service that asks for a minute is left alone so long, though another says 5 s."""
    paper, one, two = Paper(), Process(), Process(fails=2)
    paper.takes = 0.1

    async def scene():
        breaker, voice = one.board.of("ears", SETTINGS).breaker, one.board.of("voice").breaker
        async with sharing(paper, two):
            await two.fail()
            await asyncio.sleep(0.25)
            voice.rest(60, 0.25)
            async with sharing(paper, one):  # which reads until 0.35, and writes until 0.45
                await asyncio.sleep(0.15)
                breaker.rest(60, 0.4)
                await asyncio.sleep(1)
                assert one.opens_in == two.opens_in == 58.6

    simulate(scene)


@pytest.mark.parametrize("text", [b"\xff", b"[]", b'{"ears": 1}', b'{"ears": {"id": "x"}}'])
def test_a_text_that_is_none_of_ours_is_left_alone(text, caplog):
    """Another program's key is not overwritten; the process goes on alone and says why."""
    paper, one = Paper(), Process(fails=2)
    paper.text = text

    async def scene():
        async with sharing(paper, one):
            await one.fail()
            await asyncio.sleep(10)

    simulate(scene)
    assert (paper.text, len(caplog.records)) == (text, 1)
    assert "BrokenProtocol" in caplog.text
    with pytest.raises(BrokenProtocol):
        decode(text)


def test_the_text_holds_keys_and_times_only():
    """No reason, no address, no setting; and who wrote it does not follow it."""
    paper, one = Paper(), Process(fails=2)

    async def scene():
        async with sharing(paper, one):
            await one.fail()
            change = one.board.of("ears").breaker.change
            await asyncio.sleep(1)
            assert one.board.of("ears").breaker.change is change

    simulate(scene)
    (notice,) = decode(paper.text).values()
    assert (round(notice.at - EPOCH, 3), round(notice.until - EPOCH, 3)) == (0, 5)
    assert (notice.opened, notice.prober, notice.prober_until) == (1, "", 0)


def test_breakers_are_shared_once_at_a_time_and_alone_afterwards():
    """A second sharing is refused; after the first one, probes need no leave."""
    paper, one = Paper(), Process(fails=2)

    async def scene():
        async with sharing(paper, one):
            with pytest.raises(Misuse, match="shared already"):
                async with shared_breakers(paper, board=one.board):
                    pass
            await one.fail()
            await asyncio.sleep(4.9)
        await asyncio.sleep(0.1)
        assert await one.do_well() is None
        with pytest.raises(ZeroDivisionError):
            async with sharing(paper, one):
                _ = 1 / 0

    simulate(scene)
    assert paper.closed == 2


def test_leaving_takes_a_second_at_most():
    """A carrier that hangs or raises when it is closed stops nobody."""

    class Stuck(Paper):
        async def aclose(self):
            await asyncio.sleep(1000)

    class Broken(Paper):
        async def aclose(self):
            raise OSError

    async def scene(paper):
        async with sharing(paper, Process()):
            pass
        return asyncio.get_running_loop().time()

    assert simulate(lambda: scene(Stuck())) == 1
    assert simulate(lambda: scene(Broken())) == 0


# ── over Redis ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncGenerator[str]:
    """The server itself, on a socket in a folder of the test; gives its URL."""
    program = shutil.which("redis-server")
    assert program is not None
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)),
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async for line in process.stdout:
            if b"ready to accept" in line.lower():
                break
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def pretended(folder):
    server = FakeServer()
    yield lambda: RedisCarrier(FakeAsyncRedis(server=server))


@asynccontextmanager
async def real(folder):
    async with redis_server(folder) as url:
        yield lambda: RedisCarrier(url)


PLACES = {"redis": pretended}
if shutil.which("redis-server"):
    PLACES["redis-server"] = real


@pytest.mark.parametrize("place", PLACES)
def test_redis_keeps_the_text_unless_another_was_faster(place, tmp_path):
    """What is replaced is what was read; it is kept for so long, and all have one clock."""

    async def scene():
        async with asyncio.timeout(20), PLACES[place](tmp_path) as opened:
            one, two = opened(), opened()
            nothing, then = await one.read()
            assert nothing is None
            assert not await one.replace(b"else", b"a", seconds=60)
            assert await one.replace(None, b"a", seconds=60)
            assert not await two.replace(None, b"b", seconds=60)
            assert await two.replace(b"a", b"b", seconds=60)
            text, now = await one.read()
            assert text == b"b"
            assert now >= then > 1.7e9
            many = await asyncio.gather(
                *(one.replace(b"b", b"%d" % number, seconds=60) for number in range(8))
            )
            assert sum(many) == 1
            left = await one._redis.pttl("beluga-voice:breakers:1")
            assert 0 < left <= 60_000
            await one.aclose()
            await two.aclose()

    asyncio.run(scene())


def overtaken(carrier, faster):
    """Have another one write whenever this one has looked at what is there."""
    make = carrier._redis.pipeline

    def pipeline(**settings):
        pipe = make(**settings)
        get = pipe.get

        async def slow_get(key):
            found = await get(key)
            await faster._redis.set(key, b"faster")
            return found

        pipe.get = slow_get
        return pipe

    carrier._redis.pipeline = pipeline


@pytest.mark.parametrize("place", PLACES)
def test_redis_refuses_what_is_overtaken(place, tmp_path):
    """What another writes between looking and writing stays."""

    async def scene():
        async with asyncio.timeout(20), PLACES[place](tmp_path) as opened:
            one, two = opened(), opened()
            overtaken(one, two)
            assert not await one.replace(None, b"a", seconds=60)
            assert (await two.read())[0] == b"faster"
            await one.aclose()
            await two.aclose()

    asyncio.run(scene())


@pytest.mark.parametrize("place", PLACES)
def test_two_processes_share_over_redis(place, tmp_path):
    """One opens, the other refuses, though its service would answer."""

    async def scene():
        async with asyncio.timeout(20), PLACES[place](tmp_path) as opened:
            one, two = Process(), Process()
            async with (
                shared_breakers(opened(), board=one.board),
                shared_breakers(opened(), board=two.board),
            ):
                now = asyncio.get_running_loop().time()
                one.board.of("ears", SETTINGS).breaker.rest(now + 60, now)
                while two.state is not OPEN:
                    await asyncio.sleep(0.01)
                assert isinstance(await two.call(), Refused)

    asyncio.run(scene())


if "redis-server" in PLACES:

    def test_a_real_process_tells_this_one(tmp_path):
        """What opens in a program of its own is open here, through the URL alone."""
        program = """
import asyncio, sys
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.breaker import ORDINARY, Outcome
from beluga_voice.resilience.sharing import shared_breakers
async def main():
    async with shared_breakers(sys.argv[1]):
        breaker = shared_board().of("ears").breaker
        for _ in range(5):
            breaker.record(ORDINARY, Outcome.FAILED, asyncio.get_running_loop().time())
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""

        async def scene():
            here = Board()
            async with (
                asyncio.timeout(30),
                redis_server(tmp_path) as url,
                shared_breakers(url, board=here),
            ):
                there = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", program, url), stdin=subprocess.PIPE
                )
                try:
                    now = asyncio.get_running_loop().time
                    while here.of("ears").breaker.admit(now()) is not None:
                        await asyncio.sleep(0.01)
                finally:
                    await there.communicate()
                assert there.returncode == 0

        asyncio.run(scene())

    def test_a_redis_that_comes_later_and_is_stopped_and_comes_back(tmp_path, caplog):
        """Each process goes on without it, and hears of the others whenever it is there."""
        url = f"unix://{tmp_path / 'redis.sock'}"

        async def heard(one, two, seconds):
            """Whether what opens in the first is open in the second, as soon as it is."""
            now = asyncio.get_running_loop().time()
            one.breaker.rest(now + seconds, now)
            while two.breaker.retry_after(asyncio.get_running_loop().time()) is None:
                await asyncio.sleep(0.01)

        async def scene():
            one, two = Board(), Board()
            async with (
                asyncio.timeout(40),
                shared_breakers(url, board=one),
                shared_breakers(url, board=two),
            ):
                while len(caplog.records) < 2:
                    await asyncio.sleep(0.01)
                async with redis_server(tmp_path):
                    await heard(one.of("a"), two.of("a"), 60)
                while len(caplog.records) < 4:
                    await asyncio.sleep(0.01)
                async with redis_server(tmp_path):
                    await heard(two.of("b"), one.of("b"), 60)

        asyncio.run(scene())
        assert str(tmp_path) not in caplog.text


def test_a_url_of_redis_that_is_none_is_refused():
    """A slip in the URL is found at once, and leaves nothing shared."""

    async def scene():
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="write it like redis://"):
                async with shared_breakers("127.0.0.1:6379"):
                    pass

    asyncio.run(scene())
