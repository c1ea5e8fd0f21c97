"""Pydantic's findings as lines a user can act on: where, which key, what it was, what it may be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mmdft.config import RunConfig, TrainingConfig
from mmdft.training_fields import training_fields

Key = tuple[str | int, ...]


def describe(
    error: ValidationError,
    values: Any,
    origin: Callable[[Key], str],
    root: type[BaseModel] = RunConfig,
) -> list[str]:
    """One line for each key that is wrong, in the order they were checked.

    Args:
        error: what is wrong with `values`.
        values: the configuration as it was written, before pydantic.
        origin: tells where a key was written.
        root: what `values` were to be.
    """
    expected: dict[Key, list[str]] = {}
    lines: dict[Key, str] = {}
    for detail in error.errors(include_url=False):
        kind = detail["type"]
        key = _written_key(detail["loc"], values, kind)
        prefix = f"{origin(key)}: {dotted_key(key)}: " if key else f"{origin(key)}: "
        if kind == "extra_forbidden":
            lines[key] = f"{prefix}unknown key; {_neighbour(key, root)}"
        elif kind == "missing":
            lines[key] = f"{prefix}missing; expected: {_meaning(key, root)}"
        elif kind in ("value_error", "fixed", "agree"):
            lines[key] = prefix + detail["msg"].removeprefix("Value error, ")
        else:
            # A union reports each of its members; together they are one line.
            words = expected.setdefault(key, [])
            words += [word for word in [_expected(detail)] if word not in words]
            lines[key] = f"{prefix}got {show(detail['input'])}, expected {' or '.join(words)}"
    return list(lines.values())


def _written_key(loc: tuple[str | int, ...], values: Any, kind: str) -> Key:
    """The key behind pydantic's `loc`, which also names members of unions."""
    key: Key = ()
    here: Any = values
    for step in loc:
        if _holds(here, step):
            here = here[step]
        elif not (kind == "missing" and step == loc[-1]):
            continue
        key = (*key, step)
    return key


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _expected(detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "float_type" | "float_parsing":
            return "a number"
        case "finite_number":
            return "a finite number"
        case "int_type" | "int_parsing" | "int_from_float":
            return "a whole number"
        case "bool_type" | "bool_parsing":
            return "true or false"
        case "string_type":
            return "text (in quotes, if it looks like a number)"
        case "list_type":
            return "a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "a mapping"
        case "path_type":
            return "a path"
        case "none_required":
            return "null"
        case "literal_error":
            return _one_of(re.findall(r"'([^']*)'", context["expected"]), detail["input"])
        case "greater_than":
            return f"more than {context['gt']}"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than":
            return f"less than {context['lt']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "union_tag_invalid":
            return f"one with {context['discriminator']} {context['expected_tags']}"
        case _:
            return str(detail["msg"])


def _one_of(names: Sequence[str], value: Any) -> str:
    if len(names) <= 8:
        return " or ".join(names)
    longer = [name for name in names if name.startswith(str(value))]
    near = longer or difflib.get_close_matches(str(value), names, n=3, cutoff=0)
    return f"one of {len(names)} names, such as {' or '.join(near[:3])}"


def _neighbour(key: Key, root: type[BaseModel]) -> str:
    """What the unknown `key` may have meant: a name beside it, or the same name elsewhere."""
    *owner, word = key
    names = _names_at(owner, root)
    near = difflib.get_close_matches(str(word), names, n=1)
    if near:
        return f"did you mean {dotted_key((*owner, near[0]))}?"
    for section in _sections(root):
        if word in _names_at(section, root):
            return f"did you mean {dotted_key((*section, word))}?"
    if len(names) > 20:
        near = difflib.get_close_matches(str(word), names, n=1, cutoff=0)
        return f"the nearest of the {len(names)} keys here is {dotted_key((*owner, near[0]))}"
    return f"the keys here are {', '.join(names)}"


def _sections(root: type[BaseModel], at: Key = ()) -> Iterator[Key]:
    """The keys of all sections of `root` that are not entries of lists, the outer ones first."""
    fields = _model_at(at, root).model_fields
    inner = [(*at, name) for name, field in fields.items() if _is_model(field.annotation)]
    yield from inner
    for key in inner:
        yield from _sections(root, key)


def _names_at(key: Sequence[str | int], root: type[BaseModel]) -> list[str]:
    """The keys that may be written at `key`, which leads to a section or an entry of a list."""
    model = _model_at(key, root)
    return list(training_fields() if model is TrainingConfig else model.model_fields)


def _meaning(key: Key, root: type[BaseModel]) -> str:
    *owner, word = key
    description = _model_at(owner, root).model_fields[str(word)].description
    return (description or "a value").rstrip(".")


def _model_at(key: Sequence[str | int], root: type[BaseModel]) -> type[BaseModel]:
    model = root
    for step in key:
        # The number of a list's entry, or the name of a mapping's, is no field.
        if step in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
            model = next(kind for kind in _spelled(annotation) if _is_model(kind))
    return model


def _spelled(annotation: Any) -> Iterator[Any]:
    """`annotation` and everything inside it."""
    yield annotation
    for argument in get_args(annotation):
        yield from _spelled(argument)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def dotted_key(key: Key) -> str:
    """`key` as it is written in an override."""
    return ".".join(map(str, key))


def show(value: Any) -> str:
    """`value` for a message: one line, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
