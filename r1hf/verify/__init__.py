"""Truth: what a completion answers, and whether the answer is right."""

from r1hf.verify.extract import final_answer
from r1hf.verify.math import verify_math
from r1hf.verify.numeric import Number, parse_number

__all__ = ["Number", "final_answer", "parse_number", "verify_math"]
