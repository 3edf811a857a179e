"""The Stages tab: one question to several models at once, each answer with its rewards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from r1chat.controls import Controls
from r1chat.judge import Judged
from r1chat.lean_gradio import gradio as gr
from r1chat.questions import Question
from r1chat.render import card, reward_marks
from r1chat.reply import Reply
from r1chat.right_answer import Asked
from r1chat.shared import Shared, alert, buttons, free_dropdown, translate, who, whole
from r1chat.side_by_side import SideBySide, stream

TAB = "stages"
MAX_MODELS = 16


class StagesTab:
    def __init__(self, shared: Shared):
        self.shared, words, t = shared, shared.words, translate("en")
        words(gr.Markdown(t("stages_intro"), elem_classes="r1-intro"), value="stages_intro")
        with gr.Row(equal_height=False):
            self.asked = Asked(shared, TAB)
        self.models = words(
            free_dropdown([], label=t("stages_models"), multiselect=True, elem_id="r1-stages-models"),
            label="stages_models",
        )
        with gr.Row():
            self.run = words(
                gr.Button(t("stages_run"), variant="primary", elem_id="r1-stages-run", scale=0), value="stages_run"
            )
            self.halt = words(
                gr.Button(t("stop"), variant="stop", elem_id="r1-stages-stop", scale=0, visible=False), value="stop"
            )
        self.alert = gr.HTML(visible=False, elem_classes="r1-alert", padding=False)
        self.lanes = SideBySide(MAX_MODELS, "r1-stages", t("model"))

    def wire(self, controls: Any) -> None:
        view = [self.alert, self.run, self.halt, *self.asked.outputs, *self.lanes.cards]
        quiet = self.shared.quiet
        asked = gr.on(
            [self.run.click, self.asked.box.submit, self.asked.gold.submit],
            self.ask,
            [*self.asked.inputs, controls],
            view,
            concurrency_limit=None,
            **quiet,
        )
        asked.failure(self.recover, [controls], view[:3], queue=False, **quiet)
        self.asked.wire()
        self.halt.click(self.stop, None, None, queue=False, **quiet)

    async def ask(
        self, text: str, gold: str, before: Any, value: Any, request: gr.Request
    ) -> AsyncIterator[list[Any]]:
        controls = Controls.read(value)
        t = translate(controls.language)
        text, gold, settled = self.asked.read(text, gold, before)
        idle = [gr.skip()] * 5
        names = controls.stages[:MAX_MODELS]
        if self.shared.running(TAB, request):
            yield [alert(t("still_answering")), *idle, *self.lanes.skip()]
            return
        await self.shared.acquainted()
        units = max(1, len(names) // 4)
        if refusal := self.shared.refusal(text, names[0] if names else None, request, t, units):
            yield [alert(refusal), *idle, *self.lanes.skip()]
            return
        questions = [self._question(name, text, controls.seed, self.shared.alias(request)) for name in names]
        judged: dict[int, Judged] = {}

        def draw(index: int, reply: Reply) -> str:
            marks = reward_marks(judged[index], t) if index in judged else ""
            return card(self.shared.label(names[index]), reply.snapshot(), t, marks)

        async def judge(index: int, reply: Reply) -> None:
            if reply.first is not None:
                judged[index] = await self.shared.judge.judged(text, reply, gold, who(request))

        running = self.shared.begin(TAB, questions, request)
        try:
            yield [alert(""), *buttons(True), *settled, *self.lanes.clear()]
            async for cards in stream(running, self.lanes, draw, judge):
                yield [gr.skip(), *idle, *cards]
        finally:
            self.shared.finish(TAB, request, running)
        yield [gr.skip(), *buttons(False), *idle[2:], *self.lanes.skip()]

    def _question(self, name: str, text: str, seed: Any, person: str) -> Question:
        temperature, top_p = self.shared.sampling(name)
        model, limit = self.shared.model(name), self.shared.settings.max_tokens
        messages = [{"role": "user", "content": text}]
        return Question(model, messages, temperature, top_p, whole(seed), max_tokens=limit, person=person)

    def recover(self, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        return [alert(translate(Controls.read(controls).language)("problem_crowded")), *buttons(False)]

    def stop(self, request: gr.Request) -> None:
        self.shared.stop(TAB, request)
