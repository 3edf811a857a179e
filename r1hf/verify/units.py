"""Units of measure at the end of an answer: which word is one, and which are the same."""

from __future__ import annotations

import re

_GROUPS = (
    "mile|miles|mi|英里",
    "km|kms|kilometer|kilometers|kilometre|kilometres|公里|千米",
    "meter|meters|metre|metres|m|米",
    "cm|centimeter|centimeters|centimetre|centimetres|厘米|公分",
    "mm|millimeter|millimeters|millimetre|millimetres|毫米",
    "inch|inches|in|英寸",
    "foot|feet|ft|英尺",
    "yard|yards|yd|码",
    "kg|kgs|kilogram|kilograms|公斤|千克",
    "gram|grams|g|克",
    "mg|milligram|milligrams|毫克",
    "ton|tons|tonne|tonnes|吨|噸",
    "pound|pounds|lb|lbs|磅",
    "ounce|ounces|oz|盎司",
    "liter|liters|litre|litres|l|升",
    "ml|milliliter|milliliters|millilitre|millilitres|毫升",
    "gallon|gallons|加仑",
    "second|seconds|sec|secs|s|秒|秒钟",
    "minute|minutes|min|mins|分钟|分鐘",
    "hour|hours|hr|hrs|h|小时|小時",
    "day|days|天|日",
    "week|weeks|周|星期",
    "month|months|个月|個月",
    "year|years|yr|yrs|年|岁|歲",
    "dollar|dollars|usd|美元",
    "cent|cents|美分",
    "yuan|rmb|cny|元|块|块钱|人民币",
    "euro|euros|eur|欧元",
    "pound sterling|gbp|英镑",
    "degree|degrees|deg|°|度",
    "radian|radians|rad|弧度",
    "mph|miles per hour|英里/小时",
    "km/h|kph|kmh|kilometers per hour|公里/小时|千米/小时|公里每小时|千米每小时",
    "m/s|meters per second|metres per second|米/秒|米每秒",
    "unit|units",
    "newton|newtons",
    "joule|joules|焦耳",
    "watt|watts|瓦|瓦特",
    "am|a.m.",
    "pm|p.m.",
)
_CANON = {name: group.split("|")[0] for group in _GROUPS for name in group.split("|")}
CURRENCY = {"$": "dollar", "¥": "yuan", "€": "euro", "£": "pound sterling"}

# A number with one of these behind it is another number, or no longer an answer. Other nouns are units without a name.
_NO_NOUN = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand "
    "thousands million millions billion billions trillion trillions dozen dozens pair pairs score gross half halves "
    "third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth eighths ninth "
    "ninths tenth tenths hundredth hundredths thousandth thousandths percent percents percentage times squared "
    "cubed square cubic factorial power root base mod modulo over plus minus negative positive point and but not "
    "nor either neither than less more most least about approximately roughly maybe perhaps possibly probably "
    "almost nearly wrong instead divided multiplied added subtracted per the that infinity infinite nan none "
    "unknown degrees sin cos tan log exp sqrt inf wait except excluding without until through between otherwise "
    "versus equals".split()
)
_NO_COUNTER = re.compile(r"[零〇一二三四五六七八九十百千万萬亿億半倍分成折双雙对對打又或和与與不非约約至到负負点點]")
_POWER = re.compile(r"\s*(?:\^\s*\{?\s*([23])\s*\}?|([²³]))$")
_SQUARE = re.compile(r"(?:square|sq\.?|平方)\s*", re.IGNORECASE)
_CUBIC = re.compile(r"(?:cubic|cu\.?|立方)\s*", re.IGNORECASE)
_RATE = re.compile(r"(?:([A-Za-z ]{1,30}?)\s+)?per\s+([a-z]{2,20})")
_NOUN = re.compile(r"[A-Za-z][a-z]{2,19}(?: [a-z]{3,20})?")
_COUNTER = re.compile(r"[\u4e00-\u9fff]{1,3}")


def unit_name(text: str, marked: bool = False) -> str | None:
    r"""The unit that `text` is, one name for all its spellings ("sq cm" and "cm^2" are "cm^2").

    "" for a noun that names what is counted ("eggs", "个") and is not compared; None if it is no unit. A single
    letter is one only if `marked` as text (\text{m}); else it is a variable.
    """
    text = text.strip()
    power = ""
    if found := _POWER.search(text):
        power, text = "^" + (found[1] or {"²": "2", "³": "3"}[found[2]]), text[: found.start()].strip()
    elif found := _SQUARE.match(text) or _CUBIC.match(text):
        power, text = "^2" if _SQUARE.match(text) else "^3", text[found.end() :]
    name = _CANON.get(text.lower())
    if name is not None and (marked or len(text) > 1 or not text.isascii()):
        return name + power
    if power:
        return None
    if rate := _RATE.fullmatch(text):
        known = not rate[1] or unit_name(rate[1]) is not None
        return "" if known and rate[2] not in _NO_NOUN else None
    if _NOUN.fullmatch(text) and not _NO_NOUN & set(text.lower().split()):
        return ""
    return "" if _COUNTER.fullmatch(text) and not _NO_COUNTER.search(text) else None


def same_unit(first: str | None, second: str | None) -> bool:
    """A unit counts only where both answers name one."""
    return not first or not second or first == second
