"""A question with its right answer: the answer belongs to the question, and goes when that is edited."""

from __future__ import annotations

from typing import Any, NamedTuple

from r1chat.judge import MAX_GOLD
from r1chat.lean_gradio import gradio as gr
from r1chat.shared import Shared, plain, translate
from r1chat.sums import right_answer

EXAMPLE = "What is 2 + 3 * 4?"


class Settled(NamedTuple):
    """The right answer that stands for a question, and whether the chat worked it out itself."""

    gold: str
    computed: bool


def settle(question: str, gold: str, before: Any) -> Settled:
    """The right answer of `question`. gold: what stands in its box; before: [question, right answer] of the last time.

    What a person wrote is kept: for the same question always, for another one if it was written since. Else a sum's
    value is worked out, and any other question has none.
    """
    asked, known = map(plain, before) if isinstance(before, list) and len(before) == 2 else ("", "")
    value = right_answer(question) or ""
    if question == asked or (gold and gold != known):
        return Settled(gold, bool(gold) and gold == value)
    return Settled(value, bool(value))


class Asked:
    """The boxes of a question and of its right answer; `before` is what `settle` is told of the last time."""

    def __init__(self, shared: Shared, tab: str):
        words, t, gold = shared.words, translate("en"), right_answer(EXAMPLE)
        self.quiet = shared.quiet
        self.box = words(
            gr.Textbox(EXAMPLE, label=t("ask"), elem_id=f"r1-{tab}-box", scale=4, max_lines=6), label="ask"
        )
        with gr.Column(scale=2, min_width=200):
            self.gold = words(
                gr.Textbox(gold, label=t("gold"), info=t("gold_hint"), elem_id=f"r1-{tab}-gold"),
                label="gold",
                info="gold_hint",
            )
            self.note = words(
                gr.Markdown(t("gold_computed"), elem_id=f"r1-{tab}-computed", elem_classes="r1-computed"),
                value="gold_computed",
            )
        self.before = gr.JSON([EXAMPLE, gold], visible=False)

    @property
    def inputs(self) -> list[Any]:
        return [self.box, self.gold, self.before]

    @property
    def outputs(self) -> list[Any]:
        return [self.gold, self.note, self.before]

    def wire(self) -> None:
        gr.on(
            [self.box.change, self.gold.change],
            self.edited,
            self.inputs,
            self.outputs,
            queue=False,
            **self.quiet,
        )

    def edited(self, question: str, gold: str, before: Any) -> list[Any]:
        """Updates of `outputs` while somebody writes. What the chat did not write is not written over."""
        typed = plain(gold)
        found = settle(plain(question), typed, before)
        if found.gold == typed:
            return [gr.skip(), gr.update(visible=found.computed), gr.skip()]
        return [found.gold, gr.update(visible=found.computed), [plain(question), found.gold]]

    def read(self, question: str, gold: str, before: Any) -> tuple[str, str, list[Any]]:
        """(question, right answer, updates of `outputs`) of what is asked now, edited or not."""
        question = plain(question)
        found = settle(question, plain(gold)[:MAX_GOLD], before)
        shown = gr.skip() if found.gold == gold else found.gold
        return question, found.gold, [shown, gr.update(visible=found.computed), [question, found.gold]]
