//! Asks the Kubernetes API whose token it is that a reader of `/metrics` sent, and whether that user may read them.
//!
//! The same two questions as kube-rbac-proxy and controller-runtime ask: a `TokenReview`, then a `SubjectAccessReview` for `get` on the
//! path `/metrics`. Answers are remembered for a short time, by the token's digest.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};

/// How long an answer counts.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Answers that are remembered.
const CAPACITY: usize = 64;
/// Tokens that are being checked at the same time: a flood of tokens is no flood of questions to the API server.
const CONCURRENCY: usize = 2;
/// For both questions.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What the Kubernetes API says of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its user may read metrics.
    Allowed,
    /// It is nobody's.
    Unauthenticated,
    /// This user may not read metrics.
    Forbidden(String),
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    /// No way to the Kubernetes API is known.
    #[error("no way to the Kubernetes API is known: {0}")]
    Config(#[from] kube::config::InClusterError),
    /// The API server refused or failed.
    #[error("the Kubernetes API refused or failed: {0}")]
    Kube(#[from] kube::Error),
    /// No answer in time.
    #[error("the Kubernetes API did not answer in time")]
    Timeout,
}

/// Checks tokens, one question for each within a minute.
pub struct TokenReviewer {
    client: OnceCell<Client>,
    answers: Mutex<BTreeMap<[u8; 32], (Verdict, Instant)>>,
    turns: Semaphore,
}

impl std::fmt::Debug for TokenReviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenReviewer")
    }
}

impl TokenReviewer {
    /// Asks with the pod's own service account. Nothing is connected before the first question.
    #[must_use]
    pub fn in_cluster() -> Self {
        Self::new(OnceCell::new())
    }

    /// Asks through this client.
    #[must_use]
    pub fn with_client(client: Client) -> Self {
        Self::new(OnceCell::new_with(Some(client)))
    }

    fn new(client: OnceCell<Client>) -> Self {
        Self { client, answers: Mutex::default(), turns: Semaphore::new(CONCURRENCY) }
    }

    pub(super) async fn review(&self, token: &str) -> Result<Verdict, ReviewError> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(verdict) = self.remembered(&digest) {
            return Ok(verdict);
        }
        let verdict = timeout(TIMEOUT, self.ask(token, &digest)).await.map_err(|_| ReviewError::Timeout)??;
        self.remember(digest, verdict.clone());
        Ok(verdict)
    }

    async fn ask(&self, token: &str, digest: &[u8; 32]) -> Result<Verdict, ReviewError> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        // Another request may have asked the same while this one waited.
        if let Some(verdict) = self.remembered(digest) {
            return Ok(verdict);
        }
        let client = self.client().await?;
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let review = Api::all(client.clone()).create(&PostParams::default(), &review).await?;
        let status = review.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else {
            return Ok(Verdict::Unauthenticated);
        };
        let name = user.username.clone().unwrap_or_default();
        let review = Api::all(client).create(&PostParams::default(), &may_read(user)).await?;
        let allowed = review.status.is_some_and(|status| status.allowed);
        Ok(if allowed { Verdict::Allowed } else { Verdict::Forbidden(name) })
    }

    async fn client(&self) -> Result<Client, ReviewError> {
        let connect = async || {
            let mut config = kube::Config::incluster()?;
            config.connect_timeout = Some(TIMEOUT);
            config.read_timeout = Some(TIMEOUT);
            Ok::<_, ReviewError>(Client::try_from(config)?)
        };
        self.client.get_or_try_init(connect).await.cloned()
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Verdict> {
        let now = Instant::now();
        self.answers().get(digest).filter(|(_, until)| now < *until).map(|(verdict, _)| verdict.clone())
    }

    fn remember(&self, digest: [u8; 32], verdict: Verdict) {
        let now = Instant::now();
        let mut answers = self.answers();
        answers.retain(|_, (_, until)| now < *until);
        // Those who may read are not pushed out by those who may not.
        let kept = answers.len() < CAPACITY || (verdict == Verdict::Allowed && forget_a_refusal(&mut answers));
        if kept {
            answers.insert(digest, (verdict, now + REMEMBERED));
        }
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], (Verdict, Instant)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room; false if all that is remembered are tokens that may read.
fn forget_a_refusal(answers: &mut BTreeMap<[u8; 32], (Verdict, Instant)>) -> bool {
    let refusal = answers.iter().find(|(_, (verdict, _))| *verdict != Verdict::Allowed).map(|(digest, _)| *digest);
    refusal.is_some_and(|digest| answers.remove(&digest).is_some())
}

fn may_read(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some("/metrics".to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, Response};
    use serde_json::{Value, json};
    use tower_test::mock;

    use super::*;

    type Handle = mock::Handle<Request<kube::client::Body>, Response<kube::client::Body>>;

    fn reviewer() -> (TokenReviewer, Handle) {
        let (service, handle) = mock::pair();
        (TokenReviewer::with_client(Client::new(service, "default")), handle)
    }

    /// Answers one call, and returns its path and body.
    async fn answer(handle: &mut Handle, status: Value) -> (String, Value) {
        let (request, send) = handle.next_request().await.unwrap();
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect_bytes().await.unwrap();
        let mut answered: Value = serde_json::from_slice(&body).unwrap();
        let asked = answered["spec"].clone();
        answered["status"] = status;
        send.send_response(Response::new(serde_json::to_vec(&answered).unwrap().into()));
        (path, asked)
    }

    async fn answer_for(handle: &mut Handle, user: &str, allowed: bool) {
        let (path, asked) =
            answer(handle, json!({"authenticated": true, "user": {"username": user, "groups": ["g"]}})).await;
        assert_eq!((path.as_str(), &asked["token"]), ("/apis/authentication.k8s.io/v1/tokenreviews", &json!("t")));
        let (path, asked) = answer(handle, json!({"allowed": allowed})).await;
        assert_eq!(path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
        assert_eq!((&asked["user"], &asked["groups"]), (&json!(user), &json!(["g"])));
        assert_eq!(asked["nonResourceAttributes"], json!({"path": "/metrics", "verb": "get"}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_about_once_a_minute() {
        let (reviewer, mut handle) = reviewer();
        let (verdict, ()) = tokio::join!(reviewer.review("t"), answer_for(&mut handle, "prometheus", true));
        assert_eq!(verdict.unwrap(), Verdict::Allowed);
        assert_eq!(reviewer.review("t").await.unwrap(), Verdict::Allowed, "remembered");
        tokio::time::advance(REMEMBERED).await;
        let (verdict, ()) = tokio::join!(reviewer.review("t"), answer_for(&mut handle, "prometheus", false));
        assert_eq!(verdict.unwrap(), Verdict::Forbidden("prometheus".to_owned()), "the right was taken away");
    }

    #[tokio::test]
    async fn a_token_of_nobody_is_no_question_of_rights() {
        let (reviewer, mut handle) = reviewer();
        let (verdict, _) = tokio::join!(reviewer.review("t"), answer(&mut handle, json!({"authenticated": false})));
        assert_eq!(verdict.unwrap(), Verdict::Unauthenticated);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_allows_nothing() {
        let (reviewer, _handle) = reviewer();
        assert!(matches!(reviewer.review("t").await, Err(ReviewError::Timeout)));
    }

    #[tokio::test]
    async fn refusals_do_not_push_out_who_may_read() {
        let (reviewer, _handle) = reviewer();
        reviewer.remember([0; 32], Verdict::Allowed);
        for byte in 1..=u8::MAX {
            reviewer.remember([byte; 32], Verdict::Unauthenticated);
        }
        assert_eq!(reviewer.remembered(&[0; 32]), Some(Verdict::Allowed));
        assert_eq!(reviewer.answers().len(), CAPACITY);
        let mut another = [1; 32];
        another[0] = 0;
        reviewer.remember(another, Verdict::Allowed);
        assert_eq!(reviewer.remembered(&another), Some(Verdict::Allowed));
        assert_eq!(reviewer.answers().len(), CAPACITY);
    }
}
