"""A user's walk: a diffusers folder, `difftables import`, two lines of params, one table; nothing is trained."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from checkouts import copy

OFFICIAL = Path(__file__).parents[1] / "official_nets"
NAME = "diffusers_unet2d"
WEIGHTS = "my/unet/diffusion_pytorch_model.safetensors"
PARAMS = "workflow/papers/mine/params.yaml"
TABLE = "results/smoke/tables/mine/T1"
PAPER = {
    "runs": {"pictures": {"like": "noise_estimation/digits", "data": "pictures", "estimator": None, "oracle": None}},
    "samplers": {"ddim": {"like": "noise_estimation/ddim-strided"}},
    "tables": {"T1": {"run": "pictures", "steps": [3, 5]}},
}
LAYOUT = {
    "T1": {
        "title": "A net of others on my pictures", "kind": "steps",
        "rows": [{"id": "ddim", "label": "DDIM", "sampler": "ddim", "method": "fixed"}],
    }
}  # fmt: skip


def draw_pictures(folder):
    from PIL import Image

    stream = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True)
    for i in range(64):
        Image.fromarray(torch.randint(0, 256, (16, 16, 3), generator=stream, dtype=torch.uint8).numpy()).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A repository with pictures, a paper of one table, and a diffusers folder with random weights; its table was made."""
    checkout = copy(tmp_path_factory.mktemp("walk") / "repository")
    draw_pictures(checkout.path / "my/pictures")
    (checkout.path / "my/unet").mkdir()
    tensors = load_file(OFFICIAL / f"{NAME}.safetensors")
    save_file({key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}, checkout.path / WEIGHTS)
    config = json.loads((OFFICIAL / "index.json").read_text())["nets"][NAME]["config"]
    (checkout.path / "my/unet/config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **config}))
    pictures = {"reader": "folder", "root": "my/pictures", "size": 16, "channels": 3, "held_out": 16}
    checkout.change("params.yaml", {"data/pictures": pictures})
    (checkout.path / "workflow/papers/mine").mkdir()
    (checkout.path / PARAMS).write_text(yaml.safe_dump(PAPER, sort_keys=False))
    (checkout.path / "workflow/papers/mine/tables.yaml").write_text(yaml.safe_dump(LAYOUT))
    # The two lines.
    checkout.run("difftables", "import", "my/unet", "--as", "diffusers", "--name", "cats", "--into", PARAMS)
    checkout.change(PARAMS, {"runs/pictures/net": {"checkpoint": "cats"}})
    checkout.ran = checkout.counted(checkout.snakemake(f"{TABLE}.md").text)
    return checkout


def pending(checkout):
    """Jobs that the table would start, by rule."""
    return checkout.counted(checkout.snakemake(f"{TABLE}.md", "-n", "--quiet", "rules").text)


def test_the_table_is_made_without_training(walked):
    assert walked.ran == {"data": 1, "reference": 1, "checkpoint": 1, "sample": 1, "measure": 1, "table": 1}
    with open(walked.path / f"{TABLE}.csv", newline="") as file:
        cells = [row for row in csv.DictReader(file) if row["metric"].startswith("FD")]
    assert [cell["status"] for cell in cells] == ["measured"] * 2
    report = json.loads((walked.path / "results/smoke/store/checkpoints/mine/cats.json").read_text())
    assert len(report["used"]) == 144 and report["missing"] == report["unused"] == []
    assert pending(walked) == {}


def test_samples_are_those_of_the_official_net(walked):
    """The net that samples are drawn from returns what the official code does."""
    from difftables.nets import NETS

    tensors = load_file(OFFICIAL / f"{NAME}.safetensors")
    entry = yaml.safe_load((walked.path / PARAMS).read_text())["checkpoints"]["cats"]
    arguments = {key: value for key, value in entry["net"].items() if key != "kind"}
    net = NETS[entry["net"]["kind"]](size=16, channels=3, **arguments)
    net.load_state_dict(load_file(walked.path / "results/smoke/store/checkpoints/mine/cats.safetensors"))
    with torch.no_grad():
        found = net.eval().double()(tensors["in.sample"], tensors["in.timestep"])
    torch.testing.assert_close(found, tensors["out.sample"], rtol=1e-5, atol=1e-6)


def test_a_hand_edit_of_the_file_runs_its_job_again_which_names_it(walked):
    path = walked.path / WEIGHTS
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        assert pending(walked)["checkpoint"] == 1
        found = walked.snakemake(f"{TABLE}.md", check=False)
        assert found.returncode
        line = next(line for line in found.text.splitlines() if "difftables checkpoint:" in line)
        assert WEIGHTS in line and "checkpoints.mine/cats.sha256" in line
    finally:
        path.write_bytes(before)
    walked.snakemake(f"{TABLE}.md")
    assert pending(walked) == {}


def test_a_converted_net_that_was_edited_is_named(walked):
    path = walked.path / "results/smoke/store/checkpoints/mine/cats.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    found = walked.run("difftables", "check", "smoke", check=False)
    path.write_bytes(before)
    assert any("store/checkpoints/mine/cats.safetensors" in line for line in found.text.splitlines()), found.text


def test_a_missing_file_is_named_before_any_job(walked):
    checkout = walked
    folder, away = checkout.path / "my/unet", checkout.path / "my/away"
    converted = checkout.path / "results/smoke/store/checkpoints"
    folder.rename(away)
    try:
        assert checkout.snakemake("-n", f"{TABLE}.md").returncode == 0  # a colleague who has the results needs no file
        converted.rename(away / "converted")
        found = checkout.snakemake("-n", f"{TABLE}.md", check=False)
        assert found.returncode
        assert f"{PARAMS}: checkpoints.cats.file: {WEIGHTS}" in found.text
    finally:
        (away / "converted").rename(converted)
        away.rename(folder)


def test_a_checkpoint_at_an_address_is_fetched_and_checked(walked):
    """Of a file that lies here; the fetching itself is tested with downloads."""
    converted = "results/smoke/store/checkpoints/mine/cats.safetensors"
    before = (walked.path / converted).read_bytes()
    checkout = walked.copied(walked.path.parent / "fetched")
    checkout.change(PARAMS, {"checkpoints/cats/url": (checkout.path / WEIGHTS).as_uri(), "checkpoints/cats/file": None})
    text = checkout.snakemake(converted).text
    assert checkout.counted(text) == {"download": 1, "checkpoint": 1}
    assert (checkout.path / converted).read_bytes() == before
    assert pending(checkout) == {}  # the same net: no sample is drawn again
