"""Reads from the last words whether somebody is in the middle of something.

It knows no grammar, only what utterances end with that are not over: a conjunction, a preposition,
an article, a hesitation, and numbers, spelled letters and parts of addresses, which people say in
groups with pauses between them. A question mark or a full stop, where the service writes them, says
the opposite. Anything else it does not know, and says so: 0.5.

The lists are data, by language tag, and may be replaced.
"""

import re
from collections.abc import Mapping
from functools import cache

DONE = 0.8
"""It ends like a sentence."""
UNKNOWN = 0.5
GROUPED = 0.2
"""It ends with a number, a letter, a part of an address: more of them may follow."""
UNFINISHED = 0.1
"""It ends with a word that something has to follow."""

OPEN_ENDS: Mapping[str, str] = {
    "en": """a an and because but could i'd i'll i'm i've if into it's my of or our the their than
        they're to uh uhm um until we'll we're what's where's whether while whose with would
        you're your er erm""",
    "de": """aber als an beim dass das dein deine dem den der des die ein eine einem einen einer
        eines für im ins mein meine meinem meinen meiner ob oder sowie und unser unsere vom von
        weil wenn zum zur äh ähm öhm""",
    "es": """a al con cuando de del desde e el en la las los mi mis o para pero porque que si sin su
        sus tu tus un una y eh em""",
    "fr": """à au aux avec car ces chez dans de des donc du et je la le les leur ma mais mes mon ou
        par parce pour que sa sans ses si son sur un une vos votre euh heu""",
}
"""Words that something has to follow, by language."""

LEAD_INS: Mapping[str, str] = {
    "en": """address is|birthday is|code is|date is|email is|e-mail is|id is|mail is|name is
        |number is|password is|postcode is|question is|reference is|thing is|zip is""",
    "de": """adresse ist|geburtstag ist|mail ist|name ist|nummer ist|heiße|frage ist""",
    "es": """correo es|dirección es|nombre es|número es|código es|me llamo""",
    "fr": """adresse est|code est|mail est|nom est|numéro est|m'appelle|prénom est""",
}
"""Phrases that announce something, by language."""

GROUPS: Mapping[str, str] = {
    "en": """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
        ninety hundred thousand oh double triple dot dash hyphen underscore slash at""",
    "de": """null eins zwei zwo drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig dreißig
        vierzig fünfzig sechzig siebzig achtzig neunzig hundert tausend punkt strich bindestrich
        unterstrich schrägstrich ät doppel""",
    "es": """cero uno dos tres cuatro cinco seis siete ocho nueve diez veinte treinta cuarenta
        cincuenta sesenta setenta ochenta noventa cien mil punto guion arroba barra""",
    "fr": """zéro un deux trois quatre cinq six sept huit neuf dix vingt trente quarante cinquante
        soixante cent mille point tiret arobase barre""",
}
"""What numbers, letters and addresses are said with, by language."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[@]", re.UNICODE)


class WordTurns:
    """A turn detector that reads. `languages` are the tags whose lists are taken together."""

    def __init__(
        self,
        *,
        languages: tuple[str, ...] = tuple(OPEN_ENDS),
        open_ends: Mapping[str, str] = OPEN_ENDS,
        lead_ins: Mapping[str, str] = LEAD_INS,
        groups: Mapping[str, str] = GROUPS,
    ) -> None:
        self._lead_ins = _phrases(languages, tuple(sorted(lead_ins.items())))
        self._open = _words(languages, tuple(sorted(open_ends.items())))
        self._groups = _words(languages, tuple(sorted(groups.items())))

    def probability(self, transcript: str, /) -> float:
        """How sure it is that this is all, 0 to 1."""
        text = transcript.rstrip()
        words = _WORD.findall(text.lower())
        if not words:
            return UNKNOWN
        if text.endswith(("...", "…", ",", "-", "–", ":")):
            return UNFINISHED
        if text.endswith(("?", "!", "？", "！")):
            return DONE
        if self._is_grouped(words):
            return GROUPED
        if words[-1] in self._open or self._lead_ins & {words[-1], " ".join(words[-2:])}:
            return UNFINISHED
        return DONE if text.endswith((".", "。")) else UNKNOWN

    def _is_grouped(self, words: list[str]) -> bool:
        """Whether it ends in the middle of something that is said piece by piece."""
        if not self._is_part(words[-1]):
            return False
        parts = 0
        for word in reversed(words):
            if not self._is_part(word):
                break
            parts += 1
        digits = sum(len(word) for word in words[-parts:] if word.isdigit())
        return parts > 1 or digits >= 2 or words[-1] in ("@", "at", "dot")

    def _is_part(self, word: str) -> bool:
        is_letter = len(word) == 1 and word.isalpha() and word not in ("i", "a")
        return word in self._groups or word.isdigit() or is_letter or word == "@"


type _Lists = tuple[tuple[str, str], ...]


@cache
def _words(languages: tuple[str, ...], lists: _Lists) -> frozenset[str]:
    """The words of these languages; all sessions share them."""
    return frozenset(word for tag, words in lists if tag in languages for word in words.split())


@cache
def _phrases(languages: tuple[str, ...], lists: _Lists) -> frozenset[str]:
    """The phrases of these languages, between bars."""
    return frozenset(
        " ".join(phrase.split())
        for tag, phrases in lists
        if tag in languages
        for phrase in phrases.split("|")
    )
