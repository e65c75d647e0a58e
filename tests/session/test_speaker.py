"""Sound goes to the line at the pace at which it is heard, to the millisecond."""

import asyncio
import itertools

import pytest

from beluga_voice.audio.formats import to_samples
from beluga_voice.audio.tone import tone
from beluga_voice.events import ClearPlayback, PlayAudio, ResponseId
from beluga_voice.interfaces import LineOptions
from beluga_voice.session.speaker import LATE_SECONDS, MAX_WAITING_SECONDS, Speaker
from beluga_voice.testing.loop import simulate

RATE = 24000
FRAME = to_samples(20, RATE) * 2
ONE, TWO = ResponseId("one"), ResponseId("two")


class Desk:
    """A speaker with its line, and a record of all that left it."""

    def __init__(self, *, lead_ms=20, line_rate=RATE):
        self.options = LineOptions(output_rate=line_rate, lead_ms=lead_ms)
        self.loop = asyncio.get_running_loop()
        self.played = []
        """When, and what; `None` for an order to fall silent."""
        self.sent = []
        """When, of whom, how many samples of the service's, and until when the line is busy."""
        self.speaker = Speaker(
            loop=self.loop,
            line=self,
            rate=RATE,
            on_sent=self._on_sent,
            on_wake=lambda: self.speaker.speak(),
        )

    def send(self, command, /):
        match command:
            case PlayAudio(pcm=pcm):
                self.played.append((self.now_ms, pcm))
            case ClearPlayback():
                self.played.append((self.now_ms, None))

    def _on_sent(self, response_id, pcm, samples, until, now):
        assert now == self.loop.time()
        self.sent.append((self.now_ms, response_id, samples, round(until * 1000, 3)))

    @property
    def now_ms(self):
        return round(self.loop.time() * 1000, 3)

    @property
    def times(self):
        """When a piece left, and how long it is, both in ms."""
        return [(at, samples * 1000 / RATE) for at, _, samples, _ in self.sent]

    def worst_gap(self):
        """The longest the line was dry between two pieces, in ms."""
        return max(
            (after[0] - before[3] for before, after in itertools.pairwise(self.sent)), default=0
        )


def sound(milliseconds, *, byte=b"\x01\x02"):
    return byte * to_samples(milliseconds, RATE)


def play(scene):
    return simulate(scene)


@pytest.mark.parametrize(
    ("lead_ms", "expected"),
    [
        (20, [(0, 20), (20, 20), (40, 20), (60, 20), (80, 20)]),
        (100, [(0, 100), (50, 40), (90, 40), (130, 40)]),
        (200, [(0, 200), (100, 100), (200, 100)]),
    ],
)
def test_pieces_leave_at_exact_times_ahead_of_the_ear(lead_ms, expected):
    """At first the whole lead is sent, and then a piece whenever half of it has sounded."""

    async def scene():
        desk = Desk(lead_ms=lead_ms)
        await asyncio.sleep(1)
        desk.speaker.queue(ONE, sound(2000))
        await asyncio.sleep(5)
        return desk

    desk = play(scene)
    assert [(at - 1000, length) for at, length in desk.times[: len(expected)]] == expected
    assert sum(length for _, length in desk.times) == 2000
    assert b"".join(pcm for _, pcm in desk.played) == sound(2000)
    assert desk.sent[-1][3] == 3000
    for at, _, _, until in desk.sent:
        assert until - at <= lead_ms
    assert desk.worst_gap() <= 0


@pytest.mark.parametrize("lead_ms", [20, 100, 200])
def test_an_hour_does_not_drift(lead_ms):
    """After an hour of speech the line is busy until exactly an hour after the first piece."""

    async def scene():
        desk = Desk(lead_ms=lead_ms)
        desk.sent = Last()
        desk.played = Last()
        await asyncio.sleep(0.1)
        for _ in range(360):
            desk.speaker.queue(ONE, sound(10_000))
            await asyncio.sleep(10)
        return desk

    desk = play(scene)
    assert desk.sent.item[3] == 100 + 3_600_000
    assert desk.sent.item[3] - desk.sent.item[0] <= lead_ms
    assert desk.sent.worst_gap <= 0


class Last:
    """Keeps the last record only, and the worst gap: an hour has many."""

    def __init__(self):
        self.item = None
        self.worst_gap = float("-inf")

    def append(self, item):
        if self.item is not None and len(item) == 4:
            self.worst_gap = max(self.worst_gap, item[0] - self.item[3])
        self.item = item


def test_a_piece_is_of_one_response():
    """The rest of a response is sent before the next one's sound, never together with it."""

    async def scene():
        desk = Desk(lead_ms=100)
        desk.speaker.queue(ONE, sound(30))
        desk.speaker.finish(ONE)
        desk.speaker.queue(TWO, sound(200))
        await asyncio.sleep(1)
        return [(response_id, samples * 1000 / RATE) for _, response_id, samples, _ in desk.sent]

    sent = play(scene)
    assert sent[0] == (ONE, 30)
    assert {response_id for response_id, _ in sent[1:]} == {TWO}
    assert sum(length for _, length in sent) == 230


def test_less_than_a_frame_waits_for_its_rest_or_the_end():
    """A short piece is held until the frame is whole, or until no more follows."""

    async def scene():
        desk = Desk()
        desk.speaker.queue(ONE, sound(15))
        await asyncio.sleep(0.5)
        held = list(desk.times)
        desk.speaker.queue(ONE, sound(5))
        whole = list(desk.times)
        desk.speaker.queue(ONE, sound(7))
        await asyncio.sleep(0.5)
        desk.speaker.finish(ONE)
        await asyncio.sleep(0.5)
        return held, whole, desk.times

    held, whole, times = play(scene)
    assert held == []
    assert whole == [(500, 20)]
    assert times == [(500, 20), (1000, 7)]


def test_silence_drops_what_waits_and_counts_anew():
    """After an order to fall silent nothing follows, and the next sound leaves at once."""

    async def scene():
        desk = Desk(lead_ms=200)
        desk.speaker.queue(ONE, sound(5000))
        await asyncio.sleep(1.23)
        before = len(desk.sent)
        desk.speaker.silence()
        busy = desk.speaker.busy_until
        await asyncio.sleep(1)
        after = len(desk.sent)
        desk.speaker.queue(TWO, sound(400))
        await asyncio.sleep(1)
        return desk, before, after, busy

    desk, before, after, busy = play(scene)
    assert before == after
    assert busy == 1.23
    cleared = [at for at, pcm in desk.played if pcm is None]
    assert cleared == [1230]
    assert desk.sent[after][:3] == (2230, TWO, to_samples(200, RATE))
    assert desk.sent[-1][3] == 2630


@pytest.mark.parametrize("late", [0.01, LATE_SECONDS, LATE_SECONDS + 0.2])
def test_sound_after_the_line_ran_dry_counts_from_when_it_comes(late):
    """What comes when all had sounded sounds from then on, not in the past."""

    async def scene():
        desk = Desk()
        desk.speaker.queue(ONE, sound(40))
        await asyncio.sleep(0.040 + late)
        desk.speaker.queue(ONE, sound(100))
        await asyncio.sleep(1)
        return desk.sent[-1][3]

    assert play(scene) == 40 + late * 1000 + 100


class Sleepy(Desk):
    """A desk whose loop was busy with something else when it should have woken up."""

    def __init__(self, *, late_ms, **options):
        super().__init__(**options)
        self.speaker = Speaker(
            loop=self.loop,
            line=self,
            rate=RATE,
            on_sent=self._on_sent,
            on_wake=lambda: self.loop.call_later(late_ms / 1000, self.speaker.speak),
        )


def test_a_late_wake_does_not_slow_the_speech():
    """With a lead, waking late every time leaves no gap, and speech ends when it should."""

    async def scene():
        desk = Sleepy(lead_ms=100, late_ms=35)
        desk.speaker.queue(ONE, sound(3000))
        await asyncio.sleep(5)
        return desk.worst_gap(), desk.sent[-1][3]

    assert play(scene) == (pytest.approx(-15), 3000)


@pytest.mark.parametrize(("late_ms", "end"), [(35, 1000), (80, 1000 + 49 * 80)])
def test_a_short_delay_is_caught_up_and_a_long_one_is_not(late_ms, end):
    """Without a lead, waking a little late keeps the count; after the limit it begins anew."""

    async def scene():
        desk = Sleepy(lead_ms=20, late_ms=late_ms)
        desk.speaker.queue(ONE, sound(1000))
        await asyncio.sleep(10)
        return desk.sent[-1][3]

    assert play(scene) == end


def test_the_tone_is_only_for_silence():
    """A tone is played when nothing sounds, and never into speech."""

    async def scene():
        desk = Desk(line_rate=8000)
        desk.speaker.tone()
        desk.speaker.queue(ONE, sound(100))
        desk.speaker.tone()
        desk.speaker.finish(ONE)
        await asyncio.sleep(0.09)
        desk.speaker.tone()
        await asyncio.sleep(0.5)
        desk.speaker.tone()
        return [at for at, pcm in desk.played if pcm == tone(8000)], desk.sent

    times, sent = play(scene)
    assert times == [0, 590]
    assert len(sent) == 5


@pytest.mark.parametrize("line_rate", [8000, 16000, 48000])
def test_a_line_of_another_rate_gets_all_the_sound(line_rate):
    """Sound is converted, and what the conversion holds back is sent when a response is over."""

    async def scene():
        desk = Desk(line_rate=line_rate)
        for response_id in (ONE, TWO):
            desk.speaker.queue(response_id, sound(490, byte=b"\x00\x10"))
            desk.speaker.finish(response_id)
            await asyncio.sleep(2)
        return desk

    desk = play(scene)
    total = sum(len(pcm) // 2 for _, pcm in desk.played)
    assert total == 2 * to_samples(490, line_rate)
    assert sum(samples for _, _, samples, _ in desk.sent) == 2 * to_samples(490, RATE)


def test_sound_of_an_interrupted_response_does_not_leak_into_the_next():
    """What the conversion held back of a cut response is not heard before the next one."""

    async def scene():
        desk = Desk(line_rate=8000)
        desk.speaker.queue(ONE, sound(400, byte=b"\xff\x7f"))
        await asyncio.sleep(0.1)
        desk.speaker.silence()
        start = len(desk.played)
        desk.speaker.queue(TWO, bytes(len(sound(400))))
        desk.speaker.finish(TWO)
        await asyncio.sleep(1)
        return b"".join(pcm for _, pcm in desk.played[start:])

    after = play(scene)
    assert after == bytes(len(after))
    assert len(after) == to_samples(400, 8000) * 2


def test_there_is_a_limit_to_what_waits():
    """A service that sends sound without end is refused, and what is beyond is dropped."""

    async def scene():
        desk = Desk()
        minute = sound(60_000)
        taken = [desk.speaker.queue(ONE, minute) for _ in range(MAX_WAITING_SECONDS // 60 + 3)]
        desk.speaker.stop()
        return taken

    taken = play(scene)
    assert taken.count(False) == 2
    assert not taken[-1]


def test_stopping_leaves_no_timer():
    """After `stop` nothing leaves any more."""

    async def scene():
        desk = Desk()
        desk.speaker.queue(ONE, sound(1000))
        await asyncio.sleep(0.1)
        desk.speaker.stop()
        count = len(desk.sent)
        await asyncio.sleep(10)
        return len(desk.sent) - count

    assert play(scene) == 0
