// @ts-check
/** Resume records in IndexedDB, or in memory where that is missing or blocked. */

const DB = "uploads";
const STORE = "records";
const RECORDS_MAX = 200;

/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */

export class Records {
  /** @type {Map<string, ResumeRecord>} */
  #memory = new Map();
  /** @type {Promise<IDBDatabase | null> | undefined} */
  #db;

  #open() {
    this.#db ??= new Promise((done) => {
      try {
        const request = indexedDB.open(DB, 1);
        request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "ref" });
        request.onsuccess = () => {
          // Another tab's newer version must not wait for this one.
          request.result.onversionchange = () => request.result.close();
          done(request.result);
        };
        request.onerror = request.onblocked = () => done(null);
      } catch {
        done(null);
      }
    });
    return this.#db;
  }

  /**
   * Runs `use` on the store; null where there is none or it failed.
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest<T>} use
   * @returns {Promise<T | null>}
   */
  async #with(mode, use) {
    const db = await this.#open();
    if (!db) return null;
    return new Promise((done) => {
      try {
        const request = use(db.transaction(STORE, mode).objectStore(STORE));
        request.onsuccess = () => done(request.result);
        request.onerror = () => done(null);
      } catch {
        done(null);
      }
    });
  }

  /** @param {ResumeRecord} record */
  async save(record) {
    this.#memory.set(record.ref, record);
    // A handle that cannot be cloned must not cost the record.
    if ((await this.#with("readwrite", (s) => s.put(record))) === null) {
      await this.#with("readwrite", (s) => s.put({ ...record, handle: undefined }));
    }
  }

  /** @param {string} ref */
  async remove(ref) {
    this.#memory.delete(ref);
    await this.#with("readwrite", (s) => s.delete(ref));
  }

  /** Newest first; what has expired is thrown away, and so are the oldest of too many. @param {number} now */
  async list(now = Date.now()) {
    const stored = /** @type {ResumeRecord[] | null} */ (await this.#with("readonly", (s) => s.getAll()));
    const all = (stored ?? [...this.#memory.values()]).sort((a, b) => b.at - a.at);
    const live = all.filter((r, i) => r.expires > now && i < RECORDS_MAX);
    for (const r of all) if (!live.includes(r)) this.remove(r.ref);
    return live;
  }

  /**
   * The newest record of a file that is not `taken` already.
   * @param {string} slot
   * @param {string | null} hint
   * @param {(ref: string) => boolean} taken
   */
  async find(slot, hint, taken) {
    return (await this.list()).find((r) => r.slot === slot && r.hint === hint && !taken(r.ref));
  }
}
