//! TCP connections, through the HTTP proxy of the environment where there is one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};

use crate::teleport::dial::address::Address;
use crate::teleport::dial::error::StepError;
use crate::teleport::dial::options::HttpProxySettings;
use crate::teleport::dial::race::race;
use crate::teleport::dial::tls::{self, BoxedStream, WebTrust};

/// The head start of one address of a name before the next, as RFC 8305 has it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to an address. `web` is the trust for proxies that are spoken to by TLS.
pub(super) async fn connect(
    address: &Address,
    settings: &HttpProxySettings,
    web: &WebTrust,
) -> Result<BoxedStream, StepError> {
    match proxy_for(address, settings) {
        Some(proxy) => tunnel(address, &proxy, web).await,
        None => Ok(Box::new(tcp(address).await?)),
    }
}

fn proxy_for(address: &Address, settings: &HttpProxySettings) -> Option<Intercept> {
    if address.is_loopback() {
        return None;
    }
    settings.matcher()?.intercept(&format!("https://{address}/").parse().ok()?)
}

async fn tcp(address: &Address) -> Result<TcpStream, StepError> {
    let connected = async {
        let found = lookup_host((address.host.as_str(), address.port)).await?;
        let stream = first_of(found).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connected.await.map_err(|source| StepError::Connect { address: address.clone(), source })
}

/// Connects to whichever address of a name answers first: the one behind a route that swallows packets shall not keep
/// from the others.
async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let attempts = addresses.map(|address| Box::pin(TcpStream::connect(address)));
    let failures = match race(attempts, NEXT_ADDRESS, |_| false).await {
        Ok(stream) => return Ok(stream),
        Err(failures) => failures,
    };
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    Err(failures.into_iter().next().unwrap_or_else(none))
}

/// Asks the proxy for a tunnel with CONNECT.
async fn tunnel(address: &Address, proxy: &Intercept, web: &WebTrust) -> Result<BoxedStream, StepError> {
    let uri = proxy.uri();
    let name =
        format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().map_or_else(String::new, |p| p.to_string()));
    let failed = |reason: String| StepError::HttpProxy { proxy: name.trim_end_matches(':').to_owned(), reason };
    let secure = match uri.scheme_str() {
        Some("http") | None => false,
        Some("https") => true,
        Some(other) => {
            return Err(failed(format!("is of the kind '{other}', which is not supported: use http or https")));
        }
    };
    let host = uri.host().ok_or_else(|| failed("has no host name".to_owned()))?.trim_matches(['[', ']']);
    let at = Address::new(host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 }));
    let stream = tcp(&at).await.map_err(|error| failed(format!("cannot be reached: {error}")))?;
    let stream: BoxedStream = if secure {
        let server = at.server_name().map_err(|error| failed(error.to_string()))?;
        Box::new(
            tls::to_web(stream, server, web, &["http/1.1"])
                .await
                .map_err(|error| failed(format!("failed at TLS: {error}")))?,
        )
    } else {
        Box::new(stream)
    };

    let mut request =
        Request::builder().method(Method::CONNECT).uri(address.to_string()).header(header::HOST, address.to_string());
    if let Some(login) = proxy.basic_auth() {
        request = request.header(header::PROXY_AUTHORIZATION, login);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).map_err(|error| failed(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
    let driver = tokio::spawn(connection.with_upgrades());
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    if !response.status().is_success() {
        driver.abort();
        return Err(failed(format!("answered {} to CONNECT {address}", response.status())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(error.to_string()))?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    async fn port() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn one_address_that_answers_is_enough() {
        let (closed, closed_address) = port().await;
        drop(closed);
        let (_open, open_address) = port().await;
        let stream = first_of([closed_address, open_address].into_iter()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open_address);
        let refused = first_of([closed_address, closed_address].into_iter()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first_of(std::iter::empty()).await.unwrap_err().to_string().contains("no address"));
    }
}
