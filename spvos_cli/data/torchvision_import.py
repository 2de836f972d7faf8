"""torchvision, where it can be had: for the paper's augmentation and for ImageNet weights."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import torch

MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
ATTEMPTS = 16


def torchvision_module(name: str) -> ModuleType:
    """Imports `torchvision.NAME`.

    A build made for another PyTorch (a CUDA one beside a CPU-only PyTorch) cannot load its compiled
    operators, and then stops at registering their shapes. Nothing here calls them: they are declared, and the
    import goes through.

    Raises:
        ImportError: torchvision is not installed.
    """
    level = sys.modules["av"].logging.get_level() if "av" in sys.modules else None
    for _ in range(ATTEMPTS):
        try:
            module = importlib.import_module(f"torchvision.{name}")
        except RuntimeError as error:
            operator = MISSING_OPERATOR.fullmatch(str(error))
            if operator is None:
                raise
            torch.library.define(f"torchvision::{operator[1]}", "(Tensor x) -> Tensor")
            for loaded in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
                del sys.modules[loaded]
        else:
            # up to 0.24 it has PyAV pass FFmpeg's messages to Python, from the threads of decoders: one that
            # has something to say while another thread, holding the interpreter, frees it never ends
            if "av" in sys.modules:
                sys.modules["av"].logging.set_level(level)
            return module
    raise ImportError("torchvision's compiled operators do not load")
