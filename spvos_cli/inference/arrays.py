"""Arrays that callers hand in, checked once and in plain words."""

from __future__ import annotations

import numpy as np


def checked_frame(frame: np.ndarray) -> np.ndarray:
    """The frame, contiguous, so that a view as `bgr[..., ::-1]` will do.

    Args:
        frame: (H, W, 3) uint8.

    Raises:
        TypeError: it is no array, or of another type.
        ValueError: it has another shape, or no pixels.
    """
    if not isinstance(frame, np.ndarray):
        raise TypeError(f"the frame is a {type(frame).__name__}; expected a NumPy array (H, W, 3), uint8")
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"the frame has the shape {frame.shape}; expected (H, W, 3), RGB")
    if frame.dtype != np.uint8:
        raise TypeError(f"the frame holds {frame.dtype}; expected uint8, 0 to 255")
    if frame.size == 0:
        raise ValueError(f"the frame has the shape {frame.shape}: no pixels")
    return np.ascontiguousarray(frame)


def checked_mask(mask: np.ndarray) -> np.ndarray:
    """The mask as (H, W) uint8, contiguous.

    Args:
        mask: (H, W), booleans or integers from 0 to 255.

    Raises:
        TypeError: it is no array, or holds neither integers nor booleans.
        ValueError: it has another shape, or values that are no ids.
    """
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"the mask is a {type(mask).__name__}; expected a NumPy array (H, W) of ids")
    if mask.ndim != 2:
        raise ValueError(f"the mask has the shape {mask.shape}; expected (H, W)")
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise TypeError(f"the mask holds {mask.dtype}; expected integer ids or booleans, as mask > 0.5 gives")
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise ValueError(f"the mask holds values from {mask.min()} to {mask.max()}; expected ids, 0 to 255")
    return np.ascontiguousarray(mask, dtype=np.uint8)


def same_size(mask: np.ndarray, height: int, width: int) -> None:
    """Raises ValueError where a mask has not the size of its frame."""
    if mask.shape != (height, width):
        found = f"{mask.shape[1]}x{mask.shape[0]}"
        raise ValueError(f"the mask has {found} pixels; expected {width}x{height}, as the frame has")
