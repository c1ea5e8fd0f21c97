r"""The benchmarks: where their rows lie, how they are asked, how they are reported.

Each loader turns a folder into Examples: one user turn, the image first and then the prompt.
Nothing is guessed: a missing image, a row without a field, a path that leaves the folder are
DataErrors that name the file and the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdft.data.sources import with_choices
from mmdft.errors import DataError
from mmdft.evals.choices import index_of, index_of_wording
from mmdft.evals.question import options_in_question
from mmdft.evals.rules import RULES
from mmdft.files import read_json, read_jsonl
from mmdft.records import Example, ImageRef, Turn

# (folder or file, first rows only, with images) -> examples
Loader = Callable[[Path, int | None, bool], list[Example]]
# What one row is called in messages, and the row.
_Rows = Iterator[tuple[str, dict[str, Any]]]

MATHVISION_PROMPT = (
    "Please solve the problem step by step and put your answer in one "
    '"\\boxed{}". If it is a multiple choice question, only one letter is allowed in the '
    '"\\boxed{}".\n'
)
DYNAMATH_PROMPT = (
    "\n\nAnswer with one JSON object and nothing else: "
    '{"solution": "<your reasoning, step by step>", "short answer": "<the final answer>"}. '
)
DYNAMATH_ANSWER_FORMS = {
    "float": "The short answer is a number, with three decimals where it is not whole.",
    "multiple choice": "The short answer is the letter of one option.",
    "text": "The short answer is in the form that the question asks for.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: Its name on the command line.
        loader: Reads its rows; use `load`.
        breakdowns: Keys of `Example.meta` (or "category") that results are broken down by.
        rules: Its rule sets, the headline one first.
        cluster: The key whose items are not independent of each other, for the standard error.
        citation: Source and licence, in a line.
    """

    name: str
    loader: Loader
    breakdowns: tuple[str, ...]
    rules: tuple[str, ...]
    cluster: str | None
    citation: str

    def load(self, path: Path, limit: int | None = None, *, images: bool = True) -> list[Example]:
        """Read the benchmark from a folder (or from its data file).

        Args:
            path: The folder; or the file in it, where a folder holds several.
            limit: Only the first rows.
            images: Whether each row's images are needed. Without, they may be absent: scoring
                needs none.

        Raises:
            DataError: the folder, a row or an image is not as it should be.
        """
        examples = self.loader(path, limit, images)
        if not examples:
            raise DataError(f"{path}: no rows for benchmark {self.name!r}")
        seen: set[str] = set()
        for example in examples:
            if example.id in seen:
                raise DataError(f"{path}: id {example.id!r} appears twice; ids must be unique")
            seen.add(example.id)
        return examples


def _load_figures(path: Path, limit: int | None, images: bool) -> list[Example]:
    source = _only_jsonl(path)
    examples = []
    for where, row in _jsonl_rows(source, limit):
        choices = _texts(row, "choices", where, default=())
        question = _text(row, "question", where)
        answer = _text(row, "answer", where) if row.get("answer") is not None else None
        if answer is not None and choices and _resolve(answer, choices) is None:
            raise DataError(
                f"{where}: answer {answer!r} is neither the text nor the letter of one of the "
                f"choices {list(choices)}; correct the row"
            )
        meta = row.get("meta") or {}
        if not isinstance(meta, dict):
            raise DataError(f"{where}: 'meta' must be an object, not {type(meta).__name__}")
        single = (_text(row, "image", where),) if row.get("image") is not None else ()
        files = _texts(row, "images", where, default=()) or single
        examples.append(
            Example(
                id=_id(row, where),
                turns=_asked(source.parent, files, with_choices(question, choices), where, images),
                answer=answer,
                choices=choices,
                category=str(row.get("category") or ""),
                meta=meta,
            )
        )
    return examples


def _load_mathvision(path: Path, limit: int | None, images: bool) -> list[Example]:
    r"""MathVision, its official prompt word for word (MATH-V at a1f5cc3).

    `<image1>` marks stay in the question as they do there. Options that are drawn in the figure
    (the row's options are just A to E) are not listed.
    """
    source = _one_of(path, ("test.jsonl", "test.jsonl.gz", "testmini.jsonl"))
    examples = []
    for where, row in _jsonl_rows(source, limit):
        choices = _texts(row, "options", where)
        listed = () if list(choices) == list("ABCDE") else choices
        prompt = MATHVISION_PROMPT + with_choices(_text(row, "question", where), listed)
        files = (_text(row, "image", where),) if images else ()
        subject = _text(row, "subject", where)
        examples.append(
            Example(
                id=_id(row, where),
                turns=_asked(source.parent, files, prompt, where, images),
                answer=_text(row, "answer", where) if row.get("answer") is not None else None,
                choices=choices,
                category=subject,
                meta={
                    "subject": subject,
                    "level": row.get("level"),
                    "answer_type": "multiple choice" if choices else "free form",
                },
            )
        )
    return examples


def _load_dynamath(path: Path, limit: int | None, images: bool) -> list[Example]:
    """DynaMath's seed questions.

    The authors ask for a JSON object with "solution" and "short answer". The wording here is ours,
    so compare figures with theirs with care.
    """
    source = _one_of(path, ("dataset.json",))
    rows = read_json(source)
    if not isinstance(rows, dict):
        raise DataError(f"{source}: expected one JSON object, number -> question")
    examples = []
    for number, row in list(rows.items())[:limit]:
        where = f"{source}: row {number}"
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object, not {type(row).__name__}")
        kind = _text(row, "answer_type", where)
        question = _text(row, "question", where)
        form = DYNAMATH_ANSWER_FORMS.get(kind, DYNAMATH_ANSWER_FORMS["float"])
        subject = " ".join(_text(row, "subject", where).split())
        files = (_text(row, "image", where),) if images else ()
        examples.append(
            Example(
                id=number,
                turns=_asked(
                    source.parent, files, question + DYNAMATH_PROMPT + form, where, images
                ),
                answer=_text(row, "answer", where),
                choices=options_in_question(question) if kind == "multiple choice" else (),
                category=subject,
                meta={
                    "subject": subject,
                    "level": _text(row, "level", where),
                    "answer_type": kind,
                    "seed": number,
                },
            )
        )
    return examples


BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            name="figures",
            loader=_load_figures,
            breakdowns=("category",),
            rules=tuple(RULES["figures"]),
            cluster=None,
            citation="mmdft's own drawn figures with exact answers (Apache-2.0)",
        ),
        Benchmark(
            name="mathvision",
            loader=_load_mathvision,
            breakdowns=("subject", "level", "answer_type"),
            rules=tuple(RULES["mathvision"]),
            cluster=None,
            citation="MATH-V, Wang et al. 2024, https://github.com/mathllm/MATH-V (MIT)",
        ),
        Benchmark(
            name="dynamath",
            loader=_load_dynamath,
            breakdowns=("subject", "level", "answer_type"),
            rules=tuple(RULES["dynamath"]),
            cluster="seed",
            citation="DynaMath, Zou et al. 2024, https://github.com/DynaMath/DynaMath (MIT)",
        ),
    )
}


def benchmark_named(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        DataError: there is none; the message lists those there are.
    """
    if name not in BENCHMARKS:
        raise DataError(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


# --- files and rows ---


def _only_jsonl(path: Path) -> Path:
    if not path.is_dir():
        return _existing_file(path)
    found = sorted(path.glob("*.jsonl"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"{path}: expected one .jsonl file, found {names}; name the file itself")
    return found[0]


def _one_of(path: Path, names: tuple[str, ...]) -> Path:
    if not path.is_dir():
        return _existing_file(path)
    found = [path / name for name in names if (path / name).is_file()]
    if len(found) != 1:
        there = " and ".join(file.name for file in found) or "none of them"
        raise DataError(
            f"{path}: expected one of {', '.join(names)}, found {there}; "
            "give the benchmark's folder, or the file itself"
        )
    return found[0]


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder; check the path of the benchmark's data")
    return path


def _jsonl_rows(source: Path, limit: int | None) -> _Rows:
    for count, (number, row) in enumerate(read_jsonl(source)):
        if count == limit:
            return
        if not isinstance(row, dict):
            raise DataError(f"{source}:{number}: expected a JSON object")
        yield f"{source}:{number}: row {row.get('id')!r}", row


def _id(row: dict[str, Any], where: str) -> str:
    value = row.get("id")
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise DataError(f"{where}: 'id' must be a text or a whole number")
    return str(value)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        state = "missing" if key not in row else f"{value!r}"
        raise DataError(f"{where}: {key!r} must be a text but is {state}")
    return str(value)


def _texts(
    row: dict[str, Any], key: str, where: str, default: tuple[str, ...] | None = None
) -> tuple[str, ...]:
    value = row.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, list) or not all(
        isinstance(item, str | int | float) for item in value
    ):
        state = "missing" if key not in row else f"{value!r}"
        raise DataError(f"{where}: {key!r} must be a list of texts but is {state}")
    return tuple(str(item) for item in value)


def _resolve(answer: str, choices: tuple[str, ...]) -> int | None:
    worded = index_of_wording(answer, choices)
    return index_of(answer, choices) if worded is None else worded


def _asked(
    root: Path, files: tuple[str, ...], prompt: str, where: str, images: bool
) -> tuple[Turn, ...]:
    parts = tuple(ImageRef(path=_inside(root, file, where)) for file in files) if images else ()
    return (Turn(role="user", parts=(*parts, prompt)),)


def _inside(root: Path, file: str, where: str) -> Path:
    path = (root / file).resolve()
    if Path(file).is_absolute() or not path.is_relative_to(root.resolve()):
        raise DataError(
            f"{where}: image {file!r} lies outside {root}; images must be inside the data's folder"
        )
    if not path.is_file():
        raise DataError(f"{where}: image {path} is missing; fetch it or remove the row")
    return path
