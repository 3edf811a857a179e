"""What is counted: nouns and Chinese counters behind a number, which are units without a name.

A number with "dozen", "squared" or "incorrect" behind it is another number or no answer, so that a word counts as a
noun only if it is a plural or a well-known one, and none of its words turns the number into something else.
"""

from __future__ import annotations

import re

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand dozen "
    "score gross grand pair couple lakh lac lacs crore mil mils half halves quarter ones tens oneth single double "
    "triple quadruple zeros zeroes percent percentage percentile percentiles pct permille permil permilles basis "
    "bp bps googol myriad myriads k bn mn"
)
_OPERATORS = (
    "times squared cubed halved doubled tripled quadrupled raised root power powers factorial factorials base mod "
    "modulo over plus minus negative and but not nor neither than less more most least fewer per divided "
    "multiplied added subtracted increased decreased inverse inverses reciprocal reciprocals opposite opposites "
    "negatives doubles triples twice thrice fold remainder remainders ratio odds against log logs ln sin cos tan "
    "exp sqrt inf infinity infinite nan binary octal decimal hex hexadecimal deficit deficits excess difference "
    "differences to or versus equals equal through between until exponent exponents logarithm logarithms "
    "complement"
)
_HEDGES = (
    "about approximately roughly around approx maybe perhaps possibly probably almost nearly wrong incorrect "
    "false untrue invalid rejected reject rejects extraneous excluded excludes discarded error errors mistake "
    "mistakes fail fails failed instead none unknown unsure uncertain tentative guess guesses guessed estimate "
    "estimates estimated rounded truncated wait except excluding without otherwise unless oops again impossible "
    "thus always afterwards upwards downwards backwards forwards inwards outwards towards was has does this its "
    "his hers yes us nope no never isn't isnt cannot o'clock can't bogus wrongs fake nonsense lies exceeds means "
    "lacks approximations approximation ago later minimum maximum inclusive exclusive noon midnight sometimes "
    "nothing something whereas besides plausible answers answer contradictions contradiction undefined "
    "incorrectly"
)
_NOT_COUNTED = frozenset(f"{_NUMBERS} {_OPERATORS} {_HEDGES}".split())
# "fifths", "twentieths", "millionths", "quintillion", "tenfold"
_FRACTION = re.compile(
    r"(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|.*(?:teen|tie|hundred|thousand|illion|illi))ths?|.*thirds?"
    r"|.*illions?|.*fold|(?:lakh|crore|dozen|thousand|hundred|grand|pair|score|quarter|half|couple|lac)s"
    r"|(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|.*teen|(?:twen|thir|for|fif|six|seven|eigh|nine)t(?:y|ies))s?"
)
_LINKS = frozenset("a an the of in on from at for his her their its each every".split())

# Nouns that are no plural in -s, and singular ones that stand behind 1 or a fraction.
_KNOWN = frozenset(
    "pcs tvs ads cds dvds people children men women persons person child man woman fish sheep deer mice geese "
    "teeth dice cattle oxen bacteria vertices indices matrices axes data criteria series species aircraft "
    "pieces police salmon shrimp trout moose bison gentlemen policemen firemen fishermen salesmen postmen "
    "freshmen grandchildren adult animal ant apple bag ball balloon banana band bar basket bead bear bed bee "
    "bell bicycle bike bill bird block board boat bone book bottle bowl box boy bread brick bridge brother "
    "bucket building bun bus bush butterfly button cage cake camel can candle candy car card carrot carton "
    "case cat chair chicken chocolate circle class classroom clip clock coach coat coin color colour cone "
    "container cookie corner couch course cow crate crayon customer day desk diagonal digit dish doctor dog "
    "doll donkey donut door dress drink drop duck edge egg elephant employee envelope eraser face family farm "
    "farmer fence field file film finger flag floor flower fly fork fox friend frog fruit game garage garden "
    "gift girl glass goal goat grape group guest hat head hen hole home horse house human idea integer "
    "intersection item jacket jar joke jug key kid king kite kitten knife lamp lap leaf leg lemon lesson "
    "letter light line lion list lot machine magazine marble match meal member message model monkey mother "
    "mouse movie muffin mug nail name necklace neighbour neighbor nest notebook nut object octopus onion "
    "option orange outcome owl ox pack package packet pad page pancake paper parent part party passenger path "
    "peach pear pebble pen pencil permutation pet photo piano picture pie piece pig pill pillow pizza place "
    "plane plant plate player plum pocket pole pond position possibility potato present problem puppy puzzle "
    "queen question quiz rabbit race ribbon ring river road rock room rose round row rope sandwich scarf "
    "school seat section seed segment sentence set shape shelf shell ship shirt shoe shop shot side sister "
    "skirt slice snake soda sofa soldier solution song spider spoon stamp star state step stick sticker stop "
    "store story straw street student subject subset suit table tank task team tent term test ticket tie tile "
    "token tomato tower town toy train tray tree triangle trip truck turkey turtle van vase vegetable vertex "
    "video visit visitor vote vowel wall watch way whale wheel window winner word worker yolk zebra city "
    "cities buses glasses classes dresses bonus boss pts".split()
)
_ENDINGS = ("ss", "us", "is", "ous", "less", "wards")
_WORD = re.compile(r"[A-Za-z]+(?:['&-][A-Za-z]+)*")

_MEASURE_WORDS = (
    "个 個 只 隻 条 條 张 張 本 支 枝 把 件 头 頭 匹 辆 輛 台 座 间 間 所 家 位 名 人 颗 "
    "顆 粒 棵 朵 根 片 瓶 杯 碗 盒 箱 包 袋 桶 盘 盤 套 组 組 班 排 行 列 层 層 页 頁 题 "
    "題 道 次 遍 回 趟 场 場 步 种 種 类 類 样 項 项 面 门 扇 幅 副 部 架 艘 株 枚 串 束 "
    "堆 群 批 筐 篮 车 車 节 段 句 首 封 顶 顿 篇 朶 股 滴 口 户 岁 号 局 轮 票 场次 人次 "
    "桌 届 筒 盆 罐 块 团 队 幢 栋 盏 卷 册 招 匙 级 期 笔 份 尾 具 床 学生 同学 女生 男生 "
    "小朋友 孩子 老师 工人 苹果 鸡蛋 棵树 单位长度 元素 整数 自然数 解 实数解 组解 交点"
)
_COUNTERS = tuple(sorted(_MEASURE_WORDS.split(), key=len, reverse=True))
_COUNTED = re.compile(rf"(?:{'|'.join(_COUNTERS)})(?:不同的?)?(?:[\u4e00-\u9fff]{{0,6}})")
# "14个以上", "14多个", "14个错": another number, or a denial.
_NO_COUNTER = re.compile(
    r"以上|以下|以内|以外|之内|之外|以前|以后|左右|上下|前后|开外|往上|大于|小于|等于|多于|少于|超过|不到|不足|不是|不对|不可"
    r"|无解|无效|平方|立方|次方|次幂|方根|开方|倒数|阶乘|进制|相反|反数|分之|[错误舍弃排除未待疑吗呢吧几余来约至负零〇一二三四五六七八九十"
    r"百千万萬亿億兆半倍折双雙对對又或和与與及非無差减加乘起否]"
)


def is_noun(text: str) -> bool:
    """Whether `text` names what is counted: "eggs", "ice cream cones", "different ways", but not "squared"."""
    words = text.split()
    if not 1 <= len(words) <= 4 or not all(_WORD.fullmatch(word) and len(word) <= 24 for word in words):
        return False
    if any(_turns(word) or word.lower() in _LINKS for word in words):
        return False
    return _is_counted(words[-1])


def is_phrase(text: str) -> bool:
    """Whether `text` are words that may stand behind "of" ("the pizza", "red apples"), none of which turns a value."""
    words = text.split()
    if not 1 <= len(words) <= 5 or not all(_WORD.fullmatch(word) and len(word) <= 24 for word in words):
        return False
    return not any(word.lower() not in _LINKS and _turns(word) for word in words) and len(words[-1]) > 2


def is_counter(text: str) -> bool:
    """Whether `text` is a Chinese measure word, and perhaps what it counts: "个", "种不同的方法"."""
    return _COUNTED.fullmatch(text) is not None and not _NO_COUNTER.search(text)


def _turns(word: str) -> bool:
    """Whether the word makes another number, or a denial, of the number before it."""
    parts = re.split(r"[-&']", word.lower())
    if word.lower() in _NOT_COUNTED:
        return True
    if len(parts) > 1:
        return _turns(parts[-1]) or "non" in parts or "half" in parts
    return _FRACTION.fullmatch(word.lower()) is not None


def _is_counted(word: str) -> bool:
    """Whether it is a plural or a known noun. Three letters and less may be variables, but not behind a hyphen."""
    *before, last = re.split(r"[-&']", word.lower())
    if last in _KNOWN:
        return True
    return last.endswith("s") and not last.endswith(_ENDINGS) and (len(last) > 3 or bool(before))
