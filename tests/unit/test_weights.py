"""A fetched weights file is checked before use; whatever goes wrong is one line."""

import urllib.error

import pytest
from job_files import run_job

from difftables.common.files import sha256
from difftables.config.data import FetchSpec


def fetch(tmp_path, url, digest):
    target = tmp_path / "cache" / "w.pth"
    run_job("weights", FetchSpec(url=url, sha256=digest), {}, {"weights": target})
    return target


def test_good_bytes_arrive_whole(tmp_path):
    source = tmp_path / "published.pth"
    source.write_bytes(b"weights" * 1000)
    assert fetch(tmp_path, source.as_uri(), sha256(source)).read_bytes() == source.read_bytes()


def test_wrong_bytes_are_never_kept(tmp_path):
    source = tmp_path / "published.pth"
    source.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"sha256.*000000000000"):
        fetch(tmp_path, source.as_uri(), "0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network_names_the_place_to_put_the_file(tmp_path, monkeypatch):
    def refused(*_args, **_kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    monkeypatch.setattr("difftables.common.fetch.FIRST_WAIT", 0)
    with pytest.raises(ValueError, match=r"no route to host.*w\.pth"):
        fetch(tmp_path, "https://example.org/w.pth", "0" * 64)
