"""Every rung of the dead-air ladder is told, counted, and where its settings put it."""

import asyncio
from dataclasses import asdict

import pytest

from beluga_voice import VoiceSession, registry
from beluga_voice.app import ONE_MOMENT
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import DeadAir, Rung
from beluga_voice.session.metrics import Meter
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from session.stage import play, stage

COUNTED = {
    Rung.NUDGE: "nudges",
    Rung.SWAP: "swaps",
    Rung.SOUND: "sounds",
    Rung.TRANSFER: "transfers",
    Rung.END: "ends",
}


async def never(text: str):
    """Think for ever."""
    await asyncio.Event().wait()
    yield "never"


@pytest.mark.parametrize("rung", Rung)
def test_every_rung_has_a_count_of_its_own(rung):
    """One more of it is one more there, and nowhere else; the wait is that of the longest."""
    meter = Meter()
    before = asdict(meter.metrics())
    meter.count(DeadAir(rung=rung, waited_ms=7000))
    after = asdict(meter.metrics())
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {COUNTED[rung], "longest_wait_ms"}
    assert (after[COUNTED[rung]], after["longest_wait_ms"]) == (1, 7000)


@pytest.mark.parametrize(("answer_ms", "rung_ms"), [(500, 500), (2000, 1000), (20_000, 5000)])
def test_the_bound_is_that_of_the_settings(answer_ms, rung_ms):
    """Whoever waits hears something after the two, and after each rung from then on."""
    dead_air = DeadAirSettings(answer_ms=answer_ms, rung_ms=rung_ms)

    async def scene():
        async with stage(never, settings=EngineSettings(dead_air=dead_air)) as on:
            await on.caller.say("hello")
            await asyncio.sleep((answer_ms + 3 * rung_ms) / 1000 + 0.8)
            return on.caller.sounds_ms

    owed = 780
    starts = [round(start) - owed for start, _ in play(scene)]
    assert starts == [answer_ms + (count + 1) * rung_ms for count in range(3)]


@pytest.mark.parametrize(
    ("language", "words"), [(None, "en"), ("de-AT", "de"), ("pt_BR", "pt"), ("fr", "fr")]
)
def test_who_waits_is_asked_for_patience_in_their_language(language, words, monkeypatch):
    """The embedded voice says it, on the third rung; a service that is silent has no part in it."""

    def create(kind, name, **settings):
        assert (kind, name) == ("tts", "espeak")
        return ScriptedTts()

    monkeypatch.setattr(registry, "create", create)

    async def scene():
        caller = ScriptedCaller()
        session = VoiceSession(
            stt=ScriptedStt(),
            agent=never,
            tts=ScriptedTts(),
            vad=ScriptedVad(),
            line=caller,
            language=language,
            turns=(),
        )
        async with session, caller.on(session):
            await caller.say("hello")
            await asyncio.sleep(11)
            return caller.heard

    assert play(scene) == ONE_MOMENT[words]
