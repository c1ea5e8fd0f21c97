"""ChartQAPro: harder charts and questions, some of them at the end of a conversation.

https://github.com/vis-nlp/ChartQAPro, ahmed-masry/ChartQAPro on the hub. `Question`, `Answer` and
`Year` are lists, one entry for each turn of a conversation; the last is asked. The wording of the
prompt is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmdft.evals.benchmarks.published import Published
from mmdft.evals.benchmarks.rows import Row, asked, optional_text, text, texts
from mmdft.evals.benchmarks.scores import Judged, Score, is_scored, share
from mmdft.evals.rules.chartqapro import credit
from mmdft.records import Example

PUBLISHED = Published(
    splits={"test": ("test.jsonl", "test.json", "chartqapro.json")}, default=("test",)
)
PROMPT = (
    "\nAnswer with a number, a word or a short phrase and nothing else; several answers as a list "
    "such as [2016, 2018]. If the chart does not hold the answer, reply unanswerable."
)


def example(row: Row) -> Example:
    """The question behind its paragraph and the turns before it, and the answer's form."""
    questions = texts(row, "Question", "question") if _is_list(row, "Question") else ()
    questions = questions or (text(row, "Question", "question"),)
    answers = texts(row, "Answer") if _is_list(row, "Answer") else ()
    answers = answers or (text(row, "Answer", "answer"),)
    years = texts(row, "Year") if _is_list(row, "Year") else (optional_text(row, "Year") or "NO",)
    kind = text(row, "Question Type", "question_type")
    paragraph = optional_text(row, "Paragraph")
    lines = [paragraph] if paragraph else []
    for question, answer in zip(questions[:-1], answers[:-1], strict=False):
        lines += [f"Question: {question}", f"Answer: {answer}"]
    lines.append(questions[-1])
    return Example(
        id=optional_text(row, "id", "index") or str(row.number),
        turns=asked(row, "\n".join(lines) + PROMPT, "image"),
        answer=answers[-1],
        category=kind,
        meta={
            "question_type": kind,
            "years": list(years[-1:] if kind == "Conversational" else years),
        },
    )


def _is_list(row: Row, key: str) -> bool:
    value = row.values.get(key)
    return isinstance(value, list) or (isinstance(value, str) and value.startswith("["))


def _credits(judged: Judged) -> tuple[float, ...]:
    scored = [(example, v) for example, v in judged if is_scored(v)]
    given: Sequence[float] = [credit(example, v.extraction.answer or "") for example, v in scored]
    return (len(scored), sum(given))


# The authors' figure: an answer that is nearly right, or right in part, has a part of a point.
SCORES = (Score(name="relaxed accuracy", counts=_credits, value=share),)
