//! Where the messages of a recipient arrive: recipient → the ids by which Slack knows the place, cached.

mod fair_queue;
mod pins;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::slack::address_book::fair_queue::{FairQueue, Ticket};
use crate::slack::address_book::pins::Pins;
use crate::slack::api::{ChannelInfo, ChannelList, Client, UserId};
use crate::slack::error::Error;
use crate::slack::method;
use crate::slack::rate_limit::RateLimiter;
use crate::ttl_cache::TtlCache;

pub use crate::slack::address_book::pins::Moved;

/// How long a person's ids are kept. They never change; addresses do, rarely.
const TTL: Duration = Duration::from_hours(6);
/// How long it is kept that there is no such person or channel: it may be made any minute.
const NEGATIVE_TTL: Duration = Duration::from_mins(5);
/// People that are kept.
const MOST: usize = 10_000;
/// Look-ups that may be under way at once, and those of one request.
const LOOKUPS: (usize, usize) = (4, 2);
/// How long a message waits for the list of channels, which takes minutes in large workspaces. Without it a channel is
/// addressed by its name, which Slack takes too.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a message waits for the id of a direct message: it can be sent without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// How often Slack may limit one reading of the list of channels before it is given up.
const MOST_LIMITS: u32 = 10;

/// A recipient as it can be given to Slack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A channel's name, without `#`.
    ChannelName(String),
    /// A channel's id.
    Channel(String),
    /// A direct message's id.
    DirectMessage(String),
    /// A user's id.
    User(String),
    /// A user's e-mail address.
    Email(String),
}

/// What a recipient resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The ids of the place, the one to post to first. A person has a user's id and, as far as it is known, that of the
    /// direct message.
    Place(Vec<String>),
    /// It cannot be told before something was posted: the list of channels does not show it, or not in time.
    Unknowable,
    /// There is no such place, or Slack did not answer.
    Failed(Error),
}

/// The ids found so far. Clones share them.
#[derive(Clone, Debug)]
pub struct AddressBook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    limiter: RateLimiter,
    known: Mutex<Known>,
    queue: Mutex<Queue>,
}

/// Ends with the number of pages that were read.
type Reading = Shared<BoxFuture<'static, Result<u32, Error>>>;

#[derive(Debug)]
struct Known {
    /// Users by address in lower case.
    users: TtlCache<String, Result<UserId, Error>>,
    /// Direct messages by user, or by address where the user is not known yet; none where Slack does not say.
    direct_messages: TtlCache<String, Option<String>>,
    /// Channels as the latest readings of the list showed them, by name.
    listed: TtlCache<String, ChannelInfo>,
    pins: Pins,
    /// Names that the list of channels does not show.
    unlisted: TtlCache<String, ()>,
    /// Names to look for in the next reading of the list.
    sought: BTreeSet<String>,
    reading: Option<Reading>,
    /// Counts [`AddressBook::clear`]: an answer from before it belongs to the past.
    edition: u64,
}

#[derive(Debug)]
struct Queue {
    turns: FairQueue<String>,
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
    next: Ticket,
}

/// A turn to look something up.
struct Turn<'a> {
    book: &'a AddressBook,
    owner: String,
    ticket: Ticket,
}

impl AddressBook {
    /// An empty book that asks `client`, at the pace of `limiter`.
    pub fn new(client: Client, limiter: RateLimiter) -> Self {
        let known = Known {
            users: TtlCache::new(MOST),
            direct_messages: TtlCache::new(MOST),
            listed: TtlCache::new(MOST),
            pins: Pins::default(),
            unlisted: TtlCache::new(MOST),
            sought: BTreeSet::new(),
            reading: None,
            edition: 0,
        };
        let queue = Queue { turns: FairQueue::new(LOOKUPS.0, LOOKUPS.1), waiting: HashMap::new(), next: 0 };
        Self(Arc::new(Inner { client, limiter, known: Mutex::new(known), queue: Mutex::new(queue) }))
    }

    /// Finds out where messages to `address` arrive, from memory or from Slack. Look-ups are shared out fairly among their
    /// owners, which are requests: one with many suggested reviewers delays no other.
    pub async fn resolve(&self, owner: &str, address: &Address) -> Resolved {
        match address {
            Address::Channel(id) | Address::DirectMessage(id) => Resolved::Place(vec![id.clone()]),
            Address::User(id) => Resolved::Place(self.person(id, None).await),
            Address::Email(email) => match self.user(owner, email).await {
                Ok(user) => Resolved::Place(self.person(user.as_str(), Some(email)).await),
                Err(error) => Resolved::Failed(error),
            },
            Address::ChannelName(name) => self.channel(name).await,
        }
    }

    /// The ids that are known of a place, without asking Slack; empty if none is.
    pub fn known(&self, address: &Address) -> Vec<String> {
        let known = self.lock();
        let now = now();
        let person = |user: &str| {
            let conversation = known.direct_message(user, None, now).flatten();
            [user.to_owned()].into_iter().chain(conversation).collect()
        };
        match address {
            Address::Channel(id) | Address::DirectMessage(id) => vec![id.clone()],
            Address::User(id) => person(id),
            Address::Email(email) => match known.users.get(&email.to_lowercase(), now) {
                Some(Ok(user)) => person(user.as_str()),
                _ => known.direct_messages.get(&email.to_lowercase(), now).cloned().flatten().into_iter().collect(),
            },
            Address::ChannelName(name) => known.pins.id(name).map(str::to_owned).into_iter().collect(),
        }
    }

    /// A message to `address` is in the conversation `id`: a post has shown it, or a record.
    pub fn learn(&self, address: &Address, id: &str) {
        let mut known = self.lock();
        let now = now();
        let user = match address {
            Address::User(user) => user.clone(),
            Address::Email(email) => match known.users.get(&email.to_lowercase(), now) {
                Some(Ok(user)) => user.to_string(),
                _ => email.to_lowercase(),
            },
            Address::ChannelName(name) => {
                known.unlisted.remove(name);
                return known.pins.pin(name, id);
            }
            Address::Channel(_) | Address::DirectMessage(_) => return,
        };
        if user != id {
            known.direct_messages.insert(user.clone(), Some(id.to_owned()), TTL, now);
            self.0.limiter.merge([user.as_str(), id]);
        }
    }

    /// Reads the list of channels until all of these names are found, or to its end; with the number of pages that it took.
    pub async fn list(&self, names: &BTreeSet<String>) -> (Result<BTreeMap<String, ChannelInfo>, Error>, u32) {
        let reading = {
            let mut known = self.lock();
            known.sought.extend(names.iter().cloned());
            for name in names {
                known.listed.remove(name);
                known.unlisted.remove(name);
            }
            self.reading(&mut known)
        };
        match reading.await {
            Ok(pages) => {
                let known = self.lock();
                let found = |name: &String| Some((name.clone(), known.listed.get(name, now())?.clone()));
                (Ok(names.iter().filter_map(found).collect()), pages)
            }
            Err(error) => (Err(error), 0),
        }
    }

    /// The id of the direct message with a user; takes the scope `im:write` where no post has shown it. `Err` with a time
    /// when Slack may be asked again.
    pub async fn direct_message(&self, user: &str) -> Result<Result<String, Error>, Instant> {
        if let Some(known) = self.lock().direct_message(user, None, now()).flatten() {
            return Ok(Ok(known));
        }
        let opened = self.0.limiter.try_call(method::OPEN, self.0.client.open_dm(&UserId::new(user))).await?;
        if let Ok(conversation) = &opened {
            self.learn(&Address::User(user.to_owned()), conversation);
        }
        Ok(opened)
    }

    /// The channel `info` exists under its present name. Returns whether that shows a move that was not known, or ends one.
    pub fn observe(&self, info: &ChannelInfo) -> bool {
        let mut known = self.lock();
        known.unlisted.remove(&info.name);
        known.pins.observe(&info.name, &info.id)
    }

    /// The configured names that have moved.
    pub fn moved(&self) -> Vec<Moved> {
        self.lock().pins.moved().cloned().collect()
    }

    /// Forgets what is known of a person, or that a channel is not listed: a message did not arrive.
    pub fn doubt(&self, address: &Address) {
        let mut known = self.lock();
        match address {
            Address::Email(email) => known.users.remove(&email.to_lowercase()),
            Address::User(user) => known.direct_messages.remove(user),
            Address::ChannelName(name) => known.unlisted.remove(name),
            Address::Channel(_) | Address::DirectMessage(_) => {}
        }
    }

    /// Forgets what was not found, and everything about people: the token of the same workspace may have other scopes now.
    pub fn forget_people(&self) {
        let mut known = self.lock();
        known.edition += 1;
        known.users.clear();
        known.direct_messages.clear();
        known.unlisted.clear();
    }

    /// Forgets everything: the workspace is another, or the configuration, with which a person decides anew what its names
    /// mean.
    pub fn clear(&self) {
        self.forget_people();
        let mut known = self.lock();
        known.pins.clear();
        known.reading = None;
    }

    /// The user of an e-mail address.
    pub async fn user(&self, owner: &str, email: &str) -> Result<UserId, Error> {
        let email = email.trim().to_lowercase();
        if let Some(known) = self.lock().users.get(&email, now()) {
            return known.clone();
        }
        let _turn = self.turn(owner).await;
        self.0.limiter.permitted(method::LOOKUP_BY_EMAIL).await;
        let edition = {
            let known = self.lock();
            // Another request may have asked while this one waited.
            if let Some(known) = known.users.get(&email, now()) {
                return known.clone();
            }
            known.edition
        };
        let found = self.0.client.lookup_user_by_email(&email).await;
        self.0.limiter.note(method::LOOKUP_BY_EMAIL, &found);
        let ttl = match &found {
            Ok(_) => Some(TTL),
            Err(error) if error.code == "users_not_found" => Some(NEGATIVE_TTL),
            Err(_) => None,
        };
        let mut known = self.lock();
        if let Some(ttl) = ttl.filter(|_| known.edition == edition) {
            known.users.insert(email, found.clone(), ttl, now());
        }
        found
    }

    /// The ids of a person: the user's and, where Slack says it at once, that of the direct message.
    async fn person(&self, user: &str, email: Option<&str>) -> Vec<String> {
        let known = self.lock().direct_message(user, email, now());
        let conversation = match known {
            Some(known) => known,
            None => timeout(OPEN_TIMEOUT, self.open(user)).await.ok().flatten(),
        };
        [user.to_owned()].into_iter().chain(conversation).collect()
    }

    async fn open(&self, user: &str) -> Option<String> {
        let account = self.0.client.account().await.ok()?;
        let may_open = account.scopes.is_empty() || account.scopes.iter().any(|scope| scope == "im:write");
        if !may_open || self.0.limiter.permit(method::OPEN).is_err() {
            return None;
        }
        let edition = self.lock().edition;
        let opened = self.0.client.open_dm(&UserId::new(user)).await;
        self.0.limiter.note(method::OPEN, &opened);
        let ttl = if opened.is_ok() { TTL } else { NEGATIVE_TTL };
        let conversation = opened.ok();
        let mut known = self.lock();
        if known.edition == edition {
            known.direct_messages.insert(user.to_owned(), conversation.clone(), ttl, now());
        }
        drop(known);
        if let Some(conversation) = &conversation {
            self.0.limiter.merge([user, conversation]);
        }
        conversation
    }

    async fn channel(&self, name: &str) -> Resolved {
        let reading = {
            let mut known = self.lock();
            if let Some(id) = known.pins.id(name) {
                return Resolved::Place(vec![id.to_owned()]);
            }
            if known.unlisted.get(name, now()).is_some() {
                return Resolved::Unknowable;
            }
            known.sought.insert(name.to_owned());
            self.reading(&mut known)
        };
        match timeout(LIST_TIMEOUT, reading).await {
            Ok(Err(error)) if error.code != "missing_scope" && !error.is_rate_limit() => Resolved::Failed(error),
            // The list is long, cannot be read, or does not show it.
            _ => match self.lock().pins.id(name) {
                Some(id) => Resolved::Place(vec![id.to_owned()]),
                None => Resolved::Unknowable,
            },
        }
    }

    /// The reading of the list that is under way, or a new one. It goes on when those who wait for it give up.
    fn reading(&self, known: &mut Known) -> Reading {
        if let Some(reading) = known.reading.as_ref().filter(|reading| reading.peek().is_none()) {
            return reading.clone();
        }
        let reading = self.clone().read_list(known.edition).boxed().shared();
        known.reading = Some(reading.clone());
        tokio::spawn(reading.clone());
        reading
    }

    /// Reads the list of channels until all names that are sought were found, or to its end.
    async fn read_list(self, edition: u64) -> Result<u32, Error> {
        let mut list = ChannelList::default();
        let (mut limits, mut pages) = (0, 0);
        // A name that is asked for in the middle of the list may stand on a page that was read before.
        let mut from_the_start = self.lock().sought.clone();
        loop {
            let page = match self.0.limiter.call(method::LIST, list.next_page(&self.0.client)).await {
                Err(error) if error.is_rate_limit() && limits < MOST_LIMITS => {
                    limits += 1;
                    continue;
                }
                page => page?,
            };
            let mut known = self.lock();
            if known.edition != edition {
                return Ok(pages);
            }
            pages += 1;
            let Some(page) = page else {
                for name in from_the_start {
                    if known.sought.remove(&name) {
                        known.unlisted.insert(name, (), NEGATIVE_TTL, now());
                    }
                }
                if known.sought.is_empty() {
                    return Ok(pages);
                }
                from_the_start = known.sought.clone();
                list = ChannelList::default();
                continue;
            };
            for channel in page {
                known.pins.observe(&channel.name, &channel.id);
                if known.sought.remove(&channel.name) {
                    known.pins.pin(&channel.name, &channel.id);
                    known.listed.insert(channel.name.clone(), channel, NEGATIVE_TTL, now());
                }
            }
            if known.sought.is_empty() {
                return Ok(pages);
            }
        }
    }

    async fn turn(&self, owner: &str) -> Turn<'_> {
        let (sender, granted) = oneshot::channel();
        let turn = {
            let mut queue = self.queue();
            let ticket = queue.next;
            queue.next += 1;
            queue.turns.enqueue(owner.to_owned(), ticket);
            queue.waiting.insert(ticket, sender);
            queue.grant();
            Turn { book: self, owner: owner.to_owned(), ticket }
        };
        // The sender stays in `waiting` until the turn is granted, or dropped together with this future.
        let _ = granted.await;
        turn
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    #[expect(clippy::option_option, reason = "not asked yet differs from asked in vain")]
    fn direct_message(&self, user: &str, email: Option<&str>, now: Instant) -> Option<Option<String>> {
        let by_email = || self.direct_messages.get(&email?.to_lowercase(), now).filter(|known| known.is_some());
        self.direct_messages
            .get(user, now)
            .filter(|known| known.is_some())
            .or_else(by_email)
            .or_else(|| self.direct_messages.get(user, now))
            .cloned()
    }
}

impl Queue {
    fn grant(&mut self) {
        for ticket in self.turns.granted() {
            if let Some(sender) = self.waiting.remove(&ticket) {
                // A receiver that is gone is followed by its turn, which ends it.
                let _ = sender.send(());
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.book.queue();
        if queue.waiting.remove(&self.ticket).is_some() {
            queue.turns.withdraw(&self.owner, self.ticket);
        } else {
            queue.turns.finished(&self.owner);
        }
        queue.grant();
    }
}

/// Tokio's clock: in tests it stands still, or jumps.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
