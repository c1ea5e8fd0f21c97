"""How the families of `chart_families` ask, in training and out of it."""

from __future__ import annotations

CHART_QUESTIONS: dict[str, tuple[str, ...]] = {
    "grouped_bars": (
        "How much more is {one} than {other}, all groups together?",
        "Find the difference of the sums of {one} and {other} over all groups.",
    ),
    "line_gap": (
        "How far is the line {one} above the line {other} at {group}?",
        "Find the difference of {one} and {other} at {group}.",
    ),
    "axis_mean": (
        "What is the mean of the bars?",
        "Find the mean value of all bars.",
    ),
    "histogram_below": (
        "How many values are below {edge}?",
        "Find the number of values left of {edge}.",
    ),
    "box_quartiles": (
        "What is the height of the box A, from its lower to its upper end?",
        "Find the difference of the two quartiles of A.",
    ),
    "scatter_count": (
        "How many more points are above the red line than below it?",
        "Find the difference of the numbers of points above and below the red line.",
    ),
    "table_cell": (
        "Which number belongs in place of the ? in the table?",
        "Find the missing number of the table.",
    ),
    "heat_rows": (
        "How much larger is the sum of row {one} than the sum of row {other}?",
        "Find the sum of row {one} less the sum of row {other}.",
    ),
    "stacked_part": (
        "Above each bar is its total. How large is the part with ?",
        "Find the missing part of the bar {group}; its total is above it.",
    ),
}

OOD_CHART_QUESTIONS: dict[str, tuple[str, ...]] = {
    "grouped_bars": (
        "By how much does the total of {one} exceed the total of {other}?",
        "Compute total {one} minus total {other}.",
    ),
    "line_gap": (
        "By how much does {one} exceed {other} at the point {group}?",
        "Compute the gap between the series {one} and {other} at {group}.",
    ),
    "axis_mean": (
        "Compute the average height of the bars.",
        "What do the bars amount to on average?",
    ),
    "histogram_below": (
        "Compute how many observations fall short of {edge}.",
        "What is the total count of the bins up to {edge}?",
    ),
    "box_quartiles": (
        "Compute the interquartile range of A.",
        "By how much does the upper quartile of A exceed the lower?",
    ),
    "scatter_count": (
        "Count the dots on both sides of the red line. What is the difference?",
        "By how many do the dots over the red line outnumber those under it?",
    ),
    "table_cell": (
        "Compute the value that the question mark hides; the last column has the totals.",
        "What does the question mark in the table stand for?",
    ),
    "heat_rows": (
        "By how much does row {one} of the heat map exceed row {other} in total?",
        "Compute total of row {one} minus total of row {other}.",
    ),
    "stacked_part": (
        "Compute the segment marked with a question mark from the number above its bar.",
        "What is missing in the stack {group} to make its total?",
    ),
}
