"""The Prompt view tab: the text and the tokens that a question becomes."""

from __future__ import annotations

from typing import Any

from r1chat import defang, history
from r1chat.backend import BackendError
from r1chat.controls import Controls
from r1chat.lean_gradio import gradio as gr
from r1chat.prompt import view
from r1chat.render import problem_sentence
from r1chat.shared import Shared, plain, translate, who
from r1hf.serving.fair import Full


class PromptTab:
    def __init__(self, shared: Shared):
        self.shared, words, t = shared, shared.words, translate("en")
        words(gr.Markdown(t("prompt_intro"), elem_classes="r1-intro"), value="prompt_intro")
        with gr.Row(equal_height=False):
            self.box = words(
                gr.Textbox("What is 2 + 3 * 4?", label=t("ask"), elem_id="r1-prompt-box", scale=4, max_lines=6),
                label="ask",
            )
            self.with_chat = words(
                gr.Checkbox(True, label=t("prompt_with_chat"), elem_id="r1-prompt-chat", scale=1, min_width=160),
                label="prompt_with_chat",
            )
        self.run = words(gr.Button(t("prompt_run"), variant="primary", elem_id="r1-prompt-run"), value="prompt_run")
        self.out = gr.HTML(elem_id="r1-prompt-view", elem_classes="r1-prompt-view", padding=False)

    def wire(self, store: Any, controls: Any) -> None:
        gr.on(
            [self.run.click, self.box.submit],
            self.show,
            [self.box, self.with_chat, store, controls],
            self.out,
            concurrency_limit=None,
            **self.shared.quiet,
        )

    async def show(self, request: gr.Request, text: str, with_chat: bool, value: Any, settings: Any) -> str:
        controls = Controls.read(settings)
        t, text, model = translate(controls.language), plain(text), controls.model or ""
        turns = history.open_turns(history.restore(value)) if with_chat else []
        messages = history.messages(turns, text, controls.system if controls.use_system else "")
        await self.shared.acquainted()
        if refusal := self.shared.refusal(text, model, request, t, before=messages[:-1]):
            return f'<p role="alert">{defang.html(refusal)}</p>'
        try:
            async with self.shared.asker.places.hold(*who(request)):
                return view(await self.shared.backend.tokenize(model, messages, self.shared.alias(request)), t)
        except Full:
            return f'<p role="alert">{defang.html(t("problem_crowded"))}</p>'
        except BackendError as error:
            context = self.shared.model(model).max_model_len
            problem = {"kind": error.kind, "detail": error.detail, "model": model, "context": context}
            return f'<p role="alert">{defang.html(problem_sentence(problem, t))}</p>'
