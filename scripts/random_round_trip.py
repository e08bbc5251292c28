#!/usr/bin/env python3
"""Random adapters from Python to Tureen and back, compared with what the Python libraries compute.

    pip install torch "transformers>=4.57,<4.58" adapters==1.3.0 peft==0.21.2
    python scripts/random_round_trip.py [path of the tureen binary] [count] [seed]

Every case draws a base model (architecture, sizes, tokenizer and the layout of its files), an adapter
(library, kind, settings, number and names of the labels, file format, type of the numbers) and texts.
The library computes logits and the predicted labels; Tureen reads the folders, computes token ids,
logits and predictions, and saves the adapter in each library's layout; the library loads what was
saved. A difference of token ids or predicted labels, or of logits above 1e-5, fails.

Left out, since a library itself is wrong or has no such combination: merged rsLoRA of adapters (its
scale is alpha / r), DoRA of adapters with another alpha than r (its norm, and its merge, leave out
the scale), adapters' `svd` and `Average` of LoRAs (the scale is applied twice), kinds that adapters
has no class for (MPNet, ModernBERT), IA3 and DoRA of GPT-2 in adapters, biases of PEFT's LoRA in
ModernBERT, which has none, and a bias of B with another initialisation than PEFT's own.
"""

import json
import logging
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

TUREEN = sys.argv[1] if len(sys.argv) > 1 else "target/release/tureen"
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 500
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 0

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

import round_trip
from round_trip import BASES, ENDINGS, HEADS, KEYS, LAYERS, PEFT_ONLY, TARGETS, config_of, logits_of, scatter

TOLERANCE = 1e-5
round_trip.VOCABULARY = 400
WORDS = "the red fox runs over a big old house far from new york so we sing loud songs about it Ünder café".split()
NAMES = "sport politics science arts business travel food games health nature music law".split()


def words(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 14)))


def text_of(rng):
    """Mostly words; now and then something that tokenizers treat in their own ways."""
    odd = ["", "!", " ", "  twice", "it's", "3.5%", "naïve", "你好", "[SEP]", "</s>", "<item>", "\t", "ABC"]
    return " ".join([words(rng)] + [rng.choice(odd) for _ in range(rng.randint(0, 2))])


def save_tokenizer(kind, folder, rng):
    """Writes a small tokenizer in one of its layouts; the tokenizer, or None where ids are drawn."""
    from tokenizers import ByteLevelBPETokenizer
    import transformers as t

    corpus = [words(random.Random(i)) for i in range(200)]
    fast = rng.random() < 0.6
    if kind in ("bert", "distilbert", "electra", "mpnet"):
        special = (
            ["<s>", "<pad>", "</s>", "<unk>"] if kind == "mpnet" else ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        )
        pieces = sorted({c for line in corpus for c in line.lower() + line if c.strip()})
        inside = [f"##{c}" for c in pieces]
        whole = sorted({w.lower() for w in WORDS} | set(WORDS))
        tail = ["[UNK]", "<mask>"] if kind == "mpnet" else []
        vocabulary = special + [w for w in dict.fromkeys(pieces + inside + whole) if w not in special] + tail
        path = folder / "vocab.txt"
        path.write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        name = {"bert": "Bert", "distilbert": "DistilBert", "electra": "Electra", "mpnet": "MPNet"}[kind]
        cls = getattr(t, f"{name}Tokenizer{'Fast' if fast else ''}")
        made = cls(str(path), do_lower_case=rng.random() < 0.7)
    elif kind in ("roberta", "gpt2"):
        bpe = ByteLevelBPETokenizer()
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind == "roberta" else ["<|endoftext|>"]
        bpe.train_from_iterator(corpus, vocab_size=380, min_frequency=1, special_tokens=special)
        bpe.save_model(str(folder))
        name = {"roberta": "Roberta", "gpt2": "GPT2"}[kind]
        cls = getattr(t, f"{name}Tokenizer{'Fast' if fast else ''}")
        made = cls(str(folder / "vocab.json"), str(folder / "merges.txt"), add_prefix_space=rng.random() < 0.4)
        if kind == "gpt2":
            made.pad_token = made.eos_token
    else:
        return None
    if rng.random() < 0.3:
        made.add_tokens(["<item>"])
    for file in folder.glob("*"):
        file.unlink()
    made.save_pretrained(folder)
    return t.AutoTokenizer.from_pretrained(folder, use_fast=True)


def adapterhub_config(kind, rng):
    import adapters

    some = rng.choice([[], [0], [1]])
    if kind == "gpt2" or rng.random() < 0.55:
        cls = rng.choice([adapters.SeqBnConfig, adapters.DoubleSeqBnConfig, adapters.ParBnConfig])
        more = dict(
            reduction_factor=rng.choice([2, 4, 8, 16]),
            non_linearity=rng.choice(["relu", "gelu", "swish", "tanh", "leakyrelu"]),
            leave_out=some,
        )
        if cls is not adapters.ParBnConfig:
            more["scaling"] = rng.choice([1.0, 2.0, 0.5, "learned"])
            more["ln_after"] = rng.random() < 0.3
        return cls(**more)
    if rng.random() < 0.2:
        return adapters.IA3Config(leave_out=some)
    dora, r = kind != "gpt2" and rng.random() < 0.2, rng.choice([1, 2, 4, 8])
    return adapters.LoRAConfig(
        r=r,
        alpha=r if dora else rng.choice([1, 4, 8, 16]),
        attn_matrices=rng.choice([["q", "v"], ["k"], ["q", "k", "v"]]),
        intermediate_lora=rng.random() < 0.3,
        output_lora=rng.random() < 0.3,
        use_dora=dora,
        leave_out=some,
    )


def peft_config(kind, rng):
    import peft

    targets, ending = TARGETS.get(kind, ["query", "value"]), ENDINGS.get(kind, "output.dense")
    if rng.random() < 0.15:
        key = KEYS.get(kind, ["key", "value"])
        return peft.IA3Config(target_modules=key + [ending], feedforward_modules=[ending])
    more = {}
    if rng.random() < 0.3:
        more["rank_pattern"] = {f"{LAYERS.get(kind, 'encoder.layer')}.1.*{targets[0]}": rng.choice([1, 2, 6])}
    if rng.random() < 0.3:
        more["alpha_pattern"] = {targets[-1]: rng.choice([3, 5])}
    if rng.random() < 0.3:
        more["layers_to_transform"] = rng.choice([[0], [1], [0, 1]])
        more.pop("rank_pattern", None)
    if rng.random() < 0.2:
        more["use_dora"] = True
    elif rng.random() < 0.2:
        more["lora_bias"] = True
    elif kind != "modernbert" and rng.random() < 0.2:
        more["bias"] = "lora_only"
    # Keys that change nothing once an adapter is trained.
    if rng.random() < 0.2:
        # PEFT refuses the bias with another initialisation.
        more["init_lora_weights"] = rng.choice([True, True if "lora_bias" in more else "gaussian"])
    if rng.random() < 0.2:
        more["lora_dropout"] = 0.1
    return peft.LoraConfig(
        r=rng.choice([1, 2, 4, 8]),
        lora_alpha=rng.choice([1, 4, 8, 16]),
        target_modules=targets,
        use_rslora=rng.random() < 0.2,
        **more,
    )


def convert(folder, dtype, rng):
    """Gives the saved adapter's numbers another type, and its files the other format."""
    for path in list(folder.glob("*.safetensors")):
        tensors = {name: x.to(dtype) for name, x in load_file(path).items()}
        if rng.random() < 0.3:
            bin = {
                "adapter_model": "adapter_model",
                "adapter": "pytorch_adapter",
                "model_head": "pytorch_model_head",
            }[path.stem]
            torch.save(tensors, folder / f"{bin}.bin")
            path.unlink()
        else:
            save_file(tensors, path, metadata={"format": "pt"})


def round_to(parameters, dtype):
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(parameter.to(dtype).float())


class Case:
    """One draw: its folders, what the library computes, and how it loads what Tureen saved."""

    def __init__(self, number, folder):
        rng = self.rng = random.Random(f"{SEED} {number}")
        torch.manual_seed(rng.getrandbits(32))
        self.kind = kind = rng.choice(list(BASES))
        self.library = "peft" if kind in PEFT_ONLY or rng.random() < 0.5 else "adapters"
        self.folder = folder / str(number)
        self.base, self.adapter = self.folder / "base", self.folder / "adapter"
        self.base.mkdir(parents=True)
        self.dtype = rng.choice([torch.float32] * 3 + [torch.bfloat16, torch.float16])
        self.tokenizer = save_tokenizer(kind, self.base, rng)
        count = rng.choice([1, 2, 3, 5, 11, 12])
        named = self.library == "adapters" and count > 1 and rng.random() < 0.6
        self.labels = rng.sample(NAMES, count) if named else [str(i) for i in range(count)]
        self.texts = [text_of(rng) for _ in range(5)]
        self.declared = rng.random() < 0.5
        (self.adapterhub if self.library == "adapters" else self.peft)(named)
        convert(self.adapter, self.dtype, rng)

    def inputs(self):
        if self.tokenizer is None:
            return round_trip.batch(self.kind)
        made = self.tokenizer(self.texts, padding=True, return_tensors="pt", truncation=True, max_length=40)
        return made["input_ids"], made["attention_mask"]

    def adapterhub(self, named):
        from adapters import AutoAdapterModel

        kind = self.kind
        base = AutoModel.from_config(config_of(kind))
        base.save_pretrained(self.base)
        config = adapterhub_config(kind, self.rng)
        self.what = f"{type(config).__name__}"
        model = AutoAdapterModel.from_pretrained(self.base)
        model.add_adapter("a", config=config)
        head = {"layers": self.rng.choice([1, 2])} if kind != "gpt2" else {}
        id2label = dict(enumerate(self.labels)) if named else None
        model.add_classification_head("a", num_labels=len(self.labels), id2label=id2label, **head)
        model.set_active_adapters("a")
        own = [p for n, p in model.named_parameters() if ".a." in n]
        scatter(own)
        round_to(own, self.dtype)
        self.given = self.inputs()
        self.logits = logits_of(model, self.given)
        model.save_adapter(str(self.adapter), "a")
        self.formats = ["adapterhub"]

    def peft(self, _):
        import peft

        count = len(self.labels)
        whole = AutoModelForSequenceClassification.from_config(config_of(self.kind, num_labels=count))
        whole.save_pretrained(self.base)
        config = peft_config(self.kind, self.rng)
        self.what = f"{type(config).__name__}"
        config.task_type = "SEQ_CLS"
        whole = AutoModelForSequenceClassification.from_pretrained(self.base, num_labels=count)
        model = peft.get_peft_model(whole, config)
        own = [p for p in model.parameters() if p.requires_grad]
        scatter(own)
        round_to(own, self.dtype)
        self.given = self.inputs()
        self.logits = logits_of(model, self.given)
        model.save_pretrained(self.adapter)
        self.formats = ["peft"]

    def check(self, written, form):
        if form == "adapterhub":
            from adapters import AutoAdapterModel

            fresh = AutoAdapterModel.from_pretrained(self.base)
            fresh.set_active_adapters(fresh.load_adapter(str(written), use_safetensors=True))
            return logits_of(fresh, self.given)
        import peft

        count = len(self.labels)
        fresh = AutoModelForSequenceClassification.from_pretrained(self.base, num_labels=count)
        return logits_of(peft.PeftModel.from_pretrained(fresh, str(written)), self.given)

    def row(self):
        io = self.folder / "io.safetensors"
        answers = [self.labels[i] for i in self.logits.argmax(-1).tolist()]
        # Integers without the first or the last class may mean another number of classes: they are
        # refused unless the classes are declared.
        unclear = self.labels[0] == "0" and not {"0", self.labels[-1]} <= set(answers)
        save_file({"input_ids": self.given[0], "attention_mask": self.given[1]}, str(io))
        return dict(
            base=str(self.base),
            adapter=str(self.adapter),
            io=str(io),
            formats=self.formats,
            texts=self.texts if self.tokenizer is not None else [],
            labels=self.labels,
            # The library's own answers: each has to come out right.
            answers=answers,
            declared=self.declared or unclear,
        )

    def verdict(self, out):
        """What differs, by name; empty where nothing does."""
        found = json.loads((out / "found.json").read_text())
        if "error" in found:
            return {"error": found["error"]}
        wrong = {}
        ours = load_file(str(out / "logits.safetensors"))["logits"]
        off = (ours - self.logits).abs().max().item()
        if not off <= TOLERANCE:
            wrong["logits"] = off
        if self.tokenizer is not None:
            ids = [row[mask.bool()].tolist() for row, mask in zip(*self.given)]
            if found["ids"] != ids:
                at = next(i for i, own in enumerate(ids) if found["ids"][i] != own)
                wrong["ids"] = (self.texts[at], found["ids"][at], ids[at])
            if len(self.labels) > 1:
                best = [self.labels[i] for i in self.logits.argmax(-1).tolist()]
                if found["predicted"] != best:
                    wrong["predicted"] = (found["predicted"], best)
        for form in self.formats + ["accuracy"]:
            if form in found["refused"]:
                wrong[form] = found["refused"][form]
                continue
            if form == "accuracy":
                continue
            off = (self.check(out / form, form) - self.logits).abs().max().item()
            # Half precision is kept on the way.
            if not off <= TOLERANCE:
                wrong[form] = off
        return wrong


SCRIPT = """
let cases = parse_json(read_text(param("cases", "cases.json")));
let at = 0;
for row in cases {
    let found = #{ refused: #{}, ids: [], predicted: [] };
    try {
        let base = model(row.base);
        let io = load_tensors(row.io);
        let a = load_adapter(row.adapter);
        let logits = base.logits(a, #{ input_ids: io.input_ids, attention_mask: io.attention_mask });
        save_tensors(`${at}/logits.safetensors`, #{ logits: logits });
        if row.texts.len > 0 {
            found.ids = base.tokenize(row.texts, #{ max_length: 40, padding: false }).input_ids;
            if row.labels.len > 1 {
                let rows = [];
                for i in 0..row.texts.len { rows.push(#{ text: row.texts[i], label: row.answers[i] }); }
                // Names of the head and integers give the order without being asked for it.
                let options = if row.declared { #{ labels: row.labels } } else { #{} };
                let score = evaluate(base, a, dataset(rows, options), #{ max_length: 40 });
                found.predicted = score.predictions.column("predicted");
                if score.accuracy != 1.0 { found.refused.accuracy = `${score.accuracy}`; }
            }
        }
        for form in row.formats {
            try { a.save(`${at}/${form}`, #{ format: form }); } catch (error) { found.refused[form] = `${error}`; }
        }
    } catch (error) { found = #{ error: `${error}` }; }
    write_text(`${at}/found.json`, to_json(found));
    at += 1;
}
"""


def main():
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cases = [Case(number, folder / "cases") for number in range(COUNT)]
        rows = folder / "cases.json"
        rows.write_text(json.dumps([case.row() for case in cases]))
        script, out = folder / "cases.rhai", folder / "out"
        script.write_text(SCRIPT)
        command = [TUREEN, "run", str(script), "--out", str(out), "--allow-read", str(folder), "--no-store"]
        subprocess.run(command + ["--set", f"cases={rows}"], check=True, stderr=subprocess.DEVNULL)
        failed = 0
        for number, case in enumerate(cases):
            try:
                wrong = case.verdict(out / str(number))
            except Exception as error:
                wrong = {"library": repr(error)[:300]}
            failed += bool(wrong)
            if wrong:
                print("FAILED", number, case.kind, case.library, case.what, case.dtype, len(case.labels), wrong)
        print(f"{len(cases)} cases, {failed} failed")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
