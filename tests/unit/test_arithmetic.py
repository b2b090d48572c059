import ast
import re
from pathlib import Path

from difftables.common.arithmetic import sum_in_order

ROOT = Path(__file__).parents[2]


def test_every_python_rounds_each_step():
    """Ten times 0.1 is one ulp short of 1 when each addition is rounded; the built-in sum of Python 3.12 says 1."""
    assert sum_in_order([0.1] * 10) == 1 - 2**-53
    assert sum_in_order(iter([1e16, 1.0, -1e16])) == 0.0
    assert sum_in_order([]) == 0.0


def means_by_the_builtin(source):
    """Lines where sum(...) is divided by something."""
    divisions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    return [node.lineno for node in divisions if re.search(r"(?<!\.)\bsum\(", ast.unparse(node.left))]


def test_no_mean_is_taken_with_the_builtin_sum():
    assert means_by_the_builtin("a = 1\nb = 2 * sum(x) / len(x)") == [2]
    assert means_by_the_builtin("b = x.sum() / sum_in_order(x)") == []
    found = {str(path): means_by_the_builtin(path.read_text()) for path in (ROOT / "src/difftables").rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}
