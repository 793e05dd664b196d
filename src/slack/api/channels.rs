//! Channels by their names: Slack has no call for one name, only the list of all.

use crate::slack::api::answer::Channels;
use crate::slack::api::{ChannelInfo, Client, Error, MOST_PAGES, begin_again, parse};
use crate::slack::method;

/// Channels asked for at once. Slack recommends 200 and takes any number below 1000 (Slack docs: conversations.list); the
/// method's limit counts calls, some 20 a minute.
const PAGE: &str = "999";

/// A reading of the list of channels: all public ones and, where the scope `groups:read` permits, the private ones that the
/// bot is in. Archived ones are left out.
#[derive(Debug, Default)]
pub struct ChannelList {
    public_only: bool,
    cursor: String,
    /// Pages read.
    pages: u32,
    over: bool,
}

impl ChannelList {
    /// How many pages were read.
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// `conversations.list`: the next page, which may be empty, or `None` behind the last one. After an error the same page
    /// is asked for again. Takes the scope `channels:read`.
    pub async fn next_page(&mut self, client: &Client) -> Result<Option<Vec<ChannelInfo>>, Error> {
        if self.over || self.pages == MOST_PAGES {
            return Ok(None);
        }
        let team = client.list_team().await?;
        let types = if self.public_only { "public_channel" } else { "public_channel,private_channel" };
        let mut query = vec![("types", types), ("exclude_archived", "true"), ("limit", PAGE)];
        query.extend(team.as_deref().map(|team| ("team_id", team)));
        if !self.cursor.is_empty() {
            query.push(("cursor", &self.cursor));
        }
        let answer = match client.shared.transport.read(method::LIST, None, &query).await {
            Ok(answer) => parse::<Channels>(method::LIST, "", answer.body)?,
            Err(error) if error.code == "missing_scope" && !self.public_only => {
                self.public_only = true;
                return Ok(Some(Vec::new()));
            }
            Err(error) => {
                let error = begin_again(error, &self.cursor);
                if error.code == "invalid_cursor" {
                    self.cursor.clear();
                }
                return Err(error);
            }
        };
        self.pages += 1;
        let next = answer.response_metadata.next().filter(|next| *next != self.cursor);
        self.over = next.is_none();
        self.cursor = next.unwrap_or_default();
        Ok(Some(answer.channels))
    }
}

impl Client {
    /// Finds a channel by its name (with or without `#`) in a [`ChannelList`]; `None` when there is none of this name. Whoever
    /// looks for several reads the list once for all of them.
    pub async fn resolve_channel_name(&self, name: &str) -> Result<Option<ChannelInfo>, Error> {
        let name = name.trim_start_matches('#');
        let mut list = ChannelList::default();
        loop {
            let page = list.next_page(self).await.map_err(|error| Error { channel: Some(name.into()), ..error })?;
            let Some(page) = page else { return Ok(None) };
            if let Some(found) = page.into_iter().find(|channel| channel.name == name) {
                return Ok(Some(found));
            }
        }
    }
}
