"""Settings from the environment and a file, and what the command line makes of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from beluga_voice import config
from beluga_voice.cli.main import DEFAULTS, USAGE, main
from beluga_voice.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own, in an empty folder."""
    for name in list(os.environ):
        if name.upper().startswith(config.PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def file(text: str, name: str = config.FILE_NAME) -> None:
    Path(name).write_text(text, encoding="utf-8")


def problem() -> ConfigurationError:
    """What is wrong with the settings. Neither the error nor its causes hold the secret."""
    with pytest.raises(ConfigurationError) as caught:
        config.read()
    error: BaseException | None = caught.value
    while error is not None:
        assert "sesame" not in f"{error!s}{error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return caught.value


def test_without_any_there_are_the_defaults():
    """Nothing set is what the embedded parts make of it, on this machine only."""
    settings = config.read()
    assert settings.model_dump() == {
        "stt": None,
        "tts": None,
        "s2s": None,
        "endpoint": None,
        "stt_endpoint": None,
        "tts_endpoint": None,
        "vad": None,
        "agent": None,
        "voice": None,
        "language": None,
        "instructions": "",
        "greeting": "",
        "phrases": (),
        "memory": None,
        "caller": None,
        "host": "127.0.0.1",
        "port": 8080,
        "max_sessions": 100,
        "max_sessions_per_tenant": None,
        "max_links": None,
        "resume_seconds": 30.0,
        "drain_seconds": 20.0,
        "checkpoints": None,
        "shared_breakers": None,
        "transfer": None,
        "allow_origins": (),
        "token": None,
    }


def test_the_file_of_the_folder_is_read():
    """Every setting can be in the file."""
    file("""
stt: one
tts: two
s2s: four
endpoint: wss://voice.example.com/v1
stt_endpoint: wss://hears.example.com
tts_endpoint: https://speaks.example.com/v1
vad: three
agent: app:answer
voice: clara
language: de-AT
instructions: Be kind.
greeting: Hello, how can I help?
phrases: [what time is it, flip a coin]
memory: calls.db
caller: "+49 30 1234567"
host: 0.0.0.0
port: 8081
max_sessions: 7
max_sessions_per_tenant: 2
max_links: 5
resume_seconds: 10
drain_seconds: 2.5
checkpoints: redis://127.0.0.1:6379/0
shared_breakers: redis://127.0.0.1:6379/1
transfer: "+49 30 1234567"
allow_origins:
  - https://example.com
token: open-sesame-open-sesame
""")
    settings = config.read()
    assert settings.token.get_secret_value() == "open-sesame-open-sesame"
    assert "sesame" not in repr(settings)
    assert settings.model_dump(exclude={"token"}) == {
        "stt": "one",
        "tts": "two",
        "s2s": "four",
        "endpoint": "wss://voice.example.com/v1",
        "stt_endpoint": "wss://hears.example.com",
        "tts_endpoint": "https://speaks.example.com/v1",
        "vad": "three",
        "agent": "app:answer",
        "voice": "clara",
        "language": "de-AT",
        "instructions": "Be kind.",
        "greeting": "Hello, how can I help?",
        "phrases": ("what time is it", "flip a coin"),
        "memory": "calls.db",
        "caller": "+49 30 1234567",
        "host": "0.0.0.0",
        "port": 8081,
        "max_sessions": 7,
        "max_sessions_per_tenant": 2,
        "max_links": 5,
        "resume_seconds": 10.0,
        "drain_seconds": 2.5,
        "checkpoints": "redis://127.0.0.1:6379/0",
        "shared_breakers": "redis://127.0.0.1:6379/1",
        "transfer": "+49 30 1234567",
        "allow_origins": ("https://example.com",),
    }


def test_the_environment_goes_before_the_file(monkeypatch):
    """A variable wins over the line of the file; what it does not set is the file's."""
    file("port: 8081\nhost: localhost\n")
    monkeypatch.setenv("BELUGA_VOICE_PORT", "9000")
    settings = config.read()
    assert (settings.port, settings.host) == (9000, "localhost")


def test_the_file_may_be_elsewhere(monkeypatch):
    """The file that is pointed at is read, and not the one in the folder."""
    file("port: 1\nhost: localhost\n")
    file("port: 2\n", "other.yaml")
    monkeypatch.setenv("BELUGA_VOICE_CONFIG", "other.yaml")
    settings = config.read()
    assert (settings.port, settings.host) == (2, "127.0.0.1")


@pytest.mark.parametrize(
    "text", ["what time is it; flip a coin ;", '["what time is it", "flip a coin"]']
)
def test_a_list_in_the_environment(monkeypatch, text):
    """Lists are parts between semicolons, or JSON."""
    monkeypatch.setenv("BELUGA_VOICE_PHRASES", text)
    assert config.read().phrases == ("what time is it", "flip a coin")


def test_an_empty_variable_is_none(monkeypatch):
    """A variable without a value leaves the default, also for numbers and lists."""
    for name in ("STT", "PORT", "PHRASES", "CONFIG"):
        monkeypatch.setenv(f"BELUGA_VOICE_{name}", "")
    settings = config.read()
    assert (settings.stt, settings.port, settings.phrases) == (None, 8080, ())


def test_an_empty_file_sets_nothing():
    """A file of comments is as good as none."""
    file("# port: 1\n")
    assert config.read().port == 8080


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot: 8081", "'prot' in beluga-voice.yaml is no setting; there are stt, tts"),
        ("PORT: 8081", "'PORT' in beluga-voice.yaml is no setting"),
        ("8081: port", "'8081' in beluga-voice.yaml is no setting"),
        ("port: many", "port in beluga-voice.yaml should be a whole number from 0 to 65535"),
        ("port: 65536", "a whole number from 0 to 65535"),
        ("port: yes", "a whole number from 0 to 65535"),
        ("port: 80.5", "a whole number from 0 to 65535"),
        ("max_sessions: 0", "a whole number from 1"),
        ("max_links: 0", "a whole number from 1"),
        ("resume_seconds: -1", "a number of seconds, 0 or more"),
        ("drain_seconds: yes", "a number of seconds, 0 or more"),
        ("phrases: one", "phrases in beluga-voice.yaml should be a list"),
        ("phrases: [1]", "phrases in beluga-voice.yaml should be a list"),
        ("voice: [a]", "voice in beluga-voice.yaml should be the service's name of a voice"),
        ("agent: answer", "agent in beluga-voice.yaml should be text like module:function"),
        ("token: [open, sesame]", "token in beluga-voice.yaml should be text"),
        ("token: {open: sesame", "beluga-voice.yaml (line 1) is not YAML"),
        ("- port", "beluga-voice.yaml should hold lines like"),
        ("sesame", "beluga-voice.yaml should hold lines like"),
        ("port: !!python/name:os.system", "beluga-voice.yaml (line 1) is not YAML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text, says):
    """The error has the key, and what is allowed there; never what was there instead."""
    file(text)
    assert says in str(problem())


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BELUGA_VOICE_PROT", "1", "variable BELUGA_VOICE_PROT is no setting; there are BELUGA_V"),
        ("BELUGA_VOICE_PORT", "sesame", "BELUGA_VOICE_PORT should be a whole number"),
        ("BELUGA_VOICE_PHRASES", '["sesame"', "should be a list"),
        ("BELUGA_VOICE_CONFIG", "nowhere.yaml", "cannot read nowhere.yaml: No such file"),
        ("BELUGA_VOICE_CONFIG", ".", "cannot read .: Is a directory"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(monkeypatch, name, value, says):
    """The error has the variable, and what is allowed there."""
    monkeypatch.setenv(name, value)
    assert says in str(problem())


def test_a_file_in_another_encoding_is_named():
    """A file that is not UTF-8 is said to be none."""
    Path(config.FILE_NAME).write_bytes(b"greeting: gr\xfc\xdf Gott")
    assert "beluga-voice.yaml is not UTF-8" in str(problem())


# ── the command line ────────────────────────────────────────────────────────────────────────


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that cannot work says."""
    assert main(arguments) == USAGE
    return capsys.readouterr().err


def test_a_command_takes_its_settings_from_the_file(capsys):
    """What the command line leaves out is the file's."""
    file("agent: nowhere:answer")
    assert "cannot import 'nowhere'" in told(capsys, "serve")


def test_the_command_line_goes_before_all(capsys, monkeypatch):
    """An option wins over the environment and the file."""
    file("agent: nowhere:answer")
    monkeypatch.setenv("BELUGA_VOICE_AGENT", "elsewhere:answer")
    assert "cannot import 'elsewhere'" in told(capsys, "serve")
    assert "cannot import 'here'" in told(capsys, "serve", "--agent", "here:answer")


def test_a_wrong_setting_is_told_and_not_traced(capsys):
    """A slip in the file is one line to read, and exit status 2."""
    file("port: many")
    said = told(capsys, "serve")
    assert said.count("\n") == 1
    assert said.startswith("beluga-voice: config: port in beluga-voice.yaml should be")


def test_a_token_from_the_environment_opens_the_server(capsys, monkeypatch):
    """The token that the server checks is that of the settings, and is not printed."""
    monkeypatch.setenv("BELUGA_VOICE_TOKEN", "too short!")
    said = told(capsys, "serve", "--stt", "pocketsphinx")
    assert "the token must be 16 to 256" in said
    assert "too short!" not in said


def test_the_defaults_of_the_command_line_are_those_of_the_settings():
    """A command without settings does as one whose settings are all defaults."""
    names = {"phrase": "phrases", "allow_origin": "allow_origins"}
    settings = config.read().model_dump()
    assert {names.get(name, name): value for name, value in DEFAULTS.items()} == settings


@pytest.mark.parametrize(
    "program",
    [
        "from beluga_voice.cli.main import main\nassert main(['talk', 'nowhere.wav']) == 2",
        "import beluga_voice, beluga_voice.app",
        "from beluga_voice.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_pydantic_is_loaded_only_where_settings_are_read(program):
    """Importing, asking for help, and talking without settings load neither pydantic nor YAML."""
    check = "import sys\nassert not {'pydantic', 'pydantic_settings', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"{program}\n{check}"], check=True, capture_output=True)
