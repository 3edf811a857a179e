"""Truth: what a completion answers, and whether the answer is right."""

from r1hf.verify.choice import verify_choice
from r1hf.verify.code import CodeVerdict, final_code, verify_code, verify_codes
from r1hf.verify.countdown import verify_countdown
from r1hf.verify.extract import final_answer, read_answer
from r1hf.verify.gym import gym_rows, score_gym, verify_gym
from r1hf.verify.math import verify_math, verify_math_batch
from r1hf.verify.numeric import Number, parse_number
from r1hf.verify.text import verify_text

__all__ = [
    "CodeVerdict",
    "Number",
    "final_answer",
    "final_code",
    "gym_rows",
    "parse_number",
    "read_answer",
    "score_gym",
    "verify_choice",
    "verify_code",
    "verify_codes",
    "verify_countdown",
    "verify_gym",
    "verify_math",
    "verify_math_batch",
    "verify_text",
]
