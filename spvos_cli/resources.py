"""Files that come with the package: weights and CUDA sources."""

from __future__ import annotations

from pathlib import Path

from spvos_cli.errors import InputError

PACKAGE = Path(__file__).parent


def weights_folder() -> Path:
    """In an installed wheel beside the code, in a checkout at the top."""
    installed = PACKAGE / "_weights"
    return installed if installed.is_dir() else PACKAGE.parent / "weights"


def cuda_folder() -> Path:
    """Likewise."""
    installed = PACKAGE / "_cuda"
    return installed if installed.is_dir() else PACKAGE.parent / "cuda"


def shipped_weights(model: str) -> Path:
    """The weight file that ships for a model.

    Raises:
        InputError: none ships.
    """
    path = weights_folder() / f"{model}.safetensors"
    if not path.is_file():
        found = "no weights ship for this model"
        raise InputError(
            f"--model {model}", found, "STCN's checkpoint (github.com/hkchengrex/STCN)", "--weights stcn.pth"
        )
    return path
