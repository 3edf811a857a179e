"""`r1hf explain`: the seeds' numbers, TRL's own numbers on a real run, the formulas, and bad input."""

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1hf.commands.main import main
from r1hf.core.errors import ConfigError, R1Error
from r1hf.explain.groups import EXAMPLES, Group, Options, explain
from r1hf.trainers.advantage import TRL_EPS

SEED = json.loads((Path(__file__).parent / "fixtures" / "seed-fixtures.json").read_text(encoding="utf-8"))


def near(expected):
    return pytest.approx(expected, abs=2e-6)  # six places of float32


def column(result, *keys):
    found = []
    for group in result["groups"]:
        for value in group["completions"]:
            for key in keys:
                value = value[key]
            found.append(value)
    return found


def shown(capsys, *words):
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


def as_json(capsys, *words):
    return json.loads(shown(capsys, *words, "--json"), parse_constant=pytest.fail)


# The seeds' worked examples.


def test_the_examples_are_the_articles_own():
    assert list(EXAMPLES["rewards"].group.completions) == list(SEED["s8_outputs"].values())
    assert list(EXAMPLES["language"].group.completions) == list(SEED["s12_outputs"].values())
    for example in EXAMPLES.values():
        assert (example.group.question, example.group.answer) == (SEED["question"], SEED["gold"])
    assert EXAMPLES["language"].weights == SEED["s12_weights"]
    assert EXAMPLES["rewards"].std == SEED["adv_think_only"]["std_seed"]


def test_section_8_by_default(capsys):
    result, expected = as_json(capsys), SEED["adv_think_only"]
    assert column(result, "weighted", "accuracy") == SEED["s8_accuracy"]
    assert column(result, "weighted", "format") == near(SEED["s8_format_think_only"])
    assert column(result, "total") == near(SEED["s8_total_think_only"])
    (group,) = result["groups"]
    assert group["mean"] == near(expected["mean"])
    assert group["std"] == near({"sample": expected["std_sample"], "population": expected["std_population"]})
    assert column(result, "advantages", "group") == near(expected["trl_sample_plus_1e-4"])
    assert column(result, "advantages", "batch") == near(expected["trl_sample_plus_1e-4"])
    assert column(result, "advantages", "none") == near(expected["no_scale"])
    assert column(result, "by_hand", "sample") == near(expected["sample"])
    assert column(result, "by_hand", "population") == near(expected["population"])
    assert column(result, "by_hand", "std_0.5") == near(expected["seed_0.5"])


def test_section_8_under_the_articles_own_format_rule(capsys):
    result, expected = as_json(capsys, "--format-mode", "think_answer"), SEED["adv_think_answer"]
    assert column(result, "weighted", "format") == near(SEED["s8_format_think_answer"])
    assert column(result, "total") == near(SEED["s8_total_think_answer"])
    assert result["groups"][0]["mean"] == near(expected["mean"])
    assert result["groups"][0]["std"] == near(
        {"sample": expected["std_sample"], "population": expected["std_population"]}
    )
    assert column(result, "by_hand", "sample") == near(expected["sample"])
    assert column(result, "by_hand", "population") == near(expected["population"])


def test_the_papers_equal_weights(capsys):
    result, expected = as_json(capsys, "--weights", "accuracy=1,format=1"), SEED["adv_paper_equal_weights"]
    assert column(result, "total") == expected["rewards"]
    assert result["groups"][0]["mean"] == expected["mean"]
    assert result["groups"][0]["std"] == near(
        {"sample": expected["std_sample"], "population": expected["std_population"]}
    )
    assert column(result, "by_hand", "sample") == near(expected["sample"])


def test_section_12(capsys):
    result = as_json(capsys, "--example", "language")
    assert column(result, "rewards", "language") == SEED["s12_language"]
    assert column(result, "total") == near(SEED["s12_total"])
    abstaining = as_json(capsys, "--example", "language", "--empty-language", "none")
    assert column(abstaining, "rewards", "language") == [None, None]
    assert column(abstaining, "total") == [0.0, 1.0]


def test_the_clip_and_the_kl_term_of_the_worked_example(capsys):
    result = as_json(capsys)
    assert result["settings"]["epsilon"] == 10.0 and result["settings"]["beta"] == 0.001
    assert column(result, "clipped") == [0.0, 1.0, 0.0, 0.0]  # only a ratio above 11 with A > 0
    assert column(result, "ratio")[1] == near(math.exp(2.5))
    assert column(result, "objective")[1] == near(11 * column(result, "advantages", "group")[1])
    narrow = as_json(capsys, "--epsilon", "0.2")
    assert column(narrow, "clipped") == [0.0, 1.0, 0.0, 1.0]
    assert abs(column(narrow, "push")[1]) < 1e-3 < column(narrow, "push")[2]  # clipped: only the KL term is left


def test_the_text_says_what_the_article_leaves_out(capsys):
    text = shown(capsys)
    for words in ("0.5500 (sample, TRL's), 0.4763 (population)", "think_answer", "made up", "accuracy=1,format=1"):
        assert words in text
    assert "\x1b" not in text
    assert "0/0" in shown(capsys, "--example", "language")


def test_the_documented_output_is_the_real_one(capsys):
    text = (Path(__file__).parent.parent / "docs" / "explain.md").read_text(encoding="utf-8")
    assert shown(capsys).strip() == text.split("```text\n")[2].split("\n```")[0]


# One's own groups.

RIGHT, WRONG = "<think>two and three</think> <answer>5</answer>", "<think>two and three</think> <answer>6</answer>"


def test_ones_own_question(capsys):
    words = ("--question", "What is 2 + 3?", "--answer", "5", "--completion", RIGHT, "--completion", WRONG)
    result = as_json(capsys, *words, "--weights", "accuracy=1,format=0.5,language=0.2", "--format_mode=think_answer")
    assert column(result, "total") == near([1.7, 0.7])
    assert column(result, "ratio") == [1.0, 1.0] and column(result, "kl") == [0.0, 0.0]
    assert any("first update" in note for note in result["notes"])


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([RIGHT, WRONG]),
        json.dumps(RIGHT) + "\n\n" + json.dumps(WRONG) + "\n",
        json.dumps({"completion": RIGHT}) + "\n" + json.dumps({"completion": WRONG}),
        json.dumps({"question": "What is 2 + 3?", "answer": 5, "completions": [RIGHT, WRONG]}),
        json.dumps([{"question": "What is 2 + 3?", "answer": "5", "completions": [RIGHT, WRONG]}]),
    ],
)
def test_files_of_completions(content, tmp_path, capsys):
    file = tmp_path / "completions.jsonl"
    file.write_text(content, encoding="utf-8")
    whole = "completions" in content
    words = () if whole else ("--question", "What is 2 + 3?", "--answer", "5")
    result = as_json(capsys, *words, "--completions", str(file))
    assert column(result, "total") == near([1.1, 0.1])
    assert result["groups"][0]["question"] == "What is 2 + 3?"


def test_two_groups_tell_batch_from_group(tmp_path, capsys):
    file = tmp_path / "groups.jsonl"
    groups = [[RIGHT, WRONG], [RIGHT, "5"]]
    lines = [json.dumps({"question": "2 + 3", "answer": "5", "completions": group}) for group in groups]
    file.write_text("\n".join(lines), encoding="utf-8")
    result = as_json(capsys, "--completions", str(file))
    assert column(result, "total") == near([1.1, 0.1, 1.1, 0.0])
    spread = statistics.stdev([1.1, 0.1, 1.1, 0.0]) + TRL_EPS
    assert column(result, "advantages", "batch") == near([0.5 / spread, -0.5 / spread, 0.55 / spread, -0.55 / spread])
    assert column(result, "advantages", "group")[0] == near(0.5 / (statistics.stdev([1.1, 0.1]) + TRL_EPS))


def test_log_probabilities_by_token_and_from_a_file(tmp_path, capsys):
    file = tmp_path / "old.json"
    file.write_text("[[-1, -2], [-0.5], -3, [-1, -1, -1]]", encoding="utf-8")
    result = as_json(capsys, "--logprobs", "[[-1, -1.5], -0.5, -3, [-1, -1, -1.2]]", "--old-logprobs", str(file))
    assert column(result, "ratio") == near([math.exp(0.5), 1.0, 1.0, math.exp(-0.2)])
    assert column(result, "kl")[0] == near((math.exp(-0.5) + 0.5 - 1) / 2)  # the reference is the old policy
    assert len({round(result["losses"][kind]["group"], 5) for kind in ("grpo", "bnpo", "dr_grpo")}) == 3


def test_completions_bring_their_log_probabilities(tmp_path, capsys):
    file = tmp_path / "c.jsonl"
    rows = [{"completion": RIGHT, "logprobs": [-1, -2], "old_logprobs": [-1, -1]}, {"completion": WRONG}]
    rows[1] |= {"logprobs": -3, "old_logprobs": -4}
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = ("--question", "What is 2 + 3?", "--answer", "5", "--completions", str(file))
    assert column(as_json(capsys, *words), "ratio") == near([math.exp(-1), math.exp(1)])


def test_equal_rewards_and_unjudged_completions():
    even = explain([Group("2 + 3", "5", (WRONG, WRONG))], Options({"accuracy": 1.0}))
    assert column(even, "advantages", "group") == [0.0, 0.0]
    assert any("teaches nothing" in line for line in even["notes"])
    one = Group("2 + 3", "5", (RIGHT, "<answer>5</answer>", "<think>二 three</think> 5"), "en")
    partly = explain([one], Options({"language": 1.0}))
    assert column(partly, "total") == near([1.0, None, 0.5])
    assert column(partly, "advantages", "none") == near([0.25, 0.0, -0.25])
    assert partly["groups"][0]["mean"] == near(0.75)


def test_what_overflows_is_a_dash_and_no_broken_json(capsys):
    words = ("--logprobs", "[-1, -1, -1, -1]", "--old-logprobs", "[-1000, -1, -1, -1]")
    assert column(as_json(capsys, *words), "ratio")[0] is None
    assert "too large" in shown(capsys, *words)


@settings(max_examples=20)
@given(st.lists(st.text(max_size=30), min_size=2, max_size=3))
def test_any_text_is_judged_as_it_is(texts):
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    result = explain([Group("2 + 3", "5", tuple(texts))], Options({"accuracy": 1.0, "format": 0.1}))
    assert column(result, "text") == texts


# Mistakes.

BAD = [
    (("--logprobs", "[-1, -2]"), "each of the 4 completions, found 2"),
    (("--logprobs", "[-1, -2, NaN, -1]"), "completion 3: nan is not a finite number"),
    (("--logprobs", "[-1, -2, -Infinity, -1]"), "is not a finite number"),
    (("--logprobs", "[-1, 2, -1, -1]"), "above 0"),
    (("--logprobs", "[-1, [], -1, -1]"), "at least one token"),
    (("--logprobs", '[-1, "a", -1, -1]'), "'a' is not a finite number"),
    (("--logprobs", "no.json"), "neither a JSON list nor a file"),
    (("--logprobs", "[-1,"), "not JSON"),
    (("--logprobs", "[-1, -1, -1, -1]", "--ref-logprobs", "[-1, -1, -1, [-1, -2]]"), "4: 1 log-probabilities in"),
    (("--old-logprobs", "[-1, -1, -1, -1]"), "need logprobs beside them"),
    (("--weights", "acuracy=1"), "did you mean 'accuracy'?"),
    (("--weights", "accuracy=nan"), "not NAME=NUMBER"),
    (("--weights", ""), "names no reward"),
    (("--epsilon", "-1"), "not a finite number from 0 up"),
    (("--beta", "inf"), "not a finite number from 0 up"),
    (("--empty-language", "some"), "neither a number nor none"),
    (("--completion", "a"), "at least 2"),
    (("--completion", "a", "--completions", "b"), "give one of them"),
    (("--question", "a", "--answer", "b"), "needs completions"),
    (("--question", "a", "--completion", "b", "--completion", "c"), "give both"),
    (("--completions", "nowhere.jsonl"), "cannot be read"),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_mistakes_on_the_command_line(words, message, capsys):
    assert main(["explain", *words]) == 1
    assert message in capsys.readouterr().err


FILES = [
    ("", "holds no completions"),
    ('"a"\n{"completion": "b", "logprob": -1}', ":2: unknown key 'logprob'; did you mean 'logprobs'?"),
    ('"a"\nb', ":2: not JSON"),
    ('"a"\n3', ":2: expected a text or a JSON object, found int"),
    ('{"completion": 3}', "'completion' must be text"),
    ('{"completions": ["a", "b"]}', "no 'question'"),
    ('{"question": "q", "completions": ["a", 3]}', "must be a list of texts"),
    ('{"question": "q", "completions": ["a", "b"]}', "no answer"),
    ('{"completion": "a", "logprobs": -1}\n"b"', ":2: give each log-probability for every completion or for none"),
    ('{"question": "q", "answer": "1", "completions": ["a", "b"]}\n{"question": "q", "answer": "1", '
     '"completions": ["a", "b", "c"]}', "one size, found 2, 3"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), FILES)
def test_mistakes_in_files(content, message, tmp_path, capsys):
    file = tmp_path / "c.jsonl"
    file.write_text(content, encoding="utf-8")
    assert main(["explain", "--completions", str(file)]) == 1
    assert message in capsys.readouterr().err


def test_text_that_is_not_unicode_is_refused():
    with pytest.raises(ConfigError, match="not valid Unicode"):
        explain([Group("q", "1", ("a", "\ud800"))], Options({"accuracy": 1.0}))
    assert issubclass(ConfigError, R1Error)


@pytest.mark.parametrize("words", [[], ["explain"], ["check"], ["plan"]])
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys; from r1hf.commands.main import main\n"
        f"try: main({[*words, '--help']!r})\n"
        "except SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers', 'trl', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n") and "usage: r1hf" in done.stdout
