"""A link of speech to speech that is one of several, and ends with its service.

How it works. A handle to continue a conversation is of use only with the service that gave it, so
it is marked with which one that is. To a session that comes back with the handle of another one, it
is said that it is void, so that it never returns to a conversation which has gone on elsewhere.

Ids are unique over all links of one provider, and two may give the same: those of all but the first
provider are marked as well.

A service that ends the link in order has not failed, and is asked again, unless it owes an answer:
then the person would wait for the same service once more.

What was heard of a response whose service was lost is known once it has sounded. A session then
tells the link that it has by now. Where that service cannot be told in mid-call, the link ends in
order; the next one is opened with all of the history.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from msgspec.structs import replace

from beluga_voice.events import (
    CreateResponse,
    EndUserTurn,
    Interrupt,
    Interrupted,
    LinkClosed,
    NoResponse,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResumptionChanged,
    Say,
    SeedHistory,
    SendText,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
)
from beluga_voice.interfaces import Capabilities, Link
from beluga_voice.resilience.relay import Relay


def resume_of(handle: str | None, one: int) -> str | None:
    """The handle as the provider of that number gave it, if it was that one."""
    if handle is None:
        return None
    number, _, own = handle.partition(":")
    return own if number == str(one) else None


_IDS = ("response_id", "utterance_id", "call_id", "delegation_id", "work_id")
"""Fields that hold an id which a provider gave."""


def marked[E](event: E, mark: str) -> E:
    """The event with the ids in it marked."""
    changes: dict[str, Any] = {}
    for name in _IDS:
        if isinstance(value := getattr(event, name, None), str):
            changes[name] = mark + value
    if calls := getattr(event, "call_ids", None):
        changes["call_ids"] = tuple(mark + one for one in calls)
    return cast("E", replace(cast("Any", event), **changes)) if changes else event


def unmarked[C](command: C, mark: str) -> C:
    """The command with the ids as the provider knows them."""
    changes: dict[str, Any] = {}
    for name in _IDS:
        if isinstance(value := getattr(command, name, None), str):
            changes[name] = value.removeprefix(mark)
    return cast("C", replace(cast("Any", command), **changes)) if changes else command


class PassedOn[S, R]:
    """Passes everything on but what this one of several services cannot take.

    `lost` is called once, with the reason, when the link ends otherwise than in order, or an answer
    is owed then.
    """

    def __init__(
        self,
        inner: Link[S, R],
        one: int,
        able: Capabilities,
        *,
        is_handle_void: bool,
        keeps_handles: bool,
        lost: Callable[[str], None],
    ) -> None:
        self._inner = inner
        self._one = one
        self._able = able
        self._mark = f"{one}:" if one else ""
        self._keeps_handles = keeps_handles
        self._lost: Callable[[str], None] | None = lost
        self._owes_answer = False
        self._relay: Relay[R] = Relay()
        if is_handle_void:
            # Only links of speech to speech are passed on, and they have these events.
            self._relay.put(cast("R", ResumptionChanged(handle=None)))
        inner.attach(self._hear)

    def send(self, command: S, /) -> None:
        """Pass it on."""
        if self._relay.is_closed:
            return
        match command:
            case CreateResponse() if not self._able.can_request_response:
                return
            case SeedHistory() if not self._able.can_add_history:
                reason = "it cannot be told in mid-call what was heard"
                self._relay.close(cast("R", LinkClosed(is_clean=True, reason=reason)))
                return
            case EndUserTurn(respond=True) | SendText(respond=True) | CreateResponse() | Say():
                self._owes_answer = True
            case Interrupt():
                self._owes_answer = False
            case _:
                pass
        self._inner.send(unmarked(command, self._mark) if self._mark else command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""
        self._relay.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self._relay)

    def give_up(self, reason: str = "it gave no answer in time") -> None:
        """Whoever uses it found it of no use: the next connection is to be another's."""
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(reason)

    def leave(self) -> None:
        """Nobody uses it any more: what ends now ends in order."""
        self._lost = None

    def _hear(self, event: R) -> None:
        event = self._look(event)
        if isinstance(event, LinkClosed) and not self._relay.is_closed:
            self._relay.close(cast("R", event))
        else:
            self._relay.put(event)

    def _look(self, event: R) -> R:
        if self._mark:
            event = marked(event, self._mark)
        match event:
            case ResumptionChanged(handle=str() as handle):
                own = f"{self._one}:{handle}" if self._keeps_handles else None
                return replace(event, handle=own)
            case ServiceFailed(is_fatal=True):
                self.give_up(event.message)
            case LinkClosed() if self._owes_answer or not event.is_clean:
                self.give_up(event.reason or "its connection ended")
            case SpeechStopped() | ResponseStarted():
                self._owes_answer = True
            case ResponseDone(status=ResponseStatus.FAILED):
                pass
            case ResponseDone() | NoResponse() | Interrupted() | SpeechStarted():
                self._owes_answer = False
            case _:
                pass
        return event
