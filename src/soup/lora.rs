//! How low-rank factors are mixed linearly.
//!
//! With u_i = w_i alpha_i / r_i, the mixture's change ought to be sum u_i B_i A_i.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use nalgebra::DMatrix;
use serde_json::{Value, json};

use crate::adapter::kind::Mixing;
use crate::adapter::{Adapter, Kind, Lora, Name, Tensors};
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
struct Part<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    weight: f64,
    scale: f64,
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
        let targets = loras.iter().flat_map(|l| l.targets.clone()).collect();
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
        if rescaled && let Some(other) = loras.iter().find(|l| l.scale() != first.scale()) {
            bail!(
                "scales {} and {} cannot be mixed factor by factor", first.scale(), other.scale();
                hint: "lora: \"delta\" takes any scales"
            );
        }
        Ok(Arc::new(Lora::new(r, alpha, targets)?))
    }

    /// The number of weights of the mixture.
    pub(super) fn parameter_count(self, members: &[Adapter]) -> Result<usize> {
        match self {
            Self::Delta => members.iter().map(Adapter::parameter_count).sum(),
            Self::Svd { rank } => {
                let tensors = members[0].tensors()?;
                let sides = tensors.iter().map(|(name, t)| side(name, t)).sum::<usize>();
                Ok(rank * sides)
            }
            _ => members[0].parameter_count(),
        }
    }

    /// The mixture's tensors. A matrix that only some members adapt is mixed of those.
    pub(super) fn mix(self, members: &[Adapter], weights: &[f64]) -> Result<Tensors> {
        let tensors = members
            .iter()
            .map(Adapter::tensors)
            .collect::<Result<Vec<_>>>()?;
        let mut matrices: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
        for ((member, tensors), weight) in members.iter().zip(&tensors).zip(weights) {
            let Mixing::Factors { scale } = member.kind().mixing() else {
                bail!("{} has no low-rank factors to mix", member.name());
            };
            for (name, a) in tensors.iter() {
                let Some(stem) = name.as_str().strip_suffix(".lora_A") else {
                    continue;
                };
                let Some(b) = tensors.get(&Name::new(format!("{stem}.lora_B"))) else {
                    bail!("{} has {name} but no {stem}.lora_B", member.name());
                };
                matrices.entry(stem).or_default().push(Part {
                    a,
                    b,
                    weight: *weight,
                    scale,
                });
            }
        }
        let mut mixed = Tensors::new();
        for (stem, parts) in matrices {
            let (a, b) = self.factors(&parts).map_err(|e| e.within(stem))?;
            mixed.insert(Name::new(format!("{stem}.lora_A")), a);
            mixed.insert(Name::new(format!("{stem}.lora_B")), b);
        }
        Ok(mixed)
    }

    fn factors(self, parts: &[Part<'_>]) -> Result<(Tensor, Tensor)> {
        type Factor = fn(&Part<'_>) -> f64;
        let sum = |of_a: Factor, of_b: Factor| -> Result<(Tensor, Tensor)> {
            let total = |terms: Vec<(Tensor, f64)>| -> Result<Tensor> {
                let mut terms = terms.into_iter().map(|(t, w)| t * w);
                let first = terms
                    .next()
                    .unwrap_or_else(|| Tensor::zeros(0, DType::F32, &Device::Cpu))?;
                Ok(terms.try_fold(first, |sum, term| sum + term?)?)
            };
            Ok((
                total(parts.iter().map(|p| (p.a.clone(), of_a(p))).collect())?,
                total(parts.iter().map(|p| (p.b.clone(), of_b(p))).collect())?,
            ))
        };
        match self {
            Self::Delta => joined(parts),
            Self::Svd { rank } => {
                let (a, b) = joined(parts)?;
                truncated(&a, &b, rank)
            }
            Self::Factors => sum(|p| p.weight, |p| p.weight),
            Self::NegateB => sum(|p| p.weight.abs(), |p| p.weight),
            Self::SqrtFactors => sum(
                |p| (p.weight * p.scale).signum() * (p.weight * p.scale).abs().sqrt(),
                |p| (p.weight * p.scale).abs().sqrt(),
            ),
        }
    }
}

/// Rows of A and columns of B that a rank adds.
fn side(name: &Name, tensor: &Tensor) -> usize {
    let long = usize::from(name.as_str().ends_with("lora_A"));
    tensor.dims().get(long).copied().unwrap_or(0)
}

/// The factors side by side, with their scales in A.
fn joined(parts: &[Part<'_>]) -> Result<(Tensor, Tensor)> {
    let a = parts
        .iter()
        .map(|p| p.a * (p.weight * p.scale))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let b: Vec<&Tensor> = parts.iter().map(|p| p.b).collect();
    Ok((Tensor::cat(&a, 0)?, Tensor::cat(&b, 1)?))
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
