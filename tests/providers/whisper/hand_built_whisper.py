"""A Whisper model made by hand, in the format of the real ones, that understands tones.

Real weights are a download; these are computed here, and the libraries that run them are the real
ones, as they are. Each word is a tone of its own for `WORD_MS`, and tones are said one after the
other from the start of the sound. How it works:

* The convolutions of the encoder look at one band of the spectrum for each word, and say whether
  its tone sounds. The positions of the encoder say in which *slot* of 200 ms a frame lies.
* The last token says which slot comes next, the decoder's attention looks at the frames of that
  slot and finds the tone in them, and the next token is that word, or a blank if nothing sounds.
* After the last slot the transcript ends.
"""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

RATE = 16000
WORD_MS = 200
WORDS = (
    *("hello", "there", "see", "you", "soon", "one", "two", "three"),
    *("four", "five", "six", "forget", "me", "whale"),
)
SLOTS = 30

_SIZE = 64
_FRAMES_IN_SLOT = 10
_BANDS = tuple(6 + 5 * place for place in range(len(WORDS)))
_LEVEL = 0.2
_END = SLOTS
"""The dimension that stands for all that comes after the last slot."""
_TONES = range(SLOTS + 1, SLOTS + 1 + len(WORDS))
_SLOT, _TONE = 8.0, 4.0
"""How strongly the place and the tone of a frame are said."""

type Weights = NDArray[np.float32]


def tones_of(text: str) -> bytes:
    """Words as tones: mono 16-bit PCM at 16 kHz."""
    filters = FeatureExtractor().mel_filters
    time = np.arange(RATE * WORD_MS // 1000) / RATE
    sound = [np.zeros(0)]
    for word in text.split():
        peak = filters[_BANDS[WORDS.index(word)]].argmax()
        sound.append(_LEVEL * np.sin(2 * np.pi * peak * RATE / 400 * time))
    return (np.concatenate(sound) * 32767).astype("<i2").tobytes()


def build(folder: Path, *, languages: Sequence[str] = ()) -> Path:
    """Write the model into a folder: of English alone, or of those languages, spoken as one."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = _tokens(languages)
    places = {token: place for place, token in enumerate(tokens)}
    spec = ctranslate2.specs.WhisperSpec(1, 1, 1, 1)
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [places[f"<|{language}|>"] for language in languages]
    spec.config.alignment_heads = [(0, 0)]
    spec.register_vocabulary(tokens)
    _encoder(spec.encoder)
    _decoder(spec.decoder, places)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    _tokenizer(tokens).save(str(folder / "tokenizer.json"))
    return folder


def _said(word: str, slot: int) -> str:
    """The token of a word, or of a blank, in a slot; the number is not part of the text."""
    return f"{'Ġ' if word else ''}{word}<{slot}>"


def _tokens(languages: Sequence[str]) -> list[str]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [_said(word, slot) for slot in range(SLOTS) for word in ("", *WORDS)]
    marks = [
        *("<|endoftext|>", "<|startoftranscript|>"),
        *(f"<|{language}|>" for language in languages),
        *("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
        *("<|nospeech|>", "<|notimestamps|>"),
    ]
    tokens = [*alphabet, *words, *marks]
    # CTranslate2 knows a model of many languages by its empty token.
    return [*tokens, ""] if languages else tokens


def _tokenizer(tokens: list[str]) -> Tokenizer:
    vocabulary = {token: place for place, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    number = decoders.Replace(Regex("<[0-9]+>"), "")
    tokenizer.decoder = decoders.Sequence([number, decoders.ByteLevel()])
    return tokenizer


def _zeros(*shape: int) -> Weights:
    return np.zeros(shape, dtype=np.float32)


def _encoder(encoder) -> None:
    count = len(WORDS)
    encoder.conv1.weight, encoder.conv1.bias = _zeros(_SIZE, 80, 3), _zeros(_SIZE)
    encoder.conv2.weight, encoder.conv2.bias = _zeros(_SIZE, _SIZE, 3), _zeros(_SIZE)
    for place, band in enumerate(_BANDS):
        # The difference of two ramps is a step from 0 to `_TONE`, at a level of 0.6.
        encoder.conv1.weight[place, band, 1] = encoder.conv1.weight[count + place, band, 1] = 20
        encoder.conv1.bias[place] = -12
        encoder.conv1.bias[count + place] = -12 - _TONE
        encoder.conv2.weight[_TONES[place], place, 1] = 1
        encoder.conv2.weight[_TONES[place], count + place, 1] = -1
    positions = _zeros(1500, _SIZE)
    for frame in range(1500):
        positions[frame, min(frame // _FRAMES_IN_SLOT, _END)] = _SLOT
    encoder.position_encodings.encodings = positions
    _norm(encoder.layer_norm)
    (layer,) = encoder.layer
    _idle(layer.self_attention)
    _idle_feed(layer.ffn)


def _decoder(decoder, places: dict[str, int]) -> None:
    known = _zeros(len(places), _SIZE)
    logits = _zeros(len(places), _SIZE)
    known[places["<|notimestamps|>"], 0] = _SLOT
    logits[places["<|endoftext|>"], _END] = 4
    for slot in range(SLOTS):
        for place, word in enumerate(("", *WORDS)):
            token = places[_said(word, slot)]
            known[token, slot + 1] = _SLOT
            # A word wins over the blank where its tone sounds for half of the slot.
            logits[token, slot] = 4 if word else 6
            if word:
                logits[token, _TONES[place - 1]] = 8
    # What the transcript begins with leads to the first language.
    start = _TONES.stop
    known[places["<|startoftranscript|>"], start] = _SLOT
    if "<|en|>" in places:
        logits[places["<|en|>"], start] = 4
    decoder.embeddings.weight = known
    decoder.projection.weight = logits
    decoder.position_encodings.encodings = _zeros(448, _SIZE)
    decoder.scale_embeddings = False
    _norm(decoder.layer_norm)
    (layer,) = decoder.layer
    _idle(layer.self_attention)
    _idle_feed(layer.ffn)
    _look(layer.attention)


def _look(attention) -> None:
    """Attend to the frames of the slot that the last token leads to, and take their tone."""
    _norm(attention.layer_norm)
    query, both, out = _zeros(_SIZE, _SIZE), _zeros(2 * _SIZE, _SIZE), _zeros(_SIZE, _SIZE)
    for slot in range(SLOTS):
        query[slot, slot] = 4
        both[slot, slot] = 1
    for tone in _TONES:
        both[_SIZE + tone, tone] = 1
        out[tone, tone] = _TONE / 3.46
    for linear, weight in zip(attention.linear, (query, both, out), strict=True):
        linear.weight, linear.bias = weight, _zeros(len(weight))


def _norm(norm) -> None:
    norm.gamma, norm.beta = _zeros(_SIZE) + 1, _zeros(_SIZE)


def _idle(attention) -> None:
    """Attention that adds nothing."""
    _norm(attention.layer_norm)
    inner, out = attention.linear
    inner.weight, inner.bias = _zeros(3 * _SIZE, _SIZE), _zeros(3 * _SIZE)
    out.weight, out.bias = _zeros(_SIZE, _SIZE), _zeros(_SIZE)


def _idle_feed(feed) -> None:
    _norm(feed.layer_norm)
    for linear in (feed.linear_0, feed.linear_1):
        linear.weight, linear.bias = _zeros(_SIZE, _SIZE), _zeros(_SIZE)
