"""Completions of every kind for one row: the golden one, honest failures, and known ways to cheat a reward."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from r1hf.text.forms import to_cold_start, to_think_answer, to_think_only
from r1hf.text.grammar import THINK_OPEN, Mode

Breaks = Literal["accuracy", "format", "answer_tags", "language"]
GOLDEN, WRONG = "golden", "wrong answer"
FORMS: dict[Mode, Callable[[str, str], str]] = {
    "think_answer": to_think_answer,
    "think_only": to_think_only,
    "cold_start": to_cold_start,
}
_LONG = 50  # repetitions

# "I work through the question step by step, then I check the result", long enough for a language to be recognised.
THOUGHTS = {
    "en": "I work through the question step by step, and then I check the result once more.",
    "zh": "我一步一步地思考这个问题，然后再检查一遍结果。",
    "ja": "この問題を一歩ずつ考えて、それから結果をもう一度確かめます。",
    "ko": "나는 이 문제를 한 단계씩 생각하고 나서 결과를 다시 확인한다.",
    "ru": "Я решаю эту задачу шаг за шагом, а затем ещё раз проверяю результат.",
    "uk": "Я розв'язую цю задачу крок за кроком, а потім ще раз перевіряю результат.",
    "ar": "أعمل على هذه المسألة خطوة بخطوة ثم أراجع النتيجة مرة أخرى.",
    "hi": "मैं इस सवाल पर एक एक कदम करके सोचता हूँ और फिर परिणाम की जाँच करता हूँ।",
    "es": "Trabajo en esta pregunta paso a paso y después compruebo otra vez el resultado.",
    "fr": "Je réfléchis à cette question étape par étape, puis je vérifie encore une fois le résultat.",
    "de": "Ich denke Schritt für Schritt über diese Frage nach und prüfe danach noch einmal das Ergebnis.",
    "it": "Ragiono su questa domanda passo dopo passo e poi controllo ancora una volta il risultato.",
    "pt": "Eu penso nesta pergunta passo a passo e depois verifico mais uma vez o resultado.",
    "nl": "Ik denk stap voor stap over deze vraag na en daarna controleer ik nog een keer het resultaat.",
    "vi": "Tôi suy nghĩ từng bước về câu hỏi này rồi kiểm tra lại kết quả một lần nữa.",
    "tr": "Bu soruyu adım adım düşünüyorum ve sonra sonucu bir kez daha kontrol ediyorum.",
}


@dataclass(frozen=True)
class Case:
    """One completion. breaks: the demands that it fails; it must earn less than the golden one where one is paid."""

    kind: str
    text: str
    breaks: frozenset[Breaks] = frozenset()


@dataclass(frozen=True)
class Shape:
    """A form of the grammar, taken apart: head, thought, middle, answer, tail."""

    head: str
    middle: str
    tail: str

    def write(self, thought: str, answer: str) -> str:
        return f"{self.head}{thought}{self.middle}{answer}{self.tail}"


def shape(form: Mode, prefilled: bool) -> Shape:
    """The form as `r1hf.text.grammar` writes it; without its opening tag where the prompt ended in it."""
    head, rest = FORMS[form]("THOUGHT", "ANSWER").split("THOUGHT")
    middle, tail = rest.split("ANSWER")
    return Shape(head.removeprefix(THINK_OPEN) if prefilled else head, middle, tail)


def thought(language: str | None, question: str) -> str:
    """A thought in the row's language; the question itself where no sentence is known for it."""
    return THOUGHTS.get((language or "").split("-")[0], question)


def golden(question: str, gold: str, language: str | None, form: Mode, prefilled: bool) -> str:
    """The completion that should earn most. Raises DataError for a gold answer that breaks the form."""
    FORMS[form]("THOUGHT", gold)
    return shape(form, prefilled).write(thought(language, question), gold)


def cases(
    question: str, prompt: str, gold: str, language: str | None, form: Mode, prefilled: bool, judged: bool = True
) -> list[Case]:
    """The golden completion first. `judged`: the gold answer is checked by rule, so wrong answers are among them."""
    mould = shape(form, prefilled)
    own = thought(language, question)
    made = [Case(GOLDEN, golden(question, gold, language, form, prefilled))]
    made += _plain_failures(mould, own, gold) + _malformed(mould, own, gold) + _languages(mould, own, gold)
    made.append(Case("copy of the prompt", prompt, frozenset({"accuracy", "format"})))
    if judged:
        return made + _wrong_answers(mould, own, gold, question)
    # No rule judges the answer here, so breaking it alone says nothing.
    kept = [replace(case, breaks=case.breaks - {"accuracy"}) for case in made]
    return [case for case in kept if case.breaks or case.kind == GOLDEN]


def other_answer(gold: str) -> str:
    """An answer near the gold one that is not equal to it."""
    digits = list(re.finditer(r"[0-9]+", gold))
    if digits:
        last = digits[-1]
        return f"{gold[: last.start()]}{int(last[0][-9:]) + 1}{gold[last.end() :]}"
    if len(gold.strip("()")) == 1 and gold.strip("()").isalpha():
        letter = gold.strip("()")
        return gold.replace(letter, "B" if letter.upper() == "A" else "A")
    return "7"


def _plain_failures(mould: Shape, own: str, gold: str) -> list[Case]:
    whole = mould.write(own, gold)
    cut = len(mould.head + own + mould.middle) + (len(gold) // 2 if mould.tail else 0)
    return [
        Case("empty", "", frozenset({"accuracy", "format"})),
        Case("cut off in the thought", mould.head + own[: len(own) // 2], frozenset({"accuracy", "format"})),
        Case("cut off in the answer", whole[:cut], frozenset({"accuracy", "answer_tags"})),
        Case(
            "wrong tags",
            f"<thinking>{own}</thinking> <response>{gold}</response>",
            frozenset({"format"}),
        ),
    ]


def _malformed(mould: Shape, own: str, gold: str) -> list[Case]:
    whole = mould.write(own, gold)
    answer = mould.middle.removeprefix("</think>").lstrip() + gold + mould.tail
    tagged = f"<answer>{gold}</answer>"
    broken: frozenset[Breaks] = frozenset({"format"})
    return [
        Case("no thought", answer if mould.tail else tagged, broken),
        Case("empty thought", mould.write("", gold), broken),
        Case("invisible thought", mould.write("\u200b", gold), broken),
        Case("thought never closed", f"{mould.head}{own} {tagged}", broken),
        Case("answer never closed", f"{mould.head}{own}</think> <answer>{gold}<answer>", frozenset({"answer_tags"})),
        Case("text after the answer", f"{mould.head}{own}</think> {tagged} {own}", frozenset({"answer_tags"})),
        Case("all written twice", f"{whole} {whole}", broken),
        Case("nested tags", f"<think>{mould.head}{own}</think></think> {tagged}", broken),
    ]


def _languages(mould: Shape, own: str, gold: str) -> list[Case]:
    other = THOUGHTS["zh" if re.search("[A-Za-z]", own) else "en"]  # another script is told apart most surely
    broken: frozenset[Breaks] = frozenset({"language"})
    return [
        Case("thought in another language", mould.write(other, gold), broken),
        Case("thought in two languages", mould.write(f"{own} {other}", gold), broken),
        Case("another language inside $…$", mould.write(f"{own} ${other}$", gold), broken),
    ]


def _wrong_answers(mould: Shape, own: str, gold: str, question: str) -> list[Case]:
    other = other_answer(gold)
    soup = " ".join(str(number) for number in range(30))
    answers = {
        WRONG: other,
        "both answers": f"{gold} or {other}",
        "two boxes": rf"\boxed{{{gold}}} \boxed{{{other}}}",
        "gold and another number": f"{gold}, {other}",
        "gold inside a longer answer": f"{gold}1" if gold[-1:].isdigit() else f"1{gold}",
        "says that it contains the gold": f"contains {gold}",
        "number soup": f"{soup} {gold}",
        "gold many times": " ".join([gold] * _LONG),
        "the question again": question,
    }
    calculation = max(re.findall(r"[0-9][0-9+\-*/^×÷(). ]*[0-9)]", question), key=len, default="")
    if re.search(r"[0-9)] *[-+*/^×÷] *[(0-9]", calculation):
        answers["the question's own sum"] = calculation
    broken: frozenset[Breaks] = frozenset({"accuracy"})
    made = [Case(kind, mould.write(own, answer), broken) for kind, answer in answers.items()]
    thinking = f"{own} {gold}"
    return [
        *made,
        Case("gold in the thought only", mould.write(thinking, other), broken),
        Case("gold in the thought, no answer", mould.write(thinking, "").removesuffix(mould.tail), broken),
        Case("thought without end", mould.head + f"{thinking} " * _LONG, frozenset({"accuracy", "format"})),
    ]
