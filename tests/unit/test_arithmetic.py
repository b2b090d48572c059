from difftables.common.arithmetic import sum_in_order


def test_every_python_rounds_each_step():
    """Ten times 0.1 is one ulp short of 1 when each addition is rounded; the built-in sum of Python 3.12 says 1."""
    assert sum_in_order([0.1] * 10) == 1 - 2**-53
    assert sum_in_order(iter([1e16, 1.0, -1e16])) == 0.0
    assert sum_in_order([]) == 0.0
