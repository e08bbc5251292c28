//! Tensors: shape, range and the first values.

use candle_core::{DType, Tensor};

use super::cut;
use crate::Result;
use crate::report::number;

/// At most this many rows.
const ROWS: usize = 6;

/// A tensor alone.
pub(super) fn card(tensor: &Tensor, width: usize) -> String {
    made(tensor, width).unwrap_or_else(|error| error.to_string())
}

fn made(tensor: &Tensor, width: usize) -> Result<String> {
    let dims = tensor.dims();
    let shape: Vec<String> = dims.iter().map(ToString::to_string).collect();
    let mut title = format!("Tensor [{}] {}", shape.join(", "), tensor.dtype().as_str());
    let values: Vec<f64> = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?;
    let (Some(low), Some(high)) = (
        values.iter().copied().reduce(f64::min),
        values.iter().copied().reduce(f64::max),
    ) else {
        return Ok(title + ", no entries");
    };
    let zeros = values.iter().filter(|value| **value == 0.0).count();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    title += &format!(
        ", {} to {}, mean {}",
        number(low),
        number(high),
        number(mean)
    );
    if zeros > 0 && values.len() > 1 {
        title += &format!(", {zeros} of {} zero", values.len());
    }
    let nan = values.iter().filter(|value| value.is_nan()).count();
    if nan > 0 {
        title += &format!(", {nan} NaN");
    }
    let mut lines = vec![cut(&title, width)];
    let columns = dims.last().copied().unwrap_or(1).max(1);
    let rows = match dims.len() {
        0 | 1 => 1,
        n => dims[n - 2],
    };
    if dims.len() > 2 {
        lines.push(format!(
            "the first of {} matrices:",
            values.len() / (rows * columns).max(1)
        ));
    }
    lines.extend(matrix(&values, rows, columns, width));
    Ok(lines.join("\n"))
}

/// The first rows and columns, aligned.
fn matrix(values: &[f64], rows: usize, columns: usize, width: usize) -> Vec<String> {
    let shown_rows = rows.min(ROWS);
    let text = |row: usize, column: usize| {
        let value = values.get(row * columns + column).copied();
        value.map_or(String::new(), number)
    };
    // As many columns as fit with the dots after them.
    let mut widths: Vec<usize> = Vec::new();
    let mut total = 2;
    for column in 0..columns {
        let widest = (0..shown_rows).map(|row| text(row, column).len()).max();
        let widest = widest.unwrap_or(0);
        let dots = if column + 1 < columns { 4 } else { 0 };
        if total + widest + 2 + dots > width {
            break;
        }
        total += widest + 2;
        widths.push(widest);
    }
    let mut lines: Vec<String> = (0..shown_rows)
        .map(|row| {
            let cells: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, width)| format!("{:>width$}", text(row, column)))
                .collect();
            let dots = if widths.len() < columns { "  ..." } else { "" };
            format!("  {}{dots}", cells.join("  "))
        })
        .collect();
    if rows > shown_rows {
        lines.push(format!("  ... {} more rows", rows - shown_rows));
    }
    lines
}
