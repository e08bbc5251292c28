"""Times what epoch.rhai times, with PyTorch and AdapterHub's `adapters`.

    python benches/torch_epoch.py MODEL DATA.jsonl[.gz] [--padding batch|max_length] [--rows N]

MODEL is a folder with tokenizer.json; DATA has a JSON object with `text` and `label` a line. Texts
are padded to the longest of their batch, or all to the maximum, as the usual scripts do. Needs
torch, transformers and adapters. Prints one JSON line: seconds of an epoch, tokenizing included,
tokens that are text and tokens computed.
"""

import argparse
import gzip
import json
import time

import torch
import transformers
from adapters import AutoAdapterModel


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--padding", choices=["batch", "max_length"], default="batch")
    parser.add_argument("--rows", type=int, help="only the first so many")
    args = parser.parse_args()

    transformers.logging.set_verbosity_error()
    opener = gzip.open if args.data.endswith(".gz") else open
    with opener(args.data, "rt") as f:
        rows = [json.loads(line) for line in f][: args.rows]
    names = sorted({str(row["label"]) for row in rows})
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=f"{args.model}/tokenizer.json", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", unk_token="[UNK]",
    )
    torch.manual_seed(0)
    model = AutoAdapterModel.from_pretrained(args.model, torch_dtype=torch.float32)
    model.add_adapter("a", config="seq_bn")
    model.add_classification_head("a", num_labels=len(names))
    model.train_adapter("a")
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    text = computed = 0
    start = time.perf_counter()
    for at in range(0, len(rows), args.batch):
        batch = rows[at : at + args.batch]
        inputs = tokenizer(
            [row["text"] for row in batch], truncation=True, max_length=args.max_length,
            padding="max_length" if args.padding == "max_length" else True, return_tensors="pt",
        )
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        labels = torch.tensor([names.index(str(row["label"])) for row in batch])
        text += int(mask.sum())
        computed += ids.numel()
        model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({
        "library": "torch+adapters", "arch": "pfeiffer", "batch": args.batch,
        "max_length": args.max_length, "padding": args.padding, "rows": len(rows),
        "seconds": round(time.perf_counter() - start, 2), "text_tokens": text,
        "computed_tokens": computed, "threads": torch.get_num_threads(),
    }))


main()
