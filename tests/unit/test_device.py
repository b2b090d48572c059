import tempfile

import torch

from difftables import device


def test_without_cuda_or_without_asking_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose(1) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose(0) == torch.device("cpu")


def test_two_local_jobs_get_two_cards(monkeypatch, tmp_path):
    """The lock belongs to the open file, so a second request in the same process meets it as another process would."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "_held", [])
    assert [device.choose(1), device.choose(1)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    device._held[0].close()  # the first job ends
    assert device.choose(1) == torch.device("cuda", 0)
