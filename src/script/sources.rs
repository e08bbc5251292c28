//! The texts that were run, so that an error can show its line.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The texts of a session by the names that messages call them by.
#[derive(Default)]
pub(super) struct Sources {
    /// The latest text of each name.
    texts: RefCell<BTreeMap<String, Rc<str>>>,
    /// The text in which a function stands: at the prompt all inputs have one name.
    functions: RefCell<BTreeMap<(String, String), Rc<str>>>,
}

impl Sources {
    /// Keeps `text` as the one called `source`.
    pub(super) fn keep(&self, source: &str, text: &str) {
        self.texts
            .borrow_mut()
            .insert(source.to_string(), text.into());
    }

    /// Says that these functions stand in the latest text called `source`.
    pub(super) fn define<'a>(&self, source: &str, functions: impl IntoIterator<Item = &'a str>) {
        let Some(text) = self.text(source, None) else {
            return;
        };
        let mut known = self.functions.borrow_mut();
        for function in functions {
            known.insert((source.to_string(), function.to_string()), text.clone());
        }
    }

    /// The text called `source`; with a function, the one that it stands in.
    pub(super) fn text(&self, source: &str, function: Option<&str>) -> Option<Rc<str>> {
        let within = function.and_then(|function| {
            let key = (source.to_string(), function.to_string());
            self.functions.borrow().get(&key).cloned()
        });
        within.or_else(|| self.texts.borrow().get(source).cloned())
    }
}
