// @ts-check
/** `<UploadDropzone slot="photos" onComplete={…} />` for React 18 and later. */
import { createElement, useEffect, useRef } from "react";

const EVENTS = /** @type {const} */ ({ onAdd: "add", onComplete: "complete", onError: "error", onRemove: "remove" });

/** @param {import("./react.d.ts").UploadDropzoneProps} props */
export function UploadDropzone({ uploads, onAdd, onComplete, onError, onRemove, ...attributes }) {
  const element = useRef(/** @type {any} */ (null));
  const handlers = useRef(/** @type {Record<string, any>} */ ({}));
  handlers.current = { onAdd, onComplete, onError, onRemove };
  useEffect(() => {
    const { current } = element;
    for (const [prop, name] of Object.entries(EVENTS)) current.addEventListener(name, (/** @type {CustomEvent} */ event) => handlers.current[prop]?.(event.detail));
    if (uploads) current.uploads = uploads;
    // Only a browser has elements to define.
    void import("./dropzone.js");
  }, []);
  return createElement("upload-dropzone", { ...attributes, ref: element });
}
