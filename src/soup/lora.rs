//! How low-rank factors are mixed linearly.
//!
//! With u_i = w_i alpha_i / r_i, the mixture's change ought to be sum u_i B_i A_i.

use std::collections::BTreeSet;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use serde_json::{Value, json};

use crate::adapter::{Adapter, Factors, Kind, Lora, Name, Shapes, Tensors, factors_at};
use crate::{Result, bail};

/// A rule for mixing LoRA's A and B.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LoraMixing {
    /// Exact: the factors side by side, A's rows u_i A_i, B's columns B_i; ranks add up. PEFT
    /// 0.21's `cat`.
    #[default]
    Delta,
    /// The exact change cut to this rank by its largest singular values: A = V^T, B = U S. PEFT
    /// 0.21's `svd`, adapters 1.3.0's `lora_delta_w_svd`.
    Svd {
        /// The rank kept.
        rank: usize,
    },
    /// A = sum w_i A_i, B = sum w_i B_i: has cross terms. adapters 1.3.0's `linear`.
    Factors,
    /// A = sum sgn(u_i) sqrt|u_i| A_i, B = sum sqrt|u_i| B_i: has cross terms. PEFT's `linear`.
    SqrtFactors,
    /// A = sum |w_i| A_i, B = sum w_i B_i: has cross terms. adapters 1.3.0's
    /// `lora_linear_only_negate_b`.
    NegateB,
}

/// What a member contributes to one matrix.
struct Part {
    factors: Factors,
    weight: f64,
}

impl Part {
    /// The weight times the scale before B A.
    fn share(&self) -> f64 {
        self.weight * self.factors.scale
    }
}

impl LoraMixing {
    /// How the recipe names it.
    pub(super) fn describe(self) -> Value {
        match self {
            Self::Delta => json!("delta"),
            Self::Svd { rank } => json!({"svd": rank}),
            Self::Factors => json!("factors"),
            Self::SqrtFactors => json!("sqrt_factors"),
            Self::NegateB => json!("negate_b"),
        }
    }

    /// The kind of the mixture.
    pub(super) fn kind(self, members: &[Adapter]) -> Result<Arc<dyn Kind>> {
        let mut loras = Vec::with_capacity(members.len());
        for member in members {
            match Lora::read(&member.kind().config()) {
                Some(lora) => loras.push(lora?),
                None => bail!("{} has no low-rank factors to mix", member.name()),
            }
        }
        let first = &loras[0];
        let (r, alpha) = match self {
            // The factors carry their scales, so alpha = r.
            Self::Delta => {
                let r = loras.iter().map(|l| l.r).sum();
                (r, r as f64)
            }
            Self::Svd { rank } => (rank, rank as f64),
            Self::SqrtFactors => (first.r, first.r as f64),
            Self::Factors | Self::NegateB => (first.r, first.alpha),
        };
        let by_entry = matches!(self, Self::Factors | Self::SqrtFactors | Self::NegateB);
        if by_entry && let Some(other) = loras.iter().find(|l| l.r != first.r) {
            bail!("ranks {} and {} cannot be mixed factor by factor", first.r, other.r; hint: "lora: \"delta\" takes any ranks");
        }
        let rescaled = matches!(self, Self::Factors | Self::NegateB);
        let same = |l: &&Lora| {
            let patterns =
                |stem: &str| l.modules.alpha(stem).is_some() || l.modules.rank(stem).is_some();
            l.scale("") == first.scale("") && !patterns("")
        };
        if rescaled && let Some(other) = loras.iter().find(|l| !same(l)) {
            bail!(
                "scales {} and {} cannot be mixed factor by factor", first.scale(""), other.scale("");
                hint: "lora: \"delta\" takes any scales"
            );
        }
        let mut modules = first.modules.clone();
        for (lora, member) in loras.iter().zip(members).skip(1) {
            let of =
                |e: crate::Error| e.within(format!("{} and {}", members[0].name(), member.name()));
            modules = modules.union(&lora.modules).map_err(of)?;
        }
        Ok(Arc::new(Lora {
            r,
            alpha,
            // What the factors carry is the whole scale.
            stabilised: first.stabilised && rescaled,
            modules: if rescaled { modules } else { modules.plain() },
            ..first.clone()
        }))
    }

    /// The number of weights of the mixture.
    pub(super) fn parameter_count(self, members: &[Adapter]) -> Result<usize> {
        let shapes = self.shapes(members)?;
        Ok(shapes.values().map(|s| s.iter().product::<usize>()).sum())
    }

    /// The mixture's tensors. A matrix that only some members adapt is mixed of those.
    pub(super) fn mix(self, members: &[Adapter], weights: &[f64]) -> Result<Tensors> {
        let stems: BTreeSet<String> = self.stems(members)?;
        let mut mixed = Tensors::new();
        for stem in &stems {
            let (a, b) = self.of(members, weights, stem)?;
            mixed.insert(Name::new(format!("{stem}.lora_A")), a);
            mixed.insert(Name::new(format!("{stem}.lora_B")), b);
        }
        Ok(mixed)
    }

    /// One of the mixture's tensors, of the members' factors of its map alone; but for the singular
    /// values of the change, of one factor of each alone.
    pub(super) fn tensor(
        self,
        members: &[Adapter],
        weights: &[f64],
        name: &Name,
    ) -> Result<Tensor> {
        let (stem, is_a) = match name.as_str().rsplit_once('.') {
            Some((stem, "lora_A")) => (stem, true),
            Some((stem, "lora_B")) => (stem, false),
            _ => bail!("the mixture has no tensor {name}"),
        };
        let sizes = factor_shapes(members, stem)?;
        let grouped = sizes.iter().any(|s| s.groups > 1);
        if matches!(self, Self::Svd { .. }) || grouped && self == Self::Delta {
            let (a, b) = self.of(members, weights, stem)?;
            return Ok(if is_a { a } else { b });
        }
        let mut side_by_side = Vec::new();
        let mut sum: Option<Tensor> = None;
        for (member, weight) in members.iter().zip(weights) {
            if member.shape(name)?.is_none() {
                continue;
            }
            let share = weight * member.kind().scale_at(stem);
            let tensor = member.tensor(name)?;
            let factor = self.factor(is_a, *weight, share);
            let term = match factor {
                1.0 => tensor,
                factor => (tensor * factor)?,
            };
            match (self, sum.take()) {
                (Self::Delta, _) => side_by_side.push(term),
                (_, None) => sum = Some(term),
                (_, Some(before)) => sum = Some((before + term)?),
            }
        }
        match sum {
            Some(sum) => Ok(sum),
            None => Ok(Tensor::cat(&side_by_side, usize::from(!is_a))?),
        }
    }

    /// What a member's A, or B, counts with.
    fn factor(self, is_a: bool, weight: f64, share: f64) -> f64 {
        match (self, is_a) {
            (Self::Delta | Self::Svd { .. }, true) => share,
            (Self::Delta | Self::Svd { .. }, false) => 1.0,
            (Self::Factors, _) | (Self::NegateB, false) => weight,
            (Self::NegateB, true) => weight.abs(),
            (Self::SqrtFactors, true) => share.signum() * share.abs().sqrt(),
            (Self::SqrtFactors, false) => share.abs().sqrt(),
        }
    }

    /// The shapes of the mixture's tensors.
    pub(super) fn shapes(self, members: &[Adapter]) -> Result<Shapes> {
        let mut shapes = Shapes::new();
        for stem in self.stems(members)? {
            let all = factor_shapes(members, &stem)?;
            let Some((first, groups)) = all.first().map(|s| (s.clone(), s.groups)) else {
                continue;
            };
            let rank = match self {
                Self::Delta => all.iter().map(|s| s.rank).sum(),
                Self::Svd { rank } => rank,
                Self::Factors | Self::SqrtFactors | Self::NegateB => first.rank,
            };
            let a = vec![groups * rank, first.input];
            shapes.insert(Name::new(format!("{stem}.lora_A")), a);
            shapes.insert(
                Name::new(format!("{stem}.lora_B")),
                vec![first.output, rank],
            );
        }
        Ok(shapes)
    }

    /// The canonical names of the maps that members change.
    fn stems(self, members: &[Adapter]) -> Result<BTreeSet<String>> {
        let mut stems = BTreeSet::new();
        for member in members {
            let shapes = member.shapes()?;
            let own = shapes
                .keys()
                .filter_map(|n| n.as_str().strip_suffix(".lora_A"));
            stems.extend(own.map(str::to_string));
        }
        Ok(stems)
    }

    /// The mixture's factors of one map.
    fn of(self, members: &[Adapter], weights: &[f64], stem: &str) -> Result<(Tensor, Tensor)> {
        let mut parts = Vec::with_capacity(members.len());
        for (member, weight) in members.iter().zip(weights) {
            if let Some(factors) = factors_at(member, stem)? {
                let weight = *weight;
                parts.push(Part { factors, weight });
            }
        }
        self.factors(&parts).map_err(|e| e.within(stem))
    }

    fn factors(self, parts: &[Part]) -> Result<(Tensor, Tensor)> {
        match self {
            Self::Delta => joined(parts),
            Self::Svd { rank } => {
                let (a, b) = joined(parts)?;
                grouped(&a, &b, parts, |a, b| truncated(a, b, rank))
            }
            _ => Ok((self.summed(parts, true)?, self.summed(parts, false)?)),
        }
    }

    /// The sum of the A's, or of the B's, each with its factor.
    fn summed(self, parts: &[Part], is_a: bool) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for part in parts {
            let own = if is_a {
                &part.factors.a
            } else {
                &part.factors.b
            };
            let term = (own * self.factor(is_a, part.weight, part.share()))?;
            sum = Some(match sum {
                Some(before) => (before + term)?,
                None => term,
            });
        }
        match sum {
            Some(sum) => Ok(sum),
            None => bail!("no member changes the map"),
        }
    }
}

/// The sizes of a map's factors.
#[derive(Clone)]
struct Sizes {
    rank: usize,
    groups: usize,
    input: usize,
    output: usize,
}

fn factor_shapes(members: &[Adapter], stem: &str) -> Result<Vec<Sizes>> {
    let (a, b) = (
        Name::new(format!("{stem}.lora_A")),
        Name::new(format!("{stem}.lora_B")),
    );
    let mut all = Vec::new();
    for member in members {
        let shapes = member.shapes()?;
        match (
            shapes.get(&a).map(|s| &s[..]),
            shapes.get(&b).map(|s| &s[..]),
        ) {
            (Some(&[rows, input]), Some(&[output, rank])) if rank > 0 && rows % rank == 0 => {
                let groups = rows / rank;
                all.push(Sizes {
                    rank,
                    groups,
                    input,
                    output,
                });
            }
            (None, None) => {}
            (found, other) => bail!("{stem}: A {found:?} does not fit B {other:?}"),
        }
    }
    Ok(all)
}

/// The factors side by side, with their scales in A. Where several A's lie on top of each other,
/// each for its own rows of B, each of them grows by itself.
fn joined(parts: &[Part]) -> Result<(Tensor, Tensor)> {
    let groups = groups(parts)?;
    let mut a = Vec::with_capacity(groups * parts.len());
    for g in 0..groups {
        for part in parts {
            let rank = part.factors.b.dim(1)?;
            let own = part.factors.a.narrow(0, g * rank, rank)?;
            a.push((own * part.share())?);
        }
    }
    let b: Vec<&Tensor> = parts.iter().map(|p| &p.factors.b).collect();
    Ok((Tensor::cat(&a, 0)?, Tensor::cat(&b, 1)?))
}

fn groups(parts: &[Part]) -> Result<usize> {
    let first = parts.first().map_or(1, |p| p.factors.groups);
    match parts.iter().find(|p| p.factors.groups != first) {
        None => Ok(first),
        Some(other) => bail!(
            "{first} and {} factors for the sites of one map cannot be mixed",
            other.factors.groups
        ),
    }
}

/// Does something to each group of factors by itself.
fn grouped(
    a: &Tensor,
    b: &Tensor,
    parts: &[Part],
    of: impl Fn(&Tensor, &Tensor) -> Result<(Tensor, Tensor)>,
) -> Result<(Tensor, Tensor)> {
    let groups = groups(parts)?;
    let (rows, out) = (a.dim(0)? / groups, b.dim(0)? / groups);
    let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
    for g in 0..groups {
        let (a, b) = of(&a.narrow(0, g * rows, rows)?, &b.narrow(0, g * out, out)?)?;
        all_a.push(a);
        all_b.push(b);
    }
    Ok((Tensor::cat(&all_a, 0)?, Tensor::cat(&all_b, 0)?))
}

/// B A cut to `rank`: with QR of B and of A's transpose, only the small core is decomposed, so the
/// change itself is never formed.
fn truncated(a: &Tensor, b: &Tensor, rank: usize) -> Result<(Tensor, Tensor)> {
    let (qb, rb) = matrix(b)?.qr().unpack();
    let (qa, ra) = matrix(a)?.transpose().qr().unpack();
    let core = (rb * ra.transpose()).svd(true, true);
    let (Some(u), Some(vt)) = (core.u, core.v_t) else {
        bail!("the singular values of the change could not be found");
    };
    // nalgebra gives the singular values in descending order.
    let kept = rank.min(core.singular_values.len());
    let mut left = qb * u.columns(0, kept);
    for (mut column, s) in left.column_iter_mut().zip(core.singular_values.iter()) {
        column *= *s;
    }
    let right = vt.rows(0, kept) * qa.transpose();
    Ok((padded(&right, rank, true)?, padded(&left, rank, false)?))
}

fn matrix(t: &Tensor) -> Result<DMatrix<f64>> {
    let (rows, columns) = t.dims2()?;
    let values = t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(DMatrix::from_row_slice(rows, columns, &values))
}

/// The matrix as f32, with zero rows (or columns) up to `rank`.
fn padded(m: &DMatrix<f64>, rank: usize, rows: bool) -> Result<Tensor> {
    let (r, c) = if rows {
        (rank, m.ncols())
    } else {
        (m.nrows(), rank)
    };
    let at = |i: usize, j: usize| m.get((i, j)).copied().unwrap_or(0.0) as f32;
    let values: Vec<f32> = (0..r)
        .flat_map(|i| (0..c).map(move |j| (i, j)))
        .map(|(i, j)| at(i, j))
        .collect();
    Ok(Tensor::from_vec(values, (r, c), &Device::Cpu)?)
}
