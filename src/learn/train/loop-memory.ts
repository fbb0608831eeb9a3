// What the loop remembers besides the state: of its callbacks, of an epoch, for a checkpoint.
import type { HostArray } from "../../engine/core/index.ts";
import type { JsonValue } from "../../data/index.ts";
import type { Callback, Snapshot } from "./callback.ts";

/** Memories of callbacks: plain values and Tensors apart. */
export function saveCallbacks(callbacks: readonly Callback[]): {
  readonly values: { readonly [name: string]: JsonValue };
  readonly tensors: { readonly [name: string]: HostArray };
} {
  const saved = callbacks.flatMap((callback, i) =>
    callback.save === undefined ? [] : [[memoryName(callback, i), callback.save()] as const],
  );
  return {
    values: Object.fromEntries(saved.map(([name, { values }]) => [name, values])),
    tensors: Object.fromEntries(
      saved.flatMap(([name, { tensors = {} }]) =>
        Object.entries(tensors).map(([key, array]) => [`${name}/${key}`, array]),
      ),
    ),
  };
}

/** Gives callbacks their memories back. */
export function loadCallbacks(callbacks: readonly Callback[], { progress, tensors }: Snapshot): void {
  callbacks.forEach((callback, i) => {
    const name = memoryName(callback, i);
    const values = progress.callbacks[name];
    if (callback.load === undefined || values === undefined) return;
    const own = Object.entries(tensors).filter(([key]) => key.startsWith(`${name}/`));
    callback.load({
      values,
      tensors: Object.fromEntries(own.map(([key, array]) => [key.slice(name.length + 1), array])),
    });
  });
}

function memoryName({ name }: Callback, position: number): string {
  return `${position}-${name ?? "callback"}`;
}
