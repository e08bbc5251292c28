"""Times merges of Tureen beside peft and mergekit on the same files.

    python benches/merges.py --tureen target/release/tureen --work DIR [--only CASE ...] [--no-peers]

Makes its files under DIR (about 8 GB): LoRAs over 16 matrices of 4096 x 4096, models of 2 GB.
Needs torch, safetensors, peft; for `models` mergekit and yaml. Prints one JSON line a case. The
peers' times leave out their imports and the making of the base model; Tureen's is the whole
command. Both read and write files.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time

import torch
from safetensors.torch import load_file, save_file

WIDTH, MAPS = 4096, 16


def lora(folder, seed, rank):
    os.makedirs(folder, exist_ok=True)
    g = torch.Generator().manual_seed(seed)
    tensors = {}
    for i in range(MAPS):
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
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # The largest child so far: only a rise tells this one's.
    return seconds, after // 1024 if after > before else None


def peft_merge(folders, method, out):
    from peft import LoraConfig, PeftModel, get_peft_model

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = torch.nn.Linear(WIDTH, WIDTH, bias=False)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList(Layer() for _ in range(MAPS))

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
    parser.add_argument("--only", nargs="*", default=["linear", "ties", "svd", "models"])
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    os.chdir(args.work)
    folders = [f"lora{i}" for i in range(8)]
    for i, folder in enumerate(folders):
        if not os.path.exists(f"{folder}/adapter_config.json"):
            lora(folder, i, 16)
    ours = {
        "linear": (folders, ["--method", "linear"], "cat"),
        "ties": (folders, ["--method", "ties", "--density", "0.2", "--rule", "peft", "--lora", "sqrt_factors", "--weights", ",".join(["0.125"] * 8)], "ties"),
        "svd": (folders[:2], ["--lora", "svd", "--rank", "16", "--weights", "0.5,0.5"], "svd"),
    }
    for case in args.only:
        shutil.rmtree("out", ignore_errors=True)
        if case == "models":
            for name in ["x", "y"]:
                if not os.path.exists(f"{name}/config.json"):
                    model(name, ord(name))
            with open("merge.yml", "w") as f:
                f.write("models:\n- {model: x, parameters: {weight: 0.6}}\n- {model: y, parameters: {weight: 0.4}}\nmerge_method: linear\ndtype: bfloat16\n")
            seconds, memory = timed([args.tureen, "merge", "merge.yml", "out"])
            peer, error = None, None
            if not args.no_peers:
                shutil.rmtree("peer", ignore_errors=True)
                peer, _ = timed([sys.executable, "-m", "mergekit.scripts.run_yaml", "merge.yml", "peer", "--quiet"])
        else:
            inputs, options, method = ours[case]
            seconds, memory = timed([args.tureen, "soup", *inputs, *options, "--out", "out", "--format", "peft"])
            peer, error = None, None
            if not args.no_peers:
                shutil.rmtree("peer", ignore_errors=True)
                peer = peft_merge(inputs, method, "peer")
                a, b = load_file("out/adapter_model.safetensors"), load_file("peer/m/adapter_model.safetensors")
                worst = 0.0
                for i in range(MAPS):
                    stem = f"base_model.model.layers.{i}.q_proj"
                    def change(t):
                        return t[f"{stem}.lora_B.weight"] @ t[f"{stem}.lora_A.weight"]
                    x, y = change(a), change(b)
                    worst = max(worst, ((x - y).norm() / y.norm()).item())
                error = worst
        print(json.dumps({"case": case, "tureen_s": round(seconds, 3), "peer_s": peer and round(peer, 3), "tureen_mb": memory, "relative_error": error}), flush=True)


main()
