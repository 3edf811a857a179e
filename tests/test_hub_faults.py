"""Pushes that are refused, cut or killed: a clear message, nothing half published, and the command to go on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
from hub_run import ROOT, TOKEN, environment, make_run, push
from hub_server import HubServer

from r1hf.core.errors import R1Error
from r1hf.publish.targets import Options, make_plan
from r1hf.stage.manifest import fingerprint, hash_outputs, read_manifest, sha256_file, write_manifest


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


def read_only(hub: HubServer, env: dict[str, str]) -> None:
    hub.store.read_only.add(TOKEN)


def taken(hub: HubServer, env: dict[str, str]) -> None:
    repo = hub.store.create("model", "me/one", private=True)
    hub.store.commit(repo, "main", [{"key": "file", "value": {"path": "mine.txt", "content": "aGk="}}])


def full(hub: HubServer, env: dict[str, str]) -> None:
    hub.store.quota = 1000


def gone(hub: HubServer, env: dict[str, str]) -> None:
    env["HF_ENDPOINT"] = "http://127.0.0.1:9"  # the discard port: nobody listens


def offline(hub: HubServer, env: dict[str, str]) -> None:
    env["HF_HUB_OFFLINE"] = "1"


def login_page(path: str, method: str = "GET") -> Callable[[HubServer, dict[str, str]], None]:
    """A proxy answers in the Hub's place."""
    return lambda hub, env: hub.faults.answer(method, path, 200, "please log in", times=20)


NO_HUB = "is not a Hub (a proxy, or the login page of a network?)"
REFUSALS: dict[str, tuple[Callable[[HubServer, dict[str, str]], object], str, str]] = {
    "no token": (lambda hub, env: env.pop("HF_TOKEN"), "me/one", "no token: log in with `hf auth login`"),
    "wrong token": (lambda hub, env: env.update(HF_TOKEN="hf_" + "Wrong" * 5), "me/one", "no token or a wrong one"),
    "read-only token": (read_only, "me/one", "may not write to me/one"),
    "no right": (lambda hub, env: None, "them/one", "may not write to them/one"),
    "taken": (taken, "me/one", "me/one is taken: it holds files that r1hf did not push (mine.txt"),
    "no owner": (lambda hub, env: None, "one", "write org/name"),
    "bad name": (lambda hub, env: None, "me/a b", "a name is org/name"),
    "dots": (lambda hub, env: None, "me/a..b", "a name is org/name"),
    "quota": (full, "me/one", "the quota is used up (Private repository storage limit reached"),
    "network gone": (gone, "me/one", "the Hub at http://127.0.0.1:9 cannot be reached"),
    "proxy at login": (login_page("/api/whoami-v2"), "me/one", NO_HUB),
    "proxy later": (login_page("/api/models/me/one"), "me/one", NO_HUB),
    "proxy at the commit": (login_page("/commit/", "POST"), "me/one", NO_HUB),
    "offline": (offline, "me/one", "HF_HUB_OFFLINE is set"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refused_with_a_reason_and_the_command(case: str, run: Path, hub: HubServer, env: dict[str, str]) -> None:
    spoil, repo, words = REFUSALS[case]
    spoil(hub, env)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    result = push(run / "r1", "--repo", repo, env=env)
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "go on with:" in result.stderr and f"r1hf push {run / 'r1'} --repo" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert_nothing_half(hub)


def assert_nothing_half(hub: HubServer) -> None:
    """No tag, main or branch of a model shows an incomplete one: it is empty, somebody else's, or whole."""
    for (kind, name), repo in hub.store.repos.items():
        for ref in [*repo.branches, *repo.tags]:
            files = set(repo.files(ref)) - {".gitattributes"}
            if kind == "model" and files and files != {"mine.txt"}:
                assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= files, (name, ref)
            if ref in repo.tags:
                assert files, (name, ref)


@pytest.mark.parametrize("status", [403, 409, pytest.param(500, marks=pytest.mark.slow)])
def test_row_17_an_answer_in_the_middle(status: int, run: Path, hub: HubServer, env: dict[str, str]) -> None:
    hub.faults.answer("POST", "/commit/main", status, times=20)
    result = push(run / "r1", "--repo", "me/one", env=env)
    assert result.returncode == 1 and "could not push to me/one" in result.stderr.replace("-held-out", "")
    assert_nothing_half(hub)
    assert not any(repo.tags for repo in hub.store.repos.values())
    hub.faults.heal()
    complete(run, hub, env)


@pytest.mark.slow
def test_a_network_that_goes_and_stays_away(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    hub.faults.cut(75, stay_down=True)
    result = push(run / "r1", "--repo", "me/one", env=env)
    assert result.returncode == 1 and "cannot be reached" in result.stderr and "Traceback" not in result.stderr
    assert "trying again in 8 s" in result.stderr and "go on with:\n  r1hf push" in result.stderr
    assert_nothing_half(hub)
    hub.faults.heal()
    complete(run, hub, env)


NO_ROOM = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_a_full_disk_does_not_stop_a_push(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    """It writes nothing here. (A download into a full disk: test_hub_refs.)"""
    script = f"import sys; sys.argv[1:] = [{str(run / 'r1')!r}, '--repo', 'me/one']\n{NO_ROOM}"
    script = script.replace("sys.argv[1],", f"{str(ROOT / 'recipes/push.py')!r},")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert hub.store.repos["model", "me/one"].tags


@pytest.mark.parametrize("status", [429, 503])
def test_a_passing_fault_is_waited_out(status: int, run: Path, hub: HubServer, env: dict[str, str]) -> None:
    hub.faults.answer("POST", "/commit/r1-step-20", status)
    hub.faults.answer("POST", "/tag/", status)
    complete(run, hub, env)
    assert len(hub.store.history(hub.store.repos["model", "me/one"], "main")) == 2  # no commit was made twice


def complete(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    """Pushes until it works, and proves that everything is there, once."""
    result = push(run / "r1", "--repo", "me/one", env=env)
    assert result.returncode == 0, result.stderr
    repo = hub.store.repos["model", "me/one"]
    (tag,) = repo.tags
    assert set(repo.branches) == {"main", "r1-step-20"}
    assert repo.tags[tag] == repo.refs["main"]
    assert repo.files(tag) == repo.files("r1-step-20")
    assert repo.files(tag)["model.safetensors"] == sha256_file(run / "r1/model.safetensors")
    assert_nothing_half(hub)


def cut_and_repeat(run: Path, hub: HubServer, env: dict[str, str], at: int, how: str) -> bool:
    """A push that ends at the `at`-th event, and its repetition. False if it ended before the event came."""
    command = [sys.executable, str(ROOT / "recipes/push.py"), str(run / "r1"), "--repo", "me/one"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    hub.faults.cut(at, on_cut=(lambda: process.send_signal(signal.SIGKILL)) if how == "killed" else None)
    process.communicate(timeout=300)
    happened = hub.faults.cut_at is None
    assert_nothing_half(hub)
    hub.faults.heal()
    complete(run, hub, env)
    return happened


EVENTS = 110  # a push of this size has about so many


@pytest.mark.parametrize(("at", "how"), [(12, "killed"), (48, "killed"), (70, "cut"), (88, "killed")])
def test_a_cut_push_goes_on(at: int, how: str, run: Path, hub: HubServer, env: dict[str, str]) -> None:
    assert cut_and_repeat(run, hub, env, at, how)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "first"), [("killed", 5), ("cut", 11)])
def test_pushes_cut_all_along(how: str, first: int, run: Path, tmp_path: Path) -> None:
    """At every twelfth event, and half way between for the other kind."""
    points = range(first, EVENTS, 12)
    happened = 0
    for at in points:
        with HubServer(tmp_path / f"hub-{at}") as server:
            server.store.add_user("me", TOKEN)
            happened += cut_and_repeat(run, server, environment(server, tmp_path / "home"), at, how)
    assert happened >= len(points) - 2


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def no_digest(toy: Path) -> None:
    manifest = json.loads((toy / "r1/manifest.json").read_text(encoding="utf-8"))
    (toy / "r1/manifest.json").write_text(json.dumps(manifest | {"digest": None, "seconds": 1.0}), encoding="utf-8")


def no_evaluation(toy: Path) -> None:
    shutil.rmtree(toy / "evaluate")


def other_weights(toy: Path) -> None:
    from hub_run import model_stage

    shutil.rmtree(toy / "r1")
    model_stage(toy / "r1", toy / "base", "all_scenario_rl", 2.0, model=toy / "sft2")


def stray(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def again(stage: Path) -> None:
    """The manifest of what now lies there, as one who forges it would write it."""
    manifest = read_manifest(stage)
    assert manifest is not None
    outputs = hash_outputs(stage)
    write_manifest(stage, dataclasses.replace(manifest, outputs=outputs, fingerprint=fingerprint(outputs)))


def own_code(toy: Path, name: str) -> None:
    content = json.loads((toy / "r1" / name).read_text())
    (toy / "r1" / name).write_text(json.dumps(content | {"auto_map": {"AutoModel": "own.Model"}}))
    again(toy / "r1")
    from hub_run import evaluate

    evaluate(toy, {"base": toy / "base", "r1": toy / "r1"})


def results(toy: Path, content: object) -> None:
    (toy / "evaluate/results.json").write_text(json.dumps(content))
    again(toy / "evaluate")


LOCAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights changed": (lambda toy: (toy / "r1/model.safetensors").write_bytes(b"x" * 99), "was changed after"),
    "file gone": (lambda toy: (toy / "r1/tokenizer.json").unlink(), "tokenizer.json is missing"),
    "time edited": (lambda toy: edited(toy / "r1/manifest.json", "12.5", "1.5"), "manifest.json was edited"),
    "rate edited": (lambda toy: edited(toy / "r1/manifest.json", "0.0001", "0.0002"), "manifest.json was edited"),
    "digest removed": (no_digest, "cannot prove its values"),
    "score edited": (lambda toy: edited(toy / "evaluate/results.json", "0.59", "0.99"), "was changed after"),
    "score in manifest": (lambda toy: edited(toy / "evaluate/manifest.json", "0.59", "0.99"), "was edited"),
    "no evaluation": (no_evaluation, "holds no finished evaluation"),
    "other weights evaluated": (other_weights, "measured another version of r1"),
    "adapter beside": (lambda toy: (toy / "r1/adapter_config.json").write_text("{}"), "no stage made this"),
    "template beside": (lambda toy: stray(toy / "r1/additional_chat_templates/x.jinja"), "no stage made this"),
    "evaluation beside": (lambda toy: stray(toy / "evaluate/more.jsonl"), "no stage made this"),
    "code in the model": (lambda toy: own_code(toy, "config.json"), "brings code of its own (auto_map"),
    "code in the tokenizer": (lambda toy: own_code(toy, "tokenizer_config.json"), "brings code of its own (auto_map"),
    "manifest is a pipe": (lambda toy: pipe(toy / "r1/manifest.json"), "is not a regular file"),
    "weights are a pipe": (lambda toy: pipe(toy / "r1/model.safetensors"), "is not a regular file any more"),
    "odd results": (lambda toy: results(toy, []), "is not a JSON object"),
    "odd settings": (lambda toy: results(toy, {"settings": {"k": "1); import os"}}), "does not say"),
    "manifest gone": (lambda toy: (toy / "r1/manifest.json").unlink(), "neither a run nor a finished stage"),
}


@pytest.mark.parametrize("case", LOCAL)
def test_what_lies_here_is_proved_first(
    case: str, run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    spoil, words = LOCAL[case]
    toy = shutil.copytree(run, tmp_path / "toy")
    spoil(toy)
    result = push(toy / "r1", "--repo", "me/one", env=env)
    assert result.returncode == 1 and words in result.stderr and "Traceback" not in result.stderr
    assert not hub.requests


def odd(stage: Path, content: object) -> None:
    manifest = read_manifest(stage)
    assert manifest is not None
    write_manifest(stage, dataclasses.replace(manifest, **content))  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", [{}, {"rejected": 7, "by_method": {}, "kept": 1}, {"rejected": {"a": {"b": "c"}}}])
def test_a_manifest_with_odd_values_is_a_sentence(metrics: dict[str, object], run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    odd(toy / "cold_start", {"metrics": metrics})
    with pytest.raises(R1Error, match="has another shape than r1hf writes"):
        make_plan(toy / "cold_start", Options("me/cold"))


@pytest.mark.parametrize("text", ["[1]\n", "{", '{"question": 1}\n', "\udcff\n", "[" * 10**5])
def test_rows_of_another_shape_are_a_sentence(text: str, run: Path, tmp_path: Path) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    (toy / "cold_start/data.jsonl").write_bytes(text.encode(errors="surrogateescape"))
    again(toy / "cold_start")
    with pytest.raises(R1Error):
        make_plan(toy / "cold_start", Options("me/cold"))


@pytest.mark.parametrize("spoil", ["partial", "missing"])
def test_an_incomplete_run_is_refused(
    spoil: str, run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    if spoil == "partial":
        (toy / "r1").rename(toy / "r1.partial")
        (toy / "r1.partial/manifest.json").unlink()
    else:
        shutil.rmtree(toy / "sft2")
    result = push(toy, "--repo", "me/toy", env=env)
    assert result.returncode == 1 and "is incomplete" in result.stderr
    assert ("r1" if spoil == "partial" else "sft2") in result.stderr
    assert not hub.requests


def test_the_token_is_nowhere(run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path) -> None:
    env = env | {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    hub.faults.answer("POST", "/branch/", 400, f"bad request with Bearer {TOKEN}")
    first = push(run / "r1", "--repo", "me/one", env=env)
    second = push(run / "r1", "--repo", "me/one", env=env)
    assert first.returncode == 1 and second.returncode == 0
    assert "bad request with Bearer ***" in first.stderr
    for text in (first.stdout, first.stderr, second.stdout, second.stderr):
        assert TOKEN not in text
    for blob in hub.store.blobs.iterdir():
        assert TOKEN.encode() not in blob.read_bytes()


def test_a_token_in_the_metadata_of_weights_refuses_the_push(
    run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    """Also in a file of more than ten megabytes."""
    from hub_run import evaluate
    from safetensors.numpy import load_file, save_file

    toy = shutil.copytree(run, tmp_path / "toy")
    weights = load_file(toy / "r1/model.safetensors") | {"more": numpy.zeros(3_000_000, "float32")}
    secret = "ghp_" + "aB3dE6" * 6
    save_file(weights, toy / "r1/model.safetensors", metadata={"format": "pt", "note": secret})
    again(toy / "r1")
    evaluate(toy, {"base": toy / "base", "r1": toy / "r1"})
    result = push(toy / "r1", "--repo", "me/one", env=env)
    assert result.returncode == 1 and "model.safetensors (github)" in result.stderr
    assert secret not in result.stderr and not hub.requests


@pytest.mark.parametrize("secret", [TOKEN, "hf_" + "SomebodyElses" * 3])
def test_a_token_in_a_file_refuses_the_push(
    secret: str, run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    from hub_run import finish

    toy = shutil.copytree(run, tmp_path / "toy")
    manifest = json.loads((toy / "cold_start/manifest.json").read_text())
    (toy / "cold_start/data.jsonl").write_text(json.dumps({"question": f"my token is {secret}"}) + "\n")
    inputs = {field: record["path"] for field, record in manifest["inputs"].items()}
    finish(toy / "cold_start", "cold_start", inputs, manifest["metrics"])
    result = push(toy / "cold_start", "--repo", "me/cold", env=env)
    assert result.returncode == 1 and "cold_start/train.jsonl, line 1 (huggingface)" in result.stderr
    assert secret not in result.stderr and not hub.requests
