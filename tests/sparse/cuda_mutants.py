"""Mistakes that the tests must notice: changes of the CUDA sources, each with the check that catches it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from spvos_cli.resources import cuda_folder


class Mutant(NamedTuple):
    """A change of a source.

    Attributes:
        file: the source.
        before: text that is there exactly once.
        after: what takes its place.
        variant: which of `replay.VARIANTS` runs it.
        sanitizer: with which it is compiled; "none" where the output alone is wrong.
    """

    file: str
    before: str
    after: str
    variant: str = "mma"
    sanitizer: str = "none"

    def write(self, folder: Path) -> None:
        """The sources with the change.

        Raises:
            ValueError: the text is not there exactly once.
        """
        folder.mkdir()
        for path in cuda_folder().glob("*.cu*"):
            text = path.read_text()
            if path.name == self.file:
                if text.count(self.before) != 1:
                    raise ValueError(f"{self.file} has {self.before!r} {text.count(self.before)} times")
                text = text.replace(self.before, self.after)
            (folder / path.name).write_text(text)


FIRST_MMA = "__syncthreads();  // chunk"
LAST_MMA = "__syncthreads();  // nobody reads when"
FIRST_SIMT = "__syncthreads();  // the first"
LAST_SIMT = "__syncthreads();  // the next"

SLOW = {  # left to the slow tests, as others of their kind are not
    "decides by the wrong half",
    "as many pixels as a side has",
    "cells across a line of pixels",
    "pixels of a cell in one line",
    "pixels of a cell in one column",
    "skips cells that are reused",
    "skips no cells",
    "skips a cell's first pixel",
    "skips a cell a block",
    "skips the first cells",
}
MUTANTS = {
    # Barriers, and what is waited for.
    "mma: no barrier before a chunk": Mutant("mma.cu", FIRST_MMA, "// chunk"),
    "mma: no barrier between tiles": Mutant("mma.cu", LAST_MMA, "// nobody"),
    "mma: no barrier before a chunk, as a race": Mutant("mma.cu", FIRST_MMA, "// chunk", "mma", "thread"),
    "mma: no barrier between tiles, as a race": Mutant("mma.cu", LAST_MMA, "// nobody", "mma", "thread"),
    "simt: no barrier before the first chunk": Mutant("simt.cu", FIRST_SIMT, "// the first", "simt"),
    "simt: no barrier before the others": Mutant("simt.cu", LAST_SIMT, "// the next", "simt", "thread"),
    "simt: barrier for half of the block": Mutant(
        "simt.cu", LAST_SIMT, "if (threadIdx.x < 64) __syncthreads();  // the next", "simt"
    ),
    "mma: waits for one group too few": Mutant(
        "mma.cu", "wait_for_copies<STAGES - 2>", "wait_for_copies<STAGES - 1>"
    ),
    "mma: loads into the stage that is read": Mutant(
        "mma.cu", "load(number + STAGES - 1);", "load(number + STAGES);"
    ),
    "mma: copies never committed": Mutant("mma.cu", "            commit_copies();\n", ""),
    "mma: loads past the last chunk": Mutant(
        "mma.cu", "if (number < chunks) {", "if (true) {", "mma, any channels", "address"
    ),
    "simt: fills the buffer that is read": Mutant(
        "simt.cu", "keep((number + 1) % 2)", "keep(number % 2)", "simt"
    ),
    # Fragments.
    "mma: registers of a swapped": Mutant(
        "mma.cu", "a[i][1] = pixels[16 * i + group + 8][word]", "a[i][2] = pixels[16 * i + group + 8][word]"
    ),
    "mma: registers of b swapped": Mutant(
        "mma.cu", "b[j][0] = weights[8 * j + group][word]", "b[j][1] = weights[8 * j + group][word]"
    ),
    "mma: rows of a 4 apart": Mutant(
        "mma.cu",
        "a[i][3] = pixels[16 * i + group + 8][word + 4]",
        "a[i][3] = pixels[16 * i + group + 4][word + 4]",
    ),
    "mma: a column a lane": Mutant("mma.cu", "lane % 4 * 2;", "lane % 4;"),
    "mma: rows of the sums swapped": Mutant("mma.cu", "i % 2 * 2]", "(1 - i % 2) * 2]"),
    "mma: half of the words": Mutant("mma.cu", "word < WORDS; word += 8", "word < WORDS; word += 16"),
    # The border, and the ends of channels, outputs, lists and rows.
    "above the image": Mutant("layer.cuh", "y < 0 || ", ""),
    "below the image": Mutant("layer.cuh", "y >= layer.height || ", ""),
    "left of the image": Mutant("layer.cuh", "x < 0 || ", ""),
    "right of the image": Mutant("layer.cuh", " || x >= layer.width", ""),
    "past the input's channels": Mutant(
        "layer.cuh",
        "pixel * channels + channel, channels - channel",
        "pixel * channels + channel, channels",
        "mma",
        "address",
    ),
    "past the weight's channels": Mutant(
        "layer.cuh", "before + channel, channels - channel", "before + channel, channels", "mma", "address"
    ),
    "past the weights": Mutant(
        "layer.cuh",
        "    if (output >= layer.outputs) {\n        return {",
        "    if (false) {\n        return {",
        "mma",
        "address",
    ),
    "past the list": Mutant("layer.cuh", "row < rows ? pixel_of(", "true ? pixel_of(", "mma", "address"),
    "past the biases": Mutant(
        "layer.cuh", "layer.bias && output < layer.outputs", "layer.bias", "mma", "address"
    ),
    "stores what no pixel is": Mutant(
        "layer.cuh",
        "if (position < 0 || output >= layer.outputs)",
        "if (output >= layer.outputs)",
        "mma",
        "address",
    ),
    "stores past the outputs": Mutant(
        "layer.cuh", "if (position < 0 || output >= layer.outputs)", "if (position < 0)"
    ),
    "stores together what is not": Mutant(
        "layer.cuh", "if (layer.outputs % COUNT == 0)", "if (true)", "simt, any channels", "address"
    ),
    "stores past a row that is no multiple": Mutant(
        "layer.cuh", "if (output + i < layer.outputs)", "if (true)", "simt, any channels"
    ),
    "pieces past the channels": Mutant("mma.cu", "i < terms.count ?", "true ?", "mma, any channels"),
    "quads past the channels": Mutant("simt.cu", "i < terms.count ?", "true ?", "simt, any channels"),
    "whole pieces outside of the image": Mutant("mma.cu", "terms.count > 0);", "true);"),
    "whole quads outside of the image": Mutant("simt.cu", "if (terms.count > 0)", "if (true)", "simt"),
    # What a layer is.
    "stride forgotten": Mutant(
        "layer.cuh", "position % layer.out_width * layer.stride", "position % layer.out_width"
    ),
    "common channels of the wrong frame": Mutant(
        "layer.cuh", "corner.image / layer.objects", "corner.image", "mma", "address"
    ),
    "common channels' weights forgotten": Mutant("layer.cuh", "(chunk.common ? layer.channels : 0)", "0"),
    "ReLU everywhere": Mutant("layer.cuh", "layer.relu ? fmaxf(sum, 0.0f) : sum", "fmaxf(sum, 0.0f)"),
    "nothing added to": Mutant("layer.cuh", "sum += to_float(place);", ""),
    # The list and the skipped pixels.
    "computes what is reused": Mutant("compact.cu", "policy == COMPUTE)", "policy != SKIP)"),
    "skips what is reused": Mutant(
        "compact.cu", "policy == SKIP && job.skipped", "policy != COMPUTE && job.skipped"
    ),
    "skips where nothing shall be": Mutant("compact.cu", "policy == SKIP && job.skipped", "policy == SKIP"),
    "policies past the end": Mutant(
        "compact.cu", "pixel < job.pixels ?", "pixel <= job.pixels ?", "mma", "address"
    ),
    "a lane counts itself": Mutant("policy.cuh", "(1u << lane) - 1", "(2u << lane) - 1"),
    "the wrong lane's place": Mutant("policy.cuh", "first, 0);", "first, 1);"),
    "only the first skipped pixel of a warp": Mutant("policy.cuh", "left &= left - 1", "left = 0"),
    "rows too long": Mutant("policy.cuh", "unit < units", "unit <= units", "mma", "address"),
    "list from the second on": Mutant("policy.cuh", "list[first +", "list[1 + first +"),
    "decides past the end": Mutant(
        "decide.cu", "pixel < job.pixels", "pixel <= job.pixels", "mma", "address"
    ),
    "decides by the wrong half": Mutant(
        "decide.cu", "parts[6 * pixel + i]", "parts[6 * pixel + 5 - i]", "simt"
    ),
    # Cells.
    "a pixel a cell": Mutant("layer.cuh", "*layer.counter << 2 * layer.side_bits", "*layer.counter"),
    "as many pixels as a side has": Mutant(
        "layer.cuh", "bits = 2 * layer.side_bits", "bits = layer.side_bits", "simt"
    ),
    "cells across a line of pixels": Mutant(
        "layer.cuh", "across = layer.out_width >> bits", "across = layer.out_width"
    ),
    "pixels of a cell in one line": Mutant("layer.cuh", "(within >> bits)", "0", "simt"),
    "pixels of a cell in one column": Mutant("layer.cuh", "(within & last)", "0"),
    "skips cells that are reused": Mutant(
        "layer.cuh", "layer.policy[cell] == SKIP", "layer.policy[cell] <= REUSE"
    ),
    "skips no cells": Mutant("layer.cuh", "layer.policy[cell] == SKIP", "false", "simt, any channels"),
    "skips again what was skipped": Mutant("layer.cuh", " && layer.before[cell] != SKIP", "", "simt"),
    "skips a cell's first pixel": Mutant("layer.cuh", "within < pixels", "within < 1"),
    "skips a cell a block": Mutant("layer.cuh", "blockIdx.x * warps + threadIdx.x / 32", "blockIdx.x"),
    "skips past the last cell": Mutant(
        "layer.cuh", "cell < layer.cells", "cell <= layer.cells", "mma", "address"
    ),
    "skips the first cells": Mutant(
        "layer.cuh", "cell += gridDim.x * warps", "cell += layer.cells", "simt, any channels"
    ),
}
