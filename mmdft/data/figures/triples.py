"""Right triangles with whole sides."""

from __future__ import annotations

from math import isqrt

Triple = tuple[int, int, int]

# The shorter leg is at least this part of the longer one, so that labels find room.
LEAST = 0.4


def triples(low: int, high: int) -> tuple[Triple, ...]:
    """Legs, the shorter first, and long side: all with the long side from `low` to below `high`."""
    return tuple(
        (leg, other, long)
        for long in range(low, high)
        for leg in range(1, long)
        for other in (isqrt(long**2 - leg**2),)
        if leg**2 + other**2 == long**2 and LEAST * other < leg < other
    )


def chains(low: int, high: int) -> tuple[tuple[int, int, int, int, int], ...]:
    """Two triangles on each other: the long side of the first is a leg of the second.

    Legs and long side of the first, the other leg and the long side of the second, which is from
    `low` to below `high`.
    """
    return tuple(
        (leg, other, long, third, far)
        for one, two, far in triples(low, high)
        for long, third in ((one, two), (two, one))
        for leg, other, _ in triples(long, long + 1)
    )
