"""What came of a sampling, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmdft.records import Prediction, Verdict
from mmdft.rejection.keep import FATES, Fate, num_right


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All answers to one question, in the order of their sample numbers."""

    predictions: tuple[Prediction, ...]
    verdicts: tuple[Verdict, ...]
    fates: tuple[Fate, ...]

    @property
    def right(self) -> int:
        """How many are right."""
        return num_right(self.verdicts)

    @property
    def kept(self) -> list[Prediction]:
        """Those that are written into the training file."""
        pairs = zip(self.predictions, self.fates, strict=True)
        return [prediction for prediction, fate in pairs if fate == "kept"]


def report(answers: Sequence[Answers], unanswered: int) -> dict[str, Any]:
    """The counts and rates of a sampling. JSON.

    Args:
        answers: of each question that was asked; none for one that no answer came to.
        unanswered: requests that no answer came to.

    Returns:
        `questions` asked, of them `none_right`, `some_right`, `all_right` and `unanswered` (without
        any answer); `answers`, of them `right` (cut off or not), `truncated`, `kept`, and
        `not_kept`: each other fate's number; `right_rate` and `keep_rate`, of the answers;
        `questions_kept` (with a kept answer), `kept_per_question` (mean over all that were asked)
        and `questions_by_kept` (how many kept how many); `mean_tokens` and `mean_characters` of
        the answers and of those kept. A mean or rate of nothing is None, and so is that of tokens
        which were not counted.
    """
    fates = Counter(fate for each in answers for fate in each.fates)
    predictions = [prediction for each in answers for prediction in each.predictions]
    kept = [prediction for each in answers for prediction in each.kept]
    right = sum(each.right for each in answers)
    by_kept = Counter(len(each.kept) for each in answers)
    answered = [each for each in answers if each.predictions]
    return {
        "questions": {
            "asked": len(answers),
            "none_right": sum(each.right == 0 for each in answered),
            "some_right": sum(0 < each.right < len(each.predictions) for each in answered),
            "all_right": sum(each.right == len(each.predictions) for each in answered),
            "unanswered": len(answers) - len(answered),
            "kept": len(answers) - by_kept[0],
        },
        "answers": {
            "num": len(predictions),
            "unanswered": unanswered,
            "right": right,
            "truncated": sum(prediction.truncated for prediction in predictions),
            "kept": len(kept),
            "not_kept": {fate: fates[fate] for fate in FATES if fate != "kept" and fates[fate]},
        },
        "right_rate": _share(right, len(predictions)),
        "keep_rate": _share(len(kept), len(predictions)),
        "kept_per_question": _share(len(kept), len(answers)),
        "questions_by_kept": {str(num): by_kept[num] for num in sorted(by_kept)},
        "mean_tokens": {"answers": _tokens(predictions), "kept": _tokens(kept)},
        "mean_characters": {"answers": _characters(predictions), "kept": _characters(kept)},
    }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _tokens(predictions: Sequence[Prediction]) -> float | None:
    counts = [prediction.num_tokens for prediction in predictions]
    return _share(sum(counts), len(counts)) if all(counts) else None


def _characters(predictions: Sequence[Prediction]) -> float | None:
    return _share(sum(len(each.response) for each in predictions), len(predictions))
