"""Which answers to a question become training data. Pure; nothing depends on their order."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Literal, get_args

from mmdft.config import SampleConfig
from mmdft.records import Prediction, Verdict

Fate = Literal[
    "kept", "truncated", "empty", "unscored", "no_answer", "wrong", "solved", "duplicate", "surplus"
]
"""What becomes of an answer, the first that holds: it is cut off; blank; has a verdict that is not
kept; is to a question whose answers are all right; says what another does; or is kept, unless it is
beyond `max_kept`: surplus."""
FATES: tuple[Fate, ...] = get_args(Fate)


def fates(
    predictions: Sequence[Prediction], verdicts: Sequence[Verdict], settings: SampleConfig
) -> list[Fate]:
    """What becomes of each of the answers to one question.

    Two answers are the same if their normalised texts are; the one with the lowest sample number
    stands for all. Where more than `max_kept` differ, a hash of seed, question and normalised text
    chooses, so that a smaller `max_kept` keeps a part of what a larger one does.

    Args:
        predictions: the answers to one question, of different sample numbers.
        verdicts: one for each.
        settings: `keep`, `skip_solved`, `max_kept`, `seed`.
    """
    found: list[Fate] = ["kept"] * len(predictions)
    is_solved = num_right(verdicts) == len(verdicts)
    texts: dict[str, int] = {}
    for place in sorted(range(len(predictions)), key=lambda place: predictions[place].sample):
        prediction, status = predictions[place], verdicts[place].status
        if prediction.truncated:
            found[place] = "truncated"
        elif not prediction.response.strip():
            found[place] = "empty"
        elif status == "unscored" or (status != "correct" and settings.keep == "correct"):
            found[place] = status
        elif settings.skip_solved and is_solved:
            found[place] = "solved"
        elif texts.setdefault(normalised(prediction.response), place) != place:
            found[place] = "duplicate"
    kept = [(text, place) for text, place in texts.items() if found[place] == "kept"]
    if settings.max_kept is not None and len(kept) > settings.max_kept:
        kept.sort(key=lambda each: _draw(settings.seed, predictions[each[1]].id, each[0]))
        for _, place in kept[settings.max_kept :]:
            found[place] = "surplus"
    return found


def num_right(verdicts: Sequence[Verdict]) -> int:
    """How many of the answers are right, cut off or not."""
    return sum(verdict.status == "correct" for verdict in verdicts)


def normalised(response: str) -> str:
    """The text by which answers are told apart: in Unicode's NFC, white space as single spaces.

    Case, punctuation and mark-up count.
    """
    return " ".join(unicodedata.normalize("NFC", response).split())


def _draw(seed: int, name: str, text: str) -> bytes:
    return hashlib.blake2b(repr((seed, name, text)).encode(), digest_size=16).digest()
