//! Where in adapters something is counted.

use crate::adapter::Name;

/// What the rows of a comparison are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// All that is compared.
    #[default]
    Whole,
    /// A layer.
    Layer,
    /// A site, in all layers.
    Site,
    /// A site of a layer.
    LayerSite,
    /// A tensor.
    Tensor,
}

/// Layer, site and tensor of a row, as far as it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The layer's number.
    pub layer: Option<usize>,
    /// The site.
    pub site: Option<String>,
    /// The tensor.
    pub tensor: Option<Name>,
}

impl By {
    /// Where the tensor of this name is counted.
    pub fn place(self, name: &Name) -> Place {
        let mut place = Place::default();
        if matches!(self, Self::Layer | Self::LayerSite | Self::Tensor) {
            place.layer = name.layer();
        }
        if matches!(self, Self::Site | Self::LayerSite | Self::Tensor) {
            place.site = Some(name.site().to_string());
        }
        if self == Self::Tensor {
            place.tensor = Some(name.clone());
        }
        place
    }

    /// The places of these names, in the order of their first, tensors outside a layer last
    /// among layers.
    pub fn places<'a>(self, names: impl Iterator<Item = &'a Name>) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for name in names {
            let place = self.place(name);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        if self == Self::Layer {
            places.sort_by_key(|place| place.layer.unwrap_or(usize::MAX));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_are_counted_at_their_layer_and_site() {
        let names = [
            "pooler.weight",
            "encoder.layer.1.output.adapter_up.weight",
            "encoder.layer.0.output.adapter_up.weight",
            "encoder.layer.0.attention.output.adapter_up.weight",
        ]
        .map(Name::new);
        let count = |by: By| by.places(names.iter()).len();
        assert_eq!(
            [By::Whole, By::Layer, By::Site, By::LayerSite, By::Tensor].map(count),
            [1, 3, 3, 4, 4]
        );
        let layers: Vec<_> = By::Layer
            .places(names.iter())
            .into_iter()
            .map(|p| p.layer)
            .collect();
        assert_eq!(layers, [Some(0), Some(1), None]);
        let place = By::Tensor.place(&names[3]);
        assert_eq!(place.site.as_deref(), Some("attention.output"));
        assert_eq!(
            (place.layer, place.tensor.as_ref()),
            (Some(0), Some(&names[3]))
        );
    }
}
