"""A voice is fetched by Piper's own program, whole or not at all; the server is on this machine."""

import asyncio
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from beluga_voice.errors import ConfigurationError, Unreachable
from providers.piper.hand_built_piper import RATE, build, letters_in
from providers.piper.piper_stage import piper
from providers.piper.test_piper import sound_of
from providers.worker_stage import stage

NAME = "en_US-hand-built"
ROUTES = """
import http.client, urllib.request

class Here(urllib.request.HTTPSHandler):
    def https_open(self, request):
        # What is meant for the voices' server goes to the one of the test.
        request.host = "127.0.0.1:{port}"
        return self.do_open(http.client.HTTPConnection, request)

urllib.request.install_opener(urllib.request.build_opener(Here))
"""
"""What Python does first in the process that fetches."""


class Voices(SimpleHTTPRequestHandler):
    """Serves the files of a folder by their names, wherever they are asked for."""

    def translate_path(self, path: str) -> str:
        self.server.asked.append(path)
        return str(self.server.folder / path.split("?")[0].rsplit("/", 1)[1])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder, routes, monkeypatch):
    """The voices in a folder, for processes that are started meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Voices)
    server.folder, server.asked = folder, []
    routes.mkdir()
    (routes / "sitecustomize.py").write_text(ROUTES.format(port=server.server_port))
    monkeypatch.setenv("PYTHONPATH", str(routes))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_voice_is_fetched_once_and_then_used(tmp_path, monkeypatch):
    """After `download` there are its two files and nothing else; then nothing is fetched."""
    original = tmp_path / "original"
    build(original, NAME)
    provider = piper(tmp_path / "voices", voice=NAME)
    with served(original, tmp_path / "routes", monkeypatch) as server:
        asyncio.run(provider.download())
        assert len(server.asked) == 2
        asyncio.run(provider.download())
        assert len(server.asked) == 2
    names = {file.name for file in (tmp_path / "voices").iterdir()}
    assert names == {f"{NAME}.onnx", f"{NAME}.onnx.json"}
    with stage() as run:
        assert letters_in(run(sound_of(provider, "hello")), RATE) == "^hello$"


def test_a_voice_that_is_not_there_leaves_nothing(tmp_path, monkeypatch):
    """Half a voice on the server raises `Unreachable` with a reason, and is not kept."""
    original = tmp_path / "original"
    build(original, NAME).with_suffix(".onnx.json").unlink()
    with (
        served(original, tmp_path / "routes", monkeypatch),
        pytest.raises(Unreachable, match=r"was not fetched: .*404"),
    ):
        asyncio.run(piper(tmp_path / "voices", voice=NAME).download())
    assert list((tmp_path / "voices").iterdir()) == []


def test_a_path_is_not_fetched(tmp_path):
    """A voice that is named by its path raises `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match="give the name of a voice"):
        asyncio.run(piper(tmp_path, voice="/nowhere/it.onnx").download())
