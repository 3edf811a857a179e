"""The last stage of a dummy graph: what the report reads."""

import json
from functools import partial
from pathlib import Path

from make import CONFIGS, main, preflight, run

__all__ = ["CONFIGS", "preflight"]


def results(work: Path) -> None:
    rates = {"pass_at_1": 0.5, "stderr": 0.01, "format_rate": 0.75, "language_consistency": 1.0}
    content = {"settings": {"temperature": 1.0, "k": 4, "problems": 512}, "models": {"base": rates}}
    (work / "results.json").write_text(json.dumps(content))
    (work / "samples.jsonl").write_text("")


if __name__ == "__main__":
    run(partial(main, recipe=__file__, more=results))
