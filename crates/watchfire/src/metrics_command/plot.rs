//! A plot in characters: braille dots, two across and four down in each character.

use base::units;

/// Columns of characters.
pub const WIDTH: usize = 72;
/// Rows of characters.
const HEIGHT: usize = 14;
/// Series whose names are listed.
const LISTED: usize = 20;

/// A series: seconds and values.
pub struct Series {
    /// What it is.
    pub name: String,
    /// Its points, by time.
    pub points: Vec<(f64, f64)>,
}

/// Draws them all into one plot, with the largest and smallest value at its side and the times below it.
pub fn draw(all: &[Series]) -> String {
    let points = || all.iter().flat_map(|s| &s.points).filter(|p| p.1.is_finite());
    let bounds = |f: fn(&(f64, f64)) -> f64| points().map(f).fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let ((from, to), (low, high)) = (bounds(|p| p.0), bounds(|p| p.1));
    if from > to {
        return "no finite values\n".to_owned();
    }
    let place = |v: f64, a: f64, b: f64, n: usize| if b > a { ((v - a) / (b - a) * (n - 1) as f64).round() as usize } else { 0 };
    let mut dots = vec![[0u8; WIDTH]; HEIGHT];
    for &(t, v) in points() {
        let (x, y) = (place(t, from, to, WIDTH * 2), HEIGHT * 4 - 1 - place(v, low, high, HEIGHT * 4));
        // The first three rows of dots are numbered column by column, the fourth came later.
        let bit = match (x % 2, y % 4) {
            (0, 3) => 6,
            (1, 3) => 7,
            (0, row) => row,
            (_, row) => row + 3,
        };
        dots[y / 4][x / 2] |= 1 << bit;
    }
    let side = [lang::number::format(round(high)), lang::number::format(round(low))];
    let width = side.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for (i, row) in dots.iter().enumerate() {
        let label = match i {
            0 => &side[0],
            i if i == HEIGHT - 1 => &side[1],
            _ => "",
        };
        let line: String = row.iter().map(|d| if *d == 0 { ' ' } else { char::from_u32(0x2800 + u32::from(*d)).unwrap_or(' ') }).collect();
        out += &format!("{label:>width$} |{}\n", line.trim_end());
    }
    let time = |s: f64| units::format_rfc3339((s.round() as i64).saturating_mul(1_000_000_000));
    let (from, to) = (time(from), time(to));
    let between = WIDTH.saturating_sub(from.len() + to.len());
    out += &format!("{:width$} +{}\n{:width$}  {from}{}{to}\n", "", "-".repeat(WIDTH), "", " ".repeat(between));
    for s in all.iter().take(LISTED) {
        let last = s.points.last().map_or_else(String::new, |p| lang::number::format(round(p.1)));
        out += &format!("{:width$}  {}  {last}\n", "", s.name);
    }
    if all.len() > LISTED {
        out += &format!("{:width$}  and {} more series\n", "", all.len() - LISTED);
    }
    out
}

/// Six digits: more say nothing beside a plot.
fn round(v: f64) -> f64 {
    format!("{v:.5e}").parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_goes_from_the_lower_left_to_the_upper_right() {
        let points = (0..100).map(|i| (f64::from(i) * 60.0, f64::from(i))).collect();
        let drawn = draw(&[Series { name: "rise".into(), points }]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines[0].starts_with("99 |") && lines[HEIGHT - 1].starts_with(" 0 |"), "{drawn}");
        let first = |l: &str| l.chars().position(|c| c as u32 > 0x2800).unwrap();
        assert!(first(lines[0]) > first(lines[HEIGHT / 2]) && first(lines[HEIGHT / 2]) > first(lines[HEIGHT - 1]), "{drawn}");
        assert!(lines[HEIGHT + 1].contains("1970-01-01T00:00:00Z") && lines[HEIGHT + 1].ends_with("1970-01-01T01:39:00Z"), "{drawn}");
        assert!(lines[HEIGHT + 2].contains("rise  99"));
    }

    #[test]
    fn odd_values_are_left_out_and_nothing_is_said_so() {
        assert_eq!(draw(&[Series { name: "x".into(), points: vec![(0.0, f64::NAN)] }]), "no finite values\n");
        let flat = draw(&[Series { name: "flat".into(), points: vec![(5.0, 2.0), (6.0, f64::INFINITY)] }]);
        assert!(flat.contains("flat  +Inf"), "{flat}");
    }
}
