"""Nothing from outside is unpickled: a file that would run a command when read is refused, and the command does not run."""

import ast
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from difftables.common.files import load_tensors
from difftables.common.parallel import World
from difftables.data import READERS
from difftables.metrics import features
from difftables.training.loop import State

SOURCES = sorted((Path(__file__).parents[2] / "src").rglob("*.py"))
# Names that unpickle, or run what they read, whatever their arguments.
FORBIDDEN = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path):
    """What a malicious file would make; that it does so when trusted is checked first."""
    path = tmp_path / "ran"
    pickle.loads(pickle.dumps(Malicious(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def checkpoint(path, mark):
    torch.save({"net": Malicious(mark), "step": 3}, path)
    return path


def test_a_malicious_state_of_a_training_run_is_refused(tmp_path, mark, capsys):
    net = torch.nn.Linear(1, 1)
    state = State(net, checkpoint(tmp_path / "state.pt", mark))
    assert not state.load(World())
    assert state.step == 0
    assert {"state.pt", "(UnpicklingError);"} <= {word.rsplit("/")[-1] for word in capsys.readouterr().err.split()}


def test_malicious_weights_of_inception_are_refused(tmp_path, mark):
    path = checkpoint(tmp_path / "inception.pth", mark)
    with pytest.raises(ValueError, match=r"inception\.pth.*UnpicklingError"):
        features.load("inception", 299, path, None, torch.device("cpu"))
    with pytest.raises(ValueError, match=r"inception\.pth.*sha256.*000000000000"):
        features.load("inception", 299, path, "0" * 64, torch.device("cpu"))


def test_a_malicious_net_is_refused(tmp_path, mark):
    path = checkpoint(tmp_path / "net.safetensors", mark)
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        load_tensors(path, "net")


def test_a_malicious_batch_of_images_is_refused(tmp_path, mark):
    raw = io.BytesIO()
    np.save(raw, np.array([Malicious(mark)], dtype=object), allow_pickle=True)
    for number in range(1, 11):
        with zipfile.ZipFile(tmp_path / f"train_data_batch_{number}.npz", "w") as file:
            file.writestr("data.npy", raw.getvalue())
            file.writestr("labels.npy", raw.getvalue())
    with pytest.raises(ValueError, match=r"batch_1\.npz"):
        READERS["imagenet64"](64, 3, str(tmp_path))


def test_no_source_reads_what_could_run():
    found = [
        f"{path.name}:{line} {what}"
        for path in SOURCES if path.parts[-2:] != RESTRICTED for line, what in dangers(ast.parse(path.read_text()))
    ]  # fmt: skip
    assert (len(SOURCES) > 100, found) == (True, [])
    bad = (
        "import pickle\nimport torch\ntorch.load(x)\nnp.load(x, allow_pickle=True)\nyaml.load(x, yaml.Loader)\nrun(x, shell=True)\neval(x)"
    )
    assert [line for line, _ in dangers(ast.parse(bad))] == [1, 3, 4, 5, 6, 7]


RESTRICTED = ("checkpoints", "restricted.py")


def test_the_reader_of_pickles_has_its_own_names_only():
    """It takes of pickle the class whose names it replaces, and nothing else; what it still calls dangerous is that import."""
    (path,) = (path for path in SOURCES if path.parts[-2:] == RESTRICTED)
    tree = ast.parse(path.read_text())
    assert [what for _, what in dangers(tree)] == ["imports what unpickles"]
    (reader,) = (
        each for each in tree.body if isinstance(each, ast.ClassDef) and [ast.unparse(base) for base in each.bases] == ["pickle.Unpickler"]
    )
    assert {"find_class", "persistent_load"} <= {each.name for each in reader.body if isinstance(each, ast.FunctionDef)}
    used = [each for each in ast.walk(tree) if isinstance(each, ast.Name) and each.id == "pickle"]
    assert len(used) == 1
    assert "super().find_class" not in path.read_text()


def dangers(tree):
    """Lines that unpickle, or run, what they are given."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            if {name.split(".")[0] for name in names} & FORBIDDEN:
                yield node.lineno, "imports what unpickles"
        if isinstance(node, ast.Call):
            called, told = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called == "torch.load" and told.get("weights_only") != "True":
                yield node.lineno, "torch.load without weights_only"
            if told.get("allow_pickle", "False") != "False" or told.get("shell", "False") != "False":
                yield node.lineno, "unpickles or starts a shell"
            if called in ("eval", "exec", "yaml.unsafe_load", "yaml.full_load", "os.system"):
                yield node.lineno, called
            if called == "yaml.load" and not any(safe in ast.unparse(node) for safe in ("LOADER", "Safe")):
                yield node.lineno, called
