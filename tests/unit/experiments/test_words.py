"""Figures as words."""

from __future__ import annotations

from mmdft.experiments.words import duration, label, percent, setting_text, signed_points


def test_numbers_are_formatted() -> None:
    assert percent(0.4126) == "41.3"
    assert percent(float("nan")) == "–"
    assert [signed_points(x) for x in (0.0321, -0.01, 0.0, -0.0004)] == [
        "+3.2",
        "−1.0",
        "0.0",
        "0.0",
    ]
    assert [duration(s) for s in (0.04, 59.94, 59.96, 185, 3599.7, 3720)] == [
        "0.0 s",
        "59.9 s",
        "1 min 00 s",
        "3 min 05 s",
        "1 h 00 min",
        "1 h 02 min",
    ]
    assert [setting_text(v) for v in (5e-5, 0.1, 20240, True, "a_b")] == [
        "5e-5",
        "0.1",
        "20240",
        "yes",
        "a_b",
    ]
    assert label("mean_tokens") == "mean tokens"
