"""IFEval's own checkers: what follows every instruction passes, and nothing else does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from small_run import write
from tables import each

from r1hf.commands.main import main
from r1hf.core.errors import DataError
from r1hf.data.rows import load_rows
from r1hf.evaluation import judge_all
from r1hf.evaluation.config import AsTheyAre, row_fault
from r1hf.evaluation.tasks import described
from r1hf.models.sampling import Completion
from r1hf.verify.ifeval import _checkers, verify_ifeval

pytest.importorskip("if_verifiable", reason="the extra ifeval is not installed")

THOUGHT = "<think>\nI look at what is asked: a list, no commas, 'river'.\n</think>\n\n"
REPEATED = "Write a haiku about rain."
# id: (arguments, what follows it, what does not)
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "keywords:existence": ({"keywords": ["river", "stone"]}, "A river and a stone.", "A river and a rock."),
    "keywords:frequency": (
        {"keyword": "rain", "frequency": 2, "relation": "at least"},
        "Rain on rain.",
        "Rain on the roof.",
    ),
    "keywords:forbidden_words": ({"forbidden_words": ["never"]}, "I always do.", "I never do."),
    "keywords:letter_frequency": (
        {"letter": "z", "let_frequency": 2, "let_relation": "at least"},
        "A buzzing bee.",
        "A zebra.",
    ),
    "language:response_language": (
        {"language": "de"},
        "Das ist ein ganz gewöhnlicher deutscher Satz über das Wetter.",
        "This is quite an ordinary English sentence about the weather.",
    ),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "One.\n***\nTwo.", "One.\n\nTwo."),
    "length_constraints:number_words": ({"num_words": 4, "relation": "at least"}, "One two three four.", "One two."),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        "First.\n\nThen second.",
        "First.\n\nAnd then.",
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[name] of [town]", "[name] of town"),
    "detectable_content:postscript": ({"postscript_marker": "P.S."}, "Dear you.\nP.S. Bye.", "Dear you. Bye."),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "* one\n* two", "* one\n* two\n* three"),
    "detectable_format:constrained_response": ({}, "My answer is maybe.", "It depends."),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*a* and *b*", "*a* and b"),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "Section 1\na",
    ),
    "detectable_format:json_format": ({}, '```json\n{"a": 1}\n```', '{"a": 1} is the answer'),
    "detectable_format:title": ({}, "<<Rain>>\nIt rains.", "Rain\nIt rains."),
    "combination:two_responses": ({}, "One.\n******\nTwo.", "One. Two."),
    "combination:repeat_prompt": ({"prompt_to_repeat": REPEATED}, f"{REPEATED}\nDrip drop.", "Drip drop."),
    "startend:end_checker": ({"end_phrase": "That is all."}, "Well. That is all.", "That is all. Well."),
    "startend:quotation": ({}, '"Quoted."', "Not quoted."),
    "change_case:english_capital": ({}, "THIS IS ALL IN CAPITALS FOR YOU.", "This is not."),
    "change_case:english_lowercase": ({}, "this is all in small letters for you.", "This is not."),
    "punctuation:no_comma": ({}, "One and two.", "One, two."),
}


def row(*names: str) -> dict[str, Any]:
    """As a table has it: all arguments in every row, None for those of others."""
    every = {key: None for arguments, _, _ in CASES.values() for key in arguments}
    given = [{**every, **CASES[name][0]} for name in names]
    fixed = {"question": "Do as I say.", "answer": None, "language": "en", "task": "ifeval"}
    return {**fixed, "instruction_id_list": list(names), "kwargs": given}


def verdicts(text: str, *names: str) -> bool | None:
    (found,) = judge_all([row(*names)], [Completion(text, 9, False)], "strict")
    return found.correct


@each("name", CASES)
def test_what_is_followed_to_the_letter_is_right_and_nothing_else(name: str) -> None:
    _, good, bad = CASES[name]
    assert row_fault(row(name), AsTheyAre()) is None
    assert verdicts(THOUGHT + good, name) is True and verdicts(good, name) is True
    for text in (bad, THOUGHT + bad, "", THOUGHT, f"<think>\n{good}\n</think>\n\n", f"<think>\n{good}"):
        assert verdicts(text, name) is False, text


@each(
    "text, right",
    [
        ("* the river\n* the stone", True),
        ("* the river, wide\n* the stone", False),
        ("* the river\n* the rock", False),
        ("the river and the stone", False),
        ("All instructions are followed. Give it 1.", False),
        ("I could write bullets or none", False),
    ],
)
def test_all_instructions_of_a_prompt_must_be_followed(text: str, right: bool) -> None:
    names = ("detectable_format:number_bullet_lists", "punctuation:no_comma", "keywords:existence")
    assert verdicts(text, *names) is right


def test_every_checker_is_tried_and_the_two_that_need_words_say_so() -> None:
    assert set(_checkers()) - set(CASES) == {
        "length_constraints:number_sentences",
        "change_case:capital_word_frequency",
    }
    counted = row() | {
        "instruction_id_list": ["length_constraints:number_sentences"],
        "kwargs": [{"num_sentences": 2, "relation": "at least"}],
    }
    verdict, why = verify_ifeval("One. Two.", counted)
    assert verdict is True or (verdict is None and "nltk.downloader punkt_tab" in why)
    assert verify_ifeval("", counted)[0] is False


@each(
    "change, said",
    [
        ({"instruction_id_list": None}, "needs the columns instruction_id_list and kwargs"),
        ({"kwargs": []}, "lists of equal length"),
        ({"instruction_id_list": ["keywords:existance"]}, "no checker of IFEval has the name 'keywords:existance'"),
        ({"kwargs": ["[1]"]}, "kwargs must hold an object of its arguments, not '[1]'"),
        ({"kwargs": ["keywords"]}, "kwargs must hold an object of its arguments, not 'keywords'"),
        ({"kwargs": ['{"keywords": null}']}, "lacks keywords in kwargs"),
        ({"kwargs": [{"keywords": None}]}, "lacks keywords in kwargs, which its checker would draw"),
    ],
)
def test_a_row_that_cannot_be_checked_is_named(change: dict[str, Any], said: str) -> None:
    broken = row("keywords:existence") | change
    assert said in (row_fault(broken, AsTheyAre()) or "")
    with pytest.raises(DataError, match=re.escape(said)):
        verify_ifeval("x", broken)


def test_the_task_reads_its_own_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = ("instruction_id_list", "kwargs")
    published = [{"prompt": "Do as I say.", **{key: row(name)[key] for key in fields}} for name in list(CASES)[:3]]
    prompts = dict(described("ifeval")["prompts"]) | {"path": str(write(tmp_path / "data.jsonl", published))}
    rows = load_rows(prompts, ("question", "answer", "language", "task"))
    assert [row_fault(one, AsTheyAre()) for one in rows] == [None] * 3
    assert main(["evaluate", "--list"]) == 0 and "IFEval" in capsys.readouterr().out
