//! What a merge method must tell, and the list of all.

use std::collections::btree_map::Entry;
use std::fmt::Debug;
use std::sync::Arc;

use crate::{Error, Result, bail, nearest};

use super::settings::{Place, Setting, Settings};

/// A number that a method takes.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// What users call it.
    pub name: &'static str,
    /// What holds when it is not given; none where the method asks for it.
    pub default: Option<f64>,
    /// The least, and whether it may be it.
    pub least: f64,
    /// The most.
    pub most: f64,
}

/// A choice that a method gives.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// What users call it.
    pub name: &'static str,
    /// The words; the first holds when none is given.
    pub words: &'static [&'static str],
}

/// What a method works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The members' tensors.
    Values,
    /// Their changes from a base: the initialisation they share, else zero.
    Changes,
    /// The same, but without a base that is known or named it is an error.
    ChangesFromBase,
}

/// A merge method, as data.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// What users call it.
    pub name: &'static str,
    /// One line on what it does.
    pub doc: &'static str,
    /// What it works on.
    pub on: On,
    /// Its numbers. One may be given for all members or one a member, and each may depend on the
    /// layer or on the tensor.
    pub numbers: &'static [Number],
    /// Its choices.
    pub choices: &'static [Choice],
    /// Its yes-or-no settings, each with its default.
    pub flags: &'static [(&'static str, bool)],
    /// Whether it makes random choices, and so takes a seed.
    pub random: bool,
    /// Whether it takes weights.
    pub weighted: bool,
    /// What each member weighs when no weights are given: 1/N, or 1.
    pub share: bool,
    /// The most members it takes.
    pub most: usize,
    /// What to give where a number is missing that the method asks for.
    pub advice: &'static str,
    /// The method with these settings, defaults filled in.
    pub make: fn(&Settings) -> Result<Work>,
}

/// What every method has unless it says otherwise.
pub const PLAIN: Spec = Spec {
    name: "",
    doc: "",
    on: On::Values,
    numbers: &[],
    choices: &[],
    flags: &[],
    random: false,
    weighted: true,
    share: true,
    most: usize::MAX,
    advice: "",
    make: |_| bail!("not a method"),
};

/// The methods. A new one is one line.
pub const METHODS: &[&Spec] = &[
    &super::linear::SPEC,
    &super::task_arithmetic::SPEC,
    &super::ties::SPEC,
    &super::dare::DARE,
    &super::dare::DARE_TIES,
    &super::della::DELLA,
    &super::della::DELLA_LINEAR,
    &super::breadcrumbs::BREADCRUMBS,
    &super::breadcrumbs::BREADCRUMBS_TIES,
    &super::magnitude::SPEC,
    &super::slerp::SPEC,
    &super::karcher::SPEC,
    &super::model_stock::SPEC,
    &super::sce::SPEC,
];

impl Spec {
    /// The method of this name.
    pub fn find(name: &str) -> Result<&'static Self> {
        match METHODS.iter().find(|m| m.name == name) {
            Some(method) => Ok(method),
            None => {
                let names = || METHODS.iter().map(|m| m.name);
                let error = Error::new(format!("unknown method {name:?}"));
                Err(match nearest(name, names()) {
                    Some(near) => error.hint(format!("did you mean {near:?}?")),
                    None => error.hint(names().collect::<Vec<_>>().join(", ")),
                })
            }
        }
    }

    /// An error where a number is not given that the method asks for.
    pub fn asks(&self, given: &Settings) -> Result<()> {
        let missing = |n: &&Number| n.default.is_none() && !given.numbers.contains_key(n.name);
        match self.numbers.iter().find(missing) {
            Some(number) => Err(self.asks_for(number.name)),
            None => Ok(()),
        }
    }

    fn asks_for(&self, number: &str) -> Error {
        let error = Error::new(format!("the method {} needs a {number}", self.name));
        match self.advice {
            "" => error,
            advice => error.hint(advice),
        }
    }

    /// The settings that take no part in the result beside the others.
    pub fn idle(&self, settings: &Settings) -> Vec<&'static str> {
        let rules = self.choices.iter().any(|c| c.name == "rule");
        match rules && settings.word("rule") != "mergekit" {
            true => vec!["normalize"],
            false => Vec::new(),
        }
    }

    /// The settings with defaults for what was not given; an error for what is missing, for what
    /// the method does not take, for numbers out of range, and for a wrong count of numbers.
    pub fn complete(&self, mut given: Settings, members: usize) -> Result<Settings> {
        let known = |name: &&&str| {
            self.numbers.iter().any(|n| n.name == **name)
                || self.choices.iter().any(|c| c.name == **name)
                || self.flags.iter().any(|f| f.0 == **name)
        };
        let names = given.numbers.keys().chain(given.words.keys());
        if let Some(name) = names.chain(given.flags.keys()).find(|n| !known(n)) {
            bail!("the method {} has no setting {name}", self.name);
        }
        if given.seed.is_some() && !self.random {
            bail!(
                "the method {} makes no random choices: it takes no seed",
                self.name
            );
        }
        for number in self.numbers {
            let own = match (given.numbers.entry(number.name), number.default) {
                (Entry::Occupied(own), _) => own.into_mut(),
                (Entry::Vacant(none), Some(default)) => none.insert(vec![Setting::Number(default)]),
                (Entry::Vacant(_), None) => return Err(self.asks_for(number.name)),
            };
            if own.len() != 1 && own.len() != members {
                bail!(
                    "{} numbers for {} of {members} members",
                    own.len(),
                    number.name
                );
            }
            let fits = |x: &f64| x.is_finite() && *x >= number.least && *x <= number.most;
            if let Some(x) = own.iter().flat_map(Setting::numbers).find(|x| !fits(x)) {
                let (name, least, most) = (number.name, number.least, number.most);
                bail!("{name} is {x}, expected a number from {least} to {most}");
            }
        }
        for choice in self.choices {
            given.words.entry(choice.name).or_insert(choice.words[0]);
        }
        for (name, default) in self.flags {
            given.flags.entry(name).or_insert(*default);
        }
        if self.random {
            given.seed.get_or_insert(0);
        }
        Ok(given)
    }
}

/// How a method works on the tensors of one name.
#[derive(Debug, Clone)]
pub enum Work {
    /// Their sum with certain coefficients: exact in any form, low-rank ones included.
    Combination(Arc<dyn Combination>),
    /// Entry by entry.
    Entrywise(Arc<dyn Entrywise>),
}

/// The inner products of the members' tensors (or changes) of one name, in f64.
pub type Gram = Vec<Vec<f64>>;

/// A method whose result is a sum of members with coefficients of their own.
pub trait Combination: Debug + Send + Sync {
    /// Whether the coefficients depend on the members' inner products.
    fn needs_products(&self) -> bool {
        false
    }

    /// The members' coefficients. `products` is empty unless asked for.
    fn coefficients(&self, at: &At<'_>, products: &Gram) -> Result<Vec<f64>>;
}

/// A method that works entry by entry.
pub trait Entrywise: Debug + Send + Sync {
    /// Whether members are trimmed to the setting `density` over all their tensors together; then
    /// [`Group::cuts`] says where.
    fn trims_whole(&self) -> bool {
        false
    }

    /// The mixture of the tensors (or changes) of one name.
    fn mix(&self, group: Group<'_>) -> Result<Vec<f32>>;
}

/// A tensor's place, and what was set for it.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    /// Which tensor.
    pub place: Place<'a>,
    /// The members' weights there.
    pub weights: &'a [f64],
    /// The settings.
    pub settings: &'a Settings,
}

impl At<'_> {
    /// A setting that is the same for all members.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.settings.number(name, 0, self.place)
    }

    /// A member's own.
    pub fn number_of(&self, name: &str, member: usize) -> Result<f64> {
        self.settings.number(name, member, self.place)
    }
}

/// The members' tensors of one name.
pub struct Group<'a> {
    /// Where, and what was set.
    pub at: At<'a>,
    /// The shape of each.
    pub shape: &'a [usize],
    /// Their numbers, or changes, in row-major order.
    pub members: Vec<Vec<f32>>,
    /// What tells each member from the others, whatever their order: names random streams.
    pub keys: &'a [String],
    /// The least magnitude that stays of each member, where members are trimmed as wholes.
    pub cuts: &'a [f32],
}
