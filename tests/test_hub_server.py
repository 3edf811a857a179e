"""The Hub of the tests is one: the unmodified client works with it, and its refusals are the Hub's."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_run import TOKEN, environment, python
from hub_server import HubServer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        server.store.add_user("me", TOKEN)
        server.store.add_user("other", "hf_" + "Other" * 4)
        yield server


def status(hub: HubServer, path: str, token: str | None = None, method: str = "GET") -> tuple[int, str | None]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(hub.url + path, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["X-Error-Code"]


def test_who_may_see_what(hub: HubServer) -> None:
    hub.store.create("model", "me/private", private=True)
    hub.store.create("model", "me/public", private=False)
    assert status(hub, "/api/models/me/public") == (200, None)
    assert status(hub, "/api/models/me/private") == (401, "RepoNotFound")
    assert status(hub, "/api/models/me/private", TOKEN) == (200, None)
    assert status(hub, "/api/models/me/private", "hf_" + "Other" * 4) == (404, "RepoNotFound")
    assert status(hub, "/api/models/me/public", "hf_nobodys") == (401, None)
    assert status(hub, "/api/models/me/public/revision/no") == (404, "RevisionNotFound")
    assert status(hub, "/me/public/resolve/main/no.txt") == (404, "EntryNotFound")
    assert status(hub, "/me/public/resolve/main/.gitattributes", method="HEAD") == (200, None)


def test_the_client_works_with_it(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 1000)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# hi\n")
    shown = python(
        f"""
import json, pathlib
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
api = HfApi()
api.create_repo("me/x", private=True)
folder = {str(folder)!r}
first = api.upload_folder(repo_id="me/x", folder_path=folder).oid
again = api.upload_folder(repo_id="me/x", folder_path=folder).oid
api.create_branch("me/x", branch="a/b")
api.create_tag("me/x", tag="v1")
api.delete_file("README.md", "me/x")
pull = api.upload_file(repo_id="me/x", path_or_fileobj=b"new", path_in_repo="new.txt", create_pr=True)
place = pathlib.Path(snapshot_download("me/x", revision="v1"))
names = ("model.safetensors", "README.md")
same = all((place / name).read_bytes() == (pathlib.Path(folder) / name).read_bytes() for name in names)
codes = []
create, tag = api.create_repo, api.create_tag
for call in (lambda: create("me/x"), lambda: create("other/x"), lambda: tag("me/x", tag="v1")):
    try:
        call()
    except HfHubHTTPError as error:
        codes.append(error.response.status_code)
branches = sorted(branch.name for branch in api.list_repo_refs("me/x").branches)
there = [api.file_exists("me/x", "README.md", revision=revision) for revision in ("main", "a/b")]
print(json.dumps([first == again, same, branches, codes, pull.pr_num, *there]))
""",
        environment(hub, tmp_path / "home"),
    )
    assert json.loads(shown) == [True, True, ["a/b", "main"], [409, 403, 409], 1, False, True]
    assert len(hub.asked("PUT", "/lfs/")) == 1


def test_an_object_that_is_not_what_it_says_is_refused(hub: HubServer) -> None:
    request = urllib.request.Request(f"{hub.url}/lfs/{'0' * 64}", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
    assert not list(hub.store.blobs.iterdir())


def test_faults_come_on_demand_and_once(hub: HubServer) -> None:
    hub.store.create("model", "me/public", private=False)
    hub.faults.answer("GET", "/api/models/me/public", 503)
    assert [status(hub, "/api/models/me/public")[0] for _ in range(2)] == [503, 200]
    hub.faults.cut(at=2)
    hub.faults.event(hub.faults.round - 1)  # the last event of the answer before, which its client did not wait for
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        status(hub, "/api/models/me/public")
    assert status(hub, "/api/models/me/public")[0] == 200
    hub.faults.cut(at=1, stay_down=True)
    for _ in range(2):
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            status(hub, "/api/models/me/public")
    hub.faults.heal()
    assert status(hub, "/api/models/me/public")[0] == 200


@pytest.mark.slow
def test_transformers_and_datasets_push_to_it(hub: HubServer, tiny_base: Path, tmp_path: Path) -> None:
    """The libraries' own `push_to_hub`, as anybody uses it."""
    shown = python(
        f"""
import json, datasets, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
base = {str(tiny_base)!r}
model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
model.push_to_hub("me/plain", private=True)
tokenizer.push_to_hub("me/plain")
again = AutoModelForCausalLM.from_pretrained("me/plain")
pairs = zip(model.state_dict().values(), again.state_dict().values())
same = all(torch.equal(one, other) for one, other in pairs)
rows = datasets.Dataset.from_list([{{"question": str(n)}} for n in range(5)])
datasets.DatasetDict(train=rows, test=rows).push_to_hub("me/rows", "small", private=True)
back = datasets.load_dataset("me/rows", "small")
text = tokenizer("What is 2?")["input_ids"] == AutoTokenizer.from_pretrained("me/plain")("What is 2?")["input_ids"]
print(json.dumps([same, text, back["test"]["question"] == rows["question"], sorted(back)]))
""",
        environment(hub, tmp_path / "home"),
    )
    assert json.loads(shown.splitlines()[-1]) == [True, True, True, ["test", "train"]]
