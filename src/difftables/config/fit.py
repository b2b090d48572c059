"""What a run asks of its data and its nets, checked before any job. No torch in here."""

import math
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.config.data import Images, Speech, samples_of
from difftables.config.nets import Net
from difftables.config.run import Run, Training

if TYPE_CHECKING:
    from difftables.config.params_file import Params

Data = Images | Speech
OF_MEDIUM = {"images": {"size", "channels", "classes"}, "speech": {"bands", "hop"}}  # arguments of nets that data of one medium decide


def check_run(params: "Params", name: str) -> None:
    """A run must suit its data, its nets and, where something of it is trained, the machine's processes.

    Raises: ConfigError, one line naming the key and what to do.
    """
    run = params.runs[name]
    data, where = params.data[run.data], f"data.{run.data}"
    samples = samples_of(data)
    if samples is None:
        samples = _files(data)
    if samples is not None and data.held_out >= samples:
        raise ConfigError(f"{where} has held_out = {data.held_out} of {samples} samples, which leaves none to train on; lower it")
    _net_fits(params.net_of(name), data, run.net_key, run.data)
    loops = [(f"runs.{name}.train", run.train)] if run.checkpoint is None else []
    if run.estimator is not None:
        _net_fits(run.estimator.net, data, f"runs.{name}.estimator.net", run.data)
        loops.append((f"runs.{name}.estimator.train", run.estimator.train))
    for key, training in loops:
        _training_fits(training, data, key, run.data, params.resources.processes)
    if samples_of(data) is not None and isinstance(data, Images):
        _enough_images(params, run, f"runs.{name}", (samples_of(data) or 0) - data.held_out)


def check_measured(params: "Params", name: str) -> None:
    """The images that samples of a run are compared with must suffice, where their number is known without reading them.

    Raises: ConfigError, one line naming the key and what to do.
    """
    key, asked = params.runs[name].data, params.evaluation.images
    data = params.data[key]
    samples = samples_of(data)
    if samples is None or not isinstance(data, Images):
        return
    n, there = data.floor_n or asked.n, samples - data.held_out
    if n + 2 > samples:
        raise ConfigError(
            f"evaluation.images.n = {n} needs two images more for the real-against-real floor, but data.{key} has {samples}; lower it, or "
            f"set data.{key}.floor_n"
        )
    if max(asked.kid_subset_size, max(asked.neighbours) + 1) > there:
        raise ConfigError(
            f"evaluation.images has kid_subset_size = {asked.kid_subset_size} and neighbours = {asked.neighbours}, but data.{key} has "
            f"{there} images to compare with; lower them"
        )


def check_estimate(params: "Params", name: str, sampler: str) -> None:
    """A row's exact estimate of the level must be one for the medium of its run.  Raises: ConfigError, one line."""
    data, adapt = params.data[params.runs[name].data], params.samplers[sampler].adapt
    medium = {"oracle": "images", "known_mel": "speech"}.get(adapt or "")
    if medium not in (None, data.medium):
        raise ConfigError(f"samplers.{sampler} has adapt: {adapt}, which is for {medium}; run {name!r} has {data.medium}: use estimator")


def check_process(params: "Params", name: str, sampler: str) -> None:
    """The process of a row's run must have the range that its sampler asks for.  Raises: ConfigError, one line."""
    run, row = params.runs[name], params.samplers[sampler]
    schedule = params.schedules[run.schedule]
    ends = schedule.model_extra or {}
    in_time = run.conditioning == "continuous_time" or row.solver.process == "vp"
    if in_time and schedule.family == "linear" and ends["last"] <= ends["first"]:
        raise ConfigError(
            f"schedules.{run.schedule} has first = {ends['first']:g} and last = {ends['last']:g}, but run {name!r} or sampler {sampler!r} "
            "needs its time, in which the rates grow; raise last"
        )
    if row.grid is None:
        return
    lowest, highest = row.grid.lowest, row.grid.highest
    process = registry.text("diffusion.training_schedules.PROCESS_OF_SCHEDULE", schedule.family)
    if process == "ve" and ((lowest or 0) >= ends["highest"] or (highest or math.inf) <= ends["lowest"]):
        raise ConfigError(
            f"samplers.{sampler}.grid leaves nothing of the noise of run {name!r}, {ends['lowest']:g} to {ends['highest']:g}; change it"
        )
    if process != "ve" and lowest is not None and run.density in ("index", "loss_aware"):
        raise ConfigError(
            f"samplers.{sampler}.grid has lowest = {lowest:g}, but run {name!r} was trained at the levels of its schedule only "
            f"(density: {run.density}); leave lowest out"
        )


def _files(data: Data) -> int | None:
    """How many samples the files of a data set hold where they lie there already, counted no further than needed; else None."""
    if isinstance(data, Speech) and data.sentences is not None and Path(data.sentences).is_file():
        lines = (line.strip() for line in Path(data.sentences).read_text(encoding="utf-8", errors="replace").splitlines())
        return sum(bool(line) and not line.startswith("#") for line in lines)
    if data.reader != "folder" or data.archive is not None or data.root is None or not Path(data.root).is_dir():
        return None
    suffixes = registry.constant("data.image_files.SUFFIXES" if isinstance(data, Images) else "data.audio.SUFFIXES")
    found = sum(1 for _ in islice(_below(data.root, suffixes), data.held_out + 1))
    return found if 0 < found <= data.held_out else None  # none at all is what the data job speaks of


def _below(root: str, suffixes: set[str]) -> Iterator[str]:
    return (name for _, _, names in os.walk(root) for name in names if os.path.splitext(name)[1].lower() in suffixes)


def _training_fits(training: Training, data: Data, key: str, name: str, processes: int) -> None:
    if data.medium != "images" and (training.flip or training.augment or training.distinct):
        asked = next(word for word in ("flip", "augment", "distinct") if getattr(training, word))
        raise ConfigError(f"{key}.{asked} is for images, but data.{name} has none; leave it out")
    if training.batch % processes:
        raise ConfigError(f"{key}.batch is {training.batch}, which resources.processes = {processes} cannot share; make it a multiple")


def _enough_images(params: "Params", run: Run, key: str, there: int) -> None:
    """What asks for training images by number must find as many.  Args: there: images to train on."""
    trained = run.checkpoint is None
    if trained and run.train.distinct and run.train.batch > there:
        raise ConfigError(f"{key}.train.batch asks for {run.train.batch} distinct images, but data.{run.data} has {there} to train on")
    if trained and run.target.references is not None and run.target.references > there:
        asked_for = f"{key}.target.references asks for {run.target.references} distinct images"
        raise ConfigError(f"{asked_for}, but data.{run.data} has {there} to train on")
    if run.oracle is not None and run.oracle.references > there:
        raise ConfigError(f"{key}.oracle.references is {run.oracle.references}, but data.{run.data} has {there} images to train on")
    asked = (params.schedules[run.schedule].model_extra or {}).get("images", 0)
    if asked > there:
        raise ConfigError(f"schedules.{run.schedule}.images is {asked}, but data.{run.data} has {there} images to train on; lower it")


def _net_fits(net: Net, data: Data, where: str, name: str) -> None:
    """A net must be one for the medium of its data, and its shape must suit theirs."""
    asked = set(registry.arguments("nets.NETS", net.kind))
    for medium, decided in OF_MEDIUM.items():
        if medium != data.medium and asked & decided:
            raise ConfigError(f"{where} is a {net.kind}, a net for {medium}, but data.{name} is {data.medium}; choose another kind")
    if net.kind in CHECKS:
        try:
            CHECKS[net.kind](net.model_extra or {}, data)
        except ValueError as error:
            raise ConfigError(f"{where} {error} of data.{name}") from None


def _resolutions(net: dict[str, Any], data: Data) -> None:
    """Of nets that halve an image: as many halvings as its side allows, attention where there is such a resolution."""
    assert isinstance(data, Images)
    levels = len(net["mult"])
    if data.size % 2 ** (levels - 1):
        raise ValueError(f"has {levels} resolutions in `mult`, which need a multiple of {2 ** (levels - 1)} px, not the {data.size} px")
    sizes = [data.size >> i for i in range(levels)]
    missing = [pixels for pixels in net["attention"] if pixels not in sizes]
    if missing:
        raise ValueError(f"has attention at {missing[0]} px, which is none of the resolutions {', '.join(map(str, sizes))} px")
    heads, attending = net.get("heads", 1), {*net["attention"], sizes[-1]}  # the middle always attends
    channels = [net["width"] * m for m, pixels in zip(net["mult"], sizes, strict=True) if pixels in attending]
    for name, parts in (("heads", heads), ("head_width", net.get("head_width") or 1)):
        if odd := [count for count in channels if count % parts]:
            raise ValueError(f"has {name} = {parts}, which does not divide {odd[0]} channels, for the images")
    groups = net.get("groups") or 1
    if odd := [net["width"] * m for m in net["mult"] if net["width"] * m % groups]:
        raise ValueError(f"has groups = {groups}, which do not divide {odd[0]} channels, for the images")


def _adm(net: dict[str, Any], data: Data) -> None:
    """Of an ADM: as of other nets that halve an image, with its default width of a head."""
    _resolutions({"head_width": registry.defaults("nets.NETS", "adm")["head_width"]} | net, data)


def _pools(net: dict[str, Any], data: Data) -> None:
    """Of VGG: each pooling halves the image."""
    assert isinstance(data, Images)
    pools = net.get("pools", 5)
    if pools > 5:
        raise ValueError(f"has pools = {pools}, but VGG11 has five of them, whatever the size")
    if data.size < 2**pools:
        raise ValueError(f"has pools = {pools}, which need {2**pools} px or more, not the {data.size} px")


def _factors(net: dict[str, Any], data: Data) -> None:
    """Of WaveGrad: what its blocks raise the rate by is a mel frame."""
    assert isinstance(data, Speech)
    factors = net.get("factors", [5, 5, 3, 2, 2])
    lengths = [len(factors), len(net.get("up", [0] * 5)), len(net.get("down", [0] * 5))]
    if len(set(lengths)) > 1:
        raise ValueError(f"has {lengths[0]} factors, {lengths[1]} up and {lengths[2]} down, which need one length, for the speech")
    if math.prod(factors) != data.hop:
        raise ValueError(f"has factors {factors}, which multiply to {math.prod(factors)}, not to the hop of {data.hop} samples")


def _frames(net: dict[str, Any], data: Data) -> None:
    """Of TasNet, which reads waveforms: at least one frame of its encoder."""
    if isinstance(data, Images):
        raise ValueError("is a tasnet, a net for speech, not for the images")
    kernel = net.get("kernel", 16)
    if kernel > data.segment * data.hop:
        raise ValueError(f"has kernel = {kernel}, longer than the training segment of {data.segment * data.hop} samples")


CHECKS: dict[str, Callable[[dict[str, Any], Data], None]] = {
    "unet": _resolutions,
    "ncsnpp": _resolutions,
    "adm": _adm,
    "vgg": _pools,
    "wavegrad": _factors,
    "tasnet": _frames,
}
