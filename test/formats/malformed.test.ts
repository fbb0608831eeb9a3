// The malformed corpus: each kind of damaged or hostile file, built here by hand, with the code it must be refused with.
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../src/engine/core/index.ts";
import {
  decodeCsv,
  decodeIdx,
  decodeJsonl,
  decodeNpy,
  decodeSafetensors,
  parseJson,
  type CsvOptions,
} from "../../src/data/formats/index.ts";

type Case = readonly [name: string, code: string, bytes: Uint8Array];

/** Runs a table: every case is refused with a FormatError of its code, and a text that says where. */
function refuses(read: (bytes: Uint8Array) => unknown, cases: readonly Case[]): void {
  it.each(cases)("%s → %s", (_, code, bytes) => {
    let error: unknown;
    try {
      read(bytes);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).code).toBe(code);
    expect((error as FormatError).message).toMatch(/^file/);
  });
  it("has kinds of different names", () => {
    expect(new Set(cases.map(([name]) => name)).size).toBe(cases.length);
  });
}

const where = "file";
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const bytes = (...parts: (Uint8Array | string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : Buffer.from(part))));

function u64(n: bigint): Uint8Array {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(n);
  return out;
}

/** A file with this header and so many bytes of data. */
function tensors(header: string, dataBytes: number = 0): Uint8Array {
  const json = utf8(header);
  return bytes(u64(BigInt(json.length)), json, new Uint8Array(dataBytes));
}
const entry = (fields: string): string => `{"x":{${fields}}}`;
const U8 = '"dtype":"U8"';
const ONE = `"x":{${U8},"shape":[1],"data_offsets":[0,1]}`;

describe("safetensors", () => {
  const cases: Case[] = [
    ["empty file", "too-small", bytes()],
    ["seven bytes", "too-small", bytes([0, 0, 0, 0, 0, 0, 0])],
    ["header of length 0", "header-start", u64(0n)],
    ["header length above the file", "header-truncated", bytes(u64(100n), "{}")],
    ["header length above the limit", "header-too-large", bytes(u64(100_000_001n), "{}")],
    ["header length 2^63", "header-too-large", bytes(u64(2n ** 63n), "{}")],
    ["header length 2^64 − 1", "header-too-large", bytes(u64(2n ** 64n - 1n), "{}")],
    ["header that starts with a space", "header-start", tensors(" {}")],
    ["header that is a list", "header-start", tensors("[]")],
    ["byte order mark", "header-start", tensors("\uFEFF{}")],
    ["a pickle", "header-too-large", bytes([0x80, 0x02, 0x8a, 0x0a, 0, 0, 0, 0, 0x2e])],
    ["header that is not UTF-8", "bad-utf8", bytes(u64(7n), '{"\xff":1}')],
    ["header cut inside", "syntax", tensors('{"x":{"dtype":"U8"')],
    ["comma before the end", "syntax", tensors(`{${ONE},}`, 1)],
    ["single quotes", "syntax", tensors("{'x':1}")],
    ["comment", "syntax", tensors("{/* */}")],
    ["NaN as a number", "syntax", tensors(entry(`${U8},"shape":[NaN],"data_offsets":[0,1]`), 1)],
    ["leading zero", "syntax", tensors(entry(`${U8},"shape":[01],"data_offsets":[0,1]`), 1)],
    ["control character in a name", "syntax", tensors('{"a\u0000":1}')],
    ["bad escape in a name", "syntax", tensors('{"\\x":1}')],
    ["half a surrogate pair in a name", "lone-surrogate", tensors('{"\\ud800":1}')],
    ["text after the header's object", "trailing-data", tensors('{} {"x":1}')],
    ["NUL bytes as padding", "trailing-data", tensors("{}\u0000\u0000")],
    ["nesting that is too deep", "too-deep", tensors('{"x":[[[[[]]]]]}')],
    ["nesting of 100,000", "too-deep", tensors(`{"x":${"[".repeat(100_000)}`)],
    ["tensor that appears twice", "duplicate-key", tensors(`{${ONE},${ONE}}`, 1)],
    ["same name, escaped", "duplicate-key", tensors(`{${ONE},${ONE.replace("x", "\\u0078")}}`, 1)],
    [
      "field that appears twice",
      "duplicate-key",
      tensors(entry(`${U8},"dtype":"I8","shape":[1],"data_offsets":[0,1]`), 1),
    ],
    ["metadata twice", "duplicate-key", tensors('{"__metadata__":{},"__metadata__":{}}')],
    ["metadata that is a text", "bad-metadata", tensors('{"__metadata__":"x"}')],
    ["metadata with null", "bad-metadata", tensors('{"__metadata__":{"x":null}}')],
    ["metadata with a number", "bad-metadata", tensors('{"__metadata__":{"x":1}}')],
    ["metadata with an object", "bad-metadata", tensors('{"__metadata__":{"x":{}}}')],
    ["tensor that is a number", "bad-entry", tensors('{"x":1}')],
    ["tensor that is a list", "bad-entry", tensors('{"x":[]}')],
    ["tensor that is null", "bad-entry", tensors('{"x":null}')],
    ["no dtype", "missing-field", tensors(entry('"shape":[1],"data_offsets":[0,1]'), 1)],
    ["no shape", "missing-field", tensors(entry(`${U8},"data_offsets":[0,1]`), 1)],
    ["no offsets", "missing-field", tensors(entry(`${U8},"shape":[1]`), 1)],
    [
      "__proto__ instead of a field",
      "missing-field",
      tensors('{"x":{"__proto__":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}}', 1),
    ],
    ["unknown field", "unknown-field", tensors(entry(`${U8},"shape":[1],"data_offsets":[0,1],"stride":[1]`), 1)],
    ["dtype that is a number", "bad-dtype", tensors(entry('"dtype":1,"shape":[1],"data_offsets":[0,1]'), 1)],
    ["unknown dtype", "unknown-dtype", tensors(entry('"dtype":"Q4","shape":[1],"data_offsets":[0,1]'), 1)],
    ["dtype in small letters", "unknown-dtype", tensors(entry('"dtype":"u8","shape":[1],"data_offsets":[0,1]'), 1)],
    [
      "dtype named like a method",
      "unknown-dtype",
      tensors(entry('"dtype":"toString","shape":[1],"data_offsets":[0,1]'), 1),
    ],
    ["8-bit float", "unsupported-dtype", tensors(entry('"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]'), 1)],
    ["complex numbers", "unsupported-dtype", tensors(entry('"dtype":"C64","shape":[1],"data_offsets":[0,8]'), 8)],
    ["shape that is a number", "bad-shape", tensors(entry(`${U8},"shape":1,"data_offsets":[0,1]`), 1)],
    ["shape with a text", "bad-shape", tensors(entry(`${U8},"shape":["1"],"data_offsets":[0,1]`), 1)],
    ["nested shape", "bad-shape", tensors(entry(`${U8},"shape":[[1]],"data_offsets":[0,1]`), 1)],
    ["negative size", "not-an-integer", tensors(entry(`${U8},"shape":[-1],"data_offsets":[0,1]`), 1)],
    ["minus zero", "not-an-integer", tensors(entry(`${U8},"shape":[-0],"data_offsets":[0,0]`))],
    ["size 1.0", "not-an-integer", tensors(entry(`${U8},"shape":[1.0],"data_offsets":[0,1]`), 1)],
    ["size 1e0", "not-an-integer", tensors(entry(`${U8},"shape":[1e0],"data_offsets":[0,1]`), 1)],
    ["size above 2^48", "size-overflow", tensors(entry(`${U8},"shape":[281474976710657],"data_offsets":[0,1]`), 1)],
    ["size above 2^53", "size-overflow", tensors(entry(`${U8},"shape":[9007199254740993],"data_offsets":[0,1]`), 1)],
    [
      "product that wraps in 64 bits",
      "size-overflow",
      tensors(entry(`${U8},"shape":[4294967296,4294967297],"data_offsets":[0,1]`), 1),
    ],
    [
      "product that wraps before a zero",
      "size-overflow",
      tensors(entry(`${U8},"shape":[281474976710656,2,0],"data_offsets":[0,0]`)),
    ],
    [
      "bytes that wrap",
      "size-overflow",
      tensors(entry('"dtype":"F64","shape":[281474976710656],"data_offsets":[0,0]')),
    ],
    ["rank 65", "rank-too-high", tensors(entry(`${U8},"shape":[${Array(65).fill(1)}],"data_offsets":[0,1]`), 1)],
    [
      "name of 1,025 bytes",
      "name-too-long",
      tensors(`{"${"n".repeat(1025)}":{${U8},"shape":[1],"data_offsets":[0,1]}}`, 1),
    ],
    ["one offset", "bad-offsets", tensors(entry(`${U8},"shape":[1],"data_offsets":[0]`), 1)],
    ["three offsets", "bad-offsets", tensors(entry(`${U8},"shape":[1],"data_offsets":[0,1,2]`), 1)],
    ["offsets that are texts", "bad-offsets", tensors(entry(`${U8},"shape":[1],"data_offsets":["0","1"]`), 1)],
    ["offsets the wrong way round", "bad-offsets", tensors(entry(`${U8},"shape":[1],"data_offsets":[1,0]`), 1)],
    ["negative offset", "not-an-integer", tensors(entry(`${U8},"shape":[1],"data_offsets":[-1,0]`), 1)],
    [
      "shape that says less than the offsets",
      "size-mismatch",
      tensors(entry(`${U8},"shape":[1],"data_offsets":[0,2]`), 2),
    ],
    [
      "shape that says more than the offsets",
      "size-mismatch",
      tensors(entry(`${U8},"shape":[3],"data_offsets":[0,2]`), 2),
    ],
    [
      "dtype that says more than the offsets",
      "size-mismatch",
      tensors(entry('"dtype":"F32","shape":[1],"data_offsets":[0,1]'), 1),
    ],
    ["tensors that overlap", "overlap", tensors(`{${ONE},"y":{${U8},"shape":[2],"data_offsets":[0,2]}}`, 2)],
    ["tensors that share all bytes", "overlap", tensors(`{${ONE},${ONE.replace("x", "y")}}`, 1)],
    ["hole at the beginning", "hole", tensors(entry(`${U8},"shape":[1],"data_offsets":[1,2]`), 2)],
    ["hole between tensors", "hole", tensors(`{${ONE},"y":{${U8},"shape":[1],"data_offsets":[2,3]}}`, 3)],
    ["empty tensor beyond the end", "hole", tensors(entry(`${U8},"shape":[0],"data_offsets":[5,5]`), 0)],
    ["data cut short", "truncated", tensors(entry(`${U8},"shape":[4],"data_offsets":[0,4]`), 3)],
    ["data missing", "truncated", tensors(`{${ONE}}`)],
    ["bytes after the last tensor", "trailing-data", tensors(`{${ONE}}`, 2)],
    ["data without tensors", "trailing-data", tensors("{}", 1)],
    ["bool of 2", "bad-bool", bytes(tensors(entry('"dtype":"BOOL","shape":[1],"data_offsets":[0,1]')), [2])],
  ];
  refuses((data) => decodeSafetensors(data, { where }), cases);
  it("counts at least 40 kinds", () => expect(cases.length).toBeGreaterThanOrEqual(40));

  it("takes the controls", () => {
    const good = [tensors("{}"), tensors("{}      "), tensors('{"__metadata__":{"a":"b"}}'), tensors(`{${ONE}}`, 1)];
    for (const file of good) expect(decodeSafetensors(file).tensors.size).toBeLessThan(2);
    const shared = `{"a":{${U8},"shape":[0],"data_offsets":[0,0]},"b":{${U8},"shape":[0,7],"data_offsets":[0,0]},${ONE}}`;
    expect(decodeSafetensors(tensors(shared, 1)).tensors.size).toBe(3);
  });
});

function npy(header: string, data: Uint8Array = new Uint8Array(4), version: number[] = [1, 0]): Uint8Array {
  const length = Buffer.alloc(version[0] === 1 ? 2 : 4);
  length.writeUInt16LE(header.length);
  return bytes("\x93NUMPY", version, length, header, data);
}
const dict = (descr: string, shape: string, fortran: string = "False"): string =>
  `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;

describe("npy", () => {
  const cases: Case[] = [
    ["empty file", "truncated", bytes()],
    ["another magic", "bad-magic", bytes("PK\x03\x04 and more")],
    ["version 4", "bad-version", npy(dict("'<f4'", "(1,)"), undefined, [4, 0])],
    ["version 0", "bad-version", npy(dict("'<f4'", "(1,)"), undefined, [0, 0])],
    ["version 1.1", "bad-version", npy(dict("'<f4'", "(1,)"), undefined, [1, 1])],
    ["header length above the file", "truncated", npy(dict("'<f4'", "(1,)")).subarray(0, 40)],
    ["header length above the limit", "header-too-large", bytes("\x93NUMPY", [2, 0, 0, 0, 1, 1])],
    ["header that is no dict", "bad-header", npy("hello\n")],
    [
      "header with code",
      "bad-header",
      npy("{'descr': __import__('os').system('x'), 'fortran_order': False, 'shape': (1,)}"),
    ],
    ["header without a shape", "bad-header", npy("{'descr': '<f4', 'fortran_order': False, }")],
    [
      "header with another key",
      "bad-header",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': True}"),
    ],
    [
      "key that appears twice",
      "duplicate-key",
      npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"),
    ],
    ["fortran_order that is no bool", "bad-header", npy(dict("'<f4'", "(1,)", "'x'"))],
    ["header that is not UTF-8", "bad-utf8", npy(dict("'<f4\xff'", "(1,)"))],
    ["objects (pickle)", "object-dtype", npy(dict("'|O'", "(1,)"))],
    ["objects with a size", "object-dtype", npy(dict("'|O8'", "(1,)"))],
    ["records", "structured-dtype", npy(dict("[('a', '<f4')]", "(1,)"))],
    ["complex numbers", "unsupported-dtype", npy(dict("'<c8'", "(1,)"))],
    ["text", "unsupported-dtype", npy(dict("'<U4'", "(1,)"))],
    ["dates", "unsupported-dtype", npy(dict("'<M8[ns]'", "(1,)"))],
    ["128-bit floats", "unsupported-dtype", npy(dict("'<f16'", "(1,)"))],
    ["dtype without byte order", "unsupported-dtype", npy(dict("'f4'", "(1,)"))],
    ["shape without its comma", "bad-shape", npy(dict("'<f4'", "(1)"))],
    ["shape that is a list", "bad-shape", npy(dict("'<f4'", "[1]"))],
    ["negative size", "bad-shape", npy(dict("'<f4'", "(-1,)"))],
    ["size that is no integer", "bad-shape", npy(dict("'<f4'", "(1.5,)"))],
    ["shape full of spaces", "bad-shape", npy(dict("'<f4'", `(1,${" ".repeat(60_000)}x)`))],
    ["two commas", "bad-shape", npy(dict("'<f4'", "(1,,2)"))],
    ["rank 65", "rank-too-high", npy(dict("'<f4'", `(${"1, ".repeat(65)})`))],
    ["size above 2^53", "size-overflow", npy(dict("'<f4'", "(9007199254740993,)"))],
    ["product that wraps", "size-overflow", npy(dict("'<f4'", "(4294967296, 4294967296)"))],
    ["product that wraps before a zero", "size-overflow", npy(dict("'<f4'", "(4294967296, 4294967296, 0)"))],
    ["data cut short", "truncated", npy(dict("'<f4'", "(2,)"))],
    ["claim of 2^40 bytes", "truncated", npy(dict("'<f4'", "(274877906944,)"))],
    ["bytes after the array", "trailing-data", npy(dict("'<f4'", "(1,)"), new Uint8Array(5))],
    ["bool of 7", "bad-bool", npy(dict("'|b1'", "(1,)"), Uint8Array.of(7))],
  ];
  refuses((data) => decodeNpy(data, { where }), cases);
  it("takes the controls", () => {
    expect(decodeNpy(npy(dict("'<f4'", "(1,)"))).shape).toEqual([1]);
    expect(decodeNpy(npy(dict('"<f4"', "( 1 , )"), undefined, [3, 0])).shape).toEqual([1]);
    expect(decodeNpy(npy(dict("'<f4'", "()"))).shape).toEqual([]);
  });
});

describe("idx", () => {
  const good = [0, 0, 8, 1, 0, 0, 0, 2, 5, 6];
  const packed = gzipSync(Uint8Array.from(good));
  const cases: Case[] = [
    ["empty file", "truncated", bytes()],
    ["three bytes", "truncated", bytes([0, 0, 8])],
    ["first bytes not zero", "bad-magic", bytes([0, 1, 8, 1, 0, 0, 0, 0])],
    ["PNG", "bad-magic", bytes("\x89PNG\r\n\x1a\n")],
    ["unknown type", "unknown-dtype", bytes([0, 0, 0x0a, 1, 0, 0, 0, 0])],
    ["type 0", "unknown-dtype", bytes([0, 0, 0, 1, 0, 0, 0, 0])],
    ["rank 65", "rank-too-high", bytes([0, 0, 8, 65], new Uint8Array(260))],
    ["sizes cut short", "truncated", bytes([0, 0, 8, 2, 0, 0, 0, 2])],
    ["data cut short", "truncated", bytes(good.slice(0, 9))],
    ["data missing", "truncated", bytes([0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff])],
    ["bytes after the array", "trailing-data", bytes(good, [0])],
    ["product that wraps", "size-overflow", bytes([0, 0, 0x0e, 3], new Uint8Array(12).fill(0xff))],
    [
      "product that wraps before a zero",
      "size-overflow",
      bytes([0, 0, 8, 4], new Uint8Array(12).fill(0xff), [0, 0, 0, 0]),
    ],
    ["gzip cut short", "bad-gzip", packed.subarray(0, packed.length - 5)],
    ["gzip with a wrong checksum", "bad-gzip", bytes(packed).fill(0, packed.length - 8, packed.length - 4)],
    ["gzip of damaged data", "bad-gzip", bytes(packed.subarray(0, 10), [0xff, 0xff, 0xff], packed.subarray(13))],
    ["gzip header without data", "truncated", packed.subarray(0, 10)],
    ["gzip of another file", "bad-magic", gzipSync("hello, world")],
    ["gzip that holds more than its header says", "bomb", gzipSync(bytes(good, new Uint8Array(2 ** 20)))],
    ["gzip that cannot hold what its header says", "bomb", gzipSync(bytes([0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff]))],
    ["gzip that holds less than its header says", "truncated", gzipSync(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]))],
    [
      "raw deflate with a gzip header's first bytes",
      "bad-gzip",
      bytes([0x1f, 0x8b], deflateRawSync(Uint8Array.from(good))),
    ],
  ];
  refuses((data) => decodeIdx(data, { where }), cases);
  it("takes the controls", () => {
    expect(decodeIdx(Uint8Array.from(good)).toFlat()).toEqual([5, 6]);
    expect(decodeIdx(packed).toFlat()).toEqual([5, 6]);
    expect(decodeIdx(Uint8Array.of(0, 0, 8, 0, 3)).shape).toEqual([]);
  });
});

describe("CSV", () => {
  const columns = { a: "float64", b: "int32", c: "bool", d: "category" } as const;
  const row = (text: string): Uint8Array => utf8(`a,b,c,d\n${text}\n`);
  const cases: Case[] = [
    ["empty file", "empty", bytes()],
    ["header only", "no-rows", utf8("a,b,c,d\n")],
    ["not UTF-8", "bad-utf8", bytes("a,b,c,d\n1,2,true,\xff\n")],
    ["UTF-16", "bad-utf8", bytes([0xff, 0xfe], Buffer.from("a,b\n", "utf16le"))],
    ["too few cells", "row-length", row("1,2,true")],
    ["too many cells", "row-length", row("1,2,true,x,y")],
    ["empty line between rows", "blank-line", row("1,2,true,x\n\n1,2,true,x")],
    ["quote that does not close", "quote", row('1,2,true,"x')],
    ["text after a closing quote", "quote", row('1,2,true,"x"y')],
    ["quote inside an unquoted cell", "quote", row('1,2,true,x"y"')],
    ["column without a name", "empty-name", utf8("a,,c,d\n1,2,true,x\n")],
    ["two columns of one name", "duplicate-column", utf8("a,a,c,d\n1,2,true,x\n")],
    ["column that is not listed", "unlisted-column", utf8("a,b,c,d,e\n1,2,true,x,y\n")],
    ["column named like a method", "unlisted-column", utf8("a,b,c,toString\n1,2,true,x\n")],
    ["listed column that is missing", "missing-column", utf8("a,b,c\n1,2,true\n")],
    ["text as a number", "bad-number", row("x,2,true,x")],
    ["hexadecimal number", "bad-number", row("0x10,2,true,x")],
    ["number with a comma inside quotes", "bad-number", row('"1,5",2,true,x')],
    ["infinity", "bad-number", row("Infinity,2,true,x")],
    ["number beyond float64", "bad-number", row("1e999,2,true,x")],
    ["very long damaged number", "bad-number", row(`${"1".repeat(200_000)}x,2,true,x`)],
    ["fraction as an integer", "bad-integer", row("1,2.5,true,x")],
    ["integer beyond 32 bits", "bad-integer", row("1,2147483648,true,x")],
    ["bool that is neither", "bad-bool", row("1,2,maybe,x")],
    ["missing number", "missing-value", row(",2,true,x")],
    ["missing bool", "missing-value", row("1,2,,x")],
    ["missing category", "missing-value", row("1,2,true,")],
  ];
  const options: CsvOptions = { where, columns };
  refuses((data) => decodeCsv(data, options), cases);
  it("takes the control", () => expect(decodeCsv(row("1,2,true,x"), options).rows).toBe(1));
});

describe("JSON and JSON Lines", () => {
  const cases: Case[] = [
    ["empty line", "blank-line", utf8("1\n\n2\n")],
    ["line of spaces", "blank-line", utf8("1\n  \n")],
    ["two values on a line", "trailing-data", utf8("1 2\n")],
    ["value over two lines", "syntax", utf8('{"a":\n1}\n')],
    ["not UTF-8", "bad-utf8", bytes('"\xff"\n')],
    ["last line cut short", "syntax", utf8('{"a":1}\n{"a":')],
    ["byte order mark in the middle", "syntax", utf8("1\n\uFEFF2\n")],
    ["single quotes", "syntax", utf8("{'a':1}\n")],
    ["key without quotes", "syntax", utf8("{a:1}\n")],
    ["comma at the end", "syntax", utf8("[1,]\n")],
    ["no comma", "syntax", utf8("[1 2]\n")],
    ["no colon", "syntax", utf8('{"a" 1}\n')],
    ["wrong bracket", "syntax", utf8("[1}\n")],
    ["comment", "syntax", utf8("// one\n")],
    ["NaN", "syntax", utf8("NaN\n")],
    ["Infinity", "syntax", utf8("[-Infinity]\n")],
    ["plus sign", "syntax", utf8("+1\n")],
    ["fraction without digits", "trailing-data", utf8("1.\n")],
    ["half a word", "syntax", utf8("[tru]\n")],
    ["tab inside a string", "syntax", utf8('"a\tb"\n')],
    ["string that does not end", "syntax", utf8('"abc\n')],
    ["unknown escape", "syntax", utf8('"\\a"\n')],
    ["escape cut short", "syntax", utf8('"\\u12"\n')],
    ["half a surrogate pair", "lone-surrogate", utf8('"\\udc00"\n')],
    ["duplicate key", "duplicate-key", utf8('{"a":1,"a":2}\n')],
    ["__proto__", "proto-key", utf8('{"__proto__":{"admin":true}}\n')],
    ["__proto__, escaped, inside", "proto-key", utf8('[{"\\u005f_proto__":1}]\n')],
    ["integer that loses digits", "unsafe-integer", utf8('{"id":9007199254740993}\n')],
    ["number beyond float64", "number-range", utf8("1e999\n")],
    ["nesting that is too deep", "too-deep", utf8(`${"[".repeat(65)}${"]".repeat(65)}\n`)],
    ["nesting of 200,000", "too-deep", utf8('{"a":'.repeat(200_000))],
    ["line that is too long", "line-too-long", utf8(`"${"x".repeat(300_000)}"\n`)],
  ];
  refuses((data) => decodeJsonl(data, { where, maxLineBytes: 2 ** 21 / 8 }), cases.slice(-1));
  refuses((data) => decodeJsonl(data, { where }), cases.slice(0, -1));
  it("names the line", () => {
    expect(() => decodeJsonl("1\n2\n[1,]\n", { where })).toThrow(/^file:3: /);
    expect(() => parseJson("[1,]", { where })).toThrow(/^file: .*\(at character 3\)/);
  });
  it("takes the controls", () => expect(decodeJsonl('{"a":[1,-0.5e1,null]}\n"x"')).toHaveLength(2));
});
