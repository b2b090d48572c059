"""What samples of speech sound like: WAV files, and spectrograms of the first."""

from functools import partial
from pathlib import Path
from typing import Any

from difftables.common.files import load_tensors, tensor_names
from difftables.common.names import local, paper_of
from difftables.papers.kinds import audible_steps
from difftables.report.figures import pyplot
from difftables.report.printing import Grid
from difftables.report.sources import Rendered, Sources


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
        steps, stem = audible_steps(tensor_names(path), spec["steps"]), local(row["sampler"], paper_of(row["run"]))
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
    return draw_spectrograms(pictures, speech.spec.hop / speech.spec.rate)


def _links(folder: str, stem: str, count: int) -> str:
    return " ".join(f"[{i}]({folder}/{stem}-{i}.wav)" for i in range(count))


def draw_spectrograms(rows: dict[str, Any], seconds: float) -> Any:
    """log10 mel power, [bands, frames], of each row on one colour scale.  Args: seconds: between frames."""
    plt = pyplot()
    columns = 3
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(11, 1.7 * lines), sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    first = next(iter(rows.values()))
    for axis, (label, picture) in zip(axes.flat, rows.items(), strict=False):
        extent = (0, picture.shape[1] * seconds, 0, len(picture))
        axis.imshow(
            picture, origin="lower", aspect="auto", extent=extent, vmin=first.min(), vmax=first.max(), cmap="magma", interpolation="nearest"
        )
        axis.set_title(label, fontsize=9)
        axis.grid(False)
    for axis in axes[-1]:
        axis.set_xlabel("s")
    for axis in axes[:, 0]:
        axis.set_ylabel("mel band")
    figure.tight_layout()
    return figure
