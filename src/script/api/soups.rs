//! Mixing adapters in weight space.

use std::ops::{Range, RangeInclusive};

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::files::json;
use super::tensors::map_of;
use crate::adapter::{Adapter, Selection};
use crate::evaluate::SignRates;
use crate::report::table::{Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::sign::SignPlanes;
use crate::soup::{self, Asked, Heads, LoraMixing, METHODS, Setting, Settings, Spec};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SOUP];

static SOUP: NativeSpec = NativeSpec {
    name: "soup",
    options: &[
        OptionSpec::choice("method", METHOD_NAMES, "how the members are mixed").or("linear"),
        OptionSpec::list("weights", "one weight a member, used as given: a number, a list of numbers spread over the layers, or a map of name patterns to either").otherwise("1/N each; 1 for task_arithmetic, ties, dare_ties, della, breadcrumbs_ties"),
        OptionSpec::choice(
            "lora",
            &["delta", "svd", "factors", "sqrt_factors", "negate_b"],
            "the form in which LoRAs are mixed: delta is exact and adds ranks up (methods that work entry by entry give full rank), svd cuts it to `rank`, the others mix factors and have cross terms",
        )
        .otherwise("delta"),
        OptionSpec::int("rank", 1, 65536, "the rank that lora: \"svd\" keeps").otherwise("the largest of the members' ranks"),
        OptionSpec::choice("heads", &["keep", "average", "drop"], "what becomes of the members' heads").or("keep"),
        OptionSpec::value("base", "\"initial\", \"zero\" or an adapter", "what changes are measured from").otherwise("the members' initialisation where it is recorded, else zero; a LoRA's change from zero"),
        OptionSpec::value("density", NUMBER, "the share of each member's entries that stays, from 0 to 1").otherwise("1"),
        OptionSpec::value("lambda", NUMBER, "the factor on the mixed change, from -100 to 100").otherwise("1"),
        OptionSpec::choice("rule", &["paper", "peft", "peft_frequency", "mergekit"], "ties and dare_ties: whose trimming, election and mean").otherwise("paper"),
        OptionSpec::bool("normalize", "divide by the sum of the weights that counted").otherwise("false; true for ties by mergekit's rule and della"),
        OptionSpec::choice("rescale", &["probability", "l1", "none"], "dare and della: what becomes of entries that stay").otherwise("probability; l1 for della"),
        OptionSpec::value("epsilon", NUMBER, "della: how far the probability varies with the rank, from 0 to 0.5").otherwise("0.15"),
        OptionSpec::value("gamma", NUMBER, "breadcrumbs: the share of the largest entries that falls, from 0 to 1").otherwise("0.01"),
        OptionSpec::value("t", NUMBER, "slerp: the share of the way to the second member, from 0 to 1").otherwise("0.5"),
        OptionSpec::int("max_iter", 0, 100_000, "karcher: the most steps").otherwise("10"),
        OptionSpec::int("seed", 0, i64::MAX, "dare and della: moves what is dropped").otherwise("the study's seed"),
    ],
};

/// The names of the methods, in the list's order.
const METHOD_NAMES: &[&str] = &{
    let mut names = [""; METHODS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = METHODS[i].name;
        i += 1;
    }
    names
};

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
    /// The uniform soup: the mean of the adapters' tensors. Its weights are made when needed; it
    /// keeps every member's head.
    ///
    /// ```rhai,no_run
    /// let s = soup([a, b, c]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn soup(context: NativeCallContext, members: Array) -> Fallible<Adapter> {
        Ok(mix(&members, &Map::new(), &Session::of(&context)?)?)
    }

    /// The same with options.
    ///
    /// ```rhai,no_run
    /// let s = soup([a, b, c], #{ weights: [0.5, 0.3, 0.2] });
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
    #[rhai_fn(return_raw)]
    pub fn soups(context: NativeCallContext, sets: Array) -> Fallible<Array> {
        Ok(mix_all(&sets, &Map::new(), &Session::of(&context)?)?)
    }

    /// The same with options.
    #[rhai_fn(name = "soups", return_raw)]
    pub fn soups_with(context: NativeCallContext, sets: Array, options: Map) -> Fallible<Array> {
        Ok(mix_all(&sets, &options, &Session::of(&context)?)?)
    }

    /// All subsets of an array with a size in the range, smaller ones first.
    ///
    /// ```rhai
    /// subsets([1, 2, 3], 2..=3)    // [[1, 2], [1, 3], [2, 3], [1, 2, 3]]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn subsets(items: Array, sizes: RangeInclusive<i64>) -> Fallible<Array> {
        Ok(all_subsets(&items, *sizes.start(), *sizes.end())?)
    }

    /// The same for a range that leaves out its end.
    #[rhai_fn(name = "subsets", return_raw)]
    pub fn subsets_until(items: Array, sizes: Range<i64>) -> Fallible<Array> {
        Ok(all_subsets(&items, sizes.start, sizes.end - 1)?)
    }

    /// All subsets of one size.
    #[rhai_fn(name = "subsets", return_raw)]
    pub fn subsets_of(items: Array, size: i64) -> Fallible<Array> {
        Ok(all_subsets(&items, size, size)?)
    }

    /// How it was mixed: a map with method, weights and members (ids); `()` where it was not.
    #[rhai_fn(get = "recipe", pure, return_raw)]
    pub fn recipe(adapter: &mut Adapter) -> Fallible<Dynamic> {
        match adapter.recipe() {
            Some(recipe) => Ok(super::super::files::from_json(recipe.describe())?),
            None => Ok(Dynamic::UNIT),
        }
    }

    /// What a soup is made of: a map with `members` (a Table of names and weights), `parameters`,
    /// `density` (share of entries other than zero) and, where the members' tensors can be
    /// compared, `sign_diff`.
    #[rhai_fn(pure, return_raw)]
    pub fn explain(adapter: &mut Adapter) -> Fallible<Map> {
        Ok(explanation(adapter)?)
    }

    /// What training changed, for sums: `a + 0.5 * b.delta()`. The tensors less their
    /// initialisation, which the adapter must record; a LoRA's change is itself.
    #[rhai_fn(pure, return_raw)]
    pub fn delta(adapter: &mut Adapter) -> Fallible<Adapter> {
        Ok(soup::delta(adapter)?)
    }

    #[rhai_fn(name = "+", return_raw)]
    pub fn add(a: Adapter, b: Adapter) -> Fallible<Adapter> {
        Ok(soup::combine(&[(1.0, a), (1.0, b)])?)
    }

    #[rhai_fn(name = "-", return_raw)]
    pub fn subtract(a: Adapter, b: Adapter) -> Fallible<Adapter> {
        Ok(soup::combine(&[(1.0, a), (-1.0, b)])?)
    }

    #[rhai_fn(name = "-", return_raw)]
    pub fn negate(a: Adapter) -> Fallible<Adapter> {
        Ok(soup::combine(&[(-1.0, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled(weight: f64, a: Adapter) -> Fallible<Adapter> {
        Ok(soup::combine(&[(weight, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_by(a: Adapter, weight: f64) -> Fallible<Adapter> {
        Ok(soup::combine(&[(weight, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_whole(weight: i64, a: Adapter) -> Fallible<Adapter> {
        Ok(soup::combine(&[(weight as f64, a)])?)
    }

    #[rhai_fn(name = "*", return_raw)]
    pub fn scaled_by_whole(a: Adapter, weight: i64) -> Fallible<Adapter> {
        Ok(soup::combine(&[(weight as f64, a)])?)
    }

    #[rhai_fn(name = "/", return_raw)]
    pub fn divided(a: Adapter, by: f64) -> Fallible<Adapter> {
        Ok(soup::combine(&[(1.0 / by, a)])?)
    }

    #[rhai_fn(name = "/", return_raw)]
    pub fn divided_whole(a: Adapter, by: i64) -> Fallible<Adapter> {
        Ok(soup::combine(&[(1.0 / by as f64, a)])?)
    }
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
    let mixing = mixing(&options, &members, session)?;
    soup::soup(&members, &mixing, session.context())
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
        settings
            .flags
            .insert("normalize", options.bool("normalize")?);
    }
    settings.seed = match options.maybe_int("seed")? {
        Some(_) if !method.random => return Err(refused("seed")),
        Some(seed) => Some(seed as u64),
        None => method.random.then(|| session.seed()),
    };
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
        chosen: None,
    })
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

fn base(options: &Options) -> Result<Option<Asked>> {
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
    if options.given("rank") && how.as_deref() != Some("svd") {
        return Err(options.error("rank", "only lora: \"svd\" keeps a rank"));
    }
    Ok(how.map(|how| match how.as_str() {
        "svd" => {
            let ranks = members
                .iter()
                .filter_map(|m| m.kind().config()["r"].as_u64());
            let widest = ranks.max().unwrap_or(8) as i64;
            let asked = options.maybe_int("rank").ok().flatten();
            LoraMixing::Svd {
                rank: asked.unwrap_or(widest) as usize,
            }
        }
        "factors" => LoraMixing::Factors,
        "sqrt_factors" => LoraMixing::SqrtFactors,
        "negate_b" => LoraMixing::NegateB,
        _ => LoraMixing::Delta,
    }))
}

fn mix_all(sets: &Array, options: &Map, session: &Session) -> Result<Array> {
    sets.iter()
        .map(|set| match set.as_array_ref() {
            Ok(members) => Ok(Dynamic::from(mix(&members, options, session)?)),
            Err(_) => bail!("soups: expected arrays of adapters, got {}", describe(set)),
        })
        .collect()
}

fn all_subsets(items: &Array, from: i64, to: i64) -> Result<Array> {
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let sets = soup::subsets(items, size(from)..=size(to))?;
    Ok(sets.into_iter().map(Dynamic::from).collect())
}

fn explanation(adapter: &Adapter) -> Result<Map> {
    let tensors = adapter.tensors()?;
    let (mut entries, mut nonzero) = (0usize, 0usize);
    for tensor in tensors.values() {
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        entries += values.len();
        nonzero += values.iter().filter(|v| **v != 0.0).count();
    }
    let weights: Vec<Value> = match adapter.recipe() {
        Some(recipe) => recipe.describe()["weights"]
            .as_array()
            .map(|w| {
                w.iter()
                    .map(|w| w.as_f64().map_or(Value::Null, Value::Float))
                    .collect()
            })
            .unwrap_or_default(),
        None => vec![Value::Float(1.0)],
    };
    let members = adapter.members();
    let table = Table::from_columns([
        (
            "member",
            members
                .iter()
                .map(|m| Value::text(m.name()))
                .collect::<Vec<_>>(),
        ),
        ("weight", weights),
        (
            "id",
            members
                .iter()
                .map(|m| Value::text(m.id().short()))
                .collect(),
        ),
    ])?;
    let mut map = map_of([
        ("members", Dynamic::from(table)),
        ("parameters", (entries as i64).into()),
        ("density", (nonzero as f64 / entries.max(1) as f64).into()),
    ]);
    if members.len() > 1
        && let Ok(planes) = members
            .iter()
            .map(|m| SignPlanes::new(&*m.tensors()?, &Selection::Matrices))
            .collect::<Result<Vec<_>>>()
        && let named = members
            .iter()
            .map(Adapter::name)
            .zip(&planes)
            .collect::<Vec<_>>()
        && let Ok(rates) = SignRates::of(&named)
    {
        map.insert("sign_diff".into(), rates.all.into());
        if let Some(rate) = rates.both_nonzero {
            map.insert("both_nonzero".into(), rate.into());
        }
    }
    Ok(map)
}
