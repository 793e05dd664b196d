//! An app at the other end of Socket Mode.

use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use simulators::slack::APP_TOKEN;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Client, WAIT};

/// An app's end of a connection.
pub(crate) struct App(pub(crate) WebSocketStream<TcpStream>);

pub(crate) async fn ticket(client: &Client) -> Value {
    let request = client.request("POST", "apps.connections.open").bearer_auth(APP_TOKEN);
    request.send().await.unwrap().json().await.unwrap()
}

pub(crate) async fn dial(address: SocketAddr, url: &str) -> Result<App, tokio_tungstenite::tungstenite::Error> {
    let stream = TcpStream::connect(address).await?;
    Ok(App(tokio_tungstenite::client_async(url, stream).await?.0))
}

pub(crate) async fn connect(client: &Client) -> App {
    let answer = ticket(client).await;
    let mut app = dial(client.server.address(), answer["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(app.frame().await["type"], "hello");
    app
}

impl App {
    /// The next frame but pings; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match tokio::time::timeout(WAIT, self.0.next()).await.unwrap() {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return Some(message),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        serde_json::from_str(self.next().await.unwrap().to_text().unwrap()).unwrap()
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn acknowledge(&mut self, frame: &Value) {
        self.send(&json!({"envelope_id": frame["envelope_id"]}).to_string()).await;
    }

    pub(crate) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while self.next().await.is_some() {}
    }
}

/// Posts a message with an approve button.
pub(crate) async fn ask(client: &Client, channel: &str) -> String {
    let button = json!({"type": "button", "action_id": "approve", "value": "r1", "text": {"type": "plain_text", "text": "Approve"}});
    let blocks = json!([{"type": "actions", "block_id": "review", "elements": [button]}]);
    let answer =
        client.post("chat.postMessage", json!({"channel": channel, "text": "a request", "blocks": blocks})).await;
    answer["ts"].as_str().unwrap().to_owned()
}
