//! Pruning criteria and masks.
use crate::Result;
use crate::adapter::{Name, Tensors};
use candle_core::Tensor;
/// stub
#[derive(Debug, Clone)]
pub struct Mask(Tensors);
impl Mask {
    /// stub
    pub fn of(t: &Tensors) -> Result<Self> {
        let mut m = Tensors::new();
        for (n, x) in t {
            if n.is_matrix() {
                m.insert(n.clone(), x.ne(0f64)?.to_dtype(candle_core::DType::F32)?);
            }
        }
        Ok(Self(m))
    }
    /// stub
    pub fn sparsity(&self) -> f64 {
        0.0
    }
    /// stub
    pub fn covers(&self, n: &Name) -> bool {
        self.0.contains_key(n)
    }
    /// stub
    pub fn apply(&self, t: &Tensors) -> Result<Tensors> {
        t.iter()
            .map(|(n, x)| {
                Ok((
                    n.clone(),
                    match self.0.get(n) {
                        Some(m) => (x * m)?,
                        None => x.clone(),
                    },
                ))
            })
            .collect::<Result<std::collections::BTreeMap<Name, Tensor>>>()
    }
}
