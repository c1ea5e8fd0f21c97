"""The official MathVision rule against the verdicts its authors recorded.

Run alone, with the figures it found, by
`pytest tests/parity/test_official_mathvision.py -s`.
"""

from pathlib import Path

import pytest

from mmdft.evals.benchmarks import BENCHMARKS
from mmdft.evals.rules.mathvision import official
from mmdft.files import read_jsonl
from mmdft.records import Prediction

RECORDS = Path(__file__).resolve().parents[2].parent / "shared" / "official" / "mathvision"
MODELS = (
    "Gemini-Pro",
    "InternLM-XComposer2-VL-CoT",
    "LLaVA-v1.5-13B",
    "Qwen-VL-Max-CoT",
    "Random-Chance",
)
# (model, id): where our verdict differs from the recorded one, with the reason.
KNOWN_VERDICTS = {
    # "4/3" against the gold \frac{4}{3}, recorded as wrong; the same answer of another model
    # (InternLM, same id) is recorded as right, so no rule gives both.
    ("Gemini-Pro", "3013"),
}
# (model, id): where the extracted text differs, without changing a verdict.
KNOWN_EXTRACTIONS = {
    ("Qwen-VL-Max-CoT", "1787"),  # "A)" recorded as "a"
}

pytestmark = pytest.mark.skipif(
    not RECORDS.is_dir(), reason=f"no {RECORDS}: recorded verdicts are not shipped with mmdft"
)


@pytest.fixture(scope="module")
def examples():
    loaded = BENCHMARKS["mathvision"].load(RECORDS / "test.jsonl.gz", images=False)
    return {example.id: example for example in loaded}


@pytest.mark.parametrize("model", MODELS)
def test_recorded_verdicts_are_reproduced_from_the_response_alone(model, examples):
    rows = [row for _, row in read_jsonl(RECORDS / f"{model}.jsonl.gz")]
    assert len(rows) == 3040
    verdicts, extractions = set(), set()
    for row in rows:
        verdict = official(examples[row["id"]], Prediction(id=row["id"], response=row["response"]))
        if (verdict.status == "correct") != row["correct"]:
            verdicts.add((model, row["id"]))
        if (verdict.extraction.answer or "") != row["model_answer"]:
            extractions.add((model, row["id"]))
    for name, found in (("verdicts", verdicts), ("extractions", extractions)):
        agree = len(rows) - len(found)
        print(f"\n{model}: {name} {agree}/{len(rows)} = {agree / len(rows):.4%}, not: {found}")
    assert verdicts == {pair for pair in KNOWN_VERDICTS if pair[0] == model}
    assert extractions == {pair for pair in KNOWN_EXTRACTIONS if pair[0] == model}
