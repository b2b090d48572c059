"""Whether the files of a scale are what its records make: recomputed where that is cheap, hashed where it is not."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from difftables.common.files import canonical, read_json, sha256
from difftables.config.job_specs import ReportSpec, TableSpec
from difftables.planning.plan import Workflow
from difftables.report import compare_text, index
from difftables.report.page import Page, read_page
from difftables.report.statistics import mark_best

FETCHED = ".cache/"  # files in it may be deleted once they were read


@dataclass
class Findings:
    """One line for each thing that is wrong, and what was compared."""

    wrong: list[str] = field(default_factory=list)
    recomputed: int = 0  # tables made again from what they read
    printed: int = 0  # tables of which only the JSON could be printed again
    texts: set[str] = field(default_factory=set)  # files compared byte by byte
    hashed: set[str] = field(default_factory=set)  # files whose hash was compared with the one in a provenance file


def check_tables(plan: Workflow, findings: Findings) -> None:
    """Compare every table and what is made of all of them: the index, cells.csv, metrics.json and the numbers of plots."""
    pages = [
        page
        for paper, names in plan.params.tables.items()
        for name in names
        if (page := _check_table(plan, paper, name, findings)) is not None
    ]
    if len(pages) < len(plan.table_files()):
        return  # what is made of all tables cannot be right or wrong where one is missing
    for name, text in texts_of_all(plan, pages).items():
        _compare(Path(plan.tables) / name, text, findings)


def texts_of_all(plan: Workflow, pages: list[Page]) -> dict[str, str]:
    """The texts of the files made from all tables, by their path in the folder of tables."""
    spec = ReportSpec.model_validate_json(canonical(plan.written_spec("report")))
    return index.texts(spec, pages, [Path(path).stem for path in plan.plot_files()])


def _check_table(plan: Workflow, paper: str, name: str, findings: Findings) -> Page | None:
    """Compare the files of one table.  Returns: its page, or None where none can be made."""
    stem = Path(plan.tables) / paper / name
    try:
        page = recomputed_page(plan, paper, name)
        if page is not None:
            findings.recomputed += 1
        else:
            page = read_page(stem.with_name(f"{name}.json"))
            for cell in page.cells:
                cell.verdict = ""
            mark_best(page.cells)
            findings.printed += 1
    except FileNotFoundError:
        findings.wrong.append(f"{stem}.json is missing; run snakemake")
        return None
    except ValueError as error:
        findings.wrong.append(str(error))
        return None
    for path, text in page.files(plan.tables).items():
        _compare(path, text, findings)
    pictures = [path for path in (stem.with_name(f"{name}.png"), stem.with_name(f"{name}.svg")) if path.exists() != page.figure]
    findings.wrong += [f"{path} is {'missing; run snakemake' if page.figure else 'of no table; delete it'}" for path in pictures]
    return page


def recomputed_page(plan: Workflow, paper: str, name: str) -> Page | None:
    """The page of a table made again from its inputs; None where an input is missing."""
    from difftables.report.make_page import make_page

    inputs = {kind: [Path(path) for path in paths] for kind, paths in plan.table_inputs(paper, name).items()}
    if not all(path.exists() for paths in inputs.values() for path in paths):
        return None
    return make_page(TableSpec.model_validate_json(canonical(plan.written_spec("table", paper, name))), inputs)[0]


def _compare(path: Path, text: str, findings: Findings) -> None:
    findings.texts.add(str(path))
    findings.wrong += compare_text.differences(path, text)


def check_hashes(plan: Workflow, findings: Findings) -> None:
    """Compare each output that is no text of a table with its hash in the provenance of its job, and inputs with the outputs they were."""
    jobs = []
    for path in sorted(Path(plan.store, "provenance").rglob("*.json")):
        try:
            jobs.append((path, read_json(path)))
        except ValueError as error:
            findings.wrong.append(str(error))
    written = {path: digest for _, job in jobs for path, digest in _files(job, "outputs").items()}
    lying: dict[str, str] = {}
    for path, job in jobs:
        outputs = _files(job, "outputs")
        if not any(Path(each).exists() for each in outputs):
            continue  # of a job that was cleared away; where it is needed, a dry run says so
        for each, digest in outputs.items():
            if each in findings.texts or each.startswith(FETCHED):
                continue
            if not Path(each).exists():
                findings.wrong.append(f"{each} is missing; run snakemake, or dvc pull")
                continue
            findings.hashed.add(each)
            if lying.setdefault(each, sha256(each)) != digest:
                findings.wrong.append(
                    f"{each} is not the file that job {job['rule']} wrote ({path}); delete it and run snakemake, or dvc checkout"
                )
        stale = [each for each, digest in _files(job, "inputs").items() if written.get(each, digest) != digest]
        findings.wrong += [f"{path.relative_to(plan.root)}: its input {each} has changed since; run snakemake" for each in stale]


def _files(job: dict[str, Any], side: str) -> dict[str, str]:
    return {path: digest for files in job[side].values() for path, digest in files.items()}


def unchecked(plan: Workflow, findings: Findings) -> list[str]:
    """What could be neither recomputed nor hashed: one line for each reason."""
    needed = {path for paper, names in plan.params.tables.items() for name in names for paths in plan.table_inputs(paper, name).values()
              for path in paths if path.startswith(plan.store)}  # fmt: skip
    needed |= {plan.samples_file(*row) for row in plan.drawn_rows()}  # the ends of other rows are measured in no table
    needed |= {plan.net_file(run, seed) for run, seed in plan.trainings()} | set(map(plan.checkpoint_file, plan.used_checkpoints()))
    missing = Counter(Path(path).parts[3] for path in needed if not Path(path).exists())
    rest = [path for path in Path(plan.tables).rglob("*") if path.is_file() and not path.name.startswith(".")]
    unseen = Counter(path.suffix for path in rest if str(path) not in findings.texts | findings.hashed)
    out = []
    if missing:
        listed = ", ".join(f"{count} of {kind}" for kind, count in sorted(missing.items()))
        out.append(f"{findings.printed} tables against their records: {listed} are not here; dvc pull, or run snakemake")
    if unseen:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(unseen.items()))
        out.append(f"pictures, sounds and curves: {listed} have no hash in {plan.store}/provenance")
    return out
