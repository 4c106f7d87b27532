// @ts-check
/** Files: slices of them, never the whole, and how they come out of drops and pastes. */

const FILES_MAX = 10_000;
const DEPTH_MAX = 32;

/** @typedef {import("./index.d.ts").Picked} Picked */

/**
 * @param {Blob} file
 * @param {number} offset
 * @param {number} length
 */
export async function readSlice(file, offset, length) {
  const bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
  if (bytes.length !== length) throw new Error("the file became shorter");
  return bytes;
}

/**
 * What tells a file from another without reading it.
 * @param {File | null | undefined} file
 */
export const fileHint = (file) => (file ? `${file.name}|${file.size}|${file.lastModified}` : null);

/**
 * The files of a drop or a paste, with those in folders (at most 10,000, 32 levels deep).
 * Must be called inside the event; what it returns may be awaited later.
 * @param {DataTransfer} transfer
 * @returns {Promise<Picked[]>}
 */
export async function filesOf(transfer) {
  /** @type {Picked[]} */
  const found = [];
  const items = [...transfer.items].filter((i) => i.kind === "file");
  const waiting = items.map((item) => {
    const entry = item.webkitGetAsEntry?.();
    const file = item.getAsFile();
    // A handle lets a reload go on without picking the file again.
    const handle = entry?.isFile && "getAsFileSystemHandle" in item ? /** @type {any} */ (item).getAsFileSystemHandle().catch(() => null) : null;
    return { entry, file, handle };
  });
  for (const { entry, file, handle } of waiting) {
    if (entry?.isDirectory) await walk(entry, found, 0);
    else if (file) found.push({ file, handle: (await handle) || undefined });
  }
  return found.length || items.length ? found : [...transfer.files].map((file) => ({ file }));
}

/**
 * @param {any} entry
 * @param {Picked[]} found
 * @param {number} depth
 */
async function walk(entry, found, depth) {
  if (found.length >= FILES_MAX || depth > DEPTH_MAX) return;
  if (entry.isFile) {
    const file = await new Promise((done) => entry.file(done, () => done(null)));
    if (file) found.push({ file, relativePath: entry.fullPath.slice(1) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    /** @type {any[]} */
    const batch = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!batch.length) return;
    for (const child of batch) await walk(child, found, depth + 1);
  }
}

const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** @param {number} bytes */
export function sizeText(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < 4) {
    bytes /= 1000;
    unit++;
  }
  return `${bytes < 10 && unit ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}
