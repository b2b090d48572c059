"""Published archives in small: fetched, unpacked and read as the rules do it; and archives that are not to be trusted."""

import hashlib
import io
import re
import shutil
import tarfile
import zipfile
from contextlib import chdir
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from job_files import changed, write_job
from PIL import Image
from pydantic import ValidationError

from difftables.__main__ import main
from difftables.common.files import load_tensors
from difftables.common.unpack import extract
from difftables.config.data import Download, ExtractSpec, Images
from difftables.data import READERS, SPEECH_READERS
from difftables.planning import plan

ROOT = Path(__file__).parents[2]
PIXELS = np.random.default_rng(0)


def zipped(members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return target.getvalue()


def tarred(members, mode):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return target.getvalue()


def encoded(width, height, form):
    target = io.BytesIO()
    Image.fromarray(PIXELS.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(target, form)
    return target.getvalue()


@pytest.fixture(scope="module")
def paper():
    with chdir(ROOT):
        return plan.read("paper")


@pytest.fixture
def made(server, paper, tmp_path, monkeypatch):
    """What a data set of scale paper comes to, by the three verbs and the specs that the rules give them: its tensors.

    Args: changes: to the data set.
    """
    monkeypatch.chdir(tmp_path)

    def verb(name, spec, inputs, outputs):
        return main([name, write_job(f"{name}.json", spec, inputs, outputs)])

    def run(name, body, **changes):
        server.body, archive = body, paper.params.data[name].archive
        file = Path(paper.params.downloads[archive].path).name
        served = Download(url=server.url(file), sha256=hashlib.sha256(body).hexdigest())
        planned = copy(paper)
        planned.params = paper.params.model_copy(update={"downloads": paper.params.downloads | {archive: served}})
        (folder,), (fetched,) = planned.unpacked_folders(name), planned.archive_inputs(archive)["archive"]
        spec = changed(planned.data_spec(name), {"data": changes})
        assert verb("download", planned.download_spec(file), {}, {"archive": fetched}) == 0
        assert verb("extract", planned.extract_spec(archive), {"archive": fetched}, {"folder": folder}) == 0
        assert verb("data", spec, {"archive": folder}, {"data": "data.safetensors"}) == 0
        return load_tensors("data.safetensors", "data")[0]

    return run


def cifar10_batches(count=3):
    records = PIXELS.integers(0, 256, (6, count, 3073), dtype=np.uint8)
    records[:, :, 0] = PIXELS.integers(0, 10, (6, count))
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return records, {f"cifar-10-batches-bin/{name}": batch.tobytes() for name, batch in zip(names, records, strict=True)}


def test_cifar10(made):
    records, members = cifar10_batches()
    tensors = made("cifar", tarred({"cifar-10-batches-bin/readme.html": b"<html>", **members}, "w:gz"), held_out=4)
    flat = torch.from_numpy(records.reshape(18, 3073))
    assert torch.equal(tensors["labels"], flat[:, 0].long())
    assert torch.equal(tensors["images"], flat[:, 1:].reshape(18, 3, 32, 32))  # red, green and blue planes, row by row
    assert tensors["held_out"].tolist() == [False] * 14 + [True] * 4  # the published test images


def test_cifar10_that_is_not(tmp_path):
    with pytest.raises(ValueError, match=r"32x32 .*64x64"):
        READERS["cifar10"](64, 3, str(tmp_path))
    with pytest.raises(ValueError, match=r"data_batch_1\.bin.*`archive` or `root`"):
        READERS["cifar10"](32, 3, str(tmp_path))
    for content in (b"", b"\0" * 3072, b"\x0a" + b"\0" * 3072):
        (tmp_path / "data_batch_1.bin").write_bytes(content)
        with pytest.raises(ValueError, match=r"data_batch_1\.bin"):
            READERS["cifar10"](32, 3, str(tmp_path))


def test_ljspeech(made, tmp_path):
    import soundfile

    names = [f"LJ001-000{i}" for i in (2, 1, 3)]
    members = {"LJSpeech-1.1/metadata.csv": "".join(f"{name}|Text.|text.\n" for name in names).encode()}
    for length, name in zip((3000, 2000, 1000), names, strict=True):
        target = io.BytesIO()
        soundfile.write(target, PIXELS.integers(-9000, 9000, length, dtype=np.int16), 22050, subtype="PCM_16", format="WAV")
        members[f"LJSpeech-1.1/wavs/{name}.wav"] = target.getvalue()
    tensors = made("ljspeech", tarred(members, "w:bz2"), held_out=1)
    assert tensors["lengths"].tolist() == [3000, 2000, 1000]
    root = next(tmp_path.glob(".cache/extracted/ljspeech/*/LJSpeech-1.1"))
    assert torch.equal(torch.cat(SPEECH_READERS["ljspeech"](22050, str(root))), tensors["audio"])


def test_celeba(made):
    members = {f"img_align_celeba/00000{i}.jpg": encoded(178, 218, "JPEG") for i in (1, 2, 3)}
    tensors = made("celeba", zipped({"img_align_celeba/": b"", **members}), held_out=1)
    assert tensors["images"].shape == (3, 3, 64, 64)


def test_celeba_that_is_not_there_yet(paper, tmp_path, monkeypatch, capsys):
    found = paper.extract_spec("celeba")
    monkeypatch.chdir(tmp_path)
    assert main(["extract", write_job("job.json", found, {}, {"folder": "x"})]) == 1
    line = capsys.readouterr().err.strip()
    assert line.startswith("difftables extract: data/celeba/img_align_celeba.zip does not exist: download img_align_celeba.zip by hand")
    assert "\n" not in line


def test_an_archive_put_there_by_hand_is_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.zip").write_bytes(zipped({"a": b"1"}))
    for digest, status, told in (("0" * 64, 1, "not 000000000000...; delete it"), (None, 0, "states none to compare it with")):
        spec = ExtractSpec(archive="x.zip", sha256=digest, by_hand="from somewhere")
        assert main(["extract", write_job("job.json", spec, {}, {"folder": "x"})]) == status
        assert told in "".join(capsys.readouterr())
    assert (tmp_path / "x" / "a").read_bytes() == b"1"


def test_lsun(made, tmp_path):
    import lmdb

    with lmdb.open(str(tmp_path / "lmdb")) as environment, environment.begin(write=True) as transaction:
        for key in (b"b", b"a"):
            transaction.put(key, encoded(300, 260, "WEBP"))
    members = {f"church_outdoor_train_lmdb/{path.name}": path.read_bytes() for path in (tmp_path / "lmdb").iterdir()}
    tensors = made("church", zipped(members), held_out=1)
    assert tensors["images"].shape == (2, 3, 256, 256)


def test_lsun_may_be_cut_short_where_it_would_not_fit_on_the_disk(tmp_path, monkeypatch):
    import lmdb

    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        for key, width in ((b"b", 8), (b"a", 16), (b"c", 8)):
            transaction.put(key, encoded(width, 8, "PNG"))
    whole, _ = READERS["lsun"](8, 3, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    disk = shutil.disk_usage(tmp_path)._replace(free=800)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    with pytest.raises(ValueError, match=r"3 images of 8x8 px.*`limit`"):
        READERS["lsun"](8, 3, str(tmp_path))
    images, labels = READERS["lsun"](8, 3, str(tmp_path), limit=2)
    assert torch.equal(images, whole[:2]) and labels.tolist() == [0, 0]
    with pytest.raises(ValidationError, match=r"limit.*cifar10"):
        Images(reader="cifar10", size=32, channels=3, held_out=1, root="x", limit=2)


def test_lsun_without_a_database(tmp_path):
    with pytest.raises(ValueError, match=r"LMDB.*`archive` or `root`"):
        READERS["lsun"](256, 3, str(tmp_path))


def test_imagenet64(tmp_path, monkeypatch):
    data = PIXELS.integers(0, 256, (10, 2, 3 * 8 * 8), dtype=np.uint8)
    for i in range(9):  # the ninth is number 10: text would come before 2
        number = 10 if i == 8 else i + 1
        (tmp_path / f"part{i % 2}").mkdir(exist_ok=True)
        np.savez(tmp_path / f"part{i % 2}" / f"train_data_batch_{number}.npz", data=data[number - 1], labels=[number, 1000], mean=data[0])
    with pytest.raises(ValueError, match=r"train_data_batch_\*\.npz.*\b9\b.*image-net\.org"):
        READERS["imagenet64"](8, 3, str(tmp_path))
    np.savez(tmp_path / "train_data_batch_9.npz", data=data[8], labels=[9, 1000])
    images, labels = READERS["imagenet64"](8, 3, str(tmp_path))
    assert torch.equal(images, torch.from_numpy(data).reshape(20, 3, 8, 8))
    assert labels[::2].tolist() == list(range(10)) and set(labels[1::2].tolist()) == {999}
    with pytest.raises(ValueError, match=r"batch_1\.npz.*uint8 \[2, 192\].*16x16.*3 channels"):
        READERS["imagenet64"](16, 3, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    disk = shutil.disk_usage(tmp_path)._replace(free=3600)
    monkeypatch.setattr("shutil.disk_usage", lambda _: disk)
    with pytest.raises(ValueError, match=r"20 images of 8x8 px"):
        READERS["imagenet64"](8, 3, str(tmp_path))
    np.savez(tmp_path / "train_data_batch_9.npz", data=np.array([{}]), labels=np.array([{}]))
    with pytest.raises(ValueError, match=r"batch_9\.npz.*'labels'.*allow_pickle"):
        READERS["imagenet64"](8, 3, str(tmp_path))


def with_member(kind, name="x", link=""):
    """A tar archive with a good file and then an odd member."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as file:
        good, odd = tarfile.TarInfo("good"), tarfile.TarInfo(name)
        good.size, odd.type, odd.linkname = 4, kind, link
        file.addfile(good, io.BytesIO(b"good"))
        file.addfile(odd)
    return target.getvalue()


def zipped_link():
    member = zipfile.ZipInfo("x")
    member.external_attr = 0o120777 << 16
    return zipped({"good": b"good", member: b"/etc"})


@pytest.mark.parametrize(
    ("content", "member"),
    [
        (zipped({"good": b"1", "../x": b"2"}), "../x"),
        (zipped({"good": b"1", "a/../../x": b"2"}), "a/../../x"),
        (zipped({"good": b"1", "/x": b"2"}), "/x"),
        (zipped({"good": b"1", "C:/x": b"2"}), "C:/x"),
        (zipped_link(), "x"),
        (tarred({"good": b"1", "../x": b"2"}, "w:gz"), "../x"),
        (tarred({"good": b"1", "/x": b"2"}, "w:xz"), "/x"),
        (with_member(tarfile.SYMTYPE, link="/etc"), "x"),
        (with_member(tarfile.SYMTYPE, link="../../x"), "x"),
        (with_member(tarfile.SYMTYPE, link="good"), "x"),
        (with_member(tarfile.LNKTYPE, link="../x"), "x"),
        (with_member(tarfile.CHRTYPE), "x"),
        (with_member(tarfile.FIFOTYPE), "x"),
        (tarred({"good": PIXELS.bytes(9000)}, "w:gz")[:-3000], None),
        (tarred({"good": PIXELS.bytes(900_000)}, "w:bz2")[:-3000], None),
        (zipped({"good": b"12345678"}).replace(b"12345678", b"1234567x"), None),
        (b"<html>", None),
    ],
)
def test_an_unsafe_or_damaged_archive_leaves_nothing(tmp_path, content, member):
    """The error names the archive, and the member where one is at fault."""
    archive, folder = tmp_path / "downloads" / "archive", tmp_path / "extracted" / "folder"
    archive.parent.mkdir()
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(archive))) as error:
        extract(archive, folder)
    assert "\n" not in str(error.value)
    assert member is None or repr(member) in str(error.value)
    assert list(folder.parent.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["downloads", "extracted"]


@pytest.mark.parametrize("pack", [zipped, lambda members: tarred(members, "w:gz")], ids=["zip", "tar"])
def test_an_archive_larger_than_the_disk_leaves_nothing(tmp_path, monkeypatch, pack):
    archive = tmp_path / "archive"
    archive.write_bytes(pack({"good": b"1", "zeros": bytes(1_000_000)}))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000_000}))
    with pytest.raises(ValueError, match=r"'zeros'.*1,000,001.*1,000,000"):
        extract(archive, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".folder.part").mkdir()
    (tmp_path / ".folder.part" / "half").write_bytes(b"1")
    (tmp_path / "archive").write_bytes(zipped({"a/b": b"2"}))
    extract(tmp_path / "archive", tmp_path / "folder")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*")) if path.is_file()] == ["archive", "folder/a/b"]
