"""The examples that use speech-to-speech services, over emulated ones."""

from pathlib import Path

import pytest
from examples.check_my_provider import check
from examples.external_reasoning import converse
from examples.speech_to_speech import ask

from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.speech import Calls, ScriptedBrain, obey
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, speech, words_in

HOST, PORT = "voice.example.com", 80


def test_a_question_in_a_file_is_answered_into_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool is run, and both sides are printed."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    write_wav(question, pcm_of(speech("how is it in Oslo", rate=24000)), 24000)

    async def scene() -> None:
        brain = ScriptedBrain([Calls("weather", '{"city":"Oslo"}')])
        async with OpenAIRealtimeEmulator(brain).serving(HOST, PORT) as service:
            await ask("openai_realtime", question, answer, service.url)

    simulate(scene)
    out = capsys.readouterr().out
    assert "you    how is it in Oslo" in out
    assert "agent  It is cold in Oslo." in out
    assert words_in(read_wav(answer).to_pcm16(24000)) == ["It", "is", "cold", "in", "Oslo."]


def test_our_agent_speaks_through_a_service() -> None:
    """The agent's words are heard, and every response says how faithfully."""

    async def scene() -> list[tuple[str, float | None]]:
        async with OpenAIRealtimeEmulator(obey).serving(HOST, PORT) as service:
            provider = OpenAIRealtime(api_key=KEY, endpoint=service.url)
            return await converse(provider, ["a coffee please", "and another coffee"])

    assert simulate(scene) == [("That makes 1 in all.", 1.0), ("That makes 2 in all.", 1.0)]


def test_a_provider_is_checked() -> None:
    """The check of the example passes."""
    assert len(check().kept) > 40
