//! Results, and how they are printed.

use std::fmt;

/// What a number counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Mebibytes,
    Megabytes,
    Seconds,
    Milliseconds,
    Count,
}

/// What ours may come to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// One part in this many of the official plugin's figure.
    OnePartIn(f64),
    /// Nothing at all.
    None,
    /// As it is: shown for what it tells.
    Any,
}

/// One number.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) limit: Limit,
    pub(crate) value: f64,
}

#[derive(Debug)]
struct Row {
    measured: Measured,
    ours: Option<f64>,
    official: Option<f64>,
}

/// All results, in the order of measuring.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds the results of one side.
    pub(crate) fn add(&mut self, ours: bool, results: Vec<Measured>) {
        for measured in results {
            let known = self.rows.iter().position(|row| row.measured.name == measured.name);
            let value = Some(measured.value);
            if known.is_none() {
                self.rows.push(Row { measured, ours: None, official: None });
            }
            let row = match known {
                Some(index) => self.rows.get_mut(index),
                None => self.rows.last_mut(),
            };
            if let Some(row) = row {
                *(if ours { &mut row.ours } else { &mut row.official }) = value;
            }
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.measured.name.chars().count()).max().unwrap_or_default();
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 6]| {
            let [name, ours, official, ratio, limit, verdict] = cells;
            writeln!(f, "{name:<width$}  {ours:>10}  {official:>10}  {ratio:>6}  {limit:>12}  {verdict}")
        };
        line(f, ["figure", "ours", "official", "ratio", "limit", ""])?;
        for row in &self.rows {
            let unit = row.measured.unit;
            let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| unit.show(value));
            let ratio = row.ours.zip(row.official).filter(|(_, official)| *official > 0.0);
            let ratio = ratio.map_or_else(String::new, |(ours, official)| format!("{:.2}", ours / official));
            line(f, [row.measured.name, &cell(row.ours), &cell(row.official), &ratio, &row.limit(), row.verdict()])?;
        }
        Ok(())
    }
}

impl Row {
    /// The most that ours may come to, where that is known.
    fn most(&self) -> Option<f64> {
        match self.measured.limit {
            Limit::OnePartIn(parts) => self.official.map(|official| official / parts),
            Limit::None => Some(0.0),
            Limit::Any => None,
        }
    }

    fn limit(&self) -> String {
        match (self.measured.limit, self.most()) {
            (Limit::OnePartIn(parts), None) => format!("1/{parts}"),
            (_, Some(most)) => self.measured.unit.show(most),
            (_, None) => String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.ours.zip(self.most()) {
            Some((ours, most)) if ours > most => "OVER",
            Some(_) => "ok",
            None => "",
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Mebibytes => format!("{value:.1} MiB"),
            Self::Megabytes => format!("{value:.1} MB"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Count => format!("{value:.0}"),
        }
    }
}
