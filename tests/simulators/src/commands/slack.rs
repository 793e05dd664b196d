//! `simulators slack`: a Slack workspace on an address.

use std::error::Error;
use std::net::SocketAddr;

use simulators::slack::{
    APP_TOKEN, BOT_TOKEN, BOT_USER, Channel, Limits, Server, Token, User, Workspace, default_workspace, scopes,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8081", value_parser = super::listen_address)]
    listen: SocketAddr,
    /// Bot token that is accepted
    #[arg(long, default_value = BOT_TOKEN, env = "SIMULATED_SLACK_BOT_TOKEN", hide_env_values = true)]
    bot_token: String,
    /// App-level token that is accepted
    #[arg(long, default_value = APP_TOKEN, env = "SIMULATED_SLACK_APP_TOKEN", hide_env_values = true)]
    app_token: String,
    /// Scopes of the bot token, separated by commas; by default those that slack-access-operator makes use of
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// A further public channel with the bot in it; may be repeated
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// A further member, by e-mail; may be repeated
    #[arg(long = "user", value_name = "EMAIL")]
    users: Vec<String>,
    /// How strictly calls are limited
    #[arg(long, value_enum, default_value = "lenient")]
    limits: Strictness,
    /// No limits, no journal, no strict mode: for measuring clients
    #[arg(long)]
    benchmark: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Strictness {
    /// One message a second into a channel, no bursts
    Strict,
    /// Bursts of five messages into a channel, ten new connections a minute
    Lenient,
    /// Nothing is limited
    Off,
}

pub(crate) async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let listen = args.listen;
    let server = Server::start_at(listen, workspace(&args))
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}; choose another address with --listen"))?;
    tracing::info!("Slack's Web API is at {}, its control API at http://{}/_sim/state", server.url(), server.address());
    super::interrupted().await?;
    server.shutdown().await;
    for violation in server.workspace().violations() {
        tracing::warn!("real Slack would refuse, warn about or punish this: {violation}");
    }
    Ok(())
}

fn workspace(args: &Args) -> Workspace {
    let granted: Vec<&str> = args.scopes.iter().map(String::as_str).collect();
    let granted = if granted.is_empty() { scopes::NOTIFY_AND_LOOK } else { &granted };
    let limits = match args.limits {
        Strictness::Strict => Limits::default(),
        Strictness::Lenient => Limits::lenient(),
        Strictness::Off => Limits::off(),
    };
    let mut workspace = default_workspace()
        .limits(limits)
        .token(Token::bot(&args.bot_token, granted))
        .token(Token::app_level(&args.app_token));
    let mut everybody = vec![BOT_USER.to_owned()];
    for (number, email) in args.users.iter().enumerate() {
        let id = format!("U0ADDED{number:04}");
        let name = email.split('@').next().unwrap_or(email);
        workspace = workspace.user(User::member(&id, name, email));
        everybody.push(id);
    }
    for (number, name) in args.channels.iter().enumerate() {
        let id = format!("C0ADDED{number:04}");
        workspace = workspace.channel(Channel::public(&id, name).members(everybody.iter().map(String::as_str)));
    }
    if args.benchmark { workspace.for_benchmarks() } else { workspace }
}
