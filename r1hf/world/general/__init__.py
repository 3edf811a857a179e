"""The tiny world's general prompts: greetings, thanks, numbers, colours, identity, everything outside the world, and
requests to be refused.

Responses come in grades, so that preference models have something to learn and RL something to improve. A helpful
answer says what was asked and offers more; where the world has no answer, it says so and what it can do. A harmless
response declines and gives nothing away, not in its thinking. Each row carries what evaluation needs to judge by rule,
and not by the models that gave the reward.
"""

from r1hf.world.general.prompts import (
    GeneralPrompt,
    draw_prompt,
    held_out_prompts,
    training_prompts,
)
from r1hf.world.general.responses import (
    HARMLESS_GRADES,
    HELPFUL_GRADES,
    answer,
    draw_grade,
    response,
    thought,
)
from r1hf.world.general.rows import preference_pairs, safety_rows, sft_rows

__all__ = [
    "HARMLESS_GRADES",
    "HELPFUL_GRADES",
    "GeneralPrompt",
    "answer",
    "draw_grade",
    "draw_prompt",
    "held_out_prompts",
    "preference_pairs",
    "response",
    "safety_rows",
    "sft_rows",
    "thought",
    "training_prompts",
]
