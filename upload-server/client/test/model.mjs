/**
 * A small server of the protocol, in memory: what a sender's tests talk to, and behind `standin.mjs` what a page does.
 * It checks what an honest client may not do (credit, order, repeated bytes) and throws when that happens.
 */
import { createHash } from "node:crypto";
import { crc32c, crcHex } from "../crc32c.js";

export const CONFIGS = {
  avatar: { accept: "image/*", max_entries: 1, max_file_size: 5_000_000, resumable: false },
  photos: { accept: "image/*", max_entries: 200, max_file_size: 25_000_000, resumable: false },
  documents: { accept: ".pdf,.txt,.csv,.docx,.xlsx,.pptx,.md,.json", max_entries: 20, max_file_size: 50_000_000, resumable: false },
  video: { accept: ".mp4,.mov,.webm", max_entries: 4, max_file_size: 8_000_000_000, resumable: true },
};

export function configs(overrides = {}) {
  const all = {};
  for (const [name, c] of Object.entries({ ...CONFIGS, ...overrides })) {
    all[name] = { name, chunk_size: 65536, auto_upload: true, allow_active_content: false, ...c };
  }
  return all;
}

const text = (b) => [b.subarray(0, 4), b.subarray(4, 6), b.subarray(6, 8), b.subarray(8, 10), b.subarray(10)].map((p) => Buffer.from(p).toString("hex")).join("-");

/** The server's half of PROTOCOL section 2. */
export function decodeFrame(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const type = { 1: "chunk", 2: "complete", 3: "cancel" }[bytes[0]];
  const fits = { chunk: bytes.length >= 21, complete: bytes.length === 17 || bytes.length === 21, cancel: bytes.length === 17 }[type];
  if (!fits) return null;
  const frame = { type, ref: text(bytes.subarray(1, 17)) };
  if (type === "chunk") Object.assign(frame, { index: view.getUint32(17), data: bytes.subarray(21) });
  if (type === "complete" && bytes.length === 21) frame.crc32c = crcHex(view.getUint32(17));
  return frame;
}

export class ModelServer {
  uploads = new Map();
  configs;
  window;
  /** Bytes taken by every connection together, repeats included. */
  taken = 0;
  /** Refs of what a handler took. */
  gone = new Set();
  /** Events are carried out, and their answers are lost. */
  losesAnswers = false;
  /** What is whole is being stored until `finish` is called, whatever becomes of its client (CTRL-6). */
  storesLate = false;
  /** Keep content, or only count and hash it. */
  keep = true;
  violations = [];
  constructor({ slots = {}, window = 4 << 20, store = true } = {}) {
    this.configs = configs(slots);
    this.window = window;
    this.store = store;
  }

  /** `send(message)` gets objects; the returned handle takes what the client says. */
  connect(send) {
    const conn = { held: new Set(), told: new Set(), clientId: undefined };
    conn.send = send;
    conn.text = (raw) => this.#text(conn, JSON.parse(raw));
    conn.binary = (bytes) => this.#frame(conn, decodeFrame(bytes));
    conn.close = () => {
      for (const up of conn.held) {
        up.holder = null;
        if (!up.resumable && !up.done && !up.isWhole) this.uploads.delete(up.ref);
      }
    };
    send({ type: "upload_configs", protocol: 1, upload_configs: this.configs, limits: {} });
    return conn;
  }

  /** As after `kill -9`: what is resumable falls back to what was durable. */
  restart() {
    for (const up of this.uploads.values()) {
      up.holder = null;
      if (!up.resumable && !up.done) this.uploads.delete(up.ref);
      else if (!up.done) this.#truncate(up, up.durable);
    }
  }

  /** Stores what is whole; its client hears of it, if it is there. */
  finish() {
    for (const up of this.uploads.values()) {
      if (!up.isWhole || up.done) continue;
      up.done = this.snapshot(up, { status: "complete", crc32c: crcHex(up.crc), result: { path: `${up.slot}/${up.name}`, size: up.size } });
      up.holder?.send(up.done);
    }
  }

  #truncate(up, at) {
    const kept = Buffer.concat(up.parts).subarray(0, at);
    up.parts = [kept];
    up.received = at;
    up.crc = crc32c(kept);
  }

  snapshot(up, more = {}) {
    return {
      type: "upload_progress", ref: up.ref, status: "uploading", progress: up.size ? Math.floor((up.received / up.size) * 100) : 100,
      bytes_received: up.received, bytes_durable: up.durable, next_index: up.next, credit: up.received + this.window, ...more,
    };
  }

  #refuse(conn, ref, code, retry = "never") {
    conn.send({ type: "upload_progress", ref, status: "error", progress: 0, code, error: code, retry });
  }

  #text(conn, m) {
    if (m.type === "ping") return conn.send({ type: "pong" });
    if (m.type === "upload_list") {
      const done = [...this.uploads.values()].filter((up) => up.done && (!m.upload_name || up.slot === m.upload_name));
      return conn.send({ type: "upload_list", id: m.id, uploads: done.map((up) => ({ ref: up.ref, upload_name: up.slot, client_name: up.name, client_size: up.size, status: "complete", result: up.done.result })) });
    }
    if (m.type === "event") {
      this.named = m.uploads;
      const taken = m.uploads.filter((ref) => this.gone.has(ref));
      const unknown = m.uploads.filter((ref) => !this.gone.has(ref) && !this.uploads.has(ref));
      if (m.event === "take") for (const ref of m.uploads) if (this.uploads.delete(ref)) this.gone.add(ref);
      if (this.losesAnswers) return undefined;
      if (m.event === "fail") return conn.send({ type: "event_result", id: m.id, event: m.event, ok: false, code: "unknown_event", error: "unknown event" });
      return conn.send({ type: "event_result", id: m.id, event: m.event, ok: true, result: m.params, taken, unknown });
    }
    if (m.type === "upload_register") {
      const config = this.configs[m.upload_name];
      if (!config) return this.#refuse(conn, m.ref, "unknown_slot");
      if (this.uploads.has(m.ref)) return conn.send({ type: "error", ref: m.ref, code: "ref_in_use", error: "ref in use", retry: "never" });
      if (m.client_size > config.max_file_size) return this.#refuse(conn, m.ref, "too_large");
      const resumable = config.resumable && this.store;
      const up = {
        ref: m.ref, slot: m.upload_name, name: m.client_name, path: m.relative_path, size: m.client_size, chunk: config.chunk_size, resumable,
        received: 0, durable: 0, next: 0, credit: this.window, crc: 0, parts: [], sha: createHash("sha256"), holder: conn, clientId: m.client_id, at: 0, done: null,
      };
      this.uploads.set(m.ref, up);
      conn.held.add(up);
      return conn.send({ type: "upload_registered", ref: m.ref, upload_name: up.slot, chunk_size: up.chunk, credit: up.credit, resumable, expires_in: resumable ? 3600 : undefined });
    }
    if (m.type === "upload_resume") {
      const up = this.uploads.get(m.ref);
      const answer = (status, more) => conn.send({ type: "upload_resumed", ref: m.ref, status, bytes_received: 0, next_index: 0, chunks_received: [], ...more });
      if (!up || (!up.resumable && !up.done)) return answer("not_found");
      if (up.holder && !up.done && up.clientId !== m.client_id) return answer("locked");
      up.holder?.held.delete(up);
      if (up.holder && up.holder !== conn && !up.done) up.holder.send(this.snapshot(up, { detached: true, code: "superseded" }));
      up.holder = conn;
      up.clientId = m.client_id;
      up.next = Math.floor(up.received / up.chunk);
      up.credit = up.received + this.window;
      conn.held.add(up);
      conn.told.delete(up);
      return answer(up.done ? "complete" : "resumed", {
        bytes_received: up.received, next_index: up.next, chunk_size: up.chunk, credit: up.credit, crc32c: crcHex(up.crc), chunks_received: up.next ? [[0, up.next - 1]] : [],
      });
    }
    conn.send({ type: "error", code: "unknown_type", error: "unknown type", retry: "never" });
  }

  #frame(conn, f) {
    if (!f) return conn.send({ type: "error", code: "bad_frame", error: "bad frame", retry: "never" });
    const up = this.uploads.get(f.ref);
    // COMPLETE-7: any connection of its owner may cancel an upload that is complete and not taken, detached or held by another.
    if (!up || (!conn.held.has(up) && f.type !== "cancel")) return conn.send({ type: "error", ref: f.ref, code: "unknown_ref", error: "unknown ref", retry: "restart" });
    if (f.type === "cancel") {
      this.uploads.delete(up.ref);
      conn.held.delete(up);
      up.holder?.held.delete(up);
      return conn.send(this.snapshot(up, { status: "cancelled", code: "cancelled" }));
    }
    if (f.type === "complete") {
      if (up.done) return conn.send(up.done);
      if (up.received !== up.size) return conn.send(this.snapshot(up, { code: "incomplete" }));
      if (f.crc32c && f.crc32c !== crcHex(up.crc)) {
        this.uploads.delete(up.ref);
        return conn.send(this.snapshot(up, { status: "error", code: "checksum_mismatch", error: "checksum mismatch", retry: "restart" }));
      }
      up.isWhole = true;
      return this.storesLate || this.finish();
    }
    if (up.done || f.index < up.next) return;
    if (f.index > up.next) {
      if (!conn.told.has(up)) conn.send(this.snapshot(up, { code: "chunk_out_of_order" }));
      conn.told.add(up);
      return;
    }
    conn.told.delete(up);
    if (up.received + f.data.length > up.credit) this.violations.push(`credit ${up.credit} passed at ${up.received}`);
    if (f.data.length > up.chunk) this.violations.push("chunk too long");
    up.next++;
    up.received += f.data.length;
    this.taken += f.data.length;
    up.crc = crc32c(f.data, up.crc);
    if (this.keep) up.parts.push(Buffer.from(f.data));
    const due = up.received + this.window - up.credit >= this.window / 4 || up.received === up.size;
    if (due) {
      // Durable lags behind, as it does with object storage.
      up.durable = up.received === up.size ? up.size : Math.floor(up.received / 3e5) * 3e5;
      up.credit = up.received + this.window;
      conn.send(this.snapshot(up));
    }
  }

  content(ref) {
    return Buffer.concat(this.uploads.get(ref)?.parts ?? []);
  }
}
