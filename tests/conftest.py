"""What holds for every test: no network, no surprise from timing. And the toy models that tests share."""

import os
import signal
from pathlib import Path

# Before any test imports a Hugging Face library: they read these once, on import.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# A busy machine is slow, not wrong.
settings.register_profile("r1hf", deadline=None, print_blob=True)
settings.load_profile("r1hf")


# A shell that starts the tests in the background, or nohup, has them and all that they start ignore these.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `recipes/base.py` makes: a Qwen2 base of two layers, a Llama student's base, and the world's data."""
    from small_run import make_base

    return make_base(tmp_path_factory.mktemp("runs") / "base")


@pytest.fixture(scope="session")
def memorised(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that `recipes/sft.py` taught eight right answers by heart; `rows.jsonl` beside it holds them."""
    from small_run import SFT, answered, run_recipe, write

    directory = tmp_path_factory.mktemp("memorised")
    rows = write(directory / "rows.jsonl", answered(8))
    training = {**SFT, "max_steps": 250, "learning_rate": 5e-3, "logging_steps": 50}
    return run_recipe("sft", model=tiny_base, data=rows, output_dir=directory / "model", **training)
