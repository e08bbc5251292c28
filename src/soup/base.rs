//! What changes are measured from.

use serde_json::{Value, json};

use crate::adapter::{Adapter, Ia3, Kind, Name, with_values};
use crate::compute::random::Stream;
use crate::{Result, bail};

/// What a member's change is measured from: T_i - base.
#[derive(Debug, Clone, Default)]
pub enum Base {
    /// Nothing: the tensors are the changes. The change that a LoRA makes to its model is such.
    #[default]
    Zero,
    /// The initialisation under this seed, remade.
    Initial(u64),
    /// An adapter.
    Adapter(Adapter),
}

/// What a user asks for.
#[derive(Debug, Clone)]
pub enum Asked {
    /// The members' own initialisation; an error where it is not known.
    Initial,
    /// Zero.
    Zero,
    /// This adapter.
    Adapter(Adapter),
}

impl Base {
    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Zero)
    }

    /// A tensor of it; none where it is nothing.
    pub fn tensor(
        &self,
        kind: &dyn Kind,
        name: &Name,
        shape: &[usize],
    ) -> Result<Option<Vec<f32>>> {
        let tensor = match self {
            Self::Zero => return Ok(None),
            Self::Adapter(adapter) => adapter.tensor(name)?,
            Self::Initial(seed) => match kind.initial(name, shape)?.drawn(*seed, name, shape)? {
                Some(tensor) => tensor,
                None => bail!(
                    "{name} begins as weights of the model, which the adapter does not hold";
                    hint: "base: \"zero\" measures changes from nothing"
                ),
            },
        };
        if tensor.dims() != shape {
            bail!(
                "{name} is {:?} in the base and {shape:?} in the members",
                tensor.dims()
            );
        }
        Ok(Some(with_values(&tensor, <[f32]>::to_vec)?))
    }

    /// How recipes name it.
    pub fn describe(&self) -> Value {
        match self {
            Self::Zero => json!("zero"),
            Self::Initial(seed) => json!({"initial": seed, "stream": Stream::VERSION}),
            Self::Adapter(adapter) => json!({"adapter": adapter.id().as_str()}),
        }
    }

    /// The same base.
    pub fn same(&self, other: &Self) -> bool {
        self.describe() == other.describe()
    }
}

/// The seed of an adapter's initialisation, where it is recorded and, in a soup, shared.
pub fn initialisation(adapter: &Adapter) -> Option<u64> {
    if Ia3::read(&adapter.kind().config()).is_some_and(|k| k.is_ok()) {
        // Ones, whatever the seed.
        return Some(0);
    }
    adapter.init_seed()
}

/// The initialisation that all members share; an error that says why there is none.
pub fn shared(members: &[Adapter]) -> Result<Base> {
    let mut seed = None;
    for member in members {
        let Some(own) = initialisation(member) else {
            bail!(
                "the initialisation of {} is not recorded", member.name();
                hint: "base: \"zero\" measures changes from nothing, base: an adapter from that"
            );
        };
        match seed {
            None => seed = Some((own, member)),
            Some((before, _)) if before == own => {}
            Some((before, first)) => bail!(
                "{} began from seed {before}, {} from seed {own}: their changes have no common base",
                first.name(), member.name();
                hint: "train them with the same init_seed, or give base: \"zero\""
            ),
        }
    }
    Ok(seed.map_or(Base::Zero, |(seed, _)| Base::Initial(seed)))
}
