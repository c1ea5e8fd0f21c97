"""How each family asks, in training and out of it. The two sets share no question.

The wording keeps to few, plain words: a small tokenizer has to hold them all. Fields in braces are
parameters of the figure.
"""

from __future__ import annotations

from mmdft.data.figures.chart_questions import CHART_QUESTIONS, OOD_CHART_QUESTIONS
from mmdft.data.figures.geometry_questions import GEOMETRY_QUESTIONS, OOD_GEOMETRY_QUESTIONS
from mmdft.data.figures.space_questions import OOD_SPACE_QUESTIONS, SPACE_QUESTIONS

_BASIC: dict[str, tuple[str, ...]] = {
    "triangle_perimeter": (
        "What is the perimeter of the triangle?",
        "Find the perimeter of the triangle.",
        "How long are the three sides in all?",
    ),
    "triangle_angle": (
        "What is the missing angle of the triangle?",
        "Find the missing angle of the triangle.",
        "How many degrees is the missing angle?",
    ),
    "triangle_area": (
        "What is the area of the triangle?",
        "Find the area of the triangle.",
        "How large is the area of the triangle?",
    ),
    "right_triangle": (
        "What is the missing side of the triangle?",
        "Find the missing side of the triangle.",
        "How long is the missing side?",
    ),
    "angle_sum_line": (
        "What is the missing angle on the line?",
        "Find the missing angle on the line.",
        "How many degrees is the missing angle on the line?",
    ),
    "rectangle_area": (
        "What is the area of the rectangle?",
        "Find the area of the rectangle.",
        "How large is the area of the rectangle?",
    ),
    "rectangle_perimeter": (
        "What is the perimeter of the rectangle?",
        "Find the perimeter of the rectangle.",
        "How long are the four sides in all?",
    ),
    "circle_area": (
        "How many times pi is the area of the circle?",
        "The area of the circle is k times pi. What is k?",
        "Find the area of the circle as a multiple of pi.",
    ),
    "circle_circumference": (
        "How many times pi is the perimeter of the circle?",
        "The perimeter of the circle is k times pi. What is k?",
        "Find the perimeter of the circle as a multiple of pi.",
    ),
    "polygon_sides": (
        "How many sides does the shape have?",
        "What is the number of sides of the shape?",
        "Count the sides of the shape.",
    ),
    "polygon_angle_sum": (
        "What is the sum of the angles of the shape?",
        "Find the sum of the angles of the shape.",
        "How many degrees are the angles of the shape in all?",
    ),
    "composite_area": (
        "What is the area of the shape?",
        "Find the area of the shape.",
        "How large is the area of the shape?",
    ),
    "grid_area": (
        "How many cells are filled?",
        "What is the number of filled cells?",
        "Count the filled cells.",
    ),
    "bar_max": (
        "Which bar is the highest?",
        "What color is the highest bar?",
        "Find the color of the highest bar.",
    ),
    "bar_min": (
        "Which bar is the lowest?",
        "What color is the lowest bar?",
        "Find the color of the lowest bar.",
    ),
    "bar_value": (
        "How high is the {color} bar?",
        "What is the height of the {color} bar?",
        "Count the blocks of the {color} bar.",
    ),
    "bar_count": (
        "How many bars are there?",
        "What is the number of bars?",
        "Count the bars.",
    ),
    "bar_sum": (
        "What is the sum of all bars?",
        "Find the sum of all bars.",
        "How much are all bars in all?",
    ),
    "bar_difference": (
        "How much higher is bar {first} than bar {second}?",
        "What is bar {first} minus bar {second}?",
        "Find bar {first} minus bar {second}.",
    ),
    "line_change": (
        "How much is the change from the first to the last point?",
        "Find the change from the first to the last point.",
        "What is the difference of the first and the last point?",
    ),
    "pie_share": (
        "What percent is the missing share?",
        "Find the missing share in percent.",
        "How many percent is the missing share?",
    ),
    "fraction_parts": (
        "How many parts are not filled?",
        "What is the number of parts that are not filled?",
        "Count the parts that are not filled.",
    ),
}


_OOD_BASIC: dict[str, tuple[str, ...]] = {
    "triangle_perimeter": (
        "Give the distance around this triangle.",
        "Add up the sides of the shape. What do you get?",
    ),
    "triangle_angle": (
        "Give the size of the corner marked with a question mark, in degrees.",
        "Which angle completes this triangle, in degrees?",
    ),
    "triangle_area": (
        "Give the surface of this triangle.",
        "How many unit squares would the shape cover?",
    ),
    "right_triangle": (
        "Give the length of the edge marked with a question mark.",
        "One corner is square. Which length completes this triangle?",
    ),
    "angle_sum_line": (
        "Give the angle marked with a question mark, in degrees.",
        "Which angle is left to make it straight, in degrees?",
    ),
    "rectangle_area": (
        "Give the surface of this rectangle.",
        "How many unit squares would the box cover?",
    ),
    "rectangle_perimeter": (
        "Give the distance around this rectangle.",
        "Add up the sides of the box. What do you get?",
    ),
    "circle_area": (
        "Divide the surface of this disc by pi. What do you get?",
        "Give the number before pi in the surface of this disc.",
    ),
    "circle_circumference": (
        "Divide the distance around this disc by pi. What do you get?",
        "Give the number before pi in the length of the rim.",
    ),
    "polygon_sides": (
        "Give the number of corners of this polygon.",
        "This polygon has how many edges?",
    ),
    "polygon_angle_sum": (
        "Add up the corners of this polygon, in degrees.",
        "Give the total of all inner angles of this polygon.",
    ),
    "composite_area": (
        "Give the surface of this L.",
        "How many unit squares would the L cover?",
    ),
    "grid_area": (
        "Give the area of the block, in squares of the grid.",
        "The block covers how many squares?",
    ),
    "bar_max": (
        "Name the color of the tallest column.",
        "Which column has the most blocks?",
    ),
    "bar_min": (
        "Name the color of the shortest column.",
        "Which column has the fewest blocks?",
    ),
    "bar_value": (
        "Give the number of blocks in the {color} column.",
        "The {color} column has how many blocks?",
    ),
    "bar_count": (
        "Give the number of columns in this chart.",
        "This chart has how many columns?",
    ),
    "bar_sum": (
        "Give the total of this chart.",
        "Add up the columns. What do you get?",
    ),
    "bar_difference": (
        "Give the gap between column {first} and column {second}.",
        "Column {second} is lower than column {first} by how much?",
    ),
    "line_change": (
        "Give the gap between where the curve starts and where it ends.",
        "By how much do the two ends of the curve differ?",
    ),
    "pie_share": (
        "Give the percentage of the slice marked with a question mark.",
        "Which percentage completes this pie?",
    ),
    "fraction_parts": (
        "Give the number of empty slices.",
        "This pie has how many empty slices?",
    ),
}

_EXERCISES: dict[str, tuple[str, ...]] = {
    "reading": ("Read the numbers.", "What is written here?", "List all numbers."),
    "number_sum": ("Add up all numbers.", "What is the sum of the numbers?", "Find the sum."),
    "number_product": ("Multiply the numbers.", "What is the product?", "Find the product."),
    "bar_order": ("List the bars from the lowest.", "What is the order of the bars?"),
}
_OOD_EXERCISES: dict[str, tuple[str, ...]] = {
    "reading": ("Which numbers do you see?", "Name every number."),
    "number_sum": ("What do the numbers come to?", "Give the total of the numbers."),
    "bar_order": ("Name the columns, the shortest first.", "Give the columns by height."),
    "number_product": ("What is one number times the other?", "Give one times the other."),
}

# Shapes not to scale are asked about as the others are.
_LOOSE = ("rectangle_area", "rectangle_perimeter", "triangle_perimeter", "triangle_angle")
_EXERCISES |= {f"loose_{name}": _BASIC[name] for name in _LOOSE}
_OOD_EXERCISES |= {f"loose_{name}": _OOD_BASIC[name] for name in _LOOSE}

QUESTIONS = {
    **_BASIC,
    **_EXERCISES,
    **GEOMETRY_QUESTIONS,
    **SPACE_QUESTIONS,
    **CHART_QUESTIONS,
}
OOD_QUESTIONS = {
    **_OOD_BASIC,
    **_OOD_EXERCISES,
    **OOD_GEOMETRY_QUESTIONS,
    **OOD_SPACE_QUESTIONS,
    **OOD_CHART_QUESTIONS,
}
