"""The messages of the OpenAI Realtime service: those that are handled, and those that are not."""

from beluga_voice.providers.s2s.realtime_dialect.reading import IGNORED as UNUSED
from beluga_voice.providers.s2s.realtime_dialect.reading import TYPES, Reader

READER = Reader("openai_realtime", TYPES, UNUSED)

HANDLED, IGNORED = READER.handled, READER.ignored
