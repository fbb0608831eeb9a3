// TensorBoard's event files: TFRecord framing with masked CRC-32C around `Event` messages, written by hand.
// Record: u64 length | u32 masked crc(length) | data | u32 masked crc(data), little endian.
// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
// Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }
import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

/** A number at a step. */
export interface ScalarEvent {
  readonly tag: string;
  readonly value: number;
}

/** Writes one event file; every call is on disk's way at once, so that a killed run loses nothing it logged. */
export class EventWriter {
  readonly path: string;
  readonly #file: number;

  /** Opens a new file in `folder`, named so that TensorBoard finds it and no other process shares it. */
  constructor(folder: string, options: { readonly suffix?: string } = {}) {
    mkdirSync(folder, { recursive: true });
    const seconds = Math.floor(Date.now() / 1000);
    const unique = `${process.pid}.${nextFile++}${options.suffix ?? ""}`;
    this.path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${unique}`);
    this.#file = openSync(this.path, "ax");
    this.#append(encodeEvent({ wallTime: Date.now() / 1000, fileVersion: "brain.Event:2" }));
  }

  /** Scalars of one step, as one event. */
  scalars(step: number, values: readonly ScalarEvent[]): void {
    if (values.length > 0) this.#append(encodeEvent({ wallTime: Date.now() / 1000, step, scalars: values }));
  }

  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }

  #append(event: Uint8Array): void {
    const record = frameRecord(event);
    for (let done = 0; done < record.length;) done += writeSync(this.#file, record, done);
  }
}

let nextFile = 0;

/** One event as protobuf bytes. */
export function encodeEvent(event: {
  readonly wallTime: number;
  readonly step?: number;
  readonly fileVersion?: string;
  readonly scalars?: readonly ScalarEvent[];
}): Uint8Array {
  const out: number[] = [];
  double(out, 1, event.wallTime);
  if (event.step !== undefined && event.step !== 0) {
    out.push(2 << 3);
    varint(out, event.step);
  }
  if (event.fileVersion !== undefined) bytes(out, 3, text(event.fileVersion));
  if (event.scalars !== undefined) {
    const summary: number[] = [];
    for (const { tag, value } of event.scalars) {
      const entry: number[] = [];
      bytes(entry, 1, text(tag));
      float(entry, 2, value);
      bytes(summary, 1, entry);
    }
    bytes(out, 5, summary);
  }
  return Uint8Array.from(out);
}

/** Data as a TFRecord. */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(12 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

// A checksum stored beside its data must not look like data's own checksum: rotated and shifted by a constant.
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const table: Uint32Array = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0x82f63b78 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

/** CRC-32C (Castagnoli), as in iSCSI: "123456789" gives 0xe3069283. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function varint(out: number[], value: number): void {
  let rest = BigInt(value);
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
}

function bytes(out: number[], field: number, data: ArrayLike<number>): void {
  out.push((field << 3) | 2);
  varint(out, data.length);
  for (let i = 0; i < data.length; i++) out.push(data[i]!);
}

function double(out: number[], field: number, value: number): void {
  out.push((field << 3) | 1, ...new Uint8Array(Float64Array.of(value).buffer));
}

function float(out: number[], field: number, value: number): void {
  out.push((field << 3) | 5, ...new Uint8Array(Float32Array.of(value).buffer));
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
