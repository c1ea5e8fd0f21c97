"""How the families of `geometry_families` ask, in training and out of it."""

from __future__ import annotations

GEOMETRY_QUESTIONS: dict[str, tuple[str, ...]] = {
    "thales_leg": (
        "The long side of the triangle is a diameter of the circle. How long is the side with ?",
        "A triangle stands on the diameter of a circle. Find the missing side.",
    ),
    "tangent_length": (
        "The line with ? touches the circle. How long is it?",
        "Find the length of the tangent, from the point to the circle.",
    ),
    "inscribed_angle": (
        "O is the centre of the circle. How many degrees is the angle OAB?",
        "What is the angle OAB, if O is the centre of the circle?",
    ),
    "crossing_chords": (
        "Two chords cross in the circle. How long is the part with ?",
        "Find the missing part of the two crossing chords.",
    ),
    "similar_triangles": (
        "The short line is parallel to the base. How long is the base?",
        "A line parallel to the base cuts off the coloured triangle. Find the base, marked with ?.",
    ),
    "midsegment_perimeter": (
        "D, E and F are the middles of the sides. What is the perimeter of the triangle DEF?",
        "Find the perimeter of the coloured triangle, whose corners are the middles of the sides.",
    ),
    "bisector_perimeter": (
        "The line from A to D halves the angle at A. What is the perimeter of the triangle ABC?",
        "AD halves the angle BAC. Find the perimeter of the triangle ABC.",
    ),
    "pythagoras_chain": (
        "Both triangles have a right angle. How long is the side with ?",
        "Find the missing side of the two right triangles.",
    ),
    "exterior_angle": (
        "How many degrees is the angle with ?, outside the triangle?",
        "Find the coloured angle beside the triangle.",
    ),
    "parallel_lines": (
        "The two long lines are parallel. How many degrees is the angle of the triangle at A?",
        "Find the angle BAC between the two parallel lines.",
    ),
    "parallel_bend": (
        "The two long lines are parallel. How many degrees is the angle with ?",
        "Find the angle of the bent line between the two parallel lines.",
    ),
    "polygon_corner": (
        "How many degrees is the missing angle of the shape?",
        "Find the angle with ? in the shape.",
    ),
    "notched_area": (
        "All corners are right angles. What is the area of the shape?",
        "Find the area of the coloured shape with right angles.",
    ),
    "ring_area": (
        "How many times pi is the area of the coloured ring?",
        "Find the area between the two circles as a multiple of pi.",
    ),
    "holed_area": (
        "Take pi as 3. What is the area of the coloured part?",
        "A round hole is cut from a rectangle. Find the area that is left, with 3 for pi.",
    ),
}

OOD_GEOMETRY_QUESTIONS: dict[str, tuple[str, ...]] = {
    "thales_leg": (
        "One side of this triangle passes through the centre of the circle. Work out the side ?",
        "Compute the unknown side of the triangle inscribed over the diameter.",
    ),
    "tangent_length": (
        "Compute how far the outer point is from where its line touches the circle.",
        "Work out the tangent segment marked with a question mark.",
    ),
    "inscribed_angle": (
        "Work out the base angle at A of the triangle OAB, O being the centre.",
        "Compute the size of angle OAB in degrees; the centre is O.",
    ),
    "crossing_chords": (
        "Work out the unknown piece of the chord.",
        "Compute the length marked ? where two chords of a circle intersect.",
    ),
    "similar_triangles": (
        "Work out the length marked with a question mark, by similarity.",
        "Compute the side marked ? of the large triangle, similar to the coloured one.",
    ),
    "midsegment_perimeter": (
        "Work out how long the outline of DEF is; each of these points halves a side.",
        "Compute the perimeter of the triangle that the three midpoints make.",
    ),
    "bisector_perimeter": (
        "Work out the outline of ABC, given that AD bisects the angle at A.",
        "Compute AB + BC + CA; the two marked angles at A are equal.",
    ),
    "pythagoras_chain": (
        "Work out the length marked with a question mark; right angles have a small square.",
        "Compute the unknown side by Pythagoras, twice.",
    ),
    "exterior_angle": (
        "Work out the exterior angle of the triangle.",
        "Compute the angle between the prolonged base and the right side.",
    ),
    "parallel_lines": (
        "Work out the angle of the triangle at the point A; the two long lines run parallel.",
        "Compute angle BAC in degrees.",
    ),
    "parallel_bend": (
        "Work out the angle at which the coloured line turns between the parallels.",
        "Compute the angle marked ? in degrees; the long lines never meet.",
    ),
    "polygon_corner": (
        "Work out the unknown interior angle of the polygon.",
        "Compute the angle that is not written, from the polygon's sum of angles.",
    ),
    "notched_area": (
        "Work out how much area the L has.",
        "Compute the area of the rectangle without its missing corner.",
    ),
    "ring_area": (
        "Work out the area of the ring and divide it by pi.",
        "Compute the factor of pi in the area that lies between the circles.",
    ),
    "holed_area": (
        "Work out how much of the rectangle remains around the hole, using pi = 3.",
        "Compute the tinted area; let pi be 3.",
    ),
}
