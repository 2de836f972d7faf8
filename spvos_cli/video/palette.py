"""The earlier name of `spvos_cli.video.palettes`, for scripts that import it."""

from __future__ import annotations

from spvos_cli.video.palettes import voc_palette

__all__ = ["voc_palette"]
