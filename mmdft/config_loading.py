"""Reading a run's configuration from YAML and `key=value` overrides, and writing it back.

A file may start from another one by a top-level `include: base.yaml`, relative to itself. Mappings
are merged key by key; anything else in the including file replaces what the base had. Everything
wrong with a configuration is told at once, one line for each key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from mmdft.config import RunConfig
from mmdft.config_errors import Key, describe, dotted_key, show
from mmdft.errors import ConfigError

# A chain of YAML aliases can spell billions of values in a few lines, and an endless one.
_MAX_VALUES = 20_000
_MAX_DEPTH = 16

_COMMAND_LINE = "command line"

Model = TypeVar("Model", bound=BaseModel)

_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")
}

# The lists whose entries may be a bare path.
_SOURCES: tuple[Key, ...] = (("data", "train"), ("data", "validation"))


class _Loader(yaml.SafeLoader):
    """YAML 1.2's reading of plain words: `no` is a word, `1e-5` a number, 2024-01-01 a word."""


class _Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or the loader above would not read back as text."""


_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$"
)
_FLOAT_STARTS = list("-+.0123456789")
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _starts in (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")),
    ("float", _FLOAT, _FLOAT_STARTS),
    ("merge", re.compile(r"<<$"), ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _starts)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes these line breaks bare and reads them back as blanks.
    style = '"' if any(mark in text for mark in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, _FLOAT_STARTS)


@dataclass(slots=True)
class _Document:
    """Values as YAML gave them, and for each key where it was written."""

    values: dict[str, Any]
    origins: dict[Key, str] = field(default_factory=dict)

    def origin(self, key: Key) -> str:
        """Where `key`, or the nearest thing around it, was written."""
        return next(
            self.origins[key[:size]]
            for size in range(len(key), -1, -1)
            if key[:size] in self.origins
        )

    def forget(self, key: Key) -> None:
        """Drop the origins of `key` and of all below it, which are being replaced."""
        for known in [known for known in self.origins if known[: len(key)] == key]:
            del self.origins[known]


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read the configuration in `path`, with dotted `key=value` overrides on top.

    An override's value is read as YAML, its key may go through lists by index
    (`data.train.0.path=rows.jsonl`; the index after the last one appends).

    Raises:
        ConfigError: one line for each thing that is wrong, naming file and line, or the command
            line; the dotted key; its value; and what was expected.
    """
    return load_as(RunConfig, path, overrides)


def load_as(
    model: type[Model],
    path: Path | str,
    overrides: Sequence[str] = (),
    check: Callable[[Model], Iterable[tuple[Key, str]]] = lambda _: (),
) -> Model:
    """Read a file of another kind than a run's in the same way.

    Args:
        model: what the file describes.
        path: the YAML file.
        overrides: dotted `key=value` overrides.
        check: what is wrong beyond the model's own checks: the key, and the rest of the line.

    Raises:
        ConfigError: as of `load_config`.
    """
    document = _read_with_include(Path(path))
    problems = []
    for override in overrides:
        try:
            _apply_override(document, override)
        except ConfigError as error:
            problems.append(str(error))
    # A section's header with nothing under it is an empty section, not a wrong one.
    values = {name: value for name, value in document.values.items() if value is not None}
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        problems += describe(error, values, document.origin, model)
    else:
        problems += [
            f"{document.origin(key)}: {dotted_key(key)}: {words}" for key, words in check(config)
        ]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def dump_config(config: BaseModel) -> str:
    """Write every setting as YAML; `load_config` reads an equal configuration back."""
    return yaml.dump(
        config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True
    )


def _read_with_include(path: Path) -> _Document:
    document = _read(path)
    if "include" not in document.values:
        return document
    origin, name = document.origin(("include",)), document.values.pop("include")
    if not isinstance(name, str):
        raise ConfigError(f"{origin}: include: got {show(name)}, expected the path of a YAML file")
    base = _read(path.parent / name)
    if "include" in base.values:
        raise ConfigError(
            f"{base.origin(('include',))}: include: {path} includes this file, "
            "and an included file may not include another"
        )
    _merge(base, base.values, document.values, ())
    base.origins.update(document.origins)
    return base


def _merge(base: _Document, into: dict[str, Any], new: dict[str, Any], at: Key) -> None:
    for name, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(base, into[name], value, (*at, name))
        else:
            base.forget((*at, name))
            into[name] = value


def _read(path: Path) -> _Document:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    origins: dict[Key, str] = {(): str(path)}
    values = _parse(text, str(path), origins)
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: got {show(values)}, expected a mapping of sections")
    return _Document(values, origins | {(): str(path)})


def _parse(text: str, name: str, origins: dict[Key, str], *, numbered: bool = True) -> Any:
    """Parse YAML text, noting in `origins` where each value is.

    `numbered` is False for an override, which is one line and whose block style is plain text.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        if not numbered and block:
            return text
        return None if node is None else _build(loader, node, (), name, origins, numbered)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark is not None and numbered else name
        raise ConfigError(f"{where}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{name}: not valid YAML: {error.reason}") from error


def _build(
    loader: _Loader,
    node: yaml.Node,
    key: Key,
    name: str,
    origins: dict[Key, str],
    numbered: bool,
) -> Any:
    where = f"{name}:{node.start_mark.line + 1}" if numbered else name
    if len(key) > _MAX_DEPTH or len(origins) > _MAX_VALUES:
        raise ConfigError(f"{where}: nested too deep or too large for a configuration")
    if node.tag not in _TAGS:
        raise ConfigError(f"{where}: the YAML tag {node.tag} has no place in a configuration")
    origins.setdefault(key, where)
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(loader, item, (*key, index), name, origins, numbered)
            for index, item in enumerate(node.value)
        ]
    if not isinstance(node, yaml.MappingNode):
        try:
            return loader.construct_object(node, deep=True)
        except (ValueError, KeyError) as error:  # an explicit tag that its value belies
            raise ConfigError(f"{where}: {show(node.value)} is not {node.tag}") from error
    _refuse_duplicates(node, key, name, numbered)
    loader.flatten_mapping(node)
    # Own keys come after merged ones. An alias brings this node here again, so keep one of each.
    node.value = list({str(pair[0].value): pair for pair in node.value}.values())
    values: dict[str, Any] = {}
    for name_node, value_node in node.value:
        # Keys are names; what YAML makes of a bare 1 or true is not.
        inner = (*key, str(name_node.value))
        origins[inner] = f"{name}:{name_node.start_mark.line + 1}" if numbered else name
        values[str(name_node.value)] = _build(loader, value_node, inner, name, origins, numbered)
    return values


def _refuse_duplicates(node: yaml.MappingNode, key: Key, name: str, numbered: bool) -> None:
    lines: dict[str, int] = {}
    for name_node, _ in node.value:
        word, line = name_node.value, name_node.start_mark.line + 1
        where = f"{name}:{line}" if numbered else name
        if not isinstance(name_node, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key must be a word, not a list or a mapping")
        if word in lines and numbered:
            raise ConfigError(
                f"{where}: {dotted_key((*key, word))}: written twice, first on line {lines[word]}"
            )
        if word in lines:
            raise ConfigError(f"{where}: {dotted_key((*key, word))}: written twice")
        lines[word] = line


def _apply_override(document: _Document, override: str) -> None:
    dotted, equals, text = override.partition("=")
    words = dotted.split(".")
    if not equals or not all(words):
        raise ConfigError(
            f"{_COMMAND_LINE}: {override!r}: expected key=value, such as "
            "training.learning_rate=1e-5"
        )
    origins: dict[Key, str] = {}
    value = _parse(text, f"{_COMMAND_LINE}: {dotted}", origins, numbered=False)
    key = _put(document.values, words, value)
    document.forget(key)
    for size in range(1, len(key) + 1):
        document.origins.setdefault(key[:size], _COMMAND_LINE)


def _put(values: dict[str, Any], words: Sequence[str], value: Any) -> Key:
    """Set the value at `words`, making what is missing on the way, and return its key."""
    here: Any = values
    key: Key = ()
    for depth, word in enumerate(words):
        step = _step_into(here, word, key, dotted=".".join(words))
        key = (*key, step)
        if depth == len(words) - 1:
            here[step] = value
            break
        if here[step] is None:
            here[step] = [] if words[depth + 1].isdecimal() else {}
        elif isinstance(here[step], str) and key[-3:-1] in _SOURCES:
            here[step] = {"path": here[step]}
        here = here[step]
    return key


def _step_into(here: Any, word: str, key: Key, *, dotted: str) -> str | int:
    """The key of `word` in `here`, made if it is the next one of a list or new in a mapping."""
    if isinstance(here, dict):
        here.setdefault(word, None)
        return word
    if not isinstance(here, list):
        raise ConfigError(
            f"{_COMMAND_LINE}: {dotted}: {dotted_key(key)} is {show(here)}, which has no {word!r}"
        )
    if not word.isdecimal() or int(word) > len(here):
        raise ConfigError(
            f"{_COMMAND_LINE}: {dotted}: got {word!r}, expected an index of {dotted_key(key)} "
            f"from 0 to {len(here)}"
        )
    if int(word) == len(here):
        here.append(None)
    return int(word)
