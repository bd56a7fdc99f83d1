//! One HTTP request to a checked address: HTTP/1.1 over TCP or TLS, no redirects, no proxy, no connection kept.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::escalation::NotTaken;
use crate::escalation::address::chosen;

/// Where is posted to.
pub(super) struct Client {
    uri: Uri,
    /// The host without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// Nothing for plain HTTP.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    allow_private: bool,
    timeout: Duration,
}

impl Client {
    /// A client of a URL. Plain `http` only where private addresses are allowed: beyond one's own network it is none.
    ///
    /// # Errors
    /// Why the URL cannot be used.
    pub(super) fn new(url: &str, allow_private: bool, timeout: Duration) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "is not a URL".to_owned())?;
        let authority = uri.authority().ok_or("is not a URL with a host")?;
        if authority.as_str().contains('@') {
            return Err("must not hold a name or password".to_owned());
        }
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP && allow_private => false,
            _ => return Err("must begin with `https://`".to_owned()),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let tls = if is_tls {
            let name = ServerName::try_from(host.clone()).map_err(|_| "has a host that no certificate is for")?;
            Some((TlsConnector::from(Arc::new(trusting()?)), name))
        } else {
            None
        };
        Ok(Self { uri, host, port, tls, allow_private, timeout })
    }

    /// Posts a body of JSON.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) async fn post(&self, headers: [(HeaderName, HeaderValue); 2], body: Bytes) -> Result<(), NotTaken> {
        let posted = tokio::time::timeout(self.timeout, self.exchange(headers, body)).await;
        let status = posted.map_err(|_| NotTaken::for_now("timeout"))??;
        match status {
            status if status.is_success() => Ok(()),
            // Who says so wants no more of it.
            StatusCode::GONE => Err(NotTaken::for_good("status_410")),
            // Nor is a redirect followed: nobody checked where it leads.
            status => Err(NotTaken::for_now(format!("status_{}", status.as_u16()))),
        }
    }

    async fn exchange(&self, headers: [(HeaderName, HeaderValue); 2], body: Bytes) -> Result<StatusCode, NotTaken> {
        let resolved = lookup_host((self.host.as_str(), self.port)).await;
        let resolved = resolved.map_err(|_| NotTaken::for_now("name_not_resolved"))?;
        let address = chosen(resolved, self.allow_private).ok_or_else(|| NotTaken::for_good("address_not_allowed"))?;
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                self.request(stream.map_err(|error| NotTaken::for_now(format!("tls: {error}")))?, headers, body).await
            }
            None => self.request(stream, headers, body).await,
        }
    }

    async fn request(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        headers: [(HeaderName, HeaderValue); 2],
        body: Bytes,
    ) -> Result<StatusCode, NotTaken> {
        let broken = |_: hyper::Error| NotTaken::for_now("connection_broken");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the sender; what it ends of is heard by who waits for the answer.
        let driver = tokio::spawn(async move { connection.await.ok() });
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .header(HOST, host)
            .header(USER_AGENT, concat!("QuickPe/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .body(Full::new(body))
            .map_err(|_| NotTaken::for_good("request_not_made"))?;
        let answered = sender.send_request(request).await.map(|response| response.status()).map_err(broken);
        // The answer's body is nobody's concern: it is not read.
        driver.abort();
        answered
    }
}

fn unreachable(error: &std::io::Error) -> NotTaken {
    NotTaken::for_now(match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection_refused",
        _ => "not_reachable",
    })
}

/// Trusts whom the system trusts.
fn trusting() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("cannot be used over TLS: the system has no certificates that are trusted".to_owned());
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_strictly() {
        let new = |url, allow| Client::new(url, allow, Duration::from_secs(1)).map(|client| (client.host, client.port));
        assert_eq!(new("http://127.0.0.1:8080/hook?a=b", true), Ok(("127.0.0.1".to_owned(), 8080)));
        assert_eq!(new("http://[::1]/hook", true), Ok(("::1".to_owned(), 80)));
        for (url, allow) in
            [("http://example.com/", false), ("ftp://example.com/", true), ("/hook", true), ("https://a:b@c/", true)]
        {
            assert!(new(url, allow).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_private_address_is_refused_for_good_however_it_is_written() {
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"] {
            let client = Client {
                uri: format!("http://{host}/").parse().unwrap(),
                host: host.trim_matches(['[', ']']).to_owned(),
                port: 9,
                tls: None,
                allow_private: false,
                timeout: Duration::from_secs(5),
            };
            let header = || (HOST, HeaderValue::from_static("x"));
            let refused = client.post([header(), header()], Bytes::new()).await.unwrap_err();
            assert_eq!(refused, NotTaken::for_good("address_not_allowed"), "{host}");
        }
    }
}
