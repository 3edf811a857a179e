"""The architecture of a model as far as memory and time depend on it. No weights are read, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object
from r1hf.core.source import is_hub_id
from r1hf.models.gguf_file import gguf_config, is_gguf

KNOWN_TYPES = ("llama", "mistral", "qwen2", "qwen3", "deepseek_v3")


@dataclass(frozen=True)
class Shape:
    """Sizes in elements. `expert_*` and `dense_layers` are for mixtures of experts, `*_rank`, `rope`, `nope` and
    `value` (per head) for multi-head latent attention; 0 elsewhere.

    dense_layers: leading layers with an ordinary MLP where the others have experts.
    """

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: bool = False
    mlp_bias: bool = False
    experts: int = 0
    experts_per_token: int = 0
    shared_experts: int = 0
    expert_intermediate: int = 0
    dense_layers: int = 0
    q_rank: int = 0
    kv_rank: int = 0
    rope: int = 0
    nope: int = 0
    value: int = 0
    context: int = 0
    model_type: str = "llama"

    @property
    def query_width(self) -> int:
        """Elements of a token's queries in one layer."""
        return self.heads * ((self.nope + self.rope) if self.kv_rank else self.head_dim)

    @property
    def value_width(self) -> int:
        """Elements of a token's attention output in one layer, before the output projection."""
        return self.heads * (self.value if self.kv_rank else self.head_dim)

    @property
    def cache_width(self) -> int:
        """Elements of a token's keys and values in one layer, as transformers caches them (MLA: expanded)."""
        if self.kv_rank:
            return self.query_width + self.value_width
        return 2 * self.kv_heads * self.head_dim

    def cache_elements(self, latent: bool = False) -> int:
        """Elements of a token's cache in all layers; latent: MLA's compressed form, as vLLM keeps it."""
        width = self.kv_rank + self.rope if latent and self.kv_rank else self.cache_width
        return self.layers * width

    @property
    def layer_parameters(self) -> int:
        """Of the largest layer: what sharding gathers at once."""
        mlp = self._experts(self.experts) if self.experts else self._mlp(self.intermediate)
        return self._attention() + mlp + 2 * self.hidden

    @property
    def embedding_parameters(self) -> int:
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self._total(self.experts)

    @property
    def active_parameters(self) -> int:
        """Those that one token meets, without the input embedding (a look-up), with the output head."""
        without = self.vocab * self.hidden if not self.tied else 0
        return self._total(self.experts_per_token) - without

    @property
    def active_intermediate(self) -> float:
        """MLP width that one token meets, averaged over layers."""
        if not self.experts:
            return self.intermediate
        wide = self.expert_intermediate * (self.experts_per_token + self.shared_experts)
        return (self.dense_layers * self.intermediate + (self.layers - self.dense_layers) * wide) / self.layers

    @property
    def linear_inputs(self) -> dict[str, tuple[int, int]]:
        """Projection -> (in, out) of one layer, for LoRA. Latent attention and experts are left out."""
        if self.kv_rank or self.experts:
            return {}
        kv = self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, self.query_width),
            "k_proj": (self.hidden, kv),
            "v_proj": (self.hidden, kv),
            "o_proj": (self.value_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    def _total(self, experts: int) -> int:
        dense = self.dense_layers if self.experts else self.layers
        layers = self.layers * (self._attention() + 2 * self.hidden) + dense * self._mlp(self.intermediate)
        if self.experts:
            layers += (self.layers - dense) * self._experts(experts)
        return layers + self.embedding_parameters + self.hidden

    def _attention(self) -> int:
        if self.kv_rank:
            query = (
                self.hidden * self.q_rank + self.q_rank + self.q_rank * self.query_width
                if self.q_rank
                else self.hidden * self.query_width
            )
            latent = self.hidden * (self.kv_rank + self.rope) + self.kv_rank
            expanded = self.kv_rank * self.heads * (self.nope + self.value)
            return query + latent + expanded + self.value_width * self.hidden
        kv = self.kv_heads * self.head_dim
        count = self.hidden * (self.query_width + 2 * kv) + self.query_width * self.hidden
        count += (self.query_width + 2 * kv) * self.qkv_bias + self.hidden * self.out_bias
        return count + 2 * self.head_dim * self.qk_norm

    def _mlp(self, width: int) -> int:
        return 3 * self.hidden * width + (2 * width + self.hidden) * self.mlp_bias

    def _experts(self, count: int) -> int:
        router = self.hidden * self.experts
        return router + count * 3 * self.hidden * self.expert_intermediate + self._mlp_shared()

    def _mlp_shared(self) -> int:
        return 3 * self.hidden * self.expert_intermediate * self.shared_experts


def from_config(config: Mapping[str, Any], name: str) -> Shape:
    """A shape from the content of config.json. Raises ConfigError for what is no decoder of a known kind."""
    config = config.get("text_config") or config
    kind = str(config.get("model_type"))
    if kind not in KNOWN_TYPES:
        raise ConfigError(f"{name}: model_type '{kind}' is not planned for; there are {', '.join(KNOWN_TYPES)}")
    needed = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")
    missing = [key for key in needed if key not in config]
    if missing:
        raise ConfigError(f"{name}: config.json has no {', '.join(missing)}")
    heads, hidden = int(config["num_attention_heads"]), int(config["hidden_size"])
    bias = bool(config.get("attention_bias"))
    shape: dict[str, Any] = {
        "name": name,
        "layers": int(config["num_hidden_layers"]),
        "hidden": hidden,
        "intermediate": int(config.get("intermediate_size") or 4 * hidden),
        "heads": heads,
        "kv_heads": int(config.get("num_key_value_heads") or heads),
        "head_dim": int(config.get("head_dim") or hidden // heads),
        "vocab": int(config["vocab_size"]),
        "tied": bool(config.get("tie_word_embeddings", False)),
        "qkv_bias": kind == "qwen2" or bias,
        "out_bias": bias and kind in ("llama", "qwen3"),
        "qk_norm": kind == "qwen3",
        "mlp_bias": bool(config.get("mlp_bias")),
        "context": int(config.get("max_position_embeddings") or 0),
        "model_type": kind,
    }
    if kind == "deepseek_v3":
        shape |= {
            "qkv_bias": False,
            "out_bias": False,
            "experts": int(config["n_routed_experts"]),
            "experts_per_token": int(config["num_experts_per_tok"]),
            "shared_experts": int(config.get("n_shared_experts") or 0),
            "expert_intermediate": int(config["moe_intermediate_size"]),
            "dense_layers": int(config.get("first_k_dense_replace") or 0),
            "q_rank": int(config.get("q_lora_rank") or 0),
            "kv_rank": int(config["kv_lora_rank"]),
            "rope": int(config["qk_rope_head_dim"]),
            "nope": int(config["qk_nope_head_dim"]),
            "value": int(config["v_head_dim"]),
        }
    return Shape(**shape)


def _qwen2(layers: int, hidden: int, intermediate: int, heads: int, kv: int, vocab: int, tied: bool) -> dict[str, Any]:
    return {
        "model_type": "qwen2",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 32768,
    }


def _llama(layers: int, hidden: int, intermediate: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }


# The published config.json of the models that the paper and the recipes name, so that a plan needs no network.
BUILT_IN: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {
        **_llama(30, 576, 1536, 9),
        **{
            "num_key_value_heads": 3,
            "vocab_size": 49152,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
        },
    },
    "Qwen2.5-0.5B": _qwen2(24, 896, 4864, 14, 2, 151936, True),
    "Qwen2.5-1.5B": _qwen2(28, 1536, 8960, 12, 2, 151936, True),
    "Qwen2.5-Math-1.5B": _qwen2(28, 1536, 8960, 12, 2, 151936, True),
    "Qwen2.5-3B": _qwen2(36, 2048, 11008, 16, 2, 151936, True),
    "Qwen2.5-7B": _qwen2(28, 3584, 18944, 28, 4, 152064, False),
    "Qwen2.5-Math-7B": _qwen2(28, 3584, 18944, 28, 4, 152064, False),
    "Qwen2.5-14B": _qwen2(48, 5120, 13824, 40, 8, 152064, False),
    "Qwen2.5-32B": _qwen2(64, 5120, 27648, 40, 8, 152064, False),
    "Llama-3.1-8B": _llama(32, 4096, 14336, 32),
    "Llama-3.3-70B-Instruct": _llama(80, 8192, 28672, 64),
    "DeepSeek-V3-Base": {
        "model_type": "deepseek_v3",
        "num_hidden_layers": 61,
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "num_attention_heads": 128,
        "vocab_size": 129280,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_shared_experts": 1,
        "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3,
        "q_lora_rank": 1536,
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
        "max_position_embeddings": 163840,
    },
}
_ALIASES = dict.fromkeys(("DeepSeek-V3", "DeepSeek-R1", "DeepSeek-R1-Zero"), "DeepSeek-V3-Base")


def built_in_name(source: str) -> str | None:
    """The key of `BUILT_IN` for a model that is known by its name (`Qwen/Qwen2.5-7B-Instruct`), or None."""
    name = source.partition("@")[0].rpartition("/")[2]
    name = _ALIASES.get(name, name)
    candidates = (name, name.removesuffix("-Instruct"), f"{name}-Instruct")
    return next((candidate for candidate in candidates if candidate in BUILT_IN), None)


def built_in(source: str) -> Shape | None:
    """The shape of a model that is known by its name, or None."""
    name = built_in_name(source)
    return None if name is None else from_config(BUILT_IN[name], name)


def shape_of(source: str) -> Shape:
    """The shape of a model directory, a Hub id in the cache, or a model that is built in. Raises ConfigError."""
    if is_gguf(source):
        return from_config(gguf_config(source), source)
    file = config_file(source)
    if file is not None:
        config = read_object(file)
        if "base_model_name_or_path" in config:
            return shape_of(base_of(file, config))
        try:
            return from_config(config, source)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ConfigError(f"{file}: not a configuration of its model_type: {error!r}") from error
    known = built_in(source)
    if known is None:
        raise ConfigError(
            f"{source}: no directory here, not in the Hub's cache, and not built in; name a known one of the same "
            f"size with --shape: {', '.join(BUILT_IN)}"
        )
    return known


def base_of(file: Path, config: Mapping[str, Any]) -> str:
    """The base model that an adapter's configuration names. Raises ConfigError where it is none that can be had."""
    base = config["base_model_name_or_path"]
    if isinstance(base, str) and (config_file(base) is not None or built_in_name(base) or is_hub_id(base)):
        return base
    raise ConfigError(f"{file}: base_model_name_or_path is {base!r:.80}: no model here and no Hub id")


def config_file(source: str) -> Path | None:
    """config.json (or adapter_config.json) of a directory or of the Hub's cache, or None."""
    directory = Path(source)
    try:
        for name in ("config.json", "adapter_config.json"):
            if (directory / name).is_file():
                return directory / name
        here = directory.exists()
    except OSError:  # a name that no file can have
        return None
    if here or source.count("/") != 1 or source.startswith((".", "/")):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repo, _, revision = source.partition("@")
    try:
        found = try_to_load_from_cache(repo, "config.json", revision=revision or None)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
