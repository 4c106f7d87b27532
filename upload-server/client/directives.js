// @ts-check
/** The `dj-*` attributes and the events on `window`. Listeners stand on the root: nothing is bound twice. */
import { filesOf, sizeText } from "./source.js";

const ROWS_PER_FRAME = 24;
const THUMB_PX = 320;
const BOXES = "[dj-upload-progress],[dj-upload-preview]";

function make(tag, cls, text = "", attributes = {}) {
  const e = /** @type {any} */ (document.createElement(tag));
  e.className = cls;
  e.textContent = text;
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  return e;
}

const slotOf = (box) => box.getAttribute("dj-upload-progress") ?? box.getAttribute("dj-upload-preview");

function timeText(s) {
  return s < 99 ? `${s} s` : s < 5940 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
}

function stateText(up) {
  const { status, phase, bytesPerSecond, secondsLeft } = up.progress;
  if (!up.ended && up.paused) return "Paused";
  if (status === "error") return up.error.message;
  if (status !== "uploading") return { queued: "Waiting", resuming: "Reconnecting", complete: "Done", cancelled: "Cancelled" }[status];
  if (phase !== "sending") return phase === "storing" ? "Storing" : "Finishing";
  return bytesPerSecond ? `${sizeText(bytesPerSecond)}/s, ${timeText(secondsLeft)} left` : "Uploading";
}

async function thumbnail(img, file) {
  let blob = file;
  try {
    const bitmap = await createImageBitmap(file, { resizeWidth: THUMB_PX, resizeQuality: "medium" });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    bitmap.close();
    blob = await canvas.convertToBlob();
  } catch {
    // SVG, for one, cannot be made a bitmap.
  }
  img.onload = img.onerror = () => URL.revokeObjectURL(img.src);
  img.src = URL.createObjectURL(blob);
}

export function bind(uploads, root = /** @type {Document | HTMLElement} */ (document)) {
  const stop = new AbortController();
  const filled = new WeakMap(); // container: slot it was filled for
  const placed = new WeakMap(); // upload: containers it has a row in
  const unseen = new WeakMap();
  const dirty = new Set();
  let scanning = true;
  let begun;
  let frame = 0;
  let thumbs = Promise.resolve();

  const all = (selector) => /** @type {any[]} */ ([...root.querySelectorAll(selector)]);
  const rowsOf = (ref) => all(`[data-upload-ref="${ref}"]`);
  const tell = (name, detail) => ["djust:upload:", "upload:"].map((prefix) => dispatchEvent(new CustomEvent(prefix + name, { detail })));
  const soon = () => (frame ||= requestAnimationFrame(draw));
  const later = (up) => {
    dirty.add(up);
    soon();
  };
  const rescan = () => {
    scanning = true;
    soon();
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      thumbs = thumbs.then(() => thumbnail(target, unseen.get(target)));
    }
  }, { rootMargin: "200px" });
  const watcher = new MutationObserver(rescan);
  watcher.observe(root, { subtree: true, childList: true, attributeFilter: ["dj-upload", "dj-upload-progress", "dj-upload-preview"] });

  const off = [
    uploads.on("configs", rescan),
    uploads.on("add", later),
    uploads.on("progress", (up) => {
      // At once: before the next frame it may have started over under another ref.
      if (up.ref !== up.offer) for (const row of rowsOf((up.offer = up.ref))) if (row.matches(".upload-pending")) row.remove();
      later(up);
      if (up.status !== "queued") tell("progress", up.progress);
    }),
    uploads.on("error", ({ upload: up, ...more }) => tell("error", { file: up?.file.name, ref: up?.ref, uploadName: up?.slot, ...more })),
    uploads.on("event", (m) => tell("event", m)),
  ];

  function draw() {
    frame = 0;
    if (scanning) scan();
    let left = ROWS_PER_FRAME;
    for (const up of dirty) {
      if (!left--) return soon();
      dirty.delete(up);
      const boxes = placed.get(up) ?? new Set();
      placed.set(up, boxes);
      for (const box of all(BOXES)) {
        if (slotOf(box) !== up.slot || boxes.has(box)) continue;
        boxes.add(box);
        box.append(box.hasAttribute("dj-upload-progress") ? progressRow(up, box) : previewTile(up));
      }
      if (up.ref !== up.shown) for (const row of rowsOf(up.shown)) row.dataset.uploadRef = up.ref;
      up.shown = up.ref;
      for (const row of rowsOf(up.ref)) update(row, up);
    }
  }

  function scan() {
    scanning = false;
    if (!begun && root.querySelector(`[dj-upload],[dj-upload-drop],[dj-submit],[dj-click],${BOXES}`)) begun = uploads.connect();
    for (const input of all("input[dj-upload]")) {
      const config = uploads.configs[input.getAttribute("dj-upload")];
      if (!config) continue;
      input.accept = config.accept;
      input.multiple = config.max_entries > 1;
    }
    for (const box of all(BOXES)) {
      const slot = slotOf(box);
      if (filled.get(box) === slot) continue;
      if (filled.has(box)) for (const row of [...box.querySelectorAll("[data-upload-ref]")]) row.remove();
      filled.set(box, slot);
      for (const up of uploads.uploads) {
        placed.get(up)?.delete(box);
        later(up);
      }
      if (box.hasAttribute("dj-upload-progress")) offer(box, slot);
    }
  }

  function update(row, up) {
    const { status, progress, mode } = up.progress;
    const paused = up.paused && !up.ended;
    row.dataset.status = paused ? "paused" : status;
    row.style.setProperty("--upload-progress", progress + "%");
    const bar = row.querySelector(".upload-progress-bar");
    bar?.style.setProperty("width", progress + "%");
    bar?.setAttribute("aria-valuenow", progress);
    write(row, ".upload-progress-text", progress + "%");
    write(row, ".upload-state", stateText(up));
    write(row, ".upload-pause", paused ? "Resume" : "Pause", up.ended || mode === "presigned");
    write(row, ".upload-retry", "Retry", status !== "error" || up.error.retry === "never");
    write(row, ".upload-cancel", up.ended ? "Remove" : "Cancel");
  }

  function write(row, selector, text, hidden = false) {
    const e = row.querySelector(selector);
    if (!e) return;
    e.hidden = hidden;
    if (e.textContent === text) return;
    e.textContent = text;
    if (e.title) e.ariaLabel = `${text} ${e.title}`;
  }

  function label(parent, name, size) {
    parent.append(make("span", "upload-name", name, { title: name }), make("span", "upload-size", sizeText(size)));
    return parent;
  }

  function rowWith(box, ref, name, size, middle, buttons) {
    const row = make(/^[UO]L$/.test(box.tagName) ? "li" : "div", "upload-row", "", { "data-upload-ref": ref });
    const actions = make("span", "upload-actions");
    for (const cls in buttons) {
      const b = make("button", cls, "", { type: "button", title: name });
      b.onclick = buttons[cls];
      actions.append(b);
    }
    label(row, name, size).append(...middle, make("span", "upload-state"), actions);
    return row;
  }

  function progressRow(up, box) {
    const name = up.relativePath ?? up.file.name;
    const track = make("div", "upload-progress-track");
    track.append(make("div", "upload-progress-bar", "", { role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 }));
    return rowWith(box, up.ref, name, up.file.size, [track, make("span", "upload-progress-text")], {
      "upload-pause": () => (up.paused ? up.resume() : up.pause()),
      "upload-retry": () => up.retry(),
      "upload-cancel": () => (up.ended ? rowsOf(up.ref).map((row) => row.remove()) : up.cancel()),
    });
  }

  function previewTile(up) {
    const { name, size, type } = up.file;
    const tile = make("figure", "upload-preview", "", { "data-upload-ref": up.ref });
    if (type.startsWith("image/")) {
      const img = make("img", "", "", { alt: "" });
      unseen.set(img, up.file);
      seen.observe(img);
      tile.append(img);
    }
    tile.append(label(make("figcaption", ""), name, size));
    return tile;
  }

  async function offer(box, slot) {
    for (const record of await uploads.pending(slot)) {
      const { ref, name, size, handle } = record;
      const row = rowWith(box, ref, name, size, [], {
        ...(handle && { "upload-resume": () => uploads.restore(record) }),
        "upload-cancel"() {
          uploads.forget(ref);
          row.remove();
        },
      });
      row.classList.add("upload-pending");
      write(row, ".upload-state", handle ? "Not finished" : "Pick this file again to continue");
      write(row, ".upload-resume", "Continue");
      write(row, ".upload-cancel", "Forget");
      box.append(row);
    }
  }

  async function fire(source, event, params, slots) {
    if (source.ariaBusy) return;
    source.ariaBusy = "true";
    const out = source.querySelector("output") ?? root.querySelector(`[dj-result="${CSS.escape(event)}"]`) ?? make("output", "");
    try {
      for (const slot of slots) await uploads.start(slot);
      const result = (await uploads.event(event, params)) ?? "";
      out.textContent = typeof result === "string" ? result : JSON.stringify(result);
      out.dataset.ok = true;
    } catch (/** @type {any} */ e) {
      out.textContent = e.message;
      out.dataset.ok = false;
    }
    source.ariaBusy = null;
  }

  function listen(type, name, act) {
    root.addEventListener(
      type,
      (/** @type {any} */ e) => {
        const found = e.target.closest?.(`[${name}]`);
        if (found) act(found, found.getAttribute(name), e);
      },
      { signal: stop.signal },
    );
  }

  const take = async (slot, transfer, e) => {
    if (!transfer?.types.includes("Files")) return;
    e.preventDefault();
    uploads.add(await filesOf(transfer), slot);
  };
  listen("change", "dj-upload", (input, slot) => {
    if (input.type !== "file") return;
    uploads.add([...input.files], slot);
    input.value = ""; // or picking the same file again would be no change
  });
  listen("paste", "dj-upload", (_, slot, e) => take(slot, e.clipboardData, e));
  listen("dragover", "dj-upload-drop", (zone, _, e) => {
    if (!e.dataTransfer.types.includes("Files")) return;
    e.preventDefault();
    zone.classList.add("upload-dragover");
  });
  listen("dragleave", "dj-upload-drop", (zone, _, e) => zone.contains(e.relatedTarget) || zone.classList.remove("upload-dragover"));
  listen("drop", "dj-upload-drop", (zone, slot, e) => {
    zone.classList.remove("upload-dragover");
    take(slot, e.dataTransfer, e);
  });
  listen("submit", "dj-submit", (form, event, e) => {
    e.preventDefault();
    const params = {};
    for (const [name, value] of new FormData(form, e.submitter)) {
      if (typeof value === "string") params[name] = name in params ? [params[name], value].flat() : value;
    }
    fire(form, event, params, [...form.querySelectorAll("[dj-upload]")].map((input) => input.getAttribute("dj-upload")));
  });
  listen("click", "dj-click", (button, event, e) => {
    e.preventDefault();
    fire(button, event, { ...button.dataset }, []);
  });
  soon();

  return () => {
    stop.abort();
    watcher.disconnect();
    seen.disconnect();
    for (const end of off) end();
  };
}
