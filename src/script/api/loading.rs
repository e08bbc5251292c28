//! How `dataset` reads what it is given.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rhai::{Array, Map, NativeCallContext};

use super::files::json;
use crate::data::{Chosen, Columns, Dataset, LoadOptions, README, bundled};
use crate::hub::{Hub, Kind, Repo, datasets_named};
use crate::script::Session;
use crate::script::describe;
use crate::script::{Acts, NativeSpec, OptionSpec, Options};
use crate::text::{self, Dialect};
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
        OptionSpec::value(
            "labels",
            "a map or a list",
            "names for the labels as written, one for each: #{ \"0\": \"negative\", \"1\": \"positive\" }; or a list of the names in the order of the classes",
        )
        .otherwise("labels keep their names, in the order that the file declares; integers ascend, other names are sorted")
        .acts(FILES),
        OptionSpec::list(
            "split",
            "shares of train, validation and test that one file is cut into, stratified by label",
        )
        .otherwise("one file has all its rows in every role")
        .acts(FILES),
        OptionSpec::int("seed", 0, i64::MAX, "moves the cut").or("0")
        .acts(&[Acts::Given("split", "nothing is cut without a split")]),
        SEPARATOR,
        QUOTES,
    ],
};

/// Of options that say how separated cells are read.
pub(super) const CELLS: &[Acts] = &[Acts::Where("with .csv, .tsv and .txt files")];

/// The options of all that reads separated cells.
pub(super) const SEPARATOR: OptionSpec = OptionSpec::text(
    "separator",
    "the character between the cells of a .csv, .tsv or .txt file: \",\", \";\", \"\\t\", \"|\"",
)
.otherwise("found in the file")
.acts(CELLS);
pub(super) const QUOTES: OptionSpec = OptionSpec::bool(
    "quotes",
    "whether quote marks enclose the cells of such a file; false reads them as text, as GLUE has them",
)
.otherwise("they do where every cell that begins with one ends with one")
.acts(CELLS);

/// How files of separated cells are read, as these options say.
pub(super) fn dialect(options: &Options) -> Result<Dialect> {
    let separator = match options.maybe_text("separator")? {
        None => None,
        Some(text) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) if !['"', '\n', '\r'].contains(&one) => Some(one),
                _ => {
                    return Err(options.error(
                        "separator",
                        format!("expected one character such as \";\" or \"\\t\", got {text:?}"),
                    ));
                }
            }
        }
    };
    Ok(Dialect {
        separator,
        quotes: options.value("quotes")?,
    })
}

/// A dataset of the binary or of the disk, by its name.
pub(super) fn load(context: &NativeCallContext, name: &str, options: &Map) -> Result<Dataset> {
    if bundled::names().any(|known| known == name) {
        let options = Options::read(&DATASET, options)?;
        if let Some(option) = ["columns", "labels", "split", "separator", "quotes"]
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
        return Dataset::load_telling(&path, &options, &|notice| session.context().notice(notice));
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

/// A dataset of the hub: `owner/name`, `owner/name/config`, or one of the old names without an
/// owner, `name` or `name/config`; each perhaps with `@revision`.
fn from_hub(session: &Session, name: &str, options: LoadOptions) -> Result<Dataset> {
    let mut first = None;
    for (repository, config) in datasets_named(name) {
        match from_repository(session, name, &repository, config, &options) {
            Ok(data) => return Ok(data),
            Err((error, true)) => return Err(error),
            Err((error, false)) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or_else(|| {
        Error::new(format!("{name:?} is no name of a dataset"))
            .hint("expected owner/name or owner/name/configuration")
    }))
}

/// The dataset of a repository; an error with whether the repository was found.
fn from_repository(
    session: &Session,
    name: &str,
    repository: &str,
    config: Option<&str>,
    options: &LoadOptions,
) -> Result<Dataset, (Error, bool)> {
    let lost = |error| (error, false);
    let wrong = |error| (error, true);
    let repo = Repo::parse(Kind::Dataset, repository).map_err(lost)?;
    let hub = Hub::from_env();
    let listed = RefCell::new(Vec::new());
    // What the files are is known before any of them is there.
    let describe = |names: &[String]| {
        *listed.borrow_mut() = names.to_vec();
        let small = [README, ".gitattributes"];
        let first = small
            .into_iter()
            .find(|file| names.iter().any(|n| n == file));
        match first {
            Some(file) => vec![file.to_string()],
            None => Chosen::of(&repo.name, names, None, config)
                .map_or_else(|_| names.iter().take(1).cloned().collect(), |c| c.files),
        }
    };
    let folder = hub
        .fetch(&repo, &describe, session.context())
        .map_err(lost)?;
    let readme = folder.join(README);
    let readme = match readme.is_file() {
        true => Some(text::read(&readme).map_err(wrong)?),
        false => None,
    };
    let listed = listed.into_inner();
    let chosen = Chosen::of(&repo.name, &listed, readme.as_deref(), config).map_err(wrong)?;
    let choose = |_: &[String]| chosen.files.clone();
    let folder = hub
        .fetch(&repo, &choose, session.context())
        .map_err(wrong)?;
    session
        .note_listed("dataset", &format!("hub:{name}"), &chosen.named(&folder))
        .map_err(wrong)?;
    let own = name.split_once('@').map_or(name, |(own, _)| own);
    let tell = |notice| session.context().notice(notice);
    chosen.load(own, &folder, options, &tell).map_err(wrong)
}

fn load_options(map: &Map) -> Result<LoadOptions> {
    let options = Options::read(&DATASET, map)?;
    let mut load = LoadOptions {
        name: options.maybe_text("name")?,
        dialect: dialect(&options)?,
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
    if let Some(labels) = options.get("labels") {
        if let Ok(names) = labels.as_map_ref() {
            load.labels = label_names(&options, &names)?;
        } else if let Ok(order) = labels.as_array_ref() {
            load.order = label_order(&options, &order)?;
        } else {
            let found = describe(labels);
            return Err(options.error(
                "labels",
                format!("expected a map or a list of names, got {found}"),
            ));
        }
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

/// Names of classes in their order, each once.
fn label_order(options: &Options, names: &Array) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for name in names {
        if !(name.is_string() || name.is_int()) {
            let found = describe(name);
            return Err(options.error("labels", format!("{found} in the list, expected a name")));
        }
        let name = name.to_string();
        if order.contains(&name) {
            return Err(options.error("labels", format!("{name} is in the list twice")));
        }
        order.push(name);
    }
    match order.is_empty() {
        true => Err(options.error("labels", "names no label")),
        false => Ok(order),
    }
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
