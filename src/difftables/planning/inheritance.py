"""Entries of a configuration that take over the values of others: `like` and `checkpoint_of`."""

from typing import Any

from difftables.common.errors import ConfigError, nearest

# What a run that evaluates another one's checkpoint cannot change, since it trains nothing.
OF_TRAINING = (
    "data", "net", "schedule", "corruption", "density", "target", "weight", "penalty", "loss_through", "objective", "condition_on",
    "train",
)  # fmt: skip
Raw = dict[str, Any]


def merge(base: Any, override: Any) -> Any:
    """Mappings are merged key by key; everything else is replaced, as is a mapping by one of another `kind`: its keys are others."""
    if isinstance(base, dict) and isinstance(override, dict) and override.get("kind") in (None, base.get("kind")):
        return {**base, **{key: merge(base.get(key), value) for key, value in override.items()}}
    return override


# -- reading -----------------------------------------------------------------------------------------------------------


def parent_of(entry: Any) -> tuple[str, str] | None:
    """The key by which an entry takes over another one's values, and that entry's name; None where it takes over none."""
    if not isinstance(entry, dict):
        return None
    if entry.get("like") is not None:
        return "like", str(entry["like"])
    view = entry.get("checkpoint_of")
    return ("checkpoint_of.run", str(view["run"])) if isinstance(view, dict) and "run" in view else None


def inherited(section: str, entries: Raw) -> Raw:
    """Entries with what they take over filled in: `like` another, with changes; or a run that evaluates another one's checkpoint.

    Raises: ConfigError for an entry that is not there, or that is like itself.
    """
    found: Raw = {}

    def fill(name: str, asking: tuple[str, ...]) -> Any:
        if name in found or not isinstance(entries[name], dict):
            return found.setdefault(name, entries[name])
        own = {key: value for key, value in entries[name].items() if key != "like"}
        if (parent := parent_of(entries[name])) is not None:
            key, other = parent
            if other not in entries:
                raise ConfigError(f"{section}.{name}.{key} names {other!r}, which is not defined{nearest(other, entries)}")
            if other in (*asking, name):
                raise ConfigError(f"{section}.{name}.{key} leads back to {other!r}")
            if key != "like":
                _trains_nothing(name, entries)
            own = merge(fill(other, (*asking, name)), own)
        return found.setdefault(name, own)

    return {name: fill(name, ()) for name in entries}


def _trains_nothing(name: str, runs: Raw) -> None:
    """Raise ConfigError for a view that would train something, or that is of a view: its changes would be dropped in silence."""
    own, named = runs[name], runs[name]["checkpoint_of"]["run"]
    if changed := [key for key in OF_TRAINING if key in own]:
        raise ConfigError(
            f"runs.{name} evaluates a checkpoint of {named!r} and trains nothing: write `like: {named}` in place of `checkpoint_of`, "
            f"or leave out {changed[0]}"
        )
    other = runs[named]
    if isinstance(other, dict) and "checkpoint_of" in other:
        trained = other["checkpoint_of"].get("run")
        raise ConfigError(f"runs.{name}.checkpoint_of.run names {named!r}, which is not trained; name {trained!r}, which is")
