#!/usr/bin/env python3
"""Adapters from Python to Tureen and back, by the Python libraries themselves.

    pip install torch "transformers>=4.57,<4.58" adapters==1.3.0 peft==0.21.2
    python scripts/round_trip.py [path of the tureen binary]

For nine small random base models and every kind of adapter: the library makes the adapter and its
logits, Tureen loads it, computes its own logits and saves it, in the other library's layout too
where the kind allows, and the library loads what Tureen wrote. A line a case with the largest
difference of Tureen's logits and of those of what it saved; anything above 1e-5 fails.
"""

import copy
import json
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)

TOLERANCE = 1e-5
VOCABULARY = 60
TUREEN = sys.argv[1] if len(sys.argv) > 1 else "target/release/tureen"

COMMON = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48)
BASES = {
    "bert": COMMON,
    "roberta": COMMON | dict(pad_token_id=1, max_position_embeddings=82, type_vocab_size=1),
    "xlm-roberta": COMMON | dict(pad_token_id=1, max_position_embeddings=82, type_vocab_size=1),
    "electra": COMMON | dict(embedding_size=16),
    "distilbert": dict(dim=32, n_layers=3, n_heads=4, hidden_dim=48),
    "mpnet": COMMON | dict(pad_token_id=1, max_position_embeddings=82),
    "modernbert": COMMON
    | dict(
        local_attention=7,
        pad_token_id=0,
        bos_token_id=1,
        cls_token_id=1,
        eos_token_id=2,
        sep_token_id=2,
    ),
    "deberta-v2": COMMON
    | dict(
        relative_attention=True,
        position_biased_input=False,
        share_att_key=True,
        pos_att_type="p2c|c2p",
        norm_rel_ebd="layer_norm",
        position_buckets=8,
        max_relative_positions=10,
        type_vocab_size=0,
    ),
    "gpt2": dict(n_embd=32, n_layer=3, n_head=4, n_inner=48, n_positions=80, pad_token_id=0),
}


def config_of(kind, **more):
    fields = dict(BASES[kind], vocab_size=VOCABULARY, **more)
    if "max_position_embeddings" not in fields and kind != "gpt2":
        fields["max_position_embeddings"] = 80
    # Larger than usual, so that every part of the model shows in the logits.
    return AutoConfig.for_model(kind, initializer_range=0.2, **fields)


def scatter(parameters, scale=0.1):
    """Random values, where a library starts from zeros or ones."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn_like(parameter) * scale)


def batch(kind):
    ids = torch.randint(3, VOCABULARY, (4, 12))
    mask = torch.ones_like(ids)
    for row, length in enumerate((12, 9, 5, 2)):
        mask[row, length:] = 0
        ids[row, length:] = BASES[kind].get("pad_token_id", 0)
    return ids, mask


def logits_of(model, inputs):
    model.eval()
    with torch.no_grad():
        out = model(input_ids=inputs[0], attention_mask=inputs[1])
        return out.logits.contiguous()


def adapterhub_kinds(kind):
    import adapters

    yield "seq_bn", adapters.SeqBnConfig()
    yield "double_seq_bn", adapters.DoubleSeqBnConfig()
    yield "par_bn", adapters.ParBnConfig()
    yield "layers", adapters.SeqBnConfig(reduction_factor={"1": 4, "default": 8}, leave_out=[0])
    yield "norms", adapters.DoubleSeqBnConfig(ln_before=True, ln_after=True, non_linearity="gelu")
    yield "learned", adapters.SeqBnConfig(
        scaling="learned", adapter_residual_before_ln=True, ln_after=True, non_linearity="tanh"
    )
    yield "channel", adapters.SeqBnConfig(scaling="channel", residual_before_ln=False)
    if kind != "gpt2":
        yield "post_add", adapters.SeqBnConfig(residual_before_ln="post_add")
    yield "no_ln", adapters.SeqBnConfig(original_ln_after=False, non_linearity="leakyrelu")
    yield "lora", adapters.LoRAConfig()
    yield "lora_wide", adapters.LoRAConfig(
        r=4, alpha=16, attn_matrices=["q", "k", "v"], intermediate_lora=True, output_lora=True
    )
    yield "lora_some", adapters.LoRAConfig(r=3, alpha=3, attn_matrices=["k"], leave_out=[1])
    yield "ia3", adapters.IA3Config()
    if kind != "gpt2":
        yield "dora", adapters.LoRAConfig(r=4, alpha=4, use_dora=True)


# What PEFT calls the maps of queries and values, the last of a block, keys and values, and the list
# of blocks, where that is not as in BERT.
TARGETS = {
    "distilbert": ["q_lin", "v_lin"],
    "gpt2": ["c_attn"],
    "mpnet": ["q", "v"],
    "modernbert": ["Wqkv"],
    "deberta-v2": ["query_proj", "value_proj"],
}
ENDINGS = {"distilbert": "ffn.lin2", "gpt2": "mlp.c_proj", "modernbert": "mlp.Wo"}
KEYS = {
    "distilbert": ["k_lin", "v_lin"],
    "gpt2": ["c_attn"],
    "mpnet": ["k", "v"],
    "modernbert": ["Wqkv"],
    "deberta-v2": ["key_proj", "value_proj"],
}
LAYERS = {"distilbert": "transformer.layer", "gpt2": "h", "modernbert": "layers"}
# Those that adapters has no class for.
PEFT_ONLY = ["mpnet", "modernbert"]


def peft_kinds(kind):
    import peft

    targets = TARGETS.get(kind, ["query", "value"])
    ending = ENDINGS.get(kind, "output.dense")
    layers = LAYERS.get(kind, "encoder.layer")

    def lora(**more):
        return peft.LoraConfig(**dict(dict(r=4, lora_alpha=8, target_modules=targets), **more))

    yield "lora", lora()
    yield "rslora", lora(use_rslora=True)
    yield "dora", lora(use_dora=True, lora_alpha=4)
    yield "lora_bias", lora(lora_bias=True)
    if kind != "modernbert":
        yield "biases", lora(bias="lora_only")
    yield "regex", lora(target_modules=rf".*{layers}\.[02]\..*({'|'.join(targets)}|{ending})")
    yield "layers", lora(layers_to_transform=[1])
    yield "patterns", lora(
        rank_pattern={f"{layers}.1.*{targets[0]}": 2}, alpha_pattern={targets[-1]: 5}
    )
    # Of other classifiers peft would change parts of the head, too.
    if kind == "bert":
        yield "all-linear", lora(target_modules="all-linear", exclude_modules=["pooler.dense"])
    key = KEYS.get(kind, ["key", "value"])
    yield "ia3", peft.IA3Config(target_modules=key + [ending], feedforward_modules=[ending])


class Cases:
    def __init__(self, folder):
        self.folder, self.rows, self.expected = folder, [], {}

    def add(self, name, base, adapter, inputs, logits, formats, check):
        """`check(folder)` gives the library's logits of an adapter that Tureen saved."""
        io = self.folder / f"{name.replace('/', '-')}.safetensors"
        save_file({"input_ids": inputs[0], "attention_mask": inputs[1]}, str(io))
        row = dict(name=name, base=str(base), adapter=str(adapter), io=str(io), formats=formats)
        self.rows.append(row)
        self.expected[name] = (logits, check)

    def run(self):
        rows = self.folder / "cases.json"
        rows.write_text(json.dumps(self.rows))
        script = self.folder / "cases.rhai"
        script.write_text(SCRIPT)
        out = self.folder / "out"
        command = [TUREEN, "run", str(script), "--out", str(out), "--allow-read", str(self.folder)]
        subprocess.run(command + ["--set", f"cases={rows}"], check=True)
        failed = 0
        for i, row in enumerate(self.rows):
            logits, check = self.expected[row["name"]]
            ours = load_file(str(out / f"{i}" / "logits.safetensors"))["logits"]
            line = {"tureen": (ours - logits).abs().max().item()}
            refused = json.loads((out / f"{i}" / "refused.json").read_text())
            for form in row["formats"]:
                if form in refused:
                    line[form] = f"refused ({refused[form]})"
                    continue
                try:
                    off = (check(out / f"{i}" / form, form) - logits).abs().max().item()
                    line[form] = off
                except Exception as error:
                    line[form] = error
            good = all(isinstance(v, str) or isinstance(v, float) and v <= TOLERANCE for v in line.values())
            failed += not good
            shown = (f"{k} {v:.1e}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
            print("ok    " if good else "FAILED", row["name"], *shown, sep="  ")
        print(f"{len(self.rows)} cases, {failed} failed")
        return failed


SCRIPT = """
let cases = parse_json(read_text(param("cases", "cases.json")));
let at = 0;
for row in cases {
    let base = model(row.base);
    let io = load_tensors(row.io);
    let inputs = #{ input_ids: io.input_ids, attention_mask: io.attention_mask };
    let a = if row.adapter == "" { () } else { load_adapter(row.adapter) };
    let logits = if row.adapter == "" { base.logits(inputs) } else { base.logits(a, inputs) };
    save_tensors(`${at}/logits.safetensors`, #{ logits: logits });
    let refused = #{};
    for form in row.formats {
        try { a.save(`${at}/${form}`, #{ format: form }); } catch (error) { refused[form] = `${error}`; }
    }
    write_text(`${at}/refused.json`, to_json(refused));
    at += 1;
}
"""


def add_model(cases, kind, folder):
    """Classifiers as transformers saves them, in every kind of file."""
    torch.manual_seed(2)
    model = AutoModelForSequenceClassification.from_config(config_of(kind, num_labels=3))
    scatter(model.parameters(), 0.02)
    inputs = batch(kind)
    logits = logits_of(model, inputs)
    ways = {
        "safetensors": dict(),
        "shards": dict(max_shard_size="40KB"),
        "pickle": dict(safe_serialization=False),
        "pickled_shards": dict(safe_serialization=False, max_shard_size="40KB"),
    }
    for way, options in ways.items():
        saved = folder / kind / f"model-{way}"
        model.save_pretrained(saved, **options)
        cases.add(f"models/{kind}/{way}", saved, "", inputs, logits, [], None)


# The heads that models of transformers have, in the terms of adapters, so that PEFT can hold them.
HEADS = {
    "electra": dict(activation_function="gelu"),
    "distilbert": dict(activation_function="relu"),
    "deberta-v2": dict(activation_function="gelu"),
    "gpt2": dict(layers=1, activation_function=None, bias=False),
}


def add_own_heads(cases, kind, folder):
    """Adapters in classifiers of transformers, whose heads adapters saves without a configuration."""
    import adapters
    from adapters import AutoAdapterModel

    torch.manual_seed(0)
    whole = AutoModelForSequenceClassification.from_config(config_of(kind, num_labels=3))
    base = folder / kind / "own-head"
    whole.save_pretrained(base)
    inputs = batch(kind)
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base)
    adapters.init(model)
    model.add_adapter("a", config="seq_bn")
    model.set_active_adapters("a")
    scatter(p for n, p in model.named_parameters() if ".a." in n)
    logits = logits_of(model, inputs)
    saved = folder / kind / "adapterhub-own-head"
    model.save_adapter(str(saved), "a")

    def check(written, form, base=base):
        fresh = AutoAdapterModel.from_pretrained(base)
        fresh.set_active_adapters(fresh.load_adapter(str(written), use_safetensors=True))
        return logits_of(fresh, inputs)

    cases.add(f"adapters/{kind}/own-head", base, saved, inputs, logits, ["adapterhub"], check)


def add_adapterhub(cases, kind, folder):
    from adapters import AutoAdapterModel
    from adapters.heads import ClassificationHead
    import peft

    torch.manual_seed(0)
    model = AutoModel.from_config(config_of(kind))
    base = folder / kind / "base"
    model.save_pretrained(base)
    inputs = batch(kind)
    for name, config in adapterhub_kinds(kind):
        torch.manual_seed(1)
        model = AutoAdapterModel.from_pretrained(base)
        model.add_adapter("a", config=config)
        head = HEADS.get(kind, {}) if "lora" in name else {}
        if "bias" in head:
            # The method that adds heads does not know the word, the head itself does.
            model.add_prediction_head(ClassificationHead(model, "a", num_labels=3, **head))
        else:
            model.add_classification_head("a", num_labels=3, **head)
        model.set_active_adapters("a")
        scatter(p for n, p in model.named_parameters() if ".a." in n)
        logits = logits_of(model, inputs)
        saved = folder / kind / f"adapterhub-{name}"
        model.save_adapter(str(saved), "a")

        def check(written, form, kind=kind, base=base):
            if form == "adapterhub":
                fresh = AutoAdapterModel.from_pretrained(base)
                loaded = fresh.load_adapter(str(written), use_safetensors=True)
                fresh.set_active_adapters(loaded)
                return logits_of(fresh, inputs)
            fresh = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
            return logits_of(peft.PeftModel.from_pretrained(fresh, str(written)), inputs)

        formats = ["adapterhub"] + (["peft"] if "lora" in name else [])
        cases.add(f"adapters/{kind}/{name}", base, saved, inputs, logits, formats, check)


def add_peft(cases, kind, folder, causal=False):
    import peft
    from adapters import AutoAdapterModel

    torch.manual_seed(0)
    label = "causal" if causal else "base"
    auto = AutoModelForCausalLM if causal else AutoModelForSequenceClassification
    more = {} if causal else dict(num_labels=3)
    whole = auto.from_config(config_of(kind, **more))
    base = folder / kind / f"peft-{label}"
    whole.save_pretrained(base)
    inputs = batch(kind)
    for name, config in peft_kinds(kind):
        torch.manual_seed(1)
        config = copy.deepcopy(config)
        config.task_type = "CAUSAL_LM" if causal else "SEQ_CLS"
        model = peft.get_peft_model(auto.from_pretrained(base, **more), config)
        scatter(p for p in model.parameters() if p.requires_grad)
        logits = logits_of(model, inputs)
        saved = folder / kind / f"peft-{label}-{name}"
        model.save_pretrained(saved)

        def check(written, form, auto=auto, base=base, more=more):
            if form == "adapterhub":
                fresh = AutoAdapterModel.from_pretrained(base)
                loaded = fresh.load_adapter(str(written), use_safetensors=True)
                fresh.set_active_adapters(loaded)
                return logits_of(fresh, inputs)
            fresh = auto.from_pretrained(base, **more)
            return logits_of(peft.PeftModel.from_pretrained(fresh, str(written)), inputs)

        formats = ["peft"] + ([] if causal or name == "ia3" else ["adapterhub"])
        cases.add(f"peft/{kind}/{label}-{name}", base, saved, inputs, logits, formats, check)


def main():
    logging.disable(logging.WARNING)

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cases = Cases(folder)
        for kind in BASES:
            add_model(cases, kind, folder)
            if kind not in PEFT_ONLY:
                add_adapterhub(cases, kind, folder)
                add_own_heads(cases, kind, folder)
            add_peft(cases, kind, folder)
        add_peft(cases, "gpt2", folder, causal=True)
        sys.exit(1 if cases.run() else 0)


if __name__ == "__main__":
    main()
