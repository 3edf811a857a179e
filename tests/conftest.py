"""What holds for every test: no network, no surprise from timing."""

import os

# Before any test imports a Hugging Face library: they read these once, on import.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402

# A busy machine is slow, not wrong.
settings.register_profile("r1hf", deadline=None, print_blob=True)
settings.load_profile("r1hf")
