"""Signatures: what was signed is taken; a file changed, added or left out, or another's key, is a sentence."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hub_run import TOKEN, environment
from hub_server import HubServer

from r1hf.core.errors import ConfigError, IntegrityError
from r1hf.publish.files import Upload, text
from r1hf.publish.signing import Signer, sign, stands_for
from r1hf.stage.signatures import PASSWORD, SIGNATURE, TRUSTED_KEY, Trust, check_key
from r1hf.stage.signatures import verify_signature as verify


def make_key(path: Path, password: bytes | None = None, kind: str = "ec") -> tuple[Path, Path]:
    """(private, public) in PEM."""
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else ed25519.Ed25519PrivateKey.generate()
    closed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, closed))
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_key(tmp_path_factory.mktemp("keys") / "own.pem")


FILES = {"config.json": "{}", "provenance/manifest.json": "{}", ".eval_results/x.yaml": "- 1", "README.md": "words"}


def write(directory: Path, uploads: tuple[Upload, ...]) -> Path:
    for item in uploads:
        path = directory / item.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with item.open() as stream:
            path.write_bytes(stream.read())
    return directory


@pytest.fixture
def signed(keys: tuple[Path, Path], tmp_path: Path) -> Path:
    (tmp_path / "weights").write_bytes(b"0" * 1000)
    uploads = [text(name, content) for name, content in FILES.items()]
    uploads.append(Upload("model.safetensors", tmp_path / "weights", ""))
    directory = write(tmp_path / "snapshot", sign(uploads, Signer(keys[0])))
    (directory / ".gitattributes").write_text("the Hub's own")
    return directory


def test_what_was_signed_is_taken(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    verify(signed, Trust(keys[1]), "me/one")
    blob = tmp_path / "blob"  # as the cache of the Hub has it: a link
    (signed / "model.safetensors").rename(blob)
    (signed / "model.safetensors").symlink_to(blob)
    (signed / ".gitattributes").unlink()
    verify(signed, Trust(keys[1]), "me/one")


def edited_list(directory: Path) -> None:
    """The list in the signature is made to fit."""
    bundle = json.loads((directory / SIGNATURE).read_text())
    content = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"README.md", b"README.no")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(content).decode()
    (directory / SIGNATURE).write_text(json.dumps(bundle))


def pipe(directory: Path) -> None:
    (directory / SIGNATURE).unlink()
    os.mkfifo(directory / SIGNATURE)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda d: (d / "config.json").write_text("{ }"), "changed after it was signed: config.json"),
    "weights": (lambda d: (d / "model.safetensors").write_bytes(b"1"), "after it was signed: model.safetensors"),
    "added": (
        lambda d: (d / "adapter_config.json").write_text("{}"),
        "added after it was signed: adapter_config.json",
    ),
    "hidden": (
        lambda d: (d / ".eval_results/y.yaml").write_text(""),
        "added after it was signed: .eval_results/y.yaml",
    ),
    "lost": (lambda d: (d / "README.md").unlink(), "signed, and not there: README.md"),
    "renamed": (lambda d: (d / "README.md").rename(d / "README"), "added after it was signed: README"),
    "no signature": (lambda d: (d / SIGNATURE).unlink(), "is not signed: it has no model.sig"),
    "edited": (edited_list, "was not made by the key in"),
    "pipe": (pipe, "is not a regular file"),
    **{
        f"signature {number}": (lambda d, content=content: (d / SIGNATURE).write_text(content), words)
        for number, (content, words) in enumerate(
            [("", "cannot be read as JSON"), ("[]", "is not a JSON object"), ("[" * 10**5, "nested too deep")]
            + [(each, "was not made by the key in") for each in ("{}", '{"verificationMaterial": 1}')]
        )
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_a_sentence(case: str, signed: Path, keys: tuple[Path, Path]) -> None:
    spoil, words = WRONG[case]
    spoil(signed)
    with pytest.raises(IntegrityError, match="me/one") as raised:
        verify(signed, Trust(keys[1]), "me/one")
    assert words in str(raised.value) and "nothing of it is loaded" in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_the_key_of_somebody_else(signed: Path, tmp_path: Path) -> None:
    _, other = make_key(tmp_path / "other.pem")
    with pytest.raises(IntegrityError, match="was not made by the key in"):
        verify(signed, Trust(other), "me/one")
    with pytest.raises(IntegrityError, match="me@org.example"):  # a key is no identity; Sigstore is out of reach here
        verify(signed, Trust(identity="me@org.example", issuer="https://accounts.example"), "me/one")


def test_two_signatures_of_the_same_say_the_same(keys: tuple[Path, Path], tmp_path: Path) -> None:
    def made(content: str, key: Path) -> bytes:
        source = sign([text("a", content)], Signer(key))[-1].source
        assert isinstance(source, bytes)
        return source

    other, _ = make_key(tmp_path / "other.pem")
    first = made("1", keys[0])
    assert first != made("1", keys[0]) and stands_for(first) == stands_for(made("1", keys[0])) is not None
    assert len({stands_for(first), stands_for(made("2", keys[0])), stands_for(made("1", other))}) == 3
    assert {stands_for(wrong) for wrong in (b"", b"{}", b"[]", b"[" * 10**5, b"\xff")} == {None}


def test_keys_that_are_none(keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = keys
    check_key(private, private=True)
    check_key(public)
    (tmp_path / "text").write_text("no key")
    locked, _ = make_key(tmp_path / "locked.pem", b"word")
    curve, _ = make_key(tmp_path / "ed.pem", kind="ed25519")
    for path, asked, words in (
        (tmp_path / "none", True, "is not a file"),
        (tmp_path, False, "is not a file"),
        (tmp_path / "text", True, "holds no private key"),
        (public, True, "holds no private key"),
        (private, False, "holds no public key"),
        (locked, True, PASSWORD),
        (curve, True, "not of an elliptic curve"),
    ):
        with pytest.raises(ConfigError, match=words):
            check_key(path, private=asked)
    with pytest.raises(ConfigError, match="move it out of there"):
        check_key(private, private=True, pushed=private.parent)
    monkeypatch.setenv(PASSWORD, "word")
    assert sign([text("a", "1")], Signer(locked))[-1].path == SIGNATURE


def test_strangers_check_it_without_r1hf(signed: Path, keys: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", str(signed / SIGNATURE), "--public_key", str(keys[1])]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (signed / "config.json").write_text("{ }")
    assert subprocess.run(command, capture_output=True).returncode != 0


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    with HubServer(tmp_path / "hub") as server:
        server.store.add_user("me", TOKEN)
        yield server


def put(hub: HubServer, uploads: tuple[Upload, ...]) -> None:
    repo = hub.store.create("model", "me/one", private=False)
    for item in uploads:
        with item.open() as stream:
            content = base64.b64encode(stream.read()).decode()
        hub.store.commit(repo, "main", [{"key": "file", "value": {"path": item.path, "content": content}}])


PULL = """
import sys
from r1hf.commands.main import main
sys.exit(main(["pull", *sys.argv[1:]]))
"""


def test_pull_takes_what_is_signed_and_nothing_else(hub: HubServer, keys: tuple[Path, Path], tmp_path: Path) -> None:
    env = environment(hub, tmp_path / "home")

    def pull(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PULL, "me/one", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=env | more, cwd=tmp_path, timeout=300)

    uploads = sign([text(name, content) for name, content in FILES.items()], Signer(keys[0]))
    put(hub, uploads)
    _, other = make_key(tmp_path / "other.pem")
    done = pull("--key", keys[1], "--to", "here")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "here\n" and "is signed by the key in" in done.stderr
    assert (tmp_path / "here/config.json").read_text() == "{}" and not (tmp_path / "here/config.json").is_symlink()
    for words, environ in ((("--key", other), {}), ((), {TRUSTED_KEY: str(other)})):
        refused = pull(*words, "--to", "there", **environ)
        assert refused.returncode == 1 and not (tmp_path / "there").exists() and refused.stdout == ""
        assert "was not made by the key in" in refused.stderr and "Traceback" not in refused.stderr
    assert "whose me/one@" in pull().stderr  # nobody's signature was asked for
