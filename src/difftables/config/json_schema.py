"""JSON schemas of params files, made from their models, for editors that complete and check YAML.

An entry may be partial, `like` another or changed by a scale, so that no key is required: what is missing is found when files are merged.
"""

from typing import Any

from difftables.common import registry
from difftables.config.params_file import OF_PAPER, Params
from difftables.config.run import Variant

Schema = dict[str, Any]
# Sections and the models of their entries.
ENTRIES = {"schedules": "Schedule", "nets": "Net", "checkpoints": "CheckpointFile", "runs": "Run", "samplers": "Sampler"}
# Models whose further keys are arguments of the variants of a dict, and those that no params file gives.
ARGUMENTS = {
    "Net": ("nets.NETS", registry.SET_BY_DATA),
    "Schedule": ("diffusion.training_schedules.TRAINING_SCHEDULES", registry.SET_BY_JOB),
}
OF_ANNOTATION: dict[str, Schema] = {
    "int": {"type": "integer"}, "Count": {"type": "integer"}, "float": {"type": "number"}, "Rate": {"type": "number"},
    "Positive": {"type": "number"}, "Positive | None": {"type": ["number", "null"]}, "bool": {"type": "boolean"}, "str": {"type": "string"},
    "Sequence[int]": {"type": "array", "items": {"type": "integer"}}, "list[int]": {"type": "array", "items": {"type": "integer"}},
}  # fmt: skip


def of_shared() -> Schema:
    """Of params.yaml and scales/SCALE.yaml."""
    whole = _partial()
    keys = [key for key in whole["properties"] if key not in OF_PAPER]
    return _schema("What all papers share", {key: whole["properties"][key] for key in keys}, whole)


def of_paper() -> Schema:
    """Of params.yaml and params.SCALE.yaml in a paper's folder."""
    whole = _partial()
    properties: Schema = {"page": {"type": "integer", "description": "place of the paper on the page of all results"}}
    for key, model in ENTRIES.items():
        whole["$defs"][model]["properties"]["like"] = {"type": "string", "description": "takes over the values of this entry"}
        entry = {"anyOf": [{"$ref": f"#/$defs/{model}"}, {"type": "null"}]}
        properties[key] = whole["properties"][key] | {"additionalProperties": entry}
    properties["tables"] = whole["properties"]["tables"]["additionalProperties"]
    return _schema("Nets, schedules, runs and samplers of a paper, and which run fills a table", properties, whole)


def _schema(title: str, properties: Schema, whole: Schema) -> Schema:
    own: Schema = {"title": title, "type": "object", "properties": properties, "additionalProperties": False}
    used = _references(properties, whole["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | own | {"$defs": {key: whole["$defs"][key] for key in sorted(used)}}


def _partial() -> Schema:
    """The schema of all params with no key required, and with the arguments of all variants."""
    whole: Schema = _relaxed(Params.model_json_schema())
    for model, (where, received) in ARGUMENTS.items():
        known = {
            name: OF_ANNOTATION.get(annotation, {})
            for key in registry.names(where) for name, (annotation, _) in registry.arguments(where, key).items() if name not in received
        }  # fmt: skip
        found = whole["$defs"][model]
        found |= {"properties": known | found["properties"], "additionalProperties": False}
    for name in (model.__name__ for model in Variant.__subclasses__()):
        found = whole["$defs"][name]
        whole["$defs"][name] = {"anyOf": [found, found["properties"]["kind"]]}
    return whole


def _relaxed(schema: Any) -> Any:
    """A schema of which any part may be left out: no required keys, and unions that more than one model fits."""
    if isinstance(schema, list):
        return [_relaxed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    names = {"oneOf": "anyOf"}
    return {names.get(key, key): _relaxed(value) for key, value in schema.items() if key not in ("required", "discriminator", "title")}


def _references(schema: Any, definitions: Schema) -> set[str]:
    """Names of all definitions that a schema refers to, directly or not."""
    todo, found = [schema], set[str]()
    while todo:
        each = todo.pop()
        todo += list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else []
        if isinstance(each, dict) and isinstance(each.get("$ref"), str):
            name = each["$ref"].rsplit("/", 1)[1]
            if name not in found:
                found.add(name)
                todo.append(definitions[name])
    return found
