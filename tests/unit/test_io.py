import errno
import json

import pytest
import torch

from difftables.common import files as io
from difftables.data import READERS
from difftables.data.image_files import folder, held_out_mask, to_uint8, to_unit
from difftables.nets.unet import UNet


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "x.txt"
    io.write_text(path, "old")
    with pytest.raises(RuntimeError), io.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    io.save_tensors(path, {"a": torch.ones(2)}, {"kind": "net"})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"the disk is full: .*net\.safetensors was not written"):
        io.save_tensors(path, {"a": torch.zeros(2)}, {"kind": "net"})
    monkeypatch.undo()
    assert io.load_tensors(path, "net")[0]["a"].tolist() == [1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_really_full_disk(tmp_path):
    """/dev/full is a disk without room."""
    from pathlib import Path

    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(OSError, match="the disk is full"), io.replacing(tmp_path / "x") as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        with open(temporary, "w") as file:
            file.write("x" * 100000)


@pytest.mark.parametrize("cut", [4, 60])
def test_a_truncated_checkpoint_is_named(tmp_path, cut):
    path = tmp_path / "net.safetensors"
    io.save_tensors(path, {"a": torch.ones(200)}, {"kind": "net"})
    path.write_bytes(path.read_bytes()[:-cut] if cut == 60 else path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"net\.safetensors is truncated or no safetensors file"):
        io.load_tensors(path, "net")


def test_a_foreign_checkpoint_is_named(tmp_path):
    path = tmp_path / "net.safetensors"
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="holds something foreign, not net"):
        io.load_tensors(path, "net")
    io.save_tensors(path, UNet(8, 1, 16, (1, 2), 1, (), 0.0).state_dict(), {"kind": "net"})
    other = UNet(8, 1, 32, (1, 2), 1, (), 0.0)
    with pytest.raises(ValueError, match=r"net\.safetensors"):
        io.load_into(other, io.load_tensors(path, "net")[0], path)
    with pytest.raises(ValueError, match="does not exist; run snakemake"):
        io.load_tensors(tmp_path / "none.safetensors")


def test_canonical_json_knows_names():
    """Snakemake compares params as a set of values; here swapped values differ."""
    assert io.canonical({"seed": 1, "epochs": 2}) != io.canonical({"seed": 2, "epochs": 1})
    assert io.canonical({"b": 1, "a": 2}) == io.canonical({"a": 2, "b": 1})


def test_json_refuses_nan_and_names_damage(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        io.write_json(tmp_path / "x.json", float("nan"))
    (tmp_path / "x.json").write_text('{"a": 1')
    with pytest.raises(ValueError, match=r"x\.json is damaged"):
        io.read_json(tmp_path / "x.json")
    io.write_json(tmp_path / "x.json", {"a": 1})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1}


def test_digits():
    images, labels = READERS["digits"](8, 1)
    assert images.shape == (1797, 1, 8, 8)
    assert images.unique().numel() == 17
    assert (images.min(), images.max()) == (0, 255)
    assert labels.unique().tolist() == list(range(10))
    with pytest.raises(ValueError, match=r"8x8 .*1 channel.*32x32 .*\b3\b"):
        READERS["digits"](32, 3)


def test_uint8_round_trip_and_nan():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_uint8(to_unit(values)), values)
    assert to_uint8(torch.tensor([-3.0, 3.0]).reshape(2, 1)).flatten().tolist() == [0, 255]
    with pytest.raises(FloatingPointError, match="sample 1 is not finite"):
        to_uint8(torch.tensor([[0.0], [float("nan")]]))


def test_split_is_a_partition_that_depends_on_the_seed():
    mask = held_out_mask(100, 30, 0)
    assert mask.sum() == 30
    assert torch.equal(mask, held_out_mask(100, 30, 0))
    assert not torch.equal(mask, held_out_mask(100, 30, 1))
    with pytest.raises(ValueError, match=r"held_out = 10 of 10\b"):
        held_out_mask(10, 10, 0)


def test_the_filter_of_a_resize(tmp_path):
    """Halved, a column of 255: the antialiased triangle weighs neighbours by 3/8 and 1/8; a cubic has negative weights, clipped here."""
    import numpy as np
    from PIL import Image

    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert folder(4, 1, str(tmp_path), filter="bilinear")[0][0, 0, 0].tolist() == [0, 96, 32, 0]
    default = folder(4, 1, str(tmp_path))[0]
    assert torch.equal(default, folder(4, 1, str(tmp_path), filter="bicubic")[0])
    assert default[0, 0, 0, 1] > 96


def test_folder_of_images(tmp_path):
    """Crop 178x218 around (89, 121) with half side 64, as CelebA; sub-folders are classes."""
    import numpy as np
    from PIL import Image

    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[121 - 64 : 121 + 64, 89 - 64 : 89 + 64] = (200, 100, 50)
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(pixels).save(tmp_path / name)
    images, labels = folder(64, 3, str(tmp_path), crop=[89, 121, 64])
    assert images.shape == (2, 3, 64, 64)
    assert images[0, :, 5, 5].tolist() == [200, 100, 50]
    assert (images == images[:1, :, :1, :1]).all()
    assert labels.tolist() == [0, 1]
    assert folder(32, 1, str(tmp_path))[0].shape == (2, 1, 32, 32)
    (tmp_path / "a/0.png").write_bytes(b"\x89PNG cut")
    with pytest.raises(ValueError, match=r"a/0\.png"):
        folder(64, 3, str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"\.png"):
        folder(64, 3, str(tmp_path / "empty"))
