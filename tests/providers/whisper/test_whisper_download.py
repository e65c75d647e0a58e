"""A model is fetched by name, once, from a hub; the hub here is on this machine."""

import asyncio
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from beluga_voice.errors import Unreachable
from beluga_voice.events import FinishUtterance, SendAudio, UtteranceId
from beluga_voice.interfaces import SttOptions
from providers.whisper.hand_built_whisper import build, tones_of
from providers.whisper.whisper_stage import until_final, whisper
from providers.worker_stage import stage

NAME = "Systran/faster-whisper-tiny"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Serves the files of one model as the Hugging Face Hub does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(has_body=True)

    def do_HEAD(self) -> None:
        self._serve(has_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _serve(self, *, has_body: bool) -> None:
        self.server.asked.append(self.path)
        folder = self.server.folder
        path = self.path.split("?")[0]
        if path.startswith(f"/api/models/{NAME}/"):
            files = [
                {"rfilename": file.name, "path": file.name, "type": "file"}
                | {"size": file.stat().st_size, "oid": file.name}
                for file in folder.iterdir()
            ]
            described = {"id": NAME, "sha": COMMIT, "siblings": files}
            body = json.dumps(files if "/tree/" in path else described).encode()
        elif path.startswith(f"/{NAME}/resolve/"):
            body = (folder / path.rsplit("/", 1)[1]).read_bytes()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{path.rsplit("/", 1)[1]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if has_body:
            self.wfile.write(body)


@contextmanager
def hub(folder):
    """The hub, with what it was asked for in `asked`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.asked = folder, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_is_fetched_once_and_then_used_without_the_hub(tmp_path, monkeypatch):
    """After `download`, connecting by the name works, and asks the hub for nothing."""
    provider = whisper("tiny", folder=tmp_path / "models")

    async def scene():
        async with provider.connect(SttOptions()) as link:
            link.send(SendAudio(pcm=tones_of("hello there")))
            link.send(FinishUtterance(utterance_id=UtteranceId("one")))
            return (await until_final(aiter(link)))[-1].text

    with hub(build(tmp_path / "original")) as served:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{served.server_port}")
        asyncio.run(provider.download())
        assert any(path.endswith("/model.bin") for path in served.asked)
        served.asked.clear()
        with stage() as run:
            assert run(scene()) == "hello there"
        assert served.asked == []


def test_a_hub_that_has_no_such_model_is_told(tmp_path, monkeypatch):
    """What the hub does not have raises `Unreachable`, with the model and a reason."""
    with hub(tmp_path) as served:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{served.server_port}")
        provider = whisper("somebody/something", folder=tmp_path / "models")
        with pytest.raises(Unreachable, match=r"'somebody/something' was not fetched: .*404"):
            asyncio.run(provider.download())


def test_a_fetch_that_is_cancelled_leaves_no_process(tmp_path, monkeypatch):
    """Cancelling `download` ends its process."""
    provider = whisper("tiny", folder=tmp_path / "models")

    async def scene():
        # A hub that takes the connection and says nothing.
        asked = asyncio.Event()
        left = asyncio.Event()

        async def stall(reader, writer):
            asked.set()
            while await reader.read(1000):
                pass
            left.set()
            writer.close()

        server = await asyncio.start_server(stall, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        async with server, asyncio.timeout(60):
            fetching = asyncio.create_task(provider.download())
            await asked.wait()
            fetching.cancel()
            await left.wait()
            with pytest.raises(asyncio.CancelledError):
                await fetching

    asyncio.run(scene())
