"""Settings from the environment and a file.

    BELUGA_VOICE_PORT=8081 beluga-voice serve

or, in `beluga-voice.yaml` in the current folder or wherever `BELUGA_VOICE_CONFIG` points:

    stt: pocketsphinx
    greeting: Hello, how can I help?
    phrases: [what time is it, flip a coin]
    port: 8081

The command line goes before the environment, and the environment before the file. In the
environment, lists are separated by `;`, or are JSON; an empty variable is as good as none. Names
that are unknown are errors, because a setting with a slip in its name would be ignored in silence.
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from beluga_voice.errors import ConfigurationError

PREFIX = "BELUGA_VOICE_"
PATH_VARIABLE = f"{PREFIX}CONFIG"
FILE_NAME = "beluga-voice.yaml"


def _no_truth(value: object) -> object:
    """YAML reads `yes` as true, and true counts as 1."""
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


_ADDRESS = r"^(wss?|https?)://\S+$"
_ADDRESS_TOLD = "an address like wss://host/path"

type _Number = Annotated[int, BeforeValidator(_no_truth)]
type _Seconds = Annotated[float, BeforeValidator(_no_truth)]


class _Environment(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list: JSON, or parts between semicolons."""
        text = str(value)
        if text.lstrip().startswith("["):
            # What is no JSON goes on as it is, to be refused by its name: here it would be quoted.
            with suppress(ValueError):
                return json.loads(text)
            return text
        return [part.strip() for part in text.split(";") if part.strip()]


class Settings(BaseSettings):
    """What can be set; `None` leaves it to the part that uses it.

    Each description says what is allowed, and is shown when something else was given.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    stt: str | None = Field(None, description="the name of a speech-to-text, as text")
    tts: str | None = Field(None, description="the name of a text-to-speech, as text")
    s2s: str | None = Field(None, description="the name of a speech-to-speech service, as text")
    endpoint: str | None = Field(None, pattern=_ADDRESS, description=_ADDRESS_TOLD)
    stt_endpoint: str | None = Field(None, pattern=_ADDRESS, description=_ADDRESS_TOLD)
    tts_endpoint: str | None = Field(None, pattern=_ADDRESS, description=_ADDRESS_TOLD)
    vad: str | None = Field(None, description="the name of a voice detector, as text")
    agent: str | None = Field(
        None, pattern=r"^[^:\s]+:[^:\s]+$", description="text like module:function"
    )
    voice: str | None = Field(None, description="the service's name of a voice, as text")
    language: str | None = Field(None, description="a language tag such as en or de-AT, as text")
    instructions: str = Field("", description="what the model is told to be, as text")
    greeting: str = Field("", description="what the agent says first, as text")
    phrases: tuple[str, ...] = Field((), description="a list of likely sentences, each as text")
    memory: str | None = Field(None, description="the path of a file, as text")
    caller: str | None = Field(None, description="whom the memory is of, as text")
    host: str = Field("127.0.0.1", min_length=1, description="an address to listen on, as text")
    port: _Number = Field(8080, ge=0, le=65535, description="a whole number from 0 to 65535")
    max_sessions: _Number = Field(100, ge=1, description="a whole number from 1")
    max_sessions_per_tenant: _Number | None = Field(None, ge=1, description="a whole number from 1")
    max_links: _Number | None = Field(None, ge=1, description="a whole number from 1")
    resume_seconds: _Seconds = Field(30.0, ge=0, description="a number of seconds, 0 or more")
    drain_seconds: _Seconds = Field(20.0, ge=0, description="a number of seconds, 0 or more")
    checkpoints: str | None = Field(
        None, min_length=1, description="a path, or an address like redis://host:6379/0, as text"
    )
    shared_breakers: str | None = Field(
        None,
        pattern=r"^(rediss?|unix)://\S+$",
        description="an address like redis://host:6379/0",
    )
    transfer: str | None = Field(
        None, min_length=1, description="where calls go on that nobody answers, as text"
    )
    allow_origins: tuple[str, ...] = Field(
        (), description="a list of origins such as https://example.com, each as text"
    )
    token: SecretStr | None = Field(None, description="text that callers have to know")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what `read` found in the file."""
        return _Environment(settings_cls), init_settings


def read() -> Settings:
    """The settings of this process.

    Raises `ConfigurationError` that names the setting and what is allowed, never its value.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.upper().startswith(PREFIX)
        and name.upper() != PATH_VARIABLE
        and name.upper().removeprefix(PREFIX).lower() not in Settings.model_fields
    )
    if unknown:
        raise _unknown(f"the environment variable {unknown[0]}", prefix=PREFIX)
    named = os.environ.get(PATH_VARIABLE)
    path = Path(named or FILE_NAME)
    given = _read_file(path) if named or path.exists() else {}
    for key in given:
        if key not in Settings.model_fields:
            raise _unknown(f"{key!r} in {path}")
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Raised out here, so that the library's own error, which knows the value, is not its context.
    raise _wrong(first, path)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}"
        raise ConfigurationError(message, op="config") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text", op="config") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        # Not chained: it quotes the line, in which there may be a token.
        raise ConfigurationError(f"{path}{where} is not YAML", op="config") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} should hold lines like 'port: 8081'", op="config")
    settings: dict[str, Any] = {}
    for key in content:  # pyright: ignore[reportUnknownVariableType]  # YAML holds anything
        settings[str(key)] = content[key]  # pyright: ignore[reportUnknownArgumentType]
    return settings


def _unknown(what: str, *, prefix: str = "") -> ConfigurationError:
    names = (f"{prefix}{name.upper() if prefix else name}" for name in Settings.model_fields)
    return ConfigurationError(f"{what} is no setting; there are {', '.join(names)}", op="config")


def _wrong(error: ErrorDetails, path: Path) -> ConfigurationError:
    name = str(error["loc"][0])
    variable = next((one for one in os.environ if one.upper() == f"{PREFIX}{name.upper()}"), None)
    place = variable if variable and os.environ[variable] else f"{name} in {path}"
    allowed = Settings.model_fields[name].description
    return ConfigurationError(f"{place} should be {allowed}", op="config")
