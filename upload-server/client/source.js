// @ts-check
/** Slices of files, and files out of drops and pastes. */

const FILES_MAX = 10_000;
const DEPTH_MAX = 32;

export async function readSlice(file, offset, length) {
  const bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
  if (bytes.length !== length) throw new Error("the file became shorter");
  return bytes;
}

export const fileHint = (file) => (file ? `${file.name}|${file.size}|${file.lastModified}` : null);

/** The files of a drop or a paste, and of folders in it. Must be called inside the event. */
export async function filesOf(transfer) {
  const found = [];
  const items = [...transfer.items].filter((i) => i.kind === "file").map((item) => {
    const entry = item.webkitGetAsEntry?.();
    // A handle lets a reload go on without picking the file again.
    return { entry, file: item.getAsFile(), handle: entry?.isFile && item.getAsFileSystemHandle?.().catch(() => {}) };
  });
  for (const { entry, file, handle } of items) {
    if (entry?.isDirectory) await walk(entry, 0);
    else if (file) found.push({ file, handle: (await handle) || undefined });
  }
  return found;

  async function walk(entry, depth) {
    if (found.length >= FILES_MAX || depth > DEPTH_MAX) return;
    if (entry.isFile) {
      const file = await new Promise((done) => entry.file(done, done));
      if (file instanceof File) found.push({ file, relativePath: entry.fullPath.slice(1) });
      return;
    }
    const reader = entry.createReader();
    for (let batch; (batch = await new Promise((done) => reader.readEntries(done, () => done([])))).length; ) {
      for (const child of batch) await walk(child, depth + 1);
    }
  }
}

export function sizeText(bytes) {
  let unit = 0;
  for (; bytes >= 999.5; unit++) bytes /= 1000;
  return `${bytes < 10 && unit ? bytes.toFixed(1) : Math.round(bytes)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}
