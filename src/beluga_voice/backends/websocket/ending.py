"""How a connection ends, and whether its call ends with it."""

from dataclasses import dataclass

from aiohttp import WebSocketError, WSCloseCode

from beluga_voice.backends.websocket.protocol import Refusal, WireCode

BUSY = frozenset(
    {
        WireCode.SERVER_FULL,
        WireCode.SERVER_STOPPING,
        WireCode.TENANT_FULL,
        WireCode.PROVIDER_FULL,
    }
)
"""Why one is turned away who did nothing wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a connection ends: the close code, one word of reason, and what is told before."""

    code: int
    reason: str
    refusal: Refusal | None = None
    can_write: bool = True
    """The caller is there and reads."""
    is_final: bool = True
    """The call is over, too; otherwise its caller may come back."""


STOPPED = Ending(code=WSCloseCode.OK, reason="stopped")
HUNG_UP = Ending(code=WSCloseCode.OK, reason="hung_up")
ENDED = Ending(code=WSCloseCode.OK, reason="ended")
TRANSFERRED = Ending(code=WSCloseCode.OK, reason="transferred")
"""The caller was told where the call goes on."""
LEFT = Ending(code=WSCloseCode.OK, reason="caller left", can_write=False)
LOST = Ending(code=WSCloseCode.OK, reason="caller left", can_write=False, is_final=False)
NOT_RESUMED = Ending(code=WSCloseCode.OK, reason="not resumed", can_write=False)
REPLACED = Ending(code=WSCloseCode.OK, reason="replaced", is_final=False)
"""The caller came back over another connection."""
TAKEN_OVER = Ending(code=WSCloseCode.OK, reason="replaced")
"""Another process carries the call."""
MOVING = Ending(code=WSCloseCode.SERVICE_RESTART, reason="moving")
"""This process stops; the caller is to come back, to another one."""
TOO_SLOW = Ending(
    code=WSCloseCode.POLICY_VIOLATION,
    reason=WireCode.TOO_SLOW,
    can_write=False,
    is_final=False,
)


def refused(refusal: Refusal, *, code: int | None = None) -> Ending:
    """The caller is told why, and cut off."""
    if code is None:
        is_busy = refusal.code in BUSY
        code = WSCloseCode.TRY_AGAIN_LATER if is_busy else WSCloseCode.POLICY_VIOLATION
    return Ending(code=code, reason=refusal.code, refusal=refusal)


def stopping() -> Refusal:
    """The server takes no more calls, and ends those it has."""
    return Refusal(code=WireCode.SERVER_STOPPING, message="the server is stopping", is_fatal=True)


def failed(message: str) -> Ending:
    """The call could not begin or go on."""
    refusal = Refusal(code=WireCode.SESSION_FAILED, message=message, is_fatal=True)
    return Ending(code=WSCloseCode.INTERNAL_ERROR, reason=refusal.code, refusal=refusal)


def gone(cause: object) -> Ending:
    """The caller's side of the connection ended, with that close code or error."""
    if isinstance(cause, WebSocketError) and cause.code == WSCloseCode.MESSAGE_TOO_BIG:
        return Ending(code=cause.code, reason=WireCode.TOO_LARGE, can_write=False)
    return LEFT if cause == WSCloseCode.OK else LOST
