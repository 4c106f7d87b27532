// @ts-check
/** What an upload goes through, from the moment it is added until it has ended, and what its user does with it meanwhile. */
import { pickedOf } from "./intake.js";
import { Kept } from "./kept.js";
import { Outgoing } from "./outgoing.js";
import { refusal } from "./protocol.js";
import { Queue } from "./queue.js";
import { Records } from "./resume.js";
import { wholeOf } from "./source.js";
import { tabId } from "./tab.js";
import { uuid } from "./upload.js";

/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */
/** @typedef {import("./index.d.ts").Ending} Ending */
/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */
/** @typedef {import("./transfer.js").Transfer} Transfer */

const SAVE_MS = 2000;
const KEEP_SECONDS = 3600;

export class Lifecycle {
  records = new Records();
  /** The last that was completed, where a slot takes one. @type {Map<string, Transfer>} */
  #latest = new Map();
  /** @type {string | undefined} */
  #clientId;
  /** @type {Promise<void> | undefined} */
  #scheduled;

  /**
   * @param {import("./uploads.js").Uploads} page
   * @param {import("./reports.js").Reports} reports
   * @param {import("./socket.js").Socket} socket
   */
  constructor(page, reports, socket) {
    this.page = page;
    this.reports = reports;
    this.queue = new Queue(page);
    this.kept = new Kept(socket, {
      gone: (transfer) => this.#vanish(transfer),
      stays: (transfer, code) => {
        transfer.removing = false;
        reports.emit("change", transfer.upload);
        reports.trouble(undefined, { code: code === "locked" ? "in_use" : code, retry: "later", slot: transfer.slot });
      },
      taken: (transfer) => {
        transfer.taken = true;
        reports.emit("change", transfer.upload);
      },
    });
    this.outgoing = new Outgoing(socket, {
      changed: (transfer) => this.#changed(transfer),
      trouble: (transfer, trouble) => reports.trouble(transfer, trouble),
      ended: (transfer, ending) => this.end(transfer, ending),
      free: () => this.schedule(),
      restarted: (transfer, ref) => {
        this.#dropRecord(transfer);
        transfer.ref = ref;
      },
    });
  }

  /** Whether something is to be sent, or to be answered. */
  get busy() {
    return this.outgoing.size > 0 || this.queue.open.size > 0 || this.kept.busy;
  }

  /** @param {Transfer[]} added @param {string} slot @param {boolean} [replace] */
  enqueue(added, slot, replace) {
    for (const transfer of added) {
      this.queue.add(transfer);
      this.reports.emit("add", transfer.upload);
    }
    void this.#prepare(added, slot, replace);
  }

  /** @param {Transfer[]} added @param {string} slot @param {boolean} [replace] */
  async #prepare(added, slot, replace) {
    const { queue, page } = this;
    for (const transfer of added) this.reports.changed(transfer, true);
    try {
      await page.connect();
    } catch {
      for (const transfer of added) this.end(transfer, { status: "error", code: "session_closed", retry: "later" });
      return;
    }
    this.#clientId ??= page.options.clientId ?? (await tabId());
    const config = page.configs[slot];
    if (replace && config?.max_entries === 1) await this.#makeRoom(added, slot, config);
    const records = config?.resumable ? await this.unclaimed(slot, new Set(added)) : [];
    for (const transfer of added) {
      if (transfer.ended) continue;
      const code = this.#refusal(transfer, config, queue.accepted(slot));
      if (code) {
        this.end(transfer, { status: "error", code });
        continue;
      }
      queue.accept(transfer);
      const at = records.findIndex((record) => record.hint === transfer.hint);
      if (at >= 0) this.#takeUp(transfer, records.splice(at, 1)[0]);
      if (transfer.released || config.auto_upload !== false) queue.release(transfer);
      else transfer.stage = "held";
    }
    this.schedule();
  }

  /** @param {Transfer} transfer @param {SlotConfig | undefined} config @param {number} accepted */
  #refusal({ name, file }, config, accepted) {
    if (!config) return "unknown_slot";
    if (!name) return "bad_name";
    // Where completion frees places, what is too much now waits for one.
    return refusal(config, { name, type: file.type, size: file.size }, config.consumes_on_complete ? 0 : accepted);
  }

  /** Whether an upload that runs, or waits for the application, has this ref. @param {string} ref */
  isOwned(ref) {
    return this.queue.find(ref).length > 0 || !!this.kept.find(ref);
  }

  /**
   * Gives an upload a ref that no other has. One ref has one owner in the page: a failed upload that could have gone on
   * under it is gone, or hiding it would delete what the new owner stored.
   *
   * @param {Transfer} transfer
   * @param {string} ref
   */
  own(transfer, ref) {
    for (const failed of this.queue.tally.failed) {
      if (failed.ref !== ref) continue;
      this.outgoing.forget(failed);
      failed.savedAt = 0;
      failed.resuming = false;
      this.#vanish(failed);
    }
    transfer.ref = ref;
  }

  /** @param {Transfer} transfer @param {ResumeRecord} record */
  #takeUp(transfer, { ref, handle }) {
    if (ref !== transfer.ref && this.isOwned(ref)) return;
    this.own(transfer, ref);
    transfer.handle ??= handle;
    transfer.resuming = true;
    this.reports.changed(transfer, true);
  }

  /** Records that no other upload of this page continues. @param {string} slot @param {Set<Transfer>} [except] */
  async unclaimed(slot, except) {
    const records = await this.records.list();
    const claimed = new Set([...this.queue.open].filter((transfer) => !except?.has(transfer)).map((transfer) => transfer.ref));
    return records.filter((record) => record.slot === slot && !claimed.has(record.ref));
  }

  /** Starts by hand what waits for that. @param {Transfer[]} chosen */
  release(chosen) {
    for (const transfer of chosen) {
      transfer.released = true;
      if (transfer.stage === "held") this.queue.release(transfer);
    }
    this.schedule();
  }

  /** Gives the free places away, once everything that ends at this moment has ended: of those that end, none is started. */
  schedule() {
    this.#scheduled ??= Promise.resolve().then(() => {
      this.#scheduled = undefined;
      this.queue.fill((transfer) => this.#start(transfer));
      this.outgoing.pump();
    });
  }

  /** Lets the page change the file or refuse it, when its turn has come. @param {Transfer} transfer @param {NonNullable<import("./index.d.ts").SlotOptions["before"]>} before */
  async #alter(transfer, before) {
    const { file, name, relativePath, meta } = transfer;
    const { signal } = transfer.abort;
    try {
      const made = await before({ file, name, relativePath, meta }, { signal });
      if (signal.aborted) return; // it ended, and may have begun anew
      if (made === null) return void this.remove(transfer);
      if (made) transfer.alter(pickedOf(made));
      transfer.altered = true;
      for (const tally of this.queue.sums(transfer)) tally.resize(file.size, transfer.file.size);
      const code = this.#refusal(transfer, this.page.configs[transfer.slot], 0);
      if (code) this.end(transfer, { status: "error", code });
      else this.#start(transfer);
    } catch (/** @type {any} */ error) {
      if (!signal.aborted) this.end(transfer, { status: "error", code: "rejected", error: error?.message, retry: "never" });
    }
  }

  /** @param {Transfer} transfer */
  #start(transfer) {
    const { options, configs } = this.page;
    const { ref, name, file, relativePath, slot, resuming: resume, altered } = transfer;
    const { chunk_size: chunkSize, resumable, direct } = configs[slot];
    const own = options.slots?.[slot];
    if (own?.before && !altered) {
      void this.#alter(transfer, own.before);
      return;
    }
    if (direct || own?.presign || transfer.spec) {
      void this.#sendDirect(transfer);
      return;
    }
    this.outgoing.start(transfer, {
      ref, slot, name, relativePath, chunkSize, resumable, resume,
      type: file.type, size: file.size, lastModified: file.lastModified,
      clientId: this.#clientId, meta: transfer.meta ?? own?.meta, newRef: uuid,
    });
  }

  /** @param {Transfer} transfer */
  async #sendDirect(transfer) {
    const { signal } = transfer.abort;
    const ending = await import("./presigned.js").then( // few pages have such a slot
      ({ sendDirect }) => sendDirect(transfer, signal, wholeOf),
      () => /** @type {Ending} */ ({ status: "error", code: "unreachable", retry: "later" }),
    );
    if (!signal.aborted) this.end(transfer, ending);
  }

  /** Reports progress, and keeps a record of it now and then. @param {Transfer} transfer @param {boolean} [now] */
  #changed(transfer, now) {
    const { sender, ended, savedAt } = transfer;
    if (sender?.resumable && !ended && Date.now() - savedAt > SAVE_MS) this.#save(transfer, sender);
    this.reports.changed(transfer, now);
  }

  /** @param {Transfer} transfer @param {import("./sender.js").Sender} sender */
  #save(transfer, { ref, received, expiresIn = KEEP_SECONDS }) {
    const { name, slot, file, relativePath, handle } = transfer;
    const at = (transfer.savedAt = Date.now());
    const expires = at + expiresIn * 1000;
    void this.records.save({ ref, slot, name, relativePath, handle, at, expires, size: file.size, hint: transfer.hint, offset: received });
  }

  /** @param {Transfer} transfer */
  #dropRecord(transfer) {
    if (transfer.savedAt || transfer.resuming) void this.records.remove(transfer.ref);
    transfer.savedAt = 0;
    transfer.resuming = false;
  }

  /** @param {Transfer} transfer @param {Ending} ending */
  end(transfer, ending) {
    if (transfer.ended) return;
    const { reports } = this;
    transfer.end(ending.status === "error" ? { ...ending, error: reports.wording(ending, transfer) } : ending);
    this.queue.end(transfer);
    if (ending.status === "complete") this.keep(transfer);
    const comesBack = ending.status === "error" && (ending.retry === "later" || ending.code === "superseded");
    if (!comesBack) this.#dropRecord(transfer);
    reports.changed(transfer);
    if (ending.status === "error") reports.trouble(transfer, ending);
    this.#retryLater(transfer);
    this.schedule();
  }

  /** Where the page has a policy, it says when a failure is tried again. @param {Transfer} transfer */
  #retryLater(transfer) {
    const { error, upload } = transfer;
    if (!error || error.retry === "never") return;
    const wait = this.page.options.retry?.({ upload, code: error.code, tries: transfer.tries++ });
    if (typeof wait === "number") setTimeout(() => this.queue.tally.failed.has(transfer) && this.retry([transfer]), wait);
  }

  /** Remembers what is complete and may still be removed at the server, or replaced. @param {Transfer} transfer */
  keep(transfer) {
    const config = this.page.configs[transfer.slot];
    if (config?.consumes_on_complete === false && !transfer.direct) this.kept.add(transfer);
    else transfer.taken = config?.consumes_on_complete === true;
    if (config?.max_entries === 1) this.#latest.set(transfer.slot, transfer);
  }

  /**
   * In a slot of one the next file replaces what is there, unless the rules refuse it.
   *
   * @param {Transfer[]} added
   * @param {string} slot
   * @param {SlotConfig} config
   */
  async #makeRoom(added, slot, config) {
    const { queue, page } = this;
    await Promise.all(page.finding); // a file of an earlier page is replaced as well
    if (added.every((transfer) => transfer.ended || this.#refusal(transfer, config, 0))) return;
    const before = queue.of(slot);
    before.splice(before.findIndex((transfer) => added.includes(transfer)));
    await Promise.all([...before, ...queue.tallyOf(slot).failed, this.#latest.get(slot)].map((transfer) => transfer && this.remove(transfer)));
  }

  /** @param {Transfer[]} chosen @param {boolean} paused */
  pause(chosen, paused) {
    for (const transfer of chosen) {
      if (transfer.ended) continue;
      if (paused !== transfer.paused) for (const tally of this.queue.sums(transfer)) tally.paused += paused ? 1 : -1;
      transfer.paused = paused;
      if (paused) transfer.sender?.pause();
      else transfer.sender?.resume(Date.now());
      this.outgoing.drain(transfer);
      this.#changed(transfer, true);
    }
    this.schedule();
  }

  /** @param {Transfer[]} chosen */
  cancel(chosen) {
    for (const transfer of chosen) {
      transfer.sender?.cancel(Date.now());
      this.outgoing.drain(transfer);
      this.end(transfer, { status: "cancelled", code: "cancelled" });
    }
  }

  /** @param {Transfer[]} chosen */
  retry(chosen) {
    for (const transfer of chosen) {
      if (transfer.status !== "error") continue;
      this.outgoing.forget(transfer);
      // Without a record it is a new upload: an answer about the old one may still come. Another may have the ref by now.
      if ((!transfer.savedAt && !transfer.resuming) || this.isOwned(transfer.ref)) transfer.ref = uuid();
      transfer.renew();
      this.enqueue([transfer], transfer.slot);
    }
  }

  /** @param {Transfer} transfer @returns {Promise<void>} */
  async remove(transfer) {
    if (this.kept.find(transfer.ref) === transfer) {
      transfer.removing = true;
      this.reports.emit("change", transfer.upload);
      return this.kept.discard(transfer);
    }
    this.cancel([transfer]);
    this.#vanish(transfer);
  }

  /** @param {Transfer} transfer */
  #vanish(transfer) {
    for (const tally of this.queue.sums(transfer)) tally.forget(transfer);
    if (this.#latest.get(transfer.slot) === transfer) this.#latest.delete(transfer.slot);
    this.kept.forget(transfer);
    this.reports.emit("remove", transfer.upload);
  }
}
