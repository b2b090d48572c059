"""What `execution` does to a table: python -m bench.execution writes results/bench/execution.csv, in five minutes on two cores.

The table is made as it is and with each setting, which changes training, search and sampling. A difference is in standard deviations over
the sampling seeds of the table as it is.
"""

import csv
import tempfile
from pathlib import Path

from bench.jobs import SCALE, command, copy_repository, root
from difftables.common.files import write_csv

RUN, TABLE = ("noise_estimation", "digits"), "noise_estimation/T2"
SETTINGS = {"as it is": "{}", "bfloat16": "{precision: bfloat16}", "channels-last": "{layout: channels_last}"}
FILE = Path("results/bench/execution.csv")
HEADER = ["setting", "row", "column", "metric", "value", "as_it_is", "sd", "difference_in_sd"]
Cells = dict[tuple[str, str, str], tuple[float, float]]  # value and standard deviation by row, column and metric


def cells(setting: str, folder: Path, table: str = TABLE, scale: str = SCALE) -> Cells:
    """The measured cells of a table made with a setting.  Args: setting: YAML of `execution`."""
    copy_repository(folder)
    paper, run = RUN
    params = folder / "workflow/papers" / paper / "params.yaml"
    head = f"\n  {run}:\n"
    before, found, after = params.read_text().partition(head)
    if not found:
        raise ValueError(f"{params} has no run {run}")
    params.write_text(f"{before}{head}    execution: {setting}\n{after}")
    file = f"results/{scale}/tables/{table}.csv"
    command("-m", "snakemake", file, "--config", f"scale={scale}", cwd=folder, source=folder / "src")
    with open(folder / file, newline="") as lines:
        measured = [line for line in csv.DictReader(lines) if line["status"] == "measured" and line["value"]]
    return {(each["row"], each["column"], each["metric"]): (float(each["value"]), float(each["sd"] or "nan")) for each in measured}


def main() -> None:
    """Write FILE, and print the differences in short."""
    with tempfile.TemporaryDirectory() as place:
        found = {name: cells(setting, Path(place, "copy")) for name, setting in SETTINGS.items()}
    plain, rows = found.pop("as it is"), []
    for name, values in found.items():
        # Network calls, and what one seed measures, have no spread to compare with.
        spread = [cell for cell in values if plain[cell][1] > 0]
        differences = [(cell, values[cell][0], *plain[cell], (values[cell][0] - plain[cell][0]) / plain[cell][1]) for cell in spread]
        rows += [[name, *cell, *(f"{number:.6g}" for number in numbers)] for cell, *numbers in differences]
        sizes = sorted(abs(each[-1]) for each in differences)
        middle, largest = (f"{size:.2f}" for size in (sizes[len(sizes) // 2], sizes[-1])) if sizes else ("no", "none")
        print(f"{name}: {len(sizes)} cells of {TABLE}, differences of {middle} sd in the median, {largest} at most")
        print(f"{name}: {len(values) - len(sizes)} cells without a spread are left out")
    write_csv(root() / FILE, HEADER, rows)


if __name__ == "__main__":
    main()
