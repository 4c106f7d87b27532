/** What the widget is compared with, for a page of the bench: what `page.mjs` bundles. */
import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import XHRUpload from "@uppy/xhr-upload";

/** Shows a dashboard that sends what is picked at once; resolves when all is sent. */
export function uppy(target, endpoint) {
  const all = new Uppy({ autoProceed: true }).use(Dashboard, { target, inline: true }).use(XHRUpload, { endpoint, fieldName: "file" });
  return new Promise((done, fail) => all.on("complete", ({ successful, failed }) => (failed.length ? fail(new Error(failed[0].error)) : done(successful.length))));
}

/** Sends the files of an input without showing anything, some at a time; resolves when all are sent. */
export function bare(input, endpoint, atOnce = 3) {
  return new Promise((done, fail) => {
    input.addEventListener("change", () => {
      const files = [...input.files];
      const waiting = files.values();
      const send = async () => {
        for (const file of waiting) {
          const body = new FormData();
          body.append("file", file);
          const response = await fetch(endpoint, { method: "POST", body });
          if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
        }
      };
      Promise.all(Array.from({ length: atOnce }, send)).then(() => done(files.length), fail);
    });
  });
}
