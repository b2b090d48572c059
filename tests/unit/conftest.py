"""What tests of several modules start from."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rewritten(tmp_path):
    """params.yaml with some places, "a/b/c", changed or, for KeyError, left out: the path of a copy."""

    def write(*changes):
        raw = yaml.safe_load((ROOT / "params.yaml").read_text())
        for path, value in changes:
            *folders, last = path.split("/")
            place = raw
            for key in folders:
                place = place[key]
            if value is KeyError:
                del place[last]
            else:
                place[last] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path / "params.yaml"

    return write
