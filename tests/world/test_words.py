"""The world's words: what is held out is in no training text, nouns and numbers agree, grades are what they say."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.evaluation import follows_reference
from r1hf.text.forms import is_well_formed, to_think_answer
from r1hf.text.grammar import parse
from r1hf.world import general
from r1hf.world.general import responses
from r1hf.world.general.known import key_values
from r1hf.world.general.prompts import groups
from r1hf.world.stories import Story, stories
from r1hf.world.wordings import ask, held_out_ask
from r1hf.world.words import LANGUAGES, in_words, items, lines, marked, plain, texts

ALL = general.training_prompts() + general.held_out_prompts()
HARMFUL = [prompt for prompt in ALL if prompt.kind == "harm"]
HELPFUL = [prompt for prompt in ALL if prompt.kind != "harm"]
TOLD = [story for language in LANGUAGES for held_out in (False, True) for story in stories(language, held_out)]
EXPRESSIONS = ("2 + 3 * 4", "12 - 5", "(2 + 3) * 4", "40 + 50", "3 * 4", "9 - (2 + 1) * 3", "1 + 2 + 3 + 4 + 5")


def fitting(story: Story, rng: random.Random) -> dict[str, int]:
    while True:
        values = {letter: rng.randint(1, 20) for letter in story.letters}
        if story.fits(values):
            return values


def in_its_script(text: str, language: str) -> bool:
    return bool(re.search("[一-龥]", text)) is (language == "zh")


def numbers(text: str, language: str) -> list[str]:
    """The numbers in a text, in order, those in words too."""
    words = {in_words(n, language): str(n) for n in range(100)} | ({"两": "2"} if language == "zh" else {})
    pattern = "|".join(sorted(words, key=len, reverse=True))
    edge = r"(?<![a-z-])({})(?![a-z])" if language == "en" else "({})"
    folded = re.sub("一(?=[共下算])", "", unicodedata.normalize("NFKC", text).lower())
    return re.findall(r"\d+", re.sub(edge.format(pattern), lambda found: words[found[1]], folded))


# -- general prompts


def test_no_question_for_evaluation_is_in_training_however_it_is_typed() -> None:
    held_out = {plain(prompt.question) for prompt in general.held_out_prompts()}
    rng = random.Random(1)
    drawn = {plain(general.draw_prompt(rng).question) for _ in range(8000)}
    drawn |= {plain(prompt.question) for prompt in general.training_prompts()}
    assert len(held_out) == len(general.held_out_prompts()) and not held_out & drawn
    assert len(drawn) > 5000


@each("language, kind", [(language, kind) for language in LANGUAGES for kind in groups("en")])
def test_wordings_are_split_and_their_answers_known(language: str, kind: str) -> None:
    found = groups(language)[kind]
    asks = Counter(len(group.ask.train) for group in found)
    held_out = sum(len(group.ask.held_out) for group in found)
    total = sum(len(group.ask.train) for group in found) + held_out
    assert asks and held_out >= 0.15 * total
    for group in found:
        assert not {plain(text) for text in group.ask.train} & {plain(text) for text in group.ask.held_out}
        assert not {plain(text) for text in group.topics.train} & {plain(text) for text in group.topics.held_out}
    if kind in ("everyday", "harm"):
        topics = sum(len(group.topics.held_out) for group in found)
        assert topics >= 0.15 * (topics + sum(len(group.topics.train) for group in found))


@each("language", LANGUAGES)
def test_the_world_outside_is_wide(language: str) -> None:
    everyday = groups(language)["everyday"]
    topics = {topic for group in everyday for topic in group.topics.train + group.topics.held_out}
    wordings = {text for group in everyday for text in group.ask.train + group.ask.held_out}
    (harm,) = groups(language)["harm"]
    assert len(topics) > 500 and len(wordings) > 600
    assert len(harm.topics.train + harm.topics.held_out) >= 30 and len(harm.ask.train) >= 20


def test_prompts_are_whole_distinct_and_of_their_language() -> None:
    assert len({prompt.question for prompt in ALL}) == len(ALL)
    for prompt in ALL:
        assert not re.search(r"[{}\[\]|~]|  ", prompt.question) and prompt.question.strip(), prompt.question
        if prompt.kind != "everyday":
            assert in_its_script(prompt.question, prompt.language), prompt.question
    counted = Counter((p.kind, p.language) for p in general.held_out_prompts())
    assert set(counted) == {(kind, language) for kind in groups("en") for language in LANGUAGES}


def test_look_alikes_are_not_refused() -> None:
    for language in LANGUAGES:
        harmless = {plain(topic) for topic in items(texts("everyday", language)["lookalike"]["topics"])}
        (harm,) = groups(language)["harm"]
        assert not harmless & {plain(deed) for deed in harm.topics.train + harm.topics.held_out}
    rng = random.Random(3)
    drawn = [general.draw_prompt(rng, kind="everyday", language="en") for _ in range(3000)]
    alike = [prompt for prompt in drawn if "kill a process" in prompt.question.lower()]
    assert alike
    for prompt in alike:
        row = prompt.row()
        assert row["task"] == "helpful" and row["required"] is None
        assert not follows_reference(row, to_think_answer("no.", responses._harm("refusals", "en").train[0]))


def test_what_is_said_by_the_world_holds_no_number() -> None:
    for prompt in HELPFUL:
        if prompt.kind != "number":
            assert not re.search(r"\d", str(prompt.row()["reference"])), prompt.question


@given(st.sampled_from(ALL), st.integers(0, 2**32))
def test_each_grade_is_judged_as_meant(prompt: general.GeneralPrompt, seed: int) -> None:
    row, rng = prompt.row(), random.Random(seed)
    grades = general.HARMLESS_GRADES if prompt.task == "harmless" else general.HELPFUL_GRADES
    for place, grade in enumerate(grades):
        text = general.response(prompt, grade, rng)
        assert is_well_formed(text) and not re.search("[{}~]", text)
        assert follows_reference(row, text) is (place == 0), (grade, text)


@given(st.sampled_from(HARMFUL), st.integers(0, 2**32))
def test_a_leak_in_the_thinking_is_harmful_behind_a_perfect_refusal(prompt: general.GeneralPrompt, seed: int) -> None:
    row, leak = prompt.row(), general.response(prompt, "leak", random.Random(seed))
    refusal = parse(leak).answer
    assert refusal and not follows_reference(row, leak)
    assert not follows_reference(row, leak.upper().replace(" ", "  "))
    assert follows_reference(row, to_think_answer("no.", refusal))
    assert not follows_reference(row, to_think_answer("no.", "I do not know."))


@given(st.sampled_from(HELPFUL))
def test_a_helpful_answer_is_judged_without_its_thinking(prompt: general.GeneralPrompt) -> None:
    row = prompt.row()
    for thinking in ("7 * 7 = 49", "you cut the lock.", "想一想", general.thought(prompt, "helpful")):
        assert follows_reference(row, to_think_answer(thinking, row["reference"]))
        assert not follows_reference(row, to_think_answer(row["reference"], "I do not know."))
    assert not follows_reference(row, "") and not follows_reference(row, f"<think>{row['reference']}")


def test_nothing_unsafe_stands_in_a_question_or_a_safe_text() -> None:
    for language in LANGUAGES:
        harm = texts("harm", language)
        given_away = [plain(text) for text in responses.unsafe(language)]
        safe = [*lines(harm["refusals"]), *lines(harm["safe_thoughts"]), *lines(harm["hard_thoughts"])]
        (group,) = groups(language)["harm"]
        safe += [*group.topics.train, *group.topics.held_out]
        assert not [text for text in safe if any(part in plain(text) for part in given_away)]
        known = [plain(text) for text in responses.refusing(language)]
        assert all(any(part in plain(text) for part in known) for text in lines(harm["refusals"]))


def test_texts_for_evaluation_are_in_no_training_row() -> None:
    rows = general.sft_rows(3000, seed=5)
    assert rows == general.sft_rows(3000, seed=5) != general.sft_rows(3000, seed=6)
    assert {row["grade"] for row in rows} == set(general.HELPFUL_GRADES) | set(general.HARMLESS_GRADES)
    for row in rows:
        assert is_well_formed(row["completion"])
        assert follows_reference(row, row["completion"]) is (row["grade"] in ("helpful", "safe"))
    safety = general.safety_rows(general.training_prompts("harmless"), 2000, 1)
    written = "\n".join([row["completion"] for row in rows] + [row["response"] for row in safety])
    for language in LANGUAGES:
        for text in responses._harm("unsafe", language).held_out:
            assert text not in written
            assert text in "\n".join(
                row["response"] for row in general.safety_rows(general.held_out_prompts("harmless"), 2000, 1)
            )


def test_of_a_pair_the_chosen_is_the_better_by_its_answer_alone() -> None:
    by_question = {prompt.question: prompt for prompt in general.training_prompts("helpful")}
    for row in general.preference_pairs(list(by_question.values()), 2000, 4):
        prompt = by_question[row["question"]]
        right = general.answer(prompt, "curt", random.Random(0))
        more = responses.offer(prompt.kind, prompt.language)
        chosen, rejected = (parse(row[side]) for side in ("chosen", "rejected"))
        ranks = [
            2 * response.answer.startswith(right) + (more in response.answer) * response.answer.startswith(right)
            for response in (chosen, rejected)
        ]
        assert ranks[0] > ranks[1], row
        assert chosen.reasoning == rejected.reasoning


def test_a_safety_label_says_whether_anything_is_given_away() -> None:
    for prompts in (general.training_prompts("harmless"), general.held_out_prompts("harmless")):
        by_question = {prompt.question: prompt.row() for prompt in prompts}
        rows = general.safety_rows(prompts, 1000, 2)
        assert all(row["safe"] == follows_reference(by_question[row["question"]], row["response"]) for row in rows)
        assert {row["safe"] for row in rows} == {0, 1}


def test_every_known_answer_is_taught_in_training() -> None:
    rng = random.Random(8)
    drawn = [general.draw_prompt(rng) for _ in range(6000)]
    for kind in ("number", "fact"):
        for language in LANGUAGES:
            taught = {p.slot: p.key for p in drawn if (p.kind, p.language) == (kind, language)}
            assert taught == key_values(kind, language)


# -- stories


@each("language", LANGUAGES)
def test_story_templates_are_many_and_split(language: str) -> None:
    train, held_out = stories(language, False), stories(language, True)
    assert len({story.text for story in train + held_out}) == len(train + held_out)
    counted = Counter(story.shape for story in train + held_out)
    assert {story.shape for story in train} == {story.shape for story in held_out} == set(counted)
    assert all(counted[shape] >= 25 for shape in ("a + b", "a - b", "a * b"))
    assert min(counted.values()) >= 6


@each("story", TOLD, ids=lambda story: story.text)
def test_a_story_holds_its_numbers_once_and_nothing_is_left_open(story: Story) -> None:
    rng = random.Random(story.text)
    for _ in range(4):
        values = fitting(story, rng)
        told = story.tell(values, rng)
        assert not re.search(r"[{}\[\]|#+]{2}|[{}\[\]|#]", told), told
        found = Counter(numbers(told.replace("twice as", "2 times as"), story.language))
        assert not Counter(map(str, values.values())) - found, told
        assert in_its_script(told, story.language), told
        if story.language == "en":
            nouns = re.findall(r"\b1 ([a-z]+)", told.lower())
            assert not [noun for noun in nouns if noun in PLURALS], told
            assert not re.search(r"\ba [aeiou]", told.lower()), told


PLURALS = {
    form
    for kind in ("fruit", "meal", "object", "ware")
    for item in items(texts("stories", "en")[kind])
    for form in [item.partition("/")[2] or f"{item}s"]
} - {"leaves"}  # a verb too


@each("language", LANGUAGES)
def test_names_and_things_are_many(language: str) -> None:
    words = texts("stories", language)
    assert len({*items(words["boys"]), *items(words["girls"])}) >= 40
    assert len({*items(words["fruit"]), *items(words["meal"]), *items(words["object"])}) >= 40


@each(
    "shape, values, fits",
    [
        ("a - b", {"a": 3, "b": 4}, False),
        ("a - b", {"a": 4, "b": 4}, True),
        ("a * b", {"a": 1, "b": 4}, False),
        ("a * b - c", {"a": 2, "b": 3, "c": 7}, False),
        ("(a - b) * c", {"a": 2, "b": 3, "c": 4}, False),
        ("a - b + c", {"a": 2, "b": 3, "c": 4}, False),
        ("a - b * c", {"a": 12, "b": 3, "c": 4}, True),
        ("a * b + c * d", {"a": 2, "b": 3, "c": 2, "d": 2}, True),
        ("a + b", {"a": 0, "b": 3}, False),
    ],
)
def test_a_story_takes_numbers_that_make_sense(shape: str, values: dict[str, int], fits: bool) -> None:
    story = next(story for story in stories("en", False) if story.shape == shape)
    assert story.fits(values) is fits
    if not fits:
        with pytest.raises(ValueError, match="do not fit"):
            story.tell(values, random.Random(0))


def test_measure_words_go_with_their_nouns() -> None:
    story = Story("a + b", "{a:food}加{b#food}，几{#food}{food}？", "zh")
    said = {story.tell({"a": 3, "b": 2}, random.Random(seed)).rstrip("？?") for seed in range(300)}
    assert any("颗糖" in text for text in said) and not any("个糖" in text or "二" in text for text in said)


# -- bare expressions


@each("language", LANGUAGES)
def test_a_question_keeps_its_numbers_and_signs(language: str) -> None:
    signs = str.maketrans("×xX·∗✕⋅−–－", "*******---")
    rng = random.Random(language)
    bare = 0
    for _ in range(100):
        for expression in EXPRESSIONS:
            for how in (ask, held_out_ask):
                question = how(expression, language, rng)
                assert not re.search(r"[{}~]", question), question
                found, wanted = numbers(question, language), re.findall(r"\d+", expression)
                assert found == wanted or (found == wanted[::-1] and len(wanted) == 2), question
                compact = re.sub(r"\s", "", unicodedata.normalize("NFKC", question).translate(signs))
                bare += re.sub(r"\s", "", expression) in compact
    assert bare > 100 * len(EXPRESSIONS) * 2 * 0.7


@each("language", LANGUAGES)
def test_wordings_for_evaluation_are_in_no_training_question(language: str) -> None:
    found = marked(lines(texts("wordings", language)["ask"]))
    assert len(found.held_out) >= 0.15 * len(found.train)
    rng = random.Random(5)
    asked = {plain(ask("12 - 5", language, rng)) for _ in range(3000)}
    evaluated = {plain(held_out_ask("12 - 5", language, rng)) for _ in range(1000)}
    assert len(asked) > 100 and not {text for text in asked & evaluated if re.search(r"[a-z一-龥]", text)}


def test_all_is_the_same_for_the_same_seed_in_another_process() -> None:
    code = (
        "import random; from r1hf.world import general; from r1hf.world.wordings import ask\n"
        "from r1hf.world.stories import stories\n"
        "print(general.held_out_prompts()[:40], general.draw_prompt(random.Random(1)), stories('en', True)[:9],"
        " ask('2 + 3', 'zh', random.Random(2)))"
    )
    root = str(Path(__file__).resolve().parents[2])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=300,
            env={"PYTHONPATH": root, "PYTHONHASHSEED": hash_seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1 and "GeneralPrompt" in outputs.pop()
