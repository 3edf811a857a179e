"""Answers that are text: words, names, choices, chemical formulas, letters without an operator."""

from __future__ import annotations

import re

from r1hf.verify.normal import strip_text_commands, without_blanks
from r1hf.verify.text import text_keys

MAX_TEXT_LENGTH = 200  # of a text answer

_CHOICE = re.compile(r"\([A-Za-z]\)")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\}|\\[A-Za-z]+")
_MATHS_WORDS = frozenset(
    "sqrt frac infty infinity alpha beta gamma delta theta lambda sigma omega arcsin arccos arctan".split()
)
# Letters and digits without a sign that begin with a letter: "A1", "H_2O", "C6H12O6". No product is written so.
_FORMULA = re.compile(r"(?:(?:[A-Z][a-z]?(?:_?\d{1,3})?)+|(?:[a-z]\d{1,3})+)(?:\^?\d?[+-])?")
_PRODUCT = re.compile(r"[A-Za-z](?:\s*(?:\*|\\cdot|\\times)\s*[A-Za-z])+")
_GLUED = re.compile(r"(?:sin|cos|tan|cot|log)x")
_IN_BASE = re.compile(r"[0-9A-F]+_\d\d")
_DRESS = re.compile(r"\\(?:ce|mathrm|text|rm|mathbf|mathit|operatorname)(?![A-Za-z])|[{}$]")
_SHAPE = re.compile(r"\\triangle\s*(?:\{([A-Z]+)\}|(?=[A-Z]))")
_MONTH = "|".join(
    "jan(?:uary)? feb(?:ruary)? mar(?:ch)? apr(?:il)? may june? july? aug(?:ust)? sept?(?:ember)? oct(?:ober)? "
    "nov(?:ember)? dec(?:ember)?".split()
)
_NTH = r"\d{1,2})(?:st|nd|rd|th)?"
_DAY = re.compile(rf"(?P<month>{_MONTH}) (?P<day>{_NTH}|(?:the )?(?P<first>{_NTH} (?:of )?(?P<second>{_MONTH})")
_TIES = re.compile(r"(?<=[\w}])~(?=[\\\w])")
_QUOTES = " .。*$\"“”'`"
# Two letters that are one substance or another by their case.
_OPTION = re.compile(r"(?:(?i:(?:option|choice) )|(?:故?选(?:项|择)?)?)\s*[\[(]?([A-H])[\])]?(?:选项|项)?|\{([A-H])\}")
_JOINING = re.compile(r"[和与或且及]")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SUBSTANCES = frozenset("co cs ni sc hf po sn pb np".split())
_PLAIN_WORDS = re.compile(r"[^\W\d_](?:[^\W\d_]|[\s'’\"“”.,&]|-(?=[^\W\d_]))*")
_NO_SOLUTION = re.compile(
    r"(?:there (?:is|are) )?no (?:real |such )?(?:solutions?|roots?)(?: exists?)?|(?:方程|原方程)?无(?:实数?)?解"
)
_EMPTY_SET = re.compile(r"\\emptyset|\\varnothing|\\\{\s*\\\}")
_JOINT = re.compile(r"\s*(?:,\s*and\s|\band\b|,|&|和|与|、)\s*")

_LABEL = re.compile(
    r"(?:\\text(?:bf|rm|it|normal)?|\\mathrm|\\mathbf|\\mbox|\\bf)?\s*\{?\s*"
    r"(?:\(([A-Ha-h])\)|([A-H])[.．:：、)](?=[\s}~\\$\d-]))\s*\.?\}?(?:\s|~|\\[ ,;:])*(?=\S)"
)
_LABEL_AFTER = re.compile(r"(.+?)(?:\s|~|\\[ ,;:])*\\text(?:bf)?\s*\{\s*\(([A-H])\)\s*\}")
_GOES_ON = re.compile(
    r"[,;=+*/^_&)-]|\\(?:text\s*\{\s*)?(?:and|or|text\s*\{\s*(?:and|or))\b|(?:and|or|is|to|not|no|wrong|incorrect|false)\b|\(?[A-Ha-h]\)?\W*$|.*\([A-Ha-h]\)"
)


def split_label(text: str) -> tuple[str | None, str]:
    r"""The letter of an option and what it says: B and 12 of "(B) 12", "\textbf{(B)}\ 12", "12 \text{ (B)}"."""
    if len(text) > 2 * MAX_TEXT_LENGTH:
        return None, text
    if after := _LABEL_AFTER.fullmatch(text):
        return after[2], after[1]
    label = _LABEL.match(text)
    if label is None or not (rest := text[label.end() :].strip()) or _GOES_ON.match(rest):
        return None, text
    if rest.count("{") != rest.count("}") or _LABEL.match(rest):
        return None, text
    return (label[1] or label[2]).upper(), rest


def letter(text: str) -> str | None:
    r"""The option that is all of `text`: B, (B), \text{(B)}."""
    bare = _bare(text)
    return bare.upper() if len(bare) == 1 and bare in "abcdefgh" and (text.isupper() or "(" in text) else None


def are_texts(prediction: str, gold: str) -> bool:
    """Whether the answers are compared as text: one of them is words, or the gold is letters without an operator."""
    if _is_words(gold) or _is_words(prediction):
        return True
    spelled = _spelled(gold)
    if _DAY.fullmatch(_bare(gold)):
        return True
    if _PRODUCT.fullmatch(gold) and may_be_word(_spelled(prediction)):
        return True
    if len(spelled) < 2 or "=" in prediction or set(spelled) <= set("xyz"):
        return False
    if spelled.isalpha():
        other = _spelled(prediction)
        # "at" may be a product where the other side spells it so; a word may not.
        return other.isalpha() or bool(_FORMULA.fullmatch(other)) or may_be_word(spelled)
    return bool(_FORMULA.fullmatch(spelled)) and not _IN_BASE.fullmatch(spelled)


def may_be_word(letters: str) -> bool:
    """Whether letters could be a word ("dog") rather than a product ("ab", "mgh", "abc")."""
    return letters.isalpha() and len(letters) > 2 and _has_vowel(letters) and letters not in _ALPHABET


def same_text(first: str, second: str) -> bool:
    """Whether two texts are the same: case, articles, quotes and the order of "Bob and Alice" do not count."""
    a, b = _bare(first), _bare(second)
    if a == b:
        return True
    if _NO_SOLUTION.fullmatch(a) and (_NO_SOLUTION.fullmatch(b) or _EMPTY_SET.fullmatch(second)):
        return True
    if _NO_SOLUTION.fullmatch(b) and _EMPTY_SET.fullmatch(first):
        return True
    if a.casefold() in _SUBSTANCES or not (_are_plain_words(a) and _are_plain_words(b)):
        return False
    if text_keys(a) & text_keys(b):
        return True
    return ("and" in a.split() or "and" in b.split() or "和" in a + b) and _listed(a) == _listed(b) != [""]


def is_prose(text: str) -> bool:
    """Whether there are words in `text` that no formula has."""
    bare = _COMMAND.sub(" ", strip_text_commands(text))
    if any(char.isalpha() and not char.isascii() for char in bare):
        return True
    words = re.findall(r"[A-Za-z]{2,}", bare)
    return any(
        (len(word) > 3 and not _GLUED.fullmatch(word) or word.lower() in ("no", "yes", "odd", "all", "any", "the"))
        and word.lower() not in _MATHS_WORDS
        for word in words
    )


def _are_plain_words(text: str) -> bool:
    return _PLAIN_WORDS.fullmatch(text) is not None and re.search(r"[^\W\d_]{2}", text) is not None


def _listed(text: str) -> list[str]:
    items = sorted(min(text_keys(item), default="") for item in _JOINT.split(text))
    return items if all(len(item) > 1 for item in items) else [""]


def _bare(text: str) -> str:
    """Casefolded, without \\text{} and without the brackets of a choice: "(A)" is "a"."""
    text = _SHAPE.sub(r"triangle \1", text[: 4 * MAX_TEXT_LENGTH])
    bare = " ".join(strip_text_commands(_TIES.sub(" ", text.replace("\\ce{", "\\mathrm{"))).split()).strip(_QUOTES)
    if re.search(r"[^\W\d_]{2}", bare):
        bare = bare.rstrip("!！").strip(_QUOTES)
    if len(bare) == 3 and bare[0] == "(" and bare[2] == ")" and bare[1].isalpha():
        bare = bare[1]
    if day := _DAY.fullmatch(bare.casefold()):
        return f"{day['month'] or day['second']} {day['day'] or day['first']}"
    spelled = _spelled(bare)
    if _FORMULA.fullmatch(spelled) and (not spelled.isalpha() or spelled.casefold() in _SUBSTANCES):
        return re.sub(r"[_^]", "", spelled)
    if option := _OPTION.fullmatch(bare):
        return (option[1] or option[2]).casefold()
    if all(len(word) == 1 for word in bare.split()) and (bare.isupper() or not _has_vowel(bare)):
        bare = bare.replace(" ", "")  # letters with blanks between them
    if len(bare) == 1 and bare.isascii() and bare.casefold() not in "abcdefgh":
        return bare
    return bare.casefold()


def _has_vowel(text: str) -> bool:
    return any(char in "aeiouAEIOU" for char in text)


def _spelled(text: str) -> str:
    return without_blanks(_DRESS.sub("", text))


def _is_words(text: str) -> bool:
    """Whether an answer is text ("\\text{Even}", "no solution", "(A)") and not maths."""
    bare = _bare(text)
    if _JOINING.search(bare) and all(len(item.strip()) < 2 for item in _JOINING.split(bare)):
        return False  # "A 和 C"
    if len(bare) > MAX_TEXT_LENGTH or not re.sub(r"[ '’\"“”-]", "", bare).isalpha():
        return False
    # Up to three letters without \text may be a product of variables; a lone capital is a choice.
    return bool(
        "\\text" in text
        or "\\mbox" in text
        or _CHOICE.fullmatch(text)
        or _SHAPE.search(text)
        or is_prose(text)
        or (len(bare) == 1 and text.isupper())
    )
