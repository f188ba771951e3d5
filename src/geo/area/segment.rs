//! Line segments and rectangles.

/// Whether a line segment touches a rectangle, given by its least and its greatest corner.
///
/// Liang–Barsky algorithm: the part of the segment inside all four edges is not empty.
pub(in crate::geo) fn meets_box(
    least: (f64, f64),
    greatest: (f64, f64),
    from: (f64, f64),
    to: (f64, f64),
) -> bool {
    let ((x, y), (dx, dy)) = (from, (to.0 - from.0, to.1 - from.1));
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (step, gap) in [(-dx, x - least.0), (dx, greatest.0 - x), (-dy, y - least.1), (dy, greatest.1 - y)] {
        if step == 0.0 {
            if gap < 0.0 {
                return false;
            }
        } else if step < 0.0 {
            enter = enter.max(gap / step);
        } else {
            leave = leave.min(gap / step);
        }
    }
    enter <= leave
}
