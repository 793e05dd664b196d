//! The stripped binary.

use std::fs;

use crate::Failure;
use crate::plugin::Side;
use crate::table::{Limit, Measured, Unit};

pub(super) fn measure(side: &Side) -> Result<Vec<Measured>, Failure> {
    let kilobytes = u32::try_from(fs::metadata(&side.program)?.len() / 1_000)?;
    let value = f64::from(kilobytes) / 1_000.0;
    Ok(vec![Measured { name: "stripped binary", unit: Unit::Megabytes, limit: Limit::OnePartIn(5.0), value }])
}
