//! Encodings filled up to one length.

use super::Encoding;

/// Encodings of one length, row after row: `[rows, width]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Padded {
    /// The number of encodings.
    pub rows: usize,
    /// The length of the longest.
    pub width: usize,
    /// Token ids, padded at the end.
    pub ids: Vec<u32>,
    /// 1 for a token, 0 for padding.
    pub mask: Vec<u32>,
    /// Type ids, 0 for padding.
    pub type_ids: Vec<u32>,
}

/// Fills encodings up to the longest of them with `pad_id`, type 0 and mask 0.
pub fn pad(encodings: &[Encoding], pad_id: u32) -> Padded {
    let rows = encodings.len();
    let width = encodings.iter().map(|e| e.ids.len()).max().unwrap_or(0);
    let mut padded = Padded {
        rows,
        width,
        ids: vec![pad_id; rows * width],
        mask: vec![0; rows * width],
        type_ids: vec![0; rows * width],
    };
    for (row, encoding) in encodings.iter().enumerate() {
        let (start, length) = (row * width, encoding.ids.len());
        padded.ids[start..start + length].copy_from_slice(&encoding.ids);
        padded.type_ids[start..start + length].copy_from_slice(&encoding.type_ids);
        padded.mask[start..start + length].fill(1);
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_to_the_longest() {
        let encoding = |ids: &[u32]| Encoding {
            ids: ids.to_vec(),
            type_ids: vec![1; ids.len()],
        };
        let padded = pad(&[encoding(&[5]), encoding(&[6, 7])], 9);
        assert_eq!((padded.rows, padded.width), (2, 2));
        assert_eq!(padded.ids, [5, 9, 6, 7]);
        assert_eq!(padded.mask, [1, 0, 1, 1]);
        assert_eq!(padded.type_ids, [1, 0, 1, 1]);
        assert_eq!(pad(&[], 0), Padded::default());
    }
}
