"""Which language of its script each word is in: word frequencies, and Viterbi's algorithm over the words of a text.

The frequencies are those of `wordfreq` (web text, subtitles, books, Wikipedia, news). A word that no list knows is
judged weakly by its letter trigrams, so it mostly takes the language of its neighbours.
"""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Sequence
from operator import add
from typing import Any

from r1hf.text.language.words import ARABIC, CYRILLIC, LATIN

# ISO 639-1 codes whose list in wordfreq has another name. Its list of Serbian is written in Latin letters.
_LISTS = {"no": "nb", "hr": "sh", "sr": "sh", "tl": "fil"}
_COMMON = 11  # so many of a script are the ones to expect; they come first
IDENTIFIED = {
    LATIN: tuple("en es fr de vi it pt nl pl tr id ca cs da fi hu ro sv no hr sk sl lt lv ms tl is".split()),
    CYRILLIC: ("ru", "uk", "bg", "mk", "sr"),
    ARABIC: ("ar", "fa", "ur"),
}
# So alike that words alone do not tell them apart: none is held against the other.
_ALIKE = ({"id", "ms"}, {"da", "no"}, {"cs", "sk"}, {"hr", "sl"}, {"bg", "mk"})
# The same language for this purpose, by script.
_SAME = {LATIN: {"sr": "hr", "bs": "hr", "sh": "hr"}, CYRILLIC: {"bs": "sr", "sh": "sr"}}
# Languages without a word list, and those with one that are too much like them to be held against them.
_NEIGHBOURS = {
    **{"af": "nl de", "fy": "nl", "nds": "de nl", "lb": "de", "fo": "is da no", "gl": "pt es it", "ast": "es pt"},
    **{"oc": "ca fr es", "co": "it", "scn": "it", "sc": "it", "rm": "it", "la": "it", "ia": "it es", "ht": "fr"},
    **{"pap": "es pt", "jv": "id ms", "su": "id ms", "min": "id ms", "ace": "id ms", "ban": "id ms", "ceb": "tl"},
    **{"ilo": "tl", "war": "tl", "pam": "tl", "az": "tr", "tk": "tr", "crh": "tr", "ug": "fa", "sd": "ur"},
    **{"ks": "ur", "pa": "ur", "ckb": "fa"},
}

# Natural logarithms of probability ratios. Tuned on the tuning half of tests/fixtures/language_sentences.txt.
SWITCH = 5.0  # cost of a change of language between two words
START = 4.0  # cost of a text that starts in another language than the target
_LEAST_GAIN = min(START, SWITCH)
MOST = 6.0  # the most that one word can say against a language
_UNLISTED = 2.2 * 2.303  # of a word that is not in a language's list: below the rarest listed one (Zipf 3.0)
_UNKNOWN_MOST = 3.0
_TRIGRAM_WEIGHT = 0.4
_NAME_WEIGHT = 0.3  # an unknown word with a capital is likely a name
_OWN_UNKNOWN = 3.0  # what a word that no list knows says for a target without a list
_OWN_LISTED = 5.0  # and how much likelier any word is there than in a language whose list does not have it
_NEVER = 1e3
_RIVALS = 4
_BUCKETS = 1 << 15
_CACHED_WORDS = 1 << 16
_LONGEST = 60  # characters of a word that are looked at, so that the cache stays small
_PARTS = re.compile(r"['’-]|(?<=[a-zà-ÿ])(?=[A-Z])")
_TO_CYRILLIC = {"lj": "љ", "nj": "њ", "dž": "џ"} | dict(
    zip("abcčćdđefghijklmnoprsštuvzž", "абцчћдђефгхијклмнопрсштувзж", strict=True)
)
_SERBIAN_LETTER = re.compile("|".join(_TO_CYRILLIC))


def count_target(words: Sequence[str], script: str, target: str) -> int:
    """How many of `words` (in the order of the text, all of `script`) are in `target`.

    A target without a word list has those that no other language claims: its own words are mostly in no list.
    """
    model = _model(script)
    return model.count_target(words, _SAME.get(script, {}).get(target, target)) if model else len(words)


def best_language(words: Sequence[str], script: str) -> str | None:
    """The language of IDENTIFIED[script] that explains `words` best; in doubt the first of the list.

    None where a language without a list explains them better.
    """
    model = _model(script)
    return model.best(words) if model else IDENTIFIED[script][0]


def lists(code: str, script: str) -> bool:
    """Whether there is a word list for the language in this script."""
    return _SAME.get(script, {}).get(code, code) in IDENTIFIED[script]


def _alike(code: str, other: str) -> bool:
    return code == other or any({code, other} <= pair for pair in _ALIKE) or other in _NEIGHBOURS.get(code, "").split()


def _words_of(code: str, script: str) -> list[list[str]]:
    """wordfreq's list: the n-th holds the words whose frequency is 10 ** (-n / 100)."""
    import wordfreq

    bins: list[list[str]] = wordfreq.get_frequency_list(_LISTS.get(code, code), "small")
    return [list(map(_in_cyrillic, words)) for words in bins] if code == "sr" and script == CYRILLIC else bins


def _in_cyrillic(word: str) -> str:
    return _SERBIAN_LETTER.sub(lambda letter: _TO_CYRILLIC[letter[0]], word)


@functools.cache
def _model(script: str) -> _Model | None:
    """The model, loaded when first needed (about half a second for Latin); None without its word lists."""
    try:
        import wordfreq  # noqa: F401
    except ModuleNotFoundError:
        message = "languages of one script are not told apart, because wordfreq is not installed: make install"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None
    return _Model(IDENTIFIED[script], script)


class _Model:
    """Evidence per word, computed once per word: a row of log-probabilities, one per language, the best one 0.

    The last column is of the languages without a list: what they would say if the text should be in one of them.
    """

    def __init__(self, languages: Sequence[str], script: str):
        import numpy as np
        import wordfreq

        self.np = np
        self.languages = list(languages)
        self.index = {code: n for n, code in enumerate(languages)}
        hashes, owners, values, trigrams = [], [], [], []
        for n, code in enumerate(languages):
            bins = _words_of(code, script)
            listed = [hash(word) for words in bins for word in words]
            # Zipf's scale is 9 + log10.
            frequencies = np.repeat(9 - np.arange(len(bins)) / 100, [len(words) for words in bins])
            hashes.append(np.array(listed, dtype=np.int64))
            owners.append(np.full(len(listed), n, dtype=np.uint8))
            values.append(frequencies.astype(np.float32) * 2.303)
            joined = " ".join(word for words in bins for word in words)
            counts = np.bincount(self._buckets(f" {joined} "), minlength=_BUCKETS)
            trigrams.append(np.log((counts + 0.5) / (counts.sum() + 0.5 * _BUCKETS)))
        wordfreq.get_frequency_list.cache_clear()  # it would keep a million strings
        every = np.concatenate(hashes)
        order = np.argsort(every, kind="stable")
        self.hashes, self.owners = every[order], np.concatenate(owners)[order]
        self.values = np.concatenate(values)[order]
        self.trigrams = np.stack(trigrams, axis=1).astype(np.float32)
        self.known = self._nothing_known()
        self.lock = threading.Lock()
        # Per target: what takes the languages out that are not held against it, and each word's best case against it.
        self.excluded: dict[str, Any] = {}
        self.margins: dict[str, dict[str, float]] = {}

    def _buckets(self, text: str) -> Any:
        np = self.np
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        mixed = codes[:-2] * np.uint32(73856093) ^ codes[1:-1] * np.uint32(19349663) ^ codes[2:] * np.uint32(83492791)
        return (mixed ^ (mixed >> np.uint32(15))) % np.uint32(_BUCKETS)

    def _nothing_known(self) -> tuple[dict[str, int], Any]:
        return {}, self.np.zeros((_CACHED_WORDS, len(self.languages) + 1), dtype=self.np.float32)

    def evidence(self, words: Sequence[str]) -> Any:
        """Rows for `words`: (words, languages)."""
        places, rows = self.known
        try:
            return rows[[places[word] for word in words]]
        except KeyError:
            with self.lock:
                return self._learn(words)

    def _learn(self, words: Sequence[str]) -> Any:
        new = {word for word in words if word not in self.known[0]}
        if len(self.known[0]) + len(new) > _CACHED_WORDS:
            self.known = self._nothing_known()
            new = set(words)
        if len(new) > _CACHED_WORDS:
            return self.np.stack([self._row(word) for word in words])
        places, rows = self.known
        for word in new:
            rows[len(places)] = self._row(word)
            places[word] = len(places)
        return rows[[places[word] for word in words]]

    def _row(self, word: str) -> Any:
        np = self.np
        name = word[0].isupper()
        parts = [part for part in _PARTS.split(word) if part]
        word = word.replace("İ", "i").replace("’", "'").casefold()
        listed = self._listed(word)
        if listed is None and len(parts) > 1:
            total = sum(self._row(part) for part in parts)
            total[:-1] -= total[:-1].max()
            return np.clip(total, -MOST, _OWN_UNKNOWN)
        shape = self.trigrams[self._buckets(f" {word} ")].sum(axis=0) * _TRIGRAM_WEIGHT
        shape = np.maximum(shape - shape.max(), -_UNKNOWN_MOST)
        if listed is None:
            return np.append(shape, _OWN_UNKNOWN) * (_NAME_WEIGHT if name else 1.0)
        row = np.append(np.where(listed > 0, listed, _UNLISTED + shape), _UNLISTED + _OWN_LISTED)
        return np.maximum(row - row[:-1].max(), -MOST)

    def _listed(self, word: str) -> Any:
        """Per language the logarithm of the word's frequency, 0 where it is not listed; None if nowhere."""
        key = hash(word)
        first, last = self.hashes.searchsorted(key), self.hashes.searchsorted(key, "right")
        if first == last:
            return None
        found = self.np.zeros(len(self.languages), dtype=self.np.float32)
        found[self.owners[first:last]] = self.values[first:last]
        return found

    def count_target(self, words: Sequence[str], target: str) -> int:
        """The common text first: no stretch of its words speaks enough for anything but the target."""
        margins = self.margins.setdefault(target, {})
        try:
            gain = most = 0.0
            for word in words:
                gain += margins[word]
                if gain > most:
                    most = gain
                elif gain < 0.0:
                    gain = 0.0
            if most <= _LEAST_GAIN:
                return len(words)
            against = self._against(words, target)
        except KeyError:
            words = [word[:_LONGEST] for word in words]
            against = self._against(words, target)
            if len(margins) > _CACHED_WORDS:
                margins.clear()
            margins.update(zip(words, against.max(axis=1).tolist(), strict=True))
        rivals = self._rivals(against)
        if len(rivals) < 2:
            return _words_in_target(against[:, rivals[0]].tolist()) if rivals else len(words)
        return _words_in_first([[0.0, *row] for row in against[:, rivals].tolist()])

    def _against(self, words: Sequence[str], target: str) -> Any:
        """What each word says for each language against the target; nothing for the target and its like."""
        evidence = self.evidence(words)
        excluded = self.excluded.get(target)
        if excluded is None:
            out = self.languages[_COMMON:] if target not in self.index else []
            alike = [_alike(target, other) or other in out for other in self.languages]
            excluded = self.excluded[target] = self.np.array([*alike, True], dtype=self.np.float32) * _NEVER
        return evidence - evidence[:, self.index.get(target, -1), None] - excluded

    def _rivals(self, against: Any) -> list[int]:
        """The languages that can be on the best path: one that gains less than a switch costs on every stretch is not.

        Gains are against the target and the rivals found so far, so that sister languages do not crowd out others.
        """
        np = self.np
        rivals: list[int] = []
        left = against
        while len(rivals) < _RIVALS:
            sums = np.zeros((len(left) + 1, left.shape[1]), dtype=np.float32)
            np.cumsum(left, axis=0, out=sums[1:])
            gains = (sums - np.minimum.accumulate(sums, axis=0)).max(axis=0)
            rival = int(gains.argmax())
            if gains[rival] <= _LEAST_GAIN:
                break
            rivals.append(rival)
            left = left - np.maximum(left[:, rival : rival + 1], 0.0)
        return rivals

    def best(self, words: Sequence[str]) -> str | None:
        evidence = self.evidence([word[:_LONGEST] for word in words])
        # A word that no list has speaks for none of them: it may be a name.
        unlisted = self.np.minimum(evidence[:, -1], 0.0).sum()
        totals = evidence[:, :-1].sum(axis=0)
        if unlisted > totals.max() + START:
            return None
        # In doubt the first one, and rather one of the first: so that "Hi" is English, and not Catalan.
        totals[0] += START / 2
        totals[_COMMON:] -= START / 2
        return self.languages[int(totals.argmax())]


def _words_in_target(against: list[float]) -> int:
    """Viterbi with one rival: of the best path, how many words are in the target."""
    lead, own, other = -START, 0, 0  # the rival's lead; words in the target on the best path that ends in each
    for value in against:
        if lead < -SWITCH:
            lead, other = -SWITCH, own
        elif lead > SWITCH:
            lead, own = SWITCH, other
        lead += value
        own += 1
    return other if lead > 0.0 else own


def _words_in_first(evidence: list[list[float]]) -> int:
    """Viterbi: of the best path through the languages, how many words are in the first one."""
    scores = [0.0] + [-START] * (len(evidence[0]) - 1)
    counts = [0] * len(scores)  # per language: words in the first one on the best path that ends here
    for row in evidence:
        top = max(scores)
        switched = top - SWITCH
        if min(scores) < switched:
            count = counts[scores.index(top)]
            for state, score in enumerate(scores):
                if score < switched:
                    scores[state], counts[state] = switched, count
        scores = list(map(add, scores, row))
        counts[0] += 1
    return counts[scores.index(max(scores))]
