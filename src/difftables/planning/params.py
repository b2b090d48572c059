"""params.yaml, read once; a mistake is one line with the key and the mend."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, PrivateAttr, ValidationError

from difftables.common.errors import ConfigError, nearest
from difftables.config.data import Images, Speech
from difftables.config.params_file import SCALES, Params
from difftables.config.sampling import MODELS
from difftables.papers.folder import parse

# What a view of a run cannot change, since it trains nothing of its own.
OF_TRAINING = (
    "data", "net", "schedule", "corruption", "density", "target", "weight", "penalty", "references", "seen", "objective", "vlb_weight",
    "given", "train",
)  # fmt: skip
MEDIA: dict[Any, type[BaseModel]] = {"images": Images, "speech": Speech}


class Loaded(Params):
    """Params, and the samplers that the scale leaves out: a row that names one is not run, one that names an unknown one is a mistake."""

    _left_out: frozenset[str] = PrivateAttr(default=frozenset())  # private: no key that a user could write
    _parts: dict[tuple[str, str], frozenset[str]] = PrivateAttr(default_factory=dict)

    @property
    def left_out(self) -> frozenset[str]:
        """Names of samplers that are null at this scale."""
        return self._left_out

    @property
    def parts(self) -> dict[tuple[str, str], frozenset[str]]:
        """Parts that a run plays in each table at some scale, were none null: rows may name these."""
        return self._parts


def merge(base: Any, override: Any) -> Any:
    """Mappings are merged key by key; everything else is replaced."""
    if isinstance(base, dict) and isinstance(override, dict):
        return {**base, **{key: merge(base.get(key), value) for key, value in override.items()}}
    return override


def related(runs: dict[str, Any]) -> dict[str, Any]:
    """Runs with what they take over from another filled in: `like` another, with changes; or a view `of` another, trained once.

    A run that is null, as a scale may make it, is left out.

    Raises: ConfigError for a run that is not there, or that is like itself.
    """
    found: dict[str, Any] = {}

    def fill(name: str, asking: tuple[str, ...]) -> Any:
        if name in found or not isinstance(runs[name], dict):
            return found.setdefault(name, runs[name])
        own = {key: value for key, value in runs[name].items() if key != "like"}
        other = runs[name].get("like") or own.get("of")
        if other is not None:
            key = "like" if "like" in runs[name] else "of"
            if runs.get(other) is None:
                raise ConfigError(f"runs.{name}.{key} names {other!r}, which is not defined{nearest(str(other), runs)}")
            if other in (*asking, name):
                raise ConfigError(f"runs.{name}.{key} leads back to {other!r}")
            if key == "of":
                _is_view(name, runs)
            own = merge(fill(other, (*asking, name)), own)
        return found.setdefault(name, own)

    return {name: fill(name, ()) for name, run in runs.items() if run is not None}


def _is_view(name: str, runs: dict[str, Any]) -> None:
    """Raise ConfigError for a view that would train something, or that is of a view: its changes would be dropped in silence."""
    own, other = runs[name], runs[runs[name]["of"]]
    if changed := [key for key in OF_TRAINING if key in own]:
        raise ConfigError(
            f"runs.{name} is a view `of` {own['of']!r}, which trains nothing: write `like` in place of `of`, or leave out {changed[0]}"
        )
    if isinstance(other, dict) and "of" in other:
        raise ConfigError(f"runs.{name}.of names {own['of']!r}, itself a view; name {other['of']!r}, the run that is trained")


def nulls(samplers: Any, overrides: Any) -> frozenset[str]:
    """The samplers that a scale makes null, which leaves them out.

    Raises: ConfigError for one that is not there.
    """
    if not isinstance(samplers, dict) or not isinstance(overrides, dict):
        return frozenset()  # for the models to complain of
    names = frozenset(name for name, row in overrides.items() if row is None)
    for name in sorted(names - samplers.keys(), key=str):
        raise ConfigError(f"samplers.{name} is null, but there is no sampler to leave out{nearest(str(name), samplers)}")
    return names


def parts(raw: dict[str, Any], scales: dict[str, Any]) -> dict[tuple[str, str], frozenset[str]]:
    """The parts of each table, by paper and name: part `a` is there where one scale has a run PREFIX-a, null or not.

    A part that no scale plays is a mistake; one that another scale plays is not run at this one.
    """
    found: dict[tuple[str, str], frozenset[str]] = {}
    for override in [{}, *(each for each in scales.values() if isinstance(each, dict))]:
        runs = [*(raw.get("runs") or {}), *(override.get("runs") or {})]
        for paper, tables in merge(raw.get("tables"), override.get("tables") or {}).items():
            for name, table in tables.items():
                prefix = f"{(table or {}).get('parts')}-"
                played = frozenset(str(run).removeprefix(prefix) for run in runs if str(run).startswith(prefix))
                found[paper, name] = found.get((paper, name), frozenset()) | played
    return found


def load(path: Path | str = "params.yaml", scale: str | None = None) -> Loaded:
    """Read params.yaml at a scale (its own `scale` unless given).

    Raises: ConfigError, one line naming the key and the mend.
    """
    try:
        raw = parse(Path(path).read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; run in the repository's root") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} is empty")
    scales = raw.pop("scales", {}) or {}
    raw["scale"] = scale if scale is not None else raw.get("scale")
    if raw["scale"] not in SCALES:
        raise ConfigError(f"{path}: scale is {raw['scale']!r}{nearest(raw['scale'], SCALES)}")
    unknown = [name for name in scales if name not in SCALES]
    if unknown:
        raise ConfigError(f"{path}: scales.{unknown[0]} is no scale{nearest(unknown[0], SCALES)}")
    overrides = scales.get(raw["scale"]) or {}
    base = raw
    try:
        left_out = nulls(raw.get("samplers"), overrides.get("samplers"))
    except ConfigError as error:
        raise ConfigError(f"{path}: scales.{raw['scale']}.{error}") from None
    raw = merge(raw, overrides)
    for name in left_out:
        del raw["samplers"][name]
    try:
        if isinstance(raw.get("runs"), dict):
            raw["runs"] = related(raw["runs"])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        found = Loaded.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, Params)}") from None
    found._left_out, found._parts = left_out, parts(base, scales)
    return found


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a failed validation as one line."""
    problems = error.errors()
    # A misspelt key is both unknown and missing: the unknown one says more.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = problem["loc"]
    told = location[:2] + location[3:] if location[:1] == ("data",) and location[2:3] and location[2] in MEDIA else location
    told = told[:3] + told[4:] if _is_solver(told) else told
    where = ".".join(str(part) for part in told if "function-" not in str(part))
    if problem["type"] == "union_tag_invalid":
        return f"{where}.kind is {problem['ctx']['tag']!r}{nearest(problem['ctx']['tag'], MODELS)}"
    if problem["type"] == "union_tag_not_found":
        return f"{where}.kind is missing"
    if problem["type"] == "extra_forbidden":
        return f"{where} is no known key{nearest(str(problem['loc'][-1]), _fields(model, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not where:
        return message
    if message.startswith(("is ", "has ", "lacks ")):
        return f"{where} {message}"
    value = problem["input"]
    if problem["type"] == "literal_error":
        expected = [e.strip("' ") for e in str(problem["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        return f"{where} is {value!r}{nearest(str(value), expected)}"
    hint = f" (YAML reads {value} as text; write {float(value)!r})" if _looks_numeric(value) else ""
    return f"{where}: {message[0].lower()}{message[1:]}, not {value!r}{hint}" if not isinstance(value, dict) else f"{where}: {message}"


def _is_solver(location: tuple[Any, ...]) -> bool:
    """Whether a place is inside the solver of a sampler, ("samplers", name, "solver", kind, ...)."""
    return location[:1] == ("samplers",) and location[2:3] == ("solver",) and location[3:4] != () and location[3] in MODELS


def _looks_numeric(value: Any) -> bool:
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False


def _fields(model: Any, location: tuple[Any, ...]) -> list[str]:
    """Keys known at a place of the tree, for the nearest-key hint."""
    if location[:1] == ("data",) and location[2:3] and location[2] in MEDIA:  # the tag of the union
        model, location = MEDIA[location[2]], location[3:]
    if _is_solver(location):  # likewise
        model, location = MODELS[location[3]], location[4:]
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else model
        arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None) and a is not str]
        while arguments and not hasattr(model, "model_fields"):
            model = arguments[-1]
            arguments = [a for a in getattr(model, "__args__", ()) if a is not type(None) and a is not str]
    return list(getattr(model, "model_fields", {}))
