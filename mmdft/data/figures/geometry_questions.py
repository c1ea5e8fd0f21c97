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
    "exterior_angle": (
        "How many degrees is the angle with ?, outside the triangle?",
        "Find the coloured angle beside the triangle.",
    ),
    "parallel_lines": (
        "The two long lines are parallel. How many degrees is the angle of the triangle at A?",
        "Find the angle BAC between the two parallel lines.",
    ),
    "notched_area": (
        "All corners are right angles. What is the area of the shape?",
        "Find the area of the coloured shape with right angles.",
    ),
    "grid_distance": (
        "A square of the grid is {unit} wide. How long is the line between the two points?",
        "Find the distance of the two points, on a grid whose squares are {unit} wide.",
    ),
    "grid_triangle": (
        "What is the area of the triangle on the grid?",
        "Find the area of the coloured triangle.",
    ),
    "cuboid_volume": (
        "What is the volume of the box?",
        "Find the volume of the solid with these edges.",
    ),
    "cuboid_surface": (
        "What is the surface of the closed box, all six faces together?",
        "Find the area of all six faces of the box.",
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
        "Work out the length of the bottom side by similarity.",
        "Compute the side marked ? of the large triangle, similar to the coloured one.",
    ),
    "exterior_angle": (
        "Work out the exterior angle of the triangle.",
        "Compute the angle between the prolonged base and the right side.",
    ),
    "parallel_lines": (
        "Work out the angle at the point A, the horizontal lines being parallel.",
        "Compute angle BAC in degrees.",
    ),
    "notched_area": (
        "Work out how much area the L has.",
        "Compute the area of the rectangle without its missing corner.",
    ),
    "grid_distance": (
        "Each unit of the axes stands for {unit} metres. Work out the segment's length in metres.",
        "Compute how far apart the marked points are, at {unit} metres a unit.",
    ),
    "grid_triangle": (
        "Work out the area enclosed by the three marked points.",
        "Compute the triangle's area in squares of the grid.",
    ),
    "cuboid_volume": (
        "Work out how many unit cubes fill the cuboid.",
        "Compute the cuboid's volume from its edges.",
    ),
    "cuboid_surface": (
        "Work out the total surface area of the cuboid.",
        "Compute how much paper covers the cuboid exactly.",
    ),
}
