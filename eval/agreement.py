"""How far mmdft's verdicts, given without a judge, agree with the recorded official ones.

    python eval/agreement.py ../shared/official

reads recorded responses with the extraction and the verdict that each benchmark's own pipeline
gave (MathVista's and LogicVista's extractions are GPT-4's), scores the responses again and writes
eval/agreement.md. Nothing is fitted here, and no row is left out.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.evals.benchmarks import BENCHMARKS
from mmdft.evals.choices import letter
from mmdft.evals.extract import extract
from mmdft.evals.extraction.parts import own_part
from mmdft.evals.number_words import NUMBER_WORDS, number_words
from mmdft.evals.rules import RULES
from mmdft.evals.rules.mathvista_official import correct
from mmdft.files import read_jsonl, write_text
from mmdft.records import Example, Prediction, Verdict

# The stages were developed on these; the others were held out until the end.
DEVELOPED_ON = (
    "chatgpt_2shot_solution",
    "claude_2shot_solution_use_ocr",
    "idefics_9b_instruct",
    "llava_llama_2_13b",
)
# What the held-out files gave when they were first looked at; their disagreements were read, and
# the stages mended, only after that.
FIRST_LOOK = "2404 of 2445 (98.3 %; bard 879 of 907, chatgpt 585 of 587, minigpt4 940 of 951)"
# The option texts are not known, as in LogicVista's recordings.
LETTERS = tuple("ABCDEFGH")
MOST_EXAMPLES = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded response of MathVista with its official extraction and ours."""

    model: str
    example: Example
    response: str
    recorded: str
    recorded_verdict: bool
    ours: Verdict

    @property
    def committed(self) -> bool:
        """Whether the recorded extraction is a letter in range, one of the choices, or a number."""
        return is_committed(self.recorded, self.example.choices)

    @property
    def official(self) -> bool:
        """The current official rule on the recorded extraction."""
        return correct(self.recorded, self.example)

    @property
    def agrees(self) -> bool:
        """Whether the official verdict is the same from either extraction."""
        return self.official == (self.ours.status == "correct")


def is_committed(extraction: str, choices: Sequence[str]) -> bool:
    """Whether an extraction is a letter in range, exactly one of the choices, or a number."""
    text = extraction.strip()
    bare = re.fullmatch(r"\(?([A-Z])\)?", text)
    if choices and bare and ord(bare[1]) - ord("A") < len(choices):
        return True
    if text in choices:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def mathvista_rows(folder: Path) -> list[Row]:
    """All recorded responses to MathVista testmini."""
    examples = {e.id: e for e in BENCHMARKS["mathvista"].load(_gold(folder), images=False)}
    official = RULES["mathvista"]["official"]
    rows = []
    for path in sorted(folder.glob("output_*.jsonl.gz")):
        for _, row in read_jsonl(path):
            example = examples[row["pid"]]
            response = next((v for k, v in row.items() if k.startswith("response")), "") or ""
            extraction = row.get("extraction")
            rows.append(
                Row(
                    model=path.name.removeprefix("output_").removesuffix(".jsonl.gz"),
                    example=example,
                    response=response,
                    recorded="" if extraction is None else str(extraction),
                    recorded_verdict=bool(row.get("true_false")),
                    ours=official(example, Prediction(id=example.id, response=response)),
                )
            )
    return rows


def _gold(folder: Path) -> Path:
    return folder / "testmini.jsonl.gz"


# --- why a verdict differs: the first class that fits ---


def _says(row: Row) -> str:
    """The option letter that the response's own words give, or ""."""
    marked = re.findall(r"\(([A-Z])\)|\b(?:answer|option) is \(?([A-Z])\b", row.response)
    letters = {a or b for a, b in marked}
    return letters.pop() if len(letters) == 1 else ""


def _other_option_recorded(row: Row) -> bool:
    """The response names one option; the recorded extraction is another one."""
    options = [letter(i) for i in range(len(row.example.choices))]
    recorded = row.recorded.strip(" ()")
    if recorded not in options or row.ours.extraction.answer not in options:
        return False
    text = row.example.choices[options.index(recorded)]
    mentioned = re.search(rf"\({recorded}\)|\b{recorded}\b[.):]", own_part(row.response))
    return not mentioned and text.casefold() not in own_part(row.response).casefold()


def _went_on(row: Row) -> bool:
    return own_part(row.response) != row.response


def _value_against_letter(row: Row) -> bool:
    ours, options = row.ours.extraction.answer or "", len(row.example.choices)
    lettered = len(ours) == 1 and ours.isalpha()
    recorded = row.recorded.strip(" ()")
    other = len(recorded) == 1 and recorded.isalpha()
    return bool(ours) and bool(options) and lettered != other


def _worked_out(row: Row) -> bool:
    digits = re.fullmatch(r"-?\d+(?:\.\d+)?", row.recorded.strip())
    if digits is None or digits[0] in re.findall(r"-?\d+(?:\.\d+)?", row.response):
        return False
    words = [str(number_words(match[0])) for match in NUMBER_WORDS.finditer(row.response)]
    return digits[0] not in words


# name, test, whether the recorded verdict is the wrong one
CLASSES: tuple[tuple[str, Callable[[Row], bool], str], ...] = (
    (
        "the response goes on to questions of its own, and the two read different ones",
        _went_on,
        "the answer to the question that was asked is the first; `strict` takes that one",
    ),
    (
        "the response names one option and the recorded extraction is another that it never names",
        _other_option_recorded,
        "the recorded one is wrong",
    ),
    (
        "the recorded number is nowhere in the response: the judge worked it out",
        _worked_out,
        "the recorded one is the judge's answer, not the model's",
    ),
    (
        "the response gives a value and a letter that contradict each other",
        _value_against_letter,
        "open: either may be what the model meant",
    ),
    (
        "no answer found here: the response only comes near one, was cut off, or refuses",
        lambda row: row.ours.extraction.answer is None,
        "a miss of the stages, but where the response refuses and the recorded one is a guess",
    ),
    ("another reading of the same text", lambda row: True, "a miss, or an open case"),
)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("official", type=Path, help="folder of the recorded responses")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    rows = mathvista_rows(arguments.official / "mathvista")
    parts = [
        "# Agreement with recorded official verdicts\n",
        "Written by `python eval/agreement.py FOLDER`, FOLDER holding the recorded responses of "
        "MathVista (7 models), MathVision (5) and LogicVista (4) with the extraction and the "
        "verdict that the benchmark's own pipeline gave. Extractions of MathVista and LogicVista "
        "are GPT-4's; here no judge is asked. Extracted answers are quoted, responses are not "
        "(MathVista is CC BY-SA 4.0).\n",
        *replayed(rows),
        *extracted(rows),
        *stages(rows),
        *disagreements(rows),
        *mathvision(arguments.official / "mathvision"),
        *logicvista(arguments.official / "logicvista"),
    ]
    text = "\n".join(parts).rstrip() + "\n"
    write_text(arguments.out, text)
    print(text)


def replayed(rows: Sequence[Row]) -> list[str]:
    """The official rule on the recorded extractions."""
    table = []
    exceptions = []
    for model, of_model in _by_model(rows):
        same = [row for row in of_model if row.official == row.recorded_verdict]
        right = sum(row.official for row in of_model)
        table.append((model, len(of_model), right, len(same)))
        exceptions += [row for row in of_model if row.official != row.recorded_verdict]
    table.append(("all", *(sum(column) for column in list(zip(*table, strict=True))[1:])))
    lines = [
        "## MathVista: the official rule on the recorded extractions\n",
        *_table(("model", "items", "correct", "recorded verdict reproduced"), table),
        "\nNot reproduced, and why:\n",
    ]
    for row in exceptions:
        lines.append(
            f"- {row.model}, pid {row.example.id}: extraction `{_short(row.recorded)}`, gold "
            f"{row.example.answer}. Recorded as wrong under the old rule, int(x), which does not "
            "read it; the current rule, int(float(x)), does, and finds it right."
        )
    return [*lines, ""]


def extracted(rows: Sequence[Row]) -> list[str]:
    """The official verdict from our extraction against that from the recorded one."""
    table = []
    for model, of_model in _by_model(rows):
        table.append((model, *_agreement(of_model)))
    groups = {
        "developed on": [row for row in rows if row.model in DEVELOPED_ON],
        "held out": [row for row in rows if row.model not in DEVELOPED_ON],
        "all": rows,
    }
    table += [(f"**{name}**", *_agreement(group)) for name, group in groups.items()]
    header = ("model", "committed", "same verdict", "%", "not committed", "no answer here", "%")
    return [
        "## MathVista: the official verdict from the response alone\n",
        "A recorded extraction is *committed* when it is a letter in range, exactly one of the "
        "choices, or a number. On the others no answer is the right extraction, but for a few "
        "that are one in another form, such as `(D) 40m` or `1:3`.\n",
        *_table(header, table),
        f"\nThe files held out gave {FIRST_LOOK} when they were first looked at; the figures "
        "above are of the stages as they are now, mended after that look.\n",
    ]


def stages(rows: Sequence[Row]) -> list[str]:
    """Which stage found the answers, and how often the verdict then agrees."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.committed:
            found[row.ours.extraction.stage].append(row)
    table = [
        (stage, len(group), f"{100 * sum(row.agrees for row in group) / len(group):.1f}")
        for stage, group in sorted(found.items(), key=lambda item: -len(item[1]))
    ]
    return ["### By stage\n", *_table(("stage", "committed items", "same verdict %"), table), ""]


def disagreements(rows: Sequence[Row]) -> list[str]:
    """The classes of what remains."""
    classed: dict[str, list[Row]] = {name: [] for name, _, _ in CLASSES}
    for row in rows:
        if row.committed and not row.agrees:
            classed[next(name for name, fits, _ in CLASSES if fits(row))].append(row)
    lines = ["### What remains, by class\n"]
    for name, _, judgement in CLASSES:
        group = classed[name]
        counts = Counter(row.model for row in group)
        of_models = ", ".join(f"{model} {count}" for model, count in counts.most_common())
        lines.append(
            f"**{len(group)}: {name}.** {judgement.capitalize()}. ({of_models or 'none'})\n"
        )
        lines += [
            f"- {row.model} {row.example.id}: recorded `{_short(row.recorded)}`, here "
            f"`{_short(row.ours.extraction.answer or 'no answer')}` "
            f"({row.ours.extraction.stage}), gold `{_short(row.example.answer or '')}`"
            for row in group[:MOST_EXAMPLES]
        ]
        lines.append("")
    others = [row for row in rows if not row.committed and row.ours.extraction.answer is not None]
    lines.append(
        f"**{len(others)}: an answer here, where the recorded extraction is not committed.** "
        "Many are one in both: a letter with its text, a ratio, a value with its unit. Others come "
        "of responses that go on to questions of their own.\n"
    )
    lines += [
        f"- {row.model} {row.example.id}: recorded `{_short(row.recorded)}`, here "
        f"`{_short(row.ours.extraction.answer or '')}`"
        for row in others[:: max(1, len(others) // 10)]
    ]
    return [*lines, ""]


def mathvision(folder: Path) -> list[str]:
    """The official rule of MathVision, from the response alone."""
    examples = {
        e.id: e for e in BENCHMARKS["mathvision"].load(folder / "test.jsonl.gz", images=False)
    }
    table: list[tuple[Any, ...]] = []
    differing = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        if path.name == "test.jsonl.gz":
            continue
        recorded = [row for _, row in read_jsonl(path)]
        same = 0
        for row in recorded:
            prediction = Prediction(id=row["id"], response=row["response"])
            verdict = RULES["mathvision"]["official"](examples[row["id"]], prediction)
            if (verdict.status == "correct") == row["correct"]:
                same += 1
            else:
                differing.append(
                    f"- {_model(path)}, id {row['id']}: `{_short(str(row['model_answer']))}` "
                    f"against the gold `{examples[row['id']].answer}`, recorded as "
                    f"{'right' if row['correct'] else 'wrong'}. The same answer of another model "
                    "is recorded as right: the recorded one is wrong."
                )
        table.append((_model(path), len(recorded), same, f"{100 * same / len(recorded):.2f}"))
    total, same = sum(row[1] for row in table), sum(row[2] for row in table)
    table.append(("**all**", total, same, f"{100 * same / total:.2f}"))
    return [
        "## MathVision: the official rule, from the response alone\n",
        *_table(("model", "items", "recorded verdict reproduced", "%"), table),
        "",
        *differing,
        "",
    ]


def logicvista(folder: Path) -> list[str]:
    """LogicVista: the extracted letter."""
    table: list[tuple[Any, ...]] = []
    for path in sorted(folder.glob("*.jsonl.gz")):
        lettered, same, others, none = 0, 0, 0, 0
        for _, row in read_jsonl(path):
            answer = extract(row["response"] or "", choices=LETTERS).answer
            recorded = _letters(row["extraction"])
            if len(recorded) == 1:
                lettered += 1
                same += (answer or "").lower() == recorded[0]
            else:
                others += 1
                none += answer is None
        share = f"{100 * same / lettered:.1f}"
        table.append((_model(path), lettered, same, share, others, none))
    sums = [sum(row[i] for row in table) for i in (1, 2, 4, 5)]
    table.append(("**all**", *sums[:2], f"{100 * sums[1] / sums[0]:.1f}", *sums[2:]))
    return [
        "## LogicVista: another benchmark\n",
        "Nothing was developed on these recordings. When they were first looked at, 1,701 of 1,723 "
        'letters were the same; then the reading of "A" in a refusal as an option, and of `(B] no` '
        "as none, were mended, with the result below. The recordings hold neither questions nor "
        "options, so that an answer in words or by its value (otter9B) cannot become a letter.\n",
        *_table(
            ("model", "one letter recorded", "same letter", "%", "otherwise", "no answer here"),
            table,
        ),
        "",
    ]


def _letters(extraction: Any) -> list[str]:
    try:
        value = ast.literal_eval(extraction) if isinstance(extraction, str) else extraction
    except (ValueError, SyntaxError):
        return []
    return [text for text in value if len(text) == 1] if isinstance(value, list) else []


def _agreement(rows: Iterable[Row]) -> tuple[Any, ...]:
    committed, others = [], []
    for row in rows:
        (committed if row.committed else others).append(row)
    same = sum(row.agrees for row in committed)
    none = sum(row.ours.extraction.answer is None for row in others)
    return (
        len(committed), same, f"{100 * same / len(committed):.2f}",
        len(others), none, f"{100 * none / len(others):.1f}",
    )  # fmt: skip


def _by_model(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.model].append(row)
    return found.items()


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def _short(text: str) -> str:
    text = " ".join(text.replace("`", "'").split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _model(path: Path) -> str:
    return path.name.removesuffix(".jsonl.gz")


if __name__ == "__main__":
    main()
