"""xAI Grok Voice Agent: speech in, speech out."""

from beluga_voice.providers.s2s.grok._options import ServerVad
from beluga_voice.providers.s2s.grok.provider import Grok

__all__ = ["Grok", "ServerVad"]
