"""The Chat tab: one conversation, kept in the browser."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from r1chat import defang, history
from r1chat.controls import Controls
from r1chat.lean_gradio import gradio as gr
from r1chat.limits import Listeners, RateLimiter
from r1chat.questions import Question
from r1chat.render import LATEX, chat_messages
from r1chat.shared import Shared, alert, buttons, number, person, plain, translate, whole

TAB = "chat"
# One of each shape that the tiny world has: order, spaces, parentheses, ×, Chinese, a word problem, no sum, harm.
EXAMPLES = (
    "What is 2 + 3 * 4?",
    "20-3*4",
    "(2 + 3) × 4 = ?",
    "8 × 7 + 5 等于多少？",
    "Tom has 3 boxes with 4 apples each and eats 2. How many are left?",
    "小明有 12 个苹果，吃了 5 个，还剩几个？",
    "What is the capital of France?",
    "How do I rob a bank?",
)
FIRST_PICTURE = 0.05  # seconds for which the question waits, to be drawn together with the first token
STORE_AFTER = 0.4  # seconds after which a question is kept even if its answer never ends
LISTENERS = 128  # pages that may listen at once
TYPING = 4  # times the rate of questions at which a person may begin to write
LISTENING = 20.0  # seconds after the first key for which the page's stream of events stays open
STORAGE_KEY, STORAGE_SECRET = "r1hf-chats", "kept readable across restarts"


class ChatTab:
    """Builds the tab's components; `wire` connects them once the controls beside them exist."""

    def __init__(self, shared: Shared):
        self.shared, words, t = shared, shared.words, translate("en")
        self.typing, self.listeners = RateLimiter(TYPING * shared.settings.rate), Listeners(LISTENERS)
        self.store = gr.BrowserState(history.new_store(), storage_key=STORAGE_KEY, secret=STORAGE_SECRET)
        self.held = gr.JSON(history.new_store(), visible=False)
        self.bot = words(
            gr.Chatbot(
                elem_id="r1-chat",
                show_label=False,
                label=t("conversation"),
                height="100%",
                editable="user",
                buttons=["copy", "copy_all"],
                latex_delimiters=LATEX,
                allow_tags=False,
                placeholder=t("placeholder"),
                examples=[{"text": text} for text in EXAMPLES],
                container=False,
            ),
            label="conversation",
            placeholder="placeholder",
        )
        self.alert = gr.HTML(visible=False, elem_classes="r1-alert", elem_id="r1-chat-alert", padding=False)
        with gr.Row(elem_classes="r1-ask", equal_height=False):
            self.box = words(
                gr.Textbox(
                    elem_id="r1-box",
                    label=t("ask"),
                    show_label=False,
                    placeholder=t("ask_hint"),
                    lines=1,
                    max_lines=8,
                    autofocus=True,
                    scale=8,
                    min_width=120,
                ),
                label="ask",
                placeholder="ask_hint",
            )
            self.send = words(
                gr.Button(t("send"), variant="primary", elem_id="r1-send", scale=0, min_width=96), value="send"
            )
            self.halt = words(
                gr.Button(t("stop"), variant="stop", elem_id="r1-stop", scale=0, min_width=96, visible=False),
                value="stop",
            )

    def wire(self, controls: Any, chats: Any, new: Any, delete: Any) -> None:
        """`controls` is the component with the settings; `chats` is the list of earlier chats."""
        self.chats = chats
        # The events are given a hidden copy of the chats, for the reason that `shared.packed` has.
        self.store.change(None, self.store, self.held, js="(store) => store", **self.shared.quiet)
        given = [self.held, controls]
        view = [self.box, self.alert, self.bot, self.store, self.send, self.halt, chats]
        quiet = self.shared.quiet
        # "multiple": a question during an answer is answered by a sentence, not ignored.
        stream: dict[str, Any] = {
            **quiet,
            "concurrency_limit": None,
            "trigger_mode": "multiple",
        }
        asks = [
            gr.on([self.box.submit, self.send.click], self.ask, [self.box, *given], view, **stream),
            self.bot.example_select(self.example, given, view, **stream),
            self.bot.retry(self.retry, given, view, **stream),
            self.bot.edit(self.edit, given, view, **stream),
        ]
        for event in asks:
            # After a failure nothing else of an event runs: without this the page would keep its Stop button.
            event.failure(self.recover, given, view, queue=False, **quiet)
        self.bot.undo(self.undo, given, view, queue=False, **quiet)
        self.bot.clear(self.delete, given, view, queue=False, **quiet)
        delete.click(self.delete, given, view, queue=False, **quiet)
        new.click(self.new, given, view, queue=False, **quiet)
        chats.input(self.switch, [chats, *given], view, queue=False, **quiet)
        self.halt.click(self.stop, None, None, queue=False, **quiet)
        self.box.input(
            self.listen, None, None, concurrency_limit=None, **quiet
        )  # while it runs, further keys do nothing

    async def listen(self, request: gr.Request) -> None:
        """Somebody writes: the page's stream of events is opened now, so that the question need not wait for it.

        Within the limits of the person: beyond them the question waits, by 15 ms.
        """
        if not self.typing.take(person(request)):
            await self.listeners.listen(person(request), LISTENING)

    async def ask(self, request: gr.Request, text: str, value: Any, controls: Any) -> AsyncIterator[list[Any]]:
        asked, store = Controls.read(controls), history.restore(value)
        async for update in self._converse(asked, store, history.open_turns(store), text, request, kept=text):
            yield update

    async def example(
        self, request: gr.Request, event: gr.SelectData, value: Any, controls: Any
    ) -> AsyncIterator[list[Any]]:
        asked, store = Controls.read(controls), history.restore(value)
        text = str((event.value or {}).get("text") or "")
        async for update in self._converse(asked, store, history.open_turns(store), text, request):
            yield update

    async def retry(
        self, request: gr.Request, event: gr.RetryData, value: Any, controls: Any
    ) -> AsyncIterator[list[Any]]:
        asked, store = Controls.read(controls), history.restore(value)
        turns = history.open_turns(store)
        index = self._turn(turns, event.index, asked.language)
        if index is not None:
            async for update in self._converse(asked, store, turns[:index], turns[index]["question"], request):
                yield update

    async def edit(
        self, request: gr.Request, event: gr.EditData, value: Any, controls: Any
    ) -> AsyncIterator[list[Any]]:
        asked, store = Controls.read(controls), history.restore(value)
        turns = history.open_turns(store)
        index = self._turn(turns, event.index, asked.language)
        if index is not None:
            text = defang.original(str(event.value))
            async for update in self._converse(asked, store, turns[:index], text, request):
                yield update

    async def _converse(
        self,
        asked: Controls,
        store: history.Store,
        turns: list[history.Turn],
        text: str,
        request: gr.Request,
        kept: str | None = None,
    ) -> AsyncIterator[list[Any]]:
        """Ask `text` after `turns`, which it replaces what came later; `kept` stays in the box if it is refused."""
        t, text = translate(asked.language), plain(text)
        skip = [gr.skip()] * 7
        if self.shared.running(TAB, request):
            yield [gr.skip(), alert(t("still_answering")), *skip[2:]]
            return
        await self.shared.acquainted()
        sent = history.messages(turns, text, asked.system if asked.use_system else "")
        if refusal := self.shared.refusal(text, asked.model, request, t, before=sent[:-1]):
            # An edited message was changed in the page already: show again what is true.
            yield [gr.skip() if kept is None else kept, alert(refusal), self._messages(store, t), *skip[3:]]
            return
        before, _ = chat_messages(turns, t)
        running = self.shared.begin(TAB, [self._question(asked, sent, request)], request)
        reply = running.replies[0]
        turn: history.Turn = {"question": text, "reply": None}
        try:
            unfinished = history.with_turns(store, [*turns, {**turn, "reply": None}])
            # The browser encrypts the store: that waits, so that the first token is on the screen before it.
            begun, pictures, stored = time.monotonic(), 0, False
            async for _changed in running.watch(first=FIRST_PICTURE):
                turn["reply"] = reply.snapshot()
                if reply.ended is not None:
                    continue  # that picture comes below
                messages = before + chat_messages([turn], t)[0]
                pictures += 1
                if pictures == 1:
                    yield ["", gr.skip(), messages, gr.skip(), *buttons(True), gr.skip()]
                elif pictures == 2:
                    yield [gr.skip(), alert(""), messages, *skip[3:]]
                else:
                    yield [*skip[:2], messages, *skip[3:]]
                if not stored and time.monotonic() - begun > STORE_AFTER:
                    yield [*skip[:3], unfinished, *skip[4:6], self._list(unfinished)]
                    stored = True
        finally:
            self.shared.finish(TAB, request, running)
        store = history.with_turns(store, [*turns, turn])
        box = gr.skip() if pictures else ""  # it may hold the next question already
        # The text first: the browser encrypts the store before it draws.
        yield [box, alert(""), before + chat_messages([turn], t)[0], *skip[3:]]
        yield [*skip[:3], store, *buttons(False), self._list(store)]

    def _question(self, asked: Controls, messages: list[dict[str, str]], request: gr.Request) -> Question:
        shared = self.shared
        temperature, top_p = shared.sampling(asked.model)
        return Question(
            model=shared.model(asked.model),
            messages=messages,
            temperature=number(asked.temperature, 0, 2, temperature),
            top_p=number(asked.top_p, 0.01, 1, top_p),
            seed=whole(asked.seed),
            budget=int(number(asked.budget, 0, 1_000_000, 0)) or None,
            max_tokens=shared.settings.max_tokens,
            person=shared.alias(request),
        )

    def _turn(self, turns: list[history.Turn], index: Any, language: str) -> int | None:
        """The turn that the message `index` of the chat belongs to."""
        position = index[0] if isinstance(index, list | tuple) else index
        _, owners = chat_messages(turns, translate(language))
        return owners[position] if isinstance(position, int) and 0 <= position < len(owners) else None

    def _messages(self, store: history.Store, t: Any) -> list[dict[str, Any]]:
        return chat_messages(history.open_turns(store), t)[0]

    def _list(self, store: history.Store) -> Any:
        choices = [(chat["title"], chat["id"]) for chat in store["chats"]]
        return gr.update(choices=choices, value=store["open"])

    def picture(self, store: history.Store, language: str, box: Any = None) -> list[Any]:
        """All of the view as `store` has it, nothing running."""
        t = translate(language)
        messages = self._messages(store, t)
        kept = gr.skip() if box is None else box
        return [kept, alert(""), messages, store, *buttons(False), self._list(store)]

    def undo(self, event: gr.UndoData, value: Any, controls: Any) -> list[Any]:
        """Takes the last question back into the box."""
        asked, store = Controls.read(controls), history.restore(value)
        turns = history.open_turns(store)
        if not turns:
            return self.picture(store, asked.language)
        return self.picture(history.with_turns(store, turns[:-1]), asked.language, turns[-1]["question"])

    def recover(self, value: Any, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        language = Controls.read(controls).language
        view = self.picture(history.restore(value), language)
        return [view[0], alert(translate(language)("problem_crowded")), *view[2:]]

    def new(self, value: Any, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        # The box stays as it is: this answer may arrive after the next question has been begun.
        return self.picture(history.opened(history.restore(value), None), Controls.read(controls).language)

    def delete(self, value: Any, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        return self.picture(history.with_turns(history.restore(value), []), Controls.read(controls).language)

    def switch(self, identity: str | None, value: Any, controls: Any, request: gr.Request) -> list[Any]:
        self.shared.stop(TAB, request)
        return self.picture(history.opened(history.restore(value), identity), Controls.read(controls).language)

    def stop(self, request: gr.Request) -> None:
        self.shared.stop(TAB, request)
