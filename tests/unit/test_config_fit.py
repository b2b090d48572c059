"""What belongs together in params.yaml is compared before any job; what does not fit is one line."""

import math
from pathlib import Path

import pytest
import torch

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.config import data as config_data
from difftables.config.params_file import SCALES
from difftables.data import HOLDS
from difftables.data.image_files import SUFFIXES
from difftables.data.mel import mel_filters
from difftables.planning import params, plan

ROOT = Path(__file__).parents[2]
NEW_IMAGES = {"reader": "folder", "size": 8, "channels": 1, "held_out": 4}


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml at scale laptop with some places, "a/b/c", changed."""
    monkeypatch.chdir(ROOT)
    return lambda *changes: plan.Workflow(params.load(rewritten(*changes), "laptop"))


def refused(edited, changes, *words):
    """The plan ends in one line that holds all the words."""
    with pytest.raises(ConfigError) as caught:
        edited(*changes)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        # More held out than there is; the reader is known to hold so many.
        ("data/digits/held_out", 1797, ("data.digits", "held_out = 1797", "1797 samples")),
        ("data/digits/held_out", 5000, ("data.digits", "held_out = 5000", "1797 samples")),
        ("data/voice/held_out", 5000, ("data.voice", "held_out = 5000")),
        # What a reader gives.
        ("data/digits/size", 16, ("data.digits", "size = 16", "8")),
        ("data/digits/channels", 3, ("data.digits", "channels = 3", "1")),
        ("data/digits/classes", 12, ("data.digits", "classes = 12", "10")),
        ("data/digits/root", "my/images", ("data.digits", "`root`", "digits")),
        ("data/voice/convert", True, ("data.voice", "`convert`", "voice")),
        ("data/voice/bands", 300, ("data.voice", "300 bands")),
        ("data/voice/excerpt", 0.01, ("data.voice", "80 samples", "400")),
        ("data/digits", 5, ("data.digits",)),
        ("data/digits/medium", "image", ("data.digits.medium", "'image'", "'images'")),
        # Nets and what they read.
        ("noise_estimation/nets/unet-digits/mult", [1, 2, 2, 2, 2], ("nets.unet-digits", "16 px", "8 px", "data.digits")),
        ("edm/nets/sde-ncsnpp/mult", [1, 1, 1, 1, 1], ("nets.sde-ncsnpp", "16 px", "8 px", "data.digits")),
        ("noise_estimation/nets/unet-digits/attention", [16], ("nets.unet-digits", "16 px", "8, 4 px")),
        ("noise_estimation/nets/unet-digits/heads", 5, ("nets.unet-digits", "heads = 5", "32 channels")),
        ("noise_estimation/nets/unet-digits/head_width", 5, ("nets.unet-digits", "head_width = 5", "32 channels")),
        ("noise_estimation/nets/unet-digits/groups", 5, ("nets.unet-digits", "groups = 5", "16 channels")),
        ("noise_estimation/nets/unet-digits/embedding", "idpm", ("nets.unet-digits", "embedding = 'idpm'", "'iddpm'")),
        ("noise_estimation/nets/unet-digits/padding", "same", ("nets.unet-digits", "padding = 'same'", "symmetric")),
        ("noise_estimation/nets/unet-digits/eps", 0.0, ("nets.unet-digits", "eps = 0")),
        ("noise_estimation/nets/unet-digits/width", 0, ("nets.unet-digits", "width = 0")),
        ("noise_estimation/nets/unet-digits/mult", [], ("nets.unet-digits", "mult = []")),
        ("noise_estimation/nets/unet-digits/dropout", 1.5, ("nets.unet-digits", "dropout = 1.5")),
        ("noise_estimation/nets/unet-digits/dropout", math.inf, ("nets.unet-digits", "dropout = inf")),
        ("noise_estimation/nets/wavegrad-voice/factors", [5, 5, 5], ("nets.wavegrad-voice", "125", "100", "data.voice")),
        ("noise_estimation/nets/wavegrad-voice/up", [96, 64], ("nets.wavegrad-voice", "3 factors", "2 up")),
        ("noise_estimation/runs/digits/estimator/net/pools", 4, ("runs.digits.estimator.net", "pools = 4", "16 px", "8 px")),
        ("noise_estimation/runs/digits/estimator/net/pools", 9, ("runs.digits.estimator.net", "pools = 9")),
        ("noise_estimation/runs/digits/net", "wavegrad-voice", ("nets.wavegrad-voice", "wavegrad", "data.digits")),
        ("noise_estimation/runs/voice/net", "unet-digits", ("nets.unet-digits", "unet", "data.voice")),
        ("noise_estimation/runs/digits/estimator/net", {"kind": "tasnet"}, ("runs.digits.estimator.net", "tasnet", "data.digits")),
        ("noise_estimation/runs/voice/estimator/net/kernel", 1, ("runs.voice.estimator.net", "kernel = 1")),
        ("noise_estimation/runs/voice/estimator/net/kernel", 5000, ("runs.voice.estimator.net", "kernel = 5000", "1200")),
        # Lists that are empty, or name something twice.
        ("evaluation/images/seeds", [], ("evaluation.images.seeds", "empty")),
        ("evaluation/speech/seeds", [], ("evaluation.speech.seeds", "empty")),
        ("noise_estimation/runs/digits/seeds", [], ("runs.digits.seeds", "empty")),
        ("noise_estimation/samplers/wavegrad-full/seeds", [], ("samplers.wavegrad-full.seeds", "empty")),
        ("noise_estimation/samplers/wavegrad-full/steps", [], ("samplers.wavegrad-full.steps", "empty")),
        ("noise_estimation/samplers/ddim-strided/sections", [], ("samplers.ddim-strided.sections", "empty")),
        ("noise_estimation/runs/digits/adjust/update", [], ("runs.digits.adjust.update", "empty")),
        ("evaluation/images/neighbours", [], ("evaluation.images.neighbours", "empty")),
        ("evaluation/images/seeds", [0, 1, 1, 2], ("evaluation.images.seeds", "1 twice")),
        ("evaluation/images/neighbours", [5, 5], ("evaluation.images.neighbours", "5 twice")),
        ("noise_estimation/runs/digits/seeds", [0, 0], ("runs.digits.seeds", "0 twice")),
        ("noise_estimation/tables/T2/steps", [3, 5, 3], ("tables.T2.steps", "3 twice")),
        ("edm/runs/ve-a/train/checkpoints", [100, 200, 100], ("runs.ve-a", "checkpoints", "100 twice")),
        ("evaluation/images/seeds", [0, 1, -2], ("evaluation.images.seeds.2", "-2")),
        # Trainings.
        ("edm/runs/ve-a/train/checkpoints", [100, 200, 900], ("runs.ve-a", ".train", "900", "400 steps")),
        ("noise_estimation/runs/digits/train/warmup", 2000, ("runs.digits.train", "warmup = 2000", "1300 steps")),
        ("noise_estimation/runs/digits/train/lr", math.inf, ("runs.digits.train.lr", "inf")),
        ("noise_estimation/runs/voice/train/flip", True, ("runs.voice.train.flip", "data.voice")),
        ("noise_estimation/runs/voice/estimator/train/distinct", True, ("runs.voice.estimator.train.distinct", "data.voice")),
        ("resources/processes", 3, ("runs.", "batch", "resources.processes = 3")),
        ("stable_target_field/runs/ve-stf/target/references", 2000, ("runs.ve-stf.target.references", "2000", "1437")),
        ("noise_estimation/runs/digits/oracle/references", 2000, ("runs.digits.oracle.references", "2000", "1437")),
        ("soft_diffusion/schedules/blur/images", 2000, ("schedules.blur.images", "2000", "1437")),
        ("improved_ddpm/runs/ensemble/checkpoint_of/edge_fraction", 0.7, ("runs.ensemble.checkpoint_of.edge_fraction", "0.7", "0.5")),
        ("improved_ddpm/runs/cosine-hybrid/train", {"lr": 0.1}, ("runs.cosine-hybrid", "cosine-hybrid-long", "train")),
        (
            "stable_target_field/runs/ve-dsm-half/checkpoint_of/run",
            "ve-dsm-quarter",
            ("runs.ve-dsm-half.checkpoint_of.run", "'ve-dsm-quarter'", "'edm/ve-a'"),
        ),
        # Rows.
        ("noise_estimation/samplers/ddim-adjusted/adapt", "known_mel", ("samplers.ddim-adjusted", "known_mel", "digits")),
        ("noise_estimation/samplers/wavegrad-oracle/adapt", "oracle", ("samplers.wavegrad-oracle", "oracle", "voice")),
        ("edm/samplers/churn-ve/solver/churn/lowest", 2.0, ("samplers.churn-ve", "lowest = 2", "highest = 1")),
        # Measurements.
        ("evaluation/images/n", 1797, ("evaluation.images.n = 1797", "data.digits", "1797")),
        ("evaluation/images/is_splits", 300, ("evaluation.images", "is_splits = 300", "200")),
        ("evaluation/speech/listen", 7, ("evaluation.speech", "listen = 7", "6")),
        ("search/images/decades", [-1.0, -4.0], ("search.images", "[-1.0, -4.0]")),
    ],
)
def test_what_does_not_fit_is_one_line_before_any_job(edited, path, value, words):
    refused(edited, [(path, value)], *words)


def test_an_unknown_key_is_answered_with_the_keys_of_its_own_medium(edited):
    said = refused(edited, [("data/digits/zzz", 1)], "data.digits.zzz")
    assert {"crop", "limit", "channels"} <= set(said.replace(",", " ").split())
    assert not {"hop", "bands", "fft"} & set(said.replace(",", " ").split())
    said = refused(edited, [("data/voice/zzz", 1)], "data.voice.zzz")
    assert {"hop", "bands", "fft"} <= set(said.replace(",", " ").split())
    assert not {"crop", "limit"} & set(said.replace(",", " ").split())
    refused(edited, [("data/digits/chanels", 1)], "data.digits.chanels", "'channels'")
    refused(edited, [("data/images", NEW_IMAGES | {"root": "x", "corp": [1, 1, 1]})], "data.images.corp", "'crop'")


def test_a_misspelt_rate_does_not_turn_speech_into_images(edited):
    refused(edited, [("data/voice/rate", KeyError), ("data/voice/rat", 8000)], "data.voice.rat", "'rate'")


@pytest.mark.parametrize("crop", [[1, 2], [1, 2, 3, 4], [89, 121, 0]])
def test_a_crop_has_a_centre_and_half_a_side(edited, crop):
    refused(edited, [("data/mine", NEW_IMAGES | {"root": "x", "crop": crop})], "data.mine.crop")


def test_files_that_lie_there_are_counted_up_to_what_is_held_out(edited, tmp_path):
    """Only where a run reads them: a folder of the user's own, with as many images as are held out."""
    folder = tmp_path / "images"
    (folder / "a").mkdir(parents=True)
    new = ("data/mine", NEW_IMAGES | {"root": str(folder)})
    edited(new, ("noise_estimation/runs/digits/data", "mine"))  # an empty folder is left to the job, which says so
    for i in range(4):
        (folder / "a" / f"{i}.PNG").touch()
    edited(new)
    refused(edited, [new, ("noise_estimation/runs/digits/data", "mine")], "data.mine", "held_out = 4", "4 samples")
    (folder / "4.jpg").touch()
    edited(new, ("noise_estimation/runs/digits/data", "mine"))


def test_checks_look_only_at_what_some_table_uses(edited):
    """A net that no run has may fit other data."""
    edited(("nets/large", {"kind": "unet", "width": 8, "mult": [1, 2, 2, 2, 2], "blocks": 1, "attention": [16], "dropout": 0.0}))


def test_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("data:\n", "data:\n  voice: {}\n", 1))
    with pytest.raises(ConfigError) as caught:
        params.load(path)
    line = next(i for i, found in enumerate(path.read_text().splitlines(), 1) if found == "  voice:")
    assert "'voice'" in str(caught.value)
    assert f"line {line} " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_readers_hold_is_what_they_give():
    from difftables.data import READERS

    images, labels = READERS["digits"](8, 1)
    known = HOLDS["digits"]
    assert (len(images), images.shape[1], images.shape[2]) == (known["samples"], known["channels"], known["size"])
    assert len(labels.unique()) == known["classes"]
    assert registry.constant("data.HOLDS") == HOLDS
    assert registry.constant("data.image_files.SUFFIXES") == SUFFIXES
    with pytest.raises(LookupError, match="NONE"):
        registry.constant("data.image_files.NONE")


@pytest.mark.parametrize("bands", [20, 40, 44, 45, 46, 47, 48, 60, 64, 80, 100, 128])
@pytest.mark.parametrize(("rate", "fft", "hop"), [(8000, 400, 100), (16000, 256, 64), (22050, 1024, 300)])
def test_empty_bands_are_those_that_the_filters_refuse(bands, rate, fft, hop):
    keys = {"reader": "folder", "root": "x", "rate": rate, "held_out": 2, "fft": fft, "hop": hop, "lowest": 60.0, "highest": rate / 2}
    try:
        mel_filters(rate, fft, bands, 60.0, rate / 2)
        fits = True
    except ValueError:
        fits = False
    try:
        config_data.Speech(**keys, bands=bands, segment=12)
        assert fits
    except ValueError:
        assert not fits


def test_scales_of_params_stay_plans():
    """Nothing of the above refuses what is there."""
    for scale in SCALES:
        assert params.load(ROOT / "params.yaml", scale).scale == scale


# -- data in memory and bad files ----------------------------------------------------------------------------------


@pytest.fixture
def made_up(tmp_path):
    """60 images of 6x6 px with three classes, of which 20 are held out: their file and their data set."""
    from difftables.common.files import save_tensors

    stream = torch.Generator().manual_seed(1)
    tensors = {
        "images": torch.randint(256, (60, 1, 6, 6), dtype=torch.uint8, generator=stream),
        "labels": torch.randint(3, (60,), generator=stream),
        "held_out": torch.randperm(60, generator=stream) < 20,
    }
    save_tensors(tmp_path / "data.safetensors", tensors, {"kind": "data"})
    spec = config_data.Images(reader="folder", root="x", size=6, channels=1, held_out=20, classes=3)
    return tensors, spec, tmp_path / "data.safetensors"


@pytest.mark.parametrize("distinct", [True, False])
def test_batches_are_drawn_from_the_training_part_as_from_a_copy_of_it(made_up, distinct):
    """The numbers, and where their stream stands afterwards, are those of indexing a copy; no copy is kept."""
    from difftables.data.datasets import open_dataset
    from difftables.data.image_files import to_unit

    tensors, spec, path = made_up
    images = open_dataset(spec, path, torch.device("cpu"))
    copy, labels = tensors["images"][~tensors["held_out"]], tensors["labels"][~tensors["held_out"]]
    stream, other = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    which = images.sample_indices(8, stream, distinct)
    expected = torch.randperm(40, generator=other)[:8] if distinct else torch.randint(40, (8,), generator=other)
    assert torch.equal(which, expected)
    x0, found = images.training_images(which, stream, True)
    mirrored = torch.rand(8, generator=other) < 0.5
    assert torch.equal(x0, torch.where(mirrored[:, None, None, None], to_unit(copy[which]).flip(-1), to_unit(copy[which])))
    assert torch.equal(found, labels[which])
    assert torch.equal(stream.get_state(), other.get_state())
    kept = [value for value in vars(images).values() if isinstance(value, torch.Tensor)]
    assert not any(value.dtype == torch.uint8 for value in kept)
    assert all(value.dtype == torch.int64 for value in images.indices.values())


def test_parts_are_those_of_the_mask(made_up):
    from difftables.data.datasets import open_dataset
    from difftables.data.image_files import to_unit

    tensors, spec, path = made_up
    images = open_dataset(spec, path, torch.device("cpu"))
    held = tensors["held_out"]
    assert torch.equal(images.clean(), to_unit(tensors["images"][~held]))
    assert torch.equal(images.clean(count=7), to_unit(tensors["images"][~held][:7]))
    assert torch.equal(images.clean("held_out"), to_unit(tensors["images"][held]))
    for count in (5, 20, 50):
        x0, labels = images.held_out(count)
        assert torch.equal(x0, to_unit(tensors["images"][held][:count]))
        assert torch.equal(labels, tensors["labels"][held][:count])
    unlabelled = open_dataset(spec.model_copy(update={"classes": None}), path, torch.device("cpu"))
    assert unlabelled.held_out(3)[1] is None
    assert unlabelled.shape_and_condition("test", 3) == ((1, 6, 6), None)
