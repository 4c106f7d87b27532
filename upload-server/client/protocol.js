// @ts-check
/** The wire: upload frames, control messages and the slot rules a page can check itself. Pure. */

/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */

export const SUBPROTOCOL = "upload.v1";
/** Bytes before a chunk's data: type, ref, index. */
export const HEADER = 21;

const CHUNK = 1;
const COMPLETE = 2;
const CANCEL = 3;

/**
 * The 16 bytes of a canonical UUID, or null.
 * @param {unknown} ref
 */
export function refBytes(ref) {
  if (typeof ref !== "string" || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(ref)) return null;
  return Uint8Array.from(/** @type {string[]} */ (ref.replaceAll("-", "").match(/../g)), (h) => parseInt(h, 16));
}

/**
 * @param {number} type
 * @param {string} ref
 * @param {number} length of the whole frame
 * @param {Uint8Array} [into] at least `length` long
 */
function frame(type, ref, length, into) {
  const id = refBytes(ref);
  if (!id) throw new TypeError("not a UUID: " + ref);
  const bytes = into ? into.subarray(0, length) : new Uint8Array(length);
  bytes[0] = type;
  bytes.set(id, 1);
  return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} value
 */
function putU32(bytes, value) {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(17, value);
}

/**
 * A chunk frame, written `into` a buffer if one is given.
 * @param {string} ref
 * @param {number} index
 * @param {Uint8Array} data
 * @param {Uint8Array} [into]
 */
export function encodeChunk(ref, index, data, into) {
  const bytes = frame(CHUNK, ref, HEADER + data.length, into);
  putU32(bytes, index);
  bytes.set(data, HEADER);
  return bytes;
}

/**
 * A complete frame; `crc` is the CRC32C of the whole file.
 * @param {string} ref
 * @param {number} [crc]
 */
export function encodeComplete(ref, crc) {
  const bytes = frame(COMPLETE, ref, crc === undefined ? 17 : HEADER);
  if (crc !== undefined) putU32(bytes, crc);
  return bytes;
}

/** @param {string} ref */
export const encodeCancel = (ref) => frame(CANCEL, ref, 17);

/**
 * A control message, or null for what is not a JSON object with a string `type`.
 * @param {unknown} text
 * @returns {(Record<string, any> & {type: string}) | null}
 */
export function parseMessage(text) {
  try {
    const message = JSON.parse(/** @type {string} */ (text));
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}

const ACTIVE_NAME = /\.(svgz?|x?html?|js)$/;
const ACTIVE_TYPE = /^(image\/svg\+xml|text\/html|application\/xhtml\+xml|(application|text)\/javascript)$/;

/**
 * The code with which the server would refuse a file of this slot, in its order (PROTOCOL MSG-1a), or null.
 * Never stricter than the server, which has the last word.
 * @param {SlotConfig} config
 * @param {{name: string, type: string, size: number}} file
 * @param {number} [underWay] entries of the slot that have not ended
 */
export function refusal(config, file, underWay = 0) {
  const name = file.name.normalize("NFKC").replace(/\p{C}/gu, "").toLowerCase().replace(/[\s./\\]+$/, "");
  const type = file.type.split(";")[0].trim().toLowerCase().replace("application/octet-stream", "");
  if (underWay >= config.max_entries) return "too_many_entries";
  if (file.size > config.max_file_size) return "too_large";
  if (!config.allow_active_content && (ACTIVE_NAME.test(name) || ACTIVE_TYPE.test(type))) return "active_content";
  const accept = (config.accept || "").toLowerCase().split(",").map((a) => a.trim()).filter(Boolean);
  const taken = accept.some((a) =>
    a[0] === "." ? name.endsWith(a) : !type || a === "*/*" || a === type || (a.endsWith("/*") && type.startsWith(a.slice(0, -1))),
  );
  return accept.length && !taken ? "type_not_accepted" : null;
}

/** Words for the codes a page makes itself or shows most; the server's `error` text wins. @type {Record<string, string>} */
export const TEXT = {
  too_many_entries: "Too many files",
  too_large: "File too large",
  active_content: "This kind of file is not allowed",
  type_not_accepted: "File type not accepted",
  unknown_slot: "Unknown upload slot",
  locked: "Already uploading in another tab",
  superseded: "Continued in another window",
  file_unreadable: "The file cannot be read any more",
  unauthenticated: "Please sign in again",
};
