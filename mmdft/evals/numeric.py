r"""Numbers as people and models write them, read exactly and without evaluating anything.

`parse_quantity` reads one whole text as one number with at most one unit: `1,234`, `-3/4`,
`\frac{3}{4}`, `2 1/2`, `1.5e3`, `3 \times 10^{4}`, `45^\circ`, `12 cm^2`, `50\%`, `$20`. Text that
is more than that is not a number: `5 or 6` and `x = 5` give None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

# Longer texts are no number that a person wrote; int() is quadratic in the number of digits.
MAX_LENGTH = 200
# 10**308 is where a float ends; a larger exponent would only build a huge integer.
MAX_EXPONENT = 308

# Only units in this table are stripped, so that an unknown word never turns prose into a number.
# Keys are compared in lower case, without spaces; the value is the name two units share.
_UNIT_NAMES: dict[str, tuple[str, ...]] = {
    "": ("unit", "units", "squareunit", "squareunits", "squnits", "cubicunits", "unit^2", "units^2",
         "unit^3", "units^3"),
    "percent": ("%", "percent"),
    "degree": ("°", "º", "deg", "degree", "degrees", "^o", "^{o}"),
    "radian": ("rad", "radian", "radians"),
    "celsius": ("°c", "degreescelsius"),
    "fahrenheit": ("°f", "degreesfahrenheit"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    "m": ("m", "meter", "meters", "metre", "metres"),
    "km": ("km", "kilometer", "kilometers", "kilometre", "kilometres"),
    "inch": ("in", "inch", "inches"),
    "foot": ("ft", "foot", "feet"),
    "yard": ("yd", "yard", "yards"),
    "mile": ("mi", "mile", "miles"),
    "g": ("g", "gram", "grams"),
    "kg": ("kg", "kilogram", "kilograms"),
    "second": ("s", "sec", "second", "seconds"),
    "minute": ("min", "minute", "minutes"),
    "hour": ("h", "hr", "hour", "hours"),
    "day": ("day", "days"),
    "week": ("week", "weeks"),
    "month": ("month", "months"),
    "year": ("year", "years"),
    "ml": ("ml", "milliliter", "milliliters", "millilitres"),
    "litre": ("l", "liter", "liters", "litre", "litres"),
    "dollar": ("$", "dollar", "dollars", "usd"),
    "cent": ("cent", "cents", "¢"),
    "euro": ("€", "euro", "euros"),
    "pound": ("£",),
    "m/s": ("m/s",),
    "km/h": ("km/h",),
}  # fmt: skip
_LENGTHS = ("mm", "cm", "m", "km", "inch", "foot", "yard", "mile")


def _unit_table() -> dict[str, str]:
    table = {name: unit for unit, names in _UNIT_NAMES.items() for name in names}
    for unit in _LENGTHS:
        for name in _UNIT_NAMES[unit]:
            for power, words in ((2, ("square", "sq")), (3, ("cubic", "cu"))):
                dressed = [f"{name}^{power}", f"{name}^{{{power}}}", f"{name}{'²³'[power - 2]}"]
                dressed += [f"{word}{name}" for word in words] + [
                    f"{word}.{name}" for word in words
                ]
                table.update(dict.fromkeys(dressed, f"{unit}^{power}"))
    return table


UNITS = _unit_table()
_PREFIX_UNITS = ("$", "€", "£")

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(
    rf"""
    (?P<sign>[+-]?)\s*
    (?:
      \\frac\s*\{{\s*(?P<over>[+-]?{_DECIMAL})\s*\}}\s*\{{\s*(?P<under>[+-]?{_DECIMAL})\s*\}}
    | \\frac\s*(?P<over1>\d)\s*(?P<under1>\d)
    | (?P<whole>{_DIGITS})\s*\\frac\s*\{{\s*(?P<mover>\d+)\s*\}}\s*\{{\s*(?P<munder>\d+)\s*\}}
    | (?P<whole2>{_DIGITS})\s+(?P<mover2>\d+)\s*/\s*(?P<munder2>\d+)
    | (?P<a>{_DECIMAL})\s*/\s*(?P<b>{_DECIMAL})
    | (?P<plain>{_DECIMAL})
      (?: [eE](?P<exp>[+-]?\d+)
        | \s*(?:\\times|\*|x|×)\s*10\s*(?:\^|\*\*)\s*\{{?\s*(?P<power>[+-]?\d+)\s*\}}?
      )?
    )
    """,
    re.VERBOSE,
)
_SAME_WRITING = (
    ("−", "-"), ("–", "-"), ("⁄", "/"), ("\u00a0", " "), ("\u202f", " "), ("\u2009", " "),
    ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("{,}", ","), ("\\%", "%"), ("\\$", "$"),
    ("^{\\circ}", "°"), ("^\\circ", "°"), ("\\degree", "°"), ("\\circ", "°"), ("\\pounds", "£"),
)  # fmt: skip
_SPACING = re.compile(r"\\[,;:! ]|~|\\quad\b")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname|mbox)\s*\{([^{}]*)\}")
_THIN_THOUSANDS = re.compile(r"(?<=\d)\s(?=\d{3}(?:\s\d{3})*(?!\d|\s*/))")
_TRAILING_UNIT = re.compile(
    r"(?P<expression>.*(?:[\d)}\]π]|\\pi|(?<![A-Za-z])pi(?=\s)))\s*"
    r"(?P<unit>\{?[A-Za-z°%][A-Za-z°%./ ]*(?:\^\s*\{?[23]\}?|[²³])?\}?\.?)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number and the unit it was written with ("" for none). Percent is a unit."""

    value: Fraction
    unit: str = ""


def parse_quantity(text: str) -> Quantity | None:
    """Read the whole of `text` as a number with at most one known unit, or give None."""
    return None if len(text) > MAX_LENGTH else _parsed(text)


# The same few options are read again for every answer to a question.
@lru_cache(maxsize=4096)
def _parsed(text: str) -> Quantity | None:
    text = _same_writing(text)
    prefix = next((mark for mark in _PREFIX_UNITS if text.startswith(mark)), "")
    match = _NUMBER.match(text, len(prefix))
    if match is None and (found := re.match(r"([+-])\s*([$€£])", text)):
        # -$5: the sign stands before the currency mark.
        prefix = found[2]
        text = found[1] + text[found.end() :]
        match = _NUMBER.match(text)
    if match is None:
        return None
    rest = re.sub(r"\s+", "", text[match.end() :]).lower().rstrip(".")
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1]
    unit = UNITS.get(rest) if rest else ""
    if unit is None or (prefix and rest):
        return None
    value = _value(match)
    return None if value is None else Quantity(value, UNITS[prefix] if prefix else unit)


def parse_number(text: str) -> Fraction | None:
    """The exact value of one number, units stripped and percent divided by a hundred."""
    quantity = parse_quantity(text)
    if quantity is None:
        return None
    return quantity.value / 100 if quantity.unit == "percent" else quantity.value


def split_unit(text: str) -> tuple[str, str]:
    r"""An expression and the unit that trails it: `3\sqrt{2}\text{ cm}` is (`3\sqrt{2}`, "cm").

    The unit is "" where there is none, or where it is not in the table.
    """
    if len(text) > MAX_LENGTH or (match := _TRAILING_UNIT.fullmatch(_same_writing(text))) is None:
        return text, ""
    name = re.sub(r"[\s{}]+", "", match["unit"]).lower().rstrip(".")
    return (match["expression"].strip(), UNITS[name]) if name in UNITS else (text, "")


def quantities_equal(gold: Quantity, answer: Quantity) -> bool:
    """Exact equality of value, forgiving an unwritten unit but not a different one.

    A percent sign may be left out ("50" for "50%") or resolved ("0.5" for "50%"), because which
    of them a question wants is said in the question, not in the gold.
    """
    if gold.unit == answer.unit:
        return gold.value == answer.value
    if "percent" in (gold.unit, answer.unit):
        percent, other = (gold, answer) if gold.unit == "percent" else (answer, gold)
        return not other.unit and other.value in (percent.value, percent.value / 100)
    return (not gold.unit or not answer.unit) and gold.value == answer.value


def _same_writing(text: str) -> str:
    for old, new in _SAME_WRITING:
        text = text.replace(old, new)
    text = _TEXT.sub(r" \1 ", _SPACING.sub(" ", text))
    return _THIN_THOUSANDS.sub("", text.strip())


def _value(match: re.Match[str]) -> Fraction | None:
    groups = {name: group for name, group in match.groupdict().items() if group is not None}
    sign = -1 if groups["sign"] == "-" else 1
    for over, under in (("over", "under"), ("over1", "under1"), ("a", "b")):
        if over in groups:
            return _ratio(sign, Fraction(0), groups[over], groups[under])
    for whole, over, under in (("whole", "mover", "munder"), ("whole2", "mover2", "munder2")):
        if whole in groups:
            return _ratio(sign, _decimal(groups[whole]), groups[over], groups[under])
    exponent = int(groups.get("exp") or groups.get("power") or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return sign * _decimal(groups["plain"]) * Fraction(10) ** exponent


def _ratio(sign: int, whole: Fraction, over: str, under: str) -> Fraction | None:
    denominator = _decimal(under)
    return None if denominator == 0 else sign * (whole + _decimal(over) / denominator)


def _decimal(text: str) -> Fraction:
    # Fraction("5.") is refused; a trailing point is how a sentence-final number often arrives.
    return Fraction(text.replace(",", "").rstrip(".") or "0")
