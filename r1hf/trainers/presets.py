"""Published ways to run GRPO, by name. Each preset says every value that makes the method; a value given by hand wins.

r1       DeepSeek-R1 (arXiv 2501.12948v2, sections 2.1, 3.2.1 and B.4): loss averaged over each completion and then the
         group, k3 KL of weight 0.001, epsilon 10, groups of 16, 8,192 rollouts in 16 minibatches of 512, reference :=
         policy every 400 steps. The schedule of the rate is not published; constant.
dapo     DAPO (arXiv 2503.14476, section 4.1): clip higher 0.2 / 0.28, token mean over the batch, no KL, truncated
         completions masked, 8,192 rollouts in 16 minibatches. Its dynamic sampling is left out; its length penalty is
         the reward `overlong`.
dr_grpo  Dr. GRPO (arXiv 2503.20783): no division by length or by standard deviation, no KL.
gspo     GSPO (arXiv 2507.18071): one ratio a sequence, clipped at 3e-4 / 4e-4, 4 minibatches a generation.
cispo    CISPO (arXiv 2506.13585) with ScaleRL's bound (arXiv 2510.13786): the clipped ratio weighs the gradient of
         every token, none is dropped.

Where a paper gives no batch size or length, the preset gives none either. Rates of gspo and cispo are TRL's default.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest

C = TypeVar("C")

_COMMON: dict[str, Any] = {
    "lr_scheduler_type": "constant",
    "beta": 0.0,
    "use_bias_correction_kl": False,
    "sync_ref_model": False,
    "ref_model_sync_steps": 400,
    "ref_model_mixup_alpha": 1.0,
    "importance_sampling_level": "token",
    "epsilon": 0.2,
    "epsilon_high": None,  # as epsilon
    "delta": None,
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
    "mask_truncated_completions": False,
    "num_iterations": 1,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "entropy_coef": 0.0,
    "use_adaptive_entropy": False,
    "top_entropy_quantile": 1.0,
    "off_policy_mask_threshold": None,
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "token_truncate",  # a ratio of the whole sequence masks long thoughts
}
PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "r1": {
        **_COMMON,
        **{"learning_rate": 3e-6, "loss_type": "grpo", "beta": 0.001, "epsilon": 10.0, "sync_ref_model": True},
        **{"num_generations": 16, "optimizer_batch_size": 512, "minibatches": 16, "max_completion_length": 32768},
    },
    "dapo": {
        **_COMMON,
        **{"learning_rate": 1e-6, "loss_type": "dapo", "epsilon_high": 0.28, "mask_truncated_completions": True},
        **{"num_generations": 16, "optimizer_batch_size": 512, "minibatches": 16, "max_completion_length": 20480},
    },
    "dr_grpo": {
        **_COMMON,
        **{"learning_rate": 1e-6, "loss_type": "dr_grpo", "scale_rewards": "none"},
        **{"num_generations": 8, "max_completion_length": 3000},
    },
    "gspo": {
        **_COMMON,
        **{"learning_rate": 1e-6, "loss_type": "grpo", "importance_sampling_level": "sequence"},
        **{"epsilon": 3e-4, "epsilon_high": 4e-4, "num_generations": 8, "minibatches": 4},
    },
    "cispo": {
        **_COMMON,
        **{"learning_rate": 1e-6, "loss_type": "cispo", "epsilon_high": 5.0, "num_generations": 16},
    },
}
# A key given by hand takes these away from a preset: they say the same thing.
_INSTEAD = {
    "gradient_accumulation_steps": ("optimizer_batch_size",),
    "generation_batch_size": ("minibatches",),
    "steps_per_generation": ("minibatches",),
}


def preset_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the preset that `given` names, with `given` on top.

    Raises ConfigError for a name that is no preset.
    """
    name = given.get("preset", "none")
    if name not in PRESETS:
        raise ConfigError(f"preset: unknown preset {name!r}; {nearest(str(name), PRESETS, else_say='see --help')}")
    replaced = {key for giver, keys in _INSTEAD.items() if given.get(giver) is not None for key in keys}
    if given.get("beta") == 0.0:
        replaced.add("sync_ref_model")  # without a KL term there is no reference
    chosen = {key: value for key, value in PRESETS[name].items() if key not in replaced}
    if "sync_ref_model" in replaced and name != "none":
        chosen["sync_ref_model"] = False
    return {**chosen, **given}


def filling(values: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[type[C]], type[C]]:
    """A decorator for dataclasses: `values` turns the arguments that a call gives into those that the object gets."""

    def decorate(config: type[C]) -> type[C]:
        init = config.__init__
        signature = inspect.signature(init)

        @functools.wraps(init)
        def __init__(self: Any, *arguments: Any, **named: Any) -> None:
            given = dict(signature.bind_partial(self, *arguments, **named).arguments)
            given.pop("self")
            init(self, **values(given))

        config.__init__ = __init__  # type: ignore[method-assign]
        return config

    return decorate


with_presets = filling(preset_values)  # only what the call itself gives wins over a preset
