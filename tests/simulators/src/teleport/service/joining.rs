//! The join services: `RegisterUsingToken` of 17 to 18.4, the stream of 18.5, and certificates for a bot's roles.

use std::time::SystemTime;

use futures::StreamExt as _;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::Services;
use super::call::Answers;
use crate::teleport::access::Caller;
use crate::teleport::clock::time;
use crate::teleport::connection::Note;
use crate::teleport::error::{Kind, Trace};
use crate::teleport::join::{self, Issued, JoinToken, LIFE, PublicKeys};
use crate::teleport::keys::SigningError;
use crate::teleport::pb::proto::join_service_server::JoinService as RegisterService;
use crate::teleport::pb::proto::{Certs, UserCertsRequest};
use crate::teleport::pb::teleport::join::v1 as pb;
use crate::teleport::pb::teleport::join::v1::join_service_server::JoinService as StreamService;
use crate::teleport::pb::types::RegisterUsingTokenRequest;
use crate::teleport::x509::pem;

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn internal(error: impl ToString) -> Trace {
    Trace::new(Kind::Other, error.to_string())
}

fn line(text: Result<String, impl ToString>) -> Result<Vec<u8>, Trace> {
    text.map(|line| line.trim().to_owned().into_bytes()).map_err(internal)
}

impl Services {
    /// What a bot gets: certificates without rights.
    fn bot(&self, token: &JoinToken, keys: &PublicKeys, not_after: SystemTime) -> Result<Issued, Trace> {
        let user = token.user();
        let cluster = &self.core.config.cluster_name;
        join::issue(&self.authorities, cluster, &user, std::slice::from_ref(&user), keys, not_after).map_err(internal)
    }

    /// Certificates for other roles than the caller's own. As with the real one, their authorities are the users' alone.
    pub(super) fn user_certs(&self, caller: &Caller, asked: &UserCertsRequest) -> Result<Certs, Trace> {
        if asked.username != caller.user {
            return Err(Trace::denied("access denied: impersonation is not allowed"));
        }
        if !asked.use_role_requests || asked.role_requests.is_empty() {
            return Err(Trace::bad("at least one role request is required"));
        }
        self.core.read(|state| state.impersonate(&caller.user, &asked.role_requests))?;
        let not_after = time(asked.expires.as_ref()).filter(|expires| *expires > SystemTime::now());
        let not_after = not_after
            .ok_or_else(|| Trace::denied("client credentials have expired, please relogin."))?
            .min(SystemTime::now() + self.role_life(&asked.role_requests));
        let keys = PublicKeys::from_text(&asked.tls_public_key, &asked.ssh_public_key)?;
        let cluster = &self.core.config.cluster_name;
        let issued = join::issue(&self.authorities, cluster, &caller.user, &asked.role_requests, &keys, not_after)
            .map_err(internal)?;
        Ok(Certs {
            ssh: line(issued.ssh.to_openssh())?,
            tls: pem("CERTIFICATE", &issued.tls).into_bytes(),
            tlsca_certs: vec![pem("CERTIFICATE", &self.authorities.user.certificate).into_bytes()],
            sshca_certs: vec![line(self.authorities.user.ssh_line())?],
        })
    }

    /// The shortest `max_session_ttl` among the roles.
    fn role_life(&self, roles: &[String]) -> std::time::Duration {
        let limits = |state: &crate::teleport::state::State| {
            roles.iter().filter_map(|role| state.roles.get(role)?.max_session_ttl).min()
        };
        self.core.read(limits).unwrap_or(LIFE * 24)
    }

    pub(super) fn register(&self, asked: &RegisterUsingTokenRequest) -> Result<Certs, Trace> {
        let token = self.core.read(|state| state.join(&asked.token, &asked.role, &asked.id_token))?;
        let keys = PublicKeys::from_text(&asked.public_tls_key, &asked.public_ssh_key)?;
        let issued = self.bot(&token, &keys, SystemTime::now() + LIFE)?;
        let (host, user) = (&self.authorities.host, &self.authorities.user);
        Ok(Certs {
            ssh: line(issued.ssh.to_openssh())?,
            tls: pem("CERTIFICATE", &issued.tls).into_bytes(),
            tlsca_certs: [user, host].map(|authority| pem("CERTIFICATE", &authority.certificate).into_bytes()).to_vec(),
            sshca_certs: vec![line(user.ssh_line())?, line(host.ssh_line())?],
        })
    }

    fn join_result(&self, token: &str, role: &str, asked: &pb::OidcInit) -> Result<pb::Certificates, Trace> {
        let jwt = std::str::from_utf8(&asked.id_token).map_err(internal)?;
        let token = self.core.read(|state| state.join(token, role, jwt))?;
        let params = asked.client_params.as_ref().and_then(|params| params.payload.as_ref());
        let Some(pb::client_params::Payload::BotParams(bot)) = params else {
            return Err(Trace::bad("bot_params is required"));
        };
        let expires = time(bot.expires.as_ref()).ok_or_else(|| Trace::bad("Expires is required"))?;
        let keys = bot.public_keys.as_ref().ok_or_else(|| Trace::bad("public_keys is required"))?;
        let keys = PublicKeys::from_wire(&keys.public_tls_key, &keys.public_ssh_key)?;
        let issued = self.bot(&token, &keys, expires.min(SystemTime::now() + LIFE * 24))?;
        let (host, user) = (&self.authorities.host, &self.authorities.user);
        let blob = |line: Result<String, SigningError>| {
            let line = line.map_err(internal)?;
            let key = russh::keys::PublicKey::from_openssh(line.trim()).map_err(internal)?;
            key.to_bytes().map_err(internal)
        };
        Ok(pb::Certificates {
            tls_cert: issued.tls.to_vec(),
            tls_ca_certs: [user, host].map(|authority| authority.certificate.to_vec()).to_vec(),
            ssh_cert: issued.ssh.to_bytes().map_err(internal)?,
            ssh_ca_keys: vec![blob(user.ssh_line())?, blob(host.ssh_line())?],
        })
    }
}

#[async_trait]
impl RegisterService for Services {
    async fn register_using_token(
        &self,
        request: Request<RegisterUsingTokenRequest>,
    ) -> Result<Response<Certs>, Status> {
        self.unary("RegisterUsingToken", request, |_, asked| {
            if !self.core.config.version.registers_using_token() {
                let text = "unknown method RegisterUsingToken for service proto.JoinService";
                return Err(Trace::new(Kind::NotImplemented, text));
            }
            self.register(&asked)
        })
        .await
    }
}

#[async_trait]
impl StreamService for Services {
    type JoinStream = Answers<pb::JoinResponse>;

    async fn join(&self, request: Request<Streaming<pb::JoinRequest>>) -> Result<Response<Self::JoinStream>, Status> {
        if let Some(note) = request.extensions().get::<Note>() {
            note.tell(|told| told.reached = true);
        }
        if !self.core.config.version.joins_by_stream() {
            return Err(Status::unimplemented("unknown service teleport.join.v1.JoinService"));
        }
        let number = self.core.journal.begin(self.core.millis(), "Nop", "Join", String::new());
        let (services, mut messages) = (self.clone(), request.into_inner());
        let answers = async_stream_of(async move |sender: tokio::sync::mpsc::Sender<_>| {
            let mut talk = async || {
                use pb::{join_request, join_response, result};
                let Some(Ok(pb::JoinRequest { payload: Some(join_request::Payload::ClientInit(init)) })) =
                    messages.next().await
                else {
                    return Err(Trace::bad("expected ClientInit").into());
                };
                let answer = |payload| Ok(pb::JoinResponse { payload: Some(payload) });
                if services.core.read(|state| !state.join_tokens.contains_key(&init.token_name)) {
                    return Err(Trace::denied("token expired or not found").into());
                }
                if init.join_method.as_deref().is_some_and(|method| method != "kubernetes") {
                    return Err(Trace::bad(
                        "client requested another join method, provision token only supports method \"kubernetes\"",
                    )
                    .into());
                }
                let method = pb::ServerInit { join_method: "kubernetes".to_owned(), ..pb::ServerInit::default() };
                let _ = sender.send(answer(join_response::Payload::Init(method))).await;
                let Some(Ok(pb::JoinRequest { payload: Some(join_request::Payload::OidcInit(oidc)) })) =
                    messages.next().await
                else {
                    return Err(Trace::bad("expected OIDCInit").into());
                };
                let certificates = services.join_result(&init.token_name, &init.system_role, &oidc)?;
                let bot = pb::BotResult { certificates: Some(certificates) };
                let result = pb::Result { payload: Some(result::Payload::BotResult(bot)) };
                let _ = sender.send(answer(join_response::Payload::Result(result))).await;
                Ok::<_, Status>(())
            };
            let result = talk().await;
            services.core.journal.answer(number, result.as_ref().err());
            services.core.touch();
            if let Err(status) = result {
                // A client that has gone does not read it.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(answers))
    }
}

/// The stream of what a task sends.
fn async_stream_of<T: Send + 'static, F>(
    work: impl FnOnce(tokio::sync::mpsc::Sender<Result<T, Status>>) -> F,
) -> Answers<T>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(2);
    tokio::spawn(work(sender));
    Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))
}
