"""`providers` tells what there is, and `check` what is wrong with it."""

import json
import os
from importlib.metadata import PackageNotFoundError

import pytest

from beluga_voice import registry
from beluga_voice.cli import providers
from beluga_voice.cli.main import main


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    """Forget the credentials of this machine."""
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name.startswith("AWS_"):
            monkeypatch.delenv(name)


def rows(capsys):
    """What `providers --json` gives, by kind and name."""
    assert main(["providers", "--json"]) == 0
    return {(row["kind"], row["name"]): row for row in json.loads(capsys.readouterr().out)}


def test_every_provider_is_listed(capsys):
    """Local ones and hosted ones are there, with what they need and what they can do."""
    found = rows(capsys)
    assert found["stt", "pocketsphinx"]["credentials"] == "local"
    hosted = found["s2s", "openai_realtime"]
    assert hosted["credentials"] == "missing: OPENAI_API_KEY"
    assert "truncate" in hosted["can"]
    assert len({kind for kind, _ in found}) >= 4


def test_credentials_of_the_environment_are_seen(capsys, monkeypatch):
    """A key is present, and is not printed."""
    monkeypatch.setenv("XAI_API_KEY", "secret-of-ours")
    assert rows(capsys)["s2s", "grok"]["credentials"] == "present"
    assert main(["providers"]) == 0
    out = capsys.readouterr().out
    assert "present" in out
    assert "secret" not in out


def test_every_hosted_service_says_what_it_needs(capsys):
    """No service that is reached over a network counts as local."""
    found = rows(capsys)
    s2s = [row for (kind, _), row in found.items() if kind == "s2s"]
    assert len(s2s) == 6
    assert all(row["credentials"].startswith("missing: ") for row in s2s)


def test_extras_and_settings_are_listed(capsys):
    """What a provider needs to be installed, and what it can be told."""
    found = rows(capsys)
    extras = {key: row["extra"] for key, row in found.items()}
    assert extras["stt", "whisper"] == "whisper"
    assert extras["noise", "rnnoise"] == "rnnoise"
    assert extras["stt", "deepgram"] == "-"
    assert {"phrases", "profanity", "punctuation"} < set(found["stt", "deepgram"]["can"])
    assert {"ssml", "stability"} < set(found["tts", "elevenlabs"]["can"])


def test_an_extra_that_is_not_installed_is_told_with_its_command(capsys, monkeypatch):
    """What lacks a package is not tried, and the line that installs it is there to be copied."""
    find = providers.distribution

    def lacking(name):
        if name in ("faster-whisper", "webrtcvad-wheels"):
            raise PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(providers, "distribution", lacking)
    found = rows(capsys)
    line = "pip install 'beluga-voice[webrtc-vad]'"
    assert found["vad", "webrtc"]["installed"] == line
    assert found["stt", "whisper"]["installed"] == "pip install 'beluga-voice[whisper]'"
    assert found["vad", "silero"]["installed"] == "yes"
    assert main(["check"]) == 0
    assert f"vad webrtc: not tried; install it: {line}" in capsys.readouterr().err


def test_ears_are_tried_by_making_them(capsys):
    """A detector is well when it can be made; one without its model says where that is."""
    assert main(["check", "silero", "noise/webrtc"]) == 0
    told = capsys.readouterr().out
    assert "vad silero: ready" in told
    assert "noise webrtc: ready" in told
    assert "vad webrtc" not in told
    assert main(["check", "smart_turn"]) == 1
    assert "model" in capsys.readouterr().out


def test_a_local_service_is_well(capsys):
    """The embedded recogniser and voice can be used."""
    assert main(["check", "pocketsphinx", "espeak"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok") == 2


def test_what_keeps_a_service_from_being_used_is_told(capsys):
    """A missing key is a failure that names the variable, and the status says so."""
    assert main(["check", "openai_realtime"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAILED")
    assert "OPENAI_API_KEY" in out


def test_without_names_those_without_credentials_are_left_out(capsys):
    """What is not tried is told too, so that silence does not look like health."""
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert "stt pocketsphinx: ready" in told.out
    assert "s2s grok: not tried; set XAI_API_KEY" in told.err
    assert "can be used as they are" in told.err


def test_an_unknown_name_is_refused(capsys):
    """The error lists the names there are."""
    assert main(["check", "nobody"]) == 2
    assert "pocketsphinx" in capsys.readouterr().err


def test_a_port_where_nobody_listens_is_told(capsys, monkeypatch):
    """A refused connection is a failure with the address in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    arguments = ["check", "openai_realtime", "--endpoint", "ws://127.0.0.1:9/v1/realtime"]
    assert main(arguments) == 1
    assert "127.0.0.1:9" in capsys.readouterr().out


def test_what_needs_more_settings_is_told(capsys, monkeypatch):
    """A service that cannot be made from its name alone is a failure that says what to do."""
    monkeypatch.setenv("ELEVENLABS_API_KEY", "k")
    assert main(["check", "s2s/elevenlabs"]) == 1
    assert "use it in a program" in capsys.readouterr().out


def test_an_address_that_a_service_does_not_take_is_told(capsys, monkeypatch):
    """One that has none, and one that is none: what is wrong is the address, and nothing else."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
    assert main(["check", "pocketsphinx", "--endpoint", "ws://127.0.0.1:9"]) == 1
    assert "'pocketsphinx' does not take endpoint" in capsys.readouterr().out
    assert main(["check", "stt/deepgram", "--endpoint", "nonsense"]) == 1
    told = capsys.readouterr().out
    assert told == "FAILED  stt deepgram: endpoint: give wss://host, or wss://host/path\n"


def test_the_words_of_the_table_are_explained(capsys):
    """Every word of the last column that does not explain itself has a line below."""
    assert main(["providers"]) == 0
    table, _, legend = capsys.readouterr().out.partition("\n\n")
    used = {word for line in table.splitlines()[1:] for word in line.split()[4:]}
    for name, meaning in providers.LEGEND.items():
        assert any(one == name or one.startswith(name) for one in used)
        assert f"{name:12}  {meaning}" in legend


def test_a_port_that_is_none_is_refused(capsys):
    """A number that no port has is an error of the command line, not a traceback."""
    assert main(["emulate", "gemini_live", "--port", "70000", "--test-speech"]) == 2
    assert "0 to 65535" in capsys.readouterr().err


def test_a_kind_may_be_named_too(capsys, monkeypatch):
    """`tts/deepgram` is the voice alone, where the name is also that of a recogniser."""
    monkeypatch.setenv("DEEPGRAM_API_KEY", "k")
    assert main(["check", "tts/deepgram", "--endpoint", "ws://127.0.0.1:9"]) == 1
    told = capsys.readouterr().out
    assert "tts deepgram" in told
    assert "stt deepgram" not in told
    assert main(["check", "tts/nobody"]) == 2


@pytest.fixture
def broken_plugins(tmp_path, monkeypatch):
    """Install a package with one plugin that cannot be imported, and one that cannot be made."""
    package = tmp_path / "acme-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    points = (
        "[beluga_voice.stt]\nabsent = acme_nowhere:X\n[beluga_voice.vad]\nbad = acme_ears:make\n"
    )
    (package / "entry_points.txt").write_text(points)
    (tmp_path / "acme_ears.py").write_text("def make():\n    raise RuntimeError('no ears')\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._points.cache_clear()
    yield
    registry._points.cache_clear()


def test_a_broken_plugin_is_told_of(broken_plugins, capsys):
    """The others are listed and tried, and what is wrong with it is said."""
    found = rows(capsys)
    assert found["stt", "absent"]["installed"] == "broken"
    assert found["vad", "bad"]["installed"] == "broken"
    assert found["stt", "pocketsphinx"]["installed"] == "yes"
    assert main(["check", "stt/absent", "vad/bad", "vad/energy"]) == 1
    out = capsys.readouterr().out
    assert "the stt 'absent' of acme cannot be loaded: ModuleNotFoundError" in out
    assert "vad bad: it cannot be made: RuntimeError: no ears" in out
    assert "ok      vad energy" in out
