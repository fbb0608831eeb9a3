# The works in PyTorch: each id becomes a function that runs it once.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

ELEMENTS = 2**24
# layers, heads, width, vocabulary, time, batch
GPT2 = {
    "small": (4, 4, 128, 65, 64, 12),
    "med": (6, 6, 384, 65, 256, 16),
    "big": (12, 12, 768, 50257, 64, 4),
}


def build(name, compiled):
    kind, *rest = name.split("/")
    if kind == "gemm":
        return gemm(int(rest[0]), rest[1])
    if kind == "elementwise":
        return elementwise(rest[0], compiled)
    if name == "mlp":
        return mlp(60000, compiled)
    if name == "cnn":
        return cnn(compiled)
    if kind == "gpt":
        return gpt(GPT2[rest[0]], compiled)
    if name == "start/mlp":
        return mlp(32, compiled)
    if kind == "start" and rest[0].startswith("gpt-"):
        return gpt(GPT2[rest[0][4:]], compiled)
    raise ValueError("there is no work " + name)


def gemm(n, transposes):
    a, b = torch.randn(n, n), torch.randn(n, n)
    a = a.t() if transposes[0] == "T" else a
    b = b.t() if transposes[1] == "T" else b
    out = torch.empty(n, n)
    return lambda: torch.matmul(a, b, out=out)


def elementwise(name, compiled):
    x, out = torch.rand(ELEMENTS) - 0.5, torch.empty(ELEMENTS)
    if name == "neg":
        return lambda: torch.neg(x, out=out)

    def chain(x):
        y = (x * 1.5 + 0.5).abs() * 0.25 - 1
        return torch.clamp_min(y * y, 0) * 0.5

    chain = torch.compile(chain) if compiled else chain
    return lambda: chain(x)


def mlp(samples, compiled):
    x, y = torch.rand(samples, 784), torch.randint(0, 10, (samples,))
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    model = torch.compile(model) if compiled else model
    return epoch(model, torch.optim.SGD(model.parameters(), lr=0.01), (x, y), 32)


def cnn(compiled):
    x, y = torch.rand(640, 1, 28, 28), torch.randint(0, 10, (640,))
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
    )
    model = torch.compile(model) if compiled else model
    return epoch(model, torch.optim.Adam(model.parameters()), (x, y), 64)


def epoch(model, optimizer, data, batch):
    x, y = data
    loss = nn.CrossEntropyLoss()

    def run():
        order = torch.randperm(len(x))
        for i in range(0, len(x), batch):
            j = order[i : i + batch]
            optimizer.zero_grad(set_to_none=True)
            loss(model(x[j]), y[j]).backward()
            optimizer.step()

    return run


class Block(nn.Module):
    def __init__(self, heads, width, time):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.register_buffer("later", torch.tril(torch.ones(time, time)).view(1, 1, time, time) == 0)

    def forward(self, x):
        batch, time, width = x.shape
        depth = width // self.heads
        parts = self.qkv(self.norm1(x)).split(width, 2)
        q, k, v = [part.view(batch, time, self.heads, depth).transpose(1, 2) for part in parts]
        if hasattr(F, "scaled_dot_product_attention"):
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # before 2.0
            scores = (q @ k.transpose(-2, -1)) / math.sqrt(depth)
            attended = scores.masked_fill(self.later, float("-inf")).softmax(-1) @ v
        x = x + self.joined(attended.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt2(nn.Module):
    def __init__(self, layers, heads, width, vocabulary, time):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(time, width)
        self.blocks = nn.ModuleList([Block(heads, width, time) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, labels):
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1))


def gpt(size, compiled):
    layers, heads, width, vocabulary, time, batch = size
    model = Gpt2(layers, heads, width, vocabulary, time)
    model = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    ids = torch.randint(0, vocabulary, (batch, time))

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = model(ids, ids)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run
