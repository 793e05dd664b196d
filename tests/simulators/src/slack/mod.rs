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
//!
//! Where each behaviour is known from: the comments name the page of Slack's docs; the numbers are the sections of the project's facts
//! page on Slack's API, whose section 11 says what a simulation has to do.
//!
//! | behaviour | file | facts |
//! |---|---|---|
//! | encodings, charsets, warnings, headers | `args`, `multipart`, `http`, `refusal` | 1.1, 1.2, 11.1 M1–M3 |
//! | tokens, scopes, order of the checks | `dispatch`, `call`, `model/app` | 1.2, 9.1, 11.1 M4, M5 |
//! | rate limits, 429 | `limits`, `settings` | 4.1, 4.2, 11.1 M6 |
//! | faults, early ends of connections | `http`, `server`, [`crate::faults`] | 1.3, 11.1 M7–S9 |
//! | posts, updates, deletions, threads, addressing | `methods/chat`, `methods/scheduled` | 2.2–2.4, 7, 11.2 M10, M11, M14, M17, S21 |
//! | text, attachments, metadata | `methods/content`, `attachments`, `text` | 5.1, 6.1, 6.3, 11.2 M12, M15, M18–S20 |
//! | blocks | [`blocks`] | 6.1, 6.2, 11.2 M13 |
//! | history, pages, cursors | `methods/history`, `methods/page` | 2.7, 11.2 M16 |
//! | reactions, people, channels, user groups | `methods/*` | 2.1, 2.5–2.7, 11.3 |
//! | Socket Mode, clicks, events, commands, modals | `socket`, `interaction`, `choice`, `events`, `views` | 2.8, 8.1–8.4, 11.4 M25–M29 |
//! | response URLs, webhooks, signed requests | `hooks`, `incoming`, `webhook` | 1.2, 8.5, 8.6, 11.4 M30, S31 |

mod args;
mod attachments;
pub mod blocks;
mod call;
mod choice;
mod clock;
mod control;
mod dispatch;
mod emoji;
mod events;
mod handle;
mod hooks;
mod http;
mod incoming;
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

pub use self::control::control_router;
pub use self::handle::{Handle, SOCKET, TimedOut, UnfitFault};
pub use self::interaction::Press;
pub use self::journal::{Call, Outcome, Violation};
pub use self::model::{
    App, Channel, ChannelKind, Message, Posting, Reaction, Team, Token, TokenKind, TokenState, User, UserGroup,
    UserKind,
};
pub use self::server::Server;
pub use self::settings::{Limits, LongText, OrphanReply, Settings, SocketSettings};
pub use self::socket::{ClickError, Envelope};
pub use self::webhook::signature;
pub use self::workspace::{APP_TOKEN, BOT_TOKEN, BOT_USER, Workspace, default_workspace, scopes};
pub use self::world::Ephemeral;
