"""Services that are emulated on this machine, as processes, and talked to over real sockets."""

import json
import os
import shlex
import signal
from base64 import b64decode
from contextlib import ExitStack
from itertools import batched

import pytest
from cliside import RATE, command_running, finish, nobody_is_left, pause, run, spoken, start

from beluga_voice.audio.level import rms
from beluga_voice.audio.wav import write_wav
from beluga_voice.testing.emulators.catalogue import EMULATORS, all_names

NAMES = tuple(sorted(EMULATORS["s2s"]))
HURRIED = "stt/assemblyai"
"""It has a second to write down what it heard: on a busy machine, the embedded ears take longer."""
ONE_WAY = tuple(one for one in all_names() if not one.startswith("s2s/") and one != HURRIED)
PAIRS = (("stt/deepgram", "tts/cartesia"), ("stt/cartesia", "tts/deepgram"))
"""Services that are used together in one call, each with an endpoint of its own."""
ASKED = "what time is it"
QUESTIONS = (ASKED, "what can you do", "thank you very much")
"""What a person says who lets no answer but the last come to its end."""
SOUNDS_MS = 200
"""How much of an answer they listen to."""
STOPS_BY_ITSELF = "openai_live"
"""A model that hears while it speaks, and decides how soon it is silent."""
CALL_SECONDS = 120
"""More than a busy machine needs: a call takes 20."""


def pasted(told, recording, *more):
    """What an emulator tells one to type: a process that does it, with another file."""
    words = shlex.split(told)
    at = words.index("beluga-voice")
    environment = dict(word.split("=", 1) for word in words[:at])
    arguments = [str(recording) if word == "QUESTION.wav" else word for word in words[at + 1 :]]
    return start(*arguments, "--json", *more, env=environment)


@pytest.fixture(scope="module")
def three_questions(tmp_path_factory):
    """A WAV file with them, and pauses in which to wait for an answer."""
    path = tmp_path_factory.mktemp("speech") / "three.wav"
    sound = b"".join(pause(0.6) + one for one in spoken(*QUESTIONS))
    write_wav(path, sound + pause(0.3), RATE)
    return path


@pytest.fixture(scope="module")
def calls(three_questions):
    """The same person with every service, two at once: how each call ended, by the service."""
    return {name: call for some in batched(NAMES, 2) for name, call in held(some, three_questions)}


def held(names, recording):
    """Calls with some services at once: pairs of a name, and how the call ended."""
    with ExitStack() as stack:
        services = [
            stack.enter_context(command_running("emulate", name, "--port", "0")) for name in names
        ]
        lines = [service.stdout.readline() for service in services]
        interrupting = ("--interrupt-after", str(SOUNDS_MS))
        talks = [pasted(line, recording, *interrupting) for line in lines]
        for talk in talks:
            stack.callback(talk.kill)
        ended = [finish(talk, within_seconds=CALL_SECONDS) for talk in talks]
    return zip(names, ended, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_emulator_tells_one_to_type_is_a_conversation(calls, name):
    """Of three turns: answers are interrupted, and the last is heard to its end."""
    call = calls[name]
    assert call.status == 0, call.err
    events = [json.loads(line) for line in call.out.splitlines()]
    finals = [one for one in events if one["type"] == "transcription" and one["is_final"]]
    assert [one["text"] for one in finals] == list(QUESTIONS)
    sound = b"".join(
        b64decode(one["pcm"]) for one in events if one["type"] == "agent_response_audio"
    )
    assert rms(sound) > 0.01
    *cut, last = [one for one in events if one["type"] == "agent_response_ended"]
    # Where a machine is so busy that the person loses patience, one answer is for two questions.
    assert (len(cut) in (1, 2), last["outcome"]) == (True, "heard")
    # What nobody heard was not said: a service may answer what came before it once more.
    words = "".join(char for char in last["heard_text"].lower() if char not in ":.")
    assert (words.startswith("i heard"), words.endswith(QUESTIONS[-1])) == (True, True)
    # On a machine that does other things too, one of them may be over before it is cut.
    if name == STOPS_BY_ITSELF:
        assert any(is_spoken_over(events, one["response_id"]) for one in cut)
    else:
        assert any(one["outcome"] != "heard" for one in cut)


def is_spoken_over(events, response_id):
    """Whether the person's voice began while that response was to be heard."""
    kinds = [
        one["type"]
        for one in events
        if one.get("response_id") == response_id or one["type"] == "user_speech_started"
    ]
    began, ended = kinds.index("agent_response_started"), kinds.index("agent_response_ended")
    return "user_speech_started" in kinds[began:ended]


AGENT = """
async def answer(text: str) -> str:
    return f"I heard {text}"
"""


@pytest.fixture(scope="module")
def one_way_call(question, tmp_path_factory):
    """A function that makes the call that some emulators, which only hear or speak, tell one to.

    The other part is the embedded one, and the agent repeats what it heard.
    """
    folder = tmp_path_factory.mktemp("agent")
    (folder / "repeating.py").write_text(AGENT)

    def call(*names):
        path = filter(None, (str(folder), os.environ.get("PYTHONPATH")))
        environment = {"PYTHONPATH": os.pathsep.join(path)}
        arguments = ["talk", str(question), "--json", "--agent", "repeating:answer"]
        arguments += ["--phrase", ASKED]
        with ExitStack() as stack:
            services = [
                stack.enter_context(command_running("emulate", name, "--thinking-ms", "0"))
                for name in names
            ]
            for service in services:
                words = shlex.split(service.stdout.readline())
                at = words.index("QUESTION.wav")
                environment |= dict(word.split("=", 1) for word in words[: at - 2])
                arguments += words[at + 1 :]
            talk = start(*arguments, env=environment)
            stack.callback(talk.kill)
            return finish(talk)

    return call


@pytest.mark.parametrize("names", [*((one,) for one in ONE_WAY), *PAIRS], ids=" and ".join)
def test_a_part_of_a_cascade_may_be_emulated(one_way_call, names):
    """What an emulator that hears or speaks tells one to type is a conversation."""
    call = one_way_call(*names)
    assert call.status == 0, call.err
    events = [json.loads(line) for line in call.out.splitlines()]
    words = [
        one["text"] for one in events if one["type"] == "transcription" and one.get("is_final")
    ]
    assert " ".join(words) == ASKED
    sound = b"".join(
        b64decode(one["pcm"]) for one in events if one["type"] == "agent_response_audio"
    )
    assert rms(sound) > 0.01
    (ended,) = [one for one in events if one["type"] == "agent_response_ended"]
    assert (ended["outcome"], ended["text"]) == ("heard", f"I heard {ASKED}")


def test_a_list_of_services():
    """Without a name it lists what there is, by kind."""
    assert run("emulate").out.split() == list(all_names())


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("no_such_service",), "openai_realtime"),
        (("stt/grok",), "s2s/grok"),
        (("deepgram",), "say stt/deepgram or tts/deepgram"),
        (("grok", "--fault", "no_such_fault=1"), "drop_after_audio_ms"),
        (("grok", "--fault", "drop_after_audio_ms=soon"), "takes a number"),
        (("grok", "--test-speech", "--host", "no.such.host.invalid"), "cannot listen"),
    ],
)
def test_what_cannot_be_emulated_is_told(arguments, problem):
    """One line says what is wrong, and what there is."""
    ran = run("emulate", *arguments)
    assert ran.status != 0
    assert problem in ran.err
    assert "Traceback" not in ran.err


def test_a_port_that_is_taken_is_told():
    """Who listens there already is not disturbed, and ends when it is told to, leaving nothing."""
    with command_running("emulate", "grok", "--test-speech") as first:
        *_, endpoint = shlex.split(first.stdout.readline())
        port = endpoint.split("/")[2].rpartition(":")[2]
        second = run("emulate", "openai_live", "--test-speech", "--port", port)
        assert (second.status != 0, f"cannot listen at 127.0.0.1:{port}" in second.err) == (1, 1)
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        ended = finish(first)
        assert (ended.status, nobody_is_left(first)) == (0, True)
