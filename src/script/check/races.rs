//! Closures that use the value that their call works on.

use rhai::AST;

use super::walk::Walk;
use crate::script::race;

impl Walk<'_, '_> {
    /// Reports them all; a call that never calls its closure runs.
    pub(super) fn races(&mut self, tree: &AST) {
        for race in race::races(tree) {
            self.checker
                .report(self.source, self.text, race.position, race.error(), false);
        }
    }
}
