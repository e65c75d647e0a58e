"""A recorded provider is as it was, and what went over it is in the file, come what may."""

import asyncio
import json
import shutil
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from beluga_voice.errors import ConfigurationError, Misuse, Overloaded
from beluga_voice.events import ErrorCategory, FinishSpeech, Transcription
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.testing.conformance import (
    check_speech_to_speech,
    check_speech_to_text,
    check_text_to_speech,
)
from beluga_voice.testing.faults import Complaint, Faulty, Hang, Phase, Refusal, Refused, When
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.recording.reading import read, sound_of
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from conformance.parts import good_stt, good_tts, making
from faults.faulty_parts import frames, recognise, run, speak
from recording.taped import record
from scenarios.cascade_row import cascade

SECRET = "sk-live-0123456789abcdef"


def lines(path):
    """All of them."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def recorded(make, folder):
    """A maker of what another maker makes, recorded to a file of its own."""
    count = 0

    @asynccontextmanager
    async def making_recorded(peer):
        nonlocal count
        count += 1
        async with make(peer) as one:
            yield Recorded(one, to=folder / f"{count}.jsonl")

    return making_recorded


def test_a_recorded_provider_keeps_the_rules(tmp_path):
    """As the one inside does, for each kind."""
    for number, (check, make) in enumerate(
        [
            (check_speech_to_text, making(good_stt)),
            (check_text_to_speech, making(good_tts)),
            (check_speech_to_speech, cascade),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert check(recorded(make, folder)) == check(make)


def test_what_was_said_is_in_the_file_by_its_shape_only(tmp_path):
    """A header, then all lines with their times; no word of anybody."""
    path = tmp_path / "call.jsonl"
    record(path)
    header, *rest = lines(path)
    assert header["beluga_voice_recording"] == 1
    assert header["provider"] == "scripted_stt+scripted_tts"
    assert (header["keeps_audio"], header["keeps_words"]) == (False, False)
    _, _, text = path.read_text().partition("\n")
    for word in ("what", "time", "seven"):
        assert word not in text
    assert [one["t"] for one in rest] == sorted(one["t"] for one in rest)
    orders = [
        (one["t"], one["type"])
        for one in rest
        if one["is"] == "sent" and one["type"] != "send_audio"
    ]
    assert orders == [(40, "start_user_turn"), (1380, "end_user_turn")]
    assert [one["is"] for one in rest if one["is"] not in ("sent", "heard", "voice", "ears")] == [
        "connect",
        "open",
        "left",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_words_and_sound_are_kept_where_that_is_wanted(tmp_path):
    """And can be had back."""
    path = tmp_path / "call.jsonl"
    record(path, keeps=("words", "audio"))
    recording = read(path)
    heard = [line for line in recording.links[0] if line.what == "heard"]
    assert "what time is it" in [line.fields.get("text") for line in heard]
    sound = [line.fields["pcm"] for line in heard if line.kind == "response_audio"]
    assert b"".join(map(sound_of, sound)) == b"".join(
        frames("one two three four five six seven eight nine ten", rate=24000)
    )


@pytest.mark.parametrize("keeps", [(), ("words", "audio")])
def test_a_secret_in_an_error_is_not_in_the_file(tmp_path, keeps):
    """Also when words are kept."""
    path = tmp_path / "call.jsonl"
    complaint = Complaint(
        category=ErrorCategory.AUTH,
        message=f"the key {SECRET} is wrong",
        when=When(phase=Phase.AWAITED),
    )
    record(path, complaint, keeps=keeps)
    assert SECRET not in path.read_text()
    assert '"service_failed"' in path.read_text()


def test_what_kept_a_connection_from_coming_about_is_recorded(tmp_path):
    """The kind of error, and when to come back; the next connection is the second."""
    path = tmp_path / "ears.jsonl"
    refusal = Refusal(
        why=Refused.OVERLOADED, retry_after=3, when=When(phase=Phase.CONNECTING, connections=1)
    )
    provider = Recorded(Faulty(ScriptedStt(), refusal), to=path)

    async def scene():
        with pytest.raises(Overloaded):
            async with provider.connect(SttOptions()):
                pass
        return await recognise(provider, "hello")

    simulate(scene)
    failed = next(one for one in lines(path) if one.get("is") == "failed")
    assert (failed["error"], failed["retry_after"], failed["link"]) == ("Overloaded", 3, 1)
    assert {one.get("link") for one in lines(path)} == {None, 1, 2}


def test_a_connection_that_was_given_up_is_recorded_as_such(tmp_path):
    """While it hangs."""
    path = tmp_path / "ears.jsonl"
    provider = Recorded(Faulty(ScriptedStt(), Hang(when=When(phase=Phase.CONNECTING))), to=path)

    async def scene():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2), provider.connect(SttOptions()):
                pass

    simulate(scene)
    assert [(one["t"], one["is"]) for one in lines(path)[1:]] == [(0, "connect"), (2000, "failed")]
    assert lines(path)[-1]["error"] == "CancelledError"


# ── the file ────────────────────────────────────────────────────────────────────────────────


def test_a_recording_is_never_written_over(tmp_path):
    """The connection is refused instead, and the file is as it was."""
    path = tmp_path / "call.jsonl"
    path.write_text("mine")
    with pytest.raises(ConfigurationError, match="there already"):
        run(speak, Recorded(ScriptedTts(), to=path))
    assert path.read_text() == "mine"
    with pytest.raises(ConfigurationError, match="cannot record"):
        run(speak, Recorded(ScriptedTts(), to=tmp_path / "nowhere" / "call.jsonl"))


def test_connections_at_the_same_moment_go_into_one_file(tmp_path):
    """The header comes first, and each has its number."""
    path = tmp_path / "voice.jsonl"
    provider = Recorded(ScriptedTts(), to=path)

    async def scene():
        await asyncio.gather(speak(provider, "one"), speak(provider, "two"))

    simulate(scene)
    header, *rest = lines(path)
    assert header["beluga_voice_recording"] == 1
    assert {one["link"] for one in rest} == {1, 2}
    assert read(path).links[1][0].what == "connect"


def test_a_recording_ends_at_its_bound(tmp_path):
    """It says so, it is not larger, and the call goes on."""
    path = tmp_path / "voice.jsonl"
    told = run(speak, Recorded(ScriptedTts(), to=path, max_bytes=3000))
    assert told.words == "alpha bravo"
    assert path.stat().st_size <= 3020
    assert lines(path)[-1] == {"is": "full"}
    assert read(path).is_full


def test_what_a_slow_disk_cannot_take_is_dropped_and_counted(tmp_path):
    """The call does not wait for it."""
    path = tmp_path / "voice.jsonl"
    told = run(speak, Recorded(ScriptedTts(), to=path, max_waiting_bytes=1500))
    assert told.words == "alpha bravo"
    whole = tmp_path / "whole.jsonl"
    run(speak, Recorded(ScriptedTts(), to=whole))
    missing = read(path).missing
    assert missing > 3
    written = [one for one in lines(path) if one.get("is") != "dropped"]
    assert len(written) + missing == len(lines(whole))


def test_a_disk_that_fails_ends_the_recording_and_not_the_call(tmp_path, caplog):
    """It is logged once."""
    folder = tmp_path / "gone"
    folder.mkdir()

    async def ask(caller, _):
        await caller.say("one")
        await asyncio.sleep(1)
        shutil.rmtree(folder)
        await asyncio.sleep(2)
        await caller.say("two")
        await asyncio.sleep(3)

    seen = record(folder / "call.jsonl", scene=ask)
    finals = [one.text for one in seen.of(Transcription) if one.is_final]
    assert finals == ["one", "two"]
    assert [one.message for one in caplog.records if "recording" in one.message] == [
        "a recording ends: FileNotFoundError"
    ]


def test_a_process_that_dies_leaves_a_file_that_can_be_read(tmp_path):
    """All that was written before is there; a line that broke off is told and left out."""
    path = tmp_path / "voice.jsonl"
    code = f"""
import asyncio, os
from beluga_voice.events import FinishSpeech, SpeakText
from beluga_voice.interfaces import TtsOptions
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.testing.scripted import ScriptedTts

async def main():
    provider = Recorded(ScriptedTts(), to={str(path)!r})
    async with provider.connect(TtsOptions()) as link:
        link.attach(lambda _: None)
        link.send(SpeakText(context_id="c", text="alpha"))
    async with provider.connect(TtsOptions()) as link:
        os._exit(7)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 7
    recording = read(path)
    assert [line.what for line in recording.links[0]][:3] == ["connect", "open", "sent"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] if whole.endswith(b"\n") else whole)
    torn = read(path)
    assert torn.is_torn
    assert len(torn.links[0]) >= len(recording.links[0]) - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 .* broken"),
        ("{}\n", "no recording"),
        ('{"beluga_voice_recording":9}\n', "version 9"),
        ('{"beluga_voice_recording":1}\n', "header .* broken"),
        ("hello\n", "line 1 .* broken"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path, content, message):
    """Saying what was found."""
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    with pytest.raises(Misuse, match=message):
        read(path)


def test_a_broken_line_is_named(tmp_path):
    """By its number; and a file that is not there is a setting to correct."""
    path = tmp_path / "voice.jsonl"
    run(speak, Recorded(ScriptedTts(), to=path))
    broken = path.read_text().splitlines()
    broken[3] = broken[3][:-2]
    path.write_text("\n".join(broken) + "\n")
    with pytest.raises(Misuse, match="line 4 "):
        read(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read(tmp_path / "nothing")


def test_a_recorder_is_a_wrapper_like_the_others(tmp_path):
    """It has the name and capabilities of what is inside, and keeps that warm."""
    inner = ScriptedTts()
    wrapper = Recorded(inner, to=Path(tmp_path) / "x")
    assert (wrapper.name, wrapper.capabilities) == (inner.name, inner.capabilities)
    assert wrapper.inside == (inner,)

    async def scene():
        async with wrapper.warm(), wrapper.connect(TtsOptions()) as link:
            events = aiter(link)
            link.send(FinishSpeech(context_id="c"))
            return await anext(events)

    assert simulate(scene).context_id == "c"
