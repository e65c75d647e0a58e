"""What was said, in the order in which it was said."""

from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine.history import History
from beluga_voice.events import (
    Message,
    ResponseId,
    Role,
    ToolCallId,
    ToolResult,
    ToolUse,
    UtteranceId,
)


def use(number):
    return ToolUse(call_id=ToolCallId(f"c{number}"), name="look", arguments="{}")


def result(number):
    return ToolResult(call_id=ToolCallId(f"c{number}"), output="found")


def user(text):
    return Message(role=Role.USER, text=text)


def agent(text, *, is_cut=False):
    return Message(role=Role.AGENT, text=text, is_cut=is_cut)


def test_words_that_are_known_late_stand_where_they_were_said():
    """An utterance keeps its place before the response that began before its words were known."""
    history = History()
    history.commit(UtteranceId("u1"))
    history.respond(ResponseId("r1"))
    assert history.items == ()
    history.settle(ResponseId("r1"), "the answer", is_cut=False)
    history.commit(UtteranceId("u2"))
    history.transcribe(UtteranceId("u1"), "the question")
    assert history.items == (user("the question"), agent("the answer"))
    history.transcribe(UtteranceId("u2"), "thanks")
    assert history.items[-1] == user("thanks")


def test_what_has_no_words_leaves_no_trace():
    """An empty utterance and an unheard response are no part of history."""
    history = History()
    history.commit(UtteranceId("u1"))
    history.transcribe(UtteranceId("u1"), "")
    history.respond(ResponseId("r1"))
    history.settle(ResponseId("r1"), "", is_cut=True)
    history.settle(ResponseId("unknown"), "words", is_cut=True)
    assert history.items == ()


def test_a_corrected_transcript_takes_the_place_of_the_first():
    """Transcribing twice keeps one message, with the last words."""
    history = History()
    history.transcribe(UtteranceId("u1"), "wreck a nice beach")
    history.say("typed")
    history.transcribe(UtteranceId("u1"), "recognise speech")
    assert history.items == (user("recognise speech"), user("typed"))


def test_a_result_follows_its_call():
    """Results stand directly after their calls, in whatever order they come."""
    history = History((user("before"),))
    history.use_tool(use(1))
    history.use_tool(use(2))
    history.say("meanwhile")
    history.answer_tool(result(2))
    history.answer_tool(result(1))
    history.answer_tool(result(3))
    assert history.items == (
        user("before"),
        use(1),
        result(1),
        use(2),
        result(2),
        user("meanwhile"),
    )


def test_a_call_of_an_id_that_was_used_before_stands_beside_the_older_one():
    """A service counts from one again over another link: each call has its own result."""
    history = History()
    for _ in range(3):
        history.use_tool(use(1))
        history.answer_tool(result(1))
    ids = [item.call_id for item in history.items]
    assert ids == [
        *["c1-before-before"] * 2,
        *["c1-before"] * 2,
        *["c1"] * 2,
    ]
    assert [type(item) for item in history.items] == [ToolUse, ToolResult] * 3


def test_the_last_word_decides_whether_an_answer_is_owed():
    """History is unanswered while the last message is the person's, tools aside."""
    history = History()
    assert not history.is_unanswered
    history.say("question")
    assert history.is_unanswered
    history.use_tool(use(1))
    history.respond(ResponseId("r1"))
    assert history.is_unanswered
    history.settle(ResponseId("r1"), "ans", is_cut=True)
    assert not history.is_unanswered
    assert history.items[-1] == agent("ans", is_cut=True)


def test_trimming_drops_a_call_with_its_result():
    """The oldest go first, and a result never stays without its call."""
    history = History(limit=3)
    history.use_tool(use(1))
    history.answer_tool(result(1))
    for text in ("a", "b"):
        history.say(text)
    assert history.items == (user("a"), user("b"))


# ── summaries ───────────────────────────────────────────────────────────────────────────────


def note(text):
    return Message(role=Role.SYSTEM, text=text)


def turns_of(*texts, limit=8):
    """A history in which the person speaks and the agent answers, by turns."""
    history = History(limit=limit)
    for number, text in enumerate(texts):
        if number % 2:
            history.respond(ResponseId(text))
            history.settle(ResponseId(text), text, is_cut=False)
        else:
            history.say(text)
    return history


def test_the_older_half_is_offered_up_to_where_the_person_spoke():
    """What belongs together is summarised together, and the summary takes its place."""
    history = turns_of("a", "b", "c", "d", "e", "f")
    assert history.is_long
    assert history.offer() == (user("a"), agent("b"))
    assert history.condense(2, "ab") == 4
    assert history.items == (note("ab"), user("c"), agent("d"), user("e"), agent("f"))
    assert not history.is_long
    history.say("g")
    assert history.offer() == (note("ab"), user("c"), agent("d"))


def test_what_was_offered_in_vain_is_not_offered_again():
    """It is offered once there is more; until then, whoever failed is left in peace."""
    history = turns_of("a", "b", "c", "d", "e", "f")
    assert history.offer()
    assert history.offer() == ()
    history.say("g")
    history.respond(ResponseId("h"))
    assert history.offer() == (user("a"), agent("b"), user("c"), agent("d"))


def test_a_summary_alone_is_not_summarised():
    """What is one item already would become no shorter."""
    history = History((note("before"), user("a")))
    for number in range(4):
        history.use_tool(use(number))
    assert history.offer() == ()


def test_what_was_forgotten_meanwhile_is_not_taken_from_the_rest():
    """A summary replaces what it is about, however much has been said while it was made."""
    history = turns_of("a", "b", "c", "d", "e", "f")
    assert history.offer() == (user("a"), agent("b"))
    for text in "ghij":
        history.say(text)
    assert history.items[:2] == (user("c"), agent("d"))
    assert history.condense(2, "ab") == 7
    assert history.items == (note("ab"), agent("d"), user("e"), agent("f"), *map(user, "ghij"))


def test_words_that_come_meanwhile_are_kept():
    """What had no words when it was offered is not part of the summary."""
    history = History(limit=8)
    history.say("a")
    history.commit(UtteranceId("late"))
    history.say("b")
    for text in "cdef":
        history.say(text)
    assert history.offer() == (user("a"), user("b"))
    history.transcribe(UtteranceId("late"), "late words")
    assert history.condense(2, "ab") == 5
    assert history.items == (note("ab"), user("late words"), *map(user, "cdef"))


def test_a_response_that_is_not_settled_counts_as_left():
    """Who says it knows its words already: they are among those that stay."""
    history = turns_of("a", "b", "c", "d", "e")
    history.respond(ResponseId("f"))
    assert history.offer() == (user("a"), agent("b"))
    assert history.condense(2, "ab") == 4
    history.settle(ResponseId("f"), "f", is_cut=False)
    assert history.items == (note("ab"), user("c"), agent("d"), user("e"), agent("f"))


def test_a_result_that_comes_meanwhile_keeps_its_call():
    """What was summarised without its result is not all that is left of it."""
    history = History(limit=8)
    history.say("a")
    history.use_tool(use(1))
    for text in "bcde":
        history.say(text)
    assert history.offer() == (user("a"), use(1), user("b"))
    history.answer_tool(result(1))
    assert history.condense(3, "ab") == 5
    assert history.items == (note("ab"), use(1), result(1), *map(user, "cde"))


ids = st.integers(1, 6)
step = st.one_of(
    st.tuples(st.sampled_from(["commit", "respond", "use", "answer"]), ids),
    st.tuples(st.just("transcribe"), ids, st.sampled_from(["", "words"])),
    st.tuples(st.just("settle"), ids, st.sampled_from(["", "heard"])),
    st.tuples(st.just("say")),
    st.tuples(st.sampled_from(["offer", "condense"])),
)


@given(st.lists(step, max_size=60), st.integers(1, 12))
def test_no_order_of_events_breaks_a_pair_or_the_limit(steps, limit):
    """At most `limit` items are kept, none is empty, and each result has its call before it."""
    history = History(limit=limit)
    answered = set()
    called = set()
    offered = 0
    for one in steps:
        match one:
            case ("commit", number):
                history.commit(UtteranceId(f"u{number}"))
            case ("respond", number):
                history.respond(ResponseId(f"r{number}"))
            case ("use", number) if number not in called:
                called.add(number)
                history.use_tool(use(number))
            case ("answer", number) if number not in answered:
                answered.add(number)
                history.answer_tool(result(number))
            case ("transcribe", number, text):
                history.transcribe(UtteranceId(f"u{number}"), text)
            case ("settle", number, text):
                history.settle(ResponseId(f"r{number}"), text, is_cut=False)
            case ("say",):
                history.say("typed")
            case ("offer",) if not offered:
                offered = len(history.offer())
            case ("condense",) if offered:
                left = history.condense(offered, "summary")
                assert left >= len(history.items) - 1
                offered = 0
        items = history.items
        assert len(items) <= limit
        for index, item in enumerate(items):
            if isinstance(item, ToolResult):
                before = items[index - 1]
                assert index > 0
                assert isinstance(before, ToolUse)
                assert before.call_id == item.call_id
            elif isinstance(item, Message):
                assert item.text
