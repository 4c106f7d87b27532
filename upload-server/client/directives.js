// @ts-check
/**
 * The `dj-*` attributes and the events on `window`.
 * Listeners stand on the document, so what is added or renamed later works and nothing is bound twice.
 * File names and messages only ever become text, never markup.
 */
import { filesOf, sizeText } from "./source.js";

/** Rows made or changed in one frame, and the longer side of a thumbnail. */
const ROWS_PER_FRAME = 24;
const THUMB_PX = 320;
const SLOTS = ["dj-upload", "dj-upload-drop", "dj-upload-progress", "dj-upload-preview"];
const ANY = [...SLOTS, "dj-submit", "dj-click"].map((a) => `[${a}]`).join();
const OVER = "upload-dragover";

/**
 * An element with a class, text and attributes.
 * @returns {any}
 */
function el(tag, cls, text = "", attributes = {}) {
  const e = document.createElement(tag);
  e.className = cls;
  e.textContent = text;
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  return e;
}

/** @returns {any} */
const near = (e, selector) => e.target?.closest?.(selector);

function timeText(seconds) {
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** What a row says beside its percentage. @param {import("./index.d.ts").Upload} up */
function stateText(up) {
  const { status, phase, bytesPerSecond, secondsLeft } = up.progress;
  if (up.error && status === "error") return up.error.message;
  if (up.paused && !up.ended) return "Paused";
  if (status === "queued") return "Waiting";
  if (status === "resuming") return "Reconnecting";
  if (status !== "uploading") return status === "complete" ? "Done" : "Cancelled";
  if (phase !== "sending") return phase === "storing" ? "Storing" : "Finishing";
  return bytesPerSecond ? `${sizeText(bytesPerSecond)}/s, ${timeText(secondsLeft ?? 0)} left` : "Uploading";
}

/**
 * Gives the attributes under `root` their meaning; returns what ends it.
 * @param {import("./index.d.ts").Uploads} uploads
 * @param {Document | HTMLElement} [root]
 */
export function bind(uploads, root = document) {
  const stop = new AbortController();
  const { signal } = stop;
  /** Rows of a container by upload. @type {WeakMap<Element, {slot: string, rows: Map<any, Element>}>} */
  const known = new WeakMap();
  /** @type {Set<any>} */
  const dirty = new Set();
  /** Files whose thumbnail waits until it is seen. @type {WeakMap<Element, File>} */
  const unseen = new WeakMap();
  let frame = 0;
  let scanning = true;
  let thumbs = Promise.resolve();

  const all = (selector) => root.querySelectorAll(selector);
  const tell = (name, detail) => {
    for (const prefix of ["djust:upload:", "upload:"]) dispatchEvent(new CustomEvent(prefix + name, { detail }));
  };
  const soon = () => (frame ||= requestAnimationFrame(draw));
  const later = (up) => {
    dirty.add(up);
    soon();
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      const file = unseen.get(target);
      if (!isIntersecting || !file) continue;
      seen.unobserve(target);
      unseen.delete(target);
      thumbs = thumbs.then(() => thumbnail(/** @type {HTMLImageElement} */ (target), file));
    }
  }, { rootMargin: "200px" });

  const watcher = new MutationObserver(() => {
    scanning = true;
    soon();
  });
  watcher.observe(root, { subtree: true, childList: true, attributeFilter: SLOTS });

  const off = [
    uploads.on("configs", () => {
      scanning = true;
      soon();
    }),
    uploads.on("add", later),
    uploads.on("progress", (up) => {
      later(up);
      if (up.status !== "queued") tell("progress", up.progress);
    }),
    uploads.on("error", ({ upload, error, code, retry }) => tell("error", { file: upload?.file.name, ref: upload?.ref, uploadName: upload?.slot, error, code, retry })),
    uploads.on("event", (m) => tell("event", m)),
  ];

  function draw() {
    frame = 0;
    if (scanning) scan();
    let left = ROWS_PER_FRAME;
    for (const up of dirty) {
      if (!left--) return soon();
      dirty.delete(up);
      for (const kind of ["progress", "preview"]) {
        for (const box of all(`[dj-upload-${kind}]`)) {
          if (box.getAttribute("dj-upload-" + kind) !== up.slot) continue;
          const rows = rowsOf(box, kind);
          if (rows.has(up) || up.status === "cancelled") continue;
          const row = kind === "progress" ? progressRow(up, box) : previewTile(up);
          rows.set(up, row);
          box.append(row);
        }
      }
      update(up);
    }
  }

  function rowsOf(box, kind) {
    const slot = box.getAttribute("dj-upload-" + kind);
    let of = known.get(box);
    if (of?.slot !== slot) {
      for (const row of of?.rows.values() ?? []) row.remove();
      known.set(box, (of = { slot, rows: new Map() }));
      for (const up of uploads.uploads) if (up.slot === slot) later(up);
      if (kind === "progress") offerPending(box, slot);
    }
    return of.rows;
  }

  /** Brings inputs and containers in line with the slots. */
  function scan() {
    scanning = false;
    if (root.querySelector(ANY)) uploads.connect();
    for (const input of all("input[dj-upload]")) {
      const config = uploads.configs[input.getAttribute("dj-upload")];
      if (!config) continue;
      if (input.accept !== config.accept) input.accept = config.accept;
      input.multiple = config.max_entries > 1;
    }
    for (const kind of ["progress", "preview"]) for (const box of all(`[dj-upload-${kind}]`)) rowsOf(box, kind);
  }

  function update(up) {
    const p = up.progress;
    for (const [box, kind] of [...all("[dj-upload-progress]")].map((b) => [b, 0]).concat([...all("[dj-upload-preview]")].map((b) => [b, 1]))) {
      const row = known.get(box)?.rows.get(up);
      if (!row) continue;
      row.dataset.uploadRef = up.ref;
      if (kind && up.status === "cancelled") row.remove();
    }
    for (const row of all(`[data-upload-ref="${up.ref}"]`)) {
      row.dataset.status = up.paused && !up.ended ? "paused" : p.status;
      row.style.setProperty("--upload-progress", `${p.progress}%`);
      const bar = row.querySelector(".upload-progress-bar");
      if (bar) {
        bar.style.width = `${p.progress}%`;
        bar.setAttribute("aria-valuenow", p.progress);
      }
      set(row, ".upload-progress-text", `${p.progress}%`);
      set(row, ".upload-state", stateText(up));
      button(row, ".upload-pause", up.paused ? "Resume" : "Pause", up.ended || p.mode === "presigned");
      button(row, ".upload-retry", "Retry", up.status !== "error" || up.error.retry === "never");
      button(row, ".upload-cancel", up.ended ? "Remove" : "Cancel");
    }
  }

  function set(row, selector, text) {
    const e = row.querySelector(selector);
    if (e && e.textContent !== text) e.textContent = text;
  }

  function button(row, selector, text, hidden = false) {
    const b = row.querySelector(selector);
    if (!b) return;
    set(row, selector, text);
    b.setAttribute("aria-label", `${text} ${b.dataset.name}`);
    b.hidden = hidden;
  }

  function skeleton(box, name, size, ref) {
    const row = el(/^[UO]L$/.test(box.tagName) ? "li" : "div", "upload-row", "", { "data-upload-ref": ref });
    row.append(el("span", "upload-name", name, { title: name }), el("span", "upload-size", sizeText(size)));
    return row;
  }

  function action(row, cls, name, act) {
    const b = el("button", cls, "", { type: "button", "data-name": name });
    b.onclick = act;
    row.append(b);
  }

  function progressRow(up, box) {
    const { name, size } = up.file;
    const row = skeleton(box, up.relativePath ?? name, size, up.ref);
    for (const old of box.querySelectorAll(`.upload-pending[data-upload-ref="${up.ref}"]`)) old.remove();
    const track = el("div", "upload-progress-track");
    track.append(el("div", "upload-progress-bar", "", { role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0 }));
    row.append(track, el("span", "upload-progress-text"), el("span", "upload-state"));
    const actions = el("span", "upload-actions");
    action(actions, "upload-pause", name, () => (up.paused ? up.resume() : up.pause()));
    action(actions, "upload-retry", name, () => up.retry());
    action(actions, "upload-cancel", name, () => {
      if (!up.ended) return up.cancel();
      for (const gone of all(`[data-upload-ref="${up.ref}"]`)) gone.remove();
    });
    row.append(actions);
    return row;
  }

  function previewTile(up) {
    const { name, size, type } = up.file;
    const tile = el("figure", "upload-preview", "", { "data-upload-ref": up.ref });
    if (type.startsWith("image/")) {
      const img = el("img", "", "", { alt: "" });
      unseen.set(img, up.file);
      seen.observe(img);
      tile.append(img);
    }
    const caption = el("figcaption", "");
    caption.append(el("span", "upload-name", name, { title: name }), el("span", "upload-size", sizeText(size)));
    tile.append(caption);
    return tile;
  }

  /** A small picture by object URL, made off the main thread; the file itself where that fails. */
  async function thumbnail(img, file) {
    let blob = file;
    try {
      const bitmap = await createImageBitmap(file, { resizeWidth: THUMB_PX, resizeQuality: "medium" });
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
      bitmap.close();
      blob = await canvas.convertToBlob();
    } catch {
      // Not every image can be made a bitmap (SVG).
    }
    img.onload = img.onerror = () => URL.revokeObjectURL(img.src);
    img.src = URL.createObjectURL(blob);
  }

  /** Rows for what a former page left: continued by a click, or by picking the file again. */
  async function offerPending(box, slot) {
    for (const record of await uploads.pending(slot)) {
      if (box.querySelector(`[data-upload-ref="${record.ref}"]`)) continue;
      const row = skeleton(box, record.name, record.size, record.ref);
      row.classList.add("upload-pending");
      row.append(el("span", "upload-state", record.handle ? "Not finished" : "Pick this file again to continue"));
      const actions = el("span", "upload-actions");
      if (record.handle) action(actions, "upload-resume", record.name, () => uploads.restore(record));
      action(actions, "upload-cancel", record.name, () => {
        uploads.forget(record.ref);
        row.remove();
      });
      row.append(actions);
      button(row, ".upload-resume", "Continue");
      button(row, ".upload-cancel", "Forget");
      box.append(row);
    }
  }

  async function fire(source, event, params, slots = []) {
    if (source.ariaBusy === "true") return;
    source.ariaBusy = "true";
    const out = source.querySelector("output") ?? root.querySelector(`[dj-result="${CSS.escape(event)}"]`);
    let text;
    try {
      for (const slot of slots) await uploads.start(slot);
      const result = await uploads.event(event, params);
      text = typeof result === "string" ? result : JSON.stringify(result ?? "");
      if (out) out.dataset.ok = "true";
    } catch (e) {
      text = /** @type {Error} */ (e).message;
      if (out) out.dataset.ok = "false";
    }
    if (out) out.textContent = text;
    source.ariaBusy = null;
  }

  /** @type {Record<string, (e: any) => void>} */
  const on = {
    change(e) {
      const slot = e.target.type === "file" && e.target.getAttribute("dj-upload");
      if (!slot) return;
      uploads.add([...e.target.files], slot);
      e.target.value = ""; // or picking the same file again would be no change
    },
    async paste(e) {
      const slot = near(e, "[dj-upload]")?.getAttribute("dj-upload");
      if (!slot || !e.clipboardData?.files.length) return;
      e.preventDefault();
      uploads.add(await filesOf(e.clipboardData), slot);
    },
    dragover(e) {
      const zone = near(e, "[dj-upload-drop]");
      if (!zone || !e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      e.dataTransfer.dropEffect = "copy";
      zone.classList.add(OVER);
    },
    dragleave(e) {
      const zone = near(e, "[dj-upload-drop]");
      if (!zone?.contains(e.relatedTarget)) zone?.classList.remove(OVER);
    },
    async drop(e) {
      const zone = near(e, "[dj-upload-drop]");
      if (!zone) return;
      e.preventDefault();
      zone.classList.remove(OVER);
      uploads.add(await filesOf(e.dataTransfer), zone.getAttribute("dj-upload-drop"));
    },
    submit(e) {
      const form = near(e, "form[dj-submit]");
      if (!form) return;
      e.preventDefault();
      /** @type {Record<string, unknown>} */
      const params = {};
      for (const [name, value] of new FormData(form, e.submitter)) {
        if (typeof value !== "string") continue;
        params[name] = name in params ? [params[name], value].flat() : value;
      }
      fire(form, form.getAttribute("dj-submit"), params, [...form.querySelectorAll("[dj-upload]")].map((i) => i.getAttribute("dj-upload")));
    },
    click(e) {
      const b = near(e, "[dj-click]");
      if (!b) return;
      e.preventDefault();
      fire(b, b.getAttribute("dj-click"), { ...b.dataset });
    },
  };
  for (const [name, listener] of Object.entries(on)) root.addEventListener(name, listener, { signal });
  soon();

  return () => {
    stop.abort();
    watcher.disconnect();
    seen.disconnect();
    for (const f of off) f();
  };
}
