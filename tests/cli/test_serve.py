"""`beluga-voice serve` as a process, with real speech over its websocket."""

import asyncio
import json
import re
import shutil
import signal
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cliside import command_running, finish, nobody_is_left, pause, survivors
from redis.asyncio import Redis

from beluga_voice.audio.level import dbfs
from beluga_voice.audio.wav import read_wav
from beluga_voice.cli import main

FRAME = 640


async def call(url, pcm):
    """Speak over the websocket, in real time; the events until the answer was heard, its sound."""
    events, sound = [], b""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws") as caller:
        await caller.send_json({"type": "start", "version": 1})
        events.append(await caller.receive_json())

        async def speak():
            loop = asyncio.get_running_loop()
            began = loop.time()
            frames = pcm + pause(20)
            for count, at in enumerate(range(0, len(frames), FRAME)):
                await caller.send_bytes(frames[at : at + FRAME])
                await asyncio.sleep(began + (count + 1) * 0.02 - loop.time())

        speaking = asyncio.create_task(speak())
        try:
            async with asyncio.timeout(30):
                async for message in caller:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        sound += message.data
                        continue
                    form = json.loads(message.data)
                    events.append(form.get("event", form))
                    if events[-1]["type"] == "agent_response_ended":
                        break
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
    return events, sound


async def misbehave(url):
    """Say what makes no sense; how the server closes."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws") as caller:
        await caller.send_str("this is no JSON")
        refusal = await caller.receive_json()
        closing = await caller.receive()
        return refusal, closing.type


async def health(url):
    async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as answer:
        return await answer.json()


def test_a_call_to_the_server_is_heard_and_answered(question):
    """Speech in gives a transcript and speech out; a bad caller harms nobody; SIGTERM ends it."""
    with command_running("serve", "--port", "0") as process:
        url = next(
            found[0] for line in process.stderr if (found := re.search(r"http://[\d.:]+", line))
        )
        events, sound = asyncio.run(call(url, read_wav(question).data))
        refusal, closing = asyncio.run(misbehave(url))
        after = asyncio.run(health(url))
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
        assert nobody_is_left(process), survivors(process)
    assert events[0]["type"] == "started"
    finals = [one["text"] for one in events if one["type"] == "transcription" and one["is_final"]]
    assert finals == ["what time is it"]
    assert events[-1]["outcome"] == "heard"
    assert dbfs(sound) > -40
    assert len(sound) / 2 / 24 >= events[-1]["heard_ms"] - 1
    assert (refusal["type"], refusal["is_fatal"]) == ("error", True)
    assert closing is aiohttp.WSMsgType.CLOSE
    assert after["status"] == "ok"
    assert ended.status == 0
    assert "Traceback" not in ended.err


def test_a_port_that_is_none_is_told_before_anything_is_loaded(capfd):
    """99999 is not taken for another port: the status is 2, and the line says which there are."""
    assert main(["serve", "--port", "99999"]) == 2
    assert capfd.readouterr().err == "beluga-voice: serve: --port is a number from 0 to 65535\n"


@asynccontextmanager
async def redis_server(folder):
    """The server itself, on a socket in a folder of the test; gives its URL."""
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--port", "0", "--unixsocket", str(socket)),
        *("--save", "", "--dir", str(folder)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async for line in process.stdout:
            if b"ready to accept" in line.lower():
                break
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def nobody(folder):
    """An address where nothing listens: each process goes on alone."""
    yield f"unix://{folder / 'redis.sock'}"


CARRIERS = {"nobody": nobody}
if shutil.which("redis-server"):
    CARRIERS["redis-server"] = redis_server


@pytest.mark.parametrize("carrier", CARRIERS)
def test_breakers_are_shared_through_redis(carrier, tmp_path):
    """The process reads there what others found out, and serves on where there is no Redis."""

    async def scene():
        async with CARRIERS[carrier](tmp_path) as address:
            arguments = ("serve", "--port", "0", "--stt", "pocketsphinx", "--shared-breakers")
            with command_running(*arguments, address) as process:
                lines = await asyncio.to_thread(ready_lines, process)
                url = re.search(r"http://[\d.:]+", lines[-1])[0]
                assert (await health(url))["status"] == "ok"
                readers = await clients(address) if carrier == "redis-server" else 0
                process.send_signal(signal.SIGTERM)
                ended = await asyncio.to_thread(finish, process)
        return readers, lines, ended

    async def limited():
        async with asyncio.timeout(60):
            return await scene()

    readers, lines, ended = asyncio.run(limited())
    assert (ended.status, readers >= 1) == (0, carrier == "redis-server")
    assert "Traceback" not in "".join(lines) + ended.err


def test_a_key_that_is_missing_is_told_before_somebody_calls(monkeypatch):
    """The server says which variable to set, and serves: whoever calls is told as well."""
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    with command_running("serve", "--port", "0", "--s2s", "grok,cascade") as process:
        lines = ready_lines(process)
    assert "no call will reach grok: set XAI_API_KEY\n" in lines


def test_a_call_that_nobody_answers_goes_on_elsewhere(monkeypatch):
    """With `--transfer` a caller whose service cannot be reached is told where."""
    monkeypatch.setenv("XAI_API_KEY", "key")

    async def called(url):
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws") as caller:
            await caller.send_json({"type": "start", "version": 1})
            async with asyncio.timeout(60):
                return [message.json() async for message in caller], caller.close_code

    service = ("--s2s", "grok", "--endpoint", "ws://127.0.0.1:9/v1")
    with command_running("serve", "--port", "0", *service, "--transfer", "+49 30 12") as process:
        url = re.search(r"http://[\d.:]+", ready_lines(process)[-1])[0]
        told, code = asyncio.run(called(url))
    (transfer,) = [one for one in told if one["type"] == "transfer"]
    assert (transfer["to"], code) == ("+49 30 12", aiohttp.WSCloseCode.OK)


def ready_lines(process):
    """What it says until it serves."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "talk at" in line:
            break
    return lines


async def clients(address):
    """How many others read the breakers there."""
    async with Redis.from_url(address) as redis:
        while not (await redis.info("commandstats")).get("cmdstat_get"):
            await asyncio.sleep(0.05)
        return len(await redis.client_list()) - 1


@pytest.mark.parametrize("address", ["10.0.0.5", "http://10.0.0.5", ""])
def test_breakers_are_shared_through_redis_only(address, capfd):
    """Another address is told before anything is loaded."""
    status = main(["serve", "--shared-breakers", address, "--port", "0"])
    assert status == 2
    assert capfd.readouterr().err.count("\n") == 1
