//! Named tensors in canonical, natural order.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::model::Model;

/// A canonical tensor name: the AdapterHub path without model prefix and adapter name, such as
/// `encoder.layer.0.output.adapter_down.weight`. Ordered naturally: layer.2 before layer.10.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

/// Tensors by canonical name, in natural order.
pub type Tensors = BTreeMap<Name, Tensor>;

impl Name {
    /// The name as it stands.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number after the first `layer.`, `h.` or `layers.`; none for tensors outside a layer.
    pub fn layer(&self) -> Option<usize> {
        let parts: Vec<&str> = self.0.split('.').collect();
        parts
            .windows(2)
            .find(|w| matches!(w[0], "layer" | "h" | "layers"))
            .and_then(|w| w[1].parse().ok())
    }

    /// Where in its layer the tensor acts: the path between the layer number and the tensor's own
    /// last parts, such as `attention.output`, `output` or `attention.self.query`.
    pub fn site(&self) -> &str {
        let start = match self.layer() {
            Some(layer) => {
                let mark = format!(".{layer}.");
                self.0.find(&mark).map_or(0, |at| at + mark.len())
            }
            None => 0,
        };
        let tail = &self.0[start..];
        let own = ["adapter_", ".lora_", ".ia3_", ".m.weight"]
            .iter()
            .filter_map(|mark| tail.find(mark))
            .min();
        match own {
            Some(at) => tail[..at].trim_end_matches('.'),
            None => tail.rsplit_once('.').map_or(tail, |(site, _)| site),
        }
    }

    /// Whether this is one of the adapter's weight matrices: not a bias, a norm or a scale.
    pub fn is_matrix(&self) -> bool {
        let last = self.0.rsplit('.').next().unwrap_or_default();
        let vector = self.0.contains("norm") || self.0.ends_with(".m.weight");
        match last {
            "weight" => !vector,
            "lora_A" | "lora_B" | "lora_embedding_A" | "lora_embedding_B" | "delta" => true,
            _ => false,
        }
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.0, &other.0)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// The weight matrices among tensors.
pub fn matrices(tensors: &Tensors) -> Tensors {
    tensors
        .iter()
        .filter(|(name, _)| name.is_matrix())
        .map(|(name, tensor)| (name.clone(), tensor.clone()))
        .collect()
}

/// Tensors of the model's type and on its device.
pub fn on_model(tensors: &Tensors, model: &Model) -> Result<Tensors> {
    tensors
        .iter()
        .map(|(name, tensor)| {
            let tensor = tensor.to_dtype(model.dtype())?.to_device(model.device())?;
            Ok((name.clone(), tensor))
        })
        .collect()
}

/// Compares texts with runs of digits as numbers; equal numbers fall back to the texts.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (x, y) = (a.as_bytes(), b.as_bytes());
    let (mut i, mut j) = (0, 0);
    while i < x.len() && j < y.len() {
        if x[i].is_ascii_digit() && y[j].is_ascii_digit() {
            let (n, m) = (digits(&x[i..]), digits(&y[j..]));
            let (p, q) = (trim_zeros(&x[i..i + n]), trim_zeros(&y[j..j + m]));
            let order = p.len().cmp(&q.len()).then_with(|| p.cmp(q));
            if order != Ordering::Equal {
                return order;
            }
            i += n;
            j += m;
        } else {
            if x[i] != y[j] {
                return x[i].cmp(&y[j]);
            }
            i += 1;
            j += 1;
        }
    }
    (x.len() - i).cmp(&(y.len() - j)).then_with(|| a.cmp(b))
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == b'0').count();
    &bytes[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_sort_as_numbers() {
        let mut names = ["layer.10.a", "layer.2.b", "layer.2.a"].map(Name::new);
        names.sort();
        let texts: Vec<&str> = names.iter().map(Name::as_str).collect();
        assert_eq!(texts, ["layer.2.a", "layer.2.b", "layer.10.a"]);
    }

    #[test]
    fn a_name_tells_its_layer_site_and_role() {
        let down = Name::new("encoder.layer.11.attention.output.adapter_down.weight");
        assert_eq!(down.layer(), Some(11));
        assert_eq!(down.site(), "attention.output");
        assert!(down.is_matrix());
        let a = Name::new("encoder.layer.0.attention.self.query.lora_A");
        assert_eq!(
            (a.layer(), a.site(), a.is_matrix()),
            (Some(0), "attention.self.query", true)
        );
        assert!(!Name::new("encoder.layer.0.output.adapter_up.bias").is_matrix());
        assert_eq!(
            Name::new("encoder.layer.0.output.adapter_up.bias").site(),
            "output"
        );
    }
}
