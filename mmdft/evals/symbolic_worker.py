"""The process in which sympy works. Run as a file by `symbolic.py`; imports nothing of mmdft.

Reads one JSON request a line on stdin, `{"gold": ..., "answer": ..., "seconds": ...}`, and writes
one JSON reply a line on stdout, `{"equal": true | false | null, "reason": "..."}`.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify

# To LaTeX, `\sqrt10` is the root of 1 times 0; nobody means that.
_ROOT_OF_NUMBER = re.compile(r"(?:√|\\sqrt)\s*(\d+(?:\.\d+)?)")
# The parser takes `9^9^9` for 9^9.
_POWER_OF_POWER = re.compile(r"\^\s*(?:\{[^{}]*\}|\\?\w+)\s*\^")
_BRACES_FOR_CALL = re.compile(r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)")
_BARE_NAME = re.compile(
    r"(?<![\\A-Za-z])(sqrt|pi|theta|alpha|beta|sin|cos|tan|log|ln|infty)(?![A-Za-z])"
)
# Grammars for plain text in these libraries end in Python's eval; only the LaTeX one is used.
_LATEX_ONLY = [LatexExtractionConfig()]


def as_latex(text: str) -> str:
    r"""Plain notation (`sqrt(3)/2`, `2*pi`, `x**2`) in the LaTeX that the parser reads."""
    text = text.replace("**", "^").replace("π", r"\pi ")
    text = _ROOT_OF_NUMBER.sub(r"\\sqrt{\1}", text).replace("√", "sqrt ")
    text = _BRACES_FOR_CALL.sub(r"\\sqrt{\1}", text)
    text = _BARE_NAME.sub(r"\\\1 ", text)
    return text.replace("*", r" \cdot ").replace("$", " ")


def compare(gold: str, answer: str) -> dict[str, Any]:
    """Parse both texts and compare them; the reply to one request."""
    parsed = []
    for text in map(as_latex, (gold, answer)):
        if _POWER_OF_POWER.search(text):
            return {"equal": None, "reason": "not parsed"}
        # No timeout of the library's own: it rests on signals, and the parent watches the clock.
        found = parse(f"${text}$", _LATEX_ONLY, fallback_mode="no_fallback", parsing_timeout=None)
        if len(found) != 1:
            return {"equal": None, "reason": "not parsed"}
        parsed.append(found[0])
    return {"equal": bool(verify(parsed[0], parsed[1], timeout_seconds=None)), "reason": ""}


def limit_memory(extra_bytes: int) -> None:
    """Bound the address space to what the imports took plus `extra_bytes` (where /proc tells)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + extra_bytes, taken + extra_bytes))


def main(extra_bytes: int) -> None:
    """Announce readiness, then answer requests until stdin closes."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(extra_bytes)
    # The replies have stdout to themselves, whatever a library may print.
    replies, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        # SIGALRM's default action ends this process: should the parent die in the middle of a
        # request, the work does not go on without it.
        signal.alarm(int(request["seconds"]) + 5)
        try:
            reply = compare(request["gold"], request["answer"])
        except MemoryError:
            reply = {"equal": None, "reason": "memory limit"}
        except RecursionError:
            reply = {"equal": None, "reason": "not parsed"}
        signal.alarm(0)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
