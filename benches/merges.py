"""Times merges of Tureen beside peft and mergekit on the same files.

    python benches/merges.py --tureen target/release/tureen --work DIR [--only CASE ...] [--no-peers]

Makes its files under DIR (about 8 GB): bottleneck adapters of a BERT-base, LoRAs over matrices of
4096 x 4096, models of 2 GB. Needs torch, safetensors, numpy; adapters for `bottleneck`, peft for
the LoRAs, mergekit for `models` (which may want a Python of its own: run it with --only models).
Prints one JSON line a case. The peers' times leave out their imports and the making of the base
model, but for mergekit, which is a command; Tureen's is the whole command. All read and write
files. Memory, by GNU time, counts the mapped input files as far as they were read.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
from safetensors.torch import load_file, save_file

WIDTH = 4096


def lora(folder, seed, rank, maps):
    os.makedirs(folder, exist_ok=True)
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    for i in range(maps):
        stem = f"base_model.model.layers.{i}.q_proj"
        tensors[f"{stem}.lora_A.weight"] = torch.randn(rank, WIDTH, generator=g) * 0.02
        tensors[f"{stem}.lora_B.weight"] = torch.randn(WIDTH, rank, generator=g) * 0.02
    save_file(tensors, f"{folder}/adapter_model.safetensors", metadata={"format": "pt"})
    config = {
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": ["q_proj"],
        "bias": "none", "base_model_name_or_path": "none/none",
    }
    with open(f"{folder}/adapter_config.json", "w") as f:
        json.dump(config, f)


def model(folder, seed):
    """A model of 2 GB in bfloat16 with LLaMA's names."""
    os.makedirs(folder, exist_ok=True)
    g = torch.Generator().manual_seed(seed)
    tensors, width, inner = {}, 2048, 5632
    def put(name, *shape):
        tensors[name] = (torch.randn(*shape, generator=g) * 0.02).to(torch.bfloat16)
    put("model.embed_tokens.weight", 32000, width)
    put("lm_head.weight", 32000, width)
    for i in range(20):
        for part in ["q", "k", "v", "o"]:
            put(f"model.layers.{i}.self_attn.{part}_proj.weight", width, width)
        put(f"model.layers.{i}.mlp.gate_proj.weight", inner, width)
        put(f"model.layers.{i}.mlp.up_proj.weight", inner, width)
        put(f"model.layers.{i}.mlp.down_proj.weight", width, inner)
        put(f"model.layers.{i}.input_layernorm.weight", width)
        put(f"model.layers.{i}.post_attention_layernorm.weight", width)
    put("model.norm.weight", width)
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width,
        "intermediate_size": inner, "num_hidden_layers": 20, "num_attention_heads": 16,
        "num_key_value_heads": 16, "vocab_size": 32000, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }
    with open(f"{folder}/config.json", "w") as f:
        json.dump(config, f)


def timed(command):
    """Seconds, and the peak resident memory in MiB."""
    start = time.perf_counter()
    # A child's own peak would count this process, which it is a copy of when it starts.
    done = subprocess.run(["/usr/bin/time", "-f", "%M", *command], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    return seconds, int(done.stderr.split()[-1]) // 1024


def bert():
    from adapters import BertAdapterModel
    from transformers import BertConfig

    torch.manual_seed(0)
    return BertAdapterModel(BertConfig())


def bottlenecks(folders):
    """Pfeiffer adapters of 894,528 weights."""
    net = bert()
    for i, folder in enumerate(folders):
        net.add_adapter(f"a{i}", config="seq_bn")
        net.save_adapter(folder, f"a{i}")


def adapters_merge(folders, out):
    net = bert()
    start = time.perf_counter()
    names = [net.load_adapter(folder) for folder in folders]
    net.average_adapter("m", names)
    net.save_adapter(out, "m")
    return time.perf_counter() - start


def difference(case, ours, peers, maps):
    """The largest relative difference, of the change that a LoRA makes, else of the tensors."""
    if case == "bottleneck":
        a, b = load_file(f"{ours}/adapter.safetensors"), torch.load(f"{peers}/pytorch_adapter.bin") \
            if os.path.exists(f"{peers}/pytorch_adapter.bin") else load_file(f"{peers}/adapter.safetensors")
        plain = lambda t: {re.sub(r"adapters\.[^.]*\.", "", k): v for k, v in t.items()}
        a, b = plain(a), plain(b)
        pairs = [(a[name], b[name]) for name in b]
    else:
        a, b = load_file(f"{ours}/adapter_model.safetensors"), load_file(f"{peers}/m/adapter_model.safetensors")
        stems = [f"base_model.model.layers.{i}.q_proj" for i in range(maps)]
        change = lambda t, s: t[f"{s}.lora_B.weight"] @ t[f"{s}.lora_A.weight"]
        pairs = [(change(a, s), change(b, s)) for s in stems]
    return max(((x - y).norm() / y.norm().clamp(min=1e-30)).item() for x, y in pairs)


def peft_merge(folders, method, out, maps):
    from peft import LoraConfig, PeftModel, get_peft_model

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = torch.nn.Linear(WIDTH, WIDTH, bias=False)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(Layer() for _ in range(maps))

    with torch.device("meta"):
        net = Net()
    net = net.to_empty(device="cpu")
    start = time.perf_counter()
    wrapped = PeftModel.from_pretrained(net, folders[0], adapter_name="a0")
    names = ["a0"]
    for i, folder in enumerate(folders[1:], 1):
        wrapped.load_adapter(folder, adapter_name=f"a{i}")
        names.append(f"a{i}")
    more = {"density": 0.2} if method == "ties" else {}
    wrapped.add_weighted_adapter(names, [1.0 / len(names)] * len(names), "m", combination_type=method, **more)
    wrapped.save_pretrained(out, selected_adapters=["m"])
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tureen", required=True)
    parser.add_argument("--work", required=True)
    cases = ["bottleneck", "linear", "ties", "svd", "models"]
    parser.add_argument("--only", nargs="*", choices=cases, default=cases)
    parser.add_argument("--maps", type=int, default=16, help="matrices in a LoRA (PEFT's svd takes half a minute each)")
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_args()
    args.tureen = os.path.abspath(args.tureen)
    os.makedirs(args.work, exist_ok=True)
    os.chdir(args.work)
    loras = [f"lora{args.maps}-{i}" for i in range(8)]
    pfeiffers = [f"pfeiffer{i}" for i in range(13)]
    eighths = ",".join(["0.125"] * 8)
    factor_wise = ["--method", "ties", "--density", "0.2", "--rule", "peft", "--lora", "sqrt_factors"]
    ours = {
        "bottleneck": (pfeiffers, [], None),
        "linear": (loras, ["--method", "linear"], "cat"),
        "ties": (loras, [*factor_wise, "--weights", eighths], "ties"),
        "svd": (loras[:2], ["--lora", "svd", "--rank", "16", "--weights", "0.5,0.5"], "svd"),
    }
    for case in args.only:
        for folder in ["out", "peer"]:
            shutil.rmtree(folder, ignore_errors=True)
        peer = peer_memory = error = None
        if case == "models":
            for name in ["x", "y"]:
                if not os.path.exists(f"{name}/config.json"):
                    model(name, ord(name))
            with open("merge.yml", "w") as f:
                f.write("models:\n- {model: x, parameters: {weight: 0.6}}\n- {model: y, parameters: {weight: 0.4}}\nmerge_method: linear\ndtype: bfloat16\n")
            seconds, memory = timed([args.tureen, "merge", "merge.yml", "out"])
            if not args.no_peers:
                peer, peer_memory = timed([sys.executable, "-m", "mergekit.scripts.run_yaml", "merge.yml", "peer", "--quiet", "--no-write-model-card"])
        else:
            inputs, options, method = ours[case]
            missing = [f for f in inputs if not os.path.exists(f"{f}/adapter_config.json")]
            if missing and case == "bottleneck":
                bottlenecks(inputs)
            for folder in missing if case != "bottleneck" else []:
                lora(folder, loras.index(folder), 16, args.maps)
            layout = "adapterhub" if case == "bottleneck" else "peft"
            seconds, memory = timed([args.tureen, "soup", *inputs, *options, "--out", "out", "--format", layout])
            if not args.no_peers:
                peer = adapters_merge(inputs, "peer") if case == "bottleneck" else peft_merge(inputs, method, "peer", args.maps)
                error = difference(case, "out", "peer", args.maps)
        print(json.dumps({
            "case": case, "tureen_s": round(seconds, 3), "peer_s": peer and round(peer, 3),
            "tureen_mib": memory, "peer_mib": peer_memory, "relative_error": error,
        }), flush=True)


main()
