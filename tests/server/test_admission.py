"""Places for calls: in all, for one tenant, over one provider."""

import pytest

from beluga_voice.backends.websocket.admission import Admission, Party
from beluga_voice.backends.websocket.protocol import Limits, WireCode

MARY = Party(tenant="mary", provider="one")
PETER = Party(tenant="peter", provider="one")
PAUL = Party(tenant="paul", provider="two")


def codes(admission: Admission, *parties: Party) -> list[WireCode | None]:
    """How each is answered who wants a place."""
    answers = [admission.enter(party) for party in parties]
    return [None if answer is None else answer.code for answer in answers]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(max_sessions=3), [None, None, None, "server_full"]),
        (
            Limits(max_sessions=9, max_sessions_per_tenant=1),
            [None, "tenant_full", None, None],
        ),
        (
            Limits(max_sessions=9, max_sessions_per_provider=2),
            [None, None, "provider_full", None],
        ),
    ],
)
def test_each_limit_turns_away_whom_it_counts(limits: Limits, expected: list[str | None]):
    """Who is one too many is refused for that reason, and nobody else is."""
    assert codes(Admission(limits), MARY, MARY, PETER, PAUL) == expected


def test_a_place_that_is_given_back_can_be_taken():
    """What a call held is free after it, in every count."""
    admission = Admission(
        Limits(max_sessions=1, max_sessions_per_tenant=1, max_sessions_per_provider=1)
    )
    assert codes(admission, MARY, MARY) == [None, "server_full"]
    admission.leave(MARY)
    assert admission.inside == 0
    assert codes(admission, MARY) == [None]


def test_who_is_refused_takes_no_place():
    """A refusal changes no count, and is told in words of what to do."""
    admission = Admission(Limits(max_sessions=9, max_sessions_per_tenant=1))
    admission.enter(MARY)
    refusal = admission.enter(MARY)
    assert refusal is not None
    assert refusal.message == "the most calls you may have here at once is 1; end one of them first"
    assert refusal.is_fatal
    assert admission.inside == 1


def test_who_has_no_name_is_not_counted_as_one():
    """Parties without a tenant or a provider share the places of all, and no others."""
    limits = Limits(max_sessions=9, max_sessions_per_tenant=1, max_sessions_per_provider=1)
    assert codes(Admission(limits), Party(), Party(), Party()) == [None, None, None]
