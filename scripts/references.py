#!/usr/bin/env python3
"""Small random base models with what transformers and peft compute of them, for the tests.

    pip install torch "transformers>=4.57,<4.58" peft==0.21.2
    python scripts/references.py [folder, tests/references if not given]

A file a model: its configuration and a LoRA's in the metadata; under `model/` the weights with
their classifier, under `lora/` the LoRA and the classifier trained with it, under `grads/` the
gradients of the loss by both. Texts are longer than the models tell distances apart, and padded.
"""

import json
import sys
from pathlib import Path

import peft
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSequenceClassification

OUT = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/references")
VOCABULARY = 30
COMMON = dict(
    vocab_size=VOCABULARY,
    hidden_size=16,
    num_attention_heads=2,
    intermediate_size=24,
    num_hidden_layers=2,
    initializer_range=0.3,
    num_labels=3,
)
# Configuration, length of the longest text, maps with a LoRA, modules of the classifier.
MODELS = {
    "mpnet": (
        dict(max_position_embeddings=152, pad_token_id=1),
        150,
        ["q", "k", "v", "o", "intermediate.dense", "output.dense"],
        ["classifier"],
    ),
    "modernbert": (
        dict(
            num_hidden_layers=3,
            max_position_embeddings=64,
            local_attention=9,
            global_attn_every_n_layers=2,
            global_rope_theta=1000.0,
            local_rope_theta=100.0,
            classifier_pooling="mean",
            pad_token_id=0,
            bos_token_id=1,
            cls_token_id=1,
            eos_token_id=2,
            sep_token_id=2,
        ),
        40,
        ["Wqkv", "Wi", "Wo"],
        ["head", "classifier"],
    ),
    "deberta-v2": (
        dict(
            max_position_embeddings=40,
            max_relative_positions=16,
            position_buckets=8,
            relative_attention=True,
            position_biased_input=False,
            share_att_key=True,
            pos_att_type="p2c|c2p",
            norm_rel_ebd="layer_norm",
            type_vocab_size=0,
        ),
        40,
        ["query_proj", "key_proj", "value_proj", "intermediate.dense", "output.dense"],
        ["pooler", "classifier"],
    ),
}


def scatter(model):
    """Random values where the library starts from zeros or ones."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


def reference(kind, more, longest, targets, head):
    torch.manual_seed(1)
    config = AutoConfig.for_model(kind, **(COMMON | more))
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    scatter(model)
    model.eval()
    tensors = {f"model/{name}": t for name, t in model.state_dict().items()}
    ids = torch.randint(3, VOCABULARY, (3, longest))
    mask = torch.ones_like(ids)
    for row, length in enumerate((longest, longest // 3, 3)):
        mask[row, length:] = 0
        ids[row, length:] = config.pad_token_id
    inputs = dict(input_ids=ids, attention_mask=mask)
    tensors |= inputs
    with torch.no_grad():
        states = model.base_model(**inputs).last_hidden_state
        tensors["last_hidden_state"] = states * mask.unsqueeze(2)
        tensors["logits"] = model(**inputs).logits
    lora = peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=targets, modules_to_save=head, task_type="SEQ_CLS"
    )
    changed = peft.get_peft_model(model, lora)
    with torch.no_grad():
        for parameter in changed.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    changed.eval()
    labels = torch.tensor([2, 0, 1])
    out = changed(**inputs, labels=labels)
    out.loss.backward()
    own = peft.get_peft_model_state_dict(changed)
    tensors |= {f"lora/{name}": t for name, t in own.items()}
    tensors |= {"lora_logits": out.logits.detach(), "labels": labels, "loss": out.loss.detach()}
    for name, parameter in changed.named_parameters():
        if parameter.requires_grad:
            plain = name.replace(".default", "").replace(".modules_to_save", "")
            tensors[f"grads/{plain}"] = parameter.grad
    assert {n[6:] for n in tensors if n[:6] == "grads/"} == set(own)
    lora = changed.peft_config["default"].to_dict()
    lora["target_modules"] = sorted(lora["target_modules"])
    kept = {k: v for k, v in lora.items() if isinstance(v, (str, int, float, list, type(None)))}
    kept["inference_mode"] = True
    metadata = {"config": model.config.to_json_string(), "lora": json.dumps(kept, sort_keys=True)}
    tensors = {name: t.contiguous().clone() for name, t in tensors.items()}
    save_file(tensors, str(OUT / f"{kind}.safetensors"), metadata)
    print(kind, sum(t.numel() for t in tensors.values()), "values")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for kind, parts in MODELS.items():
        reference(kind, *parts)
