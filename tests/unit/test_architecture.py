"""The page on the architecture says what the code is."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text()


@pytest.fixture(scope="module")
def picture():
    spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs/draw_architecture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_drawn_from_the_imports(picture):
    graph = picture.imports()
    assert graph["common"] == set()
    assert (ROOT / "docs/architecture.svg").read_text() == picture.drawing(graph)


def test_the_table_names_each_package(picture):
    named = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(named) == sorted(picture.imports())


def test_the_places_to_add_to_are_there():
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", PAGE.split("## Where to add what")[1]):
        assert any((root / name).exists() for root in (ROOT, ROOT / "src/difftables")), name
