"""DVC tracks every number of every params file, wherever it lies."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAPER = "workflow/papers/improved_ddpm/params.yaml"


def leaves(value, path=()):
    """Values by their keys from the root of a file."""
    if isinstance(value, dict):
        return {key: found for name, inner in value.items() for key, found in leaves(inner, (*path, str(name))).items()}
    return {path: value}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with the params files and the files that list them, committed."""
    from dvc.repo import Repo

    folder = tmp_path_factory.mktemp("tracked")
    names = ["dvc.yaml", "params.yaml", *(str(path.relative_to(ROOT)) for path in ROOT.glob("scales/*.yaml"))]
    names += [str(path.relative_to(ROOT)) for name in ("params*.yaml", "dvc.yaml") for path in ROOT.glob(f"workflow/papers/*/{name}")]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "-q")
    found = Repo.init(str(folder))
    git("add", "-A")
    git("commit", "-qm", "params")
    yield folder, found
    found.close()


def test_every_number_of_every_file_is_tracked(repository):
    folder, found = repository
    shown = {str(Path(name)): each["data"] for name, each in found.params.show()[""]["data"].items()}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.yaml") if path.name != "dvc.yaml"}
    assert shown.keys() == files
    for name in files:
        assert leaves(shown[name]) == leaves(yaml.safe_load((folder / name).read_text())), name


def test_a_changed_number_of_a_paper_and_of_a_scale_is_shown(repository):
    folder, found = repository
    changes = {PAPER: ("runs", "cosine-hybrid-long", "train", "lr"), "scales/smoke.yaml": ("evaluation", "images", "n")}
    for name, keys in changes.items():
        content = yaml.safe_load((folder / name).read_text())
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = 7
        (folder / name).write_text(yaml.safe_dump(content))
    diff = found.params.diff()["diff"]
    assert {name: {key: each["new"] for key, each in changed.items()} for name, changed in diff.items()} == {
        name: {".".join(keys): 7} for name, keys in changes.items()
    }
