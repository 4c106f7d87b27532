// @ts-check
/** A React hook: the uploads of a slot, kept current while a component shows them. */
import { useEffect, useReducer } from "react";

/**
 * @param {import("upload-client").Uploads} uploads one per page, made outside of components
 * @param {string} slot
 * @returns {import("upload-client").Upload[]} in the order they were added
 */
export function useUploads(uploads, slot) {
  const [list, show] = useReducer(
    (/** @type {import("upload-client").Upload[]} */ list, /** @type {import("upload-client").Upload} */ upload) =>
      list.includes(upload) ? [...list] : [...list, upload],
    [],
  );
  useEffect(() => {
    const listen = (/** @type {import("upload-client").Upload} */ upload) => upload.slot === slot && show(upload);
    const ends = [uploads.on("add", listen), uploads.on("progress", listen), uploads.on("change", listen), uploads.on("error", ({ upload }) => upload && listen(upload))];
    return () => ends.forEach((end) => end());
  }, [uploads, slot]);
  return list;
}
