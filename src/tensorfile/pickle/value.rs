//! What a pickle is made of.

use std::cell::RefCell;
use std::rc::Rc;

use crate::tensorfile::number::Number;

/// A map's entries, in the order they were set.
pub type Entries = Rc<RefCell<Vec<(Value, Value)>>>;

/// A list's items.
pub type Items = Rc<RefCell<Vec<Value>>>;

/// A value on the machine's stack. Lists and maps are shared, as Python's are.
#[derive(Debug, Clone)]
pub enum Value {
    None,
    Bool,
    Int(i64),
    /// A number that does not fit: only the magic number of old files is one.
    Big(Rc<[u8]>),
    Float,
    Text(Rc<str>),
    Tuple(Rc<[Value]>),
    List(Items),
    Map(Entries),
    /// A name that may be called or named.
    Global(Global),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
}

/// All lists and maps of a file. Emptied in the end, so that neither loops nor long chains of them
/// are a danger.
#[derive(Default)]
pub struct Heap {
    maps: Vec<Entries>,
    lists: Vec<Items>,
}

impl Heap {
    /// A new map with these entries.
    pub fn map(&mut self, entries: Vec<(Value, Value)>) -> Value {
        let map = Rc::new(RefCell::new(entries));
        self.maps.push(map.clone());
        Value::Map(map)
    }

    /// A new, empty list.
    pub fn list(&mut self) -> Value {
        let list = Items::default();
        self.lists.push(list.clone());
        Value::List(list)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for map in &self.maps {
            map.borrow_mut().clear();
        }
        for list in &self.lists {
            list.borrow_mut().clear();
        }
    }
}

/// The names that tensors are made with. Everything else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`
    OrderedMap,
    /// `torch._utils._rebuild_tensor_v2` and its predecessor.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`
    RebuildParameter,
    /// `torch.Size`
    Size,
    /// The class of a storage.
    StorageType(Number),
}

/// A run of numbers elsewhere in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Storage {
    pub number: Number,
    /// Its name in the file.
    pub key: String,
    /// How many numbers it has.
    pub len: usize,
}

/// A tensor: a view of a storage.
#[derive(Debug)]
pub struct View {
    pub storage: Rc<Storage>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub stride: Vec<usize>,
}

impl Global {
    /// The name, if it is one that tensors are made with.
    pub fn of(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedMap,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.storage", name) => Self::StorageType(match name {
                "DoubleStorage" => Number::F64,
                "FloatStorage" => Number::F32,
                "HalfStorage" => Number::F16,
                "BFloat16Storage" => Number::BF16,
                "LongStorage" => Number::I64,
                "IntStorage" => Number::I32,
                "ShortStorage" => Number::I16,
                "CharStorage" => Number::I8,
                "ByteStorage" => Number::U8,
                "BoolStorage" => Number::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }
}
