"""Every kind of bad sample under its own reason, and good ones of each kind kept: the filters of cold start and
rejection sampling (seed articles, sections 10 and 13)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tables import each

from r1hf.data.filters import REASONS, SampleFilter, Verdict, described
from r1hf.data.readability import is_garbled
from r1hf.models.sampling import Completion
from r1hf.text.forms import to_cold_start
from r1hf.text.prompt_templates import load

EN = {"question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"}
ZH = EN | {"question": "2 + 3 * 4 等于多少？", "language": "zh"}
HANT = EN | {"question": "2 + 3 * 4 等於多少？", "language": "zh-Hant"}
TRAIN = EN | {"question": "Train travels at 60 mph for 2 hours, how far?", "answer": "120"}
CLIPS = EN | {"question": "Natalia sold 48 clips in April and half as many in May. How many?", "answer": "72"}
ANNA = EN | {"question": "Leila gave Ali half of her $100. He had $21. How much does Ali have?", "answer": "71"}
OUTPUT = EN | {"question": "What does `print(2 + 3 * 4)` write?"}

STEPS = "Reasoning: multiplication comes first.\nStep 1: 3 * 4 = 12.\nStep 2: 2 + 12 = 14."
CHECKED = f"{STEPS}\nVerification: multiplying before adding is right, and 14 - 2 = 12."
PARAGRAPH = (
    "Multiplication binds more tightly than addition, so the product of three and four is taken before anything is "
    "added, and that product is twelve, as four groups of three things each make a dozen things in all, which nobody "
    "doubts. 3 * 4 = 12."
)
ZH_STEPS = "推理过程：先乘后加。\n步骤 1：3 * 4 = 12。\n步骤 2：2 + 12 = 14。"
TOKEN = "| special_token |"


def cold(reasoning: str = STEPS, summary: str = "The answer is 14.", label: str = "Summary:") -> str:
    return f"{TOKEN} {reasoning} {TOKEN} {label} {summary}"


def think(thought: str = "3 * 4 = 12, and 2 + 12 = 14", answer: str = "14") -> str:
    return f"<think>{thought}</think> <answer>{answer}</answer>"


def verdict(row: dict[str, Any], text: str, method: str, tokens: int = 50, truncated: bool = False) -> str | None:
    form = "cold_start" if method != "sampled" else "think_answer"
    judge = SampleFilter(form=form, max_tokens=400, verification=method == "direct", max_paragraph=300)  # type: ignore[arg-type]
    return judge.reason(row, Completion(text, tokens, truncated))


BAD = [
    # Section 10: the form
    ("no_separator", EN, "few_shot", "Step 1: 3 * 4 = 12. Step 2: 2 + 12 = 14. Summary: The answer is 14."),
    ("no_separator", EN, "few_shot", "<special_token> 3 * 4 = 12 <special_token> Summary: 14"),
    ("one_separator", EN, "few_shot", f"{TOKEN} According to the order of operations, 2 + 12 = 14. Summary: 14."),
    ("one_separator", EN, "direct", f"{CHECKED} {TOKEN} Summary: The answer is 14."),
    ("too_many_separators", EN, "few_shot", f"{cold()} {TOKEN}"),
    ("too_many_separators", EN, "few_shot", f"{cold()}\n{cold()}"),
    ("think_tags", EN, "few_shot", think()),
    ("think_tags", EN, "few_shot", cold(f"<think>{STEPS}</think>")),
    ("think_tags", EN, "rewrite", cold(summary="<answer>14</answer>")),
    ("text_before", EN, "few_shot", f"Sure! Here is the solution:\n{cold()}"),
    ("text_before", EN, "few_shot", f"Solution: {cold()}"),
    ("no_reasoning", EN, "few_shot", cold("")),
    ("no_reasoning", EN, "few_shot", cold("14")),
    ("no_reasoning", EN, "few_shot", cold("Reasoning: The answer is 14.")),
    ("no_reasoning", ZH, "few_shot", cold("推理过程：答案是 14。", "答案是 14。", "总结：")),
    ("no_summary", EN, "few_shot", cold(summary="")),
    ("no_summary", EN, "few_shot", cold(summary="", label="")),
    ("no_summary_label", EN, "few_shot", cold(label="")),
    ("no_summary_label", EN, "few_shot", cold(label="Conclusion:")),
    ("empty", EN, "few_shot", " \n"),
    ("empty", EN, "sampled", "\u200b"),
    # Section 10: the content
    ("wrong_answer", EN, "few_shot", cold("2 + 3 = 5, and 5 * 4 = 20.", "The answer is 20.")),
    ("wrong_answer", EN, "direct", cold(CHECKED, "The answer is 140.")),
    ("wrong_answer", TRAIN, "few_shot", cold("60 + 2 = 62 miles.", "Train travels 62 miles.")),
    ("wrong_answer", CLIPS, "few_shot", cold("48 * 2 = 96, 48 + 96 = 144.", "Natalia sold 144 clips altogether.")),
    ("wrong_answer", HANT, "few_shot", cold("先算 2 + 3 = 5，再算 5 * 4 = 20。", "答案是 20。", "總結:")),
    ("no_answer", EN, "few_shot", cold(summary="The answer is 14. The answer is 20.")),
    ("no_answer", EN, "sampled", think(answer="I cannot tell.")),
    ("wrong_answer", EN, "sampled", think(answer=r"\boxed{14} or \boxed{20}")),
    ("unjudged", EN | {"answer": r"\frac{"}, "few_shot", cold()),
    ("no_verification", EN, "direct", cold()),
    ("no_verification", EN, "direct", cold(f"{STEPS}\nVerification:")),
    ("no_verification", EN, "direct", cold(f"{STEPS}\nVerification: yes.")),
    ("no_verification", ZH, "direct", cold(ZH_STEPS, "答案是 14。", "总结：")),
    ("no_verification", ZH, "direct", cold(f"{ZH_STEPS}\n验证：", "答案是 14。", "总结：")),
    ("messy", EN, "rewrite", cold("ummm... multiply 3 and 4... get 12... then add 2... 2 + 12 = 14")),
    ("messy", EN, "few_shot", cold("Uh, 3 * 4 = 12, and then 2 + 12 = 14.")),
    ("messy", EN, "rewrite", cold("So multiply ... then twelve ... then add ... 2 + 12 = 14.")),
    ("messy", ZH, "rewrite", cold("嗯……先算 3 * 4 = 12，再算 2 + 12 = 14。", "答案是 14。", "总结：")),
    ("truncated", EN, "few_shot", f"{TOKEN} Step 1: 3 * 4 ="),
    # Sections 9, 10 and 13: the language
    ("wrong_language", ZH, "few_shot", cold()),
    ("wrong_language", EN, "few_shot", cold("先算三乘以四，得到十二，再加上二：2 + 12 = 14。")),
    ("wrong_language", HANT, "direct", cold(CHECKED, "答案是 14。", "總結：")),
    ("wrong_language", EN, "sampled", think("Primero multiplicamos tres por cuatro y luego sumamos dos: 2 + 12 = 14")),
    ("wrong_language", EN, "sampled", think(answer="答案是 14。")),
    ("mixed_language", EN, "few_shot", cold(f"{STEPS}\n然后我们检查一下。")),
    ("mixed_language", EN, "sampled", think("First 3 * 4 = 12, 再算 2 + 12 = 14, and so it is done as one wants it")),
    (
        "mixed_language",
        EN,
        "sampled",
        think(
            "First I multiply the two numbers, because the product goes before the sum: 3 * 4 = 12. Luego sumamos el "
            "dos que queda al principio de la pregunta. So now I have the sum of both, 2 + 12 = 14, which is right."
        ),
    ),
    ("mixed_language", ZH, "sampled", think("首先计算乘法，因为先乘后加，then we add two to it，所以 2 + 12 = 14。")),
    # Section 13: readable, not rambling, no code
    ("repetition", EN, "sampled", think("So we multiply first and then we add. " * 40 + "2 + 12 = 14")),
    ("repetition", EN, "sampled", think("3 * 4 = 12, wait. Let me do it again. " * 12)),
    (
        "repetition",
        EN,
        "sampled",
        think("The product comes first.\nThe product comes first.\nThe product comes first."),
    ),
    ("repetition", EN, "sampled", think(f"{PARAGRAPH}\n\nSo 2 + 12 = 14.\n\n{PARAGRAPH}")),
    ("repetition", EN, "few_shot", cold("2 + 12 = 14 " + "so so so so so so so so so so so so")),
    ("repetition", ZH, "sampled", think("先算乘法再算加法。" * 10 + "2 + 12 = 14")),
    ("repetition", ZH, "sampled", think("2 + 12 = 14，" + "对对对对对对对对对对对对")),
    ("wrong_answer", EN, "sampled", think(answer="14 " * 30)),
    (
        "rambling",
        EN,
        "sampled",
        think(
            "3 * 4 = 12. Wait. No, actually. Hmm, I'm not sure. Let me think again. Maybe not. OK, wait. Is that "
            "right? I don't know. 2 + 12 = 14. Anyway."
        ),
    ),
    (
        "rambling",
        ZH,
        "sampled",
        think("3 * 4 = 12。等等。不对。让我再想想。可能不是。嗯，我不确定。2 + 12 = 14。算了。"),
    ),
    ("code", EN, "sampled", think("I run it:\n```python\nprint(2 + 3 * 4)\n```\nIt writes 14.")),
    ("code", EN, "sampled", think("I run it:\n~~~\n2 + 3 * 4\n~~~\nIt writes 14.")),
    ("code", EN, "sampled", think("def solve():\n    return 2 + 3 * 4\n\nsolve() gives 14")),
    ("code", EN, "sampled", think("import math\nx = 3 * 4\nx + 2 is 14")),
    ("code", EN, "sampled", think("for i in range(4): add 3, so 12, and 14 in the end")),
    ("code", EN, "sampled", think("#include <stdio.h>\nint main() { return 14; }")),
    ("code", EN, "sampled", think("let x = 3 * 4;\nconsole.log(2 + x) writes 14")),
    ("code", EN, "few_shot", cold(f"{STEPS}\nprint(2 + 12)")),
    ("code", EN, "sampled", think("if x == 12:\n    x = x + 2\nso x = 14")),
    ("code", EN, "sampled", think("I would write SELECT and say\nSELECT 2 + 3 * 4 FROM dual\nwhich gives 14")),
    ("long_paragraph", EN, "sampled", think(" ".join(f"Item {n} is part {n * n} of it." for n in range(50)) + " 14")),
    ("garbled", EN, "sampled", think("3 * 4 = 12 \ufffd\ufffd 2 + 12 = 14")),
    ("garbled", EN, "few_shot", cold(f"{STEPS}\x07")),
    ("garbled", EN, "sampled", think("3 * 4 = 12, and 2 +\u200b 12 = 14")),
    ("garbled", EN, "sampled", think("3 * 4 = 12, a\u200dnd 2 + 12 = 14")),
    ("garbled", EN, "sampled", think("\ufeff3 * 4 = 12, and 2 + 12 = 14")),
    ("garbled", EN, "sampled", think("3 * 4 = 12, and \u202e41 = 21 + 2")),
    ("garbled", EN, "sampled", think("3 * 4 = 12, mul\u00adtiplied, and \u20662 + 12 = 14\u2069")),
    ("garbled", ZH, "sampled", think("先算\u200b乘法：3 * 4 = 12，再算 2 + 12 = 14。")),
    # The form of sections 7 and 12
    ("no_thought", EN, "sampled", "<answer>14</answer>"),
    ("no_thought", EN, "sampled", "3 * 4 = 12, 2 + 12 = 14. The answer is 14."),
    ("empty_thought", EN, "sampled", think(" ")),
    ("no_answer_tag", EN, "sampled", "<think>3 * 4 = 12, 2 + 12 = 14</think> 14"),
    ("no_answer", EN, "sampled", "<think>3 * 4 = 12, 2 + 12 = 14</think>"),
    ("malformed", EN, "sampled", f"{think()} <answer>14</answer>"),
    ("malformed", EN, "sampled", f"Well. {think()}"),
    ("malformed", EN, "sampled", think(answer="14").replace("</answer>", "<answer>")),
]

GOOD = [
    (EN, "few_shot", cold()),
    (EN, "few_shot", cold("Following order of operations (PEMDAS/BODMAS), do multiplication first: 3 * 4 = 12.")),
    (EN, "direct", cold(CHECKED)),
    (EN, "direct", cold(f"{STEPS}\nLet me verify this: 12 + 2 is 14.")),
    (EN, "direct", cold(f"{STEPS}\nDouble-check: 14 - 2 = 12.")),
    (EN, "direct", f"|special_token|{CHECKED}|special_token|Summary: 14."),
    (ZH, "direct", cold(f"{ZH_STEPS}\n验证：14 - 2 = 12，正确。", "答案是 14。", "总结：")),
    (HANT, "direct", cold("推理過程：先乘後加，3 * 4 = 12。\n驗證：再次檢查運算順序，沒錯。", "答案是 14。", "總結:")),
    (HANT, "few_shot", cold("根據運算順序 (先乘除後加減), 先算 3 * 4 = 12。然後, 2 + 12 = 14。", "14", "總結:")),
    (ZH, "few_shot", cold("第一步：3 * 4 = 12。第二步：2 + 12 = 14。", "答案是 14。")),
    (TRAIN, "few_shot", cold("Distance = Speed times Time = 60 * 2 = 120 miles.", "Train travels 120 miles.")),
    (CLIPS, "few_shot", cold("48 / 2 = 24, 48 + 24 = 72.", "Natalia sold 72 clips")),
    (CLIPS, "few_shot", cold("48 / 2 = 24, 48 + 24 = 72.", "sold 72 clips")),
    (EN | {"answer": "18"}, "few_shot", cold("She makes 9 * $2 = $18 every day.", "$18")),
    (ANNA, "few_shot", cold("Leila gave 100/2 = $50 to Ali.\nAli now has $21+ $50 = $71.", "Ali has $71.")),
    (EN, "few_shot", cold("Solomon's friend Johanna weighs 2 kgs * 6 = 12 kgs, and 12 kgs + 2 kgs = 14 kgs.", "14")),
    (EN, "sampled", think()),
    (EN, "sampled", think(r"$3 \times 4 = 12$ and $2 + 12 = \boxed{14}$", r"\boxed{14}")),
    (EN, "sampled", think("Wait, multiplication first. 3 * 4 = 12. Hmm, let me check: 2 + 12 = 14. Yes.")),
    (EN, "sampled", think("3 * 4 = 12.\n2 + 12 = 14.\nCheck: 3 * 4 = 12.\n2 + 12 = 14.")),
    (EN, "sampled", think("for each of the 4 groups there are 3 things, so 12; if we return to the 2, we have 14")),
    (EN, "sampled", think("Let x = 3 * 4. I import nothing and print nothing: 2 + x = 14.")),
    (OUTPUT, "sampled", think("print(2 + 3 * 4) writes the value of 2 + 12, which is 14")),
    (EN | {"task": "code"}, "sampled", think("I use print(2 + 3 * 4)", "14")),
    (ZH, "sampled", think("设 x = 3 * 4，由 Cauchy 不等式无关，速度为 60 km/h，所以 2 + x = 14。")),
    (ZH, "sampled", think("3 * 4 = 12, 2 + 12 = 14")),
    (EN, "sampled", think("1/3 = 0.33333333333333333 and 1000000000000 do not matter here; 2 + 12 = 14 ..........")),
]  # fmt: skip


@each("reason, row, method, text", BAD)
def test_a_bad_sample_is_rejected_under_its_own_reason(reason: str, row: Any, method: str, text: str) -> None:
    assert verdict(row, text, method, truncated=reason == "truncated") == reason


@each("row, method, text", GOOD)
def test_a_good_sample_is_kept(row: Any, method: str, text: str) -> None:
    assert verdict(row, text, method) is None


@each(
    "given, reason",
    [
        (Verdict(False, None, "judge"), "wrong_answer"),  # a judge reads no answer of its own
        (Verdict(False, "20"), "wrong_answer"),
        (Verdict(False), "no_answer"),
        (Verdict(None, None, "judge"), "unjudged"),
        (Verdict(True, None, "judge"), None),
    ],
)
def test_the_reason_follows_the_verdict(given: Verdict, reason: str | None) -> None:
    assert SampleFilter().reason(EN, Completion(think(), 50, False), given) == reason


def test_every_reason_has_its_case_and_says_what_it_means() -> None:
    assert len(BAD) >= 60 and {case[0] for case in BAD} | {"too_long", "duplicate"} == set(REASONS)
    judge = SampleFilter(max_tokens=49)
    samples = [Completion(think(), 50, False), *[Completion(think(), 9, False)] * 5]
    assert [judge.keeps(EN, sample) for sample in samples] == [False, True, False, False, False, False]
    assert judge.counts() == {"duplicate": 4, "too_long": 1} and len(judge.shown["duplicate"]) == 3
    told = described(judge.shown)
    assert told.count("What is 2 + 3 * 4?") == 4 and REASONS["too_long"] in told


@each("name", ["few_shot_en", "few_shot_zh_hans", "few_shot_zh_hant", "few_shot"])
def test_the_examples_that_a_base_is_shown_are_kept_themselves(name: str) -> None:
    pieces = [piece.partition(TOKEN) for piece in load(name).split("\n\n")]
    shown = [(before, TOKEN + after) for before, mark, after in pieces if mark]
    golds = ["8", "120"] if name == "few_shot" else ["26", "x = 3 and x = 4", "5/33", "150"]
    assert len(shown) == len(golds)
    for (problem, text), gold in zip(shown, golds, strict=True):
        row = {"question": problem, "answer": gold, "language": "zh" if "zh" in name else "en", "task": "reasoning"}
        assert verdict(row, text, "few_shot" if name == "few_shot" else "direct") is None, (gold, text)


DATA = next(
    (p / "shared" / "data" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()), None
)


def worked_solutions(data: Path) -> list[tuple[str, str, str]]:
    found = []
    for line in (data / "gsm8k_test.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        body, _, gold = re.sub(r"<<[^<>]*>>", "", row["answer"]).partition("####")
        found.append((row["question"], gold.strip(), body.strip()))
    return found


def test_worked_solutions_in_the_cold_start_form_are_kept() -> None:
    if DATA is None:
        pytest.skip("the worked solutions of GSM8K are not beside the repository (shared/data)")
    solutions = worked_solutions(DATA)[::5]
    judge = SampleFilter(form="cold_start", max_tokens=4096, max_paragraph=1000)
    for question, gold, body in solutions:
        row = {"question": question, "answer": gold, "language": "en", "task": "reasoning"}
        judge.keeps(row, Completion(to_cold_start(body, body.splitlines()[-1]), 100, False))
    assert judge.kept >= 0.98 * len(solutions), judge.counts()


@each(
    "text",
    [
        "می\u200cخواهم",
        "क्\u200dष",
        "👩\u200d💻 and 👍🏽 ❤️",
        "ภาษา\u200bไทย",
        "\u0600\u0661\u0662",
        "שלום (ABC)\u200f 12",
        "\u2067שלום\u2069",
        "a\tb\r\nc",
        "x² ≤ √2 → ∞ e\u0301",
    ],
)
def test_format_characters_that_a_script_needs_are_not_garbled(text: str) -> None:
    assert not is_garbled(text)
