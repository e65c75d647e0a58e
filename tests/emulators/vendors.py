"""Whether a message is one of a vendor's protocol, by the types of the vendor.

OpenAI and Google publish types in their SDKs, ElevenLabs in its SDK and in an AsyncAPI document.
xAI and Amazon publish none of the messages themselves: theirs are written from the documentation,
on OpenAI's types where they fit, apart from the providers. The SDKs are large, and imported when
the first message of theirs passes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from beluga_voice.testing.emulators.witness import Seen, Side

type Check = Callable[[dict[str, Any]], object]


def _elevenlabs() -> dict[Side, Check]:
    from providers.elevenlabs.vendor_frames import check_client_frame, check_server_frame

    return {Side.CLIENT: check_client_frame, Side.SERVICE: check_server_frame}


def _gemini_live() -> dict[Side, Check]:
    from google.genai import types

    def client(frame: dict[str, Any]) -> None:
        setup = dict(frame.get("setup", {}))
        # The type of a client's message does not have it, and the service does.
        types.RealtimeInputConfig.model_validate(setup.pop("realtimeInputConfig", {}))
        types.LiveClientMessage.model_validate({**frame, "setup": setup} if setup else frame)

    return {Side.CLIENT: client, Side.SERVICE: types.LiveServerMessage.model_validate}


def _grok() -> dict[Side, Check]:
    from providers.grok.grok_models import check_client, check_server

    return {Side.CLIENT: check_client, Side.SERVICE: check_server}


def _nova_sonic() -> dict[Side, Check]:
    from providers.nova_sonic.nova_models import check_client, check_server

    return {Side.CLIENT: check_client, Side.SERVICE: check_server}


def _openai_live() -> dict[Side, Check]:
    from providers.openai_live.live_stage import check_client, check_server

    return {Side.CLIENT: check_client, Side.SERVICE: check_server}


def _openai_realtime() -> dict[Side, Check]:
    from providers.openai_realtime.openai_stage import check_client, check_server

    return {Side.CLIENT: check_client, Side.SERVICE: check_server}


VENDORS: dict[str, Callable[[], dict[Side, Check]]] = {
    "elevenlabs": cache(_elevenlabs),
    "gemini_live": cache(_gemini_live),
    "grok": cache(_grok),
    "nova_sonic": cache(_nova_sonic),
    "openai_live": cache(_openai_live),
    "openai_realtime": cache(_openai_realtime),
}


class Inspector:
    """Looks at every message of every service, and keeps what is wrong."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def look(self, seen: Seen) -> None:
        """Check a message."""
        try:
            VENDORS[seen.service]()[seen.side](seen.message)
        except Exception as error:
            told = str(seen.message)[:300]
            self.wrong.append(f"the {seen.side} of {seen.service}: {told}: {error!r}")
