//! Asks another process's `/livez` or `/readyz`: for places without curl, such as the pod of `helm test`.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Much more than any of our endpoints says.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Why the answer is not "yes".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The argument.
    #[error("{0:?} is not an address to ask; write it as http://HOST:PORT/readyz")]
    Address(String),
    /// The name has no address.
    #[error("{0} has no address")]
    Unknown(String),
    /// Nobody there, or not in time.
    #[error("cannot ask {authority}: {source}")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the system says.
        source: io::Error,
    },
    /// An answer that is no HTTP.
    #[error("{0} does not speak HTTP")]
    NotHttp(String),
    /// Somebody is there and says no.
    #[error("{status}: {body}")]
    No {
        /// The status line without the version.
        status: String,
        /// What is missing, in the answerer's words.
        body: String,
    },
}

/// Asks, and returns what a 200 says.
pub fn ask(url: &str) -> Result<String, Error> {
    let rest = url.strip_prefix("http://").ok_or_else(|| Error::Address(url.to_owned()))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let unreachable = |source| Error::Unreachable { authority: authority.to_owned(), source };
    let mut addresses = authority.to_socket_addrs().map_err(unreachable)?;
    let address = addresses.next().ok_or_else(|| Error::Unknown(authority.to_owned()))?;
    let answer =
        exchange(address, &format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n")).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Error::NotHttp(authority.to_owned()))?;
    let status = head.lines().next().and_then(|line| line.split_once(' ')).map(|(_, status)| status);
    match status {
        Some(status) if status.starts_with("200") => Ok(body.to_owned()),
        Some(status) => Err(Error::No { status: status.to_owned(), body: body.trim().to_owned() }),
        None => Err(Error::NotHttp(authority.to_owned())),
    }
}

fn exchange(address: std::net::SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Asks a server that gives one answer.
    #[expect(clippy::unwrap_in_result, reason = "the error is what is tested, not the server's failures")]
    fn asked(answer: &'static str) -> Result<String, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let said = ask(&url);
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:"));
        said
    }

    #[test]
    fn a_200_is_a_yes_and_its_text_is_returned() {
        assert_eq!(asked("HTTP/1.0 200 OK\r\n\r\nready\n").unwrap(), "ready\n");
    }

    #[test]
    fn anything_else_is_a_no_with_the_reason_that_was_given() {
        let no = asked("HTTP/1.0 503 Service Unavailable\r\nx: y\r\n\r\nwaiting for: definition\n").unwrap_err();
        assert_eq!(no.to_string(), "503 Service Unavailable: waiting for: definition");
        assert!(matches!(asked("SSH-2.0-x\r\n"), Err(Error::NotHttp(_))));
    }

    #[test]
    fn nobody_there_is_said_with_the_address() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(&format!("http://{free}/livez")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot ask {free}: ")), "{error}");
        assert!(matches!(ask("https://example.com/"), Err(Error::Address(_))));
    }
}
