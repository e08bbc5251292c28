//! The options of a native as arguments of a command: `--density 0.2` for `#{ density: 0.2 }`.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rhai::Map;
use serde_json::Value;

use crate::script::{Absent, Kind, NativeSpec, OptionSpec, json_to_dynamic, options_of};

/// A native whose options a command takes.
pub(super) trait Native {
    /// Its name.
    const NAME: &'static str;
}

/// The options of a native, as they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Given<N> {
    /// What the native takes.
    pub map: Map,
    native: std::marker::PhantomData<N>,
}

fn spec<N: Native>() -> &'static [OptionSpec] {
    options_of(N::NAME).map_or(&[], |spec: &NativeSpec| spec.options)
}

/// Whether text can say it.
fn sayable(option: &&OptionSpec) -> bool {
    !matches!(option.kind, Kind::Function | Kind::Map)
}

fn help(option: &OptionSpec) -> String {
    let default = match option.default {
        Absent::Required => return option.told(),
        Absent::Decided(how) => how,
        Absent::Value(value) => value,
    };
    format!("{} (default: {default})", option.told())
}

impl<N: Native> Args for Given<N> {
    fn augment_args(command: Command) -> Command {
        spec::<N>()
            .iter()
            .filter(sayable)
            .fold(command, |command, option| {
                let arg = Arg::new(option.name)
                    .long(option.name)
                    .help(help(option))
                    .value_name("VALUE")
                    .allow_hyphen_values(true)
                    .action(match option.kind {
                        Kind::List => ArgAction::Append,
                        _ => ArgAction::Set,
                    });
                let arg = match option.kind {
                    Kind::Choice(words) => arg.value_parser(words.to_vec()),
                    _ => arg,
                };
                command.arg(arg)
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<N: Native> FromArgMatches for Given<N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut map = Map::new();
        for option in spec::<N>().iter().filter(sayable) {
            let Ok(Some(mut texts)) = matches.try_get_many::<String>(option.name) else {
                continue;
            };
            let value = match option.kind {
                Kind::List => Value::Array(texts.flat_map(|text| listed(text)).collect()),
                _ => texts.next().map_or(Value::Null, |text| said(text)),
            };
            let value = json_to_dynamic(value).map_err(|e| {
                clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{e}\n"))
            })?;
            map.insert(option.name.into(), value);
        }
        let native = std::marker::PhantomData;
        Ok(Self { map, native })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What a text says: JSON, numbers with commas between, or itself.
fn said(text: &str) -> Value {
    let list = || serde_json::from_str::<Value>(&format!("[{text}]")).ok();
    match serde_json::from_str::<Value>(text) {
        Ok(value) if !value.is_null() => value,
        _ => match list().filter(|_| text.contains(',')) {
            Some(list) => list,
            None => Value::String(text.to_string()),
        },
    }
}

/// What a text adds to a list: the items of a list, words with commas between, or one thing.
fn listed(text: &str) -> Vec<Value> {
    match said(text) {
        Value::Array(items) => items,
        Value::String(words) => words
            .split(',')
            .map(|word| Value::String(word.to_string()))
            .collect(),
        one => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_add_to_a_list() {
        assert_eq!(listed("a"), [json!("a")]);
        assert_eq!(listed("a/b,c"), [json!("a/b"), json!("c")]);
        assert_eq!(listed("0.5,2"), [json!(0.5), json!(2)]);
        assert_eq!(listed("[\"x\", 1]"), [json!("x"), json!(1)]);
    }

    #[test]
    fn texts_say_numbers_lists_and_words() {
        assert_eq!(said("0.2"), json!(0.2));
        assert_eq!(said("0.5,-0.3"), json!([0.5, -0.3]));
        assert_eq!(said("[0, 1]"), json!([0, 1]));
        assert_eq!(said("true"), json!(true));
        assert_eq!(said("*query*"), json!("*query*"));
        assert_eq!(said("{\"*\": 1}"), json!({"*": 1}));
    }
}
