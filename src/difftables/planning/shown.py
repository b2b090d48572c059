"""What a run or a sampler really is: each of its values, and the file and key where the value is written."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from difftables.common import registry
from difftables.common.errors import ConfigError, nearest
from difftables.common.names import local
from difftables.planning.params import Loaded
from difftables.planning.params_files import NAMED
from difftables.planning.shared_jobs import Kind, SharedJobs

SHOWN = ("runs", "samplers", "nets", "schedules", "checkpoints")  # sections by the order in which a name is looked up
VARIANTS = {"nets": ("nets.NETS", "kind"), "schedules": ("diffusion.training_schedules.TRAINING_SCHEDULES", "family")}
# What a net receives from the data set, and a schedule from a file: no value of params.
FROM_DATA = {"nets": registry.SET_BY_DATA, "schedules": registry.SET_BY_JOB}


class Value(NamedTuple):
    """A value of an entry.  Args: key: within the entry; source: FILE: KEY, or `default`."""

    key: str
    value: Any
    source: str


def lookup(params: Loaded, word: str) -> tuple[str, str]:
    """Section and full name of an entry.  Args: word: PAPER/NAME, or NAME where one paper only has it.

    Raises: ConfigError, one line with the nearest name.
    """
    entries = {section: list(getattr(params, section)) for section in SHOWN}
    for section, names in entries.items():
        fitting = [name for name in names if word in (name, name.split("/", 1)[1])]
        if len(fitting) == 1:
            return section, fitting[0]
        if fitting:
            raise ConfigError(f"{word!r} is in several papers; write {' or '.join(fitting)}")
    known = [name for section in ("runs", "samplers") for name in entries[section]]
    if "/" not in word:
        known = list(dict.fromkeys(name.split("/", 1)[1] for name in known))
    raise ConfigError(f"there is no run or sampler {word!r} at scale {params.scale}{nearest(word, known)}")


def described(params: Loaded, section: str, name: str) -> Iterator[tuple[str, list[Value]]]:
    """An entry, then what a run names: titles and their values."""
    entry = getattr(params, section)[name]
    yield f"{section}.{name}", values(params, section, name)
    if section == "runs":
        net = ("nets", entry.net) if entry.checkpoint is None else ("checkpoints", entry.checkpoint)
        for kind, key in (net, ("schedules", entry.schedule)):
            yield f"{kind}.{key}", values(params, kind, key)
        yield f"data.{entry.data}", values(params, "data", entry.data)


def values(params: Loaded, section: str, name: str) -> list[Value]:
    """All values of an entry, defaults included."""
    entry = getattr(params, section)[name].model_dump(mode="json")
    if section in VARIANTS:
        where, key = VARIANTS[section]
        known = registry.defaults(where, entry[key])
        entry |= {each: value for each, value in known.items() if each not in entry and each not in FROM_DATA[section]}
    return [Value(".".join(path), value, source(params, (section, name, *path))) for path, value in _leaves(entry)]


def source(params: Loaded, path: tuple[str, ...]) -> str:
    """Where the value of a key is written: FILE: KEY; the entry's name differs where the value is inherited.  Else `default`."""
    found = params.files.origin(path)
    if found is None:
        return "default"
    layer, place = found
    key = [local(step, layer.paper or "") for step in place] if place[0] in NAMED else list(place)
    return f"{layer.file}: {'.'.join(key)}" + (" (inherited)" if place[:2] != path[:2] else "")


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    else:
        yield path, value


def lines(params: Loaded, word: str) -> list[str]:
    """The entry as text in three columns: key, value, source.  Raises: ConfigError."""
    section, name = lookup(params, word)
    out = list[str]()
    for title, shown in described(params, section, name):
        keys = max(len(each.key) for each in shown)
        texts = [_text(each.value) for each in shown]
        width = min(max(map(len, texts)), 32)
        out += ["", f"{title}, scale {params.scale}"]
        out += [f"  {each.key:<{keys}}  {text:<{width}}  {each.source}" for each, text in zip(shown, texts, strict=True)]
    return out[1:]


def shared(plan: SharedJobs, run: str) -> list[str]:
    """What a run shares with others that are equal to it, a line each; none for most."""
    others = sorted(name for name in plan.params.runs if name != run and plan.same_run(name) == plan.same_run(run))
    out = [f"equal but for the name: {', '.join(others)}; all files are under {plan.same_run(run)}"] if others else []
    kinds: tuple[Kind, ...] = ("net", "estimator") if plan.params.runs[run].estimator else ("net",)
    for kind in kinds:
        trained = plan.trained_run(run, kind)
        alike = sorted({name for name in plan.params.runs if plan.net_run(name) == name and plan.trained_run(name, kind) == trained})
        if len(alike) > 1:
            out.append(f"one training of the {kind}: {', '.join(alike)}; its files are under {trained}")
    return out


def _text(value: Any) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool | None) else str(value)
