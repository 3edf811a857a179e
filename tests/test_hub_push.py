"""`r1hf push` against a Hub over HTTP, and what strangers load from it with the unmodified clients."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_run import TOKEN, environment, evaluate, make_run, model_stage, push, python
from hub_server import HubServer
from small_run import ROOT

from r1hf.stage.manifest import sha256_file


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("hub") / "toy", tiny_base)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        server.store.add_user("me", TOKEN)
        yield server


@pytest.fixture
def env(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return environment(hub, tmp_path / "home")


def content(hub: HubServer, repo: str, path: str, kind: str = "model", revision: str = "main") -> str:
    tree = hub.store.repos[kind, repo].resolve(revision).tree
    return (hub.store.blobs / tree[path].sha256).read_text(encoding="utf-8")


def done(*words: Any, env: dict[str, str]) -> str:
    result = push(*words, env=env)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_a_stage_gets_a_branch_main_and_a_tag(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    done(run / "r1", "--repo", "me/one", env=env)
    repo = hub.store.repos["model", "me/one"]
    assert repo.private
    assert set(repo.branches) == {"main", "r1-step-20"}
    (tag,) = repo.tags
    assert tag.startswith("r1-") and repo.files(tag) == repo.files("main") == repo.files("r1-step-20")
    assert repo.files()["model.safetensors"] == sha256_file(run / "r1/model.safetensors")
    sent = {"tokenizer.json", "chat_template.jinja", "config.json", "provenance/manifest.json", "README.md"}
    assert sent <= set(repo.files())
    generation = json.loads(content(hub, "me/one", "generation_config.json"))
    assert (generation["temperature"], generation["top_p"]) == (0.6, 0.95)
    (entry,) = yaml.safe_load(content(hub, "me/one", ".eval_results/one-held-out.yaml"))
    assert entry["dataset"] == {"id": "me/one-held-out", "task_id": "default"}
    results = json.loads((run / "evaluate/results.json").read_text())
    assert entry["value"] == round(100 * results["models"]["r1"]["pass_at_1"], 2)
    assert ("dataset", "me/one-held-out") in hub.store.repos  # what the result names is there

    hub.requests.clear()
    assert "nothing to upload" in done(run / "r1", "--repo", "me/one", env=env)
    assert not [path for method, path in hub.requests if method not in ("GET", "HEAD")]


def test_a_signed_push_is_signed_once_and_by_its_key(
    run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    from test_hub_signing import make_key

    key, public = make_key(tmp_path / "own.pem")
    done(run / "r1", "--repo", "me/one", "--sign-key", key, env=env)
    hub.requests.clear()
    assert "nothing to upload" in done(run / "r1", "--repo", "me/one", "--sign-key", key, env=env)
    assert not [path for method, path in hub.requests if method not in ("GET", "HEAD")]
    for place in (("model", "me/one"), ("dataset", "me/one-held-out")):
        files = hub.store.repos[place].files()
        assert "model.sig" in files and not any("pem" in name or "key" in name for name in files)
    command = "from r1hf.commands.main import main; import sys; sys.exit(main(sys.argv[1:]))"
    pulled = [sys.executable, "-c", command, "pull", "me/one", "--key", str(public)]
    assert subprocess.run(pulled, env=env, capture_output=True, timeout=300).returncode == 0
    other, _ = make_key(tmp_path / "other.pem")
    done(run / "r1", "--repo", "me/one", "--sign-key", other, env=env)
    refused = subprocess.run(pulled, env=env, capture_output=True, text=True, timeout=300)
    assert refused.returncode == 1 and "was not made by the key in" in refused.stderr


def test_main_is_not_sent_twice(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    done(run / "r1", "--repo", "me/one", env=env)
    assert len(hub.asked("PUT", "/lfs/")) == 1


def test_changed_content_gets_another_tag(run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")  # a run may be moved
    done(toy / "r1", "--repo", "me/one", env=env)
    repo = hub.store.repos["model", "me/one"]
    before = dict(repo.tags)
    shutil.rmtree(toy / "r1")
    model_stage(toy / "r1", toy / "base", "all_scenario_rl", 1.5, model=toy / "sft2")
    evaluate(toy, {"base": toy / "base", "r1": toy / "r1"})
    done(toy / "r1", "--repo", "me/one", env=env)
    assert len(repo.tags) == 2 and before.items() <= repo.tags.items()
    (old,) = before
    assert repo.files(old)["model.safetensors"] == sha256_file(run / "r1/model.safetensors")
    assert repo.files()["model.safetensors"] == sha256_file(toy / "r1/model.safetensors")

    refused = push(toy / "sft2", "--repo", "me/one", "--tag", old, env=env)
    assert refused.returncode == 1  # `sft2` was not evaluated anew, and the tag is another content's


def test_public_only_by_wish(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    done(run / "r1", "--repo", "me/one", env=env)
    repo = hub.store.repos["model", "me/one"]
    assert repo.private
    done(run / "r1", "--repo", "me/one", "--public", env=env)
    assert not repo.private
    refused = push(run / "r1", "--repo", "me/one", env=env)
    assert refused.returncode == 1 and "is public already" in refused.stderr


def test_a_pull_request_changes_no_branch(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    theirs = hub.store.create("model", "me/theirs", private=True)
    hub.store.commit(theirs, "main", [{"key": "file", "value": {"path": "README.md", "content": "aGk="}}])
    before = dict(theirs.branches)
    for _ in range(2):
        done(run / "r1", "--repo", "me/theirs", "--pr", env=env)
    assert theirs.branches == before and not theirs.tags
    (pull,) = theirs.discussions  # repeated, it is the same one
    assert "model.safetensors" in theirs.files("refs/pr/1") and pull["status"] == "open"


def test_a_dry_run_needs_no_network_and_no_token(run: Path, hub: HubServer, tmp_path: Path) -> None:
    shown = done(run, "--repo", "me/toy", "--dry-run", env=environment(hub, tmp_path / "home", token=None))
    assert not hub.requests
    for words in ("model me/toy (private)", "model.safetensors", "branch r1-step-20, main", "collection toy"):
        assert words in shown


def test_a_run_becomes_models_data_and_a_collection(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    done(run, "--repo", "me/toy", env=env)
    repos = hub.store.repos
    assert set(repos["model", "me/toy"].branches) == {"main", "r1-step-20", "r1_zero-step-20", "sft2-step-20"}
    weights = repos["model", "me/toy"].files()["model.safetensors"]
    assert weights == sha256_file(run / "r1/model.safetensors")
    (collection,) = hub.store.collections.values()
    assert collection["private"]
    assert [(item["type"], item["id"]) for item in collection["items"]] == [
        ("model", "me/toy-base"),
        ("model", "me/toy"),
        ("model", "me/toy-student-llama-base"),
        ("model", "me/toy-student-llama"),
        ("dataset", "me/toy-held-out"),
        ("dataset", "me/toy"),
    ]
    card = content(hub, "me/toy-student-llama", "README.md")
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "me/toy-student-llama-base" and front["datasets"] == ["me/toy"]
    assert front["base_model_relation"] == "finetune" and "distillation" in front["tags"]
    assert "student_llama  (distillation by SFT on rejection_sampling)   <- this model" in card
    assert "rejection_sampling: rejection sampling, from r1_zero, train, general_sft" in card
    data = content(hub, "me/toy", "README.md", "dataset")
    assert "50.0% of 4 samples passed every filter" in data and "wrong answer | 2" in data
    assert "r1_zero (me/toy@r1_zero-step-20)" in data and "0 rows have one of the" in data

    hub.requests.clear()
    assert "nothing to upload" in done(run, "--repo", "me/toy", env=env)
    assert not [path for method, path in hub.requests if method not in ("GET", "HEAD")]


CONSUMER = """
import sys, numpy, datasets, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
tokenizer = AutoTokenizer.from_pretrained("me/toy")
inputs = tokenizer("What is 2 + 3 * 4?", return_tensors="pt")
def logits(place, **more):
    return AutoModelForCausalLM.from_pretrained(place, **more)(**inputs).logits
for place, more, local in (("me/toy", {}, "r1"), ("me/toy", {"revision": "sft2-step-20"}, "sft2"),
                           ("me/toy-student-llama", {}, "student_llama")):
    assert torch.equal(logits(place, **more), logits(f"{sys.argv[1]}/{local}")), place
chat = pipeline("text-generation", model="me/toy")
print(chat([{"role": "user", "content": "What is 2 + 3 * 4?"}], max_new_tokens=4)[0]["generated_text"][-1]["role"])
print(len(datasets.load_dataset("me/toy")["train"]), datasets.load_dataset("me/toy", "helpful").keys())
for name in ("cold_start", "harmless"):
    assert len(datasets.load_dataset("me/toy", name)["train"]) > 0
assert len(datasets.load_dataset("me/toy-held-out")["test"]) > 0
"""


def test_strangers_load_it_from_an_empty_cache(run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    done(run, "--repo", "me/toy", env=env)
    fresh = environment(hub, tmp_path / "stranger")
    shown = python(f"import sys; sys.argv.append({str(run)!r})\n{CONSUMER}", fresh)
    assert shown.split("\n")[:2] == ["assistant", "2 dict_keys(['train', 'test'])"]


def test_an_adapter_stays_an_adapter(run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    python(
        "import sys, peft; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"base, out = {str(toy / 'base')!r}, {str(toy / 'lora')!r}\n"
        "model = AutoModelForCausalLM.from_pretrained(base)\n"
        "peft.get_peft_model(model, peft.LoraConfig(r=2, task_type='CAUSAL_LM')).save_pretrained(out)\n"
        "AutoTokenizer.from_pretrained(base).save_pretrained(out)",
        env,
    )
    from hub_run import finish

    finish(toy / "lora", "sft", {"model": str(toy / "base")}, {"optimizer_steps": 3})
    evaluate(toy, {"base": toy / "base", "lora": toy / "lora"})
    refused = push(toy / "lora", "--repo", "me/lora", env=env)
    assert refused.returncode == 1 and "that is not on the Hub" in refused.stderr
    done(toy / "base", "--repo", "me/base", env=env)
    done(toy / "lora", "--repo", "me/lora", "--base", "me/base", env=env)
    files = hub.store.repos["model", "me/lora"].files()
    assert "adapter_model.safetensors" in files and "model.safetensors" not in files
    config = json.loads(content(hub, "me/lora", "adapter_config.json"))
    assert config["base_model_name_or_path"] == "me/base"
    front = yaml.safe_load(content(hub, "me/lora", "README.md").split("---")[1])
    assert (front["base_model_relation"], front["library_name"]) == ("adapter", "peft")


def test_data_alone(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    done(run / "cold_start", "--repo", "me/cold", env=env)
    assert "cold_start/train.jsonl" in hub.store.repos["dataset", "me/cold"].files()
    assert ("model", "me/cold") not in hub.store.repos


@pytest.mark.slow
def test_a_large_model_takes_no_large_memory(tmp_path: Path) -> None:
    """benchmarks/push.py, which has the times too: 700 MB through less than 500, and nothing at the second push."""
    spec = importlib.util.spec_from_file_location("push_benchmark", ROOT / "benchmarks/push.py")
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.make_run(tmp_path / "run", 700)
    words = [sys.executable, str(ROOT / "recipes/push.py"), str(tmp_path / "run/base"), "--repo", "me/large"]
    with benchmark.fresh_hub(tmp_path / "hub") as env:
        peaks = [benchmark.timed(words, env)[1] for _ in range(2)]
        again = subprocess.run(words, env=env, capture_output=True, text=True)
    assert max(peaks) < 500 and "nothing to upload" in again.stdout
