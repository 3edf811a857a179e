"""One completion against its row: is it right, why not, is it well formed, and in which language was it thought?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from r1hf.core.errors import DataError
from r1hf.data.rows import Row
from r1hf.evaluation import chat, pairs
from r1hf.evaluation.programs import whole_program
from r1hf.models.sampling import Completion
from r1hf.rewards.choice import choice_reward
from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import parse
from r1hf.text.language import target_of, target_share
from r1hf.verify import final_answer, final_code, read_answer, verify_codes, verify_gym, verify_math, verify_math_batch
from r1hf.verify.choice import verify_choice
from r1hf.verify.code_cases import parse_tests
from r1hf.verify.code_layouts import ROW_KEYS
from r1hf.verify.ifeval import verify_ifeval

# strict: a box, a closed answer tag or a statement, as a reward reads; what a prompt that asks for a box is owed.
# prose: also the last formula or number of a text that knows no format, as of a base model; hedges pass as answers.
Reading = Literal["strict", "prose"]
MATHS = ("reasoning",)
PROBLEMS = {*MATHS, "choice", "code", "gym", "ifeval", chat.TASK, pairs.TASK}  # tasks of `prompts`
GENERAL = ("helpful", "harmless")  # tasks of `general_prompts`
VOTING = {*MATHS, "choice"}  # tasks whose answers are values, so that a majority can be taken


Verdicts = list[tuple[bool | None, str | None, str]]


@dataclass(frozen=True)
class Judged:
    """What is known of one completion. A value is None where it does not apply.

    answer: what was read as its final answer, a program if one was asked for. why: the reason of the verdict.
    """

    completion: Completion
    correct: bool | None
    well_formed: bool
    language_share: float | None
    answer: str | None = None
    why: str = ""


def judge(row: Row, completion: Completion) -> Judged:
    """One completion against its row: by the gold answer, or by the row's `reference` and `forbidden` text."""
    return judge_all([row], [completion])[0]


def judge_all(rows: Sequence[Row], completions: Sequence[Completion], reading: Reading = "prose") -> list[Judged]:
    """Each completion against the row of the same place. Raises DataError for a task that is not known, or tests that
    cannot be read."""
    verdicts = verdicts_of(rows, [completion.text for completion in completions], reading)
    return [_whole(*item) for item in zip(rows, completions, verdicts, strict=True)]


def verdicts_of(rows: Sequence[Row], texts: Sequence[str], reading: Reading = "prose") -> Verdicts:
    """(right or not, or None where nobody can tell; the answer that was read; why) of each text against its row.

    Raises DataError for a task that is not known, or tests that cannot be read.
    """
    verdicts: Verdicts = [(None, None, "")] * len(rows)
    for names, verify in _VERIFIERS:
        own = [place for place, row in enumerate(rows) if row["task"] in names]
        found = verify([rows[place] for place in own], [texts[place] for place in own], reading) if own else []
        for place, verdict in zip(own, found, strict=True):
            verdicts[place] = verdict
    known = {name for names, _ in _VERIFIERS for name in names}
    if strange := sorted({str(row["task"]) for row in rows} - known):
        raise DataError(f"no verdict is known for task {', '.join(strange)}; known: {', '.join(sorted(known))}")
    return verdicts


def _whole(row: Row, completion: Completion, verdict: tuple[bool | None, str | None, str]) -> Judged:
    correct, answer, why = verdict
    response = parse(completion.text)
    target = target_of(row.get("language"), row["question"]) if response.reasoning else None
    share = target_share(response.reasoning or "", target) if target else None
    if row["task"] == chat.TASK and completion.truncated:
        correct, why = False, chat.UNFINISHED  # whatever words came by: nobody reads on for ever
    if correct is False and completion.truncated:
        why = f"cut at the limit of tokens: {why}"
    why = completion.fault or why
    return Judged(completion, correct, is_well_formed(completion.text), share, answer, why)


def _read(text: str, reading: Reading) -> str | None:
    return final_answer(text) if reading == "strict" else read_answer(text)


def _maths(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    answers = [_read(text, reading) for text in texts]
    found = verify_math_batch(answers, [row["answer"] for row in rows])
    return [(verdict, answer, _why(verdict, answer)) for verdict, answer in zip(found, answers, strict=True)]


def _choices(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    found: Verdicts = []
    for row, text in zip(rows, texts, strict=True):
        stated = choice_reward.answer(text)
        verdict = choice_reward.judge(stated, (row["answer"], row.get("choices")))
        answer = stated[-1] if stated else None
        found.append((verdict, answer, _why(verdict, answer)))
    return found


def _code(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    programs = [final_code(text) for text in texts]
    asked = [place for place, program in enumerate(programs) if program is not None]
    tests = [parse_tests(rows[i]["tests"], {key: rows[i].get(key) for key in ROW_KEYS}) for i in asked]
    verdicts = verify_codes([whole_program(rows[i], programs[i] or "") for i in asked], tests) if asked else []
    found: Verdicts = [(False, None, "no program")] * len(texts)
    for place, verdict in zip(asked, verdicts, strict=True):
        right = None if verdict.score is None else verdict.score >= 1.0
        found[place] = (right, programs[place], f"tests: {verdict.verdict.value}")
    return found


def _gym(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    answers = [_read(text, reading) for text in texts]
    verdicts = [verify_gym(answer, row["gym"]) for row, answer in zip(rows, answers, strict=True)]
    return [(verdict, answer, _why(verdict, answer)) for verdict, answer in zip(verdicts, answers, strict=True)]


def _chat(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    return chat.judge_chat(rows, texts, [_read(text, reading) for text in texts])


def _instructions(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    shown = [parse(text).visible for text in texts]
    found = [verify_ifeval(text, row) for row, text in zip(rows, shown, strict=True)]
    return [(verdict, text, why) for (verdict, why), text in zip(found, shown, strict=True)]


def _pairs(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    """A model judges them, when all samples are drawn (r1hf/evaluation/by_model.py)."""
    return [(None, parse(text).visible, "left to the judge") for text in texts]


def _general(rows: Sequence[Row], texts: Sequence[str], reading: Reading) -> Verdicts:
    found = [follows_reference(row, text) for row, text in zip(rows, texts, strict=True)]
    return [
        (good, parse(text).answer, "as asked" if good else "not as asked")
        for good, text in zip(found, texts, strict=True)
    ]


_VERIFIERS = (
    (MATHS, _maths),
    (("choice",), _choices),
    (("code",), _code),
    (("gym",), _gym),
    ((chat.TASK,), _chat),
    (("ifeval",), _instructions),
    ((pairs.TASK,), _pairs),
    (GENERAL, _general),
)


def _why(correct: bool | None, answer: str | None) -> str:
    if correct is None:
        return "the gold answer cannot be judged by"
    if correct:
        return "the gold answer"
    return "another answer" if answer else "no answer, or more than one"


def same_answer(row: Row, first: str, second: str) -> bool:
    """Whether two answers to a row are one value."""
    if row["task"] == "choice":
        return bool(verify_choice(first, second, row.get("choices")))
    return bool(verify_math(first, second))


def follows_reference(row: Row, text: str) -> bool:
    """The rule for general prompts, over the columns that a row has.

    reference: the whole answer. required: text in the answer, such as a refusal; of several lines, one of them.
    forbidden: text that must stand nowhere in the response, thinking included; of several lines, none of them. A
    response that was never closed is not good.
    """
    response = parse(text)
    answer, whole, reference = (_plain(part or "") for part in (response.answer, text, row.get("reference")))
    required, forbidden = (_plain_lines(row.get(name)) for name in ("required", "forbidden"))
    if response.truncated or not answer or any(line in whole for line in forbidden):
        return False
    return (not required or any(line in answer for line in required)) and reference in ("", answer)


def _plain_lines(block: str | None) -> list[str]:
    return [plain for line in (block or "").splitlines() if (plain := _plain(line))]


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
