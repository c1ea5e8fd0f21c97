"""LogicVista's comparison against the verdicts its authors recorded, given their extractions.

With the agreement of our own extraction: `pytest tests/parity/test_official_logicvista.py -s`.
"""

from pathlib import Path

import pytest

from mmdft.evals.rules.logicvista import official, same_letters
from mmdft.files import read_jsonl
from mmdft.records import Example, Prediction

RECORDS = Path(__file__).resolve().parents[2].parent / "shared" / "official" / "logicvista"
MODELS = ("GPT4", "LLAVA13B", "LLAVANEXT-7B-vicuna", "otter9B")

pytestmark = pytest.mark.skipif(
    not RECORDS.is_dir(), reason=f"no {RECORDS}: recorded verdicts are not shipped with mmdft"
)


def is_right(row):
    return row["correct"] == "1"


@pytest.mark.parametrize("model", MODELS)
def test_recorded_extractions_give_the_recorded_verdicts(model):
    rows = [row for _, row in read_jsonl(RECORDS / f"{model}.jsonl.gz")]
    assert len(rows) == 448
    wrong = [r["id"] for r in rows if same_letters(r["answer"], r["extraction"]) != is_right(r)]
    assert wrong == []


@pytest.mark.parametrize("model", MODELS)
def test_our_extraction_agrees(model):
    """The recordings have no questions; with them the choices' texts are read as well."""
    rows = [row for _, row in read_jsonl(RECORDS / f"{model}.jsonl.gz")]
    differ = []
    for row in rows:
        gold = ", ".join(part for part in row["answer"].strip("[]").replace("'", "").split(", "))
        example = Example(id=row["id"], turns=(), answer=gold.upper())
        verdict = official(example, Prediction(id=row["id"], response=row["response"]))
        if (verdict.status == "correct") != is_right(row):
            differ.append((row["id"], row["response"], row["extraction"], verdict.extraction))
    print(f"\n{model}: verdicts {len(rows) - len(differ)}/{len(rows)}, not: {differ[:9]}")
    assert len(differ) <= 0.02 * len(rows)
