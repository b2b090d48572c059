"""Tensors that do not fit into memory: written in parts, mapped, on the disk; and what is computed of them block by block."""

from pathlib import Path

import pytest
import torch
from job_files import read_job

from difftables.common import tensor_files
from difftables.common.files import load_tensors, save_tensors
from difftables.common.tensor_files import Parts, allocated, save_parts, scratch
from difftables.config.job_specs import DataSpec
from difftables.jobs import data, measure
from difftables.metrics import features, frechet, scores

TENSORS = {
    "b/uint8": torch.arange(60).to(torch.uint8).view(5, 3, 4), "a/uint8": torch.ones(7).to(torch.uint8), "long": torch.arange(3),
    "audio": torch.arange(6, dtype=torch.int16), "float": torch.rand(2, 3), "double": torch.rand(4).double(), "mask": torch.rand(9) > 0.5,
    "int": torch.arange(3, dtype=torch.int32), "none": torch.zeros(0, 4), "half": torch.rand(3).half(),
    "byte": torch.ones(3).to(torch.int8),
    "number": torch.tensor(3.0), "é": torch.zeros(1),
}  # fmt: skip


def anonymous():
    """Bytes of this process's memory that no file backs."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def test_parts_are_written_as_the_whole_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(tensor_files, "WRITTEN_AT_ONCE", 16)
    meta = {"kind": "samples", "counts": {"2": 0.1}}
    save_tensors(tmp_path / "whole", TENSORS, meta)
    save_parts(tmp_path / "parts", {name: Parts.of(value) for name, value in TENSORS.items()}, meta)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    images = TENSORS["b/uint8"]
    split = Parts(tuple(images.shape), [images[:2].flatten(1), images[2:3], images[3:].transpose(0, 1).contiguous().transpose(0, 1)])
    save_parts(tmp_path / "split", {name: Parts.of(value) for name, value in TENSORS.items()} | {"b/uint8": split}, meta)
    assert (tmp_path / "split").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_full_disk_is_one_line_before_anything_is_written(tmp_path, monkeypatch):
    disk = tensor_files.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    with pytest.raises(OSError, match=f"{tmp_path}"):
        save_parts(tmp_path / "file", {"a": Parts.of(torch.zeros(100))}, {})
    assert not list(tmp_path.iterdir())


def test_only_the_rows_that_are_read_take_memory(tmp_path):
    """64 MB of a file, of which some rows are read, and of a scratch tensor that is filled."""
    size = 2**26
    save_parts(tmp_path / "file", {"images": Parts((64, size // 64), [torch.zeros(size // 64, dtype=torch.uint8)] * 64)}, {})
    before = anonymous()
    tensors, _ = load_tensors(tmp_path / "file")
    assert int(tensors["images"][torch.arange(0, 64, 7)].sum()) == 0
    assert anonymous() - before < size // 4


def test_a_large_tensor_lies_on_the_disk_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tensor_files, "LARGE", 1000)
    before = anonymous()
    large, small = allocated((64, 2**20), torch.uint8), allocated((9, 2), torch.float64)
    large.fill_(7)
    assert anonymous() - before < 2**24
    assert (int(large[63, 5]), small.shape) == (7, (9, 2))
    assert not list(tensor_files.SCRATCH.iterdir())
    assert scratch((0, 3), torch.float32).shape == (0, 3)


def test_a_data_set_on_the_disk_is_the_same_file(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for i in range(6):
        Image.new("L", (4, 4), 40 * i).save(f"images/{i}.png")
    spec = DataSpec.model_validate({"data": {"reader": "folder", "root": "images", "size": 4, "channels": 1, "held_out": 2}})
    for name, large in (("memory", 2**32), ("disk", 1)):
        monkeypatch.setattr(tensor_files, "LARGE", large)
        data.run(read_job("data", spec, {}, {"data": name, "made": "made"}))
    assert Path("memory").read_bytes() == Path("disk").read_bytes()
    assert load_tensors("disk", "data")[0]["images"][:, 0, 0, 0].tolist() == [0, 40, 80, 120, 160, 200]


def test_features_on_the_disk_are_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = torch.randint(256, (70, 3, 4, 4), dtype=torch.uint8)

    def net(batches):
        joined = torch.cat(list(batches)).float().flatten(1)
        return joined[:, :6] / 7, joined[:, 6:9]

    kept = features.extract(net, images, 4, torch.device("cpu"))
    monkeypatch.setattr(tensor_files, "LARGE", 1)
    found = features.extract(net, images, 4, torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(kept, found, strict=True))
    assert torch.equal(kept[0], (images.float().flatten(1)[:, :6] / 7).double()) and kept[1].dtype == torch.float32


@pytest.mark.parametrize("block", [1, 7, 40, 99])
def test_a_gaussian_fitted_in_blocks_is_that_of_all_features(block):
    """Far from zero, where sums of squares would lose the covariance; equal to 1e-12, whatever the block."""
    stream = torch.Generator().manual_seed(0)
    found = torch.randn(100, 8, generator=stream).double() @ torch.randn(8, 8, generator=stream).double() + 1e4
    plain, blocks = frechet.moments(found), frechet.moments(found, block=block)
    torch.testing.assert_close(blocks.mean, plain.mean, rtol=1e-14, atol=0)
    covariances = [each.factor.T @ each.factor for each in (plain, blocks)]
    torch.testing.assert_close(covariances[1], covariances[0], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(covariances[0], torch.cov(found.T), rtol=1e-10, atol=1e-10)
    assert frechet.distance(plain, blocks) < 1e-10
    rows = torch.randperm(100, generator=stream)[:60]
    assert torch.equal(frechet.moments(found, rows).factor, frechet.moments(found[rows]).factor)


def test_features_that_are_not_finite_are_found_in_any_block():
    found = torch.zeros(20, 2)
    found[17, 1] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        frechet.moments(found, block=5)


def test_precision_and_recall_do_not_depend_on_what_is_held_at_once(monkeypatch):
    stream = torch.Generator().manual_seed(0)
    ours, real = (torch.randn(count, 4, generator=stream).double() for count in (60, 90))
    plain = scores.precision_recall(ours, scores.Manifold(real, [3, 5]))
    monkeypatch.setattr(scores, "DISTANCES", 200)
    monkeypatch.setattr(scores, "BLOCK", 7)
    assert scores.precision_recall(ours, scores.Manifold(real, [3, 5])) == plain
    assert 0 < plain[3][0] < 1


def test_a_hash_of_samples_is_that_of_all_their_bytes():
    import hashlib

    samples = torch.randint(256, (2, 3, 5), dtype=torch.uint8)
    assert measure.digest(samples) == hashlib.sha256(samples.numpy().tobytes()).hexdigest()
