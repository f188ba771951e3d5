//! A plot of lines over logarithmic axes, as SVG.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLORS: [&str; 4] = ["#1f6feb", "#d1242f", "#1a7f37", "#8250df"];

/// One line: its name and its points.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws the plot, with a base of two on the x axis and ten on the y axis.
pub(crate) fn svg(title: &str, x: &str, y: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let max = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(1.0, f64::max);
    let (x_max, y_max) = (max(|point| point.0), max(|point| point.1));
    let y_min = 10_f64.powf(all().map(|point| point.1).fold(y_max, f64::min).log10().floor());
    let across = |x: f64| LEFT + x.log2() / x_max.log2() * (WIDTH - LEFT - RIGHT);
    let down = |y: f64| {
        let (span, part) = ((y_max / y_min).log10().max(1.0), (y / y_min).log10());
        HEIGHT - BOTTOM - part / span * (HEIGHT - TOP - BOTTOM)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    let (floor, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let mut mark = 1.0;
    while mark <= x_max {
        let at = across(mark);
        writeln!(out, "<path d=\"M{at:.1} {TOP}V{floor}\" stroke=\"#ddd\"/>").unwrap();
        writeln!(out, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{mark}</text>", floor + 18.0)
            .unwrap();
        mark *= 2.0;
    }
    let mut mark = y_min;
    while mark <= y_max {
        let at = down(mark);
        writeln!(out, "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#ddd\"/>").unwrap();
        writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>", LEFT - 6.0, at + 4.0)
            .unwrap();
        mark *= 10.0;
    }
    writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{x}</text>",
        f64::midpoint(LEFT, end),
        HEIGHT - 10.0
    )
    .unwrap();
    writeln!(
        out,
        "<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{y}</text>",
        HEIGHT / 2.0
    )
    .unwrap();
    for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
        let places: Vec<_> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
        writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            places.join(" ")
        )
        .unwrap();
        if let Some((x, y)) = line.points.last() {
            let (x, y) = (across(*x) + 6.0, down(*y) + 4.0);
            writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{color}\">{}</text>", line.name).unwrap();
        }
    }
    out + "</svg>\n"
}
