"""Speech: rows by samplers, metrics beside each other at one step count, each metric against steps; and what it sounds like."""

from typing import Any

from difftables import figures
from difftables.io import load_tensors
from difftables.layouts import heard
from difftables.render.sources import Rendered, Sources, literature, quoted
from difftables.tables import Cell, Grid, fill, steps_grid


def steps_of(row: dict[str, Any], files: list[Any], asked: list[int]) -> list[int]:
    """Step counts of a row: those measured, or what the table and the paper ask for."""
    return sorted({r["steps"] for file in files for r in file["records"]}) or asked


def cells_of(sources: Sources) -> list[Cell]:
    """A cell for each row, step count and metric; not-run ones for rows without records."""
    spec, cells = sources.spec, list[Cell]()
    measured = dict.fromkeys(r["metric"] for file in sources.records for r in file["records"])
    for row in spec["rows"]:
        files = [f for f in sources.records if (f["shared"]["sampler"], f["shared"]["run"]) == (row["sampler"], row["run"])]
        for steps in steps_of(row, files, spec["steps"]):
            here = [r for file in files for r in file["records"] if r["steps"] == steps]
            found = {q["metric"]: q for q in sources.reported.find(row["paper"], steps)} if "paper" in row else {}
            for metric in dict.fromkeys(r["metric"] for r in here) or measured or spec["layout"]["metrics"]:
                cell = Cell(spec["paper"], spec["table"], row["label"], str(steps), spec["dataset"] or "", row.get("method", ""))
                cell.sampler, cell.steps, cell.metric, cell.status = row["sampler"], steps, metric, "not-run"
                quote = next((q for name, q in found.items() if metric.startswith(name)), None)
                if quote:
                    cell.paper_value, cell.paper_source = quoted(quote)
                mine = [r for r in here if r["metric"] == metric]
                if mine:
                    fill(cell, mine, files)
                cells.append(cell)
    return cells


def speech(sources: Sources) -> Rendered:
    """All metrics at one step count, and each of the paper's metrics against steps."""
    spec, layout = sources.spec, sources.spec["layout"]
    cells = cells_of(sources) + literature(sources)
    metrics = [m for wanted in layout["metrics"] for m in dict.fromkeys(c.metric for c in cells) if m.startswith(wanted)]
    metrics = metrics or layout["metrics"]
    lines: list[tuple[str, list[Any], str]] = []
    for row in spec["rows"]:
        mine = {(c.steps, c.metric): c for c in cells if c.row == row["label"]}
        has = dict.fromkeys(steps for steps, _ in mine)
        shown = layout["shown"] if layout["shown"] in has else next(iter(has), layout["shown"])
        here = [mine.get((shown, metric)) for metric in metrics]
        cost = next((c for c in here if c is not None and c.real_time_factor is not None), None)
        factor = f"{cost.real_time_factor:.2g}" if cost else ""
        lines.append((f"{row['label']} ({shown})", [*here, factor], "own"))
        if any(c is not None and c.paper_value for c in here):
            known = next(c.paper_source for c in here if c is not None and c.paper_value).split("] ")[0].split(", ")[-1]
            lines.append((f"paper: {known}", [c if c is not None and c.paper_value else None for c in here] + [None], "paper"))
    grid = Grid(layout["title"], ["", *metrics, "real-time factor"], lines, [])
    if not sources.records:
        grid.notes = list(layout["foot"])
        return Rendered(cells, grid)
    grid.notes = [*how_measured(sources), *layout["foot"]]
    more = []
    for wanted in ("PESQ", "STOI", "MCD"):
        for metric in (m for m in metrics if m.startswith(wanted)):
            rows = [c for c in cells if not c.paper_value or c.status == "measured"]
            plain = steps_grid(f"{metric} against steps", metric, spec["steps"], [_without_paper(c) for c in rows], [])
            plain.lines = [line for line in plain.lines if any(line[1])]
            more.append(plain)
    return Rendered(cells, grid, figures.metrics_against_steps(_curves(cells, metrics)), more)


def _without_paper(cell: Cell) -> Cell:
    """The same cell for the tables against steps, which have no paper lines."""
    shown = Cell(**vars(cell))
    shown.paper_value = ""
    return shown


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
        "Real-time factor: seconds of one thread for a second of audio, net and estimator, without loading. "
        f"Machine: {sources.records[0]['shared']['machine']}.",
    ]


def _curves(cells: list[Cell], metrics: list[str]) -> dict[str, dict[str, tuple[list[int], list[float], list[float]]]]:
    """Metric to row to (steps, means, sds)."""
    found: dict[str, dict[str, tuple[list[int], list[float], list[float]]]] = {}
    for metric in metrics:
        rows = found.setdefault(metric, {})
        for row in dict.fromkeys(c.row for c in cells):
            own = [c for c in cells if c.row == row and c.metric == metric and c.value is not None]
            if own:
                rows[row] = ([int(c.steps) for c in own], [c.value or 0.0 for c in own], [c.sd or 0.0 for c in own])
    return found


def listen(sources: Sources) -> Rendered:
    """WAV files of a few utterances of each row, and the spectrograms of the first."""
    from difftables import config_data
    from difftables.media.speech import FULL_SCALE, Speech

    import torch  # isort: skip

    spec, layout = sources.spec, sources.spec["layout"]
    if not sources.records or sources.data is None or sources.audio is None:
        return Rendered([], Grid(layout["title"], ["", "audio"], [], list(layout["foot"])))
    speech = Speech(config_data.Speech(**spec["data"]), sources.data, torch.device("cpu"))
    count = len(list(sources.audio.glob("reference-*.wav")))
    x0, _ = speech.excerpts("test", count)
    pictures = {"reference": speech.mel(x0[:1])[0].numpy()}
    folder = f"../audio/{sources.audio.name}"
    lines: list[tuple[str, list[Any], str]] = [("reference", [_links(folder, "reference", count)], "own")]
    for row in (row for row in spec["rows"] if row["run"]):
        tensors, _ = load_tensors(sources.samples[row["run"], row["sampler"]], "samples")
        steps = heard(tensors, spec["steps"])
        shown = steps[0]
        pictures[f"{row['label']} ({shown})"] = speech.mel(tensors[f"samples/{shown}"][0][:1].float() / FULL_SCALE)[0].numpy()
        stem = row["sampler"]
        links = "; ".join(f"{n} steps: {_links(folder, f'{stem}-{n}', count)}" for n in steps)
        lines.append((row["label"], [links], "own"))
    grid = Grid(layout["title"], ["", "WAV files by steps and utterance"], lines, list(layout["foot"]))
    return Rendered([], grid, figures.spectrograms(pictures, speech.spec.hop / speech.spec.rate))


def _links(folder: str, stem: str, count: int) -> str:
    return " ".join(f"[{i}]({folder}/{stem}-{i}.wav)" for i in range(count))
