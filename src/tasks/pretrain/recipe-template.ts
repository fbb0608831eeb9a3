// The recipe that `chainrule init pretrain` writes: every field with what it means; what is commented out has the value shown.

/** A commented recipe. */
export const recipeTemplate: string = `# A language model from nothing: chainrule pretrain recipe.yaml
# Fields that are commented out have the value shown here. chainrule plan recipe.yaml says what it costs.

out: runs/mine # everything of the run is written here
# seed: 0      # of first weights, dropout and the order of the data

data:
  # One of the two:
  # tokens: tokens           # a folder that \`chainrule data prepare\` wrote
  text: shakespeare # ships with the package; or a list of files, folders, globs: [books/*.txt]
  tokenizer: characters # or a tokenizer.json (chainrule tokenizer train)
  # valFraction: 0.05        # of files: share of documents held out
  # dedup: exact             # of files: exact, near, none
  # documents: joined        # joined: one stream of tokens; apart: attention stays inside a document
  # packing: contiguous      # of documents apart: in their order, or best-fit: each whole where there is room
  # windows: cover           # cover: an epoch sees every token once; random: windows begin anywhere

model:
  preset: shakespeare-cpu # or depth: 4 (gives width, heads, learning rate, batch, steps), or a config of its own
  # config:                  # fields of a config.json in Hugging Face's names, over those of the preset
  #   model_type: llama
  # checkpointBlocks: false  # less memory, about a third more work

training:
  steps: 2000 # updates
  batch: 12 # windows of one update
  # accumulate: 1            # micro-batches an update is computed in: the same result in less memory
  # time:                    # tokens of a window; the model's context unless given
  # dropout:                 # over the model's own
  # labelSmoothing: 0
  # zLoss: 0                 # 1e-4 keeps logits from drifting
  # lossChunk:               # tokens whose logits exist at the same time; for large vocabularies
  # storage:                 # of matrices; everything is computed in float32
  #   weights: float32       # bfloat16: half the memory of the weights
  #   states: float32        # bfloat16: half of what the optimizer keeps of each weight
  #   rounding: stochastic   # up or down at random, right on average; or nearest, which loses small updates
  optimizer:
    # name: adamw            # adamw, muon, adamw8bit
    learningRate: 1.0e-3 # the peak
    # beta1: 0.9
    # beta2: 0.95
    # epsilon: 1.0e-8
    # weightDecay: 0.1       # of matrices
    # clip: 1                # most norm of all gradients together; 0: not clipped
  schedule:
    # name: cosine           # cosine, linear, wsd, constant
    warmup: 100 # steps from 0 to the peak
    # end: 0.1               # last learning rate as a share of the peak
    # decayShare: 0.2        # of wsd: share of the steps in which it falls

evaluation:
  every: 250 # steps
  # batches:                 # of held-out windows; all unless given
  # batch:                   # windows of a batch

checkpoints:
  every: 500 # steps
  # keep: 2                  # the newest that stay; the best stays too
  # minutes: 10              # also after so many minutes; 0: never

samples: # text of the model while it trains; leave out for none
  every: 500
  # prompt: "\\n"
  # tokens: 200
  # temperature: 0.8
  # topK:

# guard:                     # leaves out batches whose loss is a spike
#   threshold: 6             # standard deviations above the last losses
#   normThreshold:         # the same for the norm of all gradients
#   window: 128
#   action: skip             # or rollback: back to the last checkpoint besides

# log: 10                    # a line of metrics.jsonl every so many steps
`;
