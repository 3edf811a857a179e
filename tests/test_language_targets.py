"""Which languages can be asked for, how they are named, and what a row that names none or an unknown one gets."""

import json
from pathlib import Path

import pytest
from small_run import CPU, GRPO, arguments, recipe, run_recipe
from tables import each

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import DataError
from r1hf.data.filters import SampleFilter
from r1hf.data.language_column import check_languages
from r1hf.data.rows import load_rows
from r1hf.evaluation import judge
from r1hf.models.sampling import Completion
from r1hf.rewards import language_consistency_reward
from r1hf.text.language import detect, is_listed, language_code, target_share
from r1hf.text.language.codes import SCRIPTS

FIXTURES = Path(__file__).parent / "fixtures"
UNLISTED = [
    json.loads(line) for line in (FIXTURES / "language_unlisted.jsonl").read_text(encoding="utf-8").splitlines()
]
ENGLISH = "First I multiply three by four, which gives twelve, and then I add two to get fourteen."
RUSSIAN = "Сначала умножаю три на четыре, получаю двенадцать, потом прибавляю два и получаю четырнадцать."

# Letters that other languages have too must not name a language.
ORDINARY = [
    ("Chọn mẹ và con, hỏi có bao nhiêu người?", "vi"),
    ("What is the value of ħ in joule seconds?", "en"),
    ("Hâm giao động điều hòa có năng lượng bao nhiêu?", "vi"),
    ("Kuinka monta omenaa korissa on?", "fi"),
    ("Hány alma van a kosárban?", "hu"),
    ("Berapa banyak apel di keranjang?", "id"),
    ("Сколько яблок в корзине?", "ru"),
    ("Скільки яблук у кошику?", "uk"),
    ("Колико јабука има у корпи?", "sr"),
    ("Себетте нешә алма бар, барлығы қанша, ұлым?", "kk"),
    ("ٹوکری میں کتنے سیب ہیں؟", "ur"),
    ("كم تفاحة في السلة؟", "ar"),
    ("Je, kuna matufaha mangapi kwenye kikapu hicho kikubwa?", None),
]
OWN_SCRIPT = {
    "bn": "প্রথমে তিনকে চার দিয়ে গুণ করি",
    "ta": "முதலில் மூன்றை நான்கால் பெருக்குகிறோம்",
    "te": "ముందుగా మూడును నాలుగుతో గుణిస్తాము",
    "gu": "પહેલા ત્રણને ચાર વડે ગુણીએ છીએ",
    "kn": "ಮೊದಲು ಮೂರನ್ನು ನಾಲ್ಕರಿಂದ ಗುಣಿಸುತ್ತೇವೆ",
    "ml": "ആദ്യം മൂന്നിനെ നാലുകൊണ്ട് ഗുണിക്കുന്നു",
    "pa": "ਪਹਿਲਾਂ ਤਿੰਨ ਨੂੰ ਚਾਰ ਨਾਲ ਗੁਣਾ ਕਰਦੇ ਹਾਂ",
    "or": "ପ୍ରଥମେ ତିନିକୁ ଚାରି ସହିତ ଗୁଣନ କରିବା",
    "si": "පළමුව තුන හතරෙන් ගුණ කරමු",
    "km": "ដំបូងយើងគុណបីនឹងបួន",
    "lo": "ກ່ອນອື່ນເຮົາຄູນສາມກັບສີ່",
    "my": "ပထမဦးစွာ သုံးကို လေးနှင့် မြှောက်သည်",
    "am": "መጀመሪያ ሦስትን በአራት እናባዛለን",
    "ka": "ჯერ სამს ვამრავლებთ ოთხზე",
    "hy": "Նախ երեքը բազմապատկում ենք չորսով",
    "bo": "དང་པོ་གསུམ་བཞི་ལ་སྒྱུར་དགོས།",
    "dv": "ފުރަތަމަ ތިނެއް ހަތަރެއް ގުނަކުރަމެވެ",
    "as": "প্ৰথমে তিনিক চাৰিৰে পূৰণ কৰোঁ",
    "el": "Πρώτα πολλαπλασιάζουμε το τρία",
    "he": "קודם נכפול שלוש בארבע",
}


@each("text, code", ORDINARY)
def test_the_language_of_a_question(text, code):
    assert detect(text) == code


@each("code", OWN_SCRIPT)
def test_a_language_with_a_script_of_its_own(code):
    text = OWN_SCRIPT[code]
    assert target_share(text, code) == 1.0
    assert target_share(text, "en") == target_share(ENGLISH, code) == 0.0
    assert 0.0 < target_share(f"{text} {ENGLISH}", code) < 0.8
    assert detect(text) == code


@each("row", UNLISTED, ids=lambda row: row["language"])
def test_a_language_without_a_word_list_has_what_no_other_claims(row):
    text, code = row["text"], row["language"]
    assert target_share(text, code) >= 0.7
    assert target_share(ENGLISH, code) <= 0.05
    assert target_share(RUSSIAN, code) <= 0.2
    words = len(text.split()), len(ENGLISH.split())
    assert target_share(f"{text} {ENGLISH}", code) == pytest.approx(words[0] / sum(words), abs=0.13)


@pytest.mark.parametrize("code", ["sr", "bs", "hr"])
def test_serbian_in_latin_letters(code):
    text = "Prvo množimo tri sa četiri i dobijamo dvanaest, zatim dodajemo dva."
    assert target_share(text, code) == 1.0
    assert target_share(ENGLISH, code) == 0.0
    assert target_share(f"{text} Прво множимо три са четири.", "sr") == 1.0
    assert target_share(RUSSIAN, "sr") == 0.0


@each(
    "text, code",
    [
        ("en", "en"),
        ("EN_us", "en"),
        ("eng", "en"),
        ("English", "en"),
        ("zh-CN", "zh"),
        ("zh-Hant", "zh"),
        ("zh_TW.UTF-8", "zh"),
        ("cmn", "zh"),
        ("Chinese", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Traditional Chinese", "zh"),
        ("中文", "zh"),
        ("pt-BR", "pt"),
        ("Brazilian Portuguese", "pt"),
        ("sr-Latn", "sr"),
        ("Deutsch", "de"),
        ("fil", "tl"),
        ("nb", "no"),
        ("iw", "he"),
        ("Bengali", "bn"),
        (" ta ", "ta"),
        ("klingon", None),
        ("xx", None),
        ("en/zh", None),
        ("English and Chinese", None),
        ("jp", None),
        ("", None),
        (None, None),
        (float("nan"), None),
        (3, None),
    ],
)
def test_what_names_a_language(text, code):
    assert language_code(text) == code


def test_every_language_can_be_asked_for():
    assert {language_code(code) for code in SCRIPTS} == set(SCRIPTS)
    assert all(target_share(ENGLISH, code) == (code == "en") for code in SCRIPTS if is_listed(code))


@each(
    "language, share",
    [(None, 1.0), ("", 1.0), (" ", 1.0), (float("nan"), 1.0), ("zh", 0.0), ("klingon", None), (3, None), ("sw", 0.0)],
)
def test_a_row_never_ends_a_training(language, share):
    completion = f"<think>{ENGLISH}</think> <answer>14</answer>"
    rewards = language_consistency_reward(["What is 2 + 3 * 4?"] * 2, [completion] * 2, language=[language, "en"])
    assert rewards == [share, 1.0]
    row = {"question": "What is 2 + 3 * 4?", "answer": "14", "language": language, "task": "reasoning"}
    sample = Completion(text=completion, tokens=40, truncated=False)
    assert judge(row, sample).language_share == share
    assert SampleFilter().reason(row, sample) == ("wrong_language" if share == 0.0 else None)


def parsed():
    return Parsed((None,), [], {}, {}, [])


def rows_with(*languages):
    return [{"question": "What is 2 + 3 * 4?", "language": language} for language in languages]


def test_what_is_wrong_with_the_rows_is_known_before_a_run():
    found = parsed()
    rows = rows_with("en", "klingon", "klingon", None, float("nan"), "sw", "Bengali", "vietnamse")
    rows[3]["question"] = "2 + 3 * 4 = ?"
    check_languages(found, "prompts", rows, "weigh the reward 'language' 0")
    assert len(found.problems) == 2 and len(found.notes) == 2
    assert "'klingon' is unknown" in found.problems[0] and "2 of 8 rows: 2, 3" in found.problems[0]
    assert "did you mean 'vi'" in found.problems[1] and "weigh the reward 'language' 0" in found.problems[1]
    assert "2 of 8 rows: 4, 5" in found.notes[0] and "1 of these are not judged" in found.notes[0]
    assert "'sw' has no word list (1 of 8 rows: 6)" in found.notes[1]


def test_where_nothing_hangs_on_it_an_unknown_language_is_a_note():
    found = parsed()
    check_languages(found, "prompts", rows_with("klingon"), None)
    assert not found.problems and "not judged" in found.notes[0]
    sound = parsed()
    check_languages(sound, "prompts", rows_with("en", "zh-CN", "Chinese"), "weigh it 0")
    assert not sound.problems and not sound.notes


def test_rows_are_read_with_one_type_of_language(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"language": NaN}\n{"language": ""}\n{"language": 3}\n{"language": "en"}\n', encoding="utf-8")
    assert [row["language"] for row in load_rows(str(path), ["language"])] == [None, None, "3", "en"]


def test_an_unknown_target_is_refused_in_one_sentence():
    with pytest.raises(DataError, match="'klingon' is unknown; use an ISO 639-1 code such as en"):
        target_share("hello", "klingon")


ROWS = [
    {"question": "What is 2 + 3?", "answer": "5", "language": "en", "task": "reasoning"},
    {"question": "২ আর ৩ যোগ করলে কত হয়?", "answer": "5", "language": "bn", "task": "reasoning"},
    {"question": "What is 1 + 3?", "answer": "4", "language": "klingon", "task": "reasoning"},
    {"question": "What is 4 + 3?", "answer": "7", "language": float("nan"), "task": "reasoning"},
    {"question": "What is 4 + 4?", "answer": "8", "language": "", "task": "reasoning"},
    {"question": "What is 4 + 5?", "answer": "9", "language": 3, "task": "reasoning"},
]


def rows_file(path):
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("name", "given", "refused"),
    [
        ("reasoning_rl", {}, True),
        ("reasoning_rl", {"rewards": {"accuracy": 1.0, "language": 0.0}}, False),
        ("r1_zero", {}, False),  # its configuration weighs language 0
        ("rejection_sampling", {}, True),
        ("rejection_sampling", {"min_language_share": 0}, False),
        ("cold_start", {}, True),
        ("evaluate", {}, False),
    ],
)
def test_recipes_name_the_rows_of_unknown_languages_before_the_run(name, given, refused, tmp_path):
    module = recipe(name)
    given = {"prompts": rows_file(tmp_path / "rows.jsonl"), **given}
    found = parse(module.CONFIGS, arguments(f"{name}.yaml", **given))
    module.preflight(found)
    about = [problem for problem in found.problems if "is unknown" in problem]
    assert len(about) == (2 if refused else 0)


@pytest.mark.slow
def test_languages_that_nothing_is_paid_for_end_no_training(tiny_base, tmp_path):
    given = {"model": tiny_base, "prompts": rows_file(tmp_path / "rows.jsonl"), "output_dir": tmp_path / "out"}
    weights = {"accuracy": 1.0, "format": 1.0, "language": 0.0}
    out = run_recipe("reasoning_rl", "reasoning_rl.yaml", **given, **{**GRPO, **CPU}, rewards=weights)
    assert (out / "manifest.json").is_file()
