// @ts-check
/** Files out of drops, pastes and picked folders, and a count of what could not be taken. */

/** Files taken at once; the others are counted. */
export const FILES_MAX = 20_000;
/** Files beyond `FILES_MAX` that are counted before the walk ends. */
const COUNTED_MAX = 100_000;
const DEPTH_MAX = 32;

/** Files that operating systems and office programs keep for themselves; no one means to upload them with a folder. */
const COMPANION = /^(\._.*|~\$.*|\.~lock\..*#|\.ds_store|thumbs\.db|desktop\.ini)$/i;

/** @typedef {import("./index.d.ts").Picked} Picked */
/** @typedef {import("./index.d.ts").Found} Found */

/** @param {any} thing @returns {thing is File} */
export const isBlob = (thing) => typeof thing?.slice === "function" && "size" in thing;

/** A file, or an object with one. @param {Blob | Partial<Picked>} given @returns {Partial<Picked>} */
export const pickedOf = (given) => (isBlob(given) ? { file: given } : /** @type {Partial<Picked>} */ (given));

/** @returns {Found} */
const nothing = () => ({ files: [], companions: 0, unreadable: 0, beyond: 0 });

/**
 * The files of a drop or a paste, and of folders in it. Must be called inside the event.
 *
 * @param {DataTransfer} transfer
 * @param {{ companions?: boolean }} [options]
 */
export async function filesOf(transfer, { companions = false } = {}) {
  const found = nothing();
  /** @type {Set<string>} */
  const folders = new Set();
  // Everything an item can tell has to be asked before the first `await`.
  const items = [...transfer.items].filter((item) => item.kind === "file").map((item) => {
    const entry = item.webkitGetAsEntry?.();
    const handle = entry?.isFile && /** @type {any} */ (item).getAsFileSystemHandle?.().catch(() => {});
    return { entry, file: item.getAsFile(), handle };
  });
  for (const { entry, file, handle } of items) {
    if (entry?.isDirectory) await walk(/** @type {FileSystemDirectoryEntry} */ (entry), 0);
    else if (!file) found.unreadable++;
    else if (hasRoom()) found.files.push({ file, handle: (await handle) || undefined });
  }
  return found;

  function hasRoom() {
    if (found.files.length < FILES_MAX) return true;
    found.beyond++;
    return false;
  }

  /**
   * A folder whose name the browser cannot express has the name "" in Chromium, and lists its parent's children:
   * to follow it would take its neighbours again and again.
   *
   * @param {FileSystemDirectoryEntry} folder
   * @param {number} depth
   */
  async function walk(folder, depth) {
    if (!folder.name || depth > DEPTH_MAX || folders.has(folder.fullPath)) {
      found.unreadable++;
      return;
    }
    folders.add(folder.fullPath);
    const reader = folder.createReader();
    while (found.beyond < COUNTED_MAX) {
      /** @type {FileSystemEntry[] | null} */
      const batch = await new Promise((done) => reader.readEntries(done, () => done(null)));
      if (!batch) found.unreadable++;
      if (!batch?.length) return;
      for (const child of batch) {
        if (child.isDirectory) await walk(/** @type {FileSystemDirectoryEntry} */ (child), depth + 1);
        else await take(/** @type {FileSystemFileEntry} */ (child));
      }
    }
  }

  /** @param {FileSystemFileEntry} entry */
  async function take(entry) {
    if (!companions && COMPANION.test(entry.name)) {
      found.companions++;
    } else if (hasRoom()) {
      const file = await new Promise((done) => entry.file(done, () => done(null)));
      if (file && entry.name) found.files.push({ file, relativePath: entry.fullPath.slice(1) });
      else found.unreadable++;
    }
  }
}

/**
 * The files of an input; those of a picked folder without companions.
 *
 * @param {Iterable<File>} list
 * @param {{ companions?: boolean }} [options]
 */
export function filesIn(list, { companions = false } = {}) {
  const found = nothing();
  for (const file of list) {
    if (!companions && file.webkitRelativePath && COMPANION.test(file.name)) found.companions++;
    else if (found.files.length < FILES_MAX) found.files.push({ file });
    else found.beyond++;
  }
  return found;
}

/** By which a file that is picked again is known. @param {File | null | undefined} file */
export const fileHint = (file) => (file ? `${file.name}|${file.size}|${file.lastModified}` : null);
