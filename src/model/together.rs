//! Several adapters in one pass: a batch for each, side by side.

use candle_core::Tensor;

use crate::Result;
use crate::compute::{FrozenLinear, Grouped};

use super::norm::Norm;
use super::sites::{LinearSite, Sites, SublayerSite, join};
use super::{Encoder, Inputs, Noise, Tokens};

/// Tokens of a pass, padding among them, within which further adapters are taken: enough for a
/// GPU to be busy, few enough for its memory.
const TOKENS: usize = 1 << 16;

/// What each adapter does on its share of a batch.
struct Together(Grouped);

impl Sites for Together {
    fn linear(
        &self,
        layer: usize,
        sites: &[LinearSite],
        map: &FrozenLinear,
        x: &Tensor,
    ) -> Result<Tensor> {
        self.0.linear(layer, sites, x, map.forward(x)?)
    }

    fn sublayer(
        &self,
        layer: usize,
        site: SublayerSite,
        f: &Tensor,
        x: &Tensor,
        norm: Option<&Norm>,
    ) -> Result<Tensor> {
        self.0
            .sublayer(layer, site, (f, x), |f, x| join(norm, f, x))
    }
}

/// What [`Encoder::forward`] gives with each of several adapters, without noise or gradients: the
/// frozen maps take all in one product. Equal to one after the other but for rounding. None where
/// the adapters are not of one form or the encoder has maps that a batch shares.
pub fn forward(
    encoder: &dyn Encoder,
    inputs: &Inputs,
    sites: &[&dyn Sites],
    tokens: Tokens,
) -> Result<Option<Vec<Tensor>>> {
    let (rows, seq) = inputs.mask.dims();
    let parts: Option<Vec<_>> = sites.iter().map(|sites| sites.parts()).collect();
    let Some(parts) = parts.filter(|_| encoder.has_rows_apart() && rows * seq > 0) else {
        return Ok(None);
    };
    let passes = parts.chunks((TOKENS / (rows * seq)).max(1));
    let grouped = passes
        .map(Grouped::new)
        .collect::<Result<Option<Vec<_>>>>()?;
    let Some(grouped) = grouped else {
        return Ok(None);
    };
    let mut all = Vec::with_capacity(sites.len());
    for grouped in grouped {
        let adapters = grouped.adapters();
        let batch = inputs.repeat(adapters)?;
        let states = encoder.forward(&batch, &Together(grouped), &Noise::default(), tokens)?;
        for i in 0..adapters {
            all.push(states.narrow(0, i * rows, rows)?);
        }
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Bottleneck, Ia3, Kind, Lora, Tensors, on_model};
    use crate::compute::random::Stream;
    use crate::model::Model;
    use crate::model::tokenize::Text;
    use crate::train::initial;
    use candle_core::{DType, Device};

    /// Tensors of a fresh adapter's names and shapes, all of them random.
    fn random(kind: &dyn Kind, model: &Model, item: usize) -> Result<Box<dyn Sites>> {
        let fresh = initial(kind, model, 0)?;
        let drawn = fresh.iter().map(|(name, t)| {
            let mut stream = Stream::new(item as u64, "together", name.as_str());
            let values: Vec<f32> = (0..t.elem_count())
                .map(|_| 0.1 * stream.normal() as f32)
                .collect();
            Ok((
                name.clone(),
                Tensor::from_vec(values, t.dims(), &Device::Cpu)?,
            ))
        });
        let drawn = drawn.collect::<Result<Tensors>>()?;
        kind.sites(&on_model(&drawn, model)?, model.config())
    }

    #[test]
    fn one_pass_gives_what_one_after_the_other_gives() -> Result<()> {
        let model = Model::mini(DType::F32, &Device::Cpu)?;
        let texts = ["a film", "of great length and little else", "why"];
        let texts: Vec<Text<'_>> = texts.iter().map(|t| Text::from(*t)).collect();
        let encodings = model.tokenize(&texts, 32)?;
        let inputs = model.pad(&encodings.iter().collect::<Vec<_>>())?;
        let kinds: [&dyn Kind; 4] = [
            &Bottleneck::pfeiffer(),
            &Bottleneck::houlsby(),
            &Bottleneck::parallel(),
            &Lora::default(),
        ];
        for kind in kinds {
            let sites = (0..3).map(|i| random(kind, &model, i));
            let sites = sites.collect::<Result<Vec<_>>>()?;
            let sites: Vec<&dyn Sites> = sites.iter().map(AsRef::as_ref).collect();
            let each = model.forward_summary_each(&inputs, &sites)?;
            let together = model.forward_together(&inputs, &sites)?.unwrap();
            assert_eq!(each.len(), together.len());
            let mut apart = 0f32;
            for (a, b) in each.iter().zip(&together) {
                let most = |x: Tensor| x.abs()?.max_all()?.to_scalar::<f32>();
                assert!(most((a - b)?)? < 1e-4, "{}", kind.name());
                apart = apart.max(most((a - &each[0])?)?);
            }
            assert!(apart > 1e-2, "{}: the same adapters", kind.name());
        }
        Ok(())
    }

    #[test]
    fn adapters_of_other_forms_take_turns() -> Result<()> {
        let model = Model::mini(DType::F32, &Device::Cpu)?;
        let encodings = model.tokenize(&[Text::from("a film")], 32)?;
        let inputs = model.pad(&[&encodings[0]])?;
        let (a, b, c) = (
            random(&Bottleneck::pfeiffer(), &model, 0)?,
            random(&Lora::default(), &model, 1)?,
            random(&Ia3::default(), &model, 2)?,
        );
        let none = |sites: &[&dyn Sites]| model.forward_together(&inputs, sites);
        assert!(none(&[a.as_ref(), b.as_ref()])?.is_none());
        assert!(none(&[c.as_ref(), c.as_ref()])?.is_none());
        Ok(())
    }
}
