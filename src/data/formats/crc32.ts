// CRC-32 as zip, gzip and PNG use it (polynomial 0xEDB88320, reflected).

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 of bytes, from 0 to 2^32 − 1; give the result so far as `start` to go on with more bytes. */
export function crc32(bytes: Uint8Array, start: number = 0): number {
  let c = ~start;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]!) & 0xff]! ^ (c >>> 8);
  return ~c >>> 0;
}
