#!/usr/bin/env python3
"""Accuracies of adapters that Tureen trains, beside the same training by PyTorch and `adapters`.

    pip install torch "transformers>=4.57,<4.58" adapters==1.3.0 gguf
    python scripts/compare_training.py [--tureen target/release/tureen] [--domains NAME...] [--seeds N...]

Tureen trains an adapter on `mini` for every domain and seed and tests it; AdapterHub's library then
does the same on the same rows, with the same settings: AdamW with weight decay 0.01, batches of 32,
a linear warm-up of 6 % and decay, gradients of norm 1 at most, the epoch that is best on validation.
Initial weights, the order of rows and dropout are each library's own, so that single accuracies
differ by chance: what should agree are the means over seeds. Prints both, domain by domain, with
the standard deviation over seeds and what one answer of the test set counts.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / "stdlib/models/mini"

parser = argparse.ArgumentParser()
parser.add_argument("--tureen", default=str(ROOT / "target/release/tureen"))
parser.add_argument("--domains", nargs="*", default=["films", "news", "tweets"])
parser.add_argument("--seeds", nargs="*", type=int, default=[1, 2, 3])
parser.add_argument("--kind", choices=["pfeiffer", "houlsby", "lora"], default="pfeiffer")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
ARGS = parser.parse_args()
WORK = Path(tempfile.mkdtemp())
CONFIG = {"pfeiffer": "seq_bn", "houlsby": "double_seq_bn", "lora": "lora"}[ARGS.kind]
RATE = {"pfeiffer": 1e-3, "houlsby": 1e-3, "lora": 5e-4}[ARGS.kind]
torch.set_num_threads(ARGS.threads)

SCRIPT = """
let base = model("mini");
let seeds = param("seeds", [1]);
let rows = [];
for name in param("domains", ["films"]) {
    let data = dataset(name);
    let parts = #{ train: data.train, validation: data.validation, test: data.test };
    for split in parts.keys() { table(parts[split]).save(`${name}-${split}.jsonl`); }
    for seed in seeds {
        let a = train(base, data, #{ adapter: param("kind", "pfeiffer"), epochs: param("epochs", 3), seed: seed });
        rows.push(#{ domain: name, seed: seed, accuracy: evaluate(base, a, data).accuracy });
    }
}
table(rows).save("accuracies.jsonl");
"""


def rows(path):
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def ours():
    """Tureen's accuracies, by domain and seed, and the seconds of all."""
    path = WORK / "script.rhai"
    path.write_text(SCRIPT)
    settings = dict(domains=json.dumps(ARGS.domains), seeds=ARGS.seeds, kind=ARGS.kind, epochs=ARGS.epochs)
    command = [ARGS.tureen, "run", str(path), "--out", str(WORK), "--no-store"]
    command += ["--threads", str(ARGS.threads)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found = {(row["domain"], row["seed"]): row["accuracy"] for row in rows(WORK / "accuracies.jsonl")}
    return found, time.time() - start


def base_folder():
    """`mini` as a folder of transformers, its weights as Tureen unpacks them."""
    import gguf
    import numpy as np
    from gguf.quants import dequantize
    from safetensors.torch import save_file

    folder = WORK / "mini"
    folder.mkdir()
    tensors = {}
    for tensor in gguf.GGUFReader(MINI / "mini.gguf").tensors:
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        shape = [int(n) for n in reversed(tensor.shape)]
        tensors[tensor.name] = torch.from_numpy(values.reshape(shape).copy())
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes((MINI / name).read_bytes())
    return folder


class Rows:
    """The rows of a split in tokens, with class numbers."""

    def __init__(self, tokens, domain, split, names):
        found = rows(WORK / f"{domain}-{split}.jsonl")
        self.labels = torch.tensor([names.index(str(row["label"])) for row in found])
        texts = [(row["text"], row["text_b"]) if row.get("text_b") else row["text"] for row in found]
        self.encodings = tokens.encode_batch(texts)

    def batch(self, places):
        chosen = [self.encodings[i] for i in places]
        longest = max(len(e.ids) for e in chosen)
        fill = lambda values: torch.tensor([v + [0] * (longest - len(v)) for v in values])
        return dict(
            input_ids=fill([e.ids for e in chosen]),
            attention_mask=fill([e.attention_mask for e in chosen]),
            token_type_ids=fill([e.type_ids for e in chosen]),
        )


def score(model, data):
    """Accuracy and mean loss."""
    model.eval()
    right, loss = 0, 0.0
    order = sorted(range(len(data.labels)), key=lambda i: len(data.encodings[i].ids))
    with torch.inference_mode():
        for at in range(0, len(order), 64):
            places = order[at : at + 64]
            logits, gold = model(**data.batch(places)).logits, data.labels[places]
            right += int((logits.argmax(1) == gold).sum())
            loss += float(torch.nn.functional.cross_entropy(logits, gold, reduction="sum"))
    return right / len(order), loss / len(order)


def theirs(folder, tokens, domain, seed):
    from adapters import AutoAdapterModel
    from transformers import get_linear_schedule_with_warmup

    names = sorted({str(row["label"]) for row in rows(WORK / f"{domain}-train.jsonl")})
    train, validation, test = (Rows(tokens, domain, s, names) for s in ("train", "validation", "test"))
    torch.manual_seed(seed)
    model = AutoAdapterModel.from_pretrained(str(folder))
    model.add_adapter("a", config=CONFIG)
    model.add_classification_head("a", num_labels=len(names))
    model.train_adapter("a")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01)
    n = len(train.labels)
    steps = -(-n // 32) * ARGS.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, -(-6 * steps // 100), steps)
    best = None
    for _ in range(ARGS.epochs):
        model.train()
        order = torch.randperm(n).tolist()
        for at in range(0, n, 32):
            places = order[at : at + 32]
            logits = model(**train.batch(places)).logits
            torch.nn.functional.cross_entropy(logits, train.labels[places]).backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        accuracy, loss = score(model, validation)
        if best is None or (accuracy, -loss) > best[0]:
            best = (accuracy, -loss), score(model, test)[0]
    return best[1]


def main():
    import transformers
    from tokenizers import Tokenizer

    transformers.logging.set_verbosity_error()
    own, seconds = ours()
    folder = base_folder()
    tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens.no_padding()
    tokens.enable_truncation(512)
    start = time.time()
    other = {(d, s): theirs(folder, tokens, d, s) for d in ARGS.domains for s in ARGS.seeds}
    spent = time.time() - start
    print(f"{ARGS.kind}, {ARGS.epochs} epochs, seeds {ARGS.seeds}: accuracy, mean (deviation) over seeds")
    gaps = []
    for domain in ARGS.domains:
        sides = [[found[domain, s] for s in ARGS.seeds] for found in (own, other)]
        means = [statistics.mean(side) for side in sides]
        apart = [statistics.stdev(side) if len(side) > 1 else 0.0 for side in sides]
        gaps.append(100 * (means[0] - means[1]))
        n = len(rows(WORK / f"{domain}-test.jsonl"))
        print(
            f"  {domain}: Tureen {means[0]:.4f} ({apart[0]:.4f}), torch + adapters {means[1]:.4f} "
            f"({apart[1]:.4f}): {gaps[-1]:+.2f} points; an answer is {100 / n:.2f}"
        )
    print(f"  mean difference {statistics.mean(gaps):+.2f} points")
    print(f"  {seconds:.0f} s beside {spent:.0f} s, {ARGS.threads} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
