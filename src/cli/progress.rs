//! Bars and notices on standard error.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use crate::context::Progress;

/// Progress bars with rate and time left. Without a terminal there are no bars, only notices.
#[derive(Default)]
pub struct Bars {
    stages: Mutex<Vec<ProgressBar>>,
}

impl Bars {
    fn with_stages<T>(&self, act: impl FnOnce(&mut Vec<ProgressBar>) -> T) -> T {
        // A bar that another thread left half drawn is still a bar.
        act(&mut self.stages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress for Bars {
    fn start(&self, label: &str, total: u64, unit: &str) {
        let bar = if stderr().is_terminal() {
            ProgressBar::new(total)
        } else {
            ProgressBar::hidden()
        };
        let template = format!(
            "{{prefix}} {{wide_bar}} {{pos}}/{{len}} {unit} {{per_sec}} {{eta}} left {{msg}}"
        );
        // A unit with braces would spoil the template: then the plain bar does.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_string());
        self.with_stages(|stages| stages.push(bar));
    }

    fn update(&self, done: u64, note: &str) {
        self.with_stages(|stages| {
            if let Some(bar) = stages.last() {
                bar.set_position(done);
                bar.set_message(note.to_string());
            }
        });
    }

    fn finish(&self) {
        if let Some(bar) = self.with_stages(Vec::pop) {
            bar.finish_and_clear();
        }
    }

    fn abandon(&self) {
        for bar in self.with_stages(std::mem::take) {
            bar.finish_and_clear();
        }
    }

    fn notice(&self, line: &str) {
        self.with_stages(|stages| match stages.last() {
            Some(bar) => bar.suspend(|| crate::tell!("note: {line}")),
            None => crate::tell!("note: {line}"),
        });
    }
}
