//! Every option of every native acts, or is refused: by the registry of options.

use rhai::{Array, Dynamic, Map};
use tureen::script::api::TOPICS;
use tureen::script::{
    Absent, Acts, Interpreter, Kind, NativeSpec, OptionSpec, Options, Session, Setup,
};
use tureen::study::files::files_id;

/// What the calls below are made with.
const PRELUDE: &str = r#"
let base = model("mini");
let films = dataset("films").sample(24, #{ seed: 1 });
let more = dataset("films").sample(40, #{ seed: 2 });
let few = films.sample(2, #{ seed: 1 });
let news = dataset("news").sample(24, #{ seed: 1 });
let a = train(base, films, #{ epochs: 1, batch: 8, warmup: 0.0 });
let b = train(base, news, #{ epochs: 1, batch: 8, warmup: 0.0 });
let la = train(base, films, #{ adapter: "lora", epochs: 1, batch: 8, warmup: 0.0 });
let lb = train(base, news, #{ adapter: "lora", epochs: 1, batch: 8, warmup: 0.0 });
let pa = a.prune(0.5, #{ by: "random", seed: 1 });
let pb = b.prune(0.5, #{ by: "random", seed: 2 });
let kept = train(base, films, #{ epochs: 2, keep: "epochs" }).checkpoints;
let lkept = train(base, films, #{ adapter: "lora", epochs: 2, keep: "epochs" }).checkpoints;
a.save("loaded");
let loaded = load_adapter("loaded");
let whole = load_adapter("whole");
let rows = [];
for i in 0..12 {
    rows.push(#{ text: `text ${i}`, other: `other ${i}`, label: i % 2, mark: i % 3 });
}
let two = [];
for i in 0..24 { two.push(#{ text: `good ${i}`, text_b: `a wonderful film ${i}`, label: i % 2 }); }
let paired = dataset(two);
let pair = train(base, paired, #{ epochs: 1, batch: 8, warmup: 0.0 });
let cells = [];
for i in 0..12 {
    let k = if i % 2 == 0 { "a" } else { "b" };
    cells.push(#{ x: i % 4, y: (i * 7) % 5, z: (i * i) % 7, g: `g${i % 3}`, k: k, s: quotient(i, 2) });
}
let t = table(cells);
let other = table([#{ s: 0, x: 5 }, #{ s: 1, x: 6 }]);
let square = table([#{ name: "p", u: 1.0, v: 2.0 }, #{ name: "q", u: 3.0, v: 4.0 }]);
write_text("cells.csv", "text,label,c|text|label\nt1,p,x|u1|q\nt2,q,x|u2|p\n");
write_text("quoted.csv", "text,label\n\"t1\",p\n\"t2\",q\n");
write_text("numbers.csv", "x,y\n1,2\n");
write_text("one.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n");
write_text("vectors.txt", "good 1 0\ngreat 0.9 0.1\nfilm 0 1\nmovie 0.1 0.9\n");
"#;

/// A call with a map of options, and values of them that change what it gives.
struct Call {
    native: &'static str,
    /// Its code; `OPTIONS` stands for the map.
    code: &'static str,
    /// Options, what is given with them, and a value.
    options: &'static [(&'static str, &'static str, &'static str)],
}

const fn call(
    native: &'static str,
    code: &'static str,
    options: &'static [(&'static str, &'static str, &'static str)],
) -> Call {
    Call {
        native,
        code,
        options,
    }
}

const CALLS: &[Call] = &[
    call(
        "model",
        "model(\"mini\", OPTIONS).embed([\"a text\"]).sum()",
        &[("precision", "", "\"bf16\"")],
    ),
    call(
        "tokenize",
        "base.tokenize([\"one two three four five\", \"six\"], OPTIONS).input_ids.shape",
        &[("max_length", "", "4")],
    ),
    call(
        "tokenize",
        "base.tokenize([\"one two three four five\", \"six\"], OPTIONS).input_ids.type_of()",
        &[("padding", "", "false")],
    ),
    call(
        "dataset",
        "let d = dataset(rows, OPTIONS); `${d} ${d.id} ${d.labels}`",
        &[
            ("name", "", "\"other\""),
            ("columns", "", "#{ text: \"other\", label: \"mark\" }"),
            ("labels", "", "#{ \"0\": \"no\", \"1\": \"yes\" }"),
            ("split", "", "[0.5, 0.25, 0.25]"),
            ("seed", "split: [0.5, 0.25, 0.25]", "5"),
        ],
    ),
    call(
        "dataset",
        "dataset(\"FOLDER/cells.csv\", OPTIONS).id",
        &[("separator", "", "\"|\"")],
    ),
    call(
        "dataset",
        "dataset(\"FOLDER/quoted.csv\", OPTIONS).id",
        &[("quotes", "", "false")],
    ),
    call(
        "read_table",
        "read_table(\"FOLDER/cells.csv\", OPTIONS).id",
        &[("separator", "", "\"|\"")],
    ),
    call(
        "read_table",
        "read_table(\"FOLDER/quoted.csv\", OPTIONS).id",
        &[("quotes", "", "false")],
    ),
    call(
        "read_table",
        "read_table(\"FOLDER/numbers.csv\", OPTIONS).id",
        &[("types", "", "#{ x: \"text\" }")],
    ),
    call(
        "sample",
        "films.sample(4, OPTIONS).id",
        &[("seed", "", "5"), ("splits", "", "[\"test\"]")],
    ),
    call(
        "save",
        "la.save(\"new\", OPTIONS)",
        &[("format", "", "\"peft\""), ("layout", "", "\"sparse\"")],
    ),
    call(
        "save",
        "soup([la, lb], #{ heads: \"drop\" }).save(\"new\", OPTIONS)",
        &[("members", "", "true")],
    ),
    call(
        "save",
        "a.save(\"theirs\", OPTIONS)",
        &[("force", "", "true")],
    ),
    call(
        "save_tensors",
        "save_tensors(\"theirs.txt\", #{ h: tensor([1.0]) }, OPTIONS)",
        &[("force", "", "true")],
    ),
    call(
        "write_text",
        "write_text(\"theirs.txt\", \"new\", OPTIONS)",
        &[("force", "", "true")],
    ),
    call(
        "untrained",
        "untrained(base, films, OPTIONS).id",
        &[
            ("adapter", "", "\"lora\""),
            ("reduction", "", "8"),
            ("r", "adapter: \"lora\"", "4"),
            ("alpha", "adapter: \"lora\"", "4"),
            ("rslora", "adapter: \"lora\"", "true"),
            ("targets", "adapter: \"lora\"", "[\"query\"]"),
            ("init_seed", "", "9"),
        ],
    ),
    call(
        "train",
        "let trained = train(base, films, OPTIONS); let n = 0; try { n = trained.checkpoints.len; } catch {} `${trained.id} ${n}`",
        &[
            ("adapter", "epochs: 1", "\"lora\""),
            ("reduction", "epochs: 1", "8"),
            ("r", "epochs: 1, adapter: \"lora\"", "4"),
            ("alpha", "epochs: 1, adapter: \"lora\"", "4"),
            ("rslora", "epochs: 1, adapter: \"lora\"", "true"),
            ("targets", "epochs: 1, adapter: \"lora\"", "[\"query\"]"),
            ("epochs", "", "1"),
            ("batch", "epochs: 1", "8"),
            ("lr", "epochs: 1", "0.01"),
            ("weight_decay", "epochs: 1", "0.5"),
            ("warmup", "epochs: 1", "0.5"),
            ("max_norm", "epochs: 1", "0.01"),
            ("dropout", "epochs: 1", "0.5"),
            ("max_length", "epochs: 1", "4"),
            ("patience", "epochs: 1", "1"),
            ("seed", "epochs: 1", "9"),
            ("init_seed", "epochs: 1", "9"),
            ("from", "epochs: 1", "a"),
            ("sparsity", "epochs: 1", "0.5"),
            ("prune_by", "epochs: 1, sparsity: 0.5", "\"movement\""),
            ("prune_scope", "epochs: 1, sparsity: 0.5", "\"global\""),
            ("prune_start", "epochs: 1, sparsity: 0.5", "0.3"),
            ("prune_end", "epochs: 1, sparsity: 0.5", "0.9"),
            ("keep", "epochs: 1", "\"epochs\""),
        ],
    ),
    call(
        "evaluate",
        "let s = evaluate(base, a, films, OPTIONS); `${s.loss} ${s.split}`",
        &[("split", "", "\"validation\""), ("max_length", "", "4")],
    ),
    call(
        "evaluate_all",
        "evaluate_all(base, [soup([a, b])], OPTIONS).save(\"rows.csv\")",
        &[
            ("on", "", "[films]"),
            ("companions", "", "true"),
            ("split", "", "\"validation\""),
            ("max_length", "", "2"),
        ],
    ),
    call(
        "evaluate_all",
        "evaluate_all(base, [soup([la, lb])], OPTIONS).save(\"rows.csv\")",
        &[("space", "", "\"delta\"")],
    ),
    call(
        "evaluate_all",
        "evaluate_all(base, [loaded], OPTIONS).save(\"rows.csv\")",
        &[("domains", "", "#{ loaded: films }")],
    ),
    call(
        "attack",
        "let x = attack(base, a, few, OPTIONS); x.examples.save(\"e.csv\"); `${x.recipe} ${x.split} ${x.neighbors} ${x.encoder}`",
        &[
            ("recipe", "", "\"deepwordbug\""),
            ("n", "", "1"),
            ("split", "", "\"train\""),
            ("seed", "n: 1", "7"),
            ("neighbors", "", "\"VECTORS\""),
            ("max_length", "", "4"),
        ],
    ),
    call(
        "attack",
        "attack(base, pair, paired, OPTIONS).examples.save(\"e.csv\")",
        &[("pairs", "recipe: \"deepwordbug\", n: 8", "\"second\"")],
    ),
    call(
        "soup",
        "soup([a, b], OPTIONS).id",
        &[
            ("method", "", "\"slerp\""),
            ("weights", "", "[0.3, 0.7]"),
            ("heads", "", "\"drop\""),
            ("base", "method: \"ties\"", "\"zero\""),
            ("density", "method: \"ties\"", "0.5"),
            ("lambda", "method: \"ties\"", "0.5"),
            ("rule", "method: \"ties\"", "\"peft\""),
            ("normalize", "method: \"breadcrumbs\", density: 0.5", "true"),
            ("rescale", "method: \"dare\", density: 0.5", "\"l1\""),
            ("epsilon", "method: \"della\", density: 0.5", "0.1"),
            ("gamma", "method: \"breadcrumbs\", density: 0.5", "0.2"),
            ("t", "method: \"slerp\"", "0.3"),
            ("max_iter", "method: \"karcher\"", "1"),
            ("seed", "method: \"dare\", density: 0.5", "7"),
            ("model", "method: \"fisher\", rows: 2", "base"),
            (
                "data",
                "method: \"fisher\", rows: 2, model: base, heads: \"drop\"",
                "[more, news]",
            ),
            ("rows", "method: \"fisher\", model: base", "2"),
        ],
    ),
    call(
        "soup",
        "soup([la, lb], OPTIONS).id",
        &[("lora", "", "\"svd\""), ("rank", "lora: \"svd\"", "2")],
    ),
    call(
        "soup",
        "soup([whole, whole], OPTIONS).id",
        &[("saved", "", "\"drop\"")],
    ),
    call(
        "subsets",
        "subsets([1, 2, 3, 4, 5, 6], 2..=3, OPTIONS)",
        &[("sample", "", "2"), ("seed", "sample: 2", "5")],
    ),
    call(
        "merge_with",
        "merge_with([a, b], |x, y| x + y, OPTIONS).id",
        &[
            ("name", "", "\"larger\""),
            ("version", "", "2"),
            ("heads", "", "\"drop\""),
        ],
    ),
    call(
        "merge_with",
        "merge_with([whole, whole], |x, y| x + y, OPTIONS).id",
        &[("saved", "", "\"drop\"")],
    ),
    call(
        "greedy_soup",
        "to_json(greedy_soup(base, [a, loaded], films, OPTIONS).recipe)",
        &[
            ("by", "", "\"loss\""),
            ("split", "", "\"test\""),
            ("soup", "", "#{ heads: \"drop\" }"),
        ],
    ),
    call(
        "greedy_soup",
        "greedy_soup(base, [a, b], films, OPTIONS).members.len",
        &[
            ("budget", "by: \"sign_diff\", threshold: 1", "1"),
            ("threshold", "by: \"sign_diff\"", "0.00001"),
        ],
    ),
    call(
        "learned_soup",
        "to_json(learned_soup(base, [a, loaded], films, OPTIONS).recipe)",
        &[
            ("by", "evaluations: 4", "\"accuracy\""),
            ("split", "evaluations: 4", "\"test\""),
            ("search", "evaluations: 4", "\"coordinate\""),
            ("evaluations", "", "3"),
            ("bound", "evaluations: 4", "0.5"),
            ("penalty", "evaluations: 4", "1.0"),
            ("seed", "evaluations: 4", "5"),
            ("soup", "evaluations: 4", "#{ heads: \"average\" }"),
        ],
    ),
    call(
        "sign_diff",
        "let d = sign_diff([pa, pb], OPTIONS); `${d.rate} ${d.entries}`",
        &[
            ("denominator", "", "\"both_nonzero\""),
            ("tensors", "", "\"all\""),
            ("base", "", "\"initial\""),
        ],
    ),
    call(
        "sign_diff",
        "sign_diff([la, lb], OPTIONS).entries",
        &[("space", "", "\"delta\"")],
    ),
    call(
        "weight_diff",
        "weight_diff([a, b], OPTIONS).save(\"rows.csv\")",
        &[
            ("by", "", "\"layer\""),
            ("tensors", "", "\"all\""),
            ("base", "", "\"initial\""),
        ],
    ),
    call(
        "weight_diff",
        "weight_diff([la, lb], OPTIONS).save(\"rows.csv\")",
        &[("space", "", "\"delta\"")],
    ),
    call(
        "sign_flips",
        "sign_flips(kept, OPTIONS).save(\"rows.csv\")",
        &[
            ("by", "", "\"layer\""),
            ("tensors", "", "\"all\""),
            ("initial", "", "true"),
            ("steps", "", "[5, 6]"),
        ],
    ),
    call(
        "sign_flips",
        "sign_flips(lkept, OPTIONS).save(\"rows.csv\")",
        &[("space", "", "\"delta\"")],
    ),
    call(
        "prune",
        "a.prune(OPTIONS).id",
        &[
            ("sparsity", "", "0.5"),
            ("count", "", "10"),
            ("keep", "", "10"),
            ("bytes", "", "100000"),
        ],
    ),
    call(
        "prune",
        "a.prune(0.5, OPTIONS).id",
        &[
            ("by", "", "\"random\""),
            ("scope", "", "\"global\""),
            ("grain", "", "\"units\""),
            ("tensors", "", "\"all\""),
            ("seed", "by: \"random\"", "5"),
            ("model", "by: \"snip\"", "base"),
            ("data", "by: \"snip\", model: base", "more"),
            ("batches", "by: \"snip\", model: base, data: more", "2"),
            ("warmup", "model: base", "2"),
            ("among", "by: \"conflict\"", "[b]"),
            (
                "start",
                "by: \"movement\"",
                "untrained(base, films, #{ init_seed: 5 })",
            ),
        ],
    ),
    call(
        "sort",
        "t.sort(\"y\", OPTIONS).save(\"rows.csv\")",
        &[("descending", "", "true")],
    ),
    call(
        "join",
        "t.join(other, [\"s\"], OPTIONS).save(\"rows.csv\")",
        &[("how", "", "\"left\""), ("suffix", "", "\"_b\"")],
    ),
    call(
        "pivot",
        "t.pivot(\"g\", \"k\", \"y\", OPTIONS).save(\"rows.csv\")",
        &[("summary", "", "\"sum\"")],
    ),
    call(
        "correlate",
        "let c = t.correlate(\"x\", \"y\", OPTIONS); let lo = (); try { lo = c.lo; } catch {} `${c.r} ${c.p} ${lo}`",
        &[
            ("method", "", "\"spearman\""),
            ("given", "", "[\"z\"]"),
            ("within", "", "\"g\""),
            ("cluster", "ci: 50", "\"s\""),
            ("ci", "", "50"),
            ("seed", "ci: 50", "9"),
        ],
    ),
    call(
        "compare",
        "t.compare(\"k\", \"y\", OPTIONS).save(\"rows.csv\")",
        &[
            ("against", "pair: [\"s\"]", "\"a\""),
            ("pair", "against: \"a\"", "[\"s\"]"),
            ("test", "against: \"a\", pair: [\"s\"]", "\"t\""),
        ],
    ),
    call(
        "predict",
        "t.predict(\"y\", [[\"x\"]], OPTIONS).save(\"rows.csv\")",
        &[("leave_out", "", "\"g\"")],
    ),
    call(
        "scatter",
        "t.scatter(\"x\", \"y\", OPTIONS).save(\"f.svg\")",
        &[
            ("color", "", "\"g\""),
            ("title", "", "\"T\""),
            ("trend", "", "true"),
        ],
    ),
    call(
        "line",
        "t.line(\"s\", \"y\", OPTIONS).save(\"f.svg\")",
        &[
            ("color", "", "\"k\""),
            ("over", "", "\"k\""),
            ("band", "over: \"k\"", "\"sd\""),
            ("title", "over: \"k\"", "\"T\""),
        ],
    ),
    call(
        "bar",
        "t.bar(\"g\", \"y\", OPTIONS).save(\"f.svg\")",
        &[("color", "", "\"k\""), ("title", "", "\"T\"")],
    ),
    call(
        "box",
        "t.box(\"g\", \"y\", OPTIONS).save(\"f.svg\")",
        &[("title", "", "\"T\"")],
    ),
    call(
        "heatmap",
        "square.heatmap(OPTIONS).save(\"f.svg\")",
        &[
            ("title", "", "\"T\""),
            ("annotate", "", "false"),
            ("label", "", "\"L\""),
        ],
    ),
    call(
        "subplots",
        "let f = t.bar(\"g\", \"y\"); subplots([f, f], OPTIONS).save(\"f.svg\")",
        &[("columns", "", "1")],
    ),
    call(
        "max_abs_diff",
        "tensor([[1.0, 5.0]]).max_abs_diff(tensor([[1.0, 2.0]]), OPTIONS)",
        &[("mask", "", "tensor([[1.0, 0.0]])")],
    ),
    // The study's seed stays for what comes after.
    call(
        "study",
        "study(OPTIONS); untrained(base, films).id",
        &[("seed", "", "5")],
    ),
];

/// Options whose effect a call cannot show here, and why.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("model", "device", "there may be one device only"),
    (
        "train",
        "token_budget",
        "it bounds memory and changes no bit",
    ),
    ("attack", "wordnet", "it needs WordNet's files"),
    ("attack", "encoder", "only one model is carried"),
    ("replay", "members", "it says where inputs are looked for"),
    ("study", "name", "it is kept in the run's record"),
    ("study", "question", "it is kept in the run's record"),
    ("save", "dtype", "it changes the files, not the id"),
];

/// Calls that cannot use an option by the values that they are made with.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "soup",
        "weights",
        "soup([a, b], #{ method: \"sce\", density: 0.5, weights: [1, 2] })",
    ),
    (
        "soup",
        "base",
        "soup([a, b], #{ method: \"slerp\", base: \"zero\" })",
    ),
    ("soup", "density", "soup([a, b], #{ density: 0.5 })"),
    ("soup", "lambda", "soup([a, b], #{ lambda: 0.5 })"),
    ("soup", "rule", "soup([a, b], #{ rule: \"peft\" })"),
    (
        "soup",
        "normalize",
        "soup([a, b], #{ method: \"slerp\", normalize: true })",
    ),
    (
        "soup",
        "normalize",
        "soup([a, b], #{ method: \"ties\", normalize: true })",
    ),
    (
        "soup",
        "rescale",
        "soup([a, b], #{ method: \"ties\", rescale: \"l1\" })",
    ),
    (
        "soup",
        "epsilon",
        "soup([a, b], #{ method: \"dare\", density: 0.5, epsilon: 0.1 })",
    ),
    (
        "soup",
        "gamma",
        "soup([a, b], #{ method: \"ties\", gamma: 0.1 })",
    ),
    ("soup", "t", "soup([a, b], #{ t: 0.1 })"),
    (
        "soup",
        "max_iter",
        "soup([a, b], #{ method: \"slerp\", max_iter: 3 })",
    ),
    (
        "soup",
        "seed",
        "soup([a, b], #{ method: \"ties\", seed: 3 })",
    ),
    ("soup", "lora", "soup([a, b], #{ lora: \"svd\" })"),
    ("soup", "saved", "soup([a, b], #{ saved: \"drop\" })"),
    (
        "merge_with",
        "saved",
        "merge_with([a, b], |x, y| x + y, #{ saved: \"drop\" })",
    ),
    ("soup", "model", "soup([a, b], #{ model: base })"),
    (
        "sign_diff",
        "space",
        "sign_diff(tensor([1.0]), tensor([2.0]), #{ space: \"delta\" })",
    ),
    (
        "sign_diff",
        "tensors",
        "sign_diff([tensor([1.0]), tensor([2.0])], #{ tensors: \"all\" })",
    ),
    (
        "sign_diff",
        "base",
        "sign_diff([tensor([1.0]), tensor([2.0])], #{ base: \"zero\" })",
    ),
    (
        "dataset",
        "columns",
        "dataset(\"films\", #{ columns: #{ text: \"x\" } })",
    ),
    (
        "dataset",
        "labels",
        "dataset(\"films\", #{ labels: #{ \"0\": \"x\" } })",
    ),
    (
        "dataset",
        "split",
        "dataset(\"films\", #{ split: [0.5, 0.25, 0.25] })",
    ),
    (
        "dataset",
        "separator",
        "dataset(\"one.jsonl\", #{ separator: \";\" })",
    ),
    (
        "dataset",
        "quotes",
        "dataset(\"one.jsonl\", #{ quotes: true })",
    ),
    (
        "read_table",
        "separator",
        "read_table(\"one.jsonl\", #{ separator: \";\" })",
    ),
    (
        "read_table",
        "quotes",
        "read_table(\"one.jsonl\", #{ quotes: true })",
    ),
    (
        "read_table",
        "types",
        "read_table(\"one.jsonl\", #{ types: #{ text: \"text\" } })",
    ),
    ("save", "members", "a.save(\"new\", #{ members: true })"),
    (
        "attack",
        "pairs",
        "attack(base, a, few, #{ pairs: \"both\" })",
    ),
    (
        "evaluate_all",
        "domains",
        "evaluate_all(base, [a], #{ domains: #{ nobody: news } })",
    ),
];

fn specs() -> impl Iterator<Item = &'static NativeSpec> {
    TOPICS.iter().flat_map(|topic| topic.options)
}

/// `soups` has the options of `soup`; the benches measure times.
fn is_counted(spec: &NativeSpec) -> bool {
    spec.name != "soups" && !spec.name.starts_with("bench::")
}

/// What a call gives in a folder of its own, with the files that it writes; or its error.
fn outcome(interpreter: &mut Interpreter, session: &Session, code: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("theirs")).unwrap();
    for name in ["theirs/adapter_config.json", "theirs.txt"] {
        std::fs::write(folder.path().join(name), "theirs").unwrap();
    }
    session.set_write_folder(folder.path());
    match interpreter.run("test", code) {
        Ok(value) => format!("{value} {}", files_id(folder.path()).unwrap().as_str()),
        Err(error) => format!("error: {}", error.error),
    }
}

fn prepared() -> (tempfile::TempDir, Session, Interpreter) {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::new(Setup {
        write_folder: folder.path().to_path_buf(),
        allow_read: vec![folder.path().to_path_buf()],
        ..Setup::default()
    });
    // An adapter with whole modules saved beside it.
    let whole = folder.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let inside = super::case("modules-to-save-prune/lmhead-emb-saved-1");
    for file in std::fs::read_dir(inside).unwrap().flatten() {
        std::fs::copy(file.path(), whole.join(file.file_name())).unwrap();
    }
    let mut interpreter = Interpreter::new(session.clone());
    if let Err(error) = interpreter.run("prelude", PRELUDE) {
        panic!("{error}");
    }
    (folder, session, interpreter)
}

#[test]
fn every_option_changes_what_its_call_gives() {
    let (folder, session, mut interpreter) = prepared();
    let vectors = folder.path().join("vectors.txt").display().to_string();
    let mut idle = Vec::new();
    for call in CALLS {
        for (name, with, value) in call.options {
            let code = |options: String| {
                let code = call.code.replace("OPTIONS", &options);
                code.replace("FOLDER", &folder.path().display().to_string())
            };
            let with_it = match with.is_empty() {
                true => format!("#{{ {name}: {value} }}"),
                false => format!("#{{ {with}, {name}: {value} }}"),
            };
            let with_it = with_it.replace("VECTORS", &vectors);
            let plain = outcome(&mut interpreter, &session, &code(format!("#{{ {with} }}")));
            let given = outcome(&mut interpreter, &session, &code(with_it));
            if plain == given || given.starts_with("error") {
                idle.push(format!("{}: {name}: {plain} and {given}", call.native));
            }
        }
    }
    assert!(idle.is_empty(), "{idle:#?}");
}

#[test]
fn every_option_is_tried() {
    let tried = |spec: &NativeSpec, option: &OptionSpec| {
        let of = |call: &&Call| call.native == spec.name;
        let mut calls = CALLS.iter().filter(of);
        let elsewhere = ELSEWHERE
            .iter()
            .any(|(n, o, _)| *n == spec.name && *o == option.name);
        elsewhere || calls.any(|call| call.options.iter().any(|(o, ..)| *o == option.name))
    };
    let left: Vec<String> = specs()
        .filter(|spec| is_counted(spec))
        .flat_map(|spec| spec.options.iter().map(move |option| (spec, option)))
        .filter(|(spec, option)| !tried(spec, option))
        .map(|(spec, option)| format!("{}: {}", spec.name, option.name))
        .collect();
    assert!(left.is_empty(), "not tried: {left:?}");
}

/// A value that the option takes.
fn any_value(option: &OptionSpec) -> Dynamic {
    match option.kind {
        Kind::Int { min, max } => 1.clamp(min, max).into(),
        Kind::Float { min, max } => 0.5f64.clamp(min, max).into(),
        Kind::Bool => true.into(),
        Kind::Text => "x".into(),
        Kind::Choice(words) => words[0].into(),
        Kind::List => Array::new().into(),
        Kind::Map => Map::new().into(),
        Kind::Function => panic!("{} takes a function", option.name),
        Kind::Value(_) => 1.into(),
    }
}

/// Adds to a call what breaks a condition; whether the call can break it.
fn break_it(spec: &NativeSpec, condition: &Acts, map: &mut Map) -> bool {
    match condition {
        Acts::With(other, words, _) => {
            let other = spec.find(other).expect("an option of the native");
            match (other.kind, other.default) {
                (_, Absent::Value(default)) if !words.contains(&default) => true,
                (Kind::Choice(all), _) => {
                    let word = all.iter().find(|word| !words.contains(word));
                    map.insert(other.name.into(), (*word.expect("another word")).into());
                    true
                }
                _ => false,
            }
        }
        Acts::Given(other, _) => spec.find(other).is_some(),
        Acts::Without(other, _) => {
            let other = spec.find(other).expect("an option of the native");
            map.insert(other.name.into(), any_value(other));
            true
        }
        Acts::Any(several) => {
            let broken: Vec<bool> = several.iter().map(|one| break_it(spec, one, map)).collect();
            broken.into_iter().all(|one| one)
        }
        Acts::Where(_) => false,
    }
}

fn decided(condition: &Acts) -> bool {
    match condition {
        Acts::Where(_) => true,
        Acts::Any(several) => several.iter().any(decided),
        _ => false,
    }
}

#[test]
fn an_option_whose_condition_does_not_hold_is_refused() {
    let mut broken = 0;
    for spec in specs() {
        for option in spec.options {
            for condition in option.acts {
                let mut map = Map::from([(option.name.into(), any_value(option))]);
                if !break_it(spec, condition, &mut map) {
                    assert!(decided(condition), "{}: {}", spec.name, option.name);
                    continue;
                }
                broken += 1;
                let error = Options::read(spec, &map)
                    .expect_err(option.name)
                    .to_string();
                let names = error.contains(&format!("option {}: ", option.name));
                // A condition of another option may be the first that is broken.
                let other = map
                    .keys()
                    .any(|name| error.contains(&format!("option {name}: ")));
                assert!(names || other, "{}: {}: {error}", spec.name, option.name);
            }
        }
    }
    assert!(broken > 30, "{broken}");
}

#[test]
fn what_the_values_of_a_call_leave_idle_is_refused() {
    for spec in specs().filter(|spec| is_counted(spec)) {
        for option in spec.options.iter().filter(|o| o.acts.iter().any(decided)) {
            let listed = REFUSED
                .iter()
                .any(|(n, o, _)| *n == spec.name && *o == option.name);
            assert!(listed, "{}: {}: no call refuses it", spec.name, option.name);
        }
    }
    let (_folder, session, mut interpreter) = prepared();
    for (native, option, code) in REFUSED {
        let found = outcome(&mut interpreter, &session, code);
        assert!(found.starts_with("error"), "{native}: {option}: {found}");
    }
}

#[test]
fn a_script_is_checked_for_idle_options_before_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let script = "let a = load_adapter(\"x\");\nlet how = \"snip\";\nif false {\n    a.prune(0.5, #{ seed: 3 });\n    a.prune(0.5, #{ by: how, seed: 3 });\n}\n";
    std::fs::write(folder.path().join("s.rhai"), script).unwrap();
    let found = super::tureen(folder.path(), &["check", "s.rhai"]);
    let told =
        String::from_utf8_lossy(&found.stdout).into_owned() + super::refused(&found).as_str();
    assert!(
        told.contains("option seed: magnitude draws no numbers"),
        "{told}"
    );
    assert!(told.contains("s.rhai:4:"), "{told}");
    assert!(!told.contains("s.rhai:5:"), "{told}");
}
