//! What soups are made of, and making them once more.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};

use super::soups::adapters;
use super::tensors::map_of;
use crate::adapter::Adapter;
use crate::adapter::formats::{self, Origin, own};
use crate::evaluate::SignRates;
use crate::hub::Kind;
use crate::report::table::{Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::sign::{View, planes_of};
use crate::soup::{self, Heads, Soup};
use crate::{Error, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[REPLAY, MERGE_WITH];

static REPLAY: NativeSpec = NativeSpec {
    name: "replay",
    options: &[OptionSpec::list(
        "members",
        "adapters to look for inputs among, before the folder's own members, the store and where they were loaded from",
    )
    .otherwise("none")],
};

static MERGE_WITH: NativeSpec = NativeSpec {
    name: "merge_with",
    options: &[
        OptionSpec::text("name", "what the rule is called, for ids and records").or("rule"),
        OptionSpec::int("version", 0, i64::MAX, "raise it whenever the rule changes").or("1"),
        OptionSpec::choice(
            "heads",
            &["keep", "average", "drop"],
            "what becomes of the members' heads",
        )
        .or("keep"),
        OptionSpec::choice("saved", &["keep", "average", "drop"], super::soups::SAVED)
            .or("keep")
            .acts(super::soups::WITH_SAVED),
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// How it was mixed: a map with method, settings and members (ids); `()` where it was not.
    #[rhai_fn(get = "recipe", pure, return_raw)]
    pub fn recipe(adapter: &mut Adapter) -> Fallible<Dynamic> {
        match adapter.recipe() {
            Some(recipe) => Ok(super::super::files::from_json(recipe.describe())?),
            None => Ok(Dynamic::UNIT),
        }
    }

    /// Where an adapter comes from, as a tree: how it was made, with which settings, from what, each
    /// with its id; below a mixture its members.
    ///
    /// ```rhai
    /// why(soup([a, b])).starts_with("films+products")    // true
    /// ```
    #[rhai_fn(pure)]
    pub fn why(adapter: &mut Adapter) -> String {
        crate::adapter::why(adapter)
    }

    /// What a soup is made of: a map with `method`, `members` (a Table of names, weights and ids),
    /// `leaves` (the adapters it comes down to through nested soups, with their effective weights),
    /// `parameters`, `density` (share of entries other than zero), where the members' tensors can
    /// be compared `sign_diff` and `both_nonzero`, and for LoRAs mixed factor by factor
    /// `cross_terms` (how far their change is from the weighted sum, as a share of it).
    ///
    /// ```rhai
    /// soup([soup([a, b]), c]).explain().leaves.column("weight")    // [0.25, 0.25, 0.5]
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn explain(adapter: &mut Adapter) -> Fallible<Map> {
        Ok(explanation(adapter)?)
    }

    /// The soup that `save` wrote, made once more of the same inputs. They are looked for among the
    /// option's members, those saved with it, the store, and where they were loaded from.
    ///
    /// - `folder`: the folder that `save` wrote
    ///
    /// # Errors
    /// An input that is not found; a byte of the tensors that differs.
    ///
    /// ```rhai
    /// soup([a, b]).save("out/soup", #{ members: true });
    /// replay("out/soup").members.len    // 2
    /// ```
    #[rhai_fn(return_raw)]
    pub fn replay(context: NativeCallContext, folder: &str) -> Fallible<Adapter> {
        Ok(again(&context, folder, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// soup([a, b]).save("out/other");
    /// replay("out/other", #{ members: [a, b] }) == soup([a, b])    // true
    /// ```
    #[rhai_fn(name = "replay", return_raw)]
    pub fn replay_with(
        context: NativeCallContext,
        folder: &str,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(again(&context, folder, &options)?)
    }

    /// A mixture by a rule of your own, tensor by tensor. LoRAs are mixed factor by factor and must
    /// share rank and scale.
    ///
    /// - `members`: adapters of one kind and shape
    /// - `rule`: a closure that takes one Tensor of each adapter and gives the mixture's
    ///
    /// # Errors
    /// A rule that gives something other than a Tensor of the members' shape.
    ///
    /// ```rhai
    /// let larger = merge_with([a, b], |x, y| choose(abs(x) > abs(y), x, y), #{ name: "larger" });
    /// larger.recipe.rule    // larger
    /// ```
    #[rhai_fn(return_raw)]
    pub fn merge_with(
        context: NativeCallContext,
        members: Array,
        rule: FnPtr,
    ) -> Fallible<Adapter> {
        Ok(by_rule(&context, &members, &rule, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "merge_with", return_raw)]
    pub fn merge_with_options(
        context: NativeCallContext,
        members: Array,
        rule: FnPtr,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(by_rule(&context, &members, &rule, &options)?)
    }
}

fn by_rule(
    context: &NativeCallContext,
    members: &Array,
    rule: &FnPtr,
    options: &Map,
) -> Result<Adapter> {
    let options = Options::read(&MERGE_WITH, options)?;
    let members = adapters(members, "merge_with")?;
    if members.is_empty() {
        bail!("merge_with: no adapters; give at least one");
    }
    let details = serde_json::json!({
        "rule": options.text("name")?, "version": options.int("version")?,
    });
    let heads = Heads::of(&options.text("heads")?);
    let saved = super::soups::saved(&options, &members)?;
    let session = Session::of(context)?;
    let (own, told) = ((heads, saved), session.context());
    soup::ready("merge_with", &members, &details, own, told, |_, own| {
        told.check()?;
        let tensors: Vec<Dynamic> = own.iter().map(|t| Dynamic::from(t.clone())).collect();
        let mixed: Dynamic = rule
            .call_within_context(context, tensors)
            .map_err(|e| Error::new(e.to_string()).within("the rule"))?;
        match mixed.clone().try_cast::<Tensor>() {
            Some(tensor) => Ok(tensor.to_dtype(DType::F32)?.contiguous()?),
            None => bail!("the rule gave {}, expected a Tensor", describe(&mixed)),
        }
    })
}

fn again(context: &NativeCallContext, folder: &str, options: &Map) -> Result<Adapter> {
    let options = Options::read(&REPLAY, options)?;
    let given = match options.value::<Array>("members")? {
        Some(list) => adapters(&list, "replay")?,
        None => Vec::new(),
    };
    let session = Session::of(context)?;
    let folder = session.input("adapter", folder)?;
    let beside = saved_members(&folder);
    soup::replay(&folder, &|origin| {
        find(origin, &folder, (&given, &beside), &session)
    })
}

/// The members that were saved with a soup.
fn saved_members(folder: &Path) -> Vec<(PathBuf, Origin)> {
    let of_head = folder.parent().map(|p| p.join(formats::MEMBERS));
    let folders = [Some(folder.join(formats::MEMBERS)), of_head];
    let inside = folders
        .into_iter()
        .flatten()
        .filter_map(|f| std::fs::read_dir(f).ok());
    let paths = inside.flatten().flatten().map(|entry| entry.path());
    let read = |path: PathBuf| Some((path.clone(), Origin::read(&path).ok()??));
    paths.filter_map(read).collect()
}

fn find(
    origin: &Origin,
    soup: &Path,
    (given, beside): (&[Adapter], &[(PathBuf, Origin)]),
    session: &Session,
) -> Result<Adapter> {
    if let Some(adapter) = given.iter().find(|a| *a.id() == origin.id) {
        return Ok(adapter.clone());
    }
    if let Some((folder, _)) = beside.iter().find(|(_, own)| own.id == origin.id) {
        return formats::load(folder);
    }
    if let Some(bytes) = session.context().kept(&origin.id) {
        return own::decode(&bytes, origin.id.clone(), None);
    }
    let Some(source) = &origin.source else {
        return Err(Error::new(format!(
            "{} (id {}) was made here and is not in the store",
            origin.name,
            origin.id.short()
        ))
        .hint("make it again and give it: replay(folder, #{ members: [a] }); save(folder, #{ members: true }) keeps it with the soup"));
    };
    let missing = || {
        Error::new(format!(
            "{} was loaded from {source}, where it is no more",
            origin.name
        ))
    };
    // A folder is told by the way to it from the soup's.
    let here = soup.join(source);
    let folder = match here.is_dir() && session.may_follow(&here) {
        true => here,
        false => session.path_or_repository(Kind::Model, source, &formats::needed, missing)?,
    };
    formats::load(&folder)
}

fn explanation(adapter: &Adapter) -> Result<Map> {
    let (mut all, mut entries, mut nonzero) = (0usize, 0usize, 0usize);
    let own = adapter.own_shapes()?;
    let tensors = adapter.tensors()?;
    for (name, tensor) in tensors.iter() {
        all += tensor.elem_count();
        if !own.contains_key(name) {
            continue;
        }
        let (n, own) = crate::adapter::with_values(tensor, |values| {
            (values.len(), values.iter().filter(|v| **v != 0.0).count())
        })?;
        entries += n;
        nonzero += own;
    }
    let description = adapter.recipe().map(|r| r.describe()).unwrap_or_default();
    let members = adapter.members();
    let weights = (0..members.len()).map(|i| match &description["weights"][i] {
        serde_json::Value::Null if adapter.recipe().is_none() => Value::Float(1.0),
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Number(n) => n.as_f64().map_or(Value::Null, Value::Float),
        other => Value::text(other.to_string()),
    });
    let text = |texts: Vec<&str>| texts.into_iter().map(Value::text).collect::<Vec<_>>();
    let table = Table::from_columns([
        ("member", text(members.iter().map(Adapter::name).collect())),
        ("weight", weights.collect()),
        ("id", text(members.iter().map(|m| m.id().short()).collect())),
    ])?;
    let leaves = soup::leaves(adapter);
    let float = |x: Option<f64>| x.map_or(Value::Null, Value::Float);
    let leaf_table = Table::from_columns([
        (
            "adapter",
            text(leaves.iter().map(|l| l.adapter.name()).collect()),
        ),
        ("weight", leaves.iter().map(|l| float(l.weight)).collect()),
        (
            "id",
            text(leaves.iter().map(|l| l.adapter.id().short()).collect()),
        ),
    ])?;
    let method = description["method"].as_str();
    let mut map = map_of([
        (
            "method",
            method.map_or(Dynamic::UNIT, |m| m.to_string().into()),
        ),
        ("members", Dynamic::from(table)),
        ("leaves", Dynamic::from(leaf_table)),
        ("parameters", (all as i64).into()),
        ("density", (nonzero as f64 / entries.max(1) as f64).into()),
    ]);
    if members.len() > 1
        && let Ok(planes) = members
            .iter()
            .map(|m| planes_of(m, &View::default()))
            .collect::<Result<Vec<_>>>()
        && let Ok(rates) = SignRates::of(
            &members
                .iter()
                .map(Adapter::name)
                .zip(&planes)
                .collect::<Vec<_>>(),
        )
    {
        map.insert("sign_diff".into(), rates.all.into());
        if let Some(rate) = rates.both_nonzero {
            map.insert("both_nonzero".into(), rate.into());
        }
    }
    let soup = adapter
        .recipe()
        .and_then(|r| r.as_any().downcast_ref::<Soup>());
    if let Some(soup) = soup
        && let Some(error) = soup.cross_terms(adapter)?
    {
        map.insert("cross_terms".into(), error.into());
    }
    Ok(map)
}
