"""Secrets of every maker are found in whatever is published, and masked in whatever is written; other text is not."""

from __future__ import annotations

import io
import json
import random
import re
import string
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import ROOT

from r1hf.core import secrets
from r1hf.core.redaction import redact
from r1hf.core.secrets import find, mask, scan

ALNUM = string.ascii_letters + string.digits


def some(letters: str, count: int, seed: int = 0) -> str:
    return "".join(random.Random(f"{seed} {count}").choices(letters, k=count))


B64 = ALNUM + "+/"
KEY = "\n".join(some(B64, 64, row) for row in range(12))
# Put together here: nothing in this file has the shape of a secret.
SECRETS = {
    "Hugging Face": "hf_" + some(string.ascii_letters, 34),
    "Hugging Face, one letter": "hf_" + "a" * 34,
    "Hugging Face organisation": "api_org_" + some(string.ascii_letters, 34),
    **{f"GitHub {kind}": f"gh{kind}_" + some(ALNUM, 36) for kind in "pousr"},
    "GitHub fine-grained": "github_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59),
    "GitLab": "glpat-" + some(ALNUM, 20),
    "OpenAI": "sk-" + some(ALNUM, 20) + "T3BlbkFJ" + some(ALNUM, 20),
    "OpenAI project": "sk-proj-" + some(ALNUM + "_-", 156),
    "OpenAI service": "sk-svcacct-" + some(ALNUM + "_-", 120),
    "DeepSeek": "sk-" + some("0123456789abcdef", 32),
    "Anthropic": "sk-ant-api03-" + some(ALNUM + "_-", 93) + "AA",
    "Groq": "gsk_" + some(ALNUM, 52),
    "NVIDIA": "nvapi-" + some(ALNUM + "_-", 64),
    "wandb": "wandb_v1_" + some(ALNUM, 22) + "_" + some(ALNUM, 53),
    "wandb's old key": "WANDB_API_KEY=" + some("0123456789abcdef", 40),
    "wandb in Python": 'wandb.login(key="' + some("0123456789abcdef", 40) + '")',
    "netrc": "machine api.wandb.ai\n  login user\n  password " + some("0123456789abcdef", 40),
    "AWS": "AKIA" + some(string.ascii_uppercase + "234567", 16),
    "AWS for a session": "ASIA" + some(string.ascii_uppercase + "234567", 16),
    "AWS secret": "aws_secret_access_key = " + some(B64, 40),
    "AWS secret in JSON": '"SecretAccessKey": "' + some(B64, 40) + '"',
    "Google": "AIza" + some(ALNUM + "_-", 35),
    "Google client": "GOCSPX-" + some(ALNUM + "_-", 28),
    "Google access": "ya29." + some(ALNUM + "_-", 120),
    "Azure storage": "AccountName=x;AccountKey=" + some(B64, 86) + "==;EndpointSuffix=core.windows.net",
    "Azure client": some(ALNUM, 3) + "8Q~" + some(ALNUM, 34),
    "Slack bot": "xoxb-" + some(string.digits, 12) + "-" + some(string.digits, 12) + "-" + some(ALNUM, 24),
    "Slack webhook": "https://hooks.slack.com/services/T"
    + some(ALNUM, 10)
    + "/B"
    + some(ALNUM, 10)
    + "/"
    + some(ALNUM, 24),
    "Stripe": "sk_live_" + some(ALNUM, 24),
    "npm": "npm_" + some(ALNUM, 36),
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + some(ALNUM + "_-", 150),
    "Telegram": some(string.digits[1:], 10) + ":AA" + some(ALNUM, 33),
    "SendGrid": "SG." + some(ALNUM, 22) + "." + some(ALNUM, 43),
    "Docker": "dckr_pat_" + some(ALNUM, 27),
    "Databricks": "dapi" + some("0123456789abcdef", 32),
    "Vault": "hvs." + some(ALNUM, 90),
    "a JWT": ".".join("eyJ" * (n < 2) + some(ALNUM + "_-", 40, n) for n in range(3)),
    "a header": "Authorization: Bearer " + some(ALNUM, 40),
    "a password in an address": "postgres://admin:" + some(ALNUM, 12) + "@db.example.com:5432/app",
    "a token in an address": "https://" + "x-access-token:" + some(ALNUM, 30) + "@github.com/me/repo.git",
    "a database without a user": "redis://:" + some(ALNUM, 12) + "@10.0.0.1:6379/0",
    "a setting": "MY_SERVICE_API_KEY=" + some(ALNUM, 32),
    **{
        f"a private key ({kind})": f"-----BEGIN {kind}PRIVATE KEY-----\n{KEY}\n-----END {kind}PRIVATE KEY-----"
        for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    },
}
AROUND = ["{}", "key: {}\n", '{{"a": "{}"}}', "x={},y", "({})", "<a>{}</a>", "中{}文", "\0{}\0", "a_{} "]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_found_and_masked_whatever_stands_around(name: str) -> None:
    secret = SECRETS[name]
    core = max(re.findall(r"[A-Za-z0-9+/_-]+", secret), key=len)
    for around in AROUND:
        text = around.format(secret)
        assert list(find(text.encode())), text
        assert core not in mask(text) and "***" in mask(text), text
    for text in (json.dumps(secret), json.dumps(json.dumps({"a": secret}))):
        assert list(find(text.encode())), text


@pytest.mark.parametrize(
    "name", ["Hugging Face", "AWS", "OpenAI project", "a password in an address", "a private key (RSA )"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_every_byte_of_a_large_file_is_read(name: str, encoding: str) -> None:
    """Also across the border of two pieces, at the very end, and among random bytes."""
    secret = SECRETS[name].encode(encoding)
    noise = random.Random(1).randbytes(secrets._PIECE * 2 + 77)
    for place in (0, 1, 2000, secrets._PIECE - len(secret) // 2, secrets._PIECE - 1, secrets._PIECE, len(noise)):
        data = noise[:place] + b"\0" * (place % 2) + b"  " + secret + b" \0" + noise[place:]
        assert list(scan(io.BytesIO(data))), place
    assert not list(scan(io.BytesIO(noise)))


def test_the_line_is_told() -> None:
    data = b"line\n" * 300_000 + SECRETS["AWS"].encode() + b"\n"
    assert {line for _, line in scan(io.BytesIO(data))} == {300_001}


PLAIN = [
    "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "hf_model_from_pretrained_with_options",
    "hf_token, ghp_, sk-..., AKIA and xoxb- are how tokens begin",
    "export HF_TOKEN=hf_your_token_here",
    "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "api_key = os.environ['OPENAI_API_KEY']",
    "postgresql://user:password@localhost/db",
    "postgres://postgres:postgres@localhost/db and ftp://$USER:$PASSWORD@host/",
    "https://{user}:{password}@host and https://<user>:<password>@host",
    "see https://example.com:8080/path@2x and http://[::1]:80/",
    "the ratio is a://b and mail me@example.com; 3:4@5",
    "ghosts laugh; a task-oriented desk-lamp; risk-averse",
    "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "550e8400-e29b-41d4-a716-446655440000",
    "-----BEGIN CERTIFICATE-----\n" + KEY + "\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\n" + KEY,
    "A file begins with -----BEGIN PRIVATE KEY----- and then has base64.",
    "Authorization: Bearer <token>",
    "Authorization: Bearer $HF_TOKEN",
    "EOS_TOKEN = '<|endoftext|>' PAD_TOKEN=151643 MAX_TOKENS=4096",
    "eyJ is how a JWT begins",
    "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20,
    "计算 2 + 3 * 4 等于多少? AKIA 是前缀",
    "".join(f"{number} " for number in range(3000)),
]


@pytest.mark.parametrize("text", PLAIN, ids=range(len(PLAIN)))
def test_what_is_no_secret_is_let_be(text: str) -> None:
    assert mask(text) == text and not list(scan(io.BytesIO(text.encode() * 40)))


def test_weights_and_real_text_raise_no_false_alarm() -> None:
    """Floats, our own code, documentation and configurations."""
    numpy = pytest.importorskip("numpy")
    draws = numpy.random.default_rng(0).standard_normal(2_000_000)
    for data in (draws.astype("float32").tobytes(), draws.astype("float16").tobytes()):
        assert not list(scan(io.BytesIO(data)))
    for path in [*ROOT.glob("r1hf/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("recipes/**/*.yaml")]:
        assert not list(scan(io.BytesIO(path.read_bytes()))), path


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_masking_changes_nothing_else(before: str, name: str, after: str) -> None:
    assert mask(mask(before)) == mask(before)
    text = mask(f"{before} {SECRETS[name]} {after}")
    assert "***" in text and text.startswith(mask(before)[: len(before) // 2][:3])


def test_short_and_long_texts_are_searched_alike() -> None:
    for secret in SECRETS.values():
        long = b"x " * secrets._SHORT + secret.encode()
        assert [item.name for item in find(long)] == [item.name for item in find(secret.encode())]


def test_secrets_of_this_machine_are_known_whatever_their_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_PWD", "correct-Horse 7")
    monkeypatch.setenv("SOME_TOKEN", "password")  # every second text has the word
    monkeypatch.setenv("SECRET_KEY_FILE", "/etc/Key1")
    assert mask("is correct-Horse 7, a password in /etc/Key1") == "is ***, a password in /etc/Key1"
    assert redact({"a": ["correct-Horse 7"], "correct-Horse 7": 1}) == {"a": ["***"], "***": 1}


@pytest.mark.parametrize(
    "key", ["hub_token", "api_key", "apikey", "db_password", "passwd", "private_key", "MYSQL_PWD"]
)
def test_what_is_called_a_secret_is_masked(key: str) -> None:
    assert redact({key: "abc"}) == {key: "***"}
    assert redact({"eos_token": "</s>", "max_tokens": 5}) == {"eos_token": "</s>", "max_tokens": 5}


def test_every_rule_begins_with_its_literals() -> None:
    for group in tomllib.loads(secrets._RULES.read_text()).values():
        for name, (*starts, rest) in group.items():
            assert starts and all(len(start) >= 3 and start.isascii() for start in starts), name
            assert rest, name


def test_a_traceback_is_printed_without_secrets(tmp_path: Path) -> None:
    code = (
        "import sys; from r1hf.commands.recipe import run; sys.argv = ['x.py']\n"
        f"def main(): raise RuntimeError('refused: ' + {SECRETS['Slack bot'][:9]!r} + {SECRETS['Slack bot'][9:]!r})\n"
        "run(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "RuntimeError: refused: ***" in done.stderr and "Traceback" in done.stderr
    assert SECRETS["Slack bot"] not in done.stderr
