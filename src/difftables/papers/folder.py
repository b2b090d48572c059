"""A paper is a folder: its tables, claims and reported numbers, checked before any job."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from difftables.common.errors import ConfigError, nearest
from difftables.papers.checks import claim_problems, problems_of, twice
from difftables.papers.numbers import Claim, Number
from difftables.papers.table import Table
from difftables.papers.tables import TABLES

Spec = dict[str, Any]
M = TypeVar("M", bound=BaseModel)
PAPERS = Path("workflow/papers")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, five times as fast, where PyYAML has it


@dataclass(frozen=True)
class Paper:
    """What a paper's folder holds."""

    name: str
    tables: dict[str, Table]
    claims: list[Claim]
    numbers: list[Number]

    def file(self, name: str) -> str:
        """The path of one of its files."""
        return f"{PAPERS}/{self.name}/{name}"

    @cached_property
    def layouts(self) -> dict[str, Spec]:
        """Its tables as plain data, without the keys that tables.yaml leaves out, but for the foot."""
        return {name: {"foot": table.foot} | table.model_dump(exclude_unset=True) for name, table in self.tables.items()}


def at_scale(layout: Spec, scale: str) -> Spec:
    """A table as plain data with the columns that a scale has."""
    if "columns" not in layout:
        return layout
    kept = [column for column in layout["columns"] if scale in (column.get("scales") or [scale])]
    return layout | {"columns": [{key: value for key, value in column.items() if key != "scales"} for column in kept]}


# -- reading -----------------------------------------------------------------------------------------------------


def read_paper(name: str) -> Paper:
    """A paper's folder.  Without reported.csv it has no published numbers, without claims.yaml no claims.

    Raises: ConfigError, one line with the file, the place and the nearest right name, for anything that is wrong in it.
    """
    if not (PAPERS / name).is_dir():
        known = [path.name for path in sorted(PAPERS.iterdir()) if path.is_dir()] if PAPERS.is_dir() else []
        raise ConfigError(f"tables.{name}: there is no folder {PAPERS}/{name}{nearest(name, known)}")
    reported, claims = PAPERS / name / "reported.csv", PAPERS / name / "claims.yaml"
    numbers = read_numbers(reported) if reported.exists() else {}
    strangers = [line for line, number in numbers.items() if number.paper != name]
    if strangers:
        number = numbers[strangers[0]]
        raise ConfigError(f"{PAPERS}/{name}/reported.csv: line {strangers[0]}: paper is {number.paper!r}; did you mean {name!r}?")
    tables = read_tables(PAPERS / name / "tables.yaml")
    found = Paper(name, tables, read_claims(claims) if claims.exists() else [], list(numbers.values()))
    for title, layout in found.layouts.items():
        for place, problem in problems_of(layout, found.numbers):
            raise ConfigError(f"{found.file('tables.yaml')}: {title}{place and ', '}{place}: {problem}")
    for claim in found.claims:
        for problem in claim_problems(claim, tables):
            raise ConfigError(f"{found.file('claims.yaml')}: claim {claim.id}: {problem}")
    return found


def read_tables(path: Path) -> dict[str, Table]:
    """The tables of tables.yaml, in its order.  Raises: ConfigError for the first that does not fit its kind."""
    raw, found = read_yaml(path), dict[str, Table]()
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: it has no tables; write NAME: {{title: ..., kind: ...}}")
    for name, layout in raw.items():
        if not isinstance(layout, dict) or "kind" not in layout:
            raise ConfigError(f"{path}: {name}: kind is missing; there is {', '.join(TABLES)}")
        if layout["kind"] not in TABLES:
            raise ConfigError(f"{path}: {name}: kind is {layout['kind']!r}{nearest(layout['kind'], TABLES)}")
        found[str(name)] = _checked(TABLES[layout["kind"]], layout, f"{path}: {name}")
    return found


def read_claims(path: Path) -> list[Claim]:
    """The claims of claims.yaml.  Raises: ConfigError for the first that is wrong, or whose id another has."""
    raw, found = read_yaml(path), list[Claim]()
    if not isinstance(raw, list):
        raise ConfigError(f"{path}: it is no list of claims; write - {{id: ..., claim: ...}}")
    for place, entry in enumerate(raw, 1):
        name = entry.get("id", f"number {place}") if isinstance(entry, dict) else f"number {place}"
        found.append(_checked(Claim, entry, f"{path}: claim {name}"))
    for name in twice(claim.id for claim in found):
        raise ConfigError(f"{path}: claim {name}: another claim has this id; change one")
    return found


def read_numbers(path: Path) -> dict[int, Number]:
    """The numbers of reported.csv by line.  Raises: ConfigError for the first line that is wrong, or says what another says."""
    try:
        with open(path, newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            lines = [(reader.line_num, line) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    wanted = list(Number.model_fields)
    for name in (name for name in header if name not in wanted):
        raise ConfigError(f"{path}: line 1: {name!r} is no known column{nearest(name, wanted)}")
    for name in (name for name in wanted if header.count(name) != 1):
        raise ConfigError(
            f"{path}: line 1: column {name!r} is {'missing' if name not in header else 'there twice'}; write {','.join(wanted)}"
        )
    found, seen = dict[int, Number](), dict[tuple[Any, ...], int]()
    for at, line in lines:
        if len(line) != len(header):
            raise ConfigError(f"{path}: line {at}: it has {len(line)} values for {len(header)} columns; quote a value with a comma in it")
        found[at] = _checked(Number, dict(zip(header, line, strict=True)), f"{path}: line {at}")
        key = tuple(value for name, value in found[at] if name not in ("value", "unit", "better", "source"))
        if key in seen:
            raise ConfigError(f"{path}: line {at}: it reports {found[at].metric} of the same row as line {seen[key]}; remove one")
        seen[key] = at
    return found


def parse(text: str) -> Any:
    """YAML as plain values.  Raises: yaml.YAMLError; also for a key that stands twice, of which PyYAML takes the last in silence."""
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        _once(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _once(node: Any) -> None:
    if isinstance(node, yaml.MappingNode):
        known = set[str]()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in known:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"key {key.value!r} in line {line} stands there twice; leave one of them out")
            known.add(str(key.value))
            _once(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _once(value)


def read_yaml(path: Path) -> Any:
    """A YAML file.  Raises: ConfigError naming it when it is missing or broken."""
    try:
        return parse(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None


# -- one line for what a model refuses ---------------------------------------------------------------------------


def _checked(model: type[M], raw: Any, place: str) -> M:
    """A validated model.  Raises: ConfigError, one line, for the first problem of it."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = error.errors()
    # A misspelt key is both unknown and missing: the unknown one says more.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    where, key = _place(raw, problem["loc"])
    spot = f"{place}{where and ', '}{where}: "
    if problem["type"] == "extra_forbidden":
        raise ConfigError(f"{spot}{key!r} is no known key{nearest(key, _keys(model, problem['loc'][:-1]))}")
    if problem["type"] == "missing":
        raise ConfigError(f"{spot}{key!r} is missing")
    if problem["type"] == "literal_error":
        expected = [each.strip("' ") for each in str(problem["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        raise ConfigError(f"{spot}{key} is {problem['input']!r}{nearest(str(problem['input']), expected)}")
    message = problem["msg"].removeprefix("Value error, ")
    complaint = message if message.startswith("is ") else f"is {_brief(problem['input'])}; {message[0].lower()}{message[1:]}"
    raise ConfigError(f"{spot}{key} {complaint}")


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _place(raw: Any, location: tuple[int | str, ...]) -> tuple[str, str]:
    """Where a problem is, rows by their ids, and the key that has it."""
    words, value = list[str](), raw
    for step in location:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
            words.append(step)
        else:
            value = value[step] if isinstance(value, list) else None
            name = value.get("id") if isinstance(value, dict) else None
            words[-1] = f"{words[-1].removesuffix('s')} {name if isinstance(name, str) else step + 1}"
    key = words.pop() if location and isinstance(location[-1], str) else "it"
    return ", ".join(words), key


def _keys(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """Keys that a model has at a place."""
    for step in location:
        model = _inner(model if isinstance(step, int) else model.model_fields[step].annotation)
    return list(model.model_fields)


def _inner(annotation: Any) -> Any:
    """The model in an annotation such as list[Row] or Reference | None."""
    while get_origin(annotation) is not None or isinstance(annotation, UnionType):
        inner = [each for each in get_args(annotation) if each is not type(None)]
        annotation = inner[0] if get_origin(annotation) in (list, Union, UnionType) else annotation
    return annotation
