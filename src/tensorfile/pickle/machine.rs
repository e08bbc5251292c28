//! The stack machine that a pickle is a program for, with the few instructions `torch.save` uses.

use std::collections::HashMap;
use std::rc::Rc;

use crate::{Error, Result, bail};

use super::value::{Global, Heap, Storage, Value, View};

/// How deep tuples may lie in tuples; tensors need two.
const DEPTH: usize = 4;

/// Runs the pickle at the start of `bytes`: what it stands for, and the bytes after it.
pub fn run<'a>(bytes: &'a [u8], heap: &mut Heap) -> Result<(Value, &'a [u8])> {
    let mut machine = Machine {
        rest: bytes,
        heap,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let at = bytes.len() - machine.rest.len();
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok((value, machine.rest)),
            Err(e) => return Err(e.within(format!("pickle, byte {at}"))),
        }
    }
}

struct Machine<'a, 'h> {
    rest: &'a [u8],
    heap: &'h mut Heap,
    stack: Vec<Value>,
    /// Where on the stack marks lie.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'a> Machine<'a, '_> {
    /// One instruction; a value at the end.
    fn step(&mut self) -> Result<Option<Value>> {
        match self.byte()? {
            b'.' => return self.pop().map(Some),
            // PROTO: 2 to 5 have the same instructions of these.
            0x80 => {
                self.byte()?;
            }
            // FRAME, a hint for streams.
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'q' => {
                let at = u32::from(self.byte()?);
                self.remember(at)?;
            }
            b'r' => {
                let at = self.u32()?;
                self.remember(at)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set(items)?;
            }
            // BUILD: attributes of the map, such as `_metadata`, which hold no tensors.
            b'b' => {
                self.pop()?;
                match self.stack.last() {
                    Some(Value::Map(_)) => {}
                    _ => bail!("attributes of something that is no map"),
                }
            }
            op => {
                let value = self.make(op)?;
                self.stack.push(value);
            }
        }
        Ok(None)
    }

    /// The value that an instruction pushes.
    fn make(&mut self, op: u8) -> Result<Value> {
        Ok(match op {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,

            b'J' => Value::Int(i64::from(self.u32()? as i32)),
            b'K' => Value::Int(i64::from(self.byte()?)),
            b'M' => Value::Int(i64::from(u16::from_le_bytes(self.array()?))),
            0x8a => {
                let n = usize::from(self.byte()?);
                long(self.take(n)?)
            }
            b'G' => {
                self.take(8)?;
                Value::Float
            }
            b'X' => {
                let n = self.u32()? as usize;
                self.text(n)?
            }
            0x8c => {
                let n = usize::from(self.byte()?);
                self.text(n)?
            }
            b'}' => self.heap.map(Vec::new()),
            b']' => self.heap.list(),
            b')' => Value::Tuple(Rc::from([])),
            b't' => {
                let items = self.since_mark()?;
                tuple(items)?
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'h' => {
                let at = u32::from(self.byte()?);
                self.recall(at)?
            }
            b'j' => {
                let at = self.u32()?;
                self.recall(at)?
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                global(&module, &name)?
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => global(&module, &name)?,
                _ => bail!("a name that is no text"),
            },
            b'Q' => {
                let id = self.pop()?;
                storage(&id)?
            }
            b'R' => {
                let arguments = self.pop()?;
                match self.pop()? {
                    Value::Global(global) => call(global, &arguments, self.heap)?,
                    _ => bail!("a call of something that is no name"),
                }
            }
            other => bail!("instruction {other:#04x} is not one that tensors need"),
        })
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(n) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => bail!("the file ends within it"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self, n: usize) -> Result<Value> {
        match std::str::from_utf8(self.take(n)?) {
            Ok(text) => Ok(Value::Text(text.into())),
            Err(_) => bail!("a text that is not UTF-8"),
        }
    }

    /// A name, which ends with its line.
    fn line(&mut self) -> Result<String> {
        let Some(end) = self.rest.iter().take(256).position(|b| *b == b'\n') else {
            bail!("a name without an end");
        };
        let line = String::from_utf8_lossy(self.take(end)?).into_owned();
        self.byte()?;
        Ok(line)
    }

    fn pop(&mut self) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.pop() {
            Some(value) if self.stack.len() >= floor => Ok(value),
            _ => bail!("nothing on the stack"),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => bail!("no mark on the stack"),
        }
    }

    fn tuple(&mut self, n: usize) -> Result<Value> {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(self.pop()?);
        }
        items.reverse();
        tuple(items)
    }

    fn remember(&mut self, at: u32) -> Result<()> {
        match self.stack.last() {
            Some(value) => {
                self.memo.insert(at, value.clone());
                Ok(())
            }
            None => bail!("nothing on the stack"),
        }
    }

    fn recall(&self, at: u32) -> Result<Value> {
        match self.memo.get(&at) {
            Some(value) => Ok(value.clone()),
            None => bail!("nothing was remembered as {at}"),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Result<()> {
        match self.stack.last() {
            Some(Value::List(list)) => {
                list.borrow_mut().extend(items);
                Ok(())
            }
            _ => bail!("items of something that is no list"),
        }
    }

    fn set(&mut self, items: Vec<Value>) -> Result<()> {
        let Some(Value::Map(map)) = self.stack.last() else {
            bail!("entries of something that is no map");
        };
        let mut items = items.into_iter();
        while let (Some(key), value) = (items.next(), items.next()) {
            let Some(value) = value else {
                bail!("a key without a value");
            };
            map.borrow_mut().push((key, value));
        }
        Ok(())
    }
}

/// A tuple, refused where tuples lie too deep in each other to be freed safely.
fn tuple(items: Vec<Value>) -> Result<Value> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Tuple(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    match items.iter().map(depth).max().unwrap_or(0) < DEPTH {
        true => Ok(Value::Tuple(items.into())),
        false => bail!("tuples more than {DEPTH} deep"),
    }
}

/// A number of any length, little endian in two's complement.
fn long(bytes: &[u8]) -> Value {
    let Some(last) = bytes.last() else {
        return Value::Int(0);
    };
    if bytes.len() > 8 {
        return Value::Big(bytes.into());
    }
    let fill = if *last >= 0x80 { 0xff } else { 0 };
    let mut all = [fill; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(all))
}

fn global(module: &str, name: &str) -> Result<Value> {
    match Global::of(module, name) {
        Some(global) => Ok(Value::Global(global)),
        None => Err(Error::new(format!(
            "the pickle asks for {module}.{name}, which is refused: only tensors are read"
        ))
        .hint("save it as safetensors in a place where it may run")),
    }
}

/// `("storage", type, key, location, length)`, in old files with a sixth part.
fn storage(id: &Value) -> Result<Value> {
    if let Value::Tuple(parts) = id
        && let [
            Value::Text(what),
            Value::Global(Global::StorageType(number)),
            Value::Text(key),
            _,
            Value::Int(len),
            ..,
        ] = &parts[..]
        && &**what == "storage"
        && let Ok(len) = usize::try_from(*len)
    {
        let (number, key) = (*number, key.to_string());
        return Ok(Value::Storage(Rc::new(Storage { number, key, len })));
    }
    bail!("a reference that is to no storage")
}

fn call(global: Global, arguments: &Value, heap: &mut Heap) -> Result<Value> {
    let Value::Tuple(arguments) = arguments else {
        bail!("a call without arguments");
    };
    match (global, &arguments[..]) {
        (Global::OrderedMap, []) => Ok(heap.map(Vec::new())),
        // Old files give the entries as a list of pairs.
        (Global::OrderedMap, [Value::List(pairs)]) => {
            let mut map = Vec::new();
            for pair in pairs.borrow().iter() {
                match pair {
                    Value::Tuple(pair) if pair.len() == 2 => {
                        map.push((pair[0].clone(), pair[1].clone()));
                    }
                    _ => bail!("a map of something that is no pair"),
                }
            }
            Ok(heap.map(map))
        }
        (
            Global::RebuildTensor,
            [
                Value::Storage(storage),
                Value::Int(offset),
                Value::Tuple(shape),
                Value::Tuple(stride),
                ..,
            ],
        ) => Ok(Value::Tensor(Rc::new(View {
            storage: storage.clone(),
            offset: size(&Value::Int(*offset))?,
            shape: shape.iter().map(size).collect::<Result<_>>()?,
            stride: stride.iter().map(size).collect::<Result<_>>()?,
        }))),
        (Global::RebuildParameter, [Value::Tensor(tensor), ..]) => {
            Ok(Value::Tensor(tensor.clone()))
        }
        (Global::Size, [Value::Tuple(sizes)]) => Ok(Value::Tuple(sizes.clone())),
        _ => bail!("{global:?} with arguments that are not its own"),
    }
}

fn size(value: &Value) -> Result<usize> {
    if let Value::Int(n) = value
        && let Ok(n) = usize::try_from(*n)
    {
        return Ok(n);
    }
    bail!("a size that is no whole number from 0")
}
