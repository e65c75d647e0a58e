"""Every speech-to-speech provider keeps the rules, and who breaks one is found out."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.testing.conformance import (
    ConformanceFailure,
    NotEmulated,
    Rule,
    check_speech_to_speech,
)
from beluga_voice.testing.emulators.catalogue import EMULATORS
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from conformance.broken import (
    BY_RULE,
    Duplex,
    ForgetsOldHistory,
    NeverAnswersNothing,
    WordsBackwards,
    Wrapped,
    with_link,
    wrapping,
)
from scenarios.rows import ROWS

RULES = frozenset(Rule) - {
    Rule.FINISH_IS_ANSWERED,
    Rule.DROP_IS_FORGOTTEN,
    Rule.INTERIM_IS_WHOLE,
    Rule.SPEECH_DONE_ONCE,
    Rule.SILENT_WHEN_CANCELLED,
    Rule.CONTEXTS_APART,
    Rule.WORDS_AFTER_AUDIO,
}
"""Those of speech to speech."""


NOWHERE = {Rule.WORD_TIMES, Rule.DUPLEX, Rule.RESUMPTION}
"""What most services have not: times of words, ears while they speak, and a handle."""
SERVER_TURNS = {Rule.EMPTY_TURNS, Rule.SPEECH_EVENTS, Rule.SUPPRESSION, Rule.TRUNCATION}
"""What those have not that find the turns by themselves, and tell nothing of it."""
LIVE = NOWHERE - {Rule.DUPLEX} | SERVER_TURNS | {Rule.TURNS, Rule.INTERRUPTION}
UNTRIED: dict[str, set[Rule]] = {
    "cascade": {Rule.SPEECH_EVENTS, Rule.RESUMPTION, Rule.DUPLEX},
    "openai_realtime": NOWHERE,
    "gemini_live": SERVER_TURNS - {Rule.EMPTY_TURNS} | {Rule.WORD_TIMES, Rule.DUPLEX},
    "grok": NOWHERE | {Rule.SUPPRESSION},
    "nova_sonic": NOWHERE | SERVER_TURNS | {Rule.UPDATES},
    "openai_live": LIVE | {Rule.TOOLS},
    "openai_live at work": LIVE,
    "elevenlabs": SERVER_TURNS | {Rule.DUPLEX, Rule.RESUMPTION, Rule.UPDATES},
}
"""The rules that no check of a row is about, since what they need is not there."""


@pytest.mark.parametrize("row", ROWS)
def test_a_provider_keeps_the_rules(row):
    """Every rule is kept that applies to what it can do, and no other is left out."""
    report = check_speech_to_speech(ROWS[row])
    kept, others = (
        {Rule[check.partition(" ")[0]] for check in checks}
        for checks in (report.kept, report.not_applicable)
    )
    assert others - kept == UNTRIED[row]


def test_each_service_calls_tools_in_a_row():
    """None of the six is left out of the rule of tools."""
    calling = {row.partition(" ")[0] for row in ROWS if Rule.TOOLS not in UNTRIED[row]}
    assert calling == set(EMULATORS["s2s"]) | {"cascade"}


def test_a_report_names_every_check():
    """What does not apply is told with the capability that it needs."""
    report = check_speech_to_speech(ROWS["openai_realtime"])
    assert "TURNS (provider)" in report.kept
    assert "TURNS (framework)" in report.kept
    assert report.not_applicable["DUPLEX (duplex)"] == "turn_owners: there are no duplex turns"
    assert report.not_applicable["WORD_TIMES (provider)"] == "has_word_times"
    assert report.not_applicable["RESUMPTION (framework)"] == "resumption is history"
    assert not set(report.kept) & set(report.not_applicable)


def test_a_duplex_model_may_take_its_turn():
    """Without turns, what is said is answered, and nobody is asked to wait."""
    report = check_speech_to_speech(wrapping(ROWS["openai_realtime"], Duplex))
    assert "DUPLEX (duplex)" in report.kept
    assert "TURNS (provider)" in report.not_applicable
    why = report.not_applicable["INTERRUPTION (duplex, while it is made)"]
    assert why == "a duplex model has no turns to interrupt"


def test_what_a_service_cannot_be_made_to_do_is_reported():
    """A maker that cannot break the connection says so, and the report does."""

    @asynccontextmanager
    async def unbreakable(peer):
        if peer.faults.drop_after_audio_ms is not None:
            raise NotEmulated("it is in this process")
        async with ROWS["openai_realtime"](peer) as provider:
            yield provider

    report = check_speech_to_speech(unbreakable, only={Rule.LOSS_IS_AN_EVENT, Rule.TURNS})
    assert report.not_applicable["LOSS_IS_AN_EVENT"] == "it is in this process"
    assert "TURNS (provider)" in report.kept


def test_the_suite_runs_on_real_sockets():
    """With `asyncio.run` and a service on loopback, the same checks are made in real time."""

    @asynccontextmanager
    async def make(peer):
        service = OpenAIRealtimeEmulator(peer.brain, pace=peer.pace, faults=[peer.faults])
        async with service.serving():
            yield OpenAIRealtime(api_key=KEY, endpoint=service.url)

    rules = {Rule.SAY, Rule.REFUSES_OPTIONS, Rule.ERRORS_COME_THROUGH, Rule.CANCELLING}
    report = check_speech_to_speech(make, run=asyncio.run, only=rules)
    assert "SAY (provider, best_effort)" in report.kept
    assert "CANCELLING" in report.kept


@pytest.mark.parametrize(
    ("rule", "kind", "seen"), BY_RULE, ids=[kind.__name__ for _, kind, _ in BY_RULE]
)
def test_who_breaks_a_rule_is_found_out(rule, kind, seen):
    """One fault, and the suite names the rule and what was seen."""
    provider = kind if issubclass(kind, Wrapped) else with_link(kind)
    with pytest.raises(ConformanceFailure) as failure:
        check_speech_to_speech(wrapping(ROWS["openai_realtime"], provider))
    assert failure.value.rule is rule
    assert seen in failure.value.seen
    assert rule.value in str(failure.value)


@pytest.mark.parametrize(
    ("rule", "row", "kind"),
    [
        (Rule.WORD_TIMES, "cascade", with_link(WordsBackwards)),
        (Rule.EMPTY_TURNS, "cascade", with_link(NeverAnswersNothing)),
        (Rule.RESUMPTION, "gemini_live", ForgetsOldHistory),
    ],
)
def test_who_breaks_a_rule_of_what_others_lack_is_found_out(rule, row, kind):
    """Rules that need a capability are tried where it is."""
    with pytest.raises(ConformanceFailure) as failure:
        check_speech_to_speech(wrapping(ROWS[row], kind), only={rule})
    assert failure.value.rule is rule


def test_every_rule_is_broken_by_somebody():
    """No rule is without a provider that breaks it."""
    broken = {rule for rule, _, _ in BY_RULE}
    assert broken | {Rule.WORD_TIMES, Rule.EMPTY_TURNS, Rule.RESUMPTION} == RULES
