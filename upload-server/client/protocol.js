// @ts-check
/** Frames, messages, and the slot rules a page can check itself. */

export const SUBPROTOCOL = "upload.v1";
export const HEADER = 21;

export function refBytes(ref) {
  if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(ref)) return null;
  return Uint8Array.from(ref.replaceAll("-", "").match(/../g), (h) => parseInt(h, 16));
}

function frame(type, ref, length, value = 0, bytes = new Uint8Array(length)) {
  const id = refBytes(ref);
  if (!id) throw new TypeError("not a UUID: " + ref);
  if (length >= HEADER) new DataView(bytes.buffer).setUint32(17, value);
  bytes[0] = type;
  bytes.set(id, 1);
  return bytes.subarray(0, length);
}

/** @param {Uint8Array<ArrayBuffer>} [into] */
export function encodeChunk(ref, index, data, into) {
  const bytes = frame(1, ref, HEADER + data.length, index, into);
  bytes.set(data, HEADER);
  return bytes;
}

/** @param {number} [crc] */
export const encodeComplete = (ref, crc) => frame(2, ref, crc === undefined ? 17 : HEADER, crc);

export const encodeCancel = (ref) => frame(3, ref, 17);

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

/** The code with which the server would refuse a file (PROTOCOL MSG-1a), never stricter than it, or null. */
export function refusal(config, file, underWay = 0) {
  const name = file.name.normalize("NFKC").replace(/\p{C}/gu, "").toLowerCase().replace(/[\s./\\]+$/, "");
  const type = file.type.split(";")[0].trim().toLowerCase().replace("application/octet-stream", "");
  if (underWay >= config.max_entries) return "too_many_entries";
  if (file.size > config.max_file_size) return "too_large";
  if (!config.allow_active_content && (ACTIVE_NAME.test(name) || ACTIVE_TYPE.test(type))) return "active_content";
  const accept = (config.accept || "*/*").toLowerCase().split(/[\s,]+/);
  const fits = (a) => (a[0] === "." ? name.endsWith(a) : !type || a === type || a[0] === "*" || (a.endsWith("/*") && type.startsWith(a.slice(0, -1))));
  return accept.some(fits) ? null : "type_not_accepted";
}
