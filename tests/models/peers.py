"""The same networks in PyTorch: our own files, with only their imports changed, which is the promise we make to users.

In: the name of a network. Out: the class or function of that name, built of `torch.nn`. That the networks are the
published ones is held by their sizes and the names of their layers (test_sizes.py).
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import thalweg.models

CHANGED = {
    "from thalweg import nn": "from torch import nn",
    "from thalweg.nn import functional as F": "from torch.nn import functional as F",
    "from thalweg.nn import init": "from torch.nn import init",
    "from thalweg.tensor import Tensor": "from torch import Tensor",
    "from thalweg.tensor.methods import functions": "import torch; functions = {'cat': torch.cat}",
    "from thalweg.models": "from torch_models",
    "init.fans(": "init._calculate_fan_in_and_fan_out(",
}
ROOM = Path(thalweg.models.__file__).parent
FILES = ("parts", "lenet", "vgg", "resnet", "mobilenet", "unet", "centernet_expressions", "centernet")


def _translated(name: str) -> str:
    text = (ROOM / f"{name}.py").read_text(encoding="utf-8")
    if name == "centernet_expressions":
        return "LARGEST = 6.0"  # made of our nodes; only the network has a twin
    for ours, theirs in CHANGED.items():
        text = text.replace(ours, theirs)
    return text


def torch_models() -> Any:
    """A namespace with the networks of `thalweg.models`, in PyTorch."""
    if "torch_models" not in sys.modules:
        package = sys.modules["torch_models"] = types.ModuleType("torch_models")
        for name in FILES:
            module = sys.modules[f"torch_models.{name}"] = types.ModuleType(f"torch_models.{name}")
            setattr(package, name, module)
            exec(compile(_translated(name), f"torch_models/{name}.py", "exec"), module.__dict__)
            for public in thalweg.models.__all__:
                if public in module.__dict__:
                    setattr(package, public, module.__dict__[public])
    return sys.modules["torch_models"]
