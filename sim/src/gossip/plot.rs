//! A plot of what was measured: the time until all know of a death, and the bytes it costs, over the number of nodes.

use std::fmt::Write as _;

use super::figures::{Figures, percentile};

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// Room around a panel for its axes and titles.
const MARGIN: f64 = 56.0;
/// One for each share of lost datagrams, in order.
const COLOURS: &[&str] = &["#2a6f97", "#bc6c25", "#9b2226", "#386641"];
/// The largest value of an axis is this much above the largest shown.
const HEADROOM: f64 = 1.15;

/// A line of a panel.
struct Line {
    colour: &'static str,
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// The plot, as SVG.
pub fn svg(all: &[Figures]) -> String {
    let mut lost: Vec<u64> = all.iter().map(|one| one.plan.lost_permille).collect();
    lost.sort_unstable();
    lost.dedup();
    let of = |permille: u64| all.iter().filter(move |one| one.plan.lost_permille == permille);
    let (mut known, mut bytes, mut legend) = (Vec::new(), Vec::new(), String::new());
    for (at, permille) in lost.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line = |dashed, value: &dyn Fn(&Figures) -> f64| Line {
            colour,
            dashed,
            points: of(*permille).map(|one| (one.plan.nodes as f64, value(one))).collect(),
        };
        known.push(line(false, &|one| percentile(&one.known_to_all, 50).as_secs_f64()));
        known.push(line(true, &|one| one.known_to_all_max().as_secs_f64()));
        bytes.push(line(false, &|one| one.bytes_per_s / 1000.0));
        let (x, y) = (MARGIN + 150.0 * at as f64, HEIGHT + 2.0 * MARGIN + 14.0);
        let _ = write!(
            legend,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"14\" height=\"4\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"{y:.0}\">{} % lost</text>",
            y - 6.0,
            x + 20.0,
            *permille as f64 / 10.0,
        );
    }
    let (width, height) = (2.0 * (WIDTH + 2.0 * MARGIN), HEIGHT + 2.0 * MARGIN + 28.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}{legend}\n</svg>\n",
        panel(0.0, "s until all know of a death (median; dashed: longest)", &known),
        panel(WIDTH + 2.0 * MARGIN, "kB/s sent by each node", &bytes),
    )
}

fn panel(left: f64, title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x_max = points().map(|(x, _)| *x).fold(1.0, f64::max);
    let y_max = points().map(|(_, y)| *y).fold(0.0, f64::max).max(f64::MIN_POSITIVE) * HEADROOM;
    let x_of = |x: f64| left + MARGIN + x / x_max * WIDTH;
    let y_of = |y: f64| MARGIN + HEIGHT - y / y_max * HEIGHT;
    let (x0, y0) = (x_of(0.0), y_of(0.0));
    let mut text = format!(
        "<text x=\"{x0:.0}\" y=\"{:.0}\" font-weight=\"bold\">{title}</text>\n\
         <path d=\"M{x0:.1} {MARGIN:.1}V{y0:.1}H{:.1}\" fill=\"none\" stroke=\"#444444\"/>\n",
        MARGIN - 20.0,
        x_of(x_max),
    );
    let mut marks: Vec<u64> = points().map(|(x, _)| *x as u64).collect();
    marks.sort_unstable();
    marks.dedup();
    for mark in marks {
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{mark}</text>",
            x_of(mark as f64),
            y0 + 18.0,
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">nodes</text>",
        x_of(x_max / 2.0),
        y0 + 34.0
    );
    for part in [0.25, 0.5, 0.75, 1.0] {
        let y = y_max * part;
        let _ = writeln!(
            text,
            "<path d=\"M{x0:.1} {0:.1}H{1:.1}\" stroke=\"#dddddd\"/><text x=\"{2:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{y:.1}</text>",
            y_of(y),
            x_of(x_max),
            x0 - 6.0,
            y_of(y) + 4.0,
        );
    }
    for line in lines {
        let dash = if line.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let path: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1} {:.1}", x_of(*x), y_of(*y))).collect();
        let _ = writeln!(
            text,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"{dash}/>",
            path.join("L"),
            line.colour,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::Plan;

    #[test]
    fn every_plan_is_a_point_of_a_line() {
        let of = |nodes, lost_permille| {
            let mut figures = Figures::new(Plan { nodes, lost_permille, deaths: 0, seed: 0 });
            figures.bytes_per_s = nodes as f64;
            figures
        };
        let text = svg(&[of(10, 0), of(100, 0), of(10, 50), of(100, 50)]);
        assert_eq!(text.matches("stroke-width=\"2\"").count(), 6);
        assert!(text.contains(">5 % lost<") && text.contains(">100</text>"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
