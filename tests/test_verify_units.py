"""Numbers, units and spellings of maths answers: what is the same, and what is another answer."""

from fractions import Fraction

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from tables import each

from r1hf.verify import parse_number, verify_math
from r1hf.verify.normal import normalise
from r1hf.verify.unit_table import CANON, MEANINGS, PREFIXED, PREFIXES
from r1hf.verify.units import same_unit, unit_name

SAME = {
    "nouns": [
        *(
            ("18 cups of flour", "18"),
            ("18 slices of pizza", "18"),
            ("18 in total", "18"),
            ("18 people in total", "18"),
        ),
        *(
            ("18 hours a day", "18"),
            ("18 ice cream cones", "18"),
            ("18 T-shirts", "18"),
            ("18 one-dollar bills", "18"),
        ),
        *(("18 M&Ms", "18"), ("1/2 of the pizza", "1/2"), ("3/4 of an hour", "3/4 hour"), ("18 (apples)", "18")),
        *(("18 cm long", "18 cm"), ("18 different ways", "18"), ("18 positive integers", "18"), ("1 apple", "1")),
        *(
            ("18 minutes late", "18"),
            ("18 years old", "18 years"),
            ("x = 5 \\text{ only}", "5"),
            ("18 children", "18"),
        ),
    ],
    "Chinese": [
        *(
            ("18（个）", "18"),
            ("18(元)", "18"),
            ("18（千米/时）", "18 km/h"),
            ("18种不同的方法", "18"),
            ("18元/个", "18元"),
        ),
        *(("1小时30分", "1 hour 30 minutes"), ("45 分", "45 minutes"), ("18名学生", "18"), ("18公斤苹果", "18 kg")),
        *(("5毫安", "5 mA"), ("100 千帕", "100 kPa"), ("百分之28", "28%"), ("28个百分点", "28%"), ("负7", "-7")),
    ],
    "percent": [
        *(("28 Percent", "28%"), (r"(28)\%", r"28\%"), ("12,5%", "12.5%"), ("20% off", "20%"), ("0.5%", "0.005")),
        *(("150% increase", "150%"), ("20% of the total", "0.2"), ("100%", "100"), ("100%", "1"), (r"28{\%}", "28%")),
    ],
    "money": [
        *(("18 US dollars", "$18"), ("25¢", "25 cents"), ("3.20 pounds", "£3.20"), ("3.2 pounds", "3.2 lb")),
        *(("$6/lb", "6 dollars per pound"), ("$6 per pound", "6 dollars per lb"), ("$18 a day", "18 dollars per day")),
        *((r"\textdollar 18", "$18"), (r"\pounds 3.20", "£3.20"), (r"70,\,000", "70000"), ("HK$5", "5港元")),
    ],
    "units behind roots, powers and pi": [
        *((r"12\pi cm^2", r"12\pi"), (r"12\pi cm²", r"12\pi \text{ cm}^2"), (r"200\sqrt{3} N", r"200\sqrt{3}")),
        *((r"10^{-3} m", "10^{-3}"), (r"$2\sqrt3$ cm", r"2\sqrt{3}"), (r"5\pi m", r"5\pi")),
    ],
    "units in LaTeX": [
        *((r"20 \frac{m}{s}", "20 m/s"), (r"20\frac{\mathrm{m}}{\mathrm{s}}", "20 m/s"), (r"\(60\) Hz", "60 hertz")),
        *((r"9.8\,\frac{m}{s^2}", "9.8 m/s^2"), (r"12\ \frac{\text{J}}{\text{kg}\cdot\text{K}}", "12 J/(kg K)")),
        *((r"\SI{2.5}{m/s}", "2.5 m/s"), (r"\SI{2.5}{\kilo\gram}", "2.5 kg"), (r"2.5 \si{m/s}", "2.5 m/s")),
        *((r"2.5 \unit{\meter\per\second}", "2.5 m/s"), (r"60\,{\rm Hz}", "60 Hz"), (r"90\degree", r"90^\circ")),
        *(
            ("90º", r"90^\circ"),
            (r"25{}^\circ\text{C}", "25 degrees Celsius"),
            ("6''", "6 inches"),
            ("300㎡", "300 平方米"),
        ),
        *(("15cm2", "15 cm^2"), ("24 in.^3", "24 cubic inches"), (r"1.0\times10^3\ \mathrm{kg/m^{3}}", "1000 kg/m^3")),
        *(("18 kilowatt-hours", "18 kWh"), ("34 rpm", "34 rev/min"), ("14 KM", "14 km"), ("5 L", "5 liters")),
    ],
    "style": [
        *(
            (r"\large 14", "14"),
            (r"\color{red}{14}", "14"),
            (r"\textcolor{red}{\frac34}", "3/4"),
            (r"{\Large 14}", "14"),
        ),
        *((r"\underline{\underline{14}}", "14"), (r"\boldsymbol{5}", "5"), (r"\bf 5", "5"), (r"{\bf 5}", "5")),
        *((r"\mathbf{\frac34}", "3/4"), (r"\mathrm{\frac{3}{4}}", "3/4"), (r"{\displaystyle \frac{3}{4}}", "3/4")),
        *(("*14*", "14"), ('"14"', "14"), ("“14”", "14"), ("14！", "14"), (r"\begin{align*}14\end{align*}", "14")),
    ],
    "frame": [
        *((r"5 \,", "5"), (r"\frac34\,.", "3/4"), (r"\frac34\ .", "3/4"), (r"\frac34 \\", "3/4"), ("= 5", "5")),
        *((r"\therefore x = 5", "5"), ("∴ x = 5", "5"), (r"5 \checkmark", "5"), (r"5 \qquad \blacksquare", "5")),
        *(("x := 5", "5"), (r"&= \frac{3}{4}", "3/4"), ("14{}", "14"), (r"\frac{3}{4}\text{.}", "3/4")),
    ],
    "signs": [
        *(("3∶2", "3:2"), ("3{:}2", "3:2"), ("∛2", r"\sqrt[3]{2}"), ("∣x-1∣", "|x-1|"), ("2ⁿ", "2^n")),
        *((r"\nicefrac{1}{3}", "1/3"), (r"\sfrac{1}{3}", "1/3"), (r"{1\over3}", "1/3"), (r"3\over4", "3/4")),
        *(("negative 7", "-7"), ("minus 7", "-7"), ("³⁄₄", "3/4"), ("ℝ", r"\mathbb{R}"), ("0.6̅", "2/3")),
        *(("0.142857142857…", "1/7"), (r"0.666\cdots", "2/3"), ("3……2", "3 R 2"), ("3 remainder 2", "3余2")),
        *(("①③", "③、①"), ("①、②、③", "①②③"), ("⑭", "14")),
    ],
    "parts": [
        *(("3 ft by 5 ft", "5 ft by 3 ft"), (r"30^\circ 5'", "30°5'"), ("5'6\"", "5 feet 6 inches")),
        *((r"\$3 and 20 cents", "3 dollars and 20 cents"), ("3 and 5 miles", "5 mi, 3 mi")),
    ],
}
OTHER = {
    "scales": [
        "14 lakh",
        "14 crore",
        "14 mil",
        "14 grand",
        "14 quadrillion",
        "14 zillion",
        "14兆",
        "14 tens",
        "14 dozen",
    ],
    "fractions": ["14 twelfths", "14 millionths", "14 permille", "14 basis points", "14 twenty-fifths", "14 halves"],
    "operators": [
        *(
            "14 doubled",
            "14 tripled",
            "14 squared",
            "14 cubed",
            "14 binary",
            "14 hex",
            "14 factorial",
            "14 reciprocal",
        ),
        *(
            "14的平方",
            "14的倒数",
            "14阶乘",
            "14进制",
            "14次方",
            "14平方",
            "14取反",
            "14开方",
            "14 mod 3",
            r"14^\circ^2",
        ),
    ],
    "denials": [
        *(
            "14 incorrect",
            "14 false",
            "14 rejected",
            "14 extraneous",
            "14 invalid",
            "14 excluded",
            "14 error",
            "14 guess",
        ),
        *("14 ish", "14 approx.", "14 errors", "14 fails", "14 (wrong)", "14 unsure", "~~14~~", "14 each", "14 prime"),
        *("14错", "14舍去", "14除外", "14无解", "14个错误", "14吗", "14待定", "14存疑", r"\cancel{14}"),
    ],
    "bounds": [
        *(
            "14以上",
            "14以下",
            "14以内",
            "14多",
            "14几",
            "14余",
            "14大于",
            "14个以上",
            "14米左右",
            "14人以上",
            "14个不到",
        ),
        *("14 more", "14 fewer", "14 times", "14 or so", "14 or less", "14 at least", "14 inclusive", "14 ..."),
    ],
    "digits apart": ["1  4", r"1\large 4", r"1\space 4", r"1\hspace{1mm}4", "1 \n 4"],
    "words around": ["14 of 15", "half of 14", "14 if x > 0", "14 dollars short", "14 unless", "14 against"],
}
DIFFERENT = [
    *(("2 remainder 3", "3 remainder 2"), ("2余3", "3余2"), ("2 R 3", "3 R 2"), ("7r3", "3r7")),
    *(
        ("5 pesos", "$5"),
        ("5 francs", "5 dollars"),
        ("5 rubles", "5 dollars"),
        ("100港元", "¥100"),
        ("100韩元", "100日元"),
    ),
    *(("25%", "25 cents"), ("30%", r"30^\circ"), ("5%", "5 ppm"), ("5 cents, 7 cents", r"\$5, \$7"), ("A$5", "$5")),
    *(("5安", "5毫安"), ("5微安", "5毫安"), ("5伏", "5毫伏"), ("5赫兹", "5兆赫"), ("5斤", "5千克"), ("5斤", "5两")),
    *(
        ("5公里", "5里"),
        ("5米", "5尺"),
        ("5元", "5角"),
        ("5 kg", "5 stone"),
        ("5 gallons", "5 cups"),
        ("5 tsp", "5 tbsp"),
    ),
    *(("5 years", "5 decades"), ("5 years", "5 light years"), ("5 parsecs", "5 ly"), ("5 mph", "5 knots")),
    *(("5 miles", "5 nautical miles"), ("5 kW", "5 hp"), ("5 N", "5 dyn"), ("5 T", "5 gauss"), ("5 ppb", "5 ppm")),
    *(
        ("5 rad", "5 rev"),
        ("5 lb", "5 slug"),
        ("5 kWh", "5 kW"),
        ("5 mmHg", "5 mm"),
        ("5 AU", "5 ly"),
        ("5 mM", "5 mm"),
    ),
    *(("$5 per day", "$5 per hour"), ("$5 a day", "$5 a week"), ("5 MHz", "5 mHz"), ("5 cm^2", "5 cm^3")),
    (r"2 \frac{\text{kg}}{\text{m}^3}", r"2 \frac{\text{g}}{\text{cm}^3}"),
    *((r"20 \frac{m}{s}", r"20 \frac{km}{h}"), (r"30^\circ 5'", r"5^\circ 30'"), ("5'6\"", "6'5\"")),
    *((r"\$20 \text{ and } 3 \text{ cents}", r"\$3 \text{ and } 20 \text{ cents}"), ("3 cm by 5 m", "5 cm by 3 cm")),
    *(("0.5%", "0.5"), (r"\frac12\%", "1/2"), ("3/4%", "3/4"), (r"0.15\%", "0.15"), ("50% increase", "50% decrease")),
    *(
        ("5 years later", "5 years ago"),
        ("5 points lower", "5 points higher"),
        ("5 steps forward", "5 steps backward"),
    ),
    *(
        (r"\pi r^2", r"\pi r^2 h"),
        ("x^2", "x^2 m"),
        ("2", "2mg"),
        ("2", "2ms"),
        ("3t + 5", "3 t + 5 s"),
        ("x+2", "x + 2 h"),
    ),
    *((r"\frac12 mv^2", r"\frac12 m"), (r"5\frac{m}{s}", "5"), (r"2x\frac{m}{s}", "2x"), ("v_0^2", "v_0^2 s")),
    *(("13", "①③"), ("24", "②④"), ("12", "①②"), ("①②", "②③"), ("negative 7", "7"), ("负7", "7")),
]


@each("first, second", [pair for pairs in SAME.values() for pair in pairs])
def test_the_same_both_ways(first, second):
    assert verify_math(first, second) is True
    assert verify_math(second, first) is True


@each("answer", [answer for answers in OTHER.values() for answer in answers])
def test_no_fourteen(answer):
    assert verify_math(answer, "14") is False
    assert not verify_math("14", answer)


@each("first, second", DIFFERENT)
def test_different_both_ways(first, second):
    assert not verify_math(first, second)
    assert not verify_math(second, first)


# Spellings that need a number of their own shape, or that are words of the day.
APART = {
    "'",
    "''",
    '"',
    "foot mark",
    "inch mark",
    "am",
    "pm",
    "a.m.",
    "p.m.",
    "a.m",
    "p.m",
    "AM",
    "PM",
    "A.M.",
    "P.M.",
}
SPELLINGS = sorted(name for name in CANON if name not in APART and CANON[name] not in ("am", "pm"))
CANONICAL = sorted({CANON[name] for name in SPELLINGS})
NUMBERS = st.sampled_from(["14", "0.5", r"\frac{3}{4}", "-7", "1,400", r"2 \times 10^{5}"])


@seed(1)
@settings(max_examples=150, deadline=None, database=None)
@given(
    NUMBERS,
    st.sampled_from(SPELLINGS),
    st.sampled_from([r"{} \text{{ {} }}", r"{}\,\mathrm{{{}}}", r"${}$ \text{{{}}}", r"{}~\text{{{}}}"]),
)
def test_a_unit_in_any_dress_leaves_the_number(number, unit, dress):
    dressed = dress.format(number, unit)
    assert verify_math(dressed, number) is True and verify_math(number, dressed) is True


def test_different_units_are_never_equal():
    names = [name for name in CANONICAL if name not in MEANINGS]
    same = [(a, b) for a in names for b in names if a < b and same_unit(unit_name(a, True), unit_name(b, True))]
    assert same == []


@seed(2)
@settings(max_examples=60, deadline=None, database=None)
@given(
    *[st.sampled_from(sorted(f"{prefix}{symbol}" for prefix in "kMmµ" for symbol in PREFIXED if symbol != "M"))] * 2
)
def test_a_prefix_makes_another_unit(first, second):
    assert same_unit(unit_name(first, True), unit_name(second, True)) is (
        first == second or unit_name(first, True) == unit_name(second, True)
    )
    assert set(first[0]) <= PREFIXES


SYMBOLS = ["kg", "m", "s", "N", "mol", "J", "K", "cm", "L", "V", "ft", "lb", "Pa"]


@seed(3)
@settings(max_examples=80, deadline=None, database=None)
@given(st.lists(st.sampled_from(SYMBOLS), min_size=2, max_size=4, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_factors_does_not_matter(symbols, random):
    other = random.sample(symbols, len(symbols))
    for sign in (r" \cdot ", " ", "·"):
        assert verify_math(rf"5 \text{{ {sign.join(symbols)} }}", rf"5 \text{{ {' '.join(other)} }}") is True
    assert unit_name("/".join([symbols[0], *symbols[1:]]), True) == unit_name(
        f"{symbols[0]}/({'*'.join(sorted(symbols[1:]))})", True
    )


@seed(4)
@settings(max_examples=60, deadline=None, database=None)
@given(
    st.lists(st.integers(2, 99), min_size=2, max_size=4, unique=True),
    *[st.sampled_from(["cm", "kg", "miles", "hours", "m/s"])] * 2,
)
def test_the_unit_of_a_list_is_that_of_each_item(numbers, unit, other):
    alone = ", ".join(f"{number} {unit}" for number in numbers)
    behind = ", ".join(map(str, numbers)) + f" {unit}"
    assert verify_math(behind, alone) is True and verify_math(alone, behind) is True
    assert bool(verify_math(", ".join(map(str, numbers)) + f" {other}", alone)) is (unit == other)


@each("text", ["14", r"\frac34\,.", r"{\rm Hz}", "“14”", r"\SI{2}{\kilo\gram}", "①③", "3……2", "= 5"])
def test_normalised_text_is_normal(text):
    assert normalise(normalise(text)) == normalise(text)


def test_a_noun_is_a_unit_without_a_name():
    assert parse_number("14 apples") == (Fraction(14), False, "")
    assert parse_number("14 blorptastic") is None
