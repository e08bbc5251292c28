//! Earlier values: `ans` is the last one, `out(n)` that of input n.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rhai::plugin::*;
use rhai::{Dynamic, NativeCallContext};

use crate::bail;
use crate::script::{Fallible, Session, describe};

/// The values of the inputs so far, by number.
#[derive(Default)]
pub(super) struct Outputs(RefCell<BTreeMap<usize, Dynamic>>);

impl Outputs {
    pub(super) fn keep(&self, number: usize, value: Dynamic) {
        self.0.borrow_mut().insert(number, value);
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// The function that gives them.
pub(super) fn module() -> rhai::Module {
    rhai::exported_module!(natives)
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The value of an earlier input, by the number in its prompt; `ans` is the last one.
    ///
    /// ```rhai,no_run
    /// out(1)
    /// ```
    #[rhai_fn(return_raw)]
    pub fn out(context: NativeCallContext, number: Dynamic) -> Fallible<Dynamic> {
        // Of any type, lest it be taken for a method of numbers.
        let Ok(number) = number.as_int() else {
            bail!(
                "out: expected the number of an input, got {}",
                describe(&number)
            );
        };
        let outputs = Session::of(&context)?.extension::<Outputs>();
        let outputs = outputs.0.borrow();
        let found = usize::try_from(number).ok().and_then(|n| outputs.get(&n));
        match found {
            Some(value) => Ok(value.clone()),
            None if outputs.is_empty() => bail!("out({number}): no input has given a value yet"),
            None => {
                let known: Vec<String> = outputs.keys().map(ToString::to_string).collect();
                bail!(
                    "out({number}): that input gave no value; {} did",
                    known.join(", ")
                )
            }
        }
    }
}
