//! Mixing adapters in weight space.

use std::ops::{Range, RangeInclusive};

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map};

use super::tensors::map_of;
use crate::adapter::{Adapter, Selection};
use crate::evaluate::SignRates;
use crate::report::table::{Table, Value};
use crate::script::Fallible;
use crate::script::Session;
use crate::script::describe;
use crate::script::{NativeSpec, OptionSpec, Options};
use crate::sign::SignPlanes;
use crate::soup::{self, LoraMixing};
use crate::{Result, bail};

/// The options of the natives here.
pub(super) static OPTIONS: &[NativeSpec] = &[SOUP];

static SOUP: NativeSpec = NativeSpec {
    name: "soup",
    options: &[
        OptionSpec::choice("method", &["linear"], "how the members are mixed").or("linear"),
        OptionSpec::choice(
            "lora",
            &["delta", "svd", "factors", "sqrt_factors", "negate_b"],
            "how low-rank factors are mixed; delta is exact and adds ranks up, svd cuts it to `rank`, the others have cross terms",
        )
        .or("delta"),
        OptionSpec::int("rank", 1, 4096, "the rank that lora: \"svd\" keeps").otherwise("the largest of the members' ranks"),
        OptionSpec::list("weights", "one weight a member, used as given").otherwise("1/N each"),
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
    /// The uniform soup: the mean of the adapters' tensors. Its weights are made when needed; it
    /// keeps every member's head.
    ///
    /// ```rhai,no_run
    /// let s = soup([a, b, c]);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn soup(members: Array) -> Fallible<Adapter> {
        Ok(mix(&members, &Map::new())?)
    }

    /// The same with options.
    ///
    /// ```rhai,no_run
    /// let s = soup([a, b, c], #{ weights: [0.5, 0.3, 0.2] });
    /// ```
    #[rhai_fn(name = "soup", return_raw)]
    pub fn soup_with(members: Array, options: Map) -> Fallible<Adapter> {
        Ok(mix(&members, &options)?)
    }

    /// A soup of each array of adapters.
    #[rhai_fn(return_raw)]
    pub fn soups(sets: Array) -> Fallible<Array> {
        Ok(mix_all(&sets, &Map::new())?)
    }

    /// The same with options.
    #[rhai_fn(name = "soups", return_raw)]
    pub fn soups_with(sets: Array, options: Map) -> Fallible<Array> {
        Ok(mix_all(&sets, &options)?)
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

fn mix(members: &Array, options: &Map) -> Result<Adapter> {
    let options = Options::read(&SOUP, options)?;
    let weights =
        match options.value::<Array>("weights")? {
            None => None,
            Some(list) => Some(
                list.iter()
                    .map(|w| match (w.as_float(), w.as_int()) {
                        (Ok(w), _) => Ok(w),
                        (_, Ok(w)) => Ok(w as f64),
                        _ => Err(options
                            .error("weights", format!("expected numbers, got {}", describe(w)))),
                    })
                    .collect::<Result<Vec<f64>>>()?,
            ),
        };
    let members = adapters(members, "soup")?;
    soup::soup(
        &members,
        weights.as_deref(),
        lora_mixing(&options, &members)?,
    )
}

fn lora_mixing(options: &Options, members: &[Adapter]) -> Result<LoraMixing> {
    let how = options.text("lora")?;
    if options.given("rank") && how != "svd" {
        return Err(options.error("rank", format!("lora: \"{how}\" has no such setting")));
    }
    Ok(match how.as_str() {
        "svd" => {
            let ranks = members
                .iter()
                .filter_map(|m| m.kind().config()["r"].as_u64());
            let widest = ranks.max().unwrap_or(8) as i64;
            LoraMixing::Svd {
                rank: options.maybe_int("rank")?.unwrap_or(widest) as usize,
            }
        }
        "factors" => LoraMixing::Factors,
        "sqrt_factors" => LoraMixing::SqrtFactors,
        "negate_b" => LoraMixing::NegateB,
        _ => LoraMixing::Delta,
    })
}

fn mix_all(sets: &Array, options: &Map) -> Result<Array> {
    sets.iter()
        .map(|set| match set.as_array_ref() {
            Ok(members) => Ok(Dynamic::from(mix(&members, options)?)),
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
