"""The fields of `transformers.TrainingArguments`, read from its source without importing it.

Importing the class loads torch, which takes seconds; a typing error in a configuration should be
told in a fraction of one. The source is parsed, never run: annotations become types by a walk over
their syntax tree.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Literal

from pydantic import AllowInfNan, BeforeValidator, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmdft.errors import ConfigError


def _refuse_bool(value: Any) -> Any:
    """Pydantic takes `true` for 1; in a configuration it is a slip of the hand."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a number")
    return value


Number = Annotated[float, AllowInfNan(False), BeforeValidator(_refuse_bool)]
WholeNumber = Annotated[int, BeforeValidator(_refuse_bool)]

_PLAIN_TYPES: Mapping[str, Any] = {
    "float": Number,
    "int": WholeNumber,
    "bool": bool,
    "str": str,
    "dict": dict[str, Any],
    "list": list[Any],
    "Any": Any,
}


# Fields of TrainingArguments that mmdft sets itself or cannot honour: the value each must keep if
# it is written at all, and why.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "remove_unused_columns": (False, "the collator needs every column"),
    "label_names": (None, "the trainer sets it"),
    "save_only_model": (False, "a run could not be continued from such a checkpoint"),
    "ignore_data_skip": (False, "a run that goes on would see other examples"),
    "resume_from_checkpoint": (None, "a run continues from its own folder's last checkpoint"),
    "label_smoothing_factor": (0, "the loss is the objective's; smoothing would be ignored"),
    "hub_token": (
        None,
        "a run's folder keeps a copy of its configuration; use `hf auth login` or HF_TOKEN",
    ),
}

# transformers 5 renamed these. mmdft writes the name that people know and takes either.
ALIASES: Mapping[str, str] = {
    "activation_checkpointing": "gradient_checkpointing",
    "activation_checkpointing_kwargs": "gradient_checkpointing_kwargs",
}


class _Computed:
    """The default of a field that only running the source would tell."""

    def __repr__(self) -> str:
        return "<computed>"


COMPUTED = _Computed()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingField:
    """One field: what a configuration may write into it, and what its own help says."""

    name: str
    type: Any
    default: Any
    help: str

    def check(self, value: Any) -> Any:
        """Return `value` in the field's type.

        Raises:
            pydantic.ValidationError: it has no such reading.
        """
        return _adapter(self.name).validate_python(value)


@functools.cache
def training_fields() -> Mapping[str, TrainingField]:
    """Every field of the installed `TrainingArguments` by name, inherited ones included.

    Raises:
        ConfigError: transformers is not installed, or its source has no such class.
    """
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ConfigError("transformers is not installed; run: pip install 'transformers>=5.23,<6'")
    source = Path(spec.origin).with_name("training_args.py")
    if not source.is_file() or _find_class("TrainingArguments", source) is None:
        raise ConfigError(
            f"{source}: no class TrainingArguments; mmdft needs 'transformers>=5.23,<6'"
        )
    return MappingProxyType(
        {field.name: field for field in _fields_of("TrainingArguments", source)}
    )


def check_training(
    given: Mapping[str, Any], *, declared: Mapping[str, Any]
) -> tuple[dict[str, Any], list[InitErrorDetails]]:
    """Check each key against the installed transformers.

    Returns the values to go on with, those that are not declared already in their field's type,
    and one error for each key that cannot be used.
    """
    fields = training_fields()
    values: dict[str, Any] = {}
    problems: list[InitErrorDetails] = []
    for written, value in given.items():
        name = ALIASES.get(written, written)
        if name not in fields:
            problems.append(_problem(written, value, "extra_forbidden", "unknown key"))
        elif written != name and name in given:
            problems.append(
                _problem(written, value, "agree", f"the same as {name}; write only one of them")
            )
        elif name in _FIXED and value != _FIXED[name][0]:
            problems.append(
                _problem(
                    written, value, "fixed", f"must stay {_FIXED[name][0]!r}: {_FIXED[name][1]}"
                )
            )
        else:
            try:
                # A path is text to transformers; its own declaration checks it.
                checked = value if isinstance(value, Path) else fields[name].check(value)
            except ValidationError as error:
                problems += error_lines(error, prefix=(written,))
                continue
            values[name] = value if name in declared else checked
    return values, problems


def _problem(name: str, value: Any, kind: str, message: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError(kind, message),
        loc=(name,),
        input=value,
    )


def error_lines(error: ValidationError, prefix: tuple[str, ...] = ()) -> list[InitErrorDetails]:
    """The lines of `error`, to be raised again: their type, context and place are kept."""
    return [
        InitErrorDetails(
            type=PydanticCustomError(line["type"], line["msg"], line.get("ctx")),
            loc=(*prefix, *line["loc"]),
            input=line["input"],
        )
        for line in error.errors(include_url=False)
    ]


@functools.cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(training_fields()[name].type)


def _fields_of(class_name: str, source: Path) -> Iterator[TrainingField]:
    found = _find_class(class_name, source)
    if found is None:
        return
    definition, home = found
    for base in reversed(definition.bases):
        if isinstance(base, ast.Name):
            yield from _fields_of(base.id, home)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            field = _read_field(node.target.id, node, home)
            if field is not None:
                yield field


def _read_field(name: str, node: ast.AnnAssign, home: Path) -> TrainingField | None:
    if name.startswith("_") or "ClassVar" in ast.unparse(node.annotation):
        return None
    options: dict[str, ast.expr] = {}
    default: Any = COMPUTED
    match node.value:
        case ast.Call(func=ast.Name(id="field"), keywords=keywords):
            options = {word.arg: word.value for word in keywords if word.arg is not None}
            default = _literal(options.get("default"))
        case value:
            default = _literal(value)
    if _literal(options.get("init")) is False:
        return None
    metadata = _string_keys(options.get("metadata"))
    annotation = _annotation_type(
        node.annotation,
        home,
        choices=_literal(metadata.get("choices")),
        # How the source spells "a bare flag means this value": `fsdp: str | None` also takes True.
        constant=_literal(metadata.get("const")),
    )
    text = _literal(metadata.get("help"))
    return TrainingField(
        name=name,
        type=annotation,
        default=default,
        help=text if isinstance(text, str) else "",
    )


def _annotation_type(
    node: ast.expr, home: Path, *, choices: Any = COMPUTED, constant: Any = COMPUTED
) -> Any:
    """The type that `node` spells, for what YAML can write.

    `SomeEnum | str` means the enum's values, since any other text fails later. A class that is not
    an enum of strings has no form in YAML and is left out of a union; alone, it is taken as text.
    """
    members = list(_union_members(node))
    types = [_member_type(member, home) for member in members]
    enums = [_enum_values(member, home) for member in members]
    if any(values is not None for values in enums):
        types = [kind for kind in types if kind is not str]
    if isinstance(choices, list):
        types = [_literal_type(choices) if kind is str else kind for kind in types]
    if isinstance(constant, bool):
        types.append(bool)
    return _union([kind for kind in types if kind is not None])


def _union_members(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            yield from _union_members(left)
            yield from _union_members(right)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            yield from _union_members(inner)
            yield ast.Constant(value=None)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            for member in members:
                yield from _union_members(member)
        case ast.Constant(value=str(text)):
            yield from _union_members(ast.parse(text, mode="eval").body)
        case _:
            yield node


def _member_type(node: ast.expr, home: Path) -> Any:
    match node:
        case ast.Constant(value=None):
            return NoneType
        case ast.Name(id=name) if name in _PLAIN_TYPES:
            return _PLAIN_TYPES[name]
        case ast.Name():
            values = _enum_values(node, home)
            return None if values is None else _literal_type(values)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
            return _literal_type(_literal(value) for value in values)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=value):
            return _literal_type([_literal(value)])
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=item):
            return list[_annotation_type(item, home)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict" | "Dict"), slice=ast.Tuple(elts=[key, value])):
            key_type, value_type = _annotation_type(key, home), _annotation_type(value, home)
            return dict[key_type, value_type]  # type: ignore[valid-type]
        case _:
            return None


def _union(types: list[Any]) -> Any:
    return functools.reduce(operator.or_, types) if types else str


def _literal_type(values: Iterable[Any]) -> Any:
    literal: Any = Literal
    return literal[tuple(values)]


def _enum_values(node: ast.expr, home: Path) -> list[str] | None:
    """The values of the enum of strings that `node` names; None for anything else."""
    if not isinstance(node, ast.Name) or node.id in _PLAIN_TYPES:
        return None
    found = _find_class(node.id, home)
    if found is None or not any("Enum" in ast.unparse(base) for base in found[0].bases):
        return None
    values = [_literal(item.value) for item in found[0].body if isinstance(item, ast.Assign)]
    return values if values and all(isinstance(value, str) for value in values) else None


def _find_class(name: str, source: Path) -> tuple[ast.ClassDef, Path] | None:
    """The class `name` as `source` sees it: defined there, or in a sibling it imports from."""
    tree = _parse(source)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node, source
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is not None:
            sibling = source.parent.joinpath(*node.module.split(".")).with_suffix(".py")
            if any(alias.name == name for alias in node.names) and sibling.is_file():
                return _find_class(name, sibling)
    return None


@functools.cache
def _parse(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"), filename=str(source))


def _literal(node: ast.expr | None) -> Any:
    try:
        return COMPUTED if node is None else ast.literal_eval(node)
    except ValueError:
        return COMPUTED


def _string_keys(node: ast.expr | None) -> dict[str, ast.expr]:
    if not isinstance(node, ast.Dict):
        return {}
    return {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }
