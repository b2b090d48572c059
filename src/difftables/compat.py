"""Makes torchvision importable beside a CPU build of torch.

The default torchvision wheel is a CUDA build; beside a CPU torch its own operators do not load, and `import torchvision`
fails on the missing `nms`. Declaring that operator first is enough, since nothing here calls it.
"""

import torch

_declared: list[torch.library.Library] = []  # a Library that is collected takes its operators with it


def torchvision_operators() -> bool:
    """Declare what `import torchvision` looks for, if its own library cannot. Returns whether it was needed."""
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
