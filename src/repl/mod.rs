//! The interactive session.

use std::io::{BufRead, BufReader, IsTerminal, stdin};
use std::path::PathBuf;
use std::rc::Rc;

use etcetera::{BaseStrategy, choose_base_strategy};
use rustyline::config::BellStyle;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Cmd, CompletionType, Config, Editor, KeyCode, KeyEvent, Modifiers};

use crate::script::{Interpreter, Session, incomplete};
use crate::{Error, Result};

mod commands;
mod completion;
mod editor;
mod example;
mod highlight;
mod hints;
mod known;
mod outputs;
mod page;
mod pieces;
mod place;
mod prompt;
mod tokens;
mod transcript;

use editor::Assistant;
use prompt::{Prompt, Step};

/// At most this many inputs are remembered.
const HISTORY: usize = 10_000;

/// Reads inputs until the user leaves: from a terminal with an editor, else line by line. Gives the
/// exit code: 1 where an input that came from no terminal failed, 130 where it was stopped.
pub fn main(session: Session) -> Result<u8> {
    if stdin().is_terminal() {
        edited(Prompt::new(Interpreter::new(session), "input"))?;
        return Ok(0);
    }
    piped(Prompt::new(Interpreter::new(session), "stdin"))
}

fn edited(mut prompt: Prompt) -> Result<()> {
    let config = Config::builder()
        .auto_add_history(false)
        .history_ignore_dups(true)
        .and_then(|config| config.max_history_size(HISTORY))
        .map_err(terminal)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .bell_style(BellStyle::None)
        .bracketed_paste(true)
        .build();
    let mut editor: Editor<Assistant, DefaultHistory> =
        Editor::with_config(config).map_err(terminal)?;
    let screen = prompt.session().setup().screen;
    editor.set_helper(Some(Assistant::new(Rc::clone(prompt.known()), screen)));
    editor.bind_sequence(KeyEvent(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
    let history = history_file();
    if let Some(file) = &history {
        if let Some(folder) = file.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        // A first session has none.
        let _ = editor.load_history(file);
    }
    crate::say!(
        "tureen {}; :help for a start, Tab completes",
        env!("CARGO_PKG_VERSION")
    );
    let mut kept = true;
    loop {
        match editor.readline(&format!("{}> ", prompt.number())) {
            Ok(input) => {
                let remembered = editor.add_history_entry(input.trim_end()).unwrap_or(false);
                // Now rather than at the end, which may never come.
                if let (true, true, Some(file)) = (kept, remembered, &history)
                    && let Err(error) = editor.append_history(file)
                {
                    crate::tell!("note: the history is not kept: {}: {error}", file.display());
                    kept = false;
                }
                if prompt.take(&input) == Step::Quit {
                    return Ok(());
                }
            }
            Err(ReadlineError::Interrupted) => crate::say!("(:quit or Ctrl-D leaves)"),
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal(error)),
        }
    }
}

fn piped(mut prompt: Prompt) -> Result<u8> {
    let mut reader = BufReader::new(stdin());
    let mut input = String::new();
    let (mut first, mut line) = (1, 0);
    loop {
        let read = reader.read_line(&mut input);
        let read = read.map_err(|error| Error::new(format!("standard input: {error}")))?;
        line += 1;
        let end = read == 0;
        // What stands in the next line, as far as it came already, may belong to this input.
        let ahead = String::from_utf8_lossy(reader.buffer());
        let more = commands::is_code(&input) && (incomplete(&input) || pieces::goes_on(&ahead));
        if more && !end {
            continue;
        }
        let step = prompt.take_at(first, input.trim_end_matches(['\n', '\r']));
        if prompt.session().stopped() {
            return Ok(130);
        }
        if end || step == Step::Quit {
            return Ok(u8::from(prompt.failed()));
        }
        input.clear();
        first = line + 1;
    }
}

fn history_file() -> Option<PathBuf> {
    let folders = choose_base_strategy().ok()?;
    Some(folders.data_dir().join("tureen").join("history.txt"))
}

fn terminal(error: ReadlineError) -> Error {
    Error::new(format!("the terminal: {error}"))
}
