// @ts-check
/** Makes pictures smaller before they are sent, and with it drops what cameras write into them, such as the place. */

/** @typedef {import("./index.d.ts").Picked} Picked */
/** @typedef {{ width?: number, height?: number, type?: string, quality?: number }} Wanted */

/** Others move, are drawn by lines, or are not decoded everywhere. */
const STILL = /^image\/(jpeg|png|webp|avif|bmp|heic)$/;
const EXTENSIONS = /** @type {Record<string, string>} */ ({ "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp" });

/**
 * A hook for `slots[…].before`: at most so wide and high, in pixels, as the type that is named.
 *
 * A picture that the browser cannot decode is left as it is, for the server to judge.
 *
 * @param {Wanted} [wanted]
 * @returns {(picked: Picked, ask: { signal: AbortSignal }) => Promise<Partial<Picked> | undefined>}
 */
export function resized({ width = 2048, height = 2048, type = "image/jpeg", quality = 0.85 } = {}) {
  return async ({ file, name = /** @type {File} */ (file).name }, { signal }) => {
    if (!STILL.test(file.type)) return undefined;
    const bitmap = await createImageBitmap(file).catch(() => undefined);
    if (!bitmap) return undefined;
    const scale = Math.min(1, width / bitmap.width, height / bitmap.height);
    const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const blob = await canvas.convertToBlob({ type, quality });
    signal.throwIfAborted();
    // A browser that cannot write the type writes PNG.
    const renamed = `${name.replace(/\.[^.]*$/, "")}.${EXTENSIONS[blob.type] ?? "png"}`;
    return { file: new File([blob], renamed, { type: blob.type, lastModified: /** @type {File} */ (file).lastModified }), name: renamed };
  };
}
