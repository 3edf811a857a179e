"""Truth: what a completion answers, and whether the answer is right. Each is imported when it is asked for."""

from r1hf.core.lazy import lazily

_NAMES = {
    "choice": ("verify_choice",),
    "code": ("CodeVerdict", "final_code", "verify_code", "verify_codes"),
    "countdown": ("verify_countdown",),
    "extract": ("final_answer", "read_answer"),
    "gym": ("gym_rows", "score_gym", "verify_gym"),
    "math": ("verify_math", "verify_math_batch"),
    "numeric": ("Number", "parse_number"),
    "text": ("verify_text",),
}
__getattr__, __all__ = lazily(__name__, _NAMES)
