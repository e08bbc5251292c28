//! Makes the datasets, the table of neighbours and the model that the binary carries, from their
//! sources.
//!
//! `cargo run --release --example bundle -- DATA_DIR`, where `DATA_DIR/datasets/NAME/` holds the
//! source datasets as .jsonl.gz files of `text` and `label`,
//! `DATA_DIR/resources/counterfitted_neighbors.json.gz` the table as a map of lists, and
//! `DATA_DIR/models/paraphrase-MiniLM-L3-v2/` the model. Writes `stdlib/data/NAME.jsonl.gz`,
//! `stdlib/data/neighbors.txt.gz` and `stdlib/models/mini/`, the same bytes every time. Sources and
//! licences stand in `NOTICE`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use candle_core::quantized::gguf_file::{self, Value as Metadata};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde_json::{Map, Value, json};
use tureen::data::{Dataset, LoadOptions, Split};
use tureen::{Error, Result, bail};

/// How the labels of a source become names.
enum Labels {
    /// They are names.
    Names,
    /// 0 and 1 mean these.
    Binary([&'static str; 2]),
    /// Mean ratings from -4 to 4; those nearer to 0 than [`NEUTRAL`] are left out.
    Rating,
}

/// Name, source folder, labels.
const DATASETS: &[(&str, &str, Labels)] = &[
    ("films", "mr", Labels::Binary(["negative", "positive"])),
    ("products", "vader-amazonReviewSnippets", Labels::Rating),
    ("news", "vader-nytEditorialSnippets", Labels::Rating),
    ("tweets", "vader-tweets", Labels::Rating),
    ("subjectivity", "subj", Labels::Names),
    ("reviews", "cr", Labels::Binary(["negative", "positive"])),
    ("spam", "sms-spam", Labels::Names),
    ("glosses", "wordnet-gloss", Labels::Names),
];

const NEIGHBORS: &str = "resources/counterfitted_neighbors.json.gz";
const MODEL: &str = "paraphrase-MiniLM-L3-v2";
const NEUTRAL: f64 = 0.5;
const MOST_ROWS: usize = 2000;
const SHARES: [f64; 3] = [0.7, 0.1, 0.2];
const SEED: u64 = 0;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: cargo run --release --example bundle -- DATA_DIR");
        return ExitCode::from(2);
    };
    match bundle(
        &folder,
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/stdlib")),
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bundle(folder: &Path, stdlib: &Path) -> Result<()> {
    let data = stdlib.join("data");
    make_folder(&data)?;
    for (name, source, labels) in DATASETS {
        let rows = read_rows(&folder.join("datasets").join(source), labels)?;
        let dataset = cut(name, without_duplicates(rows))?;
        let bytes = write(
            &data.join(format!("{name}.jsonl.gz")),
            &gzip(&lines(&dataset)?)?,
        )?;
        println!("{dataset}; {bytes} bytes");
    }
    let lines = neighbors(&folder.join(NEIGHBORS))?;
    let bytes = write(&data.join("neighbors.txt.gz"), &gzip(lines.as_bytes())?)?;
    println!("neighbors: {} words; {bytes} bytes", lines.lines().count());
    let model = stdlib.join("models/mini");
    make_folder(&model)?;
    copy_model(&folder.join("models").join(MODEL), &model)
}

/// Lines of a word and its neighbours, nearest first; words without neighbours are left out.
fn neighbors(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(|e| Error::at_path(path, e))?;
    let table: BTreeMap<String, Vec<String>> =
        serde_json::from_reader(GzDecoder::new(file)).map_err(|e| Error::at_path(path, e))?;
    let known = table.iter().filter(|(_, near)| !near.is_empty());
    Ok(known
        .map(|(word, near)| format!("{word} {}\n", near.join(" ")))
        .collect())
}

/// The rows of all files of a folder, in the order train, dev, test, all.
fn read_rows(folder: &Path, labels: &Labels) -> Result<Vec<Map<String, Value>>> {
    let mut rows = Vec::new();
    for split in ["train", "dev", "test", "all"] {
        let path = folder.join(format!("{split}.jsonl.gz"));
        if !path.is_file() {
            continue;
        }
        let mut text = String::new();
        let file = File::open(&path).map_err(|e| Error::at_path(&path, e))?;
        GzDecoder::new(file)
            .read_to_string(&mut text)
            .map_err(|e| Error::at_path(&path, e))?;
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).map_err(|e| Error::at_path(&path, e))?;
            let Some(text) = row["text"].as_str() else {
                bail!("{}: a row without text", path.display());
            };
            if let Some(label) = label_name(&row["label"], labels) {
                let row = json!({ "text": text.trim(), "label": label });
                rows.extend(row.as_object().cloned());
            }
        }
    }
    if rows.is_empty() {
        return Err(Error::at_path(folder, "no rows found"));
    }
    Ok(rows)
}

fn label_name(label: &Value, labels: &Labels) -> Option<String> {
    match labels {
        Labels::Names => label.as_str().map(str::to_string),
        Labels::Binary(names) => {
            let index = usize::try_from(label.as_u64()?).ok()?;
            names.get(index).map(|name| name.to_string())
        }
        Labels::Rating => {
            let rating = label.as_f64()?;
            let name = if rating > 0.0 { "positive" } else { "negative" };
            (rating.abs() >= NEUTRAL).then(|| name.to_string())
        }
    }
}

/// Keeps the first of the rows whose texts differ in nothing but case, spaces and punctuation.
fn without_duplicates(rows: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut seen = BTreeSet::new();
    rows.into_iter()
        .filter(|row| {
            let text = row["text"].as_str().unwrap_or_default();
            let letters: String = text.chars().filter(|c| c.is_alphanumeric()).collect();
            !letters.is_empty() && seen.insert(letters.to_lowercase())
        })
        .collect()
}

/// A stratified sample of the rows, cut stratified by [`SHARES`].
fn cut(name: &str, rows: Vec<Map<String, Value>>) -> Result<Dataset> {
    let split = |rows: &[Map<String, Value>], shares| {
        let options = LoadOptions {
            split: Some(shares),
            seed: SEED,
            ..LoadOptions::default()
        };
        Dataset::from_rows(name, rows, &options)
    };
    if rows.len() <= MOST_ROWS {
        return split(&rows, SHARES);
    }
    let share = MOST_ROWS as f64 / rows.len() as f64;
    let sample = split(&rows, [share, 1.0 - share, 0.0])?;
    let rows: Vec<Map<String, Value>> = objects(&sample, Split::Train).collect();
    split(&rows, SHARES)
}

fn objects(data: &Dataset, split: Split) -> impl Iterator<Item = Map<String, Value>> {
    data.split(split).iter().filter_map(move |row| {
        let row = json!({
            "split": split.name(),
            "text": &*row.text,
            "label": data.label_text(row.label),
        });
        row.as_object().cloned()
    })
}

fn lines(data: &Dataset) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in Split::ALL
        .into_iter()
        .flat_map(|split| objects(data, split))
    {
        serde_json::to_writer(&mut lines, &row).map_err(|e| Error::new(e.to_string()))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Compresses with a header that has no time and no file name.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut writer = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    writer
        .write_all(bytes)
        .and_then(|()| writer.finish())
        .map_err(|e| Error::new(e.to_string()))
}

/// Writes matrices in 8 bits (Q8_0) and vectors in f32, and the tokenizer without truncation and
/// padding.
fn copy_model(from: &Path, to: &Path) -> Result<()> {
    let tensors = candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu)?;
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort();
    let mut quantized = Vec::new();
    for name in names {
        let tensor = tensors[name].to_dtype(DType::F32)?;
        let blocks = tensor.rank() == 2 && tensor.dim(1)?.is_multiple_of(32);
        let kind = if blocks {
            GgmlDType::Q8_0
        } else {
            GgmlDType::F32
        };
        quantized.push((name.as_str(), QTensor::quantize(&tensor, kind)?));
    }
    let text = |text: &str| Metadata::String(text.into());
    let metadata = [
        ("general.architecture", text("bert")),
        ("general.name", text(MODEL)),
        ("general.license", text("apache-2.0")),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<_> = quantized
        .iter()
        .map(|(name, tensor)| (*name, tensor))
        .collect();
    let mut bytes = Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &metadata, &tensors)?;
    let size = write(&to.join("mini.gguf"), bytes.get_ref())?;
    println!("mini.gguf: {} tensors, {size} bytes", tensors.len());

    let mut tokenizer = read_json(&from.join("tokenizer.json"))?;
    tokenizer["truncation"] = Value::Null;
    tokenizer["padding"] = Value::Null;
    let size = write(&to.join("tokenizer.json"), tokenizer.to_string().as_bytes())?;
    println!("tokenizer.json: {size} bytes");
    let config = read_json(&from.join("config.json"))?;
    write(&to.join("config.json"), format!("{config:#}\n").as_bytes())?;
    Ok(())
}

fn read_json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|e| Error::at_path(path, e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::at_path(path, e))
}

fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::at_path(path, e))
}

fn write(path: &Path, bytes: &[u8]) -> Result<usize> {
    std::fs::write(path, bytes).map_err(|e| Error::at_path(path, e))?;
    Ok(bytes.len())
}
