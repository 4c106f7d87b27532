// @ts-check
/** Resume records in IndexedDB, or in memory where that is missing or blocked. */

const STORE = "records";
const RECORDS_MAX = 200;

export class Records {
  #memory = new Map();
  #gone = new Set(); // being removed: a list that was read before must not bring them back
  #db;

  #open() {
    return (this.#db ??= new Promise((done, fail) => {
      const request = indexedDB.open("uploads", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "ref" });
      request.onsuccess = () => done(request.result);
      request.onerror = request.onblocked = fail;
    }));
  }

  async #with(mode, use) {
    try {
      const db = await this.#open();
      return await new Promise((done, fail) => {
        const request = use(db.transaction(STORE, mode).objectStore(STORE));
        request.onsuccess = () => done(request.result);
        request.onerror = fail;
      });
    } catch {
      // Without a database, a record lives as long as the page.
    }
  }

  async save(record) {
    this.#memory.set(record.ref, record);
    await this.#with("readwrite", (s) => s.put(record));
  }

  async remove(ref) {
    this.#memory.delete(ref);
    this.#gone.add(ref);
    await this.#with("readwrite", (s) => s.delete(ref));
    this.#gone.delete(ref);
  }

  /** Newest first, without the expired and the oldest of too many. */
  async list(now = Date.now()) {
    const all = (await this.#with("readonly", (s) => s.getAll())) ?? [...this.#memory.values()];
    return all.sort((a, b) => b.at - a.at).filter((r, i) => !this.#gone.has(r.ref) && ((r.expires > now && i < RECORDS_MAX) || void this.remove(r.ref)));
  }
}
