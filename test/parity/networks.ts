// The four networks of make-parity.py, built from layers, and where each of their parameters stands in the fixtures.
import {
  activation,
  batchNormalization,
  conv2d,
  dense,
  embedding,
  globalAveragePooling1d,
  globalAveragePooling2d,
  layerNormalization,
  lstm,
  maxPooling2d,
  Module,
  multiHeadAttention,
  type Context,
} from "../../src/learn/nn/index.ts";
import { Sequential } from "../../src/learn/train/index.ts";
import { zeros, type Tensor } from "../../src/engine/tensor/index.ts";

class Block extends Module {
  readonly norm0 = layerNormalization({ epsilon: 1e-5 });
  readonly attn = multiHeadAttention(4, 8);
  readonly norm1 = layerNormalization({ epsilon: 1e-5 });
  readonly up = dense(64, { activation: "gelu" });
  readonly down = dense(32);

  protected forward(h: Tensor, context: Context): Tensor {
    const attended = h.add(this.attn.call(this.norm0.call(h, context), context));
    const wide = this.up.call(this.norm1.call(attended, context), context);
    return attended.add(this.down.call(wide, context));
  }
}

class Positions extends Module {
  protected forward(h: Tensor): Tensor {
    return h.add(this.param("table", [16, 32], (_, shape) => zeros(shape)));
  }
}

class Transformer extends Module {
  readonly embedding = embedding(40, 32);
  readonly positions = new Positions();
  readonly block0 = new Block();
  readonly block1 = new Block();
  readonly norm = layerNormalization({ epsilon: 1e-5 });
  readonly pool = globalAveragePooling1d();
  readonly dense = dense(6);

  protected forward(ids: Tensor, context: Context): Tensor {
    const order = [this.embedding, this.positions, this.block0, this.block1, this.norm, this.pool, this.dense];
    return order.reduce((h: Tensor, layer: Module) => layer.call(h, context), ids);
  }
}

export interface Network {
  readonly make: () => Module;
  /** Whether x are pixels. */
  readonly pixels: boolean;
  /** The name of a parameter in the fixture. */
  readonly nameOf: (path: string) => string;
}

const same = (path: string): string => path;

export const networks: { readonly [name: string]: Network } = {
  classic: {
    pixels: true,
    nameOf: same,
    make: () =>
      new Sequential([
        dense(128, { activation: "relu", inputShape: [784], name: "dense0" }),
        dense(64, { activation: "relu", name: "dense1" }),
        dense(10, { name: "dense2" }),
      ]),
  },
  cnn: {
    pixels: true,
    nameOf: same,
    make: () =>
      new Sequential([
        conv2d(8, 3, { padding: "same", name: "conv0" }),
        batchNormalization({ name: "bn0" }),
        activation("relu"),
        maxPooling2d(),
        conv2d(16, 3, { activation: "relu", name: "conv1" }),
        globalAveragePooling2d(),
        dense(10, { name: "dense" }),
      ]),
  },
  lstm: {
    pixels: false,
    nameOf: (path) => path.replace("embeddings", "table").replace("recurrentKernel", "recurrent"),
    make: () =>
      new Sequential([
        embedding(32, 8, { name: "embedding" }),
        lstm(16, { name: "lstm" }),
        dense(5, { name: "dense" }),
      ]),
  },
  transformer: {
    pixels: false,
    nameOf: (path) => path.replace("embeddings", "table").replace("attentionOutput", "output"),
    make: () => new Transformer(),
  },
};
