//! What is known of the natives' types, from their signatures: enough to follow a script's values,
//! and nothing where a signature leaves it open.

use std::any::TypeId;
use std::collections::BTreeMap;

use rhai::{Array, Dynamic, Engine, FnPtr, ImmutableString, Map};

use crate::script::engine::qualified;
use crate::script::signatures::given;
use crate::script::values::type_name;

/// A type as users know it; none where it is not known.
pub(super) type Type = Option<String>;

/// One way of calling a function.
#[derive(Debug)]
pub(super) struct Form {
    /// The parameters' types; none takes anything.
    pub(super) takes: Vec<Type>,
    /// Whether the last parameter is a map of options.
    pub(super) options: bool,
    /// What it gives.
    gives: Type,
}

/// All natives by name; properties are `get$name` and `set$name`, indexing `index$get$`.
pub(super) struct Natives(BTreeMap<String, Vec<Form>>);

impl Natives {
    /// Those of `engine`.
    pub(super) fn of(engine: &Engine) -> Self {
        struct Raw {
            name: String,
            types: Vec<TypeId>,
            written: Vec<String>,
            gives: String,
        }
        let raw = engine.collect_fn_metadata(
            None,
            |info| {
                let function = info.metadata;
                Some(Raw {
                    name: qualified(&info),
                    types: match function.param_types.len() == function.num_params {
                        true => function.param_types.to_vec(),
                        false => vec![TypeId::of::<Dynamic>(); function.num_params],
                    },
                    written: function.params_info.iter().map(|p| p.to_string()).collect(),
                    gives: function.return_type.to_string(),
                })
            },
            true,
        );
        // A type has one name in the natives' sources, and where it has not, it is not followed.
        let mut names: BTreeMap<String, Option<TypeId>> = BTreeMap::new();
        for function in &raw {
            for (id, written) in function.types.iter().zip(&function.written) {
                let Some((_, rust)) = written.split_once(':') else {
                    continue;
                };
                let known = names.entry(type_name(rust)).or_insert(Some(*id));
                if *known != Some(*id) {
                    *known = None;
                }
            }
        }
        let custom: BTreeMap<TypeId, String> = names
            .iter()
            .filter_map(|(name, id)| Some(((*id)?, name.clone())))
            .filter(|(id, _)| *id != TypeId::of::<Dynamic>())
            .collect();
        let known = |id: TypeId| plain(id).or_else(|| custom.get(&id).cloned());
        let mut natives: BTreeMap<String, Vec<Form>> = BTreeMap::new();
        for function in raw {
            let options = function
                .written
                .last()
                .is_some_and(|last| last.split(':').next().unwrap_or("").trim() == "options");
            let gives = type_name(&given(&function.gives));
            let gives = match is_plain(&gives) {
                true => Some(gives),
                false => names.get(&gives).copied().flatten().and_then(&known),
            };
            let takes = function.types.iter();
            let takes = takes.map(|id| known(*id)).collect();
            natives.entry(function.name).or_default().push(Form {
                takes,
                options,
                gives,
            });
        }
        Self(natives)
    }

    /// The forms of `name`.
    pub(super) fn forms(&self, name: &str) -> &[Form] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The forms of `name` that take these values.
    pub(super) fn taking<'a>(
        &'a self,
        name: &str,
        values: &'a [Type],
    ) -> impl Iterator<Item = &'a Form> {
        self.forms(name).iter().filter(|form| form.takes(values))
    }

    /// What `name` gives for these values, where all its forms agree.
    pub(super) fn result(&self, name: &str, values: &[Type]) -> Type {
        let mut forms = self.taking(name, values);
        let first = forms.next()?.gives.clone()?;
        forms
            .all(|form| form.gives.as_ref() == Some(&first))
            .then_some(first)
    }

    /// Whether a value of `type_` may have the property.
    pub(super) fn has_property(&self, type_: &str, access: &str, name: &str) -> bool {
        if type_ == "map" {
            return true;
        }
        let receiver = Some(type_.to_string());
        let own = self
            .forms(&format!("{access}${name}"))
            .iter()
            .any(|form| fits(form.takes.first(), &receiver));
        let index = [receiver, Some("text".to_string())];
        own || self.forms(&format!("index${access}$")).iter().any(|form| {
            index
                .iter()
                .enumerate()
                .all(|(i, v)| fits(form.takes.get(i), v))
        })
    }
}

impl Form {
    fn takes(&self, values: &[Type]) -> bool {
        self.takes.len() == values.len()
            && values
                .iter()
                .zip(&self.takes)
                .all(|(value, takes)| fits(Some(takes), value))
    }
}

fn fits(takes: Option<&Type>, value: &Type) -> bool {
    match (takes, value) {
        (Some(Some(takes)), Some(value)) => takes == value,
        (takes, _) => takes.is_some(),
    }
}

const PLAIN: &[&str] = &[
    "int", "float", "bool", "char", "text", "list", "map", "function", "()",
];

/// Whether it is a type of the engine's own.
pub(super) fn is_plain(name: &str) -> bool {
    PLAIN.contains(&name)
}

fn plain(id: TypeId) -> Type {
    let known = [
        (TypeId::of::<i64>(), "int"),
        (TypeId::of::<f64>(), "float"),
        (TypeId::of::<bool>(), "bool"),
        (TypeId::of::<char>(), "char"),
        (TypeId::of::<ImmutableString>(), "text"),
        (TypeId::of::<String>(), "text"),
        (TypeId::of::<&str>(), "text"),
        (TypeId::of::<Array>(), "list"),
        (TypeId::of::<Map>(), "map"),
        (TypeId::of::<FnPtr>(), "function"),
        (TypeId::of::<()>(), "()"),
    ];
    let found = known.iter().find(|(known, _)| *known == id);
    found.map(|(_, name)| (*name).to_string())
}
