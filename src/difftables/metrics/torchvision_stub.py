"""Import torchvision beside a CPU build of torch.

The default torchvision wheel is a CUDA build; beside a CPU torch its own operators do not load, and `import torchvision`
fails on the missing `nms`. Declaring that operator first is enough, since this project never calls it.

For another operator that it never calls, `import torchvision` imports torch's compiler, which takes longer than most jobs.
"""

import sys
from contextlib import suppress
from types import ModuleType

import torch

_declared: list[torch.library.Library] = []  # kept: a Library that is garbage-collected removes its operators


def torchvision_operators() -> bool:
    """Import torchvision, with its operators declared where its library does not load.  Returns: whether they were declared."""
    needed = _declare()
    if "torchvision" not in sys.modules and "torch._dynamo" not in sys.modules:
        _import_without_compiler()
    return needed


def _import_without_compiler() -> None:
    """Import torchvision with an empty compiler in place of torch's, which later imports still receive."""
    compiler, utils = ModuleType("torch._dynamo"), ModuleType("torch._dynamo.utils")
    utils.is_compile_supported = lambda device: False  # type: ignore[attr-defined]  # all that torchvision.ops.roi_align asks for
    sys.modules.update({"torch._dynamo": compiler, "torch._dynamo.utils": utils})
    try:
        with suppress(ImportError):  # a torchvision that asks for more; `import torchvision` then imports the compiler
            import torchvision  # noqa: F401
    finally:
        for name in ("torch._dynamo", "torch._dynamo.utils"):
            sys.modules.pop(name, None)


def _declare() -> bool:
    if _declared:
        return True
    if _loads():
        return False
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return True


def _loads() -> bool:
    """Whether torchvision's compiled operators load on this machine."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("torchvision")
    for path in Path(spec.origin).parent.glob("_C.*") if spec and spec.origin else []:
        try:
            torch.ops.load_library(str(path))
        except OSError:
            return False
        return True
    return False
