// @ts-check
/** Reads a file piece by piece. */

/**
 * @typedef {object} Reader
 * @property {(into: Uint8Array<ArrayBuffer>) => Promise<{ value?: Uint8Array<ArrayBuffer>, done: boolean }>} read
 * @property {() => unknown} cancel
 */

/** One stream into recycled memory: slices leave garbage faster than it is collected. */
export class Source {
  /** @type {Reader | undefined} */
  #reader;
  #at = 0;
  #busy = false;

  /** @param {Blob} file */
  constructor(file) {
    this.file = file;
  }

  /**
   * Reads into `buffer`, if it is long enough; undefined if a later read overtook this one.
   *
   * @param {number} offset
   * @param {number} length
   * @param {ArrayBuffer} [buffer]
   */
  async read(offset, length, buffer) {
    const { file } = this;
    if (length === file.size) return wholeOf(file);
    if (this.#busy || offset !== this.#at) {
      void this.#reader?.cancel();
      this.#reader = undefined;
    }
    const reader = (this.#reader ??= open(file.slice(offset)));
    this.#at = offset + length;
    this.#busy = true;
    let memory = buffer && buffer.byteLength >= length ? buffer : new ArrayBuffer(length);
    for (let got = 0; got < length; ) {
      const { value, done } = await reader.read(new Uint8Array(memory, got, length - got));
      if (reader !== this.#reader) return undefined;
      if (done || !value) throw new Error("the file became shorter");
      got += value.length;
      memory = value.buffer;
    }
    // Fails if the file changed under the stream.
    if (this.#at === file.size) await file.slice(0, 1).arrayBuffer();
    this.#busy = false;
    return new Uint8Array(memory, 0, length);
  }
}

/**
 * A file that is read at once; rejects if it is not the one that was picked.
 *
 * Browsers give a file that cannot be opened the size 0, and slices and streams of it end at once without an error. So it
 * looks like an empty one, and only `arrayBuffer` of the whole file tells.
 *
 * @param {Blob} file
 */
export async function wholeOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length !== file.size) throw new Error("the file has another length");
  return bytes;
}

/** @param {Blob} blob @returns {Reader} */
function open(blob) {
  try {
    return blob.stream().getReader({ mode: "byob" });
  } catch {
    return new SliceReader(blob);
  }
}

/** For browsers whose streams do not read into given memory. */
class SliceReader {
  #at = 0;

  /** @param {Blob} blob */
  constructor(blob) {
    this.blob = blob;
  }

  /** @param {Uint8Array<ArrayBuffer>} into */
  async read(into) {
    const slice = this.blob.slice(this.#at, this.#at + into.length);
    this.#at += into.length;
    const bytes = new Uint8Array(await slice.arrayBuffer());
    into.set(bytes);
    return { value: into.subarray(0, bytes.length), done: !bytes.length };
  }

  cancel() {}
}
