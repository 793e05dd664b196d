//! One HTTP/1.1 request over a stream, and its whole answer.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::teleport::dial::tls::Stream;

/// Answers of Teleport's web API have one to a dozen kilobytes.
const LARGEST_ANSWER: usize = 256 * 1024;

/// HTTP failed, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::teleport) struct HttpError(pub(in crate::teleport) String);

impl HttpError {
    fn new(error: &dyn std::error::Error) -> Self {
        Self(error.to_string())
    }
}

/// Sends the request and reads the answer.
pub(in crate::teleport) async fn exchange(
    stream: impl Stream + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| HttpError::new(&error))?;
    let driver = tokio::spawn(connection);
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| HttpError::new(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|error| HttpError::new(error.as_ref()))?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
    .await;
    driver.abort();
    answered
}
