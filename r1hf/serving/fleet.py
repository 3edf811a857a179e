"""The engines of one server: started when needed, within a memory budget; the least recently used make room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r1hf.serving.engine import Engine, State
from r1hf.serving.engine_plan import GIB, Plan, Settings
from r1hf.serving.models import ServedModel

SHARE = 4  # a client with less than this part of a model's queue is let in when others have filled it
CROWD = 4  # and that up to so many queues


class Unavailable(Exception):
    """No engine can answer now. retry_after: seconds after which it is worth asking again."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.retry_after = retry_after


class Fleet:
    """Engines and the models that they serve."""

    def __init__(self, models: Sequence[ServedModel], plan: Plan, settings: Settings, sockets: Path, logs: Path):
        self.models = {model.name: model for model in models}
        self.plan, self.settings = plan, settings
        # Starting two at a time makes both slow, and a GPU's free memory is measured at the start.
        locks = {kind: asyncio.Lock() for kind in ("vllm", "transformers")}
        self.engines = {
            spec.name: Engine(spec, sockets / f"{index}.sock", logs / f"{spec.name}.log", locks[spec.kind])
            for index, spec in enumerate(plan.engines)
        }
        self.created = int(time.time())
        self.busy: dict[str, Counter[str]] = {name: Counter() for name in self.models}
        self._tasks: set[asyncio.Task[None]] = set()

    def on_change(self, report: Callable[[Engine, str], None]) -> None:
        """`report(engine, text)` is called whenever an engine starts, is ready, dies or is given up."""
        for engine in self.engines.values():
            engine.changed = report

    def engines_of(self, model: str) -> list[Engine]:
        """The preferred one first."""
        return [self.engines[name] for name in self.plan.routes[model]]

    def engine_of(self, model: str) -> Engine:
        """The engine that answers now: the first that is ready, else the first that is on its way."""
        engines = self.engines_of(model)
        for state in ("ready", "loading", "stopped"):
            for engine in engines:
                if engine.state == state:
                    return engine
        return engines[0]

    def acquire(self, model: str, client: str = "", samples: int = 1) -> Engine:
        """An engine that is ready, counted as in use until `release`. Raises Unavailable, starting one if possible.

        One client's samples fill the model's queue at most; another that has few in it still finds room.
        """
        most, busy = self.settings.max_requests, self.busy[model]
        full = busy.total() + samples > max(most, samples)
        if full and (busy[client] + samples > max(1, most // SHARE) or busy.total() + samples > CROWD * most):
            raise Unavailable(f"the queue of {model} is full ({busy.total()} samples): try again shortly", 1)
        engine = self.engine_of(model)
        if engine.state == "stopped":
            self.begin(engine)
        if engine.state == "failed":
            raise Unavailable(f"{model} cannot be served: {engine.error}", 60)
        if engine.state != "ready":
            raise Unavailable(f"{model} is loading: try again in {engine.retry_after} s", engine.retry_after)
        busy[client] += samples
        engine.in_flight += 1
        return engine

    def release(self, model: str, engine: Engine, client: str = "", samples: int = 1) -> None:
        """Ends what `acquire` began."""
        self.busy[model][client] -= samples
        if not self.busy[model][client]:
            del self.busy[model][client]
        engine.in_flight -= 1
        engine.last_used = time.monotonic()

    def begin(self, engine: Engine) -> None:
        """Starts an engine, after stopping idle ones to make room. Raises Unavailable if those in use leave none."""
        held = [other for other in self.engines.values() if other.state in ("loading", "ready")]
        free = self.settings.memory - sum(other.spec.memory for other in held)
        victims = []
        idle = [other for other in held if other.state == "ready" and other.in_flight == 0]
        for other in sorted(idle, key=lambda item: item.last_used):
            if free >= engine.spec.memory:
                break
            victims.append(other)
            free += other.spec.memory
        if free < engine.spec.memory and len(victims) < len(held):
            names = ", ".join(model for other in held if other not in victims for model in other.spec.models)
            budget = f"{self.settings.memory / GIB:.1f} GiB"
            raise Unavailable(f"the memory budget ({budget}) is in use by {names}: try again when they are idle", 5)
        for victim in victims:
            victim.state = "stopped"  # at once, so that no request is sent to it any more
        engine.state, engine.loading_since = "loading", time.monotonic()
        task = asyncio.create_task(self._replace(victims, engine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, victims: Sequence[Engine], engine: Engine) -> None:
        for victim in victims:
            victim.changed(victim, f"stopped, to make room for {engine.spec.name}")
            await victim.stop()
        engine.start()

    async def stop(self) -> None:
        """Ends every engine."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(engine.stop() for engine in self.engines.values()))

    @property
    def failed(self) -> bool:
        """True if nothing can be served any more."""
        return all(engine.state == "failed" for engine in self.engines.values())

    def describe(self, name: str) -> dict[str, Any]:
        """One entry of /v1/models."""
        model, engine = self.models[name], self.engine_of(name)
        about = {
            "stage": model.stage,
            "form": model.prompt.form,
            "prompt": model.prompt.kind,
            "languages": list(model.prompt.languages) or None,
            "temperature": model.temperature,
            "top_p": model.top_p,
            "state": engine.state,
            "engine": engine.spec.kind,
            "parameters": model.parameters,
            "description": model.known.description,
            "tiny_world": model.known.tiny_world,
        }
        if engine.state == "failed":
            about["error"] = engine.error
        context = self.plan.contexts[name]
        head = {"id": name, "object": "model", "created": self.created, "owned_by": "r1hf"}
        return {**head, "max_model_len": context, "r1hf": about}

    def state(self) -> State:
        """Of the whole: "ready" if a model can answer, or would be started on demand."""
        states = {self.engine_of(name).state for name in self.models}
        for state in ("ready", "loading", "stopped"):
            if state in states:
                return state
        return "failed"
