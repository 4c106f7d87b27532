// @ts-check
/** What is said of all uploads and of the connection: the truth at this moment, in the page's words. */
import "./english.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Totals} Totals */

/** What is done, what failed, what waits, and how fast it goes. @param {Uploads} uploads @param {Totals} totals */
export function totalText({ words, connected }, { files, done, failed, running, waiting, paused, bytes, receivedBytes, bytesPerSecond, secondsLeft }) {
  const open = running + waiting;
  if (!files) return words.text("none yet");
  const parts = [];
  if (open) parts.push(words.text("some done", { count: done, files }));
  else if (done) parts.push(words.text(files === 1 ? "one stored" : "some stored", { count: done, files }));
  else parts.push(words.text("none stored", { count: files }));
  if (failed) parts.push(words.text("some failed", { count: failed }));
  if (open && waiting) parts.push(words.text("some waiting", { count: waiting }));
  if (open && paused === open) parts.push(words.text("on pause"));
  else if (open && !connected) parts.push(words.text("continues later"));
  else if (open) parts.push(words.text("of bytes", { received: words.size(receivedBytes), bytes: words.size(bytes) }));
  if (bytesPerSecond) parts.push(words.text("rate", { speed: words.size(bytesPerSecond) }), words.text("left", { left: words.time(secondsLeft ?? 0) }));
  return parts.join(" · ");
}

/** How much of the bar is full: of the bytes while something is under way, then of the files, so that a failure leaves a gap. @param {Totals} totals */
export function percentOf({ files, done, failed, running, waiting, bytes, receivedBytes }) {
  const isOver = !running && !waiting;
  const [part, whole] = bytes && !(isOver && failed) ? [receivedBytes, bytes] : [done, files];
  return whole ? Math.floor((part / whole) * 100) : 0;
}

/** Seconds until the next try; 0 where none is planned. @param {Uploads} uploads */
export function secondsToTry({ connection: { state, retryAt } }) {
  return state === "waiting" ? Math.max(0, Math.ceil(((retryAt ?? 0) - Date.now()) / 1000)) : 0;
}

/** How the connection is. @param {Uploads} uploads @returns {string} */
export function connectionText(uploads) {
  const { words, connection } = uploads;
  const seconds = secondsToTry(uploads);
  if (seconds > 1) return words.text("next try", { left: words.time(seconds) });
  const keys = { open: "connected", idle: "not needed", connecting: "connecting", waiting: "reconnecting", offline: "offline", unauthenticated: "unauthenticated", closed: "closed" };
  return words.text(keys[connection.state]);
}

/** The same for a screen reader, which says each state once: without the countdown. @param {Uploads} uploads @returns {string} */
export const saidText = (uploads) => (uploads.connection.state === "waiting" ? uploads.words.text("no connection") : connectionText(uploads));
