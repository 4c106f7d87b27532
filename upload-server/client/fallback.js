// @ts-check
/**
 * A line to the server without a WebSocket: what a socket would send and hear, as HTTP requests (PROTOCOL section 12).
 *
 * It has the part of a WebSocket's face that `socket.js` uses. A frame becomes a piece of a `PATCH`, an answer becomes the
 * message that a socket would have brought, so nothing else of the client knows how its bytes travel.
 */

/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./index.d.ts").UploadsOptions} UploadsOptions */
/**
 * One upload.
 *
 * @typedef {object} Sent
 * @property {string} ref
 * @property {URL} url
 * @property {string | undefined} clientId
 * @property {number} size
 * @property {number} at bytes that the server has
 * @property {Uint8Array<ArrayBuffer>[]} pieces of what follows
 * @property {number} bytes of the pieces
 * @property {number} piece content of a request when credit was given last: more than twice of it does not come
 * @property {number | undefined} crc of the whole file, once its sender is through
 * @property {boolean} busy a request of it is under way
 * @property {AbortController} abort
 */

/** Content of the first request: a small one shows progress on a slow line. */
const PIECE_BYTES = 256 * 1024;
const PIECE_BYTES_MIN = 64 * 1024;
const PIECE_BYTES_MAX = 8 * 1024 * 1024;
/** A request should take so long: long enough to be worth its headers, and short enough to show progress. */
const PIECE_MS = 700;
const CHUNK = 1;
const COMPLETE = 2;
const HEADER_BYTES = 21;
const VERSION = { "upload-draft-interop-version": "8" };

/** @param {Uint8Array} bytes the 16 bytes of a UUID */
function refText(bytes) {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** A CRC32C as a digest field has it (RFC 9530). @param {number} crc */
const digest = (crc) => `crc32c=:${btoa(String.fromCharCode(crc >>> 24, (crc >>> 16) & 255, (crc >>> 8) & 255, crc & 255))}:`;

/** With these, firewalls answer methods that they do not know. */
const BARRED = new Set([403, 405, 501]);

/** Whether a refusal is none of the server's own. @param {Response} response */
const isForeign = ({ ok, headers }) => !ok && !headers.has("upload-code");

export class HttpLine {
  /** Nothing is queued here: credit says how much is on its way. */
  bufferedAmount = 0;
  /** @type {((event: { data: string }) => void) | null} */
  onmessage = null;
  /** @type {((event: { code: number }) => void) | null} */
  onclose = null;
  /** @type {Map<string, Sent>} */
  #sent = new Map();
  /** Where uploads are that the server named itself. @type {Map<string, URL>} */
  #urls = new Map();
  #gone = new AbortController();
  #piece = PIECE_BYTES;
  /** Proxies may take less than this client would send. */
  #pieceMax = PIECE_BYTES_MAX;
  /** Proxies may let no `PATCH` and no `DELETE` pass. */
  #disguises = false;
  /** Servers that answer the pages of every site answer no cookies of theirs. @type {RequestCredentials} */
  #credentials = "include";

  /**
   * @param {URL} address of the socket
   * @param {UploadsOptions} options
   * @param {(ref: string) => string | undefined} slotOf
   */
  constructor(address, options, slotOf) {
    this.base = new URL(address);
    this.base.protocol = address.protocol.replace("ws", "http");
    this.options = options;
    this.slotOf = slotOf;
    void this.#open();
  }

  /** @param {Uint8Array<ArrayBuffer> | string} what */
  send(what) {
    if (what instanceof Uint8Array) this.#frame(what);
    else void this.#message(JSON.parse(what));
  }

  close() {
    this.#end(1000);
  }

  /** @param {number} code */
  #end(code) {
    this.#gone.abort();
    for (const sent of this.#sent.values()) sent.abort.abort();
    this.#sent.clear();
    const { onclose } = this;
    this.onmessage = this.onclose = null;
    onclose?.({ code });
  }

  /** @param {Message} message */
  #hear(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  /** A place below the server's, with what the socket's address asks for, such as a token. @param {string} path */
  #at(path) {
    const url = new URL(path, this.base);
    url.search = this.base.search;
    return url;
  }

  /**
   * Asks the server; undefined if there was no answer, when the line is closed.
   *
   * @param {URL} url
   * @param {string} method
   * @param {Record<string, string>} [headers]
   * @param {BodyInit} [body]
   * @param {AbortSignal} [signal]
   * @returns {Promise<Response | undefined>}
   */
  async #ask(url, method, headers = {}, body, signal = this.#gone.signal) {
    const mayBeBarred = method === "PATCH" || method === "DELETE";
    const disguise = mayBeBarred && this.#disguises && { "x-http-method-override": method };
    try {
      const own = await this.options.headers?.();
      const all = { ...own, ...headers, ...disguise };
      const response = await fetch(url, { method: disguise ? "POST" : method, headers: all, body, credentials: this.#credentials, signal });
      if (response.status === 401) {
        this.#end(4401);
        return undefined;
      }
      const isBarred = mayBeBarred && !disguise && isForeign(response) && BARRED.has(response.status);
      if (!isBarred) return response;
      this.#disguises = true;
      return await this.#ask(url, method, headers, body, signal);
    } catch {
      if (!signal.aborted) this.#end(1006);
      return undefined;
    }
  }

  /** What the server says of a refusal; a proxy says nothing of the kind. @param {Response} response @returns {Promise<{ code?: string, reason?: string, error?: string, retry?: string }>} */
  async #words(response) {
    return isForeign(response) ? {} : response.json().catch(() => ({}));
  }

  async #open() {
    const url = this.#at("slots");
    try {
      let response;
      try {
        response = await fetch(url, { credentials: "include", headers: await this.options.headers?.(), signal: this.#gone.signal });
      } catch {
        this.#credentials = "omit";
        response = await fetch(url, { credentials: "omit", headers: await this.options.headers?.(), signal: this.#gone.signal });
      }
      if (response.ok) this.#hear(await response.json());
      else this.#end(response.status === 401 ? 4401 : 1006);
    } catch {
      this.#end(1006);
    }
  }

  /** @param {Message} message */
  async #message(message) {
    const { type, ref, id } = message;
    if (type === "upload_register") await this.#register(message);
    else if (type === "upload_resume") await this.#resume(ref, message.client_id);
    else if (type === "event") this.#hear({ type: "event_result", id, event: message.event, ok: false, code: "unreachable", retry: "later" });
    else if (type === "upload_list") this.#hear({ type: "error", code: "unknown_type", retry: "never" });
    else if (type === "ping" && (await this.#ask(this.#at("slots"), "HEAD"))) this.#hear({ type: "pong" });
  }

  /** @param {Message} message */
  async #register(message) {
    const { ref, client_size: size, client_id: clientId } = message;
    const sent = this.#begin(ref, size, 0, clientId);
    const response = await this.#ask(this.#at("files"), "POST", { "content-type": "application/json" }, JSON.stringify(message));
    if (!response) return;
    if (!response.ok) {
      await this.#refused(ref, response);
      return;
    }
    const answer = await response.json().catch(() => ({}));
    const location = response.headers.get("location");
    if (location) {
      const url = new URL(location, response.url);
      url.search = this.base.search;
      this.#urls.set(ref, url);
      sent.url = url;
    }
    // It was cancelled before the server knew it.
    if (this.#sent.get(ref) !== sent) await this.#ask(sent.url, "DELETE", this.#headers(clientId));
    else this.#hear({ ...answer, type: "upload_registered", ref, credit: this.#credit(sent) });
  }

  /** @param {string} ref @param {string | undefined} clientId */
  async #resume(ref, clientId) {
    const asked = this.#begin(ref, 0, 0, clientId);
    const response = await this.#ask(asked.url, "HEAD", this.#headers(clientId));
    // It may have been cancelled meanwhile.
    if (!response || this.#sent.get(ref) !== asked) return;
    const { status, headers } = response;
    if (status === 404 || status === 410) {
      this.#sent.delete(ref);
      this.#hear({ type: "upload_resumed", ref, status: "not_found", bytes_received: 0 });
    } else if (!response.ok) {
      this.#later(ref, response);
    } else {
      const at = Number(headers.get("upload-offset"));
      const size = Number(headers.get("upload-length"));
      const sent = this.#begin(ref, size, at, clientId);
      if (headers.get("upload-complete") === "?1") await this.#patch(sent, 0, true);
      else this.#hear({ type: "upload_resumed", ref, status: "resumed", bytes_received: at, credit: this.#credit(sent) });
    }
  }

  /** @param {string} ref */
  #urlOf(ref) {
    return this.#urls.get(ref) ?? this.#at(`files/${encodeURIComponent(this.slotOf(ref) ?? "")}/${ref}`);
  }

  /** @param {string | undefined} clientId @returns {Record<string, string>} */
  #headers(clientId) {
    return clientId ? { ...VERSION, "upload-client-id": clientId } : VERSION;
  }

  /** @param {string} ref @param {number} size @param {number} at @param {string | undefined} clientId */
  #begin(ref, size, at, clientId) {
    this.#sent.get(ref)?.abort.abort();
    /** @type {Sent} */
    const sent = { ref, size, at, clientId, url: this.#urlOf(ref), pieces: [], bytes: 0, piece: this.#piece, crc: undefined, busy: false, abort: new AbortController() };
    this.#sent.set(ref, sent);
    return sent;
  }

  /** One request's content on its way, and the next one's behind it. @param {Sent} sent */
  #credit(sent) {
    sent.piece = this.#piece;
    return sent.at + 2 * sent.piece;
  }

  /** @param {Uint8Array<ArrayBuffer>} frame */
  #frame(frame) {
    const [type] = frame;
    const ref = refText(frame.subarray(1, 17));
    const sent = this.#sent.get(ref);
    if (type !== CHUNK && type !== COMPLETE) {
      void this.#cancel(ref, sent);
    } else if (sent && type === CHUNK) {
      sent.pieces.push(frame.slice(HEADER_BYTES));
      sent.bytes += frame.length - HEADER_BYTES;
      void this.#pump(sent);
    } else if (sent) {
      sent.crc = new DataView(frame.buffer, frame.byteOffset).getUint32(17);
      void this.#pump(sent);
    }
  }

  /** Sends what is there, a request at a time. @param {Sent} sent */
  async #pump(sent) {
    if (sent.busy) return;
    sent.busy = true;
    while (this.#sent.get(sent.ref) === sent) {
      const over = sent.crc !== undefined;
      // Other uploads may have made the line's piece larger than what this one has credit for.
      const piece = Math.min(this.#piece, sent.piece);
      // The end of a file is sent with its checksum.
      if (!over && (sent.bytes < piece || sent.at + sent.bytes === sent.size)) break;
      const length = Math.min(sent.bytes, piece);
      if (!(await this.#patch(sent, length, over && length === sent.bytes))) break;
    }
    sent.busy = false;
  }

  /**
   * Appends the next bytes; false if the upload does not continue.
   *
   * @param {Sent} sent
   * @param {number} length
   * @param {boolean} isLast
   * @returns {Promise<boolean>}
   */
  async #patch(sent, length, isLast) {
    const { ref } = sent;
    const begun = Date.now();
    const body = new Blob(first(sent.pieces, length));
    const headers = {
      ...this.#headers(sent.clientId),
      "content-type": "application/partial-upload",
      "upload-offset": String(sent.at),
      "upload-complete": isLast ? "?1" : "?0",
      ...(isLast && sent.crc !== undefined && { "repr-digest": digest(sent.crc) }),
    };
    const response = await this.#ask(sent.url, "PATCH", headers, body, sent.abort.signal);
    if (!response || this.#sent.get(ref) !== sent) return false;
    if (!response.ok) return this.#unsent(sent, response);
    if (isLast) {
      const receipt = await response.json().catch(() => ({}));
      this.#sent.delete(ref);
      this.#hear({ ...receipt, type: "upload_progress", ref, status: "complete", bytes_received: sent.size, bytes_durable: sent.size });
      return false;
    }
    sent.at += length;
    drop(sent, length);
    const took = Date.now() - begun;
    if (took < PIECE_MS / 2) this.#piece = Math.min(this.#pieceMax, this.#piece * 2);
    else if (took > PIECE_MS * 2) this.#piece = Math.max(PIECE_BYTES_MIN, this.#piece / 2);
    this.#hear({ type: "upload_progress", ref, status: "uploading", bytes_received: sent.at, credit: this.#credit(sent) });
    return true;
  }

  /** Content that was not taken: true if it is to be sent in another way. @param {Sent} sent @param {Response} response */
  async #unsent(sent, response) {
    const { status } = response;
    const isProxy = isForeign(response);
    if (isProxy && status === 413 && this.#piece > PIECE_BYTES_MIN) {
      this.#piece = this.#pieceMax = this.#piece / 2;
      return true;
    }
    if (isProxy || status === 404 || status === 409 || status === 423 || status === 429 || status >= 500) this.#later(sent.ref, response);
    else await this.#refused(sent.ref, response);
    return false;
  }

  /** Its sender asks how far it came, in a while. @param {string} ref @param {Response} response */
  #later(ref, { status, headers }) {
    this.#sent.delete(ref);
    const seconds = Number(headers.get("retry-after"));
    const code = headers.get("upload-code");
    const wait = seconds > 0 && { retry_after_ms: seconds * 1000 };
    this.#hear({ type: "upload_progress", ref, status: "uploading", detached: true, ...(code && status >= 423 && { code, retry: "later" }), ...wait });
  }

  /** @param {string} ref @param {Response} response */
  async #refused(ref, response) {
    this.#sent.delete(ref);
    const { code = "unreachable", reason, error, retry = "later" } = await this.#words(response);
    const refusal = { ref, code, reason, error, retry };
    this.#hear(code === "ref_in_use" ? { type: "error", ...refusal } : { type: "upload_progress", status: "error", ...refusal });
  }

  /** Ends an upload, or removes a finished one. @param {string} ref @param {Sent} [sent] */
  async #cancel(ref, sent) {
    this.#sent.delete(ref);
    sent?.abort.abort();
    const response = await this.#ask(this.#urlOf(ref), "DELETE", this.#headers(sent?.clientId));
    if (!response) return;
    const { ok, status, headers } = response;
    const isGone = ok || ((status === 404 || status === 410) && !isForeign(response));
    if (isGone) this.#hear({ type: "upload_progress", ref, status: "cancelled", code: "cancelled" });
    else this.#hear({ type: "error", ref, code: headers.get("upload-code") ?? "unreachable", retry: "later" });
  }
}

/** The first bytes of what is there. @param {Uint8Array<ArrayBuffer>[]} pieces @param {number} length */
function first(pieces, length) {
  const parts = [];
  for (let left = length, i = 0; left > 0; i++) {
    parts.push(pieces[i].length > left ? pieces[i].subarray(0, left) : pieces[i]);
    left -= pieces[i].length;
  }
  return parts;
}

/** Forgets the first bytes of what is there. @param {Sent} sent @param {number} length */
function drop(sent, length) {
  sent.bytes -= length;
  for (let left = length; left > 0; ) {
    const [piece] = sent.pieces;
    if (piece.length <= left) sent.pieces.shift();
    else sent.pieces[0] = piece.subarray(left);
    left -= piece.length;
  }
}
