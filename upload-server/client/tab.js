// @ts-check
/** Who a tab is for the server: the same after a reload, so that it takes its own uploads over (PROTOCOL RESUME-4). */
import { uuid } from "./upload.js";

/** @type {Promise<string> | undefined} */
let known;

/** This tab's id. A duplicated tab inherits it, finds it locked, and gets another. */
export function tabId() {
  known ??= find();
  return known;
}

async function find() {
  let id = uuid();
  try {
    /** @type {string | undefined} */
    const kept = sessionStorage.uploadClient;
    if (kept && (!navigator.locks || (await claim(kept)))) return kept;
    sessionStorage.uploadClient = id;
    await claim(id);
  } catch {
    // No storage or no locks: good for as long as the page lives.
  }
  return id;
}

/** Holds the id's lock for as long as the page lives; false if another tab holds it. @param {string} id @returns {Promise<boolean>} */
function claim(id) {
  return new Promise((done) => {
    void navigator.locks.request(id, { ifAvailable: true }, (lock) => {
      done(!!lock);
      return lock ? new Promise(() => {}) : undefined;
    });
  });
}
