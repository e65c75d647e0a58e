"""The languages of Whisper, by its own codes.

Source: `faster_whisper.tokenizer` of faster-whisper 1.2.1, read 2026-11-21.
"""

_CODES = """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw
    he hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt
    my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl
    tr tt uk ur uz vi yi yo yue zh
"""

LANGUAGES = frozenset(_CODES.split())

_OTHER_TAGS = {"nb": "no", "jv": "jw", "fil": "tl", "iw": "he", "cmn": "zh"}

_UNSPACED = frozenset({"ja", "lo", "my", "th", "yue", "zh"})
"""Written without blanks between words; the same source."""

TAGS = LANGUAGES | _OTHER_TAGS.keys()
"""What may be asked for."""


def code_of(tag: str) -> str:
    """Whisper's code of a language tag such as "de-AT"."""
    primary = tag.replace("_", "-").split("-")[0].lower()
    return _OTHER_TAGS.get(primary, primary)


def joined(texts: list[str], language: str | None) -> str:
    """Texts that follow one another, as one."""
    return ("" if language in _UNSPACED else " ").join(text for text in texts if text)
