"""Saves a model that FSDP2 shards over two processes, whole and as an adapter: run by test_adapters.py under torchrun.

torchrun --nproc_per_node 2 tests/sharded_run.py BASE OUT

On a CPU accelerate shards nothing, so torch does it here; weights are gathered by the call that accelerate makes.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from peft import get_peft_model
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

from r1hf.models import load_model, load_tokenizer
from r1hf.stage import run
from r1hf.trainers.adapters import AdapterConfig, export, lora
from r1hf.trainers.sharded import gather, spread


def check_round_trip(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """What `gather` gives is what was there, also after `spread` put it back."""
    accelerator = Accelerator(cpu=True)
    for _ in range(2):
        gathered = gather(model, accelerator)
        if dist.get_rank() == 0:
            assert set(gathered) == set(weights)
            assert all(torch.equal(value, weights[name]) for name, value in gathered.items())
        for parameter in model.parameters():
            parameter.data.mul_(0.5)
        box = [{name: value.clone() for name, value in weights.items()}]
        dist.broadcast_object_list(box)  # each process reads the checkpoint's file
        spread(model, accelerator, box[0])


def main(base: str, out: Path) -> None:
    dist.init_process_group("gloo")
    for name in ("whole", "adapter"):
        config = AdapterConfig(use_peft=name == "adapter", lora_r=4)
        model: Any = load_model(base)
        torch.manual_seed(7)
        wanted = lora(config)
        if wanted is not None:
            model = get_peft_model(model, wanted)
        for parameter in model.parameters():  # as if trained
            if parameter.requires_grad:
                parameter.data += 0.01 * torch.randn_like(parameter)
        expected = {key: value.clone() for key, value in model.state_dict().items()}
        for layer in model.get_decoder().layers if wanted is None else model.base_model.model.model.layers:
            fully_shard(layer)
        fully_shard(model)
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, cpu_offload=True)
        weights = get_model_state_dict(model, options=options)
        check_round_trip(model, weights)
        if dist.get_rank() == 0:
            assert any(type(value).__name__ == "DTensor" for value in model.state_dict().values())
            export(model, load_tokenizer(base), out / name, config, base, weights)
            torch.save(expected, out / f"{name}.pt")
        dist.barrier()


if __name__ == "__main__":
    run(partial(main, sys.argv[1], Path(sys.argv[2])))
