"""Whatever keeps a recogniser or a voice from being used: the error names what to do about it."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from beluga_voice.errors import ConfigurationError, Denied, Overloaded, ProviderError, Rejected
from beluga_voice.interfaces import SttOptions
from beluga_voice.services.speech_to_text import stt
from beluga_voice.services.text_to_speech import tts
from beluga_voice.testing.emulators import deepgram_files, elevenlabs_files
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import pcm_of, speech
from providers.every_speech.test_every_speech_connects import HOST, PORT
from providers.every_speech.test_every_speech_connects import ROWS as CONNECTING

UNKNOWN_KEY, UNKNOWN_MODEL = "sk-guessed-secret", "gpt-live-transcribe-99"
PATIENCE = 2
ROWS = {
    **CONNECTING,
    "deepgram files": replace(
        CONNECTING["deepgram files"],
        emulator=deepgram_files.DeepgramFilesEmulator,
        key=deepgram_files.KEY,
    ),
    "elevenlabs files": replace(
        CONNECTING["elevenlabs files"],
        emulator=elevenlabs_files.ScribeFilesEmulator,
        key=elevenlabs_files.KEY,
    ),
}
"""Every hosted service. Those of files are told of a refusal by the service that takes files."""


async def use(row, **settings):
    """Transcribe two words, or speak them: what is raised, and after how many seconds."""
    settings.setdefault("api_key", row.key)
    began = running_simulation().time()
    with pytest.raises((ConfigurationError, ProviderError)) as caught:
        made = row.made(connect_seconds=PATIENCE, **settings)
        if isinstance(row.options, SttOptions):
            rate = made.capabilities.input_formats[0].rate
            await stt(made).transcribe(pcm_of(speech("one two", rate=rate)), rate=rate)
        else:
            await tts(made).synthesize("one two")
    return caught.value, round(running_simulation().time() - began, 3)


async def served(row, *faults, **settings):
    """The same, with the service at its address."""
    async with row.emulator(faults=faults).serving(HOST, PORT):
        return await use(row, **settings)


@asynccontextmanager
async def answering(reply):
    """A machine that says one thing to all, and hangs up."""

    async def say(reader, writer):
        writer.write(reply)
        await writer.drain()
        await reader.read(100)
        writer.close()

    async with await asyncio.start_server(say, HOST, PORT):
        yield


async def met(row, reply):
    """The same, with something else at the address of the service."""
    async with answering(reply):
        return await use(row)


def refused(status):
    """A service that answers all requests with that status."""
    return lambda row: served(row, *[Faults(refuse_status=status, retry_after="7")] * 3)


PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
MAIL = b"220 mail.example.com ESMTP\r\n"
KEY_ADVICE = "check the key and what it may do: {variable}, or api_key"
CAUSES = {
    "no key": (lambda row: use(row, api_key=""), Denied, "set {variable}, or give api_key"),
    "a key that is not known": (lambda row: served(row, api_key=UNKNOWN_KEY), Denied, KEY_ADVICE),
    "a key that may not": (refused(403), Denied, KEY_ADVICE),
    "a model that is not known": (
        lambda row: served(row, model=UNKNOWN_MODEL),
        Rejected,
        "check the model",
    ),
    "another path": (
        lambda row: served(row, endpoint=f"{row.endpoint}/elsewhere"),
        Rejected,
        "check the .*(address|endpoint)",
    ),
    "what is no address": (
        lambda row: use(row, endpoint="speech"),
        ConfigurationError,
        "endpoint.* give ",
    ),
    "nobody there": (use, ProviderError, "check .*that the service runs there"),
    "nobody answers": (
        lambda row: silent(row),
        ProviderError,
        "check the network|connect again, or use another service",
    ),
    "a web page there": (
        lambda row: met(row, PAGE),
        ProviderError,
        "check the (address|endpoint)",
    ),
    "a mail server there": (
        lambda row: met(row, MAIL),
        ProviderError,
        "check the address",
    ),
    "too many at once": (refused(429), Overloaded, "come back later|fewer"),
    "a service in trouble": (
        refused(500),
        ProviderError,
        "the service is in trouble|connect again, or use another service",
    ),
}
"""What goes wrong, the error that it is, and what the message says should be done."""


async def silent(row):
    """The machine takes no connection, and refuses none."""
    running_simulation().network.black_hole(HOST, PORT)
    return await use(row)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("name", ROWS)
def test_the_error_names_what_to_do(name, cause, monkeypatch):
    """In time, with the variable or the setting by its name, and never with the key itself."""
    row = ROWS[name]
    monkeypatch.delenv(row.variable, raising=False)
    provoke, kind, advice = CAUSES[cause]
    error, seconds = simulate(lambda: provoke(row))
    assert isinstance(error, kind)
    told = pytest.raises(type(error), match=advice.format(variable=row.variable))
    with told:
        raise error
    assert seconds <= PATIENCE
    assert UNKNOWN_KEY not in f"{error} {error!r} {error.__cause__!r}"
    if kind is Overloaded:
        assert error.retry_after == 7
