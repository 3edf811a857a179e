"""The page of `r1hf review`: one row at a time, before and after, and a key for every answer."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1chat.lean_gradio import Blocks, http_server, keep_waiting_sessions
from r1chat.lean_gradio import gradio as gr
from r1chat.page import theme
from r1chat.server import starter
from r1chat.settings import Settings

from r1hf.core.errors import ConfigError, R1Error
from r1hf.data.agreement import outcome
from r1hf.data.decisions import Decision
from r1hf.data.review_queue import Item
from r1hf.selection.review import STATUSES, Filters, Review
from r1review import render
from r1review.token import Token

_HERE = Path(__file__).parent
ANY = "any"
_KEYS = "Keys: A E R U, J and K or the arrows; in an edit Ctrl+Enter keeps it, Esc leaves it."


class Page:
    """Builds the page of one review; `blocks` is what is launched. What it shows is the browser's; nothing is kept
    between two events but the decisions themselves."""

    def __init__(self, review: Review):
        self.review = review
        quiet: dict[str, Any] = {"show_progress": "hidden", "queue": False}
        with Blocks(title=f"Review of {review.stage.name}", fill_width=True) as self.blocks:
            with gr.Row(elem_classes="rv-top"):
                gr.HTML(_title(review), padding=False)
            self.progress = gr.HTML("", padding=False, elem_id="rv-progress")
            with gr.Row(elem_id="rv-filters"):
                self.status = gr.Dropdown([*STATUSES], value=STATUSES[0], label="Show", elem_id="rv-status")
                self.method, self.language, self.reason = (
                    gr.Dropdown(_choices(found), value="", label=name.capitalize(), elem_id=f"rv-{name}")
                    for name, found in review.choices().items()
                )
            self.key = gr.Textbox("", visible=False)
            self.heading = gr.HTML("", padding=False, elem_id="rv-heading")
            self.row = gr.HTML("", padding=False, elem_id="rv-row")
            with gr.Group(visible=False, elem_id="rv-editor") as self.editor:
                self.text = gr.Textbox(label="Your edit", lines=5, max_lines=24, elem_id="rv-edit-text")
                self.found = gr.HTML("", elem_id="rv-found")
                with gr.Row():
                    self.save = gr.Button(
                        "Keep the edit (Ctrl+Enter)", variant="primary", elem_id="rv-save", size="sm"
                    )
                    self.cancel = gr.Button("Leave it (Esc)", elem_id="rv-cancel", size="sm")
            self.note = gr.HTML("", padding=False, elem_id="rv-note")
            with gr.Row(elem_id="rv-buttons"):
                names = {"accept": "Accept (A)", "edit": "Edit (E)", "reject": "Reject (R)", "undo": "Undo (U)"}
                names |= {"back": "Back (K)", "next": "Next (J)"}
                buttons = {
                    name: gr.Button(said, elem_id=f"rv-do-{name}", min_width=90) for name, said in names.items()
                }
            gr.HTML(f'<p class="rv-keys">{render.html(_KEYS)}</p>', padding=False)
            self._wire(buttons, quiet)

    def _wire(self, buttons: dict[str, Any], quiet: dict[str, Any]) -> None:
        filters = [self.status, self.method, self.language, self.reason]
        given = [self.key, *filters]
        shown = [self.key, self.progress, self.heading, self.row, self.editor, self.text, self.found, self.note]
        acts: dict[str, Callable[..., Any]] = {
            "accept": self.accept,
            "reject": self.reject,
            "undo": self.undo,
            "next": lambda *now: self.move(1, *now),
            "back": lambda *now: self.move(-1, *now),
        }
        for name, act in acts.items():
            buttons[name].click(act, given, shown, **quiet)
        buttons["edit"].click(self.edit, self.key, [self.editor, self.text, self.found, self.note], **quiet)
        self.save.click(self.keep, [self.text, *given], shown, **quiet)
        self.cancel.click(
            lambda: [gr.update(visible=False), "", ""], None, [self.editor, self.found, self.note], **quiet
        )
        # Not `input`: Gradio's text field says that at a key press only, and not of what is pasted, deleted, or
        # written with an input method.
        self.text.change(self.look, [self.key, self.text], self.found, trigger_mode="always_last", **quiet)
        for one in filters:
            one.input(self.show, given, shown, **quiet)
        self.blocks.load(self.show, given, shown, **quiet)

    def accept(self, key: str, *filters: str) -> list[Any]:
        return self._decide(key, "accept", None, filters)

    def reject(self, key: str, *filters: str) -> list[Any]:
        return self._decide(key, "reject", None, filters)

    def keep(self, text: str, key: str, *filters: str) -> list[Any]:
        return self._decide(key, "edit", text, filters)

    def _decide(self, key: str, kind: str, text: str | None, filters: tuple[str, ...]) -> list[Any]:
        """Keeps the decision and goes on to the next row; one that cannot be kept leaves everything as it is."""
        if key not in self.review.items:
            return self.show(key, *filters)
        try:
            found = self.review.decide(key, kind, text)
        except R1Error as error:
            said = render.note(f"Not kept. {error}", "bad")
            stay: list[Any] = [gr.skip()] * 8
            stay[6 if kind == "edit" else 7] = said
            return stay
        said = f"{kind.capitalize().removesuffix('e')}ed. " if kind != "edit" else "Edit kept. "
        return self._view(key, filters, 1, said + (found.said if found is not None else ""))

    def undo(self, key: str, *filters: str) -> list[Any]:
        try:
            last = self.review.undo()
        except R1Error as error:
            return [*[gr.skip()] * 7, render.note(f"Not undone. {error}", "bad")]
        if last is None:
            return [*[gr.skip()] * 7, render.note("There is nothing to undo.", "plain")]
        if last.key not in self.review.items:
            return self._view(key, filters, 0, "Undone: a decision about a row that is not shown here.")
        return self._shown(last.key, filters, f"Undone: {last.kind}.")

    def move(self, step: int, key: str, *filters: str) -> list[Any]:
        return self._view(key, filters, step)

    def show(self, key: str, *filters: str) -> list[Any]:
        return self._view(key, filters, 0)

    def edit(self, key: str) -> list[Any]:
        item = self.review.items.get(key)
        if item is None:
            return [gr.skip()] * 4
        mine = self.review.mine.get(key)
        text = mine.text if mine is not None and mine.text is not None else item.text
        return [gr.update(visible=True), text, "", ""]

    def look(self, key: str, text: str) -> str:
        """What is found of an edit while it is written."""
        if key not in self.review.items:
            return ""
        try:
            return render.checked(self.review.check(key, text))
        except R1Error as error:
            return render.note(str(error), "bad")

    def _view(self, key: str, filters: tuple[str, ...], step: int, said: str = "") -> list[Any]:
        """The row that is `step` away from `key` among those that the filters leave."""
        keys = self.review.shown(_filters(filters))
        return self._shown(self.review.near(keys, key, step), filters, said, keys)

    def _shown(self, key: str | None, filters: tuple[str, ...], said: str, keys: list[str] | None = None) -> list[Any]:
        keys = self.review.shown(_filters(filters)) if keys is None else keys
        progress = render.progress(self.review.progress(), self.review.reviewer, self.review.broken)
        closed = [gr.update(visible=False), "", "", render.note(said)]
        if key is None:
            return ["", progress, "", render.NOTHING_LEFT, *closed]
        item, mine = self.review.items[key], self.review.mine.get(key)
        place = f"{keys.index(key) + 1:,} of {len(keys):,}" if key in keys else "undone"
        return [key, progress, *self._drawn(item, mine, place), *closed]

    def _drawn(self, item: Item, mine: Decision | None, place: str) -> list[str]:
        others = {name: one[item.key] for name, one in self.review.others().items() if item.key in one}
        conflict = mine is not None and outcome([mine, *others.values()]) is None
        return [render.heading(item, place, mine, conflict), render.row(item, mine, others)]


def _title(review: Review) -> str:
    return f'<h1 class="rv-title">r1hf <span>review of {render.html(str(review.stage))}</span></h1>'


def _filters(given: tuple[str, ...]) -> Filters:
    return Filters(*given)


def _choices(found: list[tuple[str, int]]) -> list[tuple[str, str]]:
    return [(ANY, ""), *((f"{name} ({count:,})", name) for name, count in found)]


def launch(review: Review, port: int) -> None:
    """Serves the page on 127.0.0.1 until it is interrupted. Raises ConfigError where the port is taken."""
    port = _free(port)
    token = secrets.token_urlsafe(24)
    settings = Settings(port=port, rate=0)
    head = f"<script>{(_HERE / 'keys.js').read_text(encoding='utf-8')}</script>"
    start = starter(settings, head)
    http_server.start_server = lambda app, **given: start(Token(app, token, port), **given)
    page = Page(review)
    page.blocks.queue(default_concurrency_limit=None)
    keep_waiting_sessions(page.blocks)
    page.blocks.launch(
        server_name=settings.host,
        server_port=port,
        theme=theme(),
        css=(_HERE / "style.css").read_text(encoding="utf-8"),
        head=head,
        footer_links=[],
        ssr_mode=False,
        share=False,
        quiet=True,
        show_error=False,
        max_file_size=1,
        prevent_thread_lock=True,
    )
    print(f"Review of {review.stage} by {review.reviewer}: {len(review.items)} rows", flush=True)
    print(f"  {page.blocks.local_url}?token={token}", flush=True)
    page.blocks.block_thread()


def _free(port: int) -> int:
    """The port, or any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--port {port}: the page cannot listen there ({error}); choose another") from error
        return int(probe.getsockname()[1])
