// @ts-check
/** Resume records in IndexedDB, or in memory where that is missing or blocked. */

/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */

const STORE = "records";
const RECORDS_MAX = 200;

export class Records {
  /** @type {Map<string, ResumeRecord>} */
  #memory = new Map();
  /** Being removed: a list that was read before must not bring them back. @type {Set<string>} */
  #removing = new Set();
  /** @type {Promise<IDBDatabase> | undefined} */
  #database;

  #open() {
    this.#database ??= new Promise((done, fail) => {
      const request = indexedDB.open("uploads", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "ref" });
      request.onsuccess = () => done(request.result);
      request.onerror = request.onblocked = fail;
    });
    return this.#database;
  }

  /**
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest} use
   */
  async #with(mode, use) {
    try {
      const database = await this.#open();
      return await new Promise((done, fail) => {
        const request = use(database.transaction(STORE, mode).objectStore(STORE));
        request.onsuccess = () => done(request.result);
        request.onerror = fail;
      });
    } catch {
      // Without a database, a record lives as long as the page; one that could not be opened just now is tried again.
      this.#database = undefined;
    }
  }

  /** @param {ResumeRecord} record */
  async save(record) {
    this.#memory.set(record.ref, record);
    await this.#with("readwrite", (store) => store.put(record));
  }

  /** @param {string} ref */
  async remove(ref) {
    this.#memory.delete(ref);
    this.#removing.add(ref);
    await this.#with("readwrite", (store) => store.delete(ref));
    this.#removing.delete(ref);
  }

  /** Newest first, without the expired and the oldest of too many, which are removed. @returns {Promise<ResumeRecord[]>} */
  async list(now = Date.now()) {
    const all = /** @type {ResumeRecord[]} */ ((await this.#with("readonly", (store) => store.getAll())) ?? [...this.#memory.values()]);
    const there = all.filter((record) => !this.#removing.has(record.ref)).sort((a, b) => b.at - a.at);
    const kept = there.filter((record, i) => record.expires > now && i < RECORDS_MAX);
    for (const record of there) if (!kept.includes(record)) void this.remove(record.ref);
    return kept;
  }
}
