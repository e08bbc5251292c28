//! Thrift's compact encoding as a tree: what a parquet file says of itself, read before anything
//! is believed.

/// Deeper nesting than any parquet header has.
const DEEPEST: usize = 16;

/// One value.
#[derive(Debug)]
pub(super) enum Node {
    /// A whole number of 16 bits or more.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A byte, a float, a text or a map: nothing that a check asks for.
    Other,
    List(Vec<Node>),
    Struct(Vec<(i64, Node)>),
}

impl Node {
    /// The field of a struct by its number.
    pub fn field(&self, id: i64) -> Option<&Node> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(own, _)| *own == id).map(|(_, n)| n),
            _ => None,
        }
    }

    /// The whole number in a field.
    pub fn int(&self, id: i64) -> Option<i64> {
        match self.field(id) {
            Some(Self::Int(value)) => Some(*value),
            _ => None,
        }
    }

    /// The boolean in a field.
    pub fn flag(&self, id: i64) -> Option<bool> {
        match self.field(id) {
            Some(Self::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// The list in a field.
    pub fn list(&self, id: i64) -> Option<&[Node]> {
        match self.field(id) {
            Some(Self::List(nodes)) => Some(nodes),
            _ => None,
        }
    }
}

/// Reads the struct that `bytes` begin with, and tells how many bytes it takes. None where they
/// are no such struct.
pub(super) fn read(bytes: &[u8]) -> Option<(Node, usize)> {
    let mut cursor = Cursor { bytes, at: 0 };
    let node = cursor.fields(0)?;
    Some((node, cursor.at))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, n: u64) -> Option<()> {
        let end = self.at.checked_add(usize::try_from(n).ok()?)?;
        (end <= self.bytes.len()).then(|| self.at = end)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn fields(&mut self, depth: usize) -> Option<Node> {
        let mut fields = Vec::new();
        let mut id: i64 = 0;
        loop {
            let header = self.byte()?;
            let kind = header & 0x0f;
            if kind == 0 {
                return Some(Node::Struct(fields));
            }
            id = match header >> 4 {
                0 => self.zigzag()?,
                step => id.checked_add(i64::from(step))?,
            };
            // Within a struct the kind of a boolean is its value.
            let node = match kind {
                1 => Node::Bool(true),
                2 => Node::Bool(false),
                _ => self.value(kind, depth + 1)?,
            };
            // A reader may take the first or the last of two, or 16 bits of a larger id: what it
            // sees must be what is seen here.
            let known = i16::try_from(id).is_ok() && fields.iter().all(|(own, _)| *own != id);
            known.then(|| fields.push((id, node)))?;
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            1..=3 => self.byte().map(|_| Node::Other),
            4..=6 => self.zigzag().map(Node::Int),
            7 => self.skip(8).map(|()| Node::Other),
            8 => {
                let length = self.varint()?;
                self.skip(length).map(|()| Node::Other)
            }
            9 | 10 => {
                let header = self.byte()?;
                let length = match header >> 4 {
                    15 => self.varint()?,
                    short => u64::from(short),
                };
                // Grows as elements are read, each of a byte at least, whatever the length says.
                let mut nodes = Vec::new();
                for _ in 0..length {
                    nodes.push(self.value(header & 0x0f, depth + 1)?);
                }
                Some(Node::List(nodes))
            }
            11 => {
                let length = self.varint()?;
                let kinds = if length == 0 { 0 } else { self.byte()? };
                for _ in 0..length {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 0x0f, depth + 1)?;
                }
                Some(Node::Other)
            }
            12 => self.fields(depth + 1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_are_read_by_field() {
        // 1: i32 5, 3: list of two i32 (1, -1), 4: binary "ab", 5: true
        let bytes = [0x15, 10, 0x29, 0x25, 2, 1, 0x18, 2, b'a', b'b', 0x11, 0, 99];
        let (node, length) = read(&bytes).unwrap();
        assert_eq!(length, bytes.len() - 1);
        assert_eq!(
            (node.int(1), node.flag(5), node.int(9)),
            (Some(5), Some(true), None)
        );
        let list = node.list(3).unwrap();
        assert!(matches!(list, [Node::Int(1), Node::Int(-1)]));
    }

    #[test]
    fn cut_and_lying_bytes_are_nothing() {
        assert!(read(&[]).is_none());
        assert!(read(&[0x15]).is_none());
        assert!(read(&[0x19, 0xf5, 0xff, 0xff, 0xff, 0xff, 0x0f, 2]).is_none());
        assert!(read(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_none());
        assert!(read(&[0x1c; 100_000]).is_none());
    }
}
