// @ts-check
/** Uploads of a page, over one socket. index.d.ts says what each name is for. */
import { bind } from "./directives.js";
import { Uploads } from "./uploads.js";

export { bind };
export { fileHint, filesOf } from "./intake.js";
export { Sender } from "./sender.js";
export { Upload, UploadError } from "./upload.js";
export { Uploads };

/** @param {import("./index.d.ts").UploadsOptions} options */
export const createUploads = (options) => new Uploads(options);

/** A page's own script starts by itself. */
export const uploads = (() => {
  const { url } = import.meta;
  const script = url.includes("/client/index.js") && [...document.scripts].find((script) => script.src === url);
  if (!script) return null;
  const all = new Uploads({ url: script.dataset.url ?? new URL("../ws", url).href });
  bind(all);
  return all;
})();
