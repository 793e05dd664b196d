//! Amounts of compute resources, as core objects take them: `500m`, `64Mi`, `1`, and the bare numbers `1` and `0.5`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// One amount, in the form in which it was written: what is applied again unchanged is no change.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// A bare number.
    Number(serde_json::Number),
    /// With or without a unit.
    Text(String),
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&Amount> for Quantity {
    fn from(amount: &Amount) -> Self {
        Self(amount.to_string())
    }
}

impl Amount {
    /// How much it is in units of one (cores, bytes); `None` for what is no quantity. Only to compare: large amounts are rounded.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        const SUFFIXES: [(&str, f64); 15] = [
            ("Ki", 1024.0),
            ("Mi", 1_048_576.0),
            ("Gi", 1_073_741_824.0),
            ("Ti", 1_099_511_627_776.0),
            ("Pi", 1_125_899_906_842_624.0),
            ("Ei", 1_152_921_504_606_846_976.0),
            ("n", 1e-9),
            ("u", 1e-6),
            ("m", 1e-3),
            ("k", 1e3),
            ("M", 1e6),
            ("G", 1e9),
            ("T", 1e12),
            ("P", 1e15),
            ("E", 1e18),
        ];
        let text = self.to_string();
        let unit = SUFFIXES.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)));
        let (number, unit) = unit.unwrap_or((&text, 1.0));
        // Rust takes `inf` and `nan` for numbers too.
        let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        number.parse::<f64>().ok().filter(|_| is_number).map(|number| number * unit)
    }
}

/// A map of amounts. The API server checks text by its form, and numbers by their size; what is neither is found by the controller.
pub(super) fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": {
        // Neither of the types that structural schemas have: `x-kubernetes-int-or-string` refuses 0.5.
        "x-kubernetes-preserve-unknown-fields": true,
        "minimum": 0,
        "pattern": r"^\+?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Option<f64> {
        serde_json::from_str::<Amount>(json).unwrap().value()
    }

    #[test]
    fn every_form_is_comparable() {
        for (written, expected) in [
            ("1", 1.0),
            ("0.5", 0.5),
            ("\"500m\"", 0.5),
            ("\".5\"", 0.5),
            ("\"1e3\"", 1000.0),
            ("\"1k\"", 1000.0),
            ("\"2Ki\"", 2048.0),
            ("\"2E\"", 2e18),
            ("-1", -1.0),
        ] {
            let value = value(written).unwrap();
            assert!((value - expected).abs() < 1e-9 * expected.abs().max(1.0), "{written}: {value}");
        }
        for written in ["\"lots\"", "\"\"", "\"inf\"", "\"nan\"", "\"1 Gi\""] {
            assert_eq!(value(written), None, "{written}");
        }
    }

    #[test]
    fn an_amount_is_passed_on_as_it_was_written() {
        for (written, passed_on) in [("0.5", "0.5"), ("1", "1"), ("\"64Mi\"", "64Mi")] {
            assert_eq!(Quantity::from(&serde_json::from_str::<Amount>(written).unwrap()).0, passed_on);
        }
    }
}
