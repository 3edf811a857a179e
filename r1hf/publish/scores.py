"""Evaluation results for a card: only numbers whose file is proved, and that were measured on these very weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, StageError
from r1hf.core.files import read_object
from r1hf.explain.report.summary import bounds
from r1hf.explain.report.text import number
from r1hf.publish.lineage import Made, Parent
from r1hf.stage.manifest import Manifest, read_manifest, verify

RESULTS = "results.json"
SETTINGS = ("problems", "k", "temperature", "top_p", "max_new_tokens")  # without them a score says nothing


class NoEvaluation(StageError):
    """A model without an evaluation of its own: its card would have to claim something that nobody measured."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation stage, proved.

    models: the scores by model. settings: temperature, top_p, k, problems, ….
    fingerprints: what each model's weights were when it was evaluated.
    """

    directory: Path
    manifest: Manifest
    settings: dict[str, Any]
    models: dict[str, dict[str, Any]]
    fingerprints: dict[str, str] = field(default_factory=dict)

    @property
    def prompts(self) -> Parent:
        """The held-out problems; of a mixture, a part from the Hub if there is one."""
        found = [parent for parent in Made(self.directory).parents if parent.field == "prompts"]
        return next((parent for parent in found if parent.repo is not None), found[0])

    def scores(self, made: Made) -> dict[str, Any]:
        """The scores of a model. Raises NoEvaluation if it was not evaluated, or another version of it was."""
        scores = self.models.get(made.name)
        if scores is None:
            raise NoEvaluation(
                f"{made.name} has no numbers in {self.directory / RESULTS}; add it to the evaluation's `models`, "
                "run the evaluation again, then push"
            )
        if self.fingerprints.get(made.name) != made.fingerprint:
            raise NoEvaluation(
                f"{self.directory / RESULTS} measured another version of {made.name} than lies in {made.directory}; "
                "run the evaluation again, then push"
            )
        if number(scores.get("pass_at_1")) is None or number(scores.get("stderr")) is None:
            raise NoEvaluation(
                f"{self.directory / RESULTS} has no pass@1 with an error for {made.name}; evaluate again"
            )
        return scores


def load_evaluation(directory: Path) -> Evaluation:
    """The evaluation in a stage directory, its files proved (IntegrityError).

    Raises NoEvaluation where there is none, or where results and manifest differ.
    """
    if read_manifest(directory) is None:
        raise NoEvaluation(
            f"{directory} holds no finished evaluation: a card without measured numbers is not pushed; "
            "run recipes/evaluate.py on the model first, or name its directory with --evaluation"
        )
    manifest = verify(directory)
    if RESULTS not in manifest.outputs:
        raise NoEvaluation(f"{directory} is not an evaluation: it holds no {RESULTS}; run recipes/evaluate.py")
    try:
        content = read_object(directory / RESULTS)
    except ConfigError as error:
        raise NoEvaluation(f"{' '.join(error.problems)}; run the evaluation again") from error
    settings, models = content.get("settings"), content.get("models")
    lacking = [key for key in SETTINGS if not isinstance(settings, dict) or number(settings.get(key)) is None]
    if lacking or not isinstance(models, dict) or not all(isinstance(row, dict) for row in models.values()):
        raise NoEvaluation(
            f"{directory / RESULTS} does not say {', '.join(lacking) or 'models'}; run the evaluation again"
        )
    if manifest.metrics.get("models") not in (None, models):
        raise NoEvaluation(f"{directory / RESULTS} and its manifest have different numbers; run the evaluation again")
    records = manifest.inputs.get("models", [])
    records = records if isinstance(records, list) else [records]
    fingerprints = {Path(r["path"].partition("@")[0]).name: r["fingerprint"] for r in records}
    return Evaluation(directory, manifest, content["settings"], models, fingerprints)


def find_evaluation(made: Made, given: Path | None) -> Evaluation:
    """The evaluation that the person names, else the stage `evaluate` of the same run."""
    return load_evaluation(given or made.directory.parent / "evaluate")


def _sure(scores: dict[str, Any]) -> str:
    error = f"standard error {100 * scores['stderr']:.2f}"
    found = bounds(scores, "pass_at_1")
    return error if found is None else f"95% interval {100 * found[0]:.2f} to {100 * found[1]:.2f}, {error}"


def result_file(
    evaluation: Evaluation, made: Made, dataset: str, revision: str | None, url: str
) -> list[dict[str, Any]]:
    """The content of a file in `.eval_results/`: the Hub's own format for evaluation results.

    Source: huggingface_hub `EvalResultEntry`; hub-docs, eval-results. Values are in percent.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    scores, settings = evaluation.scores(made), evaluation.settings
    note = (
        f"pass@1 in percent, {_sure(scores)}; {settings['problems']} problems, "
        f"{settings['k']} samples each, temperature {settings['temperature']}, top-p {settings['top_p']}, "
        f"at most {settings['max_new_tokens']} tokens"
    )
    entry = EvalResultEntry(
        dataset_id=dataset,
        task_id="default",
        value=round(100 * scores["pass_at_1"], 2),
        dataset_revision=revision,
        date=evaluation.manifest.created,
        source_url=url,
        source_name="r1hf evaluation",
        notes=note,
    )
    return eval_result_entries_to_yaml([entry])
