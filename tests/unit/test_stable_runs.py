"""Runs with a stable target, and EDM's, in params.yaml and in training: what is refused, and what n = 1 comes to."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from job_files import changed, run_job

from difftables.common.errors import ConfigError
from difftables.common.files import load_tensors, save_tensors
from difftables.data.image_files import held_out_mask
from difftables.diffusion.level import Level
from difftables.planning import params, plan
from difftables.sampling.rules import RULES
from difftables.sampling.solvers import walk
from difftables.training.targets import field_weights, stable_field, stable_field_official

ROOT = Path(__file__).parents[2]
CHURN = {"amount": 1.0, "lowest": 0.0, "highest": 1.0, "noise": 1.0}


@pytest.fixture
def edited(rewritten, monkeypatch):
    """The plan of params.yaml with some places, "a/b/c", changed, made in the repository's root."""
    monkeypatch.chdir(ROOT)
    return lambda *changes, scale="laptop": plan.Workflow(params.load(rewritten(*changes), scale))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [("stable_target_field/runs/ve-stf/target/references", 63)],
            "runs.ve-stf has target.references = 63, fewer than the batch of 64, which is among them",
        ),
        ([("edm/runs/ve-a/train/distinct", False)], "has target.references, which are drawn without replacement; set train.distinct: true"),
        ([("edm/runs/ve-a/target/references", KeyError)], ".target has one of `kind: stable_field` and `references`"),
        ([("edm/runs/ve-a/target/kind", "clean")], ".target has one of `kind: stable_field` and `references`"),
        ([("edm/runs/ve-a/target/kind", "stable")], "did you mean 'stable_field'"),
        ([("edm/runs/vp-f/target", {"references": 256})], "set augment to 0, or target.kind to stable_field_official"),
        ([("edm/runs/vp-f/train/augment", 1.5)], "runs.vp-f.train.augment"),
        ([("edm/nets/ddpmpp-augmented/augment", 0)], "runs.vp-f.train.augment"),
        ([("edm/runs/ve-a/corruption", "blur")], "target stable_field"),
        (
            [
                ("stable_target_field/runs/ve-stf/condition_on", "labels"),
                ("stable_target_field/runs/ve-stf/target/references", 19),
                ("edm/runs/ve-a/train/batch", 16),
            ],
            "runs.ve-stf has target.references = 19 for 10 classes, fewer than two of a class on average",
        ),
        ([("edm/samplers/heun/solver/rule", "ddpm-small")], "samplers.heun.solver.rule is no known key"),
        ([("edm/samplers/heun/solver/chrn", {})], "samplers.heun.solver.chrn is no known key; did you mean 'churn'?"),
        ([("edm/samplers/heun/solver/kind", "huen")], "samplers.heun.solver.kind is 'huen'; did you mean 'heun'?"),
        ([("edm/samplers/heun/solver/kind", KeyError)], "samplers.heun.solver.kind is missing"),
        (
            [("noise_estimation/samplers/ddim-fitted/solver/rule", "dimm")],
            "samplers.ddim-fitted.solver.rule is 'dimm'; did you mean 'ddim'?",
        ),
        ([("noise_estimation/samplers/ddim-strided/solver/rule", KeyError)], "samplers.ddim-strided.solver.rule is missing"),
        ([("stable_target_field/samplers/rk45-ve/steps", [2])], "samplers.rk45-ve has solver rk45"),
        (
            [("stable_target_field/samplers/rk45-ve/solver/path", "linear")],
            "samplers.rk45-ve.solver follows path linear, but run 'edm/ve-a' was trained on schedule family 'exploding'",
        ),
        ([("stable_target_field/samplers/pc/solver/churn", {})], "samplers.pc.solver.churn is no known key"),
        ([("edm/samplers/churn-vp/solver/churn/amount", 0.0)], "samplers.churn-vp.solver.churn.amount"),
        ([("soft_diffusion/samplers/momentum/solver", {"kind": "heun"})], "samplers.momentum has solver heun"),
        (
            [("soft_diffusion/samplers/momentum/solver", {"kind": "predictor-corrector", "rule": "momentum", "snr": 0.1})],
            "has solver predictor-cor",
        ),
        (
            [
                ("noise_estimation/samplers/ddim-adjusted/solver", {"kind": "rk45", "path": "linear"}),
                ("noise_estimation/samplers/ddim-adjusted/steps", [1]),
            ],
            "has adapt",
        ),
        (
            [
                ("noise_estimation/samplers/ddim-searched/solver", {"kind": "rk45", "path": "linear"}),
                ("noise_estimation/samplers/ddim-searched/steps", [1]),
            ],
            "'searched'",
        ),
        ([("noise_estimation/samplers/ddim-adjusted/solver/churn", CHURN)], "samplers.ddim-adjusted has adapt: estimator"),
        ([("noise_estimation/samplers/ddim-frozen/solver/churn", CHURN)], "samplers.ddim-frozen adjusts its levels sample by sample"),
        ([("noise_estimation/samplers/ddim-strided/solver/rule", "ddpm-learned")], "samplers.ddim-strided.solver reads the variance"),
        (
            [("edm/samplers/euler-ve/schedule", "fitted")],
            "samplers.euler-ve fits rates of a variance-preserving schedule",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_before_any_job(edited, changes, message):
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
        edited(*changes)
    assert message in str(error.value)


def described(monkeypatch, run, *keys):
    """Parts of a run of params.yaml, as its training is told them."""
    monkeypatch.chdir(ROOT)
    spec = plan.read("laptop").written_spec("train", run, "0")["run"]
    return [spec[key] for key in keys]


def fit(tmp_path, monkeypatch, name, **changes):
    """Train a run of params.yaml for six steps on 100 made-up images: its weights and what it cost."""
    monkeypatch.chdir(ROOT)
    spec = plan.read("laptop").train_spec("edm/ve-a", "0")
    short = {"steps": 6, "batch": 8, "warmup": 2, "save_every": 100, "checkpoints": []}
    data = {"data": {"reader": "folder", "root": "images", "classes": changes.pop("classes", None)}}
    spec = changed(spec, {"run": changes | data | {"train": changes.get("train", {}) | short}})
    monkeypatch.chdir(tmp_path)
    images = torch.randint(256, (110, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(110) // 50  # the last 10 are of class 2
    held = held_out_mask(110, 10, 0) if spec.run.data.classes is None else torch.arange(110) >= 101
    save_tensors(Path("data.safetensors"), {"images": images, "labels": labels, "held_out": held}, {"kind": "data"})
    job = run_job("train", spec, {"data": "data.safetensors"}, {out: f"{name}.{out}" for out in ("net", "curve")})
    return load_tensors(Path(f"{name}.net"), "net")[0], job.cost["training"]


def test_one_reference_trains_to_the_bits_of_denoising_score_matching(tmp_path, monkeypatch):
    usual, _ = fit(tmp_path, monkeypatch, "usual", target={"kind": "clean"})
    single, cost = fit(tmp_path, monkeypatch, "single", target={"kind": "stable_field", "references": 1})
    many, told = fit(tmp_path, monkeypatch, "many", target={"kind": "stable_field", "references": 64})
    assert all(torch.equal(usual[key], single[key]) for key in usual)
    assert not all(torch.equal(usual[key], many[key]) for key in usual)
    assert "target_share" not in cost
    assert 0 < told["target_share"] < 1


def test_an_augmented_run_is_trained_and_told(tmp_path, monkeypatch):
    net, training = described(monkeypatch, "edm/ve-f", "net", "train")
    usual, _ = fit(tmp_path, monkeypatch, "usual", net=net, train=training | {"augment": 0.0})
    moved, _ = fit(tmp_path, monkeypatch, "moved", net=net, train=training | {"augment": 0.5})
    assert moved["augment.weight"].shape[1] == 9
    assert not torch.equal(usual["augment.weight"], moved["augment.weight"])
    assert not torch.equal(usual["inlet.weight"], moved["inlet.weight"])


def test_a_class_with_one_image_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="class 2 has 1 training images, too few to be references"):
        fit(tmp_path, monkeypatch, "few", classes=3, target={"kind": "stable_field", "references": 32})


def test_more_references_than_images_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="101 distinct images are asked for, but only 100 are there to train on; lower `references`"):
        fit(tmp_path, monkeypatch, "many", target={"kind": "stable_field", "references": 101})


def test_no_noise_is_refused():
    level = Level.variance_exploding(torch.tensor([0.5, 0.0]))
    with pytest.raises(ValueError, match="a sample has sigma = 0"):
        field_weights(torch.zeros(2, 3), level, torch.zeros(4, 3))


def test_the_official_target_is_ours_but_for_classes():
    stream = torch.Generator().manual_seed(0)
    references, noise = torch.rand(40, 6, generator=stream) * 2 - 1, torch.randn(8, 6, generator=stream)
    alpha = torch.linspace(0.3, 0.9, 8).double()
    level = Level(alpha, (1 - alpha**2).sqrt())
    x = level.like(noise).alpha * references[:8] + level.like(noise).std * noise
    ours = stable_field(x, level, references[:8], references)
    torch.testing.assert_close(stable_field_official(x, level, references[:8], references), ours, rtol=1e-4, atol=1e-5)
    labels = torch.arange(40) % 2
    same = labels[:8, None] == labels
    exact = stable_field(x, level, references[:8], references, same)
    assert not torch.allclose(stable_field_official(x, level, references[:8], references, same), exact, atol=1e-2)


def test_euler_maruyama_removes_what_the_slope_at_the_start_says():
    """VE: c = sigma^2 log 4 for a step to half of sigma; VP in x / alpha: c = (1 + sigma^2) log((1 + sigma^2) / (1 + sigma'^2))."""
    a, b = RULES["euler-maruyama"](*(Level.variance_exploding(torch.tensor([s])) for s in (2.0, 1.0)))
    c = 4 * torch.tensor(4.0).double().log()
    torch.testing.assert_close(torch.stack([a, b]).flatten(), torch.stack([2 - c / 2, c.sqrt()]))
    now, nxt = (Level.variance_preserving(torch.tensor([x])) for x in (0.2, 0.5))  # sigma^2 = 4, then 1
    a, b = RULES["euler-maruyama"](now, nxt)
    c = 5 * torch.tensor(2.5).double().log()
    torch.testing.assert_close(torch.stack([a, b]).flatten(), nxt.alpha * torch.stack([2 - c / 2, c.sqrt()]))
    assert [value.item() for value in RULES["euler-maruyama"](now, Level.clean())] == [0.0, 0.0]


@pytest.mark.parametrize("kind", ["exploding", "preserving"])
def test_euler_maruyama_reaches_gaussian_data(kind):
    """Data N(0, 1/4): the exact denoiser, 400 steps, and a standard deviation of 0.5 within two percent."""
    sigma = torch.logspace(1.5, -2, 400, dtype=torch.float64)
    levels = Level.variance_exploding(sigma) if kind == "exploding" else Level.variance_preserving(1 / (1 + sigma**2))
    schedule = Level(*(torch.cat([getattr(levels, name), getattr(Level.clean(), name)]) for name in ("alpha", "std")))
    stream = torch.Generator().manual_seed(0)

    def denoise(x, level):
        return x / level.alpha * 0.25 / (0.25 + level.sigma**2)

    def randn(x):
        return torch.randn(x.shape, generator=stream, dtype=x.dtype)

    x = (schedule.alpha[0] * 0.25**0.5) * randn(torch.zeros(20000, 1).double()) + schedule.std[0] * randn(torch.zeros(20000, 1).double())
    found = walk(
        x,
        schedule,
        denoise=denoise,
        corrupt=lambda x, level: level.alpha * x,
        rule="euler-maruyama",
        noisy_end=False,
        churn=None,
        randn=randn,
    )
    assert found.std().item() == pytest.approx(0.5, rel=0.02)


def test_many_references_of_large_images_fit_into_memory():
    """64 samples, 4096 references, 3 x 32 x 32 numbers each: less than 1 GB beside them."""
    code = "import sys; sys.path.insert(0, 'tests'); from bench.stable_target import memory; print(memory())"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 <= int(found.stdout) < 1e9
