//! Sign differences.

use std::ops::{Range, RangeInclusive};

use candle_core::Tensor;
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::compared::{BASE, Compared, SPACE, TENSORS, view};
use super::soups::adapters;
use crate::adapter::Adapter;
use crate::report::figure::{Figure, HeatmapOptions};
use crate::report::table::{Table, Value};
use crate::script::Session;
use crate::script::{Acts, Fallible, NativeSpec, OptionSpec, Options};
use crate::sign::{By, MatrixRow, Members, PairRow, PlaceRow, Subset, by_row, similar, subsets};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SIGN_DIFF];

/// Of options that say what of an adapter is compared.
const ADAPTERS: &[Acts] = &[Acts::Where("with adapters")];

static SIGN_DIFF: NativeSpec = NativeSpec {
    name: "sign_diff",
    options: &[
        OptionSpec::choice(
            "denominator",
            &["all", "both_nonzero", "union_nonzero"],
            "over which entries rates are taken",
        )
        .or("all"),
        SPACE.acts(ADAPTERS),
        TENSORS.acts(ADAPTERS),
        BASE.acts(ADAPTERS),
    ],
};

/// Members above which a heatmap puts similar ones side by side.
const ORDERED: usize = 12;

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Compared>("SignDiff");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The signs of two adapters against each other. The vectors of IA3s lie near 1 and are
    /// compared less 1.
    ///
    /// - `a`: an adapter
    /// - `b`: another of the same kind, with the same tensors
    ///
    /// # Errors
    /// Kinds, names or shapes that differ; a NaN.
    ///
    /// # Source
    /// The fraction of sign difference of Nguyen and Le 2024.
    ///
    /// ```rhai
    /// sign_diff(a, b).entries    // 55296
    /// sign_diff(a, a).rate       // 0.0
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sign_diff(context: NativeCallContext, a: Adapter, b: Adapter) -> Fallible<Compared> {
        Ok(of_adapters(&context, &[a, b], &Map::new())?)
    }

    /// The same with options: `base: "initial"` compares what training changed, `tensors` may be
    /// patterns with `|` between them.
    ///
    /// ```rhai
    /// let d = sign_diff(a, b, #{ tensors: "*.layer.0.*|*.layer.1.*", base: "initial" });
    /// d.by_layer.column("layer")    // [0, 1]
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_with(
        context: NativeCallContext,
        a: Adapter,
        b: Adapter,
        options: Map,
    ) -> Fallible<Compared> {
        Ok(of_adapters(&context, &[a, b], &options)?)
    }

    /// The signs of two Tensors of one shape against each other.
    ///
    /// - `a`: a Tensor
    /// - `b`: another of its shape
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, -1.0]), tensor([1.0, 1.0])).rate    // 0.5
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_tensors(
        context: NativeCallContext,
        a: Tensor,
        b: Tensor,
    ) -> Fallible<Compared> {
        Ok(of_array(
            &context,
            &vec![Dynamic::from(a), Dynamic::from(b)],
            &Map::new(),
        )?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, 0.0]), tensor([-1.0, 1.0]), #{ denominator: "both_nonzero" }).rate    // 1.0
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_tensors_with(
        context: NativeCallContext,
        a: Tensor,
        b: Tensor,
        options: Map,
    ) -> Fallible<Compared> {
        Ok(of_array(
            &context,
            &vec![Dynamic::from(a), Dynamic::from(b)],
            &options,
        )?)
    }

    /// The signs of several adapters, or Tensors, against each other.
    ///
    /// - `members`: two or more, of one kind and shape
    ///
    /// ```rhai
    /// sign_diff([tensor([1.0, 1.0]), tensor([1.0, 1.0]), tensor([-1.0, 1.0])]).rate    // 0.5
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_all(context: NativeCallContext, members: Array) -> Fallible<Compared> {
        Ok(of_array(&context, &members, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// sign_diff([a, b, c], #{ base: "initial" }).pairs.len    // 3
    /// ```
    #[rhai_fn(name = "sign_diff", return_raw)]
    pub fn sign_diff_all_with(
        context: NativeCallContext,
        members: Array,
        options: Map,
    ) -> Fallible<Compared> {
        Ok(of_array(&context, &members, &options)?)
    }

    /// Conflicts as a share of the denominator's entries, all by default. A rate is an error where
    /// there are no such entries.
    #[rhai_fn(get = "rate", pure, return_raw)]
    pub fn rate(d: &mut Compared) -> Fallible<f64> {
        told(d.diff.rate())
    }

    /// Conflicts over the entries where neither is zero; among several members, where at least
    /// two are not.
    #[rhai_fn(get = "both_nonzero", pure, return_raw)]
    pub fn both_nonzero(d: &mut Compared) -> Fallible<f64> {
        told(d.diff.both_nonzero())
    }

    /// Conflicts over the entries where at least one member is not zero.
    #[rhai_fn(get = "union_nonzero", pure, return_raw)]
    pub fn union_nonzero(d: &mut Compared) -> Fallible<f64> {
        told(d.diff.union_nonzero())
    }

    /// The share of all entries whose signs are not the same in all members, zero taken as a third
    /// sign.
    #[rhai_fn(get = "tristate", pure, return_raw)]
    pub fn tristate(d: &mut Compared) -> Fallible<f64> {
        told(d.diff.tristate())
    }

    /// The number of entries in conflict.
    #[rhai_fn(get = "conflicts", pure)]
    pub fn conflicts(d: &mut Compared) -> i64 {
        d.diff.conflicts() as i64
    }

    /// The number of entries compared.
    #[rhai_fn(get = "entries", pure)]
    pub fn entries(d: &mut Compared) -> i64 {
        d.diff.entries() as i64
    }

    /// The share of all entries with at least one positive and one negative member, whatever the
    /// denominator.
    #[rhai_fn(get = "mixture", pure)]
    pub fn mixture(d: &mut Compared) -> f64 {
        d.diff.mixture()
    }

    /// The mean over pairs of their conflicts as a share of all entries, whatever the denominator.
    #[rhai_fn(get = "mean_pairwise", pure)]
    pub fn mean_pairwise(d: &mut Compared) -> f64 {
        d.diff.mean_pairwise()
    }

    /// The mean of min(#positive, #negative) over the number of members.
    #[rhai_fn(get = "minority", pure)]
    pub fn minority(d: &mut Compared) -> f64 {
        d.diff.minority()
    }

    /// The rate to be expected if each member's signs, in the numbers it has them in each tensor,
    /// stood at positions independent of the other members'. `()` where none of the denominator's
    /// entries are expected, as with `both_nonzero` where all members but one are zero.
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, -1.0]), tensor([0.0, 0.0]), #{ denominator: "both_nonzero" }).expected == ()    // true
    /// ```
    #[rhai_fn(get = "expected", pure)]
    pub fn expected(d: &mut Compared) -> Dynamic {
        known(d.diff.expected())
    }

    /// The rate to be expected if all that the members had in common were their initialisation,
    /// given how far each has drifted from it: for a pair of equal drift r from a normal one,
    /// arccos(1 / (1 + r^2)) / pi. `()` where the initialisation is not recorded or not shared,
    /// where it is not weights that are compared, and where a member was pruned: which weights go
    /// depends on where they began.
    #[rhai_fn(get = "expected_shared", pure, return_raw)]
    pub fn expected_shared(d: &mut Compared) -> Fallible<Dynamic> {
        Ok(d.shared()?
            .map_or(Dynamic::UNIT, |shared| known(shared.rate)))
    }

    /// How far the members have drifted from their shared initialisation: the root of
    /// sum (w - w0)^2 / sum w0^2 over all of them, over the tensors that did not begin as zeros.
    /// `()` where `expected_shared` is, and where all tensors began as zeros.
    #[rhai_fn(get = "drift", pure, return_raw)]
    pub fn drift(d: &mut Compared) -> Fallible<Dynamic> {
        Ok(d.shared()?
            .map_or(Dynamic::UNIT, |shared| known(shared.drift)))
    }

    /// The share of the members' mass (the sum of absolute values) that lies at entries in
    /// conflict.
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, -2.0]), tensor([-3.0, -4.0])).conflict_mass    // 0.4
    /// ```
    #[rhai_fn(get = "conflict_mass", pure, return_raw)]
    pub fn conflict_mass(d: &mut Compared) -> Fallible<f64> {
        told(d.mass()?.conflict_share())
    }

    /// The share of the members' mass that goes when they are added up: with P and N the mass of
    /// an entry's positive and negative members, the sum of 2 min(P, N) over that of P + N.
    ///
    /// ```rhai
    /// sign_diff(tensor([1.0, -2.0]), tensor([-3.0, -4.0])).cancelled_mass    // 0.2
    /// ```
    #[rhai_fn(get = "cancelled_mass", pure, return_raw)]
    pub fn cancelled_mass(d: &mut Compared) -> Fallible<f64> {
        told(d.mass()?.cancelled_share())
    }

    /// Every pair: a Table with a, b, entries, conflicts, rate, both_nonzero, union_nonzero and
    /// tristate.
    #[rhai_fn(get = "pairs", pure, return_raw)]
    pub fn pairs(d: &mut Compared) -> Fallible<Table> {
        let rows = d.diff.pairs();
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
    pub fn by_layer(d: &mut Compared) -> Fallible<Table> {
        Ok(places(d, By::Layer)?)
    }

    /// Every site, all layers together: a Table with site, entries, conflicts, rate, both_nonzero
    /// and expected.
    #[rhai_fn(get = "by_site", pure, return_raw)]
    pub fn by_site(d: &mut Compared) -> Fallible<Table> {
        Ok(places(d, By::Site)?)
    }

    /// Every tensor: a Table with layer, site, tensor, entries, conflicts, rate, both_nonzero and
    /// expected.
    #[rhai_fn(get = "by_tensor", pure, return_raw)]
    pub fn by_tensor(d: &mut Compared) -> Fallible<Table> {
        Ok(places(d, By::Tensor)?)
    }

    /// Every row of every matrix: a Table with layer, site, tensor, row, entries, conflicts, rate
    /// and both_nonzero.
    #[rhai_fn(get = "by_row", pure, return_raw)]
    pub fn by_row_of(d: &mut Compared) -> Fallible<Table> {
        Ok(matrix_rows(d)?)
    }

    /// Every mixture of at least two of the members, smaller ones first: a Table with members,
    /// size, entries, conflicts, non_unanimous (the share of entries with at least one positive
    /// and one negative member), mean_pairwise, minority, both_nonzero, union_nonzero, tristate
    /// and expected (of non_unanimous, if signs were independent). One pass over the signs, the
    /// weights are not looked at again. At most 20 members.
    ///
    /// ```rhai
    /// let d = sign_diff([tensor([1.0, -1.0]), tensor([1.0, 1.0]), tensor([-1.0, 1.0])]);
    /// d.subsets().len    // 4
    /// ```
    #[rhai_fn(name = "subsets", pure, return_raw)]
    pub fn subsets_all(d: &mut Compared) -> Fallible<Table> {
        Ok(subset_table(d, 2, i64::MAX)?)
    }

    /// The same of sizes in a range.
    ///
    /// - `sizes`: numbers of members: `2..=3`, or `2..4`, which leaves out its end
    ///
    /// ```rhai
    /// let d = sign_diff([tensor([1.0, -1.0]), tensor([1.0, 1.0]), tensor([-1.0, 1.0])]);
    /// d.subsets(2..=2).column("non_unanimous")    // [0.5, 1.0, 0.5]
    /// ```
    #[rhai_fn(name = "subsets", pure, return_raw)]
    pub fn subsets_within(d: &mut Compared, sizes: RangeInclusive<i64>) -> Fallible<Table> {
        Ok(subset_table(d, *sizes.start(), *sizes.end())?)
    }

    /// The same for a range that leaves out its end.
    ///
    /// - `sizes`: numbers of members: `2..=3`, or `2..4`, which leaves out its end
    #[rhai_fn(name = "subsets", pure, return_raw)]
    pub fn subsets_until(d: &mut Compared, sizes: Range<i64>) -> Fallible<Table> {
        Ok(subset_table(d, sizes.start, sizes.end - 1)?)
    }

    /// Every member against every other, in colours: the pairs' rates. Above 12 members similar
    /// ones stand side by side (average linkage).
    ///
    /// ```rhai
    /// sign_diff([a, b, c]).heatmap().save("out/pairs.svg");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn heatmap(d: &mut Compared) -> Fallible<Figure> {
        Ok(pair_map(d)?)
    }

    /// The conflict of every layer at every site, in colours: conflicts as a share of the chosen
    /// denominator's entries, over all tensors there.
    ///
    /// ```rhai
    /// sign_diff(a, b).layer_heatmap().save("out/layers.svg");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn layer_heatmap(d: &mut Compared) -> Fallible<Figure> {
        Ok(place_map(d)?)
    }

    /// Every member against every other: a Table with a row and a column a member.
    #[rhai_fn(get = "matrix", pure, return_raw)]
    pub fn matrix_of(d: &mut Compared) -> Fallible<Table> {
        let order: Vec<usize> = (0..d.diff.members().len()).collect();
        Ok(matrix(d, &order)?)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(d: &mut Compared) -> String {
        d.card()
    }
}

/// The pairs' rates as a square; 0 in the diagonal.
fn rates(d: &Compared) -> Vec<Vec<f64>> {
    let l = d.diff.members().len();
    let mut rates = vec![vec![0.0; l]; l];
    let at = (0..l).flat_map(|i| (i + 1..l).map(move |j| (i, j)));
    for ((i, j), row) in at.zip(d.diff.pairs()) {
        rates[i][j] = row.rate;
        rates[j][i] = row.rate;
    }
    rates
}

/// The rates as a table, members in this order. Members of one name are numbered.
fn matrix(d: &Compared, order: &[usize]) -> Result<Table> {
    let members = d.diff.members();
    let name = |i: &usize| match members.iter().filter(|m| **m == members[*i]).count() {
        1 => members[*i].clone(),
        _ => format!("{} ({})", members[*i], i + 1),
    };
    let names: Vec<String> = order.iter().map(name).collect();
    let rates = rates(d);
    let mut columns = vec![("member", names.iter().map(Value::text).collect())];
    for (name, j) in names.iter().zip(order) {
        columns.push((
            name.as_str(),
            order.iter().map(|i| share(rates[*i][*j])).collect(),
        ));
    }
    Table::from_columns(columns)
}

fn pair_map(d: &Compared) -> Result<Figure> {
    let l = d.diff.members().len();
    let order = match l > ORDERED {
        true => similar(&rates(d)),
        false => (0..l).collect(),
    };
    matrix(d, &order)?.heatmap(&HeatmapOptions {
        title: Some("Signs of every pair".into()),
        label: Some(d.share_label()),
        ..HeatmapOptions::default()
    })
}

fn place_map(d: &Compared) -> Result<Figure> {
    let inside = places(d, By::LayerSite)?;
    let layers = inside.column("layer")?;
    let kept: Vec<bool> = layers.iter().map(|layer| *layer != Value::Null).collect();
    let options = HeatmapOptions {
        title: Some("Sign conflict by layer and site".into()),
        label: Some(d.share_label()),
        ..HeatmapOptions::default()
    };
    inside
        .filter(&kept)?
        .heatmap_of("layer", "site", "rate", &options)
}

/// A table of places.
fn places(d: &Compared, by: By) -> Result<Table> {
    let rows = d.diff.by(by);
    let column = |of: &dyn Fn(&PlaceRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let mut columns = super::compared::place_columns(by, rows.iter().map(|row| &row.place));
    columns.extend([
        ("entries", column(&|r| Value::Int(r.entries as i64))),
        ("conflicts", column(&|r| Value::Int(r.conflicts as i64))),
        ("rate", column(&|r| share(r.rate))),
        ("both_nonzero", column(&|r| share(r.both_nonzero))),
        ("expected", column(&|r| share(r.expected))),
    ]);
    Table::from_columns(columns)
}

fn matrix_rows(d: &Compared) -> Result<Table> {
    let rows = by_row(&d.index()?, d.context())?;
    let column = |of: &dyn Fn(&MatrixRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let rate = d.diff.denominator();
    Table::from_columns([
        ("layer", column(&|r| layer(r.tensor.layer()))),
        ("site", column(&|r| Value::text(r.tensor.site()))),
        ("tensor", column(&|r| Value::text(r.tensor.as_str()))),
        ("row", column(&|r| Value::Int(r.row as i64))),
        ("entries", column(&|r| Value::Int(r.counts.entries as i64))),
        (
            "conflicts",
            column(&|r| Value::Int(r.counts.conflicts as i64)),
        ),
        ("rate", column(&|r| share(r.counts.rate(rate)))),
        (
            "both_nonzero",
            column(&|r| share(r.counts.rate(crate::sign::Denominator::BothNonzero))),
        ),
    ])
}

fn subset_table(d: &Compared, from: i64, to: i64) -> Result<Table> {
    use crate::sign::Denominator::{All, BothNonzero, UnionNonzero};
    let size = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX);
    let rows = subsets(&d.index()?, size(from)..=size(to), d.context())?;
    let names = d.diff.members();
    let column = |of: &dyn Fn(&Subset) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let members = |s: &Subset| Value::list(s.members.iter().map(|m| Value::text(&names[*m])));
    Table::from_columns([
        ("members", column(&members)),
        ("size", column(&|s| Value::Int(s.members.len() as i64))),
        ("entries", column(&|s| Value::Int(s.counts.entries as i64))),
        (
            "conflicts",
            column(&|s| Value::Int(s.counts.conflicts as i64)),
        ),
        ("non_unanimous", column(&|s| share(s.counts.rate(All)))),
        ("mean_pairwise", column(&|s| share(s.mean_pairwise))),
        ("minority", column(&|s| share(s.minority))),
        (
            "both_nonzero",
            column(&|s| share(s.counts.rate(BothNonzero))),
        ),
        (
            "union_nonzero",
            column(&|s| share(s.counts.rate(UnionNonzero))),
        ),
        ("tristate", column(&|s| share(s.counts.tristate()))),
        ("expected", column(&|s| share(s.expected))),
    ])
}

/// A rate for a script; an error where there is nothing it could be a share of.
fn told(rate: f64) -> Fallible<f64> {
    if rate.is_nan() {
        bail!("the rate is a share of no entries at all"; hint: "every entry is zero in one or all of the members");
    }
    Ok(rate)
}

/// A rate that may be unknown.
fn known(rate: f64) -> Dynamic {
    match rate.is_nan() {
        true => Dynamic::UNIT,
        false => rate.into(),
    }
}

/// A rate as a cell; empty where there is nothing it could be a share of.
pub(super) fn share(rate: f64) -> Value {
    if rate.is_nan() {
        Value::Null
    } else {
        Value::Float(rate)
    }
}

pub(super) fn layer(layer: Option<usize>) -> Value {
    layer.map_or(Value::Null, |l| Value::Int(l as i64))
}

fn of_array(context: &NativeCallContext, members: &Array, options: &Map) -> Result<Compared> {
    if !members.iter().all(Dynamic::is::<Tensor>) || members.is_empty() {
        return of_adapters(context, &adapters(members, "sign_diff")?, options);
    }
    let options = Options::read(&SIGN_DIFF, options)?;
    let of_adapters = ["space", "tensors", "base"];
    if let Some(name) = of_adapters.iter().find(|name| options.given(name)) {
        return Err(options.error(name, "acts only with adapters, not with Tensors"));
    }
    let tensors: Vec<(String, Tensor)> = members
        .iter()
        .enumerate()
        .filter_map(|(i, m)| m.clone().try_cast::<Tensor>().map(|t| (i.to_string(), t)))
        .collect();
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let session = Session::of(context)?;
    Compared::of(
        Members::of_tensors(&named)?,
        options.text("denominator")?.parse()?,
        session.context(),
    )
}

fn of_adapters(
    context: &NativeCallContext,
    members: &[Adapter],
    options: &Map,
) -> Result<Compared> {
    let options = Options::read(&SIGN_DIFF, options)?;
    let members = Members::of(members, &view(&options)?)?;
    let session = Session::of(context)?;
    Compared::of(
        members,
        options.text("denominator")?.parse()?,
        session.context(),
    )
}
