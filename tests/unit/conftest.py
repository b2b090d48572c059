"""What tests of several modules start from."""

from pathlib import Path

import pytest
import yaml

from difftables.layouts import LOADER

ROOT = Path(__file__).parents[2]
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # as LOADER


@pytest.fixture
def rewritten(tmp_path):
    """params.yaml with some places, "a/b/c", changed or, for KeyError, left out: the path of a copy."""

    def write(*changes):
        raw = yaml.load((ROOT / "params.yaml").read_text(), LOADER)
        for path, value in changes:
            *folders, last = path.split("/")
            place = raw
            for key in folders:
                place = place[key]
            if value is KeyError:
                del place[last]
            else:
                place[last] = value
        (tmp_path / "params.yaml").write_text(yaml.dump(raw, Dumper=DUMPER))
        return tmp_path / "params.yaml"

    return write
