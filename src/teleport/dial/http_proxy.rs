//! TCP connections, through the HTTP proxy of the environment where there is one.

use http::{Method, Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::{client::proxy::matcher::Intercept, rt::TokioIo};
use tokio::net::TcpStream;

use super::{
    address::Address,
    error::StepError,
    options::HttpProxySettings,
    tls::{self, BoxedStream, WebTrust},
};

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
    let failed = |source| StepError::Connect { address: address.clone(), source };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
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
