"""Search files in YAML, and the line numbers for their errors."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from leigh_mlops.errors import LeighError
from leigh_mlops.settings.augmentation_settings import read_augmentation
from leigh_mlops.settings.base import Keys, SettingsError, parse_settings, quote_value
from leigh_mlops.settings.domains import map_choices
from leigh_mlops.settings.space import SearchSpace
from leigh_mlops.settings.text_file import read_text_file
from leigh_mlops.settings.yaml_loader import NumberLoader

__all__ = ["UNLABELLED_FAMILIES", "find_line", "find_search_files", "load_space"]

UNLABELLED_FAMILIES = ("autoencoder", "deepcluster")
"""Families that need no labels, for pages and commands that load no network; each declares it by ``needs_labels``."""

_FIRST_FAMILIES, _LAST_FAMILIES = ("resnext",), ("autoencoder",)
"""Families that a search begins and ends with, as most people ask first whether the classes can be told apart."""
_REQUESTED_FAMILIES = ("backbone", "deepcluster")
"""Families whose file of the package is used only where it is named."""


def find_search_files(named: Sequence[Path] = (), *, requested: bool = False) -> list[Path]:
    """Find the search files named, or one for each family that runs unasked, those of classifiers first.

    A folder ``tuning`` in the working directory comes before the package's own: as a whole where no file is named,
    and file by file for names such as ``tuning/resnext.yaml``.

    Args:
        named: Files, or none for those of all families.
        requested: Include those of the package's families that do not run unasked.
    """
    # A package that is installed, or run from a checkout, lies in a folder.
    packaged = Path(str(files("leigh_mlops"))) / "tuning"
    if named:
        return [_resolve_named(path, packaged.parent) for path in named]
    own = [path for path in packaged.glob("*.yaml") if requested or path.stem not in _REQUESTED_FAMILIES]
    found = [*Path("tuning").glob("*.yaml")] or own
    return sorted(found, key=lambda path: (path.stem in _LAST_FAMILIES, path.stem not in _FIRST_FAMILIES, path))


def _resolve_named(path: Path, package: Path) -> Path:
    packaged = package / path
    return packaged if path.parts[:1] == ("tuning",) and not path.exists() and packaged.is_file() else path


def load_space(path: Path) -> SearchSpace:
    """Read a search file, each of its presets included.

    Raises:
        LeighError: The file is missing, is no YAML, or holds an unknown key, a key twice or a value out of bounds;
            the message names the line.
    """
    loader, root = _compose(path)
    for first, second, key in _duplicates(root):
        raise LeighError(f"{path}, line {second}: {key} is already in line {first}; delete one of them.")
    try:
        values = loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-99-99 is a ValueError
        raise _yaml_error(path, error) from None
    values = _read_augmentations(path, root, values)
    try:
        space = parse_settings(SearchSpace, values, str(path))
    except SettingsError as error:
        raise _add_line(path, root, error.reason, error.keys) from None
    for name, preset in space.presets.items():
        try:
            space.apply_preset(name)
        except SettingsError as error:
            key = str(error.keys[-1]) if error.keys else ""
            keys = ("presets", name, *(("fix",) if key in preset.fix else ()), key)
            raise _add_line(path, root, f"preset {name}: {error.reason}", keys) from None
    return space


def _read_augmentations(path: Path, root: yaml.MappingNode, values: dict[Any, Any]) -> dict[Any, Any]:
    """Put the transforms of files that the search file names in place of their names."""
    read = partial(read_augmentation, folder=path.parent)
    places = [("published",), *(("presets", name, "fix") for name in _mapping(values.get("presets")))]
    for keys in places:
        flat = _mapping(reduce(lambda at, key: _mapping(at.get(key)), keys, values))
        if "augment" in flat:
            flat["augment"] = _with_line(path, root, (*keys, "augment"), partial(read, flat["augment"]))
    space = _mapping(values.get("space"))
    if "augment" in space:
        choose = partial(map_choices, read, space["augment"])
        space["augment"] = _with_line(path, root, ("space", "augment"), choose)
    return values


def _mapping(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _with_line(path: Path, root: yaml.MappingNode, keys: Keys, function: Callable[[], Any]) -> Any:  # noqa: ANN401
    try:
        return function()
    except LeighError as error:
        raise _add_line(path, root, str(error), keys) from None


def find_line(path: Path, *keys: str) -> int:
    """Find the line of a search file, from 1, that has a key, or the nearest enclosing key that exists.

    Raises:
        LeighError: The file is missing or is no YAML.
    """
    return _line(_compose(path)[1], keys)


def _compose(path: Path) -> tuple[NumberLoader, yaml.MappingNode]:
    try:
        loader = NumberLoader(read_text_file(path))
        root = loader.get_single_node()
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _yaml_error(path, error) from None
    if not isinstance(root, yaml.MappingNode):
        raise LeighError(f"{path}: a search file is a mapping that begins with 'family:'; this one is not.")
    return loader, root


def _yaml_error(path: Path, error: Exception) -> LeighError:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    return LeighError(f"{where}: this is not valid YAML ({problem}); correct the file.")


def _add_line(path: Path, root: yaml.MappingNode, reason: str, keys: Keys) -> SettingsError:
    return SettingsError(f"{path}, line {_line(root, keys)}", reason, keys)


def _line(root: yaml.Node, keys: Keys) -> int:
    node, line = root, root.start_mark.line
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            # Keys that are merged in (<<) come first.
            pairs = [(name, value) for name, value in node.value if name.value == str(key)][-1:]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1


def _duplicates(root: yaml.Node) -> Iterator[tuple[int, int, str]]:
    """Lines, from 1, of both occurrences of a key that one mapping has twice, and the key."""
    seen: set[int] = set()  # an alias may lead back
    nodes = [root]
    while nodes:
        node = nodes.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for name, value in node.value:
                nodes.append(value)
                if isinstance(name, yaml.ScalarNode):
                    line = name.start_mark.line + 1
                    if name.value in lines:
                        yield lines[name.value], line, quote_value(name.value)
                    lines[name.value] = line
        else:
            nodes.extend(node.value)
