"""Units of measure at the end of an answer: which phrase is one, and which are the same.

A unit is a product of powers of symbols; every spelling of it ("m/s^2", "metres per second squared") has one name.
Nothing is converted: 1 km is not 1000 m.
"""

from __future__ import annotations

import re
from functools import lru_cache

# name | spellings. The first is the name that all of them get.
_GROUPS = (
    "mi|mile|miles|英里|哩",
    "km|kms|kilometer|kilometers|kilometre|kilometres|公里|千米",
    "m|meter|meters|metre|metres|米|公尺",
    "dm|decimeter|decimeters|decimetre|decimetres|分米",
    "cm|cms|centimeter|centimeters|centimetre|centimetres|厘米|公分",
    "mm|millimeter|millimeters|millimetre|millimetres|毫米",
    "um|µm|micrometer|micrometers|micrometre|micrometres|micron|microns|微米",
    "nm|nanometer|nanometers|nanometre|nanometres|纳米",
    "in|inch|inches|英寸",
    "ft|foot|feet|英尺",
    "yd|yds|yard|yards|码",
    "ha|hectare|hectares|公顷",
    "acre|acres|英亩|亩",
    "kg|kgs|kilo|kilos|kilogram|kilograms|公斤|千克",
    "g|gm|gms|gram|grams|克",
    "mg|milligram|milligrams|毫克",
    "ug|µg|mcg|microgram|micrograms|微克",
    "t|ton|tons|tonne|tonnes|吨|噸",
    "lb|lbs|pound|pounds|磅",
    "oz|ounce|ounces|盎司",
    "l|L|liter|liters|litre|litres|升",
    "ml|milliliter|milliliters|millilitre|millilitres|毫升",
    "gal|gallon|gallons|加仑",
    "qt|quart|quarts",
    "pt|pint|pints",
    "s|sec|secs|second|seconds|秒|秒钟",
    "ms|millisecond|milliseconds|毫秒",
    "us|µs|microsecond|microseconds|微秒",
    "ns|nanosecond|nanoseconds|纳秒",
    "min|mins|minute|minutes|分钟|分鐘",
    "h|hr|hrs|hour|hours|小时|小時|时",
    "day|days|天|日",
    "week|weeks|wk|wks|周|星期",
    "month|months|个月|個月|月",
    "year|years|yr|yrs|年|岁|歲",
    "dollar|dollars|usd|美元",
    "cent|cents|美分",
    "yuan|rmb|cny|元|块|块钱|人民币",
    "euro|euros|eur|欧元",
    "gbp|pound sterling|pounds sterling|英镑",
    "rupee|rupees|inr|rs|卢比",
    "yen|jpy|日元",
    "degree|degrees|deg|°|º|度",
    "rad|radian|radians|弧度",
    "sr|steradian|steradians",
    "unit|units|单位",
    "N|newton|newtons|牛|牛顿",
    "J|joule|joules|焦|焦耳",
    "W|watt|watts|瓦|瓦特",
    "Pa|pascal|pascals|帕|帕斯卡",
    "V|volt|volts|伏|伏特",
    "A|amp|amps|ampere|amperes|安|安培",
    "C|coulomb|coulombs|库仑",
    "ohm|ohms|Ω|欧|欧姆",
    "F|farad|farads|法拉",
    "H|henry|henries|亨利",
    "T|tesla|teslas|特斯拉",
    "Wb|weber|webers|韦伯",
    "S|siemens",
    "Hz|hertz|赫兹",
    "K|kelvin|kelvins|开尔文",
    "mol|mole|moles|摩尔",
    "M|molar",
    "cd|candela",
    "lm|lumen|lumens",
    "lx|lux",
    "Bq|becquerel|becquerels",
    "eV|electronvolt|electronvolts|electron volts|电子伏特",
    "cal|calorie|calories|卡路里",
    "kcal|kilocalorie|kilocalories|千卡",
    "atm|atmosphere|atmospheres|大气压",
    "bar|bars",
    "dB|decibel|decibels|分贝",
    "psi",
    "torr",
    "rpm",
    "bit|bits|比特",
    "u|amu|Da",
    "byte|bytes|字节|B",
    "am|a.m.|a.m|AM|A.M.|上午",
    "pm|p.m.|p.m|PM|P.M.|下午",
)
_CANON = {name: group.split("|")[0] for group in _GROUPS for name in group.split("|")}
_WHOLE = {
    "mph": "h^-1*mi", "kph": "h^-1*km", "kmh": "h^-1*km", "kmph": "h^-1*km", "fps": "ft*s^-1", "sqft": "ft^2",
    "sqm": "m^2", "cc": "cm^3", "acres": "acre", "平米": "m^2", "摄氏度": "degree C", "华氏度": "degree F",
}  # fmt: skip
# Symbols that take a prefix ("kPa", "mA"); "km", "kg" and the like stand above already.
_PREFIXED = frozenset("N J W V A C F H T S K Pa Hz eV mol cal bit Bq Wb lm bar ohm Ω L l g m s B b Gy Sv".split())
_PREFIXES = frozenset("kMGTmµunpcdh")
_WORD_PREFIXES = {
    **{"kilo": "k", "mega": "M", "giga": "G", "tera": "T", "milli": "m", "micro": "u", "nano": "n", "pico": "p"},
    **{"centi": "c", "deci": "d", "hecto": "h"},
}
CURRENCY = {"$": "dollar", "¥": "yuan", "€": "euro", "£": "gbp", "₹": "rupee"}


# A number with one of these behind it is another number, or no longer an answer. Other nouns are units without a name.
_NO_NOUN = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand "
    "thousands million millions billion billions trillion trillions dozen dozens pair pairs score gross half halves "
    "third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth "
    "ninths tenth tenths hundredth hundredths thousandth thousandths percent percents percentage pct times squared "
    "cubed square cubic factorial power root base mod modulo over plus minus negative positive point and but not "
    "nor either neither than less more most least about approximately roughly maybe perhaps possibly probably "
    "almost nearly wrong instead divided multiplied added subtracted per the that infinity infinite nan none "
    "unknown degrees sin cos tan log exp sqrt inf wait except excluding without until through between otherwise "
    "versus equals to or noon midnight".split()
)
_NO_COUNTER = re.compile(r"[零〇一二三四五六七八九十百千万萬亿億半倍分成折双雙對对打又或和与與不非约約至到负負点點]")
_NOUN = re.compile(r"[A-Za-z][a-z]{2,19}(?: [a-z]{3,20})?")
_COUNTER = re.compile(r"[\u4e00-\u9fff]{1,3}")
_BARE_LETTERS = frozenset("mshgNJWVACFKT")  # a lone letter that is a unit after a blank: "8 N", but not "14 x"

_SIGNS = str.maketrans({"μ": "µ", "Ω": "Ω", "⋅": "*", "·": "*", "×": "*", "²": "^2", "³": "^3", "º": "°", "~": " "})
_POWERS = {"square": "^2", "sq": "^2", "sq.": "^2", "cubic": "^3", "cu": "^3", "cu.": "^3"}
_AFTER = {"squared": "^2", "cubed": "^3"}
_FACTOR = re.compile(r"(.+?)\s*(?:\^\s*\{?\s*\(?\s*([+-]?\d)\s*\)?\s*\}?)?")
_DEGREES = re.compile(r"(?:°|degrees?|deg)\s*(C|F|Celsius|Fahrenheit|centigrade)", re.IGNORECASE)
_CHINESE_POWER = re.compile(r"(平方|立方)(.+)")
_COMPATIBLE = (frozenset(("degree", "degree C")), frozenset(("degree", "degree F")))
_ALIKE = {"C": "degree C", "F": "degree F"}  # "20 C" may be meant as degrees


@lru_cache(maxsize=4096)
def unit_name(text: str, marked: bool = False) -> str | None:
    r"""The unit that `text` is, one name for all its spellings ("sq cm" and "cm^2" are "cm^2").

    "" for a noun that names what is counted ("eggs", "个") and is not compared; None if it is no unit. One-letter
    symbols are units only if `marked` as text (\text{m}) or set off; else they are variables.
    """
    text = " ".join(text.translate(_SIGNS).replace("\\cdot", "*").replace("\\times", "*").split())
    if not text or len(text) > 60:
        return None
    if scale := _DEGREES.fullmatch(text):
        return "degree " + ("F" if scale[1][0] in "Ff" else "C")
    if not marked and bare_letters(text):
        return None
    if known := _word(text):
        return known
    compound = _compound(text)
    if compound is not None:
        return compound
    return "" if _is_noun(text) or _COUNTER.fullmatch(text) and not _NO_COUNTER.search(text) else None


def bare_letters(text: str) -> bool:
    """Whether a phrase of one-letter symbols ("N", "m/s", "m^2") could be taken for variables."""
    words = re.findall(r"[^\W\d_]+", text)
    return all(len(word) == 1 and word.isascii() for word in words) and bool(words)


def are_unit_letters(text: str) -> bool:
    """Whether all its lone letters are units that people write after a blank."""
    return set(re.findall(r"[A-Za-z]", text)) <= _BARE_LETTERS


def same_unit(first: str | None, second: str | None) -> bool:
    """A unit counts only where both answers name one."""
    if not first or not second or first == second:
        return True
    pair = frozenset((_ALIKE.get(first, first), _ALIKE.get(second, second)))
    return len(pair) == 1 or pair in _COMPATIBLE


def _compound(text: str) -> str | None:
    """The canonical product of powers, "" where a noun is among them ("dollars per apple"), None if it is none."""
    powers: dict[str, int] = {}
    noun = False
    parts = [part.strip() for part in re.split(r"\s*/\s*|每|\s*\bper\s+", text)]
    for place, part in enumerate(parts):
        if place and part.startswith("(") and part.endswith(")"):
            part = part[1:-1]
        factors = _factors(part)
        if factors is None and not _is_noun(part) and (place or part):
            return None
        noun = noun or factors is None
        for name, power in factors or ():
            powers[name] = powers.get(name, 0) + (-power if place else power)
    if noun:
        return ""
    return "*".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()) if power)


def _is_noun(text: str) -> bool:
    if len(text) == 3 and list(text) == sorted(text):
        return False  # "abc", "xyz": variables
    return _NOUN.fullmatch(text) is not None and not _NO_NOUN & set(text.lower().split())


def _factors(text: str) -> list[tuple[str, int]] | None:
    """(symbol, power) of each factor of "kg m^2", "square feet", "平方厘米"; None if one is unknown."""
    if chinese := _CHINESE_POWER.fullmatch(text):
        name = _word(chinese[2])
        return [(name, 2 if chinese[1] == "平方" else 3)] if name else None
    words = [word for word in re.split(r"\s*\*\s*|\s+|(?<=[A-Za-z])-(?=[A-Za-z])", text) if word]
    found: list[tuple[str, int]] = []
    power = 1
    for word in words:
        if word.lower() in _POWERS:
            power = int(_POWERS[word.lower()][1])
            continue
        if word.lower() in _AFTER and found:
            found[-1] = (found[-1][0], int(_AFTER[word.lower()][1]))
            continue
        match = _FACTOR.fullmatch(word)
        name = _word(match[1]) if match else None
        if match is None or name is None:
            return None
        found.append((name, int(match[2] or power)))
        power = 1
    return found or None


def _word(word: str) -> str | None:
    """The name of one symbol or word, with its prefix."""
    if known := _CANON.get(word) or _WHOLE.get(word):
        return known
    if len(word) > 1 and word[0] in _PREFIXES and word[1:] in _PREFIXED:
        return word[0].replace("µ", "u") + _CANON.get(word[1:], word[1:])
    lower = word.lower()
    if len(word) > 1 and (known := _CANON.get(lower) or _WHOLE.get(lower)):
        return known
    for prefix, sign in _WORD_PREFIXES.items():
        if lower.startswith(prefix) and (known := _CANON.get(lower[len(prefix) :])) and len(lower) - len(prefix) > 2:
            return sign + known
    return None
