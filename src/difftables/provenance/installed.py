"""The packages that are installed, by what is imported of them."""

import os
import sys
from importlib import metadata


def listing() -> dict[str, list[tuple[str, int]]]:
    """By folder of the import path, the records of installed packages, whose names hold versions, and since when each lies there [ns].

    It costs a thousandth of a second. Any installation, removal or change of a version changes it.
    """
    found = dict[str, list[tuple[str, int]]]()
    for folder in {os.path.realpath(path) for path in sys.path}:
        try:
            with os.scandir(folder) as entries:
                known = sorted((each.name, each.stat().st_mtime_ns) for each in entries if each.name.endswith((".dist-info", ".egg-info")))
        except OSError:  # an archive, or nothing
            continue
        if known:
            found[folder] = known
    return found


def distributions() -> dict[str, list[str]]:
    """Names of installed packages by what is imported of them; a tenth of a second and more, since it reads what each one installed."""
    return {root: sorted(set(names)) for root, names in metadata.packages_distributions().items()}


def version(name: str) -> str:
    """The version of an installed package."""
    return metadata.version(name)
