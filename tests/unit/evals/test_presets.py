"""Settings and prompts of VLMEvalKit and lmms-eval, word for word, on rows made here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdft.config import (
    BENCHMARK_NAMES,
    BenchmarkConfig,
    DecodingConfig,
    EvaluationConfig,
    ModelConfig,
)
from mmdft.config_loading import dump_config, load_config
from mmdft.errors import ConfigError, DataError
from mmdft.evals.asking import requests_for
from mmdft.evals.backends import open_backend
from mmdft.evals.benchmarks import benchmark_named
from mmdft.evals.benchmarks.presets import PROMPTS
from mmdft.evals.run import ask
from mmdft.preset_fields import PRESETS
from mmdft.records import Example, Prediction, Request, Turn

VISTA = {
    "pid": "7",
    "question": "How many?",
    "choices": ["one", "two"],
    "answer_type": "text",
    "answer": "two",
    "unit": "years",
    "precision": None,
    "metadata": {},
}
VERSE = {
    "sample_index": "1",
    "problem_index": "1",
    "problem_version": "Text Lite",
    "question_type": "free-form",
    "question": "Find x.",
    "answer": "4",
    "query_wo": "Please directly answer. Find x. ",
    "query_cot": "Think. Find x.",
    "metadata": {},
}
VISION = {
    "id": "9",
    "question": "Which?\n<image1>",
    "options": ["10", "20"],
    "answer": "A",
    "level": 2,
    "subject": "algebra",
}
WEMATH = {
    "ID": "3",
    "key": "2steps_1",
    "question": "Which one?",
    "option": "A. 3;B. 4; E. No correct answer",
    "answer": "B",
    "knowledge concept": "Units",
}
DYNA = {
    "id": "5",
    "question": "What is the period?",
    "answer": "2.094",
    "answer_type": "float",
    "subject": "algebra",
    "level": "high school",
}
LOGIC = {"id": "1", "question": "Which?\nA. x\nB. y", "answer": "A", "skill": "inductive"}
GEOMETRY = {
    "problem": "Find y.",
    "choices": ["1", "2", "3", "4"],
    "ground_truth": "B",
}
CHART = {"question": "How much?", "answer": "5", "type": "human_test"}
PRO = {
    "Question": ["When?"],
    "Answer": ["2016"],
    "Question Type": "Factoid",
    "Year": ["YES"],
    "Paragraph": "A text.",
}
TALK = PRO | {
    "Question": ["When?", " And then?"],
    "Answer": ["2016", "2017"],
    "Question Type": "Conversational",
    "Year": ["YES", "YES"],
}
CHARXIV = {
    "figure_id": "5",
    "reasoning_q": "Which has most?",
    "reasoning_a": "0.25",
    "reasoning_a_type": 4,
    "reasoning_q_source": 2,
}
DYNA_FORM = (
    "## Question\n What is the period?\n## Answer Instruction Please provide an answer to the "
    "question outlined above. Your response should adhere to the following JSON format, which "
    "includes two keys: 'solution' and 'short answer'. The 'solution' key can contain detailed "
    "steps needed to solve the question, and the 'short answer' key should provide a concise "
    "response. {}\n\nExample of expected JSON response format:\n\n"
    '{{\n    "solution": "[Detailed step-by-step explanation]",\n'
    '    "short answer": "[Concise Answer]"\n}}'
)
VISION_START = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'


def load(name: str, row: dict[str, Any], preset: str, folder: Path) -> Example:
    """The row as the preset asks it: of a JSONL file, or of VLMEvalKit's table if it has a row."""
    if "index" in row:
        path = folder / "table.tsv"
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(row), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerow(row)
    else:
        path = folder / "rows.jsonl"
        path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (example,) = benchmark_named(name).load(path, images=False, preset=preset)
    return example


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "mathvista",
            VISTA,
            "Hint: Please answer the question and provide the correct option letter, e.g., A, B, "
            "C, D, at the end.\nQuestion: How many? (Unit: years)\nChoices:\n(A) one\n(B) two",
        ),
        (
            "mathvista",
            {"index": 0, "question": "Hint: h\nQuestion: q", "answer_type": "text", "answer": "x"},
            "Hint: h\nQuestion: q",
        ),
        (
            "mathverse",
            {**VERSE, "index": 0, "metadata": "", "question": "Please directly answer it."},
            "Please directly answer it.",
        ),
        (
            "mathvision",
            {"index": 9, "question": "Which? (A) 10 (B) 20", "answer": "A", "category": "algebra"},
            "Which? (A) 10 (B) 20",
        ),
        (
            "wemath",
            WEMATH,
            "Question: Which one?\nOptions:\nA. 3\nB. 4\nE. No correct answer\n",
        ),
        (
            "wemath",
            {key: WEMATH[key] for key in ("ID", "key", "question", "answer")}
            | {"index": 0, "A": "3", "B": "4", "C": "", "hint": "Look."},
            "Hint: Look.\nQuestion: Which one?\nOptions:\nA. 3\nB. 4\n",
        ),
        (
            "dynamath",
            DYNA,
            DYNA_FORM.format(
                "Format the answer as a three-digit floating-point number and provide it in the "
                "'short answer' key."
            ),
        ),
        (
            "dynamath",
            {**DYNA, "answer_type": "multiple choice", "answer": "A"},
            DYNA_FORM.format(
                "Provide the corresponing choice option in the 'short answer' key, such as 'A', "
                "'B', 'C', or 'D'."
            ),
        ),
        (
            "dynamath",
            {**DYNA, "answer_type": "text", "answer": "May"},
            DYNA_FORM.format(
                "Float numbers in the answer should be formatted as three-digit floating-point "
                "numbers."
            ),
        ),
        ("logicvista", {"index": 1, **LOGIC}, "Which?\nA. x\nB. y"),
        ("chartqa", CHART, "How much?\nAnswer the question using a single word or phrase."),
        (
            "chartqapro",
            PRO,
            """A text.
            You are given a factoid question that you need to answer based on the provided image.
            Your answer should be a single word, number, or phrase. If the question is unanswerable based on
            the information in the provided image, your answer should be unanswerable. Do not generate units.
            But if numerical units such as million, m, billion, B, or K are required, use the exact notation
            shown in the chart.
            If there are multiple answers, put them in brackets using this format [’Answer1’, ’Answer2’].
            Remember to generate the final answer only without any additional text!
            Question: When?
            """,  # noqa: E501
        ),
        (
            "chartqapro",
            TALK | {"Paragraph": ""},
            """
            You are given a multi-turn conversation, and your job is to answer the final question based on the
            conversation history and the information in the provided image.
            Your answer should be a single word, number, or phrase. If the question is unanswerable based on
            the information in the provided image, your answer should be unanswerable. Do not generate units.
            But if numerical units such as million, m, billion, B, or K are required, use the exact notation
            shown in the chart.
            If there are multiple answers, put them in brackets using this format [’Answer1’, ’Answer2’].
            Remember to generate the final answer only without any additional text!
            Conversation: ['When?', '2016'] Question:  And then?
            """,  # noqa: E501
        ),
        (
            "charxiv",
            {"index": 0, "question": "Which has most?\n * a rule", "answer": "3",
             "inst_category": 3},
            "Which has most?\n * a rule",
        ),
    ],
)  # fmt: skip
def test_vlmevalkits_prompts(name: str, row: dict[str, Any], expected: str, tmp_path: Path) -> None:
    (turn,) = load(name, row, "vlmevalkit", tmp_path).turns
    assert (turn.role, turn.parts) == ("user", (expected,))


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        (
            "mathvista",
            VISTA,
            "Question: How many? (Unit: years)\nChoices:\n(A) one\n(B) two\nHint: Please answer "
            "the question and provide the correct option letter, e.g., A, B, C, D, at the end.",
        ),
        ("mathverse", VERSE, "Please directly answer. Find x."),
        (
            "mathvision",
            VISION,
            f"{VISION_START}Which?\n<image1>\nChoices: A. 10\nB. 20\nAnswer the question with the "
            "option's letter from the given choices directly.",
        ),
        (
            "mathvision",
            VISION | {"options": list("ABCDE")},
            f"{VISION_START}Which?\n<image1>\nChoices: A. A\nB. B\nC. C\nD. D\nE. E\nAnswer the "
            "question with the option's letter from the given choices directly.",
        ),
        ("mathvision", VISION | {"options": [], "answer": "3"}, f"{VISION_START}Which?\n<image1>"),
        ("wemath", WEMATH, "Which one?\nA. 3;B. 4; E. No correct answer"),
        ("dynamath", DYNA, "What is the period?"),
        ("logicvista", LOGIC, "Which?\nA. x\nB. y"),
        (
            "geometry3k",
            GEOMETRY,
            "Find y.\nA. 1\nB. 2\nC. 3\nD. 4\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        ("chartqa", CHART, "How much?\nAnswer the question with a single word."),
        (
            "chartqapro",
            PRO,
            "Context: A text.\n\nWhen?\nAnswer the question with a short phrase.",
        ),
        (
            "chartqapro",
            TALK | {"Paragraph": None},
            "Q1: When?\nA1: 2016\nQ2: And then?\nAnswer the question with a short phrase.",
        ),
        (
            "charxiv",
            CHARXIV,
            """Which has most?
    * If there are options in the question, your final answer must conform to one of the options.
    * If there are additional instructions in the question, follow them accordingly.
    * If there are neither options nor additional instructions, you are allowed to respond with a short phrase only.""",  # noqa: E501
        ),
    ],
)  # fmt: skip
def test_lmms_evals_prompts(name: str, row: dict[str, Any], expected: str, tmp_path: Path) -> None:
    (turn,) = load(name, row, "lmms_eval", tmp_path).turns
    assert (turn.role, turn.parts) == ("user", (expected,))


@pytest.mark.parametrize("name", ["mathverse", "mathvision", "logicvista", "charxiv"])
def test_a_prompt_that_stands_in_vlmevalkits_table_needs_the_table(
    name: str, tmp_path: Path
) -> None:
    row = {"mathverse": VERSE, "mathvision": VISION, "logicvista": LOGIC, "charxiv": CHARXIV}[name]
    with pytest.raises(
        DataError, match=r"rows\.jsonl:1: .*VLMEvalKit's own table; give that \.tsv"
    ):
        load(name, row, "vlmevalkit", tmp_path)


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("mathverse", {"index": 1, **VERSE, "query_wo": "", "metadata": ""}, "'query_wo' must be"),
        ("mathvision", {"index": 9, "question": "q", "answer": "A", "category": "c"}, "'options'"),
        ("wemath", {**WEMATH, "option": None, "choices": []}, "'option' must be a text"),
        ("geometry3k", {"problem": "Find y.", "answer": "2"}, "'choices' is missing"),
        ("mathvista", {**VISTA, "query": "How many?"}, "must begin with a hint"),
        ("charxiv", {**CHARXIV, "reasoning_q_source": 7}, "the question's source is '7'"),
    ],
)
def test_a_row_that_gives_no_such_prompt_is_refused(
    name: str, row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        load(name, row, "lmms_eval", tmp_path)


def test_all_else_of_an_item_is_as_without_a_preset(tmp_path: Path) -> None:
    for name, row in (("mathvision", VISION), ("dynamath", DYNA), ("chartqa", CHART)):
        found = load(name, row, "lmms_eval", tmp_path)
        (plain,) = benchmark_named(name).load(tmp_path / "rows.jsonl", images=False)
        for key in ("id", "answer", "choices", "category", "meta"):
            assert getattr(found, key) == getattr(plain, key)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_benchmark_that_the_tool_lacks_is_refused_by_name(preset: str, tmp_path: Path) -> None:
    known = PRESETS[preset].benchmarks
    assert set(known) == set(PROMPTS[preset])
    lacking = [name for name in BENCHMARK_NAMES if name not in known]
    assert {"figures", "jsonl", "geoqa"} <= set(lacking)
    for name in lacking:
        with pytest.raises(ValueError, match=f"preset {preset} has no benchmark {name}; it has"):
            EvaluationConfig(preset=preset, benchmarks=[{"name": name, "path": "x"}])
    (tmp_path / "rows.jsonl").write_text('{"question": "q", "answer": "1"}\n')
    with pytest.raises(ConfigError, match=f"preset {preset} has no benchmark jsonl; it has"):
        benchmark_named("jsonl").load(tmp_path / "rows.jsonl", preset=preset)


def test_real_rows_of_mathvision(shared: Callable[[str], Path]) -> None:
    path = shared("benchmarks/mathvision_testmini")
    found = benchmark_named("mathvision").load(path, preset="lmms_eval")
    rows = [json.loads(line) for line in (path / "testmini.jsonl").open(encoding="utf-8")]
    assert [e.id for e in found] == [row["id"] for row in rows]
    for example, row in zip(found, rows, strict=True):
        *images, prompt = example.turns[0].parts
        assert len(images) == len(example.images) == 1
        assert prompt.startswith(VISION_START + row["question"])
        assert ("\nChoices: A. " in prompt) == bool(row["options"])
        assert all(f"{option}\n" in prompt for option in row["options"])


def test_real_rows_of_dynamath(shared: Callable[[str], Path]) -> None:
    path = shared("benchmarks/dynamath")
    rows = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    for preset in PRESETS:
        found = benchmark_named("dynamath").load(path, preset=preset)
        assert [example.id for example in found] == list(rows)
        for example in found:
            question = rows[example.id]["question"]
            if preset == "lmms_eval":
                assert example.turns[0].text == question.strip()
            else:
                assert example.turns[0].text.startswith(f"## Question\n {question}\n## Answer ")


@pytest.mark.parametrize("name", sorted({name for each in PROMPTS.values() for name in each}))
def test_the_cards_tell_of_the_presets(name: str) -> None:
    card = (Path(__file__).resolve().parents[3] / f"eval/cards/{name}.md").read_text("utf-8")
    told = card.partition("**Presets.**")[2].partition("\n\n**")[0]
    for preset, each in PRESETS.items():
        assert f"`{preset}`" in told
        assert f"`{preset}` does not have it" in told or name in each.benchmarks
    tokens = PRESETS["lmms_eval"].benchmarks[name]["max_new_tokens"]
    assert f"up to {tokens} tokens" in told


# --- settings ---

VLMEVALKIT = {
    "min_pixels": 1_003_520,
    "max_pixels": 12_845_056,
    "max_new_tokens": 2048,
    "temperature": 0.0,
    "top_p": 1.0,
    "system": None,
}


def test_vlmevalkits_settings() -> None:
    settings = EvaluationConfig(
        preset="vlmevalkit", benchmarks=[BenchmarkConfig(name="mathvista", path="x")]
    )
    assert {key: getattr(settings, key) for key in VLMEVALKIT} == VLMEVALKIT
    (benchmark,) = settings.benchmarks
    assert (benchmark.max_new_tokens, benchmark.system) == (None, None)


def test_lmms_evals_settings_for_each_benchmark() -> None:
    names = list(PRESETS["lmms_eval"].benchmarks)
    settings = EvaluationConfig(
        preset="lmms_eval", benchmarks=[{"name": name, "path": "x"} for name in names]
    )
    assert (settings.min_pixels, settings.max_pixels) == (200_704, 1_605_632)
    assert (settings.temperature, settings.system) == (0.0, "You are a helpful assistant.")
    assert {each.name: each.max_new_tokens for each in settings.benchmarks} == {
        "mathvista": 16384,
        "mathverse": 1024,
        "mathvision": 16384,
        "wemath": 49152,
        "dynamath": 49152,
        "geometry3k": 1024,
        "logicvista": 49152,
        "chartqa": 16,
        "chartqapro": 128,
        "charxiv": 32768,
    }
    thinking = {each.name for each in settings.benchmarks if each.system is not None}
    assert thinking == {"wemath", "dynamath", "logicvista"}
    assert all(
        each.system.startswith("You are a helpful assistant. When the user asks a question, your ")
        and each.system.endswith("</answer> tags that directly addresses the question.")
        for each in settings.benchmarks
        if each.system is not None
    )


def test_what_is_set_wins_over_the_preset() -> None:
    chosen = [{"name": "chartqa", "path": "x"}, {"name": "wemath", "path": "x", "system": None}]
    settings = EvaluationConfig(
        preset="lmms_eval",
        max_new_tokens=77,
        min_pixels=None,
        temperature=0.5,
        benchmarks=chosen,
    )
    assert (settings.max_new_tokens, settings.min_pixels, settings.temperature) == (77, None, 0.5)
    assert settings.max_pixels == 1_605_632
    # What holds for the whole evaluation holds for each of its benchmarks.
    assert [each.max_new_tokens for each in settings.benchmarks] == [None, None]
    assert settings.benchmarks[1].system is None
    settings = EvaluationConfig(
        preset="lmms_eval",
        system="S",
        benchmarks=[{"name": "wemath", "path": "x", "max_new_tokens": 5}],
    )
    assert (settings.system, settings.benchmarks[0].system) == ("S", None)
    assert settings.benchmarks[0].max_new_tokens == 5


OWN = st.fixed_dictionaries(
    {},
    optional={
        "max_new_tokens": st.integers(1, 9000),
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0.1, 1),
        "system": st.none() | st.just("S"),
        "min_pixels": st.none() | st.integers(1, 1000),
        "max_pixels": st.none() | st.integers(10**8, 10**9),
    },
)


@given(preset=st.sampled_from(list(PRESETS)), own=OWN, data=st.data())
def test_a_dump_holds_the_resolved_values_and_reads_back(
    preset: str, own: dict[str, Any], data: st.DataObject, tmp_path: Path
) -> None:
    benchmarks = data.draw(
        st.lists(st.sampled_from(list(PRESETS[preset].benchmarks)), max_size=3, unique=True)
    )
    written = {
        **own,
        "preset": preset,
        "benchmarks": [{"name": name, "path": "x"} for name in benchmarks],
    }
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({"model": {"name": "m"}, "evaluation": written}))
    config = load_config(path)
    path.write_text(dump_config(config))
    assert load_config(path) == config
    settings = config.evaluation.model_dump()
    assert {key: settings[key] for key in own} == own
    filled = PRESETS[preset].evaluation
    assert {key: settings[key] for key in filled if key not in own} == {
        key: value for key, value in filled.items() if key not in own
    }


def test_an_unknown_preset_is_told_as_any_wrong_value(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: {name: m}\nevaluation: {preset: opencompass}\n")
    with pytest.raises(ConfigError, match=r"evaluation\.preset: got 'opencompass', expected "):
        load_config(path)
    path.write_text("model: {name: m}\nevaluation: {preset: lmms_eval, benchmarks: [7, {name: 3}]}")
    with pytest.raises(ConfigError, match=r"evaluation\.benchmarks\.0: got 7, expected a mapping"):
        load_config(path)


def test_what_a_benchmark_has_of_its_own_reaches_its_requests(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"not opened here")
    paths = {}
    for name, row in (("chartqa", CHART), ("dynamath", DYNA)):
        paths[name] = tmp_path / f"{name}.jsonl"
        paths[name].write_text(json.dumps({**row, "image": "p.png"}) + "\n")
    settings = EvaluationConfig(
        preset="lmms_eval", benchmarks=[{"name": name, "path": p} for name, p in paths.items()]
    )
    found = {}
    for chosen in settings.benchmarks:
        own = settings.of(chosen)
        (found[chosen.name],) = requests_for(ask(chosen, own), own, chosen.name)
    chart, dyna = found["chartqa"], found["dynamath"]
    assert (chart.max_new_tokens, dyna.max_new_tokens) == (16, 49152)
    assert [turn.role for turn in chart.example.turns] == ["system", "user"]
    assert chart.example.turns[0].text == "You are a helpful assistant."
    assert dyna.example.turns[0].text.startswith("You are a helpful assistant. When the user asks")
    assert dyna.example.turns[1].text == "What is the period?"


def test_a_request_is_answered_within_its_own_limit(tiny_dir: Callable[[str], Path]) -> None:
    backend = open_backend(
        ModelConfig(name=str(tiny_dir("qwen2_5_vl"))),
        DecodingConfig(max_new_tokens=4),
        (None, None),
    )
    example = Example(id="", turns=(Turn(role="user", parts=("How many?",)),))
    requests = [
        Request(example=example, sample=sample, max_new_tokens=limit)
        for sample, limit in enumerate((2, None, 2, 5))
    ]
    found = [answer for some in backend.answer(requests) for answer in some]
    lengths = {a.sample: a.num_tokens for a in found if isinstance(a, Prediction) and a.truncated}
    assert lengths == {0: 2, 1: 4, 2: 2, 3: 5}
