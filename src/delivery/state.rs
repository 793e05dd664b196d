//! What the decisions speak about: how a request stands, what a message shows of it, and where messages are.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

use jiff::Timestamp;

use crate::access_request::{AccessRequest, RequestState};

/// The two clocks, read once for each call of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For waits, grace times and deadlines: never jumps.
    pub monotonic: Instant,
    /// For what other machines read: may jump, and may differ from theirs by minutes.
    pub wall: Timestamp,
}

/// A request as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Teleport has it.
    Present(Box<AccessRequest>),
    /// It expired or was deleted; seen at this time.
    Gone(Timestamp),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Access was granted.
    Approved,
    /// Access was refused.
    Denied,
    /// The requester became a member of an access list.
    Promoted,
    /// It is gone without a decision: its time was up, or it was deleted.
    Expired,
}

impl Resolution {
    const ALL: [Self; 4] = [Self::Approved, Self::Denied, Self::Promoted, Self::Expired];

    /// The official plugin's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "APPROVED",
            Self::Denied => "DENIED",
            Self::Promoted => "PROMOTED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Reads the official plugin's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resolution| resolution.as_str() == text)
    }

    /// The reaction that a message gets.
    pub fn reaction(self) -> Option<&'static str> {
        match self {
            Self::Approved | Self::Promoted => Some("white_check_mark"),
            Self::Denied => Some("x"),
            Self::Expired => None,
        }
    }
}

/// What a message shows of its request. The order is the order in which a request can change: a message never goes back
/// in it, unless a look-up by id says that the request itself has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// Not known: the message was found by a search.
    #[default]
    Unknown,
    /// Waiting for review.
    Pending {
        /// Reviews so far.
        reviews: usize,
    },
    /// The end.
    Ended(Resolution),
}

impl Shown {
    /// What a message about a request in this state shows.
    pub fn of(observation: &Observation) -> Self {
        match (observation.resolution(), observation) {
            (Some(resolution), _) => Self::Ended(resolution),
            (None, Observation::Present(request)) => Self::Pending { reviews: request.reviews.len() },
            (None, Observation::Gone(_)) => Self::Unknown,
        }
    }

    /// How far on it is. A decision is further on than an expiry: a request that was decided expires later, and that is no
    /// news. Two decisions are not ordered: which of them is true only a look-up by id can tell.
    pub fn stage(self) -> (u8, usize) {
        match self {
            Self::Unknown => (0, 0),
            Self::Pending { reviews } => (1, reviews),
            Self::Ended(Resolution::Expired) => (2, 0),
            Self::Ended(_) => (3, 0),
        }
    }

    /// The one of both that is further on; `self` where neither is.
    #[must_use]
    pub fn max_stage(self, other: Self) -> Self {
        if other.stage() > self.stage() { other } else { self }
    }

    /// Whether the request has ended.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Reads the form that is stored in the record; earlier releases wrote the same.
    pub fn parse(text: &str) -> Self {
        if let Some(reviews) = text.strip_prefix("PENDING:") {
            return Self::Pending { reviews: reviews.parse().unwrap_or(0) };
        }
        Resolution::parse(text).map_or(Self::Unknown, Self::Ended)
    }
}

/// The form that is stored in the record.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::Pending { reviews } => write!(f, "PENDING:{reviews}"),
            Self::Ended(resolution) => f.write_str(resolution.as_str()),
        }
    }
}

impl Observation {
    /// How the request ended, if it has.
    pub fn resolution(&self) -> Option<Resolution> {
        match self {
            Self::Gone(_) => Some(Resolution::Expired),
            Self::Present(request) => match request.state {
                RequestState::Approved => Some(Resolution::Approved),
                RequestState::Denied => Some(Resolution::Denied),
                RequestState::Promoted => Some(Resolution::Promoted),
                RequestState::Pending | RequestState::Unknown => None,
            },
        }
    }

    /// The request, while Teleport has it.
    pub fn request(&self) -> Option<&AccessRequest> {
        match self {
            Self::Present(request) => Some(request),
            Self::Gone(_) => None,
        }
    }

    /// Whether reviewers are asked to decide.
    pub fn is_pending(&self) -> bool {
        self.request().is_some_and(|request| request.state == RequestState::Pending)
    }
}

/// Where a recipient's messages arrive: the ids by which Slack knows the place. A person has a user's id and, once known,
/// that of the direct message.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(BTreeSet<String>);

impl Place {
    /// A place that is known by this id.
    pub fn of(id: impl Into<String>) -> Self {
        Self(BTreeSet::from([id.into()]))
    }

    /// The same place, known by one id more.
    pub fn add(&mut self, id: impl Into<String>) {
        self.0.insert(id.into());
    }

    /// Everything that is known of either is of one place.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are certainly one place.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.intersection(&other.0).next().is_some()
    }

    /// The ids, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether this id is of the place.
    pub fn has(&self, id: &str) -> bool {
        self.0.contains(id)
    }
}

impl FromIterator<String> for Place {
    fn from_iter<I: IntoIterator<Item = String>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}
