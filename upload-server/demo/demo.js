// @ts-check
/** What the demo page adds to the client: hints, totals, and a word for screen readers. */
import { uploads } from "/uploads/client/index.js";

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));
const SETTLED = ["complete", "error", "cancelled"];

/** @param {number} bytes */
const size = (bytes) => (bytes >= 1e9 ? `${+(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);

function hints() {
  for (const hint of document.querySelectorAll("[data-hint]")) {
    const config = uploads.configs[/** @type {HTMLElement} */ (hint).dataset.hint ?? ""];
    if (!config) {
      hint.textContent = "Not offered by this server";
      continue;
    }
    const kinds = (config.accept || "any file").replaceAll("image/*", "images").replaceAll(".", "").replaceAll(",", ", ");
    const many = config.max_entries > 1 ? `up to ${config.max_entries} files of ` : "up to ";
    hint.textContent = `${kinds} · ${many}${size(config.max_file_size)}`;
  }
}

/** Uploads of the present batch; a new one begins when all have ended. @type {Set<any>} */
const batch = new Set();
let planned = false;

function total() {
  planned = false;
  const all = [...batch];
  const open = all.filter((up) => !SETTLED.includes(up.status));
  const done = all.filter((up) => up.status === "complete").length;
  const counted = all.filter((up) => up.status !== "cancelled" && up.status !== "error");
  const bytes = counted.reduce((n, up) => n + up.file.size, 0);
  const moved = counted.reduce((n, up) => n + (up.progress.progress / 100) * up.file.size, 0);
  const speed = open.reduce((n, up) => n + up.progress.bytesPerSecond, 0);
  const paused = open.length > 0 && open.every((up) => up.paused);
  $("bar").hidden = !document.querySelector(".upload-row") && !open.length;
  $("sum").value = bytes ? (moved / bytes) * 100 : all.length ? 100 : 0;
  $("total").textContent = open.length
    ? `${done} of ${all.length} done${paused ? " · paused" : speed ? ` · ${(speed / 1e6).toFixed(1)} MB/s` : ""}`
    : done
      ? `${done} ${done === 1 ? "file" : "files"} uploaded`
      : "Nothing under way";
  $("pause").textContent = paused ? "Resume all" : "Pause all";
  $("pause").disabled = $("cancel").disabled = !open.length;
  $("clear").disabled = !document.querySelector(settled);
}

const plan = () => {
  if (!planned) setTimeout(total, 120);
  planned = true;
};

const settled = SETTLED.map((s) => `[data-upload-ref][data-status=${s}]`).join();

uploads.on("configs", hints);
uploads.on("connection", (up) => {
  const badge = $("connection");
  badge.dataset.on = up;
  badge.textContent = up ? "Connected" : navigator.onLine ? "Reconnecting" : "Offline";
});
addEventListener("offline", () => ($("connection").textContent = "Offline"));
uploads.on("add", (up) => {
  if ([...batch].every((b) => SETTLED.includes(b.status))) batch.clear();
  batch.add(up);
  plan();
});
uploads.on("progress", (up) => {
  plan();
  if (up.status === "complete") $("news").textContent = `${up.file.name} uploaded`;
});
uploads.on("error", ({ upload, error }) => {
  plan();
  $("news").textContent = `${upload?.file.name ?? "Uploads"}: ${error}`;
});

$("pause").onclick = () => (uploads.uploads.every((up) => up.paused) ? uploads.resume() : uploads.pause());
$("cancel").onclick = () => uploads.cancel();
$("clear").onclick = () => {
  for (const row of document.querySelectorAll(settled)) {
    if (!row.closest(".face")) row.remove();
  }
  plan();
};
