#!/usr/bin/env python3
"""Attacks of Tureen beside TextAttack's own, text by text, on one victim.

    pip install torch "transformers>=4.57,<4.58" adapters==1.3.0 textattack==0.3.11 gguf blake3 \\
        nltk editdistance lru-dict
    python scripts/compare_attacks.py [--tureen target/release/tureen] [--n 50] [--recipe NAME...]

Tureen trains an adapter on `mini`, saves it and attacks test texts. TextAttack's own search,
transformations and constraints then attack the same texts, with the same weights in PyTorch as
victim and as sentence encoder, and the same neighbours. Random letters come from Tureen's named
streams, so that both have the same candidates. For each recipe: on how many texts the order of
words, the number of queries (that is, of candidates that passed), the words replaced and the
outcome agree; every difference with how near a tie it was; and the queries per second of both.

With `--vectors` words are replaced by those with near vectors rather than by the carried table:
the rows of the model's own embedding table, as a file of word vectors for both.
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / "stdlib/models/mini"
SEED = 7

parser = argparse.ArgumentParser()
parser.add_argument("--tureen", default=str(ROOT / "target/release/tureen"))
parser.add_argument("--n", type=int, default=50)
parser.add_argument("--dataset", default="films")
parser.add_argument("--recipe", nargs="*", default=["textfooler", "textbugger", "deepwordbug"])
parser.add_argument("--adapter", help="a folder that Tureen saved, instead of training one")
parser.add_argument("--vectors", action="store_true")
parser.add_argument("--threads", type=int, default=2)
ARGS = parser.parse_args()
WORK = Path(tempfile.mkdtemp())


def stop_words(name):
    """A list as Tureen has it; TextAttack would take NLTK's, which is a download."""
    text = (ROOT / "src/attack/stop_words.rs").read_text()
    body = text.split(f"pub const {name}")[1].split("];")[0]
    return re.findall(r'"([^"]+)"', body)


def prepare():
    """What importing TextAttack asks for and the attacks do not: a tagger, NLTK's data."""
    data = WORK / "nltk_data/corpora/stopwords"
    data.mkdir(parents=True)
    (data / "english").write_text("\n".join(stop_words("ENGLISH")) + "\n")
    os.environ["NLTK_DATA"] = str(WORK / "nltk_data")
    try:
        import flair  # noqa: F401
    except ImportError:
        for name in ("flair", "flair.data", "flair.models"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["flair"].data = sys.modules["flair.data"]
        for module, name in (("data", "Sentence"), ("data", "Tokenizer"), ("models", "SequenceTagger")):
            setattr(sys.modules[f"flair.{module}"], name, type(name, (), {}))


prepare()
import blake3  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import textattack  # noqa: E402
from textattack import Attack  # noqa: E402
from textattack import transformations as swaps  # noqa: E402
from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult  # noqa: E402
from textattack.constraints.overlap import LevenshteinEditDistance  # noqa: E402
from textattack.constraints.pre_transformation import (  # noqa: E402
    InputColumnModification,
    RepeatModification,
    StopwordModification,
)
from textattack.constraints.semantics import WordEmbeddingDistance  # noqa: E402
from textattack.constraints.semantics.sentence_encoders import SentenceEncoder  # noqa: E402
from textattack.goal_functions import UntargetedClassification  # noqa: E402
from textattack.models.wrappers import ModelWrapper  # noqa: E402
from textattack.search_methods import GreedyWordSwapWIR  # noqa: E402
from textattack.shared import AbstractWordEmbedding, WordEmbedding  # noqa: E402

textattack.shared.utils.device = torch.device("cpu")
torch.set_num_threads(ARGS.threads)


# ---- Tureen

SCRIPT = """
let base = model("mini");
let data = dataset(param("data", "films"));
let a = load_adapter(param("adapter", "adapter"));
let options = #{ recipe: param("recipe", "textfooler"), n: param("n", 50), seed: param("seed", 7) };
if param("vectors", "") != "" { options.neighbors = param("vectors", ""); }
let found = attack(base, a, data, options);
print(found);
found.examples.save("examples.jsonl");
found.constraints.save("constraints.jsonl");
"""

TRAIN = """
let data = dataset(param("data", "films"));
train(model("mini"), data, #{ epochs: 3, seed: 42 }).save("adapter");
"""


def tureen(script, out, **values):
    path = WORK / "script.rhai"
    path.write_text(script)
    command = [ARGS.tureen, "run", str(path), "--out", str(out), "--no-store"]
    command += ["--threads", str(ARGS.threads), "--allow-read", str(WORK)]
    for name, value in values.items():
        command += ["--set", f"{name}={value}"]
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return time.time() - start


def rows(path):
    return [json.loads(line) for line in Path(path).read_text().split("\n") if line]


# ---- the same weights in PyTorch


def base_folder():
    """`mini` as a folder of transformers, its weights as Tureen unpacks them."""
    import gguf
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


class Tokens:
    def __init__(self, folder):
        from tokenizers import Tokenizer

        self.inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.inner.enable_truncation(512)

    def __call__(self, texts):
        self.inner.enable_padding()
        found = self.inner.encode_batch(list(texts))
        ids = torch.tensor([e.ids for e in found])
        mask = torch.tensor([e.attention_mask for e in found])
        kinds = torch.tensor([e.type_ids for e in found])
        return dict(input_ids=ids, attention_mask=mask, token_type_ids=kinds)


class Victim(ModelWrapper):
    """The adapter in the model, by the library that its layout is of."""

    def __init__(self, folder, adapter, tokens):
        from adapters import AutoAdapterModel

        head = json.loads((Path(adapter) / "head_config.json").read_text())
        names = head["config"]["label2id"]
        self.labels = sorted(names)
        self.outputs = [names[label] for label in self.labels]
        self.model = AutoAdapterModel.from_pretrained(str(folder))
        loaded = self.model.load_adapter(str(adapter), use_safetensors=True)
        self.model.set_active_adapters(loaded)
        self.model.eval()
        self.tokens = tokens

    def __call__(self, texts, **_):
        with torch.inference_mode():
            logits = self.model(**self.tokens(texts)).logits
            return torch.softmax(logits[:, self.outputs], 1)


class Mini(SentenceEncoder):
    """The mean of the unmasked states, of length 1."""

    model = tokens = None

    def encode(self, sentences):
        with torch.inference_mode():
            inputs = Mini.tokens(sentences)
            states = Mini.model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(2).float()
            mean = (states * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)


# ---- the same neighbours


class Carried(AbstractWordEmbedding):
    """The table that Tureen carries; it has no cosines."""

    def __init__(self):
        with gzip.open(ROOT / "stdlib/data/neighbors.txt.gz", "rt") as file:
            self.near = {words[0]: words[1:] for words in map(str.split, file)}

    def word2index(self, word):
        if word not in self.near:
            raise KeyError(word)
        return word

    def index2word(self, index):
        return index

    def nearest_neighbours(self, index, topn):
        return self.near[index][:topn]

    def __getitem__(self, index):
        return None

    def get_mse_dist(self, a, b):
        raise NotImplementedError

    def get_cos_sim(self, a, b):
        raise NotImplementedError


def own_vectors(folder):
    """The rows of the model's embedding table that stand for whole words, as a file and as
    TextAttack's own embedding, neighbours by cosine."""
    from safetensors.torch import load_file

    table = load_file(str(folder / "model.safetensors"))["embeddings.word_embeddings.weight"]
    words = json.loads((MINI / "tokenizer.json").read_text())["model"]["vocab"]
    kept = [(word, at) for word, at in sorted(words.items(), key=lambda w: w[1]) if word.isalpha()]
    matrix = table[[at for _, at in kept]]
    path = WORK / "vectors.txt"
    with path.open("w") as file:
        for (word, _), row in zip(kept, matrix.tolist()):
            file.write(word + " " + " ".join(f"{v:.9g}" for v in row) + "\n")
    unit = torch.nn.functional.normalize(matrix, dim=1)
    near = torch.cat([(part @ unit.T).topk(51).indices for part in unit.split(512)])
    index = {word: i for i, (word, _) in enumerate(kept)}
    back = {i: word for word, i in index.items()}
    return path, WordEmbedding(matrix.numpy(), index, back, near.numpy())


# ---- the same random letters


class Stream:
    """Tureen's named random streams: ChaCha with 8 rounds, keyed by seed, purpose and item."""

    def __init__(self, seed, purpose, item):
        data = seed.to_bytes(8, "little") + len(purpose).to_bytes(8, "little")
        data += purpose.encode() + item.encode()
        key = blake3.blake3(data, derive_key_context="tureen random stream 1").digest()
        self.key = [int.from_bytes(key[i : i + 4], "little") for i in range(0, 32, 4)]
        self.block, self.words = 0, []

    def refill(self):
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574] + self.key + [self.block, 0, 0, 0]
        x = list(start)

        def quarter(a, b, c, d):
            for left, right, turn, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[left] = (x[left] + x[right]) & 0xFFFFFFFF
                mixed = x[turn] ^ x[left]
                x[turn] = ((mixed << by) | (mixed >> (32 - by))) & 0xFFFFFFFF

        for _ in range(4):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        self.words += [(a + b) & 0xFFFFFFFF for a, b in zip(x, start)]
        self.block += 1

    def below(self, n):
        limit = 2**64 - 1 - (2**64 - 1) % n
        while True:
            while len(self.words) < 2:
                self.refill()
            low, high = self.words.pop(0), self.words.pop(0)
            value = high << 32 | low
            if value < limit:
                return value % n


def keyed(kind, name, **options):
    """The transformation, whose numbers come from the stream of the text, the word and `name`."""

    class Keyed(kind):
        def _get_transformations(self, text, indices):
            found = []
            for i in indices:
                stream = Stream(SEED, "attack", f"{name}/{i}/{text.text}")
                draw = np.random.randint, random.choice
                np.random.randint = lambda low, high: low + stream.below(high - low)
                random.choice = lambda items: items[stream.below(len(items))]
                try:
                    found += super()._get_transformations(text, {i})
                finally:
                    np.random.randint, random.choice = draw
            return found

    return Keyed(**options)


# ---- the recipes, of TextAttack's own parts


def recipe(name, victim, words, cosines):
    goal = UntargetedClassification(victim)
    once = [RepeatModification()]
    whole, inner = {}, dict(skip_first_char=True, skip_last_char=True)
    if name == "textfooler":
        constraints = once + [
            StopwordModification(stopwords=stop_words("TEXTFOOLER")),
            InputColumnModification(["premise", "hypothesis"], {"premise"}),
        ]
        if cosines:
            constraints.append(WordEmbeddingDistance(embedding=words, min_cos_sim=0.5))
        constraints.append(
            Mini(
                threshold=0.840845057,
                metric="angular",
                compare_against_original=False,
                window_size=15,
                skip_text_shorter_than_window=True,
            )
        )
        transformation = swaps.WordSwapEmbedding(max_candidates=50, embedding=words)
        return Attack(goal, constraints, transformation, GreedyWordSwapWIR(wir_method="delete"))
    constraints = once + [StopwordModification()]
    if name == "textbugger":
        constraints.append(Mini(threshold=0.8, metric="angular"))
        changes = [
            keyed(swaps.WordSwapRandomCharacterInsertion, "space", letters_to_insert=" ", **inner),
            keyed(swaps.WordSwapRandomCharacterDeletion, "delete", **inner),
            keyed(swaps.WordSwapNeighboringCharacterSwap, "swap", **inner),
            swaps.WordSwapHomoglyphSwap(),
            swaps.WordSwapEmbedding(max_candidates=5, embedding=words),
        ]
        search = GreedyWordSwapWIR(wir_method="delete")
    else:
        constraints.append(LevenshteinEditDistance(30))
        changes = [
            keyed(swaps.WordSwapNeighboringCharacterSwap, "swap", **whole),
            keyed(swaps.WordSwapRandomCharacterSubstitution, "substitute"),
            keyed(swaps.WordSwapRandomCharacterDeletion, "delete", **whole),
            keyed(swaps.WordSwapRandomCharacterInsertion, "insert", **whole),
        ]
        search = GreedyWordSwapWIR()
    return Attack(goal, constraints, swaps.CompositeTransformation(changes), search)


class Watch:
    """Notes the order of words and the scores behind it, and the scores of every step."""

    def __init__(self, attack):
        self.order, self.scores, self.close = [], {}, 1.0
        search, goal = attack.search_method, attack.goal_function
        order_of, results_of = search._get_index_order, goal.get_results

        def get_index_order(text, max_len=-1):
            _, indices = search.get_indices_to_order(text)
            self.ranking = True
            order, over = order_of(text, max_len)
            self.ranking = False
            self.scores = dict(zip((int(i) for i in indices), self.last))
            self.order = [int(i) for i in order]
            return order, over

        def get_results(texts, **options):
            results, over = results_of(texts, **options)
            self.last = [float(r.score) for r in results]
            # How near the best candidate of a step was to the next one.
            if not self.ranking and len(self.last) > 1:
                best, second = sorted(self.last)[-1], sorted(self.last)[-2]
                self.close = min(self.close, best - second)
            return results, over

        self.ranking = False
        search._get_index_order = get_index_order
        search.get_goal_results = get_results


def outcome_of(result):
    if isinstance(result, SkippedAttackResult):
        return "skipped"
    return "successful" if isinstance(result, SuccessfulAttackResult) else "failed"


def compare(name, victim, words, cosines, ours, seconds):
    counts = dict(order=0, queries=0, text=0, outcome=0)
    asked = dict(tureen=0, textattack=0)
    spent, notes, farthest = 0.0, [], 0.0
    for row in ours:
        attack = recipe(name, victim, words, cosines)
        watch = Watch(attack)
        gold = victim.labels.index(row["gold"])
        start = time.time()
        result = attack.attack(row["text"], gold)
        spent += time.time() - start
        asked["tureen"] += row["queries"]
        asked["textattack"] += result.num_queries
        farthest = max(farthest, abs(1 - float(result.original_result.score) - row["p"]))
        theirs = dict(
            order=watch.order,
            queries=result.num_queries,
            text=result.perturbed_result.attacked_text.text,
            outcome=outcome_of(result),
        )
        text = row["perturbed_text"]
        mine = dict(
            order=row["order"] or [],
            queries=row["queries"],
            text=row["text"] if text is None else text,
            outcome=row["outcome"],
        )
        same = {key: mine[key] == theirs[key] for key in counts}
        for key, agrees in same.items():
            counts[key] += agrees
        if not all(same.values()):
            notes.append(explain(row, mine, theirs, same, watch))
    n = len(ours)
    print(f"\n{name}: {n} texts, label probabilities within {farthest:.1e}")
    print("  same " + ", ".join(f"{key} {count}/{n}" for key, count in counts.items()))
    for note in notes:
        print("  " + note)
    fast, slow = asked["tureen"] / seconds, asked["textattack"] / spent
    print(f"  queries: Tureen {asked['tureen']} in {seconds:.2f} s ({fast:.0f}/s), ", end="")
    print(f"TextAttack {asked['textattack']} in {spent:.2f} s ({slow:.0f}/s): {fast / slow:.1f} times")


def explain(row, mine, theirs, same, watch):
    where = f"row {row['i']}: " + ", ".join(
        f"{key} {str(mine[key])[:60]!r} here, {str(theirs[key])[:60]!r} there"
        for key in ("outcome", "queries")
        if not same[key]
    )
    if not same["order"]:
        swapped = [(a, b) for a, b in zip(mine["order"], theirs["order"]) if a != b]
        apart = max(abs(watch.scores[a] - watch.scores[b]) for a, b in swapped)
        return f"{where} order differs among words whose scores are {apart:.1e} apart"
    return f"{where} text differs; nearest candidates of a step {watch.close:.1e} apart"


def main():
    adapter = ARGS.adapter
    if adapter is None:
        tureen(TRAIN, WORK / "trained", data=ARGS.dataset)
        adapter = WORK / "trained/adapter"
    folder = base_folder()
    Mini.tokens = tokens = Tokens(folder)
    from transformers import BertModel

    Mini.model = BertModel.from_pretrained(str(folder)).eval()
    victim = Victim(folder, adapter, tokens)
    vectors = {}
    words = Carried()
    if ARGS.vectors:
        path, words = own_vectors(folder)
        vectors = dict(vectors=path)
    for name in ARGS.recipe:
        values = dict(data=ARGS.dataset, adapter=adapter, recipe=name, seed=SEED, **vectors)
        # What starting takes, with one text, is not counted.
        once = tureen(SCRIPT, WORK / f"{name}-1", n=1, **values)
        first = sum(row["queries"] for row in rows(WORK / f"{name}-1/examples.jsonl"))
        whole = tureen(SCRIPT, WORK / name, n=ARGS.n, **values)
        ours = rows(WORK / name / "examples.jsonl")
        total = sum(row["queries"] for row in ours)
        seconds = (whole - once) * total / max(total - first, 1)
        compare(name, victim, words, ARGS.vectors, ours, seconds)


if __name__ == "__main__":
    main()
