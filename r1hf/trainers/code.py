"""The code reward in a recipe: one key of the configuration, beside the rewards that the recipe has anyway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1hf.core.config import Parsed
from r1hf.core.errors import ConfigError, R1Error
from r1hf.rewards.code import CodeReward, code_reward_of


@dataclass(kw_only=True)
class CodeConfig:
    """A recipe that can pay programs, too."""

    code: dict[str, Any] | None = field(
        default=None,
        metadata={
            "help": "options of the code reward for rows with `tests`, {} for its defaults; none: no such reward"
        },
    )


def code_rewards(config: CodeConfig) -> dict[str, CodeReward]:
    """{"code": the reward}, or nothing where none is asked for."""
    return {} if config.code is None else {"code": code_reward_of(config.code)}


def check_code(parsed: Parsed) -> tuple[str, ...]:
    """The names of the rewards that `code` adds; what is wrong with it goes to `parsed.problems`."""
    config = parsed.configs[0]
    if config is None or config.code is None:
        return ()
    try:
        code_rewards(config)
    except ConfigError as error:
        parsed.problems += error.problems
    except R1Error as error:
        parsed.problems.append(f"code: {error}")
    return ("code",)
