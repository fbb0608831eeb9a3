// Tiny GPT-2 and Llama in Hugging Face layout against PyTorch in float64: logits, loss, every gradient, ten AdamW losses.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BackendError, HostArray } from "../../src/engine/core/index.ts";
import { device, type DeviceName } from "../../src/engine/runtime/index.ts";
import { jit, tensor, valueAndGrad, withDevice, type Tensor } from "../../src/engine/tensor/index.ts";
import { Context, inference, nextTokenLoss } from "../../src/learn/nn/index.ts";
import { adamw, applyUpdates, type TensorMap } from "../../src/learn/optim/index.ts";
import { assertClose } from "../../src/testing/index.ts";
import { createState, makeStep, type Objective } from "../../src/learn/train/index.ts";
import { families, fileArrays, loadWeights, type CausalLM } from "../../src/models/index.ts";
import { readFixture, withoutDropout, type Fixture } from "./hf/fixture.ts";

const STEPS = 10;
const training = new Context({ training: true });
const optimizer = adamw({
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  convention: "torch",
});
const objective: Objective = (output, { y }) => ({ loss: nextTokenLoss(output as Tensor, y[0]!), parts: [] });

/** How far from PyTorch: logits and losses absolutely, gradients relative to the largest element of each. */
interface Bounds {
  readonly logits: number;
  readonly gradients: number;
  readonly losses: number;
}
const float64: Bounds = { logits: 1e-6, gradients: 1e-6, losses: 1e-6 };
/** The library computes norms in float32 whatever the dtype. */
const normsInFloat32: Bounds = { logits: 1e-6, gradients: 1e-4, losses: 1e-6 };
const float32: Bounds = { logits: 1e-4, gradients: 1e-3, losses: 1e-4 };
const devices: readonly (readonly [DeviceName, Bounds])[] = [
  ["reference", float64],
  ["native", float32],
  ["wasm", float32],
];

const seen: string[] = [];
afterAll(() => console.log(`largest differences from PyTorch:\n${seen.join("\n")}`));

// The first two are stated by make-hf.py, the others made by the library itself (make-families.py).
const byLibrary = ["mistral", "mixtral", "qwen2", "qwen3"];
const names = ["gpt2", "llama", ...byLibrary];
describe.each(names.map((name) => [name, families[name]!] as const))("%s", (name, family) => {
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await readFixture(name);
  });
  const build = (): CausalLM => loadWeights(family.make(withoutDropout(fixture.config)), fixture.weights, family.names);
  const ids = (): Tensor => tensor(fixture.answer("input_ids"));

  describe.each(devices)("on %s", (deviceName, usual) => {
    const bounds = deviceName === "reference" && byLibrary.includes(name) ? normsInFloat32 : usual;
    const missing = reasonAgainst(deviceName);
    const check = missing === undefined ? it : it.skip;

    check("has PyTorch's logits, loss and gradients", () =>
      withDevice(deviceName, () => {
        const model = build();
        const [[loss, logits], gradients] = forwardBackward(model)(model.tensors(), ids());
        const distance = furthest(logits.host(), fixture.answer("logits"));
        expect(distance).toBeLessThan(bounds.logits);
        expect(Math.abs(loss.item() - fixture.answer("loss").get(0))).toBeLessThan(bounds.losses);
        const received = fileArrays(gradients, family.names);
        expect([...received.keys()].sort()).toEqual([...fixture.weights.keys()].sort());
        let most = 0;
        for (const [weight, gradient] of received) {
          const wanted = fixture.answer(`grad:${weight}`);
          const scale = largest(wanted);
          // Elements that cancel to almost nothing are held against the largest of their array.
          const tolerance = { rtol: bounds.gradients, atol: 1e-3 * bounds.gradients * scale };
          assertClose(gradient, wanted, { what: weight, ...tolerance });
          most = Math.max(most, furthest(gradient, wanted) / scale);
        }
        seen.push(`${name} ${deviceName}: logits ${distance.toExponential(1)}`);
        seen.push(`${name} ${deviceName}: gradients ${most.toExponential(1)} of the largest`);
      }),
    );

    let cached: readonly number[] | undefined;
    const compiled = (): readonly number[] => (cached ??= trainCompiled(build(), ids()));

    check("has PyTorch's ten losses with AdamW", () =>
      withDevice(deviceName, () => {
        const losses = compiled();
        const distance = furthest(HostArray.of(Float64Array.from(losses)), fixture.answer("adamw_losses"));
        expect(distance).toBeLessThan(bounds.losses);
        expect(losses.at(-1)).toBeLessThan(losses[0]! - 0.1);
        seen.push(`${name} ${deviceName}: losses ${distance.toExponential(1)}`);
      }),
    );

    check("computes the same compiled and op by op", () =>
      withDevice(deviceName, () => {
        const model = build();
        const whole = jit((x: Tensor) => model.pure({}, x, inference).output as Tensor)(ids()).host();
        const distance = furthest(model.call(ids(), inference).host(), whole);
        // Compiled, the angles of known positions are constants, computed in float64: better than op by op in float32.
        const exact = deviceName === "reference" || name === "gpt2";
        expect(distance).toBeLessThanOrEqual(exact ? 0 : 3e-6);
        expect(trainEager(model, ids(), 3)).toEqual(compiled().slice(0, 3));
      }),
    );
  });
});

function reasonAgainst(name: DeviceName): string | undefined {
  try {
    device(name);
    return undefined;
  } catch (error) {
    if (name === "native" && error instanceof BackendError) return error.problem;
    throw error;
  }
}

type Pass = readonly [readonly [loss: Tensor, logits: Tensor], TensorMap];

function forwardBackward(model: CausalLM): (values: TensorMap, ids: Tensor) => Pass {
  return jit((values: TensorMap, ids: Tensor): Pass => {
    return valueAndGrad((params: TensorMap): readonly [Tensor, Tensor] => {
      const output = model.pure(params, ids, training).output as Tensor;
      return [nextTokenLoss(output, ids), output];
    })(values);
  });
}

/** Losses before each of ten steps of the compiled training step. */
function trainCompiled(model: CausalLM, ids: Tensor): number[] {
  const step = makeStep(model, { objective, optimizer, predictions: false });
  let state = createState(model, { optimizer, seed: 0 });
  return Array.from({ length: STEPS }, () => {
    const [next, { loss }] = step(state, { x: ids, y: [ids] });
    state = next;
    return loss.item();
  });
}

/** The first of them with every operation of the optimizer called by itself. */
function trainEager(model: CausalLM, ids: Tensor, steps: number): number[] {
  const pass = forwardBackward(model);
  let params: TensorMap = model.tensors();
  let state = optimizer.transformation.init(params);
  return Array.from({ length: steps }, () => {
    const [[loss], gradients] = pass(params, ids);
    const { updates, state: next } = optimizer.transformation.update(gradients, state, params);
    params = applyUpdates(params, updates);
    state = next;
    return loss.item();
  });
}

function furthest(received: HostArray, expected: HostArray): number {
  expect(received.shape).toEqual(expected.shape);
  return received.toFlat().reduce((most, x, i) => Math.max(most, Math.abs(x - expected.get(i))), 0);
}

function largest(array: HostArray): number {
  return array.toFlat().reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}
