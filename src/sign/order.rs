//! An order in which similar members are neighbours.

/// The places of members so that those with small distances stand together: the leaves of the
/// tree that joins the two closest groups until one is left, the distance of groups being the
/// mean over their members (average linkage). Of two equal distances the first counts.
/// `distances` is square and symmetric.
pub fn similar(distances: &[Vec<f64>]) -> Vec<usize> {
    let n = distances.len();
    let mut between: Vec<Vec<f64>> = distances.to_vec();
    let mut groups: Vec<Option<Vec<usize>>> = (0..n).map(|i| Some(vec![i])).collect();
    for _ in 1..n {
        let Some((a, b)) = closest(&between, &groups) else {
            break;
        };
        let (Some(left), Some(right)) = (groups[a].take(), groups[b].take()) else {
            break;
        };
        let (x, y) = (left.len() as f64, right.len() as f64);
        let means: Vec<f64> = between[a]
            .iter()
            .zip(&between[b])
            .map(|(p, q)| (x * p + y * q) / (x + y))
            .collect();
        for (row, mean) in between.iter_mut().zip(&means) {
            row[a] = *mean;
        }
        between[a] = means;
        groups[a] = Some(joined(left, right, distances));
    }
    groups.into_iter().flatten().flatten().collect()
}

fn closest(between: &[Vec<f64>], groups: &[Option<Vec<usize>>]) -> Option<(usize, usize)> {
    let left: Vec<usize> = (0..groups.len()).filter(|i| groups[*i].is_some()).collect();
    let pairs = left
        .iter()
        .enumerate()
        .flat_map(|(i, a)| left[i + 1..].iter().map(move |b| (*a, *b)));
    pairs.min_by(|(a, b), (c, d)| between[*a][*b].total_cmp(&between[*c][*d]))
}

/// Two groups in a row, turned so that the ends that meet are closest.
fn joined(mut left: Vec<usize>, mut right: Vec<usize>, distances: &[Vec<f64>]) -> Vec<usize> {
    let end = |v: &[usize], last: bool| if last { v[v.len() - 1] } else { v[0] };
    let mut best = (f64::INFINITY, false, false);
    for (turn_left, turn_right) in [(false, false), (true, false), (false, true), (true, true)] {
        let meeting = distances[end(&left, !turn_left)][end(&right, turn_right)];
        if meeting < best.0 {
            best = (meeting, turn_left, turn_right);
        }
    }
    if best.1 {
        left.reverse();
    }
    if best.2 {
        right.reverse();
    }
    left.extend(right);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_on_a_line_come_in_its_order() {
        let at = [3.0, 0.0, 10.0, 1.0, 11.5, 4.5f64];
        let distances: Vec<Vec<f64>> = at
            .iter()
            .map(|a| at.iter().map(|b| (a - b).abs()).collect())
            .collect();
        let mut order = similar(&distances);
        if order[0] != 1 {
            order.reverse();
        }
        assert_eq!(order, [1, 3, 0, 5, 2, 4]);
    }

    #[test]
    fn every_member_is_there_once() {
        assert_eq!(similar(&[]), [] as [usize; 0]);
        let equal = vec![vec![0.5; 7]; 7];
        let mut order = similar(&equal);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
    }
}
