"""The profiles of clusters: Snakemake and the executors know every line of them, and plan what the default one plans."""

import importlib.util
import re

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

CLUSTERS = ("slurm", "kubernetes")
# Only who uses Kubernetes installs its storage; without one the executor refuses to plan.
STORAGE = pytest.mark.skipif(not importlib.util.find_spec("snakemake_storage_plugin_fs"), reason="needs snakemake-storage-plugin-fs")


def read(checkout, name):
    return yaml.safe_load((checkout.path / "profiles" / name / "config.yaml").read_text())


@pytest.mark.parametrize("name", CLUSTERS)
def test_what_makes_a_finished_run_known_holds_in_every_profile(untouched, name):
    """A workflow profile stands in place of the default one, and is not added to it."""
    default, cluster = read(untouched, "default"), read(untouched, name)
    assert default["max-checksum-file-size"] == 10**15 and default["rerun-incomplete"] is True
    assert {key: cluster.get(key) for key in default if key != "cores"} == {key: default[key] for key in default if key != "cores"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_key_is_an_option_and_arrives_at_the_executor(untouched, name):
    path = untouched.path / "profiles" / name
    args = get_argument_parser(profiles=[str(path)]).parse_args([])
    assert args.executor == name and args.max_checksum_file_size == 10**15 and args.rerun_incomplete
    settings = ExecutorPluginRegistry().get_plugin(name).get_settings(args)
    if name == "slurm":
        assert settings.no_requeue and str(settings.logdir) == ".snakemake/slurm_logs"
    else:
        assert [str(each.path) for each in settings.persistent_volumes] == ["/mnt/difftables", "/workdir/.cache"]


def test_the_plan_through_slurm_is_the_plan_without(untouched, smoke, finished):
    found = untouched.snakemake("-n", "--workflow-profile", "profiles/slurm").text
    assert jobs(found) == jobs((smoke / "log").read_text())
    assert re.search(r"resources:.* runtime=30, nodes=1, gpu=0, launch=python", found)


@STORAGE
def test_the_plan_through_kubernetes_is_the_plan_without(fresh, smoke, finished):
    """Its storage here is the folder itself, as on a cluster."""
    found = fresh.snakemake("-n", "--workflow-profile", "profiles/kubernetes", "--default-storage-prefix", f"{fresh.path}/").text
    assert jobs(found) == jobs((smoke / "log").read_text())


def jobs(text):
    """By rule; a dry run prints them twice."""
    return dict(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))
