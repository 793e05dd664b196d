//! What the tasks of all requests share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::access_request::{AccessRequest, PluginData};
use crate::config::recipient::{Recipient, RecipientKey, RoleToRecipients};
use crate::delivery::claims::WorkerId;
use crate::delivery::decide::needs_work;
use crate::delivery::input::Wanted;
use crate::delivery::record::Record;
use crate::delivery::state::{Observation, Place};
use crate::metrics::Metrics;
use crate::slack;
use crate::slack::directory::Directory;
use crate::slack::pacing::Pacing;
use crate::slack::turn::Turns;
use crate::teleport::client::{Client, Server};
use crate::worker::health::undelivered::Board;
use crate::worker::role_logins::RoleLogins;

/// The longest time that a message waits until it is known which recipients are one. With large workspaces and Slack's limits the
/// look takes minutes; then telling one place twice is the lesser evil.
const SPELLINGS: Duration = Duration::from_secs(30);

/// Shared by every task; cheap to clone behind its `Arc`.
pub(super) struct Context {
    /// The connection in use; it changes with a new identity.
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// Slack, as the bot.
    pub slack: slack::api::Client,
    /// When the next call may start.
    pub pacing: Mutex<Pacing>,
    /// One post at a time per channel.
    pub turns: Turns,
    /// E-mail addresses to users.
    pub directory: Directory,
    /// Names of channels, ids and addresses of users to the conversations' ids, as Slack's answers showed them.
    conversations: Mutex<HashMap<String, String>>,
    /// Channels' and users' ids by recipient, as the look for the configured recipients found them.
    ids: Mutex<HashMap<String, String>>,
    /// Whether that look was taken once.
    looked: watch::Sender<bool>,
    /// Recipients that a message did not reach since somebody last asked for them.
    doubted: watch::Sender<BTreeSet<String>>,
    /// When recipients that could not be reached were found to be reachable again.
    recovered: watch::Sender<BTreeMap<String, Instant>>,
    /// Logins of roles.
    pub roles: RoleLogins,
    /// Who is to be told of what. Replaced when the configuration or the token changes, which wakes every task.
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
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
}

/// The parts that a context is made of.
pub(super) struct Parts {
    /// See [`Context::teleport`].
    pub teleport: watch::Receiver<Option<Teleport>>,
    /// See [`Context::slack`].
    pub slack: slack::api::Client,
    /// See [`Context::routes`].
    pub routes: watch::Receiver<Arc<RoleToRecipients>>,
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
        let Parts { teleport, slack, routes, board, metrics, shutdown } = parts;
        Arc::new(Self {
            directory: Directory::default(),
            teleport,
            slack,
            routes,
            board,
            metrics,
            shutdown,
            pacing: Mutex::default(),
            turns: Turns::default(),
            conversations: Mutex::default(),
            ids: Mutex::default(),
            looked: watch::Sender::default(),
            doubted: watch::Sender::default(),
            recovered: watch::Sender::default(),
            roles: RoleLogins::default(),
            me: WorkerId::new(random(), random()),
            sees_requests_of_others: AtomicBool::default(),
        })
    }

    /// The schedule of calls; never held across a wait.
    pub(super) fn pacing(&self) -> MutexGuard<'_, Pacing> {
        self.pacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of the conversation in which posts to `address` arrive, if an earlier one has shown it.
    pub(super) fn conversation_of(&self, address: &str) -> Option<String> {
        self.conversations().get(address).cloned()
    }

    /// Notes that a post to `address` arrived in the conversation `id`; the pace of the one becomes that of the other.
    pub(super) fn learn_conversation(&self, address: &str, id: &str) {
        if address != id {
            self.conversations().insert(address.to_owned(), id.to_owned());
            self.pacing().rename(address, id);
        }
    }

    /// Notes where earlier direct messages went: without the scope im:write Slack does not say it before the next one, and
    /// nothing can be looked for there. (Channels may have been renamed since; direct messages stay where they are.)
    pub(super) fn learn_direct_messages(&self, data: &PluginData) {
        for (key, delivery) in &Record::decode(data.clone()).deliveries {
            if let (Some(Recipient::Email(email)), Some(message)) = (key.recipient(), &delivery.message) {
                self.learn_conversation(&email, &message.channel);
            }
        }
    }

    /// Forgets which addresses lead to the conversation `id`.
    pub(super) fn forget_conversation(&self, id: &str) {
        self.conversations().retain(|_, known| known != id);
    }

    /// Notes the id of a recipient.
    pub(super) fn identify(&self, key: String, id: String) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(key, id);
    }

    /// The id of a recipient, if it was noted.
    pub(super) fn id_of(&self, key: &str) -> Option<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Notes that a message did not reach a recipient, for a reason that a person has to mend.
    pub(super) fn doubt(&self, key: &str) {
        self.doubted.send_if_modified(|doubted| doubted.insert(key.to_owned()));
    }

    /// Tells when [`Context::doubt`] noted somebody; [`Context::take_doubted`] says whom.
    pub(super) fn doubts(&self) -> watch::Receiver<BTreeSet<String>> {
        self.doubted.subscribe()
    }

    /// Whom messages did not reach since this was last asked.
    pub(super) fn take_doubted(&self) -> BTreeSet<String> {
        let mut doubted = BTreeSet::new();
        self.doubted.send_if_modified(|noted| {
            doubted = std::mem::take(noted);
            false
        });
        doubted
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

    /// Notes that all configured recipients were looked for: what is not identified now cannot be.
    pub(super) fn note_look(&self) {
        self.looked.send_replace(true);
    }

    /// Waits until it is known which of the configured recipients are one, or until that has taken too long.
    pub(super) async fn spellings_known(&self) {
        // Whoever looks lives as long as the tasks do.
        let _ = timeout(SPELLINGS, self.looked.subscribe().wait_for(|looked| *looked)).await;
    }

    /// Whom the configuration selects for a request: first those of its roles, then the reviewers that its author suggested.
    pub(super) fn select(&self, request: &AccessRequest) -> Vec<Wanted> {
        let routes = self.routes.borrow().clone();
        let selection = routes.select(&request.roles, &request.suggested_reviewers);
        let wanted = |recipients: &[Recipient], suggested| -> Vec<Wanted> {
            recipients.iter().map(|recipient| Wanted { key: RecipientKey::from(recipient), suggested }).collect()
        };
        [wanted(&selection.recipients, false), wanted(&selection.reviewers, true)].concat()
    }

    /// Whether a listing shows something to do, so that a task is worth its while.
    pub(super) fn needs_work(&self, observation: &Observation, data: &PluginData) -> bool {
        let wanted = observation.request().map(|request| self.select(request)).unwrap_or_default();
        needs_work(observation, data, &wanted, &self.me, &|key| {
            self.id_of(key.as_str()).map(Place::of).unwrap_or_default()
        })
    }

    fn conversations(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.conversations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> String {
    format!("{:016x}", rand::random::<u64>())
}
