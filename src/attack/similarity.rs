//! How like two texts are, by the angle of their embeddings.

use std::f64::consts::PI;

use crate::model::Model;
use crate::model::tokenize::Text;
use crate::{Context, Result};

/// How many texts are embedded between two looks at whether to stop.
const AT_ONCE: usize = 128;

/// The embeddings of texts.
pub(super) fn embed(encoder: &Model, texts: &[&str], context: &Context) -> Result<Vec<Vec<f32>>> {
    // Texts of like length meet, so that little is padded whatever comes together.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&i| (texts[i].len(), i));
    let mut found = vec![Vec::new(); texts.len()];
    for part in order.chunks(AT_ONCE) {
        context.check()?;
        let inputs: Vec<Text<'_>> = part.iter().map(|&i| texts[i].into()).collect();
        for (&i, row) in part.iter().zip(encoder.embed(&inputs)?.to_vec2::<f32>()?) {
            found[i] = row;
        }
    }
    Ok(found)
}

/// 1 - angle / pi: 1 for the same direction, 0 for opposite ones.
pub(super) fn angular(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    let cosine = dot(a, b) / lengths.max(1e-8);
    1.0 - libm::acos(cosine.clamp(-1.0, 1.0)) / PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_become_similarities() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-7, "{a} {b}");
        close(angular(&[1.0, 1.0], &[2.0, 2.0]), 1.0);
        close(angular(&[1.0, 0.0], &[0.0, 3.0]), 0.5);
        close(angular(&[1.0, 0.0], &[-1.0, 0.0]), 0.0);
        close(angular(&[1.0, 0.0], &[1.0, 1.0]), 0.75);
    }
}
