//! What fuzzing has found worth keeping, read again: each input returns, whatever it is.

use std::io::Read;
use std::path::Path;

use tureen::hostile;

/// The inputs of a target: each behind its length, four bytes little endian, all gzipped.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fuzz/corpus/{target}.gz"));
    let mut all = Vec::new();
    let packed = std::fs::File::open(file).unwrap();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut all)
        .unwrap();
    let (mut rest, mut inputs) = (&all[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (input, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        rest = after;
    }
    inputs
}

#[test]
fn the_corpus_neither_panics_nor_hangs() {
    type Target = fn(&[u8]);
    let targets: [(&str, Target); 8] = [
        ("safetensors", hostile::safetensors),
        ("pickle", hostile::pickle),
        ("gguf", hostile::gguf),
        ("config", hostile::config),
        ("tsv", |bytes| hostile::dataset(bytes, "tsv")),
        ("csv", |bytes| hostile::dataset(bytes, "csv")),
        ("jsonl", |bytes| hostile::dataset(bytes, "jsonl")),
        ("parquet", |bytes| hostile::dataset(bytes, "parquet")),
    ];
    for (name, target) in targets {
        let inputs = corpus(name);
        assert!(inputs.len() > 1, "{name}: {} inputs", inputs.len());
        inputs.iter().for_each(|bytes| target(bytes));
    }
}

/// What every other way of abusing a pickle comes down to.
#[test]
fn a_pickle_that_asks_for_more_than_tensors_is_refused_by_name() {
    // protocol 2; os.system; a text; a tuple of it; the call; the end
    let program = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.";
    let error = tureen::tensorfile::read_bytes(program, false).unwrap_err();
    assert!(error.to_string().contains("os.system"), "{error}");
    let program = b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.";
    let error = tureen::tensorfile::read_bytes(program, false).unwrap_err();
    assert!(error.to_string().contains("builtins.eval"), "{error}");
}
