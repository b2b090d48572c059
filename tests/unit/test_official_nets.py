"""Our nets with the weights of released code return what that code returns, for each sample by itself."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from difftables.checkpoints.convert import architecture, convert
from difftables.diffusion.denoiser import CONDITIONINGS, PRECONDITIONINGS, precondition
from difftables.diffusion.level import Level
from difftables.nets import NETS

FOLDER = Path(__file__).parents[1] / "official_nets"
INDEX = json.loads((FOLDER / "index.json").read_text())["nets"]
PRECONDITIONED = {"EDMPrecond": ("edm", "quarter_log"), "VPPrecond": ("eps", "continuous_time"), "VEPrecond": ("exploding", "log_half")}
# Arguments of forward by their names: the image, the level, then the condition and the augmentation, if any.
X, CONDITION = ("x", "sample", "yn"), ("y", "mels")
LEVEL = ("noise_labels", "timesteps", "timestep", "t", "time_cond", "noise_level", "sigma")


def loaded(name):
    """The state, inputs and outputs of a file."""
    tensors = load_file(FOLDER / f"{name}.safetensors")
    return [{key.removeprefix(part): value for key, value in tensors.items() if key.startswith(part)} for part in ("state.", "in.", "out.")]


def built(name, state):
    """Our net, by what the tensors show, with these weights."""
    entry = INDEX[name]
    chosen = architecture(state, entry["format"], entry["stated"], entry.get("config"))
    net = NETS[chosen["kind"]](**{name: value for name, value in chosen.items() if name != "kind"})
    weights, report = convert(state, entry["format"], net)
    report.require_complete(name)
    net.load_state_dict(weights)
    return net.eval().requires_grad_(False)


def one(inputs, names):
    return next((inputs[name] for name in names if name in inputs), None)


def arguments(inputs):
    """Our net's arguments from those of the released code."""
    condition = one(inputs, CONDITION)
    if "class_labels" in inputs:
        assert torch.equal(inputs["class_labels"].sum(1), torch.ones_like(inputs["class_labels"][:, 0]))
        condition = inputs["class_labels"].argmax(1)
    augment = [inputs["augment_labels"]] if "augment_labels" in inputs else []
    return [one(inputs, X), one(inputs, LEVEL), *([condition] if condition is not None or augment else []), *augment]


def outputs(name, net, inputs, state):
    """What the released code returns, from our net, by the names of its outputs."""
    x, level, *more = arguments(inputs)
    if "sigma" in inputs:
        schedule = Level(torch.ones(2), torch.tensor([1.0, 0.0]))
        for which, (coefficients, conditioning) in PRECONDITIONED.items():
            denoise = precondition(net, PRECONDITIONINGS[coefficients], CONDITIONINGS[conditioning](schedule))
            yield f"denoised_{which}", denoise(x, Level(torch.ones_like(level), level), cond=more[0])
    elif name == "sde_ncsnpp_ve":  # data in 0 .. 1; the net takes the logarithm of sigma and returns the score
        yield "sample", net(2 * x - 1, level.log()) / level[:, None, None, None]
    elif name == "sde_ncsnpp_ve_discrete":
        yield "sample", net(2 * x - 1, level) / state["sigmas"][level][:, None, None, None]
    else:
        yield "noise" if "yn" in inputs else "sample", net(x, level, *more)


@pytest.mark.parametrize("name", INDEX)
def test_ours_is_the_released_net(name):
    state, inputs, wanted = loaded(name)
    net = built(name, state)
    if one(inputs, X).dtype == torch.float64:
        net.double()
    results = dict(outputs(name, net, inputs, state))
    assert results.keys() == wanted.keys()
    for key, result in results.items():
        error = [((a - b).norm() / b.norm()).item() for a, b in zip(result.double(), wanted[key].double(), strict=True)]
        assert len(error) == len(one(inputs, X)) and max(error) < INDEX[name]["tolerance"], (key, error)
