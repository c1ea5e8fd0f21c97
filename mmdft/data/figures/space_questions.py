"""How the families of `space_families` ask, in training and out of it."""

from __future__ import annotations

SPACE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "grid_distance": (
        "A square of the grid is {unit} wide. How long is the line between the two points?",
        "Find the distance of the two points, on a grid whose squares are {unit} wide.",
    ),
    "grid_triangle": (
        "What is the area of the triangle on the grid?",
        "Find the area of the coloured triangle.",
    ),
    "grid_quadrilateral": (
        "What is the area of the shape on the grid?",
        "Find the area of the coloured shape with four corners.",
    ),
    "grid_middle": (
        "M is the point half-way from A to B. What is the sum of its two coordinates?",
        "Find the two coordinates of the middle of A and B, and add them.",
    ),
    "grid_slope": (
        "What is the slope of the coloured line?",
        "How much does the coloured line rise for 1 to the right? Mind the numbers on the axes.",
    ),
    "lines_meeting": (
        "Both lines go on to the right as they begin. At which height do they meet?",
        "Find the y coordinate of the point where the two lines meet, if they go on.",
    ),
    "cuboid_volume": (
        "What is the volume of the box?",
        "Find the volume of the solid with these edges.",
    ),
    "cuboid_surface": (
        "What is the surface of the closed box, all six faces together?",
        "Find the area of all six faces of the box.",
    ),
    "pyramid_volume": (
        "The base of the pyramid is a square. What is its volume?",
        "Find the volume of the pyramid with a square base.",
    ),
    "cylinder_volume": (
        "How many times pi is the volume of the cylinder?",
        "Find the volume of the cylinder as a multiple of pi.",
    ),
    "cylinder_surface": (
        "How many times pi is the whole surface of the cylinder, with both discs?",
        "Find the surface of the closed cylinder as a multiple of pi.",
    ),
    "cone_volume": (
        "How many times pi is the volume of the cone?",
        "Find the volume of the cone as a multiple of pi.",
    ),
}

OOD_SPACE_QUESTIONS: dict[str, tuple[str, ...]] = {
    "grid_distance": (
        "Each unit of the axes stands for {unit} metres. Work out the segment's length in metres.",
        "Compute how far apart the marked points are, at {unit} metres a unit.",
    ),
    "grid_triangle": (
        "Work out the area enclosed by the three marked points.",
        "Compute the triangle's area in squares of the grid.",
    ),
    "grid_quadrilateral": (
        "Work out the area enclosed by the four marked points.",
        "Compute the quadrilateral's area in squares of the grid.",
    ),
    "grid_middle": (
        "Work out the midpoint of the segment AB and total its coordinates.",
        "Compute x + y for the midpoint between A and B.",
    ),
    "grid_slope": (
        "Work out the gradient of the coloured segment from the axes.",
        "Compute rise divided by run between the two marked points.",
    ),
    "lines_meeting": (
        "Work out y at the intersection of the two prolonged lines.",
        "Compute how high the crossing of both lines lies when they are continued.",
    ),
    "cuboid_volume": (
        "Work out how many unit cubes fill the cuboid.",
        "Compute the cuboid's volume from its edges.",
    ),
    "cuboid_surface": (
        "Work out the total surface area of the cuboid.",
        "Compute how much paper covers the cuboid exactly.",
    ),
    "pyramid_volume": (
        "Work out how many unit cubes the square pyramid holds.",
        "Compute the pyramid's volume; all edges of its base are equal.",
    ),
    "cylinder_volume": (
        "Work out the volume of the round column and divide it by pi.",
        "Compute the factor of pi in the cylinder's volume.",
    ),
    "cylinder_surface": (
        "Work out the total area of top, bottom and side of the can, divided by pi.",
        "Compute the factor of pi in the surface of the closed can.",
    ),
    "cone_volume": (
        "Work out the volume of the pointed solid and divide it by pi.",
        "Compute the factor of pi in the cone's volume.",
    ),
}
