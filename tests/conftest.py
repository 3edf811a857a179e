"""What holds for every test: no network, no surprise from timing. And the toy models that tests share."""

import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

# Before any test imports a Hugging Face library: they read these once, on import.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Workers share the cores: on two cores, a test on two threads beside another takes thrice the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# A busy machine is slow, not wrong.
settings.register_profile("r1hf", deadline=None, print_blob=True)
settings.load_profile("r1hf")


# A shell that starts the tests in the background, or nohup, has them and all that they start ignore these.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    *ROOT.glob("r1hf/**/*.py"),
    *ROOT.glob("r1hf/world/texts/*.yaml"),
    *ROOT.glob("recipes/**/*.*"),
    ROOT / "tests/small_run.py",
    Path(__file__),
]
KEPT = 4  # bases of as many states of the sources


def kept(config: pytest.Config, name: str, make: Callable[[Path], Path]) -> Path:
    """What `make` makes in a directory, once for all workers and, until the sources change, for all sessions.

    It lies in pytest's cache; `--cache-clear` and `make clean` delete it.
    """
    digest = hashlib.sha256(repr([version(name) for name in ("torch", "transformers", "trl", "tokenizers")]).encode())
    for path in sorted(path for path in SOURCES if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.read_bytes())
    models = config.cache.mkdir("models")  # type: ignore[union-attr]
    place = models / digest.hexdigest()[:16]
    place.mkdir(exist_ok=True)
    with open(place / f"{name}.turn", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / name / "manifest.json").exists():
            make(place / name)
            for old in sorted(models.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
    return place / name


@pytest.fixture(scope="session")
def tiny_base(pytestconfig: pytest.Config) -> Path:
    """What `recipes/base.py` makes: a Qwen2 base of two layers, a Llama student's base, and the world's data."""
    from small_run import make_base

    return kept(pytestconfig, "base", make_base)


@pytest.fixture(scope="session")
def memorised(tiny_base: Path, pytestconfig: pytest.Config) -> Path:
    """A model that `recipes/sft.py` taught eight right answers by heart."""
    from small_run import SFT, answered, run_recipe, write

    def learn(output: Path) -> Path:
        rows = write(output.with_name("rows.jsonl"), answered(8))
        training = {**SFT, "max_steps": 250, "learning_rate": 5e-3, "logging_steps": 50}
        return run_recipe("sft", model=tiny_base, data=rows, output_dir=output, **training)

    return kept(pytestconfig, "memorised", learn)
