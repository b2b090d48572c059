"""Nets of others as runs: what they predict, the levels they receive, and the samples drawn from them."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import difftables
from difftables import find_schedule, from_diffusers, levels, load, sample, score, wrap
from difftables.config.solvers import Heun
from difftables.diffusion.level import Level

ROOT = Path(__file__).parents[2]
STD = 0.5  # of the data, one Gaussian
SHAPE = (1, 2, 2)
BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
ALPHA_BAR = (1 - BETAS).cumprod(0)


def exact(x, alpha, std):
    """E[x0 | x] of data N(0, STD^2): alpha STD^2 x / (alpha^2 STD^2 + std^2)."""
    return alpha * STD**2 * x / (alpha**2 * STD**2 + std**2)


def broadcast(values):
    return values[:, None, None, None]


def net_of_timesteps(predicts):
    """The exact net of the Gaussian under BETAS, by what it predicts."""

    def net(x, t):
        assert t.dtype == torch.int64
        ab = broadcast(ALPHA_BAR[t]).to(x.dtype)
        alpha, std = ab.sqrt(), (1 - ab).sqrt()
        x0 = exact(x, alpha, std)
        eps = (x - alpha * x0) / std
        return {"x0": x0, "eps": eps, "v": alpha * eps - std * x0}[predicts]

    return net


def net_of_sigma(predicts):
    def net(x, sigma):
        sigma = broadcast(sigma)
        x0 = exact(x, 1.0, sigma)
        return {"x0": x0, "eps": (x - x0) / sigma}[predicts]

    return net


def preserving(predicts="eps", **further):
    return wrap(net_of_timesteps(predicts), SHAPE, predicts=predicts, betas=BETAS, **further)


def exploding(predicts="x0", **further):
    return wrap(net_of_sigma(predicts), SHAPE, predicts=predicts, time="sigma", sigmas=(0.002, 80.0), **further)


def test_importing_the_package_imports_no_torch():
    script = "import sys, difftables; difftables.__version__; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_each_name_is_there():
    for name in difftables.__all__:
        assert callable(getattr(difftables, name))
    with pytest.raises(AttributeError, match="smaple"):
        difftables.smaple  # noqa: B018


@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
def test_each_prediction_is_one_denoiser(predicts):
    """D is E[x0 | x], whatever the net predicts, at all levels of its training."""
    run = preserving(predicts)
    level = run.training[torch.tensor([0, 300, 999])]
    x = torch.randn(3, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = exact(x, broadcast(level.alpha), broadcast(level.std))
    torch.testing.assert_close(run.denoise(x, level), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("predicts", ["eps", "x0"])
def test_a_net_of_sigma_receives_sigma(predicts):
    level = Level.variance_exploding(torch.tensor([0.01, 3.0]))
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = exact(x, 1.0, broadcast(level.std))
    torch.testing.assert_close(exploding(predicts).denoise(x, level), wanted, rtol=1e-9, atol=1e-9)


def test_ddim_shrinks_a_gaussian_by_the_cosines_of_its_angles():
    """With sigma = c tan(theta), a step to theta' multiplies x by cos(theta) / cos(theta') cos(theta - theta'), and the last ends at D."""
    run, sigma = exploding(), torch.tensor([20.0, 3.0, 0.7, 0.1], dtype=torch.float64)
    found = sample(run, seeds=range(3), solver="ddim", schedule=sigma)
    theta = torch.cat([(sigma / STD).atan(), torch.zeros(1, dtype=torch.float64)])
    factor = theta[0].cos() * (theta[:-1] - theta[1:]).cos().prod()
    start = torch.stack([20.0 * _noise(seed) for seed in range(3)])
    torch.testing.assert_close(found.x, factor.float() * start, rtol=1e-5, atol=1e-6)
    assert found.nfe == 4


def _noise(seed):
    from difftables.common.seeds import generator

    return torch.empty(SHAPE).normal_(generator=generator("sample", seed, 0))


def test_a_sample_depends_on_its_own_seed():
    run = preserving()
    settings = {"solver": {"kind": "ddim", "eta": 0.5}, "schedule": "strided", "steps": 4}
    several = sample(run, seeds=[7, (3, 2), 9], batch=2, **settings).x
    for i, seed in enumerate([7, (3, 2), 9]):
        torch.testing.assert_close(sample(run, seeds=[seed], **settings).x[0], several[i], rtol=0, atol=0)
    torch.testing.assert_close(sample(run, seeds=[(7, 0)], **settings).x[0], several[0], rtol=0, atol=0)


def test_samples_are_those_of_the_tables(tmp_path):
    """The same net, sampler and seeds as a job: the same bits."""
    run = preserving("eps")
    from difftables.config.sampling import Sampling

    sampler = Sampling(solver=Heun(kind="heun"), schedule="even", clip=1.0)
    wanted, _ = run.generate([("sample", 4, i) for i in range(5)], sampler, 3, part="test")
    found = sample(run, seeds=[(4, i) for i in range(5)], solver="heun", schedule="even", steps=3, clip=1.0)
    assert torch.equal(found.x, wanted.x)
    assert found.nfe == wanted.nfe == 5


def test_a_solver_may_be_a_name_a_mapping_a_model_or_a_function():
    run = exploding()

    def euler(x, schedule, *, denoise, corrupt, randn):
        for i in range(1, len(schedule)):
            now, nxt = schedule[i - 1], schedule[i]
            ratio = (nxt.sigma / now.sigma).to(x)
            x = ratio * x + (1 - ratio) * denoise(x, now)
        return x

    further = {"seeds": range(2), "schedule": "power-law", "steps": 4}
    heun = [sample(run, solver=each, **further).x for each in ("heun", {"kind": "heun"}, Heun(kind="heun"))]
    assert torch.equal(heun[0], heun[1])
    assert torch.equal(heun[0], heun[2])
    ddim = sample(run, solver="ddim", **further)
    own = sample(run, solver=euler, **further)
    torch.testing.assert_close(own.x, ddim.x, rtol=1e-4, atol=1e-5)
    assert own.nfe == ddim.nfe == 4


def test_a_schedule_may_be_a_name_a_file_a_level_or_sigmas(tmp_path):
    from difftables.diffusion.schedule_file import write_schedules

    run = preserving()
    named = levels(run, "even", 5)
    write_schedules(tmp_path / "mine.csv", {5: named})
    for each in (named, named.sigma, named.sigma[:-1].tolist(), tmp_path / "mine.csv"):
        found = levels(run, each, 5)
        torch.testing.assert_close(found.alpha, named.alpha, rtol=1e-12, atol=0)
        torch.testing.assert_close(found.std, named.std, rtol=1e-12, atol=1e-15)


def test_conditions_go_to_their_samples():
    """A net that predicts its condition: each sample is its own."""

    def net(x, t, cond):
        return broadcast(cond).expand_as(x).to(x)

    run = wrap(net, SHAPE, predicts="x0", betas=BETAS)
    found = sample(run, seeds=range(3), steps=2, cond=torch.tensor([0.1, 0.2, 0.3]), batch=2)
    torch.testing.assert_close(found.x, broadcast(torch.tensor([0.1, 0.2, 0.3])).expand(3, *SHAPE), rtol=0, atol=1e-6)


def test_a_fractional_timestep_lies_between_its_neighbours():
    """Halfway in log sigma between two levels is halfway between their integers; at a level it is the integer."""
    run = wrap(lambda x, t: broadcast(t).expand_as(x).to(x), SHAPE, predicts="x0", betas=BETAS, time="fractional_timestep")
    sigma = run.training.sigma[:-1].flip(0)
    wanted = torch.stack([sigma[0], sigma[400], (sigma[400] * sigma[401]).sqrt(), sigma[999]])
    found = run.denoise(torch.zeros(4, *SHAPE, dtype=torch.float64), Level.variance_preserving(1 / (1 + wanted**2)))
    torch.testing.assert_close(found[:, 0, 0, 0], torch.tensor([0, 400, 400.5, 999], dtype=torch.float64), rtol=0, atol=1e-6)


class Unet:
    """As a unet of diffusers: its output has the prediction as `sample`."""

    def __init__(self, predicts, **config):
        self.net, self.labels = net_of_timesteps(predicts), None
        self.config = {"in_channels": 1, "out_channels": 1, "sample_size": 2} | config

    def __call__(self, x, t, class_labels=None):
        self.labels = class_labels
        return SimpleNamespace(sample=self.net(x, t))


SCHEDULER = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "prediction_type": "epsilon"}


@pytest.mark.parametrize(("predicts", "named"), [("eps", "epsilon"), ("x0", "sample"), ("v", "v_prediction")])
def test_a_unet_with_its_config_samples_as_the_net_itself(predicts, named):
    unet = Unet(predicts)
    pipeline = SimpleNamespace(unet=unet, scheduler=SimpleNamespace(config=SCHEDULER | {"prediction_type": named}))
    further = {"seeds": range(3), "solver": "heun", "schedule": "even", "steps": 4}
    wanted = sample(preserving(predicts), **further)
    for run in (from_diffusers(pipeline), from_diffusers(unet, SCHEDULER | {"prediction_type": named})):
        assert torch.equal(sample(run, **further).x, wanted.x)
    sample(run, cond=torch.tensor([3, 1, 2]), **further)
    assert unet.labels.tolist() == [3, 1, 2]


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_rates_are_those_of_diffusers(name):
    from difftables.metrics.torchvision_stub import torchvision_operators

    torchvision_operators()
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(200, 0.001, 0.02, name)
    run = from_diffusers(Unet("eps"), scheduler)
    theirs = scheduler.alphas_cumprod.double().flip(0)
    torch.testing.assert_close(run.training.alpha_bar[:-1], theirs, rtol=2e-3 if name == "squaredcos_cap_v2" else 2e-5, atol=1e-9)


def test_scores_are_those_of_the_metrics():
    stream = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (24, 1, 8, 8), generator=stream, dtype=torch.uint8)
    found = score(real / 127.5 - 1, real, neighbours=(3,))
    assert found["fd"] == pytest.approx(0, abs=1e-3)
    assert found["precision-k3"] == found["recall-k3"] == 1.0
    darker = score((real / 4).to(torch.uint8), real, metrics=["fd"])
    assert list(darker) == ["fd"]
    assert darker["fd"] > 10 * abs(found["fd"]) + 0.01


def test_the_example_of_the_readme_runs(capsys):
    """Word for word; five Heun steps of an exact denoiser are nine calls, and their digits are close to the data."""
    text = (ROOT / "README.md").read_text().split("```python\n# From Python\n")[1].split("```")[0]
    exec(compile(text, "README.md", "exec"), {})
    shape, nfe, fd = capsys.readouterr().out.rsplit(maxsplit=2)
    assert shape == "torch.Size([200, 1, 8, 8])"
    assert int(nfe) == 9
    assert 0 < float(fd) < 50


WRONG = {
    "a solver": (lambda: sample(preserving(), [0], solver="huen", steps=3), "huen.*'heun'"),
    "an argument": (lambda: sample(preserving(), [0], solver={"kind": "ddim", "etta": 1.0}, steps=3), "etta.*'eta'"),
    "an argument's value": (lambda: sample(preserving(), [0], solver={"kind": "ddim", "eta": 2.0}, steps=3), "eta"),
    "a schedule": (lambda: sample(preserving(), [0], schedule="evn", steps=3), "evn.*'even'"),
    "a setting": (lambda: sample(preserving(), [0], steps=3, clp=1.0), "clp.*'clip'"),
    "no steps": (lambda: sample(preserving(), [0]), "steps="),
    "rising sigmas": (lambda: sample(preserving(), [0], schedule=[1.0, 2.0]), "fall"),
    "no seeds": (lambda: sample(preserving(), [], steps=3), "seeds"),
    "too few conditions": (lambda: sample(preserving(), [0, 1], steps=3, cond=torch.zeros(3)), "cond has 3"),
    "v without betas": (lambda: exploding("v"), "betas="),
    "a prediction": (lambda: preserving("epsilon"), "epsilon.*'eps'"),
    "a time": (lambda: preserving(time="timestp"), "timestp.*'timestep'"),
    "no levels": (lambda: wrap(net_of_sigma("x0"), SHAPE, predicts="x0"), "betas="),
    "two kinds of levels": (lambda: preserving(sigmas=(1.0, 2.0)), "one of betas="),
    "ends that are swapped": (lambda: wrap(net_of_sigma("x0"), SHAPE, predicts="x0", sigmas=(80.0, 0.1)), "lowest"),
    "another shape": (lambda: sample(wrap(lambda x, t: x[:, 0], SHAPE, predicts="eps", betas=BETAS), [0], steps=2), "returned"),
    "a clock of another process": (
        lambda: sample(exploding(), [0], solver={"kind": "in-time", "clock": "linear", "order": 1}, schedule="power-law", steps=3),
        "process",
    ),
    "a step without its variance": (lambda: sample(preserving(), [0], solver="ddpm-learned", steps=2), "variance"),
    "a method": (lambda: find_schedule(preserving(), "serched", 3), "serched.*'searched'"),
    "a method as a schedule": (lambda: sample(preserving(), [0], schedule="searched", steps=3), "find_schedule"),
    "a method without its score": (lambda: find_schedule(preserving(), "searched", 3), "score="),
    "a number of a method": (lambda: find_schedule(preserving(), "gits", 3, strats=9), "strats.*'starts'"),
    "a method of another process": (lambda: find_schedule(exploding(), "frozen", 3), "frozen.*use .*gits"),
    "a method without data": (lambda: find_schedule(preserving(), "klub", 3), "data="),
    "a unet without levels": (lambda: from_diffusers(Unet("eps")), "scheduler"),
    "a scheduler without rates": (lambda: from_diffusers(Unet("eps"), {"_class_name": "EDMEuler", "sigma_min": 0.1}), "EDMEuler.*sigmas="),
    "rates to no signal": (lambda: from_diffusers(Unet("eps"), SCHEDULER | {"rescale_betas_zero_snr": True}), "rescale_betas_zero_snr"),
    "a prediction of diffusers": (lambda: from_diffusers(Unet("eps"), SCHEDULER | {"prediction_type": "flow"}), "flow"),
    "a unet of text": (lambda: from_diffusers(Unet("eps", cross_attention_dim=768), SCHEDULER), "encoder_hidden_states"),
    "a unet of no size": (lambda: from_diffusers(Unet("eps", sample_size=None), SCHEDULER), "shape="),
    "a metric": (lambda: score(torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 8), metrics=["fdd"]), "fdd.*'fd'"),
    "a shape of images": (lambda: score(torch.zeros(4, 64), torch.zeros(4, 64)), r"\[4, 64\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line(name):
    wrong, said = WRONG[name]
    with pytest.raises(ValueError, match=said) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_run_of_the_repository_is_loaded_with_its_net(tmp_path, monkeypatch):
    """Its net's file, written here with random weights: what `load` samples is what a LoadedRun of the plan's spec samples."""
    from difftables.common.files import save_tensors
    from difftables.nets.build import build_net
    from difftables.planning import plan
    from difftables.sampling.loaded_run import load_run

    for name in ("params.yaml", "scales", "workflow"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    name = "improved_ddpm/cosine-hybrid-long"
    with pytest.raises(ValueError, match="snakemake results/smoke/store/nets"):
        load(name, scale="smoke")
    found = plan.read("smoke")
    spec, path = found.evaluated_run(name), Path(found.net_file(name, 0))
    torch.manual_seed(0)
    save_tensors(path, build_net(spec.net, spec.data).state_dict(), {"kind": "net"})
    run = load(name, scale="smoke")
    assert run.training.process == "vp"
    other = load_run(spec, {"net": path}, torch.device("cpu"), 4)
    settings = {"seeds": range(2), "solver": "ddpm-learned", "steps": 2, "clip": 1.0}
    drawn = sample(run, **settings)
    assert torch.equal(drawn.x, sample(other, **settings).x)
    assert drawn.nfe == 2
    with pytest.raises(ValueError, match="cosine-hybrid"):
        load("improved_ddpm/cosine-hybird-long", scale="smoke")
    with pytest.raises(ValueError, match="root"):
        monkeypatch.chdir(tmp_path / "workflow")
        load(name)


def test_a_wrapped_net_samples_by_each_solver_of_its_process():
    """Every solver whose arguments have defaults, on levels of both processes: finite samples, and the calls that its model states."""
    from difftables.config.solvers import MODELS

    drawn = set()
    for run in (preserving(), exploding()):
        for kind, model in MODELS.items():
            required = {name for name, field in model.model_fields.items() if field.is_required()} - {"kind"}
            if required - {"order"}:
                continue
            solver = model(kind=kind, **dict.fromkeys(required, 2))
            if solver.process in (None, run.training.process) and solver.walks and not solver.planned and not solver.chooses:
                found = sample(run, [0, 1], solver=f"{kind}-2" if required else kind, schedule="power-law", steps=6)
                assert torch.isfinite(found.x).all(), kind
                assert solver.calls(6) in (None, found.nfe), kind
                drawn.add(kind)
    assert {"heun", "lms", "dpmpp", "unipc"} <= drawn


DATA = STD * torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(3))
SEARCHES = {
    "klub": {"grid_levels": 15, "curve_samples": 16},
    "gits": {"grid_levels": 15, "starts": 8},
    "dmn": {"solver": "lms-3"},
    "ld3": {"samples": 4, "learned": {"pairs": 4, "batch": 2, "updates": 8, "teacher_steps": 4}},
}


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("make", [preserving, exploding])
def test_a_schedule_is_found_without_the_workflow(method, make):
    """It falls to the clean level, its cost is stated, and it is sampled like any other."""
    run = make(data=DATA)
    found, cost = find_schedule(run, method, 4, **SEARCHES[method])
    assert len(found) == 5
    assert bool((found.sigma[1:] < found.sigma[:-1]).all())
    assert found.std[-1] == 0
    assert cost["network_evaluations"] >= 0
    assert (cost["network_evaluations"] == 0) == (method == "dmn")
    assert sample(run, [0], schedule=found).nfe == 4


def test_no_job_depends_on_it():
    """Neither the package nor the names that the project's root lends it: an edit here runs no job again."""
    from job_files import every_job

    from difftables.planning import plan
    from difftables.provenance import fingerprint

    found = plan.read("smoke")
    jobs = {name[0]: (name[0], found.spec(name[0], *of)) for name, (of, _) in every_job(found).items()}
    assert len(jobs) > 10
    for job in jobs.values():
        walk = fingerprint.walk(*job)
        assert not [module for module in walk.modules if module.startswith("difftables.api")]
        assert not [symbol for symbol in walk.numbers if symbol[0] == "difftables"]
