//! The simulated Slack workspace: the Web API over HTTP, with Slack's errors, limits, warnings and moods.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use simulators::slack::{Server, default_workspace};
//!
//! let server = Server::start(default_workspace()).await?;
//! // Point a client at `server.url()`, then look at what arrived:
//! let messages = server.workspace().messages("access-requests");
//! # drop(messages);
//! server.shutdown().await;
//! server.assert_no_violations();
//! # Ok(())
//! # }
//! ```

mod args;
pub mod blocks;
mod call;
mod clock;
mod control;
mod dispatch;
mod emoji;
mod handle;
mod hooks;
mod http;
mod interaction;
mod journal;
mod limits;
mod methods;
mod model;
mod multipart;
mod refusal;
mod server;
mod settings;
mod socket;
pub mod text;
mod views;
mod webhook;
mod workspace;
mod world;

pub use self::{
    control::control_router,
    handle::{Handle, SOCKET, TimedOut, UnfitFault},
    journal::{Call, Outcome, Violation},
    model::{
        App, Channel, ChannelKind, Message, Posting, Reaction, Team, Token, TokenKind, TokenState, User, UserGroup,
        UserKind,
    },
    server::Server,
    settings::{Limits, LongText, OrphanReply, Settings, SocketSettings},
    socket::{ClickError, Envelope},
    webhook::signature,
    workspace::{APP_TOKEN, BOT_TOKEN, BOT_USER, Workspace, default_workspace, scopes},
    world::Ephemeral,
};
