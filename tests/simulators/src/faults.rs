//! One vocabulary of faults for both simulators.
