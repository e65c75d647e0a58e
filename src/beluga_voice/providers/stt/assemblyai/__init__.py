"""AssemblyAI: speech into text, while it is spoken."""

from beluga_voice.providers.stt.assemblyai.provider import AssemblyAi

__all__ = ["AssemblyAi"]
