"""Renews the pictures of docs/formats.md, from nothing: `python -m tools.formats_pictures`, some seconds.

What they show is what the package makes of it: masks are written as files and read with `MaskReader`, outputs
are written by their writers.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from spvos_cli.data.demo_scene import scene
from spvos_cli.video.frames import Frame
from spvos_cli.video.images import ImageSource
from spvos_cli.video.masks import MaskReader
from spvos_cli.video.paint import Look, cut_out, paint_overlay
from spvos_cli.video.palettes import indexed_image, voc_palette
from spvos_cli.video.writers.choose import parse_output
from spvos_cli.video.writers.writer import Facts, SegmentedFrame, Setting

FOLDER = Path("docs/formats")
SIZE = (144, 81)  # of a picture in a row, width and height
GAP, LINE = 6, 13
INK, PAPER = (60, 60, 60), (255, 255, 255)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    photo, ids = next(itertools.islice(scene(), 8, None))
    photo = cv2.resize(photo, SIZE, interpolation=cv2.INTER_AREA)
    ids = cv2.resize(ids, SIZE, interpolation=cv2.INTER_NEAREST)
    save(masks_taken(photo, ids), "masks")
    save(outputs(photo, ids), "outputs")
    save(rims(), "rim")


def masks_taken(photo: np.ndarray, ids: np.ndarray) -> Image.Image:
    """Masks above, and below the objects that they are read as, in the colours that outputs have."""
    kinds = {
        "indexed (DAVIS)": indexed_image(ids, voc_palette()),
        "white": Image.fromarray((ids == 1) * np.uint8(255)),
        "PNG-8, white first": white_first(ids == 1),
        "any colours": Image.fromarray(np.uint8([(0, 0, 0), (250, 50, 83), (50, 183, 250)])[ids]),
        "viridis": Image.fromarray(np.uint8([(68, 1, 84), (33, 145, 140), (253, 231, 37)])[ids]),
        "matte": Image.fromarray(cv2.GaussianBlur((ids == 1) * np.uint8(255), (0, 0), 2)),
        "cut out": Image.fromarray(np.dstack([photo, (ids == 1) * np.uint8(255)])),
        "on plain ground": Image.fromarray(np.where((ids == 1)[..., None], photo, np.uint8(255))),
        "255: undecided": indexed_image(undecided(ids), voc_palette()),
    }
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        for name, image in kinds.items():
            file = Path(folder) / f"{name.replace(':', '')}.png"
            image.save(file)
            mask = MaskReader().read(file)
            columns.append((name, [shown(Image.open(file)), mask.palette[mask.ids]]))
    return table(columns, 5)


def outputs(photo: np.ndarray, ids: np.ndarray) -> Image.Image:
    """What goes to each suffix."""
    names = {
        "masks/": "00000.png",
        "X.objects": "1/00000.png",
        "X.soft": "1/00000.png",
        "X.rgba, .mov, .webm": "00000.png",
    }
    columns = []
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(photo).save(Path(folder) / "00000.png")
        setting = Setting(ImageSource([Path(folder) / "00000.png"], "x"), Look(voc_palette()), print)
        soft = np.stack([cv2.GaussianBlur((ids == i).astype(np.float32), (0, 0), 1.5) for i in (1, 2)])
        facts = Facts((1, 2), np.bincount(ids.ravel(), minlength=256), {1: 0.9, 2: 0.9}, soft=soft)
        for name, inside in names.items():
            output = parse_output(f"{folder}/{name.split(',')[0]}")
            writer = output.writer(output.path, setting)
            writer.write(SegmentedFrame(Frame(0, photo, "00000", 0), ids, facts))
            columns.append((name, [shown(Image.open(output.path / inside))]))
    columns.insert(0, (".mp4", [paint_overlay(photo, ids, Look(voc_palette()))]))
    columns.append((".mkv (ids, brightened)", [np.dstack([ids * np.uint8(100)] * 3)]))
    return table(columns, 3)


def rims() -> Image.Image:
    """A cut-out with half the resolution in colour, as VP9 has it: without colours around it, and with."""
    y, x = np.mgrid[:27, :48]
    ids = ((y - 14) ** 2 + (x - 22.5) ** 2 < 10**2).astype(np.uint8)
    image = np.full((27, 48, 3), (227, 57, 58), np.uint8)
    columns = []
    for name, rim in (("black around", False), ("its colours around", True)):
        rgba = cut_out(image, ids * np.uint8(255), rim=rim)
        seen = np.where(ids[..., None] > 0, halved_colour(rgba[..., :3]), np.uint8(255))
        columns.append((name, [cv2.resize(seen, (48 * 4, 27 * 4), interpolation=cv2.INTER_NEAREST)]))
    return table(columns, 2)


def halved_colour(rgb: np.ndarray) -> np.ndarray:
    """With chroma of half the resolution, interpolated as players do."""
    luma, red, blue = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    size = rgb.shape[1::-1]
    small = [
        cv2.resize(plane, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA) for plane in (red, blue)
    ]
    large = [cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in small]
    return cv2.cvtColor(cv2.merge([luma, *large]), cv2.COLOR_YCrCb2RGB)


def white_first(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(np.where(mask, 0, 1).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


def undecided(ids: np.ndarray) -> np.ndarray:
    """A line of 255 around the objects."""
    square = np.ones((5, 5), np.uint8)
    edge = cv2.dilate(ids, square) != cv2.erode(ids, square)
    return np.where(edge, np.uint8(255), ids)


def shown(image: Image.Image) -> np.ndarray:
    """(H, W, 3): what is clear is a chessboard."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    rgba = image.convert("RGBA")
    y, x = np.mgrid[: rgba.height, : rgba.width]
    board = np.where((x // 8 + y // 8) % 2, 205, 235).astype(np.uint8)
    below = Image.fromarray(np.dstack([board] * 3)).convert("RGBA")
    return np.array(Image.alpha_composite(below, rgba).convert("RGB"))


def table(columns: Sequence[tuple[str, list[np.ndarray]]], across: int) -> Image.Image:
    """Pictures under their names, so many columns across."""
    height, width = columns[0][1][0].shape[:2]
    tall = LINE + len(columns[0][1]) * (height + GAP)
    rows = -(-len(columns) // across)
    across = min(across, len(columns))
    sheet = Image.new("RGB", (across * (width + GAP) + GAP, rows * tall + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (name, pictures) in enumerate(columns):
        left, top = GAP + number % across * (width + GAP), GAP + number // across * tall
        draw.text((left, top - 2), name, INK, ImageFont.load_default(11))
        for place, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (left, top + LINE + place * (height + GAP // 2)))
    return sheet


def save(image: Image.Image, name: str) -> None:
    image.quantize(128, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
