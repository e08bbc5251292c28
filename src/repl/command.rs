//! The commands of the session: inputs that start with a colon.

use crate::{Error, Result, nearest};

/// A command, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// The list of commands.
    Help,
    /// The variables and their values.
    Vars,
    /// Leave.
    Quit,
    /// The type of an expression's value.
    Type(&'a str),
    /// The help of a function, or the list of all.
    Doc(Option<&'a str>),
    /// Run, and say how long it took.
    Time(&'a str),
    /// Write the inputs that worked to a script.
    Save(&'a str),
}

/// What `:help` shows: each command and what it does.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    (":help", "this list"),
    (":vars", "the variables and their values"),
    (":type EXPRESSION", "the type of a value"),
    (":doc [NAME]", "the help of a function, or the list of all"),
    (":time EXPRESSION", "run it and say how long it took"),
    (":save FILE", "write the inputs that worked to a script"),
    (":quit", "leave; Ctrl-D does too"),
];

/// Reads `input`; none if it is code.
pub(super) fn read(input: &str) -> Option<Result<Command<'_>>> {
    let input = input.trim().strip_prefix(':')?;
    let (name, rest) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
    let rest = rest.trim();
    let needs = |made: Command<'static>| {
        if rest.is_empty() {
            Ok(made)
        } else {
            Err(extra(name))
        }
    };
    let needed = || match rest {
        "" => Err(
            Error::new(format!(":{name}: something is missing after it"))
                .hint(":help shows the commands"),
        ),
        rest => Ok(rest),
    };
    Some(match name {
        "help" | "h" | "?" => needs(Command::Help),
        "vars" => needs(Command::Vars),
        "quit" | "q" | "exit" => needs(Command::Quit),
        "type" => needed().map(Command::Type),
        "doc" => Ok(Command::Doc(Some(rest).filter(|rest| !rest.is_empty()))),
        "time" => needed().map(Command::Time),
        "save" => needed().map(Command::Save),
        _ => Err(unknown(name)),
    })
}

fn extra(name: &str) -> Error {
    Error::new(format!(":{name} takes nothing after it"))
}

fn unknown(name: &str) -> Error {
    let known = ["help", "vars", "quit", "type", "doc", "time", "save"];
    Error::new(format!("unknown command :{name}")).hint(match nearest(name, known) {
        Some(near) => format!("did you mean :{near}?"),
        None => ":help shows the commands".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(read("1 + 1"), None);
        assert_eq!(read(":vars"), Some(Ok(Command::Vars)));
        assert_eq!(read(" :type  1 + 1 "), Some(Ok(Command::Type("1 + 1"))));
        assert_eq!(read(":doc"), Some(Ok(Command::Doc(None))));
    }

    #[test]
    fn wrong_commands_say_what_is_wrong() {
        let error = |input| read(input).unwrap().unwrap_err().to_string();
        assert_eq!(
            error(":tpye x"),
            "unknown command :tpye; did you mean :type?"
        );
        assert_eq!(error(":vars x"), ":vars takes nothing after it");
        assert_eq!(
            error(":type"),
            ":type: something is missing after it; :help shows the commands"
        );
    }
}
