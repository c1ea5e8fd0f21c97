"""What `mmdft check` counts is what is in the data, and what a training makes of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmdft.checking.check import Check, check, kind_of, spread, write
from mmdft.checking.memory import Batch
from mmdft.checking.text import text_form
from mmdft.config import RunConfig
from mmdft.data.dataset import RenderedDataset, load_examples
from mmdft.data.packing import PackedDataset, collate_packed, packed_positions
from mmdft.data.prefixes import chains_of
from mmdft.data.segments import SEGMENTS
from mmdft.data.vision import pixel_budget
from mmdft.errors import ConfigError
from mmdft.files import read_json, read_jsonl
from mmdft.model import load_model_config, load_processor
from mmdft.training import train

TinyDir = Callable[[str], Path]


def draw(folder: Path, name: str, size: tuple[int, int]) -> str:
    Image.effect_noise(size, 60).save(folder / name)
    return name


def row(**fields: Any) -> dict[str, Any]:
    return {"question": "How far?", "reasoning": "3 + 4 = 7.", "answer": "7", **fields}


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def config_of(model: Path, *paths: Path | dict[str, Any], **sections: Any) -> RunConfig:
    pixels = {"min_pixels": 56 * 56, "max_pixels": 112 * 112}
    given = {"max_length": 512, "probe_examples": 0, **pixels, **sections.pop("data", {})}
    data = {"train": list(paths), **given}
    return RunConfig.model_validate({"model": {"name": str(model)}, "data": data, **sections})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Ten rows: seven good ones of which two are alike, and three kinds of bad ones."""
    draw(tmp_path, "a.png", (112, 56))
    draw(tmp_path, "b.png", (1400, 1400))
    content = (tmp_path / "b.png").read_bytes()
    # Its header tells its size; only decoding shows that the end is missing.
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    return write_rows(
        tmp_path / "rows.jsonl",
        row(images=["a.png"]),
        row(images=["b.png"], id="large"),
        row(images=["a.png"]),
        row(),
        row(images=["cut.png"], id="broken"),
        row(reasoning="1 2 3 4 5 6 7 8 9 " * 60),
        row(images=["none.png"]),
        row(question="Another?"),
        row(question="A third?", answer="12"),
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    )


@pytest.fixture
def found(tiny_dir: TinyDir, rows: Path, tmp_path: Path) -> Check:
    settings = {"min_pixels": 56 * 56, "max_pixels": 112 * 112, "max_bad_fraction": 0.5}
    training = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    training["output_dir"] = str(tmp_path / "run")
    config = config_of(tiny_dir("qwen2_5_vl"), rows, data=settings, training=training)
    return check(config)


def test_rows_are_counted_by_source_format_and_reason(found: Check, rows: Path) -> None:
    (source,) = found.sources
    assert (source.rows, source.usable) == (10, 7)
    assert source.formats == {"native": 6, "messages": 1}
    assert [reason.count for reason in found.set_aside] == [1, 1, 1]
    first = [reason.first for reason in found.set_aside]
    assert first[0].startswith(f"{rows}:5 (id broken): {rows.parent}/cut.png: cannot be decoded")
    assert first[1].startswith(f"{rows}:6 (id rows:6): ")
    assert re.search(r"\d+ tokens, more than data.max_length=512", first[1])
    assert first[2].startswith(f"{rows}:7 (id rows:7): ")
    assert not found.stops


def test_images_and_lengths_are_measured(found: Check) -> None:
    images = found.images
    assert images.count == 3
    assert images.width == spread([112, 1400, 112])
    assert images.pixels is not None
    assert (images.pixels.min, images.pixels.median, images.pixels.max) == (6272, 6272, 1400**2)
    assert (images.shrunk, images.enlarged) == (1, 0)
    # 4 x 2 visual tokens twice, and 4 x 4.
    assert images.tokens == 32
    lengths = found.lengths
    assert lengths.spread is not None and lengths.longest is not None
    assert (lengths.too_long, lengths.cut) == (1, 0)
    assert lengths.longest > 512 >= lengths.spread.max
    assert sum(lengths.counts) == 7
    assert lengths.edges[0] == lengths.spread.min and lengths.edges[-1] > lengths.spread.max


def test_duplicates_are_told_with_both_places(found: Check, rows: Path) -> None:
    assert found.duplicates.count == 1
    assert found.duplicates.first == [(f"{rows}:3", f"{rows}:1")]
    assert not found.deduplicate


def test_tokens_are_those_of_the_loaded_data(found: Check, rows: Path, tiny_dir: TinyDir) -> None:
    config = config_of(
        tiny_dir("qwen2_5_vl"),
        rows,
        data={"min_pixels": 56 * 56, "max_pixels": 112 * 112, "max_bad_fraction": 0.5},
    )
    processor = load_processor(config.model)
    budget = pixel_budget(processor, 56 * 56, 112 * 112)
    loaded = load_examples(config.data.train, config.data, processor, budget)
    whole = [each for each in loaded.rows if each.example.id != "broken"]
    assert found.tokens.total == sum(each.length for each in whole)
    assert found.tokens.answer == sum(found.tokens.trained.values())
    assert found.tokens.trained["end_of_turn"] == len(whole) == 7
    assert set(found.tokens.trained) == set(SEGMENTS)
    assert found.tokens.image == 32
    assert (found.run.examples, found.run.undecodable) == (8, 1)
    # Eight rows in batches of 2, two of which make a step.
    assert (found.run.steps_per_epoch, found.run.steps) == (2, 2)
    assert found.run.tokens_per_step == found.tokens.total / 2


def test_a_training_that_would_be_refused_is_told_in_full(
    tiny_dir: TinyDir, rows: Path, tmp_path: Path
) -> None:
    model = tiny_dir("qwen2_5_vl")
    training = {"output_dir": str(tmp_path / "run")}
    (stop,) = check(config_of(model, rows, training=training)).stops
    assert stop.startswith("3 of 10 rows are bad, more than data.max_bad_fraction=0.01; the first")
    # Only decoding shows that this is too many: loading finds 2 of 10.
    data: dict[str, Any] = {"max_bad_fraction": 0.25}
    found = check(config_of(model, rows, data=data, training=training))
    assert [stop[:19] for stop in found.stops] == ["3 of 10 rows are ba"]
    assert found.tokens.total and found.run.steps
    data = {"on_bad_row": "raise"}
    (stop,) = check(config_of(model, rows, data=data, training=training)).stops
    assert stop.startswith("data.on_bad_row=raise, and 3 of 10 rows are bad; the first: ")
    weights = {"segments": {"reasoning": {"weight": 1}}}
    good = write_rows(tmp_path / "good.jsonl", row(reasoning=None, response="so", answer="9"))
    (stop,) = check(config_of(model, good, objective=weights, training=training)).stops
    assert stop.startswith("objective.segments.reasoning: no token")
    lost = write_rows(tmp_path / "lost.jsonl", {"x": 1}, {"y": 2})
    found = check(config_of(model, lost, training=training))
    assert found.stops[0].startswith("2 of 2 rows are bad, all; the first: ")
    assert len(found.stops) == 1 and not found.run.steps and found.set_aside[0].count == 1
    assert "A training would refuse this, or stop." in text_form(found)


def test_a_used_run_folder_and_no_whole_batch_are_told(tiny_dir: TinyDir, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "good.jsonl", row())
    (tmp_path / "run").mkdir()
    (tmp_path / "run/x").touch()
    training = {"per_device_train_batch_size": 2, "dataloader_drop_last": True}
    training["output_dir"] = str(tmp_path / "run")
    stops = check(config_of(tiny_dir("qwen2_5_vl"), path, training=training)).stops
    assert [stop.partition(" ")[2][:20] for stop in stops] == [
        "rows give no whole b",
        "holds files but no r",
    ]


def test_leaks_are_told_and_refused(
    tiny_dir: TinyDir, figures_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = figures_file(6, "test")
    asked = {"benchmarks": [{"name": "figures", "path": str(path.parent)}]}
    training = {"output_dir": str(tmp_path / "run")}
    for policy, stops in (("warn", 0), ("raise", 1)):
        config = config_of(
            tiny_dir("qwen2_5_vl"),
            path,
            data={"on_leak": policy},
            evaluation=asked,
            training=training,
        )
        found = check(config)
        assert found.leaks is not None
        assert (found.leaks.count, len(found.stops)) == (6, stops)
        write(found, tmp_path / policy)
        assert len(list(read_jsonl(tmp_path / policy / "leaks.jsonl"))) == len(found.all_leaks)


@pytest.mark.parametrize("repeat", [1, 2.5, 0.5])
def test_streamed_data_is_counted_as_loaded(
    tiny_dir: TinyDir, rows: Path, tmp_path: Path, repeat: float
) -> None:
    # With a share of a row the two draw among different rows if some are bad.
    good = write_rows(tmp_path / "good.jsonl", *(row(question=f"{n}?" * n) for n in range(1, 9)))
    source = {"path": good if repeat != 1 else rows, "repeat": repeat}
    training = {"per_device_train_batch_size": 2, "output_dir": str(tmp_path / "run")}
    data = {"max_bad_fraction": 0.5, "max_pixels": 112 * 112}
    loaded, streamed = (
        check(
            config_of(
                tiny_dir("qwen2_5_vl"),
                source,
                data={**data, "streaming": streaming},
                training=training,
            )
        )
        for streaming in (False, True)
    )
    assert asdict(streamed.tokens) == {**asdict(loaded.tokens), "packs": None, "fill": None}
    if repeat >= 1:
        assert streamed.sources == loaded.sources
        assert streamed.images == loaded.images
        assert streamed.lengths == loaded.lengths
        assert streamed.duplicates == loaded.duplicates
        assert streamed.set_aside == loaded.set_aside


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2},
        {"per_device_train_batch_size": 4, "dataloader_drop_last": True, "num_train_epochs": 1.5},
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_steps": 3},
        {"packing": True, "gradient_accumulation_steps": 2, "num_train_epochs": 2},
    ],
)
def test_steps_are_those_of_a_training(
    tiny_dir: TinyDir,
    figures_file: Callable[..., Path],
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    settings = {"gradient_accumulation_steps": 1, **settings}
    data = {"max_length": 256, "packing": settings.pop("packing", False)}
    training = {"output_dir": str(tmp_path / "run"), "save_strategy": "no", "logging_steps": 1}
    config = config_of(
        tiny_dir("qwen2_5_vl"), figures_file(10), data=data, training={**training, **settings}
    )
    found = check(config)
    result = train(config)
    assert found.run.steps == result.summary["steps"]
    logged = [each for each in result.history if "answer_tokens" in each]
    assert len(logged) == found.run.steps
    if found.run.epochs == 1 and "dataloader_drop_last" not in settings:
        assert sum(each["answer_tokens"] for each in logged) == found.run.answer_tokens
    assert found.memory.parameters == result.summary["parameters"]
    assert found.memory.trainable == result.summary["trainable"]


def test_packs_are_filled_as_told(
    tiny_dir: TinyDir, figures_file: Callable[..., Path], tmp_path: Path
) -> None:
    training = {"output_dir": str(tmp_path / "run")}
    data = {"max_length": 256, "packing": True}
    found = check(config_of(tiny_dir("qwen2_5_vl"), figures_file(10), data=data, training=training))
    assert found.tokens.packs == found.run.rows
    assert found.tokens.fill == found.tokens.total / (found.run.rows * 256)


def test_a_shared_prefix_counts_once(tiny_dir: TinyDir, tmp_path: Path) -> None:
    """Four answers to one image, two to a question in words, and a question to another image."""
    large, small = (draw(tmp_path, f"{size}.png", (size, size)) for size in (112, 56))
    answers = [row(images=[large], reasoning="a b c " * n) for n in range(1, 5)]
    words = [row(answer="7"), row(answer="8")]
    rows = write_rows(tmp_path / "rows.jsonl", *answers, *words, row(images=[small]))
    configs = [
        config_of(
            tiny_dir("qwen2_5_vl"),
            rows,
            data={"packing": True, "share_prefix": share},
            training={"output_dir": str(tmp_path / "run"), "per_device_train_batch_size": 4},
        )
        for share in (True, False)
    ]
    found, unshared = map(check, configs)
    # What a batch of all packs has, as the model gets it.
    processor = load_processor(configs[0].model)
    budget = pixel_budget(processor, configs[0].data.min_pixels, configs[0].data.max_pixels)
    loaded = load_examples(configs[0].data.train, configs[0].data, processor, budget)
    chains = chains_of(loaded.rows, 512)
    assert sorted(map(len, chains)) == [1, 2, 4]
    dataset = RenderedDataset(loaded.rows, processor, budget)
    packed = PackedDataset(dataset, loaded.lengths, 512, 42, chains)
    known = load_model_config(configs[0].model)
    batch = collate_packed(list(packed), packed_positions(known))  # type: ignore[call-overload]
    positions, trained = batch["input_ids"].numel(), int((batch["labels"] != -100).sum())
    pixels = len(batch["pixel_values"]) * 14**2
    assert pixels == 112**2 + 56**2

    assert found.tokens.total == unshared.tokens.total == sum(loaded.lengths)
    assert found.tokens.shared == sum(loaded.lengths) - positions > 0 == unshared.tokens.shared
    assert found.tokens.answer == unshared.tokens.answer == trained
    assert found.tokens.packs == found.run.rows == len(packed)
    assert found.tokens.fill == positions / (len(packed) * 512)
    assert found.run.examples == 7 and found.run.steps_per_epoch == 1
    assert found.run.tokens_per_step == positions
    assert found.run.tokens == positions * found.run.epochs
    assert found.memory.batch == Batch(rows=1, length=positions, answers=trained, pixels=pixels)
    assert unshared.memory.batch.pixels == 4 * 112**2 + 56**2
    share = f"shared prefixes save {found.tokens.shared} of {found.tokens.total} tokens"
    assert any(note.startswith(share) for note in found.notes)
    assert not found.stops

    flash = configs[0].model_copy(
        update={
            "model": configs[0].model.model_copy(
                update={"attn_implementation": "flash_attention_2"}
            )
        }
    )
    (stop,) = check(flash).stops
    assert stop.startswith("data.share_prefix: not available with attention flash_attention_2")


def test_what_is_written_is_what_is_printed(found: Check, tmp_path: Path, rows: Path) -> None:
    write(found, tmp_path / "out")
    summary = read_json(tmp_path / "out/check.json")
    assert summary == json.loads(json.dumps(found.summary))
    assert summary["would_start"] is True
    listed = [each["row"] for _, each in read_jsonl(tmp_path / "out/quarantine.jsonl")]
    assert listed == [5, 6, 7]
    assert not (tmp_path / "out/leaks.jsonl").exists()
    text = text_form(found)
    assert f"{summary['tokens']['total']:,}" in text
    assert "10 rows, 7 usable (native 6, messages 1)" in text
    assert f"{rows}:3 is {rows}:1" in " ".join(text.split())
    names = str(rows.parent)
    assert all(len(line) <= 80 or names in line for line in text.splitlines())


def test_the_command_line_from_end_to_end(tiny_dir: TinyDir, rows: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        f"model: {{name: {tiny_dir('qwen2_5_vl')}}}\n"
        f"data: {{train: [{rows}], max_length: 512, max_pixels: 12544}}\n"
        f"training: {{output_dir: {tmp_path / 'run'}}}\n"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mmdft", "check", str(path), *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    refused = run("--json")
    assert refused.returncode == 1, refused.stderr
    summary = json.loads(refused.stdout)
    assert summary["would_start"] is False and summary["stops"][0].startswith("3 of 10 rows")
    assert not (tmp_path / "run").exists()
    fine = run("data.max_bad_fraction=0.3", "--model", "--num", "3", "--out", str(tmp_path / "out"))
    assert fine.returncode == 0, fine.stderr
    assert fine.stdout.endswith("A training would start.\n")
    assert "PREFLIGHT" in fine.stdout
    assert read_json(tmp_path / "out/check.json")["preflight"]["examples"] == 3
    assert run("data.trian=[x]").returncode == 2


@pytest.mark.parametrize("family", ["smolvlm", "internvl", "gemma3"])
def test_families_without_a_pixel_budget(tiny_dir: TinyDir, tmp_path: Path, family: str) -> None:
    path = write_rows(tmp_path / "rows.jsonl", row(images=[draw(tmp_path, "a.png", (90, 60))]))
    data = {"min_pixels": None, "max_pixels": None, "max_length": 4096}
    training = {"output_dir": str(tmp_path / "run")}
    found = check(config_of(tiny_dir(family), path, data=data, training=training))
    assert not found.stops
    assert (found.images.count, found.images.shrunk, found.images.enlarged) == (1, None, None)
    assert found.images.tokens == found.tokens.image > 0
    assert "activations, vision" not in found.memory.terms
    assert "vision tower" in found.memory.notes[-1]


def test_no_training_data_is_wrong_use(tiny_dir: TinyDir) -> None:
    with pytest.raises(ConfigError, match=r"data\.train is empty"):
        check(config_of(tiny_dir("qwen2_5_vl")))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("812 tokens, more than data.max_length=512", "N tokens, more than data.max_length=N"),
        ("/a/b c.png: no such file", "…: no such file"),
        ("img.png: no such file below /x/y", "…: no such file below …"),
        ("field 'answer' is missing", "field … is missing"),
        ("1,024 of 3.5 it", "N of N it"),
    ],
)
def test_reasons_of_one_kind_differ_in_names_and_numbers_alone(reason: str, kind: str) -> None:
    if reason.startswith("/a/b c"):
        assert kind_of(reason).endswith(kind)
    else:
        assert kind_of(reason) == kind


def test_dynamath_as_training_rows(
    tiny_dir: TinyDir, shared: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shared("benchmarks/dynamath")
    items = list(read_json(folder / "dataset.json").items())[:20]
    path = write_rows(tmp_path / "rows.jsonl", *({"name": name, **each} for name, each in items))
    fields = {"id": "name", "question": "question", "answer": "answer", "images": "image"}
    source = {"path": path, "image_root": folder, "map": fields}
    data = {"max_length": 2048, "max_pixels": 200_000}
    asked = {"benchmarks": [{"name": "dynamath", "path": str(folder)}]}
    training = {"output_dir": str(tmp_path / "run")}
    found = check(
        config_of(tiny_dir("qwen2_5_vl"), source, data=data, evaluation=asked, training=training)
    )
    assert found.sources[0].formats == {"map": 20}
    assert found.leaks is not None and found.leaks.count == 20
    assert found.images.count == 20 and not found.stops
