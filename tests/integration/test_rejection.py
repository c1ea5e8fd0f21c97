"""`mmdft sample` as a user runs it: a model's own right answers become its training data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmdft import load_config, sample, train
from mmdft.checking.check import check
from mmdft.config_loading import dump_config
from mmdft.data.figures import write_figures
from mmdft.errors import ConfigError, DataError
from mmdft.evals.rules import RULES
from mmdft.files import read_json, read_jsonl, write_jsonl
from mmdft.provenance import model_fingerprint
from mmdft.records import Example, Prediction, Turn

MADE = ("train.jsonl", "scored.jsonl", "sample.json", "predictions.jsonl", "quarantine.jsonl")


def rows(path):
    return [row for _, row in read_jsonl(path)]


def configure(folder, data, model, *overrides):
    """The configuration of a sampling, from a file as a user has it."""
    path = folder / "sample.yaml"
    path.write_text("model: {name: m}\nsample: {max_new_tokens: 12}\n")
    return load_config(
        path,
        [
            *(f"model.name={model}", f"data.train=[{data}]"),
            *(f"sample.output_dir={folder / 'out'}", *overrides),
        ],
    )


@pytest.fixture(scope="module")
def learner(tiny_dir, tmp_path_factory):
    """Eight figures, and a tiny model that has learnt some of their answers by heart."""
    folder = tmp_path_factory.mktemp("learner")
    data = write_figures(folder, num=8, split="train", size=56, families=["basic"])
    path = folder / "train.yaml"
    path.write_text(
        f"model: {{name: {tiny_dir('qwen2_5_vl')}, dtype: float32}}\n"
        f"data: {{train: [{{path: {data}, reasoning: strip}}], probe_examples: 0}}\n"
        "objective: {name: sft}\n"
        f"training: {{output_dir: {folder / 'run'}, max_steps: 16, learning_rate: 5.0e-3,\n"
        "  lr_scheduler_type: constant, warmup_steps: 0, per_device_train_batch_size: 8,\n"
        "  gradient_accumulation_steps: 1, save_strategy: 'no'}\n"
    )
    return data, train(load_config(path)).model_dir


@pytest.fixture(scope="module")
def sampled(learner, tmp_path_factory):
    """A finished sampling of that model, one answer at a time."""
    config = configure(tmp_path_factory.mktemp("sampled"), *learner, "sample.batch_size=1")
    return config, sample(config)


def test_what_is_kept_are_right_answers_of_the_model(learner, sampled):
    data, model = learner
    config, result = sampled
    asked = {row["id"]: row for row in rows(data)}
    given = {(row["id"], row["sample"]): row for row in rows(result.run_dir / "predictions.jsonl")}
    assert given.keys() == {(name, number) for name in asked for number in range(4)}
    kept = rows(result.path)
    # The model is half taught: some of its answers are right, and not all.
    assert 3 <= len(kept) < 32
    assert 0 < result.summary["right_rate"] < 1
    for row in kept:
        source = asked[row["meta"]["row"]]
        answer = given[source["id"], row["meta"]["sample"]]
        assert row["response"] == answer["response"] and not answer["truncated"]
        assert row["answer"] == source["answer"] and row["question"] == source["question"]
        example = Example(
            id=source["id"],
            turns=(Turn(role="user", parts=(source["question"],)),),
            answer=source["answer"],
        )
        prediction = Prediction(id=source["id"], response=row["response"])
        assert RULES["jsonl"]["strict"](example, prediction).status == "correct"
        shown = [(result.run_dir / name).read_bytes() for name in row["images"]]
        assert shown == [(data.parent / name).read_bytes() for name in source["images"]]
        assert row["meta"]["model"] == model_fingerprint(str(model), None)
        assert row["meta"]["temperature"] == 1.0 and row["meta"]["answers"] == 4
        scored = [
            each
            for each in rows(result.run_dir / "scored.jsonl")
            if each["id"] == source["id"] and each["status"] == "correct"
        ]
        assert row["meta"]["right"] == len(scored)
    assert len({(row["meta"]["row"], row["response"]) for row in kept}) == len(kept)
    found = read_json(result.run_dir / "sample.json")
    assert found == result.summary and found["keep_rate"] == len(kept) / 32
    told = read_json(result.run_dir / "provenance.json")
    assert told["model"] == model_fingerprint(str(model), None)
    assert told["data"]["examples"] == 8 and told["versions"]["mmdft"]
    assert (result.run_dir / "config.yaml").read_text() == dump_config(config)


def test_the_file_trains_and_is_checked(learner, sampled, tmp_path):
    _, model = learner
    _, result = sampled
    path = tmp_path / "train.yaml"
    path.write_text(
        f"model: {{name: {model}}}\n"
        f"data: {{train: [{result.path}], probe_examples: 0, max_bad_fraction: 0}}\n"
        f"training: {{output_dir: {tmp_path / 'run'}, max_steps: 1, save_strategy: 'no'}}\n"
    )
    config = load_config(path)
    found = check(config, ranks=1, with_model=False, num=1)
    assert not found.stops
    trained = train(config).summary
    assert trained["steps"] == 1 and trained["quarantined"] == 0
    assert trained["examples"] == len(rows(result.path))


def test_killed_and_resumed_is_as_never_killed(learner, sampled, tmp_path):
    config = configure(tmp_path, *learner, "sample.batch_size=1")
    settings = tmp_path / "resolved.yaml"
    settings.write_text(dump_config(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "mmdft", "sample", str(settings)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    answers = tmp_path / "out/predictions.jsonl"
    while not (answers.is_file() and answers.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    before = answers.read_text().splitlines()
    assert 3 <= len(before) < 32 and not (tmp_path / "out/train.jsonl").exists()
    _, whole = sampled
    found = sample(config)
    for name in MADE:
        assert (found.run_dir / name).read_bytes() == (whole.run_dir / name).read_bytes(), name
    images = [
        sorted(path.name for path in (each.run_dir / "images").iterdir()) for each in (found, whole)
    ]
    assert images[0] == images[1] != []
    # Answers that were there were not asked for again.
    assert not (found.run_dir / "superseded.jsonl").exists()


@pytest.fixture
def recorded(tmp_path):
    """Two questions without images, and three recorded answers to each."""
    data = tmp_path / "rows.jsonl"
    write_jsonl(
        data,
        [
            {"id": "a", "question": "2 + 2?", "answer": "4", "system": "Be brief."},
            {"id": "b", "question": "3 + 3?", "answer": "6"},
            {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]},
        ],
    )
    answers = tmp_path / "answers.jsonl"
    given = {"a": ["Answer: 4", "so 4.\nAnswer: 4", "Answer: 4"], "b": ["Answer: 6", "", "7"]}
    write_jsonl(
        answers,
        [
            {"id": name, "sample": number, "response": text, "truncated": text == "Answer: 6"}
            for name, texts in given.items()
            for number, text in enumerate(texts)
        ],
    )

    def configured(*overrides):
        backend = f"sample.backend={{name: recorded, path: {answers}}}"
        return configure(tmp_path, data, "m", backend, "sample.num_samples=3", *overrides)

    return configured


def kept(result):
    return [(row["id"], row["response"]) for row in rows(result.path)] if result.path else None


def test_recorded_answers_are_kept_by_rule(recorded, capsys):
    result = sample(recorded())
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "asking 2 questions 3 times"
    assert told[1].startswith("set aside: 1 rows, all in quarantine.jsonl; the first: ")
    assert "rows.jsonl:3 (id rows:3): no gold answer" in told[1]
    assert kept(result) == [("a-0", "Answer: 4"), ("a-1", "so 4.\nAnswer: 4")]
    assert rows(result.path)[0]["system"] == "Be brief."
    assert [(row["sample"], row["fate"]) for row in rows(result.run_dir / "scored.jsonl")] == [
        *((0, "kept"), (1, "kept"), (2, "duplicate")),
        *((0, "truncated"), (1, "empty"), (2, "wrong")),
    ]
    assert result.summary["set_aside"] == {"bad": 0, "no_gold": 1, "duplicates": 0}
    assert [row["id"] for row in rows(result.run_dir / "quarantine.jsonl")] == ["rows:3"]
    assert result.summary["keep_rate"] == 2 / 6
    # The same folder goes on with another rule: nothing is asked again.
    answers = (result.run_dir / "predictions.jsonl").read_bytes()
    fewer = sample(recorded("sample.max_kept=1"))
    assert kept(fewer) in ([("a-0", "Answer: 4")], [("a-1", "so 4.\nAnswer: 4")])
    assert kept(sample(recorded("sample.keep=all"))) == [
        *(("a-0", "Answer: 4"), ("a-1", "so 4.\nAnswer: 4"), ("b-2", "7"))
    ]
    assert (result.run_dir / "predictions.jsonl").read_bytes() == answers
    assert "keep: all" in (result.run_dir / "config.yaml").read_text()
    # Without a kept answer there is no training file, and none is left from before.
    nothing = sample(recorded("sample.skip_solved=true"))
    assert nothing.path is None and not (nothing.run_dir / "train.jsonl").exists()
    assert nothing.summary["questions"]["all_right"] == 1


def test_answers_that_are_lacking_are_told(recorded):
    result = sample(recorded("sample.num_samples=4"))
    assert [(each.id, each.sample) for each in result.unanswered] == [("a", 3), ("b", 3)]
    assert result.summary["answers"]["unanswered"] == 2
    assert {row["meta"]["answers"] for row in rows(result.path)} == {3}


def test_another_sampling_does_not_go_into_the_same_folder(recorded):
    sample(recorded())
    with pytest.raises(ConfigError, match=r"answers with sample\.temperature: 1\.0, and"):
        sample(recorded("sample.temperature=0.5"))
    with pytest.raises(ConfigError, match=r"answers with data\.min_pixels: None, and"):
        sample(recorded("data.min_pixels=3136"))


def test_no_answer_at_all_is_an_error(recorded, tmp_path):
    config = recorded()
    write_jsonl(tmp_path / "answers.jsonl", [{"id": "z", "response": "?"}])
    with pytest.raises(DataError, match="not one question was answered; the first: a: no recorded"):
        sample(config)


def test_the_command_prints_the_keep_rate(recorded, tmp_path):
    settings = tmp_path / "resolved.yaml"
    settings.write_text(dump_config(recorded()))
    done = subprocess.run(
        [sys.executable, "-m", "mmdft", "sample", str(settings), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["summary"]["keep_rate"] == 2 / 6
    assert Path(found["path"]) == tmp_path / "out/train.jsonl"
