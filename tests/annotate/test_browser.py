"""The page in a real browser: what a user does, from the first box to the same masks from the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from spvos_cli.segment.demo import render
from tests.conftest import make_frame, write_video

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
Page = sync_api.Page
pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
COUNT = 24
PATIENCE = 60_000  # milliseconds
COLOURS = {1: (240, 16, 16), 2: (16, 240, 16)}  # of the first objects, on the page


@contextlib.contextmanager
def running(folder: Path, weights: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a folder with in.mp4, and the address that it prints; it is gone afterwards."""
    command = [sys.executable, "-m", "spvos_cli", "annotate", "in.mp4", "--no-browser"]
    if weights:
        command += ["--weights", str(weights), "--method", "dense", "--dtype", "fp32", "--engine", "torch"]
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)
    address = process.stdout.readline().strip() if process.stdout else ""
    try:
        assert address, process.stderr.read() if process.stderr else ""
        yield process, address
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def stop(process: subprocess.Popen[str]) -> str:
    """Ctrl-C; what is printed last."""
    import signal

    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "Traceback" not in error
    return out.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    if not CHROMIUM:
        pytest.skip("no Chromium in the PATH, and CHROMIUM names none")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """With in.mp4, of as many frames as a test asks for."""
    count = getattr(request, "param", COUNT)
    write_video(tmp_path / "in.mp4", [make_frame(t % 20)[0] for t in range(count)])
    return tmp_path


@pytest.fixture
def page(browser: sync_api.Browser, folder: Path, weights: Path) -> Iterator[Page]:
    """The page of a server that is stopped afterwards; whatever the browser complains of is a failure."""
    complaints: list[str] = []
    with running(folder, weights) as (process, address):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(address)
        settle(page)
        yield page
        page.context.close()
        stop(process)
    assert not [text for text in complaints if "status of 409" not in text]


def settle(page: Page) -> None:
    """Until all that was asked for is done."""
    page.wait_for_timeout(50)
    page.locator("body[data-busy=false]").wait_for(timeout=PATIENCE)


def spot(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the frame is in the window."""
    canvas = page.locator("#view")
    box = canvas.bounding_box()
    assert box
    scale, left, top = (float(canvas.get_attribute(f"data-{name}") or 0) for name in ("scale", "left", "top"))
    return box["x"] + left + x * scale, box["y"] + top + y * scale


def drag(page: Page, *spots: tuple[float, float], settled: bool = True) -> None:
    page.mouse.move(*spot(page, *spots[0]))
    page.mouse.down()
    for at in spots[1:]:
        page.mouse.move(*spot(page, *at), steps=4)
    page.mouse.up()
    if settled:
        settle(page)


def click(page: Page, x: float, y: float, button: str = "left") -> None:
    page.mouse.click(*spot(page, x + 0.5, y + 0.5), button=button)
    settle(page)


def key(page: Page, name: str) -> None:
    page.keyboard.press(name)
    settle(page)


def mask(folder: Path, frame: int) -> np.ndarray:
    with Image.open(folder / f"in_annotations/{frame:05d}.png") as image:
        return np.array(image)


def served(page: Page, frame: int) -> np.ndarray:
    """The label map that the page gets of a frame."""
    answer = page.request.get(page.url + f"mask/{frame}")
    return np.array(Image.open(io.BytesIO(answer.body())))


def colour_at(page: Page, x: int, y: int) -> np.ndarray:
    """What is to be seen in the middle of a pixel of the frame."""
    shot = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    left, top = spot(page, x + 0.5, y + 0.5)
    return shot[int(top), int(left)]


def shows(page: Page, x: int, y: int, object: int) -> bool:
    """In the outlines' view at a pixel that is one, an object's colour is to be seen."""
    return bool(np.abs(colour_at(page, x, y) - COLOURS[object]).max() < 60)


def test_from_the_first_box_to_the_command(page: Page, folder: Path) -> None:
    """Box, clicks, undo, two objects, follow, brush, follow again, reload, export, command."""
    true = [make_frame(t % 20)[1] for t in range(COUNT)]
    assert page.locator("#hint").is_visible()
    assert "token" not in page.url
    drag(page, (5, 15), (45, 55))
    assert (mask(folder, 0)[true[0] == 1] == 1).mean() > 0.9
    key(page, "n")
    drag(page, (72, 42), (118, 88))
    assert (mask(folder, 0)[true[0] == 2] == 2).mean() > 0.9
    assert page.locator("#objects li").count() == 2
    key(page, "1")
    key(page, "r")
    click(page, 25, 35)
    assert mask(folder, 0)[35, 25] == 0
    click(page, 25, 35, button="right")
    assert mask(folder, 0)[35, 25] == 1
    key(page, "Control+z")
    assert mask(folder, 0)[35, 25] == 0
    key(page, "Control+z")
    key(page, "Control+Shift+z")
    assert mask(folder, 0)[35, 25] == 0
    key(page, "Control+z")
    assert mask(folder, 0)[35, 25] == 1

    page.locator("[data-do=followToEnd]").click()
    settle(page)
    assert "done at frame 23" in page.locator("#status").inner_text()
    before = [served(page, n) for n in range(COUNT)]
    assert all(labels.any() for labels in before)

    page.locator("#view").focus()
    key(page, "Home")
    for _ in range(12):
        key(page, "ArrowRight")
    assert page.locator("body").get_attribute("data-frame") == "12"
    assert page.locator("body").get_attribute("data-kind") == "current"
    key(page, "b")
    drag(page, (10, 10), (60, 10))
    assert (mask(folder, 12)[10, 12:58] == 1).all()
    key(page, "e")
    drag(page, (30, 10), (31, 10))
    assert mask(folder, 12)[10, 30] == 0
    assert page.locator("body").get_attribute("data-kind") == "keyframe"
    key(page, "ArrowRight")
    assert page.locator("body").get_attribute("data-kind") == "stale"
    key(page, "Space")
    after = [served(page, n) for n in range(COUNT)]
    same = [bool(np.array_equal(a, b)) for a, b in zip(before, after, strict=True)]
    assert all(same[:12])
    assert not all(same[12:])

    page.reload()
    settle(page)
    assert page.locator("#objects li").count() == 2
    for n in (0, 12, 20):
        assert np.array_equal(served(page, n), after[n])

    page.locator("[data-do=export]").click()
    page.locator("#outputs input[value='.json']").check()
    page.locator("#export button[value=start]").click()
    settle(page)
    assert "24 frames are in" in page.locator("#status").inner_text()
    words = shlex.split(page.locator("#command").inner_text())
    names = ["in_masks", "in_overlay.mp4", "in_coco.json"]
    assert words[-1] == "in_coco.json"
    (folder / "kept").mkdir()
    for name in names:
        (folder / name).rename(folder / "kept" / name)
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "spvos_cli", *words[1:]]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    for path in sorted((folder / "kept").rglob("*")):
        if path.is_file():
            assert (folder / path.relative_to(folder / "kept")).read_bytes() == path.read_bytes(), path
    for n in range(COUNT):
        with Image.open(folder / f"in_masks/{n:05d}.png") as image:
            assert np.array_equal(np.array(image), after[n]), n


def test_a_pixel_is_a_pixel_however_the_frame_is_shown(page: Page, folder: Path) -> None:
    """Zoomed in, moved, and back."""
    key(page, "b")
    page.locator("#size").fill("1")
    page.locator("#view").focus()
    click(page, 100, 20)
    page.mouse.move(*spot(page, 50, 40))
    for _ in range(6):
        page.mouse.wheel(0, -400)
    assert float(page.locator("#view").get_attribute("data-scale") or 0) > 30
    click(page, 52, 41)
    page.keyboard.down(" ")
    drag(page, (52, 41), (50, 40))
    page.keyboard.up(" ")
    click(page, 53, 42)
    key(page, "0")
    click(page, 101, 22)
    painted = [(int(x), int(y)) for y, x in np.argwhere(mask(folder, 0))]
    assert sorted(painted) == [(52, 41), (53, 42), (100, 20), (101, 22)]
    assert page.locator("#status").inner_text() == ""
    page.keyboard.press("F2")
    assert shows(page, 100, 20, 1)
    assert not shows(page, 98, 20, 1)


def test_strokes_in_a_hurry_are_all_there(page: Page, folder: Path) -> None:
    """The next one begins before the server has answered."""
    key(page, "b")
    page.locator("#size").fill("2")
    for y in range(10, 90, 8):
        drag(page, (10, y), (110, y), settled=False)
    settle(page)
    assert [bool((mask(folder, 0)[y, 12:108] == 1).all()) for y in range(10, 90, 8)] == [True] * 10


def test_locked_and_hidden(page: Page, folder: Path) -> None:
    key(page, "b")
    page.locator("#size").fill("20")
    drag(page, (20, 20), (100, 20))
    page.get_by_role("button", name="Lock object 1").click()
    settle(page)
    key(page, "n")
    drag(page, (60, 5), (60, 80))
    ids = mask(folder, 0)
    assert (ids[20, 22:98] == 1).all()
    assert ids[60, 60] == 2
    page.locator("#opacity").fill("100")
    assert shows(page, 60, 60, 2)
    page.get_by_role("button", name="Hide object 2").click()
    settle(page)
    assert not shows(page, 60, 60, 2)
    assert shows(page, 60, 20, 1)
    page.get_by_label("Name of object 2").fill("<b>disk</b>")
    page.get_by_label("Name of object 2").press("Tab")
    settle(page)
    assert page.get_by_label("Name of object 2").input_value() == "<b>disk</b>"
    page.get_by_role("button", name="Remove object 2").click()
    settle(page)
    assert set(np.unique(mask(folder, 0))) == {0, 1}


def test_import(page: Page, folder: Path) -> None:
    """A frame's masks from a file that is chosen; what is none is said, and changes nothing."""
    true = [make_frame(t)[1] for t in range(3)]
    white = Image.fromarray(np.where(true[1] == 2, 255, 0).astype(np.uint8))
    white.resize((256, 192), Image.Resampling.NEAREST).save(folder / "white.PNG")
    square = {"label": "square", "points": [[10, 20], [39, 49]], "shape_type": "rectangle"}
    shapes = {"shapes": [square], "imageHeight": 96, "imageWidth": 128}
    (folder / "labelme.json").write_text(json.dumps(shapes))
    (folder / "notes.json").write_text("[]")

    def bring(name: str) -> str:
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name="Import").click()
        chosen.value.set_files(folder / name)
        settle(page)
        return page.locator("#status").inner_text()

    key(page, "ArrowRight")
    assert bring("white.PNG") == ""
    assert np.array_equal(mask(folder, 1), true[1] == 2)
    assert page.locator("body").get_attribute("data-kind") == "keyframe"
    assert "expected" in bring("notes.json")
    assert np.array_equal(mask(folder, 1), true[1] == 2)
    assert bring("labelme.json") == ""
    assert mask(folder, 1).sum() == 900
    assert bring("white.PNG") == ""  # the same file once more
    page.locator("#view").focus()
    key(page, "Control+z")
    assert mask(folder, 1).sum() == 900


def test_marks_keyframes_and_views(page: Page, folder: Path) -> None:
    """In and out are in the command; a keyframe comes and goes; each view is another picture."""
    drag(page, (5, 15), (45, 55))
    for _ in range(2):
        key(page, "ArrowRight")
    key(page, "i")
    for _ in range(3):
        key(page, "ArrowRight")
    key(page, "o")
    assert re.search("--start 2 --end 5", page.locator("#command").inner_text())
    page.get_by_role("button", name="All", exact=True).click()
    settle(page)
    assert "--start" not in page.locator("#command").inner_text()
    page.locator("#view").focus()
    key(page, "Home")
    key(page, "Shift+Space")
    key(page, "Home")  # it showed the newest frame meanwhile
    for _ in range(5):
        key(page, "ArrowRight")
    key(page, "Enter")
    assert (folder / "in_annotations/00005.png").exists()
    key(page, "Home")
    key(page, "k")
    assert page.locator("body").get_attribute("data-frame") == "5"
    key(page, "Backspace")
    assert not (folder / "in_annotations/00005.png").exists()
    assert page.locator("body").get_attribute("data-kind") != "keyframe"
    pictures = set()
    for name in ("F1", "F2", "F3", "F4"):
        key(page, name)
        pictures.add(page.locator("#view").screenshot())
    assert len(pictures) == 4
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()


@pytest.mark.parametrize("folder", [400], indirect=True)
def test_stop_keeps_what_is_done(page: Page, folder: Path) -> None:
    """The newest frame is shown meanwhile; what lies before the first mask is found, too."""
    key(page, "Shift+ArrowRight")
    drag(page, (25, 15), (88, 56))
    page.keyboard.press("Shift+Space")
    page.locator("#status", has_text=re.compile("follow: [1-9]")).wait_for(timeout=PATIENCE)
    page.locator("#place", has_text=re.compile("frame (1[1-9]|[2-9][0-9]|[1-9][0-9][0-9])")).wait_for()
    key(page, "Escape")
    found = re.fullmatch(r"stopped at frame (\d+).*", page.locator("#status").inner_text())
    assert found
    last = int(found[1])
    assert 10 <= last < 399
    assert served(page, last).any()
    assert not served(page, last + 1).any()
    assert not served(page, 5).any()
    key(page, "Control+b")
    assert "found back to frame 0" in page.locator("#status").inner_text()
    assert served(page, 5).any()
    assert "--backward" in page.locator("#command").inner_text()


def test_a_scene_with_the_shipped_weights(browser: sync_api.Browser, tmp_path: Path) -> None:
    """Two boxes and a click, two good masks, and they are followed; the README's picture is this
    (PICTURES=docs)."""
    true = render(tmp_path / "in.mp4")
    with running(tmp_path) as (_, address):
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(address)
        settle(page)
        for object in (1, 2):
            if object > 1:
                key(page, "n")
            rows, columns = np.nonzero(true[0] == object)
            drag(page, (columns.min() - 8, rows.min() - 8), (columns.max() + 8, rows.max() + 8))
        wrong = ((served(page, 0) == 2) & (true[0] != 2)).astype(np.uint8)
        y, x = np.unravel_index(cv2.distanceTransform(wrong, cv2.DIST_L2, 5).argmax(), wrong.shape)
        key(page, "r")
        click(page, int(x), int(y))
        key(page, "Shift+Space")
        scores = []
        for n in (0, 16, 40):
            found = served(page, n)
            scores.append(np.mean((found == true[n])[(found > 0) | (true[n] > 0)]))
        key(page, "Home")
        for _ in range(16):
            key(page, "ArrowRight")
        picture = page.screenshot()
        page.close()
    assert min(scores) > 0.8
    if "PICTURES" in os.environ:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        image.save(Path(os.environ["PICTURES"]) / "annotate.jpg", quality=85)


def test_a_second_tab_looks_on_until_it_takes_over(page: Page, folder: Path) -> None:
    drag(page, (5, 15), (45, 55))
    other = page.context.new_page()
    other.goto(page.url)
    settle(other)
    assert other.locator("#banner").is_visible()
    assert other.locator("[data-do=accept]").is_disabled()
    drag(other, (72, 42), (118, 88))
    assert set(np.unique(mask(folder, 0))) == {0, 1}
    other.get_by_role("button", name="Take over").click()
    settle(other)
    key(other, "n")
    drag(other, (72, 42), (118, 88))
    assert set(np.unique(mask(folder, 0))) == {0, 1, 2}
    page.locator("#banner").wait_for(state="visible", timeout=10_000)


def test_the_server_ends_and_another_goes_on(browser: sync_api.Browser, folder: Path, weights: Path) -> None:
    """Killed while it follows: what was done is there; Ctrl-C prints the command."""
    page = browser.new_page()
    with running(folder, weights) as (process, address):
        page.goto(address)
        settle(page)
        drag(page, (5, 15), (45, 55))
        page.keyboard.press("Shift+Space")
        page.wait_for_timeout(300)
        process.kill()
        page.locator("#status.error").wait_for(timeout=10_000)
        assert "spvos has ended" in page.locator("#status").inner_text()
    first = mask(folder, 0)
    with running(folder, weights) as (process, address):
        page.goto(address)
        settle(page)
        assert np.array_equal(served(page, 0), first)
        key(page, "Shift+Space")
        assert re.search("done at frame 23|up to date", page.locator("#status").inner_text())
        page.close()
        assert stop(process).startswith("spvos segment in.mp4 --mask in_annotations")
