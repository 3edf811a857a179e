"""recipes/accelerate by accelerate's own reading and by launches; recipes/slurm with Slurm's commands recorded."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from small_run import CPU, ROOT, SFT, answered, arguments, opening, write
from tables import each

from r1hf.core.given import said
from r1hf.core.launch import processes_of
from r1hf.preflight.estimate.workload import read_sharding
from r1hf.stage.manifest import read_manifest

ACCELERATE = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))
SLURM = sorted((ROOT / "recipes" / "slurm").iterdir())
SBATCH = [path for path in SLURM if path.suffix == ".sbatch"]


def names(path: Path) -> str:
    return path.name


def launch(path: Path) -> tuple[argparse.Namespace, Any]:
    """What `accelerate launch --config_file` makes of a file, short of starting anything."""
    args = launch_command_parser().parse_args(["--config_file", str(path), "recipes/sft.py"])
    args.nondefault = []  # nothing on the command line
    args, defaults, _ = _validate_launch_command(args)
    return args, defaults


def test_there_is_a_file_for_each_way() -> None:
    kinds = {path.stem: (processes_of(path), read_sharding(path)) for path in ACCELERATE}
    assert kinds == {
        **{"one_gpu": (1, "none"), "ddp": (8, "none"), "fsdp2": (8, "fsdp"), "zero2": (8, "zero2")},
        **{"zero3": (8, "zero3"), "cpu": (1, "none"), "cpu_2": (2, "none")},
    }


@each("path", ACCELERATE, ids=names)
def test_accelerate_reads_it(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    args, _ = launch(path)
    assert args.num_processes == config.num_processes >= 1
    assert args.use_fsdp == (config.distributed_type == DistributedType.FSDP)
    assert args.use_deepspeed == (config.distributed_type == DistributedType.DEEPSPEED)
    known = set(vars(launch_command_parser().parse_args(["x.py"])))
    for group in (config.fsdp_config, config.deepspeed_config):
        assert set(group) <= known, "accelerate takes unknown keys of a group without a word"


def test_fsdp2_reaches_the_processes() -> None:
    args, _ = launch(ROOT / "recipes" / "accelerate" / "fsdp2.yaml")
    environment = prepare_multi_gpu_env(args)
    assert environment["ACCELERATE_USE_FSDP"] == "true" and environment["FSDP_VERSION"] == "2"
    assert environment["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
    assert environment["FSDP_STATE_DICT_TYPE"] == "FULL_STATE_DICT"


@each("path", ACCELERATE, ids=names)
def test_an_accelerate_file_opens_with_its_launch_and_explains_each_value(path: Path) -> None:
    head = opening(path)
    assert head.startswith(f"accelerate launch --config_file recipes/accelerate/{path.name} recipes/")
    assert "\nHardware: " in head and "\nTake it " in head
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#") and not line.endswith("fsdp_config:"):
            assert re.search(r"\S +# \S", line), f"no reason: {line}"


@pytest.mark.slow
def test_launches_on_the_cpu(tiny_base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", answered(16))
    words = arguments("sft.yaml", model=tiny_base, data=rows, **CPU, **SFT, output_dir=tmp_path / "made")
    start = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "recipes/accelerate/cpu.yaml"]
    done = subprocess.run(
        [*start, SFT_RECIPE, *words], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    manifest = read_manifest(tmp_path / "made")
    assert manifest is not None and manifest.metrics["optimizer_steps"] == 2


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


# Slurm


@each("path", SLURM, ids=names)
def test_a_script_is_sound_shell(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.\"'$})/])/(?!bin/bash|dev/null)\w", text), "a path of one machine"
    assert all(len(line) < 120 for line in text.splitlines())
    for line in text.splitlines():
        code = line.split(" #")[0].strip()
        if code and not code.startswith("#"):
            # What shellcheck calls SC2086: an unquoted variable outside of [[ ]], $(( )) and assignments.
            safe = r'"[^"]*"|\'[^\']*\'|\$\(\(.*?\)\)|\w+=\$\{?\w+[^ ]*'
            bare = re.sub(safe, "", code)
            assert not re.search(r"\$\w", bare), f"unquoted: {line}"
    shellcheck = shutil.which("shellcheck")
    if shellcheck:
        subprocess.run([shellcheck, "-x", str(path)], cwd=ROOT, check=True)


@each("path", SBATCH, ids=names)
def test_a_script_asks_slurm_for_what_resuming_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert opening_command(text).startswith("sbatch ") and f"recipes/slurm/{path.name}" in opening_command(text)
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=?(\S*)", text, re.MULTILINE))
    assert asked["signal"].startswith("B:USR1@") and int(asked["signal"].split("@")[1]) >= 300
    assert "requeue" in asked and asked["open-mode"] == "append" and asked["ntasks-per-node"] == "1"
    assert not {"partition", "account", "qos", "constraint", "nodelist", "chdir"} & set(asked)


def opening_command(text: str) -> str:
    return text.splitlines()[1].lstrip("# ")


SRUN = """#!/bin/bash
printf '%s\\n' "$(printf '%s\\x1f' "$@")" >> "$RECORD/srun.log"
until [ "$(wc -l < "$RECORD/srun.log")" -ge "${STEPS:-1}" ]; do sleep 0.05; done  # steps of one job overlap
[ -n "${RUN_STEPS:-}" ] || exit 0
while [[ $1 == --* ]]; do shift; done
SLURM_PROCID=0 exec "$@"
"""
SCONTROL = """#!/bin/bash
if [ "$1 $2" = "show hostnames" ]; then tr ',' '\\n' <<< "$3"; else echo "$*" >> "$RECORD/scontrol.log"; fi
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    """A directory with `srun` and `scontrol` that write down what they are given; steps run if RUN_STEPS is set."""
    record = tmp_path / "slurm"
    record.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (record / name).write_text(text, encoding="utf-8")
        (record / name).chmod(0o755)
    return record


def job(record: Path, nodes: str, **more: str) -> dict[str, str]:
    given = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NODELIST": nodes, "PYTHON": sys.executable, "RECORD": str(record)}
    return environment(PATH=f"{record}:{os.environ['PATH']}", **given, **more)


def steps(record: Path) -> list[list[str]]:
    """The command lines of srun so far; two steps may start in any order."""
    lines = (record / "srun.log").read_text(encoding="utf-8").splitlines()
    return sorted([line.rstrip("\x1f").split("\x1f") for line in lines], key=lambda words: "serve" in words)


def submit(script: str, *words: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", f"recipes/slurm/{script}", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )


ZERO3, SFT_RECIPE = "recipes/accelerate/zero3.yaml", "recipes/sft.py"
WORDS = ("--config", "recipes/configs/tiny/sft.yaml", "--learning_rate", "1e-5")


def test_training_on_one_node_and_on_many(slurm: Path) -> None:
    for nodes, count in (("n1", "1"), ("n1,n2,n3", "3")):
        done = submit("train.sbatch", ZERO3, SFT_RECIPE, *WORDS, env=job(slurm, nodes))
        assert done.returncode == 0, done.stderr
        (step,) = steps(slurm)
        assert {f"--nodes={count}", f"--ntasks={count}", f"--nodelist={nodes}"} <= set(step)
        at = step.index("bash")
        assert step[at:] == ["bash", "recipes/slurm/node.sh", ZERO3, count, "n1", SFT_RECIPE, *WORDS]
        (slurm / "srun.log").unlink()


def test_the_last_node_serves_the_policy(slurm: Path) -> None:
    words = ("--config", "recipes/configs/tiny/r1_zero.yaml")
    env = job(
        slurm,
        "n1,n2,n3",
        STEPS="2",
        SLURM_GPUS_ON_NODE="8",
        VLLM_TENSOR_PARALLEL="2",
        VLLM_ARGS="--max-model-len 9216",
    )
    done = submit("train_vllm.sbatch", ZERO3, "recipes/r1_zero.py", *words, env=env)
    assert done.returncode == 0, done.stderr
    training, server = steps(slurm)
    assert "--nodelist=n1,n2" in training and "--nodelist=n3" in server
    told = training[training.index("recipes/r1_zero.py") + 1 :]
    given = {key: one.value for key, one in said(told).values.items()}
    assert tuple(told[:2]) == words and given["vllm_server_host"] == "n3"
    assert given["rollout_engine"] == "vllm_server" and given["vllm_server_port"] == 8000
    assert server[server.index("serve") + 1] == "runs/tiny/base"  # the stage's model
    assert server[server.index("--weight-transfer-config") + 1] == '{"backend": "nccl"}'
    assert server[server.index("--data-parallel-size") + 1] == "4" and server[-2:] == ["--max-model-len", "9216"]


@pytest.mark.parametrize(
    ("script", "nodes", "words", "said"),
    [
        ("train.sbatch", "n1", (ZERO3,), "usage: sbatch"),
        ("train.sbatch", "n1", ("recipes/accelerate/zero4.yaml", SFT_RECIPE), "no file recipes/accelerate/zero4.yaml"),
        ("train_vllm.sbatch", "n1", (ZERO3, "recipes/r1_zero.py", *WORDS), "at least one more to train on"),
        ("train_vllm.sbatch", "n1,n2", (ZERO3, "recipes/r1_zero.py"), "the stage names no model"),
        ("pipeline.sbatch", "n1", ("recipes/configs/none.yaml",), "no file recipes/configs/none.yaml"),
    ],
)
def test_a_job_that_cannot_run_says_so(
    script: str, nodes: str, words: tuple[str, ...], said: str, slurm: Path
) -> None:
    done = submit(script, *words, env=job(slurm, nodes))
    assert done.returncode == 2 and said in done.stderr
    assert not (slurm / "srun.log").exists()


def test_what_each_node_launches(slurm: Path, tmp_path: Path) -> None:
    """node.sh with an interpreter that writes down its arguments."""
    recorder = tmp_path / "python"
    recorder.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > "$RECORD/python"\nexit 3\n', encoding="utf-8")
    recorder.chmod(0o755)
    env = job(slurm, "n1,n2", SLURM_PROCID="1", SLURM_GPUS_ON_NODE="8") | {"PYTHON": str(recorder)}
    done = subprocess.run(
        ["bash", "recipes/slurm/node.sh", ZERO3, "2", "n1", SFT_RECIPE, *WORDS], cwd=ROOT, env=env, timeout=300
    )
    assert done.returncode == 3, "the launcher's status"
    words = (slurm / "python").read_text(encoding="utf-8").splitlines()
    assert words[:2] == ["-m", "accelerate.commands.launch"]
    args = launch_command_parser().parse_args(words[2:])
    assert (args.num_machines, args.machine_rank, args.num_processes) == (2, 1, 16)
    assert (args.main_process_ip, args.main_process_port) == ("n1", 24242)
    assert args.training_script == SFT_RECIPE and tuple(args.training_script_args) == WORDS


@pytest.mark.slow
def test_a_job_out_of_time_saves_goes_back_to_the_queue_and_resumes(
    slurm: Path, tiny_base: Path, tmp_path: Path
) -> None:
    """Real training in two processes; only the scheduler is played."""
    rows = write(tmp_path / "rows.jsonl", answered(64))
    training = {**CPU, **SFT, "max_steps": 200, "save_strategy": "steps", "save_steps": 1000}
    words = arguments("sft.yaml", model=tiny_base, data=rows, **training, output_dir=tmp_path / "made")
    start = ["bash", "recipes/slurm/train.sbatch", "recipes/accelerate/cpu_2.yaml", SFT_RECIPE, *words]
    env = job(slurm, "n1", RUN_STEPS="1")
    log = tmp_path / "made.partial" / "log.jsonl"
    with subprocess.Popen(
        start, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as batch:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and batch.poll() is None and not (log.exists() and log.read_text()):
            time.sleep(0.1)
        batch.send_signal(signal.SIGUSR1)
        said = batch.communicate(timeout=300)[0]
    assert batch.returncode != 0 and "asking the trainers to save and stop" in said, said
    assert re.search(r"stopped at step \d+ of 200, saved", said), said
    assert (slurm / "scontrol.log").read_text(encoding="utf-8") == "requeue 4242\n"
    (saved,) = (tmp_path / "made.partial" / "trainer").glob("checkpoint-*")
    step = int(saved.name.removeprefix("checkpoint-"))
    assert 0 < step < 200
    again = subprocess.run(start, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stdout + again.stderr
    logged = [json.loads(line)["step"] for line in (tmp_path / "made" / "log.jsonl").read_text().splitlines()]
    assert logged == list(range(1, 201))
    assert (slurm / "scontrol.log").read_text(encoding="utf-8") == "requeue 4242\n"
