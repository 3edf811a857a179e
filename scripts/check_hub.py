"""Pushes a run to a Hub on this machine and loads it as a stranger would, from an empty cache.

    python scripts/check_hub.py runs/tiny --repo me/tiny-r1

`from_pretrained`, `pipeline`, `load_dataset` and the vLLM server (left out where vLLM is missing) take the model and
the data by name, and each way of asking must answer in the right form: a thought, then an answer. Exit status 0 if all
do. The Hub is `hub_server`, beside this file; nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hub_server import HubServer
from vllm_run import ask, vllm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

TOKEN = "hf_CanaryCanaryCanaryCanary"
QUESTION = "What is 2 + 3 * 4?"
TOKENS = 64
# What a stranger writes who has Transformers and Datasets, and not r1hf.
STRANGER = """
import json, sys
import datasets
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

repo, question, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3])
chat = [{"role": "user", "content": question}]
tokenizer = AutoTokenizer.from_pretrained(repo, trust_remote_code=False)
model = AutoModelForCausalLM.from_pretrained(repo, trust_remote_code=False)
inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)[0, inputs["input_ids"].shape[1]:]
ask = pipeline("text-generation", model=repo, trust_remote_code=False)
answer = ask(chat, max_new_tokens=tokens, do_sample=False)[0]["generated_text"][-1]["content"]
names = datasets.get_dataset_config_names(repo)
rows = {name: {split: len(part) for split, part in datasets.load_dataset(repo, name).items()} for name in names}
text = tokenizer.decode(made, skip_special_tokens=True)
print(json.dumps({"from_pretrained": text, "pipeline": answer, "load_dataset": rows}))
"""


def stranger(repo: str, question: str, env: dict[str, str]) -> dict[str, Any]:
    """What a program without r1hf gets: the model's answers, and the rows of each configuration of the data."""
    words = [sys.executable, "-c", STRANGER, repo, question, str(TOKENS)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=env["HF_HOME"])
    if done.returncode:
        raise SystemExit(f"the run was pushed, but loading it from the Hub failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def through_vllm(repo: str, question: str, env: dict[str, str]) -> str:
    """The answer of a vLLM server that has the model's name and nothing else."""
    with vllm(repo, env, length=2 * TOKENS) as port:
        messages = [{"role": "user", "content": question}]
        body = {"model": repo, "messages": messages, "temperature": 0, "max_tokens": TOKENS}
        return str(ask(port, "/v1/chat/completions", body)["choices"][0]["message"]["content"])


def check(run: Path, repo: str, question: str, use_vllm: bool) -> dict[str, Any]:
    """{way: what it gave} after a push to an empty Hub. Raises SystemExit where a step fails."""
    with tempfile.TemporaryDirectory() as folder, HubServer(Path(folder) / "hub") as hub:
        hub.store.add_user(repo.split("/")[0], TOKEN)
        push = [sys.executable, str(ROOT / "recipes/push.py"), str(run), "--repo", repo]
        started = time.perf_counter()
        if subprocess.run(push, env=hub.environment(Path(folder) / "owner", TOKEN)).returncode:
            raise SystemExit("the push failed, see above")
        print(f"pushed in {time.perf_counter() - started:.1f} s\n", flush=True)
        fresh = Path(folder) / "stranger"
        fresh.mkdir()
        env = hub.environment(fresh, TOKEN)
        found = stranger(repo, question, env)
        if use_vllm:
            found["vllm"] = through_vllm(repo, question, env)
    return found


def main(argv: list[str] | None = None) -> int:
    from r1hf.text.forms import is_well_formed
    from r1hf.verify import final_answer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--repo", default="me/tiny-r1", metavar="ORG/NAME")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--no-vllm", action="store_true", help="leave vLLM out")
    options = parser.parse_args(argv)
    use_vllm = not options.no_vllm and importlib.util.find_spec("vllm") is not None
    found = check(options.run, options.repo, options.question, use_vllm)
    rows = found.pop("load_dataset")
    print(f"load_dataset: {json.dumps(rows)}")
    wrong = [way for way, text in found.items() if not is_well_formed(text)]
    for way, text in found.items():
        form = "NOT in the right form" if way in wrong else f"answer {final_answer(text)}"
        print(f"{way}: {text!r} ({form})")
    if not use_vllm:
        print("vllm: left out" + ("" if options.no_vllm else ", it is not installed"))
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
