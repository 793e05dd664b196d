//! Interactivity without Socket Mode: a signed POST to the app's request URL (Slack docs: verifying requests from Slack).

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::handle::Handle;

/// The app has three seconds.
const DEADLINE: Duration = Duration::from_secs(3);

/// Calls the app; anything but an empty or JSON answer with status 200 in time is a violation.
pub(super) async fn call(handle: Handle, url: String, secret: String, payload: Value) {
    let body = format!("payload={}", encode(&payload.to_string()));
    let timestamp = handle.read(|world| world.clock.now()) / 1_000_000;
    let status = tokio::time::timeout(DEADLINE, post(&url, &secret, timestamp, &body)).await;
    let what = match status {
        Ok(Ok(200)) => return,
        Ok(Ok(status)) => format!("the request URL answered with status {status}"),
        Ok(Err(error)) => format!("the request URL cannot be reached: {error}"),
        Err(_) => "the request URL did not answer in three seconds".to_owned(),
    };
    handle.write(|world| world.violation("request_url", &what, json!(url)));
}

async fn post(url: &str, secret: &str, timestamp: u64, body: &str) -> std::io::Result<u16> {
    let invalid = || std::io::Error::other("the URL is not of the form http://host:port/path");
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let signature = signature(secret, timestamp, body.as_bytes());
    let request = format!(
        "POST /{path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\nx-slack-request-timestamp: {timestamp}\r\n\
         x-slack-signature: {signature}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(authority).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    let head = String::from_utf8_lossy(&head);
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(invalid)
}

/// `X-Slack-Signature` of a body.
pub fn signature(secret: &str, timestamp: u64, body: &[u8]) -> String {
    let message = [format!("v0:{timestamp}:").as_bytes(), body].concat();
    let digest = hmac(secret.as_bytes(), &message);
    let mut signature = "v0=".to_owned();
    for byte in digest {
        // Writing to a string does not fail.
        let _ = write!(signature, "{byte:02x}");
    }
    signature
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let short: Vec<u8> = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
    let padded = |with: u8| -> Vec<u8> {
        let key = short.iter().copied().chain(std::iter::repeat(0));
        key.take(BLOCK).map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// Percent-encodes everything but letters and digits.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_agree_with_the_example_of_slacks_docs() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        assert_eq!(
            signature("8f742231b10e8888abcd99yyyzzz85a5", 1_531_420_618, body.as_bytes()),
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        );
    }
}
