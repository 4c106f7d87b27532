// @ts-check
/** Frames, messages, and the slot rules a page can check itself. */

/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */
/** A message of the server; which fields it has depends on its `type`. @typedef {Record<string, any> & { type: string }} Message */

export const SUBPROTOCOL = "upload.v1";
/** Bytes of a chunk frame before its data. */
export const HEADER_BYTES = 21;

const CHUNK = 1;
const COMPLETE = 2;
const CANCEL = 3;

/** The 16 bytes of a UUID's text, or null for anything else. @param {string} ref */
export function refBytes(ref) {
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(ref)) return null;
  const pairs = ref.replaceAll("-", "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

/**
 * @param {number} type
 * @param {string} ref
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function startFrame(type, ref, bytes) {
  const id = refBytes(ref);
  if (!id) throw new TypeError(`not a UUID: ${ref}`);
  bytes[0] = type;
  bytes.set(id, 1);
  return bytes;
}

/** @param {Uint8Array<ArrayBuffer>} bytes @param {number} value */
const setNumber = (bytes, value) => new DataView(bytes.buffer, bytes.byteOffset).setUint32(17, value);

/**
 * A chunk frame, in a new buffer or at the start of a longer one.
 *
 * @param {string} ref
 * @param {number} index
 * @param {Uint8Array} data
 * @param {Uint8Array<ArrayBuffer>} [buffer]
 */
export function encodeChunk(ref, index, data, buffer) {
  const length = HEADER_BYTES + data.length;
  const bytes = startFrame(CHUNK, ref, (buffer ?? new Uint8Array(length)).subarray(0, length));
  setNumber(bytes, index);
  bytes.set(data, HEADER_BYTES);
  return bytes;
}

/** A complete frame, with the CRC32C of the whole file if it is known. @param {string} ref @param {number} [crc] */
export function encodeComplete(ref, crc) {
  const bytes = startFrame(COMPLETE, ref, new Uint8Array(crc === undefined ? 17 : HEADER_BYTES));
  if (crc !== undefined) setNumber(bytes, crc);
  return bytes;
}

/** @param {string} ref */
export const encodeCancel = (ref) => startFrame(CANCEL, ref, new Uint8Array(17));

/** A message, or null for what is none. @param {string} text @returns {Message | null} */
export function parseMessage(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}

const ACTIVE_NAME = /\.(svgz?|x?html?|js)$/;
const ACTIVE_TYPE = /^(image\/svg\+xml|text\/html|application\/xhtml\+xml|(application|text)\/javascript)$/;
/** Types with one meaning and one name on every system: a slot for others takes no such file. */
const PLAIN_TYPE = /^(image\/(png|jpeg|gif|webp|avif)|application\/pdf)$/;

/**
 * The code with which the server would refuse a file (PROTOCOL MSG-1a), or null.
 *
 * Never stricter than the server: systems declare one kind of file by many names (`application/x-zip-compressed`,
 * `image/pjpeg`, `binary/octet-stream`), which the server knows and this does not, so only what is certain is refused.
 *
 * @param {SlotConfig} config
 * @param {{ name: string, type: string, size: number }} file
 * @param {number} [underWay] uploads of the slot that are there already
 */
export function refusal(config, file, underWay = 0) {
  const name = file.name.normalize("NFKC").replace(/\p{C}/gu, "").toLowerCase().replace(/[\s./\\]+$/, "");
  const type = file.type.split(";")[0].trim().toLowerCase();
  if (underWay >= config.max_entries) return "too_many_entries";
  if (file.size > config.max_file_size) return "too_large";
  if (!config.allow_active_content && (ACTIVE_NAME.test(name) || ACTIVE_TYPE.test(type))) return "active_content";
  const entries = config.accept.toLowerCase().split(/[\s,]+/).filter(Boolean);
  const mayFit = (/** @type {string} */ entry) => (entry.startsWith(".") ? name.endsWith(entry) : mayBe(type, entry));
  return !entries.length || entries.some(mayFit) ? null : "type_not_accepted";
}

/** Whether a file that was declared as `type` may be one of an entry such as `image/*` or `image/png`. @param {string} type @param {string} entry */
function mayBe(type, entry) {
  if (entry.startsWith("*") || type === entry || !PLAIN_TYPE.test(type)) return true;
  const [kind, subtype] = entry.split("/");
  if (subtype === "*") return type.startsWith(`${kind}/`);
  return !PLAIN_TYPE.test(entry) && type.startsWith(`${kind}/`);
}
