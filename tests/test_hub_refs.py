"""References to the Hub: pinned to a commit, recorded, loaded from the cache when the network is gone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_run import TOKEN, environment, evaluate, finish, make_run, push, python
from hub_server import HubServer
from small_run import CPU, SFT, arguments

from r1hf.stage.hub_refs import Pin, repo_type_of, resolve, split

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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


def test_a_reference_in_parts() -> None:
    assert split("org/name") == ("org/name", "main")
    assert split("org/name@refs/pr/1") == ("org/name", "refs/pr/1")
    assert str(Pin("org/name", "main", COMMIT)) == f"org/name@{COMMIT}"


@pytest.mark.parametrize("field", ["model", "models", "helpful_model", "zero", "teacher", "judge", "rewriter"])
def test_fields_that_name_models(field: str) -> None:
    assert repo_type_of(field) == "model"


@pytest.mark.parametrize("field", ["data", "prompts", "general", "harmless_test", "modelling_notes"])
def test_fields_that_name_data(field: str) -> None:
    assert repo_type_of(field) == "dataset"


def test_a_local_path_is_itself(tmp_path: Path) -> None:
    found = resolve(tmp_path)
    assert (found.path, found.repo, found.commit) == (tmp_path, None, None)
    with pytest.raises(FileNotFoundError, match="neither a path here nor a Hub id"):
        resolve("./none")


LOOK = """
import json, sys
from r1hf.core.errors import R1Error
from r1hf.stage.hub_refs import resolve
for reference in sys.argv[1:]:
    try:
        found = resolve(reference)
        print(json.dumps([str(found.path), found.repo, found.revision, found.commit]))
    except R1Error as error:
        print(json.dumps(str(error)))
"""


def look(env: dict[str, str], *references: str) -> list[object]:
    shown = python(f"import sys; sys.argv[1:] = {list(references)!r}\n{LOOK}", env)
    return [json.loads(line) for line in shown.splitlines()]


def test_downloads_are_pinned_and_outlive_the_network(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    assert push(run / "r1", "--repo", "me/one", env=env).returncode == 0
    repo = hub.store.repos["model", "me/one"]
    (tag,) = repo.tags
    head = repo.refs["main"]
    (found, tagged, missing, private) = look(env, "me/one", f"me/one@{tag}", "me/one@no-such", "me/none")
    assert found[1:] == ["me/one", "main", head] and tagged[1:] == ["me/one", tag, head]  # type: ignore[index]
    assert Path(found[0]).name == head  # type: ignore[index]
    assert (Path(found[0]) / "model.safetensors").read_bytes() == (run / "r1/model.safetensors").read_bytes()  # type: ignore[index]
    assert "could not look up me/one@no-such" in str(missing) and "does not exist" in str(missing)
    assert "could not look up me/none" in str(private)

    hub.store.commit(repo, "main", [{"key": "file", "value": {"path": "new.txt", "content": "aGk="}}])
    (pinned, moved) = look(env, f"me/one@{head}", "me/one")
    assert pinned[3] == head and moved[3] == repo.refs["main"] != head  # type: ignore[index]

    gone = env | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    (cached, unknown) = look(gone, "me/one", "me/other")
    assert cached[3] == moved[3]  # type: ignore[index]
    assert "cannot be reached" in str(unknown)
    (offline,) = look(env | {"HF_HUB_OFFLINE": "1"}, "me/one")
    assert offline[3] == moved[3]  # type: ignore[index]


def test_a_full_disk_is_told(run: Path, hub: HubServer, env: dict[str, str]) -> None:
    assert push(run / "r1", "--repo", "me/one", env=env).returncode == 0
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    shown = python(f"{limit}import sys; sys.argv[1:] = ['me/one']\n{LOOK}", env)
    assert "the disk is full" in shown and "make room" in shown


def test_a_stage_records_the_commits_of_its_inputs(
    run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    """The model and the data share a name, as a run's do: the field says which is meant."""
    toy = shutil.copytree(run, tmp_path / "toy")
    rows = [
        {"question": f"What is {n} + 2?", "completion": f"<think>{n}.</think> <answer>{n}</answer>"} for n in range(8)
    ]
    (toy / "rejection_sampling/data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {"sampled": 8, "kept": 8, "rejected": {}}
    base = str(toy / "base")
    finish(toy / "rejection_sampling", "rejection_sampling", {"model": base, "prompts": base}, counts)
    assert push(toy / "base", "--repo", "me/same", env=env).returncode == 0
    assert push(toy / "rejection_sampling", "--repo", "me/same", env=env).returncode == 0
    model, data = hub.store.repos["model", "me/same"], hub.store.repos["dataset", "me/same"]
    out = tmp_path / "out"
    words = arguments(None, model="me/same", data="me/same@main", output_dir=out, **SFT, **CPU)
    python(f"from recipes.sft import main\nmain({words!r})", env)
    inputs = json.loads((out / "manifest.json").read_text())["inputs"]
    assert not [path for path in out.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert inputs["model"] | {"commit": model.refs["main"], "repo": "me/same", "revision": "main"} == inputs["model"]
    assert inputs["data"] | {"commit": data.refs["main"], "repo_type": "dataset"} == inputs["data"]
    assert model.refs["main"] != data.refs["main"]
    assert [path for path in hub.asked("GET", "/resolve/") if model.refs["main"] in path]
    assert not [path for path in hub.asked("GET", "/resolve/main/") if path.startswith("/me/same")]


SERVED = """
import json, sys
from r1hf.core.errors import R1Error
from r1hf.serving.models import resolve
for source in sys.argv[1:]:
    try:
        (model,) = resolve([source])
        print(json.dumps([model.name, str(model.directory), model.prompt.kind, model.prompt.languages]))
    except R1Error as error:
        print(json.dumps(str(error)))
"""


def test_a_server_takes_a_pinned_model_and_its_own_prompt(
    run: Path, hub: HubServer, env: dict[str, str], tmp_path: Path
) -> None:
    toy = shutil.copytree(run, tmp_path / "toy")
    inputs = {"model": str(toy / "base"), "prompts": str(toy / "base/data/train.jsonl")}
    asked = {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}
    finish(toy / "r1_zero", "r1_zero", inputs, {"optimizer_steps": 20}, prompt_template=asked)
    evaluate(toy, {"base": toy / "base", "r1_zero": toy / "r1_zero"})
    assert push(toy / "r1_zero", "--repo", "me/zero", env=env).returncode == 0
    head = hub.store.repos["model", "me/zero"].refs["main"]
    fresh = environment(hub, tmp_path / "stranger")
    words = ["me/zero", "me/zero@no-such"]
    shown = python(f"import sys; sys.argv[1:] = {words!r}\n{SERVED}", fresh)
    served, missing = map(json.loads, shown.splitlines())
    assert served[0] == "zero" and Path(served[1]).name == head
    assert served[2:] == ["template", ["en", "zh"]]  # asked as it was trained
    assert "could not be fetched from the Hub: could not look up me/zero@no-such" in missing
