// Event files decoded by an independent reader: framing, checksums, protobuf.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { crc32c, EventWriter } from "./tfevents.ts";

const folder = mkdtempSync(join(tmpdir(), "chainrule-events-"));
afterAll(() => rmSync(folder, { recursive: true }));

// The bitwise definition, not the table: x³² + x²⁸ + x²⁷ + … (reflected 0x82f63b78).
function slowCrc(data: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of data) {
    crc ^= BigInt(byte);
    for (let i = 0; i < 8; i++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n;
  }
  return Number(crc ^ 0xffffffffn);
}

function unmask(stored: number): number {
  const rotated = (BigInt(stored) - 0xa282ead8n + (1n << 32n)) & 0xffffffffn;
  return Number(((rotated << 15n) | (rotated >> 17n)) & 0xffffffffn);
}

/** Records of a TFRecord file, checksums compared. */
export function readRecords(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(data).toHaveLength(length);
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(slowCrc(data));
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Field = { readonly field: number; readonly value: number | bigint | Buffer };

function fieldsOf(data: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < data.length) {
    const tag = Number(varint());
    const field = tag >> 3;
    if ((tag & 7) === 0) fields.push({ field, value: varint() });
    else if ((tag & 7) === 1) fields.push({ field, value: data.readDoubleLE((at += 8) - 8) });
    else if ((tag & 7) === 5) fields.push({ field, value: data.readFloatLE((at += 4) - 4) });
    else {
      const length = Number(varint());
      fields.push({ field, value: data.subarray(at, (at += length)) });
    }
  }
  return fields;
}

const one = (fields: readonly Field[], field: number): Field["value"] | undefined =>
  fields.find((f) => f.field === field)?.value;

describe("EventWriter", () => {
  it("has the checksum of the standard", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa); // RFC 3720, B.4
  });

  it("writes what an independent reader reads", () => {
    const writer = new EventWriter(folder);
    const before = Date.now() / 1000;
    writer.scalars(0, [{ tag: "epoch_loss", value: 0.5 }]);
    writer.scalars(300, [
      { tag: "epoch_loss", value: 0.25 },
      { tag: "größe", value: NaN },
    ]);
    writer.scalars(2 ** 40, [{ tag: "x".repeat(200), value: -1 }]);
    writer.close();
    expect(writer.path).toMatch(/events\.out\.tfevents\.\d{10}\./);
    const events = readRecords(readFileSync(writer.path)).map(fieldsOf);
    expect(one(events[0]!, 3)?.toString()).toBe("brain.Event:2");
    const scalars = events.slice(1).map((event) => ({
      step: Number(one(event, 2) ?? 0n),
      values: fieldsOf(one(event, 5) as Buffer).map(({ field, value }) => {
        expect(field).toBe(1);
        const entry = fieldsOf(value as Buffer);
        return [one(entry, 1)!.toString(), one(entry, 2)];
      }),
    }));
    expect(scalars).toEqual([
      { step: 0, values: [["epoch_loss", 0.5]] },
      {
        step: 300,
        values: [
          ["epoch_loss", 0.25],
          ["größe", NaN],
        ],
      },
      { step: 2 ** 40, values: [["x".repeat(200), -1]] },
    ]);
    for (const event of events) expect(Math.abs((one(event, 1) as number) - before)).toBeLessThan(60);
  });
});
