//! How `dataset` reads what it is given.

use std::collections::BTreeMap;

use rhai::{Array, Map, NativeCallContext};

use super::files::json;
use crate::data::{Columns, Dataset, LoadOptions, bundled, needed};
use crate::hub::{Hub, Kind, Repo};
use crate::script::Session;
use crate::script::describe;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::{About, Error, Result, bail, nearest};

/// Of options that say how files are read.
const FILES: &[Acts] = &[Acts::Where("with files and rows")];

/// The options of `dataset`.
pub(super) static DATASET: NativeSpec = NativeSpec {
    name: "dataset",
    options: &[
        OptionSpec::text("name", "the name it goes by").otherwise("the file's or folder's"),
        OptionSpec::map(
            "columns",
            "which columns hold what: #{ text: \"..\", text_b: \"..\", label: \"..\" }",
        )
        .otherwise("the usual names are looked for")
        .acts(FILES),
        OptionSpec::map(
            "labels",
            "names for the labels as written, one for each: #{ \"0\": \"negative\", \"1\": \"positive\" }",
        )
        .otherwise("labels keep their names")
        .acts(FILES),
        OptionSpec::list(
            "split",
            "shares of train, validation and test that one file is cut into, stratified by label",
        )
        .otherwise("one file has all its rows in every role")
        .acts(FILES),
        OptionSpec::int("seed", 0, i64::MAX, "moves the cut").or("0")
        .acts(&[Acts::Given("split", "nothing is cut without a split")]),
    ],
};

/// A dataset of the binary or of the disk, by its name.
pub(super) fn load(context: &NativeCallContext, name: &str, options: &Map) -> Result<Dataset> {
    if bundled::names().any(|known| known == name) {
        let options = Options::read(&DATASET, options)?;
        if let Some(option) = ["columns", "labels", "split"]
            .iter()
            .find(|o| options.given(o))
        {
            return Err(options.error(
                option,
                format!("{name} comes with the binary as it is; the option is for files"),
            ));
        }
        let data = bundled::load(name)?;
        Session::of(context)?.note_input("dataset", name, data.id())?;
        return Ok(match options.maybe_text("name")? {
            Some(name) => data.renamed(&name),
            None => data,
        });
    }
    let options = load_options(options)?;
    let session = Session::of(context)?;
    let Some(repository) = name.strip_prefix("hub:") else {
        let path = session.read_path(name)?;
        if !path.exists() {
            return Err(missing(&session, name));
        }
        session.note_files("dataset", name, &path)?;
        return Dataset::load(&path, &options);
    };
    session.check_hub(name)?;
    from_hub(&session, repository, options)
}

/// Why `dataset(name)` finds nothing, where that can be told without the hub.
pub(in crate::script) fn missing_dataset(session: &Session, name: &str) -> Option<Error> {
    if name.starts_with("hub:") || bundled::names().any(|known| known == name) {
        return None;
    }
    match session.read_path(name) {
        Ok(path) => (!path.exists()).then(|| missing(session, name)),
        Err(error) => Some(error),
    }
}

fn missing(session: &Session, name: &str) -> Error {
    let error = Error::new(format!("no dataset {name:?}: no such file or folder"))
        .about(About::Text(name.into()));
    let names: Vec<&str> = bundled::names().collect();
    if let Some(near) = nearest(name, names.iter().copied()) {
        return error.hint(format!("did you mean \"{near}\"?"));
    }
    // What looks like a file is meant as one.
    if name.contains(['.', '/']) {
        return session.or_near_file(name, error);
    }
    error.hint(format!(
        "the binary carries {}; \"hub:owner/name\" is one of the hub",
        names.join(", ")
    ))
}

/// A dataset of the hub: `owner/name`, or `name/config` for one that consists of several.
fn from_hub(session: &Session, name: &str, mut options: LoadOptions) -> Result<Dataset> {
    let fetch = |name: &str, config: Option<&str>| {
        let choose = |names: &[String]| needed(names, config);
        let repo = Repo::parse(Kind::Dataset, name)?;
        Hub::from_env().fetch(&repo, &choose, session.context())
    };
    let (own, revision) = name.split_once('@').unwrap_or((name, "main"));
    options.name.get_or_insert_with(|| own.to_string());
    let folder = match (fetch(name, None), own.split_once('/')) {
        (Ok(folder), _) => folder,
        (Err(error), Some((whole, config))) => {
            match fetch(&format!("{whole}@{revision}"), Some(config)) {
                Ok(folder) => folder.join(config),
                Err(_) => return Err(error),
            }
        }
        (Err(error), None) => return Err(error),
    };
    session.note_files("dataset", &format!("hub:{name}"), &folder)?;
    Dataset::load(&folder, &options)
}

fn load_options(map: &Map) -> Result<LoadOptions> {
    let options = Options::read(&DATASET, map)?;
    let mut load = LoadOptions {
        name: options.maybe_text("name")?,
        ..LoadOptions::default()
    };
    if let Some(columns) = options.value::<Map>("columns")? {
        let mut named = Columns::default();
        for (key, value) in columns {
            let Ok(value) = value.clone().into_string() else {
                return Err(options.error(
                    "columns",
                    format!("{key} is {}, expected a column's name", describe(&value)),
                ));
            };
            match key.as_str() {
                "text" => named.text = Some(value),
                "text_b" => named.text_b = Some(value),
                "label" => named.label = Some(value),
                other => {
                    return Err(options.error(
                        "columns",
                        format!("unknown key {other}; it takes text, text_b, label"),
                    ));
                }
            }
        }
        load.columns = named;
    }
    if let Some(labels) = options.value::<Map>("labels")? {
        load.labels = label_names(&options, &labels)?;
    }
    if options.given("split") {
        let shares: Vec<f64> = options
            .list("split")?
            .iter()
            .filter_map(|s| s.as_float().or_else(|_| s.as_int().map(|i| i as f64)).ok())
            .collect();
        let [train, validation, test] = shares[..] else {
            return Err(options.error("split", "expected three shares, such as [0.8, 0.1, 0.1]"));
        };
        load.split = Some([train, validation, test]);
    }
    load.seed = options.int("seed")? as u64;
    Ok(load)
}

fn label_names(options: &Options, labels: &Map) -> Result<BTreeMap<String, String>> {
    if labels.is_empty() {
        return Err(options.error("labels", "names no label"));
    }
    let names = labels.iter().map(|(written, name)| {
        if name.is_string() || name.is_int() || name.is_float() {
            return Ok((written.to_string(), name.to_string()));
        }
        Err(options.error(
            "labels",
            format!("{written} is {}, expected a name", describe(name)),
        ))
    });
    names.collect()
}

/// A dataset of maps in a script.
pub(super) fn from_maps(rows: &Array, options: &Map) -> Result<Dataset> {
    let options = load_options(options)?;
    let mut maps = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        match json(row)? {
            serde_json::Value::Object(map) => maps.push(map),
            _ => bail!(
                "row {i}: expected a map with text and label, got {}",
                describe(row)
            ),
        }
    }
    let name = options.name.clone().unwrap_or_else(|| "rows".into());
    Dataset::from_rows(&name, &maps, &options)
}
