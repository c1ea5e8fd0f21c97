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
    "line_rise": (
        "From A to {last}, how much more does {one} rise than {other}?",
        "Find the rise of {one} from A to {last} less the rise of {other}.",
    ),
    "axis_mean": (
        "What is the mean of the bars?",
        "Find the mean value of all bars.",
    ),
    "stacked_sum": (
        "How much is {one} in all bars together?",
        "Find the sum of the parts {one} over all bars.",
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
    "scatter_corner": (
        "How many points lie to the right of {right} and above {up}?",
        "Count the points whose x is more than {right} and whose y is more than {up}.",
    ),
    "table_cell": (
        "Which number belongs in place of the ? in the table?",
        "Find the missing number of the table.",
    ),
    "table_cost": (
        "What do all of {one} and all of {other} cost together?",
        "Find the cost of {one} and {other}: price times number for each, added.",
    ),
    "heat_rows": (
        "How much larger is the sum of row {one} than the sum of row {other}?",
        "Find the sum of row {one} less the sum of row {other}.",
    ),
    "stacked_part": (
        "Above each bar is its total. How large is the part with ?",
        "Find the missing part of the bar {group}; its total is above it.",
    ),
    "pie_amount": (
        "The whole pie is {total} people. How many more are {one} than {other}?",
        "Of {total} votes the pie shows the shares. Find how many more are {one} than {other}.",
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
    "line_rise": (
        "Compute by how much the gain of {one} exceeds that of {other}, first point to last.",
        "Over the whole chart {one} climbs more than {other}. Compute how much more.",
    ),
    "axis_mean": (
        "Compute the average height of the bars.",
        "What do the bars amount to on average?",
    ),
    "stacked_sum": (
        "Compute the total height of the segments {one}.",
        "What do the pieces of {one} amount to, one stack after the other?",
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
    "scatter_corner": (
        "How many marks have x beyond {right} as well as y beyond {up}?",
        "Compute the number of observations with x > {right} and y > {up}.",
    ),
    "table_cell": (
        "Compute the value that the question mark hides; the last column has the totals.",
        "What does the question mark in the table stand for?",
    ),
    "table_cost": (
        "Compute the bill for the goods {one} and {other} in the quantities listed.",
        "How much has to be paid for {one} plus {other}?",
    ),
    "heat_rows": (
        "By how much does row {one} of the heat map exceed row {other} in total?",
        "Compute total of row {one} minus total of row {other}.",
    ),
    "stacked_part": (
        "Compute the segment marked with a question mark from the number above its bar.",
        "What is missing in the stack {group} to make its total?",
    ),
    "pie_amount": (
        "Compute the difference in head count between {one} and {other}, out of {total} visitors.",
        "Out of {total} items, by how many does the {one} sector exceed the {other} one?",
    ),
}
