// The page of `spvos annotate`. All that counts is on the server: this draws it, and sends what is done.

const $ = (id) => document.getElementById(id);
const TAB = (sessionStorage.tab ??= crypto.getRandomValues(new Uint32Array(4)).join("-"));
const POLL = { running: 400, idle: 2000 }; // milliseconds
const LEVELS = 100; // of confidence in a byte of the timeline
const EVENT = 128; // is added to it
const GRID_FROM = 8; // screen pixels in one of the frame from which on they are told apart
const OUTPUTS = {
  "": "masks, a PNG a frame", ".mp4": "overlay video", ".mkv": "label video, lossless",
  ".mov": "cut-out, ProRes 4444", ".webm": "cut-out, VP9", ".json": "COCO", ".jsonl": "records",
  ".png": "contact sheet", ".objects": "a mask for each object", ".rgba": "cut-outs, a PNG a frame",
  ".mots": "MOTS", ".soft": "probabilities",
};

let how = null; // what the server last said
let palette = new Uint8Array(768);
let summary = new Uint8Array(0); // a byte a frame
const at = { frame: 0, wanted: null, live: false }; // live: the newest frame is shown while objects are followed
const shown = { frame: -1, key: "", image: null, full: false, ids: null, kind: "unknown" };
const tool = { name: "box", object: 1, size: 12, drag: null };
const place = { scale: 1, left: 0, top: 0, fitted: true };
const line = { first: 0, count: 0 }; // the part of the timeline that is shown
const layer = document.createElement("canvas"); // masks in colours, at the frame's size
const view = $("view").getContext("2d");
const timeline = $("timeline").getContext("2d");
let queue = Promise.resolve(); // changes go one after the other
let pending = 0, changes = 0, edits = 0, held = false, panned = false, timer = 0;

// --- the server ---------------------------------------------------------------------------------------------

async function ask(method, address, body) {
  const headers = { "X-Tab": TAB };
  if (body !== undefined) headers["Content-Type"] = body instanceof Blob ? body.type : "application/json";
  const content = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(address, { method, headers, body: content });
  } catch {
    throw new Error(`spvos has ended; run it again to go on: spvos annotate ${how ? how.name : "INPUT"}`);
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let error = text;
  try { error = JSON.parse(text).error ?? text; } catch { /* plain text */ }
  throw new Error(error);
}

function change(method, address, body = {}) {
  // Does something on the server after all that was asked for before; what comes back is how things are then.
  pending += 1;
  changes += 1;
  busy();
  const done = queue.then(async () => ask(method, address, await body)).then((answer) => answer.json());
  queue = done.then(() => {}, () => {}).then(() => { pending -= 1; });
  return done.then(
    async (status) => {
      await queue;
      if ($("status").classList.contains("error")) say(""); // of an earlier change
      await apply(status);
    },
    async (error) => { await queue; shown.key = ""; await refresh(); say(error.message, true); },
  ).then(busy);
}

async function refresh() {
  const count = changes;
  try {
    const status = await (await ask("GET", "status")).json();
    if (count === changes) await apply(status); // else what comes back of the change is newer
  } catch (error) {
    say(error.message, true);
  }
  busy();
}

async function poll() {
  await refresh();
  pollIn(how?.job?.running ? POLL.running : POLL.idle);
}

function pollIn(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(poll, milliseconds);
}

async function apply(status) {
  const before = how;
  how = status;
  const job = status.job, was = before?.job;
  document.body.classList.toggle("readonly", !status.mine);
  $("banner").hidden = status.mine;
  $("hint").hidden = status.keyframes.length > 0;
  $("command").textContent = status.command;
  for (const button of document.querySelectorAll("[data-do]")) {
    const name = button.dataset.do;
    button.disabled = !LOOKING.includes(name) && (!status.mine || (name === "stop" && !job?.running));
  }
  if (JSON.stringify(before?.objects) !== JSON.stringify(status.objects)) listObjects();
  if (!before) await begin();
  else showJob(job, was);
  await updateSummary(before);
  if (at.live && job?.running && job.kind === "follow" && job.frame >= 0) await show(job.frame);
  if (maskKey(at.frame) !== shown.key) await show(at.frame);
  drawTimeline();
}

async function begin() {
  palette = new Uint8Array(await (await ask("GET", "palette")).arrayBuffer());
  layer.width = how.width;
  layer.height = how.height;
  at.frame = how.view.frame;
  document.title = `${how.name} – spvos annotate`;
  line.count = how.frames;
  $("timeline").setAttribute("aria-valuemax", how.frames - 1);
  tool.object = Number(Object.keys(how.objects)[0] ?? 1);
  listObjects();
  fit();
}

async function updateSummary(before) {
  const job = how.job;
  if (!before || summary.length !== how.frames) summary = new Uint8Array(how.frames);
  const same = before && before.version === how.version && !!before.job?.running === !!job?.running;
  let from = 0, to = how.frames;
  if (same && !job?.running) return;
  if (same) {
    from = Math.max(0, before.job.frame);
    to = job.frame + 1;
    if (job.kind !== "follow" || to <= from) return;
  }
  summary.set(new Uint8Array(await (await ask("GET", `timeline?from=${from}&to=${to}`)).arrayBuffer()), from);
}

function showJob(job, was) {
  $("progress").hidden = !job?.running;
  if (job?.running) {
    $("progress").value = job.total ? job.done / job.total : 0;
    const left = job.seconds_left === null ? "" : `, ${Math.ceil(job.seconds_left)} s left`;
    say(`${job.kind}: ${job.done} of ${job.total ?? "?"} frames, ${job.fps.toFixed(1)} fps${left}`);
  } else if (job && (was?.running || was?.number !== job.number)) {
    say([job.result, ...job.notes].join("; "), job.failed);
    at.live = false;
    if (job.kind === "export" && !job.failed) listLinks();
  }
}

// --- frames and masks ---------------------------------------------------------------------------------------

function kindOf(frame) {
  if (how.keyframes.includes(frame)) return "keyframe";
  const behind = how.behind && frame >= how.behind[0] && frame < how.behind[1];
  if (behind) return "current";
  if (!(summary[frame] & (EVENT - 1))) return "unknown";
  if (how.stale.some(([start, end]) => frame >= start && frame < end)) return "stale";
  return frame < how.valid ? "current" : "older";
}

const maskKey = (frame) => `${frame} ${how.version} ${kindOf(frame)} ${frame < how.valid}`;

async function show(frame) {
  // Shows a frame; of several that are wanted meanwhile only the last.
  at.frame = frame;
  if (at.wanted !== null) { at.wanted = frame; return; }
  at.wanted = frame;
  while (true) {
    const now = at.wanted;
    busy();
    try {
      await load(now);
    } catch (error) {
      say(error.message, true);
    }
    if (at.wanted === now) break;
  }
  at.wanted = null;
  remember();
  busy();
}

async function load(frame) {
  const key = maskKey(frame), count = edits;
  const edited = () => shown.frame === frame && (tool.drag || pending || count !== edits);
  const [image, mask] = await Promise.all([picture(frame), edited() ? null : masks(frame)]);
  shown.image = image;
  if (mask && !edited()) Object.assign(shown, { ids: mask.ids, kind: mask.kind, key });
  shown.frame = frame;
  colour();
  draw();
  drawTimeline();
  for (const next of [frame + 1, frame + 2]) if (next < how.frames) new Image().src = address(next, false);
}

const address = (frame, full) => `frame/${frame}?v=${how.digest}${full ? "&full=1" : ""}`;

async function picture(frame) {
  const full = place.scale * devicePixelRatio * how.width > 1600 && how.width > 1280;
  if (shown.frame === frame && shown.image && shown.full === full) return shown.image;
  const image = new Image();
  image.src = address(frame, full);
  await image.decode();
  shown.full = full;
  return image;
}

async function masks(frame) {
  const answer = await ask("GET", `mask/${frame}`);
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const image = await createImageBitmap(await answer.blob(), options);
  const canvas = new OffscreenCanvas(how.width, how.height).getContext("2d", { willReadFrequently: true });
  canvas.drawImage(image, 0, 0);
  const pixels = canvas.getImageData(0, 0, how.width, how.height).data;
  const ids = new Uint8Array(how.width * how.height);
  for (let i = 0; i < ids.length; i++) ids[i] = pixels[4 * i];
  return { ids, kind: answer.headers.get("X-Kind") };
}

function encoded() {
  // The masks as a PNG of ids.
  const canvas = new OffscreenCanvas(how.width, how.height);
  const pixels = new ImageData(how.width, how.height);
  new Uint32Array(pixels.data.buffer).set(Uint32Array.from(shown.ids, (id) => (0xff000000 | (id * 0x010101)) >>> 0));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

let remembering = 0;
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    if (how.mine && how.view.frame !== at.frame && !at.live) setMarks({});
  }, 300);
}

function setMarks(marks) {
  Object.assign(how.view, { frame: at.frame }, marks); // for what is sent before an answer comes
  return change("PUT", "view", { ...how.view });
}

function go(frame) {
  if (tool.drag) return;
  at.live = false;
  return show(Math.max(0, Math.min(how.frames - 1, frame)));
}

// --- drawing ------------------------------------------------------------------------------------------------

function colour(x0 = 0, y0 = 0, x1 = how.width, y1 = how.height) {
  // Makes colours of masks, in a part of the frame.
  x0 = Math.max(0, x0 - 1); y0 = Math.max(0, y0 - 1); x1 = Math.min(how.width, x1 + 1); y1 = Math.min(how.height, y1 + 1);
  if (!shown.ids || x1 <= x0 || y1 <= y0) return;
  const { ids } = shown, width = how.width, height = how.height, look = $("look").value;
  const fill = look === "overlay" ? Math.round(2.55 * $("opacity").value) : 0;
  const hidden = new Set(Object.entries(how.objects).filter(([, facts]) => !facts.visible).map(([id]) => Number(id)));
  const pixels = new ImageData(x1 - x0, y1 - y0), data = pixels.data;
  for (let y = y0, p = 0; y < y1; y++) {
    for (let x = x0; x < x1; x++, p += 4) {
      const i = y * width + x, id = ids[i], there = id && !hidden.has(id);
      if (look === "matte") {
        data[p] = data[p + 1] = data[p + 2] = there ? 255 : 0;
        data[p + 3] = 255;
      } else if (look === "cutout") {
        data[p] = data[p + 1] = data[p + 2] = ((x >> 3) + (y >> 3)) & 1 ? 150 : 200;
        data[p + 3] = there ? 0 : 255;
      } else if (there) {
        const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1
          || ids[i - 1] !== id || ids[i + 1] !== id || ids[i - width] !== id || ids[i + width] !== id;
        data[p] = palette[3 * id]; data[p + 1] = palette[3 * id + 1]; data[p + 2] = palette[3 * id + 2];
        data[p + 3] = edge ? 255 : fill;
      }
    }
  }
  layer.getContext("2d").putImageData(pixels, x0, y0);
}

function resize(canvas) {
  const width = Math.round(canvas.clientWidth * devicePixelRatio), height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
}

function fit() {
  const { clientWidth: width, clientHeight: height } = $("view");
  place.scale = Math.min(width / how.width, height / how.height);
  place.left = (width - place.scale * how.width) / 2;
  place.top = (height - place.scale * how.height) / 2;
  place.fitted = true;
  draw();
}

function draw() {
  const canvas = $("view");
  resize(canvas);
  const { scale, left, top } = place;
  Object.assign(canvas.dataset, { scale, left, top });
  view.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  view.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  if (!shown.image) return;
  view.setTransform(scale * devicePixelRatio, 0, 0, scale * devicePixelRatio, left * devicePixelRatio, top * devicePixelRatio);
  view.imageSmoothingEnabled = scale < GRID_FROM;
  view.drawImage(shown.image, 0, 0, how.width, how.height);
  view.imageSmoothingEnabled = scale < 1;
  view.drawImage(layer, 0, 0);
  view.lineWidth = 1 / scale;
  if (scale >= GRID_FROM) drawGrid(canvas);
  const drag = tool.drag;
  if (drag?.kind === "box") {
    view.strokeStyle = "#fff";
    view.setLineDash([4 / scale, 3 / scale]);
    view.strokeRect(...boxOf(drag));
    view.setLineDash([]);
  }
  if (pointer && ["brush", "eraser"].includes(tool.name)) {
    view.strokeStyle = "#fff";
    view.beginPath();
    view.arc(pointer.x, pointer.y, tool.size / 2, 0, 7);
    view.stroke();
  }
}

function drawGrid(canvas) {
  const [x0, y0] = [-place.left / place.scale, -place.top / place.scale].map((v) => Math.max(0, Math.floor(v)));
  const x1 = Math.min(how.width, (canvas.clientWidth - place.left) / place.scale);
  const y1 = Math.min(how.height, (canvas.clientHeight - place.top) / place.scale);
  view.strokeStyle = "#8886";
  view.beginPath();
  for (let x = x0; x <= x1; x++) { view.moveTo(x, y0); view.lineTo(x, y1); }
  for (let y = y0; y <= y1; y++) { view.moveTo(x0, y); view.lineTo(x1, y); }
  view.stroke();
}

function drawTimeline() {
  if (!how) return;
  const canvas = $("timeline");
  resize(canvas);
  const { width, height } = canvas, keyframes = new Set(how.keyframes);
  timeline.clearRect(0, 0, width, height);
  const bar = Math.max(1, width / line.count);
  for (let x = 0; x < width; x += bar) {
    const from = Math.floor(line.first + (x / width) * line.count + 1e-6);
    const to = Math.max(from + 1, Math.floor(line.first + ((x + bar) / width) * line.count + 1e-6));
    let least = 255, event = false, frame = from;
    for (let n = from; n < Math.min(to, how.frames); n++) {
      const level = summary[n] & (EVENT - 1);
      if (level < least) { least = level; frame = n; }
      event ||= (summary[n] & EVENT) > 0;
    }
    const kind = kindOf(frame), gap = bar > 6 ? 1 : 0;
    const light = least ? 30 + 35 * Math.max(0, (2 * least) / LEVELS - 1) : 65; // below a half all is dark
    timeline.fillStyle = kind === "unknown" ? "#8885" : `hsl(215 70% ${light}% / ${kind === "older" ? 0.6 : 1})`;
    timeline.fillRect(x, 0, bar - gap, height);
    if (kind === "stale") {
      timeline.fillStyle = "#fff8";
      for (let y = -x % 8; y < height; y += 8) timeline.fillRect(x, Math.max(0, y), bar - gap, 3);
    }
    if (event) { timeline.fillStyle = "#e5484d"; timeline.fillRect(x, height - 6, Math.max(2, bar - gap), 6); }
  }
  const spot = (frame) => ((frame - line.first) / line.count) * width;
  timeline.fillStyle = "#ffb224";
  for (const frame of keyframes) timeline.fillRect(spot(frame), 0, Math.max(3, bar - 1), height * 0.55);
  timeline.fillStyle = "#0008";
  if (how.view.start) timeline.fillRect(0, 0, spot(how.view.start), height);
  if (how.view.end !== null) timeline.fillRect(spot(how.view.end), 0, width, height);
  timeline.fillStyle = "#f0f";
  timeline.fillRect(spot(at.frame + 0.5) - 1, 0, 2, height);
  const marks = [how.view.start && `In ${how.view.start}`, how.view.end !== null && `Out ${how.view.end}`];
  const seconds = (at.frame / how.rate).toFixed(2);
  $("place").value = [`frame ${at.frame} of ${how.frames}`, `${seconds} s`, kindOf(at.frame), ...marks].filter(Boolean).join(", ");
  $("timeline").setAttribute("aria-valuenow", at.frame);
}

// --- objects ------------------------------------------------------------------------------------------------

function listObjects() {
  const items = Object.entries(how.objects).map(([text, facts]) => {
    const id = Number(text), item = document.createElement("li"), swatch = document.createElement("canvas");
    swatch.width = swatch.height = 1;
    const dot = swatch.getContext("2d");
    dot.fillStyle = `rgb(${palette.slice(3 * id, 3 * id + 3).join(" ")})`;
    dot.fillRect(0, 0, 1, 1);
    const choose = button(text, `Object ${id}`, () => { tool.object = id; listObjects(); });
    const name = document.createElement("input");
    Object.assign(name, { value: facts.name, placeholder: "name", ariaLabel: `Name of object ${id}`, maxLength: 100 });
    name.onchange = () => setObject(id, { name: name.value });
    const see = button(facts.visible ? "◉" : "○", `${facts.visible ? "Hide" : "Show"} object ${id}`, () => setObject(id, { visible: !facts.visible }));
    const lock = button(facts.locked ? "▣" : "▢", `${facts.locked ? "Unlock" : "Lock"} object ${id}`, () => setObject(id, { locked: !facts.locked }));
    const remove = button("✕", `Remove object ${id}`, () => removeObject(id));
    item.append(swatch, choose, name, see, lock, remove);
    item.setAttribute("aria-current", id === tool.object);
    return item;
  });
  $("objects").replaceChildren(...items);
  colour();
  draw();
}

function button(text, label, act) {
  const made = document.createElement("button");
  Object.assign(made, { textContent: text, title: label, ariaLabel: label, onclick: act });
  return made;
}

const setObject = (id, facts) => change("PUT", `object/${id}`, { ...how.objects[id], ...facts });

function newObject() {
  const id = Array.from({ length: 254 }, (_, n) => n + 1).find((n) => !(n in how.objects));
  if (!id) return say("there are 254 objects already", true);
  tool.object = id;
  return setObject(id, {});
}

function removeObject(id = tool.object) {
  if (id in how.objects && confirm(`Remove object ${id} from all keyframes?`)) change("POST", `remove/${id}`);
}

// --- the pointer --------------------------------------------------------------------------------------------

let pointer = null;

function spotOf(event) {
  const frame = $("view").getBoundingClientRect();
  return { x: (event.clientX - frame.left - place.left) / place.scale, y: (event.clientY - frame.top - place.top) / place.scale };
}

function boxOf({ from, to }) {
  const [x0, x1] = [from.x, to.x].sort((a, b) => a - b).map(Math.round);
  const [y0, y1] = [from.y, to.y].sort((a, b) => a - b).map(Math.round);
  return [x0, y0, x1 - x0, y1 - y0];
}

function stamp(from, to, id) {
  // A stroke of the brush from one place to another; the eraser has id 0.
  const radius = tool.size / 2, { ids } = shown, { width, height } = how;
  const locked = new Set(Object.entries(how.objects).filter(([, facts]) => facts.locked).map(([text]) => Number(text)));
  const x0 = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius)), x1 = Math.min(width, Math.ceil(Math.max(from.x, to.x) + radius));
  const y0 = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius)), y1 = Math.min(height, Math.ceil(Math.max(from.y, to.y) + radius));
  const dx = to.x - from.x, dy = to.y - from.y, length = dx * dx + dy * dy;
  const reach = Math.max(radius, 0.5) ** 2;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const px = x + 0.5 - from.x, py = y + 0.5 - from.y;
      const t = length ? Math.max(0, Math.min(1, (px * dx + py * dy) / length)) : 0;
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 > reach) continue;
      const i = y * width + x;
      if (locked.has(ids[i]) || (id === 0 && ids[i] !== tool.object)) continue;
      ids[i] = id;
    }
  }
  colour(x0, y0, x1, y1);
}

function press(event) {
  $("view").focus();
  const spot = spotOf(event);
  if (event.button === 1 || held) {
    tool.drag = { kind: "pan", x: event.clientX - place.left, y: event.clientY - place.top };
    panned = true;
  } else if (!how.mine || shown.frame !== at.frame || !shown.ids) {
    return;
  } else if (tool.name === "box" && event.button === 0) {
    tool.drag = { kind: "box", from: spot, to: spot };
  } else if (tool.name === "add" || tool.name === "remove") {
    const positive = (tool.name === "add") === (event.button !== 2);
    const click = [Math.floor(spot.x), Math.floor(spot.y)];
    change("POST", `prompt/${at.frame}`, { object: tool.object, click, positive });
  } else if (event.button === 0 && ["brush", "eraser"].includes(tool.name)) {
    if (how.objects[tool.object]?.locked) return say(`object ${tool.object} is locked`, true);
    edits += 1;
    tool.drag = { kind: "stroke", at: spot, id: tool.name === "brush" ? tool.object : 0 };
    stamp(spot, spot, tool.drag.id);
  }
  if (tool.drag) $("view").setPointerCapture(event.pointerId);
  draw();
}

function move(event) {
  pointer = spotOf(event);
  const drag = tool.drag;
  if (drag?.kind === "pan") {
    Object.assign(place, { left: event.clientX - drag.x, top: event.clientY - drag.y, fitted: false });
  } else if (drag?.kind === "box") {
    drag.to = pointer;
  } else if (drag?.kind === "stroke") {
    stamp(drag.at, pointer, drag.id);
    drag.at = pointer;
  }
  draw();
}

function release() {
  const drag = tool.drag, frame = at.frame;
  tool.drag = null;
  if (drag?.kind === "box") {
    const [x, y, width, height] = boxOf(drag);
    if (width > 2 && height > 2) change("POST", `prompt/${frame}`, { object: tool.object, box: [x, y, width, height] });
  } else if (drag?.kind === "stroke") {
    change("PUT", `mask/${frame}`, encoded());
  }
  draw();
}

function wheel(event) {
  event.preventDefault();
  if (event.altKey) return setSize(tool.size * (event.deltaY > 0 ? 0.87 : 1.15));
  const spot = spotOf(event), scale = Math.max(0.05, Math.min(64, place.scale * Math.exp(-event.deltaY / 400)));
  place.left += spot.x * (place.scale - scale);
  place.top += spot.y * (place.scale - scale);
  Object.assign(place, { scale, fitted: false });
  draw();
  if (how.width > 1280 && !shown.full) show(at.frame);
}

function setSize(size) {
  tool.size = Math.max(1, Math.min(200, Math.round(size)));
  $("size").value = tool.size;
  draw();
}

function setTool(name) {
  tool.name = name;
  for (const each of document.querySelectorAll("[data-tool]")) each.setAttribute("aria-pressed", each.dataset.tool === name);
  draw();
}

// --- what buttons and keys do -------------------------------------------------------------------------------

async function follow(toEnd) {
  at.live = true;
  await change("POST", "follow", { frame: at.frame, to_end: toEnd });
  pollIn(100);
}

function leastSure() {
  const known = [...summary.keys()].filter((n) => n < how.valid && summary[n] & (EVENT - 1) && !how.keyframes.includes(n));
  if (!known.length) return say("no frame was found by the network yet: press space first");
  go(known.reduce((best, n) => ((summary[n] & (EVENT - 1)) < (summary[best] & (EVENT - 1)) ? n : best)));
}

function listLinks() {
  const files = [...document.querySelectorAll("#outputs input:checked")].map((box) => box.value).filter((s) => /^\.(mp4|mkv|mov|webm|jsonl?|png)$/.test(s));
  $("links").replaceChildren(...files.map((suffix) => {
    const item = document.createElement("li"), link = document.createElement("a");
    Object.assign(link, { href: `output/${suffix}`, textContent: OUTPUTS[suffix], download: "" });
    item.append(link);
    return item;
  }));
}

const DO = {
  undo: () => change("POST", `undo/${at.frame}`),
  redo: () => change("POST", `redo/${at.frame}`),
  accept: () => change("POST", `accept/${at.frame}`),
  forget: () => change("POST", `forget/${at.frame}`),
  follow: () => follow(false),
  followToEnd: () => follow(true),
  backward: () => change("POST", "backward").then(() => pollIn(100)),
  stop: () => change("POST", "stop"),
  take: () => change("POST", "take"),
  newObject,
  removeObject: () => removeObject(),
  fit,
  help: () => $("help").showModal(),
  export: () => { $("backward").checked = how.view.backward; $("export").showModal(); },
  markIn: () => setMarks({ start: at.frame }),
  markOut: () => setMarks({ end: at.frame }),
  unmark: () => setMarks({ start: null, end: null }),
  nextKeyframe: () => go(how.keyframes.find((k) => k > at.frame) ?? how.keyframes[0] ?? at.frame),
  leastSure,
  bring: () => $("bring").click(),
  copy: async () => {
    try { await navigator.clipboard.writeText(how.command); say("the command is copied"); }
    catch { getSelection().selectAllChildren($("command")); say("press Ctrl+C to copy the command"); }
  },
  previous: () => go(at.frame - 1),
  next: () => go(at.frame + 1),
  tenBack: () => go(at.frame - 10),
  tenOn: () => go(at.frame + 10),
  first: () => go(0),
  last: () => go(how.frames - 1),
  smaller: () => setSize(Math.min(tool.size - 1, tool.size * 0.87)),
  larger: () => setSize(Math.max(tool.size + 1, tool.size * 1.15)),
};
const KEYS = {
  "ctrl+z": "undo", "ctrl+shift+z": "redo", "ctrl+y": "redo", "ctrl+b": "backward", enter: "accept", backspace: "forget",
  escape: "stop", n: "newObject", delete: "removeObject", 0: "fit", "?": "help", i: "markIn", o: "markOut",
  k: "nextKeyframe", j: "leastSure", arrowleft: "previous", arrowright: "next", "shift+arrowleft": "tenBack",
  "shift+arrowright": "tenOn", home: "first", end: "last", "[": "smaller", "]": "larger",
};
const LOOKING = ["take", "fit", "help", "export", "nextKeyframe", "leastSure", "copy"]; // change nothing
const TOOLS = { x: "box", a: "add", r: "remove", b: "brush", e: "eraser" };
const LOOKS = { f1: "overlay", f2: "outline", f3: "matte", f4: "cutout" };

function keydown(event) {
  if (!how || event.target.closest("input:not([type=range]), dialog")) return;
  if (event.target.matches("button:focus-visible, select") && [" ", "Enter"].includes(event.key)) return;
  const key = event.key.toLowerCase(), control = event.ctrlKey || event.metaKey;
  const shift = event.shiftKey && key.length > 1 || event.shiftKey && control;
  const name = `${control ? "ctrl+" : ""}${shift ? "shift+" : ""}${key}`;
  if (key === " ") {
    if (!held) panned = false;
    held = true;
  } else if (name in KEYS) {
    DO[KEYS[name]]();
  } else if (!control && key in TOOLS) {
    setTool(TOOLS[key]);
  } else if (key in LOOKS) {
    $("look").value = LOOKS[key];
    colour();
    draw();
  } else if (!control && /^[1-9]$/.test(key) && key in how.objects) {
    tool.object = Number(key);
    listObjects();
  } else {
    return;
  }
  event.preventDefault();
}

function keyup(event) {
  if (event.key !== " " || !held) return;
  held = false;
  if (!panned) follow(event.shiftKey);
  event.preventDefault();
}

function say(text, error = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", error);
}

function busy() {
  // What assistive tools and tests can wait for.
  document.body.dataset.busy = !how || pending > 0 || at.wanted !== null || !!how.job?.running;
  Object.assign(document.body.dataset, { frame: shown.frame, kind: shown.kind });
}

function scrub(event) {
  if (!event.buttons) return;
  const frame = $("timeline").getBoundingClientRect();
  go(Math.floor(line.first + ((event.clientX - frame.left) / frame.width) * line.count));
}

function zoomTimeline(event) {
  event.preventDefault();
  const frame = $("timeline").getBoundingClientRect(), share = (event.clientX - frame.left) / frame.width;
  const count = Math.max(20, Math.min(how.frames, line.count * Math.exp(event.deltaY / 400)));
  line.first = Math.max(0, Math.min(how.frames - count, line.first + share * (line.count - count)));
  line.count = count;
  drawTimeline();
}

// --- the start ----------------------------------------------------------------------------------------------

for (const each of document.querySelectorAll("[data-tool]")) each.onclick = () => setTool(each.dataset.tool);
for (const each of document.querySelectorAll("[data-do]")) each.onclick = () => DO[each.dataset.do]();
for (const [suffix, text] of Object.entries(OUTPUTS)) {
  const label = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, { type: "checkbox", value: suffix, checked: ["", ".mp4"].includes(suffix) });
  label.append(box, ` ${text}${suffix ? ` (${suffix})` : ""}`);
  $("outputs").append(label);
}
$("backward").onchange = () => setMarks({ backward: $("backward").checked });
$("export").onclose = () => {
  if ($("export").returnValue !== "start") return;
  const outputs = [...document.querySelectorAll("#outputs input:checked")].map((box) => box.value);
  change("POST", "export", { outputs, overwrite: $("overwrite").checked }).then(() => pollIn(100));
};
$("bring").onchange = () => {
  const file = $("bring").files[0], type = /\.json$/i.test(file?.name) ? "application/json" : "image/png";
  $("bring").value = ""; // so that the same file can be chosen again
  if (file) change("PUT", `import/${at.frame}`, new Blob([file], { type }));
};
$("size").oninput = () => setSize(Number($("size").value));
$("look").onchange = $("opacity").oninput = () => { colour(); draw(); };
const canvas = $("view");
Object.assign(canvas, { onpointerdown: press, onpointermove: move, onpointerup: release, onpointercancel: release });
canvas.onpointerleave = () => { pointer = null; draw(); };
canvas.oncontextmenu = (event) => event.preventDefault();
canvas.addEventListener("wheel", wheel, { passive: false });
$("timeline").onpointerdown = (event) => { $("timeline").setPointerCapture(event.pointerId); scrub(event); };
$("timeline").onpointermove = scrub;
$("timeline").addEventListener("wheel", zoomTimeline, { passive: false });
addEventListener("keydown", keydown);
addEventListener("keyup", keyup);
addEventListener("blur", () => { held = false; });
new ResizeObserver(() => { if (how) { if (place.fitted) fit(); else draw(); drawTimeline(); } }).observe(document.querySelector("main"));
poll();
