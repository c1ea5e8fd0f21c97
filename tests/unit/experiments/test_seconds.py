"""The time of an experiment that is done in several calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdft.experiments.run import _Seconds
from mmdft.files import read_json


def test_time_goes_on_where_a_call_that_was_killed_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 105.0, 107.0, 500.0, 504.0])
    monkeypatch.setattr("time.monotonic", lambda: next(moments))
    path = tmp_path / "seconds.json"
    killed = _Seconds(path)
    killed.add("grid", 9.0)
    killed.add("grid", 3.0)
    assert read_json(path) == {"grid": 12.0, "elapsed": 7.0}
    # Between the calls nothing was done.
    _Seconds(path).add("best", 2.0)
    assert read_json(path) == {"grid": 12.0, "best": 2.0, "elapsed": 11.0}
