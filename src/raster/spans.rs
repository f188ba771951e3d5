//! Rows of pixels inside polygons.

use super::Polygon;

/// Pixels of a row from `start` to `end`, without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The row, from 0 at the top.
    pub row: u32,
    /// The first column.
    pub start: u32,
    /// The column after the last one.
    pub end: u32,
}

/// An edge that crosses at least one row of pixel centres.
struct Edge {
    /// The first row and the row after the last one.
    rows: (u32, u32),
    /// The upper vertex.
    from: [f64; 2],
    /// Columns per row.
    slope: f64,
}

impl Edge {
    fn new([x0, y0]: [f64; 2], [x1, y1]: [f64; 2], height: u32) -> Option<Self> {
        let (from, to) = if y0 <= y1 { ([x0, y0], [x1, y1]) } else { ([x1, y1], [x0, y0]) };
        let rows = (first_centre(from[1], height), first_centre(to[1], height));
        (rows.0 < rows.1).then(|| Self { rows, from, slope: (to[0] - from[0]) / (to[1] - from[1]) })
    }

    /// The column at the centre of a row.
    fn column(&self, row: u32) -> f64 {
        self.from[0] + (f64::from(row) + 0.5 - self.from[1]) * self.slope
    }
}

/// The first of `limit` pixels with its centre at or after a position.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the type"
)]
fn first_centre(position: f64, limit: u32) -> u32 {
    let position = (position - 0.5).clamp(0.0, f64::from(limit));
    // Rounded up like `f64::ceil`, which is a call of a function on common processors.
    let below = position as u32;
    below + u32::from(f64::from(below) < position)
}

/// The spans of polygons in a picture of `width` by `height` pixels, by row and column. They neither overlap nor touch.
///
/// Vertices must be finite. Memory grows with the vertices and with the spans of the result.
///
/// ```
/// use streetflow::raster::{Span, spans};
///
/// let outer = vec![[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]];
/// let hole = vec![[1.0, 1.0], [1.0, 2.0], [3.0, 2.0], [3.0, 1.0]];
/// let spans = spans(&[vec![outer, hole]], 10, 10);
/// let span = |row, start, end| Span { row, start, end };
/// assert_eq!(spans, [span(0, 0, 4), span(1, 0, 1), span(1, 3, 4)]);
/// ```
pub fn spans(polygons: &[Polygon], width: u32, height: u32) -> Vec<Span> {
    let mut spans = Vec::new();
    for polygon in polygons {
        add_polygon(polygon, width, height, &mut spans);
    }
    if polygons.len() > 1 {
        unite(&mut spans);
    }
    spans
}

fn add_polygon(polygon: &Polygon, width: u32, height: u32, spans: &mut Vec<Span>) {
    let mut edges: Vec<Edge> = polygon
        .iter()
        .flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)))
        .filter_map(|(&from, &to)| Edge::new(from, to, height))
        .collect();
    edges.sort_by_key(|edge| edge.rows.0);
    let Some(first) = edges.first() else { return };
    let mut row = first.rows.0;
    let mut next = 0;
    let mut active: Vec<usize> = Vec::new();
    let mut columns: Vec<f64> = Vec::new();
    while next < edges.len() || !active.is_empty() {
        if active.is_empty() {
            row = row.max(edges[next].rows.0);
        }
        while edges.get(next).is_some_and(|edge| edge.rows.0 <= row) {
            active.push(next);
            next += 1;
        }
        columns.clear();
        columns.extend(active.iter().map(|&index| edges[index].column(row)));
        columns.sort_unstable_by(f64::total_cmp);
        for pair in columns.chunks_exact(2) {
            let (start, end) = (first_centre(pair[0], width), first_centre(pair[1], width));
            match spans.last_mut() {
                _ if start >= end => {}
                // Two parts of the polygon touch.
                Some(last) if last.row == row && last.end == start && columns.len() > 2 => last.end = end,
                _ => spans.push(Span { row, start, end }),
            }
        }
        row += 1;
        active.retain(|&index| edges[index].rows.1 > row);
    }
}

/// Sorts spans, and merges those that overlap or touch.
fn unite(spans: &mut Vec<Span>) {
    spans.sort_unstable_by_key(|span| (span.row, span.start));
    spans.dedup_by(|next, last| {
        let joins = next.row == last.row && next.start <= last.end;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether a point is inside, from the definition: the number of edges to its left is odd.
    fn contains(polygon: &Polygon, x: f64, y: f64) -> bool {
        let edges = polygon.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
        let crossed = edges.filter(|&(from, to)| {
            let (from, to) = if from[1] <= to[1] { (from, to) } else { (to, from) };
            let at = from[0] + (y - from[1]) * ((to[0] - from[0]) / (to[1] - from[1]));
            (from[1] <= y) != (to[1] <= y) && at <= x
        });
        crossed.count() % 2 == 1
    }

    fn check(polygons: &[Polygon], width: u32, height: u32) -> std::result::Result<(), TestCaseError> {
        let found = spans(polygons, width, height);
        for pair in found.windows(2) {
            let ordered =
                pair[0].row < pair[1].row || (pair[0].row == pair[1].row && pair[0].end < pair[1].start);
            prop_assert!(ordered, "{pair:?}");
        }
        for row in 0..height {
            for column in 0..width {
                let expected = polygons
                    .iter()
                    .any(|polygon| contains(polygon, f64::from(column) + 0.5, f64::from(row) + 0.5));
                let is_in = found.iter().any(|s| s.row == row && s.start <= column && column < s.end);
                prop_assert_eq!(is_in, expected, "row {} column {}", row, column);
            }
        }
        Ok(())
    }

    fn vertex() -> impl Strategy<Value = [f64; 2]> {
        // Quarters are often exactly on a centre.
        prop_oneof![
            (-8..80_i32, -8..80_i32).prop_map(|(x, y)| [f64::from(x) / 4.0, f64::from(y) / 4.0]),
            (-2.0..20.0, -2.0..20.0).prop_map(|(x, y)| [x, y]),
        ]
    }

    proptest! {
        #[test]
        fn a_pixel_is_in_a_span_if_its_centre_is_inside(
            polygons in prop::collection::vec(prop::collection::vec(prop::collection::vec(vertex(), 0..7), 0..3), 0..3),
            width in 1..18_u32,
            height in 1..18_u32,
        ) {
            check(&polygons, width, height)?;
        }
    }

    #[test]
    fn adjacent_squares_share_no_pixel_and_leave_none_out() {
        let square = |left: f64| vec![vec![[left, 0.5], [left + 1.5, 0.5], [left + 1.5, 2.0], [left, 2.0]]];
        let one = spans(&[square(0.0)], 9, 9);
        let two = spans(&[square(1.5)], 9, 9);
        assert_eq!(one, [Span { row: 0, start: 0, end: 1 }, Span { row: 1, start: 0, end: 1 }]);
        assert_eq!(two, [Span { row: 0, start: 1, end: 3 }, Span { row: 1, start: 1, end: 3 }]);
        assert_eq!(spans(&[square(0.0), square(1.5)], 9, 9).len(), 2, "united");
    }

    #[test]
    fn a_shape_far_outside_the_picture_costs_no_rows() {
        let far = vec![vec![[-1e300, -1e300], [1e300, -1e300], [0.0, 1e300]]];
        assert_eq!(spans(&[far], 3, 2).len(), 2);
        let below = vec![vec![[0.0, 1e9], [5.0, 1e9], [0.0, 2e9]]];
        assert_eq!(spans(&[below], 3, 2), []);
    }
}
