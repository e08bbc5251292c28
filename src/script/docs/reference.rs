//! All that can be called, as pages: functions with their forms, types with their properties.

use std::collections::BTreeMap;

use rhai::{Engine, FuncMetadata};
use serde::Serialize;

use super::super::api::{TOPICS, TYPES, Topic, TypeDoc};
use super::super::signatures::{parameters, returns, signature};
use super::super::spec::NativeSpec;
use super::super::{Session, engine, options_of};
use super::comment::Comment;

/// The natives of all topics.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    /// One chapter a topic, in order.
    pub chapters: Vec<Chapter>,
}

/// The types and functions of a topic.
#[derive(Debug, Clone, Serialize)]
pub struct Chapter {
    /// The topic.
    pub title: String,
    /// Its types.
    pub types: Vec<TypePage>,
    /// Its functions, by name.
    pub functions: Vec<Page>,
}

/// All functions of one name.
#[derive(Debug, Clone, Serialize)]
pub struct Page {
    /// The name, with its module's.
    pub name: String,
    /// What it can be called with.
    pub forms: Vec<Form>,
    /// The options of the forms that take a map of them.
    #[serde(serialize_with = "super::json::spec")]
    pub options: Option<&'static NativeSpec>,
}

/// Calls that one doc comment explains.
#[derive(Debug, Clone, Serialize)]
pub struct Form {
    /// The type of the first parameter: whose method it is.
    pub receiver: String,
    /// How it is called, the shortest first.
    pub signatures: Vec<String>,
    /// Whether a signature takes a map of options.
    pub takes_options: bool,
    /// The names of all parameters but options.
    pub parameters: Vec<String>,
    /// The doc comment.
    pub doc: Comment,
}

/// A type of values.
#[derive(Debug, Clone, Serialize)]
pub struct TypePage {
    /// Its name.
    pub name: String,
    /// What it is, what operators do with it, an example.
    pub doc: Comment,
    /// What stands behind a dot without brackets.
    pub properties: Vec<Property>,
    /// The functions that take it first.
    pub methods: Vec<String>,
    /// The operators it has.
    pub operators: Vec<String>,
}

/// A property of a type.
#[derive(Debug, Clone, Serialize)]
pub struct Property {
    /// Its name; `[index]` for what brackets give.
    pub name: String,
    /// The type of its value.
    pub returns: String,
    /// The doc comment.
    pub doc: Comment,
}

/// One registered function.
pub(super) struct Found {
    name: String,
    role: Role,
    parameters: Vec<(String, String)>,
    returns: String,
    signature: String,
    doc: Comment,
}

#[derive(PartialEq, Eq)]
enum Role {
    Function,
    Property,
    Operator,
}

impl Reference {
    /// The reference of `session`'s natives.
    pub fn new(session: &Session) -> Self {
        let chapter = |topic: &'static Topic| {
            let mut alone = Engine::new_raw();
            (topic.register)(&mut alone, session);
            (topic, found(&alone, false))
        };
        let found: Vec<(&Topic, Vec<Found>)> = TOPICS.iter().map(chapter).collect();
        let all: Vec<&Found> = found.iter().flat_map(|(_, found)| found).collect();
        let chapters = found.iter().map(|(topic, own)| Chapter {
            title: topic.title.to_string(),
            types: TYPES
                .iter()
                .filter(|t| t.topic == topic.title)
                .map(|t| type_page(t, &all))
                .collect(),
            functions: pages(own.iter())
                .into_iter()
                .map(|page| {
                    let spec = topic.options.iter().find(|spec| spec.name == page.name);
                    page.with_options(spec)
                })
                .collect(),
        });
        // A topic of properties alone stands with the type that has them.
        let some = |chapter: &Chapter| !chapter.types.is_empty() || !chapter.functions.is_empty();
        Self {
            chapters: chapters.filter(some).collect(),
        }
    }

    /// The types of all chapters.
    pub fn types(&self) -> impl Iterator<Item = &TypePage> {
        self.chapters.iter().flat_map(|chapter| &chapter.types)
    }
}

/// The page of all functions called `name` that an engine has; ours where we have some.
pub(super) fn page(engine: &Engine, name: &str) -> Option<Page> {
    [false, true].into_iter().find_map(|all| {
        let found = found(engine, all);
        let mut pages = pages(found.iter().filter(|f| f.name == name));
        Some(pages.pop()?.with_options(options_of(name)))
    })
}

/// The pages of all functions that an engine has, ours where we have some; with those that only
/// the engine brings if `all`.
pub(super) fn all_pages(engine: &Engine, all: bool) -> Vec<Page> {
    let own = pages(found(engine, false).iter());
    if !all {
        return own;
    }
    let mut named: BTreeMap<String, Page> = pages(found(engine, true).iter())
        .into_iter()
        .map(|page| (page.name.clone(), page))
        .collect();
    named.extend(own.into_iter().map(|page| (page.name.clone(), page)));
    named.into_values().collect()
}

/// The page of the type called `name`.
pub(super) fn type_named(engine: &Engine, name: &str) -> Option<TypePage> {
    let doc = TYPES.iter().find(|t| t.name == name)?;
    Some(type_page(
        doc,
        &found(engine, false).iter().collect::<Vec<_>>(),
    ))
}

/// The types that have a property of this name, and what it is.
pub(super) fn properties_named(engine: &Engine, name: &str) -> Vec<(String, Property)> {
    let found = found(engine, false);
    let all: Vec<&Found> = found.iter().collect();
    let types = TYPES.iter().map(|t| type_page(t, &all));
    types
        .flat_map(|t| {
            let own = t.properties.into_iter().find(|p| p.name == name);
            own.map(|p| (t.name, p))
        })
        .collect()
}

/// The functions of an engine; with those that it brings itself if `all`.
pub(super) fn found(engine: &Engine, all: bool) -> Vec<Found> {
    let mut found: Vec<Found> = engine.collect_fn_metadata(
        None,
        |info| {
            let (name, role) = role(&engine::qualified(&info))?;
            let function = info.metadata;
            Some(Found {
                name,
                role,
                parameters: parameters(function),
                returns: returns(function),
                signature: format!("{} -> {}", signature(function), returns(function)),
                doc: Comment::read(&stripped(function)),
            })
        },
        all,
    );
    found.sort_by(|a, b| {
        let key = |f: &Found| (f.name.clone(), f.parameters.len(), f.signature.clone());
        key(a).cmp(&key(b))
    });
    found
}

impl Found {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
    pub(super) fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }
    pub(super) fn is_property(&self) -> bool {
        self.role == Role::Property
    }
    pub(super) fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }
    pub(super) fn returns(&self) -> &str {
        &self.returns
    }
    pub(super) fn doc(&self) -> &Comment {
        &self.doc
    }
}

fn role(name: &str) -> Option<(String, Role)> {
    if let Some(property) = name.strip_prefix("get$") {
        return Some((property.to_string(), Role::Property));
    }
    let plain = name.rsplit("::").next().unwrap_or(name);
    match name {
        "index$get$" => Some(("[index]".into(), Role::Property)),
        "to_string" | "to_debug" => None,
        _ if name.contains('$') => None,
        _ if plain.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some((name.to_string(), Role::Function))
        }
        _ => Some((name.to_string(), Role::Operator)),
    }
}

/// The functions among `found` by name, further forms with what they are a form of.
fn pages<'a>(found: impl Iterator<Item = &'a Found>) -> Vec<Page> {
    let mut named: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for one in found.filter(|f| f.role == Role::Function) {
        named.entry(&one.name).or_default().push(one);
    }
    let page = |(name, found): (&str, Vec<&Found>)| Page {
        name: name.to_string(),
        forms: forms(&found),
        options: None,
    };
    named.into_iter().map(page).collect()
}

fn forms(found: &[&Found]) -> Vec<Form> {
    let (further, main): (Vec<&Found>, Vec<&Found>) = found
        .iter()
        .copied()
        .partition(|f| f.doc.is_of_another_form());
    let mut forms: Vec<(Form, &Found)> = Vec::new();
    for one in main {
        match forms.iter_mut().find(|(form, _)| form.doc == one.doc) {
            Some((form, _)) => form.add(one),
            None => forms.push((Form::of(one), one)),
        }
    }
    for one in further {
        let shared = |other: &Found| {
            let pairs = one.parameters.iter().zip(&other.parameters);
            pairs.take_while(|((_, a), (_, b))| a == b).count()
        };
        // Of equally near ones the first, which has the fewest parameters.
        let nearest = forms
            .iter_mut()
            .rev()
            .max_by_key(|(_, other)| shared(other));
        match nearest {
            Some((form, _)) => {
                form.add(one);
                form.doc.join(&one.doc);
            }
            None => forms.push((Form::of(one), one)),
        }
    }
    forms.into_iter().map(|(form, _)| form).collect()
}

impl Page {
    /// With the options of its native, if a form of it takes any.
    pub(super) fn with_options(mut self, spec: Option<&'static NativeSpec>) -> Self {
        self.options = spec.filter(|_| self.forms.iter().any(|form| form.takes_options));
        self
    }
}

impl Form {
    fn of(found: &Found) -> Self {
        let mut form = Self {
            receiver: found.parameters.first().map_or("", |(_, t)| t).to_string(),
            signatures: Vec::new(),
            takes_options: false,
            parameters: Vec::new(),
            doc: found.doc.clone(),
        };
        form.add(found);
        form
    }

    fn add(&mut self, found: &Found) {
        if !self.signatures.contains(&found.signature) {
            self.signatures.push(found.signature.clone());
        }
        for (name, type_) in &found.parameters {
            let is_options = name == "options" && type_ == "map";
            self.takes_options |= is_options;
            if !is_options && !self.parameters.contains(name) {
                self.parameters.push(name.clone());
            }
        }
    }
}

fn type_page(doc: &TypeDoc, all: &[&Found]) -> TypePage {
    let takes = |f: &Found, at: usize| f.parameters.get(at).is_some_and(|(_, t)| t == doc.name);
    let own = |role: Role| all.iter().filter(move |f| f.role == role);
    let properties = own(Role::Property).filter(|f| takes(f, 0));
    let properties = properties.map(|f| Property {
        name: f.name.clone(),
        returns: f.returns.clone(),
        doc: f.doc.clone(),
    });
    let mut methods: Vec<String> = own(Role::Function)
        .filter(|f| takes(f, 0))
        .map(|f| f.name.clone())
        .collect();
    methods.sort();
    methods.dedup();
    let operators = own(Role::Operator).filter(|f| takes(f, 0) || takes(f, 1));
    let mut operators: Vec<String> = operators
        .map(|f| {
            let types = f.parameters.iter().map(|(_, t)| match t.as_str() {
                "int" | "float" => "number",
                other => other,
            });
            let types: Vec<&str> = types.collect();
            match types[..] {
                [one] => format!("{}{one} -> {}", f.name, f.returns),
                _ => format!("{} -> {}", types.join(&format!(" {} ", f.name)), f.returns),
            }
        })
        .collect();
    operators.sort();
    operators.dedup();
    TypePage {
        name: doc.name.to_string(),
        doc: Comment::read(doc.text),
        properties: properties.collect(),
        methods,
        operators,
    }
}

/// A doc comment without its markers.
pub(super) fn stripped(function: &FuncMetadata) -> String {
    strip(function.comments.iter().map(|block| block.as_str()))
}

/// Comment blocks without their markers.
pub(super) fn strip<'a>(blocks: impl Iterator<Item = &'a str>) -> String {
    let lines = blocks.flat_map(str::lines);
    let stripped: Vec<&str> = lines
        .map(|line| {
            let line = line.trim_start();
            let line = line
                .strip_prefix("///")
                .or_else(|| line.strip_prefix("//!"))
                .unwrap_or(line);
            line.strip_prefix(' ').unwrap_or(line).trim_end()
        })
        .collect();
    stripped.join("\n")
}
