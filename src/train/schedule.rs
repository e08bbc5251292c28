//! Learning-rate schedules.

/// Linear warm-up from 0 over the first `warmup` of `steps` steps, then linear decay to 0.
/// `step` counts from 0; the result is a factor on the peak learning rate.
pub fn linear_warmup(step: usize, steps: usize, warmup: usize) -> f64 {
    if step < warmup {
        step as f64 / warmup.max(1) as f64
    } else {
        steps.saturating_sub(step) as f64 / steps.saturating_sub(warmup).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_to_one_and_falls_to_zero() {
        let factors: Vec<f64> = (0..=10).map(|s| linear_warmup(s, 10, 2)).collect();
        assert_eq!(factors[..4], [0.0, 0.5, 1.0, 0.875]);
        assert_eq!(factors[10], 0.0);
        assert_eq!(linear_warmup(0, 5, 0), 1.0);
    }
}
