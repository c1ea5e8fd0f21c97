"""`mmdft compare` on folders whose every number is known."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from evaluation_folders import EVALUATION, PIXELS, figures_data, write_run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdft.cli import cli
from mmdft.comparison.compare import compare
from mmdft.comparison.markdown import markdown_form
from mmdft.comparison.pictures import pictures
from mmdft.comparison.text import text_form
from mmdft.errors import ConfigError, DataError
from mmdft.evals.benchmarks import BENCHMARKS, Score
from mmdft.evals.items import read_items
from mmdft.evals.stats import mcnemar_p

ROWS = [
    {"id": f"i{k}", "question": f"Question {k}?", "answer": str(k), "category": "ab"[k % 2]}
    for k in range(8)
]


def answers(rows, right, *, none=()):
    """`right` numbers the rows that are answered right; the others say 99, or nothing."""
    return [
        {
            "id": row["id"],
            "response": "" if k in none else f"The answer is {k if k in right else 99}.",
        }
        for k, row in enumerate(rows)
    ]


@pytest.fixture
def make(tmp_path):
    data = figures_data(tmp_path / "data", ROWS)

    def write(name, right=(), *, rows=ROWS, path=None, none=(), **more):
        where = data if path is None else path
        benchmarks = {"figures": ("figures", where, answers(rows, right, none=none))}
        return write_run(tmp_path / name, benchmarks, model=name, **more)

    return write


def test_two_runs_by_hand(make):
    found = compare([make("base", {0, 1, 2}), make("dft", {1, 2, 3, 4, 5}, none={7})])
    each, (difference,) = found.benchmarks[0], found.differences
    assert [run.name for run in found.runs] == ["base", "dft"]
    summaries = each.summaries["exact"]
    assert (summaries["base"].correct, summaries["dft"].correct) == (3, 5)
    assert (summaries["dft"].no_answer, summaries["base"].floor) == (1, 0.0)
    assert each.flips == {"dft": (("i3", "i4", "i5"), ("i0",))}
    assert difference.difference == pytest.approx(2 / 8)
    assert (difference.only_run, difference.only_baseline) == (3, 1)
    assert (difference.test, difference.p_value) == ("mcnemar", mcnemar_p(1, 3))
    assert difference.p_holm == difference.p_value  # one test
    assert difference.conclusion == "unclear"
    # sqrt(4/8 - 1/16) / sqrt(8), times 2.8016
    assert difference.detectable == pytest.approx(2.8015852 * ((4 / 8 - 1 / 16) / 8) ** 0.5)
    category = each.categories["category"]
    assert category["a"]["dft"].difference == 0.0  # won 4, lost 0
    assert category["b"]["dft"].difference == 0.5  # won 3 and 5
    assert not found.differing and not found.notes


def test_many_runs_are_corrected_together(tmp_path, make):
    many = [{"id": str(k), "question": "?", "answer": str(k)} for k in range(30)]
    data = figures_data(tmp_path / "many", many)

    def run(name, right):
        return make(name, right, rows=many, path=data)

    everything = set(range(30))
    folders = [run("base", set()), run("sft", {0, 1, 2, 3, 4, 5}), run("dft", everything)]
    sft, dft = compare(folders).differences
    assert (sft.p_value, dft.p_value) == (2 / 64, 2 / 2**30)
    assert (sft.p_holm, dft.p_holm) == (2 / 64, 4 / 2**30)
    assert (sft.conclusion, dft.conclusion) == ("higher", "higher")
    base, sft = compare(folders, baseline="dft").differences
    assert (base.run, base.difference, base.conclusion) == ("base", -1.0, "lower")
    assert sft.p_value == mcnemar_p(24, 0)
    assert compare(folders, baseline=str(tmp_path / "sft")).baseline.name == "sft"
    with pytest.raises(
        ConfigError, match="--baseline nobody: name one of the runs: base, sft, dft"
    ):
        compare(folders, baseline="nobody")


def test_a_score_that_is_no_mean(make, monkeypatch):
    whole = Score(
        name="squared",
        counts=lambda rows: (float(rows[0][1].status == "correct"), 1.0),
        value=lambda sums: (sums[0] / sums[1]) ** 2,
    )
    chosen = BENCHMARKS["figures"]
    fields = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    monkeypatch.setitem(BENCHMARKS, "figures", type(chosen)(**fields | {"scores": (whole,)}))
    found = compare([make("a", {0, 1}), make("b", set(range(8)))])
    _, score = found.differences
    assert (score.measure, score.is_score, score.test) == ("squared", True, "swap")
    assert score.difference == 1 - (2 / 8) ** 2
    # six items differ: all swapped alike is 2 of 64 ways
    assert score.p_value == pytest.approx(2 / 64, abs=0.006)
    assert found.as_dict()["benchmarks"]["figures"]["rules"]["exact"]["a"]["scores"]["squared"]
    assert "squared" in markdown_form(found)


# --- what is refused ---


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"evaluation": {"max_new_tokens": 128}},
            "decoding: max_new_tokens: 64 in a, 128 in b",
        ),
        (
            {"evaluation": {"temperature": 0.7}},
            "decoding: temperature: 0.0 in a, 0.7 in b",
        ),
        ({"evaluation": {"system": "Think."}}, "system prompt: none in a, 'Think.' in b"),
        ({"evaluation": {"preset": "x"}}, "decoding: preset: none in a, 'x' in b"),
        ({"evaluation": {"images": "blank"}}, "images shown: 'kept' in a, 'blank' in b"),
        (
            {"evaluation": {"benchmarks": [{"name": "figures", "max_new_tokens": 16}]}},
            "figures: decoding: max_new_tokens: 64 in a, 16 in b",
        ),
        (
            {"evaluation": {"benchmarks": [{"name": "x", "label": "figures", "system": "S"}]}},
            "figures: system prompt: none in a, 'S' in b",
        ),
        (
            {"provenance": {"pixels": PIXELS | {"max_pixels": 1}}},
            "pixels: max_pixels: 1003520 in a, 1 in b",
        ),
        (
            {"provenance": {"data": {"figures": {"examples": 8, "blake2b": "x"}}}},
            "figures: images: not the same files in a and b",
        ),
    ],
)
def test_unlike_runs_are_refused_and_said_in_what(make, more, message):
    folders = [make("a", {0}), make("b", {1}, **more)]
    with pytest.raises(ConfigError) as error:
        compare(folders)
    assert str(error.value).splitlines() == [
        message,
        "such runs are not compared; --force does it all the same",
    ]
    forced = compare(folders, force=True)
    assert forced.differing == (message,)
    assert message.partition(" in ")[0].replace("_", "\\_") in markdown_form(forced)


@pytest.mark.parametrize("free", ["batch_size", "seed", "output_dir"])
def test_what_changes_no_answer_is_not_refused(make, free):
    compare([make("a", {0}), make("b", {1}, evaluation={free: 3})])


def test_a_run_from_before_images_could_be_changed_kept_them(make):
    compare([make("a", {0}), make("b", {1}, evaluation={"images": "kept"})])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": "Another?"}, "figures: prompts of 1 item, such as 'i3'"),
        ({"answer": "4"}, "figures: golds of 1 item, such as 'i3'"),
    ],
)
def test_other_prompts_and_golds_are_refused(make, tmp_path, change, message):
    rows = [row | (change if row["id"] == "i3" else {}) for row in ROWS]
    other = figures_data(tmp_path / "other", rows)
    with pytest.raises(ConfigError, match=re.escape(message)):
        compare([make("a", {0}), make("b", {1}, rows=rows, path=other)])


def test_runs_with_other_items_compare_the_common_ones_when_forced(make, tmp_path):
    rows = [*ROWS[2:], {"id": "new", "question": "?", "answer": "1"}]
    other = figures_data(tmp_path / "other", rows)
    # rows 0 to 5 of b are i2 to i7; it answers their place, so i2 is answered 0
    folders = [make("a", {2, 3}), make("b", {6}, rows=rows, path=other)]
    with pytest.raises(ConfigError, match="items: 2 only in a, 1 only in b, such as 'i0'"):
        compare(folders)
    found = compare(folders, force=True)
    each = found.benchmarks[0]
    assert [item.example.id for item in each.items] == ["i2", "i3", "i4", "i5", "i6", "i7"]
    assert each.left_out == {"a": 2, "b": 1}
    assert each.summaries["exact"]["a"].n == 6
    assert found.differences[0].difference == pytest.approx(-2 / 6)


def test_a_benchmark_that_one_lacks(make, tmp_path):
    data = figures_data(tmp_path / "data2", ROWS)
    both = {label: ("figures", data, answers(ROWS, {0})) for label in ("figures", "more")}
    folders = [make("a", {0}), write_run(tmp_path / "b", both)]
    with pytest.raises(ConfigError, match="benchmarks: b has more, a does not"):
        compare(folders)
    assert [each.label for each in compare(folders, force=True).benchmarks] == ["figures"]


def test_folders_that_cannot_be_compared(make, tmp_path):
    a, b = make("a", {0}), make("b", {1})
    with pytest.raises(ConfigError, match="two folders"):
        compare([a])
    with pytest.raises(ConfigError, match="given twice"):
        compare([a, tmp_path / "b" / ".." / "a"])
    with pytest.raises(DataError, match="no such folder"):
        compare([a, tmp_path / "none"])
    with pytest.raises(DataError, match=r"no config\.yaml in it"):
        compare([a, b / "figures"])
    items = (b / "figures" / "items.jsonl").read_text()
    (b / "figures" / "items.jsonl").write_text(items.replace('"choices": []', '"choices": 3', 1))
    with pytest.raises(
        DataError, match=r"items.jsonl:1: 'choices' is missing or of the wrong kind"
    ):
        compare([a, b])
    (b / "figures" / "items.jsonl").write_text("\n".join(items.splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match=r"scored.jsonl:8: 'i7' is not in items.jsonl"):
        compare([a, b])
    (b / "figures" / "items.jsonl").unlink()
    with pytest.raises(
        DataError, match=r"items\.jsonl: no such file; run the same mmdft eval again"
    ):
        compare([a, b])
    (b / "results.json").unlink()
    with pytest.raises(DataError, match="not finished"):
        compare([a, b])


def test_verdicts_that_are_missing_or_strange(make):
    a, b = make("a", {0}), make("b", {1})
    path = b / "figures" / "scored.jsonl"
    text = path.read_text()
    path.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(DataError, match="verdicts are missing"):
        compare([a, b])
    path.write_text(text.replace('"wrong"', '"fine"', 1))
    with pytest.raises(DataError, match=r"scored.jsonl:1: not a scored row"):
        compare([a, b])


def test_runs_of_one_name_are_told_apart(make, tmp_path):
    folders = [make("x/eval", {0}), make("y/eval", {1})]
    assert [run.name for run in compare(folders).runs] == ["x/eval", "y/eval"]


def test_notes_on_what_explains_small_differences(make):
    folders = [
        make("a", {0}, provenance={"model": "same"}),
        make(
            "b", {0}, provenance={"versions": {"mmdft": "0.2"}, "device": "cuda", "model": "same"}
        ),
    ]
    assert compare(folders).notes == (
        "a and b were made with mmdft 0.1.0 and 0.2, device cpu and cuda",
        "a and b are the same model, weight for weight",
    )


def test_what_is_open_is_noted(make, tmp_path):
    data = figures_data(tmp_path / "data", ROWS)
    vague = [{"id": row["id"], "response": "One of them is longer."} for row in ROWS[6:]]
    rows = [*answers(ROWS, {0, 1})[:6], *vague]
    open_two = write_run(tmp_path / "dft", {"figures": ("figures", data, rows)}, model="dft")
    found = compare([make("base", {0}), open_two])
    (note,) = found.notes
    assert note == (
        "figures: 2 of 8 answers of dft are open under exact; its accuracy is 25.0 % if all of "
        "them are wrong, 50.0 % if all are right"
    )
    assert note in markdown_form(found).replace("\\", "")


def test_runs_with_other_judges_are_refused(make):
    folders = [make(name, {0}) for name in ("a", "b", "c")]
    for folder, model in zip(folders, ("j", "j", "k"), strict=True):
        results = json.loads((folder / "results.json").read_text())
        results["figures"]["judge"] = {"model": model, "prompt": {"hash": "0123456789ab"}}
        (folder / "results.json").write_text(json.dumps(results))
    assert not compare(folders[:2]).differing
    with pytest.raises(ConfigError, match=r"figures: judge: 'j .prompt 01234567.' in a, 'k "):
        compare([folders[0], folders[2]])
    results["figures"]["judge"] = {"model": "k"}
    (folders[2] / "results.json").write_text(json.dumps(results))
    with pytest.raises(DataError, match=r"results\.json: figures: does not say who the judge was"):
        compare([folders[0], folders[2]])


# --- repeated answers, invariants ---


def test_repeated_answers_flip_by_their_share(tmp_path):
    data = figures_data(tmp_path / "data", ROWS[:3])

    def run(name, right):
        rows = [
            {"id": row["id"], "sample": s, "response": f"Answer: {k if (k, s) in right else 99}"}
            for k, row in enumerate(ROWS[:3])
            for s in (0, 1)
        ]
        more = {"num_samples": 2, "temperature": 0.5}
        return write_run(tmp_path / name, {"f": ("figures", data, rows)}, evaluation=more)

    found = compare([run("a", {(0, 0), (1, 1)}), run("b", {(0, 0), (0, 1), (1, 0), (2, 0)})])
    assert found.benchmarks[0].flips == {"b": (("i0", "i2"), ())}
    difference, passing, majority = found.differences
    assert (difference.test, difference.n, difference.clusters) == ("sign_flip", 6, 3)
    assert difference.difference == pytest.approx(2 / 6)
    assert difference.p_value == 0.5
    # Some answer is right: 1 1 0 against 1 1 1. The votes: .5 .5 0 against 1 .5 .5, ties halved.
    assert (passing.measure, passing.n, passing.clusters) == ("pass@2", 3, 3)
    assert (passing.difference, passing.p_value) == (pytest.approx(1 / 3), 1.0)
    assert (majority.measure, majority.n, majority.test) == ("majority@2", 3, "swap")
    assert majority.difference == pytest.approx(1 / 3)
    assert majority.p_value == pytest.approx(0.5, abs=0.02)  # of four ways to swap two are as far
    assert not (passing.is_headline or majority.is_headline)
    samples = found.as_dict()["benchmarks"]["f"]["rules"]["exact"]["b"]["samples"]
    assert {name: each["value"] for name, each in samples.items()} == pytest.approx(
        {"avg@2": 4 / 6, "pass@1": 4 / 6, "pass@2": 1.0, "majority@2": 2 / 3}
    )
    markdown = markdown_form(found)
    assert "| pass@2 | 66.7 (20.8 to 93.9) | 100.0 (43.9 to 100.0) |" in markdown
    assert "avg@n is the mean" in markdown
    assert "| b | majority@2 | +33.3 |" in markdown


def test_runs_of_unequal_numbers_of_answers_share_what_both_have(tmp_path):
    data = figures_data(tmp_path / "data", ROWS[:2])

    def run(name, n, items):
        rows = [
            {"id": ROWS[k]["id"], "sample": s, "response": f"Answer: {k if s == 0 else 99}"}
            for k in items
            for s in range(n)
        ]
        more = {"num_samples": n, "temperature": 0.5}
        return write_run(tmp_path / name, {"f": ("figures", data, rows)}, evaluation=more)

    found = compare([run("four", 4, (0, 1)), run("two", 2, (0, 1))], force=True)
    exact, passing = found.differences
    assert (exact.measure, passing.measure) == ("exact", "pass@2")
    assert passing.difference == pytest.approx(1 - 1 / 2)
    markdown = markdown_form(found)
    assert re.search(r"\| pass@4 \| 100.0 [^|]* \| - \|", markdown)
    assert "avg@n" not in markdown_form(compare([run("one", 1, (0, 1)), run("1", 1, (0, 1))]))
    # No item that both answered has a score of theirs: there is no difference to tell.
    apart = compare([run("x", 2, (0,)), run("y", 2, (0, 1)), run("z", 1, (0,))], force=True)
    assert {each.measure for each in apart.differences if each.run == "z"} == {"exact"}


@given(st.data())
def test_swapping_the_runs_changes_signs_only(tmp_path_factory, data):
    tmp_path = tmp_path_factory.mktemp("swap")
    source = figures_data(tmp_path / "data", ROWS)
    sets = [data.draw(st.sets(st.integers(0, 7))) for _ in "ab"]
    a, b = (
        write_run(tmp_path / name, {"f": ("figures", source, answers(ROWS, right))})
        for name, right in zip("ab", sets, strict=True)
    )
    there, back = compare([a, b]), compare([a, b], baseline="b")
    x, y = there.differences[0], back.differences[0]
    assert x.difference == pytest.approx(-y.difference)
    assert x.interval == pytest.approx((-y.interval[1], -y.interval[0]))
    assert x.p_value == y.p_value and x.detectable == y.detectable
    won, lost = there.benchmarks[0].flips["b"]
    assert back.benchmarks[0].flips["a"] == (lost, won)
    assert len(won) - len(lost) == len(sets[1]) - len(sets[0])
    assert x.interval[0] <= x.difference <= x.interval[1]


# --- items, images, output ---


def test_items_keep_what_was_asked(tmp_path):
    Image.new("RGB", (60, 40), "red").save(tmp_path / "red.png")
    rows = [
        {
            "id": "1",
            "question": "Which?",
            "choices": ["x", "y"],
            "answer": "y",
            "image": "red.png",
            "meta": {"level": 3},
        }
    ]
    data = figures_data(tmp_path, rows)
    run = write_run(tmp_path / "runs" / "a", {"f": ("figures", data, answers(rows, set()))})
    (item,) = read_items(run / "f")
    assert item.prompt.startswith("Which?") and item.example.choices == ("x", "y")
    assert (item.example.answer, item.example.meta) == ("y", {"level": 3})
    assert item.images == (tmp_path / "red.png",)
    line = json.loads((run / "f" / "items.jsonl").read_text())
    assert line["images"] == ["../../../red.png"]  # the folders may move together


def test_pictures_past_the_budget_are_linked(tmp_path):
    paths = []
    for k in range(3):
        paths.append(tmp_path / "da ta" / f"{k}#.png")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.new("RGB", (900, 30), (k, 0, 0)).save(paths[-1])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    found = pictures([broken, *paths, tmp_path / "gone.png"], tmp_path / "out", budget=1)
    assert found.sources[paths[0]].startswith("data:image/webp;base64,")
    assert found.sources[paths[2]] == "../da%20ta/2%23.png"
    assert (found.sources[broken], found.sources[tmp_path / "gone.png"]) == (None, None)
    assert (found.missing, found.embedded, found.linked) == (2, 1, 2)


def test_the_command(make, tmp_path):
    folders = [make("base", {0, 1, 2}), make("dft", {1, 2, 3, 4, 5})]
    run = CliRunner().invoke
    out = tmp_path / "out"
    result = run(cli, ["compare", *map(str, folders), "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads((out / "compare.json").read_text())
    assert found["differences"][0]["difference"] == 0.25
    assert found["benchmarks"]["figures"]["flips"]["dft"] == {
        "won": ["i3", "i4", "i5"],
        "lost": ["i0"],
    }
    assert "| base | 37.5 " not in (out / "compare.md").read_text()  # a column per run
    assert (
        "| exact | 37.5 (13.7 to 69.4) | 62.5 (30.6 to 86.3) | 0.0 |"
        in (out / "compare.md").read_text()
    )
    plain = run(cli, ["compare", *map(str, folders)])
    assert plain.exit_code == 0
    assert "37.5" in plain.output and "+25.0" in plain.output and "unclear" in plain.output
    assert run(cli, ["compare", str(folders[0])]).exit_code == 2
    other = make("other", {0}, evaluation={"top_p": 0.5})
    refused = run(cli, ["compare", str(folders[0]), str(other)])
    assert refused.exit_code == 2
    assert refused.stderr.splitlines() == [
        "error: decoding: top_p: 1.0 in base, 0.5 in other",
        "error: such runs are not compared; --force does it all the same",
    ]
    assert run(cli, ["compare", str(folders[0]), str(other), "--force"]).exit_code == 0


def test_rich_markup_and_markdown_in_names_stay_text(tmp_path):
    rows = [{"id": "[red]x|y", "question": "?", "answer": "0", "category": "[b]<script>|"}]
    data = figures_data(tmp_path, [rows[0], rows[0] | {"id": "z", "category": "c"}])
    folders = [
        write_run(tmp_path / name, {"f": ("figures", data, [{"id": i, "response": r} for i in
                                                           ("[red]x|y", "z")])})
        for name, r in (("[bold]a", "1"), ("b", "0"))
    ]  # fmt: skip
    found = compare(folders)
    text = markdown_form(found)
    assert "\\[b\\]\\<script>\\|" in text and "<script>" not in text.replace("\\<script>", "")
    assert "Won 2: \\[red\\]x\\|y, z" in text
    from rich.console import Console

    console = Console(width=120)
    with console.capture() as shown:
        console.print(text_form(found))
    assert "[bold]a" in shown.get()


def test_every_setting_of_an_evaluation_is_compared_or_free():
    from mmdft.comparison.settings import _FREE
    from mmdft.config import EvaluationConfig

    assert set(EvaluationConfig.model_fields) >= _FREE
    assert set(EvaluationConfig.model_fields) >= set(EVALUATION)
