"""What `mmdft check` found, as lines for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mmdft.checking.check import Check
from mmdft.checking.memory import GIB
from mmdft.checking.preflight import BINS, Preflight

_COLUMNS = 80
_NAMES = 24
_BAR = 32

# A terminal would obey them.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), 65533)


def text_form(found: Check) -> str:
    """All of it, ending with whether a training would start."""
    parts = [
        _rows(found),
        _images(found),
        _lengths(found),
        _tokens(found),
        _pairs(found),
        _run(found),
        _memory(found),
        _preflight(found.preflight) if found.preflight is not None else iter(()),
        _end(found),
    ]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _rows(found: Check) -> Iterator[str]:
    yield "ROWS"
    for source in found.sources:
        formats = ", ".join(f"{name} {count:,}" for name, count in source.formats.items())
        yield from _wrapped(source.path, 2)
        read = f"{source.rows:,} rows, {source.usable:,} usable"
        yield from _wrapped(f"{read} ({formats})" if formats else read, 4)
    for reason in found.set_aside:
        yield from _wrapped(f"set aside {reason.count:,}: {reason.kind}", 2)
        yield from _wrapped(f"first: {reason.first}", 4)


def _images(found: Check) -> Iterator[str]:
    images = found.images
    if images.pixels is None or images.width is None or images.height is None:
        yield "IMAGES"
        yield "  none"
        return
    yield f"{'IMAGES':<{_NAMES}}{_head('min', 'median', '95 %', 'max')}"
    for name, values in (
        ("width", images.width),
        ("height", images.height),
        ("pixels", images.pixels),
    ):
        yield f"{'  ' + name:<{_NAMES}}{_values(values.min, values.median, values.p95, values.max)}"
    yield _fact("of usable rows", f"{images.count:,}, all decoded whole")
    if images.shrunk is not None:
        yield _fact("pixel budget", f"shrinks {images.shrunk:,}, enlarges {images.enlarged:,}")
    yield _fact("image tokens", f"{images.tokens:,}")


def _lengths(found: Check) -> Iterator[str]:
    lengths = found.lengths
    if lengths.spread is None:
        return
    at = lengths.spread
    yield f"{'LENGTHS, tokens':<{_NAMES}}{_head('min', 'median', '95 %', '99 %', 'max')}"
    yield f"{'  a usable row':<{_NAMES}}{_values(at.min, at.median, at.p95, at.p99, at.max)}"
    names = [f"{low:,} to {high - 1:,}" for low, high in pairwise(lengths.edges)]
    yield from _bars(names, lengths.counts)
    yield _fact("over data.max_length", f"{lengths.too_long:,} set aside, {lengths.cut:,} cut")
    if lengths.too_long:
        yield _fact("the longest", f"{lengths.longest:,}")


def _tokens(found: Check) -> Iterator[str]:
    tokens = found.tokens
    yield "TOKENS of an epoch"
    yield _fact("all", f"{tokens.total:,}")
    if not tokens.total:
        return
    yield _fact("images", _share(tokens.image, tokens.total))
    yield _fact("trained", _share(tokens.answer, tokens.total))
    for name, count in tokens.trained.items():
        yield _fact("  " + name.replace("_", " "), _share(count, tokens.answer))
    used = "" if tokens.packing else ", as configured"
    yield _fact("padded, random order", f"{tokens.padding:.1%} padding{used}")
    if tokens.packs is not None and tokens.fill is not None:
        used = ", as configured" if tokens.packing else ""
        yield _fact("packed", f"into {tokens.packs:,}, {tokens.fill:.1%} full{used}")


def _pairs(found: Check) -> Iterator[str]:
    yield "TWICE"
    kept = "left out" if found.deduplicate else "data.deduplicate leaves them out"
    same = found.duplicates
    yield _fact("exact duplicates", f"{same.count:,}" + (f"; {kept}" if same.count else ""))
    for one, other in same.first:
        yield from _wrapped(f"{one} is {other}", 4)
    if found.leaks is not None:
        yield _fact("in the benchmarks", f"{found.leaks.count:,}")
        for one, other in found.leaks.first:
            yield from _wrapped(f"{one} is {other}", 4)


def _run(found: Check) -> Iterator[str]:
    run = found.run
    yield "THE RUN"
    examples = f"{run.examples:,}"
    if run.undecodable:
        examples += f", of which {run.undecodable:,} cannot be decoded"
    yield _fact("examples an epoch", examples)
    if run.rows != run.examples:
        yield _fact("packs an epoch", f"{run.rows:,}")
    ranks = "1 rank" if run.ranks == 1 else f"{run.ranks} ranks"
    what = "packs" if run.rows != run.examples else "examples"
    yield _fact("a step", f"{run.rows_per_step:,} {what} ({ranks})")
    yield _fact("steps", f"{run.steps:,} ({run.epochs:.4g} epochs of {run.steps_per_epoch:,})")
    yield _fact(
        "tokens a step",
        f"{run.tokens_per_step:,.1f}, trained {run.answer_tokens_per_step:,.1f}",
    )
    yield _fact("tokens in total", f"{run.tokens:,}, trained {run.answer_tokens:,}")
    yield _fact("validation", f"{run.validation:,} examples")


def _memory(found: Check) -> Iterator[str]:
    memory = found.memory
    batch = memory.batch
    yield "MEMORY of one device, an estimate"
    yield _fact("parameters", f"{memory.parameters:,}, trained {memory.trainable:,}")
    for name, value in memory.terms.items():
        yield _fact(name, f"{value / GIB:10.3f} GiB")
    yield _fact("sum", f"{memory.total / GIB:10.3f} GiB")
    if memory.device is not None:
        verdict = "fits" if memory.total < memory.device else "does not fit"
        yield _fact("the GPU here", f"{memory.device / GIB:10.3f} GiB: {verdict}")
    rows = "1 row" if batch.rows == 1 else f"{batch.rows} rows"
    lines = [
        f"for the largest batch: {rows} of {batch.length:,} tokens, {batch.answers:,} of them "
        f"trained, {batch.pixels:,} pixels",
        "checked with models of 17 to 63 million parameters on CPUs, where measured peaks were "
        "0.90 to 1.14 times the sum; not in it: what the allocator wastes, kernels borrow and "
        "CUDA takes",
        memory.sharding,
        *memory.notes,
    ]
    for line in lines:
        yield from _wrapped(line, 2)


def _preflight(it: Preflight) -> Iterator[str]:
    yield f"PREFLIGHT: probability of {it.tokens:,} trained tokens of {it.examples:,} examples"
    yield f"{'':<{_NAMES}}{_head('mean p', 's.e.', 'tokens')}"
    for name, part in it.parts.items():
        error = "-" if part.standard_error is None else f"{part.standard_error:.4f}"
        row = "".join(f"{text:>11}" for text in (f"{part.mean:.4f}", error, f"{part.tokens:,}"))
        yield f"{'  ' + name.replace('_', ' '):<{_NAMES}}{row}"
    yield _fact("median", f"{it.median:.4f}")
    yield _fact("below 0.01, above 0.9", f"{it.below_001:.1%}, {it.above_09:.1%}")
    yield _fact("NLL, perplexity", f"{it.nll:.4f} nats, {it.perplexity:.4g}")
    names = [f"{index / BINS:.1f} to {(index + 1) / BINS:.1f}" for index in range(BINS)]
    yield from _bars(names, it.bins)
    yield ""
    yield "ADVICE: hypotheses, to be tested with a pair of runs (SFT and DFT)"
    for each in it.advice:
        yield from _wrapped(f"measured: {each.measured}", 2)
        yield from _wrapped(f"published: {each.found} ({each.source})", 4)
        yield from _wrapped(f"you may: {each.may}", 4)


def _end(found: Check) -> Iterator[str]:
    for note in found.notes:
        yield from _wrapped(f"note: {note}", 0)
    for stop in found.stops:
        yield from _wrapped(f"stop: {stop}", 0)
    yield ("A training would refuse this, or stop." if found.stops else "A training would start.")


def _fact(name: str, value: str) -> str:
    return f"{'  ' + name:<{_NAMES}} {value}"


def _head(*names: str) -> str:
    return "".join(f"{name:>11}" for name in names)


def _values(*values: float) -> str:
    return "".join(f"{value:>11,.0f}" for value in values)


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.1%})" if whole else f"{part:,}"


def _bars(names: Sequence[str], counts: Sequence[int]) -> Iterator[str]:
    most = max(counts, default=0)
    for name, count in zip(names, counts, strict=True):
        # What is there shows, however little it is.
        bar = "#" * (-(-count * _BAR // most) if most else 0)
        yield f"{'  ' + name:<{_NAMES}}{count:>11,}  {bar}".rstrip()


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        text.translate(_CONTROLS),
        _COLUMNS,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
