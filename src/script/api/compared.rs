//! What signs are set beside: cosines, distances, angles, and flips in the course of a training.

use std::sync::{Arc, OnceLock};

use rhai::plugin::*;
use rhai::{Array, Engine, Map, NativeCallContext};

use super::signs::{layer, share};
use super::soups::adapters;
use crate::adapter::Selection;
use crate::report::table::{Table, Value};
use crate::script::Session;
use crate::script::{Fallible, NativeSpec, OptionSpec, Options};
use crate::sign::{
    AngleRow, By, Denominator, FlipRow, LikenessRow, Mass, Members, MixtureIndex, Place, Shared,
    SignDiff, SignPlanes, Space, View, expected_shared, flips, likeness, mass, principal_angles,
    sign_diff,
};
use crate::{Context, Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[WEIGHT_DIFF, SIGN_FLIPS];

pub(super) const SPACE: OptionSpec = OptionSpec::choice(
    "space",
    &["factors", "delta"],
    "of LoRA: the entries of A and B, or of the change B A; other kinds have their weights only",
)
.or("factors");
pub(super) const TENSORS: OptionSpec = OptionSpec::text(
    "tensors",
    "\"weights\", \"all\" or patterns of names with *, of which | stands between several; saved modules only by their name, as in *lm_head*",
)
.or("weights");
pub(super) const BASE: OptionSpec = OptionSpec::value(
    "base",
    "\"initial\", \"zero\" or an adapter",
    "what is subtracted first, so that changes are compared",
)
.otherwise("zero; for IA3 the initial vectors, which are 1");
const BY: OptionSpec = OptionSpec::choice(
    "by",
    &["whole", "layer", "site", "tensor"],
    "what has a row of its own",
)
.or("whole");

static WEIGHT_DIFF: NativeSpec = NativeSpec {
    name: "weight_diff",
    options: &[BY, SPACE, TENSORS, BASE],
};
static SIGN_FLIPS: NativeSpec = NativeSpec {
    name: "sign_flips",
    options: &[
        BY,
        SPACE,
        TENSORS,
        OptionSpec::bool(
            "initial",
            "whether the initialisation, remade, stands before the first checkpoint",
        )
        .or("false"),
        OptionSpec::list("steps", "a number for each checkpoint, in order")
            .otherwise("the steps of checkpoints that train kept, with 0 for the initialisation; of others 0, 1, 2, ..."),
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
    /// Every pair of adapters by signs, angle, distance and mass, from the same numbers: a Table
    /// with a, b, entries, sign_diff and both_nonzero (conflicts as a share of all entries, and of
    /// those where neither is zero), conflict_mass and cancelled_mass (see `sign_diff`), cosine,
    /// l2 (the Euclidean distance) and relative_l2 (over the root mean square of the two lengths:
    /// 0 for equal ones, sqrt(2) for orthogonal ones).
    ///
    /// - `members`: two adapters or more, of one kind and shape
    ///
    /// ```rhai
    /// weight_diff([a, b, c]).columns.len    // 10
    /// weight_diff([a, b])[0].sign_diff == sign_diff(a, b).rate    // true
    /// ```
    #[rhai_fn(return_raw)]
    pub fn weight_diff(context: NativeCallContext, members: Array) -> Fallible<Table> {
        Ok(likeness_table(&context, &members, &Map::new())?)
    }

    /// The same with options: of changes, in another space, of some tensors, by place.
    ///
    /// ```rhai
    /// weight_diff([a, b], #{ base: "initial", by: "layer" }).column("layer")    // [0, 1, 2]
    /// ```
    #[rhai_fn(name = "weight_diff", return_raw)]
    pub fn weight_diff_with(
        context: NativeCallContext,
        members: Array,
        options: Map,
    ) -> Fallible<Table> {
        Ok(likeness_table(&context, &members, &options)?)
    }

    /// The principal angles between the spaces that LoRAs write to (the columns of B) and read
    /// from (the rows of A), at every map that both of a pair change: a Table with a, b, layer,
    /// site, rank_a, rank_b; column_overlap and row_overlap, the mean squared cosine of the
    /// angles (1: the smaller space lies in the larger one); what unrelated spaces give,
    /// column_expected and row_expected; and the least and largest angle of each, column_least,
    /// column_most, row_least and row_most, in degrees. Ranks may differ.
    ///
    /// - `members`: two LoRAs or more
    ///
    /// # Errors
    /// Adapters whose changes are not the product of two factors alone: a DoRA, a LoRA with biases.
    ///
    /// # Source
    /// The overlap is that of Hu et al. 2021, appendix G; the angles are found as in Björck and Golub
    /// 1973.
    ///
    /// ```rhai
    /// let loras = train(base, [films, news], #{ adapter: "lora", r: 2, epochs: 1 });
    /// let angles = principal_angles(loras);
    /// [angles.len, angles[0].rank_a]    // [6, 2]
    /// ```
    #[rhai_fn(name = "principal_angles", return_raw)]
    pub fn principal_angles_of(context: NativeCallContext, members: Array) -> Fallible<Table> {
        Ok(angle_table(&context, &members)?)
    }

    /// Signs that flip between neighbouring checkpoints of one training, given in order: a Table
    /// with step (that of the later one), entries, flips, rate (flips as a share of all entries),
    /// zeroed and grown (entries that became zero, and that no longer are), since_start and
    /// rate_since_start (opposed to the first checkpoint).
    ///
    /// - `checkpoints`: two adapters or more, in order
    ///
    /// ```rhai
    /// let more = train(base, films, #{ from: a, epochs: 1 });
    /// sign_flips([a, more]).column("step")    // [1]
    /// ```
    #[rhai_fn(name = "sign_flips", return_raw)]
    pub fn sign_flips(context: NativeCallContext, checkpoints: Array) -> Fallible<Table> {
        Ok(flip_table(&context, &checkpoints, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// let more = train(base, films, #{ from: a, epochs: 1 });
    /// let flips = sign_flips([a, more], #{ initial: true, by: "layer" });
    /// flips.column("layer")    // [0, 1, 2, 0, 1, 2]
    /// flips.line("step", "rate", #{ color: "layer" }).save("out/flips.svg");
    /// let t = train(base, films, #{ epochs: 2, keep: "epochs" });
    /// sign_flips(t.checkpoints, #{ initial: true }).column("step")    // [2, 4]
    /// ```
    #[rhai_fn(name = "sign_flips", return_raw)]
    pub fn sign_flips_with(
        context: NativeCallContext,
        checkpoints: Array,
        options: Map,
    ) -> Fallible<Table> {
        Ok(flip_table(&context, &checkpoints, &options)?)
    }
}

/// A sign difference with what it was made from.
#[derive(Clone)]
pub struct Compared {
    pub(super) diff: Arc<SignDiff>,
    members: Arc<Members>,
    planes: Arc<Vec<SignPlanes>>,
    later: Arc<Later>,
    context: Context,
}

/// What is found when it is first asked for, since the weights are read for it.
#[derive(Debug, Default)]
struct Later {
    shared: OnceLock<Option<Shared>>,
    mass: OnceLock<Mass>,
}

impl Compared {
    /// The sign difference of these members.
    pub(super) fn of(
        members: Members,
        denominator: Denominator,
        context: &Context,
    ) -> Result<Self> {
        let planes = members.planes(context)?;
        let diff = sign_diff(&named(&members, &planes), denominator, context)?;
        Ok(Self {
            diff: Arc::new(diff),
            members: Arc::new(members),
            planes: Arc::new(planes),
            later: Arc::default(),
            context: context.clone(),
        })
    }

    /// The members' signs side by side.
    pub(super) fn index(&self) -> Result<MixtureIndex<'_>> {
        MixtureIndex::new(&named(&self.members, &self.planes))
    }

    /// What stops what is long.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// What a shared initialisation would give; none where there is none.
    pub(super) fn shared(&self) -> Result<Option<Shared>> {
        let denominator = self.diff.denominator();
        found(&self.later.shared, || {
            expected_shared(&self.members, &self.planes, denominator, &self.context)
        })
    }

    /// The members' mass and what of it is in conflict.
    pub(super) fn mass(&self) -> Result<Mass> {
        found(&self.later.mass, || mass(&self.members, &self.context))
    }

    /// What the colours of a figure say.
    pub(super) fn share_label(&self) -> String {
        let label = match self.diff.denominator() {
            Denominator::All => "share of entries in conflict",
            Denominator::BothNonzero => "conflicts among entries with two members not zero",
            Denominator::UnionNonzero => "conflicts among entries with a member not zero",
        };
        match self.members.describe() {
            what if what.is_empty() => label.into(),
            what => format!("{label} ({what})"),
        }
    }

    /// One line.
    pub(super) fn card(&self) -> String {
        let shared = self.shared().ok().flatten();
        let also = shared.map_or(String::new(), |shared| {
            format!(
                ", {:.4} for a shared initialisation with this drift",
                shared.rate
            )
        });
        let what = match self.members.describe() {
            what if what.is_empty() => what,
            what => format!(" of {what}"),
        };
        let diff = &self.diff;
        let unrelated = match diff.expected() {
            expected if expected.is_nan() => String::new(),
            expected => format!(", expected {expected:.4} if unrelated"),
        };
        let mut card = format!(
            "SignDiff of {}: {:.4}{unrelated}{also}; ",
            diff.members().join(", "),
            diff.rate(),
        );
        if diff.members().len() > 2 {
            card += &format!("mean pairwise {:.4}, ", diff.mean_pairwise());
        }
        card += &format!("{} entries{what}", diff.entries());
        card
    }
}

/// What was found before, or is now. An error is not kept: what was stopped may be asked for again.
fn found<T: Copy>(kept: &OnceLock<T>, find: impl FnOnce() -> Result<T>) -> Result<T> {
    match kept.get() {
        Some(found) => Ok(*found),
        None => find().map(|found| *kept.get_or_init(|| found)),
    }
}

fn named<'a>(members: &'a Members, planes: &'a [SignPlanes]) -> Vec<(&'a str, &'a SignPlanes)> {
    members
        .names()
        .iter()
        .map(String::as_str)
        .zip(planes)
        .collect()
}

/// What the options of a native say is compared.
pub(super) fn view(options: &Options) -> Result<View> {
    Ok(View {
        selection: Selection::from(options.text("tensors")?.as_str()),
        space: space(options)?,
        base: super::soups::base(options)?,
    })
}

fn space(options: &Options) -> Result<Space> {
    Ok(match options.text("space")?.as_str() {
        "delta" => Space::Delta,
        _ => Space::Factors,
    })
}

fn by(options: &Options) -> Result<By> {
    Ok(match options.text("by")?.as_str() {
        "layer" => By::Layer,
        "site" => By::Site,
        "tensor" => By::Tensor,
        _ => By::Whole,
    })
}

/// The columns that say where.
pub(super) fn place_columns<'a>(
    by: By,
    places: impl Iterator<Item = &'a Place>,
) -> Vec<(&'static str, Vec<Value>)> {
    let places: Vec<&Place> = places.collect();
    let text = |v: Option<&str>| v.map_or(Value::Null, Value::text);
    let mut columns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    if matches!(by, By::Layer | By::LayerSite | By::Tensor) {
        columns.push(("layer", places.iter().map(|p| layer(p.layer)).collect()));
    }
    if matches!(by, By::Site | By::LayerSite | By::Tensor) {
        let site = |p: &&Place| text(p.site.as_deref());
        columns.push(("site", places.iter().map(site).collect()));
    }
    if by == By::Tensor {
        let tensor = |p: &&Place| text(p.tensor.as_ref().map(|t| t.as_str()));
        columns.push(("tensor", places.iter().map(tensor).collect()));
    }
    columns
}

fn likeness_table(context: &NativeCallContext, items: &Array, options: &Map) -> Result<Table> {
    let session = Session::of(context)?;
    let options = Options::read(&WEIGHT_DIFF, options)?;
    let adapters = adapters(items, "weight_diff")?;
    if adapters.len() < 2 {
        bail!(
            "weight_diff needs at least two members, got {}",
            adapters.len()
        );
    }
    let members = Members::of(&adapters, &view(&options)?)?;
    let by = by(&options)?;
    let rows = likeness(&members, by, session.context())?;
    let names = members.names();
    let column = |of: &dyn Fn(&LikenessRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let mut columns = vec![
        ("a", column(&|r| Value::text(&names[r.a]))),
        ("b", column(&|r| Value::text(&names[r.b]))),
    ];
    columns.extend(place_columns(by, rows.iter().map(|row| &row.place)));
    let rate = |r: &LikenessRow, d| share(r.likeness.sign_diff(d));
    columns.extend([
        (
            "entries",
            column(&|r| Value::Int(r.likeness.counts.entries as i64)),
        ),
        ("sign_diff", column(&|r| rate(r, Denominator::All))),
        (
            "both_nonzero",
            column(&|r| rate(r, Denominator::BothNonzero)),
        ),
        (
            "conflict_mass",
            column(&|r| share(r.likeness.mass.conflict_share())),
        ),
        (
            "cancelled_mass",
            column(&|r| share(r.likeness.mass.cancelled_share())),
        ),
        ("cosine", column(&|r| share(r.likeness.cosine()))),
        ("l2", column(&|r| share(r.likeness.l2()))),
        ("relative_l2", column(&|r| share(r.likeness.relative_l2()))),
    ]);
    Table::from_columns(columns)
}

fn angle_table(context: &NativeCallContext, items: &Array) -> Result<Table> {
    let session = Session::of(context)?;
    let adapters = adapters(items, "principal_angles")?;
    let rows = principal_angles(&adapters, session.context())?;
    let column = |of: &dyn Fn(&AngleRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let degrees = |v: Option<&f64>| v.map_or(Value::Null, |v| Value::Float(v.to_degrees()));
    Table::from_columns([
        ("a", column(&|r| Value::text(adapters[r.a].name()))),
        ("b", column(&|r| Value::text(adapters[r.b].name()))),
        ("layer", column(&|r| layer(r.map.layer()))),
        ("site", column(&|r| Value::text(site_of(r)))),
        ("rank_a", column(&|r| Value::Int(r.rows.ranks[0] as i64))),
        ("rank_b", column(&|r| Value::Int(r.rows.ranks[1] as i64))),
        ("column_overlap", column(&|r| share(r.columns.overlap()))),
        (
            "column_expected",
            column(&|r| share(r.columns.expected_overlap())),
        ),
        (
            "column_least",
            column(&|r| degrees(r.columns.radians.first())),
        ),
        (
            "column_most",
            column(&|r| degrees(r.columns.radians.last())),
        ),
        ("row_overlap", column(&|r| share(r.rows.overlap()))),
        (
            "row_expected",
            column(&|r| share(r.rows.expected_overlap())),
        ),
        ("row_least", column(&|r| degrees(r.rows.radians.first()))),
        ("row_most", column(&|r| degrees(r.rows.radians.last()))),
    ])
}

/// The site of a map, whose path has no tensor's name behind it.
fn site_of(row: &AngleRow) -> String {
    let name = crate::adapter::Name::new(format!("{}.lora_A", row.map));
    name.site().to_string()
}

fn flip_table(context: &NativeCallContext, items: &Array, options: &Map) -> Result<Table> {
    let session = Session::of(context)?;
    let options = Options::read(&SIGN_FLIPS, options)?;
    let adapters = adapters(items, "sign_flips")?;
    let view = View {
        selection: Selection::from(options.text("tensors")?.as_str()),
        space: space(&options)?,
        ..View::default()
    };
    let members = Members::of(&adapters, &view)?;
    let mut planes = members.planes(session.context())?;
    let mut names = members.names().to_vec();
    let initial = options.bool("initial")?;
    if initial {
        if members.space() == Space::Delta {
            return Err(options.error("initial", "the change B A of a fresh LoRA is zero"));
        }
        planes.insert(0, members.start_planes()?);
        names.insert(0, "initialisation".into());
    }
    let own = adapters.iter().map(|a| Some(a.training()?.step? as i64));
    let own: Option<Vec<i64>> = initial.then_some(Some(0)).into_iter().chain(own).collect();
    let steps = steps(&options, planes.len(), own)?;
    let by = by(&options)?;
    let named: Vec<(&str, &SignPlanes)> = names.iter().map(String::as_str).zip(&planes).collect();
    let rows = flips(&named, by, session.context())?;
    let column = |of: &dyn Fn(&FlipRow) -> Value| rows.iter().map(of).collect::<Vec<_>>();
    let count = |n: u64| Value::Int(n as i64);
    let mut columns = vec![("step", column(&|r| steps[r.step].clone()))];
    columns.extend(place_columns(by, rows.iter().map(|row| &row.place)));
    columns.extend([
        ("entries", column(&|r| count(r.entries))),
        ("flips", column(&|r| count(r.flips))),
        ("rate", column(&|r| share(r.rate()))),
        ("zeroed", column(&|r| count(r.zeroed))),
        ("grown", column(&|r| count(r.grown))),
        ("since_start", column(&|r| count(r.since_start))),
        ("rate_since_start", column(&|r| share(r.rate_since_start()))),
    ]);
    Table::from_columns(columns)
}

/// The number of each checkpoint: as given, else their own where they have some.
fn steps(options: &Options, checkpoints: usize, own: Option<Vec<i64>>) -> Result<Vec<Value>> {
    if !options.given("steps") {
        let counted = || (0..checkpoints as i64).collect();
        let steps = own.unwrap_or_else(counted);
        return Ok(steps.into_iter().map(Value::Int).collect());
    }
    let list = options.list("steps")?;
    if list.len() != checkpoints {
        let found = format!("{} numbers for {checkpoints} checkpoints", list.len());
        return Err(options.error("steps", found));
    }
    list.iter()
        .map(|step| match (step.as_int(), step.as_float()) {
            (Ok(whole), _) => Ok(Value::Int(whole)),
            (_, Ok(number)) => Ok(Value::Float(number)),
            _ => Err(options.error("steps", "expected numbers")),
        })
        .collect()
}
