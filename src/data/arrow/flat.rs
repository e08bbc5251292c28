//! Tables of the FlatBuffers encoding, in which Arrow files describe themselves. Every access is
//! checked: what lies outside of the bytes is absent.

/// A table at its place in the bytes of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flat<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Flat<'b> {
    /// The table that the bytes begin with a reference to.
    pub fn root(bytes: &'b [u8]) -> Option<Self> {
        let at = uint(bytes, 0)?;
        Some(Self { bytes, at })
    }

    /// Where the value of a field lies; none where it has its default.
    fn field(&self, id: usize) -> Option<usize> {
        let back = i32::from_le_bytes(chunk(self.bytes, self.at)?);
        let names = usize::try_from(i64::try_from(self.at).ok()? - i64::from(back)).ok()?;
        let length = usize::from(u16::from_le_bytes(chunk(self.bytes, names)?));
        let place = 4 + 2 * id;
        if place + 2 > length {
            return None;
        }
        let offset = u16::from_le_bytes(chunk(self.bytes, names.checked_add(place)?)?);
        match offset {
            0 => None,
            offset => self.at.checked_add(usize::from(offset)),
        }
    }

    /// A byte, 0 where it is not there.
    pub fn byte(&self, id: usize) -> u8 {
        let at = self.field(id);
        let byte = at.and_then(|at| self.bytes.get(at).copied());
        byte.unwrap_or_default()
    }

    /// A number of 16 bits, 0 where it is not there.
    pub fn short(&self, id: usize) -> i16 {
        let at = self.field(id);
        let value = at.and_then(|at| chunk(self.bytes, at));
        value.map_or(0, i16::from_le_bytes)
    }

    /// A number of 32 bits, 0 where it is not there.
    pub fn int(&self, id: usize) -> i32 {
        let at = self.field(id);
        let value = at.and_then(|at| chunk(self.bytes, at));
        value.map_or(0, i32::from_le_bytes)
    }

    /// A number of 64 bits, 0 where it is not there.
    pub fn long(&self, id: usize) -> i64 {
        let at = self.field(id);
        let value = at.and_then(|at| chunk(self.bytes, at));
        value.map_or(0, i64::from_le_bytes)
    }

    /// A table in a field.
    pub fn table(&self, id: usize) -> Option<Self> {
        self.referred(self.field(id)?)
    }

    fn referred(&self, at: usize) -> Option<Self> {
        let at = at.checked_add(uint(self.bytes, at)?)?;
        let bytes = self.bytes;
        (at < bytes.len()).then_some(Self { bytes, at })
    }

    /// A text in a field.
    pub fn text(&self, id: usize) -> Option<&'b str> {
        let (start, length) = self.vector(id)?;
        let bytes = self.bytes.get(start..start.checked_add(length)?)?;
        std::str::from_utf8(bytes).ok()
    }

    /// The tables of a list in a field; none where the list does not lie within the bytes.
    pub fn tables(&self, id: usize) -> Option<Vec<Self>> {
        let Some((start, count)) = self.vector(id) else {
            return Some(Vec::new());
        };
        // A reference takes four bytes, so the list is no longer than the bytes allow.
        let end = start.checked_add(count.checked_mul(4)?)?;
        self.bytes.get(start..end)?;
        (0..count).map(|i| self.referred(start + 4 * i)).collect()
    }

    /// The pairs of 64-bit numbers of a list in a field.
    pub fn pairs(&self, id: usize) -> Option<Vec<(i64, i64)>> {
        let Some((start, count)) = self.vector(id) else {
            return Some(Vec::new());
        };
        let bytes = self
            .bytes
            .get(start..start.checked_add(count.checked_mul(16)?)?)?;
        let pair = |pair: &[u8]| {
            let (first, second) = (chunk(pair, 0)?, chunk(pair, 8)?);
            Some((i64::from_le_bytes(first), i64::from_le_bytes(second)))
        };
        bytes.chunks_exact(16).map(pair).collect()
    }

    /// Where a list or a text begins, and how many it holds.
    fn vector(&self, id: usize) -> Option<(usize, usize)> {
        let at = self.field(id)?;
        let at = at.checked_add(uint(self.bytes, at)?)?;
        Some((at.checked_add(4)?, uint(self.bytes, at)?))
    }
}

fn uint(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(chunk(bytes, at)?)).ok()
}

/// So many bytes from a place on.
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
