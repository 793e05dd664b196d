//! Every metric family in one place.
