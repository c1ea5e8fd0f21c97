from mmdft.evals.stats import summarise
from mmdft.evals.tables import results_markdown


def test_nothing_scored_is_shown_as_dashes():
    empty = summarise([], [], []).as_dict()
    text = results_markdown(
        {
            "benchmark": "figures",
            "citation": "ours",
            "partial": False,
            "missing": 0,
            "rules": {"exact": empty},
        }
    )
    assert "| exact | 0 | - | - | - | 0 | 0 | - | - |" in text
    assert "Partial" not in text
    assert text.endswith("Data: ours\n")


def test_a_pipe_in_a_category_does_not_break_the_table():
    part = summarise([], [], []).as_dict()
    rules = {"exact": part | {"breakdowns": {"category": {"|x|": part, "": part}}}}
    text = results_markdown(
        {"benchmark": "figures", "citation": "ours", "partial": False, "rules": rules}
    )
    assert "| \\|x\\| | 0 |" in text
    assert "| (none) | 0 |" in text
