//! Which numbers of adapters are compared: of which tensors, in which space, from which base.

use std::sync::Arc;

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Planes, SignPlanes};
use crate::adapter::{
    Adapter, Factor, FactorNames, Name, OTHER_RANKS, Selection, Shapes, Tensors, check_aligned,
    check_change, factors_at, has_factors, of_one_model, ranks_differ, with_values,
};
use crate::soup::{Asked, Base, shared};
use crate::{Context, Result, bail};

/// Of LoRAs: the entries of the factors A and B, or of the change scale B A.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Space {
    /// The tensors as they are.
    #[default]
    Factors,
    /// The change that they make to each weight matrix, which does not depend on the signs that
    /// the columns of B and the rows of A could swap. Kinds without factors have their weights
    /// only.
    Delta,
}

/// Which numbers are compared.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Which tensors.
    pub selection: Selection,
    /// In which space.
    pub space: Space,
    /// What is subtracted first; by default nothing, but 1 from the vectors of an IA3, which lie
    /// near it.
    pub base: Option<Asked>,
}

/// Adapters, or tensors of one shape, whose numbers are compared.
#[derive(Debug, Clone)]
pub struct Members {
    names: Vec<String>,
    /// What the user should know of the members' bases.
    notices: Vec<String>,
    source: Source,
    shapes: Shapes,
}

#[derive(Debug, Clone)]
enum Source {
    Adapters {
        adapters: Vec<Adapter>,
        space: Space,
        base: Base,
        /// The weights of soups, which are made once.
        held: Vec<Option<Arc<Tensors>>>,
    },
    Tensors(Vec<Tensor>),
}

/// The name that tensors without one are given.
const UNNAMED: &str = "tensor";

impl Members {
    /// Adapters of one kind whose selected tensors have the same names and shapes. Errors that
    /// say what differs, and where numbers could never differ in sign.
    pub fn of(adapters: &[Adapter], view: &View) -> Result<Self> {
        let Some((first, rest)) = adapters.split_first() else {
            bail!("there are no members to compare");
        };
        if let Some(other) = rest.iter().find(|m| m.kind().name() != first.kind().name()) {
            bail!(
                "signs of {} and {}: one is {}, the other {}",
                first.name(),
                other.name(),
                first.kind().name(),
                other.kind().name()
            );
        }
        let notices = of_one_model(adapters)?;
        let view = &View {
            space: space(adapters, view)?,
            ..view.clone()
        };
        let shapes = shapes(first, view)?;
        for other in rest {
            let theirs = self::shapes(other, view)?;
            let ranks = theirs.iter().any(|(name, theirs)| {
                let own = shapes.get(name).map_or(&[][..], Vec::as_slice);
                ranks_differ(name, own, theirs)
            });
            let (own, other) = ((first.name(), &shapes), (other.name(), &theirs));
            check_aligned(own, other, Vec::as_slice).map_err(|e| match ranks {
                true => e.hint(OTHER_RANKS),
                false => e,
            })?;
        }
        let held = |m: &Adapter| m.recipe().map(|_| m.tensors()).transpose();
        Ok(Self {
            names: adapters.iter().map(|m| m.name().to_string()).collect(),
            notices,
            source: Source::Adapters {
                adapters: adapters.to_vec(),
                space: view.space,
                base: base(adapters, view, &shapes)?,
                held: adapters.iter().map(held).collect::<Result<_>>()?,
            },
            shapes,
        })
    }

    /// Named tensors of one shape.
    pub fn of_tensors(tensors: &[(&str, &Tensor)]) -> Result<Self> {
        let Some((_, first)) = tensors.first() else {
            bail!("there are no members to compare");
        };
        let name = Name::new(UNNAMED);
        let shape = |t: &Tensor| Shapes::from([(name.clone(), t.dims().to_vec())]);
        let shapes = shape(first);
        for (other, tensor) in &tensors[1..] {
            let theirs = shape(tensor);
            check_aligned((tensors[0].0, &shapes), (*other, &theirs), Vec::as_slice)?;
        }
        Ok(Self {
            names: tensors
                .iter()
                .map(|(name, _)| (*name).to_string())
                .collect(),
            notices: Vec::new(),
            source: Source::Tensors(tensors.iter().map(|(_, t)| (*t).clone()).collect()),
            shapes,
        })
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names and shapes of what is compared.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The space they are compared in.
    pub fn space(&self) -> Space {
        match &self.source {
            Source::Adapters { space, .. } => *space,
            Source::Tensors(_) => Space::Factors,
        }
    }

    /// The adapters; none where tensors are compared.
    pub fn adapters(&self) -> &[Adapter] {
        match &self.source {
            Source::Adapters { adapters, .. } => adapters,
            Source::Tensors(_) => &[],
        }
    }

    /// What is compared, in a few words; empty where it is the tensors as they are.
    pub fn describe(&self) -> String {
        let Source::Adapters {
            adapters,
            space,
            base,
            ..
        } = &self.source
        else {
            return String::new();
        };
        let factor = |name: &Name| name.factor().is_some();
        let low_rank = !ia3(&adapters[0]) && self.shapes.keys().any(factor);
        let what = match (low_rank, space) {
            (_, Space::Delta) => "the changes B A",
            (true, Space::Factors) => "the factors A and B",
            (false, Space::Factors) => "",
        };
        let from = match base {
            Base::Zero => String::new(),
            Base::Initial(_) if ia3(&adapters[0]) => "the vectors less 1".into(),
            Base::Initial(_) => "the change since initialisation".into(),
            Base::Adapter(base) => format!("the change from {}", base.name()),
        };
        match (what, from.as_str()) {
            (what, "") => what.into(),
            ("", from) => from.into(),
            (what, from) => format!("{from} of {what}"),
        }
    }

    /// Tells what the user should know of the members' bases.
    pub(super) fn tell(&self, context: &Context) {
        self.notices
            .iter()
            .for_each(|line| context.notice_once(line));
    }

    /// Whether the tensors are compared as they are, and not their changes.
    pub fn are_weights(&self) -> bool {
        match &self.source {
            Source::Adapters { space, base, .. } => *space == Space::Factors && base.is_zero(),
            Source::Tensors(_) => false,
        }
    }

    /// The signs of every member, built tensor by tensor: what lies in files is read part by
    /// part.
    pub fn planes(&self, context: &Context) -> Result<Vec<SignPlanes>> {
        self.tell(context);
        let by_tensor: Vec<(&Name, Vec<Planes>)> = self
            .shapes
            .par_iter()
            .map(|(name, shape)| {
                let base = self.base_at(name, shape)?;
                let planes = (0..self.names.len())
                    .into_par_iter()
                    .map(|m| {
                        context.check()?;
                        self.planes_at(m, name, base.as_deref())
                            .map_err(|e| e.within(&self.names[m]))
                    })
                    .collect::<Vec<_>>();
                Ok((name, planes.into_iter().collect::<Result<_>>()?))
            })
            .collect::<Vec<Result<_>>>()
            .into_iter()
            .collect::<Result<_>>()?;
        let mut members: Vec<Vec<(Name, Planes)>> = vec![Vec::new(); self.names.len()];
        for (name, planes) in by_tensor {
            for (member, planes) in members.iter_mut().zip(planes) {
                member.push((name.clone(), planes));
            }
        }
        Ok(members.into_iter().map(SignPlanes::from_iter).collect())
    }

    /// The signs of the initialisation that the adapters share, less what is subtracted from them;
    /// an error that says why there is none.
    pub fn start_planes(&self) -> Result<SignPlanes> {
        let start = shared(self.adapters())?;
        let mut planes = Vec::new();
        for (name, shape) in &self.shapes {
            let kind = self.adapters().first().map(Adapter::kind);
            let values = kind.map(|kind| start.tensor(kind.as_ref(), name, shape));
            let Some(mut values) = values.transpose()?.flatten() else {
                bail!("tensors have no initialisation");
            };
            if let Some(base) = self.base_at(name, shape)? {
                values.iter_mut().zip(base).for_each(|(v, base)| *v -= base);
            }
            planes.push((name.clone(), Planes::new(name, &values, shape)?));
        }
        Ok(planes.into_iter().collect())
    }

    fn planes_at(&self, member: usize, name: &Name, base: Option<&[f32]>) -> Result<Planes> {
        if let Source::Adapters {
            adapters, space, ..
        } = &self.source
            && base.is_none()
            && *space == Space::Factors
            && let Some(files) = adapters[member].files()
        {
            return Planes::read(files, name);
        }
        let tensor = self.tensor(member, name)?;
        match base {
            None => Planes::of(name, &tensor),
            Some(base) => {
                let planes = Planes::new(name, &less(&tensor, base)?, tensor.dims())?;
                Ok(match self.mask(member, name) {
                    Some(words) => planes.kept(words),
                    None => planes,
                })
            }
        }
    }

    /// The entries of a member's tensor that pruning left, as bits; none where all are.
    fn mask(&self, member: usize, name: &Name) -> Option<&[u64]> {
        self.adapters().get(member)?.mask()?.words(name)
    }

    /// The numbers of every member at a tensor.
    pub fn values(&self, name: &Name) -> Result<Vec<Vec<f32>>> {
        let shape = self.shapes.get(name).map(Vec::as_slice);
        let base = self.base_at(name, shape.unwrap_or_default())?;
        (0..self.names.len())
            .into_par_iter()
            .map(|member| {
                let tensor = self.tensor(member, name)?;
                match &base {
                    Some(base) => {
                        let mut values = less(&tensor, base)?;
                        if let Some(words) = self.mask(member, name) {
                            for (i, value) in values.iter_mut().enumerate() {
                                let kept = words[i / 64] >> (i % 64) & 1 == 1;
                                *value = if kept { *value } else { 0.0 };
                            }
                        }
                        Ok(values)
                    }
                    None => with_values(&tensor, <[f32]>::to_vec),
                }
            })
            .collect::<Vec<_>>()
            .into_iter()
            .collect()
    }

    /// A member's tensor, nothing subtracted.
    fn tensor(&self, member: usize, name: &Name) -> Result<Tensor> {
        match &self.source {
            Source::Tensors(tensors) => Ok(tensors[member].clone()),
            Source::Adapters {
                adapters,
                space: Space::Delta,
                ..
            } => delta(&adapters[member], name),
            Source::Adapters { adapters, held, .. } => {
                let ready = held[member].as_ref().and_then(|tensors| tensors.get(name));
                match ready {
                    Some(tensor) => Ok(tensor.clone()),
                    None => adapters[member].tensor(name),
                }
            }
        }
    }

    /// What is subtracted from a tensor; none where it is nothing.
    fn base_at(&self, name: &Name, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        match &self.source {
            Source::Tensors(_) => Ok(None),
            Source::Adapters {
                space: Space::Delta,
                base: Base::Adapter(base),
                ..
            } => {
                let tensor = delta(base, name)?;
                if tensor.dims() != shape {
                    bail!(
                        "{name} is {:?} in the base and {shape:?} in the members",
                        tensor.dims()
                    );
                }
                Ok(Some(with_values(&tensor, <[f32]>::to_vec)?))
            }
            // A fresh LoRA changes nothing.
            Source::Adapters {
                space: Space::Delta,
                ..
            } => Ok(None),
            Source::Adapters { adapters, base, .. } => {
                base.tensor(adapters[0].kind().as_ref(), name, shape)
            }
        }
    }
}

/// The signs of one adapter.
pub fn planes_of(adapter: &Adapter, view: &View) -> Result<SignPlanes> {
    let members = Members::of(std::slice::from_ref(adapter), view)?;
    match members.planes(&Context::silent())?.pop() {
        Some(planes) => Ok(planes),
        None => bail!("{} has no signs", adapter.name()),
    }
}

fn less(tensor: &Tensor, base: &[f32]) -> Result<Vec<f32>> {
    with_values(tensor, |values| {
        values
            .iter()
            .zip(base)
            .map(|(value, base)| value - base)
            .collect()
    })
}

/// The change that a LoRA makes to the map of a tensor `PATH.delta`.
fn delta(adapter: &Adapter, name: &Name) -> Result<Tensor> {
    let stem = name.as_str().trim_end_matches(".delta");
    match factors_at(adapter, stem)? {
        Some(factors) => factors.weight_change(),
        None => bail!("{} does not change {stem}", adapter.name()),
    }
}

fn ia3(adapter: &Adapter) -> bool {
    adapter.kind().name() == "ia3"
}

/// The space that the adapters are compared in: only those that have factors have a choice. An error
/// where the change that is asked for is more than that of the factors.
fn space(adapters: &[Adapter], view: &View) -> Result<Space> {
    if view.space == Space::Factors || !has_factors(&adapters[0])? {
        return Ok(Space::Factors);
    }
    for adapter in adapters {
        check_change(adapter)?;
    }
    Ok(Space::Delta)
}

/// The selected tensors of an adapter with their shapes.
fn shapes(adapter: &Adapter, view: &View) -> Result<Shapes> {
    let mut all = view.selection.reach(adapter)?;
    if view.space == Space::Delta {
        all = deltas(&all);
    }
    // The vectors of an IA3 are what it has for weight matrices.
    if ia3(adapter) && view.selection == Selection::Matrices {
        return Ok(all);
    }
    let picked = view
        .selection
        .pick(&all)
        .map_err(|e| e.within(adapter.name()))?;
    Ok(picked
        .into_iter()
        .map(|(name, shape)| (name.clone(), shape.clone()))
        .collect())
}

/// The changes that factors of these shapes make.
fn deltas(shapes: &Shapes) -> Shapes {
    shapes
        .iter()
        .filter_map(|(name, a)| {
            let Factor { stem, names, .. } = name.factor().filter(|f| f.is_a)?;
            let b = shapes.get(&names.b(stem))?;
            let (output, input) = (*b.first()?, *a.get(1)?);
            let shape = match names {
                FactorNames::Linear => vec![output, input],
                FactorNames::Embedding => vec![input, output],
            };
            Some((Name::new(format!("{stem}.delta")), shape))
        })
        .collect()
}

fn base(adapters: &[Adapter], view: &View, shapes: &Shapes) -> Result<Base> {
    let base = match &view.base {
        Some(Asked::Adapter(base)) => Base::Adapter(base.clone()),
        Some(Asked::Initial) => shared(adapters)?,
        Some(Asked::Zero) | None if view.space == Space::Delta => Base::Zero,
        Some(Asked::Zero) if ia3(&adapters[0]) => bail!(
            "the vectors of an IA3 lie near 1: their signs never differ";
            hint: "they are compared less 1 where no base is given"
        ),
        None if ia3(&adapters[0]) => Base::Initial(0),
        Some(Asked::Zero) | None => Base::Zero,
    };
    if base.is_zero()
        && let Some(name) = shapes.keys().find(|name| adapters[0].kind().scales(name))
    {
        bail!(
            "{name} holds the lengths of rows, which are all positive: their signs never differ";
            hint: "tensors: \"weights\" leaves them out; base: an adapter compares how they changed"
        );
    }
    Ok(base)
}
