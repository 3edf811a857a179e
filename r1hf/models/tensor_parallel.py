"""In how many parts vLLM can hold a model (`tensor_parallel_size`): by its heads, widths and vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.models.shapes import Shape, shape_of

_MOST = 16  # parts that are tried: two nodes of 8
_VOCABULARY_BLOCK = 64  # vLLM pads the vocabulary to a multiple of it


def indivisible(shape: Shape, parts: int) -> str | None:
    """What of the model does not split into `parts`; None where all does.

    As vLLM's `ModelConfig.verify_with_parallel_config` and its `QKVParallelLinear`, `MergedColumnParallelLinear`
    and `VocabParallelEmbedding`: key-value heads may be fewer than parts, if each then stands in equally many.
    """
    padded = -(-shape.vocab // _VOCABULARY_BLOCK) * _VOCABULARY_BLOCK
    counts = {"attention heads": shape.heads, "MLP columns": shape.intermediate, "rows of the vocabulary": padded}
    if shape.experts:
        counts["columns of an expert"] = shape.expert_intermediate
    wrong = [f"{count:,} {name}" for name, count in counts.items() if count % parts]
    if not shape.kv_rank and shape.kv_heads % parts and parts % shape.kv_heads:
        wrong.append(f"{shape.kv_heads} key-value heads")
    return ", ".join(wrong) or None


def check_parts(key: str, parts: object, sources: Iterable[str | Shape]) -> list[str]:
    """A problem for each model, of those whose shape is known here, that does not split into `parts`."""
    if not isinstance(parts, int) or isinstance(parts, bool) or parts < 1:
        return [f"{key}: {parts!r} is not a number of GPUs; write 1 or more"]
    problems = []
    for source in sources:
        try:
            shape = shape_of(source) if isinstance(source, str) else source
        except ConfigError:
            continue  # still to be made, or not downloaded
        if wrong := indivisible(shape, parts):
            fitting = [str(count) for count in range(1, _MOST + 1) if not indivisible(shape, count)]
            problems.append(
                f"{key}: {parts} does not divide the {wrong} of {shape.name}; {', '.join(fitting)} would do"
            )
    return list(dict.fromkeys(problems))


def check_values(values: Mapping[str, Any], shape: Shape) -> list[str]:
    """`check_parts` of a stage's resolved configuration, whose model has this shape."""
    if values.get("sampler") in ("vllm", "ray") and "tensor_parallel_size" in values["vllm"]:
        return check_parts("vllm: tensor_parallel_size", values["vllm"]["tensor_parallel_size"], [shape])
    if values.get("use_vllm") and values.get("vllm_mode") == "colocate":
        return check_parts("vllm_tensor_parallel_size", values.get("vllm_tensor_parallel_size") or 1, [shape])
    return []
