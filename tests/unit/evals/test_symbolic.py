import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mmdft.evals import symbolic
from mmdft.evals.symbolic import NOT_PARSED, compare, equal

WORKER = Path(symbolic.__file__).with_name("symbolic_worker.py")


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("x^2+2x+1", "(x+1)^2", True),
        ("2(w+h)^2", "2w^2+4wh", False),
        ("y = 2x+3", "y = 3+2x", True),
        ("(3,-4)", "(3, -4)", True),
        ("(a,b)", "(b,a)", False),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("[1,2]", "(1,2)", False),
        ("3ab", "3 a b", True),
        (r"\pi-\tan^{-1}\left(\frac{1}{d}\right)", r"\pi-\arctan(1/d)", True),
    ],
)
def test_expressions(gold, answer, expected):
    assert equal(gold, answer) is expected


# What math-verify 0.9 gets wrong when it is called as it comes.
@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("10", "10√{2}", False),
        ("10√{2}", "10", False),
        ("√5", "√{5}", True),
        ("3√{3}", r"3\sqrt{3}", True),
        ("1/3", r"\frac{1}{3}", True),
        # the same where a variable keeps them from being plain values
        ("10x", "10√{2}x", False),
        ("√5x", "√{5}x", True),
        ("√10x", "√{10}x", True),
        (r"\sqrt10x", "√10 x", True),
        ("3√{3}x", r"3\sqrt{3}x", True),
        ("x/3", r"\frac{1}{3}x", True),
        ("√(x+1)", r"\sqrt{x+1}", True),
        ("√xy", r"\sqrt{x}y", True),
        ("x^9", "x**9**9", None),  # read as x^9
    ],
)
def test_known_errors_of_others_are_right_here(gold, answer, expected):
    assert equal(gold, answer) is expected
    assert equal(answer, gold) is expected


def test_plain_values_never_reach_the_worker(monkeypatch):
    monkeypatch.setattr(symbolic, "_WORKER", None)
    assert equal("12 cm", "12") is True
    assert equal(r"\frac{\sqrt{3}}{2}", "sqrt(3)/2") is True
    assert equal("5", "6") is False


def test_words_are_not_products_of_letters():
    assert compare("banana", "nabana") == symbolic.Comparison(None, NOT_PARSED)
    assert compare(r"\frac{x", "x").equal is None


HOSTILE = [
    "9**9**9**9 + x",
    "9^{9^{9^{9^{x}}}}",
    "(" * 900 + "x" + ")" * 900,
    "(" * 5000 + "x" + ")" * 5000,
    "1" * 100_000,
    "100000000! + x",
    "9**9**9**9",
    "9!!!!!!!!!",
    "factorial(100000)",
    "1+" * 50_000 + "1",
    r"\frac{1}{" * 150 + "x" + "}" * 150,
    r"\sqrt{" * 240 + "x" + "}" * 240,
    "(x+1)^{10^{9}}",
    r"\int_0^1 x^x dx",
    "__import__('os').system('touch /tmp/x')",
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:20] for text in HOSTILE])
def test_hostile_text_is_bounded_and_the_next_comparison_works(text):
    equal("x", "x+1")  # started, so that the time below is the comparison's own
    start = time.monotonic()
    assert compare("(y+1)^{10^{9}}", text, seconds=1).equal is not True
    assert time.monotonic() - start < 3
    assert equal("a+b", "b+a") is True


def test_time_limit_is_named():
    outcome = compare("(x+1)^{5000}", "(x+y)^{5000}", seconds=0.5)
    assert outcome.equal is None
    assert "time limit" in outcome.reason


def test_from_threads():
    results = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(equal(f"x+{i}", f"{i}+x")))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8


def test_the_worker_is_reused_and_replaced_after_its_death():
    assert equal("a+b", "b+a") is True
    first = symbolic._WORKER.process
    assert equal("a+c", "c+a") is True
    assert symbolic._WORKER.process is first
    first.kill()
    first.wait()
    assert equal("a+d", "d+a") is True
    assert symbolic._WORKER.process is not first


def test_a_worker_that_dies_at_work_gives_none():
    assert equal("a+b", "b+a") is True
    killer = threading.Timer(0.3, symbolic._WORKER.process.kill)
    killer.start()
    outcome = compare("(x+1)^{5000}", "(x+y)^{5000}")
    assert outcome.equal is None
    assert "died" in outcome.reason
    assert equal("a+d", "d+a") is True


def test_memory_is_limited():
    code = (
        f"import runpy; worker = runpy.run_path({str(WORKER)!r}, run_name='worker')\n"
        "worker['limit_memory'](64 * 1024**2)\n"
        "try: bytearray(1024**3)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n", done.stderr
