//! What happens around every call: who calls, which fault strikes, what the journal keeps.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::Services;
use crate::faults::Effect;
use crate::teleport::access::Caller;
use crate::teleport::connection::{Connection, Disguise, Note};
use crate::teleport::error::{Kind, Trace, code_named};

/// gRPC servers written in Go take no larger message unless told to.
const LARGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// The answers of a streaming method.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One call under way.
pub(super) struct Call {
    pub(super) caller: Caller,
    /// A past moment whose state a stale read is answered from.
    pub(super) moment: Option<Instant>,
    method: &'static str,
    number: u64,
    connection: Connection,
    note: Note,
}

impl Services {
    /// A unary method.
    pub(super) async fn unary<Q, A, E>(
        &self,
        method: &'static str,
        request: Request<Q>,
        work: impl FnOnce(&Call, Q) -> Result<A, E> + Send,
    ) -> Result<Response<A>, Status>
    where
        Q: Debug + Message,
        E: Into<Status>,
    {
        let (mut call, message) = self.begin(method, request)?;
        let result = match self.before(&mut call, &message).await {
            Ok(after) => {
                let result = work(&call, message).map_err(Into::into);
                self.after(&call, after).await.and(result)
            }
            Err(status) => Err(status),
        };
        self.core.journal.answer(call.number, result.as_ref().err());
        self.core.touch();
        result.map(Response::new)
    }

    /// A method that answers with a stream.
    pub(super) async fn streaming<Q, T, E>(
        &self,
        method: &'static str,
        request: Request<Q>,
        work: impl FnOnce(&Call, Q) -> Result<Answers<T>, E> + Send,
    ) -> Result<Response<Answers<T>>, Status>
    where
        Q: Debug + Message,
        T: Clone + Send + 'static,
        E: Into<Status>,
    {
        let (mut call, message) = self.begin(method, request)?;
        let result = match self.before(&mut call, &message).await {
            Ok(after) => {
                let result = work(&call, message).map_err(Into::into);
                self.after(&call, after).await.and(result)
            }
            Err(status) => Err(status),
        };
        self.core.journal.answer(call.number, result.as_ref().err());
        self.core.touch();
        result.map(|answers| Response::new(self.with_stream_faults(call, answers)))
    }

    fn begin<Q: Debug + Message>(&self, method: &'static str, request: Request<Q>) -> Result<(Call, Q), Status> {
        let (_, extensions, message) = request.into_parts();
        let missing = || Status::internal("the connection is unknown");
        let call = Call {
            caller: extensions.get::<Caller>().cloned().ok_or_else(missing)?,
            connection: extensions.get::<Connection>().cloned().ok_or_else(missing)?,
            note: extensions.get::<Note>().cloned().ok_or_else(missing)?,
            moment: None,
            method,
            number: 0,
        };
        call.note.tell(|told| told.reached = true);
        let number = self.core.journal.begin(self.core.millis(), &call.caller.user, method, format!("{message:?}"));
        let call = Call { number, ..call };
        let size = message.encoded_len();
        if size > LARGEST_MESSAGE {
            let text = format!("grpc: received message larger than max ({size} vs. {LARGEST_MESSAGE})");
            self.core.journal.violation(&call.caller.user, method, text.as_str());
            let status = Status::resource_exhausted(text);
            self.core.journal.answer(number, Some(&status));
            return Err(status);
        }
        Ok((call, message))
    }

    /// Applies the fault that is due before the call takes effect; returns the one that is due after it.
    async fn before(&self, call: &mut Call, message: &impl Debug) -> Result<Option<Effect>, Status> {
        let applies = |effect: &Effect| !is_for_streams(effect);
        let Some(effect) = self.core.faults.take_for(call.method, || format!("{message:?}"), applies) else {
            return Ok(None);
        };
        self.core.journal.fault(call.number, format!("{effect:?}"));
        match effect {
            Effect::Error { code, message } => Err(injected(&code, message)),
            Effect::RateLimited { .. } => Err(Trace::new(Kind::LimitExceeded, "rate limit exceeded").into()),
            Effect::ServerError { status } => {
                call.note.tell(|told| told.disguise = Some(Disguise::Html(status)));
                Err(Status::unavailable("injected fault"))
            }
            Effect::Hang => {
                call.connection.closed().await;
                Err(Status::unavailable("the client has gone"))
            }
            Effect::ResetBefore => {
                call.connection.kill();
                Err(Status::unavailable("injected fault"))
            }
            Effect::Slow { millis } => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(None)
            }
            Effect::StaleRead { millis } => {
                call.moment = Instant::now().checked_sub(Duration::from_millis(millis));
                Ok(None)
            }
            late => Ok(Some(late)),
        }
    }

    /// Applies the fault that is due once the call has taken effect.
    async fn after(&self, call: &Call, effect: Option<Effect>) -> Result<(), Status> {
        match effect {
            Some(Effect::AnswerLost) => {
                call.connection.kill();
                call.connection.closed().await;
            }
            Some(Effect::Malformed) => call.note.tell(|told| told.disguise = Some(Disguise::Garbage)),
            Some(Effect::ServerErrorAfter { status }) => {
                call.note.tell(|told| told.disguise = Some(Disguise::Html(status)));
            }
            Some(Effect::ErrorAfter { code }) => return Err(injected(&code, String::new())),
            _ => {}
        }
        Ok(())
    }

    fn with_stream_faults<T: Clone + Send + 'static>(&self, call: Call, answers: Answers<T>) -> Answers<T> {
        let faults = self.core.faults.clone();
        let journal = self.core.journal.clone();
        let state = (answers, None::<T>, call);
        Box::pin(stream::unfold(state, move |(mut answers, again, call)| {
            let (faults, journal) = (faults.clone(), journal.clone());
            async move {
                if let Some(item) = again {
                    return Some((Ok(item), (answers, None, call)));
                }
                let item = answers.next().await?;
                let effect = faults.take_if(call.method, is_for_streams);
                if let Some(effect) = &effect {
                    journal.fault(call.number, format!("{effect:?}"));
                }
                match effect {
                    Some(Effect::Cut) => {
                        call.connection.kill();
                        None
                    }
                    Some(Effect::End) => None,
                    Some(Effect::Stall) => {
                        call.connection.closed().await;
                        None
                    }
                    Some(Effect::Duplicate) => {
                        let again = item.as_ref().ok().cloned();
                        Some((item, (answers, again, call)))
                    }
                    _ => Some((item, (answers, None, call))),
                }
            }
        }))
    }
}

impl Call {
    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }
}

/// The error that a fault asks for.
fn injected(code: &str, message: String) -> Status {
    let code = code_named(code).unwrap_or(Code::Unknown);
    Status::new(code, if message.is_empty() { "injected fault".to_owned() } else { message })
}

fn is_for_streams(effect: &Effect) -> bool {
    matches!(effect, Effect::Cut | Effect::Stall | Effect::End | Effect::Duplicate)
}
