//! How long counts of signs take.

use std::time::Instant;

use rayon::prelude::*;

use super::pairs::PairCounts;
use super::{MixtureIndex, Planes, SignPlanes, subsets};
use crate::adapter::{FileTensors, Name};
use crate::compute::random::Stream;
use crate::compute::threads;
use crate::tensorfile::{TensorFile, encode};
use crate::{Context, Error, Result};

/// What is timed.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Members of which every pair is counted.
    pub members: usize,
    /// Weights of each.
    pub weights: usize,
    /// The share of weights that are zero.
    pub zeros: f64,
    /// Members of which every subset is counted.
    pub mixed: usize,
    /// Weights of each of these.
    pub mixed_weights: usize,
    /// Weights of a file.
    pub file_weights: usize,
    /// How often each is timed.
    pub repeat: usize,
}

/// Seconds, medians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// The counts of all pairs.
    pub pairs: f64,
    /// The counts of all subsets.
    pub subsets: f64,
    /// Reading the file.
    pub read: f64,
    /// Reading the file and building its signs.
    pub build: f64,
}

/// Times counts over random members, and the signs of a file in the folder for temporary files.
pub fn times(asked: &Asked, context: &Context) -> Result<Times> {
    threads::in_pool(|| {
        let (read, build) = file(asked, context)?;
        Ok(Times {
            pairs: all_pairs(asked, context)?,
            subsets: all_subsets(asked, context)?,
            read,
            build,
        })
    })
}

fn all_pairs(asked: &Asked, context: &Context) -> Result<f64> {
    let planes = random(asked.members, asked.weights, asked.zeros)?;
    let members: Vec<&Planes> = planes.iter().collect();
    let nonzero = members
        .iter()
        .map(|p| super::expected::Signs::of(p).nonzero());
    let nonzero: Vec<Vec<u64>> = vec![nonzero.collect()];
    let tensors = vec![members];
    median(asked.repeat, context, || {
        PairCounts::of(&tensors, &nonzero, context).map(drop)
    })
}

fn all_subsets(asked: &Asked, context: &Context) -> Result<f64> {
    let name = Name::new("w");
    let planes: Vec<SignPlanes> = random(asked.mixed, asked.mixed_weights, asked.zeros)?
        .into_iter()
        .map(|planes| [(name.clone(), planes)].into_iter().collect())
        .collect();
    let named: Vec<(&str, &SignPlanes)> = planes.iter().map(|p| ("m", p)).collect();
    let index = MixtureIndex::new(&named)?;
    median(asked.repeat, context, || {
        subsets(&index, 1..=asked.mixed, context).map(drop)
    })
}

fn file(asked: &Asked, context: &Context) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir().map_err(|e| Error::new(e.to_string()))?;
    let path = folder.path().join("weights.safetensors");
    let values: Vec<f32> = noise(0, asked.file_weights, 0.0).collect();
    let name = Name::new("w");
    let device = &candle_core::Device::Cpu;
    let tensor = candle_core::Tensor::from_vec(values, asked.file_weights, device)?;
    let bytes = encode(&[("w".to_string(), tensor)].into(), None)?;
    std::fs::write(&path, bytes).map_err(|e| Error::at_path(&path, e))?;
    let files = FileTensors::new(vec![TensorFile::open(&path)?], |own| {
        Ok(Some(Name::new(own)))
    })?;
    let read = || Planes::scan(&files, &name);
    let build = || Planes::read(&files, &name).map(drop);
    // The first pass brings the file into the system's memory.
    read()?;
    Ok((
        median(asked.repeat, context, read)?,
        median(asked.repeat, context, build)?,
    ))
}

/// Random signs.
fn random(members: usize, weights: usize, zeros: f64) -> Result<Vec<Planes>> {
    (0..members)
        .into_par_iter()
        .map(|member| {
            let values: Vec<f32> = noise(member, weights, zeros).collect();
            Planes::new(&Name::new("w"), &values, &[weights])
        })
        .collect::<Vec<_>>()
        .into_iter()
        .collect()
}

/// Numbers of either sign.
fn noise(member: usize, count: usize, zeros: f64) -> impl Iterator<Item = f32> {
    let mut stream = Stream::new(0, "bench signs", &member.to_string());
    let mut bits = 0u64;
    (0..count).map(move |i| {
        if i % 64 == 0 {
            bits = stream.next_u64();
        }
        let sign = if bits >> (i % 64) & 1 == 1 { 1.0 } else { -1.0 };
        match zeros > 0.0 && stream.uniform() < zeros {
            true => 0.0,
            false => sign,
        }
    })
}

fn median(repeat: usize, context: &Context, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        context.check()?;
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[repeat / 2])
}
