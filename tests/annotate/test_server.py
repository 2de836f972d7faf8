"""Every route, and who may use it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from spvos_cli.annotate.session import Session
from tests.annotate.conftest import COUNT, Opener, wait

pytest.importorskip("starlette", reason="the extra annotate is not installed")
pytest.importorskip("httpx")

from starlette.testclient import TestClient

from spvos_cli.annotate import server
from spvos_cli.annotate.guard import HEADERS, Guard
from spvos_cli.annotate.server import make_app
from spvos_cli.annotate.tabs import AWAY, Tabs

TOKEN = "f" * 32
HOST = "http://127.0.0.1:8765"
TAB = {"x-tab": "one"}
PNG = {"content-type": "image/png"}
FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
Scene = tuple[list[np.ndarray], list[np.ndarray]]
Ask = Callable[..., Any]


def client_of(session: Session, tabs: Tabs | None = None, *, welcome: bool = True) -> TestClient:
    client = TestClient(Guard(make_app(session, tabs), TOKEN), base_url=HOST, raise_server_exceptions=True)
    if welcome:
        client.get(f"/?token={TOKEN}")
    return client


@pytest.fixture
def client(session: Session) -> TestClient:
    return client_of(session)


@pytest.fixture
def change(client: TestClient) -> Ask:
    """Has something done as the tab does that edits; how things are then."""

    def ask(method: str, address: str, body: Any = None, status: int = 200) -> Any:
        if isinstance(body, bytes):
            answer = client.request(
                method, address, content=body, headers=TAB | {"content-type": "image/png"}
            )
        else:
            answer = client.request(method, address, json=body or {}, headers=TAB)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text

    return ask


def png(ids: np.ndarray, mode: str = "RGBA") -> bytes:
    """As a canvas writes it: grey in all channels."""
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).convert(mode).save(buffer, format="png")
    return buffer.getvalue()


def mask_of(client: TestClient, frame: int) -> tuple[np.ndarray, str]:
    answer = client.get(f"/mask/{frame}")
    assert answer.status_code == 200
    return np.array(Image.open(io.BytesIO(answer.content))), answer.headers["x-kind"]


def test_the_token_goes_into_a_cookie_and_out_of_the_address(session: Session) -> None:
    client = client_of(session, welcome=False)
    assert client.get("/").status_code == client.get("/status").status_code == 403
    answer = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/").status_code == 200
    assert client.get("/status").json()["frames"] == COUNT


@pytest.mark.parametrize("address", [f"/?token={'0' * 32}", "/?token=", "/?token=%C3%A9"])
def test_another_token(session: Session, address: str) -> None:
    client = client_of(session, welcome=False)
    assert client.get(address).status_code == 403
    client.cookies.set(Guard(client.app, TOKEN).cookie, "0" * 32)
    assert client.get("/status").status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:9", 200),
        ("[::1]:8765", 200),
        ("127.0.0.1", 200),
        ("evil.example:8765", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost:8765@evil.example", 403),
        ("", 403),
    ],
)
def test_host(client: TestClient, host: str, status: int) -> None:
    """A name that somebody else's server resolves to this machine is none of its names."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert client.get("/status", headers={"host": host, "cookie": cookies}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (HOST, 200),
        ("http://localhost:8765", 403),
        ("https://127.0.0.1:8765", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_origin(client: TestClient, origin: str, status: int) -> None:
    answer = client.post("/stop", json={}, headers=TAB | {"origin": origin})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_of_another_site_can_send(client: TestClient, kind: str) -> None:
    answer = client.post("/stop", content=b"{}", headers=TAB | {"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS"])
def test_other_methods(client: TestClient, method: str) -> None:
    assert client.request(method, "/stop", headers=TAB).status_code in (405, 415)


def test_every_answer_is_safe(client: TestClient) -> None:
    """Refusals, too."""
    for address in ("/", "/status", "/mask/0", "/nothing", "/frame/999"):
        assert HEADERS.items() <= dict(client.get(address).headers).items()
    assert HEADERS.items() <= dict(client.get("/", headers={"host": "x"}).headers).items()
    policy = HEADERS["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    "address",
    [
        *("/../session.py", "/%2e%2e/session.py", "/..%2fsession.py", "/page/../server.py", "//etc/passwd"),
        *("/frame/..%2f..%2fetc%2fpasswd", "/mask/-1", "/frame/1e3", "/frame/x", "/output/..%2fin.mp4"),
        *(
            "/output/in.mp4",
            "/output/.py",
            f"/frame/{COUNT}",
            f"/mask/{COUNT}",
            "/frame/99999999999999999999",
        ),
    ],
)
def test_no_path_comes_from_the_page(client: TestClient, address: str) -> None:
    assert client.get(address).status_code == 404


def test_the_page_has_all_that_it_names(client: TestClient) -> None:
    """And nothing of it comes from anywhere else."""
    import re

    text = client.get("/").text
    named = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert named
    for address in [name for name in named if not name.startswith("data:")]:
        assert not address.startswith(("http", "//"))
        answer = client.get(f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
    assert "<script>" not in text
    assert "style=" not in text


def test_frames(
    client: TestClient, session: Session, open_session: Opener, scene: Scene, tmp_path: Path
) -> None:
    answer = client.get("/frame/5")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    shown = np.array(Image.open(io.BytesIO(answer.content))).astype(int)
    assert np.abs(shown - session.frame(5).image).mean() < 5
    large = np.zeros((50, 2000, 3), np.uint8)
    (tmp_path / "wide").mkdir()
    Image.fromarray(large).save(tmp_path / "wide/1.png")
    wide = client_of(open_session("wide"))
    sizes = [Image.open(io.BytesIO(wide.get(at).content)).size for at in ("/frame/0", "/frame/0?full=1")]
    assert sizes == [(1280, 32), (2000, 50)]


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L"])
def test_painting(client: TestClient, change: Ask, scene: Scene, mode: str) -> None:
    status = change("PUT", "/mask/3", png(scene[1][3], mode))
    assert status["keyframes"] == [3]
    assert status["objects"].keys() == {"1", "2"}
    ids, kind = mask_of(client, 3)
    assert np.array_equal(ids, scene[1][3])
    assert kind == "keyframe"
    assert Image.open("in_annotations/00003.png").mode == "P"


def bomb() -> bytes:
    """A PNG of some kilobytes that says it has 10 billion pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6)))


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", png(np.zeros((96, 127))), png(np.full((96, 128), 255)), bomb(), b"GIF89a" + bytes(99)],
    ids=["nothing", "nonsense", "size", "object 255", "bomb", "gif"],
)
def test_what_is_no_mask(change: Ask, session: Session, body: bytes) -> None:
    assert "expected" in change("PUT", "/mask/3", body, 409)["error"]
    assert not session.masks.digests


def test_import(client: TestClient, change: Ask, scene: Scene, session: Session) -> None:
    """As --mask reads files: white is an object, JSON has the masks of many frames; sizes may differ."""
    white = Image.fromarray(np.where(scene[1][3] == 1, 255, 0).astype(np.uint8))
    buffer = io.BytesIO()
    white.resize((256, 192), Image.Resampling.NEAREST).save(buffer, format="png")
    change("PUT", "/import/3", buffer.getvalue())
    assert np.array_equal(mask_of(client, 3)[0], scene[1][3] == 1)
    square = {"label": "a", "points": [[10, 20], [39, 49]], "shape_type": "rectangle"}
    change("PUT", "/import/4", {"shapes": [square], "imageHeight": 96, "imageWidth": 128})
    assert mask_of(client, 4)[0].sum() == 900
    region = {"size": [96, 128], "counts": [0, 96, 96 * 127]}
    images = [{"id": i, "file_name": f"{i:05d}.png", "height": 96, "width": 128} for i in (5, 6)]
    found = [{"image_id": i, "category_id": i, "track_id": i - 4, "segmentation": region} for i in (5, 6)]
    coco = {"images": images, "annotations": found, "categories": []}
    change("PUT", "/import/6", coco)
    assert np.unique(mask_of(client, 6)[0][:, 0]).tolist() == [2]
    error = change("PUT", "/import/7", coco, 409)["error"]
    assert error == "no mask of frame 7 among those of 2 images"
    assert list(session.masks.digests) == [3, 4, 6]


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b'{"a": 1}', png(np.zeros((96, 200))), bomb(), b"[" * 9999]
)
def test_what_cannot_be_imported(change: Ask, session: Session, body: bytes) -> None:
    assert "expected" in (error := change("PUT", "/import/3", body, 409)["error"])
    assert "/" not in error.replace("COCO's (images", "")  # no path of this machine
    assert not session.masks.digests


def test_more_than_a_mask_can_be(change: Ask, session: Session) -> None:
    change("PUT", "/mask/3", bytes(4 * 96 * 128 + 96 + 2**16 + 1), 413)


def test_box_click_undo_redo(client: TestClient, change: Ask, scene: Scene) -> None:
    change("POST", "/prompt/0", {"object": 1, "box": [5, 15, 40, 40]})
    first = mask_of(client, 0)[0]
    assert (first[scene[1][0] == 1] == 1).mean() > 0.9
    change("POST", "/prompt/0", {"object": 1, "click": [25, 35], "positive": False})
    change("POST", "/undo/0")
    assert np.array_equal(mask_of(client, 0)[0], first)
    change("POST", "/redo/0")
    assert mask_of(client, 0)[0][35, 25] == 0
    assert "nothing to redo" in change("POST", "/redo/0", status=409)["error"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"object": 1},
        {"object": 0, "box": [5, 15, 40, 40]},
        {"object": 255, "box": [5, 15, 40, 40]},
        {"object": "1", "box": [5, 15, 40, 40]},
        {"object": True, "box": [5, 15, 40, 40]},
        {"object": 1, "box": [5, 15, 40]},
        {"object": 1, "box": [5, 15, 0, 40]},
        {"object": 1, "box": [200, 15, 40, 40]},
        {"object": 1, "box": [1.5, 15, 40, 40]},
        {"object": 1, "box": [0, 0, 2**62, 2**62]},
        {"object": 1, "click": [128, 5]},
        {"object": 1, "click": [-1, 5]},
        {"object": 1, "click": "5,5"},
    ],
    ids=str,
)
def test_what_is_no_prompt(change: Ask, session: Session, said: Any) -> None:
    assert change("POST", "/prompt/0", said, 409)["error"]
    assert not session.masks.digests


@pytest.mark.parametrize("body", ["", "[]", "{", "1", "[" * 5000, '"x"'])
def test_what_is_no_json_object(client: TestClient, body: str) -> None:
    headers = TAB | {"content-type": "application/json"}
    for address in ("/prompt/0", "/follow", "/export"):
        assert client.post(address, content=body, headers=headers).status_code == 400
    assert client.put("/view", content=body, headers=headers).status_code == 400


def test_accept_and_forget(change: Ask) -> None:
    assert change("POST", "/accept/4")["keyframes"] == [4]
    assert change("POST", "/forget/4")["keyframes"] == []
    for address in ("/accept/24", "/forget/24", "/undo/24"):
        change("POST", address, status=404)


def test_objects(change: Ask, session: Session) -> None:
    name = "<img src=x onerror=alert(1)>\0\n" + "x" * 200
    objects = change("PUT", "/object/7", {"name": name, "locked": True})["objects"]
    assert objects["7"] == {"name": name[:28] + "x" * 72, "locked": True, "visible": True}
    assert json.loads(Path("in_annotations/objects.json").read_text())["7"]["locked"]
    assert change("POST", "/remove/7")["objects"] == {}
    for id in (0, 255, 1000):
        change("PUT", f"/object/{id}", {}, 409)
    change("PUT", "/object/1", {"name": 5}, 409)


def test_view(change: Ask, session: Session) -> None:
    status = change("PUT", "/view", {"frame": 5, "start": 2, "end": 20, "backward": False})
    assert status["view"] == {"frame": 5, "start": 2, "end": 20, "backward": False}
    assert "--start 2 --end 20" in status["command"]
    for wrong in ({"frame": -1}, {"frame": 99}, {"frame": "1"}, {"start": 5, "end": 5}, {"end": True}):
        change("PUT", "/view", wrong, 409)
    assert change("PUT", "/view", {"frame": 24, "end": 24})["view"]["frame"] == 23


def test_following_and_the_timeline(client: TestClient, change: Ask, session: Session, scene: Scene) -> None:
    assert "no frame is annotated" in change("POST", "/follow", {"frame": 0}, 409)["error"]
    change("PUT", "/mask/0", png(scene[1][0]))
    change("PUT", "/mask/10", png(scene[1][10]))
    assert change("POST", "/follow", {"frame": 0})["job"]["kind"] == "follow"
    wait(session)
    status = client.get("/status", headers=TAB).json()
    assert (status["valid"], status["job"]["running"], status["job"]["failed"]) == (10, False, False)
    cells = client.get("/timeline").content
    assert len(cells) == COUNT
    assert all(cells[:10])
    assert not any(cells[10:])
    assert client.get("/timeline?from=8&to=12").content == cells[8:12]
    assert len(client.get("/timeline?from=x&to=-1").content) == COUNT
    assert mask_of(client, 9)[1] == "current"
    change("POST", "/stop")


def test_backward(client: TestClient, change: Ask, session: Session, scene: Scene) -> None:
    assert "no frame is annotated" in change("POST", "/backward", status=409)["error"]
    change("PUT", "/mask/6", png(scene[1][6]))
    assert change("POST", "/backward")["job"]["kind"] == "backward"
    wait(session)
    assert client.get("/status", headers=TAB).json()["behind"] == [0, 6]
    assert mask_of(client, 3)[1] == "current"


def test_export_and_its_files(client: TestClient, change: Ask, session: Session, scene: Scene) -> None:
    change("PUT", "/mask/0", png(scene[1][0]))
    change("PUT", "/object/2", {"name": "disk"})
    for wrong in ({}, {"outputs": []}, {"outputs": ["../x.mp4"]}, {"outputs": "x"}, {"outputs": [["x"]]}):
        change("POST", "/export", wrong, 409)
    status = change("POST", "/export", {"outputs": ["", ".json"]})
    assert status["command"].endswith("-o in_masks -o in_coco.json")
    assert not wait(session)["failed"]
    coco = client.get("/output/.json")
    assert coco.content == Path("in_coco.json").read_bytes()
    assert [each["name"] for each in coco.json()["categories"]] == ["object 1", "disk"]
    assert client.get("/output/.mov").status_code == 404


def test_two_tabs(session: Session) -> None:
    """The second one looks on until it takes over, or until the first is gone."""
    now = [0.0]
    client = client_of(session, Tabs(lambda: now[0]))

    def mine(tab: str) -> bool:
        return client.get("/status", headers={"x-tab": tab}).json()["mine"]

    def accept(tab: str) -> int:
        return client.post("/accept/0", json={}, headers={"x-tab": tab}).status_code

    assert (mine("one"), mine("two"), mine("")) == (True, False, False)
    assert (accept("two"), accept(""), accept("one")) == (409, 409, 200)
    assert client.post("/take", json={}, headers={"x-tab": "two"}).json()["mine"]
    assert client.post("/take", json={}).status_code == 400
    assert (mine("one"), accept("one"), accept("two")) == (False, 409, 200)
    now[0] += AWAY + 1
    assert (mine("one"), mine("two")) == (True, False)


def test_another_server_goes_on(open_session: Opener, scene: Scene) -> None:
    """One that was killed: nothing was told to it."""
    first = client_of(open_session())
    content = {"content": png(scene[1][0]), "headers": TAB | PNG}
    assert first.put("/mask/0", **content).status_code == 200
    first.put("/view", json={"frame": 7}, headers=TAB)
    second = client_of(open_session())
    status = second.get("/status", headers={"x-tab": "new"}).json()
    assert status["mine"]
    assert status["view"]["frame"] == 7
    assert status["keyframes"] == [0]
    assert np.array_equal(mask_of(second, 0)[0], scene[1][0])
    assert second.post("/undo/0", json={}, headers={"x-tab": "new"}).json()["keyframes"] == []


def test_palette(client: TestClient) -> None:
    colours = client.get("/palette").content
    assert len(colours) == 768
    assert tuple(colours[3:6]) == (240, 16, 16)


def test_routes_that_change_things_are_all_guarded(session: Session) -> None:
    """None of them does anything for a tab that may not."""
    client = client_of(session)
    client.get("/status", headers={"x-tab": "other"})
    routes = [route for route in make_app(session).routes if route.methods & {"PUT", "POST"}]
    assert len(routes) == 15
    for route in routes:
        method = (route.methods & {"PUT", "POST"}).pop()
        address = route.path.replace("{number:int}", "0")
        if address != "/take":
            assert client.request(method, address, json={}, headers=TAB).status_code == 409


def test_the_script_asks_for_what_there_is(client: TestClient) -> None:
    """Each address in it is one of the server's, with the method; each button and key does something."""
    import re

    script, text = client.get("/page.js").text, client.get("/").text
    asked = re.findall(r"""(?:change|ask)\("(GET|PUT|POST)", ["`]([^"`?]*)""", script)
    asked += [("GET", "frame/${frame}"), ("GET", "output/${suffix}")]
    routes = {(method, route.path) for route in make_app_routes(client) for method in route.methods}
    found = {(method, "/" + re.sub(r"\$\{[\w.]+\}", "{}", address)) for method, address in asked}
    known = {(method, re.sub(r"\{[^}]+\}", "{}", path)) for method, path in routes}
    assert found <= known
    pages = {("GET", address) for address in ("/", "/page.js", "/page.css")}
    assert {each for each in known if each[0] != "HEAD"} - found == pages
    can = set(re.findall(r"^  (\w+)[:,]", script.split("const DO = {")[1].split("\n};")[0], re.MULTILINE))
    keys = script.split("const KEYS = {")[1].split("\n};")[0]
    assert set(re.findall(r': "(\w+)"', keys)) <= can
    assert set(re.findall(r'data-do="(\w+)"', text)) <= can
    ids = set(re.findall(r'id="(\w+)"', text))
    assert set(re.findall(r'\$\("(\w+)"\)', script)) <= ids


def make_app_routes(client: TestClient) -> list[Any]:
    return list(client.app.app.routes)


def test_the_script_is_javascript(tmp_path: Path) -> None:
    import shutil
    import subprocess

    node = shutil.which("node")
    if not node:
        pytest.skip("no Node.js")
    shutil.copy(server.PAGE / "page.js", tmp_path / "page.mjs")
    subprocess.run([node, "--check", tmp_path / "page.mjs"], check=True)


def test_a_disk_that_cannot_be_written_to(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*rest: object) -> None:
        raise OSError(28, "No space left on device", "in_annotations/00000.png")

    client = client_of(session)
    monkeypatch.setattr(session.masks, "write", fail)
    answer = client.post("/accept/0", json={}, headers=TAB)
    assert answer.status_code == 500
    assert answer.json()["error"] == "in_annotations/00000.png: No space left on device"


def test_page_files_are_known(session: Session) -> None:
    assert {path.suffix for path in server.PAGE.iterdir()} == {".html", ".js", ".css"}
