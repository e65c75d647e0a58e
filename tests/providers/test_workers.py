"""Worker processes: shared, isolated, ended."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
import uvloop

from beluga_voice.errors import MissingExtra
from beluga_voice.events import (
    ContextId,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechDone,
    TtsEvent,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.inbox import Inbox
from beluga_voice.providers.tts.espeak import Espeak, EspeakLink
from beluga_voice.providers.workers import busy, open_worker, require

type Scenario = Callable[[], Coroutine[None, None, None]]
CONTEXT = ContextId("one")


def bounded(scenario: Scenario) -> Scenario:
    """The scenario with a bound that only a broken one meets."""

    async def within() -> None:
        async with asyncio.timeout(30):
            await scenario()

    return within


def run(scenario: Scenario) -> None:
    asyncio.run(bounded(scenario)())


def has_children() -> bool:
    """Whether a child is left, but for the one with which `multiprocessing` keeps its accounts."""
    tracker = getattr(resource_tracker._resource_tracker, "_pid", None)
    tasks = Path("/proc/self/task").glob("*/children")
    children = {int(child) for task in tasks for child in task.read_text().split()}
    return bool(children - {tracker})


def ends(process: int, within_seconds: float = 10) -> bool:
    """Whether a process, not necessarily our child, ends."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], within_seconds)[0])
    finally:
        os.close(descriptor)


def parent_of(process: int) -> int:
    with open(f"/proc/{process}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])


async def process_of(events: AsyncIterator[TtsEvent]) -> int:
    """The process behind a link that was just opened."""
    ready = await anext(events)
    assert isinstance(ready, LinkReady)
    assert ready.remote_id is not None
    return int(ready.remote_id)


async def speak(link: EspeakLink, events: AsyncIterator[TtsEvent]) -> list[TtsEvent]:
    link.send(SpeakText(context_id=CONTEXT, text="Hello."))
    link.send(FinishSpeech(context_id=CONTEXT))
    heard: list[TtsEvent] = []
    async for event in events:
        heard.append(event)
        if isinstance(event, SpeechDone | LinkClosed):
            break
    return heard


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_links_share_a_source_and_leave_nothing(
    runner: Callable[[Coroutine[None, None, None]], None],
) -> None:
    """Two links have a process each, forked from one, and all are gone after the last leaves."""
    processes: list[int] = []

    async def scenario() -> None:
        provider = Espeak()
        async with provider.connect(TtsOptions()) as one, provider.connect(TtsOptions()) as two:
            first, second = aiter(one), aiter(two)
            processes.extend([await process_of(first), await process_of(second)])
            assert parent_of(processes[0]) == parent_of(processes[1])
            processes.append(parent_of(processes[0]))
            assert isinstance((await speak(one, first))[-1], SpeechDone)
            assert isinstance((await speak(two, second))[-1], SpeechDone)
        assert not has_children()

    runner(bounded(scenario)())
    assert len(set(processes)) == 3
    assert all(map(ends, processes))
    assert not busy()


def test_busy_lasts_from_request_to_answer() -> None:
    """`busy` is true from a request until its last answer was read, and while a worker starts."""

    async def scenario() -> None:
        assert not busy()
        connecting = Espeak().connect(TtsOptions())
        start = asyncio.ensure_future(connecting.__aenter__())
        await asyncio.sleep(0)
        assert busy()
        link = await start
        try:
            events = aiter(link)
            await process_of(events)
            assert not busy()
            link.send(SpeakText(context_id=CONTEXT, text="Hello."))
            assert busy()
            link.send(FinishSpeech(context_id=CONTEXT))
            async for event in events:
                if isinstance(event, SpeechDone):
                    break
            assert not busy()
        finally:
            await connecting.__aexit__(None, None, None)
        assert not busy()

    run(scenario)


def test_killed_worker_closes_its_link_alone() -> None:
    """A killed worker ends its link once and uncleanly, its neighbour speaks on."""

    async def scenario() -> None:
        provider = Espeak()
        async with provider.connect(TtsOptions()) as one, provider.connect(TtsOptions()) as two:
            first, second = aiter(one), aiter(two)
            os.kill(await process_of(first), signal.SIGKILL)
            await process_of(second)
            end = [event async for event in first]
            assert [type(event) for event in end] == [ServiceFailed, LinkClosed]
            assert isinstance(end[-1], LinkClosed)
            assert not end[-1].is_clean
            one.send(FinishSpeech(context_id=CONTEXT))
            assert [event async for event in one] == []
            assert isinstance((await speak(two, second))[-1], SpeechDone)
        assert [event async for event in one] == []

    run(scenario)


def test_killed_source_is_replaced() -> None:
    """When the source is killed its workers work on and the next link gets a new source."""

    async def scenario() -> None:
        provider = Espeak()
        async with provider.connect(TtsOptions()) as one:
            first = aiter(one)
            source = parent_of(await process_of(first))
            os.kill(source, signal.SIGKILL)
            assert ends(source)
            async with provider.connect(TtsOptions()) as two:
                second = aiter(two)
                assert parent_of(await process_of(second)) != source
                assert isinstance((await speak(two, second))[-1], SpeechDone)
                assert isinstance((await speak(one, first))[-1], SpeechDone)
        assert not has_children()

    run(scenario)


def test_source_that_stands_still_is_replaced() -> None:
    """When the source hangs the next link gets a new one; the workers of the old one work on."""

    async def scenario() -> None:
        provider = Espeak()
        async with provider.connect(TtsOptions()) as one:
            first = aiter(one)
            source = parent_of(await process_of(first))
            os.kill(source, signal.SIGSTOP)
            async with provider.connect(TtsOptions()) as two:
                second = aiter(two)
                assert parent_of(await process_of(second)) != source
                assert ends(source)
                assert isinstance((await speak(two, second))[-1], SpeechDone)
                assert isinstance((await speak(one, first))[-1], SpeechDone)
        assert not has_children()

    run(scenario)


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
def test_cancelled_connect_leaves_no_process(turns: int) -> None:
    """Cancelling a connect, however far it came, leaves no process."""

    async def scenario() -> None:
        async def connect() -> None:
            async with Espeak().connect(TtsOptions()):
                await asyncio.Event().wait()

        task = asyncio.create_task(connect())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not busy()

    run(scenario)
    assert not has_children()


def test_interrupt_key_does_not_reach_workers() -> None:
    """Neither a worker nor its source is in our terminal's group, and SIGINT ends neither."""

    async def scenario() -> None:
        async with Espeak().connect(TtsOptions()) as link:
            events = aiter(link)
            worker = await process_of(events)
            source = parent_of(worker)
            assert os.getsid(worker) == os.getsid(source) == source
            os.kill(worker, signal.SIGINT)
            os.kill(source, signal.SIGINT)
            assert isinstance((await speak(link, events))[-1], SpeechDone)

    run(scenario)


PARENT = """
import asyncio, os
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.espeak import Espeak

async def main():
    async with Espeak().connect(TtsOptions()) as link:
        ready = await anext(aiter(link))
        print(ready.remote_id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_workers_end_with_their_parent() -> None:
    """When our process is killed, workers and source end by themselves."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        source = parent_of(worker)
        assert parent_of(source) == parent.pid
        parent.kill()
    assert ends(worker)
    assert ends(source)


def test_module_that_cannot_start_ends_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A worker whose module is missing is told as ended, once."""

    async def scenario() -> None:
        ended: list[bool] = []
        over = asyncio.Event()

        def end() -> None:
            ended.append(True)
            over.set()

        def receive(_: bytes) -> None:
            raise AssertionError("nobody should answer")

        async with open_worker("beluga_voice.absent", receive=receive, ended=end) as worker:
            worker.send(b"hello")
            await over.wait()
        assert ended == [True]

    run(scenario)
    assert "beluga_voice.absent" in capfd.readouterr().err


def test_missing_package_names_its_extra() -> None:
    """What is not installed is said with the line that installs it."""
    with pytest.raises(MissingExtra, match=r"pip install 'beluga-voice\[local\]'"):
        require("beluga_absent_package", "It", extra="local")


def test_inbox_says_when_it_is_full_and_when_there_is_room() -> None:
    """An inbox is full beyond its room, and offers room once half of it is free."""

    async def scenario() -> None:
        offers: list[int] = []
        inbox: Inbox[int] = Inbox(
            room=10, cost=lambda event: event, on_room=lambda: offers.append(len(offers))
        )
        inbox.put(4)
        inbox.put(4)
        assert not inbox.is_full
        inbox.put(4)
        assert inbox.is_full
        events = aiter(inbox)
        assert await anext(events) == 4
        assert not offers
        assert await anext(events) == 4
        assert offers == [0]
        inbox.put(9)
        inbox.discard(lambda event: event == 9)
        inbox.close(1)
        inbox.put(2)
        assert [event async for event in events] == [4, 1]

    run(scenario)
