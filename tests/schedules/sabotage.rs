//! Faults put into the worlds on purpose, between the machine and the world: each must be caught by the property that is
//! there for it.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A write of a claim is answered before it is carried out.
    SendBeforeClaim,
    /// A lost race counts as won.
    ConflictTakenAsOk,
    /// What a record says of posted messages is not stored.
    FactForgotten,
    /// Teleport does not compare before it swaps.
    CompareIgnored,
    /// A search finds nothing, whatever is there.
    SearchSkipped,
    /// The machine's clock runs twice as fast: its grace times are half as long.
    GraceHalved,
    /// A send begins after its own deadline.
    DeadlineIgnored,
    /// Turns are given out inside the pauses that Slack asks for.
    PauseIgnored,
    /// A look-up by id tells what was 15 seconds ago.
    LookUpStale,
}

impl Sabotage {
    /// Each, with the properties of which one has to catch it.
    pub const ALL: [(Self, &'static [&'static str]); 9] = [
        (Self::SendBeforeClaim, &["S2"]),
        (Self::ConflictTakenAsOk, &["S2"]),
        (Self::FactForgotten, &["S1", "F2"]),
        (Self::CompareIgnored, &["S3", "S4"]),
        (Self::SearchSkipped, &["S1"]),
        (Self::GraceHalved, &["S3"]),
        (Self::DeadlineIgnored, &["S2"]),
        (Self::PauseIgnored, &["S6"]),
        (Self::LookUpStale, &["S5", "S10"]),
    ];
}
