//! Sign differences.

use candle_core::Tensor;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map};

use crate::adapter::{Adapter, Selection, deltas};
use crate::report::figure::{Figure, HeatmapOptions};
use crate::report::table::{Table, Value};
use crate::script::Session;
use crate::script::{Fallible, NativeSpec, OptionSpec, Options};
use crate::sign::{
    LayerRow, PairRow, SignDiff, SignPlanes, TensorRow, sign_diff as differ,
    sign_diff_tensors as differ_tensors,
};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SIGN_DIFF];

static SIGN_DIFF: NativeSpec = NativeSpec {
    name: "sign_diff",
    options: &[
        OptionSpec::choice(
            "denominator",
            &["all", "both_nonzero", "union_nonzero"],
            "over which entries rates are taken",
        )
        .or("all"),
        OptionSpec::choice(
            "space",
            &["factors", "delta"],
            "for LoRA: the entries of A and B, or of the change B A",
        )
        .or("factors"),
        OptionSpec::text(
            "tensors",
            "\"weights\", \"all\" or a pattern of names with *",
        )
        .or("weights"),
    ],
};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<SignDiff>("SignDiff");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The signs of two adapters against each other.
    ///
    /// ```rhai,no_run
    /// sign_diff(a, b).rate;
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sign_diff(a: Adapter, b: Adapter) -> Fallible<SignDiff> {
        Ok(of_adapters(&[a, b], &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_with(a: Adapter, b: Adapter, options: Map) -> Fallible<SignDiff> {
        Ok(of_adapters(&[a, b], &options)?)
    }

    /// The signs of two Tensors of one shape against each other.
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, -1.0]), tensor([1.0, 1.0])).rate    // 0.5
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_tensors(a: Tensor, b: Tensor) -> Fallible<SignDiff> {
        Ok(of_array(
            &vec![Dynamic::from(a), Dynamic::from(b)],
            &Map::new(),
        )?)
    }

    /// The same with options.
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_tensors_with(a: Tensor, b: Tensor, options: Map) -> Fallible<SignDiff> {
        Ok(of_array(
            &vec![Dynamic::from(a), Dynamic::from(b)],
            &options,
        )?)
    }

    /// The signs of several adapters, or Tensors, against each other.
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_all(members: Array) -> Fallible<SignDiff> {
        Ok(of_array(&members, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_all_with(members: Array, options: Map) -> Fallible<SignDiff> {
        Ok(of_array(&members, &options)?)
    }

    /// The share of entries in conflict, for two members.
    #[rhai_fn(get = "rate", pure, return_raw)]
    pub fn rate(d: &mut SignDiff) -> Fallible<f64> {
        told(d.rate())
    }

    /// Conflicts over the entries where neither is zero; among several members, where at least
    /// two are not.
    #[rhai_fn(get = "both_nonzero", pure, return_raw)]
    pub fn both_nonzero(d: &mut SignDiff) -> Fallible<f64> {
        told(d.both_nonzero())
    }

    /// Conflicts over the entries where at least one of two is not zero.
    #[rhai_fn(get = "union_nonzero", pure, return_raw)]
    pub fn union_nonzero(d: &mut SignDiff) -> Fallible<f64> {
        told(d.union_nonzero())
    }

    /// The share of entries whose signs differ, zero taken as a third sign, for two members.
    #[rhai_fn(get = "tristate", pure, return_raw)]
    pub fn tristate(d: &mut SignDiff) -> Fallible<f64> {
        told(d.tristate())
    }

    /// The number of entries in conflict.
    #[rhai_fn(get = "conflicts", pure)]
    pub fn conflicts(d: &mut SignDiff) -> i64 {
        d.conflicts() as i64
    }

    /// The number of entries compared.
    #[rhai_fn(get = "entries", pure)]
    pub fn entries(d: &mut SignDiff) -> i64 {
        d.entries() as i64
    }

    /// The share of entries with at least one positive and one negative member.
    #[rhai_fn(get = "mixture", pure)]
    pub fn mixture(d: &mut SignDiff) -> f64 {
        d.mixture()
    }

    /// The mean of all pairs' rates.
    #[rhai_fn(get = "mean_pairwise", pure)]
    pub fn mean_pairwise(d: &mut SignDiff) -> f64 {
        d.mean_pairwise()
    }

    /// The mean of min(#positive, #negative) over the number of members.
    #[rhai_fn(get = "minority", pure)]
    pub fn minority(d: &mut SignDiff) -> f64 {
        d.minority()
    }

    /// The mixture's rate to be expected if signs were independent.
    #[rhai_fn(get = "expected", pure)]
    pub fn expected(d: &mut SignDiff) -> f64 {
        d.expected()
    }

    /// Every pair: a Table with a, b, entries, conflicts, rate, both_nonzero, union_nonzero and
    /// tristate.
    #[rhai_fn(get = "pairs", pure, return_raw)]
    pub fn pairs(d: &mut SignDiff) -> Fallible<Table> {
        let rows = d.pairs();
        let column = |of: &dyn Fn(&PairRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
        Ok(Table::from_columns([
            ("a", column(&|r| Value::text(&r.a))),
            ("b", column(&|r| Value::text(&r.b))),
            ("entries", column(&|r| Value::Int(r.entries as i64))),
            ("conflicts", column(&|r| Value::Int(r.conflicts as i64))),
            ("rate", column(&|r| share(r.rate))),
            ("both_nonzero", column(&|r| share(r.both_nonzero))),
            ("union_nonzero", column(&|r| share(r.union_nonzero))),
            ("tristate", column(&|r| share(r.tristate))),
        ])?)
    }

    /// Every layer: a Table with layer, entries, conflicts, rate, both_nonzero and expected.
    #[rhai_fn(get = "by_layer", pure, return_raw)]
    pub fn by_layer(d: &mut SignDiff) -> Fallible<Table> {
        let rows = d.by_layer();
        let column = |of: &dyn Fn(&LayerRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
        Ok(Table::from_columns([
            ("layer", column(&|r| layer(r.layer))),
            ("entries", column(&|r| Value::Int(r.entries as i64))),
            ("conflicts", column(&|r| Value::Int(r.conflicts as i64))),
            ("rate", column(&|r| share(r.rate))),
            ("both_nonzero", column(&|r| share(r.both_nonzero))),
            ("expected", column(&|r| share(r.expected))),
        ])?)
    }

    /// Every tensor: a Table with layer, site, tensor, entries, conflicts, rate, both_nonzero and
    /// expected.
    #[rhai_fn(get = "by_tensor", pure, return_raw)]
    pub fn by_tensor(d: &mut SignDiff) -> Fallible<Table> {
        let rows = d.by_tensor();
        let column = |of: &dyn Fn(&TensorRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
        Ok(Table::from_columns([
            ("layer", column(&|r| layer(r.layer))),
            ("site", column(&|r| Value::text(&r.site))),
            ("tensor", column(&|r| Value::text(&r.tensor))),
            ("entries", column(&|r| Value::Int(r.entries as i64))),
            ("conflicts", column(&|r| Value::Int(r.conflicts as i64))),
            ("rate", column(&|r| share(r.rate))),
            ("both_nonzero", column(&|r| share(r.both_nonzero))),
            ("expected", column(&|r| share(r.expected))),
        ])?)
    }

    /// Every member against every other, in colours: the pairs' rates.
    #[rhai_fn(pure, return_raw)]
    pub fn heatmap(d: &mut SignDiff) -> Fallible<Figure> {
        Ok(matrix(d)?.heatmap(&HeatmapOptions {
            title: Some("Share of weights whose signs differ".into()),
            annotate: None,
        })?)
    }

    /// Every member against every other: a Table with a row and a column a member.
    #[rhai_fn(get = "matrix", pure, return_raw)]
    pub fn matrix_of(d: &mut SignDiff) -> Fallible<Table> {
        Ok(matrix(d)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(d: &mut SignDiff) -> String {
        d.to_string()
    }
}

/// The pairs' rates as a square. Members of one name are numbered.
fn matrix(d: &SignDiff) -> Result<Table> {
    let members = d.members();
    let l = members.len();
    let names: Vec<String> = members
        .iter()
        .enumerate()
        .map(
            |(i, name)| match members.iter().filter(|m| *m == name).count() {
                1 => name.clone(),
                _ => format!("{name} ({})", i + 1),
            },
        )
        .collect();
    let mut rates = vec![vec![Value::Float(0.0); l]; l];
    let at = (0..l).flat_map(|i| (i + 1..l).map(move |j| (i, j)));
    for ((i, j), row) in at.zip(d.pairs()) {
        rates[i][j] = share(row.rate);
        rates[j][i] = share(row.rate);
    }
    let mut columns = vec![("member", names.iter().map(Value::text).collect())];
    columns.extend(names.iter().map(String::as_str).zip(rates));
    Table::from_columns(columns)
}

/// A rate for a script; an error where there is nothing it could be a share of.
fn told(rate: f64) -> Fallible<f64> {
    if rate.is_nan() {
        bail!("the rate is a share of no entries at all"; hint: "every entry is zero in one or all of the members");
    }
    Ok(rate)
}

/// A rate as a cell; empty where there is nothing it could be a share of.
fn share(rate: f64) -> Value {
    if rate.is_nan() {
        Value::Null
    } else {
        Value::Float(rate)
    }
}

fn layer(layer: Option<usize>) -> Value {
    layer.map_or(Value::Null, |l| Value::Int(l as i64))
}

fn of_array(members: &Array, options: &Map) -> Result<SignDiff> {
    if !members.iter().all(Dynamic::is::<Tensor>) || members.is_empty() {
        return of_adapters(&super::soups::adapters(members, "sign_diff")?, options);
    }
    let options = Options::read(&SIGN_DIFF, options)?;
    let tensors: Vec<(String, Tensor)> = members
        .iter()
        .enumerate()
        .filter_map(|(i, m)| m.clone().try_cast::<Tensor>().map(|t| (i.to_string(), t)))
        .collect();
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    differ_tensors(&named, options.text("denominator")?.parse()?)
}

fn of_adapters(members: &[Adapter], options: &Map) -> Result<SignDiff> {
    let options = Options::read(&SIGN_DIFF, options)?;
    let selection = Selection::from(options.text("tensors")?.as_str());
    let low_rank = members.iter().any(|m| m.kind().name() == "lora");
    let delta = options.text("space")? == "delta";
    if delta && !low_rank {
        return Err(options.error("space", "only LoRA has a change B A apart from its weights"));
    }
    let mut named = Vec::with_capacity(members.len());
    for member in members {
        let tensors = if delta {
            deltas(member)?
        } else {
            member.tensors()?.as_ref().clone()
        };
        let planes = SignPlanes::new(&tensors, &selection).map_err(|e| e.within(member.name()))?;
        named.push((member.name().to_string(), planes));
    }
    let [first, ..] = members else {
        bail!("the sign difference of no members");
    };
    if let Some(other) = members
        .iter()
        .find(|m| m.kind().name() != first.kind().name())
    {
        bail!(
            "signs of {} and {}: one is {}, the other {}",
            first.name(),
            other.name(),
            first.kind().name(),
            other.kind().name()
        );
    }
    let named: Vec<(&str, &SignPlanes)> = named.iter().map(|(n, p)| (n.as_str(), p)).collect();
    differ(&named, options.text("denominator")?.parse()?).map_err(|e| {
        if low_rank && !delta {
            e.hint("a LoRA soup's rank is the sum of its members': compare with space: \"delta\"")
        } else {
            e
        }
    })
}
