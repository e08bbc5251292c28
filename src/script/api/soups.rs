//! Mixing adapters in weight space.

use std::ops::{Range, RangeInclusive};

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::evaluation::as_dataset;
use super::files::json;
use crate::adapter::{Adapter, head_id};
use crate::data::Dataset;
use crate::evaluate::match_labels;
use crate::model::Model;
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::soup::{self, Asked, Draw, Heads, LoraMixing, METHODS, Saved, Setting, Settings, Spec};
use crate::train::{fisher_over, inputs_over};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SOUP, SOUPS, SUBSETS];

static SOUPS: NativeSpec = NativeSpec {
    name: "soups",
    options: SOUP.options,
};

static SUBSETS: NativeSpec = NativeSpec {
    name: "subsets",
    options: &[
        OptionSpec::int(
            "sample",
            1,
            2_000_000,
            "the most subsets of each size, drawn at random",
        )
        .otherwise("all"),
        OptionSpec::int("seed", 0, i64::MAX, "moves the draw")
            .otherwise("the study's seed")
            .acts(&[Acts::Given(
                "sample",
                "all subsets are taken: nothing is drawn",
            )]),
    ],
};

static SOUP: NativeSpec = NativeSpec {
    name: "soup",
    options: &[
        OptionSpec::choice("method", METHOD_NAMES, "how the members are mixed").or("linear"),
        OptionSpec::list("weights", "one weight a member, used as given: a number, a list of numbers spread over the layers, or a map of name patterns to either").otherwise("1/N each; 1 for task_arithmetic, ties, dare_ties, della, breadcrumbs_ties").acts(OWN),
        OptionSpec::choice(
            "lora",
            &["delta", "svd", "factors", "sqrt_factors", "negate_b"],
            "the form in which LoRAs are mixed: delta is exact and adds ranks up, to the full one at most (methods that work entry by entry give full rank), svd cuts it to `rank`, the others mix factors and have cross terms",
        )
        .otherwise("delta")
        .acts(&[Acts::Where("with LoRAs")]),
        OptionSpec::int("rank", 1, 65536, "the rank that lora: \"svd\" keeps, at most the full rank of the changes").otherwise("the largest of the members' ranks").acts(&[Acts::With("lora", &["svd"], "only lora: \"svd\" keeps a rank")]),
        OptionSpec::choice("heads", &["keep", "average", "drop"], "what becomes of the members' heads").or("keep"),
        OptionSpec::choice("saved", &["keep", "average", "drop"], SAVED).or("keep").acts(WITH_SAVED),
        OptionSpec::value("base", "\"initial\", \"zero\" or an adapter", "what changes are measured from").otherwise("the members' initialisation where it is recorded, else zero; a LoRA's change from zero").acts(CHANGES),
        OptionSpec::value("density", NUMBER, "ties, dare, della, breadcrumbs, magnitude: the share of each member's entries that stays, from 0 to 1, where 1 trims nothing; sce: of the entries that vary").otherwise("0.2 for ties, as its paper; the other methods need it").acts(OWN),
        OptionSpec::value("lambda", NUMBER, "task_arithmetic, ties, dare, della, breadcrumbs, magnitude: the factor on the mixed change, from -100 to 100").otherwise("1").acts(OWN),
        OptionSpec::choice("rule", &["paper", "peft", "peft_frequency", "mergekit"], "ties and dare_ties: whose trimming, election and mean").otherwise("paper").acts(OWN),
        OptionSpec::bool("normalize", "divide by the sum of the weights that counted; ties and dare_ties take it with rule: \"mergekit\"").otherwise("false; true for ties by mergekit's rule and della").acts(OWN),
        OptionSpec::choice("rescale", &["probability", "l1", "none"], "dare and della: what becomes of entries that stay").otherwise("probability; l1 for della").acts(OWN),
        OptionSpec::value("epsilon", NUMBER, "della: how far the probability varies with the rank, from 0 to 0.5").otherwise("0.15").acts(OWN),
        OptionSpec::value("gamma", NUMBER, "breadcrumbs: the share of the largest entries that falls, from 0 to 1").otherwise("0.01").acts(OWN),
        OptionSpec::value("t", NUMBER, "slerp: the share of the way to the second member, from 0 to 1").otherwise("0.5").acts(OWN),
        OptionSpec::int("max_iter", 0, 100_000, "karcher: the most steps").otherwise("10").acts(OWN),
        OptionSpec::int("seed", 0, i64::MAX, "dare and della: moves what is dropped; fisher and regmean: which rows are looked at").otherwise("the study's seed").acts(OWN),
        OptionSpec::value("model", "a Model", "fisher and regmean: where the members are run; for DoRAs the model whose weights they change, so that they are mixed by their changes (dense ones)").otherwise("fisher and regmean need it; DoRAs are mixed tensor by tensor").acts(MODEL),
        OptionSpec::value("data", "a Dataset or an array with one a member", "fisher and regmean: what the members are run on, its train split").otherwise("the datasets the members were trained on").acts(MEASURING),
        OptionSpec::int("rows", 1, 1_000_000_000, "fisher and regmean: how many rows of each dataset are looked at").otherwise("256").acts(MEASURING),
    ],
};

/// Of settings that methods have or do not have; [`mixing`] goes by [`METHODS`].
const OWN: &[Acts] = &[Acts::Where("with methods that have the setting")];
const CHANGES: &[Acts] = &[Acts::Where("with methods that work on changes")];
const BY_DATA: Acts = Acts::With("method", MEASURED, "the method {} has no such setting");
const MEASURING: &[Acts] = &[BY_DATA];
const MODEL: &[Acts] = &[Acts::Any(&[BY_DATA, Acts::Where("with DoRAs")])];

/// What the option `saved` says.
pub(super) const SAVED: &str = "what becomes of whole modules saved beside the adapters (PEFT's modules_to_save, weights under an embedding's factors, single rows of embeddings): keep takes those that all members have alike, and is an error where they differ; average is their mean by the members' weights";

/// When the option `saved` acts.
pub(super) const WITH_SAVED: &[Acts] = &[Acts::Where("with saved modules")];

/// The names of the methods, in the list's order.
const METHOD_NAMES: &[&str] = &{
    let mut names = [""; METHODS.len() + MEASURED.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = match i < METHODS.len() {
            true => METHODS[i].name,
            false => MEASURED[i - METHODS.len()],
        };
        i += 1;
    }
    names
};

/// The methods that run the model on data.
const MEASURED: &[&str] = &["fisher", "regmean"];

/// What a setting of a method takes.
const NUMBER: &str = "a number, a list of numbers spread over the layers, a map of name patterns to either, or #{ each: [...] } with one a member";

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The uniform soup: the mean of the adapters' tensors. Its weights are made when they are first
    /// needed; it keeps every member's head.
    ///
    /// - `members`: adapters of one kind and one shape; soups too
    ///
    /// With options every method of the literature; `explain` says what came of it. See the guide's page
    /// "mixing".
    ///
    /// # Errors
    /// Members of another kind, base, rank or shape; weights that are all zero; a setting that the
    /// method does not have.
    ///
    /// # Source
    /// Wortsman et al. 2022 (soups), Chronopoulou et al. 2023 (of adapters); the methods: Yadav et al.
    /// 2023 (ties), Yu et al. 2024 (dare), Deep et al. 2024 (della), Davari and Belilovsky 2023
    /// (breadcrumbs), Ilharco et al. 2023 (task arithmetic), Matena and Raffel 2022 (fisher), Jin et
    /// al. 2023 (regmean); mergekit and PEFT where `rule` names them.
    ///
    /// ```rhai
    /// soup([a, b]) == 0.5 * a + 0.5 * b    // true
    /// ```
    #[rhai_fn(return_raw)]
    pub fn soup(context: NativeCallContext, members: Array) -> Fallible<Adapter> {
        Ok(mix(&members, &Map::new(), &Session::of(&context)?)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// soup([a, b, c], #{ weights: [0.5, 0.3, 0.2] }).explain().members.column("weight")    // [0.5, 0.3, 0.2]
    /// soup([a, b], #{ method: "ties", density: 0.2 }).recipe.method    // ties
    /// ```
    #[rhai_fn(name = "soup", return_raw)]
    pub fn soup_with(
        context: NativeCallContext,
        members: Array,
        options: Map,
    ) -> Fallible<Adapter> {
        Ok(mix(&members, &options, &Session::of(&context)?)?)
    }

    /// A soup of each array of adapters.
    ///
    /// - `sets`: arrays of adapters, as `subsets` gives them
    ///
    /// ```rhai
    /// soups(subsets([a, b, c], 2..=3)).len    // 4
    /// ```
    #[rhai_fn(return_raw)]
    pub fn soups(context: NativeCallContext, sets: Array) -> Fallible<Array> {
        Ok(mix_all(&sets, &Map::new(), &Session::of(&context)?)?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// soups([[a, b], [a, c]], #{ method: "slerp" }).map(|s| s.members.len)    // [2, 2]
    /// ```
    #[rhai_fn(name = "soups", return_raw)]
    pub fn soups_with(context: NativeCallContext, sets: Array, options: Map) -> Fallible<Array> {
        Ok(mix_all(&sets, &options, &Session::of(&context)?)?)
    }

    /// All subsets of an array with a size in the range, smaller ones first, each in the array's order.
    ///
    /// - `items`: values of any type
    /// - `sizes`: a range of sizes: `2..=4`, or `2..5`, which leaves out its end
    ///
    /// ```rhai
    /// subsets([1, 2, 3], 2..=3)    // [[1, 2], [1, 3], [2, 3], [1, 2, 3]]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn subsets(
        context: NativeCallContext,
        items: Array,
        sizes: RangeInclusive<i64>,
    ) -> Fallible<Array> {
        Ok(all_subsets(
            &context,
            &items,
            (*sizes.start(), *sizes.end()),
            None,
        )?)
    }

    /// The same with options: some of each size, drawn at random.
    ///
    /// ```rhai
    /// subsets([1, 2, 3, 4, 5], 2..=5, #{ sample: 2 }).map(|s| s.len)    // [2, 2, 3, 3, 4, 4, 5]
    /// ```
    #[rhai_fn(name = "subsets", return_raw)]
    pub fn subsets_drawn(
        context: NativeCallContext,
        items: Array,
        sizes: RangeInclusive<i64>,
        options: Map,
    ) -> Fallible<Array> {
        let options = Options::read(&SUBSETS, &options)?;
        let seed = match options.maybe_int("seed")? {
            Some(seed) => seed as u64,
            None => Session::of(&context)?.seed(),
        };
        let most = options.maybe_int("sample")?;
        let draw = most.map(|most| Draw {
            most: most as usize,
            seed,
        });
        Ok(all_subsets(
            &context,
            &items,
            (*sizes.start(), *sizes.end()),
            draw,
        )?)
    }

    /// The same for a range that leaves out its end.
    #[rhai_fn(name = "subsets", return_raw)]
    pub fn subsets_until(
        context: NativeCallContext,
        items: Array,
        sizes: Range<i64>,
    ) -> Fallible<Array> {
        let last = sizes.end.saturating_sub(1);
        Ok(all_subsets(&context, &items, (sizes.start, last), None)?)
    }

    /// The same for one size.
    ///
    /// - `size`: how many values each has
    ///
    /// ```rhai
    /// subsets(["x", "y", "z"], 2).len    // 3
    /// ```
    #[rhai_fn(name = "subsets", return_raw)]
    pub fn subsets_of(context: NativeCallContext, items: Array, size: i64) -> Fallible<Array> {
        Ok(all_subsets(&context, &items, (size, size), None)?)
    }

    /// What training changed, for sums: `a + 0.5 * b.delta()`. The tensors less their initialisation,
    /// which the adapter must record; a LoRA's change is itself.
    ///
    /// # Errors
    /// A loaded adapter, of which the initialisation is not known.
    ///
    /// # Source
    /// Ilharco et al. 2023, task vectors.
    ///
    /// ```rhai
    /// a + 0.5 * b.delta() - 0.2 * c.delta();
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn delta(adapter: &mut Adapter) -> Fallible<Adapter> {
        Ok(soup::delta(adapter)?)
    }

    #[rhai_fn(name = "+", return_raw)]
    pub fn add(context: NativeCallContext, a: Adapter, b: Adapter) -> Fallible<Adapter> {
        Ok(sum(&context, &[(1.0, a), (1.0, b)])?)
    }

    #[rhai_fn(name = "-", return_raw)]
    pub fn subtract(context: NativeCallContext, a: Adapter, b: Adapter) -> Fallible<Adapter> {
        Ok(sum(&context, &[(1.0, a), (-1.0, b)])?)
    }

    #[rhai_fn(name = "-", return_raw)]
    pub fn negate(context: NativeCallContext, a: Adapter) -> Fallible<Adapter> {
        Ok(sum(&context, &[(-1.0, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled(context: NativeCallContext, weight: f64, a: Adapter) -> Fallible<Adapter> {
        Ok(sum(&context, &[(weight, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_by(context: NativeCallContext, a: Adapter, weight: f64) -> Fallible<Adapter> {
        Ok(sum(&context, &[(weight, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_whole(context: NativeCallContext, weight: i64, a: Adapter) -> Fallible<Adapter> {
        Ok(sum(&context, &[(weight as f64, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_by_whole(
        context: NativeCallContext,
        a: Adapter,
        weight: i64,
    ) -> Fallible<Adapter> {
        Ok(sum(&context, &[(weight as f64, a)])?)
    }

    #[rhai_fn(name = "/", return_raw)]
    pub fn divided(context: NativeCallContext, a: Adapter, by: f64) -> Fallible<Adapter> {
        Ok(sum(&context, &[(1.0 / by, a)])?)
    }

    #[rhai_fn(name = "/", return_raw)]
    pub fn divided_whole(context: NativeCallContext, a: Adapter, by: i64) -> Fallible<Adapter> {
        Ok(sum(&context, &[(1.0 / by as f64, a)])?)
    }
}

/// The linear soup that operators make.
fn sum(context: &NativeCallContext, terms: &[(f64, Adapter)]) -> Result<Adapter> {
    soup::combine(terms, Session::of(context)?.context())
}

/// The adapters of an array; an error for anything else in it.
pub(super) fn adapters(items: &Array, native: &str) -> Result<Vec<Adapter>> {
    items
        .iter()
        .map(|item| match item.clone().try_cast::<Adapter>() {
            Some(adapter) => Ok(adapter),
            None => bail!("{native}: expected adapters, got {}", describe(item)),
        })
        .collect()
}

fn mix(members: &Array, options: &Map, session: &Session) -> Result<Adapter> {
    let options = Options::read(&SOUP, options)?;
    let members = adapters(members, "soup")?;
    if members.is_empty() {
        return Err(crate::Error::new("a soup of no adapters").hint("give at least one"));
    }
    if MEASURED.contains(&options.text("method")?.as_str()) {
        return measured(&options, &members, session);
    }
    let members = by_weights(&options, members)?;
    let mixing = mixing(&options, &members, session)?;
    soup::soup(&members, &mixing, session.context())
}

/// DoRAs as the changes that they make to the weights of the option `model`; others as they are.
fn by_weights(options: &Options, members: Vec<Adapter>) -> Result<Vec<Adapter>> {
    let Some(model) = options.value::<Model>("model")? else {
        return Ok(members);
    };
    if !members.iter().all(|m| m.kind().name() == "dora") {
        let why = "only fisher, regmean and mixtures of DoRAs look at a model";
        return Err(options.error("model", why));
    }
    members.iter().map(|m| soup::dense(m, &model)).collect()
}

/// How a map of `soup`'s options says to mix, for soups that are made later.
pub(super) fn mixing_of(
    options: &Map,
    members: &[Adapter],
    session: &Session,
) -> Result<soup::Options> {
    let options = Options::read(&SOUP, options)?;
    let method = options.text("method")?;
    if MEASURED.contains(&method.as_str()) {
        let why = format!("{method} runs the model for every soup, too often for a search");
        return Err(options.error("method", why));
    }
    if options.given("model") {
        return Err(options.error("model", "a search takes its members as they are"));
    }
    mixing(&options, members, session)
}

/// A soup by what is measured on the members' data.
fn measured(options: &Options, members: &[Adapter], session: &Session) -> Result<Adapter> {
    let method = options.text("method")?;
    let known = [
        "method", "weights", "heads", "seed", "model", "data", "rows",
    ];
    if let Some(name) = options
        .as_given()
        .keys()
        .find(|n| !known.contains(&n.as_str()))
    {
        return Err(options.error(name, format!("the method {method} has no such setting")));
    }
    let Some(model) = options.value::<Model>("model")? else {
        let hint = format!("{method} needs it: #{{ method: \"{method}\", model: base }}");
        return Err(options.error("model", hint));
    };
    let data = match options.get("data") {
        None => members.iter().map(own_domain).collect::<Result<Vec<_>>>()?,
        Some(given) => {
            let data = datasets(given).map_err(|e| e.within("soup: option data"))?;
            match data.len() {
                1 => vec![data[0].clone(); members.len()],
                n if n == members.len() => data,
                n => bail!(
                    "soup: option data: {n} datasets for {} adapters",
                    members.len()
                ),
            }
        }
    };
    let seed = options
        .maybe_int("seed")?
        .map_or(session.seed(), |s| s as u64);
    let rows = options.maybe_int("rows")?.unwrap_or(256) as usize;
    let ids: Vec<&str> = data.iter().map(Dataset::id).collect();
    // Which head is used depends on the datasets' names, too, which are not part of their ids.
    let mut used = Vec::new();
    for (member, data) in members.iter().zip(&data) {
        member.suits(&model)?;
        let head = member.head_for(data)?;
        let outputs = match_labels(data, &head.labels)?.outputs;
        used.push(serde_json::json!({ "head": head_id(head), "outputs": outputs }));
    }
    let details = serde_json::json!({
        "model": model.key(), "data": ids, "rows": rows, "seed": seed, "used": used,
    });
    let heads = Heads::of(&options.text("heads")?);
    let (context, pairs) = (session.context(), members.iter().zip(&data));
    if method == "regmean" {
        if options.given("weights") {
            return Err(options.error("weights", "the method regmean takes none"));
        }
        let inputs = pairs.map(|(m, d)| inputs_over(&model, m, d, rows, seed, context));
        return soup::regmean(
            members,
            &inputs.collect::<Result<Vec<_>>>()?,
            &details,
            heads,
            context,
        );
    }
    let weights = match options.value::<Array>("weights")? {
        None => vec![1.0; members.len()],
        Some(list) => list
            .iter()
            .map(
                |w| match w.as_float().or_else(|_| w.as_int().map(|i| i as f64)) {
                    Ok(w) if w.is_finite() => Ok(w),
                    _ => Err(options.error("weights", "expected numbers")),
                },
            )
            .collect::<Result<_>>()?,
    };
    if weights.len() != members.len() || weights.iter().any(|w| *w <= 0.0) {
        return Err(options.error("weights", "expected one above 0 for each adapter"));
    }
    let information = pairs.map(|(m, d)| fisher_over(&model, m, d, rows, seed, context));
    let mut details = details;
    details["weights"] = weights.clone().into();
    soup::fisher(
        members,
        &weights,
        &information.collect::<Result<Vec<_>>>()?,
        &details,
        heads,
        context,
    )
}

fn own_domain(member: &Adapter) -> Result<Dataset> {
    match member.domain() {
        Some(data) => Ok(data.clone()),
        None => bail!(
            "soup: option data: the dataset of {} is not known", member.name();
            hint: "give it: data: [...], one for each adapter"
        ),
    }
}

/// A dataset or an array of them.
pub(super) fn datasets(value: &Dynamic) -> Result<Vec<Dataset>> {
    match value.read_lock::<Array>() {
        Some(list) => list.iter().map(as_dataset).collect(),
        None => Ok(vec![as_dataset(value)?]),
    }
}

fn mixing(options: &Options, members: &[Adapter], session: &Session) -> Result<soup::Options> {
    let name = options.text("method")?;
    let method = Spec::find(&name)?;
    let refused = |name: &str| {
        options.error(
            name,
            format!("the method {} has no such setting", method.name),
        )
    };
    let mut settings = Settings::default();
    for number in METHODS.iter().flat_map(|m| m.numbers) {
        let Some(value) = options
            .get(number.name)
            .filter(|_| options.given(number.name))
        else {
            continue;
        };
        if !method.numbers.iter().any(|n| n.name == number.name) {
            return Err(refused(number.name));
        }
        let within = |e: crate::Error| e.within(format!("soup: option {}", number.name));
        settings
            .numbers
            .insert(number.name, each(value).map_err(within)?);
    }
    for choice in METHODS.iter().flat_map(|m| m.choices) {
        if !options.given(choice.name) {
            continue;
        }
        let text = options.text(choice.name)?;
        let own = method.choices.iter().find(|c| c.name == choice.name);
        let word = own.and_then(|c| c.words.iter().find(|w| **w == text));
        settings
            .words
            .insert(choice.name, word.ok_or_else(|| refused(choice.name))?);
    }
    if options.given("normalize") {
        if !method.flags.iter().any(|(f, _)| *f == "normalize") {
            return Err(refused("normalize"));
        }
        let rules = method.choices.iter().any(|c| c.name == "rule");
        if rules && options.maybe_text("rule")?.as_deref() != Some("mergekit") {
            return Err(options.error(
                "normalize",
                "the rules \"paper\", \"peft\" and \"peft_frequency\" say what to divide by; only rule: \"mergekit\" leaves it open",
            ));
        }
        settings
            .flags
            .insert("normalize", options.bool("normalize")?);
    }
    settings.seed = match options.maybe_int("seed")? {
        Some(_) if !method.random => return Err(refused("seed")),
        Some(seed) => Some(seed as u64),
        None => method.random.then(|| session.seed()),
    };
    method.asks(&settings).map_err(|e| e.within("soup"))?;
    let weights = match options.value::<Array>("weights")? {
        None => None,
        Some(list) => Some(
            list.iter()
                .map(|w| Setting::read(&json(w)?).map_err(|e| options.error("weights", e)))
                .collect::<Result<Vec<_>>>()?,
        ),
    };
    Ok(soup::Options {
        method,
        weights,
        settings,
        lora: lora_mixing(options, members)?,
        base: base(options)?,
        heads: Heads::of(&options.text("heads")?),
        saved: saved(options, members)?,
        heads_of: Vec::new(),
        chosen: None,
    })
}

/// What becomes of saved modules; an error where the option is given and no member has any.
pub(super) fn saved(options: &Options, members: &[Adapter]) -> Result<Saved> {
    if options.given("saved") {
        let mut any = false;
        for member in members {
            any |= !member.saved_shapes()?.is_empty();
        }
        if !any {
            return Err(options.error("saved", "no member has saved modules"));
        }
    }
    Ok(Saved::of(&options.text("saved")?))
}

/// A setting for all members, or one a member.
fn each(value: &Dynamic) -> Result<Vec<Setting>> {
    if let Some(map) = value.read_lock::<Map>()
        && let Some(list) = map.get("each").and_then(|l| l.clone().try_cast::<Array>())
    {
        let one = |v: &Dynamic| Setting::read(&json(v)?);
        return list.iter().map(one).collect();
    }
    Ok(vec![Setting::read(&json(value)?)?])
}

/// What changes are measured from, as the option `base` says; none where it is not given.
pub(super) fn base(options: &Options) -> Result<Option<Asked>> {
    let Some(value) = options.get("base") else {
        return Ok(None);
    };
    if let Some(adapter) = value.clone().try_cast::<Adapter>() {
        return Ok(Some(Asked::Adapter(adapter)));
    }
    match value.clone().into_string().as_deref() {
        Ok("initial") => Ok(Some(Asked::Initial)),
        Ok("zero") => Ok(Some(Asked::Zero)),
        _ => Err(options.error(
            "base",
            format!(
                "expected \"initial\", \"zero\" or an adapter, got {}",
                describe(value)
            ),
        )),
    }
}

fn lora_mixing(options: &Options, members: &[Adapter]) -> Result<Option<LoraMixing>> {
    let how = options.maybe_text("lora")?;
    let Some(how) = how else {
        return Ok(None);
    };
    Ok(Some(match how.as_str() {
        "svd" => {
            let rank = match options.maybe_int("rank")? {
                Some(rank) => {
                    if let Some(full) = soup::full_rank(members)?
                        && rank as usize > full
                    {
                        return Err(options.error(
                            "rank",
                            format!(
                                "expected at most {full}, the full rank of the changes, got {rank}"
                            ),
                        ));
                    }
                    rank as usize
                }
                None => soup::largest_rank(members)?,
            };
            LoraMixing::Svd { rank }
        }
        "factors" => LoraMixing::Factors,
        "sqrt_factors" => LoraMixing::SqrtFactors,
        "negate_b" => LoraMixing::NegateB,
        _ => LoraMixing::Delta,
    }))
}

fn mix_all(sets: &Array, options: &Map, session: &Session) -> Result<Array> {
    Options::read(&SOUPS, options)?;
    sets.iter()
        .map(|set| match set.as_array_ref() {
            Ok(members) => Ok(Dynamic::from(mix(&members, options, session)?)),
            Err(_) => bail!("soups: expected arrays of adapters, got {}", describe(set)),
        })
        .collect()
}

fn all_subsets(
    context: &NativeCallContext,
    items: &Array,
    (from, to): (i64, i64),
    draw: Option<Draw>,
) -> Result<Array> {
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let sizes = size(from)..=size(to);
    let count = soup::subset_count(items.len(), sizes.clone(), draw);
    Session::of(context)?.room_for("subsets: a list", count)?;
    let sets = soup::subsets(items, sizes, draw)?;
    Ok(sets.into_iter().map(Dynamic::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Kind;

    #[test]
    fn every_setting_of_every_method_has_its_row() {
        let row = |name: &str| SOUP.options.iter().find(|o| o.name == name);
        // della_linear and its like are kin of della.
        let told = |method: &str, setting: &str| {
            let kin = method.split('_').next().unwrap_or_default();
            let doc = row(setting).map_or("", |o| o.doc);
            doc.contains(method) || doc.contains(kin)
        };
        for method in METHODS {
            for name in ["density", "lambda", "epsilon", "gamma", "t", "max_iter"] {
                let takes = method.numbers.iter().any(|n| n.name == name);
                assert!(!takes || told(method.name, name), "{}: {name}", method.name);
            }
            for number in method.numbers {
                assert!(
                    row(number.name).is_some(),
                    "{}: {}",
                    method.name,
                    number.name
                );
            }
            for (flag, _) in method.flags {
                assert!(row(flag).is_some(), "{}: {flag}", method.name);
            }
            for choice in method.choices {
                let Some(Kind::Choice(words)) = row(choice.name).map(|o| o.kind) else {
                    panic!("{}: {}", method.name, choice.name);
                };
                assert!(
                    choice.words.iter().all(|w| words.contains(w)),
                    "{}",
                    choice.name
                );
            }
        }
    }
}
