"""What the processes of a system tell each other of their breakers: one small notice board.

For each breaker there is the last thing that happened to it, in any process, and who may probe.
The newest wins, and of two openings the one that lasts longer. Pure: whoever carries the notices
has the clock, which is the same for all.
"""

from collections.abc import Mapping

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.resilience.breaker import Change

KEPT_SECONDS = 600.0
"""A notice stays for so long after all that it says is over."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The last opening or closing of a breaker. Times are of the carrier's clock, in seconds."""

    id: str
    """No two notices have the same."""
    at: float
    until: float | None = None
    """When it is to be half open; `None` if it closed."""
    opened: int = 0
    """How often it opened since it was closed last."""
    prober: str = ""
    """The process that may probe."""
    prober_until: float = 0.0

    @property
    def is_over_at(self) -> float:
        """From then on it says nothing any more."""
        return max(self.at, self.until or 0.0, self.prober_until)

    def may_probe(self, process: str, now: float) -> bool:
        """Whether nobody else has leave to; a service that does well needs no probes."""
        return self.until is not None and (self.prober == process or self.prober_until <= now)


type Notices = Mapping[str, Notice]
"""By the keys of breakers."""

_DECODER = msgspec.json.Decoder(dict[str, Notice])


def decode(form: bytes | None) -> Notices:
    """What the carrier has; nothing if that is `None`. Raises `BrokenProtocol`."""
    if form is None:
        return {}
    try:
        return _DECODER.decode(form)
    except msgspec.MsgspecError as error:
        raise BrokenProtocol(
            "what is there was not written by this: give the breakers another prefix",
            op="shared_breakers",
        ) from error


def encode(notices: Notices) -> bytes:
    """As the carrier keeps it."""
    return msgspec.json.encode(notices)


def kept_seconds(notices: Notices, now: float) -> float:
    """For how long the carrier should keep all of them."""
    return max([0.0, *(one.is_over_at - now for one in notices.values())]) + KEPT_SECONDS


def notice(change: Change, *, id: str, offset: float) -> Notice:
    """A change, as others are told of it; `offset` leads from our clock to the carrier's."""
    until = None if change.until is None else change.until + offset
    return Notice(id=id, at=change.at + offset, until=until, opened=change.opened)


def change(notice: Notice, *, now: float, offset: float) -> Change:
    """A notice, as a change of a breaker here; `now` is the carrier's time.

    A breaker is not open for longer than it was to be from the beginning: the clock may have gone
    back, as when another machine takes the carrier's place.
    """
    until = notice.until
    if until is not None:
        until = min(until, now + until - notice.at) - offset
    return Change(at=notice.at - offset, until=until, opened=notice.opened)


def with_news(notices: Notices, news: Notices, *, now: float) -> Notices:
    """With all that is newer than what is there; the same object if nothing is."""
    newer = {
        key: one
        for key, one in news.items()
        if (there := notices.get(key)) is None or _is_newer(one, there, now)
    }
    return {**notices, **newer} if newer else notices


def _is_newer(one: Notice, there: Notice, now: float) -> bool:
    if there.at > now:
        return True  # it has not happened yet: the carrier's clock went back
    # Of two processes that find a service down, the one that is told to wait for longer is right.
    is_longer = one.until is None or there.until is None or one.until > there.until
    return there.at < one.at and is_longer


def with_probers(
    notices: Notices, asking: Mapping[str, float], *, process: str, now: float
) -> Notices:
    """This process may probe what it asks for, for so many seconds, unless another one may."""
    given = {
        key: msgspec.structs.replace(one, prober=process, prober_until=now + seconds)
        for key, seconds in asking.items()
        if (one := notices.get(key)) is not None and one.may_probe(process, now)
    }
    return {**notices, **given} if given else notices


def without_old(notices: Notices, now: float) -> Notices:
    """Only what is of use yet."""
    return {key: one for key, one in notices.items() if one.is_over_at + KEPT_SECONDS > now}
