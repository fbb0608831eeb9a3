# Hugging Face's tokenizers on the works of the tokenizer benchmark; one line of JSON out.
#
#   python3 tokenizing.py train FILE VOCAB_SIZE | encode DOCUMENTS TOKENIZER REPEAT
import array
import hashlib
import json
import resource
import statistics
import sys
import time

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def say(seconds, ids, count):
    print(json.dumps({
        "seconds": seconds,
        "hash": hashlib.sha256(ids).hexdigest(),
        "count": count,
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "version": tokenizers.__version__,
    }))


def pieces(path, size=2**20):
    """The file in pieces that end between a letter and a blank, where no word is cut."""
    with open(path, encoding="utf-8", newline="") as file:
        held = ""
        while block := file.read(size):
            held += block
            at = len(held) - 1
            while at > 0 and not (held[at] == " " and held[at - 1].isalpha()):
                at -= 1
            if at > 0:
                yield held[:at]
                held = held[at:]
        yield held


def train(path, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=int(vocab_size), initial_alphabet=alphabet, show_progress=False)
    start = time.perf_counter()
    tokenizer.train_from_iterator(pieces(path), trainer)
    seconds = time.perf_counter() - start
    model = json.loads(tokenizer.to_str())["model"]
    ids = array.array("I", [model["vocab"][token] for pair in model["merges"] for token in pair])
    say(seconds, ids.tobytes(), len(ids))


def encode(path, file, repeat):
    with open(path, encoding="utf-8") as source:
        documents = json.load(source)
    times = []
    for _ in range(int(repeat)):
        tokenizer = Tokenizer.from_file(file)  # a new one: its cache has seen no word
        tokenizer.encode_special_tokens = True  # special tokens in text are text
        start = time.perf_counter()
        encodings = tokenizer.encode_batch_fast(documents)
        times.append(time.perf_counter() - start)
    digest = array.array("I")
    for encoding in encodings:
        digest.extend(encoding.ids)
    say(statistics.median(times), digest.tobytes(), len(digest))


{"train": train, "encode": encode}[sys.argv[1]](*sys.argv[2:])
