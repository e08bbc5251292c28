//! Whole modules and embedding LoRAs beside an adapter's own tensors.
