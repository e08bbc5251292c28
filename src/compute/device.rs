//! Where tensors live.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use crate::{Error, Result, bail};

/// The class of results that a GPU computes: close to those of processors and, as its sums are
/// made in no fixed order, not equal to the bit from one run to the next.
pub const CUDA: &str = "cuda";

/// The GPUs in use. One is opened once: tensors of two openings cannot meet.
static OPEN: Mutex<BTreeMap<usize, Device>> = Mutex::new(BTreeMap::new());

/// The device of this name: `cpu`, or `cuda:N` for GPU number N.
///
/// # Errors
/// Another name; a GPU in a program that was built without support for it; no such GPU.
pub fn device(name: &str) -> Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let number = name.strip_prefix("cuda:").and_then(|n| n.parse().ok());
    let Some(number) = number else {
        bail!("device {name:?}: expected cpu or cuda:0");
    };
    if cfg!(not(feature = "cuda")) {
        bail!(
            "device {name}: this program computes on the CPU only";
            hint: "build one with the feature cuda: scripts/build-cuda.sh, or cargo build --release --features cuda where CUDA is installed; tureen doc guide gpu tells more"
        );
    }
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(&number) {
        return Ok(device.clone());
    }
    let device = Device::new_cuda(number).map_err(|error| {
        Error::from(error)
            .within(format!("device {name}"))
            .hint("nvidia-smi lists the GPUs and the driver; the libraries it needs are those that scripts/build-cuda.sh names")
    })?;
    open.insert(number, device.clone());
    Ok(device)
}

/// The name that [`device`] knows it by.
pub fn device_name(device: &Device) -> String {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let found = open.iter().find(|(_, known)| known.same_device(device));
    found.map_or_else(|| "cpu".to_string(), |(number, _)| format!("cuda:{number}"))
}

/// The version of the GPU's driver, as the kernel tells it; none where there is none.
pub fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    version(&text)
}

/// The first word of its first line that is a version.
fn version(text: &str) -> Option<String> {
    let mut words = text.lines().next()?.split_whitespace();
    let is_version = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    words.find(is_version).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        assert!(device("cpu").unwrap().is_cpu());
        assert_eq!(device_name(&Device::Cpu), "cpu");
        for wrong in ["gpu", "cuda", "cuda:x", "cuda:-1", ""] {
            let error = device(wrong).unwrap_err();
            assert!(
                error.message().contains("expected cpu or cuda:0"),
                "{error}"
            );
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_gpus_names_the_one_with() {
        let error = device("cuda:0").unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }

    #[test]
    fn a_driver_tells_its_version() {
        let told = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\nGCC version: gcc 12.2.0";
        assert_eq!(version(told).as_deref(), Some("580.65.06"));
        assert_eq!(version(""), None);
    }
}
