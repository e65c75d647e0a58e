"""The whole suite for speech-to-speech providers, chosen by their capabilities."""

from collections.abc import Awaitable, Callable, Collection
from functools import partial

from beluga_voice.interfaces import (
    Capabilities,
    Faithfulness,
    Resumption,
    SpeechToSpeech,
    TurnOwner,
)
from beluga_voice.testing.conformance import s2s_links as links
from beluga_voice.testing.conformance import s2s_talk as talk
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import (
    Check,
    Maker,
    Peer,
    Report,
    Rule,
    Run,
    in_simulation,
    run_checks,
)

type Scene = Callable[[Stage], Awaitable[None]]
type S2sCheck = Check[SpeechToSpeech]


def check_speech_to_speech(
    make_provider: Maker[SpeechToSpeech],
    *,
    run: Run = in_simulation,
    only: Collection[Rule] | None = None,
) -> Report:
    """Hold a speech-to-speech provider against everything that the vocabulary promises.

    `make_provider(peer)` is an async context manager that gives a provider, whose service is like
    `peer`. It is entered anew for every check, and raises `NotEmulated` for a peer that it cannot
    give. Each check is a coroutine of its own for `run`: in simulated time, or with `asyncio.run`
    in real time and on real sockets. `only` limits it to some rules.

    What a provider does not offer is not tried; the report says so. Raises `ConformanceFailure`
    for the first rule that is broken.
    """
    found: list[Capabilities] = []

    async def look() -> None:
        async with make_provider(Peer()) as provider:
            found.append(provider.capabilities)

    run(look())
    return run_checks(checks_of(found[0]), make_provider, run=run, only=only)


def checks_of(capabilities: Capabilities) -> list[S2sCheck]:
    """Every check, with the reason why it does not apply to a provider that can do this."""
    checks: list[S2sCheck] = []
    for owner in TurnOwner:
        checks += _of_talks(capabilities, owner)
    return checks + _of_links(capabilities)


def _check(
    rule: Rule, scene: Scene, owner: TurnOwner, *, variant: str = "", why_not: str = ""
) -> S2sCheck:
    async def work(make: Maker[SpeechToSpeech]) -> None:
        await scene(Stage(make, rule, owner))

    return Check(rule, work, why_not, variant)


def _unless(is_so: bool, capability: str) -> str:
    return "" if is_so else capability


def _of_links(capabilities: Capabilities) -> list[S2sCheck]:
    """What does not depend on who owns the turns is tried with the first owner."""
    owner = capabilities.turn_owners[0]
    checks = [
        _check(
            Rule.REFUSES_OPTIONS,
            partial(links.refuses_options, name=name, options=options),
            owner,
            variant=name,
        )
        for name, options in links.excluded(capabilities).items()
    ]
    plain: tuple[tuple[Rule, Scene, str], ...] = (
        (Rule.SEND_NEVER_WAITS, links.takes_all_commands, ""),
        (Rule.NOTHING_AFTER_THE_END, links.does_nothing_after_the_end, "left"),
        (Rule.NOTHING_AFTER_THE_END, links.does_nothing_after_a_loss, "lost"),
        (Rule.LOSS_IS_AN_EVENT, links.loss, ""),
        (Rule.CLOSES_IN_TIME, partial(links.leaving, in_mid_response=False), "idle"),
        (Rule.CLOSES_IN_TIME, partial(links.leaving, in_mid_response=True), "in mid-response"),
        (Rule.ERRORS_COME_THROUGH, links.an_error_of_the_body, ""),
        (Rule.CANCELLING, links.cancelling_connect, ""),
        (Rule.ATTACH_OR_ITERATE, links.attach_or_iterate, ""),
        (Rule.ATTACH_OR_ITERATE, links.late_reader, "late"),
        (
            Rule.IDS_ARE_UNIQUE,
            partial(links.unique_ids, has_tools=capabilities.has_tools),
            "",
        ),
    )
    checks += [_check(rule, scene, owner, variant=variant) for rule, scene, variant in plain]
    for one in capabilities.input_formats:
        scene = partial(talk.input_format, source=one)
        checks.append(_check(Rule.OFFERED_FORMATS, scene, owner, variant=f"hears {one}"))
    for one in capabilities.output_formats:
        scene = partial(talk.output_format, target=one)
        checks.append(_check(Rule.OFFERED_FORMATS, scene, owner, variant=f"speaks {one}"))
    return checks


type Row = tuple[Rule, Scene, str, str]
"""A rule, how it is tried, the variant, and why not."""


def _of_talks(can: Capabilities, owner: TurnOwner) -> list[S2sCheck]:
    """What people do, with turns that are owned so."""
    is_offered = _unless(owner in can.turn_owners, f"turn_owners: there are no {owner} turns")
    return [
        _check(
            rule,
            scene,
            owner,
            variant=f"{owner}, {variant}" if variant else owner,
            why_not=is_offered or why_not,
        )
        for rule, scene, variant, why_not in (*_speaking(can, owner), *_knowing(can, owner))
    ]


def _speaking(can: Capabilities, owner: TurnOwner) -> tuple[Row, ...]:
    """Who speaks, and what is told of it."""
    is_duplex = owner is TurnOwner.DUPLEX
    is_ours = _unless(owner is TurnOwner.FRAMEWORK, "turns end by the service itself")
    return (
        (Rule.DUPLEX if is_duplex else Rule.TURNS, talk.turns, "", ""),
        (Rule.EMPTY_TURNS, talk.nothing_said, "", is_ours),
        (
            Rule.TRANSCRIPTS,
            partial(talk.transcripts, has_interim=can.has_interim_transcripts),
            "",
            _unless(can.has_input_transcript, "has_input_transcript"),
        ),
        (
            Rule.SPEECH_EVENTS,
            talk.speech_events,
            "",
            _unless(can.has_speech_events, "has_speech_events")
            or _unless(owner is not TurnOwner.FRAMEWORK, "the turns are ours to find"),
        ),
        (Rule.RESPONSE_TEXT, talk.response_text, "", ""),
        (
            Rule.WORD_TIMES,
            talk.word_times,
            "",
            _unless(can.has_word_times, "has_word_times"),
        ),
        (
            Rule.SUPPRESSION,
            talk.suppression,
            "",
            _unless(can.can_suppress_response, "can_suppress_response"),
        ),
        (
            Rule.REQUESTS,
            talk.requests,
            "",
            _unless(can.can_request_response, "can_request_response"),
        ),
        (
            Rule.TEXT_INPUT,
            partial(talk.text_input, may_be_silent=can.can_suppress_response),
            "",
            _unless(can.has_text_input, "has_text_input"),
        ),
        (
            Rule.SAY,
            partial(talk.say, faithfulness=can.say),
            can.say,
            _unless(can.say is not Faithfulness.NONE, "say"),
        ),
    )


def _knowing(can: Capabilities, owner: TurnOwner) -> tuple[Row, ...]:
    """What the model knows: of tools, of interruptions, and of what was said before."""
    is_duplex = owner is TurnOwner.DUPLEX
    has_turns = _unless(not is_duplex, "a duplex model has no turns to interrupt")
    return (
        (Rule.TOOLS, talk.tools, "", _unless(can.has_tools, "has_tools")),
        (Rule.TOOLS, talk.failing_tool, "failing", _unless(can.has_tools, "has_tools")),
        (Rule.INTERRUPTION, talk.interrupt_while_made, "while it is made", has_turns),
        (Rule.INTERRUPTION, talk.interrupt_before_sound, "before its sound", has_turns),
        (Rule.INTERRUPTION, talk.interrupt_when_made, "when it is made", has_turns),
        *(
            (
                Rule.TRUNCATION,
                partial(talk.truncation, is_made=is_made),
                "when it is made" if is_made else "while it is made",
                has_turns or _unless(can.can_truncate, "can_truncate"),
            )
            for is_made in (False, True)
        ),
        (
            Rule.UPDATES,
            partial(talk.updates, mutable=can.mutable),
            ", ".join(sorted(can.mutable)),
            _unless(bool(can.mutable), "mutable"),
        ),
        *(
            (
                Rule.SEEDED_HISTORY,
                partial(talk.seeded_history, in_mid_call=in_mid_call),
                when,
                _unless(is_able, capability),
            )
            for in_mid_call, when, is_able, capability in (
                (False, "at first", can.can_seed_history, "can_seed_history"),
                (True, "in mid-call", can.can_add_history, "can_add_history"),
            )
        ),
        (
            Rule.RESUMPTION,
            talk.resumption,
            "",
            _unless(can.resumption is Resumption.HANDLE, f"resumption is {can.resumption}"),
        ),
    )
