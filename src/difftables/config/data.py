"""Models of params.yaml: downloads, data sets and feature networks, and what all models share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from difftables.common import registry
from difftables.common.errors import SCHEMES, nearest

Fraction = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class OneOf:
    """Annotation of a name that must be a key of a dict of variants.  Args: where: e.g. "sampling.rules.RULES"."""

    where: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"enum": registry.names(self.where)}

    def _checked(self, name: str) -> str:
        if name not in registry.names(self.where):
            raise ValueError(f"is {name!r}{nearest(name, registry.names(self.where))}")
        return name


def _some(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("is empty; write at least one, or leave the key out where it has a default")
    return values


def _once(values: list[Any]) -> list[Any]:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"has {twice!r} twice; leave one of them out")
    return values


Some, Once = AfterValidator(_some), AfterValidator(_once)  # of lists: not empty; nothing twice
Seeds = Annotated[list[NonNegativeInt], Some, Once]


class Frozen(BaseModel):
    """Base of all models: immutable, no coercion, no unknown keys, finite numbers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def _fetchable(url: str) -> str:
    """Raise ValueError, which never shows the address, unless it may be fetched."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"has scheme {parts.scheme!r}{nearest(parts.scheme, SCHEMES)}")
    if "@" in parts.netloc:
        raise ValueError("has a user or a password in it; this file is shared and its values end up in logs, so keep them out")
    if not PurePosixPath(parts.path).name:
        raise ValueError("has no file name at its end")
    return url


Url = Annotated[str, AfterValidator(_fetchable)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Download(Frozen):
    """An archive: fetched by a rule, or by hand where its publisher asks for a login."""

    url: Url | None = None
    sha256: Sha256 | None = None  # null: told after the download, which then goes no further
    size: PositiveInt | None = None  # bytes, where the server does not tell them
    by_hand: str | None = None  # where it is to be had
    file: str | None = None  # of `by_hand`: where it is to be put

    @model_validator(mode="after")
    def _one_way(self) -> "Download":
        if (self.url is None) == (self.by_hand is None):
            raise ValueError("has to have either `url` or `by_hand`, a line that tells where it is to be had")
        if (self.by_hand is None) != (self.file is None):
            raise ValueError("has to have `by_hand` and `file`, where it is to be put, together")
        return self

    @property
    def path(self) -> str:
        """Where the archive lies."""
        return self.file or f".cache/downloads/{PurePosixPath(urlsplit(self.url or '').path).name}"

    def folder(self, name: str) -> str:
        """Where it is unpacked: other bytes, another folder.  Args: name: its key."""
        return f".cache/extracted/{name}/{self.sha256[:12] if self.sha256 else 'unchecked'}"


class FetchSpec(Frozen):
    """Of rules download and weights."""

    url: str
    sha256: str | None = None
    size: PositiveInt | None = None


class ExtractSpec(Frozen):
    """Of rule extract."""

    archive: str
    sha256: str | None = None
    by_hand: str | None = None


def _inside(root: str | None, archive: str | None) -> None:
    """Raise ValueError where a root inside an archive is none."""
    path = PurePosixPath(root or "")
    if archive is not None and (path.is_absolute() or ".." in path.parts):
        raise ValueError(f"has root = {root!r}, which is to be a folder inside its archive")


def _reader_takes(data: "Images | Speech", where: str, *optional: str) -> None:
    """Raise ValueError for an option that a reader does not take, which would go unnoticed or stop its job."""
    asked = registry.arguments(where, data.reader)
    for name in optional:
        if getattr(data, name) not in (None, False) and name not in asked:
            raise ValueError(f"has `{name}`, which reader {data.reader} does not take; leave it out")


def _reader_holds(data: "Images | Speech") -> None:
    """Raise ValueError where the numbers of a data set are not those that its reader is known to give."""
    known = registry.constant("data.HOLDS").get(data.reader, {})
    for name, value in known.items():
        if name != "samples" and getattr(data, name) not in (None, value):
            raise ValueError(f"has {name} = {getattr(data, name)}, but reader {data.reader} gives {value}")
    samples = samples_of(data)
    if samples is not None and data.held_out >= samples:
        raise ValueError(f"has held_out = {data.held_out} of {samples} samples, which leaves none to train on; lower it")


def samples_of(data: "Images | Speech") -> int | None:
    """How many samples a data set has, where that is known without reading it; at most its limit."""
    known = [registry.constant("data.HOLDS").get(data.reader, {}).get("samples"), data.limit if isinstance(data, Images) else None]
    return min((count for count in known if count is not None), default=None)


class Images(Frozen):
    """A data set of images and its split."""

    medium: Literal["images"] = "images"
    reader: Annotated[str, OneOf("data.READERS")]
    size: PositiveInt  # px
    channels: Literal[1, 3]
    held_out: PositiveInt  # samples kept from training, for the search and the estimator's error
    seed: NonNegativeInt | None = 0  # of the split; null holds out the last ones, as published test sets lie
    archive: str | None = None  # a key of `downloads`
    root: str | None = None  # of readers of files: where they lie; inside the archive, if there is one
    crop: Annotated[list[PositiveInt], Field(min_length=3, max_length=3)] | None = (
        None  # of `folder`: centre x, centre y, half side in px, before the resize
    )
    filter: Literal["bicubic", "bilinear"] | None = None  # of `folder`, of the resize; null: bicubic
    limit: PositiveInt | None = None  # of `lsun`: only the first so many images, since all are held in memory
    classes: PositiveInt | None = None  # labels 0 .. classes - 1, for runs that are given them
    floor_n: Annotated[int, Field(ge=2)] | None = None  # n of the real-against-real floor, where evaluation.images.n is too many

    @model_validator(mode="after")
    def _files_have_root(self) -> "Images":
        asked = "root" in registry.arguments("data.READERS", self.reader)
        if asked and self.root is None and self.archive is None:
            raise ValueError(f"reader {self.reader} needs `root`, the folder with the images, or `archive`")
        if self.archive is not None and not asked:
            raise ValueError(f"reader {self.reader} reads no `archive`; leave it out")
        _reader_takes(self, "data.READERS", "root", "crop", "filter", "limit")
        _reader_holds(self)
        _inside(self.root, self.archive)
        return self


class Speech(Frozen):
    """A data set of speech, its split, and the mel spectrogram that a vocoder is given."""

    medium: Literal["speech"] = "speech"
    reader: Annotated[str, OneOf("data.SPEECH_READERS")]
    rate: Annotated[int, Field(ge=8000)]  # Hz
    held_out: PositiveInt  # utterances kept from training: the first are for the tables, the last for searches
    seed: NonNegativeInt = 0  # of the split
    archive: str | None = None  # a key of `downloads`
    root: str | None = None  # of `folder` and `ljspeech`: where the recordings lie; inside the archive, if there is one
    sentences: str | None = None  # of `voice`: a text file, a sentence a line
    convert: bool = False  # of `folder`: resample and mix down what has another rate or more channels, in place of refusing it
    fft: PositiveInt  # samples of a Hann window and of its Fourier transform
    hop: PositiveInt  # samples between mel frames
    bands: PositiveInt
    lowest: Annotated[float, Field(ge=0)]  # Hz
    highest: PositiveFloat
    segment: PositiveInt  # mel frames of a training segment
    excerpt: PositiveFloat | None = None  # seconds from the middle of an utterance that are generated and measured; null: all of it

    @model_validator(mode="after")
    def _fits(self) -> "Speech":
        if self.reader == "voice" and self.sentences is None:
            raise ValueError("reader voice needs `sentences`, a text file with a sentence a line")
        if self.reader != "voice" and self.root is None and self.archive is None:
            raise ValueError(f"reader {self.reader} needs `root`, the folder with the recordings, or `archive`")
        if self.reader == "voice" and self.archive is not None:
            raise ValueError("reader voice reads no `archive`; leave it out")
        _reader_takes(self, "data.SPEECH_READERS", "root", "sentences", "convert")
        _reader_holds(self)
        _inside(self.root, self.archive)
        if not self.lowest < self.highest <= self.rate / 2:
            raise ValueError(f"has highest = {self.highest:g} Hz, which is not between lowest and half the rate, {self.rate / 2:g} Hz")
        if self.hop > self.fft:
            raise ValueError(f"has hop = {self.hop}, more than fft = {self.fft}: samples between frames would be lost")
        if self.segment * self.hop < self.fft:
            raise ValueError(f"has a segment of {self.segment * self.hop} samples, shorter than fft = {self.fft}")
        if self.excerpt is not None and self.excerpt * self.rate < self.fft:
            raise ValueError(f"has an excerpt of {self.excerpt * self.rate:g} samples, shorter than fft = {self.fft}")
        if empty := self._empty_bands():
            raise ValueError(f"has {self.bands} bands, of which {empty} hold no frequency of a {self.fft}-point transform; lower `bands`")
        return self

    def _empty_bands(self) -> int:
        """Mel bands without a bin of the Fourier transform inside their triangle; data.mel.mel_filters refuses those."""
        low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (self.lowest, self.highest))
        mels = [low + (high - low) * i / (self.bands + 1) for i in range(self.bands + 2)]
        corners = [700 * (10 ** (mel / 2595) - 1) * self.fft / self.rate for mel in mels]  # in bins
        return sum(math.floor(left) + 1 >= right for left, right in zip(corners[:-2], corners[2:], strict=True))


def _medium(value: Any) -> str:
    """What a data set says it is, or else the medium with more of its keys: one of them may be misspelt."""
    if isinstance(value, Images | Speech):
        return value.medium
    keys = set(value) if isinstance(value, Mapping) else set()
    if keys and value.get("medium") in ("images", "speech"):
        return str(value["medium"])
    images, speech = Images.model_fields.keys(), Speech.model_fields.keys()
    found = Speech if len(keys & (speech - images)) > len(keys & (images - speech)) else Images
    return str(found.model_fields["medium"].default)  # a name written out here would count as the choice of every job


Data = Annotated[Annotated[Images, Tag("images")] | Annotated[Speech, Tag("speech")], Discriminator(_medium)]


def shape_of(data: Images | Speech) -> dict[str, int]:
    """What a data set decides of the nets on it: size, channels and classes (0 where a net receives no labels), or bands and hop."""
    if isinstance(data, Speech):
        return {"bands": data.bands, "hop": data.hop}
    return {"size": data.size, "channels": data.channels, "classes": data.classes or 0}


class Features(Frozen):
    """A feature network for Frechet distance, KID, precision, recall and inception score."""

    net: Annotated[str, OneOf("metrics.features.NETS")]
    pixels: PositiveInt  # side of the network's input
    batch: PositiveInt
    url: Url | None = None
    sha256: str | None = None
