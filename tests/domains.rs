//! Adapters on the bundled domains against what a plain classifier makes of the frozen model.

use tureen::Context;
use tureen::adapter::Bottleneck;
use tureen::data::{Dataset, Label, Split, bundled};
use tureen::evaluate::{EvaluateOptions, evaluate};
use tureen::model::{Model, tokenize::Text};
use tureen::train::{TrainOptions, train};

/// Each adapter beats the majority class by ten points wherever a logistic regression on the
/// frozen model's sentence embeddings does, and together they do no worse than those.
#[test]
fn adapters_beat_a_regression_on_frozen_embeddings() {
    let model = Model::mini(candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let context = Context::silent();
    let (mut adapters, mut regressions) = (0.0, 0.0);
    println!("domain         majority  regression  adapter");
    for name in bundled::names() {
        let data = bundled::load(name).unwrap();
        let majority = majority(&data);
        let regression = regression(&model, &data);
        let options = TrainOptions::new(std::sync::Arc::new(Bottleneck::pfeiffer()), 42);
        let adapter = train(&model, &data, &options, &context).unwrap();
        let score = evaluate(
            &model,
            &adapter,
            &data,
            &EvaluateOptions::default(),
            &context,
        );
        let accuracy = score.unwrap().accuracy().unwrap();
        println!("{name:<14} {majority:>8.4}  {regression:>10.4}  {accuracy:>7.4}");
        if regression >= majority + 0.1 {
            assert!(
                accuracy >= majority + 0.1,
                "{name}: {accuracy} against {majority}"
            );
        }
        adapters += accuracy;
        regressions += regression;
    }
    assert!(
        adapters >= regressions,
        "{adapters} against {regressions} over all domains"
    );
}

fn classes(data: &Dataset, split: Split) -> Vec<usize> {
    data.split(split)
        .iter()
        .map(|row| match row.label {
            Label::Class(class) => class,
            _ => panic!("a row without a class"),
        })
        .collect()
}

fn majority(data: &Dataset) -> f64 {
    let test = classes(data, Split::Test);
    let counts = (0..data.labels().len()).map(|c| test.iter().filter(|t| **t == c).count());
    counts.max().unwrap() as f64 / test.len() as f64
}

/// Test accuracy of multinomial logistic regression with an L2 penalty (C = 1) on standardised
/// sentence embeddings, by gradient descent.
fn regression(model: &Model, data: &Dataset) -> f64 {
    let embed = |split: Split| -> Vec<Vec<f64>> {
        let rows = data.split(split);
        let texts: Vec<Text<'_>> = rows.iter().map(|r| Text::Single(&r.text)).collect();
        let embeddings = model.embed(&texts).unwrap();
        embeddings
            .to_dtype(candle_core::DType::F64)
            .unwrap()
            .to_vec2()
            .unwrap()
    };
    let (train, test) = (embed(Split::Train), embed(Split::Test));
    let (gold, wanted) = (classes(data, Split::Train), classes(data, Split::Test));
    let (n, d, k) = (train.len() as f64, train[0].len(), data.labels().len());
    let mean: Vec<f64> = (0..d)
        .map(|j| train.iter().map(|x| x[j]).sum::<f64>() / n)
        .collect();
    let sd: Vec<f64> = (0..d)
        .map(|j| (train.iter().map(|x| (x[j] - mean[j]).powi(2)).sum::<f64>() / n).sqrt())
        .collect();
    let scaled = |x: &Vec<f64>| -> Vec<f64> {
        let mut z: Vec<f64> = (0..d).map(|j| (x[j] - mean[j]) / sd[j]).collect();
        z.push(1.0);
        z
    };
    let train: Vec<Vec<f64>> = train.iter().map(scaled).collect();
    let mut w = vec![vec![0.0; d + 1]; k];
    let scores = |w: &[Vec<f64>], x: &[f64]| -> Vec<f64> {
        w.iter()
            .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect()
    };
    for _ in 0..300 {
        let mut gradient = w.clone();
        for row in &mut gradient {
            row[d] = 0.0;
            row.iter_mut().for_each(|g| *g /= n);
        }
        for (x, gold) in train.iter().zip(&gold) {
            let s = scores(&w, x);
            let top = s.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = s.iter().map(|v| (v - top).exp()).sum();
            for (c, g) in gradient.iter_mut().enumerate() {
                let p = (s[c] - top).exp() / total - f64::from(u8::from(c == *gold));
                g.iter_mut().zip(x).for_each(|(g, x)| *g += p * x / n);
            }
        }
        for (row, g) in w.iter_mut().zip(&gradient) {
            row.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.1 * g);
        }
    }
    let right = test.iter().map(scaled).zip(&wanted).filter(|(x, gold)| {
        let s = scores(&w, x);
        let best = (0..k).max_by(|a, b| s[*a].total_cmp(&s[*b])).unwrap();
        best == **gold
    });
    right.count() as f64 / wanted.len() as f64
}
