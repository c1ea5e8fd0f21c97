"""Predictions as other evaluators keep them: VLMEvalKit's xlsx or tsv, lmms-eval's samples JSONL.

Both number items in their own way, so a row is matched with an item of the benchmark by an id
that it names, by its number, or by its question; a row that fits none, or several, is an error.
Reading and writing xlsx needs openpyxl: `pip install 'mmdft[xlsx]'`.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from mmdft.errors import DataError
from mmdft.evals.choices import letter
from mmdft.evals.question import asked
from mmdft.evals.rules.judging import gold_index
from mmdft.files import read_jsonl, write_bytes, write_jsonl, write_text
from mmdft.records import Example, Prediction

# An xlsx cell holds no more.
CELL_LIMIT = 32_767
_TABLES = (".xlsx", ".tsv")
# How the formats name an item, the most telling first.
_ID_KEYS = ("pid", "id", "sample_index", "question_id", "figure_id")
# We-Math's items are named by problem and part (2steps_multi), DynaMath's by seed and variant.
_PAIRS = (("ID", "key", "/"), ("qid", "varid", "-"))


def is_foreign(path: Path) -> bool:
    """Whether a file is one of VLMEvalKit's or lmms-eval's, by its name or its first row."""
    if path.suffix in _TABLES:
        return True
    first = next(read_jsonl(path), (0, None))[1]
    return isinstance(first, dict) and "doc_id" in first and _responses_key(first) is not None


def read_foreign(
    path: Path, examples: Sequence[Example], *, partial: bool = False
) -> list[Prediction]:
    """The predictions of a VLMEvalKit or lmms-eval file, under the benchmark's own ids.

    Args:
        path: the file.
        examples: the benchmark's items.
        partial: whether `examples` are only some of them. Rows that fit none of these are then
            left out, and those that fit one by nothing but a question that other rows have too.

    Raises:
        DataError: the file is empty or damaged, or a row fits no item or several.
    """
    rows = list(_table_rows(path) if path.suffix in _TABLES else _sample_rows(path))
    times = Counter(text for _, row, _, _ in rows for text in _questions(row))
    shared = {text for text in times if partial and times[text] > 1}
    by_id = {example.id: example for example in examples}
    by_question: dict[str, list[str]] = defaultdict(list)
    for example in examples:
        for text in {_folded(_prompt(example)), _folded(asked(_prompt(example)))}:
            by_question[text].append(example.id)
    predictions = []
    for where, row, number, responses in rows:
        try:
            identity = _identity(row, number, by_id, by_question, where, shared)
        except _NoItem:
            if not partial:
                raise
            continue
        predictions += [
            Prediction(id=identity, response=response, sample=sample)
            for sample, response in enumerate(responses)
        ]
    if not rows:
        raise DataError(f"{path}: no predictions in it")
    return predictions


def write_vlmevalkit(
    path: Path, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> None:
    """Write predictions as VLMEvalKit's table, xlsx or tsv by the name, for its `--reuse`.

    Raises:
        DataError: an item has several samples; a response is too long for xlsx; openpyxl is
            missing.
    """
    by_id = {example.id: example for example in examples}
    if len({prediction.id for prediction in predictions}) != len(predictions):
        raise DataError(f"{path}: VLMEvalKit keeps one answer an item; export one sample only")
    rows = [_exported(by_id[prediction.id], prediction) for prediction in predictions]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    if path.suffix == ".tsv":
        buffer = io.StringIO()
        csv.writer(buffer, delimiter="\t", lineterminator="\n").writerows(table)
        write_text(path, buffer.getvalue())
        return
    for prediction in predictions:
        if len(prediction.response) > CELL_LIMIT:
            raise DataError(
                f"{path}: row {prediction.id!r}: {len(prediction.response)} characters; a cell of "
                f"xlsx holds {CELL_LIMIT}; write a .tsv instead"
            )
    workbook = _openpyxl(path).Workbook(write_only=True)
    sheet = workbook.create_sheet()
    for cells in table:
        sheet.append([_cell(sheet, value, path) for value in cells])
    content = io.BytesIO()
    workbook.save(content)
    write_bytes(path, content.getvalue())


def write_lmms_eval(
    path: Path, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> None:
    """Write predictions as the samples JSONL of `lmms_eval --log_samples`."""
    place = {example.id: number for number, example in enumerate(examples)}
    grouped: dict[str, list[str]] = defaultdict(list)
    for prediction in sorted(predictions, key=lambda item: (place[item.id], item.sample)):
        grouped[prediction.id].append(prediction.response)
    rows = []
    for identity, responses in grouped.items():
        example = examples[place[identity]]
        rows.append(
            {
                "doc_id": place[identity],
                "doc": {
                    "pid": identity,
                    "question": asked(_prompt(example)),
                    "query": _prompt(example),
                    "choices": list(example.choices) or None,
                    "answer": example.answer,
                    **example.meta,
                },
                "target": example.answer,
                "resps": [responses],
                "filtered_resps": responses,
            }
        )
    write_jsonl(path, rows)


class _NoItem(DataError):
    """A row is for no item that is known."""


# a place for messages, the row's fields, its number, its responses
_Row = tuple[str, Mapping[str, Any], Any, list[str]]


def _table_rows(path: Path) -> Iterator[_Row]:
    table = _read_tsv(path) if path.suffix == ".tsv" else _read_xlsx(path)
    header = [str(cell) for cell in next(table, [])]
    if "prediction" not in header:
        raise DataError(
            f"{path}: no column 'prediction' (columns: {', '.join(header) or 'none'}); "
            "give the file that VLMEvalKit writes for its predictions"
        )
    for line, cells in enumerate(table, start=2):
        row = dict(zip(header, cells, strict=False))
        if any(cell not in (None, "") for cell in cells):
            said = row.get("prediction")
            yield f"{path}:{line}", row, row.get("index"), ["" if said is None else str(said)]


def _read_tsv(path: Path) -> Iterator[list[Any]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    csv.field_size_limit(2**31 - 1)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from csv.reader(stream, delimiter="\t")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a table of tab-separated values ({error})") from error


def _read_xlsx(path: Path) -> Iterator[list[Any]]:
    from zipfile import BadZipFile

    library = _openpyxl(path)
    try:
        workbook = library.load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, KeyError, library.utils.exceptions.InvalidFileException) as error:
        raise DataError(f"{path}: not a whole xlsx file") from error
    for cells in workbook.worksheets[0].iter_rows(values_only=True):
        yield list(cells)
    workbook.close()


def _sample_rows(path: Path) -> Iterator[_Row]:
    for line, row in read_jsonl(path):
        where = f"{path}:{line}"
        key = _responses_key(row) if isinstance(row, dict) else None
        if key is None:
            raise DataError(f"{where}: expected an object with 'filtered_resps' or 'resps'")
        responses = _flat(row[key])
        if not responses:
            raise DataError(f"{where}: {key!r} holds no text")
        doc = row.get("doc")
        yield where, doc if isinstance(doc, dict) else {}, row.get("doc_id"), responses


def _responses_key(row: Mapping[str, Any]) -> str | None:
    return next((key for key in ("filtered_resps", "resps") if row.get(key)), None)


def _flat(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [text for part in value for text in _flat(part)] if isinstance(value, list) else []


def _identity(
    row: Mapping[str, Any],
    number: Any,
    by_id: Mapping[str, Example],
    by_question: Mapping[str, list[str]],
    where: str,
    shared: Set[str],
) -> str:
    """The id of the item that a row is for; questions that are `shared` do not tell it."""
    named = {key: _name(row.get(key)) for key in _ID_KEYS}
    for first, second, between in _PAIRS:
        whole, part = _name(row.get(first)), _name(row.get(second))
        if whole is not None and part is not None:
            named = {first: f"{whole}{between}{part.rpartition('_')[2]}"}
    for key, name in named.items():
        if name is not None:
            if name not in by_id:
                raise _NoItem(
                    f"{where}: {key} {name!r}: the benchmark has no such id; "
                    "check that predictions and data belong together"
                )
            return name
    texts = _questions(row)
    found = {identity for text in texts for identity in by_question.get(text, ())}
    name = _name(number)
    if name in by_id and (name in found or not texts):
        return str(name)
    found = {identity for text in texts - shared for identity in by_question.get(text, ())}
    if len(found) == 1:
        return found.pop()
    unfit = f"{where}: number {name!r} fits no item, and its question is"
    if found:
        raise DataError(f"{unfit} that of {len(found)} items; add a column 'id'")
    raise _NoItem(f"{unfit} of none; add a column 'id'")


def _questions(row: Mapping[str, Any]) -> set[str]:
    return {_folded(str(row[key])) for key in ("query", "question") if row.get(key)}


def _name(value: Any) -> str | None:
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)  # spreadsheets keep 12 as 12.0
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        return None
    return str(value)


def _exported(example: Example, prediction: Prediction) -> dict[str, str]:
    row = {
        "index": example.id,
        "id": example.id,
        "question": _prompt(example),
        "answer": example.answer or "",
        "prediction": prediction.response,
    }
    if example.choices:
        index = gold_index(example)
        row["choices"] = repr(list(example.choices))
        row["answer_option"] = "" if index is None else letter(index)
        row |= {letter(i): choice for i, choice in enumerate(example.choices)}
    meta = {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in example.meta.items()
        if value is not None
    }
    return meta | row


def _cell(sheet: Any, value: str, path: Path) -> Any:
    # As text in every case: "=1+1" would become a formula, and a web address a link.
    cell = _openpyxl(path).cell.WriteOnlyCell(sheet, value=_without_controls(value))
    cell.data_type = "s"
    return cell


def _without_controls(text: str) -> str:
    # XML has no place for these.
    return "".join(c for c in text if c >= " " or c in "\t\n\r")


def _prompt(example: Example) -> str:
    return example.turns[-1].text if example.turns else ""


def _folded(text: str) -> str:
    return " ".join(text.split())


def _openpyxl(path: Path) -> Any:
    try:
        import openpyxl
        import openpyxl.cell
    except ImportError as error:
        raise DataError(
            f"{path}: xlsx needs openpyxl; run `pip install 'mmdft[xlsx]'`, or use a .tsv"
        ) from error
    return openpyxl
