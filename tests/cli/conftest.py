"""Speech that the tests of the command line share."""

import pytest
from cliside import RATE, pause, spoken

from beluga_voice.audio.wav import write_wav


@pytest.fixture(scope="session")
def sounds():
    """A question, and another one."""
    return spoken("what time is it", "what day is it today")


@pytest.fixture(scope="session")
def question(tmp_path_factory, sounds):
    """A WAV file with one question."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    write_wav(path, pause(0.4) + sounds[0] + pause(0.3), RATE)
    return path


@pytest.fixture(scope="session")
def questions(tmp_path_factory, sounds):
    """A WAV file with two questions, the second while the first is being answered."""
    path = tmp_path_factory.mktemp("speech") / "questions.wav"
    write_wav(path, pause(0.4) + sounds[0] + pause(1.2) + sounds[1] + pause(0.3), RATE)
    return path
