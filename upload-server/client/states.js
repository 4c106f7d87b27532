// @ts-check
/** What is said of an upload: the truth at this moment, in the page's words. */

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").Upload} Upload */

/** How an upload is. @param {Uploads} uploads @param {Upload} upload @returns {string} */
export function stateText({ words, connection }, { progress, error, removing }) {
  const { status, phase, paused, mode, bytesPerSecond, secondsLeft } = progress;
  if (removing) return words.text("removing");
  if (paused) return words.text("on pause");
  if (status === "error") return error?.message ?? "";
  if (status === "complete" || status === "cancelled") return words.text(status);
  const isAway = mode === "socket" && connection.state !== "open";
  if (isAway && connection.state === "offline") return words.text("waits for network");
  if (status === "queued") return words.text("waiting");
  if (isAway || status === "resuming") return words.text("reconnecting");
  if (phase !== "sending") return words.text(phase);
  if (!bytesPerSecond) return words.text("uploading");
  return words.text("speed", { speed: words.size(bytesPerSecond), left: words.time(secondsLeft ?? 0) });
}
