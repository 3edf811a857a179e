"""Is a text that a person wrote a row to train on? The filters and the verdict of the stage that made the row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r1hf.core.errors import ConfigError
from r1hf.data.filters import REASONS, SampleFilter, Verdict
from r1hf.data.readability import is_garbled
from r1hf.data.review_queue import Item
from r1hf.models.sampling import Completion
from r1hf.selection.verdicts import RULED, by_rules
from r1hf.stage.manifest import Manifest, verify
from r1hf.text.forms import has_content

FORMS: dict[str, Any] = {"cold_start": "cold_start", "rejection_sampling": "think_answer"}  # by recipe


class Checked(NamedTuple):
    """fault: under which reason the stage would reject the text. verified: by a rule. said: a sentence for people."""

    fault: str | None
    verified: bool
    said: str


class Checker:
    """Judges texts as the stage judged its samples, with the keys of its manifest; tokens are not counted."""

    def __init__(self, stage: Path):
        """Raises IntegrityError for a stage that is not whole, and ConfigError for one whose rows nobody reviews."""
        self.manifest: Manifest = verify(stage)
        recipe = Path(self.manifest.recipe).stem
        if recipe not in FORMS:
            raise ConfigError(
                f"{stage} was made by {recipe}; people review what {' and '.join(FORMS)} made: name such a stage"
            )
        self.form = FORMS[recipe]

    def __call__(self, items: Sequence[Item], texts: Sequence[str]) -> list[Checked]:
        """Each text against its row, all together: a rule may judge many at once. Raises SandboxError."""
        rows = [{**item.row, "language": item.row.get("language")} for item in items]
        verdicts = by_rules(rows, texts)
        return [self._one(*each) for each in zip(items, texts, verdicts, strict=True)]

    def _one(self, item: Item, text: str, verdict: Verdict) -> Checked:
        row = {**item.row, "language": item.row.get("language")}
        if not has_content(text) or is_garbled(text):
            name = "garbled" if has_content(text) else "empty"
            return Checked(name, False, f"{name}: {REASONS[name]}")
        if "answer" not in row and "judged_by" not in row:  # writing, facts, translation: any form is right
            return Checked(None, False, "Not empty. Nothing else is asked of a row without an answer.")
        ruled = row.get("task") in RULED and verdict.by != "nobody"
        # What no rule judges, a person does; the form and the language are looked at all the same.
        fault = self._filter(item).reason(row, Completion(text, 0, False), verdict if ruled else Verdict(True))
        if fault is not None:
            read = f"; it says {verdict.answer!r:.60}, and the reference is {row.get('answer')!r:.60}"
            return Checked(fault, False, f"{fault}: {REASONS[fault]}{read if fault == 'wrong_answer' else ''}")
        if not ruled:
            return Checked(None, False, "Form and language are right. No rule verifies the answer of this row.")
        return Checked(None, True, f"Verified: the answer is right ({verdict.answer!r:.60}), and so is the form.")

    def _filter(self, item: Item) -> SampleFilter:
        config = self.manifest.config
        share, paragraph = config.get("min_language_share", 1.0), config.get("max_paragraph", 1000)
        return SampleFilter(
            form=self.form,
            min_language_share=share,
            verification=self.form == "cold_start" and "direct" in item.methods,
            max_paragraph=paragraph,
        )
