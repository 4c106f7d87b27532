// @ts-check
/** What the demo page adds to the client: hints, totals, and how the connection is. */
import { uploads } from "/uploads/client/index.js";
import { connectionText, percentOf, saidText, secondsToTry, totalText } from "/uploads/client/dropzone/status.js";

/** @param {string} id */
const $ = (id) => /** @type {any} */ (document.getElementById(id));
const REFRESH_MS = 120;

function hints() {
  for (const hint of document.querySelectorAll("[data-hint]")) {
    const config = uploads.configs[/** @type {HTMLElement} */ (hint).dataset.hint ?? ""];
    if (!config) {
      hint.textContent = "Not offered by this server";
      continue;
    }
    const size = uploads.words.size(config.max_file_size);
    const many = config.max_entries > 1 ? `up to ${config.max_entries} files, ${size} each` : `up to ${size}`;
    const kinds = config.accept ? uploads.words.kinds(config.accept) : "any file";
    hint.textContent = `${kinds[0].toUpperCase()}${kinds.slice(1)} · ${many}`;
  }
}

/** Ended, and still shown. @type {Set<any>} */
const ended = new Set();
let planned = false;

function total() {
  planned = false;
  const { files, failed, running, waiting } = uploads.totals;
  const open = running + waiting;
  const paused = open > 0 && uploads.uploads.every((upload) => upload.paused);
  $("bar").hidden = !files && !ended.size;
  $("bar").dataset.state = open ? (uploads.connected && !paused ? "running" : "waiting") : failed ? "failed" : "done";
  $("sum").value = percentOf(uploads.totals);
  $("total").textContent = totalText(uploads, uploads.totals);
  $("pause").textContent = paused ? "Resume all" : "Pause all";
  $("pause").hidden = $("cancel").hidden = !open;
  $("retry").hidden = !uploads.failed.some((upload) => upload.error?.retry !== "never");
  $("clear").hidden = !ended.size;
}

function plan() {
  if (!planned) setTimeout(total, REFRESH_MS);
  planned = true;
}

let countdown = 0;

/** Says how the connection is, each second anew while it counts down to the next try. */
function connection() {
  clearTimeout(countdown);
  const { state } = uploads.connection;
  const seconds = secondsToTry(uploads);
  const words = connectionText(uploads);
  const badge = $("connection");
  badge.dataset.on = state === "open";
  if ($("state").textContent !== words) $("state").textContent = words;
  // A screen reader says neither the countdown nor each try.
  if (state !== "connecting" && $("said").textContent !== saidText(uploads)) $("said").textContent = saidText(uploads);
  $("try").hidden = state !== "waiting" || seconds < 2;
  if (state === "open" && $("notice").dataset.code === "unreachable") notice("");
  if (state === "waiting") countdown = setTimeout(connection, 1000);
  plan();
}

uploads.on("configs", hints);
uploads.on("connection", connection);
uploads.on("add", (upload) => {
  ended.delete(upload);
  plan();
});
uploads.on("progress", (upload) => {
  if (upload.ended) ended.add(upload);
  else ended.delete(upload);
  plan();
});
uploads.on("remove", (upload) => {
  ended.delete(upload);
  plan();
});
/** @param {string} text @param {string} [code] */
function notice(text, code = "") {
  $("notice").textContent = text;
  $("notice").dataset.code = code;
  $("notice").hidden = !text;
}

uploads.on("error", ({ upload, error, code }) => {
  if (!upload) notice(error, code);
  plan();
});
uploads.on("intake", ({ companions }) => {
  if (companions) notice(`Left out: ${companions} ${companions === 1 ? "file" : "files"} that the system keeps for itself, such as .DS_Store`);
});

$("try").onclick = () => uploads.reconnect();
$("pause").onclick = () => (uploads.uploads.every((upload) => upload.paused) ? uploads.resumeAll() : uploads.pauseAll());
$("cancel").onclick = () => uploads.cancelAll();
$("retry").onclick = () => uploads.retryAll();
$("clear").onclick = () => {
  notice("");
  for (const upload of [...ended]) if (upload.slot !== "avatar" || upload.error) upload.remove();
};
connection();
