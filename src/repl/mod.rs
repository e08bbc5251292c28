//! The interactive session.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;

use etcetera::{BaseStrategy, choose_base_strategy};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor};

use crate::script::{Interpreter, Session, incomplete};
use crate::{Error, Result};

mod command;
mod editor;
mod prompt;

use editor::Assistant;
use prompt::{Prompt, Step};

/// Reads inputs until the user leaves: from a terminal with an editor, else line by line.
pub fn main(session: Session) -> Result<()> {
    let mut prompt = Prompt::new(Interpreter::new(session));
    if stdin().is_terminal() {
        edited(&mut prompt)
    } else {
        piped(&mut prompt)
    }
}

fn edited(prompt: &mut Prompt) -> Result<()> {
    let config = Config::builder().auto_add_history(true).build();
    let mut editor: Editor<Assistant, DefaultHistory> =
        Editor::with_config(config).map_err(terminal)?;
    editor.set_helper(Some(Assistant::new(prompt.names())));
    let history = history_file();
    if let Some(file) = &history {
        // A first session has none.
        let _ = editor.load_history(file);
    }
    println!(
        "tureen {}; :help shows the commands",
        env!("CARGO_PKG_VERSION")
    );
    loop {
        match editor.readline("> ") {
            Ok(input) => {
                if prompt.take(&input) == Step::Quit {
                    break;
                }
                if let Some(helper) = editor.helper_mut() {
                    helper.set_names(prompt.names());
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal(error)),
        }
    }
    if let Some(file) = &history {
        if let Some(folder) = file.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        if let Err(error) = editor.save_history(file) {
            eprintln!("note: the history is not kept: {}: {error}", file.display());
        }
    }
    Ok(())
}

fn piped(prompt: &mut Prompt) -> Result<()> {
    let mut input = String::new();
    for line in stdin().lines() {
        let line = line.map_err(|error| Error::new(format!("standard input: {error}")))?;
        input.push_str(&line);
        if incomplete(&input) {
            input.push('\n');
            continue;
        }
        if prompt.take(&std::mem::take(&mut input)) == Step::Quit {
            return Ok(());
        }
    }
    if !input.is_empty() {
        prompt.take(&input);
    }
    Ok(())
}

fn history_file() -> Option<PathBuf> {
    let folders = choose_base_strategy().ok()?;
    Some(folders.data_dir().join("tureen").join("history.txt"))
}

fn terminal(error: ReadlineError) -> Error {
    Error::new(format!("the terminal: {error}"))
}
