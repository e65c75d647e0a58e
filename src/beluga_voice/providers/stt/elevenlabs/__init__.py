"""ElevenLabs Scribe: speech into text, while it is spoken or from recordings."""

from beluga_voice.providers.stt.elevenlabs.files import ScribeFiles
from beluga_voice.providers.stt.elevenlabs.provider import Scribe

__all__ = ["Scribe", "ScribeFiles"]
