// @ts-check
/** Slices of files, and files out of drops and pastes. */

const FILES_MAX = 10_000;
const DEPTH_MAX = 32;

/** One stream into recycled memory: slices leave garbage faster than it is collected. */
export class Source {
  #reader;
  #at;
  #busy;

  constructor(file) {
    this.file = file;
  }

  /** Undefined if a later read overtook this one. */
  async read(offset, length, buffer) {
    if (this.#busy || offset !== this.#at) {
      this.#reader?.cancel();
      this.#reader = open(this.file.slice(offset));
    }
    const reader = this.#reader;
    this.#at = offset + length;
    this.#busy = true;
    if (!(buffer?.byteLength >= length)) buffer = new ArrayBuffer(length);
    for (let got = 0; got < length; ) {
      const { value, done } = await reader.read(new Uint8Array(buffer, got, length - got));
      if (reader !== this.#reader) return;
      if (done) throw new Error("the file became shorter");
      got += value.length;
      buffer = value.buffer;
    }
    // Fails if the file changed under the stream.
    if (this.#at === this.file.size) await this.file.slice(0, 1).arrayBuffer();
    this.#busy = false;
    return new Uint8Array(buffer, 0, length);
  }
}

function open(blob) {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    let at = 0;
    const read = async ({ length }) => {
      const value = new Uint8Array(await blob.slice(at, (at += length)).arrayBuffer());
      return { value, done: !value.length };
    };
    return { read, cancel() {} };
  }
}

export const fileHint = (file) => (file ? `${file.name}|${file.size}|${file.lastModified}` : null);

/** The files of a drop or a paste, and of folders in it. Must be called inside the event. */
export async function filesOf(transfer) {
  const found = [];
  const items = [...transfer.items].filter((i) => i.kind === "file").map((item) => {
    const entry = item.webkitGetAsEntry?.();
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
