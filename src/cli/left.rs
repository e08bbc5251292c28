//! What a run leaves to others or to later, as people read it.

use indicatif::{DecimalBytes, HumanCount, HumanDuration};

use crate::Kind;
use crate::script::{Diagnostic, Session};
use crate::study::Left;

/// What is left, and what it takes.
pub(super) fn told(left: &Left) -> String {
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{} {what}s", HumanCount(n as u64))),
    };
    let works: Vec<String> = [
        count(left.trainings, "training"),
        count(left.evaluations, "evaluation"),
        count(left.attacks, "attack"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if works.is_empty() {
        return "nothing is left to compute".into();
    }
    let mut text = format!(
        "left to compute: {}; {} tokens",
        works.join(", "),
        HumanCount(left.tokens)
    );
    if left.seconds > 0.0 {
        let time = HumanDuration(std::time::Duration::from_secs_f64(left.seconds));
        text += &format!(", about {time} on this machine, less what they share");
    }
    let bytes = DecimalBytes(left.bytes);
    format!("{text}, about {bytes} in the store")
}

/// Says where a script waits for what is left, if it does.
pub(super) fn waits(session: &Session, outcome: &Result<(), Box<Diagnostic>>) {
    if let Err(diagnostic) = outcome
        && diagnostic.error.kind() == Kind::Pending
    {
        session.notice(format!(
            "the script waits at {diagnostic}; what comes after is not counted"
        ));
    }
}

/// A script that waits for what others compute has not failed.
pub(super) fn unless_pending(diagnostic: Box<Diagnostic>) -> Result<(), Box<Diagnostic>> {
    match diagnostic.error.kind() {
        Kind::Pending => Ok(()),
        _ => Err(diagnostic),
    }
}
