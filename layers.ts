// The layer table: every room of src/, what it may import and what it is for. The only place where direction is stated.
// Rows stand in order: a layer imports from rows above it only, never from below. test/architecture enforces it,
// scripts/architecture.mjs writes ARCHITECTURE.md and the exports of package.json from it.

/** One room: a folder of src/ that is also a subpath export (`chainrule/<name>`) and a chapter of ARCHITECTURE.md. */
export interface Layer {
  readonly name: string;
  /** Folder under src/. */
  readonly folder: string;
  /** Names of the layers it may import. */
  readonly imports: readonly string[];
  /** Names of layers of which it may import types only. */
  readonly types?: readonly string[];
  /** One line: what it is for. */
  readonly meaning: string;
  /** A paragraph: what is inside and what holds there. */
  readonly about: string;
  /** Rooms without a subpath export (the command line). */
  readonly internal?: true;
}

export const layers: readonly Layer[] = [
  {
    name: "core",
    folder: "engine/core",
    imports: [],
    meaning: "dtypes, shapes, host arrays, trees, keys, errors",
    about:
      "The words everything else is said in. A `HostArray` is numbers with a dtype and a shape in JavaScript memory; a tree is nested arrays and objects of anything; a key is the state of the counter-based random generator; errors form one class tree. It imports nothing.",
  },
  {
    name: "program",
    folder: "engine/program",
    imports: ["core"],
    meaning: "Program, Equation, Value, the op record; trace, print, verify",
    about:
      "A function is run once on values without numbers; a builder writes down each op it applies. The result is a `Program`: inputs, equations in order, outputs. An equation holds its op record itself: there is no registry and no switch on names.",
  },
  {
    name: "ops",
    folder: "engine/ops",
    imports: ["core", "program"],
    meaning: "the operations, one record each: shape rule, float64 meaning, gradient, samples",
    about:
      "One record says everything about an operation: its shape rule, its meaning in float64 (`evaluate`) or as a composite of others (`decompose`), its gradient, and the samples from which its tests are generated. Primitives take equal shapes; broadcasting is an op of its own. Families are closed under adjoints: sum and broadcast, slice and pad, gather and scatterAdd live together.",
  },
  {
    name: "transform",
    folder: "engine/transform",
    imports: ["core", "program", "ops"],
    meaning: "program to program: gradients, rematerialisation",
    about:
      "Reverse-mode differentiation is a function from programs to programs: it walks the equations backwards and asks each op for its rule. What it writes is a program again, so it can be printed, read, and differentiated once more.",
  },
  {
    name: "plan",
    folder: "engine/plan",
    imports: ["core"],
    meaning: "kernel calls over planned buffers, as data; print, verify, encode",
    about:
      "What a backend is given: buffers with offsets into one arena, and calls of kernels on them, encoded as one flat stream of 32-bit words. A plan knows nothing of ops or programs.",
  },
  {
    name: "backend",
    folder: "engine/backend",
    imports: ["core", "program", "ops", "plan"],
    meaning: "plan to numbers: the interface, and reference, native and wasm",
    about:
      "A backend owns memory, says which kernel does an equation (`lower`) and executes whole plans. `reference` computes in float64 and is the oracle of every test; `native` and `wasm` run the same C++ source. None of them ever sees a parameter or a layer.",
  },
  {
    name: "compile",
    folder: "engine/compile",
    imports: ["core", "program", "ops", "plan"],
    types: ["backend"],
    meaning: "program to plan: an ordered list of named passes",
    about:
      "Read the pipeline from top to bottom: each pass is a function with a name, and programs are verified between passes in tests. It asks a backend's kernel table through an interface, and ends in a plan: kernels chosen, lifetimes packed into one arena, inputs that may be overwritten marked as donated.",
  },
  {
    name: "runtime",
    folder: "engine/runtime",
    imports: ["core", "program", "ops", "plan", "compile", "backend"],
    meaning: "devices, device arrays, the cache of executables, eager calls",
    about:
      "The only place where compile meets backend. A `Device` holds a backend and a cache of compiled programs by their shapes; an operation outside a trace is a program of one equation that goes through the same compiler.",
  },
  {
    name: "tensor",
    folder: "engine/tensor",
    imports: ["core", "program", "ops", "transform", "runtime"],
    meaning: "what users compute with: Tensor, its functions by family, grad, jit, random",
    about:
      "Tensors broadcast, promote and take plain arrays; underneath they are values of an open trace or arrays on a device. `grad`, `valueAndGrad`, `jit` and `vmap` take functions of tensors and return functions of tensors.",
  },
  {
    name: "formats",
    folder: "data/formats",
    imports: ["core"],
    meaning: "one file per file format, reader and writer together",
    about:
      "Files are data, never code. Readers are strict: sizes are checked before memory is asked for, headers that contradict themselves are refused with a typed error. Writers are atomic: the old file or the new one, never half.",
  },
  {
    name: "datasets",
    folder: "data/datasets",
    imports: ["core", "formats"],
    meaning: "Dataset, sampler, batches, loader; known data sets",
    about:
      "From arrays to batches, on host arrays only. The order of the samples is a function of (seed, epoch, position), so that a training run can be resumed in the middle of an epoch.",
  },
  {
    name: "text",
    folder: "data/text",
    imports: ["core", "formats", "datasets"],
    meaning: "tokenizers, packing, chat templates",
    about: "Preparation of text on the host.",
  },
  {
    name: "vision",
    folder: "data/vision",
    imports: ["core", "formats", "datasets"],
    meaning: "decoding, resizing, augmentation of pictures",
    about: "Preparation of pictures on the host.",
  },
  {
    name: "audio",
    folder: "data/audio",
    imports: ["core", "formats", "datasets"],
    meaning: "resampling and features of sound",
    about: "Preparation of sound on the host.",
  },
  {
    name: "data",
    folder: "data",
    imports: ["core", "formats", "datasets", "text", "vision", "audio"],
    meaning: "the rooms of data/ in one import",
    about: "A door and no room: whoever goes from files to batches wants both sides of it.",
  },
  {
    name: "nn",
    folder: "learn/nn",
    imports: ["core", "tensor"],
    meaning: "Module, layers, initializers, regularizers, losses",
    about:
      "A module is a tree of parameters named by path and a function from tensors to tensors. Layers are written with the functions of `tensor` alone: no layer sees a program or a backend.",
  },
  {
    name: "optim",
    folder: "learn/optim",
    imports: ["core", "tensor"],
    meaning: "optimizers as pairs of init and update, chain, clipping, schedules",
    about:
      "A gradient transformation is two pure functions: `init` makes the state for some parameters, `update` turns gradients into updates and the next state. `chain` composes them; every optimizer is such a chain.",
  },
  {
    name: "metrics",
    folder: "learn/metrics",
    imports: ["core", "tensor"],
    meaning: "accuracy, F1, areas under curves, calibration, …",
    about:
      "A metric gathers counts and sums over batches and says its value at the end, so that the value does not depend on how the data was cut into batches.",
  },
  {
    name: "train",
    folder: "learn/train",
    imports: ["core", "tensor", "formats", "datasets", "data", "nn", "optim", "metrics"],
    meaning: "TrainState, the one loop, callbacks, checkpoints, run log; Sequential and Model",
    about:
      "One training loop exists and it is here. A step is a pure function `(state, batch) → { state, metrics }`; nothing else changes a parameter, and a checkpoint is exactly that state. `Sequential` and `Model` (compile, fit, evaluate, predict) are a surface on it.",
  },
  {
    name: "finetune",
    folder: "learn/finetune",
    imports: ["core", "tensor", "formats", "datasets", "text", "data", "nn", "optim", "metrics", "train"],
    meaning: "freezing, adapters, preference training, merging",
    about: "Going on from weights that somebody trained.",
  },
  {
    name: "explain",
    folder: "learn/explain",
    imports: ["core", "program", "transform", "runtime", "tensor", "nn", "train"],
    meaning: "the glass box: one sample through forward, loss, backward, update",
    about:
      "Takes one sample of a model through the four steps of backpropagation and shows each formula with its numbers, in the terminal and as one page. Every number comes from the engine's own program, and each chosen gradient stands beside its finite difference.",
  },
  {
    name: "models",
    folder: "models",
    imports: ["core", "tensor", "formats", "text", "nn"],
    meaning: "one file per architecture, named as its model_type",
    about:
      "Architectures by the names and files of the field: GPT-2 and Llama with its relatives, with a cache of keys and values for generation, and the loss of the next token.",
  },
  {
    name: "generate",
    folder: "generate",
    imports: ["core", "tensor", "text", "nn", "models"],
    meaning: "text from a language model: decoder, samplers, stop strings, speculative decoding",
    about:
      "A `Decoder` holds the compiled plans and the cache of several rows; a sampler chooses on the host from one row of logits, as a function of (seed, place). `generate` joins the two into a stream of tokens.",
  },
  {
    name: "tasks",
    folder: "tasks",
    imports: [
      "core",
      "tensor",
      "formats",
      "datasets",
      "text",
      "vision",
      "audio",
      "data",
      "nn",
      "optim",
      "metrics",
      "train",
      "finetune",
      "models",
      "generate",
    ],
    meaning: "ready recipes: what to load, which model, which loss, which metrics",
    about: "Recipes that join the rooms above.",
  },
  {
    name: "serve",
    folder: "serve",
    imports: ["core", "tensor", "formats", "text", "nn", "models", "generate"],
    meaning: "OpenAI's HTTP API: continuous batching, streams, guards",
    about:
      "One loop steps all running texts by a token; texts join and leave between steps, and a client that leaves frees its row. Requests are read field by field: what is not understood is refused by its name.",
  },
  {
    name: "testing",
    folder: "testing",
    imports: ["core", "program", "ops", "transform", "plan", "backend", "compile", "runtime", "tensor", "nn", "optim"],
    meaning: "gradCheck, checkOp, checkBackend, checkModule, allClose",
    about:
      "The checks this package holds itself to, exported: users test their own ops, layers and backends with them. Everything is made from the samples of the op records.",
  },
  {
    name: "cli",
    folder: "cli",
    imports: [
      "core",
      "program",
      "ops",
      "transform",
      "plan",
      "backend",
      "compile",
      "runtime",
      "tensor",
      "formats",
      "datasets",
      "text",
      "vision",
      "audio",
      "data",
      "nn",
      "optim",
      "metrics",
      "train",
      "finetune",
      "explain",
      "models",
      "generate",
      "tasks",
      "serve",
      "testing",
    ],
    meaning: "the command `chainrule`: main.ts and one file per command",
    about: "Results go to stdout, progress to stderr, and every command speaks JSON with `--json`.",
    internal: true,
  },
];
