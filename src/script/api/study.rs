//! What makes a script a study: its name, question and seed, and what it found.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};
use serde_json::{Value, json};

use crate::bail;
use crate::report::table::{Format, Table};
use crate::script::pending::is_pending;
use crate::script::{Fallible, NativeSpec, OptionSpec, Options, Session, describe};
use crate::stats::Correlation;
use crate::study::{Id, Made};
use crate::{Error, Result};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[STUDY];

static STUDY: NativeSpec = NativeSpec {
    name: "study",
    options: &[
        OptionSpec::text("name", "what the study is called").otherwise("the script's name"),
        OptionSpec::text("question", "what it asks").otherwise("none"),
        OptionSpec::int("seed", 0, i64::MAX, "what every random stream is keyed by").or("0"),
    ],
};

/// What a script has said of itself so far.
#[derive(Debug, Default)]
pub struct Study(RefCell<Said>);

/// The parts of [`Study`].
#[derive(Debug, Default, Clone)]
pub struct Said {
    /// The study's name.
    pub name: Option<String>,
    /// Its question.
    pub question: Option<String>,
    /// What was recorded, by name.
    pub recorded: BTreeMap<String, Value>,
}

impl Study {
    /// What was said so far.
    pub fn said(&self) -> Said {
        self.0.borrow().clone()
    }
}

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// Names the study, says what it asks and sets its seed. Comes first in a script.
    ///
    /// ```rhai
    /// study(#{ name: "sign-conflict", question: "Does sign conflict predict the drop?", seed: 42 });
    /// ```
    #[rhai_fn(return_raw)]
    pub fn study(context: NativeCallContext, options: Map) -> Fallible<()> {
        let session = Session::of(&context)?;
        let options = Options::read(&STUDY, &options)?;
        session.set_seed(options.int("seed")? as u64);
        let study = session.extension::<Study>();
        let mut said = study.0.borrow_mut();
        said.name = options.maybe_text("name")?;
        said.question = options.maybe_text("question")?;
        Ok(())
    }

    /// Keeps a result in the run's record, where `diff` compares it.
    ///
    /// - `name`: what it is called; each name once
    /// - `value`: a number, text, list, map, Table or correlation; what is pending in a shard or a
    ///   dry run is passed over
    ///
    /// ```rhai
    /// record("answer", 42);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn record(context: NativeCallContext, name: &str, value: Dynamic) -> Fallible<()> {
        let session = Session::of(&context)?;
        if is_pending(&value) {
            return Ok(());
        }
        let value = recorded(&value).map_err(|e| e.within(format!("record {name}")))?;
        if let Some(journal) = session.context().journal() {
            let id = Id::of_recipe("record", &value);
            journal.made(&Made::plain("record", name, id.as_str()), []);
        }
        let study = session.extension::<Study>();
        if study
            .0
            .borrow_mut()
            .recorded
            .insert(name.to_string(), value)
            .is_some()
        {
            bail!("record: {name} was recorded before; choose another name");
        }
        Ok(())
    }
}

fn recorded(value: &Dynamic) -> Result<Value> {
    if let Some(c) = value.clone().try_cast::<Correlation>() {
        return Ok(
            json!({"method": c.method.name(), "r": c.r, "p": c.p, "n": c.n, "lo": c.lo, "hi": c.hi}),
        );
    }
    if let Some(table) = value.clone().try_cast::<Table>() {
        let rows = table.encode(Format::Jsonl)?;
        let rows = rows
            .lines()
            .map(serde_json::from_str)
            .collect::<std::result::Result<Vec<Value>, _>>();
        return Ok(Value::Array(rows.map_err(|e| Error::new(e.to_string()))?));
    }
    super::files::json(value).map_err(|_| {
        Error::new(format!("{} cannot be recorded", describe(value)))
            .hint("record numbers, texts, lists, maps, Tables or correlations")
    })
}
