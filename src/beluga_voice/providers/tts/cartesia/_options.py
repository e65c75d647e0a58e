"""The settings of Cartesia Sonic: checked, and as the service wants them."""

from dataclasses import dataclass
from typing import Any

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import TtsOptions, output_format_of
from beluga_voice.providers.cartesia.service import (
    NAME,
    PLAIN_VOICE_VERSION,
    VERSION,
    check_version,
)
from beluga_voice.providers.tts.cartesia._capabilities import (
    CAPABILITIES,
    DEFAULT_MODEL,
    DEFAULT_VOICE,
    MAX_BUFFER_DELAY_MS,
    SPEEDS,
    VOLUMES,
    WIRE_ENCODINGS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service has beyond what every text-to-speech provider has."""

    model: str = DEFAULT_MODEL
    voice: str = DEFAULT_VOICE
    max_buffer_delay_ms: int = 0
    pronunciation_dict_id: str | None = None
    version: str = VERSION
    quiet_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("give a model", op=NAME)
        if not self.voice:
            raise ConfigurationError("give a voice", op=NAME)
        if not 0 <= self.max_buffer_delay_ms <= MAX_BUFFER_DELAY_MS:
            message = f"max_buffer_delay_ms {self.max_buffer_delay_ms} is outside 0 to "
            raise ConfigurationError(f"{message}{MAX_BUFFER_DELAY_MS}", op=NAME)
        if self.quiet_seconds <= MAX_BUFFER_DELAY_MS / 1000:
            message = f"quiet_seconds {self.quiet_seconds:g} is not above "
            message += f"{MAX_BUFFER_DELAY_MS / 1000:g}, for which the service may gather text"
            raise ConfigurationError(message, op=NAME)
        check_version(self.version)


def request_of(options: TtsOptions, settings: Settings) -> dict[str, Any]:
    """What all requests of a link have in common; the service wants it repeated in each.

    Raises `Unsupported` for a speed or a volume out of range.
    """
    output = output_format_of(CAPABILITIES, options.output_format)
    voice = options.voice or settings.voice
    is_plain = settings.version >= PLAIN_VOICE_VERSION
    request: dict[str, Any] = {
        "model_id": settings.model,
        "voice": {"id": voice} if is_plain else {"mode": "id", "id": voice},
        "output_format": {
            "container": "raw",
            "encoding": WIRE_ENCODINGS[output.encoding],
            "sample_rate": output.rate,
        },
        "add_timestamps": True,
        "max_buffer_delay_ms": settings.max_buffer_delay_ms,
    }
    if options.language is not None:
        request["language"] = options.language.replace("_", "-").split("-")[0].lower()
    if settings.pronunciation_dict_id is not None:
        request["pronunciation_dict_id"] = settings.pronunciation_dict_id
    if generation := _generation_of(options):
        request["generation_config"] = generation
    return request


def _generation_of(options: TtsOptions) -> dict[str, Any]:
    generation: dict[str, Any] = {}
    if options.speed != 1.0:
        generation["speed"] = _within("speed", options.speed, SPEEDS)
    if options.volume is not None:
        generation["volume"] = _within("volume", options.volume, VOLUMES)
    if options.style is not None:
        generation["emotion"] = options.style
    return generation


def _within(name: str, value: float, limits: tuple[float, float]) -> float:
    least, most = limits
    if not least <= value <= most:
        raise Unsupported(f"{name} {value} is outside {least} to {most}", op="connect")
    return value
