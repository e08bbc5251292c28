//! Sign differences.
use crate::Result;
use crate::adapter::Tensors;
/// stub
#[derive(Debug, Clone, PartialEq)]
pub struct MixtureRates {
    /// stub
    pub all: f64,
    /// stub
    pub both_nonzero: f64,
}
/// stub
#[derive(Debug, Clone)]
pub struct SignPlanes(Vec<f32>);
impl SignPlanes {
    /// stub
    pub fn of(t: &Tensors) -> Result<Self> {
        let mut v = Vec::new();
        for x in t.values() {
            v.extend(x.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(Self(v))
    }
}
/// stub
pub fn mixture_rates(p: &[&SignPlanes]) -> Result<MixtureRates> {
    let n = p[0].0.len();
    let c = (0..n)
        .filter(|i| p.iter().any(|p| p.0[*i] > 0.0) && p.iter().any(|p| p.0[*i] < 0.0))
        .count();
    Ok(MixtureRates {
        all: c as f64 / n as f64,
        both_nonzero: c as f64 / n as f64,
    })
}
