// @ts-check
/** Uploads that go straight to a bucket: asks for a signed URL, PUTs the file there. Rejects with a `code`. */

export async function presign(url, slot, { name, type, size }, headers = {}) {
  const body = JSON.stringify({ upload_name: slot, client_name: name, client_type: type, client_size: size });
  const response = await fetch(url, { method: "POST", body, headers: { ...headers, "content-type": "application/json" } });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw { code: "forbidden", ...answer };
}

export const putPresigned = (spec, file, progress, signal) =>
  new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    xhr.open(spec.method ?? "PUT", spec.url);
    for (const [name, value] of Object.entries(spec.fields ?? {})) if (!/^(host|content-length)$/i.test(name)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (e) => progress(e.loaded);
    xhr.onloadend = () => {
      const { status } = xhr;
      if (status >= 200 && status < 300) done({ key: spec.key });
      else fail({ code: status === 403 ? "storage_denied" : "storage_failed", retry: "restart" });
    };
    signal.onabort = () => xhr.abort();
    xhr.send(file);
  });
