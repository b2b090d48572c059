"""Bad input is one line that names the key and the mend."""

import shutil
from pathlib import Path

import pytest

from difftables.common import registry
from difftables.common.errors import ConfigError
from difftables.config import params_file
from difftables.planning import params, params_files, plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def edited(rewritten):
    """params.yaml with one place, "a.b.c", changed, read at scale laptop."""
    return lambda path, value, scale="laptop": params.load(rewritten((path.replace(".", "/"), value)), scale)


@pytest.mark.parametrize("scale", params_file.SCALES)
def test_all_scales_are_valid(scale):
    assert params.load(ROOT / "params.yaml", scale).scale == scale


@pytest.mark.parametrize(
    ("path", "value", "facts"),
    [
        ("noise_estimation.runs.digits.train.stpes", 5, "runs.digits.train.stpes 'steps'"),
        ("evalation", {}, "'evaluation'"),
        ("noise_estimation.runs.digits.train.lr", KeyError, "runs.digits.train.lr"),
        ("noise_estimation.runs.digits.train.lr", "1e-4", "1e-4 0.0001"),
        ("noise_estimation.runs.digits.train.steps", "many", "runs.digits.train.steps 'many'"),
        ("noise_estimation.runs.digits.train.steps", 0, "runs.digits.train.steps 0"),
        ("noise_estimation.tables.T2.steps", [3, -5], "tables.T2.steps.1 0 -5"),
        ("noise_estimation.tables.T2.steps", [0], "tables.T2.steps.0"),
        ("noise_estimation.tables.T2.steps", [3, 2000], "T2.steps 2000 'digits' 1000"),
        ("scale", "laptp", "'laptp' 'laptop'"),
        ("noise_estimation.samplers.ddim-fitted.solver.rule", "ddmi", "samplers.ddim-fitted.solver.rule 'ddmi' 'ddim'"),
        (
            "noise_estimation.samplers.ddim-fitted.schedule",
            "fited",
            "samplers.ddim-fitted 'fited' 'fitted'",
        ),
        ("noise_estimation.samplers.ddim-fitted.schedule", "none.csv", "samplers.ddim-fitted.schedule none.csv"),
        ("noise_estimation.samplers.ddim-fitted.adapt", "orcale", "samplers.ddim-fitted.adapt 'orcale' 'oracle'"),
        ("noise_estimation.runs.digits.data", "digit", "runs.digits.data 'digit' 'digits'"),
        ("data.digits.reader", "mnist", "data.digits.reader 'mnist'"),
        ("noise_estimation.nets.unet-digits.kind", "unett", "nets.unet-digits.kind 'unett' 'unet'"),
        ("noise_estimation.nets.unet-digits.widht", 3, "nets.unet-digits 'widht' 'width'"),
        ("noise_estimation.nets.unet-digits.width", "wide", "nets.unet-digits width 'wide'"),
        ("noise_estimation.nets.unet-digits.dropout", KeyError, "nets.unet-digits 'dropout'"),
        ("noise_estimation.runs.digits.weight", "epsilon", "runs.digits.weight 'epsilon' 'eps'"),
        ("noise_estimation.schedules.ddpm.last", 1.5, "schedules.ddpm last 1.5"),
        ("evaluation.images.n", 60, "evaluation.images kid_subset_size 100 n 60"),
        ("evaluation.images.seeds", [0], "evaluation.images.seeds"),
        ("evaluation.speech.seeds", [0], "evaluation.speech.seeds"),
        ("evaluation.speech.n", 30, "data.voice.held_out 32 30"),
        ("data.voice.reader", "voise", "data.voice.reader 'voise' 'voice'"),
        ("data.voice.sentences", KeyError, "data.voice `sentences`"),
        ("data.voice.reader", "folder", "data.voice `root`"),
        ("data.voice.highest", 8000.0, "data.voice highest 8000 4000"),
        ("data.voice.hop", 500, "data.voice hop 500 fft 400"),
        ("data.voice.segment", 2, "data.voice 200 fft 400"),
        ("data.voice.hopp", 1, "data.voice.hopp 'hop'"),
        ("search.speech.grid", "lader", "search.speech.grid 'lader' 'ladder'"),
        (
            "noise_estimation.tables.T2.run",
            "digts",
            "tables.T2.run 'digts' 'digits'",
        ),
        ("smok:evaluation", {}, "scales/smok.yaml 'smok' 'smoke'"),
        ("smok:edm.runs", {}, "workflow/papers/edm/params.smok.yaml 'smok' 'smoke'"),
        ("edm.smaplers", {}, "workflow/papers/edm/params.yaml 'samplers'"),
        ("edm.page", "first", "workflow/papers/edm/params.yaml 'first'"),
    ],
)
def test_mistakes_are_one_line_with_the_mend(edited, path, value, facts):
    with pytest.raises(ConfigError) as error:
        edited(path, value, None if path == "scale" else "laptop")
    assert [fact for fact in facts.split() if fact not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_files_that_are_no_params(tmp_path):
    for text in ("a: [", ""):
        (tmp_path / "p.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"p\.yaml"):
            params.load(tmp_path / "p.yaml")
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        params.load(tmp_path / "none.yaml")


def test_overrides_of_a_scale_are_merged_key_by_key():
    base, other = {"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 4}
    assert params_files.merge(base, other) == {"a": {"b": 1, "c": [3]}, "d": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}}


def test_names_come_from_the_dicts_of_variants():
    from difftables.nets import NETS
    from difftables.sampling.rules import RULES

    assert registry.names("sampling.rules.RULES") == list(RULES)
    assert registry.names("nets.NETS") == list(NETS)
    assert registry.arguments("nets.NETS", "vgg") == {"channels": ("int", False), "width": ("int", False), "pools": ("int", True)}
    with pytest.raises(LookupError, match=r"sampling\.rules\.NONE"):
        registry.names("sampling.rules.NONE")


def test_tables_that_params_or_layouts_do_not_know(edited, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    for path, value, facts in (
        ("noise_estimation.tables.T9", {"run": None, "steps": []}, "tables.T9"),
        ("tables.noise_estimaton", {}, "'noise_estimation'"),
        ("noise_estimation.samplers.ddim-oracle", KeyError, "ddim-oracle 'ddpm-oracle'"),
    ):
        with pytest.raises(ConfigError, match=r"^[^\n]*$") as error:
            plan.Workflow(edited(path, value))
        assert [fact for fact in facts.split() if fact not in str(error.value)] == []


def test_a_bad_schedule_file_is_named_before_any_job(edited, monkeypatch, tmp_path):
    shutil.copytree(ROOT / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    for text, facts in (
        ("beta\n0.1\n1.5\n0.2\n", "mine.csv beta_1 1.5"),
        ("beta\n0.1\n0.5\n", "mine.csv 3"),
    ):
        Path("mine.csv").write_text(text)
        with pytest.raises(ConfigError) as error:
            plan.Workflow(edited("noise_estimation.samplers.ddim-fitted.schedule", "mine.csv"))
        assert [fact for fact in facts.split() if fact not in str(error.value)] == []


def test_a_change_reaches_only_the_specs_that_read_it(edited, monkeypatch):
    """What a job is told decides what re-runs: each number belongs to the jobs that use it."""
    monkeypatch.chdir(ROOT)

    def specs(p):
        return {
            "train": p.train_spec("noise_estimation/digits", "0"),
            "estimator": p.train_estimator_spec("noise_estimation/digits", "0"),
            "strided": p.sample_spec("noise_estimation/digits", "ddim-strided"),
            "fitted": p.sample_spec("noise_estimation/digits", "ddim-fitted"),
            "adjusted": p.sample_spec("noise_estimation/digits", "ddim-adjusted"),
            "oracle": p.sample_spec("noise_estimation/digits", "ddim-oracle"),
            "searched": p.search_spec("noise_estimation/digits", "ddim-searched"),
            "frozen": p.search_spec("noise_estimation/digits", "ddim-frozen"),
            "measure": p.measure_spec("noise_estimation/digits", "0", "noise_estimation/ddim-fitted"),
            "errors": p.errors_spec("noise_estimation/digits", "0"),
        }

    before = specs(plan.Workflow(params.load(ROOT / "params.yaml", "laptop")))
    for path, value, expected in (
        ("noise_estimation.runs.digits.train.lr", 0.01, {"train"}),
        ("noise_estimation.runs.digits.estimator.train.lr", 0.01, {"estimator"}),
        ("noise_estimation.runs.digits.adjust.mode", "taylor", {"adjusted", "frozen", "oracle"}),
        ("noise_estimation.runs.digits.oracle.levels", 13, {"oracle", "errors"}),
        ("search.images.budget", 99999, {"searched"}),
        ("search.speech.budget", 99999, set()),
        ("evaluation.images.neighbours", [3, 5, 7], {"measure"}),
        ("evaluation.speech.n", 5, set()),
        ("noise_estimation.samplers.ddim-searched.clip", 2.0, {"searched"}),
        ("evaluation.images.error_n", 77, {"errors"}),
    ):
        after = specs(plan.Workflow(edited(path, value)))
        assert {name for name in before if before[name] != after[name]} == expected, path


def test_speech_jobs_are_told_their_own_numbers(edited, monkeypatch):
    """Steps, seeds and family of a sampler stand in place of the table's, the evaluation's and the run's."""
    monkeypatch.chdir(ROOT)
    p = plan.Workflow(params.load(ROOT / "params.yaml", "laptop"))
    assert p.sample_spec("noise_estimation/voice", "wavegrad-full").steps == [1000]
    assert p.sample_spec("noise_estimation/voice", "wavegrad-full").seeds == [0]
    assert p.sample_spec("noise_estimation/voice", "wavegrad-linear").seeds == [0, 1, 2]
    assert p.sample_spec("noise_estimation/voice", "wavegrad-adjusted-fibonacci").run.adjust.family == "fibonacci"
    assert p.search_spec("noise_estimation/voice", "wavegrad-searched").steps == [6]
    assert p.measure_spec("noise_estimation/voice", "0", "noise_estimation/wavegrad-linear").features is None
    assert p.errors_spec("noise_estimation/voice", "0").estimates == ["estimator", "known_mel"]
    assert p.data_inputs("voice") == {"sentences": ["workflow/speech/sentences.txt"]}
    changed = plan.Workflow(edited("data.voice.excerpt", 0.5))
    assert changed.sample_spec("noise_estimation/digits", "ddim-fitted") == p.sample_spec("noise_estimation/digits", "ddim-fitted")
    assert changed.train_spec("noise_estimation/voice", "0") != p.train_spec("noise_estimation/voice", "0")


def test_a_sampler_with_more_steps_than_training_is_named_before_any_job(edited, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match=r"samplers\.wavegrad-full\.steps.* 1000 .*'voice'"):
        plan.Workflow(edited("noise_estimation.samplers.wavegrad-full.steps", [1001]))


def test_the_study_of_robustness_adjusts_in_the_family_of_its_row(edited, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = plan.Workflow(edited("noise_estimation.samplers.wavegrad-adjusted.family", "fibonacci")).robustness_spec(
        "noise_estimation/voice", "0"
    )
    assert {s.family for s in found.samplers} == {"fibonacci"}


def test_a_data_set_with_few_images_has_a_floor_of_its_own(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = plan.read("paper")
    assert found.reference_spec("ffhq").evaluation.n == 50000
    assert found.reference_spec("afhqv2").evaluation.n == 7900 < 15803 / 2
    assert found.data_spec("afhqv2").data.floor_n is None  # which is read, and trained on, all the same
