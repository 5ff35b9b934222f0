//! Draws what was sampled: one panel a quantity, one line a node, a tick at each fault. Plain SVG that needs nothing else.

use std::fmt::Write;
use std::time::Duration;

use super::sample::{Quantity, Sample};

const WIDTH: f64 = 860.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 26.0;
const RIGHT: f64 = 12.0;
const COLOURS: &[&str] = &["#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626"];
/// A line is broken where a node was away for longer than this.
const HOLE: Duration = Duration::from_secs(8);

/// The drawing.
pub(super) fn svg(samples: &[Sample], nodes: usize, faults: &[Duration]) -> String {
    let end = samples.iter().map(|sample| sample.at).max().unwrap_or_default().as_secs_f64().max(1.0);
    let height = (PANEL + TOP) * Quantity::ALL.len() as f64 + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (place, quantity) in Quantity::ALL.into_iter().enumerate() {
        let panel =
            Panel { top: TOP + (PANEL + TOP) * place as f64, end, most: most(samples, quantity), quantity };
        panel.draw(&mut text, samples, nodes, faults);
    }
    text.push_str("</svg>\n");
    text
}

fn most(samples: &[Sample], quantity: Quantity) -> f64 {
    samples.iter().map(|sample| sample.of(quantity)).fold(1.0, f64::max) * 1.1
}

struct Panel {
    top: f64,
    end: f64,
    most: f64,
    quantity: Quantity,
}

// Writing into a string cannot fail.
impl Panel {
    fn x(&self, at: Duration) -> f64 {
        LEFT + at.as_secs_f64() / self.end * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + PANEL - value / self.most * PANEL
    }

    fn draw(&self, text: &mut String, samples: &[Sample], nodes: usize, faults: &[Duration]) {
        let (top, bottom, right) = (self.top, self.top + PANEL, WIDTH - RIGHT);
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
            top - 8.0,
            self.quantity.name()
        );
        for part in 0..=2 {
            let value = self.most * f64::from(part) / 2.0;
            let y = self.y(value);
            let _ = writeln!(
                text,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
            );
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        for fault in faults {
            let x = self.x(*fault);
            let _ = writeln!(
                text,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#f87171\"/>",
                bottom - 6.0
            );
        }
        for node in 0..nodes {
            let colour = COLOURS[node % COLOURS.len()];
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">n{}</text>",
                right - 24.0 * (nodes - node) as f64,
                top - 8.0,
                node + 1
            );
            let path = self.path(samples, node);
            let _ =
                writeln!(text, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>");
        }
        let minutes = self.end / 60.0;
        let _ = writeln!(
            text,
            "<text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{minutes:.0} min</text>",
            bottom + 14.0
        );
    }

    fn path(&self, samples: &[Sample], node: usize) -> String {
        let mut path = String::new();
        let mut before: Option<Duration> = None;
        for sample in samples.iter().filter(|sample| sample.node == node) {
            let joined = before.is_some_and(|before| sample.at - before < HOLE);
            let step = if joined { 'L' } else { 'M' };
            let _ = write!(path, "{step}{:.1} {:.1}", self.x(sample.at), self.y(sample.of(self.quantity)));
            before = Some(sample.at);
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_line_that_is_broken_where_it_was_away() {
        let at =
            |second, node| Sample { at: Duration::from_secs(second), node, values: [1.0, 2.0, 3.0, 4.0] };
        let samples = [at(0, 0), at(0, 1), at(5, 0), at(5, 1), at(60, 0)];
        let text = svg(&samples, 2, &[Duration::from_secs(3)]);
        assert_eq!(text.matches("<path").count(), 8);
        let first = text.lines().find(|line| line.starts_with("<path")).unwrap();
        assert_eq!((first.matches('M').count(), first.matches('L').count()), (2, 1), "{first}");
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
    }
}
