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


def weight_file(model: str, method: str | None, gate: str | None = None) -> Path:
    """Where weights ship for a model, if they do: those trained with a method's gates or with one gate for a
    whole module, or else its own."""
    kind = "module" if gate == "module" and method != "dense" else method
    gated = weights_folder() / f"{model}-{kind}.safetensors"
    return gated if gated.is_file() else weights_folder() / f"{model}.safetensors"


def named_weights(given: str | Path) -> Path:
    """A weight file as it is given, or that ships under such a name, as `large`."""
    path, shipped = Path(given), weights_folder() / f"{given}.safetensors"
    return path if path.exists() or len(path.parts) != 1 or not shipped.is_file() else shipped


def clicks_file() -> Path:
    """Where the weights of the network of clicks ship."""
    return weights_folder() / "clicks.safetensors"


def shipped_weights(
    model: str,
    method: str | None = None,
    gate: str | None = None,
    published: tuple[str, str] | None = None,
) -> Path:
    """The weight file that ships for a model, where there is one with such gates; as `weight_file`.

    Args:
        published: where others publish weights of it, and how such a file is called.

    Raises:
        InputError: none ships.
    """
    path = weight_file(model, method, gate)
    if not path.is_file():
        found = "no weights ship for this model"
        expected, example = published or ("a weight file", "FILE")
        raise InputError(f"--model {model}", found=found, expected=expected, fix=f"--weights {example}")
    return path
