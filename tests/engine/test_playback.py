"""What was heard of each response, to the sample and to the word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine.playback import REMEMBERED, Playback, Response, heard_text, planned
from beluga_voice.events import (
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStatus,
    ResponseText,
    TextStage,
)

RATE = 24000
ID = ResponseId("r")


def response(*parts, generated=0, plan=()):
    """A response with timed parts of text, `(delta, start, end)`, and planned pieces."""
    made = Response(ID, ResponseOrigin.TURN, generated=generated)
    for piece in plan:
        planned(made, ResponseText(response_id=ID, delta=piece, stage=TextStage.PLANNED))
    for delta, start, end in parts:
        planned(made, ResponseText(response_id=ID, delta=delta, start=start, end=end))
    return made


PLAN = ("Well, hello ", "there! How are you?")
WORDS = (
    ("Well", 0, 100),
    ("hello", 150, 300),
    ("there", 300, 400),
    ("How", 500, 600),
    ("are", 600, 700),
    ("you", 700, 800),
)


@pytest.mark.parametrize(
    ("heard", "text"),
    [
        (0, ""),
        (99, ""),
        (100, "Well,"),
        (299, "Well,"),
        (300, "Well, hello"),
        (399, "Well, hello"),
        (499, "Well, hello there!"),
        (799, "Well, hello there! How are"),
        (800, "Well, hello there! How are you?"),
    ],
)
def test_planned_text_is_cut_where_its_words_sounded(heard, text):
    """A word is heard with its last sample, and its punctuation with it."""
    assert heard_text(response(*WORDS, generated=800, plan=PLAN), heard) == text


@pytest.mark.parametrize(
    ("first", "status", "expected"),
    [
        ("words", ResponseStatus.FAILED, "one two"),
        ("words", None, "one two"),
        ("words", ResponseStatus.COMPLETED, "one two three"),
        ("sound", ResponseStatus.FAILED, "one two three"),
    ],
)
def test_words_that_were_told_ahead_of_their_sound_need_it(first, status, expected):
    """If it broke off, the last words are not heard where the service tells words first."""
    ledger = Playback(RATE)
    made = ledger.start(ID, ResponseOrigin.TURN)
    for index, delta in enumerate(("one", " two", " three")):
        for what in ("words", "sound") if first == "words" else ("sound", "words"):
            if what == "words":
                planned(made, ResponseText(response_id=ID, delta=delta))
            elif index < 2 or first == "sound":
                if not made.generated:
                    ledger.sounds(made)
                made.generated += 4800
    made.status = status
    ledger.sent(made, made.generated, sounding_until=0.4)
    assert heard_text(made, ledger.heard(made, now=1.0)) == expected


@pytest.mark.parametrize(
    ("text", "generated", "heard", "expected"),
    [
        ("one two three", 1300, 0, ""),
        ("one two three", 1300, 299, ""),
        ("one two three", 1300, 300, "one"),
        ("one two three", 1300, 699, "one"),
        ("one two three", 1300, 700, "one two"),
        ("one two three", 1300, 1299, "one two"),
        ("one two three", 1300, 1300, "one two three"),
        ("one\ntwo three", 1300, 650, "one"),
        ("one two three", 0, 10, ""),
        ("", 1000, 500, ""),
        ("你好吗朋友", 500, 250, "你好"),
    ],
)
def test_text_without_times_is_cut_by_proportion(text, generated, heard, expected):
    """So much of the characters is heard as of the sound, in whole words."""
    assert heard_text(response((text, None, None), generated=generated), heard) == expected


@pytest.mark.parametrize(
    ("heard", "text"),
    [(0, ""), (99, ""), (100, "Yes,"), (250, "Yes, I"), (400, "Yes, I think so.")],
)
def test_spoken_parts_with_times_are_put_together(heard, text):
    """Parts that sounded are heard whole, and of the part in mid-sound its whole words."""
    made = response(("Yes,", 0, 100), (" I think", 100, 300), (" so.", 300, 400), generated=400)
    assert heard_text(made, heard) == text


@pytest.mark.parametrize(
    ("plan", "words", "expected"),
    [
        (("A cat and a dog.",), (("a", 0, 50),), "A"),
        (
            ("It is 4 o'clock. The plan for four.",),
            (("it", 0, 9), ("is", 9, 20), ("four", 20, 50)),
            "It is",
        ),
        (("Say twenty-three now.",), (("Say", 0, 10), ("twenty", 10, 20)), "Say"),
        (("I can. I can.",), (("I", 0, 1), ("can", 1, 2), ("I", 2, 3)), "I can. I"),
    ],
    ids=["another case", "written otherwise", "half a word", "words that come twice"],
)
def test_words_are_found_where_they_belong(plan, words, expected):
    """A spoken word counts for the next words of the plan, never for a piece of another word."""
    assert heard_text(response(*words, generated=1000, plan=plan), 60) == expected


words = st.lists(
    st.text(st.sampled_from("abcxyzé'-,.!?1234"), min_size=1, max_size=8), min_size=1, max_size=12
)
gaps = st.sampled_from([" ", "  ", "\n"])


def is_prefix_in_whole_words(part, text):
    text = text.strip()
    rest = text[len(part) :]
    return text.startswith(part) and (not part or not rest or rest[0].isspace())


@given(words, gaps, st.data())
def test_what_is_heard_is_a_prefix_of_the_plan_in_whole_words(said, gap, data):
    """With planned words and their times, no word is invented, split or skipped."""
    text = gap.join(said)
    ends = sorted(data.draw(st.lists(st.integers(0, 900), min_size=len(said), max_size=len(said))))
    parts = [
        (data.draw(st.sampled_from([word, word.strip(".,!?-'"), word.upper(), "other"])), None, end)
        for word, end in zip(said, ends, strict=True)
    ]
    cut = data.draw(st.integers(0, len(text)))
    made = response(*parts, generated=1000, plan=(text[:cut], text[cut:]))
    heard = sorted(data.draw(st.lists(st.integers(0, 1000), min_size=2, max_size=4)))
    texts = [heard_text(made, count) for count in heard]
    for one in texts:
        assert is_prefix_in_whole_words(one, text)
    assert [len(one) for one in texts] == sorted(len(one) for one in texts)


@given(words, gaps, st.data())
def test_spoken_parts_of_any_size_give_whole_words(said, gap, data):
    """Without a plan, parts may be cut anywhere, with times or without; words stay whole."""
    text = gap.join(said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    ends = sorted(
        data.draw(st.lists(st.integers(1, 1000), min_size=len(pieces), max_size=len(pieces)))
    )
    is_timed = data.draw(st.booleans())
    parts = [
        (piece, None, end if is_timed else None) for piece, end in zip(pieces, ends, strict=True)
    ]
    made = response(*parts, generated=1000)
    for heard in data.draw(st.lists(st.integers(0, 1000), min_size=1, max_size=4)):
        assert is_prefix_in_whole_words(heard_text(made, heard), text)
    assert heard_text(made, 1000).split() == text.split()


# ── the ledger in time ──────────────────────────────────────────────────────────────────────


def test_what_is_ahead_on_the_line_was_not_heard():
    """Heard is what was sent, less what the line still holds."""
    playback = Playback(RATE)
    one = playback.start(ID, ResponseOrigin.TURN)
    one.generated = RATE
    playback.sent(one, RATE, 11.0)
    assert [playback.heard(one, now) for now in (9.0, 10.0, 10.25, 11.0, 12.0)] == [
        0,
        0,
        RATE // 4,
        RATE,
        RATE,
    ]


def test_responses_in_a_row_are_counted_one_by_one():
    """The sound of a later response is ahead of nobody but itself."""
    playback = Playback(RATE)
    one = playback.start(ResponseId("1"), ResponseOrigin.TURN)
    two = playback.start(ResponseId("2"), ResponseOrigin.TURN)
    three = playback.start(ResponseId("3"), ResponseOrigin.TURN)
    for made in (one, two, three):
        made.generated = RATE
        made.status = ResponseStatus.COMPLETED
    playback.sent(one, RATE, 1.0)
    playback.sent(two, RATE, 2.0)
    playback.sent(three, RATE // 2, 2.5)
    assert [playback.heard(made, 1.5) for made in (one, two, three)] == [RATE, RATE // 2, 0]
    assert [playback.heard(made, 2.25) for made in (one, two, three)] == [RATE, RATE, RATE // 4]
    assert [playback.end_of(made) for made in (one, two, three)] == [1.0, 2.0, None]


pieces = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4800)), min_size=1, max_size=30)


@given(pieces, st.floats(0, 4), st.floats(0, 1))
def test_heard_is_never_more_than_sent_and_adds_up(sounds, when, gap):
    """Over responses in a row, heard and ahead are together what was sent."""
    playback = Playback(RATE)
    made = [playback.start(ResponseId(str(n)), ResponseOrigin.TURN) for n in range(4)]
    until = gap
    for number, samples in sorted(sounds, key=lambda sound: sound[0]):
        made[number].generated += samples
        until += samples / RATE
        playback.sent(made[number], samples, until)
    heard = [playback.heard(one, when) for one in made]
    for one, count in zip(made, heard, strict=True):
        assert 0 <= count <= one.sent
    total = sum(one.sent for one in made)
    ahead = min(max(round((until - when) * RATE), 0), total)
    assert sum(heard) == total - ahead
    unfinished = [one for one, count in zip(made, heard, strict=True) if count < one.sent]
    for one in unfinished[1:]:
        assert playback.heard(one, when) == 0


def test_a_settled_response_is_late():
    """What comes for a settled or refused response is known as late, for a while."""
    playback = Playback(RATE)
    made = playback.start(ID, ResponseOrigin.TURN)
    assert not playback.is_settled(ID)
    settled = playback.settle(made, ResponseOutcome.CUT, 0.0)
    assert (settled.heard, settled.heard_text) == (0, "")
    assert playback.is_settled(ID)
    assert playback.get(ID) is None
    assert playback.is_idle
    for number in range(REMEMBERED):
        playback.refuse(ResponseId(str(number)))
    assert not playback.is_settled(ID)


def test_a_response_heard_to_its_end_has_all_its_words():
    """The outcome, not the times, decides that every word was heard."""
    playback = Playback(RATE)
    made = playback.start(ID, ResponseOrigin.TURN)
    planned(made, ResponseText(response_id=ID, delta="all of it", stage=TextStage.PLANNED))
    made.generated = 10
    playback.sent(made, 10, 1.0)
    settled = playback.settle(made, ResponseOutcome.HEARD, 2.0)
    assert (settled.heard, settled.heard_text) == (10, "all of it")
    assert playback.milliseconds(24) == 1


def test_a_cleared_line_is_not_busy():
    """Once the line was told to fall silent, nothing is ahead on it."""
    playback = Playback(RATE)
    made = playback.start(ID, ResponseOrigin.TURN)
    playback.sent(made, RATE, 5.0)
    playback.cleared(4.5)
    assert playback.sounding_until == 4.5
    playback.cleared(4.8)
    assert playback.sounding_until == 4.5


def test_words_that_were_there_before_their_sound_are_placed_by_the_pace():
    """A response that is cut while it is made is reckoned as long as its words would sound."""
    playback = Playback(RATE)
    response = playback.start(ResponseId("r"), ResponseOrigin.TURN)
    planned(response, ResponseText(response_id=response.id, delta="a" * 14 + " " + "b" * 15))
    playback.sounds(response)
    response.generated = RATE  # a second of about two
    playback.sent(response, RATE, sounding_until=1.0)
    cut = playback.settle(response, ResponseOutcome.CUT, now=1.0)
    assert cut.heard_text == "a" * 14


def test_the_pace_is_learned_from_what_was_heard():
    """After a slow response, the words of the next are expected to sound as slowly."""
    playback = Playback(RATE)
    for name, outcome in (("slow", ResponseOutcome.HEARD), ("cut", ResponseOutcome.CUT)):
        response = playback.start(ResponseId(name), ResponseOrigin.TURN)
        planned(response, ResponseText(response_id=response.id, delta="one two three four"))
        playback.sounds(response)
        response.generated = RATE * 18 if outcome is ResponseOutcome.HEARD else RATE * 8
        response.status = ResponseStatus.COMPLETED if outcome is ResponseOutcome.HEARD else None
        playback.sent(response, response.generated, sounding_until=100.0)
        settled = playback.settle(response, outcome, now=100.0)
    assert settled.heard_text == "one two"


def test_words_that_come_with_their_sound_are_placed_by_it():
    """A service that writes while it speaks is believed: what was written was spoken."""
    playback = Playback(RATE)
    response = playback.start(ResponseId("r"), ResponseOrigin.TURN)
    playback.sounds(response)
    planned(response, ResponseText(response_id=response.id, delta="one two three four"))
    response.generated = RATE // 4
    playback.sent(response, RATE // 4, sounding_until=1.0)
    cut = playback.settle(response, ResponseOutcome.CUT, now=1.0)
    assert cut.heard_text == "one two three four"
