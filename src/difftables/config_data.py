"""Models of params.yaml: data sets and feature networks, and what all models share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    model_validator,
)

from difftables import registry
from difftables.names import nearest

Fraction = Annotated[float, Field(gt=0, lt=1)]
Ratio = Annotated[float, Field(ge=0, lt=1)]


def one_of(where: str) -> AfterValidator:
    """Annotation of a name that must be a key of a dict of variants, e.g. one_of("steps.RULES")."""

    def known(name: str) -> str:
        if name not in registry.names(where):
            raise ValueError(f"is {name!r}{nearest(name, registry.names(where))}")
        return name

    return AfterValidator(known)


class Frozen(BaseModel):
    """Base of all models: immutable, no coercion, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Images(Frozen):
    """A data set of images and its split."""

    medium: Literal["images"] = "images"
    reader: Annotated[str, one_of("data.READERS")]
    size: PositiveInt  # px
    channels: Literal[1, 3]
    held_out: PositiveInt  # samples kept from training, for the search and the estimator's error
    seed: NonNegativeInt = 0  # of the split
    root: str | None = None  # of `folder`: where the images lie
    crop: list[NonNegativeInt] | None = None  # of `folder`: centre x, centre y, half side in px, before the resize
    classes: PositiveInt | None = None  # labels 0 .. classes - 1, for runs that are given them

    @model_validator(mode="after")
    def _folder_has_root(self) -> "Images":
        if self.reader == "folder" and self.root is None:
            raise ValueError("reader folder needs `root`, the folder with the images")
        return self


class Speech(Frozen):
    """A data set of speech, its split, and the mel spectrogram that a vocoder is given."""

    medium: Literal["speech"] = "speech"
    reader: Annotated[str, one_of("data.SPEECH_READERS")]
    rate: Annotated[int, Field(ge=8000)]  # Hz
    held_out: PositiveInt  # utterances kept from training: the first are for the tables, the last for searches
    seed: NonNegativeInt = 0  # of the split
    root: str | None = None  # of `folder` and `ljspeech`: where the recordings lie
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
        if self.reader != "voice" and self.root is None:
            raise ValueError(f"reader {self.reader} needs `root`, the folder with the recordings")
        if not self.lowest < self.highest <= self.rate / 2:
            raise ValueError(f"has highest = {self.highest:g} Hz, which is not between lowest and half the rate, {self.rate / 2:g} Hz")
        if self.hop > self.fft:
            raise ValueError(f"has hop = {self.hop}, more than fft = {self.fft}: samples between frames would be lost")
        if self.segment * self.hop < self.fft:
            raise ValueError(f"has a segment of {self.segment * self.hop} samples, shorter than fft = {self.fft}")
        return self


def _medium(value: Any) -> str:
    """Speech has a rate, images have a size."""
    given = value if isinstance(value, Mapping) else vars(value)
    return given.get("medium") or ("speech" if "rate" in given else "images")


Data = Annotated[Annotated[Images, Tag("images")] | Annotated[Speech, Tag("speech")], Discriminator(_medium)]


class Features(Frozen):
    """A feature network for Frechet distance, KID, precision, recall and inception score."""

    net: Annotated[str, one_of("metrics.features.NETS")]
    pixels: PositiveInt  # side of the network's input
    batch: PositiveInt
    url: str | None = None
    sha256: str | None = None
