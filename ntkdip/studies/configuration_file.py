"""Configurations in YAML, TOML and JSON: the command line's options, typed alike.

Keys are the options' names, with ``-`` or ``_``; an option with a dot is a table
(``optimiser.rate`` is ``rate`` in ``optimiser``), and ``method`` is a name, or a table that holds
``name`` and the method's options.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ntkdip.studies.reconstruction_configuration import OPTIONS, ReconstructionConfiguration

T = TypeVar("T")


def read_configuration(path: Path) -> ReconstructionConfiguration:
    """A configuration from a file: YAML (.yaml, .yml), TOML or JSON, by its suffix.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it cannot be parsed, has an unknown key (the message lists those there are), or a
        value is not of its type.
    """
    found = _parsed(path)
    try:
        return configuration_of(found)
    except ValueError as fault:
        raise ValueError(f"{str(path)!r}: {fault}") from fault


def configuration_of(content: Mapping[str, Any]) -> ReconstructionConfiguration:
    """A configuration from a file's content; `mapping_of` is its inverse.

    Raises
    ------
    ValueError
        If a key is unknown or a value is not of its type.
    """
    content = {_name(key): value for key, value in content.items()}
    method = content.get("method", ReconstructionConfiguration().method)
    options = dict(method) if isinstance(method, Mapping) else {"name": method}
    name = options.pop("name", None)
    if name not in OPTIONS:
        raise ValueError(f"method is one of {', '.join(OPTIONS)}; got {name!r}")
    kinds = typing.get_type_hints(ReconstructionConfiguration)
    taken: set[str] = {"method"}
    parts: dict[str, Any] = {"method": name, "options": _build(OPTIONS[name], options, "method.")}
    for field in dataclasses.fields(ReconstructionConfiguration):
        kind = kinds[field.name]
        if field.name in parts:
            continue
        names = _keys(kind) if dataclasses.is_dataclass(kind) else {field.name}
        own = {key: value for key, value in content.items() if key in names}
        taken |= names
        if dataclasses.is_dataclass(kind):
            parts[field.name] = _build(typing.cast(type, kind), own, "")
        elif own:
            parts[field.name] = _value(kind, own[field.name], field.name)
    _refuse_unknown(content, taken, "")
    return ReconstructionConfiguration(**parts)


def mapping_of(configuration: ReconstructionConfiguration) -> dict[str, Any]:
    """The content of a file that holds a configuration, JSON-ready."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        if field.name == "method":
            flat["method"] = {"name": value} | _plain(configuration.options)
        elif field.name != "options":
            flat |= _plain(value) if dataclasses.is_dataclass(value) else {field.name: value}
    return flat


def _parsed(path: Path) -> Mapping[str, Any]:
    readers: dict[str, Any] = {
        ".json": json.loads, ".toml": tomllib.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"{str(path)!r}: a configuration is a .yaml, .toml or .json file; got {path.suffix!r}"
        )
    try:
        found = reader(path.read_text(encoding="utf-8"))
    # YAML's errors have no base class among Python's; those of the others are ValueErrors.
    except (ValueError, yaml.YAMLError) as fault:
        problem = " ".join(str(fault).split())
        raise ValueError(f"{str(path)!r} cannot be parsed: {problem}") from fault
    found = {} if found is None else found
    if not isinstance(found, Mapping):
        raise ValueError(f"{str(path)!r} holds a {type(found).__name__}; expected keys and values")
    return found


def _build(kind: type[T], content: Mapping[str, Any], where: str) -> T:
    """A dataclass of a mapping."""
    content = {_name(key): value for key, value in content.items()}
    _refuse_unknown(content, _keys(kind), where)
    hints = typing.get_type_hints(kind)
    return kind(**{k: _value(hints[k], value, where + k) for k, value in content.items()})


def _value(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(
                f"{where} is a table of {', '.join(sorted(_keys(kind)))}; got {value!r}"
            )
        return _build(typing.cast(type, kind), value, f"{where}.")
    unions = (typing.Union, types.UnionType)
    choices = typing.get_args(kind) if typing.get_origin(kind) in unions else (kind,)
    for choice in choices:
        fits, found = _as(choice, value)
        if fits:
            return found
    expected = " or ".join(_words(choice) for choice in choices)
    raise ValueError(f"{where} is {expected}; got {value!r}")


def _as(kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether a value is of a type, and what it is as such."""
    origin = typing.get_origin(kind)
    if kind is types.NoneType:
        return value is None, None
    if origin is Literal:
        return value in typing.get_args(kind), value
    if origin is tuple:
        return _as_tuple(typing.get_args(kind), value)
    if kind is Path:
        return isinstance(value, str), Path(value) if isinstance(value, str) else None
    if kind is float:
        return _as_float(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    return isinstance(value, kind), value


def _as_float(value: Any) -> tuple[bool, Any]:
    # YAML 1.1 reads 1e-3, without a dot, as a string.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False, None
    try:
        return True, float(value)
    except ValueError:
        return False, None


def _as_tuple(kinds: tuple[Any, ...], value: Any) -> tuple[bool, Any]:
    if not isinstance(value, list | tuple):
        return False, None
    each = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
    if len(each) != len(value):
        return False, None
    pairs = [_as(kind, item) for kind, item in zip(each, value, strict=True)]
    return all(fits for fits, _ in pairs), tuple(found for _, found in pairs)


def _words(kind: Any) -> str:
    if kind is types.NoneType:
        return "null"
    if typing.get_origin(kind) is Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(kind))
    plain = {int: "a whole number", float: "a number", bool: "true or false", str: "a text",
             Path: "a path"}  # fmt: skip
    if kind in plain:
        return plain[kind]
    inner = [k for k in typing.get_args(kind) if k is not Ellipsis]
    return f"a list of {_words(inner[0])}s".replace("a list of a ", "a list of ")


def _keys(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _name(key: Any) -> str:
    return str(key).replace("-", "_")


def _refuse_unknown(content: Mapping[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(set(content) - allowed)
    if unknown:
        raise ValueError(
            f"unknown key {where + unknown[0]!r}; there are {', '.join(sorted(allowed))}"
        )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
