"""Test speech that is read while it comes: the same words as when it is read at once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.speech import WordReader, pcm_of, silence, speech, words_in

TEXT = "one two three four"


def spoiled(cuts, rate):
    """Test speech with some silence in it, of which parts were cut out."""
    words = [pcm_of(speech(text, rate=rate)) for text in ("one two", "three", "four")]
    pcm = bytearray(silence(30, rate=rate).join(words))
    for begin, size in cuts:
        del pcm[begin : begin + size]
    return bytes(pcm)


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 900)), max_size=3),
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=30),
    rate=st.sampled_from([8000, 16000]),
)
def test_pieces_of_any_size_have_the_words_of_the_whole(cuts, sizes, rate):
    """Also of sound that lost parts: what is no whole word is none in pieces either."""
    pcm = spoiled(cuts, rate)
    reader = WordReader()
    found = []
    at = turn = 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        found += reader.read(pcm[at : at + size])
        at, turn = at + size, turn + 1
    found += reader.read(b"", is_all=True)
    assert found == words_in(pcm)


def test_a_window_that_is_cleared_forgets_the_word_that_had_begun():
    """Its rest is no word of the next window."""
    pcm = pcm_of(speech(TEXT))
    heard = HeardWords()
    heard.hear(pcm[: len(pcm) * 3 // 8])
    assert heard.text == "one"
    heard.clear()
    assert heard.hear(pcm[len(pcm) * 3 // 8 :]) == ["three", "four"]
    assert heard.words == ["three", "four"]
