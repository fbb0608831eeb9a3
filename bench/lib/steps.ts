// Training steps of the works outside of `fit`: what plans, threads, memory and compile times are measured on.
import {
  adam,
  conv2d,
  createState,
  dense,
  flatten,
  HostArray,
  makeObjective,
  makeStep,
  maxPooling2d,
  resolveLoss,
  Sequential,
  sgd,
  tensor,
  type Shape,
} from "chainrule";
import { gpt2Sizes, gpt2Step, type Training } from "./gpt2.ts";

export type { Training } from "./gpt2.ts";

/** The works that are training steps. */
export const stepNames = ["mlp", "cnn", "gpt-small", "gpt-med", "gpt-big"] as const;
export type StepName = (typeof stepNames)[number];

/** Whether a step of this name is there; for the arguments of commands. */
export function isStepName(name: string): name is StepName {
  return (stepNames as readonly string[]).includes(name);
}

/** A host array of numbers from a function. */
export function filled(dtype: "float32" | "int32", shape: Shape, value: () => number): HostArray {
  const array = new HostArray(dtype, shape);
  for (let i = 0; i < array.size; i++) array.data[i] = value();
  return array;
}

/** The article's network. */
export function classicModel(): Sequential {
  return new Sequential([
    dense(128, { activation: "relu", inputShape: [784] }),
    dense(64, { activation: "relu" }),
    dense(10, { activation: "softmax" }),
  ]);
}

/** Keras's example of a convolutional network. */
export function pictureModel(): Sequential {
  return new Sequential([
    conv2d(32, 3, { activation: "relu", inputShape: [28, 28, 1] }),
    conv2d(64, 3, { activation: "relu" }),
    maxPooling2d(),
    flatten(),
    dense(128, { activation: "relu" }),
    dense(10, { activation: "softmax" }),
  ]);
}

/** The step of a work, its first state and a batch of random numbers. */
export function trainingStep(name: StepName): Training {
  if (name !== "mlp" && name !== "cnn") return gpt2Step(gpt2Sizes[name.slice("gpt-".length) as keyof typeof gpt2Sizes]);
  const [model, optimizer] = name === "mlp" ? [classicModel(), sgd()] : [pictureModel(), adam()];
  const shape = name === "mlp" ? [32, 784] : [64, 28, 28, 1];
  const built = model.init(0, { dtype: "float32", shape });
  const objective = makeObjective([resolveLoss("sparse_categorical_crossentropy")]);
  const step = makeStep(built, { objective, optimizer, predictions: false });
  const labels = filled("int32", [shape[0]!], () => Math.floor(Math.random() * 10));
  const batch = { x: tensor(filled("float32", shape, Math.random)), y: [tensor(labels)] };
  return { step, state: createState(built, { optimizer, seed: 0 }), batch };
}

/** A function that takes the step once and returns the loss. */
export function repeated({ step, state, batch }: Training): () => number {
  return () => {
    const [next, { loss }] = step(state, batch);
    state = next;
    return loss.item();
  };
}
