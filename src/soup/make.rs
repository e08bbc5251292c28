//! Making soups: by a method with its options, and by operators.

use std::sync::Arc;

use serde_json::Value;

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, Lora, Parts};
use crate::study::Id;
use crate::{Context, Result, bail};

use super::base::{self, Asked, Base, initialisation};
use super::form::LoraMixing;
use super::heads::{Heads, with_heads_of};
use super::members::compatible;
use super::method::{On, Spec};
use super::recipe::{Soup, Weights};
use super::saved::Saved;
use super::settings::{Setting, Settings};

/// How to mix.
#[derive(Debug, Clone)]
pub struct Options {
    /// The method; linear.
    pub method: &'static Spec,
    /// One a member; the method's default where not given.
    pub weights: Option<Vec<Setting>>,
    /// The method's settings; its defaults where not given.
    pub settings: Settings,
    /// The form in which LoRAs are mixed; delta. An error for other kinds.
    pub lora: Option<LoraMixing>,
    /// What changes are measured from; their initialisation where it is known, else zero.
    pub base: Option<Asked>,
    /// What becomes of the heads; all are kept.
    pub heads: Heads,
    /// Adapters that are no members whose heads the soup has beside those: of a search, those of
    /// the datasets that it looked at.
    pub heads_of: Vec<Adapter>,
    /// What becomes of saved modules; they are kept.
    pub saved: Saved,
    /// How the members were chosen, for the record.
    pub chosen: Option<Value>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: &super::linear::SPEC,
            weights: None,
            settings: Settings::default(),
            lora: None,
            base: None,
            heads: Heads::default(),
            heads_of: Vec::new(),
            saved: Saved::default(),
            chosen: None,
        }
    }
}

/// The soup of `members`. Its weights are made when they are needed. Errors on incompatible
/// members, on settings that the method does not take, on a wrong number of weights, and on
/// weights that are all zero.
pub fn soup(members: &[Adapter], options: &Options, context: &Context) -> Result<Adapter> {
    compatible(members, context)?;
    options.saved.check(members, context)?;
    let (spec, n) = (options.method, members.len());
    if n > spec.most {
        bail!(
            "the method {} takes at most {} adapters, got {n}",
            spec.name,
            spec.most
        );
    }
    let settings = spec.complete(options.settings.clone(), n)?;
    let weights = weights(spec, options.weights.as_deref(), n)?;
    let form = form(members, options.lora)?;
    let by_change = form.is_some_and(|f| !f.by_factor());
    if form == Some(LoraMixing::NegateB) && spec.name != "linear" {
        bail!("lora: \"negate_b\" is a form of the linear soup alone");
    }
    let base = base_of(spec, members, options.base.as_ref(), by_change, context)?;
    tell_of_initialisations(members, context);
    if form.is_none() && n > 1 && options.lora.is_none() && lora_of_entries(&members[0]) {
        context.notice(format!(
            "{}: its change is no product of factors, so its tensors are mixed one by one (lora: \"factors\"), which has cross terms",
            members[0].name()
        ));
    }
    let soup = Soup {
        work: (spec.make)(&settings)?,
        spec,
        settings,
        members: members.to_vec(),
        weights,
        form,
        base,
        offset: 0.0,
        heads: options.heads,
        heads_of: options.heads_of.clone(),
        saved: options.saved,
        chosen: options.chosen.clone(),
        prepared: Default::default(),
    };
    made(soup)
}

pub(super) fn weights(spec: &Spec, given: Option<&[Setting]>, n: usize) -> Result<Weights> {
    let Some(given) = given else {
        return Ok(Weights::Equal(if spec.share {
            1.0 / n as f64
        } else {
            1.0
        }));
    };
    if !spec.weighted {
        bail!("the method {} takes no weights", spec.name; hint: "see `doc soup` for its settings");
    }
    if given.len() != n {
        bail!(
            "{} weights for {n} adapters; give one weight an adapter",
            given.len()
        );
    }
    let mut all = given.iter().flat_map(Setting::numbers);
    if let Some(w) = given
        .iter()
        .flat_map(Setting::numbers)
        .find(|w| !w.is_finite())
    {
        bail!("a soup's weight is {w}, expected a finite number");
    }
    if all.all(|w| w == 0.0) {
        bail!("all weights of the soup are zero"; hint: "1/3 is 0 in integers: write 1.0/3");
    }
    let each = Weights::Each(given.to_vec());
    Ok(match each.constant(n) {
        Some(numbers) if numbers.iter().all(|w| *w == numbers[0]) => Weights::Equal(numbers[0]),
        _ => each,
    })
}

/// The form of mixing, which only kinds with low-rank factors have.
fn form(members: &[Adapter], asked: Option<LoraMixing>) -> Result<Option<LoraMixing>> {
    let first = &members[0];
    if first.kind().mixing() == Mixing::Factors {
        return Ok(Some(asked.unwrap_or_default()));
    }
    match asked {
        None => Ok(None),
        // DoRA's change needs the weights of the base, and biases beside factors are no factors: on
        // files alone they are mixed tensor by tensor.
        Some(LoraMixing::Factors) if lora_of_entries(first) => Ok(None),
        Some(_) if first.kind().name() == "dora" => bail!(
            "{} is a DoRA, whose change needs the weights of its base", first.name();
            hint: "lora: \"factors\" mixes its tensors one by one"
        ),
        Some(_) => bail!(
            "{} is {}, which has no low-rank factors to mix",
            first.name(),
            first.kind().name()
        ),
    }
}

/// Whether it is a LoRA that is mixed tensor by tensor: DoRA, or one with biases.
fn lora_of_entries(adapter: &Adapter) -> bool {
    let kind = adapter.kind();
    kind.mixing() == Mixing::Entries && Lora::read(&kind.config()).is_some()
}

fn base_of(
    spec: &Spec,
    members: &[Adapter],
    asked: Option<&Asked>,
    by_change: bool,
    context: &Context,
) -> Result<Base> {
    if spec.on == On::Values {
        return match asked {
            None => Ok(Base::Zero),
            Some(_) => bail!("the method {} has no base", spec.name),
        };
    }
    if by_change {
        return match asked {
            // B begins as zero, and so does the change.
            None | Some(Asked::Initial | Asked::Zero) => Ok(Base::Zero),
            Some(Asked::Adapter(_)) => bail!(
                "the changes of LoRAs are measured from zero";
                hint: "subtract the adapter: a - b, or mix lora: \"factors\""
            ),
        };
    }
    match asked {
        Some(Asked::Zero) => Ok(Base::Zero),
        Some(Asked::Initial) => base::shared(members),
        Some(Asked::Adapter(adapter)) => {
            let mut all = members.to_vec();
            all.push(adapter.clone());
            compatible(&all, context)?;
            Ok(Base::Adapter(adapter.clone()))
        }
        None if members[0].kind().mixing() == Mixing::Factors => Ok(Base::Zero),
        None if spec.on == On::ChangesFromBase => base::shared(members),
        None => Ok(base::shared(members).unwrap_or_else(|e| {
            context.notice(format!(
                "{}: {}; changes are measured from zero",
                spec.name,
                e.message()
            ));
            Base::Zero
        })),
    }
}

/// Adapters that began from different weights rarely mix well.
fn tell_of_initialisations(members: &[Adapter], context: &Context) {
    let mut known = members
        .iter()
        .filter_map(|m| Some((m.name(), initialisation(m)?)));
    if let Some((name, seed)) = known.next()
        && let Some((other, theirs)) = known.find(|(_, s)| *s != seed)
    {
        context.notice(format!(
            "{name} began from seed {seed}, {other} from seed {theirs}: soups of different initialisations seldom keep their accuracy"
        ));
    }
}

/// The adapter that a recipe makes.
pub(super) fn made(soup: Soup) -> Result<Adapter> {
    let members = &soup.members;
    let names: Vec<&str> = members.iter().map(Adapter::name).collect();
    let base = members
        .iter()
        .map(Adapter::base)
        .find(|b| b.id.is_some())
        .unwrap_or_else(|| members[0].base());
    let weights = soup.weights.constant(members.len());
    let heads = soup.heads.of_soup(members, weights)?;
    let heads = with_heads_of(heads, &soup.heads_of);
    let parts = Parts {
        name: names.join("+"),
        kind: soup.kind()?,
        base: base.clone(),
        id: made_id(&soup),
        heads,
        mask: None,
        training: None,
        init_seed: None,
        domain: None,
        source: None,
        metadata: crate::adapter::metadata::Source::of(members),
    };
    Ok(Adapter::from_recipe(parts, Arc::new(soup)))
}

/// The id of a soup to which nothing was done since it was made.
fn made_id(soup: &Soup) -> Id {
    Id::of_recipe("soup/1", &soup.essence())
}

/// The linear soup that `terms` of operators make, such as `0.7 * a + 0.3 * b`: terms that are
/// themselves linear soups by operator are opened, so the result is the soup of all members.
pub fn combine(terms: &[(f64, Adapter)], context: &Context) -> Result<Adapter> {
    let (mut members, mut weights) = (Vec::new(), Vec::new());
    let (mut offset, mut base) = (0.0, Base::Zero);
    for (weight, adapter) in terms {
        let Some((own, inner)) = opened(adapter) else {
            members.push(adapter.clone());
            weights.push(*weight);
            continue;
        };
        members.extend(inner.members.iter().cloned());
        weights.extend(own.iter().map(|w| w * weight));
        if inner.offset != 0.0 {
            if !base.is_zero() && !base.same(&inner.base) {
                bail!(
                    "the changes were measured from different initialisations and cannot be added"
                );
            }
            base = inner.base.clone();
            offset += weight * inner.offset;
        }
    }
    let numbers: Vec<Setting> = weights.into_iter().map(Setting::Number).collect();
    compatible(&members, context)?;
    Saved::Keep.check(&members, context)?;
    linear(members, Some(&numbers), base, offset)
}

fn linear(
    members: Vec<Adapter>,
    given: Option<&[Setting]>,
    base: Base,
    offset: f64,
) -> Result<Adapter> {
    let spec = &super::linear::SPEC;
    let settings = spec.complete(Settings::default(), members.len())?;
    let soup = Soup {
        work: (spec.make)(&settings)?,
        spec,
        settings,
        weights: weights(spec, given, members.len())?,
        form: form(&members, None)?,
        members,
        base: if offset == 0.0 { Base::Zero } else { base },
        offset,
        heads: Heads::Keep,
        heads_of: Vec::new(),
        saved: Saved::Keep,
        chosen: None,
        prepared: Default::default(),
    };
    made(soup)
}

/// A linear soup's own weights, where nothing but they counts: one whose heads were chosen, by an
/// option or since, is a member like any other.
fn opened(adapter: &Adapter) -> Option<(Vec<f64>, &Soup)> {
    let soup = adapter.recipe()?.as_any().downcast_ref::<Soup>()?;
    let plain = soup.spec.name == "linear"
        && !soup.settings.flag("normalize")
        && matches!(soup.form, None | Some(LoraMixing::Delta))
        && soup.heads == Heads::Keep
        && soup.heads_of.is_empty()
        && soup.saved == Saved::Keep
        && *adapter.id() == made_id(soup)
        && soup.chosen.is_none();
    let weights = soup.weights.constant(soup.members.len())?;
    plain.then_some((weights, soup))
}

/// An adapter's change from its initialisation, for sums: `a + 0.5 * b.delta()`. The change that a
/// LoRA makes to its model is itself. An error where the initialisation is not recorded.
pub fn delta(adapter: &Adapter) -> Result<Adapter> {
    if adapter.kind().mixing() == Mixing::Factors {
        return Ok(adapter.clone());
    }
    let members = vec![adapter.clone()];
    let base = base::shared(&members)?;
    let change = linear(members, Some(&[Setting::Number(1.0)]), base, -1.0)?;
    let mut parts = change.parts().clone();
    parts.name = format!("{}.delta", adapter.name());
    Ok(change.with_parts(parts))
}
