"""Downloads from a server that misbehaves: the right bytes in the end, or one line and nothing in place."""

import errno
import hashlib
import random
import re
from pathlib import Path

import pytest

from difftables.common.errors import ConfigError
from difftables.common.fetch import fetch
from difftables.config.data import Download
from difftables.planning import params, plan

ROOT = Path(__file__).parents[2]
BODY = random.Random(0).randbytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def get(server, tmp_path):
    """Fetch what the server has: how long was slept between attempts; `target` is where it lies afterwards."""
    server.body = BODY

    def run(*acts, digest=HASH, user="", **options):
        if acts:
            server.acts = list(acts)
        slept = []
        fetch(server.url("made/data.bin?token=hidden", user), digest, run.target, sleep=slept.append, **options)
        return slept

    run.target = tmp_path / "downloads" / "data.bin"
    return run


def refused(error, *words):
    """The line of an error, which names these values and no secret."""
    line = str(error.value)
    assert "\n" not in line and "hidden" not in line
    assert all(word in line for word in words), line
    return line


def lying(get):
    """Names of files beside the target, itself included."""
    return sorted(path.name for path in get.target.parent.iterdir())


def test_a_file_arrives_whole(get, server):
    assert get() == []
    assert get.target.read_bytes() == BODY
    assert lying(get) == ["data.bin"]
    assert len(server.seen) == 1 and "Range" not in server.seen[0]


def test_a_cut_download_goes_on_where_it_stopped(get, server):
    assert get("cut", "cut", "whole") == [1, 1]  # each attempt brought something
    assert get.target.read_bytes() == BODY
    assert lying(get) == ["data.bin"]
    assert [seen.get("Range") for seen in server.seen] == [None, "bytes=150000-", "bytes=225000-"]
    assert server.seen[1]["If-Range"] == '"1"'


def test_a_later_run_goes_on_where_an_earlier_one_gave_up(get, server):
    with pytest.raises(ValueError) as error:
        get("cut", 503)
    refused(error, "/made/data.bin", "503", str(get.target), "150,000")
    assert lying(get) == ["data.bin.part", "data.bin.part.json"]
    get("whole")
    assert get.target.read_bytes() == BODY
    assert server.seen[-1]["Range"] == "bytes=150000-"


def test_a_server_without_ranges_is_asked_for_all_again(get, server):
    get("cut", "no ranges")
    assert get.target.read_bytes() == BODY
    assert "Range" in server.seen[1]


def test_a_range_that_nobody_asked_for_is_thrown_away(get, server):
    get("cut", "elsewhere", "whole")
    assert get.target.read_bytes() == BODY
    assert "Range" not in server.seen[2]


def test_a_file_that_changed_meanwhile_is_fetched_anew(get, server):
    server.tag, server.body = '"0"', b"old" * 50_000
    with pytest.raises(ValueError):
        get("cut", 503)
    server.tag, server.body = '"1"', BODY
    get("whole")
    assert get.target.read_bytes() == BODY
    assert server.seen[-1]["If-Range"] == '"0"'


def test_more_bytes_than_the_server_has_are_thrown_away(get):
    get.target.parent.mkdir()
    get.target.with_name("data.bin.part").write_bytes(BODY + b"more")
    assert get() == [1]
    assert get.target.read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404])
def test_a_missing_file_is_one_line_and_is_asked_for_once(get, server, status):
    with pytest.raises(ValueError) as error:
        get(status)
    refused(error, "/made/data.bin", str(status), "params.yaml", str(get.target))
    assert len(server.seen) == 1
    assert lying(get) == []


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_server_is_asked_again_after_ever_longer_waits(get, status):
    assert get(status, status, status, status, "whole") == [1, 2, 4, 8]
    assert get.target.read_bytes() == BODY


def test_five_failures_on_end_are_enough(get, server):
    with pytest.raises(ValueError, match="500"):
        get(500)
    assert len(server.seen) == 5


def test_no_server_is_one_line_that_says_where_to_put_the_file(get, server):
    server.server_close()
    with pytest.raises(ValueError) as error:
        get(timeout=0.5)
    refused(error, "/made/data.bin", str(get.target))


def test_wrong_bytes_are_deleted(get):
    with pytest.raises(ValueError) as error:
        get(digest="0" * 64)
    refused(error, HASH[:12], "0" * 12, "params.yaml")
    assert lying(get) == []


def test_a_missing_hash_is_computed_and_nothing_is_fetched_twice(get, server):
    for _ in range(2):
        with pytest.raises(ValueError) as error:
            get(digest=None)
        refused(error, HASH, "params.yaml")
        assert not get.target.exists()
    get()
    assert get.target.read_bytes() == BODY
    assert len(server.seen) == 1


def test_a_stalled_server_is_left_and_asked_again(get, server):
    assert get("stall", "whole", timeout=0.3) == [1]
    assert get.target.read_bytes() == BODY
    assert server.seen[1]["Range"] == "bytes=150000-"


def test_a_full_disk_is_one_line(get, monkeypatch):
    """/dev/full is a disk without room."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")

    def full(path, mode):
        return open("/dev/full" if mode == "ab" else path, mode)

    monkeypatch.setattr("difftables.common.fetch.open", full, raising=False)
    with pytest.raises(OSError) as error:
        get()
    assert error.value.errno == errno.ENOSPC
    refused(error, str(get.target))
    monkeypatch.undo()
    get()
    assert get.target.read_bytes() == BODY


def test_too_little_disk_is_an_error_before_anything_is_written(get, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ValueError) as error:
        get()
    refused(error, "300,000", "1,000")
    assert lying(get) == []


def test_another_length_than_expected_is_an_error_before_anything_is_written(get):
    with pytest.raises(ValueError) as error:
        get(size=300_001)
    refused(error, "300,000", "300,001")
    assert lying(get) == []


def test_a_password_is_sent_and_never_shown(get, server):
    with pytest.raises(ValueError) as error:
        get(404, user="me:hidden%21@")
    assert "me" not in refused(error, "404").split("/made")[0]
    assert server.seen[0]["Authorization"] == "Basic bWU6aGlkZGVuIQ=="
    with pytest.raises(ValueError) as error:
        fetch("http://me:hidden@host:hidden/x", None, get.target)
    assert str(error.value).startswith("http://host:")


def test_other_schemes_and_missing_files_are_one_line(tmp_path):
    with pytest.raises(ValueError, match="ftp://host/x"):
        fetch("ftp://host/x", HASH, tmp_path / "x")
    with pytest.raises(ValueError, match=(tmp_path / "none").as_uri()):
        fetch((tmp_path / "none").as_uri(), HASH, tmp_path / "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("data/digits/archive", "cifar")], "data.digits: reader digits reads no `archive`"),
        ([("paper:data/cifar/archive", "cifar")], "data.cifar.archive names 'cifar', which is not defined; did you mean 'cifar10'?"),
        ([("paper:data/cifar/root", "../x")], "data.cifar has root = '../x', which is to be a folder inside its archive"),
        ([("paper:data/cifar/crop", [1, 1, 1])], "data.cifar has `crop`"),
        ([("paper:data/cifar/reader", "cifar")], "data.cifar.reader is 'cifar'; did you mean 'cifar10'?"),
        ([("paper:data/imagenet/root", KeyError)], "data.imagenet: reader imagenet64 needs `root`"),
        ([("downloads/cifar10/sha", "")], "downloads.cifar10.sha is no known key; did you mean 'sha256'?"),
        ([("downloads/cifar10/sha256", "c4a3")], "downloads.cifar10.sha256"),
        ([("downloads/cifar10/url", "http://me:hidden@host/x")], "downloads.cifar10.url has a user or a password in it"),
        ([("downloads/other", {"url": "http://host/LJSpeech-1.1.tar.bz2"})], "downloads.other and downloads.ljspeech would both lie at"),
    ],
)
def test_mistakes_in_params_are_one_line(rewritten, changes, message):
    with pytest.raises(ConfigError) as error:
        params.load(rewritten(*changes), "paper")
    refused(error, message)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"url": "htp://host/x"}, "has scheme 'htp'; did you mean 'http'?"),
        ({"url": "http://host/"}, "has no file name at its end"),
        ({}, "has to have either `url` or `by_hand`"),
        ({"url": "http://host/x", "by_hand": "there", "file": "x"}, "has to have either `url` or `by_hand`"),
        ({"by_hand": "there"}, "has to have `by_hand` and `file`"),
        ({"url": "http://host/x", "file": "x"}, "has to have `by_hand` and `file`"),
    ],
)
def test_a_download_is_either_fetched_or_put_there(entry, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Download(**entry)


def test_data_from_an_archive_are_told_where_it_is_unpacked(monkeypatch):
    monkeypatch.chdir(ROOT)
    paper = plan.read("paper")
    folder = ".cache/extracted/cifar10/c4a38c50a1bc"
    assert paper.data_spec("cifar").data.root == f"{folder}/cifar-10-batches-bin"
    assert paper.evaluated_run("edm/ve-a").data.root == f"{folder}/cifar-10-batches-bin"
    assert paper.unpacked_folders("cifar") == [folder]
    assert paper.archive_inputs("cifar10") == {"archive": [".cache/downloads/cifar-10-binary.tar.gz"]}
    assert paper.download_spec("cifar-10-binary.tar.gz").url.endswith("/cifar-10-binary.tar.gz")
    assert paper.archive_inputs("celeba") == {}  # a file that is put there by hand is no rule's output
    assert paper.extract_spec("celeba").archive == "data/celeba/img_align_celeba.zip"
    assert paper.unpacked_folders("ffhq") == []


def test_data_without_archive_are_told_nothing_new(monkeypatch):
    """Else all results made before there were archives would be made again."""
    monkeypatch.chdir(ROOT)
    laptop = plan.read("laptop")
    assert {"archive", "root"}.isdisjoint(laptop.written_spec("data", "digits")["data"]) and laptop.unpacked_folders("digits") == []
    assert {"archive", "root"}.isdisjoint(laptop.written_spec("data", "voice")["data"])


def test_other_bytes_are_another_folder():
    one, other = (Download(url="http://host/x.zip", sha256=digit * 64) for digit in "12")
    assert one.folder("x") == ".cache/extracted/x/111111111111" != other.folder("x")
    assert Download(url="http://host/x.zip?download=1").path == ".cache/downloads/x.zip"
