// What the types of models and training promise. Checked by the compiler, started by types.test.ts.
import { expectTypeOf } from "vitest";
import {
  adam,
  dense,
  dropout,
  explain,
  loadModel,
  Sequential,
  type Callback,
  type Explanation,
  type History,
  type HostArray,
  type Model,
  type Optimizer,
} from "chainrule";

// The classic program, with every form its data may have.
const model = new Sequential([dense(128, { activation: "relu", inputShape: [784] }), dropout(0.1), dense(10)]);
model.compile({ optimizer: "sgd", loss: "sparse_categorical_crossentropy", metrics: ["accuracy"] });
model.compile({ optimizer: adam({ learningRate: 1e-3 }), loss: ["mse"] });
expectTypeOf(model.fit([[1, 2]], [0], { epochs: 5 })).toEqualTypeOf<Promise<History>>();
expectTypeOf(model.fit).toBeCallableWith(new Float32Array(4), Int32Array.of(0), { validationSplit: 0.2, verbose: 0 });
expectTypeOf<HostArray>().toExtend<Parameters<typeof model.fit>[0]>();
expectTypeOf(model.predict([[1, 2]])).resolves.toEqualTypeOf<HostArray | HostArray[]>();
expectTypeOf(adam()).toEqualTypeOf<Optimizer>();
expectTypeOf(loadModel("folder")).resolves.toEqualTypeOf<Sequential | Model>();
expectTypeOf(explain(model, { input: [1], target: 0 })).toEqualTypeOf<Explanation>();
expectTypeOf<History["history"]>().toExtend<{ readonly [name: string]: readonly number[] }>();

// A callback is any object with some of the hooks.
expectTypeOf<{ onEpochEnd: () => void }>().toExtend<Callback>();
expectTypeOf<Record<never, never>>().toExtend<Callback>();

// What must be refused.
// @ts-expect-error: units are a number
dense("128");
// @ts-expect-error: activations have names; this is no option of the layer
dense(128, { activationFunction: "relu" });
// @ts-expect-error: a loss is needed
model.compile({ optimizer: "sgd" });
// @ts-expect-error: epochs are a number
void model.fit([[1]], [0], { epochs: "5" });
// @ts-expect-error: layers, not names of them
void new Sequential(["dense"]);
