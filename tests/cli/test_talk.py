"""`beluga-voice talk` from a file, with the speech services of this package."""

import struct

import numpy as np
import pytest
from cliside import RATE, Ran, command_running, pause, run, start

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.level import dbfs
from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.cli import main
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    FunctionAnswered,
    ResponseOutcome,
    SessionEnded,
    SessionStarted,
    Transcription,
    TurnMeasured,
)
from beluga_voice.session.jsonform import decode

SPEECH_DBFS = -40


def talk(capfd, *arguments):
    """Run the command in this process."""
    status = main(["talk", *map(str, arguments)])
    out, err = capfd.readouterr()
    return Ran(status, out, err)


def events(ran):
    happenings = [decode(line) for line in ran.out.splitlines()]
    assert [one.sequence for one in happenings] == list(range(len(happenings)))
    assert [one.at for one in happenings] == sorted(one.at for one in happenings)
    return [one.event for one in happenings]


def of(found, kind):
    return [one for one in found if isinstance(one, kind)]


def test_a_question_is_answered(question, tmp_path, capfd):
    """What was said, what was answered and where the time went is printed; the sound is written."""
    out, mix = tmp_path / "answer.wav", tmp_path / "call.wav"
    ran = talk(capfd, question, "--out", out, "--mix", mix)
    assert ran.status == 0
    assert ran.err == ""
    assert "   you  what time is it\n" in ran.out
    assert " agent  It is " in ran.out
    assert "ms = endpointing " in ran.out
    assert "1 utterance · 1 response · 0 interruptions" in ran.out
    answer, call = read_wav(out), read_wav(mix)
    assert (answer.format.rate, answer.format.channels) == (24000, 1)
    assert 1000 < answer.duration_ms < 6000
    assert dbfs(answer.data) > SPEECH_DBFS
    assert (call.format.rate, call.format.channels) == (24000, 2)
    assert call.duration_ms >= answer.duration_ms + read_wav(question).duration_ms
    person, agent = np.frombuffer(call.data, "<i2").reshape(-1, 2).T
    assert dbfs(agent.tobytes()) > SPEECH_DBFS - 10
    spoken = np.frombuffer(answer.data, "<i2")
    assert np.abs(agent).sum(dtype=np.int64) == np.abs(spoken).sum(dtype=np.int64)
    assert np.flatnonzero(person)[0] < np.flatnonzero(agent)[0]


def test_events_can_be_read_by_a_program(question, capfd):
    """With `--json` each line is an event, from the start to the end, with sound that is speech."""
    found = events(talk(capfd, question, "--json"))
    assert of(found, SessionStarted)[0].provider == "pocketsphinx+espeak"
    assert isinstance(found[-1], SessionEnded)
    assert found[-1].reason == "hung_up"
    assert [one.text for one in of(found, Transcription) if one.is_final] == ["what time is it"]
    (ended,) = of(found, AgentResponseEnded)
    assert ended.outcome is ResponseOutcome.HEARD
    pcm = b"".join(one.pcm for one in of(found, AgentResponseAudio))
    assert len(pcm) / 2 / 24 == pytest.approx(ended.heard_ms, abs=0.1)
    assert dbfs(pcm) > SPEECH_DBFS
    (measured,) = of(found, TurnMeasured)
    assert 600 <= measured.total_ms < 2000
    assert of(found, ErrorOccurred) == []


def test_several_utterances_are_several_turns(questions, capfd):
    """A polite caller waits for the end of an answer before the next question."""
    found = events(talk(capfd, questions, "--json"))
    finals = [one.text for one in of(found, Transcription) if one.is_final]
    assert len(finals) == 2
    assert finals[0] == "what time is it"
    assert "day" in finals[1]
    assert [one.outcome for one in of(found, AgentResponseEnded)] == [ResponseOutcome.HEARD] * 2
    assert of(found, BargedIn) == []


def test_a_person_who_interrupts_waits_for_something_to_interrupt(tmp_path, sounds, capfd):
    """With `--interrupt-after` an answer sounds for so long; the last one is heard whole."""
    path = tmp_path / "interrupting.wav"
    write_wav(path, pause(0.4) + sounds[0] + pause(0.6) + sounds[1] + pause(0.3), RATE)
    found = events(talk(capfd, path, "--json", "--interrupt-after", "400"))
    (barged,) = of(found, BargedIn)
    cut, whole = of(found, AgentResponseEnded)
    assert (cut.response_id, cut.outcome) == (barged.response_id, ResponseOutcome.CUT)
    assert whole.outcome is ResponseOutcome.HEARD
    assert cut.heard_ms >= 400


def test_a_file_that_runs_on_interrupts(questions, capfd):
    """With `--barge-in` the second question cuts the first answer, which is told word by word."""
    found = events(talk(capfd, questions, "--json", "--barge-in"))
    (barged,) = of(found, BargedIn)
    cut, heard = of(found, AgentResponseEnded)
    assert cut.response_id == barged.response_id
    assert (cut.outcome, heard.outcome) == (ResponseOutcome.CUT, ResponseOutcome.HEARD)
    assert cut.heard_ms < cut.generated_ms
    assert cut.text.startswith(cut.heard_text)


# ── one's own agent ─────────────────────────────────────────────────────────────────────────

AGENT = '''
def add(one: int, two: int) -> int:
    """Add."""
    return one + two

def plain(text):
    return text

async def uses(turn: "AgentTurn") -> str:
    return "The sum is " + await turn.call_tool("add", '{"one": 2, "two": 3}') + "."

uses.tools = (add,)
number = 7

from beluga_voice import AgentTurn
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a module of agents, which is the current one."""
    (tmp_path / "own_agents.py").write_text(AGENT)
    (tmp_path / "broken_agents.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_an_agent_of_the_current_folder_answers(here, question, capfd):
    """A function of one's own is found by its name, and its tools are run."""
    found = events(talk(capfd, question, "--json", "--agent", "own_agents:uses"))
    assert [one.output for one in of(found, FunctionAnswered)] == ["5"]
    assert of(found, AgentResponseEnded)[0].text.strip() == "The sum is 5."


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("own_agents", "'own_agents' should look like module:function"),
        ("own_agents:", "should look like module:function"),
        (":answer", "should look like module:function"),
        ("no_such_module_at_all:answer", "cannot import 'no_such_module_at_all'"),
        ("own_agents:missing", "'own_agents' has no 'missing'"),
        ("own_agents:plain", "plain is no agent: write 'async def plain(text: str)'"),
        ("own_agents:number", "7 is no agent"),
        ("broken_agents:answer", "cannot import 'broken_agents': ZeroDivisionError"),
        (".own_agents:answer", "cannot import '.own_agents'"),
    ],
)
def test_a_wrong_agent_is_told_in_one_line(here, question, capfd, spec, told):
    """The status is 2, and the line says what to correct."""
    assert_refused(talk(capfd, question, "--agent", spec), told)


def assert_refused(ran, told):
    assert (ran.status, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("beluga-voice: ")
    assert told in line
    assert "Traceback" not in ran.err


# ── files of all kinds ──────────────────────────────────────────────────────────────────────


def wav(fmt, data, *, size=None):
    """A WAV file of a format chunk and its sound."""
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data"
    body += struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def layout(codec, channels, rate, bits):
    block = channels * bits // 8
    return struct.pack("<HHIIHH", codec, channels, rate, rate * block, block, bits)


BAD_FILES = {
    "empty": (b"", "is empty"),
    "not a WAV": (b"ID3\x03 this is some other file altogether", "is not a WAV file"),
    "no sound": (wav(layout(1, 1, RATE, 16), b""), "holds no sound"),
    "one byte": (wav(layout(1, 1, RATE, 16), b"\x01"), "holds no sound"),
    "a codec": (wav(layout(0x55, 1, RATE, 16), b"\0" * 100), "MP3"),
    "a rate": (wav(layout(1, 1, 100, 16), b"\0" * 100), "a rate of 100 Hz"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_speech_is_told_in_one_line(name, tmp_path, capfd):
    """The status is 2, and the line names the file and what is wrong."""
    content, told = BAD_FILES[name]
    path = tmp_path / "question.wav"
    path.write_bytes(content)
    ran = talk(capfd, path)
    assert_refused(ran, told)
    assert ran.err.count("question.wav") == 1


def test_a_path_that_cannot_be_read_is_told_in_one_line(tmp_path, capfd):
    """A missing file and a folder are named as such."""
    assert_refused(talk(capfd, tmp_path / "none.wav"), "there is no file")
    assert_refused(talk(capfd, tmp_path), "Is a directory")


@pytest.mark.parametrize("option", ["--out", "--mix"])
def test_a_path_that_cannot_be_written_is_told_before_the_call(option, question, tmp_path, capfd):
    """Nobody talks for minutes to learn that the recording has no place."""
    assert_refused(talk(capfd, question, option, tmp_path / "none" / "a.wav"), "cannot write")
    assert_refused(talk(capfd, question, option, tmp_path), "cannot write")


@pytest.mark.parametrize(
    "shape",
    [
        AudioFormat(Encoding.FLOAT32, 44100, 2),
        AudioFormat(Encoding.MULAW, 8000, 1),
    ],
    ids=["44.1 kHz stereo float", "8 kHz mu-law"],
)
def test_common_formats_are_understood(shape, question, tmp_path, capfd):
    """The same question in another format is one utterance, with words, and answered."""
    data = convert(read_wav(question).data, pcm16(RATE), shape)
    codec = {Encoding.FLOAT32: 3, Encoding.MULAW: 7}[shape.encoding]
    path = tmp_path / "other.wav"
    path.write_bytes(wav(layout(codec, shape.channels, shape.rate, shape.sample_bytes * 8), data))
    found = events(talk(capfd, path, "--json"))
    finals = [one.text for one in of(found, Transcription) if one.is_final]
    assert len(finals) == 1
    assert finals[0].startswith("what ")
    assert of(found, AgentResponseEnded)[0].outcome is ResponseOutcome.HEARD


def test_a_file_that_ends_inside_a_sample_is_used_as_far_as_it_goes(question, tmp_path, capfd):
    """Half a sample at the end is dropped."""
    data = read_wav(question).data
    path = tmp_path / "odd.wav"
    path.write_bytes(wav(layout(1, 1, RATE, 16), data + b"\x01"))
    ran = talk(capfd, path, "--agent", "agents_that_are_not_there:a")
    assert_refused(ran, "agents_that_are_not_there")  # the file was read before the agent
    assert sum(read_wav(path).data) == sum(data)


def test_silence_is_a_call_without_turns(tmp_path, capfd):
    """A file in which nobody speaks ends in order, with nothing answered."""
    path = tmp_path / "silence.wav"
    write_wav(path, bytes(RATE * 2), RATE)
    out = tmp_path / "answer.wav"
    ran = talk(capfd, path, "--out", out)
    assert ran.status == 0
    assert "0 utterances · 0 responses" in ran.out
    assert read_wav(out).duration_ms == 0


# ── the command itself ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("option", ["--stt", "--tts", "--vad"])
def test_an_unknown_part_is_told_with_those_installed(option, question, capfd):
    """The line lists what there is."""
    ran = talk(capfd, question, option, "nothing")
    assert_refused(ran, "named 'nothing'; installed: ")


def test_no_command_shows_help_and_a_wrong_one_usage(capfd):
    """Without a command the help is printed; the status is 2 either way."""
    assert main([]) == 2
    assert "usage: beluga-voice" in capfd.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["sing"])
    assert stopped.value.code == 2
    assert "invalid choice" in capfd.readouterr().err


def test_the_version_is_printed(capfd):
    """`--version` names the program and its version."""
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capfd.readouterr().out.startswith("beluga-voice 0.")


def test_a_reader_that_goes_away_ends_the_call(question):
    """A closed pipe is no traceback."""
    with command_running("talk", question, "--json") as process:
        process.stdout.close()
        assert process.wait(30) == 1
        assert process.stderr.read() == ""


def test_the_installed_command_is_this_one(tmp_path):
    """As a process, a missing file gives status 2, one line and nothing else."""
    ran = run("talk", tmp_path / "none.wav")
    assert_refused(ran, "there is no file")


@pytest.mark.parametrize(
    "option", [("--out", "x.wav"), ("--mix", "x.wav"), ("--barge-in",), ("--interrupt-after", "9")]
)
def test_what_is_for_a_file_is_refused_with_the_microphone(option, capfd):
    """An option that would do nothing is not passed over."""
    ran = talk(capfd, *option)
    told = f"beluga-voice: talk: {option[0]} is for a conversation from a file: give QUESTION.wav\n"
    assert (ran.status, ran.err) == (2, told)


DEVICES = """
import threading
class PortAudioError(Exception):
    pass
def query_devices(kind):
    return {}
class RawOutputStream:
    def __init__(self, **settings):
        pass
    def __enter__(self):
        pass
    def __exit__(self, *_):
        pass
class RawInputStream(RawOutputStream):
    def __init__(self, *, callback, finished_callback, **settings):
        self.callback, self.finished = callback, finished_callback
    def __enter__(self):
        threading.Thread(target=self.run).start()
    def run(self):
        for _ in range(10):
            self.callback(bytes(640), 320, None, None)
        self.finished()
"""


def test_a_microphone_that_goes_away_ends_the_call(tmp_path):
    """One line says so, in place of a call in which nobody is heard any more."""
    (tmp_path / "sounddevice.py").write_text(DEVICES)
    process = start("talk", env={"PYTHONPATH": str(tmp_path)})
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert err.splitlines()[-1] == (
        "beluga-voice: talk: the microphone is gone; see that it is connected, and try again"
    )


def test_without_a_microphone_it_says_what_works_instead(tmp_path):
    """On a machine without sound, one line names the other ways to talk."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    process = start("talk", env={"PYTHONPATH": str(tmp_path)})
    out, err = process.communicate(timeout=30)
    assert_refused(Ran(process.returncode, out, err), "beluga-voice talk QUESTION.wav")
    assert "beluga-voice serve" in err
