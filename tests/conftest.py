import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def training():
    """The DDPM training schedule of the papers."""
    from difftables import schedules

    return schedules.from_betas(schedules.linear(1000, 1e-4, 0.02))
