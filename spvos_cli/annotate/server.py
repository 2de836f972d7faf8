"""What the page asks for and has done, over HTTP. Frames are numbers, outputs are suffixes, and no path ever
comes from the page."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from spvos_cli.annotate.bring import ids_of_file
from spvos_cli.annotate.editor import Editor
from spvos_cli.annotate.export import OUTPUTS, Wish
from spvos_cli.annotate.frame_reader import NoFrame
from spvos_cli.annotate.masks import grey_png
from spvos_cli.annotate.objects import ObjectFacts, PageView
from spvos_cli.annotate.pictures import WIDEST, ids_of_png, jpeg, most_png_bytes
from spvos_cli.annotate.session import Session
from spvos_cli.annotate.tabs import Tabs
from spvos_cli.annotate.worker import Refused
from spvos_cli.video.palettes import overlay_colours, voc_palette

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
JSON_BYTES = 2**16  # that a request may send
FOREVER = "private, max-age=31536000, immutable"  # of frames, whose addresses tell videos apart
Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[int, bytes], None]  # the number in the address, and what was sent


def make_app(session: Session, tabs: Tabs | None = None) -> Starlette:
    """The routes of a session, which `Guard` has to stand before."""
    routes = Routes(session, tabs or Tabs())
    reading = {
        "/status": routes.status,
        "/palette": routes.palette,
        "/timeline": routes.timeline,
        "/frame/{number:int}": routes.frame,
        "/mask/{number:int}": routes.mask,
        "/output/{suffix}": routes.output,
    }
    changing: dict[str, tuple[str, Act]] = {
        "/mask/{number:int}": ("PUT", routes.paint),
        "/import/{number:int}": ("PUT", routes.bring),
        "/prompt/{number:int}": ("POST", routes.prompt),
        "/accept/{number:int}": ("POST", routes.edit_with(Editor.accept)),
        "/forget/{number:int}": ("POST", routes.edit_with(Editor.forget)),
        "/undo/{number:int}": ("POST", routes.edit_with(Editor.undo)),
        "/redo/{number:int}": ("POST", routes.edit_with(Editor.redo)),
        "/object/{number:int}": ("PUT", routes.set_object),
        "/remove/{number:int}": ("POST", lambda number, body: session.set_object(number, None)),
        "/view": ("PUT", routes.set_view),
        "/follow": ("POST", routes.follow),
        "/backward": ("POST", lambda number, body: session.follow_backward()),
        "/export": ("POST", routes.export),
        "/stop": ("POST", lambda number, body: session.worker.stop()),
    }
    files = {f"/{path.name}": path for path in sorted(PAGE.iterdir()) if path.suffix in TYPES}
    files["/"] = files.pop("/index.html")
    return Starlette(
        routes=[
            *(Route(at, _static(path)) for at, path in files.items()),
            *(Route(at, endpoint) for at, endpoint in reading.items()),
            *(Route(at, routes.changing(act), methods=[method]) for at, (method, act) in changing.items()),
            Route("/take", routes.take, methods=["POST"]),
        ],
        exception_handlers={Refused: _refused, NoFrame: _no_frame, OSError: _failed},
    )


class Routes:
    """What is behind the addresses."""

    def __init__(self, session: Session, tabs: Tabs) -> None:
        self.session, self.tabs = session, tabs
        self.most_bytes = max(JSON_BYTES, most_png_bytes(session.shape))

    def changing(self, act: Act) -> Endpoint:
        """An endpoint that does something, for the tab that may, and answers with how things are then."""

        async def endpoint(request: Request) -> Response:
            tab = request.headers.get("x-tab", "")
            if not self.tabs.hear(tab):
                raise Refused("another tab edits this video; take over to edit here")
            body = await _body(request, self.most_bytes)
            await run_in_threadpool(act, request.path_params.get("number", 0), body)
            return await self._how_things_are(tab)

        return endpoint

    async def status(self, request: Request) -> Response:
        """How things are. A tab asks every now and then, and while something runs more than twice a second:
        that shows that it is there, and a stream of events would bring nothing sooner."""
        return await self._how_things_are(request.headers.get("x-tab", ""))

    async def take(self, request: Request) -> Response:
        """A tab takes over."""
        tab = request.headers.get("x-tab", "")
        if not tab:
            raise HTTPException(400, "which tab?")
        self.tabs.take(tab)
        return await self._how_things_are(tab)

    async def palette(self, request: Request) -> Response:
        """The colours of ids, red, green and blue of one after the other."""
        return Response(overlay_colours(voc_palette()).tobytes(), media_type="application/octet-stream")

    async def timeline(self, request: Request) -> Response:
        """A byte a frame, `Predictions.summary`; from ?from= to before ?to=."""
        start, stop = (_number(request, name) for name in ("from", "to"))
        found = self.session.predictions.summary[: self.session.length]
        return Response(bytes(found[start:stop]), media_type="application/octet-stream")

    async def frame(self, request: Request) -> Response:
        """A JPEG, at most `WIDEST` wide but with ?full=1."""
        number, widest = request.path_params["number"], None if "full" in request.query_params else WIDEST

        def make() -> bytes:
            return jpeg(self.session.frame(number).image, widest)

        content = await run_in_threadpool(make)
        return Response(content, media_type="image/jpeg", headers={"cache-control": FOREVER})

    async def mask(self, request: Request) -> Response:
        """A grey PNG of ids; X-Kind says what it is, see `Session.labels`."""
        number = self._in_video(request.path_params["number"])

        def make() -> tuple[bytes, str]:
            ids, kind = self.session.labels(number)
            return grey_png(ids), kind

        content, kind = await run_in_threadpool(make)
        return Response(content, media_type="image/png", headers={"x-kind": kind})

    async def output(self, request: Request) -> Response:
        """A file that was exported, by its suffix."""
        name = OUTPUTS.get(request.path_params["suffix"], "").format(self.session.name)
        if not name or not Path(name).is_file():
            raise HTTPException(404, "no such output")
        return FileResponse(name, filename=name)

    def paint(self, number: int, body: bytes) -> None:
        """A PNG of ids becomes the mask of a frame."""
        ids = ids_of_png(body, self.session.shape)
        frame = self._in_video(number)
        self.session.edit(lambda editor, locked: editor.paint(frame, ids, locked))

    def bring(self, number: int, body: bytes) -> None:
        """A file of masks becomes the mask of a frame."""
        frame = self._in_video(number)
        ids = ids_of_file(body, frame, self.session.frames.source)
        self.session.edit(lambda editor, locked: editor.paint(frame, ids, locked))

    def prompt(self, number: int, body: bytes) -> None:
        """A box or a click; see `Editor.prompt`."""
        said, image = _record(body), self.session.frame(number).image
        id = said.get("object")
        if isinstance(id, bool) or not isinstance(id, int):
            raise Refused("no object is chosen")
        self.session.edit(lambda editor, locked: editor.prompt(number, id, said, image, locked))

    def edit_with(self, change: Callable[[Editor, int], None]) -> Act:
        """Something that is done with a frame."""

        def act(number: int, body: bytes) -> None:
            frame = self._in_video(number)
            self.session.edit(lambda editor, locked: change(editor, frame))

        return act

    def set_object(self, number: int, body: bytes) -> None:
        """Name, lock and visibility of an object."""
        self.session.set_object(number, ObjectFacts.of_record(_record(body)))

    def set_view(self, number: int, body: bytes) -> None:
        """Where the page is, and its marks."""
        self.session.set_view(PageView.of_record(_record(body), self.session.length))

    def follow(self, number: int, body: bytes) -> None:
        """From a frame to the next annotated one, or to the end."""
        record = _record(body)
        frame = PageView.of_record({"frame": record.get("frame", 0)}, self.session.length).frame
        self.session.follow(frame, to_end=record.get("to_end") is True)

    def export(self, number: int, body: bytes) -> None:
        """Makes outputs."""
        self.session.export(Wish.of_record(_record(body)))

    async def _how_things_are(self, tab: str) -> Response:
        mine = self.tabs.hear(tab)
        return JSONResponse(await run_in_threadpool(self.session.status) | {"mine": mine})

    def _in_video(self, number: int) -> int:
        if not 0 <= number < self.session.length:
            raise NoFrame(number)
        return number


def _static(path: Path) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])

    return endpoint


async def _body(request: Request, most: int) -> bytes:
    """What was sent; not more than is allowed is ever held."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise HTTPException(413, "more than a mask can be")
    return bytes(content)


def _record(body: bytes) -> dict[str, Any]:
    try:
        record = json.loads(body) if len(body) <= JSON_BYTES else None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise HTTPException(400, "no JSON object")
    return record


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 409)


async def _failed(request: Request, error: Exception) -> Response:
    """A full disk, or a folder that may not be written to."""
    assert isinstance(error, OSError)
    return JSONResponse({"error": f"{error.filename or 'disk'}: {error.strerror}"}, 500)


async def _no_frame(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"there is no frame {error}"}, 404)
