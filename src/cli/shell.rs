//! Commands that do in one line what natives do in scripts: the same natives, the same options.

use std::path::PathBuf;

use clap::Args;
use rhai::{Array, Dynamic, Map};

use super::options::{Given, Native};
use super::{Failure, Surroundings};
use crate::Error;
use crate::script::{Interpreter, Mode};

/// What all of them take besides.
#[derive(Debug, Args)]
struct Common {
    /// How many threads compute (default: one a core). Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Where and how an adapter is saved.
#[derive(Debug, Args)]
struct Saved {
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose layout (default: the one the adapter came from, else adapterhub).
    #[arg(long, value_parser = ["adapterhub", "peft"])]
    format: Option<String>,
    /// dense, or sparse: masks as bits and the kept weights alone (default: dense).
    #[arg(long, value_parser = ["dense", "sparse"])]
    layout: Option<String>,
    /// The type of its numbers (default: keep, that of the files it comes from where all agree).
    #[arg(long, value_parser = ["keep", "f32", "f16", "bf16"])]
    dtype: Option<String>,
    /// Overwrite what is in the folder: another adapter, other files, or an input.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct OfSoup;
impl Native for OfSoup {
    const NAME: &'static str = "soup";
}

#[derive(Debug, Clone, Default)]
pub(super) struct OfSigns;
impl Native for OfSigns {
    const NAME: &'static str = "sign_diff";
}

#[derive(Debug, Clone, Default)]
pub(super) struct OfPruning;
impl Native for OfPruning {
    const NAME: &'static str = "prune";
}

/// Mix adapters into one.
#[derive(Debug, Args)]
pub(super) struct Soup {
    /// Folders of adapters, or names on the hub.
    #[arg(required = true, num_args = 1..)]
    adapters: Vec<String>,
    #[command(flatten)]
    saved: Saved,
    #[command(flatten)]
    options: Given<OfSoup>,
    #[command(flatten)]
    common: Common,
}

/// Compare the signs of adapters.
#[derive(Debug, Args)]
pub(super) struct Signs {
    /// Folders of adapters, or names on the hub.
    #[arg(required = true, num_args = 2..)]
    adapters: Vec<String>,
    /// Also write the table of pairs: .csv, .tsv, .jsonl, .md or .tex.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also draw every member against every other: .svg, .pdf or .png.
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
    /// Overwrite these files where they are there already.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    options: Given<OfSigns>,
    #[command(flatten)]
    common: Common,
}

/// Set an adapter's least weights to zero.
#[derive(Debug, Args)]
pub(super) struct Prune {
    /// The adapter's folder, or a name on the hub.
    adapter: String,
    #[command(flatten)]
    saved: Saved,
    #[command(flatten)]
    options: Given<OfPruning>,
    #[command(flatten)]
    common: Common,
}

impl Soup {
    pub(super) fn main(self) -> Result<(), Failure> {
        let code = "
            let members = adapters.map(load_adapter);
            let mixed = soup(members, options);
            mixed.save(out, saving);
            print(mixed);
            let recipe = mixed.recipe;
            if \"weights\" in recipe {
                let each = [];
                for i in 0..members.len { each.push(`${recipe.weights[i]} ${members[i].name}`); }
                print(`${recipe.method}: ${each.reduce(|all, one| if all == () { one } else { all + \", \" + one })}`);
            }";
        let mut shell = Shell::new(self.common, Some(&self.saved.out))?;
        shell.adapters(self.adapters);
        shell.options(self.options.map);
        shell.saving(self.saved);
        shell.run(code)
    }
}

impl Signs {
    pub(super) fn main(self) -> Result<(), Failure> {
        let code = "
            let members = adapters.map(load_adapter);
            let found = sign_diff(members, options);
            print(found);
            print(found.pairs);
            if out != () { found.pairs.save(out, saving); }
            if figure != () { found.heatmap().save(figure, saving); }";
        if self.force && self.out.is_none() && self.figure.is_none() {
            let error = Error::new("--force: nothing is written without --out or --figure");
            return Err(Failure::Command(error));
        }
        let written = [&self.out, &self.figure].into_iter().flatten();
        let mut shell = Shell::new(self.common, written)?;
        shell.adapters(self.adapters);
        shell.options(self.options.map);
        shell.set("saving", Map::from([("force".into(), self.force.into())]));
        for (name, path) in [("out", self.out), ("figure", self.figure)] {
            let path = path.map(|path| path.display().to_string());
            shell.set(name, path.map_or(Dynamic::UNIT, Dynamic::from));
        }
        shell.run(code)
    }
}

impl Prune {
    pub(super) fn main(self) -> Result<(), Failure> {
        let code = "
            let pruned = load_adapter(adapters[0]).prune(options);
            pruned.save(out, saving);
            print(pruned);";
        let mut shell = Shell::new(self.common, Some(&self.saved.out))?;
        shell.adapters(vec![self.adapter]);
        shell.options(self.options.map);
        shell.saving(self.saved);
        shell.run(code)
    }
}

/// An interpreter for one command.
struct Shell(Interpreter);

/// Names of models, datasets and adapters among the options become what they name.
const NAMED: &str = "
    if \"model\" in options { options.model = model(options.model); }
    if \"data\" in options {
        if options.data.type_of() == \"string\" && options.data.contains(\",\") {
            options.data = options.data.split(\",\");
        }
        options.data = if options.data.type_of() == \"array\" {
            options.data.map(dataset)
        } else {
            dataset(options.data)
        };
    }
    if \"start\" in options { options.start = load_adapter(options.start); }
    if \"among\" in options {
        let others = if options.among.type_of() == \"array\" { options.among } else { [options.among] };
        options.among = others.map(load_adapter);
    }
    if \"base\" in options && !(options.base in [\"initial\", \"zero\"]) {
        options.base = load_adapter(options.base);
    }
";

impl Shell {
    /// One that writes these files or folders.
    fn new<'a>(
        common: Common,
        out: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<Self, Failure> {
        let surroundings = Surroundings::plain(common.threads, out.into_iter().cloned());
        let session = surroundings
            .session(Mode::Eval, PathBuf::from("."))
            .map_err(Failure::Command)?;
        Ok(Self(Interpreter::new(session)))
    }

    fn set(&mut self, name: &str, value: impl Into<Dynamic>) {
        self.0.set(name, value.into());
    }

    /// The user named these: they may be read wherever they are.
    fn adapters(&mut self, names: Vec<String>) {
        self.0.session().allow_names(names.iter().cloned());
        let names: Array = names.into_iter().map(Dynamic::from).collect();
        self.set("adapters", names);
    }

    fn options(&mut self, options: Map) {
        let one = |v: &Dynamic| match v.read_lock::<Array>() {
            Some(list) => list.iter().map(ToString::to_string).collect(),
            None => vec![v.to_string()],
        };
        let texts: Vec<String> = options.values().flat_map(one).collect();
        let parts = texts.iter().flat_map(|t| t.split(',')).map(str::to_string);
        self.0
            .session()
            .allow_names(texts.iter().cloned().chain(parts));
        self.set("options", options);
    }

    fn saving(&mut self, saved: Saved) {
        let mut options = Map::new();
        if let Some(format) = saved.format {
            options.insert("format".into(), format.into());
        }
        if let Some(layout) = saved.layout {
            options.insert("layout".into(), layout.into());
        }
        if let Some(dtype) = saved.dtype {
            options.insert("dtype".into(), dtype.into());
        }
        if saved.force {
            options.insert("force".into(), true.into());
        }
        self.set("saving", options);
        self.set("out", saved.out.display().to_string());
    }

    fn run(mut self, code: &str) -> Result<(), Failure> {
        match self.0.run("tureen", &format!("{NAMED}{code}")) {
            Ok(_) => Ok(()),
            // The code is ours: a place in it would tell the user nothing.
            Err(diagnostic) => Err(diagnostic.without_place().into()),
        }
    }
}
