"""The page: header, tabs and settings, and how it is served."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

from r1chat import defang, history
from r1chat.chat_tab import LISTENERS, ChatTab
from r1chat.controls import Controls
from r1chat.lean_gradio import Blocks, http_server, keep_waiting_sessions
from r1chat.lean_gradio import gradio as gr
from r1chat.prompt_tab import PromptTab
from r1chat.server import starter
from r1chat.settings import Settings
from r1chat.shared import Shared, free_dropdown, packed, translate
from r1chat.stages_tab import MAX_MODELS, StagesTab
from r1chat.texts import LANGUAGES, from_browser
from r1chat.vote_tab import VoteTab

_HERE = Path(__file__).parent
# Gradio keeps a copy of the page's state for each page ever opened, up to so many. A page that is forgotten while it
# is open loses nothing: its chats and settings are in the browser.
SESSIONS = 300
QUEUED = 4096  # events that Gradio has not looked at yet; each is looked at within milliseconds
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]


class Page:
    """Builds the whole page; `blocks` is what is launched."""

    def __init__(self, shared: Shared):
        self.shared = shared
        words, t = shared.words, translate("en")
        with Blocks(title=t("title"), fill_height=True, fill_width=True) as self.blocks:
            self.known = gr.State(None)
            shared.quiet["show_progress_on"] = self.known
            self._sidebar(t)
            with gr.Row(elem_classes="r1-header", equal_height=True):
                gr.HTML('<h1 class="r1-title">r1hf <span>chat</span></h1>', padding=False, elem_classes="r1-name")
                self.model = words(
                    free_dropdown([], label=t("model"), elem_id="r1-model", min_width=200, scale=0, container=False),
                    label="model",
                )
                self.status = gr.HTML("", padding=False, elem_id="r1-status", elem_classes="r1-status")
            with gr.Tabs(elem_id="r1-tabs"):
                with words(gr.Tab(t("tab_chat"), elem_id="r1-tab-chat", scale=1), label="tab_chat"):
                    self.chat = ChatTab(shared)
                with words(gr.Tab(t("tab_stages"), elem_id="r1-tab-stages"), label="tab_stages"):
                    self.stages = StagesTab(shared)
                with words(gr.Tab(t("tab_vote"), elem_id="r1-tab-vote"), label="tab_vote"):
                    self.vote = VoteTab(shared)
                with words(gr.Tab(t("tab_prompt"), elem_id="r1-tab-prompt"), label="tab_prompt"):
                    self.prompt = PromptTab(shared)
            # Not before `open` has filled the lists: a second first look would undo what was chosen meanwhile.
            self.timer = gr.Timer(shared.settings.health_interval, active=False)
            self._wire()

    def _sidebar(self, t: Any) -> None:
        words = self.shared.words
        with gr.Sidebar(open=False, width=330, elem_id="r1-sidebar"):
            self.new = words(gr.Button(t("new_chat"), elem_id="r1-new", variant="primary"), value="new_chat")
            self.chats = words(free_dropdown([], label=t("chats"), elem_id="r1-chats"), label="chats")
            with gr.Row():
                self.export = words(gr.Button(t("export"), elem_id="r1-export", size="sm"), value="export")
                self.delete = words(gr.Button(t("delete_chat"), elem_id="r1-delete", size="sm"), value="delete_chat")
            words(gr.Markdown(t("settings")), value="settings")
            self.temperature = words(
                gr.Slider(0, 2, 0.6, step=0.05, label=t("temperature"), info=t("sampling_hint"), elem_id="r1-temp"),
                label="temperature",
                info="sampling_hint",
            )
            self.top_p = words(
                gr.Slider(0.05, 1, 0.95, step=0.01, label=t("top_p"), elem_id="r1-top-p"), label="top_p"
            )
            self.budget = words(
                gr.Number(0, label=t("budget"), info=t("budget_hint"), precision=0, minimum=0, elem_id="r1-budget"),
                label="budget",
                info="budget_hint",
            )
            self.seed = words(
                gr.Textbox("", label=t("seed"), info=t("seed_hint"), elem_id="r1-seed"), label="seed", info="seed_hint"
            )
            self.use_system = words(
                gr.Checkbox(False, label=t("use_system"), info=t("use_system_hint"), elem_id="r1-use-system"),
                label="use_system",
                info="use_system_hint",
            )
            self.system = words(
                gr.Textbox("", label=t("system"), lines=3, visible=False, elem_id="r1-system"), label="system"
            )
            self.language = words(
                gr.Dropdown(
                    [(name, code) for code, name in LANGUAGES.items()], value="en", label="Language", elem_id="r1-lang"
                ),
                label="language",
            )
            self.prefs = gr.BrowserState({}, storage_key="r1hf-prefs", secret="no secret")

    def _wire(self) -> None:
        shared, chat = self.shared, self.chat
        controls = packed(
            Controls(
                language=self.language,
                model=self.model,
                temperature=self.temperature,
                top_p=self.top_p,
                budget=self.budget,
                seed=self.seed,
                use_system=self.use_system,
                system=self.system,
                stages=self.stages.models,
            ),
            shared.quiet,
        )
        chat.wire(controls, self.chats, self.new, self.delete)
        self.stages.wire(controls)
        self.vote.wire(controls)
        self.prompt.wire(chat.held, controls)
        self._wire_opening(controls)
        self._wire_settings()
        self.blocks.unload(shared.leave)

    def _wire_opening(self, controls: Any) -> None:
        """What happens when the page opens, and from then on at each tick."""
        shared, chat = self.shared, self.chat
        health = [self.status, self.known, self.model, self.temperature, self.top_p, self.stages.models]
        view = [chat.box, chat.alert, chat.bot, chat.store, chat.send, chat.halt, self.chats]
        self.timer.tick(self.poll, [self.known, controls], health, queue=False, **shared.quiet)
        stored = gr.JSON(visible=False)
        self.blocks.load(None, [chat.store, self.prefs], stored, js="(...kept) => [kept]", **shared.quiet).then(
            self.open,
            stored,
            [self.timer, self.language, *health, *view, *shared.words.components],
            queue=False,
            **shared.quiet,
        )

    def _wire_settings(self) -> None:
        shared, chat = self.shared, self.chat
        self.model.input(
            self.chosen,
            [self.model, self.language],
            [self.temperature, self.top_p, self.status],
            queue=False,
            **shared.quiet,
        )
        self.use_system.change(
            lambda on: gr.update(visible=on), self.use_system, self.system, queue=False, **shared.quiet
        )
        set_lang = "(language, ...rest) => { document.documentElement.lang = language; return [language, ...rest]; }"
        self.language.input(
            self.speak,
            [self.language, chat.held, self.model],
            [self.prefs, self.status, chat.bot, *shared.words.components],
            queue=False,
            js=set_lang,
            **shared.quiet,
        )
        text = gr.Textbox(visible=False)
        self.export.click(self.document, chat.held, text, queue=False, **shared.quiet).then(
            None, text, None, js="(text) => window.r1Download('r1hf-chat.json', text)", **shared.quiet
        )

    async def poll(self, known: Any, value: Any) -> list[Any]:
        """Status, and what follows from a list of models that this page has not seen yet."""
        shared, controls = self.shared, Controls.read(value)
        t, model = translate(controls.language), controls.model
        await shared.look()
        names = [row.id for row in shared.models]
        chosen = model if model and (model in names or known) else shared.default()
        status = self._status(chosen, t)
        if known == names:
            return [status, *[gr.skip()] * 5]
        if not names:
            return [status, None, *[gr.skip()] * 4]
        temperature, top_p = (gr.skip(), gr.skip()) if chosen == model else shared.sampling(chosen)
        kept = [name for name in controls.stages or [] if name in names]
        return [
            status,
            names,
            gr.update(choices=shared.choices(), value=chosen),
            temperature,
            top_p,
            gr.update(choices=shared.choices(), value=kept or names[:MAX_MODELS]),
        ]

    def chosen(self, model: str | None, language: str) -> list[Any]:
        """What follows from another model: its own settings, and what it knows."""
        return [*self.shared.sampling(model), self._status(model, translate(language))]

    def _status(self, model: str | None, t: Any) -> str:
        """The lines about the server and about what the model knows, as HTML."""
        kind, sentence = self.shared.status(model, t)
        status = f'<span role="status" class="r1-dot r1-{kind}">{defang.html(sentence)}</span>'
        knows = self.shared.knows(model, t)
        return f'{status}<p id="r1-knows">{defang.html(knows)}</p>' if knows else status

    async def open(self, kept: Any, request: gr.Request) -> list[Any]:
        """A page is opened: its language, its last chat, the models. `kept`: the chats and settings of the browser."""
        value, prefs = kept if isinstance(kept, list) and len(kept) == 2 else (None, None)
        stored = prefs.get("language") if isinstance(prefs, dict) else None
        language = stored if stored in LANGUAGES else from_browser(request.headers.get("accept-language"))
        health = await self.poll(None, {"language": language})
        view = self.chat.picture(history.restore(value), language)
        return [gr.update(active=True), language, *health, *view, *self.shared.words.updates(translate(language))]

    def speak(self, language: str, value: Any, model: str | None) -> list[Any]:
        """The interface in another language, the open chat included."""
        t = translate(language)
        messages = self.chat.picture(history.restore(value), language)[2]
        return [{"language": language}, self._status(model, t), messages, *self.shared.words.updates(t)]

    @staticmethod
    def document(value: Any) -> str:
        turns = history.open_turns(history.restore(value))
        return history.export(turns) if turns else ""


def theme() -> Any:
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=_FONTS,
        font_mono=["ui-monospace", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def serve(page: Page) -> None:
    """Serves `page` until `blocks.close()`, and returns at once."""
    settings = page.shared.settings
    login = None
    if settings.login:
        user, password = settings.login

        def login(name: str, word: str) -> bool:
            pairs = ((name, user), (word, password))  # of whatever a form can hold, half characters too
            return all([hmac.compare_digest(_bytes(given), _bytes(own)) for given, own in pairs])

    head = f"<script>{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>"
    http_server.start_server = starter(settings, head)
    page.blocks.queue(max_size=QUEUED, default_concurrency_limit=None)
    keep_waiting_sessions(page.blocks)
    page.blocks.launch(
        server_name=settings.host,
        server_port=settings.port,
        auth=login,
        theme=theme(),
        css=(_HERE / "style.css").read_text(encoding="utf-8"),
        head=head,
        footer_links=[],
        ssr_mode=False,
        quiet=True,
        show_error=False,
        # Gradio's limit on events at once: answers, prompts that are shown, and pages in which somebody writes.
        max_threads=settings.max_streams + settings.max_waiting + LISTENERS + SESSIONS,
        max_file_size=1,
        state_session_capacity=SESSIONS,
        prevent_thread_lock=True,
    )


def launch(settings: Settings) -> None:
    """Serves the page until it is interrupted."""
    page = Page(Shared(settings))
    try:
        serve(page)
        print(f"The chat is at {page.blocks.local_url} (models from {settings.backend})", flush=True)
        page.blocks.block_thread()
    finally:
        page.shared.judge.close()
