"""What the README shows is carried out on a copy of a finished smoke run."""

import csv
import re
from pathlib import Path

import pytest
import torch
import yaml

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```(python|yaml)\n# (\S+)\n(.*?)```", README, flags=re.DOTALL)
ENTRY = re.compile(r"^(\w+) = \{\.\.\., (.+)\}\n", flags=re.MULTILINE)


def merged(old, new):
    """Mappings key by key, lists one after the other."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merged(old[key], value) if key in old else value for key, value in new.items()}
    return old + new if isinstance(old, list) and isinstance(new, list) else new


def enter(text, example):
    """Source with an example in it: its definitions before the dict that it adds an entry to.  An example without entry is appended."""
    entry = ENTRY.search(example)
    if entry is None:
        return f"{text}\n\n{example}" if text else example
    definitions = ENTRY.sub("", example).strip()
    start = re.search(rf"^{entry[1]}\b[^\n]*= \{{", text, flags=re.MULTILINE)
    assert start, f"there is no dict {entry[1]}"
    return text[: start.start()] + definitions + "\n\n\n" + start[0] + f"\n    {entry[2]}," + text[start.end() :]


def carry_out(root):
    for language, name, example in BLOCKS:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        if language == "python":
            path.write_text(enter(text, example))
        else:
            content = merged(yaml.safe_load(text) or {}, yaml.safe_load(example))
            path.write_text(yaml.safe_dump(content, sort_keys=False))


def draw_pictures(folder):
    from PIL import Image

    stream = torch.Generator().manual_seed(0)
    for i in range(96):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(torch.randint(0, 256, (24, 20, 3), generator=stream, dtype=torch.uint8).numpy()).save(path)


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory):
    checkout = finished.copied(tmp_path_factory.mktemp("readme") / "repository")
    carry_out(checkout.path)
    draw_pictures(checkout.path / "my/pictures")
    return checkout


def cells(checkout, table):
    return list(csv.DictReader((checkout.path / f"results/smoke/tables/{table}.csv").read_text().splitlines()))


def test_each_example_is_carried_out_and_nothing_else_runs(extended):
    """Samples are measured again, since a metric was added; of the rest only what is new runs."""
    assert len(BLOCKS) >= 10
    tables = [f"results/smoke/tables/{name}.md" for name in ("noise_estimation/T2", "mine/T1")]
    rows = {cell["row_id"] for cell in cells(extended, "noise_estimation/T2") if cell["status"] == "measured"}
    ran = extended.counted(extended.snakemake(*tables).text)
    assert ran == {"data": 1, "reference": 1, "train": 1, "sample": 2, "measure": len(rows) + 2, "table": 2}
    pages = [(extended.path / table).read_text() for table in tables]
    assert re.search(r"\| DDIM, half the noise \| \**\d", pages[0])
    assert re.search(r"\| DDIM \| \**\d", pages[1])
    brightness = [float(cell["value"]) for cell in cells(extended, "mine/T1") if cell["metric_id"] == "brightness"]
    assert len(brightness) == 2
    assert all(0 < value < 1 for value in brightness)
