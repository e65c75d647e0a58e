"""Plays many calls, on all the processors there are: a call is the same wherever it is played."""

import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from beluga_voice.testing.matrix.call import Cell, play
from beluga_voice.testing.matrix.cells import Result, judged
from beluga_voice.testing.matrix.measure import measure

CHUNK = 8
WARM_CALLS = 200
"""After so many calls everything is loaded, and what is kept once is kept."""
EVERY = 200
"""Calls from one look at memory to the next."""

type Progress = Callable[[int, int], None]


def result_of(cell: Cell) -> Result:
    """Play that call, and judge it."""
    return judged(cell, measure(play(cell)))


def run(cells: Sequence[Cell], *, jobs: int | None = None, progress: Progress) -> list[Result]:
    """Play all of them; gives the results in the order of the calls."""
    found: list[Result] = []
    with _quietly():
        for result in _results(result_of, cells, jobs):
            found.append(result)
            progress(len(found), len(cells))
    return found


def _results[A, R](work: Callable[[A], R], items: Sequence[A], jobs: int | None) -> Iterator[R]:
    count = min(jobs or os.cpu_count() or 1, max(1, len(items) // CHUNK))
    if count == 1:
        yield from map(work, items)
        return
    # A process of its own begins with nothing: what one call leaves never meets another's loop.
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=_begin) as pool:
        yield from pool.imap(work, items, chunksize=CHUNK)


@contextmanager
def _quietly() -> Generator[None]:
    """Faults are logged by those whom they strike, and thousands of times."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _begin() -> None:
    """What is loaded now stays: the collector need not look at it again for every call."""
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()


# ── a long run ──────────────────────────────────────────────────────────────────────────────


class Look(Struct, frozen=True, kw_only=True):
    """What a process holds after so many calls."""

    calls: int
    objects: int
    """That the garbage collector knows."""
    resident_kib: int


class Soak(Struct, frozen=True, kw_only=True):
    """What came of a long run in one process."""

    results: list[Result]
    looks: list[Look]

    @property
    def more_objects(self) -> int:
        """How many objects were held at the end that were not when everything was loaded."""
        return self.looks[-1].objects - self.looks[0].objects

    @property
    def more_kib(self) -> int:
        """The same of memory."""
        return self.looks[-1].resident_kib - self.looks[0].resident_kib


def soak(cells: Sequence[Cell], *, jobs: int | None = None, progress: Progress) -> list[Soak]:
    """Play all of them, and watch the memory; each process plays its share of them in one go."""
    count = min(jobs or os.cpu_count() or 1, max(1, len(cells) // EVERY))
    shares = [list(cells[start::count]) for start in range(count)]
    if count == 1:
        with _quietly():
            return [_soaked(shares[0], lambda done: progress(done, len(cells)))]
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=_begin) as pool:
        found: list[Soak] = []
        for one in pool.imap_unordered(_soaked, shares):
            found.append(one)
            progress(sum(len(each.results) for each in found), len(cells))
        return found


def _soaked(cells: list[Cell], progress: Callable[[int], None] | None = None) -> Soak:
    # As bytes, what is kept of the calls is no object that is counted.
    kept: list[bytes] = []
    looks: list[Look] = []
    for number, cell in enumerate(cells, start=1):
        kept.append(msgspec.msgpack.encode(result_of(cell)))
        is_last = number == len(cells)
        if number >= min(WARM_CALLS, len(cells)) and (number % EVERY == 0 or is_last):
            looks.append(_look(number))
            if progress is not None:
                progress(number)
    results = [msgspec.msgpack.decode(one, type=Result) for one in kept]
    return Soak(results=results, looks=looks)


def _look(calls: int) -> Look:
    gc.collect()
    return Look(calls=calls, objects=len(gc.get_objects()), resident_kib=_resident_kib())


def _resident_kib() -> int:
    """The memory of this process, or the most that it ever was where that is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most // 1024 if sys.platform == "darwin" else most
