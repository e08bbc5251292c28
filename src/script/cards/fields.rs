//! Values with properties: each property that tells something on a line of its own, under the name
//! by which a script reads it.

use rhai::{Dynamic, Engine};

use super::{call, cut, grouped, line, text, wrapped};
use crate::adapter::Adapter;
use crate::data::{Dataset, Row};
use crate::report::number;
use crate::report::table::Table;
use crate::script::api::Part;
use crate::script::values::type_name;

/// What a card shows of a value besides its name.
struct Card {
    type_: &'static str,
    fields: &'static [Field],
}

/// A line of a card.
enum Field {
    /// A property, and what its number counts.
    Property(&'static str, &'static str),
    /// The names of a property's values.
    Names(&'static str),
    /// What this makes of the value.
    Told(&'static str, fn(&Dynamic) -> Option<String>),
    /// A property that is a table, below the others.
    Table(&'static str),
}

use Field::{Names, Property, Told};

/// The types whose cards say more than one line.
const CARDS: &[Card] = &[
    Card {
        type_: "Model",
        fields: &[
            Property("architecture", ""),
            Property("layers", ""),
            Property("hidden_size", ""),
            Property("max_length", "tokens"),
            Property("precision", ""),
            Property("id", ""),
        ],
    },
    Card {
        type_: "Dataset",
        fields: &[
            Told("rows", rows),
            Property("labels", ""),
            Told("first text", first_text),
            Property("id", ""),
        ],
    },
    Card {
        type_: "Split",
        fields: &[Property("len", "rows"), Told("first text", first_of_split)],
    },
    Card {
        type_: "Adapter",
        fields: &[
            Property("kind", ""),
            Property("parameters", ""),
            Told("settings", settings),
            Told("sparsity", sparsity),
            Told("base", base),
            Told("members", members),
            Names("heads"),
            Told("training", training),
            Told("source", source),
            Property("id", ""),
        ],
    },
    Card {
        type_: "Head",
        fields: &[Property("labels", "")],
    },
    Card {
        type_: "Score",
        fields: &[
            Property("accuracy", ""),
            Property("majority", ""),
            Property("f1_macro", ""),
            Property("loss", "nats"),
            Property("n", "rows"),
            Field::Table("confusion"),
        ],
    },
    Card {
        type_: "Attack",
        fields: &[
            Property("original_accuracy", ""),
            Property("accuracy_under_attack", ""),
            Property("success_rate", ""),
            Property("queries", "a text"),
            Property("perturbed", "of the words"),
            Property("n", "texts"),
            Property("neighbors", ""),
            Property("encoder", ""),
            Field::Table("constraints"),
        ],
    },
    Card {
        type_: "SignDiff",
        fields: &[
            Property("mixture", ""),
            Property("expected", ""),
            Property("rate", ""),
            Property("both_nonzero", ""),
            Property("mean_pairwise", ""),
            Property("minority", ""),
            Property("conflicts", ""),
            Property("entries", ""),
            Field::Table("by_layer"),
        ],
    },
    Card {
        type_: "Mask",
        fields: &[
            Property("sparsity", ""),
            Property("kept", ""),
            Property("entries", ""),
            Field::Table("by_layer"),
        ],
    },
];

/// Longer values of a field are cut.
const LINES: usize = 3;

/// The card of a value: its name, then what [`CARDS`] says; else its one line.
pub(super) fn card(engine: &Engine, value: &Dynamic, width: usize) -> String {
    let whole = text(engine, value);
    let type_ = type_name(value.type_name());
    let Some(card) = CARDS.iter().find(|card| card.type_ == type_) else {
        let short = |line: &str| match line.chars().count() > width {
            true => wrapped(line, width).join("\n"),
            false => line.to_string(),
        };
        return whole.lines().map(short).collect::<Vec<_>>().join("\n");
    };
    let title = whole.split(": ").next().unwrap_or(&whole);
    let mut lines = wrapped(title, width);
    lines.truncate(LINES);
    let mut below = Vec::new();
    let mut shown: Vec<(&str, String)> = Vec::new();
    for field in card.fields {
        match field {
            Property(name, unit) => {
                if let Some(value) = property(engine, value, name) {
                    let unit = match unit.is_empty() {
                        true => String::new(),
                        false => format!(" {unit}"),
                    };
                    shown.push((*name, format!("{}{unit}", of_property(engine, &value))));
                }
            }
            Names(name) => {
                if let Some(names) = property(engine, value, name).and_then(|v| names(engine, &v)) {
                    shown.push((*name, names));
                }
            }
            Told(name, tell) => shown.extend(tell(value).map(|told| (*name, told))),
            Field::Table(name) => {
                let table = property(engine, value, name);
                if let Some(table) = table.and_then(|table| table.try_cast::<Table>()) {
                    below.push(format!("{name}:"));
                    below.push(table.fitted(width));
                }
            }
        }
    }
    let label = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, told) in shown {
        let room = width.saturating_sub(label + 4).max(8);
        let mut told = wrapped(&told, room);
        if told.len() > LINES {
            told.truncate(LINES);
            told[LINES - 1] = cut(&told[LINES - 1], room - 2) + " …";
        }
        for (at, part) in told.iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(format!("  {name:<label$}  {part}"));
        }
    }
    lines.extend(below);
    lines.join("\n")
}

fn property(engine: &Engine, value: &Dynamic, name: &str) -> Option<Dynamic> {
    call(engine, &format!("value.{name}"), value).filter(|value| !value.is_unit())
}

/// A property's value: numbers short, texts without quotes.
fn of_property(engine: &Engine, value: &Dynamic) -> String {
    /// More of a list or a text is never shown.
    const FAR: usize = 400;
    if let Ok(count) = value.as_int() {
        return grouped(count);
    }
    if let Ok(value) = value.as_float() {
        return number(value);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return cut(&text, FAR);
    }
    if let Ok(list) = value.as_array_ref() {
        let items: Vec<String> = list
            .iter()
            .take(FAR / 8)
            .map(|item| line(engine, item, FAR / 4))
            .collect();
        return items.join(", ");
    }
    line(engine, value, FAR)
}

/// The names of the values of a list.
fn names(engine: &Engine, list: &Dynamic) -> Option<String> {
    let list = list.as_array_ref().ok()?;
    let names: Vec<String> = list
        .iter()
        .filter_map(|item| property(engine, item, "name")?.into_string().ok())
        .collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn rows(value: &Dynamic) -> Option<String> {
    let data = value.read_lock::<Dataset>()?;
    let shown = data.to_string();
    let (_, told) = shown.split_once(": ")?;
    Some(told.split(';').next()?.to_string())
}

fn first_text(value: &Dynamic) -> Option<String> {
    let data = value.read_lock::<Dataset>()?;
    let row = data.row(0).ok()?;
    Some(told(&data, row))
}

/// A text with its label.
fn told(data: &Dataset, row: &Row) -> String {
    /// Enough to see what kind of text it is.
    const FAR: usize = 160;
    let text = super::containers::text_line(&row.text, FAR);
    match data.label_text(row.label) {
        Some(label) => format!("{text} is {label}"),
        None => text,
    }
}

fn first_of_split(value: &Dynamic) -> Option<String> {
    let part = value.read_lock::<Part>()?;
    Some(told(part.dataset(), part.rows().first()?))
}

fn sparsity(value: &Dynamic) -> Option<String> {
    let adapter = value.read_lock::<Adapter>()?;
    Some(number(adapter.mask()?.sparsity()))
}

/// The numbers and words that tell adapters of one kind apart.
fn settings(value: &Dynamic) -> Option<String> {
    const SHOWN: [&str; 6] = [
        "reduction_factor",
        "non_linearity",
        "r",
        "alpha",
        "use_rslora",
        "use_dora",
    ];
    let config = value.read_lock::<Adapter>()?.kind().config();
    let told: Vec<String> = SHOWN
        .iter()
        .filter_map(|name| match config.get(name)? {
            serde_json::Value::String(text) => Some(format!("{name} {text}")),
            serde_json::Value::Number(number) => Some(format!("{name} {number}")),
            serde_json::Value::Bool(true) => Some((*name).to_string()),
            _ => None,
        })
        .collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn base(value: &Dynamic) -> Option<String> {
    Some(value.read_lock::<Adapter>()?.base().name.clone())
}

fn members(value: &Dynamic) -> Option<String> {
    let adapter = value.read_lock::<Adapter>()?;
    let recipe = adapter.recipe()?;
    let names: Vec<&str> = recipe.members().iter().map(Adapter::name).collect();
    let how = recipe.describe();
    let method = how.get("method").and_then(|method| method.as_str());
    Some(match method {
        Some(method) => {
            let density = how
                .get("density")
                .map(|density| format!(", density {density}"));
            format!(
                "{}, mixed by {method}{}",
                names.join(", "),
                density.unwrap_or_default()
            )
        }
        None => names.join(", "),
    })
}

fn training(value: &Dynamic) -> Option<String> {
    let adapter = value.read_lock::<Adapter>()?;
    let training = adapter.training()?;
    if let Some(step) = training.step {
        let epoch = training.best_epoch;
        return Some(format!("checkpoint after step {step}, in epoch {epoch}"));
    }
    let best = training.epochs.get(training.best_epoch.checked_sub(1)?)?;
    let mut told = format!(
        "epoch {} of {} kept, loss {}",
        training.best_epoch,
        training.epochs.len(),
        number(best.loss)
    );
    if let Some(score) = best.validation_score {
        told += &format!(", validation score {}", number(score));
    }
    Some(told)
}

fn source(value: &Dynamic) -> Option<String> {
    value.read_lock::<Adapter>()?.parts().source.clone()
}
