//! The engine's own functions that make a list or a text larger, held to the limits.
//!
//! The engine has limits of its own, but looks through the whole of a value, nested values and
//! all, after each call of a method: a loop that fills a list would take the square of its length.
//! Here the value's length alone is looked at, before it grows. What grows unseen (an entry set by
//! its index, a text put together in back-ticks or of a text and a list, `splice`, a blob) grows by
//! what is there already, and the limit of memory ends it.

use rhai::plugin::*;
use rhai::{Array, Blob, Dynamic, Engine, ImmutableString, NativeCallContext};

use super::{Fallible, Session};
use crate::Result;

/// How often a pause looks whether to end.
const NAP: std::time::Duration = std::time::Duration::from_millis(20);

/// Replaces the engine's own functions.
pub(super) fn register(engine: &mut Engine) {
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// Puts a value at the end of a list, which it changes.
    ///
    /// ```rhai
    /// let x = [1, 2];
    /// x.push(3);
    /// x    // [1, 2, 3]
    /// ```
    #[rhai_fn(name = "push", name = "+=", return_raw)]
    pub fn push(context: NativeCallContext, list: &mut Array, item: Dynamic) -> Fallible<()> {
        more(&context, list.len(), 1)?;
        list.push(item);
        Ok(())
    }

    /// Puts the values of a second list at the end of a list, which it changes.
    ///
    /// ```rhai
    /// let x = [1, 2];
    /// x.append([3, 4]);
    /// x    // [1, 2, 3, 4]
    /// ```
    #[rhai_fn(name = "append", name = "+=", return_raw)]
    pub fn append(context: NativeCallContext, list: &mut Array, items: Array) -> Fallible<()> {
        more(&context, list.len(), items.len())?;
        list.extend(items);
        Ok(())
    }

    #[rhai_fn(name = "+", return_raw)]
    pub fn joined(context: NativeCallContext, list: Array, items: Array) -> Fallible<Array> {
        let mut list = list;
        more(&context, list.len(), items.len())?;
        list.extend(items);
        Ok(list)
    }

    /// Puts a value before the one at an index of a list, which it changes; at its end where the
    /// index is beyond that. Negative numbers count from the end.
    ///
    /// ```rhai
    /// let x = [1, 3];
    /// x.insert(1, 2);
    /// x    // [1, 2, 3]
    /// ```
    #[rhai_fn(return_raw)]
    pub fn insert(
        context: NativeCallContext,
        list: &mut Array,
        index: i64,
        item: Dynamic,
    ) -> Fallible<()> {
        more(&context, list.len(), 1)?;
        let length = list.len() as i64;
        let at = if index < 0 {
            (index + length).max(0)
        } else {
            index.min(length)
        };
        list.insert(at as usize, item);
        Ok(())
    }

    /// Fills a list up to a length with copies of a value.
    ///
    /// ```rhai
    /// let x = [1];
    /// x.pad(3, 0);
    /// x    // [1, 0, 0]
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_list(
        context: NativeCallContext,
        list: &mut Array,
        length: i64,
        item: Dynamic,
    ) -> Fallible<()> {
        let new = usize::try_from(length)
            .unwrap_or(0)
            .saturating_sub(list.len());
        // Each copy takes what the value holds.
        let count = new as u128 * held(&item) + list.len() as u128;
        if new > 0 {
            Session::of(&context)?.room_for("a list", count)?;
            list.resize(list.len() + new, item);
        }
        Ok(())
    }

    #[rhai_fn(name = "+", return_raw)]
    pub fn texts(context: NativeCallContext, a: &str, b: &str) -> Fallible<ImmutableString> {
        longer(&context, a, b.len())?;
        Ok(format!("{a}{b}").into())
    }

    #[rhai_fn(name = "+=", return_raw)]
    pub fn add_text(
        context: NativeCallContext,
        text: &mut ImmutableString,
        more: ImmutableString,
    ) -> Fallible<()> {
        longer(&context, text, more.len())?;
        *text += more;
        Ok(())
    }

    /// Puts copies of a text, or of a character, at the end of a text until it has so many
    /// characters.
    ///
    /// ```rhai
    /// let x = "7";
    /// x.pad(3, "-");
    /// x    // 7--
    /// ```
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_text(
        context: NativeCallContext,
        text: &mut ImmutableString,
        length: i64,
        filling: &str,
    ) -> Fallible<()> {
        Ok(filled(&context, text, length, filling)?)
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_with(
        context: NativeCallContext,
        text: &mut ImmutableString,
        length: i64,
        filling: char,
    ) -> Fallible<()> {
        Ok(filled(&context, text, length, &filling.to_string())?)
    }

    /// Puts a second text, or character, wherever a text has another, and changes it.
    ///
    /// ```rhai
    /// let x = "a-b-c";
    /// x.replace("-", ", ");
    /// x    // a, b, c
    /// ```
    #[rhai_fn(return_raw)]
    pub fn replace(
        context: NativeCallContext,
        text: &mut ImmutableString,
        old: &str,
        new: &str,
    ) -> Fallible<()> {
        Ok(replaced(&context, text, old, new)?)
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_by_character(
        context: NativeCallContext,
        text: &mut ImmutableString,
        old: &str,
        new: char,
    ) -> Fallible<()> {
        Ok(replaced(&context, text, old, &new.to_string())?)
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_character(
        context: NativeCallContext,
        text: &mut ImmutableString,
        old: char,
        new: &str,
    ) -> Fallible<()> {
        Ok(replaced(&context, text, &old.to_string(), new)?)
    }

    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace_character_by_character(
        context: NativeCallContext,
        text: &mut ImmutableString,
        old: char,
        new: char,
    ) -> Fallible<()> {
        Ok(replaced(
            &context,
            text,
            &old.to_string(),
            &new.to_string(),
        )?)
    }

    /// Bytes, all zero.
    ///
    /// ```rhai
    /// blob(3).len    // 3
    /// ```
    #[rhai_fn(return_raw)]
    pub fn blob(context: NativeCallContext, length: i64) -> Fallible<Blob> {
        Ok(bytes(&context, length, 0)?)
    }

    /// The same with another value.
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_of(context: NativeCallContext, length: i64, value: i64) -> Fallible<Blob> {
        Ok(bytes(&context, length, (value & 0xff) as u8)?)
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_blob(
        context: NativeCallContext,
        blob: &mut Blob,
        length: i64,
        value: i64,
    ) -> Fallible<()> {
        let length = usize::try_from(length).unwrap_or(0);
        if length > blob.len() {
            Session::of(&context)?.room_for("a blob", length as u128)?;
            blob.resize(length, (value & 0xff) as u8);
        }
        Ok(())
    }

    /// Waits for so many seconds.
    ///
    /// ```rhai
    /// sleep(0.01);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn sleep(context: NativeCallContext, seconds: f64) -> Fallible<()> {
        Ok(pause(&context, seconds)?)
    }

    /// The same for whole seconds.
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_whole(context: NativeCallContext, seconds: i64) -> Fallible<()> {
        Ok(pause(&context, seconds as f64)?)
    }
}

fn more(context: &NativeCallContext, length: usize, new: usize) -> Result<()> {
    let count = length as u128 + new as u128;
    Session::of(context)?.room_for("a list", count)
}

fn longer(context: &NativeCallContext, text: &str, new: usize) -> Result<()> {
    let bytes = text.len() as u128 + new as u128;
    Session::of(context)?.room_for_text(bytes)
}

/// How many values a value holds, itself counted.
fn held(value: &Dynamic) -> u128 {
    if let Ok(list) = value.as_array_ref() {
        return 1 + list.iter().map(held).sum::<u128>();
    }
    if let Ok(map) = value.as_map_ref() {
        return 1 + map.values().map(held).sum::<u128>();
    }
    1
}

fn filled(
    context: &NativeCallContext,
    text: &mut ImmutableString,
    length: i64,
    filling: &str,
) -> Result<()> {
    let new = usize::try_from(length)
        .unwrap_or(0)
        .saturating_sub(text.chars().count());
    let letters = filling.chars().count();
    if new == 0 || letters == 0 {
        return Ok(());
    }
    let (whole, rest) = (new / letters, new % letters);
    let tail: String = filling.chars().take(rest).collect();
    let bytes = text.len() as u128 + whole as u128 * filling.len() as u128 + tail.len() as u128;
    Session::of(context)?.room_for_text(bytes)?;
    *text = format!("{text}{}{tail}", filling.repeat(whole)).into();
    Ok(())
}

fn replaced(
    context: &NativeCallContext,
    text: &mut ImmutableString,
    old: &str,
    new: &str,
) -> Result<()> {
    let found = text.matches(old).count() as u128;
    let bytes = text.len() as u128 + found * new.len() as u128;
    Session::of(context)?.room_for_text(bytes.saturating_sub(found * old.len() as u128))?;
    *text = text.replace(old, new).into();
    Ok(())
}

fn bytes(context: &NativeCallContext, length: i64, value: u8) -> Result<Blob> {
    let length = usize::try_from(length).unwrap_or(0);
    Session::of(context)?.room_for("a blob", length as u128)?;
    Ok(vec![value; length])
}

fn pause(context: &NativeCallContext, seconds: f64) -> Result<()> {
    let session = Session::of(context)?;
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs_f64() < seconds {
        session.context().check()?;
        let left = seconds - begun.elapsed().as_secs_f64();
        std::thread::sleep(NAP.min(std::time::Duration::from_secs_f64(left.max(0.0))));
    }
    Ok(())
}
