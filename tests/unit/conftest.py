"""What tests of several modules start from."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from difftables.common.files import sha256
from difftables.papers.folder import LOADER, PAPERS
from difftables.provenance import record

ROOT = Path(__file__).parents[2]
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # as LOADER


@pytest.fixture
def rewritten(tmp_path):
    """A copy of the configuration with some places changed or, for KeyError, left out: the path of its params.yaml.

    A place is "a/b/c" in params.yaml, "PAPER/a/b/c" in that paper's, "SCALE:a/b/c" or "SCALE:PAPER/a/b/c" in what a scale changes.
    """
    papers = [path.parent.name for path in (ROOT / PAPERS).glob("*/params.yaml")]

    def file_of(place):
        scale, _, place = place.rpartition(":")
        first, _, rest = place.partition("/")
        if first in papers:
            return f"{PAPERS}/{first}/params{scale and '.'}{scale}.yaml", rest
        return (f"scales/{scale}.yaml" if scale else "params.yaml"), place

    def write(*changes):
        files = [
            "params.yaml",
            *(str(path.relative_to(ROOT)) for path in [*ROOT.glob("scales/*.yaml"), *ROOT.glob(f"{PAPERS}/*/params*.yaml")]),
        ]
        changed = {}
        for place, value in changes:
            name, inside = file_of(place)
            raw = changed.setdefault(name, yaml.load((ROOT / name).read_text(), LOADER) if name in files else {})
            *folders, last = inside.split("/")
            for key in folders:
                raw = raw.setdefault(key, {})
            if value is KeyError:
                del raw[last]
            else:
                raw[last] = value
        for name in {*files, *changed}:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.dump(changed[name], Dumper=DUMPER, sort_keys=False) if name in changed else (ROOT / name).read_text())
        return tmp_path / "params.yaml"

    return write


class Server(ThreadingHTTPServer):
    """Serves `body` on the loopback; `acts` says how the next requests are answered, the last one from then on.

    An act is "whole", "cut" (half of what was asked for), "stall" (some bytes, then none), "elsewhere" (a range that nobody asked for),
    "no ranges" (the whole, whatever was asked for) or a status.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.body, self.tag, self.acts, self.seen, self.released = b"", '"1"', ["whole"], [], threading.Event()

    def url(self, name, user=""):
        return f"http://{user}127.0.0.1:{self.server_port}/{name}"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        served = self.server
        served.seen.append(dict(self.headers))
        act = served.acts.pop(0) if len(served.acts) > 1 else served.acts[0]
        if isinstance(act, int):
            return self.send_error(act)
        body, asked = served.body, self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and act != "no ranges" else 0
        if self.headers.get("If-Range", served.tag) != served.tag:
            start = 0
        if start and start >= len(body):
            return self.send_error(416)
        told = start + 1 if act == "elsewhere" else start
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {told}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", served.tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest if act not in ("cut", "stall") else rest[: len(rest) // 2])
        if act == "stall":
            self.wfile.flush()
            served.released.wait(10)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A server on the loopback that may misbehave."""
    served = Server()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield served
    served.released.set()
    served.shutdown()
    served.server_close()
    thread.join()


@pytest.fixture
def job(tmp_path):
    """Writes the outputs of a made-up job, by path from a repository's root, and its provenance file; returns the sha256 of each output."""

    def write(rule, wildcards, outputs, inputs=(), root=tmp_path, **fields):
        def hashed(paths):
            return {"files": {path: sha256(root / path) for path in paths}}

        for path, text in outputs.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        known = {
            "rule": rule, "spec": {}, "fingerprint": "f" * 16, "code": "c" * 16, "packages": {}, "inputs": hashed(inputs),
            "outputs": hashed(outputs), "seeds": {}, "threads": 1, "seconds": 1.5, "cost": {},
        }  # fmt: skip
        path = root / "results/smoke/store/provenance" / rule / f"{wildcards}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        measured = {name: fields.pop(name) for name in ("core_seconds", "peak_mb") if name in fields}
        path.write_text(json.dumps(record.record(**known | fields) | measured))
        return hashed(outputs)["files"]

    return write
