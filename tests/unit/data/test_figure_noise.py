"""Demonstrations that are wrong on purpose, and options: exact examples, and all families."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from mmdft.config import SourceConfig
from mmdft.data.figures import ALL_FAMILIES, BASIC_FAMILIES, FAMILIES, contact_sheet, write_figures
from mmdft.data.figures.demonstrations import NOISE_KINDS, Place, demonstration
from mmdft.data.figures.families import GROUPS
from mmdft.data.figures.generate import pose
from mmdft.data.figures.mistakes import MISTAKES, is_possible, wrong_answers
from mmdft.data.figures.noise import num_false, results, wrong_answer, wrong_step
from mmdft.data.figures.options import options_for
from mmdft.data.sources import read_rows, to_example
from mmdft.errors import DataError
from mmdft.evals.rules.figures import exact
from mmdft.files import read_jsonl
from mmdft.records import Prediction

CHAIN = "Values: 3, 4. 3 x 4 = 12. 12 / 2 = 6."


def test_a_wrong_step_is_carried_on() -> None:
    found = {wrong_step(CHAIN, "6", Random(seed)) for seed in range(60)}
    # 12 becomes an even number; or the last result is wrong by itself.
    assert ("Values: 3, 4. 3 x 4 = 14. 14 / 2 = 7.", "7") in found
    assert ("Values: 3, 4. 3 x 4 = 12. 12 / 2 = 8.", "8") in found
    assert None not in found
    assert all(num_false(chain) == 1 for chain, _ in found)  # type: ignore[misc]


def test_a_chain_without_a_step_to_alter() -> None:
    assert wrong_step("Values: red 3. 3 is the most. The bar is red.", "red", Random(0)) is None


def test_a_root_moves_with_its_square() -> None:
    chain = "Values: 17, 8. 17 x 17 = 289. 8 x 8 = 64. 289 - 64 = 225. 15 x 15 = 225. It is 15."
    found = {wrong_step(chain, "15", Random(seed)) for seed in range(60)}
    known = "Values: 17, 8. 17 x 17 = 289. 8 x 8 = 64. 289 - 64 = "
    assert (known + "196. 14 x 14 = 196. It is 14.", "14") in found
    assert {wrong for _, wrong in found} <= {"13", "14", "16", "17"}  # type: ignore[misc]


def test_a_number_that_stands_for_two_things_is_left_alone() -> None:
    # The 8 that the second step starts from is read off, not the first step's result.
    twice = "Values: 8, 2, 4. 2 x 4 = 8. 8 - 2 = 6."
    same = "Values: 4, 12, 20. 4 + 12 = 16. 20 + 16 = 36. 36 - 20 = 16."
    for seed in range(60):
        found = wrong_step(twice, "6", Random(seed))
        assert found is not None and found[0].startswith("Values: 8, 2, 4. 2 x 4 = 8. 8 - 2 = ")
        other = wrong_step(same, "16", Random(seed))
        assert other is not None and other[0].endswith(f" = {other[1]}.")


def test_a_wrong_answer_leaves_the_steps_alone() -> None:
    chain, answer = wrong_answer(CHAIN, "6", (), Random(0))
    assert chain == CHAIN and answer != "6" and 1 <= int(answer) <= 11
    said = "Values: red 3, blue 5. 5 is the most. The bar is blue."
    assert wrong_answer(said, "blue", ("red", "blue"), Random(0)) == (
        "Values: red 3, blue 5. 5 is the most. The bar is red.",
        "red",
    )


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_every_family_can_be_wrong_in_every_way(family: str) -> None:
    kinds: Counter[str] = Counter()
    for kind, index in product(NOISE_KINDS, range(12)):
        place = Place(family=family, split="train", seed=0, index=index)
        row = demonstration(place, noise=0.7, noise_kind=kind, choices=0.5)
        right = pose(family, seed=0, index=index).solution
        options = row.get("choices", [row["answer"]])
        assert row["answer"] in options and len(set(options)) == len(options)
        assert "choices" not in row or right.answer in options
        if not row["meta"].get("noisy"):
            assert (row["answer"], row["reasoning"]) == (right.answer, right.reasoning)
            continue
        assert row["answer"] != right.answer
        if kind == "mismatch":
            assert "gold" not in row["meta"] and num_false(row["reasoning"]) == 0
            continue
        told = row["meta"]["noise_kind"]
        if told == "wrong_step":
            first, *_, last = row["reasoning"].rstrip(".").split(". ")
            assert first == right.reasoning.split(". ")[0]
            assert row["answer"] in last.split()
        assert row["meta"]["gold"] == right.answer
        assert num_false(row["reasoning"]) == (told == "wrong_step")
        assert told in (kind, "wrong_answer")
        kinds[told] += 1
    assert kinds["wrong_answer"] and (kinds["wrong_step"] or not num_steps(family))


def num_steps(family: str) -> int:
    """How many steps its chains have that can be altered."""
    return len(results(pose(family, seed=0, index=0).solution.reasoning))


def test_options_are_what_one_may_get_wrong() -> None:
    for seed in range(40):
        options = options_for("6", results(CHAIN), "7", Random(seed))
        assert len(set(options)) == 4 and {"6", "7", "12"} <= set(options)
        assert all(int(option) > 0 for option in options)
    assert {
        options_for("6", results(CHAIN), "6", Random(seed)).index("6") for seed in range(40)
    } == {
        0,
        1,
        2,
        3,
    }


def test_options_have_the_mistakes_of_their_kind() -> None:
    for seed in range(40):
        options = options_for("6", results(CHAIN), "6", Random(seed), mistakes=("24", "48", "96"))
        assert len({"24", "48", "96"} & set(options)) == 2 and {"6", "12"} <= set(options)
    assert MISTAKES.keys() == set(FAMILIES) - set(BASIC_FAMILIES)
    ring = {"outer": 5, "inner": 3}
    # (5 - 3) x (5 - 3), 25 + 9, 2 x 5 - 2 x 3, of which two are one number; 16 is right.
    assert wrong_answers("ring_area", ring, "16") == ["4", "34"]
    assert wrong_answers("cuboid_volume", {"edges": [2, 3, 4]}, "24") == ["9", "52"]
    assert wrong_answers("box_quartiles", {"boxes": [[1, 2, 5, 7, 9]]}, "5") == ["8", "2"]
    # No angle of a triangle; too far off.
    assert is_possible("exterior_angle", "95", "179") and is_possible("ring_area", "95", "180")
    assert not is_possible("exterior_angle", "95", "180")
    assert not is_possible("ring_area", "10", "51") and is_possible("bar_sum", "10", "51")
    assert wrong_answers("grid_triangle", {"a": [1, 1], "b": [5, 1], "apex": [2, 4]}, "6") == ["12"]


@pytest.mark.parametrize("family", MISTAKES)
def test_every_kind_invites_a_mistake(family: str) -> None:
    num = 0
    for index in range(40):
        problem = pose(family, seed=0, index=index)
        wrong = wrong_answers(family, problem.params, problem.solution.answer)
        assert problem.solution.answer not in wrong and len(set(wrong)) == len(wrong)
        assert all(int(answer) > 0 for answer in wrong)
        num += bool(wrong)
    assert num >= 30


def test_letter_and_text_of_an_option_are_both_right(tmp_path: Path) -> None:
    path = write_figures(tmp_path, num=8, split="test", families=["notched_area"], choices=1.0)
    for origin, row in read_rows(SourceConfig(path=path)):
        example = to_example(row, origin, None)
        assert len(example.choices) == 4
        assert all(
            f"({'ABCD'[i]}) {c}" in example.turns[0].text for i, c in enumerate(example.choices)
        )
        for index, choice in enumerate(example.choices):
            for response in (f"Answer: {choice}", f"The answer is ({'ABCD'[index]})."):
                verdict = exact(example, Prediction(id=example.id, response=response))
                wanted = "correct" if choice == example.answer else "wrong"
                assert verdict.status == wanted, (response, example.answer)


def test_bad_arguments_and_groups(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="noise kind must be one of mismatch, wrong_step"):
        write_figures(tmp_path, num=1, split="train", noise_kind="wrong")
    with pytest.raises(DataError, match="choices must be from 0 to 1"):
        write_figures(tmp_path, num=1, split="train", choices=1.5)
    path = write_figures(tmp_path, num=30, split="train", families=["geometry", "bar_sum"])
    asked = {row["category"] for _, row in read_jsonl(path)}
    assert asked == {*GROUPS["geometry"], "bar_sum"}
    assert sum(map(len, GROUPS.values())) == len(ALL_FAMILIES)


SAMPLES = Path(__file__).parents[3] / "data" / "samples"


def test_the_committed_sample_is_what_the_command_makes(tmp_path: Path) -> None:
    made = write_figures(tmp_path, num=len(FAMILIES), split="train")
    assert made.read_bytes() == (SAMPLES / "train.jsonl").read_bytes()
    total = 0
    for _, row in read_jsonl(made):
        (image,) = row["images"]
        with Image.open(tmp_path / image) as new, Image.open(SAMPLES / image) as old:
            assert new.tobytes() == old.tobytes()
    for file in SAMPLES.rglob("*"):
        total += file.stat().st_size if file.is_file() else 0
    assert total < 1_000_000
    card = (SAMPLES / "README.md").read_text()
    assert all(f"| `{family}` |" in card for family in FAMILIES)


def test_the_committed_sheet_is_what_the_command_makes() -> None:
    file = SAMPLES.parent / "figures.png"
    assert file.stat().st_size < 300_000
    with Image.open(file) as old:
        assert old.convert("RGB").tobytes() == contact_sheet().convert("RGB").tobytes()
