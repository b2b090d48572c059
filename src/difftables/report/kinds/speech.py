"""Speech: rows by samplers, metrics beside each other at one step count, each metric against steps; and what it sounds like."""

from functools import partial
from pathlib import Path
from typing import Any

from difftables.common.files import load_tensors, tensor_names
from difftables.common.names import local, paper_of
from difftables.metrics.catalogue import fits, short_name
from difftables.papers.folder import heard
from difftables.report import figures
from difftables.report.cells import Cell, Grid, fill, quote, steps_grid
from difftables.report.kinds.steps import style_of
from difftables.report.sources import Rendered, Sources, cell_of, literature, named


def steps_of(row: dict[str, Any], files: list[Any], asked: list[int]) -> list[int]:
    """Step counts of a row: those measured, or what the table and the paper ask for."""
    return sorted({r["steps"] for file in files for r in file["records"]}) or asked


def cells_of(sources: Sources) -> list[Cell]:
    """A cell for each row, step count and metric; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    measured = {r["id"]: r["metric"] for file in sources.records for r in file["records"]}
    planned = {metric_id: short_name(metric_id) for metric_id in spec["layout"]["metrics"]}
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        for steps in steps_of(row, files, spec["steps"]):
            here = [r for file in files for r in file["records"] if r["steps"] == steps]
            found = sources.reported.find(row["paper"], steps) if "paper" in row else []
            for metric_id, name in ({r["id"]: r["metric"] for r in here} or measured or planned).items():
                cell = cell_of(sources, row, str(steps), metric_id, method=row["method"], sampler=named(sources, row), steps=steps)
                cell.metric = name
                theirs = [number for number in found if fits(metric_id, number.metric_id)]
                if theirs:
                    quote(cell, theirs[0])
                mine = [r for r in here if r["id"] == metric_id]
                if mine:
                    fill(cell, mine, files)
                cells.append(cell)
    return cells


def speech(sources: Sources) -> Rendered:
    """All metrics at one step count, and each of the paper's metrics against steps."""
    spec, layout = sources.spec, sources.spec["layout"]
    cells = cells_of(sources) + literature(sources)
    names = {c.metric_id: c.metric for c in cells}
    metrics = {each: name for wanted in layout["metrics"] for each, name in names.items() if fits(each, wanted)}
    metrics = metrics or {each: short_name(each) for each in layout["metrics"]}
    lines: list[tuple[str, list[Any], str]] = []
    for row in spec["rows"]:
        mine = {(c.steps, c.metric_id): c for c in cells if c.row_id == row["id"]}
        has = dict.fromkeys(steps for steps, _ in mine)
        shown = layout["shown"] if layout["shown"] in has else next(iter(has), layout["shown"])
        here = [mine.get((shown, metric)) for metric in metrics]
        lines.append((f"{row['label']} ({shown})", here, "own"))
        known = next((c.paper_dataset for c in here if c is not None and c.paper_value), None)
        if known is not None:
            lines.append((f"paper: {known}", [c if c is not None and c.paper_value else None for c in here], "paper"))
    grid = Grid(layout["title"], ["", *metrics.values()], lines, [])
    if not sources.records:
        grid.notes = list(layout["foot"])
        return Rendered(cells, grid)
    grid.notes = [*how_measured(sources), *layout["foot"]]
    more = []
    for wanted in ("pesq", "stoi", "mcd"):
        for metric_id in (each for each in metrics if fits(each, wanted)):
            rows = [c for c in cells if not c.paper_value or c.status == "measured"]
            plain = steps_grid(f"{metrics[metric_id]} against steps", metric_id, spec["steps"], rows, [])
            plain.lines = [line for line in plain.lines if line[2] == "own" and any(line[1])]
            more.append(plain)
    return Rendered(cells, grid, partial(figures.metrics_against_steps, _curves(sources, cells, metrics)), more)


def how_measured(sources: Sources) -> list[str]:
    """What the values depend on, as the foot of the table."""
    spec, data = sources.spec, sources.spec["data"]
    source = {
        "voice": "The voice is synthetic: sentences written for this project, spoken by espeak-ng, a formant synthesiser. "
        "It is not human speech, and easier to model",
        "folder": "Recordings from a folder",
        "ljspeech": "LJSpeech",
    }.get(data["reader"], f"Data of the reader {data['reader']}")
    model = spec["model"]
    own = (
        ""
        if (model["precondition"], model["density"]) == ("eps", "between")
        else (
            f" Departs from WaveGrad, so that a small net learns in minutes: preconditioning {model['precondition']} in place of eps, "
            f"training levels {model['density']} in place of between neighbours of the schedule."
        )
    )
    length = f"{data['excerpt']:g} s from the middle of each" if data["excerpt"] else "whole utterances"
    return [
        f"{source}; {data['rate']} Hz, {length}, {data['bands']} mel bands from {data['lowest']:g} to {data['highest']:g} Hz, "
        f"hop {data['hop']}. In brackets: steps, which equal the measured NFE.",
        f"Backbone: {model['steps']} training steps with {model['batch']} segments of {data['segment'] * data['hop'] / data['rate']:.2g} s "
        f"each.{own}",
        f"N = {spec['n']} held-out utterances a seed, mean ± sd over sampling seeds (one seed where no sd is shown). Bold: best of "
        "the rows with that many steps; †: not distinguishable from it (95 % paired-seed t interval, each pair by itself, not "
        "corrected for the number of pairs). 'k/n failed': utterances that a metric could not score; they are in no mean.",
        "PESQ: package pesq (ITU-T P.862), after SciPy's polyphase resampling where the rate is neither 8 nor 16 kHz; nb and wb are "
        "narrow and wide band. STOI, ESTOI: package pystoi. MCD-13: c1 to c13 of the data's own mel bands, frame by frame, in dB. "
        "log-mel distance: mean absolute difference of log10 mel power.",
        f"Machine: {sources.machine}.",
    ]


def _curves(sources: Sources, cells: list[Cell], metrics: dict[str, str]) -> dict[str, list[figures.Line]]:
    """The measured rows of each metric against steps, by the metric's name."""
    found: dict[str, list[figures.Line]] = {name: [] for name in metrics.values()}
    for metric_id, name in metrics.items():
        for row in sources.spec["rows"]:
            own = [c for c in cells if c.row_id == row["id"] and c.metric_id == metric_id and c.value is not None]
            values, sds = [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own]
            if own:
                found[name].append(figures.Line(row["label"], style_of(row), [int(c.steps) for c in own], values, sds))
    return found


def listen(sources: Sources) -> Rendered:
    """WAV files of a few utterances of each row, and the spectrograms of the first."""
    spec, layout = sources.spec, sources.spec["layout"]
    if not sources.records or sources.data is None or sources.audio is None:
        return Rendered([], Grid(layout["title"], ["", "audio"], [], list(layout["foot"])))
    count = len(list(sources.audio.glob("reference-*.wav")))
    folder = f"../audio/{spec['run']}"
    lines: list[tuple[str, list[Any], str]] = [("reference", [_links(folder, "reference", count)], "own")]
    first: dict[str, tuple[Path, int]] = {}
    for row in (row for row in spec["rows"] if row["run"]):
        path = sources.samples[row["run"], row["sampler"]]
        steps, stem = heard(tensor_names(path), spec["steps"]), local(row["sampler"], paper_of(row["run"]))
        first[f"{row['label']} ({steps[0]})"] = path, steps[0]
        links = "; ".join(f"{n} steps: {_links(folder, f'{stem}-{n}', count)}" for n in steps)
        lines.append((row["label"], [links], "own"))
    grid = Grid(layout["title"], ["", "WAV files by steps and utterance"], lines, list(layout["foot"]))
    return Rendered([], grid, partial(_spectrograms, spec, sources.data, count, first))


def _spectrograms(spec: dict[str, Any], data: Path, count: int, first: dict[str, tuple[Path, int]]) -> Any:
    from difftables.config import data as config_data
    from difftables.data.speech_set import FULL_SCALE, SpeechSet

    import torch  # isort: skip

    speech = SpeechSet(config_data.Speech(**spec["data"]), data, torch.device("cpu"))
    x0, _ = speech.excerpts("test", count)
    pictures = {"reference": speech.mel(x0[:1])[0].numpy()}
    for name, (path, steps) in first.items():
        pictures[name] = speech.mel(load_tensors(path, "samples")[0][f"samples/{steps}"][0][:1].float() / FULL_SCALE)[0].numpy()
    return figures.spectrograms(pictures, speech.spec.hop / speech.spec.rate)


def _links(folder: str, stem: str, count: int) -> str:
    return " ".join(f"[{i}]({folder}/{stem}-{i}.wav)" for i in range(count))
