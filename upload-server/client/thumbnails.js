// @ts-check
/** Small pictures of images, one after the other, when they are about to be seen. */

const THUMBNAIL_PX = 320;
const MARGIN = "200px";

export class Thumbnails {
  /** @type {WeakMap<Element, File>} */
  #files = new WeakMap();
  #turn = Promise.resolve();
  #observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: MARGIN });

  /** @param {HTMLImageElement} image @param {File} file */
  show(image, file) {
    this.#files.set(image, file);
    this.#observer.observe(image);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { isIntersecting, target } of entries) {
      const file = this.#files.get(target);
      if (!isIntersecting || !file) continue;
      this.#observer.unobserve(target);
      this.#turn = this.#turn.then(() => draw(/** @type {HTMLImageElement} */ (target), file));
    }
  }

  close() {
    this.#observer.disconnect();
  }
}

/** @param {HTMLImageElement} image @param {File} file */
async function draw(image, file) {
  /** @type {Blob} */
  let blob = file;
  try {
    const bitmap = await createImageBitmap(file, { resizeWidth: THUMBNAIL_PX, resizeQuality: "medium" });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
    bitmap.close();
    blob = await canvas.convertToBlob();
  } catch {
    // SVG, for one, cannot be made a bitmap.
  }
  const revoke = () => URL.revokeObjectURL(image.src);
  image.onload = revoke;
  image.onerror = () => {
    revoke();
    image.hidden = true; // rather than the sign of a broken picture
  };
  image.src = URL.createObjectURL(blob);
}
