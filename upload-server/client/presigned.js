// @ts-check
/** Uploads that go straight to a bucket: one PUT to a signed URL. */

/** Headers a browser sets itself and refuses to be given. */
const OWN = /^(host|content-length)$/i;

/**
 * Asks the server for a signed URL.
 * @param {string | URL} url
 * @param {string} slot
 * @param {File} file
 * @param {HeadersInit} [headers]
 * @returns {Promise<import("./index.d.ts").PresignedSpec>}
 */
export async function presign(url, slot, file, headers) {
  const body = JSON.stringify({ upload_name: slot, client_name: file.name, client_type: file.type, client_size: file.size });
  const all = new Headers(headers);
  all.set("content-type", "application/json");
  const response = await fetch(url, { method: "POST", body, headers: all });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(answer.error || "presigning failed"), { code: answer.code || "forbidden", status: response.status });
  return answer;
}

/**
 * PUTs the file as the spec says; rejects with a `code`.
 * @param {import("./index.d.ts").PresignedSpec} spec
 * @param {Blob} file
 * @param {(sent: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<unknown>}
 */
export function putPresigned(spec, file, progress, signal) {
  return new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    const failed = (/** @type {string} */ code) => fail(Object.assign(new Error("upload to storage failed"), { code, status: xhr.status }));
    xhr.open(spec.method || "PUT", spec.url);
    for (const [name, value] of Object.entries(spec.fields || {})) if (!OWN.test(name)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (e) => progress(e.loaded);
    xhr.onload = () => (xhr.status >= 200 && xhr.status < 300 ? done({ key: spec.key }) : failed(xhr.status === 403 ? "storage_denied" : "storage_failed"));
    xhr.onerror = xhr.ontimeout = () => failed("storage_failed");
    xhr.onabort = () => failed("cancelled");
    signal.addEventListener("abort", () => xhr.abort());
    xhr.send(file);
  });
}
