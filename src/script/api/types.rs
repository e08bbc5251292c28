//! The pages of the types: what a value is, what operators do with it, an example of its
//! properties.

/// The doc of a type, in the form of a doc comment.
#[derive(Debug, Clone, Copy)]
pub struct TypeDoc {
    /// Its name, as errors and signatures call it.
    pub name: &'static str,
    /// The title of the topic it belongs to.
    pub topic: &'static str,
    /// What it is. The example uses every property.
    pub text: &'static str,
}

const fn doc(name: &'static str, topic: &'static str, text: &'static str) -> TypeDoc {
    TypeDoc { name, topic, text }
}

/// The types users see.
pub static TYPES: &[TypeDoc] = &[
    doc(
        "Model",
        "Models",
        r#"A frozen transformer with its tokenizer. Adapters change what it computes, never its weights.

```rhai
base.name              // mini
base.architecture      // bert
base.layers            // 3
base.hidden_size       // 384
base.max_length        // 512
base.precision         // f32
base.unused            // []
base.id.starts_with("v2-")    // true
model("mini").id == base.id    // true
```

The head of a model that classifies is its `head`; others have none:

```rhai
let told = "";
try { base.head } catch (e) { told = e.message; }
told    // mini has no classifier of its own
```"#,
    ),
    doc(
        "Dataset",
        "Datasets",
        r#"Texts, or pairs of texts, with labels, in the splits train, validation and test. `data[0]` is a row; negative numbers count from the end. `len` is that of all splits.

```rhai
let films = dataset("films");
films.name                 // films
films.labels               // ["negative", "positive"]
films.len                  // 2000
films.train.len            // 1400
films.validation.len       // 200
films.test.len             // 400
films.texts.len            // 2000
films[0].keys()            // ["label", "text"]
films.id == dataset("films").id    // true
```"#,
    ),
    doc(
        "Split",
        "Datasets",
        r#"The rows of a dataset that play one role. Brackets give a row, as with a dataset.

```rhai
let part = dataset("films").test;
part.len                   // 400
part.texts.len             // 400
part.labels.unique().sorted()    // ["negative", "positive"]
part[-1].label             // positive
```"#,
    ),
    doc(
        "Adapter",
        "Adapters",
        r#"The trained weights that change a frozen model, with their head; or a soup, whose weights are made of others' when they are first needed. It does not change: whatever alters it makes another.

`0.7 * a + 0.3 * b` is the linear soup with these weights, and `a - b` the one with the weights 1 and -1; `==` compares ids.

```rhai
a.name                     // films
a.kind                     // pfeiffer
a.parameters               // 56520
a.head                     // Head films: negative, positive
a.heads.len                // 1
a.members.len              // 1
a.recipe == ()             // true
a.sparsity < 0.01          // true
a.mask.entries             // 55296
a.training.keys()          // ["best_epoch", "dataset", "epochs", "options"]
train(base, films, #{ epochs: 1, keep: "epochs" }).checkpoints[0].step    // 2
a.id == b.id               // false
```"#,
    ),
    doc(
        "Head",
        "Adapters",
        r#"What turns hidden states into answers. Each adapter carries the heads it was trained with; evaluating takes the one of the dataset.

```rhai
a.head.name                // films
a.head.labels              // ["negative", "positive"]
```"#,
    ),
    doc(
        "Score",
        "Evaluation",
        r#"The answers of an adapter on a split, with what was right. Regression has a `loss` and no `accuracy`.

```rhai
let score = evaluate(base, a, films);
score.dataset              // films
score.split                // test
score.head                 // films
score.n                    // 40
score.accuracy > 0.4       // true
score.majority >= 0.5      // true
score.f1_macro > 0.2       // true
score.loss > 0.0           // true
score.predictions.columns    // ["i", "text", "gold", "predicted", "p", "correct"]
score.confusion.columns    // ["gold", "negative", "positive"]
```"#,
    ),
    doc(
        "Attack",
        "Attacks",
        r#"What is left of an adapter's accuracy when its texts are attacked, and how. Shares lie between 0 and 1.

```rhai
let found = attack(base, a, films, #{ recipe: "deepwordbug", n: 8 });
found.recipe               // deepwordbug
found.dataset              // films
found.split                // test
found.n                    // 8
found.original_accuracy >= found.accuracy_under_attack    // true
found.success_rate >= 0.0    // true
found.queries != 0.0       // true
found.perturbed == () || found.perturbed > 0.0    // true
found.outcomes.keys()      // ["failed", "skipped", "successful"]
found.constraints.column("constraint")    // ["repeat", "stop words", "edit distance"]
found.neighbors == ()      // true
found.encoder == ()        // true
found.examples.len         // 8
```"#,
    ),
    doc(
        "SignDiff",
        "Signs",
        r#"How the signs of adapters, or of tensors, differ, entry by entry. An entry is in conflict where at least one member is positive and one negative; zero has no sign. `rate` is over the chosen denominator, all entries by default; `mixture`, `mean_pairwise`, `minority` and `tristate` are always over all entries.

```rhai
let d = sign_diff(tensor([1.0, -1.0, 0.0, 2.0]), tensor([1.0, 1.0, -1.0, 0.0]));
d.entries                  // 4
d.conflicts                // 1
d.rate                     // 0.25
d.both_nonzero             // 0.5
d.union_nonzero            // 0.25
d.tristate                 // 0.75
d.mixture                  // 0.25
d.mean_pairwise            // 0.25
d.minority                 // 0.125
d.expected                 // about 0.25
d.pairs.len                // 1
d.matrix.columns           // ["member", "0", "1"]
let layers = sign_diff(a, b);
layers.by_layer.columns    // ["layer", "entries", "conflicts", "rate", "both_nonzero", "expected"]
layers.by_tensor.len       // 6
layers.by_site.len > 0     // true
layers.by_row.len > 0      // true
layers.drift > 0.0         // true
layers.expected_shared < layers.expected    // true
layers.conflict_mass >= 0.0    // true
layers.cancelled_mass >= 0.0    // true
```"#,
    ),
    doc(
        "Mask",
        "Pruning",
        r#"Which entries of an adapter are kept. `&`, `|` and `^` combine what two masks keep, `!` keeps what the mask does not, `==` compares entry by entry.

```rhai
let m = a.prune(0.5).mask;
m.density                  // 0.5
m.sparsity                 // 0.5
m.entries                  // 55296
m.kept                     // 27648
m.names.len                // 6
m.by_layer.columns         // ["layer", "entries", "kept", "density"]
(m & !m).density           // 0.0
(m | !m).density           // 1.0
```"#,
    ),
    doc(
        "Table",
        "Tables",
        r#"Rows with named columns, to choose, group, join, compare, draw and save. A cell holds a number, a text, true or false, a list, or nothing (`()`). `t[0]` is a row as a map. It does not change: `t.add(...)` gives another.

```rhai
let t = table([#{ size: 2, fall: 0.1 }, #{ size: 3, fall: 0.2 }], ["size", "fall"]);
t.len                      // 2
t.columns                  // ["size", "fall"]
t.rows.len                 // 2
t[-1].fall                 // 0.2
t.id.len                   // 16
```"#,
    ),
    doc(
        "Groups",
        "Tables reshaped",
        r#"Rows of a table in groups, which `agg` sums up.

```rhai
table([#{ k: "a", x: 1 }, #{ k: "b", x: 3 }]).group(["k"])    // Groups by k: 2 groups
```"#,
    ),
    doc(
        "Correlation",
        "Tables compared",
        r#"How two columns go together. The interval is there when it was asked for.

```rhai
let t = table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }, #{ x: 3, y: 5 }, #{ x: 4, y: 4 }]);
let found = t.correlate("x", "y", #{ ci: 200 });
found.r                    // 0.8
found.n                    // 4
found.p                    // about 0.2
found.lo <= found.r && found.r <= found.hi    // true
```"#,
    ),
    doc(
        "Figure",
        "Figures",
        r#"A drawing of a table's rows, for the terminal, SVG or PNG.

```rhai
let figure = table([#{ x: 1, y: 2 }, #{ x: 2, y: 3 }]).scatter("x", "y");
figure.data.len            // 2
```"#,
    ),
    doc(
        "Tensor",
        "Tensors",
        r#"Numbers in one or more dimensions. Arithmetic and comparisons go entry by entry, between Tensors of one shape or with a number; comparisons give ones and zeros. `t[0]` is the first row.

```rhai
let t = tensor([[1.0, 2.0], [3.0, 4.0]]);
t.shape                    // [2, 2]
t.dtype                    // f32
t.entries                  // 4
t.len                      // 2
t[1].to_array()            // [3.0, 4.0]
(2.0 * t + 1).sum()        // 24.0
(t > 2.5).to_array()       // [[0, 0], [1, 1]]
```"#,
    ),
    doc(
        "Error",
        "Studies",
        r#"What a native refused, as `catch` gets it.

```rhai
let told = "";
try { [].mean() } catch (e) { told = e.message; }
told    // mean: the list is empty
```"#,
    ),
];
