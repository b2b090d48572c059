"""The JSON schemas of params files are those of the models, every file fits its own, and editors see what is wrong."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from difftables.commands import schema

ROOT = Path(__file__).parents[2]
SHARED = ["params.yaml", *sorted(f"scales/{path.name}" for path in ROOT.glob("scales/*.yaml"))]
OF_PAPERS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("workflow/papers/*/params*.yaml"))
WIDTH = 100


def validator(name):
    found = json.loads((ROOT / schema.SCHEMAS / name).read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def test_schemas_are_those_of_the_models():
    """Else: difftables schema."""
    for path, text in schema.texts().items():
        assert (ROOT / path).read_text() == text, path


@pytest.mark.parametrize("file", [*SHARED, *OF_PAPERS])
def test_a_file_fits_the_schema_that_its_first_line_names(file):
    lines = (ROOT / file).read_text().splitlines()
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", lines[0])
    path = ((ROOT / file).parent / named[1]).resolve()
    assert path == ROOT / schema.SCHEMAS / ("params.json" if file in SHARED else "paper.json")
    assert [error.json_path for error in validator(path.name).iter_errors(yaml.safe_load((ROOT / file).read_text()))] == []


@pytest.mark.parametrize("file", [*SHARED, *OF_PAPERS])
def test_lines_are_short_and_mappings_in_blocks(file):
    for line in (ROOT / file).read_text().splitlines():
        assert len(line) <= WIDTH or re.fullmatch(r"\s*url: \S+", line), line
        assert not re.match(r"\s*(runs|nets|schedules|samplers|train|estimator): \{", line), line


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("params.json", {"evalation": {}}),
        ("params.json", {"evaluation": {"images": {"n": "many"}}}),
        ("params.json", {"data": {"digits": {"reader": "digts"}}}),
        ("paper.json", {"runs": {"a": {"train": {"stpes": 3}}}}),
        ("paper.json", {"runs": {"a": {"target": "claen"}}}),
        ("paper.json", {"nets": {"a": {"kind": "unet", "widht": 3}}}),
        ("paper.json", {"schedules": {"a": {"family": "linaer"}}}),
        ("paper.json", {"samplers": {"a": {"solver": {"kind": "walk", "rule": "dimm"}}}}),
        ("paper.json", {"tables": {"T1": {"stpes": [3]}}}),
    ],
)
def test_what_is_misspelt_does_not_fit(name, content):
    assert list(validator(name).iter_errors(content))
