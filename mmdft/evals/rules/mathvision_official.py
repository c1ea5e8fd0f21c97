r"""MathVision's own rule, as its authors score: rules only, no judge, two decimals.

Source: `evaluation/evaluate.py` of https://github.com/mathllm/MATH-V at a1f5cc3. The rule is kept
with its quirks, because a published figure is only comparable under the rule that made it: text
is lower-cased before boxes are read, the box is greedy to the last brace, only what follows the
last `=` counts, and values are equal
when their second decimals are. One thing differs, on purpose: the original evaluates model text
with Python's `eval`; here `arithmetic.evaluate` reads it (`tests/parity/test_official_mathvision`
holds that the verdicts stay those recorded by the authors).
"""

from __future__ import annotations

import re

from mmdft.evals.arithmetic import evaluate

_FLAGS = (
    "the final answer is", "The final answer is",
    "the answer is", "The answer is",
    "the correct answer is", "The correct answer is",
    "the answer should be", "The answer should be",
)  # fmt: skip
# Removed in this order, once the text is lower-cased and free of spaces.
_REMOVED = (
    "\\text", "\\mbox", "\\left", "\\right", "^{\\circ}", "^\\circ", "{m}^3", "m^3",
    "{units}", "units", "{km}", "km", "\\$", "$", "\\!", "\\%",
)  # fmt: skip


def official_answer(response: str) -> str:
    """The answer that the official rule reads from a response; "" where it reads none."""
    text = _letter_at_an_end(response.strip())
    after_is = text.split("is ")[-1].rstrip(".")
    if _is_float(after_is):
        text = after_is
    if "oxed{" not in text:
        for flag in _FLAGS:
            if flag in text:
                text = text.split(flag)[-1].strip().split("\n")[0].split(". ")[0]
    elif text.count("oxed{") > 1:
        text = "\\boxed{" + text.split("oxed{")[-1]
    answer = _cleaned(text)
    for letter in "abcde":
        answer = answer.replace(f"({letter})", letter).replace(f"{{{letter}}}", letter)
    return answer.rstrip(".").lstrip(":").strip()


def official_equal(gold: str, answer: str) -> bool:
    """Whether the official rule takes the two texts for the same answer."""
    gold, answer = gold.lower(), answer.lower()
    if not gold.strip() or not answer.strip():
        return False
    if gold.strip() == answer.strip():
        return True
    gold, answer = _rounded_tuple(gold), _rounded_tuple(answer)
    if gold == answer:
        return True
    gold_value, value = _two_decimals(gold), _two_decimals(answer)
    return gold_value is not None and gold_value == value


def _letter_at_an_end(text: str) -> str:
    for letter in "ABCDE":
        if text.endswith((f" {letter}.", f" ({letter}).")) or text.startswith(
            (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        ):
            text = letter
    return text


def _cleaned(text: str) -> str:
    text = text.lower().replace("{}", "")
    boxes = re.findall(r"oxed{(.*)}", text, flags=re.DOTALL)
    text = boxes[-1] if boxes else text
    opening, closing = text.find("{"), text.find("}")
    if closing != -1 and (opening == -1 or closing < opening):
        text = text[:closing]
    text = text.split("=")[-1].split("\\approx")[-1]
    text = text.replace(" ", "").replace("\\,", "").replace("\n", "")
    text = text.replace("\\\\", "\\").replace("\\\\", "\\")
    text = text.replace("∞", "\\infty").replace("+\\infty", "\\infty")
    for mark in _REMOVED:
        text = text.replace(mark, "")
    # `.5` gets its zero, and so does a box with nothing but a full stop, recorded as "0".
    text = re.sub(r"(^|\{)\.", r"\g<1>0.", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    if text == "0.5":
        return "\\frac{1}{2}"
    return re.sub(r"^(-?\d+)/(-?\d+)$", r"\\frac{\1}{\2}", text)


def _rounded_tuple(text: str) -> str:
    parts = text[1:-1].split(",")
    if len(parts) < 2 or (text[0], text[-1]) not in (("(", ")"), ("[", "]")):
        return text
    values = [part if "infty" in part else _two_decimals(part) for part in parts]
    if None in values:
        return text
    return f"{text[0]}{','.join(map(str, values))}{text[-1]}"


def _two_decimals(text: str) -> float | None:
    # The official parser takes a degree or percent sign for a symbol, and symbols have no value;
    # it reads no `\\frac12`, takes a mixed number for a product, and stops in peace at a brace
    # that closes nothing.
    if re.search(r"%|°|\\circ|\\d?frac\s*\d", text):
        return None
    value = evaluate(_up_to_stray_brace(text), mixed_numbers=False)
    try:
        return None if value is None else round(float(value), 2)
    except OverflowError:  # an exact value beyond the range of floats
        return None


def _up_to_stray_brace(text: str) -> str:
    depth = 0
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return text[:position]
    return text


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
