"""Recordings that are posted whole, to each service that takes them."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import beluga_voice
from beluga_voice.errors import (
    ConfigurationError,
    Denied,
    LinkLost,
    Overloaded,
    Rejected,
    Silent,
    Unsupported,
)
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    Transcript,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.deepgram import DeepgramFiles
from beluga_voice.providers.stt.elevenlabs import ScribeFiles
from beluga_voice.testing.conformance import NotEmulated, check_speech_to_text
from beluga_voice.testing.emulators import deepgram_files, elevenlabs_files
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import pcm_of, silence, speech

HOST, PORT = "files.example.com", 80


@dataclass(frozen=True)
class Service:
    """One of them."""

    name: str
    make: Any
    emulator: Any
    key: str
    variable: str
    model: str


SERVICES = [
    Service(
        "deepgram_files",
        DeepgramFiles,
        deepgram_files.DeepgramFilesEmulator,
        deepgram_files.KEY,
        "DEEPGRAM_API_KEY",
        "nova-3",
    ),
    Service(
        "elevenlabs_files",
        ScribeFiles,
        elevenlabs_files.ScribeFilesEmulator,
        elevenlabs_files.KEY,
        "ELEVENLABS_API_KEY",
        "scribe_v2",
    ),
]
every_service = pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.name)


def transcribed(service, text="one two", *, emulator=None, options=None, **settings):
    """A recording of 400 ms through a handle; gives what came of it, and the emulator."""

    async def scene():
        async with service.emulator(**(emulator or {})).serving(HOST, PORT) as server:
            made = {"api_key": service.key, "endpoint": server.url, **settings}
            handle = beluga_voice.stt(service.make(**made), **(options or {}))
            try:
                return await handle.transcribe(pcm_of(speech(text)), rate=16000), server
            except Exception as error:
                return error, server

    return simulate(scene)


@every_service
def test_a_recording_is_transcribed_as_fast_as_it_is_sent(service):
    """Words with times, confidence and language, in no time, after one request."""
    emulator = {"pace": Pace(transcript_ms=700)}
    found, server = transcribed(service, emulator=emulator, options={"wants_words": True})
    assert (found.text, found.took_ms, found.language) == ("one two", 700, "en")
    assert [(word.text, word.start, word.end) for word in found.words] == [
        ("one", 0, 3200),
        ("two", 3200, 6400),
    ]
    assert found.confidence == pytest.approx(0.9, abs=0.01)
    assert len(server.posted) == 1


@pytest.mark.parametrize(
    ("service", "settings", "options", "sent"),
    [
        (
            SERVICES[0],
            {"smart_format": True, "tag": "ours", "mip_opt_out": True, "numerals": True},
            {"language": "de-AT", "phrases": ["Graz", "Linz"], "wants_punctuation": False},
            {
                "model": ["nova-3"],
                "punctuate": ["false"],
                "profanity_filter": ["false"],
                "language": ["de-AT"],
                "keyterm": ["Graz", "Linz"],
                "smart_format": ["true"],
                "numerals": ["true"],
                "mip_opt_out": ["true"],
                "tag": ["ours"],
            },
        ),
        (
            SERVICES[1],
            {"no_verbatim": True, "secondary_languages": ["it", "fr-FR"]},
            {"language": "de-AT", "phrases": ["Graz", "Linz"]},
            {
                "model_id": ["scribe_v2"],
                "tag_audio_events": ["false"],
                "timestamps_granularity": ["none"],
                "language_code": ["de"],
                "secondary_language_codes": ["it", "fr"],
                "no_verbatim": ["true"],
                "keyterms": ["Graz", "Linz"],
            },
        ),
    ],
    ids=["deepgram", "elevenlabs"],
)
def test_settings_are_sent_as_the_service_has_them(service, settings, options, sent):
    """All of them, and nothing else."""
    _, server = transcribed(service, options=options, **settings)
    assert server.posted[0].settings == sent


@every_service
def test_utterances_are_answered_in_order_and_dropped_ones_are_not(service):
    """Each is a file of its own; what was charged is told."""

    async def scene():
        events: list[Any] = []
        async with service.emulator().serving(HOST, PORT) as server:
            made = service.make(api_key=service.key, endpoint=server.url)
            async with made.connect(SttOptions()) as link:
                link.attach(events.append)
                for name, text in (("a", "one"), ("", "never"), ("b", "two")):
                    link.send(SendAudio(pcm=pcm_of(speech(text))))
                    end = FinishUtterance(utterance_id=UtteranceId(name))
                    link.send(end if name else DropUtterance())
                link.send(SendAudio(pcm=silence(500)))
                link.send(FinishUtterance(utterance_id=UtteranceId("c")))
                await asyncio.sleep(1)
        return events, len(server.posted)

    events, count = simulate(scene)
    assert events[0] == LinkReady(model=service.model)
    told = [(one.utterance_id, one.text) for one in events if isinstance(one, Transcript)]
    assert told == [("a", "one"), ("b", "two"), ("c", "")]
    usages = [one.usage for one in events if isinstance(one, UsageReported)]
    assert usages == [Usage(audio_seconds=0.2)] * 2
    assert events[-1] == LinkClosed(is_clean=True, reason="closed by us")
    assert count == 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (400, "corrupt data", Rejected, "HTTP status 400"),
        (402, "no credits", Rejected, "no credits"),
        (403, "the key sk-secret may not", Denied, "check the key and what it may do"),
        (429, "slow down", Overloaded, "slow down"),
        (503, "busy", Overloaded, "busy"),
    ],
)
@every_service
def test_a_refusal_is_an_error_with_its_reason(service, status, body, kind, told):
    """What the service says is in the message, except where it might quote the key."""
    faults = [Faults(refuse_status=status, refuse_body=body, retry_after="7")]
    error, _ = transcribed(service, emulator={"faults": faults})
    assert isinstance(error, kind)
    assert told in str(error)
    assert "sk-secret" not in str(error)
    assert getattr(error, "retry_after", 7) == 7


def test_other_readings_are_given_by_the_models_that_have_them():
    """Deepgram's first families do."""
    options = {"alternatives": 3}
    found, server = transcribed(SERVICES[0], "one two three", model="base", options=options)
    assert server.posted[0].settings["alternatives"] == ["3"]
    assert (found.text, found.alternatives) == ("one two three", ("one two", "one three"))


@every_service
def test_a_wrong_key_is_denied(service):
    """Nobody sees it in the message."""
    error, _ = transcribed(service, api_key="sk-wrong")
    assert isinstance(error, Denied)
    assert "sk-wrong" not in str(error)


@every_service
def test_a_model_that_is_not_offered_is_rejected(service):
    """With the service's own words."""
    error, _ = transcribed(service, model="nova-9")
    assert isinstance(error, Rejected)
    assert "No such model: nova-9" in str(error)


@every_service
def test_a_broken_connection_is_tried_once_more(service):
    """The second request is answered; if it breaks as well, the link is lost."""
    fault = Faults(drop_after_audio_ms=100)
    found, server = transcribed(service, emulator={"faults": [fault]})
    assert (found.text, len(server.posted)) == ("one two", 1)
    error, _ = transcribed(service, emulator={"faults": [fault, fault]})
    assert isinstance(error, LinkLost)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"text": 3}', b'{"results": [', b"[" * 5000])
@every_service
def test_an_answer_that_cannot_be_read_is_named(service, body):
    """Without its words, which are somebody's."""
    error, _ = transcribed(service, emulator={"answers": body})
    assert isinstance(error, LinkLost)
    assert "an answer that cannot be read" in str(error)


@every_service
def test_a_service_that_does_not_answer_is_given_up_in_time(service):
    """After `answer_seconds`, with what to do."""

    async def scene():
        loop = running_simulation()
        faults = [Faults(is_mute=True)]
        async with service.emulator(faults=faults).serving(HOST, PORT) as server:
            made = service.make(api_key=service.key, endpoint=server.url, answer_seconds=5)
            with pytest.raises(Silent, match="in 5 s; connect again, or use another service"):
                await beluga_voice.stt(made).transcribe(pcm_of(speech("one")), rate=16000)
            return loop.time()

    assert simulate(scene) == 5


@every_service
def test_the_rules_of_recognisers_are_kept(service):
    """All that apply: there are no interim words, and no connection."""

    @asynccontextmanager
    async def make(peer):
        if peer.faults.drop_after_audio_ms is not None:
            raise NotEmulated("nothing is sent before the end of an utterance")
        server = service.emulator(pace=peer.pace, faults=[peer.faults])
        async with server.serving(HOST, PORT):
            yield service.make(api_key=service.key, endpoint=server.url)

    assert set(check_speech_to_text(make).not_applicable) == {
        "INTERIM_IS_WHOLE",
        "LOSS_IS_AN_EVENT",
        "NOTHING_AFTER_THE_END (lost)",
    }


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: DeepgramFiles("flux-general-en"), "takes no files"),
        (lambda: DeepgramFiles(endpoint="nowhere"), "endpoint"),
        (lambda: DeepgramFiles(answer_seconds=0), "answer_seconds"),
        (lambda: ScribeFiles(""), "give a model"),
        (lambda: ScribeFiles(endpoint="nowhere"), "endpoint"),
        (lambda: ScribeFiles(answer_seconds=0), "answer_seconds"),
    ],
)
def test_what_makes_no_sense_is_refused(make, problem):
    """When the provider is made."""
    with pytest.raises(ConfigurationError, match=problem):
        make()


def test_what_the_service_does_not_take_is_refused_before_connecting():
    """Phrases of another model, and more of them than there may be."""
    with pytest.raises(Unsupported, match="phrases"):
        beluga_voice.stt(DeepgramFiles("nova-2"), phrases=["one"])
    error, _ = transcribed(SERVICES[1], options={"phrases": ["x" * 51]})
    assert isinstance(error, Unsupported)
