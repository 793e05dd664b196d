//! What the tasks of all requests share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::access_request::{AccessRequest, PluginData};
use crate::config::recipient::{Recipient, RecipientKey, RoleToRecipients};
use crate::config::suggested_reviewers::{Admitted, SuggestedReviewers};
use crate::delivery::claims::WorkerId;
use crate::delivery::decide::needs_work;
use crate::delivery::input::Wanted;
use crate::delivery::record::Record;
use crate::delivery::state::{Observation, Place};
use crate::metrics::Metrics;
use crate::slack;
use crate::slack::address_book::{Address, AddressBook};
use crate::slack::error::Error;
use crate::slack::message::ReviewButtons;
use crate::slack::rate_limit::RateLimiter;
use crate::teleport::client::{Client, Server};
use crate::teleport::review::ReviewRights;
use crate::worker::health::undelivered::Board;
use crate::worker::missed::Missed;
use crate::worker::role_logins::RoleLogins;

/// Shared by every task; cheap to clone behind its `Arc`.
pub(super) struct Context {
    /// The connection in use; it changes with a new identity.
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// Slack, as the bot.
    pub slack: slack::api::Client,
    /// When Slack is called.
    pub limiter: RateLimiter,
    /// Where recipients' messages arrive.
    pub book: AddressBook,
    /// What configured recipients have missed.
    pub missed: Mutex<Missed>,
    /// Recipients that a message did not reach since they were last taken.
    suspects: watch::Sender<BTreeSet<String>>,
    /// When recipients that could not be reached were found to be reachable again.
    recovered: watch::Sender<BTreeMap<String, Instant>>,
    /// Logins of roles.
    pub roles: RoleLogins,
    /// Who is to be told of what. Replaced when the configuration or the token changes, which wakes every task.
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
    /// Which of the reviewers that a request suggests are told.
    suggested_reviewers: SuggestedReviewers,
    /// The buttons of pending requests; none where reviews are made in Teleport only.
    pub review_buttons: watch::Receiver<Option<ReviewButtons>>,
    /// What is undelivered, and why.
    pub board: Board,
    /// Counters.
    pub metrics: Metrics,
    /// This process, in whose name claims are made.
    pub me: WorkerId,
    /// Requests of others were seen: what is not shown is gone, and not merely hidden.
    pub sees_requests_of_others: AtomicBool,
    /// Finish what is in flight, begin nothing new.
    pub shutdown: CancellationToken,
}

/// A connection that works, and who answers there.
#[derive(Clone)]
pub(super) struct Teleport {
    /// For calls.
    pub client: Client,
    /// The server.
    pub server: Server,
    /// What it permits for reviews in Slack; none where these are off.
    pub review_rights: Option<ReviewRights>,
}

/// The parts that a context is made of.
pub(super) struct Parts {
    /// See [`Context::teleport`].
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// See [`Context::slack`].
    pub slack: slack::api::Client,
    /// See [`Context::routes`].
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
    /// See [`Context::suggested_reviewers`].
    pub suggested_reviewers: SuggestedReviewers,
    /// See [`Context::me`].
    pub me: WorkerId,
    /// See [`Context::review_buttons`].
    pub review_buttons: watch::Receiver<Option<ReviewButtons>>,
    /// See [`Context::board`].
    pub board: Board,
    /// See [`Context::metrics`].
    pub metrics: Metrics,
    /// See [`Context::shutdown`].
    pub shutdown: CancellationToken,
}

impl Context {
    /// Begins with nothing known.
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { teleport, slack, routes, suggested_reviewers, me, review_buttons, board, metrics, shutdown } =
            parts;
        let counted = metrics.clone();
        let limiter = RateLimiter::observed_by(move |method, error| count(&counted, method, error));
        Arc::new(Self {
            book: AddressBook::new(slack.clone(), limiter.clone()),
            limiter,
            missed: Mutex::default(),
            teleport,
            slack,
            routes,
            suggested_reviewers,
            review_buttons,
            board,
            metrics,
            shutdown,
            suspects: watch::Sender::default(),
            recovered: watch::Sender::default(),
            roles: RoleLogins::default(),
            me,
            sees_requests_of_others: AtomicBool::default(),
        })
    }

    /// Notes where earlier direct messages went: without the scope im:write Slack does not say it before the next one, and
    /// nothing can be looked for there. (Channels may have been renamed since; direct messages stay where they are.)
    pub(super) fn learn_direct_messages(&self, data: &PluginData) {
        for (key, delivery) in &Record::decode(data.clone()).deliveries {
            if let (Some(recipient @ Recipient::Email(_)), Some(message)) = (key.recipient(), &delivery.message) {
                self.book.learn(&address(&recipient), &message.channel);
            }
        }
    }

    /// The place of a recipient, as far as it is known.
    pub(super) fn known_place(&self, key: &RecipientKey) -> Place {
        let known = key.recipient().map(|recipient| self.book.known(&address(&recipient)));
        known.into_iter().flatten().collect()
    }

    /// Notes that a message did not reach a recipient, for a reason that a person has to mend.
    pub(super) fn suspect(&self, key: &str) {
        self.suspects.send_if_modified(|suspects| suspects.insert(key.to_owned()));
    }

    /// Tells when [`Context::suspect`] noted a recipient; [`Context::take_suspects`] says which.
    pub(super) fn suspects(&self) -> watch::Receiver<BTreeSet<String>> {
        self.suspects.subscribe()
    }

    /// The recipients that messages did not reach since this was last asked.
    pub(super) fn take_suspects(&self) -> BTreeSet<String> {
        let mut taken = BTreeSet::new();
        self.suspects.send_if_modified(|suspects| {
            taken = std::mem::take(suspects);
            false
        });
        taken
    }

    /// What configured recipients have missed; never held across a wait.
    pub(super) fn missed(&self) -> MutexGuard<'_, Missed> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that recipients can be reached again, as of now: what rests because of them goes on.
    pub(super) fn note_recovered(&self, keys: impl IntoIterator<Item = String>) {
        let now = Instant::now();
        let recovered: Vec<_> = keys.into_iter().map(|key| (key, now)).collect();
        if !recovered.is_empty() {
            self.recovered.send_modify(|known| known.extend(recovered));
        }
    }

    /// Tells when recipients can be reached again, and since when.
    pub(super) fn recovered(&self) -> watch::Receiver<BTreeMap<String, Instant>> {
        self.recovered.subscribe()
    }

    /// Whom the configuration selects for a request: first those of its roles, then the reviewers that its author suggested.
    pub(super) fn select(&self, request: &AccessRequest) -> Vec<Wanted> {
        let routes = self.routes.borrow().clone();
        let selection = routes.select(&request.roles, &request.suggested_reviewers);
        let wanted = |recipients: &[Recipient], suggested| -> Vec<Wanted> {
            recipients.iter().map(|recipient| Wanted { key: RecipientKey::from(recipient), suggested }).collect()
        };
        let admitted = self.suggested_reviewers.admit(selection.reviewers);
        if admitted.beyond_max + admitted.of_other_domains > 0 {
            let Admitted { beyond_max, of_other_domains, .. } = admitted;
            debug!(request_id = %request.id, beyond_max, of_other_domains, "Suggested reviewers are left out");
        }
        [wanted(&selection.recipients, false), wanted(&admitted.reviewers, true)].concat()
    }

    /// Whether a listing shows something to do, so that a task is worth its while.
    pub(super) fn needs_work(&self, observation: &Observation, data: &PluginData) -> bool {
        let wanted = observation.request().map(|request| self.select(request)).unwrap_or_default();
        needs_work(observation, data, &wanted, &self.me, &|key| self.known_place(key))
    }
}

/// A recipient as it can be given to Slack.
pub(super) fn address(recipient: &Recipient) -> Address {
    match recipient.clone() {
        Recipient::ChannelName(name) => Address::ChannelName(name),
        Recipient::ChannelId(id) => Address::Channel(id),
        Recipient::DirectMessage(id) => Address::DirectMessage(id),
        Recipient::UserId(id) => Address::User(id),
        Recipient::Email(email) => Address::Email(email),
    }
}

/// Counts a call of Slack by what came of it.
fn count(metrics: &Metrics, method: &'static str, error: Option<&Error>) {
    metrics.slack_call(method, error.map_or(OK, |error| error.class.as_str()));
    if let Some(retry_after) = error.and_then(|error| error.retry_after.filter(|_| error.is_rate_limit())) {
        metrics.slack_rate_limited(retry_after);
    }
}

/// The label of a call that worked.
const OK: &str = "ok";
