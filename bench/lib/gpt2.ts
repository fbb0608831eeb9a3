// GPT-2's shape, as small as it can be written: learned positions, norms before each part, one table for tokens and logits.
import {
  dense,
  initializers,
  layerNormalization,
  makeStep,
  createState,
  adamw,
  Module,
  tensor,
  HostArray,
} from "chainrule";
import type { Context, Objective, StepBatch, Tensor, TrainState, TrainStep } from "chainrule";
import { arange, attention, crossEntropy, embedding, gelu, split } from "chainrule/tensor";

/** Sizes of a model and of the batch it is trained on. */
export interface Gpt2Size {
  readonly layers: number;
  readonly heads: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly time: number;
  readonly batch: number;
}

/** nanoGPT's setting for a CPU, its setting for characters, and GPT-2 with 124M parameters. */
export const gpt2Sizes: { readonly small: Gpt2Size; readonly med: Gpt2Size; readonly big: Gpt2Size } = {
  small: { layers: 4, heads: 4, width: 128, vocabulary: 65, time: 64, batch: 12 },
  med: { layers: 6, heads: 6, width: 384, vocabulary: 65, time: 256, batch: 16 },
  big: { layers: 12, heads: 12, width: 768, vocabulary: 50257, time: 64, batch: 4 },
};

/** Floating-point operations of one step: 6 for each weight and token, and the causal half of attention. */
export function gpt2Flops({ layers, width, vocabulary, time, batch }: Gpt2Size): number {
  const weights = layers * 12 * width * width + vocabulary * width;
  return 6 * weights * batch * time + 6 * layers * time * time * width * batch;
}

const normal = initializers.randomNormal({ stddev: 0.02 });

const projection = (units: number): Module => dense(units, { kernelInitializer: normal });

class Block extends Module {
  readonly norm1: Module = layerNormalization({ epsilon: 1e-5 });
  readonly norm2: Module = layerNormalization({ epsilon: 1e-5 });
  readonly qkv: Module;
  readonly joined: Module;
  readonly up: Module;
  readonly down: Module;
  readonly #heads: number;

  constructor({ width, heads }: Gpt2Size) {
    super();
    this.#heads = heads;
    this.qkv = projection(3 * width);
    this.joined = projection(width);
    this.up = projection(4 * width);
    this.down = projection(width);
  }

  protected forward(x: Tensor, context: Context): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    const [q, k, v] = split(this.qkv.call(this.norm1.call(x, context), context), 3, -1).map((part) =>
      part.reshape([batch, time, this.#heads, width / this.#heads]).transpose([0, 2, 1, 3]),
    ) as [Tensor, Tensor, Tensor]; // [B, H, T, D]
    const heads = attention(q, { k, v, causal: true }).transpose([0, 2, 1, 3]).reshape([batch, time, width]);
    const attended = x.add(this.joined.call(heads, context));
    const wide = gelu(this.up.call(this.norm2.call(attended, context), context));
    return attended.add(this.down.call(wide, context));
  }
}

/** Ids int32 [B, T] to logits [B, T, V]. */
export class Gpt2 extends Module {
  readonly blocks: readonly Module[];
  readonly norm: Module = layerNormalization({ epsilon: 1e-5 });
  readonly #size: Gpt2Size;

  constructor(size: Gpt2Size) {
    super();
    this.#size = size;
    this.blocks = Array.from({ length: size.layers }, () => new Block(size));
  }

  protected forward(ids: Tensor, context: Context): Tensor {
    const { vocabulary, width, time } = this.#size;
    const tokens = this.param("tokens", [vocabulary, width], normal);
    const positions = this.param("positions", [time, width], normal);
    const embedded = embedding(tokens, ids).add(embedding(positions, arange(ids.shape[1]!)));
    const h = this.blocks.reduce((x, block) => block.call(x, context), embedded);
    return this.norm.call(h, context).matmul(tokens.transpose());
  }
}

/** A training step of a model with its weights, and one batch of random ids. */
export function gpt2Step(size: Gpt2Size): Training {
  const ids = new HostArray("int32", [size.batch, size.time]);
  for (let i = 0; i < ids.size; i++) ids.data[i] = Math.floor(Math.random() * size.vocabulary);
  const x = tensor(ids, { dtype: "int32" });
  const model = new Gpt2(size).init(0, { dtype: "int32", shape: ids.shape });
  const objective: Objective = (logits, { y }) => ({ loss: crossEntropy(logits as Tensor, y[0]!).mean(), parts: [] });
  const optimizer = adamw({ learningRate: 1e-4, weightDecay: 0.01, epsilon: 1e-8 });
  const step = makeStep(model, { objective, optimizer, predictions: false });
  return { step, state: createState(model, { optimizer, seed: 0, take: true }), batch: { x, y: [x] } };
}

/** A step with what it is called on. The state is used up by a call. */
export interface Training {
  readonly step: TrainStep;
  readonly state: TrainState;
  readonly batch: StepBatch;
}
