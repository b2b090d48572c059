import multiprocessing
import tempfile
import time

import pytest
import torch

from difftables.common import device
from difftables.config.run import Execution
from difftables.nets.execution import executed


def test_without_cuda_or_without_asking_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose(1) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose(0) == torch.device("cpu")


def test_tf32_is_off_unless_a_run_asks_for_it():
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    try:
        for flag in flags:
            flag.allow_tf32 = True
        device.choose(0)
        assert [flag.allow_tf32 for flag in flags] == [False, False]
        executed(torch.nn.Identity(), Execution(layout="channels_last"))
        assert [flag.allow_tf32 for flag in flags] == [False, False]
        executed(torch.nn.Identity(), Execution(tf32=True))
        assert [flag.allow_tf32 for flag in flags] == [True, True]
    finally:
        device.choose(0)


def test_two_local_jobs_get_two_cards(monkeypatch, tmp_path):
    """Each request has a lock of its own, so a second one in the same process meets the first as another process would."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(device, "_held", [])
    assert [device.choose(1), device.choose(1)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    device._held[0].release()  # the first job ends
    assert device.choose(1) == torch.device("cuda", 0)


def test_a_killed_job_leaves_its_card_to_the_next(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(device, "_held", [])
    child = multiprocessing.get_context("fork").Process(target=lambda: (device._locked("0"), (tmp_path / "up").touch(), time.sleep(60)))
    child.start()
    while not (tmp_path / "up").exists():
        time.sleep(0.01)
    assert not device._locked("0")
    child.kill()
    child.join()
    assert device._locked("0")


def test_two_slurm_jobs_do_not_wait_for_each_other(monkeypatch, tmp_path):
    """Each has a card of its own, which both call 0; within one of them two jobs still take turns."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "_held", [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(device.time, "sleep", lambda _: pytest.fail("it waits"))
    for job in ("7", "8"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        assert device.choose(1) == torch.device("cuda", 0)
    assert not device._locked("0")


def test_processes_of_one_job_take_the_card_of_their_rank_and_the_first_holds_all(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "_held", [])
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,2,3")
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert device.choose(2) == torch.device("cuda", 1) and not device._held
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert device.choose(2) == torch.device("cuda", 0)
    assert [lock.lock_file for lock in device._held] == [str(tmp_path / f"difftables-gpu-{name}.lock") for name in (2, 5)]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ValueError, match=r"4 .* 3.*resources\.processes"):
        device.choose(4)
