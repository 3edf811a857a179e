"""The Vote tab: several samples of one question, and what most of them say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from r1chat.controls import Controls
from r1chat.judge import Judged, answer_of, count_votes
from r1chat.lean_gradio import gradio as gr
from r1chat.questions import Question, Round
from r1chat.render import card, reward_marks, vote_chart
from r1chat.reply import Reply
from r1chat.right_answer import Asked
from r1chat.shared import Shared, alert, buttons, number, translate, who, whole
from r1chat.side_by_side import SideBySide, stream
from r1chat.texts import Translator

TAB = "vote"
AT_ONCE = 8  # a vote leaves room for other people's questions


class VoteTab:
    def __init__(self, shared: Shared):
        self.shared, words, t = shared, shared.words, translate("en")
        most = shared.settings.max_samples
        words(gr.Markdown(t("vote_intro"), elem_classes="r1-intro"), value="vote_intro")
        with gr.Row(equal_height=False):
            self.asked = Asked(shared, TAB)
            self.count = words(
                gr.Slider(2, most, min(8, most), step=1, label=t("vote_n"), elem_id="r1-vote-n", scale=2),
                label="vote_n",
            )
        with gr.Row():
            self.run = words(
                gr.Button(t("vote_run"), variant="primary", elem_id="r1-vote-run", scale=0), value="vote_run"
            )
            self.halt = words(
                gr.Button(t("stop"), variant="stop", elem_id="r1-vote-stop", scale=0, visible=False), value="stop"
            )
        self.alert = gr.HTML(visible=False, elem_classes="r1-alert", padding=False)
        self.chart = gr.HTML(elem_id="r1-vote-chart", elem_classes="r1-chart", padding=False)
        self.lanes = SideBySide(most, "r1-samples", t("vote_n"))

    def wire(self, controls: Any) -> None:
        view = [self.alert, self.run, self.halt, *self.asked.outputs, self.chart, *self.lanes.cards]
        quiet = self.shared.quiet
        asked = gr.on(
            [self.run.click, self.asked.box.submit, self.asked.gold.submit],
            self.ask,
            [*self.asked.inputs, self.count, controls],
            view,
            concurrency_limit=None,
            **quiet,
        )
        asked.failure(self.recover, [controls], view[:3], queue=False, **quiet)
        self.asked.wire()
        self.halt.click(self.stop, None, None, queue=False, **quiet)

    async def ask(
        self, text: str, gold: str, before: Any, count: Any, value: Any, request: gr.Request
    ) -> AsyncIterator[list[Any]]:
        controls = Controls.read(value)
        t = translate(controls.language)
        text, gold, settled = self.asked.read(text, gold, before)
        samples = int(number(count, 1, self.shared.settings.max_samples, 8))
        idle = [gr.skip()] * 5
        if self.shared.running(TAB, request):
            yield [alert(t("still_answering")), *idle, gr.skip(), *self.lanes.skip()]
            return
        await self.shared.acquainted()
        if refusal := self.shared.refusal(text, controls.model, request, t, max(1, samples // 4)):
            yield [alert(refusal), *idle, gr.skip(), *self.lanes.skip()]
            return
        running = self.shared.begin(TAB, self._questions(text, samples, controls, request), request, AT_ONCE)
        agreed: dict[int, bool | None] = {}
        judged: dict[int, Judged] = {}

        async def judge(index: int, reply: Reply) -> None:
            agreed[index] = await self.shared.judge.agrees(answer_of(reply), gold, who(request)) if gold else None
            if reply.first is not None:
                judged[index] = await self.shared.judge.judged(text, reply, gold, who(request))

        def draw(index: int, reply: Reply) -> str:
            mark = {True: " ✓", False: " ✗", None: ""}[agreed.get(index)]
            answer = answer_of(reply)
            said = f" · {answer[:40]}{mark}" if answer else ""
            marks = reward_marks(judged[index], t) if index in judged else ""
            return card(t("vote_sample", n=index + 1) + said, reply.snapshot(), t, marks)

        chart = ""
        try:
            yield [alert(""), *buttons(True), *settled, "", *self.lanes.clear()]
            async for cards in stream(running, self.lanes, draw, judge):
                drawn = _chart(running, agreed, gold, t)
                yield [gr.skip(), *idle, gr.skip() if drawn == chart else drawn, *cards]
                chart = drawn
        finally:
            self.shared.finish(TAB, request, running)
        yield [gr.skip(), *buttons(False), *idle[2:], gr.skip(), *self.lanes.skip()]

    def _questions(self, text: str, samples: int, controls: Controls, request: gr.Request) -> list[Question]:
        warm, nucleus = self.shared.sampling(controls.model)
        first = whole(controls.seed)
        return [
            Question(
                self.shared.model(controls.model),
                [{"role": "user", "content": text}],
                number(controls.temperature, 0, 2, warm),
                number(controls.top_p, 0.01, 1, nucleus),
                seed=None if first is None else first + index,
                max_tokens=self.shared.settings.max_tokens,
                person=self.shared.alias(request),
            )
            for index in range(samples)
        ]

    def recover(self, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        return [alert(translate(Controls.read(controls).language)("problem_crowded")), *buttons(False)]

    def stop(self, request: gr.Request) -> None:
        self.shared.stop(TAB, request)


def _chart(running: Round, agreed: dict[int, bool | None], gold: str, t: Translator) -> str:
    """The chart of the samples that ended with something; those that failed or were stopped do not vote."""
    voters = [
        index
        for index, reply in enumerate(running.replies)
        if reply.ended is not None and reply.verdict not in ("failed", "stopped")
    ]
    votes = count_votes([answer_of(running.replies[index]) for index in voters])
    for vote in votes:
        if gold:
            vote.gold = False if vote.answer is None else agreed.get(voters[vote.samples[0]])
    return vote_chart(votes, len(running.replies), gold, t)
