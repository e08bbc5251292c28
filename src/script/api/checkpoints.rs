//! Checkpoints that a training keeps for study.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine};

use crate::adapter::Adapter;
use crate::script::{Fallible, OptionSpec, Options, Session, describe};
use crate::train::Keep;
use crate::{Result, bail};

/// The option of `train` that asks for them.
pub(super) const KEEP: OptionSpec = OptionSpec::value(
    "keep",
    "\"epochs\" or a whole number of steps",
    "checkpoints to keep beside the result: one at the end of every epoch, or one after every so many steps",
)
.otherwise("none is kept");

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The checkpoints that a training kept (see the option `keep`), in order: adapters with their
    /// heads as they were then. Their names tell the step.
    ///
    /// # Errors
    /// An adapter that has none: trained without `keep`, mixed or loaded.
    ///
    /// ```rhai
    /// let t = train(base, films, #{ epochs: 2, keep: "epochs" });
    /// t.checkpoints.map(|c| evaluate(base, c, films).accuracy).len    // 2
    /// ```
    #[rhai_fn(get = "checkpoints", pure, return_raw)]
    pub fn checkpoints(adapter: &mut Adapter) -> Fallible<Array> {
        let kept = adapter.training().map(|t| &t.checkpoints[..]);
        match kept {
            Some(kept @ [_, ..]) => Ok(kept.iter().cloned().map(Dynamic::from).collect()),
            _ => bail!(
                "adapter {} has no checkpoints", adapter.name();
                hint: "train keeps them where it is asked to: #{{ keep: \"epochs\" }}"
            ),
        }
    }

    /// The step of its training after which a checkpoint was kept, counted from 1.
    ///
    /// # Errors
    /// An adapter that is no checkpoint.
    ///
    /// ```rhai
    /// train(base, films, #{ epochs: 1, keep: 1 }).checkpoints.map(|c| c.step)    // [1, 2]
    /// ```
    #[rhai_fn(get = "step", pure, return_raw)]
    pub fn step(adapter: &mut Adapter) -> Fallible<i64> {
        match adapter.training().and_then(|t| t.step) {
            Some(step) => Ok(step as i64),
            None => bail!("adapter {} is no checkpoint of a training", adapter.name()),
        }
    }
}

/// Which checkpoints the options of `train` ask for.
pub(super) fn keep(options: &Options) -> Result<Keep> {
    let Some(given) = options.get("keep") else {
        return Ok(Keep::Nothing);
    };
    if given
        .as_immutable_string_ref()
        .is_ok_and(|word| *word == "epochs")
    {
        return Ok(Keep::Epochs);
    }
    match given.as_int().map(usize::try_from) {
        Ok(Ok(steps)) if steps > 0 => Ok(Keep::Steps(steps)),
        _ => Err(options.error(
            "keep",
            format!(
                "expected \"epochs\" or a number of steps, at least 1, got {}",
                describe(given)
            ),
        )),
    }
}
