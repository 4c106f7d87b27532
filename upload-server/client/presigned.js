// @ts-check
/** Uploads that go straight to a bucket: asks for a signed URL, then PUTs the file there. */

/** @typedef {import("./index.d.ts").PresignedSpec} PresignedSpec */
/** @typedef {import("./index.d.ts").Ending} Ending */
/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {{ name: string, file: File }} Named */

/** Where no answer came, or none of the server: it may come the next time. */
const UNREACHABLE = { code: "unreachable", retry: "later" };

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
  const { status, ok } = response;
  if (ok && answer.url) return answer;
  if (status === 401) throw new RequestError({ code: "unauthenticated", retry: "later" });
  // A proxy or the page of a network that wants a sign-in has no code.
  const isRefused = status >= 400 && status < 500 && status !== 429;
  throw new RequestError({ ...(isRefused ? { code: "forbidden" } : UNREACHABLE), ...answer });
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
      else if (!status) fail(new RequestError(UNREACHABLE));
      else fail(new RequestError({ code: status === 403 ? "storage_denied" : "storage_failed", retry: "restart" }));
    };
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Sends an upload to the bucket; resolves to its ending.
 *
 * @param {Transfer} transfer
 * @param {AbortSignal} signal ends this attempt; another one may follow
 * @param {(file: Blob) => Promise<unknown>} wholeOf rejects for a file that cannot be opened
 * @returns {Promise<Ending>}
 */
export async function sendDirect(transfer, signal, wholeOf) {
  const { file, driver } = transfer;
  const { reports } = driver;
  try {
    signal.throwIfAborted();
    transfer.direct = true;
    reports.changed(transfer, true);
    const spec = transfer.spec ?? (await signed(transfer, signal));
    if (!file.size) await wholeOf(file).catch(() => Promise.reject({ code: "file_unreadable", retry: "restart" }));
    signal.throwIfAborted();
    const progress = (/** @type {number} */ sent) => {
      transfer.sentDirect = sent;
      reports.changed(transfer);
    };
    return { status: "complete", result: await putPresigned(spec, file, progress, signal) };
  } catch (/** @type {any} */ failure) {
    // A request without an answer, and a function of the page that could not ask, fail without a code.
    const { code, reason, error, retry } = typeof failure?.code === "string" ? failure : UNREACHABLE;
    return { status: "error", code, reason, error, retry };
  }
}

/** @param {Transfer} transfer @param {AbortSignal} signal */
async function signed(transfer, signal) {
  const { file, slot } = transfer;
  const { url, headers, slots } = transfer.driver.page.options;
  const own = slots?.[slot]?.presign;
  if (own) return own(file);
  const base = new URL(typeof url === "function" ? await url({ refresh: false }) : url, location.href);
  const to = new URL("presign", base.href.replace(/^ws/, "http"));
  const all = await headers?.();
  signal.throwIfAborted();
  return presign(to, slot, transfer, all);
}
