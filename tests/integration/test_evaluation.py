"""`mmdft eval`: killed, resumed, changed and divided among processes, its answers are the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from mmdft import load_config
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError, DataError
from mmdft.evals.run import evaluate
from mmdft.files import read_json, read_jsonl
from mmdft.tiny import build_tiny

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return write_figures(tmp_path_factory.mktemp("questions"), num=12, split="test", size=56)


@pytest.fixture
def config(tiny_dir, questions, tmp_path):
    """`config(name, *overrides)`: the path of a configuration that writes into tmp_path/name."""

    def write(name, **settings):
        benchmark = {"name": "figures", "path": str(questions)}
        evaluation = {
            "output_dir": str(tmp_path / name),
            "benchmarks": [benchmark | settings.pop("benchmark", {})],
            "max_new_tokens": 6,
            "batch_size": 3,
        }
        path = tmp_path / f"{name}.yaml"
        values = {"model": {"name": str(tiny_dir("qwen2_vl"))}, "evaluation": evaluation | settings}
        path.write_text(json.dumps(values))
        return path

    return write


def answers(folder):
    return (folder / "figures/predictions.jsonl").read_text().splitlines(keepends=True)


def test_answers_that_are_there_are_kept_and_a_cut_one_is_asked_again(config, tmp_path):
    whole = evaluate(load_config(config("whole")))
    lines = answers(tmp_path / "whole")
    assert len(lines) == 12
    folder = tmp_path / "again"
    shutil.copytree(tmp_path / "whole", folder)
    kept = [json.loads(line) for line in lines[:5]]
    kept[2]["response"] = "as it was answered before"
    # Five answers, and a sixth cut off in the middle.
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept) + lines[5][:20]
    (folder / "figures/predictions.jsonl").write_text(text)
    resumed = evaluate(load_config(config("again")))
    written = [json.loads(line) for line in answers(folder)]
    assert written[2]["response"] == "as it was answered before"
    assert [*written[:2], *written[3:]] == [json.loads(line) for line in [*lines[:2], *lines[3:]]]
    assert not (folder / "figures/superseded.jsonl").exists()
    assert (
        resumed.benchmarks["figures"]["n_predictions"]
        == 12
        == whole.benchmarks["figures"]["n_predictions"]
    )


def test_killed_and_resumed_it_ends_with_the_same_file(config, tmp_path):
    sampled = {"temperature": 1.0, "num_samples": 3, "batch_size": 2}
    evaluate(load_config(config("whole", **sampled)))
    path = config("killed", **sampled)
    found = tmp_path / "killed/figures/predictions.jsonl"
    command = [sys.executable, "-m", "mmdft", "eval", str(path)]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (found.is_file() and found.read_bytes().count(b"\n") >= 4):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = found.read_bytes().count(b"\n")
    assert before < 36
    evaluate(load_config(path))
    assert answers(tmp_path / "killed") == answers(tmp_path / "whole")


def test_an_answer_does_not_depend_on_its_batch_or_on_what_else_is_asked(config, tmp_path):
    for name, settings in {
        "one": {"batch_size": 1},
        "auto": {"batch_size": "auto"},
        "few": {"batch_size": 5, "benchmark": {"limit": 4}, "num_samples": 2},
    }.items():
        evaluate(load_config(config(name, temperature=0.9, top_p=0.95, **settings)))
    one, auto, few = (answers(tmp_path / name) for name in ("one", "auto", "few"))
    assert one == auto
    first = [json.loads(line) for line in few if json.loads(line)["sample"] == 0]
    assert first == [json.loads(line) for line in one[:4]]
    assert len({json.loads(line)["response"] for line in one}) > 6


def test_more_items_and_samples_are_added_to_what_is_there(config, tmp_path):
    warm = {"temperature": 1.0}
    evaluate(load_config(config("grown", benchmark={"limit": 4}, **warm)))
    small = answers(tmp_path / "grown")
    result = evaluate(load_config(config("grown", num_samples=2, batch_size=7, **warm)))
    grown = answers(tmp_path / "grown")
    assert grown[:4] == small and len(grown) == 24
    assert result.benchmarks["figures"]["n_predictions"] == 24
    # What is not asked any more is set aside, and not scored.
    result = evaluate(load_config(config("grown", benchmark={"limit": 4}, **warm)))
    assert answers(tmp_path / "grown") == small
    assert result.benchmarks["figures"]["n_predictions"] == 4
    aside = list(read_jsonl(tmp_path / "grown/figures/superseded.jsonl"))
    assert len(aside) == 20


def test_only_what_answers_depend_on_must_be_the_same(config, tmp_path):
    evaluate(load_config(config("run")))
    kept = answers(tmp_path / "run")
    for key, value in {
        "max_new_tokens": 5,
        "temperature": 0.5,
        "system": "Be brief.",
        "max_pixels": 3136,
        "backend": "vllm",
    }.items():
        name = "backend.name" if key == "backend" else key
        with pytest.raises(ConfigError, match=f"holds answers with evaluation.{name}: "):
            evaluate(load_config(config("run", **{key: value})))
    assert answers(tmp_path / "run") == kept


def test_a_changed_question_is_asked_again_and_the_others_are_not(tiny_dir, tmp_path):
    model = build_tiny(tmp_path / "model", family="qwen2_vl")
    data = write_figures(tmp_path / "figures", num=4, split="test", size=56)
    out = tmp_path / "out"
    path = tmp_path / "eval.yaml"
    settings = {
        "output_dir": str(out),
        "benchmarks": [{"name": "figures", "path": str(data)}],
        "max_new_tokens": 2,
    }
    path.write_text(json.dumps({"model": {"name": str(model)}, "evaluation": settings}))
    evaluate(load_config(path))
    before = [json.loads(line) for line in answers(out)]
    evaluate(load_config(path))
    assert [json.loads(line) for line in answers(out)] == before

    rows = data.read_text().splitlines(keepends=True)
    data.write_text("".join([rows[0].replace('"question": "', '"question": "Now: '), *rows[1:]]))
    evaluate(load_config(path))
    after = [json.loads(line) for line in answers(out)]
    assert after[1:] == before[1:] and after[0]["key"] != before[0]["key"]
    assert [row for _, row in read_jsonl(out / "figures/superseded.jsonl")] == before[:1]

    shutil.rmtree(model)
    build_tiny(model, family="qwen2_vl", seed=1)
    with pytest.raises(ConfigError, match="begun with another model than what is there now"):
        evaluate(load_config(path))
    assert [json.loads(line) for line in answers(out)] == after


def test_an_image_that_is_gone_is_told_with_its_item(config, questions, tmp_path):
    data = tmp_path / "moved/test.jsonl"
    shutil.copytree(questions.parent, data.parent)
    path = config("gone", benchmark={"path": str(data)})
    row = next(row for _, row in read_jsonl(data))
    image = data.parent / row["images"][0]
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DataError, match=f"item {row['id']}: .*{image.name}"):
        evaluate(load_config(path))


def test_two_processes_answer_what_one_does(config, tmp_path):
    sampled = {"temperature": 1.0, "num_samples": 2}
    evaluate(load_config(config("one", **sampled)))
    path = config("two", **sampled)
    # What a killed rank left is taken in.
    left = tmp_path / "two/figures/predictions.rank1.jsonl"
    left.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "one/config.yaml", tmp_path / "two/config.yaml")
    left.write_text(answers(tmp_path / "one")[7])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch"),
            *("--config_file", str(ROOT / "configs/accelerate/ddp.yaml"), "--num_processes", "2"),
            *("--main_process_port", "0", "-m", "mmdft", "eval", str(path), "--json"),
        ],
        env={**ENVIRONMENT, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert answers(tmp_path / "two") == answers(tmp_path / "one")
    assert not list((tmp_path / "two/figures").glob("*.rank*"))
    assert read_json(tmp_path / "two/provenance.json")["processes"] == 2
    shown = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(shown) == 1 and json.loads(shown[0])["summary"]["figures"]["n"] == 24


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    return write_figures(
        tmp_path_factory.mktemp("rectangles"),
        num=6,
        split="test",
        size=56,
        families=["rectangle_area"],
    )


@pytest.mark.parametrize("images", ["blank", "swapped"])
def test_other_images_are_answered_as_if_they_were_the_items_own(
    config, rectangles, tmp_path, images
):
    """The same rows, with the images changed by hand, are answered the same, under the same key."""
    rows = [row for _, row in read_jsonl(rectangles)]
    folder = tmp_path / "by-hand"
    shutil.copytree(rectangles.parent, folder)
    if images == "blank":
        for path in folder.rglob("*.png"):
            Image.new("RGB", (56, 56), "white").save(path)
    else:
        shown = [row["images"] for row in rows]
        rows = [row | {"images": shown[(n + 1) % len(rows)]} for n, row in enumerate(rows)]
    data = folder / rectangles.name
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate(load_config(config("kept", benchmark={"path": str(rectangles)})))
    evaluate(load_config(config("by_hand", benchmark={"path": str(data)})))
    path = config("changed", benchmark={"path": str(rectangles)}, images=images)
    evaluate(load_config(path))
    kept, by_hand, changed = (
        [json.loads(line) for line in answers(tmp_path / name)]
        for name in ("kept", "by_hand", "changed")
    )
    assert changed == by_hand
    assert all(a["key"] != b["key"] for a, b in zip(kept, changed, strict=True))
    assert [row["response"] for row in kept] != [row["response"] for row in changed]
    # What is kept beside the answers are the images that were shown.
    items = [row for _, row in read_jsonl(tmp_path / "changed/figures/items.jsonl")]
    before = [row for _, row in read_jsonl(tmp_path / "kept/figures/items.jsonl")]
    assert all(a["images"] != b["images"] for a, b in zip(items, before, strict=True))
    # The results say so, where a reader sees it first.
    results = {name: tmp_path / name / "figures/results.md" for name in ("kept", "changed")}
    read = {name: path.read_text(encoding="utf-8") for name, path in results.items()}
    assert "**Images:**" not in read["kept"] and read["changed"].count("**Images:**") == 1
    with pytest.raises(ConfigError, match=f"holds answers with evaluation.images: .?{images}"):
        evaluate(load_config(config("changed", benchmark={"path": str(rectangles)})))
