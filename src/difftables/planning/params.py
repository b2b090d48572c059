"""The configuration at one scale, read once and checked; a mistake is one line with the file, the key and what to write."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, PrivateAttr, ValidationError

from difftables.common.errors import ConfigError, nearest
from difftables.config.data import Images, Speech
from difftables.config.params_file import Params
from difftables.config.solvers import MODELS
from difftables.planning.lengths import Place, expand
from difftables.planning.params_files import NAMED, Files, read_files

MEDIA: dict[Any, type[BaseModel]] = {"images": Images, "speech": Speech}


class Loaded(Params):
    """Params with the files that they come from."""

    _files: Files = PrivateAttr()  # private: no key that a user could write
    _shorter: dict[Place, Place] = PrivateAttr(default_factory=dict)  # tables that `lengths` adds: which they repeat, and the length

    @property
    def files(self) -> Files:
        """The files of this scale."""
        return self._files

    def repeated(self, paper: str, table: str) -> str:
        """The table that a shorter length repeats; any other is its own."""
        return self._shorter.get((paper, table), (table, ""))[0]

    def length(self, paper: str, table: str) -> str:
        """The name of the length of training at which a table repeats another; "" for any other."""
        return self._shorter.get((paper, table), (table, ""))[1]

    @property
    def everywhere(self) -> dict[str, set[str]]:
        """Full names of the runs and samplers that any scale has: rows may name these."""
        return self._files.everywhere

    @property
    def left_out(self) -> set[str]:
        """Full names of the samplers that another scale has, or that are null at this one: rows that name them are not run."""
        return self._files.everywhere["samplers"] - self.samplers.keys()


def load(path: Path | str = "params.yaml", scale: str | None = None) -> Loaded:
    """Read a configuration at a scale.  Args: path: of params.yaml, beside scales and workflow; scale: in place of its own.

    Raises: ConfigError, one line with the file, the key and what to write.
    """
    files = read_files(Path(path), scale)
    raw = dict(files.merged)
    try:
        for section in NAMED:
            if isinstance(raw.get(section), dict):
                raw[section] = files.entries(section)
        raw, shorter = expand(raw)
        found = Loaded.model_validate(raw)
    except ConfigError as error:
        raise ConfigError(files.located(str(error))) from None
    except ValidationError as error:
        raise ConfigError(files.located(explain(error, Params))) from None
    found._files, found._shorter = files, shorter
    return found


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a failed validation as one line."""
    problems = error.errors()
    # A misspelt key is both unknown and missing: the unknown one says more.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = problem["loc"]
    place = location[:2] + location[3:] if location[:1] == ("data",) and location[2:3] and location[2] in MEDIA else location
    place = place[:3] + place[4:] if _is_solver(place) else place
    where = ".".join(str(part) for part in place if "function-" not in str(part))
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
