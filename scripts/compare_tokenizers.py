#!/usr/bin/env python3
"""Token ids of Tureen beside those of transformers, for odd texts and every layout of files.

    pip install torch "transformers>=4.57,<4.58" sentencepiece protobuf
    python scripts/compare_tokenizers.py [--tureen target/release/tureen] [--random 300] [--seed 0]
                                         [--models FOLDER...] [--only WORD]

Trains a small tokenizer for each family of bases (BERT cased and uncased, DistilBERT, ELECTRA,
MPNet, RoBERTa, XLM-RoBERTa, DeBERTa-v3, GPT-2, ModernBERT) and writes folders with all layouts of
files: tokenizer.json or the vocabulary alone, with tokenizer_config.json, special_tokens_map.json
and added_tokens.json, with one setting changed at a time and with random combinations of changes.
`--models` adds folders that are there, such as those of published models, as they are.

For every folder the ids and type ids of all texts, of pairs of neighbours, and of both cut to a few
lengths are compared with `AutoTokenizer`. A line for each folder that differs, with the first text;
a folder that Tureen refuses is listed with its message. Exits with 1 where ids differ.

Not compared: truncation and padding stored inside tokenizer.json, which Tureen ignores, and
folders from which transformers raises an error.
"""

import argparse
import copy
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers.implementations import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers import AutoConfig, AutoModel, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--tureen", default="target/release/tureen")
parser.add_argument("--random", type=int, default=300)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--models", nargs="*", default=[])
parser.add_argument("--only", default="")
ARGS = parser.parse_args()
warnings.simplefilter("ignore")
logging.disable(logging.ERROR)
transformers.logging.set_verbosity(50)
WORK = Path(tempfile.mkdtemp())
LENGTHS = [512, 12, 7, 5]

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "Hello, World! It's 9 o'clock, isn't it?",
    "",
    " ",
    "  \t\n  ",
    " leading and trailing ",
    "two  spaces   and\ttabs\nand\r\nlines\n",
    "naïve café résumé Ångström ÀÉÎÕÜ",
    "nai\u0308ve cafe\u0301 combining a\u0300\u0301\u0302",
    "İstanbul ıI ß ẞ ﬁ ﬂ ǅ Σίσυφος ΣΑΣ",
    "日本語 中文字符 한국어 ひらがな カタカナ ｶﾀｶﾅ",
    "漢字kanji漢字 𠀀𪜀 豈 㐀",
    "emoji 😀 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪",
    "zero\u200bwidth\u200cnon\u200djoin \ufeffmark \u2060word soft\u00adhyphen",
    "no\u00a0break\u202fspaces\u2003em\u3000ideographic\u2028line\u2029paragraph\u0085next",
    "control\x00nul\x01one\x07bell\x1bescape\x7fdelete\x9fc1",
    "right-to-left: שלום עולם مرحبا بالعالم \u202emarks\u202c",
    "हिन्दी देवनागरी ภาษาไทย தமிழ்",
    "x" * 120,
    "word " * 30,
    "1234567890 3.14 1,000,000 ١٢٣ ²³ ½ Ⅷ ①",
    "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "[cls] [sep] [mask] a[MASK]b [ MASK ]",
    "<s> </s> <mask> <pad> <unk> a<mask>b a  <mask>  b",
    "<S> </S> <MASK> <|endoftext|> a <|endoftext|> b <|ENDOFTEXT|>",
    "the <item> costs <price>, <ITEM><item>  <price>x item price",
    "<Item> <new> new<new>new <wide>  x  <wide> <single>a <single> a<single>",
    "Café <Café> <café> <cafe> <CAFE>",
    "punct!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ «quotes» “curly” … – — ¿¡ 、。",
    "math ∑∫√∞≠≤≥ €£¥₹ ©®™ °µ¶§",
    "\u2581under\u2581line ▁ Ġ Ċ ##hash ##",
    "aaaa\u0000bbbb \ufffd replacement \ue000private \U000e0001tag \U0010ffff",
    "``quoted'' 'single' \"double\" don't DON'T we'll I'd",
    "https://example.com/path?q=1&x=y#frag user@example.org snake_case camelCase",
    "\n\n\nfilms\n\n",
    "MiXeD CaSe TEXT with 日本 AND émojis 😀!",
]
CORPUS = TEXTS + [
    "the quick brown fox and the lazy dog went to the films with new items and prices",
    "hello world it is a fine film and the text is a test of words in the world",
] * 20


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif isinstance(content, str):
            (folder / name).write_text(content, encoding="utf-8", newline="")
        else:
            (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def word_piece(lowercase, special):
    own = BertWordPieceTokenizer(lowercase=lowercase, strip_accents=lowercase)
    own.train_from_iterator(CORPUS, vocab_size=600, min_frequency=1, special_tokens=special, show_progress=False)
    vocabulary = own.get_vocab()
    tokens = sorted(vocabulary, key=vocabulary.get)
    return {"vocab.txt": "".join(token + "\n" for token in tokens)}


def mpnet():
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens = word_piece(True, ["[UNK]", "[CLS]", "[SEP]"])["vocab.txt"].split("\n")[:-1]
    return {"vocab.txt": "".join(t + "\n" for t in first + tokens + ["<mask>"])}


def byte_pairs(special):
    own = ByteLevelBPETokenizer()
    own.train_from_iterator(CORPUS, vocab_size=500, min_frequency=1, special_tokens=special, show_progress=False)
    folder = tempfile.mkdtemp()
    own.save_model(folder)
    return {n: (Path(folder) / n).read_text(encoding="utf-8") for n in ["vocab.json", "merges.txt"]}


def pieces(name, **options):
    file = WORK / "pieces"
    clean = [t.replace("\x00", "") for text in CORPUS for t in text.splitlines() if t.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(clean), model_prefix=str(file), vocab_size=400, model_type="unigram",
        character_coverage=0.98, hard_vocab_limit=False, minloglevel=2, num_threads=1, **options,
    )
    return {name: file.with_suffix(".model").read_bytes()}


def modern():
    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    own.train_from_iterator(CORPUS, trainer)
    number = own.token_to_id
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", number("[CLS]")), ("[SEP]", number("[SEP]"))],
    )
    return {"tokenizer.json": json.loads(own.to_str())}


BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
DEBERTA = dict(
    pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]"
)
# The vocabulary of each family alone, the type of its model and its usual settings.
FAMILIES = {
    "bert-uncased": ("bert", word_piece(True, BERT_TOKENS), {}),
    "bert-cased": ("bert", word_piece(False, BERT_TOKENS), {"do_lower_case": False}),
    "distilbert": ("distilbert", word_piece(True, BERT_TOKENS), {}),
    "electra": ("electra", word_piece(True, BERT_TOKENS), {}),
    "mpnet": ("mpnet", mpnet(), {}),
    "roberta": ("roberta", byte_pairs(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]), {}),
    "gpt2": ("gpt2", byte_pairs(["<|endoftext|>"]), {}),
    "xlm-roberta": ("xlm-roberta", pieces("sentencepiece.bpe.model"), {}),
    "deberta-v2": ("deberta-v2", pieces("spm.model", **DEBERTA), {}),
    "modernbert": ("modernbert", modern(), {}),
}


def model_files(kind):
    """A small model of a type, which Tureen loads beside the tokenizer."""
    sizes = dict(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=700,
        max_position_embeddings=600, n_embd=8, n_layer=1, n_head=2, n_positions=600, dim=8, n_layers=1, n_heads=2,
        hidden_dim=8, embedding_size=8, pad_token_id=0, relative_attention=True, pos_att_type=["p2c", "c2p"],
        position_buckets=8, share_att_key=True, norm_rel_ebd="layer_norm", type_vocab_size=2,
        position_biased_input=False,
    )
    if kind == "deberta-v2":
        sizes["type_vocab_size"] = 0
    known = AutoConfig.for_model(kind).to_dict()
    aliases = getattr(type(AutoConfig.for_model(kind)), "attribute_map", {})
    config = AutoConfig.for_model(kind, **{k: v for k, v in sizes.items() if k in known or k in aliases})
    folder = tempfile.mkdtemp()
    AutoModel.from_config(config).save_pretrained(folder)
    return {n: (Path(folder) / n).read_bytes() for n in ["config.json", "model.safetensors"]}


def token(content, **flags):
    return dict(content=content, lstrip=False, rstrip=False, single_word=False, normalized=False, special=False) | flags


# One change of settings each.
SETTINGS = [
    {"do_lower_case": True}, {"do_lower_case": False}, {"strip_accents": True}, {"strip_accents": False},
    {"strip_accents": None}, {"tokenize_chinese_chars": False}, {"do_basic_tokenize": False},
    {"add_prefix_space": True}, {"add_prefix_space": False}, {"trim_offsets": False}, {"add_bos_token": True},
    {"add_eos_token": True}, {"split_by_punct": True}, {"truncation_side": "left"}, {"padding_side": "left"},
    {"split_special_tokens": True}, {"model_input_names": ["input_ids", "attention_mask"]},
    {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
    {"tokenizer_class": "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces": True},
    {"additional_special_tokens": ["<item>", "<price>"]}, {"extra_special_tokens": {"new_token": "<new>"}},
    {"additional_special_tokens": [{"__type": "AddedToken", **token("<wide>", lstrip=True, rstrip=True)}]},
    {"pad_token": "<new>"}, {"cls_token": "<item>"}, {"sep_token": "<item>"}, {"mask_token": "<item>"}, {"eos_token": "<item>"},
    {"unk_token": "<item>"}, {"mask_token": {"__type": "AddedToken", **token("<mask>", rstrip=True)}},
    {"mask_token": {"__type": "AddedToken", **token("[MASK]", lstrip=True, normalized=True)}},
    {"model_max_length": 9}, {"max_len": 9}, {"keep_accents": True}, {"legacy": False},
    {"added_tokens_decoder": {}},
    {"added_tokens_decoder": {"900": token("<item>"), "901": token("<price>", special=True)}},
    {"added_tokens_decoder": {"900": token("<Item>", normalized=True), "5": token("<new>", lstrip=True)}},
    {"added_tokens_decoder": {"900": token("<single>", single_word=True), "901": token("<wide>", rstrip=True)}},
    {"added_tokens_decoder": {"4": token("[MASK]", lstrip=True, special=True), "7": token("<mask>", rstrip=True)}},
    {"added_tokens_decoder": {"900": token("<Café>", normalized=True)}},
    {"added_tokens_decoder": {"900": token("new", normalized=True), "901": token("[ MASK ]")}},
]
MAPS = [
    {"additional_special_tokens": ["<item>", "<price>"]},
    {"additional_special_tokens": [token("<wide>", rstrip=True), "<new>"]},
    {"mask_token": token("<mask>", lstrip=True)}, {"mask_token": token("[MASK]", lstrip=True)},
    {"mask_token": token("<mask>")}, {"pad_token": "<new>"}, {"sep_token": "<item>"},
    {"unk_token": token("[UNK]", normalized=True)}, {"bos_token": "<item>", "eos_token": token("<price>")},
]
ADDED = [{"<item>": 900, "<price>": 901}, {"<price>": 901, "<item>": 900, "<new>": 899}, {"<Item>": 900}, {"new": 900}]


def layouts(name):
    """The folders of a family: a name and its files."""
    kind, slow, usual = FAMILIES[name]
    bare = dict(model_files(kind))
    if "tokenizer.json" in slow:
        folder = WORK / f"{name}-seed"
        write(folder, bare | slow)
        own = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]",
            cls_token="[CLS]", mask_token="[MASK]", model_input_names=["input_ids", "attention_mask"],
        )
        slow = {}
    else:
        folder = WORK / f"{name}-seed"
        write(folder, bare | slow | {"tokenizer_config.json": usual})
        own = AutoTokenizer.from_pretrained(folder)
    saved = WORK / f"{name}-saved"
    own.save_pretrained(saved)
    read = lambda file: json.loads((saved / file).read_text(encoding="utf-8"))
    whole, config, map_ = read("tokenizer.json"), read("tokenizer_config.json"), read("special_tokens_map.json")
    legacy = {k: v for k, v in config.items() if k != "added_tokens_decoder"}
    other = copy.deepcopy(whole)
    if name.startswith(("bert", "distil", "electra", "mpnet")):
        other["normalizer"]["lowercase"] = not other["normalizer"]["lowercase"]
        other["normalizer"]["handle_chinese_chars"] = False
    elif other["pre_tokenizer"]["type"] == "ByteLevel":
        other["pre_tokenizer"]["add_prefix_space"] = True
    vocabularies = {"json": {"tokenizer.json": whole}, "other": {"tokenizer.json": other}}
    if slow:
        vocabularies["slow"] = slow
    configs = {"": {}, "saved": {"tokenizer_config.json": config}, "legacy": {"tokenizer_config.json": legacy},
               "usual": {"tokenizer_config.json": usual}}
    for vocabulary, own in vocabularies.items():
        for label, files in configs.items():
            yield f"{name} {vocabulary} {label}", bare | own | files
            yield f"{name} {vocabulary} {label} map", bare | own | files | {"special_tokens_map.json": map_}
            for n, change in enumerate(MAPS):
                yield f"{name} {vocabulary} {label} map {n}", bare | own | files | {"special_tokens_map.json": map_ | change}
            for n, added in enumerate(ADDED):
                yield f"{name} {vocabulary} {label} added {n}", bare | own | files | {"added_tokens.json": added}
            if label:
                for n, change in enumerate(SETTINGS):
                    changed = {"tokenizer_config.json": files["tokenizer_config.json"] | change}
                    yield f"{name} {vocabulary} {label} setting {n}", bare | own | changed
    rng = random.Random(f"{ARGS.seed} {name}")
    for n in range(ARGS.random // len(FAMILIES)):
        vocabulary = rng.choice(sorted(vocabularies))
        label = rng.choice(sorted(configs))
        files = bare | vocabularies[vocabulary] | configs[label]
        changes = rng.sample(range(len(SETTINGS)), rng.randint(0, 4))
        settings = dict(files.get("tokenizer_config.json", {}))
        for change in changes:
            settings |= SETTINGS[change]
        if settings or rng.random() < 0.5:
            files = files | {"tokenizer_config.json": settings}
        if rng.random() < 0.5:
            map_changed = map_ if rng.random() < 0.5 else {}
            for change in rng.sample(MAPS, rng.randint(0, 3)):
                map_changed = map_changed | change
            files = files | {"special_tokens_map.json": map_changed}
        if rng.random() < 0.4:
            files = files | {"added_tokens.json": rng.choice(ADDED)}
        yield f"{name} {vocabulary} {label} random {n} settings {sorted(changes)}", files


def expected(folder):
    own = AutoTokenizer.from_pretrained(folder)
    if not own.is_fast:
        raise ValueError("no fast tokenizer")
    out = []
    for length in LENGTHS:
        for texts in [[(t,) for t in TEXTS], list(zip(TEXTS, TEXTS[1:]))]:
            for text in texts:
                try:
                    # In lists: a pair whose second text is empty is one text otherwise.
                    found = own(*[[t] for t in text], truncation=True, max_length=length)
                    [ids] = found["input_ids"]
                    [types] = found.get("token_type_ids", [[0] * len(ids)])
                    out.append([ids, types])
                except BaseException as error:  # the fast tokenizer panics where nothing fits
                    out.append(None)
    return out, min(own.model_max_length, 10**6)


CODE = """
let work = parse_json(read_text("work.json"));
for folder in work.folders {
    try {
        let m = model(folder);
        let out = [];
        for length in work.lengths {
            for texts in [work.texts, work.pairs] {
                let found = m.tokenize(texts, #{ max_length: length, padding: false });
                out.push([found.input_ids, found.type_ids]);
            }
        }
        print(to_json(#{ folder: folder, out: out, longest: m.max_length }));
    } catch (e) { print(to_json(#{ folder: folder, error: `${e}` })); }
}
"""


def main():
    folders = []
    for name in FAMILIES:
        for number, (label, files) in enumerate(layouts(name)):
            if ARGS.only in label:
                folder = f"{name}-{number}"
                write(WORK / folder, files)
                folders.append((folder, label))
    for number, path in enumerate(ARGS.models):
        folder = f"model-{number}"
        shutil.copytree(path, WORK / folder)
        if not list((WORK / folder).glob("*.safetensors")):
            kind = json.loads((WORK / folder / "config.json").read_text())["model_type"]
            write(WORK / folder, model_files(kind))
        folders.append((folder, path))
    pairs = [list(pair) for pair in zip(TEXTS, TEXTS[1:])]
    work = {"folders": [f for f, _ in folders], "texts": TEXTS, "pairs": pairs, "lengths": LENGTHS}
    (WORK / "work.json").write_text(json.dumps(work))
    run = subprocess.run(
        [str(Path(ARGS.tureen).resolve()), "-e", CODE], cwd=WORK, capture_output=True, text=True,
        env=os.environ | {"TUREEN_STORE": str(WORK / "store")},
    )
    lines = [line for line in run.stdout.split("\n") if line.startswith("{")]
    got = {line["folder"]: line for line in map(json.loads, lines)}
    if run.returncode:
        print(run.stderr[-2000:])
    counts = dict(equal=0, different=0, refused=0, missing=0, neither=0, only_here=0)
    refused = {}
    for folder, label in folders:
        try:
            wanted, longest = expected(WORK / folder)
        except BaseException as error:
            wanted, longest = None, None
        own = got.get(folder)
        if own is None:
            counts["missing"] += 1
            print(f"MISSING {label} {WORK / folder}")
        elif wanted is None:
            counts["neither" if "error" in own else "only_here"] += 1
        elif "error" in own:
            counts["refused"] += 1
            refused.setdefault(own["error"].replace(folder, "FOLDER"), []).append(label)
        else:
            flat = [[ids, types] for a, b in own["out"] for ids, types in zip(a, b)]
            cases = [(length, t) for length in LENGTHS for t in TEXTS + pairs]
            assert len(flat) == len(wanted) == len(cases)
            wrong = [(c, f, w) for c, f, w in zip(cases, flat, wanted) if w is not None and f != w]
            if wrong:
                counts["different"] += 1
                case, found, right = wrong[0]
                print(f"DIFFERENT {label} {WORK / folder}: {len(wrong)} of {len(cases)}; first {case!r}\n"
                      f"  here {found}\n  there {right}")
            elif own["longest"] != min(longest, 512):
                counts["different"] += 1
                print(f"DIFFERENT {label} {WORK / folder}: longest {own['longest']}, there {longest}")
            else:
                counts["equal"] += 1
    for message, labels in sorted(refused.items()):
        print(f"REFUSED {len(labels)} (first: {labels[0]}): {message}")
    print(counts)
    sys.exit(bool(counts["different"] or counts["missing"]))


main()
