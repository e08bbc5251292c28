"""Times what steps.rhai times, with PyTorch and AdapterHub's `adapters`.

    python benches/torch_steps.py MODEL [--adapter pfeiffer] [--batch 32] [--seq 64] [--dtype f32]
        [--members 1] [--device cpu]

MODEL is a folder or a name on the hub. Needs torch, transformers and adapters. Prints one JSON
line: medians of 15 in milliseconds, and the most memory the process held, in MiB. each_ms is of so
many members' forward passes, one after the other, the median of 5.
"""

import argparse
import json
import resource
import time

import torch
import transformers
from adapters import AutoAdapterModel

CONFIGS = {"pfeiffer": "seq_bn", "houlsby": "double_seq_bn", "lora": "lora"}


def median_ms(work, repeat=15):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        # A GPU works on after its orders are taken.
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return round(sorted(times)[repeat // 2] * 1e3, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--adapter", choices=CONFIGS, default="pfeiffer")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seq", type=int, default=64)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()

    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    model = AutoAdapterModel.from_pretrained(args.model)
    model.add_adapter("a", config=CONFIGS[args.adapter])
    model.add_classification_head("a", num_labels=2)
    names = [f"m{i}" for i in range(args.members)]
    for name in names:
        model.add_adapter(name, config=CONFIGS[args.adapter])
    model.train_adapter("a")
    model.to(args.device)
    ids = torch.randint(1000, 20000, (args.batch, args.seq), device=args.device)
    mask = torch.ones_like(ids)
    labels = torch.randint(0, 2, (args.batch,), device=args.device)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    autocast = lambda: torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.dtype == "bf16")

    def step():
        with autocast():
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def forward():
        with torch.no_grad(), autocast():
            model(input_ids=ids, attention_mask=mask)

    def each():
        for name in names:
            model.set_active_adapters(name)
            forward()

    model.train()
    train_ms = median_ms(step)
    model.eval()
    eval_ms = median_ms(forward)
    each_ms = median_ms(each, 5)
    print(json.dumps({
        "library": "torch+adapters", "arch": args.adapter, "batch": args.batch, "seq": args.seq,
        "dtype": args.dtype, "threads": torch.get_num_threads(), "train_ms": train_ms,
        "eval_ms": eval_ms, "members": args.members, "each_ms": each_ms, "device": args.device,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


main()
