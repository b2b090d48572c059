"""Models of params.yaml: nets, and checkpoints that others trained."""

from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, NonNegativeInt, model_validator

from difftables.common import registry
from difftables.common.errors import nearest
from difftables.config.data import Frozen, OneOf, Sha256, Url


def arguments_fit(given: dict[str, Any], where: str, kind: str, left_out: tuple[str, ...]) -> None:
    """Raise ValueError unless what params.yaml gives fits the arguments of a variant."""
    wanted = {k: v for k, v in registry.arguments(where, kind).items() if k not in left_out}
    for name, value in given.items():
        if name not in wanted:
            raise ValueError(f"has no argument {name!r}{nearest(name, wanted)}")
        if not registry.fits(wanted[name][0], value):
            raise ValueError(f"has {name} = {value!r}, which is no {wanted[name][0]}")
    for name, (_, optional) in wanted.items():
        if not optional and name not in given:
            raise ValueError(f"lacks the argument {name!r}")


NAMED = {  # arguments of nets that name one of a dict
    ("unet", "embedding"): "nets.unet.EMBEDDINGS",
    ("unet", "padding"): "nets.unet.PADDINGS",
}


class Net(BaseModel):
    """A network by its kind; the other keys are arguments of its class or function."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")
    kind: Annotated[str, OneOf("nets.NETS")]

    @model_validator(mode="after")
    def _arguments_fit(self) -> "Net":
        given = self.model_extra or {}
        arguments_fit(given, "nets.NETS", self.kind, registry.SET_BY_DATA)
        for name in ("width", "blocks", "heads", "hidden", "repeats", "mel"):
            if given.get(name, 1) < 1:
                raise ValueError(f"has {name} = {given[name]}, which has to be 1 or more")
        for name in ("mult", "factors", "up", "down"):
            if given.get(name) == []:
                raise ValueError(f"has {name} = [], which has to name at least one")
        if not 0 <= given.get("dropout", 0.0) < 1:
            raise ValueError(f"has dropout = {given['dropout']:g}, which is no probability below 1")
        if not given.get("eps", 1.0) > 0:
            raise ValueError(f"has eps = {given['eps']:g}, which has to be above 0")
        for (kind, name), where in NAMED.items():
            if kind == self.kind and name in given and given[name] not in registry.names(where):
                raise ValueError(f"has {name} = {given[name]!r}{nearest(given[name], registry.names(where))}")
        if given.get("heads", 1) > 1 and given.get("head_width"):
            raise ValueError(f"has heads = {given['heads']} and head_width = {given['head_width']}; set one of them")
        if given.get("kernel", 2) < 2:
            raise ValueError(f"has kernel = {given['kernel']}, whose half is the stride; make it 2 or more")
        return self


class CheckpointNet(Frozen):
    """A run's net in place of its name: the weights of a checkpoint."""

    checkpoint: str


class CheckpointFile(Frozen):
    """A net that others trained: its file, and the net that it is."""

    format: Annotated[str, OneOf("checkpoints.official.READERS")]
    url: Url | None = None
    file: str | None = None  # or folder, of format diffusers
    by_hand: str | None = None  # where the file is to be had, that no rule can fetch
    sha256: Sha256 | None = None  # of the weights' file; null: its job prints it, and goes no further
    net: Net

    @model_validator(mode="after")
    def _one_place(self) -> "CheckpointFile":
        if (self.url is None) == (self.file is None):
            raise ValueError("has to have either `url` or `file`, where its weights are")
        if self.by_hand is not None and self.file is None:
            raise ValueError("has `by_hand` without `file`, where its weights are to be put; write both")
        return self

    def path(self, name: str) -> str:
        """Where its file lies: where its owner put it, or where the rule that downloads it does.  Args: name: its full name."""
        return self.file or f".cache/downloads/{name.replace('/', '-')}-{PurePosixPath(urlsplit(self.url or '').path).name}"


class CheckpointSpec(Frozen):
    """Of rule checkpoint."""

    name: str
    format: str
    file: str | None = None  # of a checkpoint that its user fetched by hand; else it is an input
    by_hand: str | None = None
    sha256: str | None = None
    net: Net
    shape: dict[str, NonNegativeInt]  # of `data.shape_of`
