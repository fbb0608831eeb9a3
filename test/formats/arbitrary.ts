// Random host arrays of every storage dtype for property tests: any bits, small shapes, empty and scalar included.
import fc from "fast-check";
import { arrayTypes, HostArray, sizeOf, type StorageDType } from "../../src/engine/core/index.ts";

export const STORAGE_DTYPES: readonly StorageDType[] = Object.keys(arrayTypes) as StorageDType[];

/** Arrays of one of the dtypes, with random bits (bools 0 or 1). */
export function hostArrays(dtypes: readonly StorageDType[] = STORAGE_DTYPES): fc.Arbitrary<HostArray> {
  const shape = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 });
  return fc.tuple(fc.constantFrom(...dtypes), shape).chain(([dtype, sizes]) => {
    const array = new HostArray(dtype, sizes);
    const most = dtype === "bool" ? 1 : 255;
    const length = sizeOf(sizes) * array.data.BYTES_PER_ELEMENT;
    return fc.array(fc.integer({ min: 0, max: most }), { minLength: length, maxLength: length }).map((bytes) => {
      const out = new HostArray(dtype, sizes);
      out.bytes().set(bytes);
      return out;
    });
  });
}
