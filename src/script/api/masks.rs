//! Masks as values: which entries are kept.

use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::tensors::to_tensor;
use crate::adapter::{Name, Selection, Tensors};
use crate::prune::Mask;
use crate::report::table::{Table, Value};
use crate::script::overwriting::{alone, forced};
use crate::script::{Fallible, Session};

/// Registers the topic.
pub(super) fn register(engine: &mut Engine, _: &Session) {
    engine.register_type_with_name::<Arc<Mask>>("Mask");
    engine.register_global_module(rhai::exported_module!(natives).into());
}

// The macro makes code that unwraps what it has just checked.
#[allow(clippy::unwrap_used)]
#[export_module]
mod natives {
    /// The share of entries that a mask keeps.
    #[rhai_fn(get = "density", pure)]
    pub fn density(mask: &mut Arc<Mask>) -> f64 {
        mask.density()
    }

    /// The share of entries that a mask does not keep.
    #[rhai_fn(get = "sparsity", pure)]
    pub fn mask_sparsity(mask: &mut Arc<Mask>) -> f64 {
        mask.sparsity()
    }

    /// The number of entries that a mask covers.
    #[rhai_fn(get = "entries", pure)]
    pub fn entries(mask: &mut Arc<Mask>) -> i64 {
        mask.entries() as i64
    }

    /// The number of entries that a mask keeps.
    #[rhai_fn(get = "kept", pure)]
    pub fn kept(mask: &mut Arc<Mask>) -> i64 {
        mask.kept() as i64
    }

    /// The names of the tensors that a mask covers.
    #[rhai_fn(get = "names", pure)]
    pub fn names(mask: &mut Arc<Mask>) -> Array {
        let names = mask.shapes().map(|(name, _)| name.to_string());
        names.map(Dynamic::from).collect()
    }

    /// The mask that keeps what is not zero: of a map of tensors by canonical name, as `tensors()`
    /// gives them.
    ///
    /// - `tensors`: the map
    ///
    /// ```rhai
    /// mask_of(#{ w: tensor([0.0, 2.0, -1.0]) > 0 }).kept    // 1
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mask_of(tensors: Map) -> Fallible<Arc<Mask>> {
        let mut all = Tensors::new();
        for (name, value) in &tensors {
            all.insert(Name::new(name), to_tensor(value)?);
        }
        Ok(Arc::new(Mask::of(&all, &Selection::All)?))
    }

    /// Jaccard's index of what two masks keep: what both keep as a share of what either keeps.
    ///
    /// - `other`: a mask of the same tensors
    ///
    /// ```rhai
    /// let m = a.prune(0.5).mask;
    /// m.overlap(m)    // 1.0
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub fn overlap(mask: &mut Arc<Mask>, other: Arc<Mask>) -> Fallible<f64> {
        Ok(mask.overlap(&other)?)
    }

    /// How much of each layer a mask keeps: a Table with layer, entries, kept and density.
    #[rhai_fn(get = "by_layer", pure, return_raw)]
    pub fn by_layer(mask: &mut Arc<Mask>) -> Fallible<Table> {
        let rows = mask.by_layer();
        let layer = |l: Option<usize>| l.map_or(Value::Null, |l| Value::Int(l as i64));
        Ok(Table::from_columns([
            (
                "layer",
                rows.iter().map(|r| layer(r.layer)).collect::<Vec<_>>(),
            ),
            (
                "entries",
                rows.iter().map(|r| Value::Int(r.entries as i64)).collect(),
            ),
            (
                "kept",
                rows.iter().map(|r| Value::Int(r.kept as i64)).collect(),
            ),
            (
                "density",
                rows.iter().map(|r| Value::Float(r.density)).collect(),
            ),
        ])?)
    }

    #[rhai_fn(name = "&", return_raw)]
    pub fn and(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.and(&b)?))
    }

    #[rhai_fn(name = "|", return_raw)]
    pub fn or(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.or(&b)?))
    }

    #[rhai_fn(name = "^", return_raw)]
    pub fn xor(a: Arc<Mask>, b: Arc<Mask>) -> Fallible<Arc<Mask>> {
        Ok(Arc::new(a.xor(&b)?))
    }

    #[rhai_fn(name = "!")]
    pub fn not(mask: Arc<Mask>) -> Arc<Mask> {
        Arc::new(mask.not())
    }

    #[rhai_fn(name = "==")]
    pub fn equal(a: Arc<Mask>, b: Arc<Mask>) -> bool {
        a == b
    }

    /// Saves a mask: a safetensors file of zeros and ones.
    ///
    /// - `path`: the file, under the folder of the run
    ///
    /// ```rhai
    /// a.prune(0.5).mask.save("out/half.safetensors");
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_mask(context: NativeCallContext, mask: &mut Arc<Mask>, path: &str) -> Fallible<()> {
        let session = Session::of(&context)?;
        Ok(session.write_file(path, false, alone, |file| mask.save(file))?)
    }

    /// The same with options.
    ///
    /// ```rhai
    /// a.prune(0.5).mask.save("out/half.safetensors", #{ force: true });
    /// ```
    #[rhai_fn(name = "save", pure, return_raw)]
    pub fn save_mask_with(
        context: NativeCallContext,
        mask: &mut Arc<Mask>,
        path: &str,
        options: Map,
    ) -> Fallible<()> {
        let (session, force) = (Session::of(&context)?, forced(&options)?);
        Ok(session.write_file(path, force, alone, |file| mask.save(file))?)
    }

    /// The mask in a file that a mask's `save` wrote.
    ///
    /// - `path`: the file, relative to the script
    ///
    /// ```rhai
    /// a.prune(0.5).mask.save("out/mask.safetensors");
    /// load_mask("out/mask.safetensors").density    // 0.5
    /// ```
    #[rhai_fn(return_raw)]
    pub fn load_mask(context: NativeCallContext, path: &str) -> Fallible<Arc<Mask>> {
        let file = Session::of(&context)?.input("file", path)?;
        Ok(Arc::new(Mask::load(&file)?))
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn card(mask: &mut Arc<Mask>) -> String {
        mask.to_string()
    }
}
