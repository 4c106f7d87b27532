// @ts-check
/** Uploads that go straight to a bucket: asks for a signed URL, then PUTs the file there. */

/** @typedef {import("./index.d.ts").PresignedSpec} PresignedSpec */
/** @typedef {import("./index.d.ts").UploadsOptions} UploadsOptions */
/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {{ name: string, file: File }} Named */

/** Why a request failed, as the endings of uploads say it. */
export class RequestError extends Error {
  /** @param {{ code: string, reason?: string, error?: string, retry?: string }} answer */
  constructor({ code, reason, error, retry }) {
    super(error ?? code);
    this.code = code;
    this.reason = reason;
    this.error = error;
    this.retry = retry;
  }
}

/**
 * Asks the server for a signed URL.
 *
 * @param {URL} url
 * @param {string} slot
 * @param {Named} upload
 * @param {Record<string, string>} [headers]
 * @returns {Promise<PresignedSpec>}
 */
export async function presign(url, slot, { name, file }, headers = {}) {
  const body = JSON.stringify({ upload_name: slot, client_name: name, client_type: file.type, client_size: file.size });
  const response = await fetch(url, { method: "POST", body, headers: { ...headers, "content-type": "application/json" } });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new RequestError({ code: "forbidden", ...answer });
}

/**
 * Stores the file in the bucket.
 *
 * @param {PresignedSpec} spec
 * @param {Blob} file
 * @param {(sent: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<{ key: string | undefined }>}
 */
export function putPresigned(spec, file, progress, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open(spec.method ?? "PUT", spec.url);
    for (const [name, value] of Object.entries(spec.fields ?? {})) {
      if (!/^(host|content-length)$/i.test(name)) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onloadend = () => {
      const { status } = request;
      if (status >= 200 && status < 300) done({ key: spec.key });
      else fail(new RequestError({ code: status === 403 ? "storage_denied" : "storage_failed", retry: "restart" }));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Sends an upload to the bucket; rejects with the ending's code.
 *
 * @param {Transfer} transfer
 * @param {UploadsOptions} options
 * @param {(file: Blob) => Promise<unknown>} wholeOf rejects for a file that cannot be opened
 * @param {() => void} changed
 */
export async function sendDirect(transfer, { url, headers, slots }, wholeOf, changed) {
  const { file, slot, abort } = transfer;
  const own = slots?.[slot]?.presign;
  const base = new URL(typeof url === "function" ? await url({ refresh: false }) : url, location.href);
  const to = new URL("presign", base.href.replace(/^ws/, "http"));
  const spec = transfer.spec ?? (own ? await own(file) : await presign(to, slot, transfer, await headers?.()));
  if (!file.size) await wholeOf(file).catch(() => Promise.reject({ code: "file_unreadable", retry: "restart" }));
  abort.signal.throwIfAborted();
  const progress = (/** @type {number} */ sent) => {
    transfer.sentDirect = sent;
    changed();
  };
  return putPresigned(spec, file, progress, abort.signal);
}
