// @ts-check
/** What parts of a page show of uploads: those that were added and not removed, also after they ended and while no part is there. */

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").Upload} Upload */

/** As many as one pick may add; those that have not ended are found without this. */
const KEPT_MAX = 20_000;

/** @type {WeakMap<Uploads, Set<Upload>>} */
const kept = new WeakMap();

/** In the order in which they were added, from the first question on. @param {Uploads} uploads @returns {Set<Upload>} */
function keptOf(uploads) {
  const there = kept.get(uploads);
  if (there) return there;
  /** @type {Set<Upload>} */
  const all = new Set(uploads.uploads);
  kept.set(uploads, all);
  uploads.on("add", (upload) => keep(uploads, upload));
  uploads.on("remove", (upload) => void all.delete(upload));
  return all;
}

/** @param {Uploads} uploads @param {Upload} upload */
export function keep(uploads, upload) {
  const all = keptOf(uploads);
  all.add(upload);
  if (all.size > KEPT_MAX) all.delete(all.values().next().value ?? upload);
}

/** @param {Uploads} uploads @param {string} slot */
export const shownIn = (uploads, slot) => [...new Set([...keptOf(uploads), ...uploads.uploads])].filter((upload) => upload.slot === slot);
