"""The protocol that several speech services share with OpenAI Realtime (GA), without any of them.

A service's provider brings what is its own: a `Dialect` (data: its messages, its errors, its
limits), the object that configures a session, and small overrides of `RealtimeCodec`. Nothing here
knows a service by name.
"""

from beluga_voice.providers.s2s.realtime_dialect.codec import RealtimeCodec
from beluga_voice.providers.s2s.realtime_dialect.dialect import Dialect
from beluga_voice.providers.s2s.realtime_dialect.errors import ErrorMap
from beluga_voice.providers.s2s.realtime_dialect.reading import Reader

__all__ = ["Dialect", "ErrorMap", "Reader", "RealtimeCodec"]
