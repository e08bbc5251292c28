//! Making a saved soup once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::adapter::Adapter;
use crate::adapter::formats::{self, Format, Layout, Origin};
use crate::compute::random::Stream;
use crate::{Error, Result, bail};

use super::base::Base;
use super::form::LoraMixing;
use super::heads::Heads;
use super::make::{made, weights};
use super::method::Spec;
use super::recipe::Soup;
use super::saved::Saved;
use super::settings::{Setting, Settings};

/// Finds an adapter that is no soup, by what is known of it.
pub type Find<'a> = &'a dyn Fn(&Origin) -> Result<Adapter>;

/// Makes the soup in `folder` once more from its recipe and compares it with what the folder holds,
/// byte for byte. Errors where an input is not found, and where something differs.
pub fn replay(folder: &Path, find: Find<'_>) -> Result<Adapter> {
    let folders = saved_in(folder)?;
    let Some(origin) = Origin::read(&folders[0])? else {
        return Err(
            Error::at_path(&folders[0].join("tureen.json"), "no such file")
                .hint("only what was saved here can be made once more"),
        );
    };
    let soup = rebuild(&origin, find)?;
    let single = folders.len() == 1 && folders[0] == folder;
    let own = match single && soup.id() != &origin.id {
        false => soup.clone(),
        // One of several heads, each saved by itself.
        true => soup
            .heads()
            .iter()
            .map(|head| soup.with_head((**head).clone()))
            .find(|one| *one.id() == origin.id)
            .ok_or_else(|| {
                Error::at_path(
                    folder,
                    "the recipe makes another adapter than the one it was saved with",
                )
                .hint(format!("it was saved by version {}", origin.tureen))
            })?,
    };
    verify(&own, folder, &folders)?;
    Ok(own)
}

/// The folders of a saved adapter: itself, or one a head.
fn saved_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_saved = |folder: &Path| folder.join("adapter_config.json").is_file();
    if is_saved(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let inside = std::fs::read_dir(folder).map_err(|e| Error::at_path(folder, e))?;
    let paths = inside.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| is_saved(path)).collect();
    found.sort();
    match found.is_empty() {
        true => Err(Error::at_path(folder, "holds no adapter")),
        false => Ok(found),
    }
}

/// Saves the adapter aside and compares the files of tensors.
fn verify(soup: &Adapter, folder: &Path, folders: &[PathBuf]) -> Result<()> {
    let config = folders[0].join("adapter_config.json");
    let text = crate::text::read(&config)?;
    let format = match text.contains("\"peft_type\"") {
        true => Format::Peft,
        false => Format::AdapterHub,
    };
    let aside = tempfile::tempdir().map_err(|e| Error::new(e.to_string()))?;
    // Tensors are named after the folder.
    let name = folder.file_name().unwrap_or_default();
    let again = aside.path().join(name);
    let types = Origin::read(&folders[0])?.map(|origin| origin.types);
    let layout = Layout::Dense(Some(format), types.unwrap_or_default());
    let mut written = formats::save_over(soup, &again, layout, false)?;
    written.sort();
    if written.len() != folders.len() {
        bail!(
            "{} has {} heads, the recipe makes {}",
            folder.display(),
            folders.len(),
            written.len()
        );
    }
    for (new, old) in written.iter().zip(folders) {
        let inside = std::fs::read_dir(new).map_err(|e| Error::at_path(new, e))?;
        for entry in inside.flatten() {
            let file = entry.file_name();
            let tensors = entry.path().extension().is_some_and(|e| e == "safetensors");
            if tensors && !same_bytes(&entry.path(), &old.join(&file))? {
                return Err(
                    Error::at_path(&old.join(&file), "is not what the recipe makes").hint(
                        "the file was changed, or the soup was made on a machine of another class",
                    ),
                );
            }
        }
    }
    Ok(())
}

fn same_bytes(new: &Path, old: &Path) -> Result<bool> {
    let hash = |path: &Path| -> Result<blake3::Hash> {
        let failed = |e: std::io::Error| Error::at_path(path, e);
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(failed)?;
        Ok(hasher.finalize())
    };
    Ok(hash(new)? == hash(old)?)
}

/// The adapter that an origin tells of: found, or mixed of its inputs.
fn rebuild(origin: &Origin, find: Find<'_>) -> Result<Adapter> {
    let Some(recipe) = &origin.recipe else {
        let found = find(origin)?;
        if *found.id() != origin.id {
            bail!(
                "{} (id {}) was found as another adapter (id {})",
                origin.name,
                origin.id.short(),
                found.id().short()
            );
        }
        return Ok(found);
    };
    let inputs = origin
        .inputs
        .iter()
        .map(|input| Ok((input.id.to_string(), rebuild(input, find)?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let soup = read(recipe, &inputs).map_err(|e| e.within(&origin.name))?;
    Ok(renamed(soup, origin))
}

fn renamed(soup: Adapter, origin: &Origin) -> Adapter {
    let mut parts = soup.parts().clone();
    parts.name.clone_from(&origin.name);
    soup.with_parts(parts)
}

/// The soup that a recipe describes, of these adapters by id.
fn read(recipe: &Value, inputs: &BTreeMap<String, Adapter>) -> Result<Adapter> {
    let input = |id: &Value| match id.as_str().and_then(|id| inputs.get(id)) {
        Some(adapter) => Ok(adapter.clone()),
        None => bail!("the recipe has no input {id}"),
    };
    let name = recipe["method"].as_str().unwrap_or_default();
    let spec = Spec::find(name).map_err(|_| {
        Error::new(format!(
            "a mixture by {name:?} cannot be made from its recipe alone"
        ))
        .hint("run the script that made it")
    })?;
    let adapters = |key: &str| {
        let ids = recipe[key].as_array().map_or(&[][..], |ids| &ids[..]);
        ids.iter().map(input).collect::<Result<Vec<_>>>()
    };
    let members = adapters("members")?;
    if members.is_empty() {
        bail!("the recipe has no members");
    }
    let given = match recipe["weights"].as_array() {
        Some(all) => Some(all.iter().map(Setting::read).collect::<Result<Vec<_>>>()?),
        None => None,
    };
    let base = match &recipe["base"] {
        Value::Object(map) => match (map.get("initial"), map.get("adapter")) {
            (Some(seed), _) => {
                let stream = map.get("stream").and_then(Value::as_u64);
                if stream != Some(u64::from(Stream::VERSION)) {
                    bail!("the initialisation was drawn by another version's random numbers");
                }
                Base::Initial(seed.as_u64().unwrap_or_default())
            }
            (None, Some(id)) => Base::Adapter(input(id)?),
            (None, None) => bail!("the recipe's base is {}", recipe["base"]),
        },
        _ => Base::Zero,
    };
    let settings = spec.complete(settings(spec, recipe)?, members.len())?;
    let form = recipe.get("lora").map(LoraMixing::read).transpose()?;
    made(Soup {
        work: (spec.make)(&settings)?,
        spec,
        weights: weights(spec, given.as_deref(), members.len())?,
        settings,
        members,
        form,
        base,
        offset: recipe["base_weight"].as_f64().unwrap_or(0.0),
        heads: Heads::of(recipe["heads"].as_str().unwrap_or("keep")),
        heads_of: adapters("heads_of")?,
        saved: Saved::of(recipe["saved"].as_str().unwrap_or("keep")),
        chosen: recipe.get("chosen").cloned(),
        prepared: Default::default(),
    })
}

fn settings(spec: &Spec, recipe: &Value) -> Result<Settings> {
    let mut settings = Settings::default();
    for number in spec.numbers {
        let Some(value) = recipe.get(number.name) else {
            continue;
        };
        let all = match value.get("each").and_then(Value::as_array) {
            Some(each) => each.iter().map(Setting::read).collect::<Result<_>>()?,
            None => vec![Setting::read(value)?],
        };
        settings.numbers.insert(number.name, all);
    }
    for choice in spec.choices {
        if let Some(word) = recipe.get(choice.name).and_then(Value::as_str) {
            let known = choice.words.iter().find(|w| **w == word);
            let Some(known) = known else {
                bail!("{} is {word:?}", choice.name);
            };
            settings.words.insert(choice.name, known);
        }
    }
    for (name, _) in spec.flags {
        if let Some(flag) = recipe.get(*name).and_then(Value::as_bool) {
            settings.flags.insert(name, flag);
        }
    }
    settings.seed = recipe.get("seed").and_then(Value::as_u64);
    Ok(settings)
}
