//! The commands of the session: inputs that start with a colon, and the words that everybody
//! tries. A command is one row of [`COMMANDS`].

use std::path::Path;

use super::completion::{Candidate, files};
use super::prompt::{Prompt, Step};
use crate::{Error, Result, nearest};

/// A command.
pub(super) struct Command {
    /// Its names, the first one shown; without the colon.
    pub(super) names: &'static [&'static str],
    /// What stands after it.
    pub(super) argument: Argument,
    /// What it does, one line.
    pub(super) help: &'static str,
    /// Does it.
    pub(super) run: fn(&mut Prompt, &str) -> Result<Step>,
}

/// What stands after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    /// Nothing.
    None,
    /// The name of a function, or nothing.
    Name,
    /// Code.
    Code,
    /// A file.
    File,
    /// The number of an input, or nothing.
    Number,
}

impl Argument {
    /// As help shows it.
    fn shown(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Name => "[NAME]",
            Self::Code => "EXPRESSION",
            Self::File => "FILE",
            Self::Number => "[N]",
        }
    }
}

/// All commands, in the order of the help.
pub(super) const COMMANDS: &[Command] = &[
    command(
        &["help", "h", "?"],
        Argument::Name,
        "this page, or the help of a function; so do ?NAME and NAME?",
        Prompt::help,
    ),
    command(
        &["doc"],
        Argument::Name,
        "the help of a function, or the list of all",
        Prompt::doc,
    ),
    command(
        &["example", "ex"],
        Argument::Name,
        "run the example of a function's help",
        Prompt::example,
    ),
    command(
        &["vars", "who"],
        Argument::None,
        "the variables: type and value",
        |prompt, _| prompt.vars(),
    ),
    command(
        &["type", "t"],
        Argument::Code,
        "the type of a value, and what can be done with it",
        Prompt::type_,
    ),
    command(
        &["time"],
        Argument::Code,
        "run it and say how long it took",
        Prompt::time,
    ),
    command(
        &["save"],
        Argument::File,
        "write the inputs that worked to a script that `tureen run` takes",
        Prompt::save,
    ),
    command(
        &["load"],
        Argument::File,
        "run a script here: its variables stay",
        Prompt::load,
    ),
    command(
        &["edit", "e"],
        Argument::Number,
        "write the next input, or input N anew, in $VISUAL or $EDITOR",
        Prompt::edit,
    ),
    command(
        &["reset"],
        Argument::None,
        "forget all variables, functions and inputs",
        |prompt, _| prompt.reset(),
    ),
    command(
        &["quit", "q", "exit"],
        Argument::None,
        "leave; Ctrl-D does too",
        |_, _| Ok(Step::Quit),
    ),
];

const fn command(
    names: &'static [&'static str],
    argument: Argument,
    help: &'static str,
    run: fn(&mut Prompt, &str) -> Result<Step>,
) -> Command {
    Command {
        names,
        argument,
        help,
        run,
    }
}

/// Reads `input`: the command and what stands after it; none if it is code. `taken` says whether
/// the session has a variable or function of a name: then the bare word is code.
pub(super) fn read(
    input: &str,
    taken: impl Fn(&str) -> bool,
) -> Option<Result<(&'static Command, &str)>> {
    let input = input.trim();
    if let Some(input) = input.strip_prefix(':') {
        return Some(after_colon(input));
    }
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "_:. ".contains(c))
    };
    if let Some(name) = input.strip_prefix('?') {
        return Some(Ok((named("help")?, name.trim())));
    }
    if let Some(name) = input
        .strip_suffix('?')
        .map(str::trim)
        .filter(|n| is_name(n))
    {
        return Some(Ok((named("help")?, name)));
    }
    let bare = input.trim_end_matches([';', '(', ')']).trim_end();
    let (word, rest) = bare.split_once([' ', '(']).unwrap_or((bare, ""));
    if taken(word) {
        return None;
    }
    match word {
        "quit" | "exit" | "q" if rest.is_empty() => Some(Ok((named("quit")?, ""))),
        "help" => {
            let name = rest.trim().trim_matches('"');
            let about = name.is_empty() || is_name(name);
            Some(Ok((named("help").filter(|_| about)?, name)))
        }
        _ => None,
    }
}

fn after_colon(input: &str) -> Result<(&'static Command, &str)> {
    let (name, rest) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
    let rest = rest.trim();
    let Some(command) = named(name) else {
        return Err(unknown(name));
    };
    match command.argument {
        Argument::None if !rest.is_empty() => {
            Err(Error::new(format!(":{name} takes nothing after it")))
        }
        Argument::Code | Argument::File if rest.is_empty() => Err(Error::new(format!(
            ":{name}: {} is missing after it",
            command.argument.shown()
        ))),
        _ => Ok((command, rest)),
    }
}

fn named(name: &str) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.names.contains(&name))
}

fn unknown(name: &str) -> Error {
    let known = COMMANDS.iter().flat_map(|command| command.names).copied();
    Error::new(format!("unknown command :{name}")).hint(match nearest(name, known) {
        Some(near) => format!("did you mean :{near}?"),
        None => ":help shows the commands".into(),
    })
}

/// The list of commands, one a line.
pub(super) fn page() -> String {
    let lines: Vec<String> = COMMANDS
        .iter()
        .map(|command| format!("  {:<18} {}", usage(command), command.help))
        .collect();
    lines.join("\n")
}

fn usage(command: &Command) -> String {
    format!(":{} {}", command.names[0], command.argument.shown())
        .trim_end()
        .to_string()
}

/// Whether `input` is code rather than a command: whether it may go on in the next line.
pub(super) fn is_code(input: &str) -> bool {
    let input = input.trim_start();
    !(input.starts_with([':', '?']) || input.trim_end().ends_with('?'))
}

/// The part of `line` that is code or a name: what stands after a command.
pub(super) fn code(line: &str) -> &str {
    if let Some(name) = line.strip_prefix('?') {
        return name;
    }
    let Some(input) = line.strip_prefix(':') else {
        return line;
    };
    let (name, rest) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
    match named(name).map(|command| command.argument) {
        Some(Argument::Code | Argument::Name) => rest,
        _ => &line[line.len()..],
    }
}

/// Where the name of a command or its file starts in `line`, and what it may become; none where
/// something else is typed.
pub(super) fn complete(line: &str) -> Option<(usize, Vec<Candidate>)> {
    let input = line.strip_prefix(':')?;
    let Some((name, rest)) = input.split_once(char::is_whitespace) else {
        let fitting = COMMANDS
            .iter()
            .filter(|command| command.names[0].starts_with(input));
        let candidates = fitting.map(|command| {
            let space = if command.argument == Argument::None {
                ""
            } else {
                " "
            };
            Candidate {
                shown: usage(command),
                written: format!("{}{space}", command.names[0]),
            }
        });
        return Some((1, candidates.collect()));
    };
    match named(name)?.argument {
        Argument::File => {
            let rest = rest.trim_start();
            let (cut, files) = files(rest, Path::new("."));
            Some((line.len() - rest.len() + cut, files))
        }
        _ => None,
    }
}

/// What the command at the start of `line` wants, or the rest of its name.
pub(super) fn hint(line: &str) -> Option<String> {
    let input = line.strip_prefix(':')?;
    if let Some(command) = named(input) {
        return Some(format!(" {}  {}", command.argument.shown(), command.help));
    }
    let mut fitting = COMMANDS
        .iter()
        .filter(|command| !input.is_empty() && command.names[0].starts_with(input));
    let (only, more) = (fitting.next()?, fitting.next());
    more.is_none().then(|| {
        let rest = &only.names[0][input.len()..];
        format!("{rest} {}  {}", only.argument.shown(), only.help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(input: &str) -> String {
        match read(input, |name| name == "q") {
            None => "code".into(),
            Some(Ok((command, rest))) => format!("{}({rest})", command.names[0]),
            Some(Err(error)) => error.to_string(),
        }
    }

    #[test]
    fn commands_are_read() {
        for (input, expected) in [
            ("1 + 1", "code"),
            (":vars", "vars()"),
            (" :type  1 + 1 ", "type(1 + 1)"),
            (":doc", "doc()"),
            (":?", "help()"),
            ("?train", "help(train)"),
            ("train?", "help(train)"),
            ("std::soups?", "help(std::soups)"),
            ("quit", "quit()"),
            ("exit()", "quit()"),
            ("quit;", "quit()"),
            ("help", "help()"),
            ("help train", "help(train)"),
            ("help(train)", "help(train)"),
            ("help(\"train\")", "help(train)"),
            ("q", "code"),
            ("quit + 1", "code"),
            ("let help = 1", "code"),
            ("\"what?", "code"),
        ] {
            assert_eq!(shown(input), expected, "{input}");
        }
    }

    #[test]
    fn wrong_commands_say_what_is_wrong() {
        for (input, expected) in [
            (":tpye x", "unknown command :tpye; did you mean :type?"),
            (":xyzzy", "unknown command :xyzzy; :help shows the commands"),
            (":vars x", ":vars takes nothing after it"),
            (":type", ":type: EXPRESSION is missing after it"),
            (":save ", ":save: FILE is missing after it"),
        ] {
            assert_eq!(shown(input), expected, "{input}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = COMMANDS.iter().flat_map(|c| c.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn commands_are_completed_and_hinted() {
        let written = |line| -> Vec<String> {
            let found = complete(line).map(|(_, found)| found).unwrap_or_default();
            found.into_iter().map(|c| c.written).collect()
        };
        assert_eq!(written(":ti"), ["time "]);
        assert!(written(":").len() == COMMANDS.len());
        assert_eq!(complete(":time tr"), None);
        assert_eq!(
            hint(":ti").as_deref(),
            Some("me EXPRESSION  run it and say how long it took")
        );
        assert_eq!(hint("ti"), None);
        assert_eq!(code(":time tr"), "tr");
        assert_eq!(code(":save tr"), "");
    }
}
