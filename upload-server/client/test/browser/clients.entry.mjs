/** Clients of others, for a page of a test: what `clients.mjs` bundles. */
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import XHRUpload from "@uppy/xhr-upload";
import createUploader, { composeEnhancers } from "@rpldy/uploader";
import { getTusEnhancer } from "@rpldy/tus-sender";

const endpoint = (slot) => `/uploads/files/${slot}`;

/** Uploads files with Uppy; resolves to their names, and the errors of those that failed. */
export async function uppy(kind, slot, files, { pauseAt = 0 } = {}) {
  const all = new Uppy({ autoProceed: false });
  if (kind === "tus") all.use(Tus, { endpoint: endpoint(slot), chunkSize: 1 << 20, retryDelays: [100, 200, 400, 800, 1600, 3000, 3000, 3000] });
  else all.use(XHRUpload, { endpoint: endpoint(slot), fieldName: "file", bundle: kind === "bundle" });
  for (const file of files) all.addFile({ name: file.name, type: file.type, data: file });
  let paused = false;
  all.on("upload-progress", (file, { bytesUploaded }) => {
    window.uploaded = bytesUploaded;
    if (!pauseAt || paused || bytesUploaded < pauseAt) return;
    paused = true;
    all.pauseAll();
    setTimeout(() => all.resumeAll(), 300);
  });
  const { successful, failed } = await all.upload();
  const told = { successful: successful.map(({ name }) => name), failed: failed.map(({ error }) => error), paused };
  all.destroy();
  return told;
}

/** The same with the tus sender of react-uploady, which needs no React; it sends as metadata what a page names itself. */
export function rpldy(slot, files) {
  const uploader = createUploader({
    destination: { url: endpoint(slot) },
    enhancer: composeEnhancers(getTusEnhancer({ chunkSize: 1 << 20, retries: 20, sendDataOnCreate: false })),
    autoUpload: true,
  });
  return new Promise((done) => {
    const told = { successful: [], failed: [] };
    uploader.on("FILE-FINISH", ({ file }) => told.successful.push(file.name));
    uploader.on("FILE-ERROR", ({ uploadResponse }) => told.failed.push(JSON.stringify(uploadResponse)));
    uploader.on("REQUEST_PRE_SEND", ({ items: [{ file }] }) => ({ options: { params: { filename: file.name, filetype: file.type } } }));
    uploader.on("BATCH-FINALIZE", () => done(told));
    uploader.add(files);
  });
}
